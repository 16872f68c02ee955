#!/usr/bin/env bash
# Proves the tutorial's recipes: generates a TypeScript, a Python and a Go client from the running service's own document, and has
# a small program in each ask for bandwidth. $1 is a scratch folder. With `setup` for a folder it only installs what it needs; Go, Java and
# the Go package that the generated client needs are Debian's.
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD
venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/openapi-python-client
bin=$root/dashboard/node_modules/.bin

tests/real/venv.sh "$venv" tests/real/clients/requirements.txt
[ -x "$bin/tsc" ] || (cd dashboard && npm ci --no-audit --no-fund)
[ "$1" != setup ] || exit 0

scratch=$1/clients
mkdir -p "$scratch"
. tests/real/service.sh
start_service "$scratch/data"
export WATERMASTER=$url

cp tests/real/clients/typescript.ts "$scratch/"
cd "$scratch"
echo '{"type":"module"}' >package.json
"$bin/openapi-typescript" "$WATERMASTER/v1/openapi.json" -o watermaster.d.ts >/dev/null
"$bin/tsc" --strict --target es2022 --module es2022 --moduleResolution bundler --lib es2022,dom --outDir out typescript.ts
node out/typescript.js

"$venv/bin/openapi-python-client" generate --url "$WATERMASTER/v1/openapi.json" --output-path watermaster_client --meta none --overwrite \
  >generated.out 2>&1 || { cat generated.out >&2; exit 1; }
PYTHONPATH=. "$venv/bin/python" "$root/tests/real/clients/python.py"

# Nothing is fetched: the one package that the client needs is Debian's, where the toolchain looks for a project's own copies.
validator=gopkg.in/validator.v2
"$venv/bin/openapi-generator-cli" generate --generator-name go --input-spec "$WATERMASTER/v1/openapi.json" --output go/watermaster \
  --additional-properties packageName=watermaster,enumClassPrefix=true >generated.out 2>&1 || { cat generated.out >&2; exit 1; }
rm -r go/watermaster/{go.mod,go.sum,test}
# The generator names the bare list of a batch, and does not define it.
printf 'package watermaster\n\ntype Array = []AllocationRequest\n' >go/watermaster/array.go
cp "$root/tests/real/clients/main.go" go/
mkdir -p "go/vendor/$validator"
cp "/usr/share/gocode/src/$validator"/*.go "go/vendor/$validator/"
printf 'module example\n\ngo 1.19\n\nrequire %s v2.0.1\n' "$validator" >go/go.mod
printf '# %s v2.0.1\n## explicit\n%s\n' "$validator" "$validator" >go/vendor/modules.txt
(cd go && GOPROXY=off GOFLAGS=-mod=vendor GOTOOLCHAIN=local GOCACHE="$scratch/go-cache" go run .)

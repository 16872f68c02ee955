#!/usr/bin/env bash
# Proves the README's recipes: generates a TypeScript and a Python client from the running service's own document, and has
# a small program in each ask for bandwidth. $1 is a scratch folder. With `setup` for a folder it only installs what it needs.
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

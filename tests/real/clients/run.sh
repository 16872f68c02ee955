#!/usr/bin/env bash
# Proves the README's recipes: generates a TypeScript and a Python client from the running service's own document, and has
# a small program in each ask for bandwidth. $1 is a scratch folder.
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD
scratch=$1/clients
version=0.29.1
mkdir -p "$scratch"

venv=target/openapi-python-client-$version
if [ ! -x "$venv/bin/openapi-python-client" ]; then
  python3 -m venv "$venv" 2>/dev/null || { python3 -m pip --version >/dev/null && python3 -m pip install --quiet virtualenv && python3 -m virtualenv "$venv" >/dev/null; }
  "$venv/bin/pip" install --quiet "openapi-python-client==$version"
fi
[ -d src/http/dashboard/node_modules ] || (cd src/http/dashboard && npm ci)

cargo build --locked --all-features --quiet
RUST_LOG=warn target/debug/watermaster serve --listen 127.0.0.1:0 --data "$scratch/data" >"$scratch/serve.out" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do grep -q 'http://' "$scratch/serve.out" && break; sleep 0.1; done
WATERMASTER=$(grep -o 'http://[0-9.:]*' "$scratch/serve.out" | head -n 1)
[ -n "$WATERMASTER" ] || { echo 'the service did not start' >&2; exit 1; }
export WATERMASTER

bin=$root/src/http/dashboard/node_modules/.bin
cp tests/real/clients/typescript.ts "$scratch/"
cd "$scratch"
echo '{"type":"module"}' >package.json
"$bin/openapi-typescript" "$WATERMASTER/v1/openapi.json" -o watermaster.d.ts >/dev/null
"$bin/tsc" --strict --target es2022 --module es2022 --moduleResolution bundler --lib es2022,dom --outDir out typescript.ts
node out/typescript.js

"$root/$venv/bin/openapi-python-client" generate --url "$WATERMASTER/v1/openapi.json" --output-path watermaster_client --meta none --overwrite >generated.out
PYTHONPATH=. "$root/$venv/bin/python" "$root/tests/real/clients/python.py"

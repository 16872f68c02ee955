#!/usr/bin/env bash
# Throws generated requests, good and bad, at the running service and holds every answer to the OpenAPI document: no 5xx, no
# undocumented status, no answer that its schema does not allow. $1 is a scratch folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
scratch=$1
version=4.32.5

venv=${WATERMASTER_SCHEMATHESIS_VENV:-target/schemathesis-$version}
if [ ! -x "$venv/bin/schemathesis" ]; then
  python3 -m venv "$venv" 2>/dev/null || { python3 -m pip --version >/dev/null && python3 -m pip install --quiet virtualenv && python3 -m virtualenv "$venv" >/dev/null; }
  "$venv/bin/pip" install --quiet "schemathesis==$version"
fi

cargo build --locked --all-features --quiet
RUST_LOG=warn target/debug/watermaster serve --listen 127.0.0.1:0 --data "$scratch/schemathesis" >"$scratch/serve.out" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do grep -q 'http://' "$scratch/serve.out" && break; sleep 0.1; done
url=$(grep -o 'http://[0-9.:]*' "$scratch/serve.out" | head -n 1)
[ -n "$url" ] || { echo 'the service did not start' >&2; exit 1; }

# Event streams never end by themselves, and a controller that is not there is rightly a 502, which the first check takes for
# a defect: both have tests of their own. What schemathesis keeps, it keeps in the scratch folder.
schemathesis=$(realpath -s "$venv/bin/schemathesis")
cd "$scratch"
"$schemathesis" run "$url/v1/openapi.json" \
  --exclude-path /v1/events/stream \
  --exclude-path "/v1/aggregators/{id}/rates/stream" \
  --exclude-path "/v1/controllers/{controller}/topology" \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
  --max-examples "${WATERMASTER_SCHEMATHESIS_EXAMPLES:-40}" --seed 20261122 --generation-deterministic \
  --suppress-health-check all --request-timeout 20 --workers 1 --no-color
kill -0 $server || { echo 'the service did not survive' >&2; exit 1; }

#!/usr/bin/env bash
# Throws generated requests, good and bad, at the running service and holds every answer to the OpenAPI document: no 5xx, no
# undocumented status, no answer that its schema does not allow. $1 is a scratch folder. With `setup` for a folder it only
# installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/schemathesis

tests/real/venv.sh "$venv" tests/real/requirements-schemathesis.txt
[ "$1" != setup ] || exit 0

scratch=$1
. tests/real/service.sh
start_service "$scratch/schemathesis"

export SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$PWD/tests/real
# Event streams never end by themselves, and a controller that is not there is rightly a 502, which the first check takes for
# a defect: both have tests of their own. What schemathesis keeps, it keeps in the scratch folder.
cd "$scratch"
"$venv/bin/schemathesis" run "$url/v1/openapi.json" \
  --exclude-path /v1/events/stream \
  --exclude-path "/v1/aggregators/{id}/rates/stream" \
  --exclude-path "/v1/controllers/{controller}/topology" \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
  --max-examples "${WATERMASTER_SCHEMATHESIS_EXAMPLES:-40}" --seed 20261122 --generation-deterministic \
  --suppress-health-check all --request-timeout 20 --workers 1 --no-color
kill -0 "$server" || { echo 'the service did not survive' >&2; exit 1; }

#!/usr/bin/env bash
# Throws generated requests, good and bad, at the running service and holds every answer to the OpenAPI document: no 5xx, no
# undocumented status, no answer that its schema does not allow. Once where nobody is asked who they are; and where somebody is,
# without a credential (nothing is answered but what the document says is open) and with that of a tenant (nothing is answered
# that is another tenant's). $1 is a scratch folder. With `setup` for a folder it only installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/schemathesis
here=$PWD/tests/real

tests/real/venv.sh "$venv" tests/real/requirements-schemathesis.txt
[ "$1" != setup ] || exit 0

scratch=$1
examples=${WATERMASTER_SCHEMATHESIS_EXAMPLES:-40}
. tests/real/service.sh
documented=status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance

# throw CHECKS EXAMPLES [ARGUMENT...]. Event streams never end by themselves, and a controller that is not there is rightly a
# 502, which the first check takes for a defect: both have tests of their own. What schemathesis keeps, it keeps in the scratch
# folder.
throw() {
  (cd "$scratch" && PYTHONPATH=$here SCHEMATHESIS_HOOKS=schemathesis_checks "$venv/bin/schemathesis" run "$url/v1/openapi.json" \
    --exclude-path /v1/events/stream \
    --exclude-path "/v1/aggregators/{id}/rates/stream" \
    --exclude-path "/v1/controllers/{controller}/topology" \
    --checks "not_a_server_error,$1" --max-examples "$2" --seed 20261122 --generation-deterministic \
    --suppress-health-check all --request-timeout 20 --workers 1 --no-color "${@:3}")
  kill -0 "$server" || { echo 'the service did not survive' >&2; exit 1; }
}

echo 'where nobody is asked'
start_service "$scratch/schemathesis"
throw "$documented" "$examples"
stop_service

export WATERMASTER_ADMIN_TOKEN=the-administrator-of-schemathesis
start_service "$scratch/schemathesis-closed" --authentication required
unset WATERMASTER_ADMIN_TOKEN
as_administrator() {
  curl -sSf -o /dev/null -H 'Authorization: Bearer the-administrator-of-schemathesis' -H 'Content-Type: application/json' \
    -X "$1" "$url$2" -d "$3"
}
as_administrator PUT /v1/tenants/acme '{}'
as_administrator PUT /v1/tenants/planted-tenant '{"quotas":[{"max_allocations":9}]}'
for node in CA1 CA2 UT NE; do
  as_administrator POST /v1/allocations "{\"ingress\":\"WA\",\"egress\":\"$node\",\"class_type\":1,\"bandwidth_bps\":1000,
    \"tenant\":\"planted-tenant\",\"name\":\"planted-name\",\"note\":\"planted-note\"}"
done

echo 'without a credential'
throw "$documented,nothing_without_a_credential,nothing_of_another_tenant" "$((examples / 4))" \
  --generation-with-security-parameters false

echo 'with the token of a tenant'
token=$("$program" token create --data "$scratch/schemathesis-closed" --role requester --tenant acme)
throw "$documented,nothing_of_another_tenant" "$((examples / 2))" \
  --generation-with-security-parameters false --header "Authorization: Bearer $token"

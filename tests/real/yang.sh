#!/usr/bin/env bash
# Holds topologies as the service gives them against the YANG modules of RFC 8345, by yanglint. What is of RFC 8795 is left out:
# nothing that can be installed has its modules. $1 is a scratch folder. With `setup` for a folder it only installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/yang

tests/real/venv.sh "$venv" tests/real/requirements-yang.txt
[ "$1" != setup ] || exit 0

modules=$venv/share/yang/modules/ietf
is_valid() { yanglint --path "$modules" --type config "$modules/ietf-network-topology.yang" "$1"; }

. tests/real/service.sh
start_service "$1/yang"
for file in topologies/*.json; do
  name=$(basename "$file" .json)
  curl --silent --show-error --fail --output /dev/null --request PUT --header 'content-type: application/json' --header 'if-none-match: *' \
    --data-binary "@$file" "$url/v1/topologies/yang-$name"
  curl --silent --show-error --fail "$url/v1/topologies/yang-$name?format=rfc8345" >"$1/whole.json"
  "$venv/bin/python" - "$1/whole.json" >"$1/$name.json" <<'PYTHON'
import json, sys

def base(value):
    if isinstance(value, dict):
        return {name: base(part) for name, part in value.items() if not name.startswith("ietf-te-topology:")}
    return [base(part) for part in value] if isinstance(value, list) else value

print(json.dumps(base(json.load(open(sys.argv[1])))))
PYTHON
  is_valid "$1/$name.json"
  echo "$name: $(grep -o '"link-id"' "$1/$name.json" | wc -l) links are as RFC 8345 has them"
done
# A document that is not is told from one that is.
sed 's/"link-id"/"link-name"/' "$1/ring.json" >"$1/wrong.json"
if is_valid "$1/wrong.json" 2>/dev/null; then echo 'yanglint takes anything' >&2; exit 1; fi

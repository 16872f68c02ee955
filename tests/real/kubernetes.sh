#!/usr/bin/env bash
# Renders the Kubernetes files with secrets of their own and looks at them. $1 is a scratch folder. With `setup` for a folder it
# only installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
venv=$target/kubernetes

tests/real/venv.sh "$venv" tests/real/requirements-kubernetes.txt
[ "$1" != setup ] || exit 0

cp -r deploy/kubernetes "$1/kubernetes"
rm -rf "$1/kubernetes/secrets"
"$1/kubernetes/make-secrets" "$target/debug/watermaster"
# A second time changes nothing.
before=$(cd "$1/kubernetes/secrets" && sha256sum ./*)
"$1/kubernetes/make-secrets" "$target/debug/watermaster"
[ "$before" = "$(cd "$1/kubernetes/secrets" && sha256sum ./*)" ] || { echo 'make-secrets replaced secrets' >&2; exit 1; }
kubectl kustomize "$1/kubernetes" >"$1/kubernetes.yaml"
"$venv/bin/python" tests/real/kubernetes.py "$1/kubernetes.yaml"

# Compose takes its file, and asks for the passwords.
printf 'gateway:x\n' >"$1/mqtt-users"
cp deploy/compose.yaml "$1/"
export WATERMASTER_DATABASE_PASSWORD=a
if docker-compose --file "$1/compose.yaml" config >/dev/null 2>&1; then echo 'compose takes no password for one' >&2; exit 1; fi
WATERMASTER_ADMIN_TOKEN=c WATERMASTER_STORE_PASSWORD=b docker-compose --file "$1/compose.yaml" config >/dev/null

#!/usr/bin/env bash
# Makes a Python environment of what is pinned: tests/real/venv.sh FOLDER REQUIREMENTS_FILE...
# The files are installed in their order, so that the first can hold what the next are built with: nothing is built with
# whatever the package index has today. An environment that holds the same files already is left alone.
set -euo pipefail
folder=$1
shift

if ! cat "$@" | cmp -s - "$folder/installed.txt"; then
  rm -rf "$folder"
  mkdir -p "$(dirname "$folder")"
  # Debian's own Python: another one on the PATH may be too new for the wheels that are pinned.
  /usr/bin/python3 -m venv "$folder"
  for file in "$@"; do "$folder/bin/pip" install --quiet --disable-pip-version-check --no-build-isolation --requirement "$file"; done
  cat "$@" >"$folder/installed.txt"
fi

# Sourced by the scripts that need the program running: starts what cargo built last, and stops it when they end.
program=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug/watermaster
[ -x "$program" ] || { echo "there is no $program: cargo build" >&2; exit 1; }

# start_service DATA [ARGUMENT...]: on a free port; says where in $url.
start_service() {
  local out="$1.out"
  RUST_LOG=warn "$program" serve --listen 127.0.0.1:0 --data "$@" >"$out" &
  server=$!
  trap stop_service EXIT
  for _ in $(seq 100); do grep -q 'http://' "$out" && break; sleep 0.1; done
  url=$(grep -o 'http://[0-9.:]*' "$out" | head -n 1) || { echo 'the service did not start' >&2; exit 1; }
}

stop_service() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
}

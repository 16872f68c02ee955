# Sourced by the scripts that need the program running: starts what cargo built last, and stops it when they end.
program=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug/watermaster
[ -x "$program" ] || { echo "there is no $program: cargo build" >&2; exit 1; }

# start_service DATA: on a free port; says where in $url.
start_service() {
  RUST_LOG=warn "$program" serve --listen 127.0.0.1:0 --data "$1" >"$1.out" &
  server=$!
  trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
  for _ in $(seq 100); do grep -q 'http://' "$1.out" && break; sleep 0.1; done
  url=$(grep -o 'http://[0-9.:]*' "$1.out" | head -n 1) || { echo 'the service did not start' >&2; exit 1; }
}

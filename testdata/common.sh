# Sourced by the recording scripts: a directory of one's own, nginx as "production", tcpdump, and an end to each.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$here")
work=$(mktemp -d)
chmod 755 "$work" # nginx's worker is not root
nginx_pid='' tcpdump_pid='' server_pid=''

finish() {
    for pid in $tcpdump_pid $server_pid $nginx_pid; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
trap finish EXIT

need() {
    for program; do
        command -v "$program" >/dev/null || { echo "$0: needs $program" >&2; exit 1; }
    done
}

# production LISTEN KEEPALIVE: starts nginx on the pages that the demo's staging server knows too.
production() {
    (cd "$top" && cargo run --quiet --locked --example site -- "$work/site")
    chmod -R a+rX "$work/site"
    sed -e "s|@ROOT@|$work|g" -e "s|@LISTEN@|$1|" -e "s|@KEEPALIVE@|$2|" "$here/production.conf" >"$work/nginx.conf"
    nginx -p "$work" -c "$work/nginx.conf" -g 'daemon off;' &
    nginx_pid=$!
    for _ in $(seq 50); do
        curl --silent --output /dev/null "http://127.0.0.1:$port/health" && return
        sleep 0.1
    done
    echo "$0: nginx does not answer on port $port" >&2
    exit 1
}

# listen FILE FLAG...: starts tcpdump on our port and waits until it listens. No packet is lost at the start
# or in between: the buffer is larger than anything that is recorded here.
listen() {
    local file=$1
    shift
    # -Z root: else the file could not be written where we are.
    tcpdump --immediate-mode -s 0 -B 65536 -U -Z root "$@" -w "$file" "tcp port $port" 2>"$work/tcpdump.log" &
    tcpdump_pid=$!
    for _ in $(seq 50); do
        grep -q 'listening on' "$work/tcpdump.log" && return
        sleep 0.1
    done
    cat "$work/tcpdump.log" >&2
    exit 1
}

# stop_listening: lets the last FINs in, ends tcpdump, and refuses a recording that lost packets.
stop_listening() {
    sleep 0.3
    kill -INT "$tcpdump_pid"
    wait "$tcpdump_pid" || true
    tcpdump_pid=''
    if ! grep -q '^0 packets dropped by kernel' "$work/tcpdump.log"; then
        cat "$work/tcpdump.log" >&2
        exit 1
    fi
}

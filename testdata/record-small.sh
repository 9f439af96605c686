#!/usr/bin/env bash
# Records the small captures, one behavior each; README.md says what each holds. Real programs on both sides:
# nginx answers, curl, wrk and bash ask, tcpdump and dumpcap record. With names as arguments, only those.
# Needs the right to capture, and nginx, tcpdump, curl, wrk, dumpcap (Debian: wireshark-common), IPv6 on loopback.
set -euo pipefail
port=${PORT:-18081}
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need nginx tcpdump curl wrk cargo dumpcap

production "listen 127.0.0.1:$port; listen [::1]:$port;" 60
base=http://127.0.0.1:$port
quiet=(curl --silent --show-error --max-time 5 --user-agent LanternTV/4.2 --header 'Host: tv.example.com')

# record NAME FUNCTION TCPDUMP-FLAG...
wanted=" $* "
record() {
    local name=$1 traffic=$2
    shift 2
    [ "$wanted" = '  ' ] || [[ $wanted == *" $name "* ]] || return 0
    listen "$work/$name" "$@"
    "$traffic" >/dev/null
    stop_listening
    mv "$work/$name" "$here/$name"
    ls -l "$here/$name" >&2
}

three_gets() {
    "${quiet[@]}" "$base/v2/channels/1" "$base/v2/search?q=jazz" "$base/v1/epg.xml"
}

keep_alive() {
    wrk --threads 1 --connections 4 --duration 1s --script "$here/viewers.lua" "$base"
}

expect() {
    printf '{"viewer":"u1","beat":"%02000d"}' 0 | "${quiet[@]}" --header 'Expect: 100-continue' \
        --header 'Transfer-Encoding: chunked' --data-binary @- "$base/v2/events"
}

head_and_fresh() {
    local tag
    "${quiet[@]}" --head "$base/v2/channels"
    tag=$("${quiet[@]}" --output /dev/null --write-out '%header{etag}' "$base/v2/channels/7")
    "${quiet[@]}" --header "If-None-Match: $tag" "$base/v2/channels/7" "$base/v2/channels/7" --next \
        "${quiet[@]:1}" "$base/v2/channels/8"
}

until_close() {
    "${quiet[@]}" --http1.0 --header 'Accept-Encoding: gzip' --output /dev/null "$base/v2/channels"
    "${quiet[@]}" --http1.0 "$base/v2/channels/2"
}

compressed() {
    "${quiet[@]}" --compressed --output /dev/null "$base/v2/channels" --output /dev/null "$base/v2/programs?day=fri"
}

# Four requests in one write; the last one closes.
pipelined() {
    local host='Host: tv.example.com'
    # Through a file, since bash would write line by line.
    printf '%s\r\n' "GET /health HTTP/1.1" "$host" '' "HEAD /v2/channels HTTP/1.1" "$host" '' \
        "GET /old HTTP/1.1" "$host" '' "GET /v2/channels/3 HTTP/1.1" "$host" 'Connection: close' '' >"$work/requests"
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    cat "$work/requests" >&3
    cat <&3
    exec 3<&-
}

# Requests in pieces: bash writes line by line, and the second request is cut within its lines too.
in_pieces() {
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET /health HTTP/1.1\r\nHost: tv.example.com\r\n\r\nGET /v2/chan' >&3
    sleep 0.1
    printf 'nels/4 HTTP/1.1\r\nHo' >&3
    sleep 0.1
    printf 'st: tv.example.com\r\nConnection: close\r\n\r\n' >&3
    cat <&3
    exec 3<&-
}

upload() {
    printf '{"viewer":"u1","beat":"%01000d"}' 0 | "${quiet[@]}" --data-binary @- "$base/v2/events"
    "${quiet[@]}" "$base/v2/channels/5"
}

over_ipv6() {
    "${quiet[@]}" --globoff "http://[::1]:$port/health" "http://[::1]:$port/v2/channels/6"
}

record get-nano.pcap three_gets -i lo --time-stamp-precision=nano
record keep-alive.pcap keep_alive -i lo
record expect-chunked.pcap expect -i lo
record head-304.pcap head_and_fresh -i lo
record until-close.pcap until_close -i lo
record gzip-chunked.pcap compressed -i lo
record pipelined.pcap pipelined -i lo
record in-pieces.pcap in_pieces -i lo
record snaplen.pcap upload -i lo -s 300
record any-sll2.pcap three_gets -i any
record any-sll.pcap three_gets -i any -y LINUX_SLL
record ipv6.pcap over_ipv6 -i lo

# pcapng with two interfaces whose link types differ: what libpcap refuses to read. `any` sees what `lo` sees.
if [ "$wanted" = '  ' ] || [[ $wanted == *' two-links.pcapng '* ]]; then
    dumpcap -q -i lo -f "tcp port $port" -i any -f "tcp port $port" -w "$work/two-links.pcapng" 2>"$work/dumpcap.log" &
    tcpdump_pid=$!
    for _ in $(seq 50); do grep -q '^File:' "$work/dumpcap.log" && break; sleep 0.1; done
    sleep 0.5
    three_gets >/dev/null
    sleep 0.5
    kill -INT "$tcpdump_pid"
    wait "$tcpdump_pid" || true
    tcpdump_pid=''
    # Which kernel it was is nobody's business; as many bytes stand in for it.
    kernel=$(uname -r)
    LC_ALL=C sed "s/$kernel/${kernel//?/x}/g" "$work/two-links.pcapng" >"$here/two-links.pcapng"
    ls -l "$here/two-links.pcapng" >&2
fi

#!/usr/bin/env bash
# Writes goreplay.gor.gz, a recording as GoReplay makes them, by hand out of what its format is: the second client asks
# before the first is answered, one response stands before its request, one request has none, one answer is that of a
# replay, and the file is two gzip members, as a recorder leaves it that was started twice.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# record TYPE ID MILLISECONDS LATENCY MESSAGE, the time counted from 2026-11-21 20:00:00 UTC.
record() {
    printf '%s %s %d %s\n' "$1" "$2" $((1795291200000000000 + $3 * 1000000)) "$4"
    printf '%b\n\360\237\220\265\360\237\231\210\360\237\231\211\n' "$5"
}

first=c8220050c00002070a000001
second=c8230050c00002080a000002
older=da39a3ee5e6b4b0d3255bfef95601890afd80709
{
    record 1 $first 0 0 'GET /v2/channels HTTP/1.1\r\nHost: tv.example.com\r\nUser-Agent: box/7\r\n\r\n'
    record 1 $second 100 2000000 'POST /v2/events HTTP/1.1\r\nHost: tv.example.com\r\nContent-Length: 11\r\n\r\n{"beat": 1}'
    record 2 $first 130 500000 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'
    record 3 $first 131 900000 'HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n'
} | gzip -9n >"$here/goreplay.gor.gz"
{
    record 2 $older 250 0 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n'
    record 1 $older 200 -1 'GET /v2/epg HTTP/1.1\r\nHost: tv.example.com\r\nIf-None-Match: "a"\r\n\r\n'
    record 2 $second 260 0 'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n'
    record 1 c8220050c00002070a000003 300 0 'HEAD /v2/poster.jpg HTTP/1.1\r\nHost: tv.example.com\r\n\r\n'
} | gzip -9n >>"$here/goreplay.gor.gz"

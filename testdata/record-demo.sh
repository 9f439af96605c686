#!/usr/bin/env bash
# Records demo.pcap.zst: some nine seconds of an evening on a small TV platform, off the loopback interface.
# nginx is production; curl clients on addresses of their own and wrk are the viewers. Bounded in count and time.
# Needs the right to capture, and nginx, tcpdump, curl, wrk, zstd.
set -euo pipefail
port=${PORT:-18080}
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need nginx tcpdump curl wrk zstd cargo

production "listen 127.0.0.1:$port;" 60

# What nginx compresses on the fly is kept: staging answers the same bytes, whatever its own zlib would make.
mkdir -p "$here/demo-gzip"
for page in channels programs-{mon,tue,wed,thu,fri,sat,sun}; do
    path=/v2/${page/-/?day=}
    curl --silent --fail --header 'Accept-Encoding: gzip' --output "$here/demo-gzip/$page.gz" "http://127.0.0.1:$port$path"
done

listen "$work/demo.pcap" -i lo

# One viewer at home: a few pages over one connection, then the next; HEAD, a copy that is still fresh, a POST.
viewer() {
    local n=$1 base=http://127.0.0.1:$port
    local who=(--silent --show-error --interface "127.0.0.$((n + 1))" --user-agent "LanternTV/4.$n (set-top)"
        --cookie "session=u$n" --max-time 10 --rate 25/s --output /dev/null)
    local days=(mon tue wed thu fri sat sun) words=(news football jazz d%C3%A9tective opera kids nothing)
    for round in 1 2 3 4 5; do
        local pick=$((n * 5 + round))
        local day=${days[pick % 7]} word=${words[pick % 7]}
        curl "${who[@]}" --compressed "$base/" --output /dev/null "$base/v2/profile" \
            --output /dev/null "$base/v2/channels" --output /dev/null "$base/v2/programs?day=$day" \
            --output /dev/null "$base/v2/search?q=$word&limit=9" --output /dev/null "$base/v2/channels/$((pick % 44 + 1))" \
            --output /dev/null "$base/v2/programs?day=$day&from=20:00" --output /dev/null "$base/old"
        curl "${who[@]}" --head "$base/v2/channels" --output /dev/null "$base/health"
        local tag
        tag=$(curl --silent --interface "127.0.0.$((n + 1))" --output /dev/null --write-out '%header{etag}' "$base/v2/programs?day=$day")
        curl "${who[@]}" --header "If-None-Match: $tag" "$base/v2/programs?day=$day" --output /dev/null "$base/v2/programs?day=$day&from=21:00"
        curl "${who[@]}" --json "{\"viewer\":\"u$n\",\"watched\":[$pick,$((pick + 1))],\"seconds\":$((pick * 37))}" "$base/v2/events"
        printf '{"viewer":"u%s","round":%s,"beat":"%0200d"}' "$n" "$round" 0 |
            curl "${who[@]}" --header 'Transfer-Encoding: chunked' --header 'Content-Type: application/json' \
                --data-binary @- "$base/v2/events"
    done
}

viewers=()
for n in 1 2 3 4 5 6; do
    viewer "$n" &
    viewers+=($!)
done
wrk --threads 1 --connections 14 --duration 8s --timeout 5s --script "$here/viewers.lua" "http://127.0.0.1:$port" >"$work/wrk.log"
for pid in "${viewers[@]}"; do wait "$pid"; done

stop_listening
cat "$work/wrk.log" "$work/tcpdump.log" >&2
zstd -19 --long=24 --quiet --force "$work/demo.pcap" -o "$here/demo.pcap.zst"
ls -l "$here/demo.pcap.zst" >&2

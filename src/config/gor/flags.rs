//! Every flag of GoReplay 2.0.0: what it takes, and what becomes of it.

/// What stands behind a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or `=true` and the like.
    Switch,
    /// A value; the last one counts.
    Value,
    /// A value, as often as it is given.
    Values,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does what it did. The text names the flags that do it.
    Done(&'static str),
    /// It is accepted, and there is nothing to set. The text says why.
    Needless(&'static str),
    /// It is refused. The text says why, and what to do instead.
    Refused(&'static str),
}

/// A flag of GoReplay.
#[derive(Clone, Copy, Debug)]
pub struct GorFlag {
    /// Its name, without hyphens.
    pub name: &'static str,
    /// What stands behind it.
    pub takes: Takes,
    /// What becomes of it.
    pub fate: Fate,
}

use Fate::{Done, Needless, Refused};
use Takes::{Switch, Value, Values};

const fn flag(name: &'static str, takes: Takes, fate: Fate) -> GorFlag {
    GorFlag { name, takes, fate }
}

const KAFKA: &str = "Kafka is not spoken here: write a recording (`--output-file`), and hand on the file";
const RELAY: &str = "there is no relay between instances, and GoReplay's loses records: capture where the traffic is and \
                     send to the target itself, or hand on a recording";
const SOCKETS: &str = "WebSocket is no output here: a program can follow the recording on standard output \
                       (`--output-stdout`)";
const BINARY: &str = "only HTTP/1 is followed: record other protocols as frames (`shadowtap record -o x.pcap`)";
const PROFILE: &str = "look at a running process with `perf`; figures of a run are under `--metrics`";

/// All of them.
pub const FLAGS: &[GorFlag] = &[
    // General.
    flag("verbose", Value, Needless("failures are always counted, and said")),
    flag("stats", Switch, Needless("a progress line and a report are always printed")),
    flag("exit-after", Value, Done("`--duration`; what is in flight is waited for")),
    flag("split-output", Switch, Done("a chain with `round-robin` for each target; sessions are torn apart")),
    flag("recognize-tcp-sessions", Switch, Done("`--connections mirrored`")),
    flag("copy-buffer-size", Value, Needless("messages are kept whole; `--max-memory` bounds all of them")),
    flag(
        "prettify-http",
        Switch,
        Refused(
            "messages are never recoded: comparisons take off codings by themselves, and \
        `.jsonl` recordings hold bodies without chunks. Leave it out",
        ),
    ),
    flag(
        "http-pprof",
        Value,
        Refused(
            "figures of a run are served as Prometheus metrics: use `shadowtap shadow` with \
        `--metrics 127.0.0.1:9184`",
        ),
    ),
    flag("cpuprofile", Value, Refused(PROFILE)),
    flag("memprofile", Value, Refused(PROFILE)),
    // Capture.
    flag("input-raw", Values, Done("`shadow` or `record` with `-p`, `-i`, `-f`; a `.pcap` file: `replay --speed max`")),
    flag(
        "input-raw-engine",
        Value,
        Done(
            "`libpcap`, `raw_socket`, `af_packet`: libpcap; `pcap_file`: `replay`; \
        `vxlan`: `--tunnel vxlan`",
        ),
    ),
    flag("input-raw-track-response", Switch, Needless("responses are always captured, and recorded")),
    flag("input-raw-protocol", Value, Done("`http`; `binary` is refused")),
    flag("input-raw-expire", Value, Needless("a message is followed until its connection ends")),
    flag(
        "input-raw-allow-incomplete",
        Switch,
        Refused(
            "a request with a hole is never sent: it is counted as \
        `incomplete`. Responses that GoReplay loses are followed here. Leave it out",
        ),
    ),
    flag("input-raw-realip-header", Value, Done("`--set-header 'NAME: {client.ip}'`")),
    flag("input-raw-bpf-filter", Value, Done("`-f`")),
    flag("input-raw-buffer-size", Value, Done("`--buffer`")),
    flag("input-raw-buffer-timeout", Value, Needless("frames are handed on at once")),
    flag("input-raw-override-snaplen", Switch, Needless("256K of each frame are captured")),
    flag("input-raw-timestamp-type", Value, Needless("times are the kernel's")),
    flag("input-raw-promisc", Switch, Done("the default here; without it `--no-promiscuous --direction in`")),
    flag(
        "input-raw-monitor",
        Switch,
        Refused(
            "monitor mode of radio is not set here: set it with `iw`, and name the \
        interface",
        ),
    ),
    flag("input-raw-ignore-interface", Values, Done("`-i` with the other interfaces that are up")),
    flag("input-raw-vlan", Switch, Needless("VLAN tags are always read")),
    flag("input-raw-vlan-vid", Values, Done("`-f 'vlan N'`; several are refused: GoReplay captures nothing then")),
    flag("input-raw-vxlan-port", Value, Done("`--tunnel vxlan:PORT`, with the engine `vxlan`")),
    flag(
        "input-raw-vxlan-vni",
        Values,
        Refused(
            "networks in VXLAN are not told apart: narrow the capture with \
        `--input-raw-bpf-filter`",
        ),
    ),
    flag("input-raw-stats", Switch, Needless("GoReplay never prints them; the report has them")),
    // Other inputs.
    flag("input-file", Values, Done("`replay FILE`; `|200%` is `--speed 2x`, `|10` is `--limit 10/s`")),
    flag("input-file-read-depth", Value, Needless("records are sorted by time as they are read")),
    flag("input-file-loop", Switch, Done("`--loop forever`")),
    flag("input-file-dry-run", Switch, Done("`inspect --stats`, which ends")),
    flag("input-file-max-wait", Value, Done("`--max-gap`")),
    flag("input-tcp", Values, Refused(RELAY)),
    flag("input-tcp-secure", Switch, Refused(RELAY)),
    flag("input-tcp-certificate", Value, Refused(RELAY)),
    flag("input-tcp-certificate-key", Value, Refused(RELAY)),
    flag("input-kafka-host", Value, Refused(KAFKA)),
    flag("input-kafka-topic", Value, Refused(KAFKA)),
    flag("input-kafka-json-format", Switch, Refused(KAFKA)),
    flag("input-kafka-offset", Value, Refused(KAFKA)),
    flag("input-kafka-use-sasl", Switch, Refused(KAFKA)),
    flag("input-kafka-mechanism", Value, Refused(KAFKA)),
    flag("input-kafka-username", Value, Refused(KAFKA)),
    flag("input-kafka-password", Value, Refused(KAFKA)),
    flag("kafka-tls-ca-cert", Value, Refused(KAFKA)),
    flag("kafka-tls-client-cert", Value, Refused(KAFKA)),
    flag("kafka-tls-client-key", Value, Refused(KAFKA)),
    flag("input-dummy", Values, Refused("made-up requests prove little: `shadowtap demo` replays a real capture")),
    flag("input-http", Values, Refused("GoReplay has no such flag any more: capture with `--input-raw`")),
    // Outputs.
    flag("output-stdout", Switch, Done("`record -o -`; of a file it is refused: `shadowtap inspect FILE` lists it")),
    flag("output-null", Switch, Done("nothing beside another output; alone it is refused: `--dry-run` sends nothing")),
    flag("output-file", Values, Done("`-o`, with a new file every 256 records or 32 MB, and GoReplay's names")),
    flag("output-file-append", Switch, Done("`-o FILE --append`: one file, and none is destroyed")),
    flag("output-file-flush-interval", Value, Needless("records are in the file within a second")),
    flag("output-file-queue-limit", Value, Done("`--rotate-count`")),
    flag("output-file-size-limit", Value, Done("`--rotate-size`")),
    flag(
        "output-file-max-size-limit",
        Value,
        Refused(
            "GoReplay stops everything without a word at that size: let \
        logrotate or a quota keep the total",
        ),
    ),
    flag("output-file-buffer", Value, Needless("it is for S3, which only GoReplay Pro writes to")),
    flag("output-tcp", Values, Refused(RELAY)),
    flag("output-tcp-secure", Switch, Refused(RELAY)),
    flag("output-tcp-skip-verify", Switch, Refused(RELAY)),
    flag("output-tcp-workers", Value, Refused(RELAY)),
    flag("output-tcp-sticky", Switch, Refused(RELAY)),
    flag("output-tcp-stats", Switch, Refused(RELAY)),
    flag("output-tcp-response-buffer", Value, Refused(BINARY)),
    flag("output-ws", Values, Refused(SOCKETS)),
    flag("output-ws-skip-verify", Switch, Refused(SOCKETS)),
    flag("output-ws-workers", Value, Refused(SOCKETS)),
    flag("output-ws-sticky", Switch, Refused(SOCKETS)),
    flag("output-ws-stats", Switch, Refused(SOCKETS)),
    flag(
        "output-http",
        Values,
        Done(
            "`--to`; `|10%` is `--sample 10%`, `|10` is `--limit 10/s`; all methods: \
        `--allow-writes`",
        ),
    ),
    flag("output-http-workers", Value, Done("`--max-in-flight`")),
    flag("output-http-workers-min", Value, Needless("connections are opened as they are needed")),
    flag("output-http-worker-timeout", Value, Needless("there are no workers that wait")),
    flag("output-http-queue-len", Value, Needless("queues are bounded, and never block the capture")),
    flag("output-http-timeout", Value, Done("`--timeout` and `--max-time`; 5 s where it is not given")),
    flag(
        "output-http-redirects",
        Value,
        Refused(
            "redirects are compared, not followed: send to where they lead. 0 is \
        accepted",
        ),
    ),
    flag("output-http-skip-verify", Switch, Done("`--insecure`")),
    flag("output-http-track-response", Switch, Needless("responses are always read, and compared")),
    flag("output-http-response-buffer", Value, Needless("GoReplay does not heed it; `--max-response` bounds a body")),
    flag("output-http-stats", Switch, Needless("a progress line is always printed")),
    flag("output-http-stats-ms", Value, Needless("a progress line is always printed")),
    flag(
        "output-http-elasticsearch",
        Value,
        Refused(
            "write a line for each delivery with `--results run.jsonl` of \
        `shadowtap shadow`, and load that",
        ),
    ),
    flag("http-original-host", Switch, Done("`--keep-host`")),
    flag("output-binary", Values, Refused(BINARY)),
    flag("output-binary-workers", Value, Refused(BINARY)),
    flag("output-binary-timeout", Value, Refused(BINARY)),
    flag("output-binary-track-response", Switch, Refused(BINARY)),
    flag("output-binary-debug", Switch, Refused(BINARY)),
    flag("output-kafka-host", Value, Refused(KAFKA)),
    flag("output-kafka-topic", Value, Refused(KAFKA)),
    flag("output-kafka-json-format", Switch, Refused(KAFKA)),
    flag("output-kafka-use-sasl", Switch, Refused(KAFKA)),
    flag("output-kafka-mechanism", Value, Refused(KAFKA)),
    flag("output-kafka-username", Value, Refused(KAFKA)),
    flag("output-kafka-password", Value, Refused(KAFKA)),
    // Filters, in the order in which GoReplay runs them.
    flag("http-allow-method", Values, Done("`--allow-method`")),
    flag("http-set-header", Values, Done("`--set-header`")),
    flag("http-set-param", Values, Done("a chain with `set-param`")),
    flag("http-allow-url", Values, Done("`--allow-path`")),
    flag("http-disallow-url", Values, Done("`--deny-path`")),
    flag("http-allow-header", Values, Done("a chain with `only`")),
    flag("http-disallow-header", Values, Done("a chain with `drop`")),
    flag("http-basic-auth-filter", Values, Done("a chain with `basic-auth`")),
    flag("http-header-limiter", Values, Done("a chain with `sample`, by the same hash: the same sessions")),
    flag("http-param-limiter", Values, Done("a chain with `sample`, by the same hash: the same sessions")),
    flag("http-rewrite-url", Values, Done("a chain with `replace-url`")),
    flag("http-rewrite-header", Values, Done("a chain with `replace-header`")),
    flag("middleware", Value, Done("`--middleware`, before the filters as in GoReplay")),
];

/// The flag of that name.
pub(super) fn of_name(name: &str) -> Option<&'static GorFlag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

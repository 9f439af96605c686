//! Arguments for the target, the timing and the sending of requests.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// Timing of requests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct PaceArgs {
    /// Factor on the captured pace, such as 2x. max sends as fast as responses come [default: 1x]
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    speed: Option<String>,
    /// Send at an even pace instead, such as 500/s (or /m, /h). Counts the capture's requests, before filters and
    /// sample
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Shorten longer silences in the capture to this, such as 10s [default: as captured]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    max_gap: Option<String>,
}

/// Target, and the way requests are sent to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct ReplayArgs {
    // Not a doc comment: rustdoc would have the address marked up.
    #[arg(
        long,
        value_name = "URL",
        help = "Target (required): scheme, host and port, such as http://staging:8080, or unix:/run/app.sock. A path goes \
                before each request's. Repeatable: each target gets every request"
    )]
    to: Vec<String>,
    /// Longest wait for a response to begin, from the send, and for the rest of one that stalls: 500ms, 30s, 2m
    /// [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Longest wait for a whole response, from the send. A stream is closed then, and counts by its head [default: ten
    /// times --timeout]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    max_time: Option<String>,
    /// Most requests without a response at once. Further ones wait, which shows as lag [default: 1024]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_in_flight: Option<String>,
    /// pooled: requests share connections, as behind a load balancer. mirrored: one connection for each captured one,
    /// with its requests in order [default: pooled]
    #[arg(long, value_name = "MODE")]
    connections: Option<String>,
    /// Most connections at once, besides those of streams (server-sent events). Requests wait for one, which shows as
    /// lag [default: pooled 256; mirrored as many as the limit on open files allows]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_connections: Option<String>,
    /// HTTP client: wire sends requests byte for byte as captured, in HTTP/1. reqwest sends them in HTTP/2, with targets
    /// and headers normalized [default: wire]
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// Use HTTP/2 for http:// too, with --client reqwest. For https:// it is used where the target offers it
    #[arg(long)]
    http2: bool,
    // Not a doc comment: rustdoc would have the address marked up.
    #[arg(
        long,
        value_name = "URL",
        help = "Send through this proxy: http://proxy:3128, https://... or socks5://... \
                HTTP_PROXY and the like are ignored"
    )]
    proxy: Option<String>,
    // Not a doc comment: rustdoc would have the address marked up.
    #[arg(
        long,
        value_name = "[NAME=]ADDRESS",
        help = "Connect here instead of where the target's URL says: HOST:PORT or unix:/PATH. Host, and the name that TLS \
                asks for and checks, stay the URL's. With several targets NAME=HOST:PORT"
    )]
    connect_to: Vec<String>,
    /// Name that TLS asks for and checks, instead of the host of the target's URL. With several targets NAME=NAME
    #[arg(long, value_name = "[NAME=]NAME")]
    sni: Vec<String>,
    /// Longest response body, such as 64M or 1G. A longer one is cut, and its request fails [default: 256M]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    max_response: Option<String>,
    /// Resolve the target's name this often: the addresses of a load balancer change [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    resolve_every: Option<String>,
    /// Keep the captured Host header. Without it Host names the target
    #[arg(long)]
    keep_host: bool,
    /// Trust the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Client certificate with its chain (PEM)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Private key of --cert (PEM) [default: in the file of --cert]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Do not verify the target's certificate. Whoever answers at its address gets the requests
    #[arg(long)]
    insecure: bool,
    /// Time for requests in flight to end when a run is stopped (Ctrl-C) [default: 5s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    drain: Option<String>,
}

impl ReplayArgs {
    /// Together with when to send.
    pub(super) fn at(self, pace: PaceArgs) -> typed::Send {
        typed::Send { speed: pace.speed, rate: pace.rate, max_gap: pace.max_gap, ..self.into() }
    }
}

impl From<ReplayArgs> for typed::Send {
    fn from(args: ReplayArgs) -> Self {
        Self {
            to: args.to,
            speed: None,
            rate: None,
            max_gap: None,
            timeout: args.timeout,
            max_time: args.max_time,
            max_in_flight: args.max_in_flight,
            client: args.client,
            http2: args.http2,
            proxy: args.proxy,
            connect_to: args.connect_to,
            sni: args.sni,
            connections: args.connections,
            max_connections: args.max_connections,
            max_response: args.max_response,
            resolve_every: args.resolve_every,
            ca: args.ca,
            cert: args.cert,
            key: args.key,
            keep_host: args.keep_host,
            insecure: args.insecure,
            drain: args.drain,
        }
    }
}

//! Arguments for the target, the timing and the sending of requests.

use std::path::PathBuf;

/// Timing of requests.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Sending"))]
pub struct Pace {
    /// Factor on the captured pace, such as 2x. max sends as fast as responses come [default: 1x]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FACTOR", allow_hyphen_values = true))]
    pub speed: Option<String>,
    /// Send at an even pace instead, such as 500/s (or /m, /h). Counts the capture's requests and the
    /// copies of --amplify, before filters and sample
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE", allow_hyphen_values = true))]
    pub rate: Option<String>,
    /// precise: be within some microseconds of the schedule. One processor does nothing but wait then; the last 50 µs
    /// before each request it spins. normal: sleep until a request is due [default: normal]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    pub pace: Option<String>,
    /// Shorten longer silences in the capture to this, such as 10s [default: as captured]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", allow_hyphen_values = true))]
    pub max_gap: Option<String>,
}

/// Target, and the way requests are sent to it.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Sending"))]
pub struct Send {
    /// `http://staging:8080`, one or several. (The help is apart: rustdoc would have its addresses marked up.)
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "URL",
            help = "Target (required): scheme, host and port, such as http://staging:8080, or unix:/run/app.sock. A path goes \
                before each request's. Repeatable: each target gets every request"
        )
    )]
    pub to: Vec<String>,
    /// Longest wait for a response to begin, from the send, and for the rest of one that stalls: 500ms, 30s, 2m
    /// [default: 30s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", allow_hyphen_values = true))]
    pub timeout: Option<String>,
    /// Longest wait for a whole response, from the send. A stream is closed then, and counts by its head [default: ten
    /// times --timeout]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", allow_hyphen_values = true))]
    pub max_time: Option<String>,
    /// Most requests without a response at once. Further ones wait, which shows as lag [default: 1024]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    pub max_in_flight: Option<String>,
    /// pooled: requests share connections, as behind a load balancer. mirrored: one connection for each captured one,
    /// with its requests in order [default: pooled]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODE"))]
    pub connections: Option<String>,
    /// Most connections at once, besides those of streams (server-sent events). Requests wait for one, which shows as
    /// lag [default: pooled 256; mirrored as many as the limit on open files allows]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    pub max_connections: Option<String>,
    /// HTTP client: wire sends requests byte for byte as captured, in HTTP/1. reqwest sends them in HTTP/2, with targets
    /// and headers normalized [default: wire]
    #[cfg_attr(feature = "cli", arg(long, value_name = "CLIENT"))]
    pub client: Option<String>,
    /// Use HTTP/2 for http:// too, with --client reqwest. For https:// it is used where the target offers it
    #[cfg_attr(feature = "cli", arg(long))]
    pub http2: bool,
    /// `http://proxy:3128`.
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "URL",
            help = "Send through this proxy: http://proxy:3128, https://... or socks5://... \
                HTTP_PROXY and the like are ignored"
        )
    )]
    pub proxy: Option<String>,
    /// `10.0.0.7:443`, `new=unix:/run/app.sock`.
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "[NAME=]ADDRESS",
            help = "Connect here instead of where the target's URL says: HOST:PORT or unix:/PATH. Host, and the name that TLS \
                asks for and checks, stay the URL's. With several targets NAME=HOST:PORT"
        )
    )]
    pub connect_to: Vec<String>,
    /// Name that TLS asks for and checks, instead of the host of the target's URL. With several targets NAME=NAME
    #[cfg_attr(feature = "cli", arg(long, value_name = "[NAME=]NAME"))]
    pub sni: Vec<String>,
    /// Longest response body, such as 64M or 1G. A longer one is cut, and its request fails [default: 256M]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", allow_hyphen_values = true))]
    pub max_response: Option<String>,
    /// Resolve the target's name this often: the addresses of a load balancer change [default: 30s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", allow_hyphen_values = true))]
    pub resolve_every: Option<String>,
    /// Keep the captured Host header. Without it Host names the target
    #[cfg_attr(feature = "cli", arg(long))]
    pub keep_host: bool,
    /// Trust the certificates in this file (PEM) instead of the system's
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub ca: Option<PathBuf>,
    /// Client certificate with its chain (PEM)
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub cert: Option<PathBuf>,
    /// Private key of --cert (PEM) [default: in the file of --cert]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub key: Option<PathBuf>,
    /// Do not verify the target's certificate. Whoever answers at its address gets the requests
    #[cfg_attr(feature = "cli", arg(long))]
    pub insecure: bool,
    /// Time for requests in flight to end when a run is stopped (Ctrl-C) [default: 5s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", allow_hyphen_values = true))]
    pub drain: Option<String>,
}

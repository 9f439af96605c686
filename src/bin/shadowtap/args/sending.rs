//! Where, when and how requests are sent.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// When to send.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct PaceArgs {
    /// Pace beside the captured one: 2x is twice as fast, max as fast as answers come [default: 1x]
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    speed: Option<String>,
    /// An even pace instead of the captured one, such as 500/s (or /m, /h): of the capture's requests, before filters
    /// and sample take theirs
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Shorten longer silences in the capture to this, such as 10s [default: as captured]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    max_gap: Option<String>,
}

/// Where and how to send.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct ReplayArgs {
    // Not a doc comment: rustdoc would have the address marked up.
    #[arg(
        long,
        value_name = "URL",
        help = "Where to send (required): scheme, host and port, such as http://staging:8080, and a path to stand \
                before each request's; repeatable, each target gets every request"
    )]
    to: Vec<String>,
    /// Longest wait for a whole answer, from the send: 500ms, 30s, 2m [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Most requests that await their answer at once; more of them wait, which shows as lag [default: 1024]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_in_flight: Option<String>,
    /// pooled: requests share connections, as behind a load balancer. mirrored: one for each captured connection, opened,
    /// kept and closed as that was, its requests in their order [default: pooled]
    #[arg(long, value_name = "MODE")]
    connections: Option<String>,
    /// Most connections that are open at once; requests wait for one, which shows as lag [default: 256 pooled; mirrored as
    /// many as the limit on open files allows]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_connections: Option<String>,
    /// What speaks to the target: wire sends requests byte for byte as captured, reqwest normalises targets and headers
    /// [default: wire]
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// Speak HTTP/2, with --client reqwest: at once to http://, where the target offers it to https://
    #[arg(long)]
    http2: bool,
    // Not a doc comment: rustdoc would have the address marked up.
    #[arg(
        long,
        value_name = "URL",
        help = "Send through this proxy, with --client reqwest: http://proxy:3128, https://... or socks5://...; the \
                environment (HTTP_PROXY and the like) is never asked"
    )]
    proxy: Option<String>,
    /// Longest body of an answer, such as 64M or 1G; a longer one is cut, and its request fails [default: 256M]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    max_response: Option<String>,
    /// How often the target's name is looked up again: a balancer's addresses change [default: 30s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    resolve_every: Option<String>,
    /// Keep the captured Host header instead of naming the target
    #[arg(long)]
    keep_host: bool,
    /// Trust the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Show this certificate (PEM, with its chain) to a target that asks for one
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The private key of --cert (PEM) [default: in the file of --cert]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Do not check the target's certificate: whoever answers at its address gets the requests
    #[arg(long)]
    insecure: bool,
    /// How long a run that is stopped (Ctrl-C) waits for what is in flight [default: 5s]
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
            max_in_flight: args.max_in_flight,
            client: args.client,
            http2: args.http2,
            proxy: args.proxy,
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

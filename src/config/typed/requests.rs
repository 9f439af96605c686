//! Arguments that select requests and change them.

use std::path::PathBuf;

/// Selection of captured requests: those that are sent, printed or counted.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Requests"))]
pub struct Select {
    /// Share of requests to take, such as 50% or 0.5%. Nested: what is in at 10% is in at 50% [default: 100%]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", allow_hyphen_values = true))]
    pub sample: Option<String>,
    /// What the sample keeps together: request, connection, client-ip, header:NAME, cookie:NAME, param:NAME or
    /// path-segment:N (from 1). A request without it is sampled alone [default: request; connection with --connections
    /// mirrored]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KEY"))]
    pub sample_by: Option<String>,
    /// Choose another sample of the same size. From the same files, the same seed always chooses the same
    /// requests; live, only with a key of theirs, such as --sample-by cookie:NAME [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    pub seed: Option<String>,
    /// Take only these methods, such as GET,HEAD
    #[cfg_attr(feature = "cli", arg(long = "allow-method", value_name = "METHODS"))]
    pub allow_methods: Vec<String>,
    /// Take only requests whose path and query match this regular expression, such as '^/v2/'. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "allow-path", value_name = "RE", allow_hyphen_values = true))]
    pub allow_paths: Vec<String>,
    /// Drop requests whose path and query match this regular expression. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "deny-path", value_name = "RE", allow_hyphen_values = true))]
    pub deny_paths: Vec<String>,
    /// Take only requests for this host, without its port. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "allow-host", value_name = "HOST"))]
    pub allow_hosts: Vec<String>,
}

/// Changes to requests.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Requests"))]
pub struct Middleware {
    /// Run this chain file on each request. Files run in the order given, before the other flags. NAME=FILE runs last,
    /// and only for the target of that name. See docs/filters.md. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "filters", value_name = "FILE"))]
    pub filters: Vec<PathBuf>,
    /// Most requests to take, such as 500/s (or /m, /h). The rest is counted as `rate_limited`
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE", allow_hyphen_values = true))]
    pub limit: Option<String>,
    /// Set a header, such as 'X-Shadow: 1'. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "set-header", value_name = "NAME: VALUE", allow_hyphen_values = true))]
    pub set_headers: Vec<String>,
    /// Remove a header. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "remove-header", value_name = "NAME"))]
    pub remove_headers: Vec<String>,
    /// Set a cookie, such as theme=dark. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "set-cookie", value_name = "NAME=VALUE", allow_hyphen_values = true))]
    pub set_cookies: Vec<String>,
    /// Remove a cookie. Repeatable
    #[cfg_attr(feature = "cli", arg(long = "remove-cookie", value_name = "NAME"))]
    pub remove_cookies: Vec<String>,
    /// Pass requests through this program, after all other filters. It speaks GoReplay's protocol; see
    /// docs/middleware.md. Split into words as a shell does, such as 'python3 my.py'
    #[cfg_attr(feature = "cli", arg(long, value_name = "COMMAND"))]
    pub middleware: Option<String>,
    /// Processes of the middleware. Requests of one connection go to the same one [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    pub middleware_workers: Option<String>,
    /// Longest wait for the middleware to return a request. After it the request is dropped and counted [default: 5s]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME", allow_hyphen_values = true))]
    pub middleware_timeout: Option<String>,
}

/// Permission to send writes.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Requests"))]
pub struct Writes {
    /// Send writes too: every method but GET, HEAD and OPTIONS. A replayed POST is a second order
    #[cfg_attr(feature = "cli", arg(long))]
    pub allow_writes: bool,
}

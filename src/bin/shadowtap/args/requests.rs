//! Arguments that select requests and change them.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// Selection of captured requests: those that are sent, printed or counted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct SelectArgs {
    /// Share of requests to take, such as 50% or 0.5%. Nested: what is in at 10% is in at 50% [default: 100%]
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    sample: Option<String>,
    /// What the sample keeps together: request, connection, client-ip, header:NAME, cookie:NAME, param:NAME or
    /// path-segment:N (from 1). A request without it is sampled alone [default: request; connection with --connections
    /// mirrored]
    #[arg(long, value_name = "KEY")]
    sample_by: Option<String>,
    /// Choose another sample of the same size. The same seed always chooses the same requests [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// Take only these methods, such as GET,HEAD
    #[arg(long = "allow-method", value_name = "METHODS")]
    allow_methods: Vec<String>,
    /// Take only requests whose path and query match this regular expression, such as '^/v2/'. Repeatable
    #[arg(long = "allow-path", value_name = "RE", allow_hyphen_values = true)]
    allow_paths: Vec<String>,
    /// Drop requests whose path and query match this regular expression. Repeatable
    #[arg(long = "deny-path", value_name = "RE", allow_hyphen_values = true)]
    deny_paths: Vec<String>,
    /// Take only requests for this host, without its port. Repeatable
    #[arg(long = "allow-host", value_name = "HOST")]
    allow_hosts: Vec<String>,
}

impl From<SelectArgs> for typed::Select {
    fn from(args: SelectArgs) -> Self {
        Self {
            sample: args.sample,
            sample_by: args.sample_by,
            seed: args.seed,
            allow_methods: args.allow_methods,
            allow_paths: args.allow_paths,
            deny_paths: args.deny_paths,
            allow_hosts: args.allow_hosts,
        }
    }
}

/// Changes to requests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct MiddlewareArgs {
    /// Run this chain file on each request. Files run in the order given, before the other flags. NAME=FILE runs last,
    /// and only for the target of that name. See docs/filters.md. Repeatable
    #[arg(long = "filters", value_name = "FILE")]
    filters: Vec<PathBuf>,
    /// Most requests to take, such as 500/s (or /m, /h). The rest is counted as `rate_limited`
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    limit: Option<String>,
    /// Set a header, such as 'X-Shadow: 1'. Repeatable
    #[arg(long = "set-header", value_name = "NAME: VALUE", allow_hyphen_values = true)]
    set_headers: Vec<String>,
    /// Remove a header. Repeatable
    #[arg(long = "remove-header", value_name = "NAME")]
    remove_headers: Vec<String>,
    /// Set a cookie, such as theme=dark. Repeatable
    #[arg(long = "set-cookie", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    set_cookies: Vec<String>,
    /// Remove a cookie. Repeatable
    #[arg(long = "remove-cookie", value_name = "NAME")]
    remove_cookies: Vec<String>,
    /// Pass requests through this program, after all other filters. It speaks GoReplay's protocol; see
    /// docs/middleware.md. Split into words as a shell does, such as 'python3 my.py'
    #[arg(long, value_name = "COMMAND")]
    middleware: Option<String>,
    /// Processes of the middleware. Requests of one connection go to the same one [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    middleware_workers: Option<String>,
    /// Longest wait for the middleware to return a request. After it the request is dropped and counted [default: 5s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    middleware_timeout: Option<String>,
}

/// Permission to send writes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct WritesArgs {
    /// Send writes too: every method but GET, HEAD and OPTIONS. A replayed POST is a second order
    #[arg(long)]
    allow_writes: bool,
}

impl MiddlewareArgs {
    /// Combines these with the permission to send writes. A command without that flag sends nothing, so writes are
    /// allowed.
    pub(super) fn with(self, writes: Option<WritesArgs>) -> typed::Middleware {
        typed::Middleware {
            filters: self.filters,
            limit: self.limit,
            allow_writes: writes.is_none_or(|writes| writes.allow_writes),
            set_headers: self.set_headers,
            remove_headers: self.remove_headers,
            set_cookies: self.set_cookies,
            remove_cookies: self.remove_cookies,
            middleware: self.middleware,
            middleware_workers: self.middleware_workers,
            middleware_timeout: self.middleware_timeout,
        }
    }
}

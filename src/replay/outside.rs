//! HTTP to systems that are no targets: those that are told of a run.

use std::time::Duration;

use super::http::install_crypto;
use crate::causes::causes;

/// A client for what is no target: another system that is told of a run. HTTP/1, no proxy, no redirect.
pub(crate) fn outside_client(is_tls: bool, timeout: Duration) -> Result<reqwest::Client, String> {
    install_crypto();
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .timeout(timeout);
    // Never used, and loading roots that nobody needs could fail: trust nothing.
    let builder = if is_tls { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|error| causes(&error))
}

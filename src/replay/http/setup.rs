//! reqwest's client as it is set up: HTTP/2, no retries, TLS as the settings say.

use std::io;
use std::sync::Once;
use std::time::Duration;

use super::connections::HttpConnStats;
use super::failure;
use crate::replay::settings::TlsIdentity;
use crate::replay::{ClientError, ProxyUrl, SendSettings, tls};

/// Time that an unused connection is kept: shorter than common servers and balancers keep it (60 s), since a connection
/// that they close while a request is on its way costs that request.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// The name of HTTP/2 over TLS (RFC 9113, 3.2).
const HTTP_2: &[u8] = b"h2";

/// The client for the target of `settings`, whose connections `ledger` counts.
pub(super) fn client(settings: &SendSettings, ledger: &HttpConnStats) -> Result<reqwest::Client, ClientError> {
    install_crypto();
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(settings.max_in_flight)
        .connector_layer(ledger.layer(settings.target.is_tls()));
    let builder = versions(builder, settings);
    let builder = proxied(builder, settings)?;
    let own_trust = settings.trust != TlsIdentity::default();
    let speaks_tls = settings.target.is_tls() || settings.proxy.as_ref().is_some_and(ProxyUrl::is_tls);
    let builder = match (speaks_tls, settings.insecure) {
        (true, _) if own_trust => builder.tls_backend_preconfigured(own_tls(settings)?),
        // Never used, and loading roots that nobody needs could fail: trust nothing.
        (false, _) => builder.tls_certs_only([]),
        (true, insecure) => builder.tls_danger_accept_invalid_certs(insecure),
    };
    builder.build().map_err(|error| set_up_error(settings, &error))
}

/// Names the cryptography that rustls uses in this process, unless the program has already chosen another.
pub(in crate::replay) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("the program brings its own cryptography for rustls");
        }
    });
}

/// HTTP/2 at once; or offered first, where TLS settles it.
fn versions(builder: reqwest::ClientBuilder, settings: &SendSettings) -> reqwest::ClientBuilder {
    // The least window is 64 KiB for all requests of a connection together (RFC 9113, 6.9.2): it grows with the delay.
    let builder = builder.http2_adaptive_window(true);
    if settings.target.is_tls() { builder } else { builder.http2_prior_knowledge() }
}

/// Through the proxy that was asked for, and no other.
fn proxied(builder: reqwest::ClientBuilder, settings: &SendSettings) -> Result<reqwest::ClientBuilder, ClientError> {
    let Some(proxy) = &settings.proxy else { return Ok(builder) };
    let proxy = reqwest::Proxy::all(proxy.to_string()).map_err(|error| set_up_error(settings, &error))?;
    Ok(builder.proxy(proxy))
}

/// The TLS side where it is not reqwest's own.
fn own_tls(settings: &SendSettings) -> Result<rustls::ClientConfig, ClientError> {
    let mut config = tls::config(settings)?;
    config.alpn_protocols.insert(0, HTTP_2.to_vec());
    Ok(config)
}

/// Why the client has no thread of its own.
pub(super) fn no_thread(settings: &SendSettings, error: &io::Error) -> ClientError {
    ClientError::Setup { url: settings.target.to_string(), why: format!("no thread for it: {error}") }
}

fn set_up_error(settings: &SendSettings, error: &reqwest::Error) -> ClientError {
    let (url, why) = (settings.target.to_string(), failure::words(error));
    if settings.target.is_tls() && !settings.insecure && failure::is_tls(error) {
        ClientError::Roots { url, why }
    } else {
        ClientError::Setup { url, why }
    }
}

//! reqwest's client as it is set up: HTTP/2, no retries, TLS as the settings say.

use std::io;
use std::sync::Once;
use std::time::Duration;

use super::connections::ConnectorLayer;
use super::failure;
use crate::replay::{ClientError, ProxyUrl, SendSettings, tls};

/// Time that an unused connection is kept: shorter than common servers and balancers keep it (60 s), since a connection
/// that they close while a request is on its way costs that request.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Bytes of a response's head, as many as the client for HTTP/1.1 takes.
const MAX_HEADER_LIST: u32 = 256 << 10;
/// The name of HTTP/2 over TLS (RFC 9113, 3.2).
const HTTP_2: &[u8] = b"h2";

/// The client for the target of `settings`, with this layer around what connects.
pub(super) fn client(settings: &SendSettings, layer: ConnectorLayer) -> Result<reqwest::Client, ClientError> {
    install_crypto();
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(settings.max_in_flight)
        // Also where TLS settles it: hyper-util then opens one connection at a time. Else each request that waits, as after a
        // GOAWAY, would open one of its own. A target that settles something else never gets to be one: see `layer`.
        .http2_prior_knowledge()
        // The least window is 64 KiB for all requests of a connection together (RFC 9113, 6.9.2): it grows with the delay.
        .http2_adaptive_window(true)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .connector_layer(layer);
    let builder = proxied(builder, settings)?;
    let builder = if settings.target.is_tls() || settings.proxy.as_ref().is_some_and(ProxyUrl::is_tls) {
        builder.tls_backend_preconfigured(own_tls(settings)?)
    } else {
        // Never used, and loading roots that nobody needs could fail: trust nothing.
        builder.tls_certs_only([])
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

/// Through the proxy that was asked for, and no other.
fn proxied(builder: reqwest::ClientBuilder, settings: &SendSettings) -> Result<reqwest::ClientBuilder, ClientError> {
    let Some(proxy) = &settings.proxy else { return Ok(builder) };
    let proxy = reqwest::Proxy::all(proxy.to_string()).map_err(|error| set_up_error(settings, &error))?;
    Ok(builder.proxy(proxy))
}

/// The TLS side, which offers both protocols.
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

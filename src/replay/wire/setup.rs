//! From settings to what makes connections: the address or the proxy, and TLS to either.

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::addresses::{Addresses, Resolve};
use super::attempt::ConnectThrottle;
use super::conn_stats::ConnStats;
use super::connect::Connector;
use super::tls_setup::TlsSetup;
use super::via_proxy::{ProxyKind, ViaProxy};
use crate::replay::{ClientError, ConnectTo, ProxyUrl, SendSettings, tls};

/// Returns what makes the connections of a client.
pub(super) fn connector(settings: &SendSettings, resolver: Arc<dyn Resolve>) -> Result<Connector, ClientError> {
    let destination = match &settings.proxy {
        None => settings.target.connect_to().clone(),
        Some(proxy) => ConnectTo::of_host(proxy.host(), proxy.port()).map_err(|error| set_up(settings, &error))?,
    };
    let proxy = settings.proxy.as_ref().map(|proxy| via(settings, proxy, Arc::clone(&resolver))).transpose()?;
    let name = settings.sni.as_deref().unwrap_or_else(|| settings.target.host());
    Ok(Connector {
        addresses: Arc::new(Addresses::new(&destination, settings.resolve_every, resolver)),
        attempts: ConnectThrottle::default(),
        proxy,
        tls: if settings.target.is_tls() { Some(session(settings, name)?) } else { None },
        ledger: Arc::new(ConnStats::default()),
        timeout: settings.timeout,
    })
}

fn session(settings: &SendSettings, host: &str) -> Result<TlsSetup, ClientError> {
    let plain = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(plain).map_err(|error| set_up(settings, &error))?;
    Ok(TlsSetup { connector: Arc::new(tls::config(settings)?).into(), name })
}

/// The way to the target through `proxy`.
fn via(settings: &SendSettings, proxy: &ProxyUrl, resolver: Arc<dyn Resolve>) -> Result<ViaProxy, ClientError> {
    let host = settings.target.host().trim_start_matches('[').trim_end_matches(']');
    Ok(ViaProxy {
        kind: ProxyKind::of(proxy, settings.target.is_tls()),
        tls: if proxy.is_tls() { Some(session(settings, proxy.host())?) } else { None },
        host: host.to_owned(),
        port: settings.target.port(),
        resolver,
    })
}

fn set_up(settings: &SendSettings, error: &dyn std::fmt::Display) -> ClientError {
    ClientError::Setup { url: settings.target.to_string(), why: error.to_string() }
}

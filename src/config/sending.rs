//! Settings of the client: its protocol, its connections, and the certificates it trusts.

use std::time::Duration;

use super::check;
use super::mistakes::ConfigMistakes;
use super::{parsed, typed};
use crate::middleware;
use crate::replay::TlsIdentity;
use crate::replay::{
    ClientChoice, ConnectionMode, DEFAULT_MAX_CONNECTIONS, DEFAULT_RESOLVE_EVERY, ProxyUrl, SendSettings,
};

/// Puts the client, its connections and its trust, as they were typed, into what is known of a target.
pub(super) fn connections(
    typed: &typed::Send,
    mistakes: &mut ConfigMistakes,
) -> impl Fn(SendSettings) -> SendSettings + use<> {
    let client = parsed("--client", typed.client.as_deref(), mistakes).unwrap_or_default();
    let connections = parsed("--connections", typed.connections.as_deref(), mistakes).unwrap_or_default();
    if (client, connections) == (ClientChoice::Reqwest, ConnectionMode::Mirrored) {
        let why = "contradict each other: reqwest shares its connections; mirror them with --client wire";
        mistakes.add("--client reqwest and --connections mirrored", why);
    }
    let proxy = parsed::<ProxyUrl>("--proxy", typed.proxy.as_deref(), mistakes);
    let http2 = typed.http2;
    if http2 && client == ClientChoice::Wire {
        mistakes.add("--http2", "the wire client cannot: it sends requests as captured; add --client reqwest");
    }
    let max_connections =
        typed.max_connections.as_deref().and_then(|n| mistakes.keep("--max-connections", at_least_one(n)));
    let max_response = typed.max_response.as_deref().and_then(|n| mistakes.keep("--max-response", check::size(n)));
    let resolve_every = resolve_every(typed, mistakes);
    let trust = trust(typed, mistakes);
    move |settings| SendSettings {
        client,
        connections,
        http2,
        proxy: proxy.clone(),
        max_connections,
        max_response: max_response.map_or(settings.max_response, |bytes| bytes as u64),
        resolve_every,
        trust: trust.clone(),
        ..settings
    }
}

fn at_least_one(typed: &str) -> Result<usize, String> {
    match typed.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{typed}` is not a number of connections; write a whole number from 1")),
    }
}

fn resolve_every(typed: &typed::Send, mistakes: &mut ConfigMistakes) -> Duration {
    let flag = "--resolve-every";
    let every = check::duration_or(flag, typed.resolve_every.as_deref(), DEFAULT_RESOLVE_EVERY, mistakes);
    if every.is_zero() {
        mistakes.add(flag, "a name cannot be looked up all the time: give more than zero, such as 30s");
    }
    every
}

fn trust(typed: &typed::Send, mistakes: &mut ConfigMistakes) -> TlsIdentity {
    if typed.insecure && typed.ca.is_some() {
        mistakes.add("--insecure and --ca", "contradict each other: the one trusts anybody, the other only its file");
    }
    if typed.key.is_some() && typed.cert.is_none() {
        mistakes.add("--key", "a key alone shows nothing: add the certificate with --cert");
    }
    TlsIdentity { ca: typed.ca.clone(), cert: typed.cert.clone(), key: typed.key.clone() }
}

/// Reports settings that contradict this target, or the chain before it.
pub(super) fn contradictions(
    settings: &SendSettings,
    middleware: &middleware::ChainSettings,
    mistakes: &mut ConfigMistakes,
) {
    if settings.may_speak_http2() {
        let flag = if settings.http2 { "--http2" } else { "--client reqwest" };
        let why = "contradict each other: HTTP/2 names the host beside the path, and that is the target's";
        if settings.keep_host {
            mistakes.add_once(&format!("{flag} and --keep-host"), why);
        }
        if middleware.sets_host() {
            mistakes.add_once(&format!("{flag} and a Host that is set"), why);
        }
    }
    let read = settings.proxy.as_ref().is_some_and(|proxy| !proxy.tunnels_all());
    if settings.http2 && read && !settings.target.is_tls() {
        let why = format!(
            "this proxy would have to read HTTP/2 itself on the way to {}; take socks5://, or leave one out",
            settings.target
        );
        mistakes.add_once("--http2 and --proxy", why);
    }
}

/// Returns the line for a target that reqwest was chosen for, and that is sent HTTP/1.1 all the same.
pub(super) fn without_http2(settings: &SendSettings) -> Option<String> {
    (settings.client == ClientChoice::Reqwest && !settings.may_speak_http2()).then(|| {
        format!(
            "--client reqwest speaks HTTP/2 alone: {} is sent HTTP/1.1, as by --client wire; --http2 speaks HTTP/2 to it",
            settings.target
        )
    })
}

/// Warns of what is allowed and changes nothing.
pub(super) fn pointless(typed: &typed::Send, settings: &SendSettings, warnings: &mut Vec<String>) {
    let files = [("--ca", typed.ca.is_some()), ("--cert", typed.cert.is_some())];
    for (flag, _) in files.iter().filter(|(_, given)| *given && !settings.target.is_tls()) {
        warnings.push(format!("{flag} changes nothing: {} speaks no TLS", settings.target));
    }
    if typed.resolve_every.is_some() && settings.may_speak_http2() {
        warnings.push("--resolve-every changes nothing: reqwest looks a name up with each new connection".to_owned());
    }
    let pool = (settings.connections == ConnectionMode::Pooled).then_some(settings.max_connections).flatten();
    if let Some(most) = pool.filter(|most| *most > settings.max_in_flight) {
        let in_flight = settings.max_in_flight;
        warnings.push(format!(
            "--max-connections {most}: --max-in-flight {in_flight} is less, and a pool opens no more than that"
        ));
    }
    let is_pool = settings.connections == ConnectionMode::Pooled && !settings.may_speak_http2();
    let most = settings.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS);
    if is_pool && typed.max_in_flight.is_some() && settings.max_in_flight > most {
        let in_flight = settings.max_in_flight;
        warnings.push(format!(
            "--max-in-flight {in_flight}: a pool has {most} connections at most, and no more requests are in flight than \
             that; add --max-connections {in_flight}"
        ));
    }
}

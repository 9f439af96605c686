//! Which client speaks to the target, over which connections, and what it believes.

use std::time::Duration;

use super::check;
use super::mistakes::Mistakes;
use super::{parsed, typed};
use crate::replay::tls::Trust;
use crate::replay::{ClientChoice, ConnectionMode, DEFAULT_RESOLVE_EVERY, Settings};

/// How any target is spoken to.
pub(super) struct Speaking {
    client: ClientChoice,
    connections: ConnectionMode,
    max_connections: Option<usize>,
    max_response: Option<usize>,
    resolve_every: Duration,
    trust: Trust,
}

impl Speaking {
    /// What was typed of it.
    pub(super) fn read(typed: &typed::Send, mistakes: &mut Mistakes) -> Self {
        let client = parsed("--client", typed.client.as_deref(), mistakes).unwrap_or_default();
        let connections = parsed("--connections", typed.connections.as_deref(), mistakes).unwrap_or_default();
        if (client, connections) == (ClientChoice::Reqwest, ConnectionMode::Mirrored) {
            let why = "contradict each other: reqwest shares its connections; mirror them with --client wire";
            mistakes.add("--client reqwest and --connections mirrored", why);
        }
        let most = typed.max_connections.as_deref();
        let max_response = typed.max_response.as_deref();
        Self {
            client,
            connections,
            max_connections: most.and_then(|n| mistakes.keep("--max-connections", at_least_one(n))),
            max_response: max_response.and_then(|n| mistakes.keep("--max-response", check::size(n))),
            resolve_every: resolve_every(typed, mistakes),
            trust: trust(typed, mistakes),
        }
    }

    /// `settings` with it.
    pub(super) fn of(&self, settings: Settings) -> Settings {
        Settings {
            client: self.client,
            connections: self.connections,
            max_connections: self.max_connections,
            max_response: self.max_response.map_or(settings.max_response, |bytes| bytes as u64),
            resolve_every: self.resolve_every,
            trust: self.trust.clone(),
            ..settings
        }
    }
}

fn at_least_one(typed: &str) -> Result<usize, String> {
    match typed.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{typed}` is not a number of connections; write a whole number from 1")),
    }
}

fn resolve_every(typed: &typed::Send, mistakes: &mut Mistakes) -> Duration {
    let flag = "--resolve-every";
    let every = check::duration_or(flag, typed.resolve_every.as_deref(), DEFAULT_RESOLVE_EVERY, mistakes);
    if every.is_zero() {
        mistakes.add(flag, "a name cannot be looked up all the time: give more than zero, such as 30s");
    }
    every
}

fn trust(typed: &typed::Send, mistakes: &mut Mistakes) -> Trust {
    if typed.insecure && typed.ca.is_some() {
        mistakes.add("--insecure and --ca", "contradict each other: the one trusts anybody, the other only its file");
    }
    if typed.key.is_some() && typed.cert.is_none() {
        mistakes.add("--key", "a key alone shows nothing: add the certificate with --cert");
    }
    Trust { ca: typed.ca.clone(), cert: typed.cert.clone(), key: typed.key.clone() }
}

/// Warns of what is allowed and changes nothing.
pub(super) fn pointless(typed: &typed::Send, targets: &[Settings], warnings: &mut Vec<String>) {
    let files = [("--ca", typed.ca.is_some()), ("--cert", typed.cert.is_some())];
    for settings in targets.iter().filter(|settings| !settings.target.is_tls()) {
        for (flag, _) in files.iter().filter(|(_, given)| *given) {
            warnings.push(format!("{flag} changes nothing: {} speaks no TLS", settings.target));
        }
    }
    let Some(any) = targets.first() else { return };
    if typed.resolve_every.is_some() && any.client == ClientChoice::Reqwest {
        warnings.push("--resolve-every changes nothing: reqwest looks a name up with each new connection".to_owned());
    }
    let pool = (any.connections == ConnectionMode::Pooled).then_some(any.max_connections).flatten();
    if let Some(most) = pool.filter(|most| *most > any.max_in_flight) {
        let in_flight = any.max_in_flight;
        warnings.push(format!(
            "--max-connections {most}: --max-in-flight {in_flight} is less, and a pool opens no more than that"
        ));
    }
}

//! `--connect-to` and `--sni`: where a target is and what TLS calls it, whatever its URL says; for one target by its name,
//! `new=10.0.0.7:443`.

use std::collections::BTreeMap;

use rustls::pki_types::ServerName;

use super::mistakes::ConfigMistakes;
use super::typed;
use crate::replay::{ConnectTo, SendSettings, TargetUrl};

/// What was typed for each target, by its number.
pub(super) type ByTarget<T> = BTreeMap<usize, T>;

/// The targets where they are: those of `--connect-to` elsewhere than their URL says.
pub(super) fn connected(
    typed: &typed::Send,
    targets: Vec<(Option<String>, TargetUrl)>,
    mistakes: &mut ConfigMistakes,
) -> Vec<(Option<String>, TargetUrl)> {
    let mut elsewhere = by_target("--connect-to", &typed.connect_to, typed, mistakes, |typed| {
        typed.parse::<ConnectTo>().map_err(|error| error.to_string())
    });
    let at = |(number, (name, url)): (usize, (Option<String>, TargetUrl))| match elsewhere.remove(&number) {
        Some(destination) => (name, url.at(destination)),
        None => (name, url),
    };
    targets.into_iter().enumerate().map(at).collect()
}

/// The names of `--sni`, by the number of the target.
pub(super) fn server_names(typed: &typed::Send, mistakes: &mut ConfigMistakes) -> ByTarget<String> {
    by_target("--sni", &typed.sni, typed, mistakes, |typed| match ServerName::try_from(typed) {
        Ok(ServerName::DnsName(_)) => Ok(typed.to_owned()),
        Ok(_) => Err(format!("`{typed}` is an address: TLS asks for names only (RFC 6066, 3)")),
        Err(_) => Err(format!("`{typed}` is no name of a host; write such as www.example.com")),
    })
}

/// Reads each value for the targets that it names, or for the only one.
fn by_target<T: Clone>(
    flag: &str,
    values: &[String],
    send: &typed::Send,
    mistakes: &mut ConfigMistakes,
    read: impl Fn(&str) -> Result<T, String>,
) -> ByTarget<T> {
    let (names, mut found) = (super::names(send), ByTarget::new());
    for typed in values {
        let (name, value) = name_and_value(typed);
        let numbers = match name {
            Some(name) => names.numbers(name),
            None => (send.to.len() < 2).then(|| [0].into()),
        };
        let Some(numbers) = numbers else {
            let why = match name {
                Some(name) => format!("no target is called `{name}`: name one with --to {name}=URL"),
                None => format!("which of the targets? Write NAME={typed}, and name the target with --to NAME=URL"),
            };
            mistakes.add(flag, why);
            continue;
        };
        let Some(value) = mistakes.keep(flag, read(value)) else { continue };
        for number in numbers.iter() {
            if found.insert(*number, value.clone()).is_some() {
                mistakes.add(flag, format!("`{typed}`: the target has one already"));
            }
        }
    }
    found
}

/// A name and what is for it; a path may have an equals sign, too.
fn name_and_value(typed: &str) -> (Option<&str>, &str) {
    match typed.split_once('=') {
        Some((name, value)) if !name.contains([':', '/']) => (Some(name), value),
        _ => (None, typed),
    }
}

/// Reports ways to send that go by the URL alone, for a target that is elsewhere.
pub(super) fn contradictions(settings: &SendSettings, mistakes: &mut ConfigMistakes) {
    let (target, is_off_url) = (&settings.target, settings.target.is_off_url());
    if settings.may_speak_http2() && (is_off_url || settings.sni.is_some()) {
        let flag = if is_off_url { target.to_string() } else { "--sni".to_owned() };
        let why = "contradict each other: reqwest connects by the URL alone; --client wire sends HTTP/1 there";
        mistakes.add_once(&format!("--client reqwest and {flag}"), why);
    }
    if settings.proxy.is_some() && is_off_url {
        let why = "contradict each other: a proxy connects by the URL alone; leave one out";
        mistakes.add_once(&format!("--proxy and {target}"), why);
    }
}

/// Returns the warning of a name for TLS without TLS.
pub(super) fn pointless(settings: &SendSettings) -> Option<String> {
    let sni = settings.sni.as_ref().filter(|_| !settings.target.is_tls())?;
    Some(format!("--sni {sni} changes nothing: {} speaks no TLS", settings.target))
}

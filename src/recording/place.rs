//! Places that hold recordings: files, or a store on other machines, such as `nats://10.0.0.5:4222/evening`.
//!
//! A name comes in as it was typed, a [`StoreUrl`] leaves. Nothing is opened here.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::quantity;
use crate::suggest::nearest;

/// Schemes of stores, and whether they are encrypted.
const SCHEMES: [(&str, bool); 2] = [("nats://", false), ("nats+tls://", true)];
/// The port of a server that has none in the URL.
const DEFAULT_PORT: u16 = 4222;
/// Partitions of a new recording: as many replayers can share it.
const DEFAULT_PARTITIONS: u16 = 16;
/// Most partitions: each is read on its own.
const MAX_PARTITIONS: u16 = 256;
/// How long what is recorded is kept.
const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 3600);
/// Shortest time for which it is kept: less is gone before it is read.
const LEAST_RETENTION: Duration = Duration::from_secs(60);
/// Bytes that are kept at most.
const DEFAULT_MAX_BYTES: u64 = 10 << 30;
/// Fewest bytes: a few messages have to fit.
const LEAST_MAX_BYTES: u64 = 16 << 20;
/// Most copies that JetStream keeps.
const MAX_REPLICAS: u8 = 5;
/// Longest name of a recording or a run.
const MAX_NAME: usize = 64;
/// Settings that a URL may have.
const SETTINGS: [&str; 5] = ["partitions", "retention", "max-bytes", "replicas", "run"];

/// A recording in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Servers: any of them will do.
    pub hosts: Vec<(String, u16)>,
    /// The recording.
    pub name: String,
    /// Settings of a recording that is made anew.
    pub settings: StoreSettings,
    /// Which of its replays: each goes over all of it once.
    pub run: String,
}

/// Settings of a recording in a store, as far as they were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// Parts that replayers share.
    pub partitions: Option<u16>,
    /// How long it is kept.
    pub retention: Option<Duration>,
    /// Bytes that are kept at most; past it the oldest go.
    pub max_bytes: Option<u64>,
    /// Copies that the store keeps.
    pub replicas: Option<u8>,
}

impl StoreSettings {
    /// Returns the number of partitions.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.partitions.unwrap_or(DEFAULT_PARTITIONS)
    }

    /// Returns how long what is recorded is kept.
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.retention.unwrap_or(DEFAULT_RETENTION)
    }

    /// Returns how many bytes are kept at most.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes.unwrap_or(DEFAULT_MAX_BYTES)
    }

    /// Returns how many copies the store keeps.
    #[must_use]
    pub fn replicas(&self) -> u8 {
        self.replicas.unwrap_or(1)
    }
}

/// A URL that names no recording in a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreUrlError {
    /// A name or a password stands in it.
    #[error(
        "a URL shows in every list of processes, so no name and no password may stand in it: put them into a file for \
         --nats-credentials"
    )]
    Credentials,
    /// There is no server.
    #[error("`{typed}` names no server: write nats://HOST:PORT/NAME, such as nats://10.0.0.5:4222/evening")]
    NoHost {
        /// As it was typed.
        typed: String,
    },
    /// A server that cannot be one.
    #[error("`{host}` is no server: write HOST or HOST:PORT, an IPv6 address in brackets")]
    Host {
        /// The part of the URL.
        host: String,
    },
    /// There is no recording, or one that cannot be called so.
    #[error(
        "`{name}` is no name of a recording: write up to {MAX_NAME} letters, digits, - and _ after the server, such as \
         nats://10.0.0.5:4222/evening"
    )]
    Name {
        /// As it was typed.
        name: String,
    },
    /// A setting that there is not.
    #[error("`{key}` is no setting of a recording; there are {}{}", SETTINGS.join(", "), meant(key))]
    Setting {
        /// Its name.
        key: String,
    },
    /// A value that a setting cannot have.
    #[error("{key}={value}: {why}")]
    Value {
        /// The setting.
        key: &'static str,
        /// As it was typed.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn meant(key: &str) -> String {
    nearest(key, SETTINGS.into_iter()).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// Returns whether a name is that of a store rather than of a file.
#[must_use]
pub fn is_store(name: &Path) -> bool {
    name.to_str().is_some_and(|name| SCHEMES.iter().any(|(scheme, _)| name.starts_with(scheme)))
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(typed: &str) -> Result<Self, StoreUrlError> {
        let no_host = || StoreUrlError::NoHost { typed: typed.to_owned() };
        let found = SCHEMES.iter().find_map(|(scheme, tls)| Some((typed.strip_prefix(scheme)?, *tls)));
        let (rest, tls) = found.ok_or_else(no_host)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (servers, name) = place.split_once('/').unwrap_or((place, ""));
        if servers.contains('@') {
            return Err(StoreUrlError::Credentials);
        }
        if servers.is_empty() {
            return Err(no_host());
        }
        let hosts = servers.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
        if !is_name(name) {
            return Err(StoreUrlError::Name { name: name.to_owned() });
        }
        let mut url =
            Self { tls, hosts, name: name.to_owned(), settings: StoreSettings::default(), run: "1".to_owned() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            url.set(key, &value)?;
        }
        Ok(url)
    }
}

impl StoreUrl {
    /// Returns its servers, for people.
    #[must_use]
    pub fn server(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        hosts.join(", ")
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StoreUrlError> {
        let wrong = |key, why| StoreUrlError::Value { key, value: value.to_owned(), why };
        let settings = &mut self.settings;
        match key {
            "partitions" => {
                let partitions = value.parse().ok().filter(|count| (1..=MAX_PARTITIONS).contains(count));
                settings.partitions = Some(partitions.ok_or_else(|| wrong("partitions", "write 1 to 256"))?);
            }
            "retention" => {
                let days = value.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
                let time = days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
                let time = time.or_else(|| quantity::duration(value)).filter(|time| *time >= LEAST_RETENTION);
                settings.retention =
                    Some(time.ok_or_else(|| wrong("retention", "write a minute or more, such as 2h"))?);
            }
            "max-bytes" => {
                let bytes = quantity::size(value).filter(|bytes| *bytes >= LEAST_MAX_BYTES);
                settings.max_bytes = Some(bytes.ok_or_else(|| wrong("max-bytes", "write 16M or more, such as 20G"))?);
            }
            "replicas" => {
                let replicas = value.parse().ok().filter(|count| (1..=MAX_REPLICAS).contains(count));
                settings.replicas = Some(replicas.ok_or_else(|| wrong("replicas", "write 1 to 5"))?);
            }
            "run" if is_name(value) => value.clone_into(&mut self.run),
            "run" => return Err(wrong("run", "write up to 64 letters, digits, - and _")),
            _ => return Err(StoreUrlError::Setting { key: key.to_owned() }),
        }
        Ok(())
    }

    /// The ports of its servers.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.hosts.iter().map(|(_, port)| *port)
    }
}

/// As it is typed, but for the settings of a new recording.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "nats+tls://" } else { "nats://" })?;
        for (number, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            if host.contains(':') { write!(f, "{comma}[{host}]:{port}")? } else { write!(f, "{comma}{host}:{port}")? }
        }
        write!(f, "/{}", self.name)?;
        if self.run == "1" { Ok(()) } else { write!(f, "?run={}", self.run) }
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain)
}

/// `10.0.0.5`, `nats.example.com:4222`, `[2001:db8::1]:4222`.
fn host(typed: &str) -> Result<(String, u16), StoreUrlError> {
    let wrong = || StoreUrlError::Host { host: typed.to_owned() };
    let (host, port) = match typed.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (address, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) })
        }
        None => typed.split_once(':').map_or((typed, None), |(host, port)| (host, Some(port))),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(is_plain) {
        return Err(wrong());
    }
    let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong));
    Ok((host.to_owned(), port?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(typed: &str) -> StoreUrl {
        typed.parse().unwrap()
    }

    #[track_caller]
    fn refused(typed: &str, why: &str) {
        let said = typed.parse::<StoreUrl>().unwrap_err().to_string();
        assert!(said.contains(why), "{typed}: {said}");
    }

    #[test]
    fn servers_and_a_name_are_a_recording() {
        let one = url("nats://10.0.0.5/evening");
        assert_eq!((one.tls, one.hosts.as_slice()), (false, &[("10.0.0.5".to_owned(), 4222)][..]));
        assert_eq!((one.name.as_str(), one.settings.partitions(), one.run.as_str()), ("evening", 16, "1"));
        let three = url("nats+tls://a:4223,b,[2001:db8::1]:9/e?run=2");
        assert_eq!(three.to_string(), "nats+tls://a:4223,b:4222,[2001:db8::1]:9/e?run=2");
        assert_eq!(url(&three.to_string()), three);
        assert!(is_store("nats://x/y".as_ref()) && !is_store("./nats:/x".as_ref()) && !is_store("nats.gor".as_ref()));
    }

    #[test]
    fn settings_are_for_a_new_recording() {
        let settings = url("nats://h/n?partitions=8&retention=2h&max-bytes=20G&replicas=3").settings;
        assert_eq!((settings.partitions(), settings.retention()), (8, Duration::from_secs(7200)));
        assert_eq!((settings.max_bytes(), settings.replicas()), (20 << 30, 3));
        assert_eq!(url("nats://h/n?retention=2d").settings.retention(), Duration::from_secs(172_800));
    }

    #[test]
    fn secrets_never_stand_in_a_url_and_are_not_told() {
        refused("nats://user:secret@h/n", "no name and no password");
        assert!(!"nats://user:secret@h/n".parse::<StoreUrl>().unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        refused("nats:///n", "names no server");
        refused("nats://h", "`` is no name of a recording");
        refused("nats://h/a/b", "`a/b` is no name");
        refused("nats://h/a.b", "no name of a recording");
        refused("nats://h:0/n", "`h:0` is no server");
        refused("nats://h:x/n", "`h:x` is no server");
        refused("nats://[::1/n", "is no server");
        refused("nats://a,,b/n", "`` is no server");
        refused("nats://h/n?partition=3", "did you mean partitions?");
        refused("nats://h/n?partitions=0", "partitions=0: write 1 to 256");
        refused("nats://h/n?retention=5", "retention=5: write a minute");
        refused("nats://h/n?max-bytes=1K", "max-bytes=1K: write 16M");
        refused("nats://h/n?replicas=9", "replicas=9");
        refused("nats://h/n?run=a.b", "run=a.b");
    }
}

//! An entry as it stands in an archive: its keys, its times and its address.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::exchange::Timestamp;

/// Reason that an entry is passed over, and more about it.
pub(super) type Skipped = (&'static str, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) started_date_time: Cow<'a, str>,
    pub(super) time: Option<f64>,
    #[serde(borrow)]
    pub(super) request: Asked<'a>,
    #[serde(borrow)]
    pub(super) response: Option<Answered<'a>>,
    pub(super) timings: Option<Timings>,
    #[serde(rename = "serverIPAddress")]
    pub(super) server_ip_address: Option<String>,
    /// A text by the format; some write a number.
    pub(super) connection: Option<serde_json::Value>,
    #[serde(rename = "_fromCache")]
    pub(super) from_cache: Option<IgnoredAny>,
    #[serde(rename = "_shadowtap")]
    pub(super) own: Option<Own>,
}

#[derive(Deserialize)]
pub(super) struct Own {
    pub(super) client: Option<String>,
    pub(super) server: Option<String>,
    pub(super) state: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct Timings {
    pub(super) blocked: Option<f64>,
    pub(super) dns: Option<f64>,
    pub(super) connect: Option<f64>,
    pub(super) send: Option<f64>,
    pub(super) wait: Option<f64>,
    pub(super) receive: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked<'a> {
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) url: Cow<'a, str>,
    pub(super) http_version: Option<String>,
    #[serde(borrow, default)]
    pub(super) headers: Vec<Pair<'a>>,
    #[serde(borrow)]
    pub(super) post_data: Option<Posted<'a>>,
    pub(super) body_size: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered<'a> {
    pub(super) status: Option<f64>,
    #[serde(borrow)]
    pub(super) status_text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) headers: Vec<Pair<'a>>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Pair<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) value: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Posted<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    #[serde(alias = "_encoding")]
    pub(super) encoding: Option<String>,
    pub(super) mime_type: Option<String>,
    #[serde(borrow)]
    pub(super) params: Option<Vec<Pair<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    pub(super) size: Option<f64>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    pub(super) encoding: Option<String>,
}

/// When the parts of an exchange were on the wire.
pub(super) struct Times {
    pub(super) sent: Timestamp,
    pub(super) asked: Timestamp,
    pub(super) first_byte: Timestamp,
    pub(super) last_byte: Timestamp,
}

impl Times {
    pub(super) fn new(begun: Timestamp, total: Option<f64>, timings: Timings) -> Self {
        let Timings { blocked, dns, connect, send, wait, receive } = timings;
        // -1 is for what does not apply.
        let millis = |time: Option<f64>| {
            let time = time.filter(|time| time.is_finite() && *time > 0.0).unwrap_or_default();
            Duration::try_from_secs_f64(time / 1000.0).unwrap_or_default()
        };
        let sent = begun.plus(millis(blocked) + millis(dns) + millis(connect));
        let asked = sent.plus(millis(send));
        let wait = if wait.is_none() && receive.is_none() { total } else { wait };
        let first_byte = asked.plus(millis(wait));
        Self { sent, asked, first_byte, last_byte: first_byte.plus(millis(receive)) }
    }
}

/// What is needed of a URL, which browsers write encoded.
pub(super) struct Url {
    pub(super) authority: String,
    pub(super) target: String,
    pub(super) port: u16,
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, Skipped> {
        let no_http = || ("it is no HTTP request", shortened(url));
        let (scheme, rest) = url.split_once("://").ok_or_else(no_http)?;
        let port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            "ws" | "wss" => return Err(("it is a WebSocket", shortened(url))),
            _ => return Err(no_http()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let authority = authority.rsplit('@').next().unwrap_or_default().to_owned();
        if authority.is_empty() || authority.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(no_http());
        }
        let named = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let mut target = String::with_capacity(path.len() + 1);
        if !path.starts_with('/') {
            target.push('/');
        }
        for byte in path.bytes() {
            match byte {
                b'!'..=b'~' => target.push(char::from(byte)),
                // Writing to a String cannot fail.
                _ => drop(write!(target, "%{byte:02X}")),
            }
        }
        Ok(Self { authority, target, port: named.unwrap_or(port) })
    }
}

/// Enough of a text to find it by.
pub(super) fn shortened(text: &str) -> String {
    const ENOUGH: usize = 80;
    let mut short: String = text.chars().take(ENOUGH).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

//! Lines of JSON: which of their keys say what.

use std::borrow::Cow;

use serde_json::Value;

use super::meaning::{Field, HostSource, Meaning, TimeUnit, Took};
use super::names;

/// Keys by which programs call what a request is made of: nginx as people write it, Caddy, Traefik, ECS.
const KNOWN: [(&str, &[&str]); 14] = [
    ("end", &["time_local", "time_iso8601", "msec"]),
    ("time", &["ts", "StartUTC", "start_time", "@timestamp", "timestamp", "time", "date"]),
    ("client", &["remote_addr", "request.remote_ip", "ClientHost", "client_ip", "remote_ip", "client", "source.ip"]),
    ("port", &["remote_port", "request.remote_port", "ClientPort", "client_port"]),
    (
        "method",
        &["request_method", "request.method", "RequestMethod", "http_method", "method", "verb", "http.request.method"],
    ),
    ("target", &["request_uri", "request.uri", "RequestPath", "uri", "url", "path", "url.original", "target"]),
    ("request", &["request"]),
    ("host", &["http_host", "request.host", "RequestHost", "host", "vhost", "url.domain"]),
    ("status", &["status", "status_code", "DownstreamStatus", "response_code", "http.response.status_code"]),
    ("bytes", &["body_bytes_sent", "size", "DownstreamContentSize", "bytes_sent", "bytes", "http.response.body.bytes"]),
    ("headers", &["request.headers"]),
    ("version", &["server_protocol", "request.proto", "RequestProtocol", "protocol"]),
    ("header.User-Agent", &["http_user_agent", "user_agent", "agent", "user_agent.original"]),
    ("header.Referer", &["http_referer", "referer", "referrer", "http.request.referrer"]),
];

/// Names of times, with their units.
const TIMES: [(&str, Took, TimeUnit); 9] = [
    ("upstream_header_time", Took::UpstreamHead, TimeUnit::Seconds),
    ("upstream_response_time", Took::Upstream, TimeUnit::Seconds),
    ("request_time", Took::All, TimeUnit::Seconds),
    ("OriginDuration", Took::Upstream, TimeUnit::Nanos),
    ("Duration", Took::All, TimeUnit::Nanos),
    ("duration", Took::All, TimeUnit::Seconds),
    ("latency_ms", Took::All, TimeUnit::Millis),
    ("duration_ms", Took::All, TimeUnit::Millis),
    ("event.duration", Took::All, TimeUnit::Nanos),
];

/// Keys of a line, each with what it says. Of several keys for one thing the first that a line has counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonFormat {
    pub(super) fields: Vec<Field>,
    /// Whether the map is what people mostly write, rather than theirs.
    pub(super) is_guessed: bool,
}

impl JsonFormat {
    /// The keys that programs mostly use.
    pub(super) fn usual() -> Self {
        let mapped = KNOWN.iter().flat_map(|(what, keys)| {
            keys.iter().filter_map(|key| {
                let mut meaning = names::mapped(what, None)?;
                if *key == "request.host" || *key == "host" {
                    meaning = Meaning::Host(HostSource::Request);
                }
                Some(Field { name: (*key).to_owned(), meaning })
            })
        });
        let times = TIMES
            .iter()
            .map(|(key, took, unit)| Field { name: (*key).to_owned(), meaning: Meaning::Took(*took, *unit) });
        Self { fields: mapped.chain(times).collect(), is_guessed: true }
    }

    /// `time=ts,method=req.method,latency=took:ms`.
    pub(super) fn of_map(map: &str) -> Result<Self, String> {
        let mut fields = Vec::new();
        for entry in map.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (what, key) = entry.split_once('=').ok_or_else(|| {
                format!("`{entry}` is no entry of a field map; write WHAT=KEY, such as time=@timestamp")
            })?;
            let (key, unit) = match key.rsplit_once(':').and_then(|(key, unit)| Some((key, names::unit(unit)?))) {
                Some((key, unit)) => (key, Some(unit)),
                None => (key, None),
            };
            let meaning = names::mapped(what, unit).ok_or_else(|| {
                format!(
                    "`{what}` is nothing that a field map has; it has time, end, client, port, request, method, target, path, \
                     query, version, host, status, bytes, body, connection, headers, latency and header.NAME"
                )
            })?;
            fields.push(Field { name: key.to_owned(), meaning });
        }
        Ok(Self { fields, is_guessed: false })
    }

    /// Fills in the values of a line; an error says why it has none.
    pub(super) fn read<'l>(&self, line: &'l Value, values: &mut Vec<Cow<'l, [u8]>>) {
        values.clear();
        for field in &self.fields {
            values.push(find(line, &field.name).map_or(Cow::Borrowed(&[][..]), |value| text(value, &field.meaning)));
        }
    }
}

impl JsonFormat {
    /// Of the usual keys those that this line has: the others are not asked for any more.
    pub(super) fn narrowed(&self, line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let fields = self.fields.iter().filter(|field| find(&line, &field.name).is_some()).cloned().collect();
        Some(Self { fields, is_guessed: false })
    }
}

/// The value under a key: the key as a whole, or its parts by their dots.
fn find<'l>(line: &'l Value, key: &str) -> Option<&'l Value> {
    if let Some(value) = line.get(key) {
        return Some(value);
    }
    let (first, rest) = key.split_once('.')?;
    find(line.get(first)?, rest)
}

fn text<'l>(value: &'l Value, meaning: &Meaning) -> Cow<'l, [u8]> {
    match value {
        Value::String(text) => Cow::Borrowed(text.as_bytes()),
        Value::Number(number) => Cow::Owned(number.to_string().into_bytes()),
        Value::Object(_) if *meaning == Meaning::Headers => Cow::Owned(serde_json::to_vec(value).unwrap_or_default()),
        _ => Cow::Borrowed(&[]),
    }
}

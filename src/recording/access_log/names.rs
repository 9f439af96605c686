//! The names of fields: nginx's variables, HAProxy's aliases and expressions.

use super::meaning::{HostSource, Meaning, TimeUnit, Took};

use TimeUnit::{Micros, Millis, Seconds};

/// Headers that say how a message is framed or sent on: a request that is made anew has its own.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A header by its name, as far as it is of the request alone.
pub(super) fn header(name: &str) -> Meaning {
    match name.to_ascii_lowercase() {
        lower if lower == "host" => Meaning::Host(HostSource::Header),
        lower if lower == "content-length" => Meaning::BodyLength,
        lower if OF_CONNECTION.contains(&&*lower) => Meaning::Ignored,
        _ => Meaning::Header(name.to_owned()),
    }
}

/// `http_user_agent` as `User-Agent`.
fn of_variable(name: &str) -> Meaning {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    });
    header(&words.collect::<Vec<_>>().join("-"))
}

/// What a variable of nginx says; every one that is not known says nothing.
pub(super) fn nginx(name: &str) -> Meaning {
    match name {
        "remote_addr" => Meaning::Client,
        "remote_port" => Meaning::ClientPort,
        "time_local" | "time_iso8601" | "msec" => Meaning::Time { at_end: true },
        "request" => Meaning::Request,
        "request_method" => Meaning::Method,
        "request_uri" => Meaning::Target,
        "uri" | "document_uri" => Meaning::Path,
        "args" | "query_string" => Meaning::Query,
        "server_protocol" => Meaning::Version,
        "host" => Meaning::Host(HostSource::Request),
        "server_name" => Meaning::Host(HostSource::Server),
        "status" => Meaning::Status,
        "body_bytes_sent" => Meaning::Bytes,
        "request_time" => Meaning::Took(Took::All, Seconds),
        "upstream_header_time" => Meaning::Took(Took::UpstreamHead, Seconds),
        "upstream_response_time" => Meaning::Took(Took::Upstream, Seconds),
        "request_body" => Meaning::Body,
        "content_length" => Meaning::BodyLength,
        "content_type" => header("Content-Type"),
        "connection" => Meaning::Connection,
        _ => match (name.strip_prefix("http_"), name.strip_prefix("cookie_")) {
            (Some(name), _) if !name.is_empty() => of_variable(name),
            (_, Some(name)) if !name.is_empty() => Meaning::Cookie(name.to_owned()),
            _ => Meaning::Ignored,
        },
    }
}

/// What an alias of HAProxy's `log-format` says.
pub(super) fn haproxy(name: &str) -> Meaning {
    match name {
        "ci" => Meaning::Client,
        "cp" => Meaning::ClientPort,
        "tr" | "trg" | "trl" | "t" | "T" | "Tl" | "ts" | "Ts" => Meaning::Time { at_end: false },
        "r" => Meaning::Request,
        "HM" => Meaning::Method,
        "HU" => Meaning::Target,
        "HP" | "HPO" => Meaning::Path,
        "HQ" => Meaning::Query,
        "HV" => Meaning::Version,
        "ST" => Meaning::Status,
        "B" => Meaning::Bytes,
        "TR" | "Tq" => Meaning::Took(Took::Head, Millis),
        "Tw" => Meaning::Took(Took::Queue, Millis),
        "Tc" => Meaning::Took(Took::Connect, Millis),
        "Tr" => Meaning::Took(Took::Server, Millis),
        "Ta" | "Tt" => Meaning::Took(Took::All, Millis),
        _ => Meaning::Ignored,
    }
}

/// What an expression of HAProxy says: `%[req.hdr(User-Agent)]`, `%[capture.req.uri]`, with converters behind it.
pub(super) fn expression(text: &str) -> Meaning {
    let (fetch, converters) = text.split_once(',').unwrap_or((text, ""));
    let (name, argument) = match fetch.split_once('(') {
        Some((name, argument)) => (name, argument.trim_end_matches(')').trim_matches(['"', '\''])),
        None => (fetch, ""),
    };
    let meaning = match name.trim() {
        "src" => Meaning::Client,
        "src_port" => Meaning::ClientPort,
        "method" | "capture.req.method" => Meaning::Method,
        "url" | "pathq" | "capture.req.uri" | "baseq" => Meaning::Target,
        "path" => Meaning::Path,
        "query" => Meaning::Query,
        "req.ver" | "capture.req.ver" => Meaning::Version,
        "status" => Meaning::Status,
        "date" | "accept_date" | "request_date" => Meaning::Time { at_end: false },
        "req.hdr" | "req.fhdr" | "hdr" if !argument.is_empty() => header(argument),
        "req.cook" | "cook" if !argument.is_empty() => Meaning::Cookie(argument.to_owned()),
        "req.body" => Meaning::Body,
        "req.body_size" => Meaning::BodyLength,
        _ => Meaning::Ignored,
    };
    // A converter may make anything of a value; these leave what counts.
    let harmless = |converter: &str| {
        let name = converter.split('(').next().unwrap_or_default().trim();
        matches!(name, "lower" | "json" | "field" | "ltrim" | "rtrim")
            && (name != "lower" || matches!(meaning, Meaning::Host(_)))
    };
    if converters.is_empty() || converters.split("),").flat_map(|part| part.split(',')).all(harmless) {
        meaning
    } else {
        Meaning::Ignored
    }
}

/// What a key of a field map says: `time`, `method`, `latency`, `header.User-Agent`.
pub(super) fn mapped(key: &str, unit: Option<TimeUnit>) -> Option<Meaning> {
    Some(match key {
        "time" => Meaning::Time { at_end: false },
        "end" => Meaning::Time { at_end: true },
        "client" => Meaning::Client,
        "port" => Meaning::ClientPort,
        "request" => Meaning::Request,
        "method" => Meaning::Method,
        "target" => Meaning::Target,
        "path" => Meaning::Path,
        "query" => Meaning::Query,
        "version" => Meaning::Version,
        "host" => Meaning::Host(HostSource::Header),
        "status" => Meaning::Status,
        "bytes" => Meaning::Bytes,
        "body" => Meaning::Body,
        "connection" => Meaning::Connection,
        "headers" => Meaning::Headers,
        "latency" => Meaning::Took(Took::Latency, unit.unwrap_or(Seconds)),
        _ => header(key.strip_prefix("header.")?),
    })
}

/// A unit by its name.
pub(super) fn unit(name: &str) -> Option<TimeUnit> {
    Some(match name {
        "s" => Seconds,
        "ms" => Millis,
        "us" => Micros,
        "ns" => TimeUnit::Nanos,
        _ => return None,
    })
}

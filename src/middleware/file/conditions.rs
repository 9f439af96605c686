//! Conditions: `{ path = "^/v2/", method = ["GET", "HEAD"] }`.

use ipnet::IpNet;
use regex_automata::util::syntax;

use super::super::condition::{Condition, HostPattern, MediaType, NamedValue, Test, ValueTest as Asked};
use super::super::{PatternSet, name_value};
use crate::quantity;
use crate::route_pattern::{RoutePattern, RouteSet};

use super::reader::{Located, TomlReader, TomlTable};

/// Keys of a condition.
pub const QUESTIONS: [&str; 16] = [
    "method",
    "path",
    "route",
    "host",
    "client",
    "header",
    "cookie",
    "param",
    "basic-auth",
    "content-type",
    "body",
    "body-over",
    "body-under",
    "all",
    "any",
    "not",
];
/// Most conditions within conditions; deeper ones are a mistake.
const MAX_DEPTH: usize = 32;

/// The condition that stands here; holds for everything where it is missing.
pub(super) fn optional(value: Option<&Located<'_>>, reader: &mut TomlReader<'_>) -> Condition {
    value.and_then(|value| condition(value, reader)).unwrap_or_default()
}

/// The condition that stands here.
pub(super) fn condition(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Condition> {
    nested(value, reader, 0)
}

fn nested(value: &Located<'_>, reader: &mut TomlReader<'_>, depth: usize) -> Option<Condition> {
    let table = reader.table(value)?;
    if depth > MAX_DEPTH {
        reader.wrong(value.span(), format!("conditions go {MAX_DEPTH} deep at most"));
        return None;
    }
    Some(tests(table, reader, depth))
}

/// The tests of a table, each under its key.
fn tests(mut table: TomlTable<'_>, reader: &mut TomlReader<'_>, depth: usize) -> Condition {
    let span = table.span.clone();
    let mut tests = Vec::new();
    let entries = table.rest();
    if entries.is_empty() {
        reader.wrong(span, format!("an empty condition holds for everything: ask one of {}", QUESTIONS.join(", ")));
    }
    for entry in entries {
        let value = entry.value;
        match entry.key {
            "header" => tests.extend(named(value, reader, header).into_iter().map(Test::Header)),
            "cookie" => tests.extend(named(value, reader, cookie).into_iter().map(Test::Cookie)),
            "param" => tests.extend(named(value, reader, param).into_iter().map(Test::Param)),
            key => match test(key, value, reader, depth) {
                Some(test) => tests.extend(test),
                None => reader.unknown(&entry, "in a condition", &QUESTIONS),
            },
        }
    }
    Condition { tests }
}

/// `None` where there is no such key; `Some(None)` after a mistake.
#[expect(clippy::option_option, reason = "an unknown key is another thing than a mistake that was told")]
fn test(key: &str, value: &Located<'_>, reader: &mut TomlReader<'_>, depth: usize) -> Option<Option<Test>> {
    Some(match key {
        "method" => Some(Test::Method(reader.each(value, method))),
        "path" => patterns(value, reader).map(Test::Path),
        "route" => routes(value, reader).map(Test::Route),
        "host" => Some(Test::Host(reader.each(value, HostPattern::new).into_iter().collect())),
        "client" => Some(Test::Client(reader.each(value, network))),
        "basic-auth" => reader.regex(value).map(Test::BasicAuth),
        "content-type" => Some(Test::ContentType(reader.each(value, media_type))),
        "body" => patterns(value, reader).map(Test::Body),
        "body-over" => size(value, reader).map(Test::BodyOver),
        "body-under" => size(value, reader).map(Test::BodyUnder),
        "all" => Some(Test::All(list(value, reader, depth))),
        "any" => Some(Test::Any(list(value, reader, depth))),
        "not" => nested(value, reader, depth + 1).map(Test::Not),
        _ => return None,
    })
}

/// `[{ ... }, { ... }]`.
fn list(value: &Located<'_>, reader: &mut TomlReader<'_>, depth: usize) -> Vec<Condition> {
    match value.get_ref().as_array() {
        Some(all) if !all.is_empty() => all.iter().filter_map(|value| nested(value, reader, depth + 1)).collect(),
        _ => {
            reader.wrong(
                value.span(),
                "a list of conditions is wanted here, such as [{ path = \"^/a\" }, { method = \"GET\" }]",
            );
            Vec::new()
        }
    }
}

/// One expression, or several in one machine.
fn patterns(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<PatternSet> {
    let (texts, spans): (Vec<_>, Vec<_>) = reader.texts(value).into_iter().unzip();
    let set = PatternSet::compile(&texts, syntax::Config::new(), &reader.environment.expressions);
    let mistakes = match set {
        Ok(set) => return Some(set).filter(|set| !set.is_empty()),
        Err(mistakes) => mistakes,
    };
    for (at, why) in mistakes {
        reader.wrong(spans.get(at).cloned().unwrap_or_else(|| value.span()), why);
    }
    None
}

/// `"GET /v2/users/{id}"`, or several of them.
fn routes(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<RouteSet> {
    let patterns = reader.each(value, |text| {
        let pattern = RoutePattern::parse(text);
        pattern.map_err(|why| format!("`{text}`: {why}; write a path, such as /v2/users/{{id}} or GET /v2/*"))
    });
    let set = reader.keep(value.span(), RouteSet::compile(patterns))?;
    Some(set).filter(|set| !set.is_empty())
}

/// `{ name = "expression", other = true, third = false }`.
fn named(
    value: &Located<'_>,
    reader: &mut TomlReader<'_>,
    build: fn(&str, Asked) -> Result<NamedValue, String>,
) -> Vec<NamedValue> {
    let mut all = Vec::new();
    for entry in reader.entries(value) {
        let asked = match entry.value.get_ref().as_bool() {
            Some(true) => Some(Asked::Present),
            Some(false) => Some(Asked::Absent),
            None => reader.regex(entry.value).map(Asked::Matches),
        };
        if let Some(asked) = asked {
            all.extend(reader.keep(entry.span, build(entry.key, asked)));
        }
    }
    all
}

fn header(name: &str, asked: Asked) -> Result<NamedValue, String> {
    if name_value::is_token(name) {
        Ok(NamedValue::new(name, asked))
    } else {
        Err(format!("`{name}` is no header name"))
    }
}

fn cookie(name: &str, asked: Asked) -> Result<NamedValue, String> {
    let name = name_value::cookie_name(name).map_err(|error| error.to_string())?;
    Ok(NamedValue::new(name, asked))
}

fn param(name: &str, asked: Asked) -> Result<NamedValue, String> {
    if name.is_empty() { Err("an empty name is no parameter".to_owned()) } else { Ok(NamedValue::new(name, asked)) }
}

fn method(text: &str) -> Result<String, String> {
    let is_method = name_value::is_token(text);
    if !is_method {
        return Err(format!("`{text}` is no method; write one such as GET"));
    }
    if text != text.to_uppercase() {
        return Err(format!("methods are told apart by case, and most are in capitals: `{}`", text.to_uppercase()));
    }
    Ok(text.to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or(address)
        .map_err(|_| format!("`{text}` is no network; write 10.0.0.0/8, 2001:db8::/32 or a single address"))
}

fn media_type(text: &str) -> Result<MediaType, String> {
    MediaType::new(text)
        .ok_or_else(|| format!("`{text}` is no media type; write `application/json` or `text/*`, without parameters"))
}

/// `1M`, `64K`, or a number of bytes.
fn size(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<u64> {
    if value.get_ref().is_integer() {
        return reader.number(value);
    }
    let text = reader.text(value)?;
    let bytes = quantity::size(text);
    reader.keep(value.span(), bytes.ok_or_else(|| format!("`{text}` is no size; write 64K, 1M or a number of bytes")))
}

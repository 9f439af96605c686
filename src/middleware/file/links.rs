//! Links: each a table with one verb, and `name` and `when` where they are wanted.

use std::sync::Arc;

use super::super::SampleKey;
use super::super::body::{EditJson, ReplaceBody};
use super::super::condition::Condition;
use super::super::edit::FieldKind;
use super::super::json::{JsonEdit, JsonPath};
use super::super::limit::{LimitSpec, PerSecond};
use super::super::path::ReplacePath;
use super::super::redact::{Redact, RedactMode};
use super::super::replace_url::ReplaceUrl;
use super::super::route::{self, MatchInput, Router};
use super::super::secret::Secret;
use super::super::spec::{FilterAction, FilterSpec, SampleSpec};
use super::super::unreadable::OnUnknown;
use super::conditions::{condition, optional};
use super::credentials::{basic, bearer, optional_secret};
use super::edits::{self, replacement};
use super::reader::{Located, TomlEntry, TomlReader, TomlTable};
use super::words::{json, rule_name, span_of_time};

/// Every verb, in the order of the documentation.
pub const VERBS: [&str; 33] = [
    "only",
    "drop",
    "allow-writes",
    "sample",
    "round-robin",
    "limit",
    "set-header",
    "add-header",
    "remove-header",
    "rename-header",
    "replace-header",
    "set-cookie",
    "remove-cookie",
    "rename-cookie",
    "replace-cookie",
    "set-param",
    "add-param",
    "remove-param",
    "rename-param",
    "replace-param",
    "set-host",
    "replace-path",
    "replace-url",
    "replace-body",
    "set-json",
    "remove-json",
    "basic-auth",
    "bearer",
    "redact",
    "route",
    "carry",
    "shift-time",
    "idempotency-key",
];

/// One `[[link]]`; `None` after a mistake.
pub(super) fn link(mut table: TomlTable<'_>, reader: &mut TomlReader<'_>) -> Option<FilterSpec> {
    let span = table.span.clone();
    let name = table.take("name").and_then(|value| rule_name(value, reader));
    let when = optional(table.take("when"), reader);
    if let Some(carry) = table.take("carry") {
        let action = super::carry::carry(carry, name.as_deref(), table, reader)?;
        return Some(FilterSpec { name, when, action });
    }
    let mut actions = Vec::new();
    let mut is_known = true;
    for entry in table.rest() {
        if VERBS.contains(&entry.key) {
            actions.push(entry);
        } else {
            let known: Vec<&str> = ["name", "when"].into_iter().chain(VERBS).collect();
            reader.unknown(&entry, "in a link", &known);
            is_known = false;
        }
    }
    let mut actions = actions.into_iter();
    let (first, second) = (actions.next(), actions.next());
    match (first, second) {
        (Some(entry), None) => {
            let action = action(&entry, name.as_deref(), reader)?;
            Some(FilterSpec { name, when, action })
        }
        (Some(first), Some(second)) => {
            // What is wrong inside of them is told as well.
            action(&first, None, reader);
            action(&second, None, reader);
            let message = format!(
                "a link does one thing: `{}` and `{}` are two, so that their order is seen; write [[link]] above each",
                first.key, second.key
            );
            reader.wrong(second.span, message);
            None
        }
        (None, _) if is_known => {
            reader.wrong(
                span,
                "a link does one thing, and this one does nothing; say what, such as only, drop, set-header",
            );
            None
        }
        (None, _) => None,
    }
}

fn action(entry: &TomlEntry<'_>, name: Option<&str>, reader: &mut TomlReader<'_>) -> Option<FilterAction> {
    let value = entry.value;
    if let Some(rewrite) = edits::rewrite(entry.key, value, reader) {
        return Some(FilterAction::Rewrite(rewrite));
    }
    match entry.key {
        "only" => condition(value, reader).map(FilterAction::Only),
        "drop" => condition(value, reader).map(FilterAction::Drop),
        "allow-writes" => allow_writes(value, reader).map(FilterAction::AllowWrites),
        "sample" => sample(value, reader).map(FilterAction::Sample),
        "round-robin" => reader.parsed(value).map(FilterAction::RoundRobin),
        "limit" => limit(value, reader).map(FilterAction::Limit),
        "replace-path" => replace_path(value, reader).map(FilterAction::Path),
        "replace-url" => replace_url(value, reader).map(FilterAction::Url),
        "replace-body" => {
            replacement(value, reader).map(|(regex, with)| FilterAction::Body(ReplaceBody::new(regex, with)))
        }
        "set-json" => Some(FilterAction::Json(EditJson::new(set_json(value, reader)))),
        "remove-json" => Some(FilterAction::Json(EditJson::new(reader.each(value, JsonEdit::remove)))),
        "basic-auth" => basic(value, reader).map(FilterAction::Credentials),
        "bearer" => bearer(value, reader).map(FilterAction::Credentials),
        "redact" => redact(value, reader).map(FilterAction::Redact),
        "route" => route(value, reader).map(FilterAction::Route),
        "shift-time" => super::carry::shift_time(value, name, reader),
        "idempotency-key" => edits::idempotency_key(value, reader).map(FilterAction::IdempotencyKey),
        _ => None,
    }
}

/// `true`, or a condition.
fn allow_writes(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Condition> {
    match value.get_ref().as_bool() {
        Some(true) => Some(Condition::default()),
        Some(false) => {
            reader
                .wrong(value.span(), "writes are kept back anyway: write true, or the condition under which they pass");
            None
        }
        None => condition(value, reader),
    }
}

/// `"50%"`, or `{ share = "50%", by = "cookie:sid", missing = "request", seed = 0 }`.
fn sample(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<SampleSpec> {
    let mut spec = SampleSpec {
        share: super::super::Share::default(),
        by: SampleKey::default(),
        seed: 0,
        missing: super::super::sample::MissingKey::default(),
        hash: super::super::key::KeyHash::default(),
    };
    if value.get_ref().is_str() {
        spec.share = reader.parsed(value)?;
        return Some(spec);
    }
    let mut table = reader.table(value)?;
    let known = ["share", "by", "seed", "missing", "hash"];
    let [share, by, seed, missing, hash] = known.map(|key| table.take(key));
    table.finish(reader, "in a sample", &known);
    let Some(share) = share else {
        reader.wrong(value.span(), "a sample needs a share, such as { share = \"50%\", by = \"cookie:sid\" }");
        return None;
    };
    spec.share = reader.parsed(share).unwrap_or_default();
    spec.by = by.and_then(|by| reader.parsed(by)).unwrap_or_default();
    spec.seed = seed.and_then(|seed| reader.number(seed)).unwrap_or_default();
    spec.missing = missing.and_then(|missing| reader.parsed(missing)).unwrap_or_default();
    spec.hash = hash.and_then(|hash| reader.parsed(hash)).unwrap_or_default();
    if let (Some(seed), super::super::key::KeyHash::Fnv32) = (seed, spec.hash) {
        reader.wrong(seed.span(), "fnv32 looks at the key alone: a seed changes nothing, leave it out");
    }
    if let (Some(missing), SampleKey::Request) = (missing, &spec.by) {
        reader.wrong(missing.span(), "every request has itself: `missing` needs `by`, such as by = \"cookie:sid\"");
    }
    Some(spec)
}

/// `"500/s"`, or `{ requests = "500/s", bytes = "10M/s", burst = "2s", per = "client-ip" }`.
fn limit(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<LimitSpec> {
    if value.get_ref().is_str() {
        return Some(LimitSpec { requests: Some(reader.parsed::<PerSecond>(value)?), ..LimitSpec::default() });
    }
    let mut table = reader.table(value)?;
    let [requests, bytes, burst, per] = ["requests", "bytes", "burst", "per"].map(|key| table.take(key));
    table.finish(reader, "in a limit", &["requests", "bytes", "burst", "per"]);
    if requests.is_none() && bytes.is_none() {
        reader.wrong(value.span(), "a limit needs requests or bytes, such as { requests = \"500/s\" }");
    }
    Some(LimitSpec {
        requests: requests.and_then(|value| reader.parsed(value)),
        bytes: bytes.and_then(|value| reader.parsed(value)),
        burst: burst.and_then(|value| span_of_time(value, reader)),
        per: per.and_then(|value| reader.parsed(value)),
    })
}

fn replace_path(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<ReplacePath> {
    let (regex, with) = replacement(value, reader)?;
    if with.to_string().contains('?') {
        reader.wrong(value.span(), "a path has no question mark; parameters are set with set-param and add-param");
        return None;
    }
    Some(ReplacePath::new(regex, with.for_address()))
}

/// One replacement, or a list of which the first that matches counts.
fn replace_url(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<ReplaceUrl> {
    let rules: Vec<_> = match value.get_ref().as_array() {
        Some(all) => all.iter().filter_map(|value| replacement(value, reader)).collect(),
        None => replacement(value, reader).into_iter().collect(),
    };
    if value.get_ref().as_array().is_some_and(|all| all.is_empty()) {
        reader.wrong(value.span(), "an empty list replaces nothing: write { match = \"expression\", with = \"text\" }");
    }
    if rules.is_empty() {
        return None;
    }
    let rules = rules.into_iter().map(|(regex, with)| (regex, with.for_address())).collect();
    Some(ReplaceUrl::new(rules))
}

/// `{ "/user/name" = "nobody", "/age" = 7 }`.
fn set_json(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Vec<JsonEdit> {
    let mut edits = Vec::new();
    for TomlEntry { key, span, value } in reader.entries(value) {
        let json = json(value.get_ref());
        let json = reader.keep(
            value.span(),
            json.ok_or("dates and numbers without an end have no place in JSON: put them in quotes"),
        );
        if let Some(json) = json {
            edits.extend(reader.keep(span, JsonEdit::set(key, json.to_string())));
        }
    }
    edits
}

/// `{ header = [..], cookie = [..], param = [..], json = [..], how = "remove", on-unknown = "drop-body" }`.
fn redact(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Redact> {
    let mut table = reader.table(value)?;
    let mut fields = Vec::new();
    for (key, place) in [("header", FieldKind::Header), ("cookie", FieldKind::Cookie), ("param", FieldKind::Param)] {
        if let Some(names) = table.take(key) {
            fields.extend(reader.each(names, |name| edits::name(place, name)).into_iter().map(|name| (place, name)));
        }
    }
    let json = table.take("json").map(|value| reader.each(value, JsonPath::parse)).unwrap_or_default();
    let how = table.take("how");
    let key = optional_secret(&mut table, "key", reader);
    let on_unknown = table.take("on-unknown").and_then(|value| on_unknown(value, reader)).unwrap_or_default();
    let known = ["header", "cookie", "param", "json", "how", "key-env", "key-file", "on-unknown"];
    table.finish(reader, "in redact", &known);
    if fields.is_empty() && json.is_empty() {
        reader.wrong(value.span(), "say what is redacted: header, cookie, param or json");
    }
    let veil = veil(how, key, value, reader)?;
    Some(Redact::new(veil, &fields, json, on_unknown))
}

fn on_unknown(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<OnUnknown> {
    let text = reader.text(value)?;
    let found = OnUnknown::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, found)| found);
    let message =
        || format!("`{text}` is nothing to do with a body that cannot be looked into; write drop-body, drop or keep");
    reader.keep(value.span(), found.ok_or_else(message))
}

#[expect(clippy::option_option, reason = "no secret is another thing than one that cannot be had")]
fn veil(
    how: Option<&Located<'_>>,
    key: Option<Option<Secret>>,
    value: &Located<'_>,
    reader: &mut TomlReader<'_>,
) -> Option<RedactMode> {
    let Some(how) = how else {
        reader.wrong(value.span(), "say how: how = \"remove\", \"mask\" or \"pseudonym\"");
        return None;
    };
    match reader.text(how)? {
        "pseudonym" => Some(RedactMode::Pseudonym(key.flatten())),
        "remove" | "mask" if key.is_some() => {
            reader.wrong(how.span(), "a key is for pseudonyms only");
            None
        }
        "remove" => Some(RedactMode::Remove),
        "mask" => Some(RedactMode::Mask),
        other => {
            reader.wrong(how.span(), format!("`{other}` is no way to redact; write remove, mask or pseudonym"));
            None
        }
    }
}

/// `{ map = "routes.map", on = "path", default = "new" }`.
fn route(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Router> {
    let mut table = reader.table(value)?;
    let [map, on, default] = ["map", "on", "default"].map(|key| table.take(key));
    table.finish(reader, "in a route", &["map", "on", "default"]);
    let Some(map) = map else {
        reader.wrong(value.span(), "a route needs a map, such as { map = \"routes.map\" }");
        return None;
    };
    let on = match on.map(|on| (reader.text(on), on.span())) {
        None | Some((Some("path"), _)) => MatchInput::Path,
        Some((Some("host/path"), _)) => MatchInput::HostPath,
        Some((_, span)) => {
            reader.wrong(span, "a map is `on` path or host/path");
            return None;
        }
    };
    let path = reader.folder().join(reader.text(map)?);
    let targets = &reader.environment.targets;
    let default = default.and_then(|default| Some((reader.text(default)?, default.span())));
    let default = default.and_then(|(name, span)| reader.keep(span, targets.check(name).map(|()| name)));
    match route::read(&path, on, &reader.environment.expressions) {
        Ok(read) => {
            for (line, message) in read.unknown(targets) {
                reader.wrong_in(&path, line, message);
            }
            Some(Router::new(Arc::new(read), default, targets))
        }
        Err(mistakes) => {
            for (line, message) in mistakes {
                reader.wrong_in(&path, line, message);
            }
            None
        }
    }
}

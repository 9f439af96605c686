//! The `carry` link: where values are issued, where they come back, and what happens until one is known.

use std::ops::Range;

use super::super::carry::{self, CarryRule, UntilKnown, ValueMaker, ValuePlace, ValueSource};
use super::super::carry_set;
use super::super::edit::FieldKind;
use super::super::json::JsonPath;
use super::super::spec::{FilterAction, FilterSpec};
use super::reader::{Located, TomlReader, TomlTable};
use super::words::{rule_name, time};
use super::{edits, made_here};

/// Keys beside `carry`, `name` and `when`.
const KEYS: [&str; 6] = ["from", "into", "until-known", "seed", "login", "mint"];
/// What `from` knows.
const SOURCES: [&str; 5] = ["set-cookie", "header", "json", "body", "location-param"];
/// What an entry of `into` knows.
const PLACES: [&str; 6] = ["cookie", "header", "pattern", "param", "json", "form"];

/// `carry = "session"`, with `from`, `into` and `until-known` beside it.
pub(super) fn carry(
    value: &Located<'_>,
    name: Option<&str>,
    mut table: TomlTable<'_>,
    reader: &mut TomlReader<'_>,
) -> Option<FilterAction> {
    let [from, into, until_known, seed, login, mint] = KEYS.map(|key| table.take(key));
    table.finish(reader, "in a carry link", &KEYS);
    if name.is_some() {
        reader.wrong(value.span(), "a carry link has its name already, the one behind `carry`: leave `name` out");
    }
    // Every mistake in them is told.
    let name = rule_name(value, reader);
    let source = from.map(|from| source(from, reader));
    match (from, mint) {
        (None, _) if seed.is_some() || login.is_some() || mint.is_some() => {}
        (None, _) => {
            reader.wrong(value.span(), "say where the value is issued, such as from = { set-cookie = \"PHPSESSID\" }");
            return None;
        }
        (Some(from), Some(_)) => {
            reader.wrong(from.span(), "a value that is made here is issued by nobody: leave `from` out, or `mint`");
        }
        (Some(_), None) => {}
    }
    for other in [seed, login, until_known].into_iter().flatten().filter(|_| mint.is_some()) {
        reader.wrong(other.span(), "a value that is made here is known at once: `mint` stands beside `into` alone");
    }
    // Of a source with a mistake it is not known where its values come back.
    let has_source = !matches!(source, Some(None));
    let source = source.flatten();
    let into = if has_source || into.is_some() {
        into_places((into, from.unwrap_or(value)), source.as_ref(), reader)
    } else {
        None
    };
    let until_known = until_known.map(|value| self::until_known(value, reader));
    let seeds = seed.map(|seed| made_here::seeds(seed, reader));
    let login = login.map(|login| reader.parsed(login));
    let makes = mint.map(|mint| made_here::mint(mint, reader));
    if !has_source {
        return None;
    }
    Some(FilterAction::Carry(CarryRule {
        name: name?,
        from: source,
        into: into?,
        until_known: all(until_known)?.unwrap_or_default(),
        seeds: all(seeds)?,
        login: all(login)?,
        makes: all(makes)?,
    }))
}

/// What was asked for, where it was; `None` after a mistake.
#[expect(clippy::option_option, reason = "what is not asked for is another thing than a mistake")]
fn all<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// The places where values come back; where there is no `into`, the one that `from` tells.
fn into_places(
    (into, beside): (Option<&Located<'_>>, &Located<'_>),
    from: Option<&ValueSource>,
    reader: &mut TomlReader<'_>,
) -> Option<Vec<ValuePlace>> {
    if let Some(into) = into {
        return places(into, reader);
    }
    let place = from.and_then(ValueSource::default_place);
    if place.is_none() {
        let message = match from {
            Some(_) => "say where it comes back, such as into = [{ form = \"csrf\" }]: a page does not tell",
            None => {
                "say where the value stands, such as into = { header = \"Authorization\", pattern = \"^Bearer (.*)$\" }"
            }
        };
        reader.wrong(beside.span(), message);
    }
    place.map(|place| vec![place])
}

/// `shift-time = { header = "X-Time", param = "ts", json = "$.at", form = "at", cookie = "seen" }`.
pub(super) fn shift_time(value: &Located<'_>, name: Option<&str>, reader: &mut TomlReader<'_>) -> Option<FilterAction> {
    let mut table = reader.table(value)?;
    let keys = ["header", "cookie", "param", "json", "form"];
    let [header, cookie, param, json, form] = keys.map(|key| table.take(key));
    table.finish(reader, "in shift-time", &keys);
    let mut into = Vec::new();
    for (names, kind, place) in [
        (header, FieldKind::Header, (|name| ValuePlace::Header(name, None)) as fn(String) -> ValuePlace),
        (cookie, FieldKind::Cookie, ValuePlace::Cookie),
        (param, FieldKind::Param, ValuePlace::Param),
        (form, FieldKind::Param, ValuePlace::Form),
    ] {
        let names = names.map(|names| reader.each(names, |name| edits::name(kind, name))).unwrap_or_default();
        into.extend(names.into_iter().map(place));
    }
    let paths = json.map(|paths| reader.each(paths, JsonPath::parse)).unwrap_or_default();
    into.extend(paths.into_iter().map(ValuePlace::Json));
    if into.is_empty() {
        reader.wrong(value.span(), "say which times are moved: header, cookie, param, json or form");
        return None;
    }
    let name = name.unwrap_or("shift-time").to_owned();
    let makes = Some(ValueMaker::ShiftTime);
    Some(FilterAction::Carry(CarryRule { name, into, makes, ..CarryRule::default() }))
}

/// What holds of all `carry` links of a file together.
#[derive(Default)]
pub(super) struct CarryNames(Vec<String>);

impl CarryNames {
    /// Takes the next link of the file, which stands at `span`.
    pub(super) fn take(&mut self, link: &FilterSpec, span: Range<usize>, reader: &mut TomlReader<'_>) {
        let FilterAction::Carry(rule) = &link.action else { return };
        if self.0.contains(&rule.name) {
            reader.wrong(span.clone(), carry::same_name(&rule.name));
        }
        if self.0.len() == carry_set::MAX_RULES {
            reader.wrong(span, carry::too_many(self.0.len() + 1));
        }
        self.0.push(rule.name.clone());
    }
}

/// `{ set-cookie = "PHPSESSID" }`.
fn source(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<ValueSource> {
    let mut table = reader.table(value)?;
    let taken = SOURCES.map(|key| table.take(key));
    table.finish(reader, "in `from`", &SOURCES);
    if taken.iter().flatten().count() != 1 {
        reader.wrong(value.span(), format!("`from` names one place: {}", SOURCES.join(", ")));
        return None;
    }
    match taken {
        [Some(name), ..] => field(FieldKind::Cookie, name, reader).map(ValueSource::SetCookie),
        [_, Some(name), ..] => field(FieldKind::Header, name, reader).map(ValueSource::Header),
        [_, _, Some(path), ..] => json_path(path, reader).map(ValueSource::Json),
        [_, _, _, Some(regex), _] => reader.regex(regex).map(ValueSource::Body),
        [.., Some(name)] => field(FieldKind::Param, name, reader).map(ValueSource::LocationParam),
        _ => None,
    }
}

/// A name that can stand at this place.
fn field(kind: FieldKind, value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<String> {
    let text = reader.text(value)?;
    reader.keep(value.span(), edits::name(kind, text))
}

fn json_path(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<JsonPath> {
    let text = reader.text(value)?;
    reader.keep(value.span(), JsonPath::parse(text))
}

/// `[{ cookie = "PHPSESSID" }, { header = "authorization", pattern = "Bearer (.*)" }]`, or one of them alone.
fn places(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Vec<ValuePlace>> {
    let each: Vec<&Located<'_>> = match value.get_ref().as_array() {
        Some(all) => all.iter().collect(),
        None => vec![value],
    };
    if each.is_empty() {
        reader.wrong(value.span(), "an empty list carries nothing: name a place, or leave `into` out");
        return None;
    }
    // Every mistake in them is told.
    let found: Vec<Option<ValuePlace>> = each.into_iter().map(|value| place(value, reader)).collect();
    found.into_iter().collect()
}

fn place(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<ValuePlace> {
    let mut table = reader.table(value)?;
    let [cookie, header, pattern, param, json, form] = PLACES.map(|key| table.take(key));
    table.finish(reader, "in `into`", &PLACES);
    let named = [cookie, header, param, json, form];
    if named.iter().flatten().count() != 1 {
        reader.wrong(value.span(), "each entry of `into` names one place: cookie, header, param, json or form");
        return None;
    }
    if let (Some(pattern), None) = (pattern, header) {
        reader.wrong(pattern.span(), "a pattern says which part of a header the value is: it stands beside `header`");
        return None;
    }
    match named {
        [Some(name), ..] => field(FieldKind::Cookie, name, reader).map(ValuePlace::Cookie),
        [_, Some(name), ..] => {
            let pattern = match pattern {
                Some(pattern) => Some(reader.regex(pattern)?),
                None => None,
            };
            field(FieldKind::Header, name, reader).map(|name| ValuePlace::Header(name, pattern))
        }
        [_, _, Some(name), ..] => field(FieldKind::Param, name, reader).map(ValuePlace::Param),
        [_, _, _, Some(path), _] => json_path(path, reader).map(ValuePlace::Json),
        [.., Some(name)] => field(FieldKind::Param, name, reader).map(ValuePlace::Form),
        _ => None,
    }
}

/// `"wait 2s"`, `"send"` or `"drop"`.
fn until_known(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<UntilKnown> {
    let text = reader.text(value)?;
    let known = match text.trim() {
        "send" => Ok(UntilKnown::Send),
        "drop" => Ok(UntilKnown::Drop),
        other => match other.strip_prefix("wait ").map(|span| time(span.trim())) {
            Some(Ok(span)) => Ok(UntilKnown::Wait(span)),
            Some(Err(why)) => Err(why),
            None => {
                Err(format!("`{text}` is nothing to do with a value that is not known; write wait 2s, send or drop"))
            }
        },
    };
    reader.keep(value.span(), known)
}

//! The `carry` link: where values are issued, where they come back, and what happens until one is known.

use std::ops::Range;

use super::super::carry::{self, CarryRule, UntilKnown, ValuePlace, ValueSource};
use super::super::carry_set;
use super::super::edit::FieldKind;
use super::super::json::JsonPath;
use super::super::spec::{FilterAction, FilterSpec};
use super::edits;
use super::reader::{Located, TomlReader, TomlTable};
use super::words::{rule_name, time};

/// Keys beside `carry`, `name` and `when`.
const KEYS: [&str; 3] = ["from", "into", "until-known"];
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
    let [from, into, until_known] = KEYS.map(|key| table.take(key));
    table.finish(reader, "in a carry link", &KEYS);
    if name.is_some() {
        reader.wrong(value.span(), "a carry link has its name already, the one behind `carry`: leave `name` out");
    }
    let name = rule_name(value, reader);
    let Some(from) = from else {
        reader.wrong(value.span(), "say where the value is issued, such as from = { set-cookie = \"PHPSESSID\" }");
        return None;
    };
    let source = source(from, reader);
    let places: Option<Vec<ValuePlace>> = match (into, &source) {
        (Some(into), _) => places(into, reader),
        (None, Some(source)) => {
            let place = source.default_place();
            if place.is_none() {
                let message = "say where it comes back, such as into = [{ form = \"csrf\" }]: a page does not tell";
                reader.wrong(from.span(), message);
            }
            place.map(|place| vec![place])
        }
        (None, None) => None,
    };
    let until_known = match until_known {
        Some(value) => self::until_known(value, reader)?,
        None => UntilKnown::default(),
    };
    Some(FilterAction::Carry(CarryRule { name: name?, from: source?, into: places?, until_known }))
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

//! Links that edit fields: `set-header = { X-Shadow = "1" }`, `remove-cookie = ["_ga"]`.

use super::super::edit::{EditOp, FieldEdit, FieldKind};
use super::super::{Rewrite, Template, name_value};
use super::reader::{Located, TomlEntry, TomlReader};

/// The link under a key such as `set-header`; `None` where the key is none of these.
pub(super) fn rewrite(key: &str, value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Rewrite> {
    if key == "set-host" {
        let value = reader.template(value).unwrap_or_default();
        return Some(Rewrite::of(vec![FieldEdit::new(FieldKind::Header, "Host", EditOp::Set(value))]));
    }
    let (verb, noun) = key.split_once('-')?;
    let place = match noun {
        "header" => FieldKind::Header,
        "cookie" => FieldKind::Cookie,
        "param" => FieldKind::Param,
        _ => return None,
    };
    let edits = match verb {
        "remove" => {
            let names = reader.each(value, |name| self::name(place, name));
            names.into_iter().map(|name| FieldEdit::new(place, name, EditOp::Remove)).collect()
        }
        "set" => each(value, reader, place, |value, reader| Some(EditOp::Set(template(value, reader, place)?))),
        // Two cookies of one name are one too many.
        "add" if place != FieldKind::Cookie => {
            each(value, reader, place, |value, reader| Some(EditOp::Add(template(value, reader, place)?)))
        }
        "rename" => each(value, reader, place, |value, reader| {
            let new = reader.text(value)?;
            reader.keep(value.span(), name(place, new)).map(EditOp::Rename)
        }),
        "replace" => each(value, reader, place, |value, reader| {
            let (regex, with) = replacement(value, reader)?;
            Some(EditOp::Replace(regex, with))
        }),
        _ => return None,
    };
    Some(Rewrite::of(edits))
}

/// `"{id}"`: the key of writes that may be sent again.
pub(super) fn idempotency_key(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Rewrite> {
    let template = template(value, reader, FieldKind::Header)?;
    Some(Rewrite::of(vec![FieldEdit::new(FieldKind::Header, "Idempotency-Key", EditOp::Set(template))]))
}

/// `{ name = what, ... }`, in order.
fn each(
    value: &Located<'_>,
    reader: &mut TomlReader<'_>,
    place: FieldKind,
    how: impl Fn(&Located<'_>, &mut TomlReader<'_>) -> Option<EditOp>,
) -> Vec<FieldEdit> {
    let mut edits = Vec::new();
    for TomlEntry { key, span, value } in reader.entries(value) {
        let name = reader.keep(span, name(place, key));
        if let (Some(name), Some(how)) = (name, how(value, reader)) {
            edits.push(FieldEdit::new(place, name, how));
        }
    }
    edits
}

/// `{ match = "expression", with = "text" }`.
pub(super) fn replacement(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<(regex::bytes::Regex, Template)> {
    let mut table = reader.table(value)?;
    let (regex, with) = (table.take("match"), table.take("with"));
    table.finish(reader, "in a replacement", &["match", "with"]);
    let (Some(regex), Some(with)) = (regex, with) else {
        reader.wrong(value.span(), "a replacement has two keys: { match = \"expression\", with = \"text\" }");
        return None;
    };
    let regex = reader.regex(regex);
    let text = reader.text(with)?;
    let regex = regex?;
    let template = reader.keep(with.span(), Template::replacement(text, &regex))?;
    Some((regex, template))
}

/// A name that can stand at this place.
pub(super) fn name(place: FieldKind, typed: &str) -> Result<String, String> {
    match place {
        FieldKind::Header => name_value::header_name(typed).map_err(|error| error.to_string()),
        FieldKind::Cookie => name_value::cookie_name(typed).map_err(|error| error.to_string()),
        FieldKind::Param if typed.is_empty() => Err("an empty name is no parameter".to_owned()),
        FieldKind::Param => Ok(typed.to_owned()),
    }
}

/// A value that can stand at this place.
fn template(value: &Located<'_>, reader: &mut TomlReader<'_>, place: FieldKind) -> Option<Template> {
    let template = reader.template(value)?;
    // The plain text of it has to fit; what it names of the capture is made to.
    let typed = template.to_string();
    let fits = match place {
        FieldKind::Header => {
            name_value::header_pair(&format!("X: {typed}")).map(drop).map_err(|error| error.to_string())
        }
        FieldKind::Cookie => {
            name_value::cookie_pair(&format!("x={typed}")).map(drop).map_err(|error| error.to_string())
        }
        FieldKind::Param => Ok(()),
    };
    reader.keep(value.span(), fits).map(|()| template)
}

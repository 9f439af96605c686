//! The places of a request in which values come back.

use std::cell::RefCell;

use regex::bytes::Regex;

use super::super::carry_set::CarrySet;
use super::super::json::{self, JsonPath};
use super::super::lines::LineIndex;
use super::super::redact::multipart::{self, PartRedactor};
use super::super::redact::{MAX_DECODED, OF_CODED_BODY};
use super::super::unreadable::Unreadable;
use super::super::value_change::ValueChange;
use super::super::{body, cookies, query};
use super::issued::json_value;
use super::{CarryRule, MAX_VALUE, ValuePlace, first_group, json_text};
use crate::content_coding;
use crate::exchange::{LineEdit, Request};

/// A request whose values are looked for and replaced.
pub(crate) struct ValuePlaces<'a> {
    request: &'a mut Request,
    lines: LineIndex,
}

/// Where a value was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundAt<'a> {
    /// Number of the rule.
    pub(crate) rule: usize,
    pub(crate) place: &'a ValuePlace,
}

/// What came of the values that were offered, by rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Rules under which a value is another one now.
    pub(crate) changed: CarrySet,
    /// Rules under which a value stayed, because the new one cannot stand in its place.
    pub(crate) unfit: CarrySet,
}

/// Offers a value, and says what becomes of it.
type Change<'a> = dyn FnMut(&[u8]) -> ValueChange + 'a;

impl<'a> ValuePlaces<'a> {
    pub(crate) fn of(request: &'a mut Request) -> Self {
        let mut lines = LineIndex::default();
        lines.begin(&request.head);
        Self { request, lines }
    }

    /// Offers each value that may have been issued under one of `rules` that applies to `choose`, with the number of the
    /// rule; returns what came of it. What stays keeps its bytes; what is to be removed within a body stays as well.
    pub(crate) fn each(
        &mut self,
        rules: &[CarryRule],
        apply: CarrySet,
        choose: &mut dyn FnMut(FoundAt<'_>, &[u8]) -> ValueChange,
    ) -> Placed {
        let mut placed = Placed::default();
        for (number, rule) in apply.numbers().filter_map(|number| Some((number, rules.get(number)?))) {
            let mut asked = 0;
            let mut change = |place: &ValuePlace, value: &[u8]| {
                let is_value = !value.is_empty() && value.len() <= MAX_VALUE;
                let at = FoundAt { rule: number, place };
                let change = if is_value { choose(at, value) } else { ValueChange::Keep };
                asked += u64::from(change != ValueChange::Keep);
                change
            };
            let mut done = 0;
            for place in rule.into.iter().filter(|place| !place.is_in_body()) {
                done += self.in_head(place, &mut |value| change(place, value));
            }
            if rule.into.iter().any(ValuePlace::is_in_body) && self.request.body.len > 0 {
                done += self.in_body(rule, &mut change);
            }
            if done > 0 {
                placed.changed.add(number);
            }
            if done < asked {
                placed.unfit.add(number);
            }
        }
        placed
    }

    /// Returns the number of values that are others now.
    fn in_head(&mut self, place: &ValuePlace, change: &mut Change<'_>) -> u64 {
        let Self { request, lines } = self;
        let head = &mut request.head;
        let mut done = 0;
        let mut counted = |change: ValueChange| {
            done += u64::from(change != ValueChange::Keep);
            change
        };
        match place {
            ValuePlace::Cookie(name) => {
                cookies::edit(lines, head, name, &mut |value| counted(safe(change(value), |byte| byte == b';')));
            }
            ValuePlace::Param(name) => {
                query::edit(lines, head, name, &mut |value| counted(change(value)));
            }
            ValuePlace::Header(name, pattern) => {
                lines.edit(head, name, |value| {
                    match counted(safe(within(value, pattern.as_ref(), change), |_| false)) {
                        ValueChange::Value(value) => LineEdit::Value(value),
                        ValueChange::Remove => LineEdit::Remove,
                        _ => LineEdit::Keep,
                    }
                });
            }
            ValuePlace::Json(_) | ValuePlace::Form(_) => {}
        }
        done
    }

    /// Returns the number of values that are others now, or stay though they were to be removed.
    fn in_body(&mut self, rule: &CarryRule, change: &mut dyn FnMut(&ValuePlace, &[u8]) -> ValueChange) -> u64 {
        let head = &self.request.head;
        let Some(content) = self.request.body.content() else { return 0 };
        let codings = content_coding::codings(head.get_all("content-encoding"));
        let Ok(content) = content_coding::decode_all(content, &codings, MAX_DECODED) else { return 0 };
        let kind = head.get("content-type").unwrap_or_default();
        let (mut now, mut done) = (None::<Vec<u8>>, 0);
        for place in &rule.into {
            let (mut changed, mut kept) = (0, 0);
            let mut counted = |value: &[u8]| match change(place, value) {
                ValueChange::Value(new) if place.takes(&new) => {
                    changed += 1;
                    ValueChange::Value(new)
                }
                ValueChange::Remove => {
                    kept += 1;
                    ValueChange::Keep
                }
                _ => ValueChange::Keep,
            };
            let before = now.as_deref().unwrap_or(&content);
            let new = match place {
                ValuePlace::Json(path) => in_json(before, path, &mut counted),
                ValuePlace::Form(name) => in_form(kind, before, name, &mut counted),
                _ => None,
            };
            done += kept + if new.is_some() { changed } else { 0 };
            now = new.or(now);
        }
        if let Some(new) = now {
            drop(content);
            self.set_body(new);
        }
        done
    }

    /// Gives the request this content, in its codings and its framing. A coding that can only be taken off goes.
    fn set_body(&mut self, new: Vec<u8>) {
        let Self { request, lines } = self;
        let codings = content_coding::codings(request.head.get_all("content-encoding"));
        let encoded = content_coding::encode_all(new.clone(), &codings);
        let keeps = if encoded.is_some() { "content-encoding" } else { "" };
        for name in OF_CODED_BODY.iter().filter(|name| **name != keeps) {
            lines.edit(&mut request.head, name, |_| LineEdit::Remove);
        }
        body::put(&mut request.body, encoded.unwrap_or(new));
        if matches!(request.body.framing, crate::exchange::Framing::Length(_)) {
            let len = request.body.len.to_string();
            lines.set(&mut request.head, "Content-Length", len.as_bytes());
        }
    }
}

impl ValuePlace {
    /// Returns whether a value can stand in a body there. Forms in lines (`multipart/form-data`) have no coding.
    fn takes(&self, value: &[u8]) -> bool {
        match self {
            Self::Json(_) => std::str::from_utf8(value).is_ok(),
            _ => !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')),
        }
    }
}

/// A value that cannot break the message around it.
fn safe(change: ValueChange, breaks: impl Fn(u8) -> bool) -> ValueChange {
    match change {
        ValueChange::Value(value) if value.iter().any(|byte| byte.is_ascii_control() || breaks(*byte)) => {
            ValueChange::Keep
        }
        change => change,
    }
}

/// Offers what the first group of `pattern` matches, or all of the value.
fn within(value: &[u8], pattern: Option<&Regex>, change: &mut Change<'_>) -> ValueChange {
    let Some(pattern) = pattern else { return change(value) };
    let Some(found) = first_group(pattern, value) else { return ValueChange::Keep };
    match change(found.as_bytes()) {
        ValueChange::Value(new) => {
            let (before, after) = (value.get(..found.start()), value.get(found.end()..));
            ValueChange::Value([before.unwrap_or_default(), &new, after.unwrap_or_default()].concat())
        }
        other => other,
    }
}

fn in_json(content: &[u8], path: &JsonPath, change: &mut Change<'_>) -> Option<Vec<u8>> {
    let new = json::replace(json_text(content)?, path, &mut |json| {
        let Some(ValueChange::Value(new)) = json_value(json).map(|value| change(&value)) else { return None };
        let new = String::from_utf8(new).ok()?;
        // A number stays one, where the new value is one.
        let is_number = !json.starts_with('"') && new.parse::<serde_json::Number>().is_ok();
        Some(if is_number { new } else { serde_json::Value::String(new).to_string() })
    });
    new.ok().flatten().map(String::into_bytes)
}

fn in_form(kind: &[u8], content: &[u8], name: &str, change: &mut Change<'_>) -> Option<Vec<u8>> {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    match essence.as_slice() {
        b"application/x-www-form-urlencoded" => in_pairs(content, name, change),
        b"multipart/form-data" => {
            let parts = FormParts { name, change: RefCell::new(change) };
            multipart::redact(&parts, kind, content, 0).ok().flatten()
        }
        _ => None,
    }
}

fn in_pairs(content: &[u8], name: &str, change: &mut Change<'_>) -> Option<Vec<u8>> {
    let (mut out, mut is_changed) = (Vec::with_capacity(content.len()), false);
    for (at, piece) in content.split(|byte| *byte == b'&').enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        match query::value(piece, name).map(|value| change(&value)) {
            Some(ValueChange::Value(new)) => {
                query::piece_with_value(&mut out, piece, &new);
                is_changed = true;
            }
            _ => out.extend_from_slice(piece),
        }
    }
    is_changed.then_some(out)
}

/// The parts of a form of this name.
struct FormParts<'a, 'b> {
    name: &'a str,
    change: RefCell<&'a mut Change<'b>>,
}

impl PartRedactor for FormParts<'_, '_> {
    fn names(&self, name: &[u8]) -> bool {
        name == self.name.as_bytes()
    }

    fn field(&self, value: &[u8]) -> ValueChange {
        match (self.change.borrow_mut())(value) {
            ValueChange::Remove => ValueChange::Keep,
            change => change,
        }
    }

    fn seeks_json(&self) -> bool {
        false
    }

    fn nested(&self, _: Option<&[u8]>, _: &[u8], _: u8) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{request, with_body};
    use super::super::CarryRule;
    use super::*;
    use crate::content_coding;
    use crate::exchange::Request;

    fn rule(into: Vec<ValuePlace>) -> CarryRule {
        CarryRule { into, ..CarryRule::default() }
    }

    /// The first rule alone.
    fn first() -> CarrySet {
        let mut set = CarrySet::NONE;
        set.add(0);
        set
    }

    /// What becomes of a request where `old` is `new` from now on.
    fn carried(into: ValuePlace, mut request: Request, new: &str) -> String {
        let choose = &mut |_: FoundAt<'_>, value: &[u8]| match (value, new) {
            (b"old", "-") => ValueChange::Remove,
            (b"old", new) => ValueChange::Value(new.as_bytes().to_vec()),
            _ => ValueChange::Keep,
        };
        ValuePlaces::of(&mut request).each(&[rule(vec![into])], first(), choose);
        let body = request.body.content().unwrap_or_default().into_owned();
        String::from_utf8_lossy(&[request.head.as_bytes(), &body].concat()).into_owned()
    }

    #[test]
    fn a_value_is_replaced_and_all_around_it_keeps_its_bytes() {
        let get = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n{lines}\r\n");
        let cookie = || ValuePlace::Cookie("sid".to_owned());
        let token = || ValuePlace::Header("authorization".to_owned(), Some(Regex::new("^Bearer (.*)$").unwrap()));
        let header = || ValuePlace::Header("X-Token".to_owned(), None);
        let param = || ValuePlace::Param("code".to_owned());
        for (into, before, new, after) in [
            (
                cookie(),
                get("/", "COOKIE:  a=1;sid=old ; b=old\r\nX: old\r\n"),
                "new",
                get("/", "COOKIE:  a=1;sid=new; b=old\r\nX: old\r\n"),
            ),
            (cookie(), get("/", "Cookie: sid=older\r\n"), "new", get("/", "Cookie: sid=older\r\n")),
            (cookie(), get("/", "Cookie: sid=old; b=2\r\n"), "-", get("/", "Cookie: b=2\r\n")),
            (cookie(), get("/", "Cookie: sid=old\r\n"), "a;b", get("/", "Cookie: sid=old\r\n")),
            (token(), get("/", "Authorization: Bearer old\r\n"), "new", get("/", "Authorization: Bearer new\r\n")),
            (token(), get("/", "Authorization: Basic old\r\n"), "new", get("/", "Authorization: Basic old\r\n")),
            (header(), get("/", "x-token:old\r\n"), "new", get("/", "x-token:new\r\n")),
            (header(), get("/", "x-token:old\r\n"), "a\r\nEvil: 1", get("/", "x-token:old\r\n")),
            (param(), get("/a?x=old&code=old&y", ""), "n/w", get("/a?x=old&code=n%2Fw&y", "")),
            (param(), get("/a?code=%6fld", ""), "new", get("/a?code=new", "")),
        ] {
            assert_eq!(carried(into, request(1, &before), new), after, "{before}");
        }
    }

    #[test]
    fn values_in_bodies_are_replaced_and_the_length_said_anew() {
        let json = || ValuePlace::Json(JsonPath::parse("$.token").unwrap());
        let form = || ValuePlace::Form("csrf".to_owned());
        let post = |kind: &str, body: &str| {
            let head = format!("POST / HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
            with_body(&head, body)
        };
        let multi = "multipart/form-data; boundary=b";
        let part =
            |value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{value}\r\n--b--\r\n");
        for (into, kind, before, after) in [
            (json(), "application/json", "{\"a\": 1.0, \"token\":\"old\"}", "{\"a\": 1.0, \"token\":\"n\\\"ew\"}"),
            (json(), "text/plain", "{\"token\":\"old\"}", "{\"token\":\"n\\\"ew\"}"),
            (json(), "application/json", "{\"token\":\"old\"", "{\"token\":\"old\""),
            (form(), "application/x-www-form-urlencoded", "a=%20old&csrf=old", "a=%20old&csrf=n%22ew"),
            (form(), "text/plain", "csrf=old", "csrf=old"),
            (form(), multi, &part("old"), &part("n\"ew")),
            (form(), multi, &part("older"), &part("older")),
        ] {
            let now = carried(into, post(kind, before), "n\"ew");
            let len = format!("Content-Length: {}\r\n\r\n{after}", after.len());
            assert!(now.ends_with(&len), "{before}: {now}");
        }
    }

    #[test]
    fn a_body_in_chunks_stays_in_chunks() {
        let head = "POST / HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let request = with_body(head, "8\r\n{\"token\"\r\n7\r\n:\"old\"}\r\n0\r\n\r\n");
        let json = ValuePlace::Json(JsonPath::parse("$.token").unwrap());
        let mut request = request;
        let choose = &mut |_: FoundAt<'_>, _: &[u8]| ValueChange::Value(b"longer than before".to_vec());
        ValuePlaces::of(&mut request).each(&[rule(vec![json])], first(), choose);
        assert_eq!(request.head.as_bytes(), head.as_bytes());
        assert_eq!(*request.body.content().unwrap(), br#"{"token":"longer than before"}"#[..]);
        assert!(request.body.wire.unwrap().ends_with(b"\r\n0\r\n\r\n"));
    }

    #[test]
    fn a_value_that_cannot_stand_in_its_place_is_told() {
        let cookie = || ValuePlace::Cookie("sid".to_owned());
        let header = || ValuePlace::Header("X-Token".to_owned(), None);
        let json = || ValuePlace::Json(JsonPath::parse("$.token").unwrap());
        let param = || ValuePlace::Param("sid".to_owned());
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n")
        };
        let multi = "Content-Type: multipart/form-data; boundary=b\r\n";
        for (into, lines, body, new, is_changed, is_unfit) in [
            (vec![cookie()], "Cookie: sid=old\r\n", String::new(), &b"new"[..], true, false),
            (vec![cookie()], "Cookie: sid=old\r\n", String::new(), b"a;b", false, true),
            (vec![cookie()], "Cookie: sid=other\r\n", String::new(), b"a;b", false, false),
            (vec![cookie(), param()], "Cookie: sid=old\r\n", String::new(), b"a;b", true, true),
            (vec![header()], "X-Token: old\r\n", String::new(), b"a\0", false, true),
            (vec![json()], "", r#"{"token":"old"}"#.to_owned(), b"a\xff", false, true),
            (vec![json()], "", r#"{"token":"old""#.to_owned(), b"new", false, false),
            (vec![ValuePlace::Form("t".to_owned())], multi, part("t", "old"), b"a\r\n--b", false, true),
            (vec![ValuePlace::Form("t".to_owned())], multi, part("t", "old"), b"a", true, false),
        ] {
            let mut request = with_body(&format!("POST /?sid=old HTTP/1.1\r\n{lines}\r\n"), &body);
            let before = (request.head.clone(), request.body.wire.clone());
            let choose = &mut |_: FoundAt<'_>, value: &[u8]| match value {
                b"old" => ValueChange::Value(new.to_vec()),
                _ => ValueChange::Keep,
            };
            let placed = ValuePlaces::of(&mut request).each(&[rule(into)], first(), choose);
            assert_eq!((placed.changed.has(0), placed.unfit.has(0)), (is_changed, is_unfit), "{lines}{body}");
            assert_eq!((request.head, request.body.wire) == before, !is_changed, "{lines}{body}");
        }
    }

    #[test]
    fn a_coded_body_is_changed_within_its_coding() {
        let json = br#"{"token":"old"}"#;
        for coding in ["gzip", "deflate", "zstd"] {
            let body = content_coding::encode(coding.as_bytes(), json).unwrap();
            let mut request = request(1, &format!("POST / HTTP/1.1\r\nContent-Encoding: {coding}\r\n\r\n"));
            request.body.len = body.len() as u64;
            request.body.framing = crate::exchange::Framing::Length(request.body.len);
            request.body.wire = Some(body.into());
            let rule = rule(vec![ValuePlace::Json(JsonPath::parse("$.token").unwrap())]);
            ValuePlaces::of(&mut request).each(&[rule], first(), &mut |_, _| ValueChange::Value(b"new".to_vec()));
            let wire = request.body.wire.clone().unwrap();
            assert_eq!(content_coding::decode(coding.as_bytes(), &wire, 100).unwrap(), br#"{"token":"new"}"#);
            assert_eq!(request.head.get("content-length"), Some(wire.len().to_string().as_bytes()), "{coding}");
        }
    }
}

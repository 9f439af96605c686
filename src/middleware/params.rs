//! Query parameters: each by its name as decoded; what no edit names keeps its bytes, order and duplicates.
//!
//! In goes a path and query, or a request whose target is to change; out come decoded values, or the changed target.
//! Coding is that of forms (`application/x-www-form-urlencoded`), as browsers and servers use it in queries.

use std::borrow::Cow;

use url::form_urlencoded;

use super::edit::Change;
use crate::exchange::Request;

/// What stands after the first question mark.
pub(super) fn query(path_and_query: &[u8]) -> Option<&[u8]> {
    path_and_query.get(memchr::memchr(b'?', path_and_query)? + 1..)
}

/// What stands before it.
pub(super) fn path(path_and_query: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    path_and_query.get(..end).unwrap_or_default()
}

/// The decoded values of parameter `name`, in order; one without an equals sign is empty.
pub(super) fn values<'a>(path_and_query: &'a [u8], name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    query(path_and_query)
        .into_iter()
        .flat_map(|query| query.split(|byte| *byte == b'&'))
        .filter_map(decoded)
        .filter(move |(found, _)| found == name)
        .map(|(_, value)| value)
}

/// Name and value of one piece of a query.
pub(super) fn decoded(piece: &[u8]) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(piece).next()
}

/// Offers each decoded value of parameter `name` to `change`; says how many there were.
pub(super) fn edit(request: &mut Request, name: &str, change: &mut dyn FnMut(&[u8]) -> Change) -> usize {
    let Some(query) = query(request.target()) else { return 0 };
    if values(request.target(), name).next().is_none() {
        return 0;
    }
    let (mut pieces, mut found, mut is_changed) = (Vec::new(), 0, false);
    for piece in query.split(|byte| *byte == b'&') {
        let change = match decoded(piece).filter(|(other, _)| other == name) {
            Some((_, value)) => {
                found += 1;
                change(value.as_bytes())
            }
            None => Change::Keep,
        };
        is_changed |= change != Change::Keep;
        match change {
            Change::Keep => pieces.push(piece.to_vec()),
            Change::Value(value) => pieces.push(piece_with_value(piece, &value)),
            Change::Name(name) => pieces.push(piece_with_name(piece, &name)),
            Change::Remove => {}
        }
    }
    if is_changed {
        let mut target = path(request.target()).to_vec();
        // Where nothing is left, the question mark goes too.
        if !pieces.is_empty() {
            target.push(b'?');
            target.extend(pieces.join(&b'&'));
        }
        request.head.set_target(&target);
    }
    found
}

/// Adds a parameter after the last one.
pub(super) fn append(request: &mut Request, name: &str, value: &[u8]) {
    let mut target = request.target().to_vec();
    match query(&target) {
        None => target.push(b'?'),
        Some([] | [.., b'&']) => {}
        Some(_) => target.push(b'&'),
    }
    target.extend(encoded(name.as_bytes()));
    target.push(b'=');
    target.extend(encoded(value));
    request.head.set_target(&target);
}

fn encoded(text: &[u8]) -> Vec<u8> {
    form_urlencoded::byte_serialize(text).collect::<String>().into_bytes()
}

fn piece_with_value(piece: &[u8], value: &[u8]) -> Vec<u8> {
    let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
    [name, b"=", &encoded(value)].concat()
}

fn piece_with_name(piece: &[u8], name: &str) -> Vec<u8> {
    let equals = memchr::memchr(b'=', piece).unwrap_or(piece.len());
    [&encoded(name.as_bytes()), piece.get(equals..).unwrap_or_default()].concat()
}

//! Query parameters: each by its name as decoded; what no edit names keeps its bytes, order and duplicates.
//!
//! In goes a path and query, or a head whose target is to change; out come decoded values, or the changed target.
//! Coding is that of forms (`application/x-www-form-urlencoded`), as browsers and servers use it in queries. Decoded
//! are bytes, whatever text they are: `%E9` may be a letter of Latin-1, and goes out as `%E9` again.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use url::form_urlencoded;

use super::lines::LineIndex;
use super::value_change::ValueChange;
use crate::exchange::Head;

/// Bytes by which a target mostly grows at most; one that grows by more costs another allocation.
const ROOM: usize = 32;

/// Returns the part after the first question mark.
pub(super) fn query(path_and_query: &[u8]) -> Option<&[u8]> {
    path_and_query.get(memchr::memchr(b'?', path_and_query)? + 1..)
}

/// Returns the part before the first question mark; `/` where an address has no path (RFC 9112, 3.2.1).
pub(super) fn path(path_and_query: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    if end == 0 { b"/" } else { path_and_query.get(..end).unwrap_or_default() }
}

/// Splits a target before its fragment. It should have none (RFC 9112, 3.2): where it has, parameters stand before that.
pub(super) fn split_fragment(target: &[u8]) -> (&[u8], &[u8]) {
    target.split_at_checked(memchr::memchr(b'#', target).unwrap_or(target.len())).unwrap_or((target, b""))
}

/// The decoded values of parameter `name`, in order; one without an equals sign is empty.
pub(super) fn values<'a>(path_and_query: &'a [u8], name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    query(split_fragment(path_and_query).0)
        .into_iter()
        .flat_map(|query| query.split(|byte| *byte == b'&'))
        .filter_map(move |piece| value(piece, name))
}

/// The decoded value of a piece of a query, where its decoded name is `name`.
pub(super) fn value<'a>(piece: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    let typed = name_of(piece);
    // Most names stand for themselves; then those of others need no decoding.
    let is_plain = typed.iter().all(|byte| byte.is_ascii() && !matches!(byte, b'%' | b'+'));
    if is_plain && typed != name.as_bytes() {
        return None;
    }
    decoded(piece).filter(|(found, _)| **found == *name.as_bytes()).map(|(_, value)| value)
}

/// Returns the part of a piece before its first equals sign.
fn name_of(piece: &[u8]) -> &[u8] {
    piece.get(..memchr::memchr(b'=', piece).unwrap_or(piece.len())).unwrap_or_default()
}

/// Bytes without their percent coding.
type Decoded<'a> = Cow<'a, [u8]>;

/// Name and value of one piece of a query; `None` where it is empty.
pub(super) fn decoded(piece: &[u8]) -> Option<(Decoded<'_>, Decoded<'_>)> {
    let name = name_of(piece);
    let value = piece.get(name.len() + 1..).unwrap_or_default();
    (!piece.is_empty()).then(|| (decode(name), decode(value)))
}

fn decode(coded: &[u8]) -> Decoded<'_> {
    if memchr::memchr(b'+', coded).is_none() {
        return percent_decode(coded).into();
    }
    let spaced: Vec<u8> = coded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// Offers each decoded value of parameter `name` to `change`; says how many there were.
pub(super) fn edit(
    lines: &mut LineIndex,
    head: &mut Head,
    name: &str,
    change: &mut dyn FnMut(&[u8]) -> ValueChange,
) -> usize {
    let (target, fragment) = split_fragment(lines.target(head));
    let Some(query) = query(target) else { return 0 };
    let mut changed = EditedTarget::new(target, query);
    let mut found = 0;
    for piece in query.split(|byte| *byte == b'&') {
        let change = value(piece, name).map(|value| {
            found += 1;
            change(&value)
        });
        changed.piece(piece, change.unwrap_or(ValueChange::Keep));
    }
    if let Some(mut target) = changed.target() {
        target.extend_from_slice(fragment);
        lines.set_target(head, &target);
    }
    found
}

/// A target with another query, made from the first piece that is another: before that nothing is copied.
struct EditedTarget<'a> {
    before: &'a [u8],
    kept: usize,
    pieces: usize,
    new: Option<Vec<u8>>,
}

impl<'a> EditedTarget<'a> {
    fn new(target: &'a [u8], query: &[u8]) -> Self {
        Self { before: target, kept: target.len() - query.len(), pieces: 0, new: None }
    }

    /// The next piece, and what becomes of it.
    fn piece(&mut self, piece: &[u8], change: ValueChange) {
        let Self { before, kept, pieces, new } = self;
        if new.is_none() && change == ValueChange::Keep {
            *kept += piece.len() + 1;
            *pieces += 1;
            return;
        }
        let new = new.get_or_insert_with(|| {
            let mut new = Vec::with_capacity(before.len() + ROOM);
            // Without the `?` or `&` before this piece.
            new.extend_from_slice(before.get(..kept.saturating_sub(1)).unwrap_or_default());
            new
        });
        if change == ValueChange::Remove {
            return;
        }
        new.push(if *pieces == 0 { b'?' } else { b'&' });
        *pieces += 1;
        match change {
            ValueChange::Value(value) => piece_with_value(new, piece, &value),
            ValueChange::Name(name) => piece_with_name(new, piece, &name),
            ValueChange::Keep | ValueChange::Remove => new.extend_from_slice(piece),
        }
    }

    /// The target, where it is another. Where no piece is left, its question mark is gone too.
    fn target(self) -> Option<Vec<u8>> {
        self.new
    }
}

/// Adds a parameter after the last one. What asks for the server itself (`OPTIONS *`), or for a connection (CONNECT), has
/// no query (RFC 9112, 3.2).
pub(super) fn append(lines: &mut LineIndex, head: &mut Head, name: &str, value: &[u8]) {
    let target = lines.target(head);
    if target == b"*" || head.request_line().0 == b"CONNECT" {
        return;
    }
    let (target, fragment) = split_fragment(target);
    let (mut target, fragment) = (target.to_vec(), fragment.to_vec());
    match query(&target) {
        None => target.push(b'?'),
        Some([] | [.., b'&']) => {}
        Some(_) => target.push(b'&'),
    }
    encode(&mut target, name.as_bytes());
    target.push(b'=');
    encode(&mut target, value);
    target.extend_from_slice(&fragment);
    lines.set_target(head, &target);
}

fn encode(out: &mut Vec<u8>, text: &[u8]) {
    for part in form_urlencoded::byte_serialize(text) {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes the piece with another value.
pub(super) fn piece_with_value(out: &mut Vec<u8>, piece: &[u8], value: &[u8]) {
    out.extend_from_slice(name_of(piece));
    out.push(b'=');
    encode(out, value);
}

fn piece_with_name(out: &mut Vec<u8>, piece: &[u8], name: &str) {
    encode(out, name.as_bytes());
    out.extend_from_slice(piece.get(name_of(piece).len()..).unwrap_or_default());
}

//! Heads just as RFC 9112 asks for them, as nearly all are: read in one pass, values eight bytes at a time.
//!
//! What is read here is what the strict parser (`httparse`) reads, for a part of the work. Whatever is odd about a head, a
//! tab, a bare line feed, a byte that is no ASCII in a name or target, is left to that.

use arrayvec::ArrayVec;

use super::framing_fields::{FAST_LINES, FramingFields, MAX_METHOD};
use crate::head::{HeadContents, KnownHeader, KnownLocations, LineLocation, NameSet};

/// A header line, all in bytes from the beginning of its head.
struct Line<'a> {
    name: &'a [u8],
    start: usize,
    /// Without the blanks around it.
    value: &'a [u8],
    value_start: usize,
    /// After its line end.
    end: usize,
}

/// The length of the request head that `bytes` begin with, and what is in it; `None` where that is not plain.
pub(super) fn request(bytes: &[u8], fields: &mut FramingFields) -> Option<(usize, HeadContents)> {
    let method = bytes.iter().take(MAX_METHOD + 1).position(|byte| !is_token(*byte))?;
    let target = first(bytes, method + 1, |byte| !byte.is_ascii_graphic(), not_graphic)?;
    let plain = method > 0 && bytes.get(method) == Some(&b' ') && target > method + 1;
    let [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b'\r', b'\n', ..] = bytes.get(target..)? else {
        return None;
    };
    let mut names = NameSet::default();
    let mut places = ArrayVec::<LineLocation, FAST_LINES>::new();
    let len = lines(bytes, target + 11, |line| {
        names.add(line.name);
        let Some(known) = KnownHeader::of(line.name) else { return is_name(line.name).then_some(()) };
        fields.note_known(known, line.value);
        let (start, value) = (small(line.start)?, small(line.value_start)?);
        let (value_end, end) = (value + small(line.value.len())?, small(line.end)?);
        places.push(LineLocation { known, start, value, value_end, end });
        Some(())
    })?;
    let locations = KnownLocations { method: small(method)?, target: small(target)?, lines: places.as_slice().into() };
    plain.then(|| (len, HeadContents::of_request(names, locations)))
}

/// The length of the response head that `bytes` begin with, whose lines `note` is given; `None` where that is not plain:
/// what was noted does not count then.
pub(super) fn response<'a>(bytes: &'a [u8], mut note: impl FnMut(&'a [u8], &'a [u8])) -> Option<usize> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', status @ ..] = bytes else { return None };
    let [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', reason @ ..] = status else { return None };
    let end = first(bytes, 12, |byte| byte.is_ascii_control(), controls)?;
    let [b'\r', b'\n', ..] = bytes.get(end..)? else { return None };
    if end > 12 && reason.first() != Some(&b' ') {
        return None;
    }
    lines(bytes, end + 2, |line| {
        note(line.name, line.value);
        is_name(line.name).then_some(())
    })
}

/// Reads header lines from `at` on, up to the empty one; returns where that ends. Their names are not empty, and have no
/// colon; whether they are names is for `take` to say.
#[inline]
fn lines<'a>(bytes: &'a [u8], mut at: usize, mut take: impl FnMut(Line<'a>) -> Option<()>) -> Option<usize> {
    for number in 0..=FAST_LINES {
        let rest = bytes.get(at..)?;
        if let [b'\r', b'\n', ..] = rest {
            return Some(at + 2);
        }
        let len = colon(rest)?;
        if number == FAST_LINES || len == 0 {
            return None;
        }
        let mut begin = len + 1;
        while rest.get(begin) == Some(&b' ') {
            begin += 1;
        }
        let line_end = first(rest, begin, |byte| byte.is_ascii_control(), controls)?;
        let [b'\r', b'\n', ..] = rest.get(line_end..)? else { return None };
        let mut end = line_end;
        while end > begin && rest.get(end - 1) == Some(&b' ') {
            end -= 1;
        }
        let (name, value) = (rest.get(..len)?, rest.get(begin..end)?);
        // An empty value stands behind the colon, whatever blanks follow it.
        let value_start = at + if value.is_empty() { len + 1 } else { begin };
        let start = at;
        at += line_end + 2;
        take(Line { name, start, value, value_start, end: at })?;
    }
    None
}

/// Every byte of a word.
const ONES: u64 = u64::MAX / 255;
/// The upper bit of each byte.
const HIGH: u64 = ONES * 0x80;

/// The upper bit of each byte that is at least so much. Of the word no upper bit is set: no sum reaches the next byte.
#[inline]
const fn least(word: u64, least: u8) -> u64 {
    word + ONES * (0x80 - least) as u64
}

/// The upper bit of each byte that is a control character.
#[inline]
const fn controls(word: u64) -> u64 {
    // The one before the first, then all others.
    let from_delete = ((word & !HIGH) + ONES) & !HIGH;
    !(least(from_delete, 0x21) | word) & HIGH
}

/// The upper bit of each byte that is no ASCII, or not visible.
#[inline]
const fn not_graphic(word: u64) -> u64 {
    let low = word & !HIGH;
    (!least(low, b'!') | least(low, 0x7f) | word) & HIGH
}

/// Where the first byte that `is` so stands, from `at` on; `marks` has the upper bit of each byte of a word that is so.
#[inline]
fn first(bytes: &[u8], at: usize, is: impl Fn(u8) -> bool + Copy, marks: impl Fn(u64) -> u64) -> Option<usize> {
    /// No way out of a block: the compiler makes one instruction of each step for all of its bytes.
    const BLOCK: usize = 16;
    let rest = bytes.get(at..)?;
    let mut passed = 0;
    for block in rest.as_chunks::<BLOCK>().0 {
        if block.iter().fold(false, |any, byte| any | is(*byte)) {
            break;
        }
        passed += BLOCK;
    }
    let (words, last) = rest.get(passed..)?.as_chunks();
    for word in words {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + passed + found.trailing_zeros() as usize / 8);
        }
        passed += 8;
    }
    Some(at + passed + last.iter().position(|byte| is(*byte))?)
}

/// Where the first colon stands that may end a name. What stands before it is to be looked at.
#[inline]
fn colon(bytes: &[u8]) -> Option<usize> {
    /// Words in which it mostly is.
    const NEAR: usize = 4;
    for (number, word) in bytes.as_chunks().0.iter().take(NEAR).enumerate() {
        let other = u64::from_le_bytes(*word) ^ (ONES * u64::from(b':'));
        // The lowest bit that is set is exact: what borrows stands above it.
        let found = other.wrapping_sub(ONES) & !other & HIGH;
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let len = bytes.iter().take_while(|byte| is_token(**byte)).count();
    (bytes.get(len) == Some(&b':')).then_some(len)
}

/// Whether all bytes may stand in a name. Letters and dashes are told eight at a time; what else there may be is rare.
#[inline]
fn is_name(bytes: &[u8]) -> bool {
    let is_plain = |eight: &[u8; 8]| {
        let word = u64::from_le_bytes(*eight);
        let lower = (word | (ONES * 0x20)) & !HIGH;
        let letters = least(lower, b'a') & !least(lower, b'z' + 1);
        let dashes = !least((word & !HIGH) ^ (ONES * u64::from(b'-')), 1);
        (letters | dashes) & !word & HIGH == HIGH
    };
    // What is left over after whole words is among the last eight bytes.
    let plain = bytes.last_chunk().is_some_and(is_plain) && bytes.as_chunks().0.iter().all(is_plain);
    plain || bytes.iter().all(|byte| is_token(*byte))
}

/// Whether a byte may stand in a name or method (RFC 9110, 5.6.2).
#[inline]
fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "below 256")]
            let is_token = crate::http1::framing_fields::is_token(byte as u8);
            #[expect(clippy::indexing_slicing, reason = "as long as it counts")]
            {
                table[byte] = is_token;
            }
            byte += 1;
        }
        table
    };
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

fn small(number: usize) -> Option<u32> {
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::head::{parsed_request, parsed_response};

    /// Whether a head is plain, which has to say the same as where the strict parser reads it.
    #[track_caller]
    fn is_plain(bytes: &[u8]) -> bool {
        let (mut plain, mut parsed) = (FramingFields::default(), FramingFields::default());
        if bytes.starts_with(b"HTTP") {
            let found = response(bytes, |name, value| plain.note(name, value));
            if found.is_some() {
                let expected = parsed_response(bytes, &mut parsed);
                assert_eq!(
                    (found, format!("{plain:?}")),
                    (expected, format!("{parsed:?}")),
                    "{}",
                    bytes.escape_ascii()
                );
            }
            return found.is_some();
        }
        let found = request(bytes, &mut plain);
        if found.is_some() {
            let expected = parsed_request(bytes, &mut parsed);
            let (found, expected) = (format!("{found:?} {plain:?}"), format!("{expected:?} {parsed:?}"));
            assert_eq!(found, expected, "{}", bytes.escape_ascii());
        }
        found.is_some()
    }

    const HEADS: [&str; 6] = [
        "GET /a?b=c%20d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11)\r\nAccept: */*\r\n\r\n",
        "POST / HTTP/1.0\r\ncontent-length:  5  \r\nEmpty:\r\nBlank:   \r\nExpect: 100-continue\r\n\r\nhello",
        "PUT /x HTTP/1.1\r\nTRANSFER-ENCODING: gzip, chunked\r\nX-Forwarded-Proto: https\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 12\r\n\r\n",
        "HTTP/1.0 404\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nbody",
        "HTTP/1.1 204 \r\n\r\n",
    ];

    #[test]
    fn heads_as_clients_and_servers_write_them_are_plain() {
        assert!(HEADS.iter().all(|head| is_plain(head.as_bytes())));
        let long = format!("GET /{0} HTTP/1.1\r\nCookie: {0}=\u{fc}\r\n\r\n", "a".repeat(3000));
        assert!(is_plain(long.as_bytes()));
    }

    #[test]
    fn whatever_byte_is_changed_added_or_missing_the_strict_parser_agrees() {
        for head in HEADS {
            let head = head.as_bytes();
            for at in 0..head.len() {
                assert!(!is_plain(&head[..at]) || head[..at].ends_with(b"\r\n\r\n") || at > head.len() - 6);
                let (before, after) = head.split_at(at);
                is_plain(&[before, &after[1..]].concat());
                for byte in 0..=u8::MAX {
                    is_plain(&[before, &[byte], &after[1..]].concat());
                    is_plain(&[before, &[byte], after].concat());
                    is_plain(&[before, &[byte, b'\n'], after].concat());
                }
            }
        }
    }

    #[test]
    fn a_name_is_told_by_its_bytes_however_many_there_are() {
        for byte in 0..=u8::MAX {
            for before in 0..20 {
                for after in 0..10 {
                    let mut bytes = vec![b'X'; before + after + 1];
                    bytes[before] = byte;
                    assert_eq!(is_name(&bytes), is_token(byte), "{}", bytes.escape_ascii());
                }
            }
        }
        assert!(is_name(b"Az09-_~!") && is_name(b""));
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for len in [0, 1, 7, 8, 15, 16, 17, 40] {
                for place in 0..=len {
                    let mut bytes = vec![b'x'; len + 1];
                    bytes[place] = byte;
                    let from = place.saturating_sub(20);
                    let found = first(&bytes, from, |byte| byte.is_ascii_control(), controls);
                    assert_eq!(found, byte.is_ascii_control().then_some(place), "{byte} at {place} of {len}");
                    let found = first(&bytes, from, |byte| !byte.is_ascii_graphic(), not_graphic);
                    assert_eq!(found, (!byte.is_ascii_graphic()).then_some(place), "{byte} at {place} of {len}");
                    assert_eq!(first(&bytes, place + 1, |byte| byte.is_ascii_control(), controls), None);
                    assert_eq!(colon(&bytes), (byte == b':').then_some(place), "{byte} at {place} of {len}");
                }
            }
        }
        assert_eq!(first(b"abc", 4, |_| true, |_| HIGH), None);
        assert_eq!((colon(b"a name that is none but long enough: b"), colon(b"abc"), colon(b"")), (None, None, None));
    }

    #[test]
    fn a_head_with_more_lines_than_there_is_room_for_is_not_plain() {
        let head = |lines: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "Host: a\r\n".repeat(lines));
        assert!(is_plain(head(FAST_LINES).as_bytes()));
        assert!(!is_plain(head(FAST_LINES + 1).as_bytes()));
    }
}

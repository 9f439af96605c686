//! JSON objects written to memory key by key: for lines of which there are millions.
//!
//! What is written is what `serde_json` would write, for a small part of the work: nearly every text is ASCII without anything
//! to escape, and every other one is left to `serde_json`.

use std::io::Write as _;
use std::net::SocketAddr;

use data_encoding::{BASE64, HEXLOWER};

use crate::exchange::{Digest, ExchangeId, Timestamp, wire_text};

/// An object that is being written. After each [`JsonObject::key`] comes one value.
pub(super) struct JsonObject<'a> {
    to: &'a mut Vec<u8>,
    /// What stands before the next key.
    before: u8,
}

impl<'a> JsonObject<'a> {
    pub(super) const fn begin(to: &'a mut Vec<u8>) -> Self {
        Self { to, before: b'{' }
    }

    /// Ends an object that has any key.
    pub(super) fn end(self) {
        self.to.push(b'}');
    }

    /// Begins an entry; the key has nothing to escape.
    #[inline]
    pub(super) fn key(&mut self, key: &'static str) -> &mut Self {
        self.to.extend_from_slice(&[self.before, b'"']);
        self.to.extend_from_slice(key.as_bytes());
        self.to.extend_from_slice(b"\":");
        self.before = b',';
        self
    }

    /// A value, or null.
    #[inline]
    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.to.extend_from_slice(b"null"),
        }
    }

    /// An object as a value.
    pub(super) fn object(&mut self) -> JsonObject<'_> {
        JsonObject::begin(self.to)
    }

    pub(super) fn is_true(&mut self) {
        self.to.extend_from_slice(b"true");
    }

    pub(super) fn number(&mut self, number: u64) {
        push_number(self.to, number);
    }

    /// Text from the wire, as [`wire_text`] has it.
    pub(super) fn text(&mut self, text: &[u8]) {
        if is_plain(text) {
            self.quoted(|to| to.extend_from_slice(text));
        } else {
            // Writing to memory cannot fail, and every text can be said in JSON.
            serde_json::to_writer(&mut *self.to, &wire_text(text)).ok();
        }
    }

    pub(super) fn id(&mut self, id: ExchangeId) {
        self.quoted(|to| {
            if id == ExchangeId::new(id.connection, id.index) {
                push_number(to, id.connection.0);
                to.push(b'.');
                push_number(to, id.index.into());
            } else {
                write!(to, "{id}").ok();
            }
        });
    }

    pub(super) fn instant(&mut self, at: Timestamp) {
        self.quoted(|to| to.extend_from_slice(&at.text()));
    }

    pub(super) fn address(&mut self, address: SocketAddr) {
        self.quoted(|to| match address {
            SocketAddr::V4(address) => {
                for (octet, after) in address.ip().octets().into_iter().zip(*b"...:") {
                    push_number(to, octet.into());
                    to.push(after);
                }
                push_number(to, address.port().into());
            }
            SocketAddr::V6(_) => _ = write!(to, "{address}"),
        });
    }

    pub(super) fn digest(&mut self, digest: &Digest) {
        let mut text = [0; 2 * size_of::<Digest>()];
        HEXLOWER.encode_mut(digest, &mut text);
        self.quoted(|to| to.extend_from_slice(&text));
    }

    pub(super) fn base64(&mut self, bytes: &[u8]) {
        self.quoted(|to| {
            let start = to.len();
            to.resize(start + BASE64.encode_len(bytes.len()), 0);
            BASE64.encode_mut(bytes, to.get_mut(start..).unwrap_or_default());
        });
    }

    #[inline]
    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.to.push(b'"');
        write(self.to);
        self.to.push(b'"');
    }
}

fn push_number(to: &mut Vec<u8>, mut number: u64) {
    /// Digits of the largest number.
    const MOST: usize = 20;
    let mut digits = [b'0'; MOST];
    let mut len = 1;
    for place in digits.iter_mut().rev() {
        *place += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
        len += 1;
    }
    to.extend_from_slice(digits.get(MOST - len..).unwrap_or_default());
}

/// Returns whether all of it is printable ASCII with nothing to escape.
fn is_plain(text: &[u8]) -> bool {
    // Blocks, and no way out of one: so many bytes are looked at in one instruction.
    let is_plain = |block: &[u8]| {
        block.iter().fold(true, |plain, byte| plain & matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~'))
    };
    let (blocks, rest) = text.as_chunks::<16>();
    blocks.iter().all(|block| is_plain(block)) && is_plain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::ConnectionId;

    #[track_caller]
    fn check(write: impl FnOnce(&mut JsonObject<'_>), expected: &str) {
        let mut to = Vec::new();
        write(&mut JsonObject::begin(&mut to));
        assert_eq!(String::from_utf8(to).unwrap(), expected);
    }

    #[test]
    fn every_text_is_written_as_serde_json_writes_it() {
        for byte in 0..=u8::MAX {
            for len in [1, 2, 16, 17, 40] {
                for place in [0, len - 1] {
                    let mut text = vec![b'a'; len];
                    text[place] = byte;
                    check(|json| json.text(&text), &serde_json::to_string(&wire_text(&text)).unwrap());
                }
            }
        }
        check(|json| json.text("caf\u{e9}\u{1f600}".as_bytes()), "\"caf\u{e9}\u{1f600}\"");
        check(|json| json.text(b""), "\"\"");
    }

    #[test]
    fn values_are_written_as_they_print() {
        let powers = (0..20).map(|digits| 10_u64.pow(digits));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            check(|json| json.number(number), &number.to_string());
        }
        for address in ["0.0.0.0:0", "255.10.9.100:65535", "[2001:db8::1]:80", "[::ffff:10.0.0.1]:1"] {
            check(|json| json.address(address.parse().unwrap()), &format!("\"{address}\""));
        }
        let mut id = ExchangeId::new(ConnectionId(17), 3);
        check(|json| json.id(id), "\"17.3\"");
        (id.pass, id.copy) = (2, 1);
        check(|json| json.id(id), "\"17.3@2+1\"");
        let at = Timestamp::from_nanos(1_795_291_200_000_000_007);
        check(|json| json.instant(at), &format!("\"{at}\""));
        check(|json| json.digest(&[0xab; 32]), &format!("\"{}\"", "ab".repeat(32)));
        check(|json| json.base64(b"ok"), "\"b2s=\"");
    }

    #[test]
    fn entries_stand_in_their_order() {
        let mut to = b"before ".to_vec();
        let mut json = JsonObject::begin(&mut to);
        json.key("a").number(1);
        json.key("b").optional(None, JsonObject::number);
        let mut inner = json.key("c").object();
        inner.key("d").is_true();
        inner.end();
        json.key("e").text(b"f");
        json.end();
        assert_eq!(String::from_utf8(to).unwrap(), r#"before {"a":1,"b":null,"c":{"d":true},"e":"f"}"#);
    }
}

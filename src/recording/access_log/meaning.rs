//! What a field of an access log says, and where a line has what a request is made of.

use std::borrow::Cow;

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing that a request needs.
    Ignored,
    /// The client's address; its port may stand behind it.
    Client,
    ClientPort,
    /// When the request began, or when it had ended.
    Time {
        at_end: bool,
    },
    /// Method, target and version.
    Request,
    Method,
    Target,
    /// The path alone.
    Path,
    /// The query, with its question mark or without.
    Query,
    Version,
    /// Host of the request; of several the one that comes first here counts.
    Host(HostSource),
    /// A header of the request.
    Header(String),
    /// A cookie of the request.
    Cookie(String),
    /// All headers of the request, as an object of JSON.
    Headers,
    Status,
    /// Bytes of the response.
    Bytes,
    /// Body of the request.
    Body,
    BodyLength,
    /// A number that requests of one connection share.
    Connection,
    /// A length of time.
    Took(Took, TimeUnit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostSource {
    /// As the client sent it.
    Header,
    /// As the server understood it.
    Request,
    /// Name of the virtual server.
    Server,
}

/// Length of time that a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// To read the request's head.
    Head,
    /// In HAProxy's queue.
    Queue,
    /// To connect to the server.
    Connect,
    /// Until the server's head came.
    Server,
    /// From the first byte of the request to the last one of the response.
    All,
    /// Until the upstream's head came, from the start of the attempt.
    UpstreamHead,
    /// Until the upstream's last byte.
    Upstream,
    /// As a field map says: what the log calls latency.
    Latency,
}

/// Unit of a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl TimeUnit {
    pub(super) const fn nanos(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Micros => 1000,
            Self::Nanos => 1,
        }
    }
}

/// A field: its name in the format, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) meaning: Meaning,
}

/// How values are written that have special bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// As they are.
    None,
    /// `\x22`, `\"`, `\u0022`, `\n`.
    Backslash,
    /// `#22`.
    Hash,
}

impl Escapes {
    /// The value that `text` stands for.
    pub(super) fn decode(self, text: &[u8]) -> Cow<'_, [u8]> {
        let mark = match self {
            Self::None => return Cow::Borrowed(text),
            Self::Backslash => b'\\',
            Self::Hash => b'#',
        };
        let Some(first) = memchr::memchr(mark, text) else { return Cow::Borrowed(text) };
        let (mut plain, mut rest) = text.split_at_checked(first).map_or((Vec::new(), text), |(a, b)| (a.to_vec(), b));
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if *byte != mark {
                plain.push(*byte);
                continue;
            }
            match self.escaped(after, &mut plain) {
                Some(used) => rest = after.get(used..).unwrap_or_default(),
                None => plain.push(mark),
            }
        }
        Cow::Owned(plain)
    }

    /// Reads what follows the mark; returns its length, or nothing where it is no escape.
    fn escaped(self, after: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
        if self == Self::Hash {
            plain.push(hex(after.get(..2)?)?);
            return Some(2);
        }
        let simple = match after.first()? {
            b'x' | b'X' => {
                plain.push(hex(after.get(1..3)?)?);
                return Some(3);
            }
            b'u' => {
                let high = hex(after.get(1..3)?)?;
                let low = hex(after.get(3..5)?)?;
                let letter = char::from_u32(u32::from(high) << 8 | u32::from(low)).unwrap_or('\u{fffd}');
                plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(5);
            }
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            other @ (b'"' | b'\\' | b'/' | b'\'' | b']') => *other,
            _ => return None,
        };
        plain.push(simple);
        Some(1)
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_others_stay() {
        let back = |text: &str| String::from_utf8(Escapes::Backslash.decode(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(back(r"a\x22b\u00e9\\c\/d"), "a\"b\u{e9}\\c/d");
        assert_eq!(back(r"\q \x2 \"), r"\q \x2 \");
        assert_eq!(&*Escapes::Hash.decode(b"/a#22b#7C#zz"), b"/a\"b|#zz");
        assert_eq!(&*Escapes::None.decode(b"\\x22"), b"\\x22");
    }
}

//! The header lines that shadowtap itself asks for, whatever middleware asks for: found once, when a head is parsed.
//!
//! The parser says where they stand ([`Contents`]); then nobody on the way of a request has to read its head again.

use super::{HeaderLine, HeaderLines, NameSet};

/// A header name that is asked for in every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownHeader {
    Accept,
    AcceptEncoding,
    AcceptLanguage,
    Authorization,
    Connection,
    ContentLength,
    Cookie,
    Expect,
    Host,
    Http2Settings,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    KeepAlive,
    Origin,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Range,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    XApiKey,
    XForwardedProto,
}

impl KnownHeader {
    /// Returns the known header of this name, in any case.
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        // Length and first letter leave one of them, or two.
        let known = match (name.len(), name.first()? | 0x20) {
            (2, b't') => Self::Te,
            (4, b'h') => Self::Host,
            (5, b'r') => Self::Range,
            (6, b'a') => Self::Accept,
            (6, b'c') => Self::Cookie,
            (6, b'e') => Self::Expect,
            (6, b'o') => Self::Origin,
            (7, b't') => Self::Trailer,
            (7, b'u') => Self::Upgrade,
            (8, b'i') => Self::IfMatch,
            (9, b'x') => Self::XApiKey,
            (10, b'c') => Self::Connection,
            (10, b'k') => Self::KeepAlive,
            (13, b'a') => Self::Authorization,
            (13, b'i') => Self::IfNoneMatch,
            (14, b'c') => Self::ContentLength,
            (14, b'h') => Self::Http2Settings,
            (15, b'a') if name.get(7).is_some_and(|byte| byte | 0x20 == b'e') => Self::AcceptEncoding,
            (15, b'a') => Self::AcceptLanguage,
            (16, b'p') => Self::ProxyConnection,
            (17, b'i') => Self::IfModifiedSince,
            (17, b't') => Self::TransferEncoding,
            (17, b'x') => Self::XForwardedProto,
            (18, b'p') => Self::ProxyAuthenticate,
            (19, b'p') => Self::ProxyAuthorization,
            _ => return None,
        };
        is_spelled(name, known.name().as_bytes()).then_some(known)
    }

    /// In lower case.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptEncoding => "accept-encoding",
            Self::AcceptLanguage => "accept-language",
            Self::Authorization => "authorization",
            Self::Connection => "connection",
            Self::ContentLength => "content-length",
            Self::Cookie => "cookie",
            Self::Expect => "expect",
            Self::Host => "host",
            Self::Http2Settings => "http2-settings",
            Self::IfMatch => "if-match",
            Self::IfModifiedSince => "if-modified-since",
            Self::IfNoneMatch => "if-none-match",
            Self::KeepAlive => "keep-alive",
            Self::Origin => "origin",
            Self::ProxyAuthenticate => "proxy-authenticate",
            Self::ProxyAuthorization => "proxy-authorization",
            Self::ProxyConnection => "proxy-connection",
            Self::Range => "range",
            Self::Te => "te",
            Self::Trailer => "trailer",
            Self::TransferEncoding => "transfer-encoding",
            Self::Upgrade => "upgrade",
            Self::XApiKey => "x-api-key",
            Self::XForwardedProto => "x-forwarded-proto",
        }
    }
}

/// Returns whether `name` is this known name, of the same length and in any case. The known name has letters, digits and
/// dashes in lower case, 24 of them at most. Compares words, since it runs for each line.
#[inline]
fn is_spelled(name: &[u8], known: &[u8]) -> bool {
    // Of these bytes letters alone have bit 6, and case is bit 5 of a letter.
    let same = |(word, known): (&[u8; 8], &[u8; 8])| {
        let (word, known) = (u64::from_ne_bytes(*word), u64::from_ne_bytes(*known));
        word | ((known & 0x4040_4040_4040_4040) >> 1) == known
    };
    let same_half = |(word, known): (&[u8; 4], &[u8; 4])| {
        let (word, known) = (u32::from_ne_bytes(*word), u32::from_ne_bytes(*known));
        word | ((known & 0x4040_4040) >> 1) == known
    };
    // The first word and the last one have all bytes of two words; those of three have one between them.
    if let (Some((first, rest)), Some((known_first, known_rest))) =
        (name.split_first_chunk(), known.split_first_chunk())
    {
        let middle = rest.first_chunk().zip(known_rest.first_chunk());
        let last = name.last_chunk().zip(known.last_chunk());
        return same((first, known_first)) && last.is_some_and(same) && middle.is_none_or(same);
    }
    if let (Some(first), Some(known_first)) = (name.first_chunk(), known.first_chunk()) {
        return same_half((first, known_first)) && name.last_chunk().zip(known.last_chunk()).is_some_and(same_half);
    }
    name.iter().zip(known).all(|(byte, known)| byte | ((known & 0x40) >> 1) == *known)
}

/// Contents of a head, as found by its parser.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadContents {
    /// Names that its lines may have.
    pub(super) names: NameSet,
    pub(super) request: Option<KnownLocations>,
}

impl HeadContents {
    /// Of a head that nobody has looked at, or that has changed since.
    pub(crate) const UNREAD: Self = Self { names: NameSet::ALL, request: None };

    /// Of a request head as RFC 9112 asks for it.
    pub(crate) const fn of_request(names: NameSet, places: KnownLocations) -> Self {
        Self { names, request: Some(places) }
    }
}

/// Positions of the parts of a request head that are used later, in bytes from its beginning.
#[derive(Clone, Debug)]
pub(crate) struct KnownLocations {
    /// End of the method; one blank follows.
    pub(crate) method: u32,
    /// End of the target; one blank follows, and the version.
    pub(crate) target: u32,
    /// Lines with a [`Known`] name, in order.
    pub(crate) lines: Box<[LineLocation]>,
}

/// Position of a line with this name, with no blank between the name and its colon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineLocation {
    pub(crate) known: KnownHeader,
    pub(crate) start: u32,
    /// Start of its value, without the blanks around it. The end is in `value_end`.
    pub(crate) value: u32,
    pub(crate) value_end: u32,
    /// After its line end.
    pub(crate) end: u32,
}

impl LineLocation {
    fn line(self, raw: &[u8]) -> HeaderLine<'_> {
        let (start, value_start, end) = (self.start as usize, self.value as usize, self.end as usize);
        let colon = self.known.name().len();
        HeaderLine {
            name: raw.get(start..start + colon).unwrap_or_default(),
            value: raw.get(value_start..self.value_end as usize).unwrap_or_default(),
            span: start..end,
            value_start,
            colon: Some(colon),
        }
    }
}

/// Iterator over the lines of a head that have a [`Known`] name, in order.
pub(crate) enum KnownLines<'a> {
    /// It is known where they stand.
    Found {
        raw: &'a [u8],
        places: std::slice::Iter<'a, LineLocation>,
    },
    Sought(HeaderLines<'a>),
}

impl<'a> Iterator for KnownLines<'a> {
    type Item = (KnownHeader, HeaderLine<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Found { raw, places } => places.next().map(|place| (place.known, place.line(raw))),
            Self::Sought(lines) => lines.find_map(|line| Some((KnownHeader::of(line.name)?, line))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_known_in_every_case_and_nothing_like_it_is() {
        let names = "accept accept-encoding accept-language authorization connection content-length cookie expect host \
                     http2-settings if-match if-modified-since if-none-match keep-alive origin proxy-authenticate \
                     proxy-authorization proxy-connection range te trailer transfer-encoding upgrade x-api-key \
                     x-forwarded-proto";
        for name in names.split(' ') {
            for spelled in [name.to_owned(), name.to_uppercase()] {
                assert_eq!(KnownHeader::of(spelled.as_bytes()).map(KnownHeader::name), Some(name));
            }
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                let same = [other[at], other[at].to_ascii_uppercase()];
                for byte in (0..=255).filter(|byte| !same.contains(byte)) {
                    other[at] = byte;
                    assert_ne!(KnownHeader::of(&other).map(KnownHeader::name), Some(name), "{other:?}");
                }
            }
        }
        assert_eq!(KnownHeader::of(b""), None);
    }
}

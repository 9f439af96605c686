//! Bodies without their content coding (RFC 9110, 8.4): gzip, deflate, br, zstd.

use std::borrow::Cow;

use super::budget::Budget;
use super::indexed_head::IndexedHead;
use crate::content_coding::{self, DecodeError, MAX_CODINGS};

/// Reason why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// A coding is not known, or what is under it is not what it says.
    Opaque,
    /// It is longer than it may be: no more than that was ever made of it.
    TooLong,
    /// There is no memory for it.
    Memory,
}

/// The content behind all codings, `most` bytes at most.
pub(super) fn decoded<'a>(
    head: &IndexedHead<'_>,
    body: &'a [u8],
    most: usize,
    budget: &Budget,
) -> Result<Cow<'a, [u8]>, Undecoded> {
    each(head, body, most, |coding, body| one(content_coding::decode, coding, body, most, budget))
}

/// The beginning of the content behind all codings of a body that has no end, `most` bytes at most.
pub(super) fn decoded_beginning<'a>(
    head: &IndexedHead<'_>,
    body: &'a [u8],
    most: usize,
    budget: &Budget,
) -> Result<Cow<'a, [u8]>, Undecoded> {
    each(head, body, most, |coding, body| one(content_coding::decode_beginning, coding, body, most, budget))
}

/// Takes off each coding of a body in turn.
fn each<'a>(
    head: &IndexedHead<'_>,
    body: &'a [u8],
    most: usize,
    take_off: impl Fn(&[u8], &[u8]) -> Result<Vec<u8>, Undecoded>,
) -> Result<Cow<'a, [u8]>, Undecoded> {
    let codings = content_coding::codings(head.get_all("content-encoding"));
    if codings.len() > MAX_CODINGS || body.len() > most {
        return Err(Undecoded::Opaque);
    }
    let mut content = Cow::Borrowed(body);
    for coding in codings.iter().rev() {
        content = Cow::Owned(take_off(coding, &content)?);
    }
    Ok(content)
}

/// Takes one coding off a body: `most` bytes at most may come of it.
type Decode = fn(&[u8], &[u8], usize) -> Result<Vec<u8>, DecodeError>;

/// Takes one coding off, as far as there is memory for what comes of it.
fn one(decode: Decode, coding: &[u8], body: &[u8], most: usize, budget: &Budget) -> Result<Vec<u8>, Undecoded> {
    // A vector that grows may be twice as large as what is in it.
    let room = budget.left() / 2;
    match decode(coding, body, most.min(room)) {
        Ok(content) if budget.take(content.capacity()) => Ok(content),
        Ok(_) => Err(Undecoded::Memory),
        Err(DecodeError::TooLong) if room < most => Err(Undecoded::Memory),
        Err(DecodeError::TooLong) => Err(Undecoded::TooLong),
        Err(DecodeError::Opaque) => Err(Undecoded::Opaque),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::exchange::Head;

    const TEXT: &[u8] = b"{\"a\":1,\"b\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}";

    fn head(coding: &str) -> Head {
        Head::new(format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n").into_bytes())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn of(coding: &str, body: &[u8], memory: usize) -> Result<Vec<u8>, Undecoded> {
        decoded(&IndexedHead::new(&head(coding)), body, 1000, &Budget::new(memory)).map(Cow::into_owned)
    }

    #[track_caller]
    fn check(coding: &str, body: &[u8], content: Option<&[u8]>) {
        assert_eq!(of(coding, body, 1 << 20), content.map(<[u8]>::to_vec).ok_or(Undecoded::Opaque), "{coding}");
    }

    #[track_caller]
    fn check_bomb(coding: &str, body: &[u8]) {
        assert_eq!(of(coding, body, 1 << 20), Err(Undecoded::TooLong), "{coding}");
        assert_eq!(of(coding, body, 500), Err(Undecoded::Memory), "{coding}");
    }

    #[test]
    fn every_coding_is_taken_off_and_several_in_turn() {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(TEXT).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        raw.write_all(TEXT).unwrap();
        let zstd = zstd::encode_all(TEXT, 1).unwrap();
        check("gzip", &gzip(TEXT), Some(TEXT));
        check("X-GZIP", &gzip(TEXT), Some(TEXT));
        check("deflate", &zlib.finish().unwrap(), Some(TEXT));
        check("deflate", &raw.finish().unwrap(), Some(TEXT));
        check("zstd", &zstd, Some(TEXT));
        check("identity", TEXT, Some(TEXT));
        check("zstd, gzip", &gzip(&zstd), Some(TEXT));
        // "hello\n", as brotli's own tool stores it.
        check("br", b"\x8b\x02\x80hello\n\x03", Some(b"hello\n"));
    }

    #[test]
    fn what_is_not_what_it_says_is_left_alone() {
        check("gzip", TEXT, None);
        check("br", b"\xff\xff\xff\xff", None);
        check("zstd", TEXT, None);
        check("deflate", TEXT, None);
        check("compress", TEXT, None);
        check("gzip,gzip,gzip,gzip", TEXT, None);
        check("gzip", gzip(TEXT).split_last().unwrap().1, None);
    }

    #[test]
    fn a_bomb_is_given_up_at_the_limit() {
        let wide = vec![b'a'; 10 << 20];
        let bomb = gzip(&wide);
        assert!(bomb.len() < 20_000);
        let body = |bytes: &[u8]| bytes.get(..1000.min(bytes.len())).unwrap().to_vec();
        // What is cut off stands behind the limit.
        check_bomb("gzip", &body(&bomb));
        check_bomb("zstd", &body(&zstd::encode_all(&wide[..], 1).unwrap()));
        check_bomb("gzip, gzip", &body(&gzip(&bomb)));
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&wide).unwrap();
        check_bomb("deflate", &body(&zlib.finish().unwrap()));
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        raw.write_all(&wide).unwrap();
        check_bomb("deflate", &body(&raw.finish().unwrap()));
        check("gzip", &gzip(&[b'a'; 1000]), Some(&[b'a'; 1000]));
        check_bomb("gzip", &gzip(&[b'a'; 1001]));
    }
}

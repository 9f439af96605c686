//! Content codings (RFC 9110, 8.4): gzip, deflate, br and zstd taken off a body, each within a limit, and all but br put on.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

/// Codings on top of each other that are taken off; a body with more stays as it is.
pub(crate) const MAX_CODINGS: usize = 3;
/// Largest window of zstd as a power of two: what RFC 9659 allows on the web. A body that asks for more stays as it is.
const ZSTD_WINDOW: u32 = 23;
/// Buffer of the brotli decoder, in bytes.
const BUFFER: usize = 4096;

/// Reason why a coded body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The coding is not known, or what is under it is not what it says.
    Opaque,
    /// It is longer than it may be: no more than that was ever made of it.
    TooLong,
}

/// Returns the codings that these values of `Content-Encoding` name, in the order in which they were put on: as many as are
/// taken off, and one more where there are more.
pub(crate) fn codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    names(values).take(MAX_CODINGS + 1).collect()
}

/// Returns all of them as they are written; `identity` is none.
pub(crate) fn names<'a>(values: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let codings = values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Returns one name for each coding that has two (RFC 9110, 8.4.1).
pub(crate) fn canonical_name(coding: &[u8]) -> &[u8] {
    if coding.eq_ignore_ascii_case(b"x-gzip") {
        b"gzip"
    } else if coding.eq_ignore_ascii_case(b"x-compress") {
        b"compress"
    } else {
        coding
    }
}

/// Takes one coding off `body`; what comes of it has `most` bytes at most.
pub(crate) fn decode(coding: &[u8], body: &[u8], most: usize) -> Result<Vec<u8>, DecodeError> {
    decode_by(coding, body, |from| bounded(from, most))
}

/// Takes all `codings` off, the last one first; what comes of each has `most` bytes at most.
pub(crate) fn decode_all<'a>(
    content: Cow<'a, [u8]>,
    codings: &[&[u8]],
    most: usize,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    if codings.len() > MAX_CODINGS {
        return Err(DecodeError::Opaque);
    }
    codings.iter().rev().try_fold(content, |content, coding| decode(coding, &content, most).map(Cow::Owned))
}

/// Puts all `codings` on, in their order; `None` where one of them can only be taken off, or is not known.
pub(crate) fn encode_all(content: Vec<u8>, codings: &[&[u8]]) -> Option<Vec<u8>> {
    codings.iter().try_fold(content, |content, coding| encode(coding, &content))
}

/// Puts one coding on `body`; `None` where it can only be taken off, or is not known.
pub(crate) fn encode(coding: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let is = |name: &str| canonical_name(coding).eq_ignore_ascii_case(name.as_bytes());
    let level = Compression::default();
    if is("gzip") {
        written(GzEncoder::new(Vec::new(), level), body, GzEncoder::finish)
    } else if is("deflate") {
        written(ZlibEncoder::new(Vec::new(), level), body, ZlibEncoder::finish)
    } else if is("zstd") {
        zstd::encode_all(body, 0).ok()
    } else {
        None
    }
}

fn written<W: Write>(mut to: W, body: &[u8], finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>) -> Option<Vec<u8>> {
    to.write_all(body).ok()?;
    finish(to).ok()
}

/// Takes one coding off the beginning of a body, as far as that goes and for `most` bytes at most.
pub(crate) fn decode_beginning(coding: &[u8], body: &[u8], most: usize) -> Result<Vec<u8>, DecodeError> {
    decode_by(coding, body, |from| beginning(from, most))
}

/// Has `read` take one coding off `body`.
fn decode_by(
    coding: &[u8],
    body: &[u8],
    mut read: impl FnMut(&mut dyn Read) -> Result<Vec<u8>, DecodeError>,
) -> Result<Vec<u8>, DecodeError> {
    let is = |name: &str| canonical_name(coding).eq_ignore_ascii_case(name.as_bytes());
    if is("gzip") {
        read(&mut MultiGzDecoder::new(body))
    } else if is("deflate") {
        // Most mean zlib by it, as RFC 9110 says, and some raw deflate.
        match read(&mut ZlibDecoder::new(body)) {
            Err(DecodeError::Opaque) => read(&mut DeflateDecoder::new(body)),
            settled => settled,
        }
    } else if is("br") {
        read(&mut brotli_decompressor::Decompressor::new(body, BUFFER))
    } else if is("zstd") {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| DecodeError::Opaque)?;
        decoder.window_log_max(ZSTD_WINDOW).map_err(|_| DecodeError::Opaque)?;
        read(&mut decoder)
    } else {
        Err(DecodeError::Opaque)
    }
}

/// Reads to the end, `most` bytes at most.
fn bounded(from: impl Read, most: usize) -> Result<Vec<u8>, DecodeError> {
    let mut content = Vec::new();
    from.take(most as u64 + 1).read_to_end(&mut content).map_err(|_| DecodeError::Opaque)?;
    if content.len() > most { Err(DecodeError::TooLong) } else { Ok(content) }
}

/// Reads as far as there is anything to read, `most` bytes at most; nothing at all is an error, where there were bytes.
fn beginning(mut from: impl Read, most: usize) -> Result<Vec<u8>, DecodeError> {
    let (mut content, mut piece) = (Vec::new(), [0; BUFFER]);
    while content.len() < most {
        match from.read(&mut piece) {
            Ok(len @ 1..) => content.extend_from_slice(piece.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) if content.is_empty() => return Err(DecodeError::Opaque),
            Ok(0) | Err(_) => break,
        }
    }
    content.truncate(most);
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_that_was_put_on_can_be_taken_off() {
        for coding in ["gzip", "x-gzip", "DEFLATE", "zstd"] {
            let coded = encode(coding.as_bytes(), b"hello").unwrap();
            assert_eq!(decode(coding.as_bytes(), &coded, 5).unwrap(), b"hello", "{coding}");
        }
        assert_eq!((encode(b"br", b"hello"), encode(b"rot13", b"hello")), (None, None));
    }

    #[test]
    fn the_beginning_of_a_coded_body_is_read_as_far_as_it_was_flushed() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            gzip.write_all(event.as_bytes()).unwrap();
            zlib.write_all(event.as_bytes()).unwrap();
            zstd.write_all(event.as_bytes()).unwrap();
            gzip.flush().unwrap();
            zlib.flush().unwrap();
            zstd.flush().unwrap();
        }
        for (coding, body) in [("gzip", gzip.get_ref()), ("deflate", zlib.get_ref()), ("zstd", zstd.get_ref())] {
            assert_eq!(decode(coding.as_bytes(), body, 1000), Err(DecodeError::Opaque), "{coding}: it has no end");
            let begun = decode_beginning(coding.as_bytes(), body, 1000).unwrap();
            assert_eq!(begun, b"data: 1\n\ndata: 2\n\n", "{coding}");
            assert_eq!(decode_beginning(coding.as_bytes(), body, 4).unwrap(), b"data", "{coding}");
        }
        assert_eq!(decode_beginning(b"gzip", b"data: 1\n\n", 1000), Err(DecodeError::Opaque));
    }
}

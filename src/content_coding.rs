//! Content codings (RFC 9110, 8.4) taken off a body: gzip, deflate, br, zstd, each within a limit.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Codings on top of each other that are taken off; a body with more stays as it is.
pub(crate) const MAX_CODINGS: usize = 3;
/// Largest window of zstd as a power of two: what RFC 9659 allows on the web. A body that asks for more stays as it is.
const ZSTD_WINDOW: u32 = 23;
/// Buffer of the brotli decoder, in bytes.
const BUFFER: usize = 4096;

/// Why there is no content behind a coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The coding is not known, or what is under it is not what it says.
    Opaque,
    /// It is longer than it may be: no more than that was ever made of it.
    TooLong,
}

/// Returns the codings that these values of `Content-Encoding` name, in the order in which they were put on.
pub(crate) fn codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .take(MAX_CODINGS + 1)
        .collect()
}

/// Takes one coding off `body`; what comes of it has `most` bytes at most.
pub(crate) fn decode(coding: &[u8], body: &[u8], most: usize) -> Result<Vec<u8>, DecodeError> {
    let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
    if is("gzip") || is("x-gzip") {
        bounded(MultiGzDecoder::new(body), most)
    } else if is("deflate") {
        // Most mean zlib by it, as RFC 9110 says, and some raw deflate.
        match bounded(ZlibDecoder::new(body), most) {
            Err(DecodeError::Opaque) => bounded(DeflateDecoder::new(body), most),
            settled => settled,
        }
    } else if is("br") {
        bounded(brotli_decompressor::Decompressor::new(body, BUFFER), most)
    } else if is("zstd") {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| DecodeError::Opaque)?;
        decoder.window_log_max(ZSTD_WINDOW).map_err(|_| DecodeError::Opaque)?;
        bounded(decoder, most)
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

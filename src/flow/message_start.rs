//! Where an HTTP message may begin in a stream whose beginning was not captured.

/// Returns whether bytes look like the beginning of a message. Then a stream that is joined in its middle begins here,
/// and no bytes before them are waited for.
pub(super) fn begins_message(bytes: &[u8]) -> bool {
    let bytes = past_blank_lines(bytes);
    let word = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    bytes.starts_with(b"HTTP/") || (word >= 3 && bytes.get(word) == Some(&b' '))
}

/// Returns what follows the line ends before a message: a server passes them over (RFC 9112, 2.2), and so does who reads
/// responses.
#[inline]
pub(crate) fn past_blank_lines(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.get(blank..).unwrap_or_default()
}

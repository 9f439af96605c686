//! Where an HTTP message may begin in a stream whose beginning was not captured.

/// Returns whether bytes look like the beginning of a message. Then a stream that is joined in its middle begins here,
/// and no bytes before them are waited for.
pub(super) fn begins_message(bytes: &[u8]) -> bool {
    let word = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    bytes.starts_with(b"HTTP/") || (word >= 3 && bytes.get(word) == Some(&b' '))
}

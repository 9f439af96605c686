//! Header lines that go on in the next line (`obs-fold`, RFC 9112, 5.2), each in one line.

use crate::exchange::Head;

/// Returns the head with one blank for each fold; `None` where it has none.
pub(super) fn unfolded(head: &Head) -> Option<Head> {
    let bytes = head.as_bytes();
    // What follows the start line goes on with no header line.
    let lines = memchr::memchr(b'\n', bytes)? + 1;
    let rest = bytes.get(lines..)?;
    let is_fold = |end: &usize| matches!(rest.get(end + 1), Some(b' ' | b'\t'));
    let mut folds = memchr::memchr_iter(b'\n', rest).filter(is_fold).peekable();
    folds.peek()?;
    let (mut text, mut copied) = (bytes.get(..lines)?.to_vec(), 0);
    for end in folds {
        text.extend_from_slice(rest.get(copied..end)?.trim_ascii());
        text.push(b' ');
        copied = end + 1;
    }
    text.extend_from_slice(rest.get(copied..)?.trim_ascii_start());
    Some(Head::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fold_is_a_blank() {
        let unfolded = |lines: &str| {
            let head = Head::new(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes());
            let unfolded = super::unfolded(&head)?;
            Some(String::from_utf8(unfolded.as_bytes().to_vec()).unwrap())
        };
        let one = |lines: &str| Some(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        assert_eq!(unfolded("A: 1\r\nB:\t2 \r\n"), None);
        assert_eq!(unfolded("A: a \r\n\t b\n c\r\nB: 1\r\nC: x\r\n y\r\n"), one("A: a b c\r\nB: 1\r\nC: x y\r\n"));
        assert_eq!(unfolded("A:\r\n a\r\n"), one("A: a\r\n"));
    }
}

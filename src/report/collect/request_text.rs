//! Text of a request that the report keeps, until its responses are joined.

/// Text of a request, as captured: in one allocation, since millions of them are kept for a moment.
#[derive(Clone, Debug, Default)]
pub struct RequestText {
    /// Method, target, Host and head, one after another.
    all: Box<[u8]>,
    method: usize,
    target: usize,
    host: usize,
}

impl RequestText {
    /// A copy of these. `host` is the value of the first Host header, or empty; `head` is empty where it is longer than
    /// `inputs::MAX_NOTED_HEAD`, or where nobody asks for it.
    #[must_use]
    pub fn new(method: &[u8], target: &[u8], host: &[u8], head: &[u8]) -> Self {
        let mut all = Vec::with_capacity(method.len() + target.len() + host.len() + head.len());
        for part in [method, target, host, head] {
            all.extend_from_slice(part);
        }
        Self { all: all.into_boxed_slice(), method: method.len(), target: target.len(), host: host.len() }
    }

    /// Method as captured.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.part(0, self.method)
    }

    /// Target as captured.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.part(self.method, self.target)
    }

    /// Value of the first Host header; empty where there is none.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        self.part(self.method + self.target, self.host)
    }

    /// The head as captured, or nothing.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        let before = self.method + self.target + self.host;
        self.part(before, self.all.len() - before)
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn part(&self, from: usize, len: usize) -> &[u8] {
        self.all.get(from..from + len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_what_it_was() {
        let words = RequestText::new(b"GET", b"/a?b", b"old.example", b"GET /a?b HTTP/1.1\r\n\r\n");
        assert_eq!((words.method(), words.target(), words.host()), (&b"GET"[..], &b"/a?b"[..], &b"old.example"[..]));
        assert_eq!((words.head(), words.len()), (&b"GET /a?b HTTP/1.1\r\n\r\n"[..], 39));
        let words = RequestText::new(b"GET", b"", b"", b"");
        assert_eq!(
            (words.method(), words.target(), words.host(), words.head()),
            (&b"GET"[..], &b""[..], &b""[..], &b""[..])
        );
        assert!(RequestText::default().is_empty());
    }
}

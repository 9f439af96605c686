//! Header lines and cookies are set and removed.
//!
//! In goes a request, out comes the same request with other header lines; what no rule names keeps its bytes and its
//! place. Request line, body and framing are never touched: [`super::pair`] refuses the names that say where a body
//! ends.
//!
//! What is removed goes first, so removing and setting the same name leaves exactly one new line at the end.

use super::{Link, Settings};
use crate::exchange::{Head, Outcome, Request};

/// The link that rewrites.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    remove_headers: Vec<String>,
    set_headers: Vec<(String, String)>,
    remove_cookies: Vec<String>,
    set_cookies: Vec<(String, String)>,
}

impl Rewrite {
    /// The rewriting that `settings` ask for.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            remove_headers: settings.remove_headers.clone(),
            set_headers: settings.set_headers.clone(),
            remove_cookies: settings.remove_cookies.clone(),
            set_cookies: settings.set_cookies.clone(),
        }
    }

    fn edit(&self, head: &mut Head) {
        for name in &self.remove_headers {
            head.remove(name);
        }
        for (name, value) in &self.set_headers {
            head.set(name, value.as_bytes());
        }
        for name in &self.remove_cookies {
            remove_cookie(head, name);
        }
        for (name, value) in &self.set_cookies {
            set_cookie(head, name, value);
        }
    }
}

impl Link for Rewrite {
    fn apply(&mut self, request: &mut Request) -> Result<(), Outcome> {
        self.edit(&mut request.head);
        Ok(())
    }
}

/// The name and the value of each cookie in a Cookie value, in order (RFC 6265, 4.2.1). A piece without an equals
/// sign has no name.
pub(super) fn cookies(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').map(split_cookie)
}

/// Gives cookie `name` this value wherever it stands; a new one goes to the end of the first Cookie line, or into a
/// Cookie line of its own. Servers disagree on which of two cookies of one name counts, so both get the value.
fn set_cookie(head: &mut Head, name: &str, value: &str) {
    let mut found = false;
    head.edit_values("cookie", |line| {
        let here = has_cookie(line, name);
        found |= here;
        here.then(|| with_value(line, name, value))
    });
    if found {
        return;
    }
    let pair = format!("{name}={value}");
    let mut first = true;
    head.edit_values("cookie", |line| {
        std::mem::take(&mut first).then(|| if line.is_empty() { pair.clone().into() } else { appended(line, &pair) })
    });
    if first {
        head.append("Cookie", pair.as_bytes());
    }
}

/// Takes cookie `name` out wherever it stands; a Cookie line with nothing left goes.
fn remove_cookie(head: &mut Head, name: &str) {
    head.edit_values("cookie", |line| has_cookie(line, name).then(|| without(line, name)));
}

fn has_cookie(line: &[u8], name: &str) -> bool {
    cookies(line).any(|(found, _)| found == name.as_bytes())
}

fn split_cookie(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece) {
        Some(at) => {
            (piece.get(..at).unwrap_or_default().trim_ascii(), piece.get(at + 1..).unwrap_or_default().trim_ascii())
        }
        None => (b"", piece.trim_ascii()),
    }
}

fn with_value(line: &[u8], name: &str, value: &str) -> Vec<u8> {
    let pieces: Vec<Vec<u8>> = line
        .split(|byte| *byte == b';')
        .map(
            |piece| {
                if split_cookie(piece).0 == name.as_bytes() { piece_with_value(piece, value) } else { piece.to_vec() }
            },
        )
        .collect();
    pieces.join(&b';')
}

/// The piece up to its equals sign, and the new value.
fn piece_with_value(piece: &[u8], value: &str) -> Vec<u8> {
    let keep = memchr::memchr(b'=', piece).map_or(piece.len(), |at| at + 1);
    let mut piece = piece.get(..keep).unwrap_or_default().to_vec();
    piece.extend_from_slice(value.as_bytes());
    piece
}

fn without(line: &[u8], name: &str) -> Vec<u8> {
    let pieces: Vec<&[u8]> =
        line.split(|byte| *byte == b';').filter(|piece| split_cookie(piece).0 != name.as_bytes()).collect();
    // Where the first cookie went, the blank before the second one goes as well.
    pieces.join(&b';').trim_ascii().to_vec()
}

fn appended(line: &[u8], pair: &str) -> Vec<u8> {
    let mut line = line.to_vec();
    line.extend_from_slice(if line.ends_with(b";") { b" " } else { b"; " });
    line.extend_from_slice(pair.as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    fn rewritten(settings: &Settings, lines: &str) -> String {
        let mut request = request(1, &format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        Rewrite::new(settings).apply(&mut request).unwrap();
        let head = String::from_utf8(request.head.as_bytes().to_vec()).unwrap();
        head.strip_prefix("GET / HTTP/1.1\r\n").unwrap().strip_suffix("\r\n").unwrap().to_owned()
    }

    fn pair(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn headers_are_set_where_they_stand_or_last() {
        let set = |name, value| Settings { set_headers: pair(name, value), ..Settings::default() };
        let lines = "Host: h\r\nX-A: 1\r\nX-B: 2\r\n";
        assert_eq!(rewritten(&set("x-a", "9"), lines), "Host: h\r\nX-A: 9\r\nX-B: 2\r\n");
        assert_eq!(rewritten(&set("HOST", "new:1"), lines), "Host: new:1\r\nX-A: 1\r\nX-B: 2\r\n");
        assert_eq!(rewritten(&set("X-C", "3"), lines), "Host: h\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n");
    }

    #[test]
    fn headers_are_removed_whatever_their_case_and_number() {
        let settings = Settings { remove_headers: vec!["x-a".to_owned()], ..Settings::default() };
        assert_eq!(rewritten(&settings, "X-A: 1\r\nHost: h\r\nx-a: 2\r\n"), "Host: h\r\n");
    }

    #[test]
    fn removing_and_setting_one_name_leaves_one_new_line() {
        let settings =
            Settings { remove_headers: vec!["X-A".to_owned()], set_headers: pair("X-A", "9"), ..Settings::default() };
        assert_eq!(rewritten(&settings, "X-A: 1\r\nHost: h\r\nx-a: 2\r\n"), "Host: h\r\nX-A: 9\r\n");
    }

    #[test]
    fn setting_a_cookie_changes_its_value_and_nothing_else() {
        let settings = Settings { set_cookies: pair("b", "NEW"), ..Settings::default() };
        for (before, after) in [
            ("Cookie: a=1; b=2; c=3\r\n", "Cookie: a=1; b=NEW; c=3\r\n"),
            ("Cookie: a=1;b=2;c=3\r\n", "Cookie: a=1;b=NEW;c=3\r\n"),
            ("cookie:b=\r\n", "cookie:b=NEW\r\n"),
            ("Cookie: ab=1; B=2\r\n", "Cookie: ab=1; B=2; b=NEW\r\n"),
            ("Cookie: a=1\r\nX: y\r\nCookie: b=2; c\r\n", "Cookie: a=1\r\nX: y\r\nCookie: b=NEW; c\r\n"),
            ("Cookie: a=1\r\nCookie: c=3\r\n", "Cookie: a=1; b=NEW\r\nCookie: c=3\r\n"),
            ("Cookie: a=1;\r\n", "Cookie: a=1; b=NEW\r\n"),
            ("Cookie:\r\n", "Cookie:b=NEW\r\n"),
            ("Host: h\r\n", "Host: h\r\nCookie: b=NEW\r\n"),
            ("Cookie: b=1; a=\"x=y\"; b=2\r\n", "Cookie: b=NEW; a=\"x=y\"; b=NEW\r\n"),
        ] {
            assert_eq!(rewritten(&settings, before), after, "{before:?}");
        }
    }

    #[test]
    fn removing_a_cookie_leaves_the_others_and_takes_an_empty_line_out() {
        let settings = Settings { remove_cookies: vec!["b".to_owned()], ..Settings::default() };
        for (before, after) in [
            ("Cookie: a=1; b=2; c=3\r\n", "Cookie: a=1; c=3\r\n"),
            ("Cookie: b=2; a=1; c=3\r\n", "Cookie: a=1; c=3\r\n"),
            ("Cookie: a=1;c=3;b=2\r\n", "Cookie: a=1;c=3\r\n"),
            ("Cookie: b=2\r\nHost: h\r\n", "Host: h\r\n"),
            ("Cookie: b=1; b=2\r\nHost: h\r\n", "Host: h\r\n"),
            ("Cookie: a=1; B=2; bb=3; b\r\n", "Cookie: a=1; B=2; bb=3; b\r\n"),
            ("Host: h\r\n", "Host: h\r\n"),
        ] {
            assert_eq!(rewritten(&settings, before), after, "{before:?}");
        }
    }
}

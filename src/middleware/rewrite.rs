//! Header lines, cookies and query parameters are edited.
//!
//! In goes a request, out comes the same request with other fields; what no edit names keeps its bytes and its
//! place. Body and framing are never touched: `name_value` refuses the names that say where a body ends.
//!
//! Of what the flags say, removals go first, so removing and setting the same name leaves exactly one new line at the end.

use super::edit::{EditOp, FieldEdit, FieldKind};
use super::{ChainSettings, Context, Filter, Template};
use crate::exchange::{Outcome, Request};

/// The link that rewrites: edits, one after another.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    edits: Vec<FieldEdit>,
}

impl Rewrite {
    /// The rewriting that `settings` ask for. A value that names what no request has is taken as plain text.
    #[must_use]
    pub fn new(settings: &ChainSettings) -> Self {
        let remove = |place, names: &[String]| -> Vec<FieldEdit> {
            names.iter().map(|name| FieldEdit::new(place, name, EditOp::Remove)).collect()
        };
        let set = |place, pairs: &[(String, String)]| -> Vec<FieldEdit> {
            let value = |typed: &str| Template::new(typed).unwrap_or_else(|_| Template::plain(typed));
            pairs.iter().map(|(name, typed)| FieldEdit::new(place, name, EditOp::Set(value(typed)))).collect()
        };
        let edits = [
            remove(FieldKind::Header, &settings.remove_headers),
            set(FieldKind::Header, &settings.set_headers),
            remove(FieldKind::Cookie, &settings.remove_cookies),
            set(FieldKind::Cookie, &settings.set_cookies),
        ];
        Self { edits: edits.concat() }
    }

    /// These edits, in this order.
    #[must_use]
    pub const fn of(edits: Vec<FieldEdit>) -> Self {
        Self { edits }
    }

    /// Returns whether it can change the Host of a request.
    #[must_use]
    pub(crate) fn touches_host(&self) -> bool {
        self.edits.iter().any(FieldEdit::touches_host)
    }

    /// Returns whether there are no edits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }
}

impl Filter for Rewrite {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        self.edits.iter().for_each(|edit| edit.apply(request, context));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    fn rewritten(settings: &ChainSettings, lines: &str) -> String {
        let mut request = request(1, &format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        let mut context = Context::default();
        context.begin(&request, request.last_byte, false);
        Rewrite::new(settings).apply(&mut request, &mut context).unwrap();
        let head = String::from_utf8(request.head.as_bytes().to_vec()).unwrap();
        head.strip_prefix("GET / HTTP/1.1\r\n").unwrap().strip_suffix("\r\n").unwrap().to_owned()
    }

    fn pair(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn headers_are_set_where_they_stand_or_last() {
        let set = |name, value| ChainSettings { set_headers: pair(name, value), ..ChainSettings::default() };
        let lines = "Host: h\r\nX-A: 1\r\nX-B: 2\r\n";
        assert_eq!(rewritten(&set("x-a", "9"), lines), "Host: h\r\nX-A: 9\r\nX-B: 2\r\n");
        assert_eq!(rewritten(&set("HOST", "new:1"), lines), "Host: new:1\r\nX-A: 1\r\nX-B: 2\r\n");
        assert_eq!(rewritten(&set("X-C", "3"), lines), "Host: h\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n");
    }

    #[test]
    fn headers_are_removed_whatever_their_case_and_number() {
        let settings = ChainSettings { remove_headers: vec!["x-a".to_owned()], ..ChainSettings::default() };
        assert_eq!(rewritten(&settings, "X-A: 1\r\nHost: h\r\nx-a: 2\r\n"), "Host: h\r\n");
    }

    #[test]
    fn removing_and_setting_one_name_leaves_one_new_line() {
        let settings = ChainSettings {
            remove_headers: vec!["X-A".to_owned()],
            set_headers: pair("X-A", "9"),
            ..ChainSettings::default()
        };
        assert_eq!(rewritten(&settings, "X-A: 1\r\nHost: h\r\nx-a: 2\r\n"), "Host: h\r\nX-A: 9\r\n");
    }

    #[test]
    fn setting_a_cookie_changes_its_value_and_nothing_else() {
        let settings = ChainSettings { set_cookies: pair("b", "NEW"), ..ChainSettings::default() };
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
        let settings = ChainSettings { remove_cookies: vec!["b".to_owned()], ..ChainSettings::default() };
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

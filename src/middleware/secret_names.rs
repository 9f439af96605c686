//! Secrets of one run: the names and expressions under which its `carry` links find values, besides names that always
//! tell a secret.

use std::borrow::Cow;
use std::sync::Arc;

use regex::bytes::Regex;

use super::masking::{self, MaskedNames};
use super::redact::MASK;

/// Secrets of one run. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretNames(Option<Arc<RunSecrets>>);

/// Names in lower case.
#[derive(Debug, Default)]
pub(crate) struct RunSecrets {
    /// Parameters of queries.
    pub(crate) params: Vec<String>,
    /// Header lines.
    pub(crate) headers: Vec<String>,
    /// Keys in JSON.
    pub(crate) keys: Vec<String>,
    /// What their first group, or all of them, matches in a body.
    pub(crate) texts: Vec<Regex>,
}

impl From<RunSecrets> for SecretNames {
    fn from(secrets: RunSecrets) -> Self {
        Self(Some(Arc::new(secrets)))
    }
}

impl SecretNames {
    /// Returns whether the value of a header line of this name, in lower case, is a secret.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        masking::is_secret_name(name) || self.is_in(|secrets| &secrets.headers, name)
    }

    /// Returns whether the value under this key in JSON is a secret.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        masking::is_secret_name(key) || self.is_in(|secrets| &secrets.keys, key)
    }

    /// Returns whether the elements of a list under this key in JSON are secrets.
    pub(crate) fn has_list(&self, key: &str) -> bool {
        masking::is_secret_list(key) || self.has_key(key)
    }

    /// A target without the secrets in it.
    pub(crate) fn target<'a>(&self, target: &'a [u8]) -> Cow<'a, [u8]> {
        masking::target_with(target, self)
    }

    /// A target as it is noted: where this run has no secrets of its own, those in it are masked where it is shown.
    pub(crate) fn noted_target<'a>(&self, target: &'a [u8]) -> Cow<'a, [u8]> {
        if self.0.is_some() { self.target(target) } else { Cow::Borrowed(target) }
    }

    /// A body without the secrets in it.
    pub(crate) fn text<'a>(&self, text: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let texts = self.0.as_ref().map(|secrets| secrets.texts.as_slice()).unwrap_or_default();
        texts.iter().fold(text, |text, regex| masked(regex, &text).map_or(text, Cow::Owned))
    }

    fn is_in(&self, names: impl Fn(&RunSecrets) -> &Vec<String>, name: &str) -> bool {
        self.0.as_ref().is_some_and(|secrets| names(secrets).iter().any(|other| other.eq_ignore_ascii_case(name)))
    }
}

impl MaskedNames for SecretNames {
    fn has_param(&self, name: &str) -> bool {
        masking::is_secret_name(name) || self.is_in(|secrets| &secrets.params, name)
    }
}

/// The text with a mask for what `regex` finds; `None` where it finds nothing.
fn masked(regex: &Regex, text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut end) = (Vec::new(), 0);
    for groups in regex.captures_iter(text) {
        let Some(found) = groups.get(1).or_else(|| groups.get(0)).filter(|found| found.start() >= end) else {
            continue;
        };
        out.extend_from_slice(text.get(end..found.start()).unwrap_or_default());
        // A number stays one: what stands around it may be JSON.
        let is_number = found.as_bytes().iter().all(u8::is_ascii_digit);
        out.extend_from_slice(if is_number { b"0" } else { MASK.as_bytes() });
        end = found.end();
    }
    (end > 0).then(|| [out.as_slice(), text.get(end..).unwrap_or_default()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> SecretNames {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let texts = vec![Regex::new("csrf=\"([^\"]*)\"").unwrap(), Regex::new("t\\d+").unwrap()];
        RunSecrets { params: names(&["ticket"]), headers: names(&["x-ticket"]), keys: names(&["Pass"]), texts }.into()
    }

    #[test]
    fn names_of_the_run_tell_secrets_as_others_do() {
        let none = SecretNames::default();
        for (name, of_run, always) in [("x-ticket", true, false), ("token", true, true), ("a", false, false)] {
            assert_eq!((secrets().has_header(name), none.has_header(name)), (of_run, always), "{name}");
        }
        assert!(secrets().has_key("pass") && !none.has_key("pass") && !secrets().has_key("ticket"));
        let target = b"/a?ticket=1&b=2&token=3";
        assert_eq!(*secrets().target(target), b"/a?ticket=***&b=2&token=***"[..]);
        assert_eq!(*none.target(target), b"/a?ticket=1&b=2&token=***"[..]);
        assert!(matches!(secrets().target(b"/a?b=1"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_an_expression_finds_in_a_text_is_masked() {
        let text = |text: &str| String::from_utf8(secrets().text(text.as_bytes().into()).into_owned()).unwrap();
        assert_eq!(text("csrf=\"abc\" t1 csrf=\"12\""), "csrf=\"***\" *** csrf=\"0\"");
        assert_eq!(text("nothing"), "nothing");
        assert_eq!(*SecretNames::default().text(b"t1"[..].into()), b"t1"[..]);
    }
}

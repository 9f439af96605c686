//! Masking of secrets by their names, for results and logs.
//!
//! The input is a target or a head as captured, the result is text that can be kept. Data that is sent is never changed
//! here.

use std::borrow::Cow;

use arrayvec::ArrayVec;

use super::query;
use super::redact::MASK;

/// Names of query parameters whose value is a secret, in lower case, without `-` and `_`.
const SECRETS: [&str; 32] = [
    "accesstoken",
    "apikey",
    "apitoken",
    "auth",
    "authorization",
    "authtoken",
    "bearer",
    "clientsecret",
    "credential",
    "csrftoken",
    "currentpassword",
    "idtoken",
    "jwt",
    "newpassword",
    "oldpassword",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "sessionid",
    "sessiontoken",
    "sig",
    "signature",
    "token",
    "userpassword",
    "xamzsecuritytoken",
    "xamzsignature",
    "xapikey",
];
/// Longest name that is compared; a longer one is none of these.
const MAX_NAME: usize = 64;

/// The target with `MASK` for the value of each parameter whose name says that it is a secret.
#[must_use]
pub fn target(target: &[u8]) -> Cow<'_, [u8]> {
    target_with(target, &AlwaysMasked)
}

/// Names of parameters whose value is a secret.
pub(super) trait MaskedNames {
    /// Returns whether this is one, decoded.
    fn has_param(&self, name: &str) -> bool;
}

/// Those that are secrets in every run.
struct AlwaysMasked;

impl MaskedNames for AlwaysMasked {
    fn has_param(&self, name: &str) -> bool {
        is_secret_name(name)
    }
}

/// The same for these names.
pub(super) fn target_with<'a>(target: &'a [u8], names: &impl MaskedNames) -> Cow<'a, [u8]> {
    let is_secret = |piece: &[u8]| is_secret(piece, names);
    let Some(query) = query::query(target) else { return Cow::Borrowed(target) };
    if !query.split(|byte| *byte == b'&').any(is_secret) {
        return Cow::Borrowed(target);
    }
    let mut shown = query::path(target).to_vec();
    for (at, piece) in query.split(|byte| *byte == b'&').enumerate() {
        shown.push(if at == 0 { b'?' } else { b'&' });
        if is_secret(piece) {
            shown.extend_from_slice(name_of(piece));
            shown.push(b'=');
            shown.extend_from_slice(MASK.as_bytes());
        } else {
            shown.extend_from_slice(piece);
        }
    }
    Cow::Owned(shown)
}

fn name_of(piece: &[u8]) -> &[u8] {
    piece.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// Returns whether the value of a query piece is a secret by its name.
fn is_secret(piece: &[u8], names: &impl MaskedNames) -> bool {
    let name = name_of(piece);
    if name.len() == piece.len() || name.len() > MAX_NAME {
        return false;
    }
    query::decoded(name).is_some_and(|(decoded, _)| {
        let name = String::from_utf8_lossy(&decoded);
        let is_element_of = |list: &str| parts_of(list).last().is_some_and(is_secret_list);
        parts_of(&name).any(|part| names.has_param(part)) || list_of(&name).is_some_and(is_element_of)
    })
}

/// The parts of the name of a parameter that stands for a member of something: `user[password]`, `user.password`.
fn parts_of(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.split(['[', ']', '.']).filter(|part| !part.is_empty()))
}

/// Returns whether the value under this name of a parameter, key or header is a secret.
#[must_use]
pub(crate) fn is_secret_name(name: &str) -> bool {
    if name.len() > MAX_NAME {
        return false;
    }
    let letters = name.bytes().filter(|letter| !matches!(letter, b'-' | b'_'));
    let plain: ArrayVec<u8, MAX_NAME> = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    SECRETS.iter().any(|secret| secret.as_bytes() == plain.as_slice())
}

/// Returns whether the elements of a list of this name are secrets: `token` and `tokens` are names of such.
#[must_use]
pub(crate) fn is_secret_list(name: &str) -> bool {
    is_secret_name(name) || name.strip_suffix(['s', 'S']).is_some_and(is_secret_name)
}

/// Returns the name of a list where the name of a parameter is that of its element: `token[]`, `token[0]`.
fn list_of(name: &str) -> Option<&str> {
    name.strip_suffix(']').and_then(|name| name.rsplit_once('[')).map(|(list, _)| list)
}

/// Flags whose value sets something that may be a secret: of it the name is told.
const SETTING: [&str; 2] = ["--set-header", "--set-cookie"];

/// Flags whose value is an address with a path that may be a secret, as those of webhooks are.
const ADDRESSES: [&str; 2] = ["--webhook", "--otlp"];

/// An address without user, path and query.
fn endpoint(typed: &str) -> String {
    let Some((scheme, rest)) = typed.split_once("://") else { return MASK.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    if path.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/{MASK}") }
}

/// A command line as a shell takes it, with `MASK` for what is a secret by its name or place.
#[must_use]
pub fn command_line(words: impl IntoIterator<Item = String>) -> String {
    let mut shown: Vec<String> = Vec::new();
    let (mut sets, mut hides) = (false, false);
    for word in words {
        let (flag, value) = word.split_once('=').map_or((word.as_str(), None), |(flag, value)| (flag, Some(value)));
        let masked = match value {
            _ if sets => setting(&word),
            Some(value) if SETTING.contains(&flag) => format!("{flag}={}", setting(value)),
            _ if hides => endpoint(&word),
            Some(value) if ADDRESSES.contains(&flag) => format!("{flag}={}", endpoint(value)),
            Some(_) if is_secret_name(flag.trim_start_matches('-')) => format!("{flag}={MASK}"),
            _ => url(&word),
        };
        hides = value.is_none() && ADDRESSES.contains(&word.as_str());
        sets = value.is_none() && SETTING.contains(&word.as_str());
        shown.push(masked);
    }
    shell_words::join(shown)
}

/// `Name: value` or `name=value` with the name alone.
fn setting(typed: &str) -> String {
    let end = typed.find([':', '=']).map_or(0, |at| at + 1);
    format!("{}{MASK}", typed.get(..end).unwrap_or_default())
}

/// A URL without the password, and the secrets of its query, in it; also behind a name, as `--to` takes it.
fn url(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("{MASK}@{host}"));
    let path = String::from_utf8_lossy(&target(path.as_bytes())).into_owned();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, shown: &str) {
        assert_eq!(String::from_utf8_lossy(&target(typed.as_bytes())), shown);
    }

    #[test]
    fn a_secret_is_masked_however_its_name_is_spelled() {
        check("/a?token=abc&x=1", "/a?token=***&x=1");
        check(
            "/a?x=1&access_token=a&Access-Token=b&ACCESSTOKEN=c",
            "/a?x=1&access_token=***&Access-Token=***&ACCESSTOKEN=***",
        );
        check("/a?to%6ben=abc", "/a?to%6ben=***");
        check("http://h/a?X-Amz-Signature=1%3D=", "http://h/a?X-Amz-Signature=***");
    }

    #[test]
    fn elements_of_lists_of_secrets_are_masked() {
        check("/a?token[]=a&tokens[1]=b&x[]=c", "/a?token[]=***&tokens[1]=***&x[]=c");
        check("/a?api_keys%5B%5D=a&[]=b&a]=c", "/a?api_keys%5B%5D=***&[]=b&a]=c");
        check("/a?user[tokens][]=a&user[tokens]=3&[token=b", "/a?user[tokens][]=***&user[tokens]=3&[token=***");
        for (name, of_list) in [("token", true), ("apiKeys", true), ("Passwords", true), ("items", false), ("s", false)]
        {
            assert_eq!(is_secret_list(name), of_list, "{name}");
        }
    }

    #[test]
    fn members_that_are_secrets_are_masked() {
        check(
            "/a?user[password]=a&a[b][token]=b&p%5B0%5D%5Bsecret%5D=c",
            "/a?user[password]=***&a[b][token]=***&p%5B0%5D%5Bsecret%5D=***",
        );
        check(
            "/a?user.newPassword=a&x-api-key=b&token.x=c&a.b=d",
            "/a?user.newPassword=***&x-api-key=***&token.x=***&a.b=d",
        );
    }

    #[test]
    fn a_command_line_is_shown_without_what_is_secret_in_it() {
        for (typed, shown) in [
            (
                "replay a.pcap --to new=http://me:pw@new:80/x?token=a",
                "replay a.pcap --to 'new=http://***@new:80/x?token=***'",
            ),
            ("x --set-header 'Authorization: Bearer abc' -p 80", "x --set-header 'Authorization:***' -p 80"),
            ("x --set-cookie=sid=abc --sample 50%", "x '--set-cookie=sid=***' --sample '50%'"),
        ] {
            assert_eq!(command_line(shell_words::split(typed).unwrap()), shown);
        }
    }

    #[test]
    fn what_is_no_secret_keeps_every_byte() {
        for typed in ["/a", "/token=1", "/a?token", "/a?tokens=1&x=%2f+", "/a?&&", "*"] {
            check(typed, typed);
            assert!(matches!(target(typed.as_bytes()), Cow::Borrowed(_)), "{typed}");
        }
    }
}

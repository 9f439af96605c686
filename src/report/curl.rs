//! A command line that asks the other stack what a captured request asked, without the secrets in it.
//!
//! It is plain ASCII whatever the request has in it, and means the same in every POSIX shell that knows `$'...'`.

use std::fmt::Write as _;

use crate::exchange::Head;
use crate::middleware;
use crate::middleware::redact::MASK;

/// Header lines that change what is answered, and name nobody.
const CHOSEN: [&str; 12] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "content-encoding",
    "content-type",
    "if-modified-since",
    "if-none-match",
    "origin",
    "range",
    "user-agent",
    "x-forwarded-proto",
    "x-requested-with",
];

/// Header lines that say who asks: they are told, their values are not.
const SECRET: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"];

/// Longest value of a header line that is told, in bytes; a longer one is left out.
const MAX_VALUE: usize = 512;

/// The header lines of a request that are told, as captured, with [`MASK`] for secrets.
#[must_use]
pub fn chosen(head: &Head) -> Vec<(Vec<u8>, Vec<u8>)> {
    let told = |name: &[u8], names: &[&str]| names.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()));
    let lines = head.lines().filter_map(|line| {
        let value = match line.name {
            name if told(name, &SECRET) => MASK.as_bytes(),
            name if told(name, &CHOSEN) && line.value.len() <= MAX_VALUE => line.value,
            _ => return None,
        };
        Some((line.name.to_vec(), value.to_vec()))
    });
    lines.collect()
}

/// The command line. `origin` is the target's URL without a path; `body` is how long the request's body was, which is
/// not kept.
#[must_use]
pub fn line(origin: &str, method: &[u8], target: &[u8], headers: &[(Vec<u8>, Vec<u8>)], body: u64) -> String {
    let path = crate::exchange::path_and_query(target);
    let mut url = origin.as_bytes().to_vec();
    url.extend_from_slice(&middleware::shown::target(path));
    // Neither dots nor brackets mean anything here: the target is asked for as it was.
    let mut line = String::from("curl -sSig --path-as-is ");
    match method {
        b"GET" => {}
        b"HEAD" => line.push_str("--head "),
        method => line.extend(["-X ", &quoted(method), " "]),
    }
    line.push_str(&quoted(&url));
    for (name, value) in headers {
        line.push_str(" \\\n  -H ");
        line.push_str(&quoted(&[name, &b": "[..], value].concat()));
        if name.eq_ignore_ascii_case(b"accept-encoding") {
            line.push_str(" --compressed");
        }
    }
    if body > 0 {
        line.push_str(" \\\n  --data-binary @body");
    }
    line
}

/// One word of a shell, whatever is in it.
fn quoted(text: &[u8]) -> String {
    let plain = text.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\'');
    let mut word = String::from(if plain { "'" } else { "$'" });
    for byte in text {
        match byte {
            b'\\' | b'\'' if !plain => word.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => word.push(char::from(*byte)),
            // Octal, and always three digits: what follows cannot be taken for a part of it.
            byte => write!(word, "\\{byte:03o}").unwrap_or_default(),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &str, body: u64, expected: &str) {
        let head = Head::new(request.as_bytes().to_vec());
        let (method, target, _) = head.request_line();
        assert_eq!(line("https://new:8443", method, target, &chosen(&head), body), expected);
    }

    #[test]
    fn a_line_asks_the_other_stack_for_the_same() {
        check(
            "GET /v2/a?x=[1]&y=../z HTTP/1.1\r\nHost: tv\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
            0,
            "curl -sSig --path-as-is 'https://new:8443/v2/a?x=[1]&y=../z' \\\n  -H 'Accept: application/json' \\\n  \
             -H 'Accept-Encoding: gzip' --compressed",
        );
        check("HEAD http://tv/a HTTP/1.1\r\n\r\n", 0, "curl -sSig --path-as-is --head 'https://new:8443/a'");
        check(
            "POST /a HTTP/1.1\r\n\r\n",
            7,
            "curl -sSig --path-as-is -X 'POST' 'https://new:8443/a' \\\n  --data-binary @body",
        );
    }

    #[test]
    fn secrets_are_not_in_it() {
        check(
            "GET /a?token=abc&day=fri HTTP/1.1\r\nAuthorization: Bearer abc\r\ncookie: sid=abc\r\nX-Mine: abc\r\n\r\n",
            0,
            "curl -sSig --path-as-is 'https://new:8443/a?token=***&day=fri' \\\n  -H 'Authorization: ***' \\\n  \
             -H 'cookie: ***'",
        );
    }

    #[test]
    fn nothing_in_a_request_gets_out_of_its_quotes() {
        check(
            "GET /a';rm$(x)`y`\\ HTTP/1.1\r\nAccept: é\u{202e}\t\r\n\r\n",
            0,
            "curl -sSig --path-as-is $'https://new:8443/a\\';rm$(x)`y`\\\\' \\\n  -H $'Accept: \\303\\251\\342\\200\\256'",
        );
        check("GET /$(x)`y`\\ HTTP/1.1\r\n\r\n", 0, "curl -sSig --path-as-is 'https://new:8443/$(x)`y`\\'");
    }
}

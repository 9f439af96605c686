//! A command line that asks the other stack for what it was asked for, without the secrets in it.
//!
//! It is printable ASCII whatever the request has in it, and means the same in sh, dash, bash, zsh and fish: every word is
//! in single quotes, and both characters that shells read differently there stand outside of them. It leads to
//! the target and to no other host, whatever the request asks for: only a Host line may name another.

use url::{Position, Url};

use crate::exchange::Head;
use crate::middleware;
use crate::middleware::redact::MASK;
use crate::replay::VIA;

/// What begins the name of a target behind a Unix socket.
const UNIX: &str = "unix:";

/// Header fields that change the response, and identify nobody.
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

/// Header fields that identify the client: they are shown without their values.
const SECRET: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"];

/// Longest value of a header field that is shown, in bytes; a field with a longer one is left out.
const MAX_VALUE: usize = 512;

/// Returns the header fields of a request that are shown, as captured, with `MASK` for secrets.
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

/// Returns the command line, or one that begins with `#` and says why there is none.
///
/// `origin` is the target's URL without a path; `host` is that of the request, where it is not to be the target's own; `body`
/// is how long the request's body was, which is not kept.
#[must_use]
pub fn line(
    origin: &str,
    request: (&[u8], &[u8]),
    host: Option<&[u8]>,
    headers: &[(Vec<u8>, Vec<u8>)],
    body: u64,
) -> String {
    build(origin, request, host, headers, body).unwrap_or_else(|why| format!("# no command line: {why}"))
}

fn build(
    origin: &str,
    (method, target): (&[u8], &[u8]),
    host: Option<&[u8]>,
    headers: &[(Vec<u8>, Vec<u8>)],
    body: u64,
) -> Result<String, &'static str> {
    // Neither dots nor brackets mean anything here: the target is asked for as it was.
    // Silent, curl says nothing where there is no file with the body, and sends an empty one.
    let mut line = String::from(if body > 0 { "curl -ig --path-as-is " } else { "curl -sSig --path-as-is " });
    match method {
        b"GET" if body == 0 => {}
        b"HEAD" if body > 0 => return Err("curl sends no body with HEAD"),
        b"HEAD" => line.push_str("--head "),
        method if is_token(method) => line.extend(["-X ", &quoted(method)?, " "]),
        _ => return Err("the method is no word"),
    }
    line.push_str(&address(origin, target)?);
    if let Some(host) = host.filter(|host| is_other_host(origin, host)) {
        line.push_str(" \\\n  -H ");
        line.push_str(&header(b"Host", host)?);
    }
    for (name, value) in headers {
        line.push_str(" \\\n  -H ");
        line.push_str(&header(name, value)?);
        if name.eq_ignore_ascii_case(b"accept-encoding") {
            line.push_str(" --compressed");
        }
    }
    if body > 0 {
        line.push_str(" \\\n  --data-binary '@body'");
    }
    Ok(line)
}

/// Returns the URL, and the request-target apart where it is no path, or one that curl would change; before it, where the
/// target is reached elsewhere than the URL says.
///
/// The host is that of `origin`: nothing of the request ever stands next to it.
fn address(origin: &str, target: &[u8]) -> Result<String, &'static str> {
    let (base, way) = base_and_way(origin)?;
    let prefix = base.path().trim_end_matches('/');
    let scheme_and_host = [base.scheme(), "://", &base[Position::BeforeHost..Position::AfterPort]].concat();
    let scheme_and_host = with_zone(origin.split(VIA).next().unwrap_or_default(), &scheme_and_host);
    let asked = crate::exchange::path_and_query(target);
    let mut path = middleware::masking::target(asked).into_owned();
    // A URL without a path has the root (RFC 9112, 3.2.1).
    if asked.len() < target.len() && path.first() == Some(&b'?') {
        path.insert(0, b'/');
    }
    if path.is_empty() || !path.iter().all(u8::is_ascii_graphic) {
        return Err("the request-target has bytes that cannot be typed in a shell");
    }
    // Of a path curl sends every byte, but for a fragment; a backslash is a slash to others that read URLs.
    if path.first() == Some(&b'/') && !path.iter().any(|byte| matches!(byte, b'#' | b'\\')) {
        let url = quoted(&[scheme_and_host.as_bytes(), prefix.as_bytes(), path.as_slice()].concat())?;
        return Ok(way + &url);
    }
    if path.first() == Some(&b'/') {
        path.splice(0..0, prefix.bytes());
    }
    let url = quoted(&[scheme_and_host.as_bytes(), b"/"].concat())?;
    Ok(format!("{way}--request-target {} {url}", quoted(&path)?))
}

/// Returns whether this Host is to be said, since curl would say another.
fn is_other_host(origin: &str, host: &[u8]) -> bool {
    let own = base_and_way(origin).ok();
    let own = own.as_ref().map(|(base, _)| &base[Position::BeforeHost..Position::AfterPort]);
    !host.is_empty() && host.len() <= MAX_VALUE && own.is_none_or(|own| !own.as_bytes().eq_ignore_ascii_case(host))
}

/// Splits a target's URL, as reports have it, into a URL that curl knows and the options that lead to it.
fn base_and_way(origin: &str) -> Result<(Url, String), &'static str> {
    const NO_URL: &str = "the target of the run is no URL";
    let (url, elsewhere) = match origin.split_once(VIA) {
        Some((url, elsewhere)) => (url, Some(elsewhere)),
        None if origin.starts_with(UNIX) => ("http://localhost", Some(origin)),
        None => (origin, None),
    };
    let base = Url::parse(&without_zone(url)).map_err(|_| NO_URL)?;
    if !base.has_host() || !matches!(base.scheme(), "http" | "https") {
        return Err(NO_URL);
    }
    let way = match elsewhere.map(|elsewhere| (elsewhere, elsewhere.strip_prefix(UNIX))) {
        None => String::new(),
        Some((_, Some(path))) => format!("--unix-socket {} ", quoted(path.as_bytes())?),
        Some((address, None)) => format!("--connect-to {} ", quoted(format!("::{address}").as_bytes())?),
    };
    Ok((base, way))
}

/// The zone of an address, as in `http://[fe80::1%eth0]:80`, and where it begins and ends.
fn zone(origin: &str) -> Option<(usize, usize)> {
    let end = origin.find(']')?;
    let begin = origin.get(..end)?.find('%')?;
    Some((begin, end))
}

fn without_zone(origin: &str) -> String {
    let cut = zone(origin).and_then(|(begin, end)| Some([origin.get(..begin)?, origin.get(end..)?].concat()));
    cut.unwrap_or_else(|| origin.to_owned())
}

/// curl knows zones as RFC 6874 has them.
fn with_zone(origin: &str, url: &str) -> String {
    let zone = zone(origin).and_then(|(begin, end)| origin.get(begin + 1..end));
    zone.map_or_else(|| url.to_owned(), |zone| url.replacen(']', &format!("%25{zone}]"), 1))
}

/// One header line; curl sends one without a value only where it ends with a semicolon.
fn header(name: &[u8], value: &[u8]) -> Result<String, &'static str> {
    // A token begins with no `@`, which would name a file.
    if !is_token(name) || name.first() == Some(&b'@') {
        return Err("a header line has a name that is no word");
    }
    let value = value.trim_ascii();
    let text = if value.is_empty() { [name, b";"].concat() } else { [name, b": ", value].concat() };
    quoted(&text)
}

/// Returns whether this is a token (RFC 9110, 5.6.2).
fn is_token(text: &[u8]) -> bool {
    let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_one)
}

/// One word of a shell: in single quotes but for `'` and `\`, which stand outside, each behind a backslash.
///
/// Within quotes a POSIX shell takes a backslash as it is, and fish as the begin of an escape. Two quotes never touch: to
/// a zsh with `rcquotes` they are one quote of the text.
fn quoted(text: &[u8]) -> Result<String, &'static str> {
    let mut word = String::with_capacity(text.len() + 2);
    let mut is_open = false;
    for byte in text {
        let is_plain = match byte {
            b'\'' | b'\\' => false,
            b' '..=b'~' => true,
            _ => return Err("it has bytes that cannot be typed in a shell"),
        };
        if is_plain != is_open {
            word.push('\'');
            is_open = is_plain;
        }
        if !is_plain {
            word.push('\\');
        }
        word.push(char::from(*byte));
    }
    if is_open {
        word.push('\'');
    }
    Ok(if word.is_empty() { "''".to_owned() } else { word })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &str, body: u64, expected: &str) {
        let head = Head::new(request.as_bytes().to_vec());
        let (method, target, _) = head.request_line();
        assert_eq!(line("https://new:8443", (method, target), None, &chosen(&head), body), expected);
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
            "curl -ig --path-as-is -X 'POST' 'https://new:8443/a' \\\n  --data-binary '@body'",
        );
    }

    #[test]
    fn a_host_is_said_where_curl_would_say_another() {
        let of = |origin, host| line(origin, (b"GET", b"/a"), host, &[], 0);
        let expected = "curl -sSig --path-as-is 'http://new:81/a' \\\n  -H 'Host: api.example'";
        assert_eq!(of("http://new:81", Some(b"api.example")), expected);
        for host in [None, Some(&b"NEW:81"[..]), Some(b"")] {
            assert_eq!(of("http://new:81", host), "curl -sSig --path-as-is 'http://new:81/a'");
        }
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
            "GET /a';rm$(x)`y` HTTP/1.1\r\nAccept: it's \\'\\\r\n\r\n",
            0,
            r"curl -sSig --path-as-is 'https://new:8443/a'\'';rm$(x)`y`' \
  -H 'Accept: it'\''s '\\\'\\",
        );
    }

    #[test]
    fn no_other_host_is_ever_named() {
        for target in
            ["@evil/x", ".evil.example/x", ":1@evil/", "evil", "*", "#", "\\evil", "/\\evil", "http://evil/x#y"]
        {
            let line = line("https://new:8443", (b"GET", target.as_bytes()), None, &[], 0);
            assert!(line.ends_with(" 'https://new:8443/'") && line.contains("--request-target "), "{line}");
        }
        check("GET //evil/x HTTP/1.1\r\n\r\n", 0, "curl -sSig --path-as-is 'https://new:8443//evil/x'");
        check("GET http://evil?q HTTP/1.1\r\n\r\n", 0, "curl -sSig --path-as-is 'https://new:8443/?q'");
        assert!(line("https://user:word@new/", (b"GET", b"/a"), None, &[], 0).ends_with(" 'https://new/a'"));
        assert!(line("javascript:x", (b"GET", b"/a"), None, &[], 0).starts_with("# no command line: "));
    }

    #[test]
    fn a_target_is_asked_where_it_is_and_below_its_path() {
        for (origin, expected) in [
            ("http://new/v2", "'http://new/v2/a'"),
            ("unix:/run/it's.sock", r"--unix-socket '/run/it'\''s.sock' 'http://localhost/a'"),
            ("https://new via 10.0.0.7:8443", "--connect-to '::10.0.0.7:8443' 'https://new/a'"),
            ("https://new/v2 via unix:/run/a.sock", "--unix-socket '/run/a.sock' 'https://new/v2/a'"),
            ("http://[fe80::1%eth0]:81", "'http://[fe80::1%25eth0]:81/a'"),
        ] {
            let line = line(origin, (b"GET", b"/a"), None, &[], 0);
            assert_eq!(line, format!("curl -sSig --path-as-is {expected}"), "{origin}");
        }
        let apart = line("http://new/v2", (b"GET", b"/a#b"), None, &[], 0);
        assert!(apart.ends_with("--request-target '/v2/a#b' 'http://new/'"), "{apart}");
    }

    #[test]
    fn what_cannot_be_typed_is_said_instead() {
        let why = |method: &[u8], target: &[u8], headers: &[(&[u8], &[u8])], body| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            let line = line("https://new", (method, target), None, &headers, body);
            assert!(line.starts_with("# no command line: ") && !line.contains('\n') && line.is_ascii(), "{line}");
        };
        for byte in (0..=b' ').chain(0x7f..=0xff) {
            why(b"GET", &[b'/', byte], &[], 0);
            why(&[b'A', byte], b"/", &[], 0);
            if !byte.is_ascii_whitespace() {
                why(b"GET", b"/", &[(b"Accept", &[b'a', byte])], 0);
            }
            why(b"GET", b"/", &[(&[b'A', byte], b"a")], 0);
        }
        why(b"GET", b"/", &[(b"Accept", b"a\n-K x")], 0);
        why(b"GET", b"/", &[(b"@file", b"a")], 0);
        why(b"GET", b"", &[], 0);
        why(b"HEAD", b"/", &[], 7);
    }

    #[test]
    fn a_header_line_without_a_value_is_sent_all_the_same() {
        check(
            "GET /a HTTP/1.1\r\nAccept:\r\n\r\n",
            0,
            "curl -sSig --path-as-is 'https://new:8443/a' \\\n  -H 'Accept;'",
        );
    }
}

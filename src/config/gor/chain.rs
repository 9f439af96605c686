//! GoReplay's filters as a chain file, in the order in which GoReplay runs them.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use regex::bytes::Regex;

use super::words::Words;
use crate::config::ConfigMistakes;
use crate::middleware::name_value::header_name;
use crate::sanitize::is_odd;

/// A link of a chain: its name in the report, and what it does, as TOML.
pub(super) type ChainLink = (&'static str, String);

/// Filters that are flags of shadowtap, too. Their order among each other makes no difference.
const PLAIN: [(&str, &str); 4] = [
    ("http-allow-method", "--allow-method"),
    ("http-allow-url", "--allow-path"),
    ("http-disallow-url", "--deny-path"),
    ("http-set-header", "--set-header"),
];
/// Filters that are links only.
const LINKS: [&str; 8] = [
    "http-set-param",
    "http-allow-header",
    "http-disallow-header",
    "http-basic-auth-filter",
    "http-header-limiter",
    "http-param-limiter",
    "http-rewrite-url",
    "http-rewrite-header",
];

/// Returns whether flags say all of the filters.
pub(super) fn is_plain(words: &Words) -> bool {
    !LINKS.iter().any(|name| words.has(name))
}

/// The filters as flags of shadowtap.
pub(super) fn plain_flags(words: &Words, mistakes: &mut ConfigMistakes) -> Vec<String> {
    let mut flags = Vec::new();
    for (name, flag) in PLAIN {
        for value in words.all(name) {
            let value = if name == "http-set-header" {
                let Some((name, value)) = header(name, value, mistakes) else { continue };
                format!("{name}: {}", literal(&value))
            } else {
                value.clone()
            };
            flags.extend([flag.to_owned(), value]);
        }
    }
    flags
}

/// The filters as links.
pub(super) fn links(words: &Words, mistakes: &mut ConfigMistakes, notes: &mut Vec<String>) -> Vec<ChainLink> {
    let mut links = Vec::new();
    let methods = words.all("http-allow-method");
    if !methods.is_empty() {
        links.push(("http-allow-method", format!("only = {{ method = {} }}", list(methods))));
    }
    for typed in words.all("http-set-header") {
        if let Some((name, value)) = header("http-set-header", typed, mistakes) {
            let value = quoted(&literal(&value));
            links.push(("http-set-header", format!("set-header = {{ {} = {value} }}", key(&name))));
        }
    }
    for typed in words.all("http-set-param") {
        match typed.split_once('=') {
            // A value is coded when it is written: what is coded already is what it stands for.
            Some((name, value)) if !name.is_empty() => {
                let value = percent_decode_str(value).decode_utf8_lossy().replace('+', " ");
                links.push((
                    "http-set-param",
                    format!("set-param = {{ {} = {} }}", key(name), quoted(&literal(&value))),
                ));
            }
            _ => mistakes.add("--http-set-param", format!("`{typed}` is no parameter; write name=value")),
        }
    }
    urls(words, &mut links);
    headers(words, &mut links, mistakes);
    limiters(words, &mut links, mistakes, notes);
    rewrites(words, &mut links, mistakes, notes);
    links
}

fn urls(words: &Words, links: &mut Vec<ChainLink>) {
    for (flag, verb) in [("http-allow-url", "only"), ("http-disallow-url", "drop")] {
        let patterns = words.all(flag);
        if !patterns.is_empty() {
            links.push((flag, format!("{verb} = {{ path = {} }}", list(patterns))));
        }
    }
}

fn headers(words: &Words, links: &mut Vec<ChainLink>, mistakes: &mut ConfigMistakes) {
    for (flag, verb) in [("http-allow-header", "only"), ("http-disallow-header", "drop")] {
        for typed in words.all(flag) {
            if let Some((name, regex)) = header(flag, typed, mistakes) {
                links.push((flag, format!("{verb} = {{ header = {{ {} = {} }} }}", key(&name), quoted(&regex))));
            }
        }
    }
    for regex in words.all("http-basic-auth-filter") {
        let basic = quoted("^Basic ");
        let action =
            format!("drop = {{ header = {{ Authorization = {basic} }}, not = {{ basic-auth = {} }} }}", quoted(regex));
        links.push(("http-basic-auth-filter", action));
    }
}

fn limiters(words: &Words, links: &mut Vec<ChainLink>, mistakes: &mut ConfigMistakes, notes: &mut Vec<String>) {
    for (flag, by) in [("http-header-limiter", "header"), ("http-param-limiter", "param")] {
        for typed in words.all(flag) {
            let Some((name, share)) = typed.split_once(':').map(|(name, share)| (name.trim(), share.trim())) else {
                mistakes.add(format!("--{flag}"), format!("`{typed}` has no colon; write NAME: 25%"));
                continue;
            };
            let Some(percent) = percent(share) else {
                let why = "GoReplay takes whole per cents, such as 25%, or a fraction, such as 1/4";
                mistakes.add(format!("--{flag}"), format!("`{share}` is no share: {why}"));
                continue;
            };
            if percent > 100 {
                notes.push(format!("--{flag}: {share} is more than all, and takes all, as in GoReplay"));
            }
            let (share, by) = (quoted(&format!("{}%", percent.min(100))), quoted(&format!("{by}:{name}")));
            let action = format!("sample = {{ share = {share}, by = {by}, missing = 'in', hash = 'fnv32' }}");
            links.push((flag, action));
        }
    }
}

fn rewrites(words: &Words, links: &mut Vec<ChainLink>, mistakes: &mut ConfigMistakes, notes: &mut Vec<String>) {
    let mut rules = Vec::new();
    for typed in words.all("http-rewrite-url") {
        match typed.split_once(':') {
            Some((regex, with)) => rules.extend(replacement("http-rewrite-url", regex, with, mistakes, notes)),
            None => mistakes.add("--http-rewrite-url", format!("`{typed}` has no colon; write EXPRESSION:TEXT")),
        }
    }
    if !rules.is_empty() {
        links.push(("http-rewrite-url", format!("replace-url = [\n  {},\n]", rules.join(",\n  "))));
    }
    for typed in words.all("http-rewrite-header") {
        let flag = "http-rewrite-header";
        let Some((name, rest)) = header(flag, typed, mistakes) else { continue };
        let Some((regex, with)) = rest.split_once(',') else {
            mistakes.add(format!("--{flag}"), format!("`{typed}` has no comma; write NAME: EXPRESSION,TEXT"));
            continue;
        };
        if let Some(rule) = replacement(flag, regex.trim(), with.trim(), mistakes, notes) {
            links.push((flag, format!("replace-header = {{ {} = {rule} }}", key(&name))));
        }
    }
}

/// `{ match = ..., with = ... }`, with the groups that Go would have written.
fn replacement(
    flag: &str,
    regex: &str,
    with: &str,
    mistakes: &mut ConfigMistakes,
    notes: &mut Vec<String>,
) -> Option<String> {
    let compiled = mistakes.keep(&format!("--{flag}"), Regex::new(regex))?;
    let mut missing = Vec::new();
    let with = expanded(with, &compiled, &mut missing);
    for name in missing {
        notes.push(format!(
            "--{flag}: ${name} names no group of `{regex}`, and becomes nothing, as in GoReplay; a number ends with \
             braces, such as ${{1}}abc"
        ));
    }
    Some(format!("{{ match = {}, with = {} }}", quoted(regex), quoted(&with)))
}

/// A template of Go's `regexp.Expand` as a template of a chain: groups in braces; `missing` gets those that there are not.
fn expanded(with: &str, regex: &Regex, missing: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut rest = with;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(&literal(before));
        if let Some(behind) = after.strip_prefix('$') {
            out.push_str("$$");
            rest = behind;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let word = after.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(after.len());
        let (name, behind) = braced.unwrap_or_else(|| after.split_at_checked(word).unwrap_or((after, "")));
        let group = match name.parse::<usize>() {
            Ok(number) => (number < regex.captures_len()).then(|| number.to_string()),
            Err(_) => regex.capture_names().flatten().find(|known| *known == name).map(str::to_owned),
        };
        match group {
            Some(group) => drop(write!(out, "${{{group}}}")),
            // Go writes a dollar that begins nothing as it is, and nothing for a group that there is not.
            None if name.is_empty() => out.push_str("$$"),
            None => missing.push(name.to_owned()),
        }
        rest = behind;
    }
    out + &literal(rest)
}

/// `NAME: rest`.
fn header(flag: &str, typed: &str, mistakes: &mut ConfigMistakes) -> Option<(String, String)> {
    let (name, value) = typed.split_once(':').map(|(name, value)| (name.trim(), value.trim())).unwrap_or_default();
    if header_name(name).is_ok() {
        return Some((name.to_owned(), value.to_owned()));
    }
    mistakes.add(format!("--{flag}"), format!("`{typed}` names no header; write NAME: and what belongs to it"));
    None
}

/// `25%` or `1/4`, in whole per cents.
fn percent(typed: &str) -> Option<u64> {
    if let Some((part, whole)) = typed.split_once('/') {
        return (part.trim().parse::<u64>().ok()?.checked_mul(100)?).checked_div(whole.trim().parse().ok()?);
    }
    typed.strip_suffix('%')?.trim().parse().ok()
}

/// A text in which braces mean nothing: `{id}` is written `{{id}}`.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_' | b'-'))
        };
        let variable = after.split_once('}').filter(|(word, _)| is_word(word));
        rest = variable.map_or(after, |(_, behind)| behind);
        out.push_str(&variable.map_or_else(|| "{".to_owned(), |(word, _)| format!("{{{{{word}}}}}")));
    }
    out + rest
}

/// The chain file of these links.
pub(super) fn text(links: &[ChainLink]) -> String {
    let mut text = "# GoReplay's filters, in GoReplay's order. Made by `shadowtap gor`.\n".to_owned();
    for (name, action) in links {
        write!(text, "\n[[link]]\nname = \"{name}\"\n{action}\n").ok();
    }
    text
}

/// A string of TOML, without what a terminal would obey.
pub(super) fn quoted(text: &str) -> String {
    if !text.contains('\'') && !text.chars().any(is_odd) {
        return format!("'{text}'");
    }
    // JSON's escapes are TOML's. It leaves characters that a terminal does not get as they are.
    let json = serde_json::Value::from(text).to_string();
    json.chars().fold(String::with_capacity(json.len()), |mut quoted, c| {
        if is_odd(c) {
            write!(quoted, "\\U{:08x}", u32::from(c)).ok();
        } else {
            quoted.push(c);
        }
        quoted
    })
}

/// A key of TOML.
fn key(name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_bare { name.to_owned() } else { quoted(name) }
}

fn list(texts: &[String]) -> String {
    match texts {
        [one] => quoted(one),
        all => format!("[{}]", all.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::middleware::ChainFile;
    use crate::middleware::file::Environment;

    /// The chain of these flags with these cases, run.
    #[track_caller]
    fn check(words: &[&str], cases: &str) -> Vec<String> {
        let (mut mistakes, mut notes) = (ConfigMistakes::default(), Vec::new());
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let words = Words::read(&words, &mut mistakes);
        let text = text(&links(&words, &mut mistakes, &mut notes));
        assert_eq!(mistakes.to_string(), "");
        let text = format!("{text}\n[[link]]\nallow-writes = true\n{cases}");
        let file = ChainFile::parse(&text, Path::new("x.toml"), &Environment::for_checks());
        let file = file.unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{text}"));
        let failures = file.run_cases();
        assert!(failures.is_empty(), "{failures:#?}\n{text}");
        notes
    }

    fn case(request: &str, rest: &str) -> String {
        format!("[[test]]\nrequest = {}\n{rest}\n", quoted(request))
    }

    #[test]
    fn a_terminal_shows_a_string_that_reads_as_what_was_meant() {
        for text in ["a", "it's \"x\"", "\u{1b}[31m\u{7}\u{7f}\\", "\u{202e}'\u{85}\u{e0041}\u{2028}é", "x\nEND\n"] {
            let quoted = quoted(text);
            assert!(!quoted.chars().any(is_odd), "{quoted}");
            let table: toml::Table = format!("a = {quoted}").parse().unwrap();
            assert_eq!(table["a"].as_str(), Some(text), "{quoted}");
        }
    }

    #[test]
    fn rewrites_are_those_of_goreplays_own_tests() {
        let flags = ["--http-rewrite-url", r"/v1/user/([^\/]+)/ping:/v2/user/$1/ping", "--http-rewrite-url", "/v2:/v3"];
        let cases = case("GET /v1/user/joe/ping?x=1", "becomes = 'GET /v2/user/joe/ping?x=1'")
            + &case("GET /v2/x", "becomes = 'GET /v3/x'")
            + &case("GET /other", "becomes = 'GET /other'");
        assert!(check(&flags, &cases).is_empty());
        let host = case("GET /\nHost: www.w3.org", "then = { header = { Host = '^www.beta.w3.org$' } }");
        check(&["--http-rewrite-header", "Host: (.*).w3.org,$1.beta.w3.org"], &host);
        let notes = check(&["--http-rewrite-url", "/(a):/$1abc"], &case("GET /a", "becomes = 'GET /'"));
        assert!(notes[0].contains("$1abc names no group") && notes[0].contains("becomes nothing"), "{notes:?}");
    }

    #[test]
    fn limiters_choose_the_values_that_goreplay_chooses() {
        // 873244444 % 100 = 44, and 82: recorded from GoReplay 2.0.0.
        let of_header =
            case("GET /\nHeader2: 1", "") + &case("GET /\nHeader2: 3", "outcome = 'sampled_out'") + &case("GET /", "");
        check(&["--http-header-limiter", "Header2: 1/2"], &of_header);
        let of_param =
            case("GET /?user_id=1", "") + &case("GET /?user_id=3", "outcome = 'sampled_out'") + &case("GET /", "");
        check(&["--http-param-limiter", "user_id: 50%"], &of_param);
        let at_44 = case("GET /\nHeader2: 1", "outcome = 'sampled_out'");
        check(&["--http-header-limiter", "Header2: 44%"], &at_44);
        check(&["--http-header-limiter", "Header2: 45%"], &case("GET /\nHeader2: 1", ""));
        check(&["--http-header-limiter", "Header2: 0%"], &case("GET /", ""));
    }

    #[test]
    fn filters_pass_and_drop_as_goreplays_tests_say() {
        let w3 = case("GET /\nHost: www.w3.org", "");
        check(
            &["--http-allow-header", "Host:^www.w3.org$"],
            &(w3.clone() + &case("GET /", "outcome = 'filtered: http-allow-header'")),
        );
        check(
            &["--http-disallow-header", "Host:^www.w3.org$"],
            &case("GET /\nHost: www.w3.org", "outcome = 'filtered: http-disallow-header'"),
        );
        let urls = [
            "--http-allow-url",
            "/v1/api",
            "--http-allow-url",
            "/api",
            "--http-disallow-url",
            "/secret",
            "--http-allow-header",
            "Host:.",
        ];
        let cases = case("GET /api\nHost: h", "")
            + &case("GET /x\nHost: h", "outcome = 'filtered: http-allow-url'")
            + &case("GET /api/secret\nHost: h", "outcome = 'filtered: http-disallow-url'");
        check(&urls, &cases);
        let users = case("GET /\nAuthorization: Basic Y3VzdG9tZXIzOndlbGNvbWU=", "")
            + &case("GET /\nAuthorization: Basic b3RoZXI6eA==", "outcome = 'filtered: http-basic-auth-filter'")
            + &case("GET /", "");
        check(&["--http-basic-auth-filter", "^customer[0-9]"], &users);
        let methods =
            ["--http-allow-method", "GET", "--http-allow-method", "PUT", "--http-set-param", "api_key=1 2{id}"];
        let cases = case("PUT /a?b=1", "becomes = 'PUT /a?b=1&api_key=1+2%7Bid%7D'")
            + &case("OPTIONS /", "outcome = 'filtered: http-allow-method'");
        check(&methods, &cases);
        check(
            &["--http-set-header", "User-Agent: {id} 'a' \"b\"", "--http-set-param", "x=1"],
            &case("GET /\nUser-Agent: x", "becomes = \"GET /?x=1\\nUser-Agent: {id} 'a' \\\"b\\\"\""),
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_form() {
        let mut mistakes = ConfigMistakes::default();
        let words = [
            "--http-allow-header",
            "x y",
            "--http-header-limiter",
            "X 5%",
            "--http-param-limiter",
            "x: 0.5%",
            "--http-rewrite-url",
            "nothing",
            "--http-rewrite-header",
            "X: a",
            "--http-set-param",
            "x",
            "--http-rewrite-url",
            "(:x",
        ]
        .map(str::to_owned);
        let words = Words::read(&words, &mut mistakes);
        links(&words, &mut mistakes, &mut Vec::new());
        assert_eq!(mistakes.all().len(), 7, "{mistakes}");
    }
}

//! Formats as people write them: names, nginx's `log_format`, HAProxy's `log-format`, field maps of JSON.

use super::format::{MAX_PARTS, TextFormat};
use super::json::JsonFormat;
use super::meaning::{Escapes, Field, Meaning};
use super::names;
use super::part::Part;
use super::straight::StraightSteps;

/// HAProxy's `option httplog`; that of `option httpslog` begins so.
const HAPROXY: &str =
    "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
/// HAProxy's `option httplog clf`.
const HAPROXY_CLF: &str = "%{-Q}ci - - [%trg] %{+Q}r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac";
const COMMON: &str = "$remote_addr $ident $remote_user [$time_local] \"$request\" $status $body_bytes_sent";
const COMBINED: &str = "$remote_addr $ident $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// How lines are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LineFormat {
    Text(TextFormat),
    Json(JsonFormat),
}

/// Reads a format; its name is what the report calls it.
pub(super) fn format(typed: &str) -> Result<(String, LineFormat), String> {
    let typed = typed.trim();
    let open = |name: &str, format: Result<TextFormat, String>| {
        format.map(|format| (name.to_owned(), LineFormat::Text(TextFormat { is_open: true, ..format })))
    };
    match typed {
        "haproxy" | "httplog" | "httpslog" => open("haproxy", haproxy(HAPROXY)),
        "haproxy-clf" => open("haproxy-clf", haproxy(HAPROXY_CLF)),
        "nginx" | "combined" => open(typed, nginx(COMBINED)),
        "common" | "clf" => open("common", nginx(COMMON)),
        "vhost_combined" => open(typed, nginx(&format!("$server_name:$server_port {COMBINED}"))),
        "json" => Ok(("json".to_owned(), LineFormat::Json(JsonFormat::usual()))),
        _ => custom(typed),
    }
}

fn custom(typed: &str) -> Result<(String, LineFormat), String> {
    if let Some(map) = typed.strip_prefix("json:") {
        return Ok(("json".to_owned(), LineFormat::Json(needed(JsonFormat::of_map(map)?)?)));
    }
    let (name, format) = match (typed.contains('$'), typed.contains('%')) {
        (true, _) => ("a log_format of nginx", nginx(&unquoted(typed, "log_format"))),
        (false, true) => ("a log-format of HAProxy", haproxy(&unquoted(typed, "log-format"))),
        (false, false) => {
            return Err(format!(
                "`{typed}` is no format of access logs; write haproxy, haproxy-clf, nginx, combined, common, vhost_combined, \
                 json, json:time=KEY,method=KEY,target=KEY, or the log_format of nginx or the log-format of HAProxy, in quotes"
            ));
        }
    };
    let format = format?;
    lacking(&format.fields)?;
    Ok((name.to_owned(), LineFormat::Text(format)))
}

fn needed(format: JsonFormat) -> Result<JsonFormat, String> {
    lacking(&format.fields)?;
    Ok(format)
}

/// Checks that there is a request in a line, and its time.
fn lacking(fields: &[Field]) -> Result<(), String> {
    let has = |wanted: fn(&Meaning) -> bool| fields.iter().any(|field| wanted(&field.meaning));
    if !has(|meaning| matches!(meaning, Meaning::Time { .. })) {
        return Err("the format has no time: a replay has to know when a request came".to_owned());
    }
    let target = has(|meaning| matches!(meaning, Meaning::Target | Meaning::Path));
    let apart = target && has(|meaning| *meaning == Meaning::Method);
    if !apart && !has(|meaning| *meaning == Meaning::Request) {
        return Err("the format has no request: it needs the request line, or method and path".to_owned());
    }
    Ok(())
}

/// The format in a directive that was pasted whole, its pieces joined: `log_format main '...' '...';`.
fn unquoted(typed: &str, directive: &str) -> String {
    let Some(rest) = typed.strip_prefix(directive).filter(|rest| rest.starts_with(char::is_whitespace)) else {
        return typed.to_owned();
    };
    let (mut out, mut quote, mut chars) = (String::new(), None, rest.trim().trim_end_matches(';').chars());
    let mut is_quoted = false;
    while let Some(letter) = chars.next() {
        match (quote, letter) {
            (None, '\'' | '"') => (quote, is_quoted) = (Some(letter), true),
            (Some(open), close) if open == close => quote = None,
            (Some('"'), '\\') => out.extend(chars.next()),
            (Some(_), letter) => out.push(letter),
            (None, _) => {}
        }
    }
    if is_quoted { out } else { rest.trim().to_owned() }
}

/// Parts and fields as they are found.
#[derive(Default)]
struct Builder {
    parts: Vec<Part>,
    fields: Vec<Field>,
    text: Vec<u8>,
}

impl Builder {
    fn text(&mut self, letter: char) {
        self.text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn field(&mut self, name: &str, meaning: Meaning, in_braces: bool) {
        self.end_text();
        let number = self.fields.len();
        self.fields.push(Field { name: name.to_owned(), meaning });
        self.parts.push(if in_braces { Part::Braces(number) } else { Part::Field(number) });
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn finish(mut self, escapes: Escapes, collapses: bool) -> Result<TextFormat, String> {
        self.end_text();
        if self.parts.len() > MAX_PARTS {
            return Err(format!("the format has {} parts: {MAX_PARTS} at most", self.parts.len()));
        }
        for pair in self.parts.windows(2) {
            if let [Part::Field(one), Part::Field(other)] = pair
                && let (Some(one), Some(other)) = (self.fields.get(*one), self.fields.get(*other))
                && !matches!(other.meaning, Meaning::Target | Meaning::Path)
            {
                return Err(format!(
                    "{} and {} stand together: where one ends in a line cannot be told",
                    one.name, other.name
                ));
            }
        }
        let Self { parts, fields, .. } = self;
        let straight = StraightSteps::of(&parts, &fields);
        Ok(TextFormat { parts, fields, straight, escapes, is_open: false, collapses })
    }
}

/// `$name`, `${name}`; the rest is text.
fn nginx(format: &str) -> Result<TextFormat, String> {
    // What belongs together is one field.
    let format = format.replace("$uri$is_args$args", "$request_uri").replace("$is_args$args", "$args");
    let mut built = Builder::default();
    let mut rest = &*format;
    while let Some((before, after)) = rest.split_once('$') {
        before.chars().for_each(|letter| built.text(letter));
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let (name, behind) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some((name, behind)) => (name, behind),
            None => after.split_at(after.find(|letter| !is_name(letter)).unwrap_or(after.len())),
        };
        if name.is_empty() {
            built.text('$');
        } else {
            built.field(&format!("${name}"), names::nginx(name), false);
        }
        rest = behind;
    }
    rest.chars().for_each(|letter| built.text(letter));
    built.finish(Escapes::Backslash, false)
}

/// `%name`, `%{flags}name`, `%[expression]`, `%%`; a backslash takes the next letter as it is.
fn haproxy(format: &str) -> Result<TextFormat, String> {
    let mut built = Builder::default();
    let (mut rest, mut all_quoted) = (format, false);
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            '\\' => {
                let next = rest.chars().next().unwrap_or('\\');
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
                built.text(next);
            }
            '%' if rest.starts_with('%') => {
                built.text('%');
                rest = rest.get(1..).unwrap_or_default();
            }
            '%' => rest = haproxy_field(rest, &mut built, &mut all_quoted)?,
            // Blanks are one.
            ' ' if built.text.last() == Some(&b' ') => {}
            letter => built.text(letter),
        }
    }
    built.finish(Escapes::Hash, true)
}

/// Reads what follows a percent sign; returns what stands behind it.
fn haproxy_field<'f>(after: &'f str, built: &mut Builder, all_quoted: &mut bool) -> Result<&'f str, String> {
    let (_, after) = enclosed(after, '(', ')').unwrap_or(("", after));
    let (flags, after) = enclosed(after, '{', '}').unwrap_or(("", after));
    if flags.contains("+json") || flags.contains("+cbor") {
        return Err(
            "HAProxy writes JSON or CBOR here: read JSON with --format json:time=KEY,method=KEY,target=KEY".to_owned()
        );
    }
    let quoted = if flags.contains("+Q") { true } else { *all_quoted && !flags.contains("-Q") };
    let (name, meaning, rest) = if let Some((expression, rest)) = enclosed(after, '[', ']') {
        (format!("%[{expression}]"), names::expression(expression), rest)
    } else {
        let end = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        if name == "o" {
            *all_quoted = flags.contains("+Q");
            return Ok(rest.strip_prefix(' ').unwrap_or(rest));
        }
        if name.is_empty() {
            return Err(format!("`%{after}` is no field of HAProxy's log-format"));
        }
        (format!("%{name}"), names::haproxy(name), rest)
    };
    let in_braces = matches!(&*name, "%hr" | "%hs") && !quoted;
    if quoted {
        built.text('"');
    }
    built.field(&name, meaning, in_braces);
    if quoted {
        built.text('"');
    }
    Ok(rest)
}

/// Splits off what stands between these signs at the beginning; such signs may stand in it in pairs.
fn enclosed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    text.strip_prefix(open)?;
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        depth += i32::from(letter == open) - i32::from(letter == close);
        if depth == 0 {
            return Some((text.get(open.len_utf8()..at)?, text.get(at + close.len_utf8()..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_may_be_pasted_whole() {
        let main = "log_format  main  '$remote_addr - $remote_user [$time_local] \"$request\" '\n  '$status $body_bytes_sent';";
        let (name, LineFormat::Text(format)) = super::format(main).unwrap() else { panic!() };
        assert_eq!((name.as_str(), format.fields.len()), ("a log_format of nginx", 6));
        let pasted = r#"log-format "%ci:%cp [%tr] %HM %HU \"%[req.hdr(host)]\"""#;
        let (_, LineFormat::Text(format)) = super::format(pasted).unwrap() else { panic!() };
        assert_eq!(format.parts.last(), Some(&Part::Text(b"\""[..].into())));
        let bare = r"log-format %ci\ [%tr]\ %{+Q}r\ %ST";
        let (_, LineFormat::Text(format)) = super::format(bare).unwrap() else { panic!() };
        assert_eq!(format.fields.len(), 4);
    }

    #[test]
    fn a_format_that_cannot_be_read_says_why() {
        for (typed, why) in [
            ("apache", "is no format of access logs"),
            ("$remote_addr $status", "has no time"),
            ("$time_local $status", "has no request"),
            ("$time_local$status \"$request\"", "$time_local and $status stand together"),
            ("%ci [%tr] %{+json}o %r", "HAProxy writes JSON"),
            ("%ci [%tr] % %r", "is no field of HAProxy"),
            ("json:time=t,verb=v", "`verb` is nothing that a field map has"),
            ("json:time", "is no entry of a field map"),
            ("json:time=t", "has no request"),
        ] {
            let error = format(typed).unwrap_err();
            assert!(error.contains(why), "{typed}: {error}");
        }
    }
}

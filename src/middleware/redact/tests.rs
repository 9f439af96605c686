//! Tests of redacted messages.

use super::*;
use crate::exchange::Timestamp;
use crate::middleware::context::UnreadableCounts;
use crate::middleware::testing::with_body;

const HEAD: &str = "POST /a?token=s3cret&x=1 HTTP/1.1\r\nCookie: a=1; sid=s3cret; b=2\r\nAuthorization: s3cret\r\n\
                    Content-Type: application/json\r\nContent-Length: 32\r\n\r\n";
const BODY: &str = r#"{"sid":"s3cret","mail":["a","b"]}"#;

fn redacted(veil: RedactMode) -> String {
    let mut request = with_body(HEAD, BODY);
    let mut context = Context::default();
    context.begin(&request, request.last_byte, false);
    let fields = [
        (FieldKind::Header, "Authorization".to_owned()),
        (FieldKind::Cookie, "sid".to_owned()),
        (FieldKind::Param, "token".to_owned()),
    ];
    let json = ["/sid", "/mail"].map(|at| JsonPath::parse(at).unwrap()).to_vec();
    Redact::new(veil, &fields, json, OnUnknown::default()).apply(&mut request, &mut context).unwrap();
    let body = String::from_utf8(request.body.content().unwrap().into_owned()).unwrap();
    format!("{}{body}", String::from_utf8_lossy(request.head.as_bytes()))
}

#[test]
fn what_is_removed_is_gone_and_the_rest_stays() {
    assert_eq!(
        redacted(RedactMode::Remove),
        "POST /a?x=1 HTTP/1.1\r\nCookie: a=1; b=2\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    );
}

#[test]
fn a_mask_says_nothing_of_the_value() {
    assert_eq!(
        redacted(RedactMode::Mask),
        "POST /a?token=***&x=1 HTTP/1.1\r\nCookie: a=1; sid=***; b=2\r\nAuthorization: ***\r\n\
         Content-Type: application/json\r\nContent-Length: 26\r\n\r\n{\"sid\":\"***\",\"mail\":\"***\"}"
    );
}

#[test]
fn a_value_has_one_pseudonym_wherever_it_stands() {
    let name = pseudonym(&[0; 32], b"s3cret");
    let text = redacted(RedactMode::Pseudonym(None));
    assert_eq!((name.len(), text.matches(&name).count(), text.contains("s3cret")), (16, 4, false), "{text}");
    assert_ne!(pseudonym(&[1; 32], b"s3cret"), name);
    assert_ne!(pseudonym(&[0; 32], b"s3cretx"), name);
}

#[test]
fn pseudonyms_are_what_rfc_4231_says() {
    // Test case 2 of RFC 4231: key "Jefe", data "what do ya want for nothing?".
    assert_eq!(pseudonym(b"Jefe", b"what do ya want for nothing?"), "5bdcc146bf60754e");
}

/// Redacts a body under these headers with a filter that masks `/password`, any `token`, and fields named `password`.
/// Returns the head's lines and the content, or `None` where the request ended.
fn masked(headers: &str, body: &[u8], on_unknown: OnUnknown) -> Option<(String, Vec<u8>, UnreadableCounts)> {
    let mut request = with_body(&format!("POST / HTTP/1.1\r\n{headers}\r\n"), "");
    request.body.framing = if headers.contains("chunked") { Framing::Chunked } else { Framing::Length(0) };
    body::put(&mut request.body, body.to_vec());
    let mut context = Context::default();
    context.begin(&request, request.last_byte, false);
    let json = ["/password", "..token"].map(|at| JsonPath::parse(at).unwrap()).to_vec();
    let fields = [(FieldKind::Param, "password".to_owned())];
    let mut link = Redact::new(RedactMode::Mask, &fields, json, on_unknown);
    if let Err(outcome) = link.apply(&mut request, &mut context) {
        assert_eq!((outcome, context.bodies.unreadable.dropped), (Outcome::filtered("redact"), 1));
        return None;
    }
    let head = String::from_utf8(request.head.as_bytes().to_vec()).unwrap();
    Some((head, request.body.content().unwrap().into_owned(), context.bodies.unreadable))
}

#[track_caller]
fn becomes(content_type: &str, body: impl AsRef<[u8]>, after: impl AsRef<[u8]>) {
    let headers = format!("Content-Type: {content_type}\r\n");
    let (_, content, unreadable) = masked(&headers, body.as_ref(), OnUnknown::DropBody).unwrap();
    assert_eq!(String::from_utf8_lossy(&content), String::from_utf8_lossy(after.as_ref()), "{content_type}");
    assert_eq!(unreadable, UnreadableCounts::default());
}

#[track_caller]
fn is_unreadable(headers: &str, body: impl AsRef<[u8]>) {
    let body = body.as_ref();
    let (head, content, unreadable) = masked(headers, body, OnUnknown::DropBody).unwrap();
    assert!(content.is_empty() && !head.contains("Content-Encoding"), "{headers}: {head}");
    assert_eq!(unreadable, UnreadableCounts { body_dropped: 1, ..UnreadableCounts::default() }, "{headers}");
    assert_eq!(masked(headers, body, OnUnknown::Drop), None, "{headers}");
    let (_, content, unreadable) = masked(headers, body, OnUnknown::Keep).unwrap();
    assert_eq!((content.as_slice(), unreadable.kept), (body, 1), "{headers}");
}

#[test]
fn json_in_each_of_its_forms_is_looked_into() {
    let json = "application/json";
    becomes(json, "\u{feff}{\"password\":\"s3\"}", "\u{feff}{\"password\":\"***\"}");
    becomes(
        json,
        "{\"password\":1}\n{\"a\":2}{\"password\":3}\n",
        "{\"password\":\"***\"}\n{\"a\":2}{\"password\":\"***\"}\n",
    );
    becomes("application/x-ndjson", "{\"a\":1}\n{\"password\":\"s3\"}\n", "{\"a\":1}\n{\"password\":\"***\"}\n");
    becomes(
        "application/json-seq",
        "\u{1e}{\"password\":\"s3\"}\n\u{1e}{\"a\":1}\n",
        "\u{1e}{\"password\":\"***\"}\n\u{1e}{\"a\":1}\n",
    );
    becomes(json, ")]}',\n{\"password\":\"s3\"}", ")]}',\n{\"password\":\"***\"}");
    becomes(
        "application/json; charset=iso-8859-1",
        b"{\"n\":\"J\xf6\",\"password\":\"s3\"}",
        b"{\"n\":\"J\xf6\",\"password\":\"***\"}",
    );
    becomes(json, b"{\"\xf6\\u0142\":1,\"password\":\"\xf6\"}", b"{\"\xf6\\u0142\":1,\"password\":\"***\"}");
    becomes(json, "{\"p\\u0061ssword\": \"s3\"}", "{\"p\\u0061ssword\": \"***\"}");
    becomes("text/plain", " {\"password\":\"s3\"}", " {\"password\":\"***\"}");
    becomes("application/octet-stream", "{\"password\":\"s3\"}", "{\"password\":\"***\"}");
    becomes("application/x-www-form-urlencoded", "{\"password\":\"s3\"}", "{\"password\":\"***\"}");
    becomes("text/event-stream", "event: a\ndata: {\"token\":1}\n\n", "event: a\ndata: {\"token\":\"***\"}\n\n");
    becomes(json, "[{\"a\":{\"token\":\"x\"}}]", "[{\"a\":{\"token\":\"***\"}}]");
}

#[test]
fn json_in_strings_of_json_is_looked_into_for_a_key_at_any_depth() {
    let json = "application/json";
    let within = |value: &serde_json::Value| serde_json::json!({ "a": [value.to_string()] });
    let (mut body, mut after) = (serde_json::json!({ "token": "s3" }), serde_json::json!({ "token": "***" }));
    for _ in 0..4 {
        (body, after) = (within(&body), within(&after));
        becomes(json, body.to_string(), after.to_string());
    }
    is_unreadable("Content-Type: application/json\r\n", within(&body).to_string());
    becomes(
        json,
        r#"{"m":"\n {\"token\": 1} ","k":"{name}","{\"token\":1}":2}"#,
        r#"{"m":"\n {\"token\": \"***\"} ","k":"{name}","{\"token\":1}":2}"#,
    );
    // Neither words nor JSON.
    is_unreadable("Content-Type: application/json\r\n", r#"{"m":"{\"token\": 's3'}"}"#);
    // A path from the top leads into no string.
    becomes(json, r#"{"m":"{\"password\":1}"}"#, r#"{"m":"{\"password\":1}"}"#);
}

#[test]
fn fields_of_forms_and_parts_are_looked_into() {
    let form = "application/x-www-form-urlencoded";
    becomes(form, "a=1&password=s%203&b=2", "a=1&password=***&b=2");
    becomes(form, "p%61ssword=s3", "p%61ssword=***");
    becomes(form, "a=%7B%22token%22%3A1%7D", "a=%7B%22token%22%3A%22***%22%7D");
    becomes("text/plain", "password=s3&a=1", "password=***&a=1");
    let part = |name: &str, value: &str| format!("--b c\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n");
    let last = "--b c--\r\n";
    let kind = "multipart/form-data; boundary=\"b c\"";
    for name in [
        "name=\"password\"",
        "name=password",
        "name=\"pass%77ord\"",
        "filename=\"x\"; name = \"password\"",
        "name*=UTF-8''password",
    ] {
        let before = [part("name=\"a\"", "1"), part(name, "s\r\n3"), last.to_owned()].concat();
        becomes(kind, before, [part("name=\"a\"", "1"), part(name, "***"), last.to_owned()].concat());
    }
    let json = |value: &str| part("name=\"a\"\r\nContent-Type: application/json", value);
    becomes(kind, json("{\"token\":1}") + last, json("{\"token\":\"***\"}") + last);
}

#[test]
fn bodies_that_hold_nothing_of_it_keep_every_byte() {
    for (kind, body) in [
        ("application/json", "{ \"a\" : 1.50 }\n"),
        ("application/json", " "),
        ("text/html", "<p>{password}</p>"),
        ("image/png", "\u{1}\0png"),
        ("text/plain", "password"),
        ("text/plain", "your password is old\n"),
        ("text/html", "<p>passwords: 2, password_id=3</p>"),
        ("text/css", ".password, .token { color: red }"),
        ("text/csv", "id,name\n7,jo\n"),
        ("application/javascript", "callback({\"id\":7});"),
        ("text/event-stream", "event: password\ndata: hello\n\n"),
        ("application/x-www-form-urlencoded", "a=1&&b&passwords=2"),
        ("multipart/form-data; boundary=b", "before\r\n--b\r\n\r\nx\r\n--b--"),
    ] {
        becomes(kind, body, body);
    }
}

#[test]
fn what_cannot_be_looked_into_is_dropped_or_kept_as_the_link_says() {
    for (headers, body) in [
        ("Content-Type: application/json\r\n", &b"{\"a\":1,\"password\":\"s3\",}"[..]),
        ("Content-Type: application/json\r\n", b"{\"password\":\"s3"),
        ("Content-Type: application/json\r\n", b"\xff\xfe{\0}\0"),
        ("Content-Type: application/json\r\n", b"\"{\\\"password\\\":1}\""),
        ("Content-Type: application/json; charset=shift_jis\r\n", b"{}"),
        ("Content-Type: application/x-ndjson\r\n", b"{\"a\":1}\n{\"password\":\"s3\n"),
        ("Content-Type: application/xml\r\n", b"<password>s3</password>"),
        ("Content-Type: application/x-protobuf\r\n", b"\x0a\x02s3"),
        ("X: 1\r\n", b"\0\x01s3"),
        ("Content-Type: text/csv\r\n", b"password,id\ns3,7\n"),
        ("Content-Type: text/csv\r\n", b"id;Password\r\n7;s3\r\n"),
        ("Content-Type: text/tab-separated-values\r\n", b"password\tid\ns3\t7\n"),
        ("Content-Type: application/javascript\r\n", b"callback({\"password\":\"s3\"});"),
        ("Content-Type: text/javascript\r\n", b"/**/ a.b[1]([{'token' : 's3'}])"),
        ("Content-Type: text/html\r\n", b"<script>window.user = { password: 's3' }</script>"),
        ("Content-Type: text/html\r\n", b"<input name=password value=s3 type=text data-token=\"s3\">"),
        ("Content-Type: text/plain\r\n", b"token: s3"),
        ("Content-Type: text/yaml\r\n", b"user:\n  token: s3\n"),
        ("X: 1\r\n", b"a, token\n1, s3"),
        ("Content-Type: text/event-stream\r\n", b"data: token=s3\n\n"),
        ("Content-Type: multipart/form-data\r\n", b"--b\r\n\r\nx\r\n--b--"),
        (
            "Content-Type: multipart/form-data; boundary=b\r\n",
            b"--b\r\nContent-Disposition: form-data; name=password\r\n\r\ns3",
        ),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", b"{\"password\":\"s3\"}"),
        ("Content-Type: application/json\r\nContent-Encoding: aes128gcm\r\n", b"s3"),
        ("Content-Type: text/plain\r\nContent-Encoding: gzip, gzip, gzip, gzip\r\n", b"s3"),
    ] {
        is_unreadable(headers, body);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut to, bytes).unwrap();
    to.finish().unwrap()
}

#[test]
fn a_coded_body_is_redacted_and_goes_on_without_its_coding_in_its_framing() {
    let plain = br#"{"password":"s3"}"#;
    let coded = [("gzip", gzip(plain)), ("zstd, x-gzip", gzip(&zstd::encode_all(&plain[..], 1).unwrap()))];
    for (coding, body) in coded {
        for framing in ["Content-Length: 9\r\n", "Transfer-Encoding: chunked\r\n"] {
            let headers =
                format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\nDigest: a\r\n{framing}");
            let (head, content, _) = masked(&headers, &body, OnUnknown::DropBody).unwrap();
            assert_eq!(content, br#"{"password":"***"}"#);
            let framing = framing.replace('9', "18");
            assert_eq!(head, format!("POST / HTTP/1.1\r\nContent-Type: application/json\r\n{framing}\r\n"));
        }
        let headers = format!("Content-Encoding: {coding}\r\n");
        let untouched = gzip(b"{\"a\":1}");
        let (head, content, _) = masked(&headers.replace("zstd, ", ""), &untouched, OnUnknown::DropBody).unwrap();
        assert!(content == untouched && head.contains("Content-Encoding: "), "nothing to redact: every byte stays");
    }
    let transfer = "Content-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n";
    let (head, content, _) = masked(transfer, &gzip(plain), OnUnknown::DropBody).unwrap();
    assert!(content == br#"{"password":"***"}"# && head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
}

#[test]
fn a_bomb_is_given_up_at_the_limit() {
    let fits = [vec![b' '; MAX_DECODED - 2], b"{}".to_vec()].concat();
    let headers = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    let (_, content, unreadable) = masked(headers, &gzip(&fits), OnUnknown::DropBody).unwrap();
    assert_eq!((content.is_empty(), unreadable), (false, UnreadableCounts::default()));
    is_unreadable(headers, gzip(&[fits, b" ".to_vec()].concat()));
}

#[test]
fn only_bodies_that_a_link_asks_for_are_looked_into() {
    let head = "POST / HTTP/1.1\r\nContent-Encoding: br\r\nContent-Type: application/json\r\nX-Api-Key: k\r\n\r\n";
    for kind in [FieldKind::Header, FieldKind::Cookie, FieldKind::Param] {
        let mut request = with_body(head, "?");
        let mut context = Context::default();
        context.begin(&request, request.last_byte, false);
        let fields = [(kind, "X-Api-Key".to_owned())];
        Redact::new(RedactMode::Mask, &fields, Vec::new(), OnUnknown::Drop).apply(&mut request, &mut context).unwrap();
        assert_eq!(request.body.content().unwrap().as_ref(), b"?");
    }
}

#[test]
fn parameters_are_redacted_in_referers_and_headers_in_trailers() {
    let head = "POST /?password=s3&b=1#c?password=s3 HTTP/1.1\r\nReferer: https://h/a?password=s3&b=1#password=s3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut request = with_body(head, "1\r\nx\r\n0\r\nX-Key: s3\r\n\r\n");
    let mut context = Context::default();
    context.begin(&request, request.last_byte, false);
    let fields = [(FieldKind::Param, "password".to_owned()), (FieldKind::Header, "X-Key".to_owned())];
    for (mode, referer, target) in [
        (RedactMode::Mask, "https://h/a?password=***&b=1#password=***", "/?password=***&b=1#c?password=***"),
        (RedactMode::Remove, "https://h/a?b=1", "/?b=1#c"),
    ] {
        Redact::new(mode, &fields, Vec::new(), OnUnknown::Drop).apply(&mut request, &mut context).unwrap();
        assert_eq!(request.head.get("referer"), Some(referer.as_bytes()));
        assert_eq!(request.target(), target.as_bytes());
    }
    assert_eq!(request.body.wire.as_deref(), Some(&b"1\r\nx\r\n0\r\n\r\n"[..]));
}

#[test]
fn a_response_is_redacted_by_the_links_that_saw_its_request() {
    let body = gzip(br#"{"token":"s3"}"#);
    let head = "HTTP/1.1 200 OK\r\nSet-Cookie: sid=s3; Path=/; HttpOnly\r\nset-cookie: b=2\r\nX-Key: s3\r\n\
                Location: /cb?password=s3\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n";
    let mut response = Response {
        status: 200,
        head: Head::new(head.as_bytes().to_vec()),
        body: Body {
            framing: Framing::Length(body.len() as u64),
            len: body.len() as u64,
            sha256: None,
            wire: Some(body.into()),
        },
        first_byte: Timestamp::default(),
        last_byte: Timestamp::default(),
        damage: None,
        opaque: false,
        untimed: false,
        left: false,
    };
    let fields = [(FieldKind::Cookie, "sid"), (FieldKind::Header, "X-Key"), (FieldKind::Param, "password")];
    let fields = fields.map(|(kind, name)| (kind, name.to_owned()));
    let json = vec![JsonPath::parse("$..token").unwrap()];
    let link = Redact::new(RedactMode::Mask, &fields, json, OnUnknown::Drop);
    assert!(link.rules.apply(&mut response, &mut Context::default()));
    assert_eq!(
        String::from_utf8_lossy(response.head.as_bytes()),
        "HTTP/1.1 200 OK\r\nSet-Cookie: sid=***; Path=/; HttpOnly\r\nset-cookie: b=2\r\nX-Key: ***\r\n\
         Location: /cb?password=***\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    );
    assert_eq!(response.body.content().unwrap().as_ref(), br#"{"token":"***"}"#);
    response.head.set("Content-Encoding", b"gzip");
    assert!(!link.rules.apply(&mut response, &mut Context::default()), "it is no gzip any more");
}

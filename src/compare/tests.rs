use std::io::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::exchange::Digest;

const JSON: &str = "Content-Type: application/json\r\n";
const TEXT: &str = "Content-Type: text/plain\r\n";

/// A response with every retained part.
struct KeptResponse {
    status: u16,
    head: Head,
    body: Vec<u8>,
    sha256: Digest,
}

fn kept(status: u16, lines: &str, body: &[u8]) -> KeptResponse {
    let head = Head::new(format!("HTTP/1.1 {status} -\r\n{lines}\r\n").into_bytes());
    KeptResponse { status, head, body: body.to_vec(), sha256: Sha256::digest(body).into() }
}

impl KeptResponse {
    fn side(&self) -> ComparedResponse<'_> {
        ComparedResponse {
            status: self.status,
            head: Some(&self.head),
            body_len: self.body.len() as u64,
            body_sha256: (!self.body.is_empty()).then_some(&self.sha256),
            body: Some(&self.body),
            authorities: [b"old.example", b"", b""],
        }
    }
}

fn rules(ignored: &[&str]) -> CompareRules {
    let mut rules = CompareRules::default();
    for rule in ignored {
        match rule.strip_prefix("order:") {
            Some(rule) => rules.ignore_order(rule).unwrap(),
            None => rules.ignore(rule).unwrap(),
        }
    }
    rules
}

/// Each difference in a line: where, path, kind, both values.
fn lines(found: &[Difference]) -> Vec<String> {
    let name = |value: Value| value.as_str().unwrap().to_owned();
    let line = |one: &Difference| {
        format!("{} {} {} {} {}", name(json!(one.place)), one.path, name(json!(one.kind)), one.production, one.shadow)
    };
    found.iter().map(line).collect()
}

fn found(rules: &CompareRules, one: &KeptResponse, other: &KeptResponse) -> ResponseDiff {
    compare(rules, b"GET", &one.side(), &other.side(), BodyKnowledge::Whole)
}

#[track_caller]
fn check_json(ignored: &[&str], production: &str, shadow: &str, expected: &[&str]) {
    let (one, other) = (kept(200, JSON, production.as_bytes()), kept(200, JSON, shadow.as_bytes()));
    let found = found(&rules(ignored), &one, &other);
    assert_eq!(lines(&found.differences), expected, "{production} {shadow}");
    assert_eq!(found.body_unknown, None);
}

#[track_caller]
fn check_heads(ignored: &[&str], production: &str, shadow: &str, expected: &[&str]) {
    let found = found(&rules(ignored), &kept(200, production, b""), &kept(200, shadow, b""));
    assert_eq!(lines(&found.differences), expected, "{production} {shadow}");
}

#[test]
fn what_connection_names_belongs_to_the_hop() {
    check_heads(&[], "Connection: close, X-Hop\r\nX-Hop: 1\r\n", "X: 1\r\n", &[r#"header x extra null "1""#]);
    check_heads(&[], "A: 1\r\n", "A: 1\r\nX-Hop: 2\r\nConnection: keep-alive\r\nconnection: x-hop\r\n", &[]);
    check_heads(&[], "X-Hop: 1\r\nConnection: x-hop\r\n", "X-Hop: 2\r\nConnection: x-hop\r\n", &[]);
    check_heads(&["header:a"], "X-Hop: 1\r\nConnection: x-hop\r\n", "A: 2\r\n", &[]);
    let named = "Connection: content-type\r\n";
    check_heads(&[], &format!("Content-Type: a\r\n{named}"), "Content-Type: b\r\n", &[]);
    let mut rules = rules(&[]);
    rules.compare_header("x-hop").unwrap();
    let (one, other) = (kept(200, "X-Hop: 1\r\nConnection: x-hop\r\n", b""), kept(200, "", b""));
    assert_eq!(found(&rules, &one, &other).differences.len(), 1, "it was asked for");
}

#[test]
fn a_coding_has_several_names_and_identity_is_none() {
    for (one, other) in [
        ("gzip", "x-gzip"),
        ("X-Compress", "compress"),
        ("br, x-gzip", "br,GZIP"),
        ("identity", "Identity, identity"),
        ("identity, gzip", "gzip"),
    ] {
        let line = |coding: &str| format!("Content-Encoding: {coding}\r\n");
        check_heads(&[], &line(one), &line(other), &[]);
        check_heads(&[], &line(other), &line(one), &[]);
    }
    check_heads(&[], "Content-Encoding: identity\r\n", "", &[]);
    check_heads(&[], "", "Content-Encoding: identity\r\n", &[]);
    check_heads(&[], "Content-Encoding: br\r\nContent-Encoding: x-gzip\r\n", "Content-Encoding: br, gzip\r\n", &[]);
    let gone = [r#"header content-encoding missing "x-gzip" null"#];
    check_heads(
        &[],
        "Content-Encoding: x-gzip\r\n",
        "Content-Encoding: identity\r\n",
        &[r#"header content-encoding value "x-gzip" "identity""#],
    );
    check_heads(&[], "Content-Encoding: x-gzip\r\n", "", &gone);
}

#[test]
fn json_differs_by_value_type_and_what_is_missing_or_extra() {
    check_json(
        &[],
        r#"{"a":1,"b":{"c":"x"}}"#,
        r#"{"a":2,"b":{"c":"y"}}"#,
        &["body $.a value 1 2", r#"body $.b.c value "x" "y""#],
    );
    check_json(
        &[],
        r#"{"a":1,"b":null}"#,
        r#"{"a":"1","c":[1,{"d":2}]}"#,
        &[r#"body $.a type 1 "1""#, "body $.b missing null null", r#"body $.c extra null "[1,{\"d\":2}]""#],
    );
    check_json(&[], "[]", "{}", &[r#"body $ type "[]" "{}""#]);
    check_json(&[], "null", "false", &["body $ type null false"]);
}

#[test]
fn the_order_of_keys_and_the_spelling_of_numbers_and_strings_never_count() {
    check_json(&[], r#"{"a":1,"b":[{"c":1,"d":2}]}"#, r#"{ "b":[{"d":2.0,"c":1e0}], "a":1.0 }"#, &[]);
    check_json(&[], r#"{"a":"é","z":-0.0}"#, r#"{"a":"\u00e9","z":0}"#, &[]);
    check_json(&[], "9007199254740993", "9007199254740992", &["body $ value 9007199254740993 9007199254740992"]);
    check_json(
        &[],
        "18446744073709551615",
        "18446744073709551614",
        &["body $ value 18446744073709551615 18446744073709551614"],
    );
}

#[test]
fn numbers_that_no_double_tells_apart_differ_by_their_digits() {
    check_json(
        &[],
        r#"{"a":36893488147419103232,"b":[0.30000000000000000000000001,1]}"#,
        r#"{"a":36893488147419103233,"b":[0.30000000000000000000000002,1e0]}"#,
        &[
            r#"body $.a value "36893488147419103232" "36893488147419103233""#,
            r#"body $.b[0] value "0.30000000000000000000000001" "0.30000000000000000000000002""#,
        ],
    );
    check_json(&[], "[1e999,123456789012345678901]", "[10.0e998,12345678901234567890.1e1]", &[]);
    check_json(&[], "1e999", "1e998", &[r#"body $ value "1e999" "1e998""#]);
    // The order is told by value, too.
    let digits = "98765432109876543210";
    check_json(&["order:json:$"], &format!("[{digits}1,{digits}2,5.00]"), &format!("[5,{digits}2.0,{digits}1]"), &[]);
    check_json(&[], &format!("{{\"a\":[{digits}7]}}"), "{\"a\":1}", &[r#"body $.a type "[987654321098765432107]" 1"#]);
}

#[track_caller]
fn check_typed(types: [&str; 2], production: &str, shadow: &str, expected: &[&str]) {
    let of = |name: &str, body: &str| {
        let line = if name.is_empty() { String::new() } else { format!("Content-Type: {name}\r\n") };
        kept(200, &line, body.as_bytes())
    };
    let found = found(&rules(&["header:content-type"]), &of(types[0], production), &of(types[1], shadow));
    assert_eq!(lines(&found.differences), expected, "{types:?} {production} {shadow}");
    assert_eq!(found.body_unknown, None);
}

#[test]
fn json_is_found_by_looking_whatever_its_type_says() {
    for name in [
        "text/html",
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "text/javascript",
        "application/x-acme",
        "",
    ] {
        check_typed([name; 2], r#"{"p":1,"q":[2]}"#, " {\"q\" : [2.0], \"p\":1}\n", &[]);
        check_typed([name; 2], r#"[{"p":1}]"#, r#"[{"p":4}]"#, &["body $[0].p value 1 4"]);
        check_typed(["application/json", name], "\u{feff}{\"p\":1}", r#"{"p":2}"#, &["body $.p value 1 2"]);
    }
}

#[test]
fn what_only_begins_as_json_is_compared_as_its_type_says() {
    check_typed(["text/plain"; 2], "[x]\na\nb", "[x]\na\nc", &[r#"body line 3 value "b" "c""#]);
    check_typed(
        ["text/html"; 2],
        "{\"p\":1}",
        "<p>\n",
        &[r#"body line 1 value "{\"p\":1}" "<p>""#, r#"body line 2 extra null """#],
    );
    check_typed(["text/plain"; 2], "7", "7.0", &[r#"body line 1 value "7" "7.0""#]);
    for (one, other) in [("{a}", "{b}"), ("abc", "abd")] {
        let bytes = |body: &str| kept(200, "Content-Type: application/octet-stream\r\n", body.as_bytes());
        let found = found(&rules(&[]), &bytes(one), &bytes(other)).differences;
        assert_eq!((found.len(), found[0].path.as_str()), (1, ""), "{one}");
    }
}

#[test]
fn json_lines_are_elements_of_one_list() {
    for name in ["application/x-ndjson", "text/plain", "application/json", "application/octet-stream"] {
        check_typed([name; 2], "{\"p\":1,\"q\":2}\n{\"p\":3}\n", "{\"q\":2,\"p\":1.0}\r\n{\"p\":3}", &[]);
        check_typed([name; 2], "{\"p\":1}\n{\"p\":2}\n", "{\"p\":1}\n{\"p\":5}\n", &["body $[1].p value 2 5"]);
        check_typed([name; 2], "{\"p\":1}\n", "{\"p\":1}\n{\"p\":5}\n", &[r#"body $[1] extra null "{\"p\":5}""#]);
    }
    // One line is a list of one where the type says that there may be more.
    check_typed(["application/jsonl"; 2], "{\"p\":1}\n", "{\"p\":2}\n", &["body $[0].p value 1 2"]);
    check_typed(["text/plain"; 2], "{\"p\":1}\n", "{\"p\":2}\n", &["body $.p value 1 2"]);
}

#[test]
fn of_a_key_that_comes_twice_the_last_counts() {
    check_json(&[], r#"{"a":1,"a":2}"#, r#"{"a":2}"#, &[]);
    check_json(&[], r#"{"a":1,"a":2}"#, r#"{"a":1}"#, &["body $.a value 2 1"]);
}

#[test]
fn arrays_are_compared_by_place_and_another_order_is_one_difference() {
    check_json(&[], r#"{"i":[{"id":1},{"id":2}]}"#, r#"{"i":[{"id":1},{"id":3}]}"#, &["body $.i[1].id value 2 3"]);
    check_json(&[], "[1,2,3]", "[3,1,2]", &[r#"body $ order "[1,2,3]" "[3,1,2]""#]);
    check_json(
        &[],
        r#"[{"a":1},{"b":2.0}]"#,
        r#"[{"b":2},{"a":1}]"#,
        &[r#"body $ order "[{\"a\":1},{\"b\":2.0}]" "[{\"b\":2},{\"a\":1}]""#],
    );
    check_json(&["order:json:$"], "[1,2,3]", "[3,1,2]", &[]);
    check_json(
        &["order:json:$.i"],
        r#"{"i":[{"id":1},{"id":2},3]}"#,
        r#"{"i":[3,{"id":2},{"id":9}]}"#,
        &["body $.i[0].id value 1 9"],
    );
    // What is left out counts neither for the order.
    check_json(
        &["order:json:$", "json:$[*].t"],
        r#"[{"id":1,"t":5},{"id":2,"t":6}]"#,
        r#"[{"id":2,"t":7},{"id":1}]"#,
        &[],
    );
}

#[test]
fn what_was_put_into_an_array_is_one_difference() {
    check_json(&[], "[1,2,3,4]", "[1,9,2,3,4]", &["body $[1] extra null 9"]);
    check_json(
        &[],
        "[1,2,3]",
        "[]",
        &["body $[0] missing 1 null", "body $[1] missing 2 null", "body $[2] missing 3 null"],
    );
    check_json(&[], "[1,2,3,4]", "[1,5,4]", &["body $[1] value 2 5", "body $[2] missing 3 null"]);
}

#[test]
fn what_is_left_out_by_its_path_does_not_count() {
    let (one, other) = (r#"{"at":1,"i":[{"ts":1,"id":1}]}"#, r#"{"at":2,"i":[{"ts":2,"id":1}],"new":1}"#);
    check_json(&["json:$.at", "json:$.i[*].ts", "json:$.new"], one, other, &[]);
    check_json(&["json:$..ts", "json:$.*"], one, other, &[]);
    check_json(&["json:$"], one, other, &[]);
    check_json(&["body"], one, other, &[]);
    check_json(&["json:$.at", "json:$.i[1].ts"], one, other, &["body $.i[0].ts value 1 2", "body $.new extra null 1"]);
}

#[test]
fn only_some_examples_of_a_field_are_listed_and_only_so_many_fields() {
    let list = |of: u32| {
        format!("[{}]", (0..50).map(|n| format!(r#"{{"id":{n},"t":{}}}"#, n + of)).collect::<Vec<_>>().join(","))
    };
    check_json(&[], &list(0), &list(1), &["body $[0].t value 0 1", "body $[1].t value 1 2", "body $[2].t value 2 3"]);
    let object =
        |of: u32| format!("{{{}}}", (0..500).map(|n| format!(r#""k{n}":{}"#, n + of)).collect::<Vec<_>>().join(","));
    let (one, other) = (kept(200, JSON, object(0).as_bytes()), kept(200, JSON, object(1).as_bytes()));
    let found = found(&rules(&[]), &one, &other).differences;
    assert_eq!(found.len(), findings::MAX_FIELDS + 1);
    assert_eq!(found.last().unwrap().kind, DifferenceKind::More);
}

#[test]
fn long_values_are_cut_about_the_difference_and_secrets_are_masked() {
    let long = |end: &str| format!(r#"{{"a":"{}{end}","access_token":"{end}"}}"#, "x".repeat(5_000));
    let (one, other) = (kept(200, JSON, long("one").as_bytes()), kept(200, JSON, long("two").as_bytes()));
    let found = found(&rules(&[]), &one, &other).differences;
    assert_eq!(found[0].production, format!("…{}one", "x".repeat(40)));
    assert_eq!((&found[1].production, &found[1].shadow), (&json!("***"), &json!("***")));
    check_json(
        &[],
        r#"{"a":{"password":"p","b":1}}"#,
        r#"{"a":1}"#,
        &[r#"body $.a type "{\"password\":\"***\",\"b\":1}" 1"#],
    );
}

#[test]
fn a_body_that_is_not_the_json_it_says_is_compared_as_text() {
    check_json(&[], "{\"a\":1,\nx", "{\"a\":1,\ny", &[r#"body line 2 value "x" "y""#]);
    check_json(&[], "{\"a\":1}", "{\"a\":1", &[r#"body line 1 value "{\"a\":1}" "{\"a\":1""#]);
    let deep = |end: &str| format!("{}{end}", "[".repeat(5_000));
    let (one, other) = (kept(200, JSON, deep("1").as_bytes()), kept(200, JSON, deep("2").as_bytes()));
    assert_eq!(found(&rules(&[]), &one, &other).differences[0].path, "line 1");
}

#[test]
fn text_is_compared_by_line() {
    let check = |one: &str, other: &str, expected: &[&str]| {
        let found = found(&rules(&[]), &kept(200, TEXT, one.as_bytes()), &kept(200, TEXT, other.as_bytes()));
        assert_eq!(lines(&found.differences), expected, "{one:?} {other:?}");
    };
    check("a\nb\nc\n", "a\nB\nc\n", &[r#"body line 2 value "b" "B""#]);
    check("a\nc\n", "a\nb\nc\n", &[r#"body line 2 extra null "b""#]);
    check("a\nb\nc\n", "a\nc\n", &[r#"body line 2 missing "b" null"#]);
    check("a\r\n", "a\n", &[r#"body line 1 value "a\r" "a""#]);
    let many: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let found =
        found(&rules(&[]), &kept(200, TEXT, many.join("\n").as_bytes()), &kept(200, TEXT, many.join("x\n").as_bytes()));
    assert_eq!((found.differences.len(), found.differences.last().unwrap().kind), (21, DifferenceKind::More));
}

#[test]
fn a_charset_is_heeded() {
    let latin = kept(200, "Content-Type: text/plain; charset=ISO-8859-1\r\n", b"caf\xe9");
    let utf_8 = kept(200, "Content-Type: text/plain; charset=UTF-8\r\n", "café".as_bytes());
    assert_eq!(found(&rules(&["header:content-type"]), &latin, &utf_8), ResponseDiff::default());
    let unsaid = kept(200, TEXT, b"caf\xe9");
    assert_eq!(found(&rules(&["headers"]), &unsaid, &utf_8).differences[0].path, "");
}

#[test]
fn json_in_another_charset_is_json() {
    let rules = rules(&["header:content-type"]);
    let latin = |body: &[u8]| kept(200, "Content-Type: application/json; charset=ISO-8859-1\r\n", body);
    let one = latin(b"{\"a\":\"caf\xe9\",\"b\":1}");
    let other = latin(b"{ \"b\":2, \"a\":\"caf\xe9\" }");
    assert_eq!(lines(&found(&rules, &one, &other).differences), ["body $.b value 1 2"]);
    let utf_8 = kept(200, "Content-Type: application/json\r\n", "{\"b\":1,\"a\":\"caf\u{e9}\"}".as_bytes());
    assert_eq!(found(&rules, &one, &utf_8), ResponseDiff::default());
}

#[test]
fn a_surrogate_without_its_pair_costs_no_document() {
    check_json(&[], r#"{"a":"\ud800","b":1}"#, r#"{"b":2,"a":"\uD800"}"#, &["body $.b value 1 2"]);
    let unlike = [r#"body $.a value "x\\ud800" "x\\udc00""#];
    check_json(&[], r#"{"a":"x\ud800"}"#, r#"{"a":"x\udc00"}"#, &unlike);
    // A text that only looks like it.
    let alike = [r#"body $.a[0] value "x\\ud800" "x\\ud800""#];
    check_json(&[], r#"{"a":["x\ud800"]}"#, r#"{"a":["x\\ud800"]}"#, &alike);
    let order = [r#"body $ order "[\"\\\\ud800\",1]" "[1,\"\\\\ud800\"]""#];
    check_json(&[], r#"["\ud800",1]"#, r#"[1,"\ud800"]"#, &order);
}

#[test]
fn content_is_compared_whatever_its_coding() {
    let gzip = |text: &[u8]| {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        to.write_all(text).unwrap();
        to.finish().unwrap()
    };
    let coded = |text: &[u8]| kept(200, &format!("{JSON}Content-Encoding: gzip\r\n"), &gzip(text));
    let plain = kept(200, JSON, br#"{"a":1}"#);
    assert_eq!(
        lines(&found(&rules(&[]), &coded(br#"{"a":1}"#), &plain).differences),
        [r#"header content-encoding missing "gzip" null"#]
    );
    let headless = rules(&["header:content-encoding"]);
    assert_eq!(lines(&found(&headless, &coded(br#"{"a":2}"#), &plain).differences), ["body $.a value 2 1"]);
    // What is not what it says is compared as a whole.
    let broken = kept(200, &format!("{JSON}Content-Encoding: gzip\r\n"), b"no gzip");
    assert_eq!(found(&headless, &broken, &plain).differences[0].path, "");
}

#[test]
fn a_body_that_nobody_can_read_is_compared_by_length_and_hash() {
    let image = |body: &[u8]| kept(200, "Content-Type: image/png\r\n", body);
    let found = found(&rules(&[]), &image(b"one"), &image(b"two"));
    assert_eq!((found.differences.len(), found.differences[0].path.as_str()), (1, ""));
    assert_eq!(found.differences[0].production["len"], 3);
    assert_eq!(found.differences[0].production["sha256"], hex(&Sha256::digest(b"one").into()));
}

#[test]
fn empty_bodies_are_equal_and_an_empty_one_differs_from_any_other() {
    let (empty, full) = (kept(200, JSON, b""), kept(200, JSON, b"{}"));
    assert_eq!(found(&rules(&[]), &empty, &empty), ResponseDiff::default());
    assert_eq!(lines(&found(&rules(&[]), &empty, &full).differences).len(), 1);
}

#[test]
fn without_the_body_nothing_is_said_but_by_its_hash() {
    let (one, other) = (kept(200, JSON, b"{\"a\":1}"), kept(200, JSON, b"{\"a\":2}"));
    let gone = ComparedResponse { body: None, ..other.side() };
    let told = |shadow: &ComparedResponse<'_>, bodies| compare(&rules(&[]), b"GET", &one.side(), shadow, bodies);
    let unknown = |why| ResponseDiff { body_unknown: Some(why), ..ResponseDiff::default() };
    assert_eq!(told(&gone, BodyKnowledge::Whole), unknown(Unknown::NotKept));
    assert_eq!(told(&other.side(), BodyKnowledge::Unread(Unknown::Late)), unknown(Unknown::Late));
    assert_eq!(told(&one.side(), BodyKnowledge::Unread(Unknown::Late)), ResponseDiff::default());
    assert_eq!(told(&other.side(), BodyKnowledge::Damaged), unknown(Unknown::Damaged));
    let mut small = rules(&[]);
    small.set_max_body(3);
    let found = compare(&small, b"GET", &one.side(), &gone, BodyKnowledge::Whole);
    assert_eq!((found.differences[0].path.as_str(), found.body_unknown), ("", None));
}

#[test]
fn bodies_differ_by_length_or_hash_only_where_both_are_whole() {
    let side = |status, body_len, sha256| ComparedResponse {
        status,
        head: None,
        body_len,
        body_sha256: Some(sha256),
        body: None,
        authorities: [b""; 3],
    };
    let places = |method: &[u8], shadow: ComparedResponse<'_>, bodies| -> Vec<DifferencePart> {
        let found = compare(&CompareRules::default(), method, &side(200, 5, &[1; 32]), &shadow, bodies);
        found.differences.iter().map(|difference| difference.place).collect()
    };
    assert_eq!(places(b"GET", side(200, 5, &[1; 32]), BodyKnowledge::Whole), []);
    assert_eq!(places(b"GET", side(200, 5, &[9; 32]), BodyKnowledge::Whole), [DifferencePart::Body]);
    assert_eq!(places(b"GET", side(200, 6, &[1; 32]), BodyKnowledge::Whole), [DifferencePart::Body]);
    assert_eq!(places(b"HEAD", side(200, 6, &[1; 32]), BodyKnowledge::Whole), []);
    assert_eq!(places(b"GET", side(200, 6, &[1; 32]), BodyKnowledge::Damaged), []);
    assert_eq!(places(b"GET", side(500, 5, &[1; 32]), BodyKnowledge::Whole), [DifferencePart::Status]);
}

#[test]
fn lines_that_go_on_belong_to_the_line_before() {
    let of = |lines: &str| kept(200, lines, b"");
    let differ = |one: &str, other: &str| lines(&found(&rules(&[]), &of(one), &of(other)).differences);
    assert_eq!(differ("A: 1\r\n 2\r\nB: 3\r\n", "A: 1\r\n 2\r\nB: 3\r\n"), [""; 0]);
    assert_eq!(differ("A: 1\r\n 2\r\nB: 3\r\n", "A: 1\r\n 4\r\nB: 3\r\n").len(), 1);
    assert_eq!(differ("A: 1\r\nB: 3\r\n", "A: 1\r\n 4\r\nB: 3\r\n").len(), 1);
    // What the Date goes on with does not count either.
    assert_eq!(differ("Date: 1\r\n 2\r\nB: 3\r\n", "Date: 1\r\n 4\r\nB: 3\r\n"), [""; 0]);
    assert_eq!(differ("Date: 1\r\nB: 3\r\n", "Date: 2\r\nB: 4\r\n"), [r#"header b value "3" "4""#]);
    assert_eq!(differ("B: 3\r\nDate: 1\r\n", "Date: 2\r\nB: 3\r\n"), [""; 0], "whatever their order");
    assert_eq!(differ("B: 3\r\n", "B: 3\r\nC: 4\r\n"), [r#"header c extra null "4""#]);
}

#[test]
fn a_body_that_was_kept_meets_the_hash_of_one_that_was_not() {
    let answer = kept(200, "Content-Type: image/png\r\n", b"hello");
    let same = |hash: &Digest, len| {
        let (one, other) = (
            ComparedResponse { body_sha256: None, ..answer.side() },
            ComparedResponse { body: None, body_sha256: Some(hash), body_len: len, ..answer.side() },
        );
        [(&one, &other), (&other, &one)]
            .map(|(one, other)| compare(&rules(&[]), b"GET", one, other, BodyKnowledge::Unread(Unknown::QueueFull)))
    };
    let hash = answer.sha256;
    assert!(same(&hash, 5).iter().all(|found| !found.has(DifferencePart::Body) && found.body_unknown.is_none()));
    let [found, _] = same(&[9; 32], 5);
    assert_eq!(found.differences[0].production["sha256"], hex(&hash), "made where it is told");
}

#[test]
fn answers_without_a_body_are_compared_by_their_heads() {
    let (one, other) = (kept(304, "ETag: a\r\n", b""), kept(304, "ETag: b\r\n", b"x"));
    assert_eq!(lines(&found(&rules(&[]), &one, &other).differences), [r#"header etag value "a" "b""#]);
    let (one, other) = (kept(200, JSON, b""), kept(200, JSON, b"x"));
    assert_eq!(
        compare(&rules(&[]), b"HEAD", &one.side(), &other.side(), BodyKnowledge::Whole),
        ResponseDiff::default()
    );
}

#[test]
fn answers_with_different_statuses_are_different_messages() {
    let (one, other) = (kept(200, JSON, b"{\"a\":1}"), kept(503, TEXT, b"no"));
    let found = found(&rules(&[]), &one, &other).differences;
    assert_eq!((found.len(), found[0].place, found[1].path.as_str()), (2, DifferencePart::Status, ""));
}

#[test]
fn header_lines_are_compared_by_name_whatever_their_order_and_case() {
    check_heads(&[], "A: 1\r\nB: 2\r\n", "b: 2\r\na: 1\r\n", &[]);
    check_heads(
        &[],
        "A: 1\r\nETag: \"x\"\r\n",
        "a: 2\r\nC: 3\r\n",
        &[r#"header a value "1" "2""#, r#"header etag missing "\"x\"" null"#, r#"header c extra null "3""#],
    );
    check_heads(&[], "Cache-Control: a,b\r\n", "cache-control: a\r\nCache-Control: b\r\n", &[]);
    check_heads(&[], "Cache-Control: max-age=1; x\r\n", "cache-control: max-age=1;x\r\n", &[]);
    check_heads(&[], "Content-Type: text/html; charset=UTF-8\r\n", "content-type: text/html;charset=utf-8\r\n", &[]);
    check_heads(&["header:A"], "A: 1\r\n", "", &[]);
    check_heads(&["headers"], "B: 1\r\n", "", &[]);
}

#[test]
fn what_names_the_answer_the_machine_or_the_time_never_counts_unless_asked_for() {
    let all = format!("{}: a\r\n", super::rules::NEVER_COUNTED.join(": a\r\n"));
    check_heads(&[], &all, "Date: b\r\nServer: c\r\n", &[]);
    let mut rules = rules(&[]);
    rules.compare_header("Server").unwrap();
    let found = found(&rules, &kept(200, "Server: a\r\n", b""), &kept(200, "Server: b\r\n", b""));
    assert_eq!(lines(&found.differences), [r#"header server value "a" "b""#]);
}

/// Returns the number of differences between these values of a header.
fn differing(rules: &CompareRules, name: &str, one: &str, other: &str) -> usize {
    let of = |value: &str| kept(200, &format!("{name}: {value}\r\n"), b"");
    found(rules, &of(one), &of(other)).differences.len()
}

#[test]
fn ids_of_requests_and_latencies_of_gateways_never_count_unless_asked_for() {
    for name in [
        "X-Ms-Client-Request-Id",
        "X-Azure-Ref",
        "X-Cloud-Trace-Context",
        "X-Kong-Response-Latency",
        "X-Fastly-Trace-Id",
        "X-Vercel-Id",
        "Akamai-GRN",
        "X-Acme-Request-ID",
        "Acme-RequestId",
        "Uber-Trace-Id",
        "X-Acme-Correlation-Id",
        "Trace-Id",
        "X-Upstream-Response-Time",
        "Latency",
    ] {
        check_heads(&[], &format!("{name}: a\r\n"), &format!("{name}: b\r\n"), &[]);
        check_heads(&[], &format!("{name}: a\r\nX-A: 1\r\n"), "X-A: 1\r\n", &[]);
        let mut rules = rules(&[]);
        rules.compare_header(name).unwrap();
        assert_eq!(differing(&rules, name, "a", "b"), 1, "{name} counts where it is asked for");
        rules.ignore(&format!("header:{name}")).unwrap();
        assert_eq!(differing(&rules, name, "a", "b"), 0, "{name}");
    }
    for name in ["X-Plan-Id", "X-Prequest-Id-Kind", "X-Tracing", "Xrequest-id", "X-Runtime-Version", "X-Quality"] {
        assert_eq!(differing(&rules(&[]), name, "a", "b"), 1, "{name}");
    }
}

#[test]
fn the_order_of_what_is_a_set_does_not_count_and_its_members_do() {
    for (name, one, other) in [
        ("Vary", "Origin, Accept-Language", "accept-language,origin"),
        ("Allow", "PUT, DELETE, GET", "GET,PUT , DELETE"),
        ("Cache-Control", "s-maxage=9, private=\"a, b\"", "Private=\"a, b\",,s-maxage=9"),
        ("CDN-Cache-Control", "max-age=1, no-transform", "no-transform, max-age=1"),
        ("Accept-Patch", "text/a;q=1, text/b", "text/b, text/a; q=1"),
        ("Access-Control-Expose-Headers", "X-A, X-B", "x-b, X-a"),
        ("Access-Control-Allow-Methods", "GET, POST", "POST, GET"),
    ] {
        assert_eq!(differing(&rules(&[]), name, one, other), 0, "{name}");
        let (first, last) = one.split_once(", ").unwrap();
        let two_lines = format!("{name}: {last}\r\n{name}: {first}\r\n");
        check_heads(&[], &format!("{name}: {one}\r\n"), &two_lines, &[]);
        assert_eq!(differing(&rules(&[]), name, one, first), 1, "{name}");
    }
    for (name, one, other) in [
        ("Content-Encoding", "gzip, br", "br, gzip"),
        ("X-Path", "a, b", "b, a"),
        ("Cache-Control", "private=\"a, b\"", "private=\"b, a\""),
        ("Cache-Control", "public, max-age=7", "public, max-age=8"),
        ("Access-Control-Allow-Methods", "GET", "get"),
        ("Allow", "GET", "get"),
    ] {
        assert_eq!(differing(&rules(&[]), name, one, other), 1, "{name} {one}");
    }
}

#[test]
fn the_length_that_a_response_to_head_names_counts() {
    let check = |ignored: &[&str], method: &[u8], one: &str, other: &str, expected: &[&str]| {
        let (one, other) = (kept(200, one, b""), kept(200, other, b""));
        let found = compare(&rules(ignored), method, &one.side(), &other.side(), BodyKnowledge::Whole);
        assert_eq!(lines(&found.differences), expected);
    };
    let (one, other) = ("Content-Length: 512\r\nA: 1\r\n", "A: 1\r\ncontent-length: 2048\r\n");
    check(&[], b"HEAD", one, other, &[r#"header content-length value "512" "2048""#]);
    check(&[], b"HEAD", one, one, &[]);
    check(&[], b"HEAD", one, "A: 1\r\n", &[r#"header content-length missing "512" null"#]);
    check(&[], b"HEAD", one, "A: 1\r\nTransfer-Encoding: chunked\r\n", &[]);
    check(&["header:content-length"], b"HEAD", one, other, &[]);
    check(&[], b"GET", one, other, &[]);
}

#[test]
fn members_under_ids_are_one_field() {
    let map = |seen: u32| {
        let member = |n: u32| format!(r#""{:08x}-0000-4000-8000-{:012}":{{"seen":{seen}}}"#, n * 7919, n);
        format!("{{\"by\":{{{}}}}}", (1..200).map(member).collect::<Vec<_>>().join(","))
    };
    let found = found_in(&kept(200, JSON, map(1).as_bytes()), &kept(200, JSON, map(2).as_bytes()));
    assert_eq!(found.len(), 3, "as many as there are examples of a field");
    assert!(found.iter().all(|one| field(&one.path) == "$.by.*.seen"), "{found:?}");
    check_json(&["json:$.by.*.seen"], &map(1), &map(2), &[]);
}

#[test]
fn of_cookies_that_are_set_names_and_attributes_count() {
    check_heads(
        &[],
        "Set-Cookie: sid=abc; Path=/; HttpOnly; Expires=Mon\r\nSet-Cookie: t=1\r\n",
        "Set-Cookie: t=2\r\nSet-Cookie: sid=xyz; httponly; path=/; expires=Tue\r\n",
        &[],
    );
    check_heads(
        &[],
        "Set-Cookie: sid=abc; Secure\r\n",
        "Set-Cookie: sid=abc\r\n",
        &[r#"header set-cookie value "sid=***; secure" "sid=***""#],
    );
}

#[test]
fn a_folded_line_is_one_line() {
    check_heads(&[], "X-A: one,\r\n  two\r\nETag: x\r\n", "X-A: one, two\r\nETag: x\r\n", &[]);
    check_heads(&[], "X-A: one \r\n\ttwo\r\n", "X-A:\r\n one\r\n two\r\n", &[]);
    check_heads(&[], "X-A: one\r\n two\r\n", "X-A: onetwo\r\n", &[r#"header x-a value "one two" "onetwo""#]);
    let both = "Set-Cookie: a=1;\r\n Secure\r\n";
    check_heads(&[], both, "Set-Cookie: a=2; Secure\r\n", &[]);
    check_heads(&[], both, "Set-Cookie: a=2\r\n", &[r#"header set-cookie value "a=***; secure" "a=***""#]);
}

#[test]
fn secrets_in_headers_are_masked() {
    check_heads(&[], "X-Api-Key: one\r\n", "X-Api-Key: two\r\n", &[r#"header x-api-key value "***" "***""#]);
    check_heads(
        &[],
        "Location: /a?token=1\r\n",
        "Location: /b?token=2\r\n",
        &[r#"header location value "/a?token=***" "/b?token=***""#],
    );
}

#[test]
fn elements_of_lists_of_secrets_are_masked() {
    check_json(
        &[],
        r#"{"tokens":["a",{"x":1}],"a":{"api_keys":[1]},"tokens_used":5,"items":["a"]}"#,
        r#"{"tokens":["b",{"x":2}],"a":{"api_keys":[]},"tokens_used":6,"items":["b"]}"#,
        &[
            r#"body $.tokens[0] value "***" "***""#,
            r#"body $.tokens[1].x value "***" "***""#,
            r#"body $.a.api_keys[0] missing "***" null"#,
            "body $.tokens_used value 5 6",
            r#"body $.items[0] value "a" "b""#,
        ],
    );
    check_json(&[], r#"{"tokens":["a"]}"#, r#"{"tokens":3}"#, &[r#"body $.tokens type "***" "***""#]);
    check_json(&[], r#"{"a":{"tokens":["x"]}}"#, r#"{"a":1}"#, &[r#"body $.a type "{\"tokens\":\"***\"}" 1"#]);
}

#[test]
fn a_redirect_to_its_own_stack_is_the_same_on_both() {
    let redirect = |to: &str| kept(301, &format!("Location: {to}\r\n"), b"");
    let check = |one: &str, other: &str, differ: bool| {
        let (one, other) = (redirect(one), redirect(other));
        let shadow =
            ComparedResponse { authorities: [b"new.example:8080", b"old.example", b"api.example"], ..other.side() };
        let found = compare(&rules(&[]), b"GET", &one.side(), &shadow, BodyKnowledge::Whole);
        assert_eq!(found.has(DifferencePart::Header), differ, "{:?}", found.differences);
    };
    check("http://old.example/a/", "http://new.example:8080/a/", false);
    check("https://old.example/a/", "/a/", false);
    check("//old.example", "http://OLD.example/", false);
    check("http://old.example/a/", "HTTP://api.example/a/", false);
    check("https://old.example/a/", "https://new.example/a/", false);
    // The one is where it was asked already: that has no end.
    check("https://old.example/a/", "http://new.example:8080/a/", true);
    check("http://old.example/a/", "https://api.example/a/", true);
    check("http://old.example/a/", "http://elsewhere.example/a/", true);
    check("http://old.example/a/", "http://new.example:8080/b/", true);
    // Nobody hears there from outside.
    check("https://old.example/a/", "https://old.example:8443/a/", true);
    check("https://old.example:8443/a/", "https://new.example:8443/a/", false);
    check("https://old.example/a/", "https://old.example:443/a/", false);
    check("http://old.example/a/", "http://old.example:8080/a/", true);
    check("/a/", "http://new.example:8081/a/", true);
}

#[test]
fn a_head_too_long_to_be_compared_says_so() {
    let long = kept(200, &format!("A: {}\r\n", "a".repeat(MAX_COMPARED_HEAD)), b"");
    let found = found(&rules(&[]), &long, &kept(200, "A: b\r\n", b""));
    assert_eq!(lines(&found.differences), ["header  more null null"]);
    let many = kept(200, &"A: b\r\n".repeat(1200), b"");
    let others = kept(200, &"A: c\r\n".repeat(1200), b"");
    let compared = |one: &KeptResponse, other: &KeptResponse| {
        super::compare(&rules(&[]), b"GET", &one.side(), &other.side(), BodyKnowledge::Whole)
    };
    assert_eq!(lines(&compared(&many, &others).differences), ["header  more null null"]);
    assert!(compared(&many, &many).differences.is_empty(), "they are alike, however many");
}

#[test]
fn nothing_is_nothing_under_a_coding_too() {
    let coded = |body: &[u8]| kept(200, "Content-Encoding: gzip\r\n", body);
    let differs = |one: &KeptResponse, other: &KeptResponse| {
        found(&rules(&["header:content-encoding"]), one, other).differences.len()
    };
    let plain = kept(200, "", b"");
    assert_eq!((differs(&coded(&gzip(b"")), &plain), differs(&plain, &coded(&gzip(b"")))), (0, 0));
    assert_eq!(differs(&coded(&gzip(b"a")), &plain), 1);
    assert_eq!(differs(&coded(b"no gzip"), &plain), 1);
    assert_eq!(differs(&kept(200, "", &gzip(b"")), &plain), 1);
}

#[test]
fn heads_with_many_lines_differ_in_what_others_differ_in() {
    let numbered =
        |order: &dyn Fn(u32) -> u32| (0..300).map(|n| format!("X-{0}: {0}\r\n", order(n))).collect::<Vec<_>>().concat();
    let (up, down) = (numbered(&|n| n), numbered(&|n| 299 - n));
    let of = |head: &str, etag: &str| kept(200, &format!("{head}ETag: {etag}\r\nSet-Cookie: a={etag}\r\n"), b"");
    let rules = rules(&["header:set-cookie"]);
    assert_eq!(found(&rules, &of(&up, "1"), &of(&down, "1")).differences, []);
    check_heads(
        &[],
        &format!("{up}X-Rest: 1\r\n"),
        &format!("X-Rest: 2\r\n{down}"),
        &["header x-rest value \"1\" \"2\""],
    );
    let (one, other) = (of(&up, "1"), of(&down, "1"));
    let quick = |bodies, effort| attempt(&rules, b"GET", &one.side(), &other.side(), bodies, effort);
    assert_eq!(quick(BodyKnowledge::Whole, Effort::Quick), None);
    let unread = quick(BodyKnowledge::Unread(Unknown::QueueFull), Effort::Full).unwrap();
    assert_eq!(lines(&unread.differences), ["header  more null null"]);
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    coder.write_all(body).unwrap();
    coder.finish().unwrap()
}

/// Compares `{"a":1}` with this body with these header lines, within this memory.
fn bomb(lines: &str, body: &[u8], memory: usize) -> ResponseDiff {
    let mut rules = rules(&["headers"]);
    rules.set_max_body(1 << 20);
    rules.set_memory(memory);
    found(&rules, &kept(200, JSON, b"{\"a\":1}"), &kept(200, lines, body))
}

#[track_caller]
fn check_bomb(lines: &str, body: &[u8], memory: usize, why: Unknown) {
    let expected = ResponseDiff { body_unknown: Some(why), ..ResponseDiff::default() };
    let lines = format!("Content-Type: application/json\r\n{lines}");
    assert_eq!(bomb(&lines, body, memory), expected, "{lines}");
}

#[test]
fn what_takes_too_much_is_not_looked_into_and_says_of_what() {
    const CODED: &str = "Content-Encoding: gzip\r\n";
    let lists = |count: usize| format!("[{}1]", "[],".repeat(count)).into_bytes();
    let (values, small) = (budget::MAX_VALUES as usize, 1 << 20);
    assert!(gzip(&lists(1 << 20)).len() < 10_000);
    check_bomb(CODED, &gzip(&lists(values)), usize::MAX >> 1, Unknown::Values);
    check_bomb(CODED, &gzip(&lists(values / 2)), small, Unknown::Memory);
    check_bomb("", &lists(values / 2), small, Unknown::Memory);
    check_bomb(CODED, &gzip(&vec![b' '; 5 << 20]), usize::MAX >> 1, Unknown::DecodedSize);
    check_bomb(CODED, &gzip(&vec![b' '; 3 << 20]), small, Unknown::Memory);
    check_bomb("Content-Encoding: gzip, gzip\r\n", &gzip(&gzip(&vec![b' '; 64 << 20])), small, Unknown::Memory);
    let latin = "Content-Type: text/plain; charset=latin1\r\n";
    let found = bomb(latin, &vec![0xe9; 400_000], small);
    assert_eq!(found.body_unknown, Some(Unknown::Memory));
}

#[test]
fn what_may_be_large_is_compared_without_much_being_made_of_it() {
    // A million lines are no more than their bytes.
    let lines = vec![b'\n'; 1 << 20];
    let found = bomb(TEXT, &lines, 1 << 10);
    assert_eq!((found.differences.len(), found.body_unknown), (21, None));
    // All of a list that one side has not: told as far as there are looks, and that there is more.
    let list = |count: usize| format!("[{}1]", "[],".repeat(count)).into_bytes();
    let (one, other) = (kept(200, JSON, b"[]"), kept(200, JSON, &list(60_000)));
    let differences = found_in(&one, &other);
    assert_eq!((differences.len(), differences.last().unwrap().kind), (4, DifferenceKind::More));
    // Keys of a hundred kilobytes, for each of which its path is written.
    let key = "k".repeat(100_000);
    let members = |value: u32| format!("{{\"{key}\":[{}0]}}", format!("{value},").repeat(20_000)).into_bytes();
    let differences = found_in(&kept(200, JSON, &members(1)), &kept(200, JSON, &members(2)));
    assert!(differences.iter().all(|one| one.path.len() < 300), "{}", differences.len());
    assert_eq!(differences[0].production, json!("***"), "nobody looks through all of such a name");
}

fn found_in(one: &KeptResponse, other: &KeptResponse) -> Vec<Difference> {
    found(&rules(&[]), one, other).differences
}

#[test]
fn cookies_with_attributes_without_end_are_compared_as_far_as_they_can_be() {
    let cookie = |order: [&str; 2], rest: &str| format!("Set-Cookie: a=1; {}; {}{rest}\r\n", order[0], order[1]);
    check_heads(&[], &cookie(["Path=/", "Secure"], ""), &cookie(["Secure", "Path=/"], ""), &[]);
    let many = "; x".repeat(5_000);
    let (one, other) = (cookie(["Path=/", "Secure"], &many), cookie(["Secure", "Path=/"], &many));
    check_heads(&[], &one, &other, &[]);
    let found = found(&rules(&[]), &kept(200, &one, b""), &kept(200, &(other.trim_end().to_owned() + "; y\r\n"), b""));
    assert_eq!(found.differences.len(), 1);
}

#[test]
fn a_quick_comparison_says_the_same_or_nothing() {
    let json = kept(200, JSON, b"{\"a\":1}");
    let quick = |one: &KeptResponse, other: &KeptResponse| {
        attempt(&rules(&[]), b"GET", &one.side(), &other.side(), BodyKnowledge::Whole, Effort::Quick)
    };
    assert_eq!(quick(&json, &kept(200, JSON, b"{\"a\":2}")), None);
    assert_eq!(quick(&json, &kept(200, JSON, b"{\"a\":1 }")), None);
    let image = |body: &[u8]| kept(200, "Content-Type: image/png\r\nA: b\r\n", body);
    let (small, large) = (vec![b'x'; content::SMALL], vec![b'x'; content::SMALL + 1]);
    for other in [kept(200, JSON, b"{\"a\":1}"), kept(404, JSON, b"{\"a\":2}"), image(&large), kept(200, JSON, b"")] {
        assert_eq!(quick(&json, &other), Some(found(&rules(&[]), &json, &other)), "{:?}", other.head);
    }
    // Sooner read than asked what it is.
    assert_eq!(quick(&json, &image(&small)), None);
}

#[test]
fn many_header_lines_are_compared_by_whoever_has_time_for_it() {
    let lines = |value: u32| (0..90).map(|n| format!("X-{n}: {value}\r\n")).collect::<Vec<_>>().concat();
    let (one, other) = (kept(200, &lines(1), b""), kept(200, &lines(2), b""));
    let of = |bodies, effort| attempt(&rules(&[]), b"GET", &one.side(), &other.side(), bodies, effort);
    assert_eq!(of(BodyKnowledge::Whole, Effort::Quick), None);
    assert_eq!(of(BodyKnowledge::Whole, Effort::Full).unwrap().differences.len(), 90);
    let unread = of(BodyKnowledge::Unread(Unknown::QueueFull), Effort::Full).unwrap().differences;
    assert_eq!((unread.len(), unread.last().unwrap().kind), (MANY_HEADERS + 1, DifferenceKind::More));
}

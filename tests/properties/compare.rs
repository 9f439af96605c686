//! Comparing: whatever two bodies are, of whatever kind they say they are, in whatever coding.

use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use shadowtap::compare::{
    BodyKnowledge, CompareRules, ComparedResponse, Difference, DifferenceKind, DifferencePart, ResponseDiff, compare,
};
use shadowtap::exchange::{Digest, Head};

use super::cases;

/// More differences than this are never told of one answer: those of heads, of 64 fields with three examples each, and
/// that there are more.
const MOST: usize = 2 * 100 + 64 * 3 + 2;
/// No value is longer than this as JSON: 200 bytes, each escaped, with signs for what is left out.
const LONGEST: usize = 200 * 6 + 20;

#[derive(Clone, Debug)]
struct Answer {
    head: Head,
    body: Vec<u8>,
    sha256: Digest,
}

impl Answer {
    fn side(&self) -> ComparedResponse<'_> {
        ComparedResponse {
            status: 200,
            head: Some(&self.head),
            body_len: self.body.len() as u64,
            body_sha256: (!self.body.is_empty()).then_some(&self.sha256),
            body: Some(&self.body),
            authorities: [b"h", b"", b""],
        }
    }
}

/// JSON, nearly JSON, text, and bytes; a small alphabet makes for documents that have much in common.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let json = proptest::string::string_regex(r#"[\[\]{},:"ab1 \n]{0,60}"#).unwrap().prop_map(String::into_bytes);
    let documents = documents().prop_map(|document| document.to_string().into_bytes());
    prop_oneof![3 => documents, 2 => json, 1 => vec(any::<u8>(), 0..200)]
}

fn documents() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (0..4_i64).prop_map(Into::into),
        (0..3_u8).prop_map(|n| f64::from(n).into()),
        "[abé]{0,3}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Into::into),
            vec(("[abc]", inner), 0..6).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn lines() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        Just(""),
        Just("Content-Type: application/json\r\n"),
        Just("Content-Type: text/plain; charset=latin1\r\n"),
        Just("Content-Type: image/png\r\n"),
    ];
    let coding = prop_oneof![
        4 => Just(""),
        1 => Just("Content-Encoding: gzip\r\n"),
        1 => Just("Content-Encoding: br, deflate\r\n"),
        1 => Just("Content-Encoding: zstd\r\n"),
    ];
    let other = proptest::string::string_regex("([A-Ca-c]: ?[ -~]{0,12}\r\n){0,4}").unwrap();
    (kind, coding, other).prop_map(|(kind, coding, other)| format!("{kind}{coding}{other}"))
}

prop_compose! {
    fn answers()(lines in lines(), body in bodies()) -> Answer {
        let head = Head::new(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes());
        let sha256 = Sha256::digest(&body).into();
        Answer { head, body, sha256 }
    }
}

fn rules() -> impl Strategy<Value = CompareRules> {
    vec(
        prop_oneof![
            Just("json:$.a"),
            Just("json:$..b"),
            Just("json:$[*].c"),
            Just("order:json:$.b"),
            Just("order:json:$")
        ],
        0..3,
    )
    .prop_map(|typed| {
        let mut rules = CompareRules::default();
        for rule in typed {
            match rule.strip_prefix("order:") {
                Some(rule) => rules.ignore_order(rule).unwrap(),
                None => rules.ignore(rule).unwrap(),
            }
        }
        rules
    })
}

fn found(rules: &CompareRules, one: &Answer, other: &Answer) -> ResponseDiff {
    compare(rules, b"GET", &one.side(), &other.side(), BodyKnowledge::Whole)
}

/// Where the answers differ, each place once, whichever of them is which.
fn places(found: &ResponseDiff) -> Vec<(DifferencePart, DifferenceKind)> {
    let turned = |difference: &Difference| match difference.kind {
        DifferenceKind::Missing => DifferenceKind::Extra,
        kind => kind,
    };
    let mut places: Vec<_> = found.differences.iter().map(|one| (one.place, turned(one))).collect();
    places.sort_by_key(|(place, kind)| (*place, format!("{kind:?}")));
    places.dedup();
    places
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn nothing_differs_from_itself(answer in answers(), rules in rules()) {
        prop_assert_eq!(found(&rules, &answer, &answer), ResponseDiff::default());
    }

    #[test]
    fn whatever_is_compared_what_is_told_has_a_bound(one in answers(), other in answers(), rules in rules()) {
        let found = found(&rules, &one, &other);
        prop_assert!(found.differences.len() <= MOST);
        for difference in &found.differences {
            prop_assert!(difference.path.len() <= 300, "{:?}", difference);
            for value in [&difference.production, &difference.shadow] {
                prop_assert!(value.to_string().len() <= LONGEST, "{:?}", difference);
            }
        }
    }

    #[test]
    fn it_does_not_matter_which_is_which(one in answers(), other in answers(), rules in rules()) {
        let (there, back) = (found(&rules, &one, &other), found(&rules, &other, &one));
        prop_assert_eq!(there.body_unknown, back.body_unknown);
        prop_assert_eq!(there.has(DifferencePart::Body), back.has(DifferencePart::Body));
        prop_assert_eq!(there.has(DifferencePart::Header), back.has(DifferencePart::Header));
        let more = |found: &ResponseDiff| found.differences.iter().any(|one| one.kind == DifferenceKind::More);
        if !more(&there) && !more(&back) {
            prop_assert_eq!(places(&there), places(&back));
        }
    }

    #[test]
    fn documents_differ_where_their_values_do(one in documents(), other in documents()) {
        let json = |document: &serde_json::Value| {
            let head = Head::new(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec());
            let body = document.to_string().into_bytes();
            let sha256 = Sha256::digest(&body).into();
            Answer { head, body, sha256 }
        };
        let found = found(&CompareRules::default(), &json(&one), &json(&other));
        prop_assert_eq!(found.differences.is_empty(), equal(&one, &other), "{} {}", one, other);
    }
}

/// Whether two documents are the same; 1 and 1.0 are.
fn equal(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(a), Number(b)) => a.as_f64() == b.as_f64(),
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => one == other,
    }
}

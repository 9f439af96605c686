//! Results (`--results`): one JSON object a line, one line for each delivery or request that ended before any; the
//! summary comes last.
//!
//! The lines suffice to make the report again. A writer that fails is given up; the run continues.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::compare::{self, Unknown};
pub use crate::compare::{Difference, DifferencePart};
pub use crate::exchange::hex;
use crate::exchange::{Damage, ExchangeId, Head, Outcome, Timestamp, wire_text};
use crate::middleware;
use crate::replay::{ClosedEarly, Delivery, Reason, RetainedResponse, TargetResponse};
use crate::report::schema::summary::Summary;

use super::histogram::micros;
use super::inputs::{Production, RequestRecord};
use super::recent::CountedDelivery;

/// One line: a delivery, or a request that ended before any.
#[derive(Debug, Serialize)]
pub struct ResultLine<'a> {
    /// What it is where it is none of a delivery or a request; see [`TakenBackLines`].
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    id: ResultText<ExchangeId>,
    at: Option<ResultText<Timestamp>>,
    client: Option<ResultText<std::net::SocketAddr>>,
    method: Option<Cow<'a, str>>,
    target: Option<Cow<'a, str>>,
    route: Option<&'a str>,
    outcome: &'static str,
    rule: Option<Cow<'a, str>>,
    /// Reason of the failure, in words for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ResultText<&'a Reason>>,
    shadow: Option<&'a str>,
    production: Option<ResultSide>,
    response: Option<ResultSide>,
    production_us: Option<u64>,
    service_us: Option<u64>,
    response_us: Option<u64>,
    lag_us: Option<u64>,
    /// Left out where it did not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    carry_wait_us: Option<u64>,
    /// The share that the sample let in when the request was offered, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    differences: &'a [Difference],
    /// Reason that it is not known whether the bodies differ; left out where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_unknown: Option<Unknown>,
}

/// A value written as it is displayed, without a string of its own.
#[derive(Debug)]
struct ResultText<T>(T);

impl<T: fmt::Display> Serialize for ResultText<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// One response.
#[derive(Debug, Serialize)]
struct ResultSide {
    status: u16,
    body_len: u64,
    /// Damage to it in the capture: then `body_len` is the length seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<&'static str>,
    /// Why it was closed before its end: then `body_len` is what had come.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'static str>,
}

/// Returns production's response in the form that is compared.
#[must_use]
pub(crate) fn production_side<'a>(production: &'a Production, host: &'a [u8]) -> compare::ComparedResponse<'a> {
    compare::ComparedResponse {
        status: production.status,
        head: production.kept.as_deref().filter(|_| production.damage != Some(Damage::NotLogged)).and_then(head),
        body_len: production.body_len,
        body_sha256: production.body_sha256.as_ref(),
        body: production.kept.as_ref().and_then(|kept| kept.body.as_deref()),
        authorities: [host, b"", b""],
    }
}

/// Returns a target's response in the form that is compared; the request named the target's own host, production's, or the
/// one that it was `sent` with.
#[must_use]
pub(crate) fn answer_side<'a>(
    answer: &'a TargetResponse,
    (own, sent): (&'a [u8], &'a [u8]),
    host: &'a [u8],
) -> compare::ComparedResponse<'a> {
    compare::ComparedResponse {
        status: answer.status,
        head: answer.kept.as_deref().and_then(head),
        body_len: answer.body_len,
        body_sha256: answer.body_sha256.as_ref(),
        body: answer.kept.as_ref().and_then(|kept| kept.body.as_deref()),
        authorities: [own, host, sent],
    }
}

/// The head, where there was room for it.
fn head(kept: &RetainedResponse) -> Option<&Head> {
    Some(&kept.head).filter(|head| !head.as_bytes().is_empty())
}

impl<'a> ResultLine<'a> {
    /// A request that ended before any target.
    #[must_use]
    pub fn ended(note: &'a RequestRecord, outcome: &'a Outcome) -> Self {
        Self::new(note.id, Some(note), outcome)
    }

    /// A delivery to `shadow`. There is no `note` where the join had to end before the delivery did.
    #[must_use]
    pub fn delivered(
        note: Option<&'a RequestRecord>,
        delivery: &'a Delivery,
        shadow: &'a str,
        production: Option<&Production>,
        differences: &'a [Difference],
    ) -> Self {
        let us = |duration: Option<Duration>| duration.map(micros);
        Self {
            shadow: Some(shadow),
            production: production.map(|side| ResultSide {
                status: side.status,
                body_len: side.body_len,
                damage: side.damage.map(crate::exchange::Damage::key),
                closed: None,
            }),
            response: delivery.answer.as_ref().map(|side| ResultSide {
                status: side.status,
                body_len: side.body_len,
                damage: None,
                closed: side.closed.map(ClosedEarly::key),
            }),
            production_us: us(production.and_then(|side| side.latency)),
            service_us: us(delivery.service),
            response_us: us(delivery.response),
            lag_us: us(delivery.lag),
            carry_wait_us: us(delivery.carry_wait),
            reason: delivery.reason.as_deref().map(ResultText),
            share: note.and_then(|note| note.share).map(|share| share.0),
            differences,
            ..Self::new(delivery.id, note, &delivery.outcome)
        }
    }

    /// The line that takes back an earlier one: the response that it tells of is nobody's.
    pub(crate) fn taken_back(one: &'a CountedDelivery, failed: &'a Delivery, shadow: &'a str) -> Self {
        Self {
            kind: Some(TakenBackLines::KIND),
            route: one.route.as_deref(),
            shadow: Some(shadow),
            reason: failed.reason.as_deref().map(ResultText),
            ..Self::new(failed.id, None, &failed.outcome)
        }
    }

    /// The same, with why it is not known whether the bodies differ.
    #[must_use]
    pub const fn unknown(mut self, why: Option<Unknown>) -> Self {
        self.body_unknown = why;
        self
    }

    fn new(id: ExchangeId, note: Option<&'a RequestRecord>, outcome: &'a Outcome) -> Self {
        let rule = match outcome {
            Outcome::Malformed(why) => Some(Cow::Owned(why.to_string())),
            other => other.detail().map(Cow::Borrowed),
        };
        Self {
            kind: None,
            id: ResultText(id),
            at: note.map(|note| ResultText(note.at)),
            client: note.map(|note| ResultText(note.client)),
            method: note.map(|note| wire_text(note.text.method())),
            target: note.map(|note| format_target(note.text.target())),
            route: note.and_then(|note| note.route.as_deref()),
            outcome: outcome.key(),
            rule,
            reason: None,
            shadow: None,
            production: None,
            response: None,
            production_us: None,
            service_us: None,
            response_us: None,
            lag_us: None,
            carry_wait_us: None,
            share: None,
            differences: &[],
            body_unknown: None,
        }
    }
}

/// A target without the secrets in it. It is text of the wire as before, but for masks.
fn format_target(target: &[u8]) -> Cow<'_, str> {
    match middleware::masking::target(target) {
        Cow::Borrowed(target) => wire_text(target),
        Cow::Owned(target) => Cow::Owned(wire_text(&target).into_owned()),
    }
}

/// Lines that take back an earlier one with the same `id` and `shadow`: its delivery failed.
#[derive(Clone, Debug, Default)]
pub struct TakenBackLines(HashSet<u64, foldhash::fast::RandomState>);

/// More lines were taken back than are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the results take back more than {MAX_TAKEN_BACK} of their lines")]
pub struct TooManyTakenBack;

/// Lines that may be taken back: some hundred megabytes of results take so many back.
const MAX_TAKEN_BACK: usize = 1 << 20;

/// What names a delivery in a line.
#[derive(Deserialize)]
struct LineName<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    shadow: Cow<'a, str>,
}

impl TakenBackLines {
    /// What `kind` says in them.
    const KIND: &'static str = "desynchronised";

    /// Whether a line is one of them.
    #[must_use]
    pub(crate) fn is_one(line: &[u8]) -> bool {
        let rest = line.strip_prefix(b"{\"kind\":\"").and_then(|rest| rest.strip_prefix(Self::KIND.as_bytes()));
        rest.is_some_and(|rest| rest.starts_with(b"\""))
    }

    /// Looks at a line of results: which one does it take back, if any?
    ///
    /// # Errors
    ///
    /// Where more lines were taken back than are remembered.
    pub fn look(&mut self, line: &[u8]) -> Result<(), TooManyTakenBack> {
        if let Some(name) = Self::is_one(line).then(|| serde_json::from_slice::<LineName<'_>>(line).ok()).flatten() {
            if self.0.len() >= MAX_TAKEN_BACK {
                return Err(TooManyTakenBack);
            }
            self.0.insert(hash(&name.id, &name.shadow));
        }
        Ok(())
    }

    /// Whether the line of this delivery was taken back.
    #[must_use]
    pub fn has(&self, id: &str, shadow: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&hash(id, shadow))
    }
}

fn hash(id: &str, shadow: &str) -> u64 {
    xxh3_64_with_seed(shadow.as_bytes(), xxh3_64(id.as_bytes()))
}

/// The summary as the last line.
#[derive(Debug, Serialize, Deserialize)]
pub struct ResultsEnd<S> {
    kind: Cow<'static, str>,
    /// Summary of the run.
    #[serde(flatten)]
    pub summary: S,
}

impl<S> ResultsEnd<S> {
    /// Value of `kind` in it.
    const KIND: &'static str = "summary";

    /// Returns whether its `kind` marks a summary.
    #[must_use]
    pub fn is_summary(&self) -> bool {
        self.kind == Self::KIND
    }
}

/// Lines to a writer, until that fails.
pub(crate) struct ResultsWriter {
    to: Option<Box<dyn Write + Send>>,
    trouble: Option<String>,
}

impl fmt::Debug for ResultsWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("open", &self.to.is_some()).field("trouble", &self.trouble).finish()
    }
}

impl ResultsWriter {
    /// Lines go to `to`; nowhere without one.
    #[must_use]
    pub(crate) fn new(to: Option<Box<dyn Write + Send>>) -> Self {
        Self { to, trouble: None }
    }

    /// Returns whether lines are still written anywhere: making them costs time.
    #[must_use]
    pub(crate) const fn wanted(&self) -> bool {
        self.to.is_some()
    }

    /// Writes one line.
    pub(crate) fn write(&mut self, line: &ResultLine<'_>) {
        self.attempt(|to| write_line(to, line));
    }

    /// Writes out the buffered lines, so that an error can still be reported in the summary.
    pub(crate) fn flush(&mut self) {
        self.attempt(|to| to.flush());
    }

    /// Writes the summary as the last line.
    pub(crate) fn close(&mut self, summary: &Summary) {
        self.attempt(|to| {
            write_line(to, &ResultsEnd { kind: ResultsEnd::<()>::KIND.into(), summary })?;
            to.flush()
        });
    }

    /// Returns whether there is an error that was not reported yet.
    #[must_use]
    pub(crate) const fn failed(&self) -> bool {
        self.trouble.is_some()
    }

    /// Takes the error, which is reported once.
    pub(crate) const fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    fn attempt(&mut self, work: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let Some(to) = &mut self.to else { return };
        if let Err(why) = work(to) {
            self.to = None;
            self.trouble = Some(format!("writing results failed, and they end there: {why}"));
        }
    }
}

fn write_line(to: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::super::request_text::RequestText;
    use super::super::testing::{self, delivery, note, production};
    use super::*;
    use crate::exchange::{FailureKind, Malformed};
    use serde_json::{Value, json};

    fn value(line: &ResultLine<'_>) -> Value {
        serde_json::to_value(line).unwrap()
    }

    #[test]
    fn a_delivery_has_every_key_of_the_contract() {
        let note = note(3);
        let delivery = delivery(3, Outcome::Sent, Some(503));
        let production = production(200);
        let (one, other) =
            (production_side(&production, b""), answer_side(delivery.answer.as_ref().unwrap(), (b"", b""), b""));
        let found =
            compare::compare(&compare::CompareRules::default(), b"GET", &one, &other, compare::BodyKnowledge::Whole)
                .differences;
        let line = value(&ResultLine::delivered(Some(&note), &delivery, "http://t", Some(&production), &found));
        assert_eq!(
            line,
            json!({
                "id": "1.3", "at": "1970-01-01T00:00:01.000000000Z", "client": "10.0.0.7:51234", "method": "GET",
                "target": "/a", "route": null, "outcome": "sent", "rule": null, "shadow": "http://t",
                "production": { "status": 200, "body_len": 5 }, "response": { "status": 503, "body_len": 5 },
                "production_us": 1500, "service_us": 2000, "response_us": 3000, "lag_us": 100,
                "share": 0.25,
                "differences": [{ "in": "status", "path": "", "production": 200, "shadow": 503 }],
            })
        );
    }

    #[test]
    fn a_line_that_takes_another_back_says_which_and_is_found_by_those_who_read_again() {
        let one = CountedDelivery { route: Some("GET /a".into()), ..testing::counted(3) };
        let line = serde_json::to_vec(&ResultLine::taken_back(&one, &one.failed(), "http://t")).unwrap();
        let told: Value = serde_json::from_slice(&line).unwrap();
        for (key, expected) in [
            ("kind", "desynchronised"),
            ("id", "1.3"),
            ("shadow", "http://t"),
            ("route", "GET /a"),
            ("outcome", "failed"),
            ("rule", "desynchronised"),
        ] {
            assert_eq!(told[key], expected, "{key}");
        }
        assert!(told["reason"].as_str().unwrap().contains("without a request"), "{told}");
        let mut all = TakenBackLines::default();
        let other = serde_json::to_vec(&ResultLine::ended(&note(4), &Outcome::SampledOut)).unwrap();
        for line in [&line[..], &other, b"", b"{\"kind\":\"desynchronised\"", b"{\"kind\":\"summary\"}"] {
            all.look(line).unwrap();
        }
        assert!(all.has("1.3", "http://t") && !all.has("1.3", "http://u") && !all.has("1.4", "http://t"));
        assert_eq!((TakenBackLines::is_one(&line), TakenBackLines::is_one(&other)), (true, false));
    }

    #[test]
    fn a_secret_in_the_target_is_masked() {
        let mut note = note(1);
        note.text = RequestText::new(b"GET", b"/a?day=fri&access_token=s3cret", b"old.example", b"");
        let line = value(&ResultLine::ended(&note, &Outcome::SampledOut));
        assert_eq!(line["target"], "/a?day=fri&access_token=***");
    }

    #[test]
    fn a_request_that_ended_early_says_why() {
        let note = note(1);
        let line = value(&ResultLine::ended(&note, &Outcome::Malformed(Malformed::BadChunk)));
        assert_eq!((&line["outcome"], &line["rule"]), (&json!("malformed"), &json!("chunk framing")));
        let line = value(&ResultLine::ended(&note, &Outcome::filtered("writes")));
        assert_eq!((&line["outcome"], &line["rule"]), (&json!("filtered"), &json!("writes")));
        let failed = delivery(1, Outcome::Failed(FailureKind::Timeout), None);
        let line = value(&ResultLine::delivered(Some(&note), &failed, "http://t", None, &[]));
        assert_eq!((&line["outcome"], &line["rule"]), (&json!("failed"), &json!("timeout")));
    }

    #[test]
    fn bytes_that_are_no_utf_8_become_latin_1() {
        let mut note = note(1);
        note.text = RequestText::new(b"GET", b"/caf\xe9", b"old.example", b"");
        assert_eq!(value(&ResultLine::ended(&note, &Outcome::SampledOut))["target"], "/caf\u{e9}");
    }

    #[test]
    fn a_full_disk_is_told_once_and_ends_the_lines() {
        struct ResultsFailure;
        impl Write for ResultsFailure {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut results = ResultsWriter::new(Some(Box::new(ResultsFailure)));
        let note = note(1);
        results.write(&ResultLine::ended(&note, &Outcome::SampledOut));
        assert!(!results.wanted());
        results.close(&Summary::default());
        assert!(results.trouble().unwrap().starts_with("writing results failed"));
        assert!(results.trouble().is_none());
    }
}

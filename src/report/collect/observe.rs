//! What HAProxy would have done with a target as its server: `observe layer7` over the results of a run.
//!
//! Deliveries go in as they end, or lines of results in any order: a line waits for production's response, and may come late.
//! Out come the times for which HAProxy would have marked the server down. Checks are not in the results: one is taken to come out as the response before
//! it did.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::histogram::{LatencyHistogram, micros};
use super::results::TakenBackLines;
use crate::exchange::{Outcome, Timestamp};
use crate::quantity;
use crate::replay::Delivery;
use crate::report::schema::observe::{DownTime, ObserveSummary, ObservedServer, SlowWindow};

/// Times that are kept of each kind; further ones are counted.
const MAX_TIMES: usize = 100;
/// Deliveries of a run that are held until they are in order: more than are on their way at once. Lines are held all, at 24
/// bytes each.
const MAX_HELD: usize = 1 << 16;
/// Time between two checks where none is given: HAProxy's own.
const INTER: Duration = Duration::from_secs(2);
/// Length of a window of percentiles where none is given.
const WINDOW: Duration = Duration::from_secs(10);

/// What the server line of HAProxy says: `error-limit 10, on-error mark-down, rise 2, fall 3, inter 2s, p99>800ms/10s`.
#[derive(Clone, Debug, PartialEq)]
pub struct ObserveRule {
    text: String,
    error_limit: u32,
    /// True where an error past the limit marks down at once; else it counts as a failed check.
    marks_down: bool,
    rise: u32,
    fall: u32,
    inter: Duration,
    slow: Option<SlowRule>,
}

/// A limit that `observe layer7` does not know.
#[derive(Clone, Copy, Debug, PartialEq)]
struct SlowRule {
    percentile: f64,
    limit: Duration,
    window: Duration,
}

impl FromStr for ObserveRule {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let mut rule = Self {
            text: typed.to_owned(),
            error_limit: 10,
            marks_down: true,
            rise: 2,
            fall: 3,
            inter: INTER,
            slow: None,
        };
        for part in typed.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if let Some((percentile, limit)) = part.strip_prefix('p').and_then(|part| part.split_once('>')) {
                rule.slow = Some(SlowRule::read(part, percentile, limit)?);
                continue;
            }
            let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            let number = || {
                let number: Option<u32> = value.trim().parse().ok().filter(|number| *number > 0);
                number.ok_or_else(|| format!("`{part}`: a number from 1 follows {key}"))
            };
            match key {
                "error-limit" => rule.error_limit = number()?,
                "rise" => rule.rise = number()?,
                "fall" => rule.fall = number()?,
                "inter" => rule.inter = time(part, value.trim())?,
                "on-error" => {
                    rule.marks_down = match value.trim() {
                        "mark-down" => true,
                        "fail-check" => false,
                        other => {
                            return Err(format!(
                                "`{other}` is not played through: on-error is mark-down or fail-check here"
                            ));
                        }
                    };
                }
                "observe" if value.trim() == "layer7" => {}
                _ => {
                    return Err(format!(
                        "`{part}` is nothing that is known; write such as 'error-limit 10, on-error mark-down, rise 2, fall 3, \
                         inter 2s, p99>800ms/10s'"
                    ));
                }
            }
        }
        Ok(rule)
    }
}

impl SlowRule {
    fn read(part: &str, percentile: &str, limit: &str) -> Result<Self, String> {
        let (limit, window) = match limit.split_once('/') {
            Some((limit, window)) => (time(part, limit)?, time(part, window)?),
            None => (time(part, limit)?, WINDOW),
        };
        let percentile: Option<f64> = percentile.parse().ok().filter(|percentile| (1.0..100.0).contains(percentile));
        let percentile = percentile.ok_or_else(|| format!("`{part}`: a percentile is such as p99"))?;
        Ok(Self { percentile, limit, window })
    }
}

fn time(part: &str, text: &str) -> Result<Duration, String> {
    quantity::duration(text.trim())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| format!("`{part}`: `{text}` is no time such as 800ms or 2s"))
}

/// Plays `observe layer7` through.
#[derive(Debug)]
pub struct ObserveRun {
    rule: ObserveRule,
    taken_back: TakenBackLines,
    servers: BTreeMap<String, ServerState>,
    /// What has yet to be put in order.
    held: Vec<ObservedEvent>,
    /// The targets of it.
    urls: Vec<String>,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug)]
struct ObservedEvent {
    at: Timestamp,
    /// Place of its URL.
    url: u16,
    is_well: bool,
    service_us: Option<u32>,
}

#[derive(Debug, Default)]
struct ServerState {
    seen: ObservedServer,
    /// Errors one after another.
    errors: u32,
    /// Whether the last response was well.
    is_well: bool,
    /// Checks one after another that failed, or that were well while it is down.
    checks: u32,
    next_check: Option<Timestamp>,
    down: Option<OpenDownTime>,
    now: Timestamp,
    window: Option<Timestamp>,
    latencies: LatencyHistogram,
}

/// A time for which it would be down, so far.
#[derive(Clone, Copy, Debug)]
struct OpenDownTime {
    at: Timestamp,
    requests: u64,
}

impl OpenDownTime {
    fn end(self, at: Timestamp, ended: bool) -> DownTime {
        let lasted_s = at.since(self.at).as_secs_f64();
        DownTime { at: self.at.to_string(), lasted_s, ended, requests: self.requests }
    }
}

/// Keys of a line that count here.
#[derive(Deserialize)]
struct ObservedLine<'a> {
    #[serde(default, borrow)]
    id: Cow<'a, str>,
    #[serde(default, borrow)]
    at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(default, borrow)]
    shadow: Option<Cow<'a, str>>,
    response: Option<ObservedResponse>,
    service_us: Option<u64>,
    response_us: Option<u64>,
}

#[derive(Deserialize)]
struct ObservedResponse {
    status: u16,
}

impl ObserveRun {
    /// A run without results; `taken_back` are those of its lines that later ones take back.
    #[must_use]
    pub fn new(rule: ObserveRule, taken_back: TakenBackLines) -> Self {
        Self { rule, taken_back, servers: BTreeMap::new(), held: Vec::new(), urls: Vec::new() }
    }

    /// Takes a line of results; others are passed over.
    pub fn line(&mut self, line: &[u8]) {
        if TakenBackLines::is_one(line) {
            return;
        }
        let Ok(line) = serde_json::from_slice::<ObservedLine<'_>>(line) else { return };
        let at: Option<Timestamp> = line.at.as_deref().and_then(|at| at.parse().ok());
        let (Some(url), Some(at), true) = (&line.shadow, at, matches!(&*line.outcome, "sent" | "failed")) else {
            return;
        };
        let is_sent = line.outcome == "sent" && !self.taken_back.has(&line.id, url);
        let status = line.response.map(|response| response.status).filter(|_| is_sent);
        let service = line.service_us.filter(|_| is_sent);
        let at = ended(at, line.response_us.filter(|_| is_sent));
        self.hold(url, at, status.is_some_and(is_well), service);
    }

    /// Takes a delivery to the target of this URL that has ended, of a request that came at `at`; what never reached the
    /// target is passed over.
    pub(crate) fn delivered(&mut self, url: &str, at: Timestamp, delivery: &Delivery) {
        let us = |time: Option<Duration>| time.map(micros);
        let (status, is_sent) = match (&delivery.outcome, &delivery.answer) {
            (Outcome::Sent, Some(answer)) => (Some(answer.status), true),
            (Outcome::Failed(_), _) => (None, false),
            _ => return,
        };
        let service = us(delivery.service).filter(|_| is_sent);
        let at = ended(at, us(delivery.response).filter(|_| is_sent));
        self.hold(url, at, status.is_some_and(is_well), service);
        if self.held.len() >= 2 * MAX_HELD {
            self.play(MAX_HELD);
        }
    }

    fn hold(&mut self, url: &str, at: Timestamp, is_well: bool, service_us: Option<u64>) {
        let place = self.urls.iter().position(|known| known == url).unwrap_or_else(|| {
            self.urls.push(url.to_owned());
            self.urls.len() - 1
        });
        let Ok(url) = u16::try_from(place) else { return };
        let service_us = service_us.map(|us| u32::try_from(us).unwrap_or(u32::MAX));
        self.held.push(ObservedEvent { at, url, is_well, service_us });
    }

    /// Plays the first of what is held through, in the order of time.
    fn play(&mut self, count: usize) {
        self.held.sort_by_key(|event| event.at);
        let rest = self.held.split_off(count.min(self.held.len()));
        for ObservedEvent { at, url, is_well, service_us } in std::mem::replace(&mut self.held, rest) {
            let url = self.urls.get(usize::from(url)).cloned().unwrap_or_default();
            self.take(&url, at, is_well, service_us.map(u64::from));
        }
    }

    fn take(&mut self, url: &str, at: Timestamp, is_well: bool, service_us: Option<u64>) {
        if !self.servers.contains_key(url) {
            self.servers.insert(url.to_owned(), ServerState { is_well: true, ..ServerState::default() });
        }
        if let Some(server) = self.servers.get_mut(url) {
            server.take(&self.rule, at, is_well, service_us);
        }
    }

    /// What would have become of each target.
    #[must_use]
    pub fn finish(mut self) -> ObserveSummary {
        self.play(usize::MAX);
        let Self { rule, servers, .. } = self;
        let targets = servers.into_iter().map(|(url, server)| (url, server.finish(&rule))).collect();
        ObserveSummary { rule: rule.text, targets }
    }
}

/// When HAProxy knows how a request ended that came at this instant: when its response comes.
fn ended(came: Timestamp, response_us: Option<u64>) -> Timestamp {
    came.plus(Duration::from_micros(response_us.unwrap_or_default()))
}

/// Whether `observe layer7` takes a status as well: 100 to 499, 501 and 505.
const fn is_well(status: u16) -> bool {
    matches!(status, 100..=499 | 501 | 505)
}

impl ServerState {
    fn take(&mut self, rule: &ObserveRule, at: Timestamp, is_well: bool, service_us: Option<u64>) {
        // Responses come in another order than requests were sent: time does not go back for it.
        self.now = self.now.max(at);
        self.seen.requests += 1;
        self.check_until(rule, self.now);
        self.is_well = is_well;
        self.errors = if is_well { 0 } else { self.errors + 1 };
        if let Some(down) = &mut self.down {
            down.requests += 1;
            return;
        }
        self.latency(rule, service_us);
        if self.errors >= rule.error_limit {
            self.errors = 0;
            if rule.marks_down {
                self.mark_down();
            } else {
                self.failed_check(rule);
            }
        }
    }

    /// Lets checks come until this instant.
    fn check_until(&mut self, rule: &ObserveRule, at: Timestamp) {
        let mut next = self.next_check.unwrap_or_else(|| at.plus(rule.inter));
        // Of a silence of days a few checks tell as much as all: after them nothing changes.
        for _ in 0..=rule.rise.max(rule.fall) {
            if next > at {
                break;
            }
            match (self.down.is_some(), self.is_well) {
                (true, true) => {
                    self.checks += 1;
                    if self.checks >= rule.rise {
                        self.mark_up(next);
                    }
                }
                (true, false) | (false, true) => self.checks = 0,
                (false, false) => self.failed_check(rule),
            }
            next = next.plus(rule.inter);
        }
        if next <= at {
            next = at.plus(rule.inter);
        }
        self.next_check = Some(next);
    }

    fn failed_check(&mut self, rule: &ObserveRule) {
        self.checks += 1;
        if self.checks >= rule.fall {
            self.mark_down();
        }
    }

    fn mark_down(&mut self) {
        self.checks = 0;
        self.down = Some(OpenDownTime { at: self.now, requests: 0 });
        (self.window, self.latencies) = (None, LatencyHistogram::default());
    }

    fn mark_up(&mut self, at: Timestamp) {
        self.checks = 0;
        if let Some(down) = self.down.take() {
            self.note(down.end(at, true));
        }
    }

    fn note(&mut self, down: DownTime) {
        self.seen.sent_back += down.requests;
        if self.seen.downs.len() < MAX_TIMES {
            self.seen.downs.push(down);
        } else {
            self.seen.more_downs += 1;
        }
    }

    fn latency(&mut self, rule: &ObserveRule, service_us: Option<u64>) {
        let (Some(slow), Some(us)) = (&rule.slow, service_us) else { return };
        if self.window.is_some_and(|begun| self.now.since(begun) >= slow.window) {
            self.end_window(slow);
        }
        self.window.get_or_insert(self.now);
        self.latencies.record_us(us);
    }

    fn end_window(&mut self, slow: &SlowRule) {
        let latencies = std::mem::take(&mut self.latencies);
        let Some(at) = self.window.take() else { return };
        let (us, responses) = (latencies.at_percentile(slow.percentile), latencies.figures().count);
        if responses > 0 && u128::from(us) > slow.limit.as_micros() {
            if self.seen.slow.len() < MAX_TIMES {
                self.seen.slow.push(SlowWindow { at: at.to_string(), latency_us: us, responses });
            } else {
                self.seen.more_slow += 1;
            }
        }
    }

    fn finish(mut self, rule: &ObserveRule) -> ObservedServer {
        if let Some(slow) = &rule.slow {
            self.end_window(slow);
        }
        if let Some(down) = self.down.take() {
            self.note(down.end(self.now, false));
        }
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "error-limit 3, on-error mark-down, rise 2, fall 3, inter 1s, p99>100ms/5s";

    /// Plays responses through, each at a tenth of a second: `.` is well, `x` an error, `-` none at all, `s` slow.
    fn played(rule: &str, responses: &str) -> ObservedServer {
        let mut run = ObserveRun::new(rule.parse().unwrap(), TakenBackLines::default());
        for (number, letter) in (0u64..).zip(responses.chars()) {
            let at = Timestamp::from_nanos(1_795_291_200_000_000_000 + number * 100_000_000);
            let (outcome, status, us) = match letter {
                '.' => ("sent", 200, 1_000),
                's' => ("sent", 200, 900_000),
                'x' => ("sent", 503, 1_000),
                _ => ("failed", 0, 0),
            };
            let response = if status == 0 { "null".to_owned() } else { format!("{{\"status\":{status}}}") };
            let line = format!(
                r#"{{"id":"1.{number}","at":"{at}","outcome":"{outcome}","shadow":"http://t","response":{response},"service_us":{us}}}"#
            );
            run.line(line.as_bytes());
        }
        run.line(b"{\"kind\":\"summary\"}");
        run.finish().targets.remove("http://t").unwrap()
    }

    #[test]
    fn a_server_is_down_after_so_many_errors_and_up_after_so_many_checks() {
        // Down at 0.4 s; the checks at 1 s and 2 s are well: up at 2 s.
        let seen = played(RULE, &format!("..xx-{}", ".".repeat(30)));
        assert_eq!(seen.downs.len(), 1, "{seen:?}");
        let down = &seen.downs[0];
        assert_eq!((down.at.get(17..21), down.ended), (Some("00.4"), true));
        assert_eq!((down.lasted_s, down.requests), (1.6, 15));
        assert_eq!((seen.sent_back, seen.requests), (15, 35));
    }

    #[test]
    fn lines_are_put_in_order_of_their_time() {
        let line = |n: u64, status: u16| {
            let at = Timestamp::from_nanos(1_795_291_200_000_000_000 + n * 100_000_000);
            format!(
                r#"{{"id":"1.{n}","at":"{at}","outcome":"sent","shadow":"http://t","response":{{"status":{status}}},"response_us":10}}"#
            )
        };
        let played = |order: [u64; 6]| {
            let mut run = ObserveRun::new(RULE.parse().unwrap(), TakenBackLines::default());
            for n in order {
                run.line(line(n, if n % 2 == 0 { 503 } else { 200 }).as_bytes());
            }
            run.finish().targets.remove("http://t").unwrap()
        };
        // Every other one is an error: never three one after another, however the lines come.
        assert!(played([0, 1, 2, 3, 4, 5]).downs.is_empty());
        assert!(played([1, 3, 5, 0, 2, 4]).downs.is_empty());
    }

    #[test]
    fn errors_that_are_not_one_after_another_are_none() {
        assert!(played(RULE, "xx.xx.xx.").downs.is_empty());
        let seen = played(RULE, "xxx");
        assert!(!seen.downs[0].ended && seen.downs[0].requests == 0);
    }

    #[test]
    fn slow_responses_are_told_though_the_server_stays_up() {
        let seen = played(RULE, &"s".repeat(120));
        assert!(seen.downs.is_empty());
        assert_eq!(seen.slow.len(), 3, "{seen:?}");
        assert!(seen.slow[0].latency_us > 800_000 && seen.slow[0].responses == 50);
        assert!(played(RULE, &".".repeat(120)).slow.is_empty());
    }

    #[test]
    fn an_error_may_count_as_a_failed_check() {
        let rule = "error-limit 1, on-error fail-check, fall 2, rise 1, inter 10s";
        assert_eq!(played(rule, "x.x").downs.len(), 1);
        assert!(played(rule, "x..").downs.is_empty());
    }

    #[test]
    fn a_rule_that_cannot_be_read_says_where() {
        for (typed, why) in [
            ("error-limit 0", "a number from 1 follows error-limit"),
            ("on-error fastinter", "`fastinter` is not played through"),
            ("rize 2", "`rize 2` is nothing that is known"),
            ("p99>fast", "`fast` is no time"),
            ("p100>1s", "a percentile is such as p99"),
        ] {
            let error = typed.parse::<ObserveRule>().unwrap_err();
            assert!(error.contains(why), "{typed}: {error}");
        }
    }
}

//! Counts for the summary of `inspect`, without whole exchanges.
//!
//! The input is [`Event`]s in the order of the capture engine. [`InspectLedger`] only counts, and is fast enough for
//! the engine: nothing of an exchange outlives the call except the time of its request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::exchange::{Event, ExchangeId, Incomplete, Outcome, Request, RequestState, Timestamp};
use crate::middleware::Selection;
use crate::report::collect::dry_run::DryRunTally;
use crate::report::collect::histogram::{LatencyHistogram, micros};
use crate::report::collect::inputs::{CaptureStats, Started, blank};
use crate::report::collect::ledger::SampleTally;
use crate::report::schema::counts::{CountMap, count};
use crate::report::schema::request::RunRequest;
use crate::report::schema::summary::{Ended, ProductionSide, Requests, SampleSummary, Summary};

pub mod forecast;
pub mod routes;

mod edges;
mod series;

/// Most request times kept until their response. Past it a request's latency is not measured (`evicted`), and with a
/// selection its response is not counted, since nothing else shows whether the request had passed.
const MAX_TIMES: usize = 1 << 18;

/// Counts events for the summary of `inspect`; tens of nanoseconds an event, no allocation once it is warm.
#[derive(Debug, Default)]
pub struct InspectLedger {
    seen: u64,
    kept: u64,
    malformed: u64,
    /// In the order of [`Incomplete::ALL`].
    incomplete: [u64; Incomplete::ALL.len()],
    statuses: BTreeMap<u16, u64>,
    damaged: BTreeMap<&'static str, u64>,
    latency: LatencyHistogram,
    unjoined: BTreeMap<&'static str, u64>,
    times: HashMap<ExchangeId, Timestamp, foldhash::fast::RandomState>,
    chosen: Option<Box<SelectionCounts>>,
}

/// Counts of a selection: requests it kept back, and the share its sample reached.
#[derive(Debug)]
struct SelectionCounts {
    selection: Selection,
    filtered: CountMap,
    sampled_out: SampleTally,
    rate_limited: u64,
    passed: SampleTally,
    /// At which filter requests ended, and what routes chose for the others; where there are chain files.
    by_link: Option<DryRunTally>,
}

impl InspectLedger {
    /// A ledger of what `selection` lets pass; without one, of everything.
    #[must_use]
    pub fn choosing(selection: Option<Selection>) -> Self {
        let chosen = selection.map(|selection| {
            let by_link = selection.chain().map(|_| DryRunTally::new(Arc::default(), [String::new()]));
            Box::new(SelectionCounts {
                selection,
                filtered: CountMap::new(),
                sampled_out: SampleTally::default(),
                rate_limited: 0,
                passed: SampleTally::default(),
                by_link,
            })
        });
        Self { chosen, ..Self::default() }
    }

    /// Counts one event. False where it belongs to a request that was kept back: then nobody is to see it.
    pub fn note(&mut self, event: &Event) -> bool {
        match event {
            Event::Request(request) => self.request(request),
            Event::Response { of, response } => {
                let asked = self.times.remove(of);
                if asked.is_none() && self.chosen.is_some() {
                    return false;
                }
                *self.statuses.entry(response.status).or_default() += 1;
                if let Some(why) = response.damage {
                    *self.damaged.entry(why.key()).or_default() += 1;
                }
                if let Some(latency) = asked.and_then(|asked| response.latency(asked)) {
                    self.latency.record_us(micros(latency));
                }
                true
            }
            Event::Damaged { of, why } => {
                if self.times.remove(of).is_none() && self.chosen.is_some() {
                    return false;
                }
                *self.unjoined.entry(why.key()).or_default() += 1;
                true
            }
            Event::Orphan { .. } => {
                *self.unjoined.entry("orphan").or_default() += 1;
                true
            }
            Event::Opened { .. } | Event::Closed { .. } => true,
        }
    }

    /// At which filter of a chain requests ended so far, and what routes chose for the others; `None` without chain files.
    #[must_use]
    pub fn by_link(&self) -> Option<&DryRunTally> {
        self.chosen.as_ref()?.by_link.as_ref()
    }

    /// The summary: nothing was sent, so each request ends as kept, kept back, malformed or incomplete.
    #[must_use]
    pub fn finish(mut self, engine: CaptureStats, started: Started) -> Summary {
        let chosen = self.chosen.take();
        let incomplete = Incomplete::ALL.into_iter().zip(self.incomplete);
        let ended = Ended {
            kept: self.kept,
            malformed: self.malformed,
            incomplete: incomplete.map(|(why, count)| (why.key().to_owned(), count)).collect(),
            filtered: chosen.as_ref().map(|chosen| chosen.filtered.clone()).unwrap_or_default(),
            sampled_out: chosen.as_ref().map_or(0, |chosen| chosen.sampled_out.requests),
            rate_limited: chosen.as_ref().map_or(0, |chosen| chosen.rate_limited),
            ..Ended::default()
        };
        let summary = Summary {
            frames: engine.frames,
            tcp: engine.tcp,
            streams: engine.streams,
            requests: Requests { seen: self.seen, ended, ..Requests::default() },
            production: ProductionSide {
                statuses: self.statuses.into_iter().map(|(status, count)| (format!("{status:03}"), count)).collect(),
                damaged: named(self.damaged),
                latency_us: self.latency.figures(),
                unjoined: named(self.unjoined),
            },
            sample: chosen.map_or_else(|| everything(self.seen), |chosen| chosen.sample()),
            warnings: engine.warnings,
            unread: engine.unread,
            access_log: engine.access_log,
            spoe: engine.spoe,
            ..blank("inspect", started, RunRequest::default())
        };
        debug_assert!(summary.balances(), "the ledger does not add up: {summary:?}");
        summary
    }

    /// Counts a request under its end; whether it passes.
    fn request(&mut self, request: &Request) -> bool {
        self.seen += 1;
        let decided = self.chosen.as_mut().map_or(Ok(()), |chosen| chosen.decide(request));
        match request.state {
            // What kept it back has counted it.
            RequestState::Whole => self.kept += u64::from(decided.is_ok()),
            RequestState::Malformed(_) => self.malformed += 1,
            RequestState::Incomplete(why) => {
                if let Some(count) = self.incomplete.get_mut(why as usize) {
                    *count += 1;
                }
            }
        }
        if decided.is_err() {
            return false;
        }
        if self.times.len() < MAX_TIMES {
            self.times.insert(request.id, request.last_byte);
        } else {
            *self.unjoined.entry("evicted").or_default() += 1;
        }
        true
    }
}

impl SelectionCounts {
    /// Decides on a request. A whole one counts under what kept it back; a damaged one ends as damaged in any case.
    fn decide(&mut self, request: &Request) -> Result<(), Outcome> {
        let decided = self.selection.decide(request);
        if request.state == RequestState::Whole {
            match &decided {
                Ok(()) => self.passed.add(request.bytes()),
                Err(Outcome::Filtered(rule)) => count(&mut self.filtered, rule),
                Err(Outcome::RateLimited) => self.rate_limited += 1,
                Err(_) => self.sampled_out.add(request.bytes()),
            }
            self.count_by_link(decided.as_ref().err());
        }
        decided
    }

    /// Counts a request at the link that ended it, or for the target that a route chose.
    fn count_by_link(&mut self, ended: Option<&Outcome>) {
        let (Some(tally), Some(chain)) = (&mut self.by_link, self.selection.chain()) else { return };
        tally.seen += 1;
        match (ended, tally.destinations.first_mut()) {
            (Some(outcome), _) => tally.keep_back(outcome, chain.ended_by()),
            (None, Some(passing)) => passing.pass(chain.route()),
            (None, None) => {}
        }
    }

    fn sample(&self) -> SampleSummary {
        let (passed, out) = (self.passed, self.sampled_out);
        let share = |part: u64, rest: u64| (part + rest > 0).then(|| part as f64 / (part + rest) as f64);
        SampleSummary {
            asked: self.selection.asked(),
            decided: passed.requests + out.requests,
            requests: share(passed.requests, out.requests),
            keys: self.selection.key_share(),
            bytes: share(passed.bytes, out.bytes),
            kernel: None,
        }
    }
}

/// Returns the summary without a sample: all requests are reached, if there are any.
fn everything(seen: u64) -> SampleSummary {
    let all = (seen > 0).then_some(1.0);
    SampleSummary { asked: 1.0, decided: seen, requests: all, keys: None, bytes: all, kernel: None }
}

fn named(counts: BTreeMap<&'static str, u64>) -> CountMap {
    counts.into_iter().map(|(key, count)| (key.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{ConnectionId, Damage, Malformed};
    use crate::middleware::{ChainSettings, SampleKey, Share};
    use crate::testing::{request, response};

    const GET: &str = "GET / HTTP/1.1\r\n\r\n";

    fn id(n: u32) -> ExchangeId {
        ExchangeId::new(ConnectionId(1), n)
    }

    fn answer(n: u32, status: u16) -> Event {
        Event::Response { of: id(n), response: response(status) }
    }

    #[test]
    fn what_is_kept_back_ends_under_its_outcome_and_its_answer_counts_nowhere() {
        let settings = ChainSettings {
            allow_paths: crate::middleware::PatternSet::new(["^/a"]).unwrap(),
            sample: Share(0.5),
            sample_by: SampleKey::Param("u".to_owned()),
            ..ChainSettings::default()
        };
        let mut ledger = InspectLedger::choosing(Selection::new(&settings));
        let mut passed = 0;
        for n in 1..=200 {
            let path = if n <= 50 { format!("/b?u={n}") } else { format!("/a?u={}", n % 25) };
            let mut request = request(n, &format!("POST {path} HTTP/1.1\r\n\r\n"));
            if n > 190 {
                request.state = RequestState::Malformed(Malformed::BadChunk);
            }
            let is_in = ledger.note(&Event::Request(request));
            assert_eq!(ledger.note(&answer(n, 200)), is_in, "{n}");
            passed += u64::from(is_in);
        }
        assert!(!ledger.note(&Event::Damaged { of: id(1), why: Damage::Gap }));
        let summary = ledger.finish(CaptureStats::default(), Started::now());
        assert!(summary.balances());
        let ended = &summary.requests.ended;
        assert_eq!((ended.filtered["allow-path"], ended.malformed), (50, 10));
        assert_eq!(ended.kept + ended.sampled_out, 140);
        assert!(ended.kept > 0 && ended.sampled_out > 0);
        assert_eq!(summary.production.statuses["200"], passed);
        assert_eq!(summary.production.latency_us.count, passed);
        assert!(summary.production.unjoined.is_empty());
        let sample = &summary.sample;
        assert_eq!((sample.asked, sample.requests), (0.5, Some(ended.kept as f64 / 140.0)));
        assert!(sample.keys.is_some_and(|keys| keys > 0.2 && keys < 0.8));
    }

    #[test]
    fn the_ledger_of_inspect_adds_up() {
        let mut ledger = InspectLedger::default();
        let states = [
            RequestState::Whole,
            RequestState::Malformed(Malformed::BadChunk),
            RequestState::Incomplete(Incomplete::Gap),
            RequestState::Incomplete(Incomplete::EndOfCapture),
        ];
        for (n, state) in (1..).zip(states) {
            let mut request = request(n, GET);
            request.state = state;
            ledger.note(&Event::Request(request));
        }
        ledger.note(&answer(1, 200));
        for n in 2..=4 {
            ledger.note(&Event::Damaged { of: id(n), why: Damage::NoResponse });
        }
        assert!(ledger.times.is_empty());
        let summary = ledger.finish(CaptureStats::default(), Started::now());
        assert!(summary.balances());
        let ended = &summary.requests.ended;
        assert_eq!((summary.requests.seen, ended.kept, ended.malformed), (4, 1, 1));
        assert_eq!((ended.incomplete["gap"], ended.incomplete["cut"], ended.incomplete["end_of_capture"]), (1, 0, 1));
        assert_eq!((summary.production.latency_us.max, summary.production.unjoined["no_response"]), (1250, 3));
        assert_eq!(summary.production.statuses["200"], 1);
    }
}

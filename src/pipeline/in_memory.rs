//! A replay without sockets, threads and queues: the code that a request passes on its way, and nothing that waits.
//!
//! It is for counting instructions: those of a run between threads depend on who wakes whom.

use std::collections::HashMap;
use std::sync::Arc;

use super::request_record::request_record;
use super::retention::RetentionRules;
use super::{RunError, Tap};
use crate::capture::{self, Source};
use crate::compare::CompareRules;
use crate::exchange::{Event, ExchangeId, Outcome, Request, Response, Timestamp};
use crate::http1::{BodyPolicies, BodyPolicy};
use crate::middleware::Chain;
use crate::middleware::secret_names::SecretNames;
use crate::replay::wire::InMemoryTarget;
use crate::replay::{Delivery, Destination, ResponseOptions, SendSettings, TargetId, TargetResponse};
use crate::report::{Production, ReportEvent, ReportSettings, Reporter, RunTotals, Started, Summary, TargetSet};

/// Bytes that may be kept for comparisons; far more than one exchange after the other needs.
const KEPT: usize = 64 << 20;

/// The stages of a replay to one target, one after another.
pub struct InMemoryReplay {
    tap: Tap,
    stages: Stages,
}

/// The stages behind the tap.
struct Stages {
    chain: Chain,
    target: InMemoryTarget,
    retention: Option<RetentionRules>,
    reporter: Reporter,
    /// When requests that were sent had come.
    asked: HashMap<ExchangeId, Timestamp, foldhash::fast::RandomState>,
}

impl InMemoryReplay {
    /// A replay through `chain` to the target of `settings`.
    ///
    /// # Errors
    ///
    /// None with these settings; the tap's filter could be wrong.
    pub fn new(chain: Chain, settings: &SendSettings) -> Result<Self, RunError> {
        let compare = CompareRules::default();
        let interests = BodyPolicies {
            request_body: BodyPolicy::Keep,
            response_body: RetentionRules::captured(&compare).map_or(BodyPolicy::Hash, BodyPolicy::Read),
        };
        let stages = Stages {
            chain,
            target: InMemoryTarget::new(settings),
            retention: RetentionRules::new(&compare, KEPT),
            reporter: Reporter::new(report_settings(settings, compare)),
            asked: HashMap::default(),
        };
        Ok(Self { tap: Tap::new(&capture::Settings::default(), interests)?, stages })
    }

    /// Replays `source`. `respond` gets each request that is sent, and returns the bytes of the target's response.
    pub fn run<'r>(
        mut self,
        source: &mut (dyn Source + Send),
        respond: &mut dyn FnMut(&Request) -> &'r [u8],
    ) -> Summary {
        let Self { tap, stages } = &mut self;
        while tap.pull(source, &mut |event| stages.event(event, respond)) {}
        tap.finish(&mut |event| stages.event(event, respond));
        let engine = self.tap.engine(source);
        self.stages.reporter.finish(RunTotals { engine, ..RunTotals::default() })
    }
}

impl Stages {
    fn event<'r>(&mut self, event: Event, respond: &mut dyn FnMut(&Request) -> &'r [u8]) {
        match event {
            Event::Request(request) => self.request(request, respond),
            Event::Response { of, response } => self.response(of, response),
            Event::Damaged { of, why } => {
                if self.asked.remove(&of).is_some() {
                    self.reporter.take(ReportEvent::Production { of, production: Err(why) });
                }
            }
            Event::Orphan { .. } => self.reporter.take(ReportEvent::Orphan),
            Event::Opened { .. } | Event::Closed { .. } => {}
        }
    }

    fn request<'r>(&mut self, mut request: Box<Request>, respond: &mut dyn FnMut(&Request) -> &'r [u8]) {
        let note = Box::new(request_record(&request, true, &SecretNames::default()));
        let passed = super::pacer::unfit(&request, true).map_or_else(|| self.chain.apply(&mut request), Err);
        if let Err(outcome) = passed {
            self.reporter.take(ReportEvent::Ended { note, outcome });
            return;
        }
        let id = request.id;
        self.asked.insert(id, request.last_byte);
        self.reporter.take(ReportEvent::Offered { note, targets: TargetSet::first(1), capture_delay: None });
        let delivery = self.send(&request, respond(&request));
        self.reporter.take(ReportEvent::Delivered(Box::new(delivery)));
    }

    fn send(&self, request: &Request, response: &[u8]) -> Delivery {
        let wanted = ResponseOptions {
            kept: self.retention.as_ref().map(RetentionRules::most),
            keep_host: self.chain.host_was_set(),
            ..ResponseOptions::HASH
        };
        let mut sent = |bytes: &[u8]| {
            std::hint::black_box(bytes);
        };
        let answer = self.target.exchange(request, wanted, &mut sent, response);
        let outcome = if answer.is_some() { Outcome::Sent } else { Outcome::filtered("in-memory") };
        let answer = answer.map(|answer| match &self.retention {
            Some(retention) => retention.of_target(answer),
            None => answer,
        });
        let times = answer.as_ref().map(|answer: &TargetResponse| answer.first_byte - answer.written);
        Delivery {
            answer,
            service: times,
            response: times,
            ..Delivery::unsent(request.id, Destination::Target(TargetId::at(0)), outcome)
        }
    }

    fn response(&mut self, of: ExchangeId, mut response: Box<Response>) {
        let Some(at) = self.asked.remove(&of) else { return };
        let kept = self.retention.as_ref().map(|retention| Box::new(retention.production(&mut response, false)));
        let production = Production::of(&response, at, kept);
        self.reporter.take(ReportEvent::Production { of, production: Ok(production) });
    }
}

fn report_settings(settings: &SendSettings, compare: CompareRules) -> ReportSettings {
    ReportSettings {
        command: "replay",
        targets: vec![settings.target.to_string()],
        sample: 1.0,
        results: None,
        started: Started::now(),
        patterns: Arc::default(),
        evidence: true,
        compare,
        kept_bytes: KEPT,
        recent_bytes: KEPT,
        baseline: None,
        demands: crate::report::threshold::Thresholds::default(),
        asked: crate::report::schema::request::RunRequest::default(),
    }
}

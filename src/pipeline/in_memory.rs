//! A replay without sockets, threads and queues: the code that a request passes on its way, and nothing that waits.
//!
//! It is for counting instructions: those of a run between threads depend on who wakes whom.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::carry::Carry;
use super::request_record::request_record;
use super::retention::RetentionRules;
use super::{RunError, Tap};
use crate::capture::{self, Source};
use crate::compare::CompareRules;
use crate::exchange::{Event, ExchangeId, Outcome, Request, Response, Timestamp};
use crate::http1::{BodyPolicies, BodyPolicy};
use crate::middleware::carry::{IssuedResponse, ResponsePart};
use crate::middleware::carry_set::CarrySet;
use crate::middleware::secret_names::SecretNames;
use crate::middleware::{Chain, ChainSettings};
use crate::replay::wire::InMemoryTarget;
use crate::replay::{
    BeforeSend as _, Delivery, Destination, ResponseOptions, SendSettings, SentAs, TargetId, TargetResponse,
};
use crate::report::{Production, ReportEvent, ReportSettings, Reporter, RunTotals, Started, Summary, TargetSet};

/// Bytes that may be kept for comparisons; far more than one exchange after the other needs.
const KEPT: usize = 64 << 20;

/// The only target.
const HERE: Destination = Destination::Target(TargetId::at(0));

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
    /// Values that go from responses into later requests, where any do.
    carry: Option<Carry>,
    /// When requests that were sent had come, from whom, and the rules that read their responses.
    asked: HashMap<ExchangeId, (Timestamp, IpAddr, CarrySet), foldhash::fast::RandomState>,
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
            carry: None,
            asked: HashMap::default(),
        };
        Ok(Self { tap: Tap::new(&capture::Settings::default(), interests)?, stages })
    }

    /// The same with the `carry` links of `settings`, which are those of its chain; programs that these name run on `runtime`.
    #[must_use]
    pub fn carrying(mut self, settings: &ChainSettings, runtime: Handle) -> Self {
        let names = vec!["in-memory".to_owned(), String::new()];
        self.stages.carry = Carry::new(settings.carry_rules(), names, runtime);
        self
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
                if let Some((_, client, rules)) = self.asked.remove(&of) {
                    self.issued(of, (client, rules), None);
                    self.reporter.take(ReportEvent::Production { of, production: Err(why.into()) });
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
        let (id, rules) = (request.id, self.chain.carried());
        self.asked.insert(id, (request.last_byte, request.client.ip(), rules));
        if let Some(carry) = &self.carry {
            // One after the other: nothing is on its way.
            drop(carry.prepare(HERE, &mut request, rules, None));
        }
        self.reporter.take(ReportEvent::Offered { note, targets: TargetSet::first(1), capture_delay: None });
        let delivery = self.send(&request, respond(&request));
        self.reporter.take(ReportEvent::Delivered(Box::new(delivery)));
    }

    fn send(&self, request: &Request, response: &[u8]) -> Delivery {
        let wanted = ResponseOptions {
            kept: self.retention.as_ref().map(RetentionRules::most),
            keep_host: self.chain.host_was_set(),
            rewritten: self.chain.has_changed(),
            ..ResponseOptions::HASH
        };
        let mut sent = |bytes: &[u8]| {
            std::hint::black_box(bytes);
        };
        let answer = self.target.exchange(request, wanted, &mut sent, response);
        let outcome = if answer.is_some() { Outcome::Sent } else { Outcome::filtered("in-memory") };
        if let (Some(carry), Some(kept)) = (&self.carry, answer.as_ref().and_then(|answer| answer.kept.as_ref())) {
            let response = IssuedResponse::new(&kept.head, kept.body.as_deref().map(Cow::Borrowed));
            carry.answered(HERE, request.id, (self.chain.carried(), &ResponsePart::ALL), &response);
        }
        let answer = answer.map(|answer| match &self.retention {
            Some(retention) => retention.of_target(answer),
            None => answer,
        });
        let times = answer.as_ref().map(|answer: &TargetResponse| answer.first_byte - answer.written);
        let head = wanted.rewritten.then(|| Box::new(request.head.clone()));
        let sent_as = SentAs { keeps_host: wanted.keep_host, head };
        Delivery { answer, sent_as, service: times, response: times, ..Delivery::unsent(request.id, HERE, outcome) }
    }

    fn response(&mut self, of: ExchangeId, mut response: Box<Response>) {
        let Some((at, client, rules)) = self.asked.remove(&of) else { return };
        self.issued(of, (client, rules), Some(&response));
        let retention = self.retention.as_ref();
        let keep = |response: &mut Response| Some(Box::new(retention?.production(response, false)));
        let production = Production::of(&mut response, at, keep);
        self.reporter.take(ReportEvent::Production { of, production });
    }
}

impl Stages {
    /// Takes note of the values that production issued.
    fn issued(&self, of: ExchangeId, to: (IpAddr, CarrySet), response: Option<&Response>) {
        let Some(carry) = self.carry.as_ref().filter(|_| !to.1.is_empty()) else { return };
        let response = response.map(|response| IssuedResponse::new(&response.head, response.body.content()));
        carry.production(of, to, [HERE].into_iter(), response.as_ref());
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
        observe: None,
    }
}

//! The sending stage: a queue and a client for each target, and those that are asked beside them.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::budget::Budget;
use super::carry::Carry;
use super::context::RunContext;
use super::dispatch::TargetDispatcher;
use super::early::EarlySender;
use super::external::{NotifyingClient, ResponseSender};
use super::observer::TargetProbe;
use super::queues::TARGET_QUEUE;
use super::reference_traffic::{self, ReferenceSender};
use super::retention::RetainingClient;
use super::run::{Run, RunError};
use super::spans::TargetSpans;
use crate::middleware::secret_names::SecretNames;
use crate::replay::{
    self, AnyClient, BeforeSend, Client, ConnectionMode, Deliveries, Delivery, Destination, Job, RequestSource,
    TargetId, TargetLimits, TargetLinks, run_target,
};
use crate::report::{self, ReportEvent, TargetTotals};
use crate::telemetry::SpanSender;

/// Time for which open connections are watched once nothing is sent any more.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// The targets of a run.
pub(super) struct TargetStage {
    /// What requests are offered to, by target.
    pub(super) dispatchers: Vec<TargetDispatcher>,
    /// Where each is looked at.
    pub(super) probes: Vec<TargetProbe>,
    pub(super) reference: ReferenceSender,
    /// Those at work, and after them the baseline, where there is one.
    pub(super) running: Vec<RunningTarget>,
}

/// A target at work, and its client.
pub(super) struct RunningTarget {
    sending: JoinHandle<replay::QueueStats>,
    client: Arc<AnyClient>,
    carry: Option<(Arc<Carry>, Destination)>,
    is_mirrored: bool,
}

/// Starts targets that report to the same channel.
struct TargetStarter<'a> {
    context: &'a RunContext,
    facts: &'a mpsc::Sender<ReportEvent>,
    /// Takes a span of each delivery to a target.
    spans: Option<&'a SpanSender>,
    secrets: SecretNames,
    /// Makes requests for the targets when they can send them.
    source: Option<Arc<dyn RequestSource>>,
    /// Whether requests are due at times that are known, and written then by whoever paces them.
    is_scheduled: bool,
}

impl TargetStage {
    /// Starts a queue and a client for each target of `run`, and for what is asked beside them; `responses` takes what
    /// targets answer to external processes, and `source` makes requests where they do not come by themselves; `is_scheduled`
    /// where they are due at times that are known.
    pub(super) fn start(
        context: &RunContext,
        run: &mut Run,
        facts: &mpsc::Sender<ReportEvent>,
        responses: Option<&ResponseSender>,
        spans: Option<&SpanSender>,
        source: Option<Arc<dyn RequestSource>>,
        is_scheduled: bool,
    ) -> Result<Self, RunError> {
        let secrets = run.middleware.secret_names();
        let (settings, reference) = (std::mem::take(&mut run.targets), std::mem::take(&mut run.reference));
        let starter = TargetStarter { context, facts, spans, secrets, source, is_scheduled };
        let bytes = context.memory.targets / settings.len().max(1);
        let (mut dispatchers, mut probes, mut running) = (Vec::new(), Vec::new(), Vec::new());
        let mut checks = Vec::new();
        for (index, mut settings) in settings.into_iter().enumerate() {
            checks.push(reference_traffic::check_limits(&mut settings, reference.self_check));
            let (dispatcher, probe, target) =
                starter.target(Destination::Target(TargetId::at(index)), settings, bytes, responses)?;
            dispatchers.push(dispatcher);
            probes.push(probe);
            running.push(target);
        }
        let reference = starter.reference(reference, run.middleware.allow_writes, checks, &mut running)?;
        Ok(Self { dispatchers, probes, reference, running })
    }

    /// Whether any target has to be told of connections.
    pub(super) fn mirrors(&self) -> bool {
        self.dispatchers.iter().any(TargetDispatcher::mirrors)
    }

    /// What bounds the memory of requests on their way to each target.
    pub(super) fn budgets(&self) -> Vec<Budget> {
        self.dispatchers.iter().map(TargetDispatcher::budget).collect()
    }
}

impl TargetStarter<'_> {
    fn target(
        &self,
        destination: Destination,
        mut settings: replay::SendSettings,
        bytes: usize,
        responses: Option<&ResponseSender>,
    ) -> Result<(TargetDispatcher, TargetProbe, RunningTarget), RunError> {
        if self.context.live {
            // A live run has had its time for what is in flight before the targets are stopped.
            settings.drain = Duration::ZERO;
        }
        let client = {
            let _context = self.context.runtime.enter();
            Arc::new(AnyClient::new(&settings)?)
        };
        let (job_sender, jobs) = mpsc::channel(TARGET_QUEUE);
        let source = self.source.clone().filter(|_| destination.target().is_some());
        let keeps_host = settings.keep_host;
        let (limits, mut links) = (TargetLimits::from(&settings), TargetLinks { source, keeps_host, ..self.links() });
        if responses.is_none() && self.writes_early() {
            links.places = Some(Arc::new(Semaphore::new(limits.places())));
        }
        let probe = TargetProbe {
            url: settings.target.to_string(),
            name: settings.name.clone(),
            jobs: job_sender.downgrade(),
            in_flight: Arc::clone(&links.in_flight),
            client: Arc::downgrade(&client),
            carry: self.context.carry.clone().map(|carry| (carry, destination)),
        };
        let gate = destination.target().and_then(|target| self.context.protection.gate(target));
        let dispatcher = TargetDispatcher::new(job_sender, Budget::new(bytes), Arc::clone(&client), gate)
            .sending_early(links.places.clone().map(|places| EarlySender { places }));
        let spans = self.spans.filter(|_| destination.target().is_some()).map(|to| TargetSpans {
            target: settings.target.to_string().into(),
            secrets: self.secrets.clone(),
            to: to.clone(),
        });
        let queue = TargetQueue { destination, jobs, limits, links, spans };
        let sending = match responses {
            Some(responses) => {
                let client = NotifyingClient { client: Arc::clone(&client), responses: responses.clone() };
                self.spawn(queue, Arc::new(client))
            }
            None => self.spawn(queue, Arc::clone(&client)),
        };
        let carry = self.context.carry.clone().map(|carry| (carry, destination));
        let is_mirrored = settings.connections == ConnectionMode::Mirrored;
        Ok((dispatcher, probe, RunningTarget { sending, client, carry, is_mirrored }))
    }

    /// Returns whether nothing is done to requests, or asked about them, once they are due.
    fn writes_early(&self) -> bool {
        self.is_scheduled && self.spans.is_none() && self.context.carry.is_none() && self.context.session.is_none()
    }

    /// What another queue shares with the run.
    fn links(&self) -> TargetLinks {
        let before_send = self.context.carry.clone().map(|carry| carry as Arc<dyn BeforeSend>);
        let (production, session) = (Arc::clone(&self.context.production_ends), self.context.session.clone());
        TargetLinks { production, before_send, session, ..TargetLinks::default() }
    }

    /// Sends what comes out of `queue`, and has the guards see how each delivery ended.
    fn spawn<C: Client + 'static>(&self, queue: TargetQueue, client: Arc<C>) -> JoinHandle<replay::QueueStats> {
        let TargetQueue { destination, jobs, limits, links, spans } = queue;
        let carry = self.context.carry.clone();
        let client = Arc::new(RetainingClient {
            client,
            retention: self.context.retention.clone(),
            carry: carry.clone().map(|carry| (carry, destination)),
            spans,
        });
        let stopped = self.context.stops.targets.clone();
        let (protection, fleet) = (self.context.protection.clone(), self.context.fleet.clone());
        let deliveries = Deliveries::observed(self.facts.clone(), move |delivery| {
            protection.observe(delivery);
            fleet.observe(delivery);
            if let Some(carry) = &carry {
                carry.ended(delivery);
            }
        });
        self.context.runtime.spawn(run_target(destination, client, jobs, limits, stopped, deliveries, links))
    }

    /// Starts the baseline, and for each target the queue over which it is asked a second time. The baseline's end comes
    /// after those of the targets; that of a second time is nobody's.
    fn reference(
        &self,
        settings: replay::ReferenceSettings,
        writes: bool,
        limits: Vec<TargetLimits>,
        running: &mut Vec<RunningTarget>,
    ) -> Result<ReferenceSender, RunError> {
        let checked = running.iter().zip(limits).enumerate().filter(|_| settings.self_check > 0.0);
        let checks = checked.map(|(id, (target, limits))| self.self_check(TargetId::at(id), target, limits)).collect();
        let mut baseline = None;
        if let Some(settings) = settings.baseline {
            let bytes = reference_traffic::BASELINE_BYTES;
            let (dispatcher, _, target) = self.target(Destination::Baseline, settings, bytes, None)?;
            running.push(target);
            baseline = Some(dispatcher);
        }
        Ok(ReferenceSender { baseline, checks, share: settings.self_check, writes })
    }

    /// Starts the queue over which a target is asked a second time. Its guard sees nothing of that.
    fn self_check(&self, id: TargetId, target: &RunningTarget, limits: TargetLimits) -> TargetDispatcher {
        let (job_sender, jobs) = mpsc::channel(TARGET_QUEUE);
        let budget = Budget::new(reference_traffic::CHECK_BYTES);
        let (client, retention) = (Arc::clone(&target.client), self.context.retention.clone());
        let client = RetainingClient { client, retention, carry: None, spans: None };
        let (stopped, facts) = (self.context.stops.targets.clone(), self.facts.clone());
        let sending =
            run_target(Destination::SelfCheck(id), Arc::new(client), jobs, limits, stopped, facts, self.links());
        self.context.runtime.spawn(sending);
        TargetDispatcher::new(job_sender, budget, Arc::clone(&target.client), None)
    }
}

/// What waits for one target, and how much of it is in flight.
struct TargetQueue {
    destination: Destination,
    jobs: mpsc::Receiver<Job>,
    limits: TargetLimits,
    links: TargetLinks,
    spans: Option<TargetSpans>,
}

impl RunningTarget {
    /// Waits until nothing is sent any more; returns what the client counted.
    pub(super) fn end(self, runtime: &Runtime) -> TargetTotals {
        let peak_in_flight = runtime.block_on(self.sending).map_or(0, |stats| stats.peak_in_flight);
        // A response that was not the true one is known by the next, also behind the last request.
        if self.client.open_now().open > 0 {
            runtime.block_on(async { tokio::time::sleep(LAST_LOOK).await });
        }
        let connections = self.client.connections();
        let mut end = TargetTotals {
            connections_opened: connections.opened,
            peak_connections: connections.peak,
            peak_in_flight,
            addresses: connections.addresses.iter().map(address).collect(),
            retried: connections.retried,
            carry: self.carry.map(|(carry, of)| carry.counts(of)).unwrap_or_default(),
            desynchronised: report::DesynchronisedSummary::of(&connections.desynchronised),
            desynchronised_connections: self.client.desynchronised(),
            mirrored: self.is_mirrored,
            ..TargetTotals::default()
        };
        connections.set_up.into_iter().for_each(|took| end.connect.record(took));
        end
    }
}

fn address(share: &replay::AddressShare) -> report::schema::target::AddressSummary {
    report::schema::target::AddressSummary {
        address: share.address.to_string(),
        connections_opened: share.opened,
        connections_failed: share.failed,
        requests: share.requests,
    }
}

impl From<Box<Delivery>> for ReportEvent {
    fn from(delivery: Box<Delivery>) -> Self {
        Self::Delivered(delivery)
    }
}

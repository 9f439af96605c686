//! A pacer for tests: it sends and records nothing.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::{mpsc, watch};

use super::{Pacer, PacerChannels, PacerMode, PacerSettings, RunChains, Timing};
use crate::exchange::{Event, Shed, Timestamp};
use crate::middleware::secret_names::SecretNames;
use crate::middleware::{ChainSettings, LoopHeader};
use crate::pipeline::passes::PassTag;
use crate::pipeline::queues::QueuedEvent;
use crate::pipeline::{Control, Progress, reference_traffic};
use crate::replay::Punctuality;
use crate::report::ReportEvent;
use crate::testing;

/// Facts for which there is room.
const FACTS: usize = 8192;

/// A pacer with room for so many events, what hands it events, what stops it, and what it reports.
pub(super) fn pacer_of(
    runtime: &tokio::runtime::Runtime,
    mode: PacerMode,
    timing: Timing,
    events: usize,
) -> (Pacer, Sender<QueuedEvent>, Sender<()>, mpsc::Receiver<ReportEvent>) {
    let settings = PacerSettings {
        chains: RunChains::new(&ChainSettings::default(), 0),
        mode,
        reloads: watch::channel(None).1,
        mark: None,
        copies: LoopHeader::default(),
        evidence: false,
        secrets: SecretNames::default(),
        retention: None,
        reference: reference_traffic::ReferenceSender { baseline: None, checks: Vec::new(), share: 0.0, writes: false },
        control: Control::default(),
        timing,
        carry: None,
        save_if: None,
        most: None,
        is_shared: false,
        is_pulled: false,
        punctuality: Punctuality::default(),
        not_reached: Shed::RunEnded,
        processor: None,
        priority: None,
    };
    let (sender, events) = crossbeam_channel::bounded(events);
    let (stop, stopped) = crossbeam_channel::bounded(0);
    let (facts, reported) = mpsc::channel(FACTS);
    let channels = PacerChannels {
        events,
        stopped,
        enough: Arc::default(),
        dispatchers: Vec::new(),
        recording: None,
        runtime: runtime.handle().clone(),
        facts,
        production_ends: Arc::default(),
        progress: Arc::new(Progress::default()),
    };
    (Pacer::new(settings, channels), sender, stop, reported)
}

/// A request that was captured so many milliseconds after a second.
pub(super) fn request(n: u32, ms: u64) -> QueuedEvent {
    let mut request = testing::request(n, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    request.last_byte = Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
    QueuedEvent { event: Event::Request(request), part: PassTag::default(), held: None, permille: 0 }
}

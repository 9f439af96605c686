//! Mapping of a capture's events to those of a run: the range that is replayed, its passes kept apart, sessions copied.
//!
//! Events go in as a capture or a recording orders them. They come out with the [`PassTag`] that they belong to, copies
//! in between once they are due. There is no clock here.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::budget::bytes_of;
use super::copied_sessions::CopiedSessions;
use super::passed_instant::PassedInstant;
use crate::exchange::{ConnectionId, Damage, Event, ExchangeId, Timestamp};
use crate::replay::range::{Amplify, CaptureSpan, ReplayRange, SpanPosition};
use crate::replay::{ConnKey, StampLeap};

/// Events of copies that wait for their time. Past it the first of them go at once, and their sessions move closer to the
/// original.
const MAX_DELAYED: usize = 65_536;
/// Bytes of messages in them; past it likewise.
const MAX_DELAYED_BYTES: usize = 32 << 20;
/// Time after the end of the replayed range in which responses are still awaited, on the capture's clock. A response
/// that has not come by then is reported as missing, so that a long capture need not be read to its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Leaps past the end of the replayed range after each of which it is looked whether the capture's clock stays there.
const MAX_LEAPS: u32 = 4;

/// Events after a leap past the end of the replayed range that are read to see that: as many as the pacing thread looks ahead.
const MAX_LOOKED_AT: usize = 4096;
/// The same after a leap by little, as recorders may differ: those that follow tell.
const MAX_LOOKED_AT_LITTLE: usize = 64;
/// How long they are awaited, on the capture's clock.
const PATIENCE_LITTLE: Duration = Duration::from_secs(2);

/// Pass and copy that an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PassTag {
    /// Pass over the capture, from 1.
    pub(super) pass: u32,
    /// Copy of its session; 0 is the original.
    pub(super) copy: u32,
    /// Delay of its due time against its capture time.
    pub(super) delay: Duration,
}

impl PassTag {
    /// The connection of this part.
    pub(super) const fn conn(self, connection: ConnectionId) -> ConnKey {
        ConnKey { connection, pass: self.pass, copy: self.copy }
    }
}

impl Default for PassTag {
    fn default() -> Self {
        Self { pass: 1, copy: 0, delay: Duration::ZERO }
    }
}

/// Range of the capture that is replayed, once it is known: set before the first event is handed on.
pub(super) type KnownSpan = Arc<OnceLock<CaptureSpan>>;

/// A stamp far ahead, past the end of the range.
#[derive(Clone, Debug)]
struct LeapPastEnd {
    leap: StampLeap,
    /// The latest time before it.
    latest: Timestamp,
    /// From when on the clock has to stay there: it may leap on before it comes back.
    since: Timestamp,
    leaps: u32,
    /// Events since, which did not show that it is wrong.
    events: usize,
}

impl LeapPastEnd {
    /// Returns whether the capture's clock has stayed there for long enough.
    fn is_believed(&self, now: Timestamp) -> bool {
        let bounds = (MAX_LOOKED_AT, PATIENCE);
        let (events, patience) = if self.leap.is_little() { (MAX_LOOKED_AT_LITTLE, PATIENCE_LITTLE) } else { bounds };
        self.events >= events || now.since(self.since) >= patience
    }
}

/// The events of one run.
pub(super) struct PassMapper {
    range: ReplayRange,
    known: KnownSpan,
    pass: u32,
    /// The latest time of an event in this pass.
    now: Timestamp,
    /// The stamp that leaped past the end of the range, as long as it may be wrong.
    leap: Option<LeapPastEnd>,
    /// Whether the beginning and the end of the range are passed.
    from: PassedInstant,
    until: PassedInstant,
    /// Nothing is asked for any more but to close what is open.
    closing: bool,
    /// An earlier pass ended with the range, and was not read on.
    ended_early: bool,
    /// Exchanges of which the end is still to come; only where reading may end before the capture does.
    under_way: HashSet<ExchangeId, foldhash::fast::RandomState>,
    sessions: CopiedSessions,
    delayed: DelayedCopies,
    /// Requests of the first pass that were left out.
    before: u64,
    after: u64,
}

impl PassMapper {
    pub(super) fn new(range: ReplayRange, known: KnownSpan) -> Self {
        Self {
            sessions: CopiedSessions::new(range.by_client),
            range,
            known,
            pass: 1,
            now: Timestamp::default(),
            leap: None,
            from: PassedInstant::default(),
            until: PassedInstant::default(),
            closing: false,
            ended_early: false,
            under_way: HashSet::default(),
            delayed: DelayedCopies::default(),
            before: 0,
            after: 0,
        }
    }

    /// Begins a pass: events from now on belong to it.
    pub(super) fn begin(&mut self, pass: u32) {
        self.ended_early |= self.is_over();
        (self.pass, self.now, self.leap, self.closing) = (pass, Timestamp::default(), None, false);
        (self.from, self.until) = (PassedInstant::default(), PassedInstant::default());
    }

    /// Returns whether every event wanted of this pass has come.
    pub(super) fn is_over(&self) -> bool {
        let until = self.known.get().and_then(|span| span.until);
        until.is_some_and(|until| self.now >= until && (self.under_way.is_empty() || self.now.since(until) >= PATIENCE))
            && self.leap.as_ref().is_none_or(|past| past.is_believed(self.now))
    }

    /// Takes note of the time of an event. A few stamps that are wrong and past the end of the range do not end it: what follows
    /// shows whether the capture's clock comes back.
    fn reach(&mut self, at: Timestamp) {
        if let Some(past) = &mut self.leap {
            past.events += 1;
            if past.leap.is_wrong_by(at) {
                self.now = past.latest;
                self.leap = None;
            } else if past.leaps < MAX_LEAPS && StampLeap::of(self.now, at).is_some() {
                past.leaps += 1;
                past.since = at;
            }
        } else if let Some(until) = self.known.get().and_then(|span| span.until)
            && (self.now < until && at >= until)
            && let Some(leap) = StampLeap::by_little(self.now, at)
        {
            self.leap = Some(LeapPastEnd { leap, latest: self.now, since: at, leaps: 1, events: 0 });
        }
        self.now = self.now.max(at);
    }

    /// Takes an event, and hands on what comes of it.
    pub(super) fn take(&mut self, mut event: Event, hand_on: &mut dyn FnMut(Event, PassTag)) {
        if let Some(CaptureSpan { from, until }) = self.known.get() {
            for (passed, instant) in [(&mut self.from, from), (&mut self.until, until)] {
                if let Some(instant) = instant {
                    passed.note(*instant, self.now, &event);
                }
            }
        }
        if let Some(at) = time(&event) {
            self.reach(at);
        }
        let (now, range) = (self.now, &self.range);
        let span = *self.known.get_or_init(|| range.window.of(now));
        if !self.wanted(span, &mut event) {
            return;
        }
        self.delayed.emit_until(now, hand_on);
        let part = PassTag { pass: self.pass, ..PassTag::default() };
        if let (false, Some(connection)) = (self.range.amplify.is_none(), connection(&event)) {
            if let Some((session, opened)) = self.sessions.of(&event, connection) {
                for copy in 1..=self.range.amplify.copies(session) {
                    let delay = Amplify::delay(session, copy);
                    let part = PassTag { copy, delay, ..part };
                    if let Some(opened) = &opened {
                        self.delayed.push(time(opened).unwrap_or(now), numbered(opened.clone(), part));
                    }
                    self.delayed.push(now, numbered(event.clone(), part));
                }
            }
            self.delayed.keep_within(now, hand_on);
        }
        let (event, part) = numbered(event, part);
        hand_on(event, part);
    }

    /// Nothing but what closes connections comes any more in this pass, though the capture may have more.
    pub(super) fn close(&mut self, hand_on: &mut dyn FnMut(Event, PassTag)) {
        let mut missing: Vec<ExchangeId> = self.under_way.iter().copied().collect();
        missing.sort_unstable();
        for of in missing {
            self.take(Event::Damaged { of, why: Damage::EndOfCapture }, hand_on);
        }
        self.closing = true;
    }

    /// Hands on what still waits: the pass has ended.
    pub(super) fn finish(&mut self, hand_on: &mut dyn FnMut(Event, PassTag)) {
        self.delayed.emit_all(hand_on);
        self.under_way.clear();
    }

    /// Returns a remark on the events outside the range, in words for people.
    pub(super) fn remark(&self) -> Option<String> {
        let span = self.known.get()?;
        let from = span.from.map(|from| format!("from {from} on (--from; {} before it)", requests(self.before)));
        // Reading ends soon after it: how many there are is not known.
        let until = span.until.map(|until| {
            let more = match self.after {
                0 if self.ended_early || self.is_over() => "what comes after it was not read",
                0 => "none was read after it",
                _ => "there are more after it",
            };
            format!("until {until} (--until; {more})")
        });
        let bounds: Vec<String> = from.into_iter().chain(until).collect();
        (!bounds.is_empty())
            .then(|| format!("the capture was taken {}; what lies outside is not in this report", bounds.join(" and ")))
    }

    /// Returns the position of an instant, now that the capture has come to where it is.
    fn side(&self, span: CaptureSpan, at: Timestamp) -> SpanPosition {
        match span.side(at) {
            _ if self.until.is_passed() => SpanPosition::After,
            SpanPosition::Before if self.from.is_passed() => SpanPosition::Within,
            side => side,
        }
    }

    /// Returns whether an event is within the replayed range.
    fn wanted(&mut self, span: CaptureSpan, event: &mut Event) -> bool {
        let bounded = span.until.is_some();
        match event {
            Event::Closed { at, .. } => {
                *at = span.until.map_or(*at, |until| until.min(*at));
                true
            }
            _ if self.closing => false,
            Event::Opened { at, .. } => self.side(span, *at) != SpanPosition::After,
            Event::Request(request) => {
                let side = self.side(span, request.last_byte);
                if self.pass == 1 {
                    self.before += u64::from(side == SpanPosition::Before);
                    self.after += u64::from(side == SpanPosition::After);
                }
                if bounded && side == SpanPosition::Within {
                    self.under_way.insert(request.id);
                }
                side == SpanPosition::Within
            }
            Event::Response { of, .. } | Event::Damaged { of, .. } => !bounded || self.under_way.remove(of),
            Event::Orphan { .. } => span.side(self.now) == SpanPosition::Within,
        }
    }
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

/// Returns the capture time of an event.
fn time(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Opened { at, .. } | Event::Closed { at, .. } => Some(*at),
        Event::Request(request) => Some(request.last_byte),
        Event::Response { response, .. } | Event::Orphan { response, .. } => Some(response.last_byte),
        Event::Damaged { .. } => None,
    }
}

/// The connection that an event is copied with; a response without a request is not.
fn connection(event: &Event) -> Option<ConnectionId> {
    match event {
        Event::Opened { connection, .. } | Event::Closed { connection, .. } => Some(*connection),
        Event::Request(request) => Some(request.id.connection),
        Event::Response { of, .. } | Event::Damaged { of, .. } => Some(of.connection),
        Event::Orphan { .. } => None,
    }
}

/// The event as a part of its pass and copy.
fn numbered(mut event: Event, part: PassTag) -> (Event, PassTag) {
    let id = match &mut event {
        Event::Request(request) => Some(&mut request.id),
        Event::Response { of, .. } | Event::Damaged { of, .. } => Some(of),
        _ => None,
    };
    if let Some(id) = id {
        (id.pass, id.copy) = (part.pass, part.copy);
    }
    (event, part)
}

/// Events of copies, each with its time; those of one session keep their order.
#[derive(Default)]
struct DelayedCopies {
    events: BinaryHeap<Reverse<ScheduledEvent>>,
    turn: u64,
    bytes: usize,
}

/// An event that is emitted later.
struct ScheduledEvent {
    at: Timestamp,
    turn: u64,
    event: Event,
    part: PassTag,
}

impl DelayedCopies {
    fn push(&mut self, now: Timestamp, (event, part): (Event, PassTag)) {
        self.turn += 1;
        self.bytes += bytes_of(&event);
        self.events.push(Reverse(ScheduledEvent { at: now.plus(part.delay), turn: self.turn, event, part }));
    }

    /// Emits the events due by `now`.
    fn emit_until(&mut self, now: Timestamp, hand_on: &mut dyn FnMut(Event, PassTag)) {
        while self.events.peek().is_some_and(|Reverse(first)| first.at <= now) {
            self.emit_first(None, hand_on);
        }
    }

    /// Emits the first events at once while there are too many.
    fn keep_within(&mut self, now: Timestamp, hand_on: &mut dyn FnMut(Event, PassTag)) {
        while self.events.len() > MAX_DELAYED || self.bytes > MAX_DELAYED_BYTES {
            self.emit_first(Some(now), hand_on);
        }
    }

    fn emit_all(&mut self, hand_on: &mut dyn FnMut(Event, PassTag)) {
        while !self.events.is_empty() {
            self.emit_first(None, hand_on);
        }
    }

    /// Emits the first event. Where that is before its time, its delay is as much less.
    fn emit_first(&mut self, early: Option<Timestamp>, hand_on: &mut dyn FnMut(Event, PassTag)) {
        let Some(Reverse(ScheduledEvent { at, event, mut part, .. })) = self.events.pop() else { return };
        self.bytes -= bytes_of(&event);
        if let Some(now) = early {
            part.delay = part.delay.saturating_sub(at.since(now));
        }
        hand_on(event, part);
    }
}

impl ScheduledEvent {
    const fn key(&self) -> (Timestamp, u64) {
        (self.at, self.turn)
    }
}

impl PartialEq for ScheduledEvent {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ScheduledEvent {}

impl PartialOrd for ScheduledEvent {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ScheduledEvent {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Close;
    use crate::replay::CaptureWindow;
    use crate::replay::range::{MAX_DELAY, Moment};
    use crate::testing::request;

    const BEGAN: u64 = 1_795_291_200_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos((BEGAN + ms) * 1_000_000)
    }

    fn id(n: u32) -> ExchangeId {
        request(n, "GET / HTTP/1.1\r\n\r\n").id
    }

    fn opened(ms: u64) -> Event {
        Event::Opened { connection: id(1).connection, at: at(ms) }
    }

    fn asked(n: u32, ms: u64) -> Event {
        let mut request = request(n, "GET / HTTP/1.1\r\n\r\n");
        request.last_byte = at(ms);
        Event::Request(request)
    }

    fn answered(n: u32) -> Event {
        Event::Damaged { of: id(n), why: Damage::Gap }
    }

    fn closed(ms: u64) -> Event {
        Event::Closed { connection: id(1).connection, at: at(ms), how: Close::Fin }
    }

    /// An event in short: `o` opened, `q1` a request, `r1` its end, `c` closed; then which copy.
    fn short(event: &Event, part: PassTag) -> String {
        let what = match event {
            Event::Opened { .. } => "o".to_owned(),
            Event::Request(request) => format!("q{}", request.id.index),
            Event::Damaged { of, .. } => format!("r{}", of.index),
            Event::Closed { at: closed, .. } => format!("c{}", closed.since(at(0)).as_millis()),
            other => format!("{other:?}"),
        };
        let pass = if part.pass > 1 { format!("@{}", part.pass) } else { String::new() };
        if part.copy > 0 { format!("{what}{pass}+{}", part.copy) } else { what + &pass }
    }

    /// Passes the events through a new mapper; returns the events that were handed on, and the mapper.
    fn taken(range: ReplayRange, events: Vec<Event>) -> (Vec<String>, PassMapper) {
        let mut passage = PassMapper::new(range, KnownSpan::default());
        let mut all = Vec::new();
        for event in events {
            passage.take(event, &mut |event, part| all.push(short(&event, part)));
        }
        (all, passage)
    }

    fn window(from: u64, until: u64) -> ReplayRange {
        let after = |ms| Some(Moment::After(Duration::from_millis(ms)));
        ReplayRange { window: CaptureWindow { from: after(from), until: after(until) }, ..ReplayRange::default() }
    }

    #[test]
    fn all_of_a_capture_goes_on_as_it_is_where_nothing_else_is_asked_for() {
        let events = || vec![opened(0), asked(1, 1), answered(1), closed(2)];
        let (all, passage) = taken(ReplayRange::default(), events());
        assert_eq!(all, ["o", "q1", "r1", "c2"]);
        assert!(!passage.is_over() && passage.remark().is_none() && passage.under_way.is_empty());
    }

    #[test]
    fn what_lies_outside_of_the_window_is_left_out_and_told() {
        let events = vec![
            opened(0),
            asked(1, 5),
            asked(2, 10),
            answered(1),
            asked(3, 19),
            asked(4, 20),
            answered(4),
            opened(25),
            answered(2),
        ];
        let (all, mut passage) = taken(window(10, 20), events);
        assert_eq!(all, ["o", "q2", "q3", "r2"]);
        assert!(!passage.is_over(), "an answer is still to come");
        let mut rest = Vec::new();
        passage.take(answered(3), &mut |event, part| rest.push(short(&event, part)));
        assert!(passage.is_over());
        passage.close(&mut |event, part| rest.push(short(&event, part)));
        passage.take(asked(5, 12), &mut |event, part| rest.push(short(&event, part)));
        passage.take(closed(40), &mut |event, part| rest.push(short(&event, part)));
        assert_eq!(rest, ["r3", "c20"], "what is open closes with the window");
        let remark = passage.remark().unwrap();
        assert!(
            remark.contains("--from; 1 request before it") && remark.contains("there are more after it"),
            "{remark}"
        );
    }

    #[test]
    fn what_was_not_read_is_not_said_to_be_missing() {
        let read = |last| taken(window(0, 20), vec![opened(0), asked(1, 5), answered(1), opened(last)]).1;
        let said = |passage: &PassMapper, what: &str| {
            let remark = passage.remark().unwrap();
            assert!(remark.contains(&format!("--until; {what}")), "{remark}");
        };
        let mut stopped = read(21);
        said(&stopped, "what comes after it was not read");
        stopped.begin(2);
        said(&stopped, "what comes after it was not read");
        said(&read(19), "none was read after it");
    }

    #[test]
    fn an_answer_that_does_not_come_does_not_keep_the_capture_open() {
        let late = 20 + u64::try_from(PATIENCE.as_millis()).unwrap();
        let (_, mut passage) = taken(window(0, 20), vec![opened(0), asked(1, 5), opened(20), opened(late - 1)]);
        assert!(!passage.is_over());
        let mut rest = Vec::new();
        passage.take(opened(late), &mut |event, part| rest.push(short(&event, part)));
        assert!(passage.is_over());
        passage.close(&mut |event, part| rest.push(short(&event, part)));
        assert_eq!(rest, ["r1"], "and is told as missing");
    }

    #[test]
    fn stamps_that_are_wrong_for_a_while_do_not_end_the_window() {
        let hour = 3_600_000;
        let mut events = vec![opened(0), asked(1, 5), answered(1), asked(2, hour + 6), answered(2), opened(hour + 7)];
        let (all, mut passage) = taken(window(0, 20), events.clone());
        assert_eq!(all, ["o", "q1", "r1"]);
        assert!(!passage.is_over(), "the clock may come back");
        (1..=5).for_each(|n| passage.take(opened(hour + 7 + n * 7_000), &mut |_, _| {}));
        assert!(passage.is_over(), "it stays there");
        events.extend([asked(3, 8), answered(3), asked(4, hour + 9), opened(3 * hour)]);
        events.extend([asked(5, 10), answered(5)]);
        let (all, mut passage) = taken(window(0, 20), events);
        assert_eq!(all, ["o", "q1", "r1", "q3", "r3", "q5", "r5"]);
        assert!(!passage.is_over());
        passage.take(asked(6, 20), &mut |_, _| {});
        assert!(passage.is_over());
    }

    #[test]
    fn one_stamp_that_is_a_little_ahead_does_not_end_the_window() {
        for ahead in [200, 3_000, 9_000] {
            let events = [opened(0), asked(1, 500), answered(1), asked(2, 950 + ahead), answered(2)];
            let (_, mut passage) = taken(window(0, 1_000), events.to_vec());
            assert!(!passage.is_over(), "{ahead}: the clock may come back");
            let mut rest = Vec::new();
            for event in [asked(3, 960), answered(3), asked(4, 990), answered(4)] {
                passage.take(event, &mut |event, part| rest.push(short(&event, part)));
            }
            assert_eq!(rest, ["q3", "r3", "q4", "r4"], "{ahead}");
            // A silence that goes past it does.
            let (_, mut passage) = taken(window(0, 1_000), events.to_vec());
            for n in 1..=4 {
                assert!(!passage.is_over(), "{ahead}");
                passage.take(opened(950 + ahead + n * 500), &mut |_, _| {});
            }
            assert!(passage.is_over(), "{ahead}");
        }
    }

    /// Connections of their own with a request each, every 100 ms from this one on, `back` milliseconds behind from `set` on.
    fn visitors(numbers: std::ops::Range<u32>, set: u32, back: u64) -> Vec<Event> {
        let visit = |n: u32| {
            let at = at(1_000_000 + u64::from(n) * 100 - if n >= set { back } else { 0 });
            let mut request = request(n, "GET / HTTP/1.1\r\n\r\n");
            (request.id.connection, request.last_byte) = (ConnectionId(u64::from(n)), at);
            let id = request.id;
            [
                Event::Opened { connection: id.connection, at },
                Event::Request(request),
                Event::Damaged { of: id, why: Damage::Gap },
            ]
        };
        numbers.flat_map(visit).collect()
    }

    /// The numbers of the requests that are in.
    fn requests_of(range: ReplayRange, events: Vec<Event>) -> Vec<u32> {
        let (all, _) = taken(range, events);
        all.iter().filter_map(|name| name.strip_prefix('q')?.parse().ok()).collect()
    }

    #[test]
    fn a_range_is_one_stretch_of_the_capture_where_its_clock_was_set_back() {
        for back in [400, 3_000, 9_000, 600_000] {
            let range = window(20_000, 30_000);
            let within: Vec<u32> = (200..300).collect();
            assert_eq!(requests_of(range, visitors(0..400, u32::MAX, 0)), within);
            // Behind its beginning: it is as long as the time that the capture shows.
            let later = u32::try_from(back / 100).unwrap();
            let found = requests_of(range, visitors(0..420 + later, 210, back));
            assert_eq!(found, (200..300 + later).collect::<Vec<_>>(), "{back}");
            // Behind its end.
            assert_eq!(requests_of(range, visitors(0..700, 310, back)), within, "{back}");
            // Connections that stay open.
            let keep = |event: &mut Event| {
                if let Event::Request(request) = event {
                    request.id.connection = ConnectionId(u64::from(request.id.index % 5) + 10_000);
                }
                matches!(event, Event::Request(_))
            };
            let mut kept = visitors(0..420 + later, 210, back);
            kept.retain_mut(keep);
            let from = ReplayRange { window: CaptureWindow { until: None, ..range.window }, ..range };
            assert_eq!(requests_of(from, kept), (200..420 + later).collect::<Vec<_>>(), "{back}");
        }
    }

    #[test]
    fn what_is_late_or_stamped_wrongly_goes_by_its_stamp() {
        let range = window(20_000, 30_000);
        let within: Vec<u32> = (200..300).collect();
        // A request that was held up.
        let mut events = visitors(0..400, u32::MAX, 0);
        let held = events.remove(3 * 195 + 1);
        events.insert(3 * 205, held);
        assert_eq!(requests_of(range, events), within);
        // Some that are stamped an hour ahead.
        let mut events = visitors(0..400, u32::MAX, 0);
        for event in &mut events[150..162] {
            match event {
                Event::Opened { at, .. } => *at = at.plus(Duration::from_hours(1)),
                Event::Request(request) => request.last_byte = request.last_byte.plus(Duration::from_hours(1)),
                _ => {}
            }
        }
        assert_eq!(requests_of(range, events), within);
    }

    #[test]
    fn what_follows_a_silence_is_read_within_a_bound() {
        let (_, mut passage) = taken(window(0, 20), vec![opened(0), opened(60_000)]);
        for _ in 0..MAX_LOOKED_AT {
            assert!(!passage.is_over());
            passage.take(opened(60_000), &mut |_, _| {});
        }
        assert!(passage.is_over());
    }

    #[test]
    fn copies_come_later_each_as_a_session_of_its_own() {
        let range = ReplayRange { amplify: "3x".parse().unwrap(), ..ReplayRange::default() };
        let mut passage = PassMapper::new(range, KnownSpan::default());
        passage.begin(2);
        let mut all: Vec<(String, PassTag)> = Vec::new();
        for event in [opened(0), asked(1, 0), answered(1), asked(2, 2_000), answered(2), closed(2_001)] {
            passage.take(event, &mut |event, part| all.push((short(&event, part), part)));
        }
        passage.finish(&mut |event, part| all.push((short(&event, part), part)));
        for copy in 0..=2 {
            let suffix = if copy > 0 { format!("@2+{copy}") } else { "@2".to_owned() };
            let mine: Vec<_> = all.iter().filter(|(_, part)| part.copy == copy).collect();
            let names: Vec<_> = mine.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["o", "q1", "r1", "q2", "r2", "c2001"].map(|what| what.to_owned() + &suffix));
            let delay = if copy > 0 { Amplify::delay(id(1).connection.0, copy) } else { Duration::ZERO };
            assert!(mine.iter().all(|(_, part)| part.delay == delay && part.pass == 2));
            assert!(delay < MAX_DELAY);
        }
        let second = all.iter().position(|(name, _)| name == "q2@2").unwrap();
        let copied = all.iter().position(|(name, _)| name == "q1@2+2").unwrap();
        assert!(copied < second, "two seconds are longer than any delay");
    }

    #[test]
    fn copies_of_a_clients_connections_shift_together_where_they_are_one_session() {
        let of = |event: Event, connection: u64| match event {
            Event::Opened { at, .. } => Event::Opened { connection: ConnectionId(connection), at },
            Event::Request(mut request) => {
                request.id.connection = ConnectionId(connection);
                Event::Request(request)
            }
            Event::Closed { at, how, .. } => Event::Closed { connection: ConnectionId(connection), at, how },
            other => other,
        };
        let range = ReplayRange { amplify: "2x".parse().unwrap(), by_client: true, ..ReplayRange::default() };
        let mut passage = PassMapper::new(range, KnownSpan::default());
        let mut all: Vec<(String, PassTag)> = Vec::new();
        let events = |n: u64, ms| [of(opened(ms), n), of(asked(1, ms + 1), n), of(closed(ms + 2), n)];
        // The last one has no request.
        let unused = [of(opened(20), 99), of(closed(21), 99)];
        for event in (1..=9).flat_map(|n| events(n, n)).chain(unused) {
            passage.take(event, &mut |event, part| all.push((short(&event, part), part)));
        }
        passage.finish(&mut |event, part| all.push((short(&event, part), part)));
        let copies: Vec<_> = all.iter().filter(|(_, part)| part.copy == 1).collect();
        assert_eq!(copies.len(), 27, "the opening of one that is never used is no use");
        assert!(copies.iter().all(|(_, part)| part.delay == copies[0].1.delay), "{copies:?}");
        assert!(copies[0].0.starts_with('o') && copies[1].0.starts_with('q'), "{copies:?}");
    }

    #[test]
    fn too_many_that_wait_move_closer_to_the_original() {
        let range = ReplayRange { amplify: "1000x".parse().unwrap(), ..ReplayRange::default() };
        let mut passage = PassMapper::new(range, KnownSpan::default());
        let mut parts: Vec<PassTag> = Vec::new();
        for n in 1..=100 {
            passage.take(asked(n, 0), &mut |_, part| parts.push(part));
            assert!(passage.delayed.events.len() <= MAX_DELAYED && passage.delayed.bytes <= MAX_DELAYED_BYTES);
        }
        assert!(parts.len() > 100, "some could not wait");
        assert!(parts.iter().all(|part| part.delay.is_zero()));
        passage.finish(&mut |_, part| parts.push(part));
        assert_eq!(parts.len(), 100 * 1000, "and none is lost");
        assert_eq!(passage.delayed.bytes, 0);
    }
}

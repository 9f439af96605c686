//! Invariants of recordings: of reading any bytes, and of writing the events read.

use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Read};

use crate::exchange::{Event, ExchangeId, RequestState};
use crate::recording::jsonl_write::JsonLine;
use crate::recording::{EventSource as _, ExchangeJoin, GorWriter, JoinedExchange, RecordingSource};

use super::TrickleReader;
use super::observe::has_its_length;

/// Events that are read of one input: a few compressed bytes can hold very many.
const MAX_EVENTS: usize = 20_000;

/// A recording: whatever the bytes, reading ends; it gives the same events however the bytes come in; each request has
/// its end, and once; what is said to be whole is. The lines of JSON that come of it give the same lines again.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn journal(bytes: &[u8]) {
    let whole = events_of(Cursor::new(bytes.to_vec()));
    let in_drips = events_of(TrickleReader(Cursor::new(bytes.to_vec())));
    let compressed = matches!(bytes, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [_, 0x2a, 0x4d, 0x18, ..]);
    let shown = |events: &Option<Vec<Event>>| events.as_ref().map(|events| lines(events));
    // Of a broken compressed file the decompressors give more or less of what stands before the error.
    assert!(compressed || shown(&whole) == shown(&in_drips), "the events depend on how the bytes come in");
    let Some(events) = whole else { return };
    has_ends(&events);
    let once = lines(&events);
    if once.is_empty() || events.len() >= MAX_EVENTS {
        return;
    }
    // Where an id comes twice only one exchange can have it.
    if has_distinct_ids(&events) {
        let again = lines(&events_of(Cursor::new(once.clone())).expect("what is written is a recording"));
        assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&again), "lines are not read back");
    }
    as_gor(&events);
}

/// Writes events as `.gor` and reads them: out come the requests that may be replayed, as they were, and no other.
fn as_gor(events: &[Event]) {
    let (mut writer, mut bytes) = (GorWriter::default(), Vec::new());
    for event in events {
        writer.event(event, &mut bytes);
    }
    let went_in = replayable(events);
    let left_out: u64 = ["body_limit", "separator"].iter().filter_map(|why| writer.left_out().get(why)).sum();
    let read = if bytes.is_empty() { Vec::new() } else { events_of(Cursor::new(bytes)).expect("it is .gor") };
    has_ends(&read);
    let came_out = replayable(&read);
    assert!(came_out.len() as u64 <= went_in.len() as u64, "requests come out of .gor that did not go in");
    assert!(came_out.len() as u64 + left_out >= went_in.len() as u64, "requests are lost on their way through .gor");
    let known = came_out.iter().all(|request| went_in.binary_search(request).is_ok());
    assert!(known, "a request comes out of .gor in another shape");
}

/// Heads and bodies of the requests that may be replayed, sorted.
fn replayable(events: &[Event]) -> Vec<(&[u8], &[u8])> {
    let whole = events.iter().filter_map(|event| match event {
        Event::Request(request) if request.state == RequestState::Whole => {
            Some((request.head.as_bytes(), request.body.wire.as_deref().unwrap_or_default()))
        }
        _ => None,
    });
    let mut whole: Vec<_> = whole.collect();
    whole.sort_unstable();
    whole
}

fn events_of(from: impl Read + Send + 'static) -> Option<Vec<Event>> {
    let mut source = RecordingSource::read("input", Box::new(from), None).ok()?;
    let mut events = Vec::new();
    while events.len() < MAX_EVENTS
        && let Some(event) = source.next()
    {
        events.push(event);
    }
    if events.len() < MAX_EVENTS {
        assert!(source.next().is_none(), "a source that has ended goes on");
    }
    Some(events)
}

/// Each request has one end, after it, unless reading stopped before; whole messages are.
fn has_ends(events: &[Event]) {
    let mut open: HashMap<ExchangeId, u32> = HashMap::new();
    for event in events {
        match event {
            Event::Request(request) => {
                *open.entry(request.id).or_default() += 1;
                if request.state == RequestState::Whole {
                    assert!(!request.method().is_empty() && !request.target().is_empty(), "it asks nothing");
                    has_its_length(&request.body);
                }
            }
            Event::Response { of, response } => {
                end(&mut open, *of);
                if response.damage.is_none() {
                    has_its_length(&response.body);
                }
            }
            Event::Damaged { of, .. } => end(&mut open, *of),
            Event::Orphan { .. } => {}
            Event::Opened { .. } | Event::Closed { .. } => panic!("a recording does not know of connections"),
        }
    }
    let open = open.values().filter(|count| **count > 0).count();
    assert!(open == 0 || events.len() >= MAX_EVENTS, "{open} exchanges never ended");
}

fn end(open: &mut HashMap<ExchangeId, u32>, of: ExchangeId) {
    let count = open.get_mut(&of).filter(|count| **count > 0);
    *count.unwrap_or_else(|| panic!("{of} ends without a request, or twice")) -= 1;
}

fn has_distinct_ids(events: &[Event]) -> bool {
    let mut seen = HashSet::new();
    events.iter().all(|event| match event {
        Event::Request(request) => seen.insert(request.id),
        _ => true,
    })
}

/// The lines that these events are recorded as.
fn lines(events: &[Event]) -> Vec<u8> {
    let mut exchanges = ExchangeJoin::default();
    let mut lines = Vec::new();
    let mut write = |exchange: JoinedExchange| {
        JsonLine::new(&exchange, true).write(&mut lines);
        lines.push(b'\n');
    };
    for event in events {
        exchanges.take(event.clone(), &mut write);
    }
    exchanges.finish(&mut write);
    lines
}

//! Production's previous responses to repeated requests: two responses to the same request show which fields are not
//! steady.
//!
//! Responses come in by the [`RepeatKey`] of their request; the previous one comes out. The number of remembered
//! responses is bounded: those that were remembered longest ago make room.
//!
//! Nearly all are remembered in vain, since most requests come once. So they are copied one behind another, and go some
//! hundreds at once: to keep each as it is would spread them all over the memory, which takes longer than to send a request.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::inputs::{Production, RepeatKey};
use crate::exchange::{Digest, Head, HeaderLines};
use crate::replay::RetainedResponse;

/// Requests whose response is remembered.
const MAX_REMEMBERED: usize = 4096;
/// Bytes of their heads and bodies.
const MAX_BYTES: usize = 8 << 20;
/// Blocks that they lie in; each is forgotten as a whole.
const BLOCKS: usize = 8;
/// Longest body that is copied; longer ones are shared.
const MAX_COPIED_BODY: usize = 1024;

/// The latest responses.
#[derive(Debug, Default)]
pub(crate) struct RepeatTracker {
    places: HashMap<RepeatKey, Place, foldhash::fast::RandomState>,
    /// The oldest first.
    blocks: VecDeque<Block>,
    /// Blocks that were forgotten.
    gone: u64,
    bytes: usize,
}

/// Where a response lies: the number of its block since the run began, and its own in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    block: u64,
    entry: usize,
}

/// Responses that were remembered one after another.
#[derive(Debug, Default)]
struct Block {
    entries: Vec<Remembered>,
    /// Heads, each with its body where that is short.
    text: Vec<u8>,
    bytes: usize,
}

#[derive(Debug)]
struct Remembered {
    key: RepeatKey,
    status: u16,
    body_len: u64,
    body_sha256: Option<Box<Digest>>,
    kept: Option<KeptText>,
}

/// What is kept of a response: where its head lies in the text.
#[derive(Debug)]
struct KeptText {
    start: usize,
    head: usize,
    body: KeptBody,
}

#[derive(Debug)]
enum KeptBody {
    None,
    /// So many bytes behind the head.
    Copied(usize),
    Shared(Bytes),
}

impl RepeatTracker {
    /// Returns the previous response.
    pub(crate) fn before(&self, key: RepeatKey) -> Option<Production> {
        let place = self.places.get(&key)?;
        self.blocks.get(usize::try_from(place.block - self.gone).ok()?)?.response(place.entry)
    }

    /// Remembers a response, which is whole, in place of the previous one.
    pub(crate) fn remember(&mut self, key: RepeatKey, response: &Production) {
        if self.blocks.back().is_none_or(Block::is_full) {
            let emptied = if self.blocks.len() < BLOCKS { None } else { self.forget() };
            self.blocks.push_back(emptied.unwrap_or_default());
        }
        let block = self.gone + self.blocks.len().saturating_sub(1) as u64;
        let Some(last) = self.blocks.back_mut() else { return };
        self.places.insert(key, Place { block, entry: last.entries.len() });
        self.bytes += last.add(key, response);
        while self.bytes > MAX_BYTES && self.forget().is_some() {}
    }

    /// Forgets the oldest block; returns it without anything in it.
    fn forget(&mut self) -> Option<Block> {
        let mut oldest = self.blocks.pop_front()?;
        for (entry, Remembered { key, .. }) in oldest.entries.drain(..).enumerate() {
            // Where the request came again, the later response counts.
            if self.places.get(&key) == Some(&Place { block: self.gone, entry }) {
                self.places.remove(&key);
            }
        }
        oldest.text.clear();
        self.bytes -= std::mem::take(&mut oldest.bytes);
        self.gone += 1;
        Some(oldest)
    }
}

impl Block {
    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_REMEMBERED / BLOCKS || self.bytes >= MAX_BYTES / BLOCKS
    }

    /// Adds a response; returns how many bytes it holds.
    fn add(&mut self, key: RepeatKey, response: &Production) -> usize {
        let mut weight = 0;
        let kept = response.kept.as_ref().map(|kept| {
            let (start, head) = (self.text.len(), kept.head.as_bytes());
            self.text.extend_from_slice(head);
            weight += head.len() + kept.body.as_ref().map_or(0, Bytes::len);
            let body = match &kept.body {
                None => KeptBody::None,
                Some(body) if body.len() <= MAX_COPIED_BODY => {
                    self.text.extend_from_slice(body);
                    KeptBody::Copied(body.len())
                }
                // Its bytes are counted here from now on.
                Some(body) => KeptBody::Shared(body.clone()),
            };
            KeptText { start, head: head.len(), body }
        });
        let body_sha256 = response.body_sha256.map(Box::new);
        let Production { status, body_len, .. } = *response;
        self.entries.push(Remembered { key, status, body_len, body_sha256, kept });
        self.bytes += weight;
        weight
    }

    fn response(&self, entry: usize) -> Option<Production> {
        let Remembered { status, body_len, body_sha256, kept, .. } = self.entries.get(entry)?;
        let part = |start: usize, len| self.text.get(start..start + len).unwrap_or_default();
        let kept = kept.as_ref().map(|KeptText { start, head, body }| {
            let body = match body {
                KeptBody::None => None,
                KeptBody::Copied(len) => Some(Bytes::copy_from_slice(part(start + head, *len))),
                KeptBody::Shared(body) => Some(body.clone()),
            };
            Box::new(RetainedResponse::new(Head::new(part(*start, *head).to_vec()), body))
        });
        Some(Production {
            status: *status,
            body_len: *body_len,
            body_sha256: body_sha256.as_deref().copied(),
            damage: None,
            left: false,
            latency: None,
            kept,
        })
    }
}

/// Returns the key of a request by all that this response to it depends on: by the header fields, too, that it names in Vary
/// (RFC 9110, 12.5.5). `None` where that is more than is known of the request, whose head is empty where it was too long.
pub(crate) fn varied(key: RepeatKey, request: &[u8], response: Option<&RetainedResponse>) -> Option<RepeatKey> {
    let lists = response.into_iter().flat_map(|response| response.head.get_all("vary"));
    let names = lists.flat_map(|list| list.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut names = names.filter(|name| !name.is_empty()).peekable();
    if names.peek().is_none() {
        return Some(key);
    }
    if request.is_empty() {
        return None;
    }
    names.try_fold(key, |key, name| {
        let lines = HeaderLines::of(request).filter(|line| line.name.eq_ignore_ascii_case(name));
        let seed = xxh3_64_with_seed(&name.to_ascii_lowercase(), key.0);
        let with = lines.fold(seed, |seed, line| xxh3_64_with_seed(line.value, seed.rotate_left(8)));
        (name != b"*").then_some(RepeatKey(with))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::production;
    use super::*;
    use crate::exchange::Head;

    #[test]
    fn the_answer_before_comes_back() {
        let mut repeats = RepeatTracker::default();
        assert!(repeats.before(RepeatKey(1)).is_none());
        for status in [200, 500] {
            repeats.remember(RepeatKey(1), &production(status));
            repeats.remember(RepeatKey(2), &production(404));
            assert_eq!(repeats.before(RepeatKey(1)).unwrap().status, status);
        }
    }

    #[test]
    fn what_production_says_to_depend_on_tells_requests_apart() {
        let key = |request: &str, vary: &str| {
            let head = format!("HTTP/1.1 200 OK\r\n{vary}\r\n");
            let response = RetainedResponse::new(Head::new(head.into_bytes()), None);
            varied(RepeatKey(1), request.as_bytes(), Some(&response)).map(|key| key.0)
        };
        let [a, b] = ["a", "b"].map(|tenant| format!("GET / HTTP/1.1\r\nX-Tenant: {tenant}\r\n\r\n"));
        assert_eq!((key(&a, ""), key(&b, ""), varied(RepeatKey(1), b"", None)), (Some(1), Some(1), Some(RepeatKey(1))));
        let vary = "Vary: Accept-Encoding, x-tenant\r\n";
        assert!(key(&a, vary).is_some());
        assert_eq!(key(&a, vary), key(&a, "Vary: accept-encoding\r\nVary: X-Tenant\r\n"));
        assert_ne!(key(&a, vary), key(&b, vary));
        assert_ne!(key(&a, vary), key("GET / HTTP/1.1\r\n\r\n", vary));
        assert_eq!((key(&a, "Vary: *\r\n"), key("", vary)), (None, None));
    }

    /// A response with this head and content.
    fn kept(body: Option<&[u8]>) -> Production {
        let head = Head::new(b"HTTP/1.1 200 OK\r\nServer: a\r\n\r\n".to_vec());
        let body = body.map(Bytes::copy_from_slice);
        Production { kept: Some(Box::new(RetainedResponse::new(head, body))), ..production(200) }
    }

    #[test]
    fn what_comes_back_is_what_was_remembered() {
        let long = vec![b'x'; 2 * MAX_COPIED_BODY];
        let all = [
            production(301),
            kept(None),
            kept(Some(b"")),
            kept(Some(b"abc")),
            kept(Some(&long)),
            Production { body_sha256: Some([7; 32]), body_len: 9, ..production(200) },
        ];
        let mut repeats = RepeatTracker::default();
        for (key, response) in all.iter().enumerate() {
            repeats.remember(RepeatKey(key as u64), response);
        }
        let told = |response: &Production| {
            let Production { status, body_len, body_sha256, kept, .. } = response;
            let kept = kept.as_ref().map(|kept| (kept.head.as_bytes().to_vec(), kept.body.clone()));
            (*status, *body_len, *body_sha256, kept)
        };
        for (key, response) in all.iter().enumerate() {
            assert_eq!(told(&repeats.before(RepeatKey(key as u64)).unwrap()), told(response), "{key}");
        }
    }

    #[test]
    fn the_oldest_make_room_by_number_and_by_bytes() {
        let mut repeats = RepeatTracker::default();
        for n in 0..10 * MAX_REMEMBERED as u64 {
            repeats.remember(RepeatKey(n), &kept(Some(b"abc")));
            // One that comes again and again is there all the time.
            repeats.remember(RepeatKey(u64::MAX), &kept(None));
            assert!(repeats.before(RepeatKey(n)).is_some() && repeats.before(RepeatKey(u64::MAX)).is_some());
        }
        let left = repeats.places.len();
        assert!((MAX_REMEMBERED / 2 / BLOCKS * (BLOCKS - 1)..=MAX_REMEMBERED).contains(&left), "{left}");
        let large = kept(Some(&vec![0; 1 << 20]));
        for n in 0..20 {
            repeats.remember(RepeatKey(n), &large);
        }
        assert!(repeats.bytes <= MAX_BYTES && repeats.places.len() <= BLOCKS, "{}", repeats.places.len());
        assert!(repeats.before(RepeatKey(19)).is_some());
        repeats.remember(RepeatKey(20), &kept(Some(&vec![0; MAX_BYTES + 1])));
        assert_eq!((repeats.bytes, repeats.places.len(), repeats.blocks.len()), (0, 0, 0));
    }
}

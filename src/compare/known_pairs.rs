//! Pairs of responses that came before, byte for byte, and in what they differ.
//!
//! Load tests ask for the same things over and over, and a stack that answers otherwise does so each time. A pair that comes
//! a second time is remembered; the third one, and those after it, are not compared again. Pairs and their bytes are bounded:
//! those that were asked for longest ago make room.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use lru::LruCache;

use super::{ComparedResponse, ResponseDiff};

/// Bytes of all pairs.
const MAX_BYTES: usize = 4 << 20;
/// Bytes of the longest pair.
const MAX_PAIR: usize = 64 << 10;
/// Pairs of which it is known that they came once. Of two in one place the later one stays.
const SEEN_ONCE: usize = 4096;

/// The pairs that are known. Threads may share them.
#[derive(Debug)]
pub(crate) struct KnownPairs {
    hasher: RandomState,
    /// Hashes of pairs that came once.
    seen: Box<[AtomicU64]>,
    found: Mutex<FoundPairs>,
}

/// Pairs by their hash. Of two with the same the later one stays.
#[derive(Debug)]
struct FoundPairs {
    pairs: LruCache<u64, FoundPair, RandomState>,
    bytes: usize,
}

#[derive(Debug)]
struct FoundPair {
    shape: PairShape,
    /// Its parts, one behind another.
    text: Box<[u8]>,
    found: Arc<ResponseDiff>,
}

/// Two whole responses to a request: all that a comparison of them takes into account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponsePair<'a> {
    method: &'a [u8],
    statuses: [u16; 2],
    sides: [WholeResponse<'a>; 2],
}

/// Head, body and authorities of a response.
type WholeResponse<'a> = [&'a [u8]; 5];

/// Both statuses, and the length of each part.
type PairShape = [u32; 13];

/// A pair, and what it is found by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashedPair<'a> {
    pair: ResponsePair<'a>,
    shape: PairShape,
    hash: u64,
}

impl<'a> ResponsePair<'a> {
    /// The pair, where both are here to their last byte, and it is worth the while to remember it: what is plainly equal
    /// is compared as quickly.
    pub(crate) fn new(
        method: &'a [u8],
        production: &ComparedResponse<'a>,
        shadow: &ComparedResponse<'a>,
    ) -> Option<Self> {
        let (statuses, sides) = ([production.status, shadow.status], [whole(production)?, whole(shadow)?]);
        let [[one_head, one_body, ..], [other_head, other_body, ..]] = sides;
        let is_equal =
            production.status == shadow.status && one_head.len() == other_head.len() && one_body == other_body;
        let pair = Self { method, statuses, sides };
        (!is_equal && pair.parts().map(<[u8]>::len).sum::<usize>() <= MAX_PAIR).then_some(pair)
    }

    fn parts(&self) -> impl Iterator<Item = &'a [u8]> {
        [self.method].into_iter().chain(self.sides.into_iter().flatten())
    }

    fn shape(&self) -> PairShape {
        let mut shape = PairShape::default();
        let lengths = self.parts().map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX));
        for (to, from) in shape.iter_mut().zip(self.statuses.into_iter().map(u32::from).chain(lengths)) {
            *to = from;
        }
        shape
    }
}

impl HashedPair<'_> {
    /// The pair to be remembered, with what was `found` of it.
    fn found(&self, found: Arc<ResponseDiff>) -> FoundPair {
        FoundPair { shape: self.shape, text: self.pair.parts().collect::<Vec<_>>().concat().into(), found }
    }

    /// Whether it is the one that is known.
    fn is(&self, known: &FoundPair) -> bool {
        let mut rest = &*known.text;
        let mut parts = self.pair.parts();
        self.shape == known.shape && parts.all(|part| rest.strip_prefix(part).map(|behind| rest = behind).is_some())
    }
}

/// A response that is here to its last byte.
fn whole<'a>(response: &ComparedResponse<'a>) -> Option<WholeResponse<'a>> {
    let body = if response.body_len == 0 { &[] } else { response.body? };
    let is_whole = body.len() as u64 == response.body_len;
    let (head, [one, other, third]) = (response.head.filter(|_| is_whole)?, response.authorities);
    Some([head.as_bytes(), body, one, other, third])
}

impl Default for KnownPairs {
    fn default() -> Self {
        let pairs = LruCache::unbounded_with_hasher(RandomState::default());
        Self {
            hasher: RandomState::default(),
            seen: (0..SEEN_ONCE).map(|_| AtomicU64::new(0)).collect(),
            found: Mutex::new(FoundPairs { pairs, bytes: 0 }),
        }
    }
}

impl KnownPairs {
    /// What a pair is found by.
    pub(crate) fn hashed<'a>(&self, pair: ResponsePair<'a>) -> HashedPair<'a> {
        let (shape, mut hasher) = (pair.shape(), self.hasher.build_hasher());
        for number in shape {
            hasher.write_u32(number);
        }
        for part in pair.parts() {
            hasher.write(part);
        }
        HashedPair { pair, shape, hash: hasher.finish() }
    }

    /// In what the responses of this pair differ, where that is known.
    pub(crate) fn get(&self, pair: &HashedPair<'_>) -> Option<Arc<ResponseDiff>> {
        let mut known = self.known();
        let known = known.pairs.get(&pair.hash).filter(|known| pair.is(known))?;
        Some(Arc::clone(&known.found))
    }

    /// Remembers that, where the pair came before.
    pub(crate) fn learn(&self, pair: &HashedPair<'_>, found: &Arc<ResponseDiff>) {
        // Where a body could not be compared that may be otherwise the next time.
        if found.body_unknown.is_none()
            && let Some(seen) =
                usize::try_from(pair.hash % SEEN_ONCE as u64).ok().and_then(|place| self.seen.get(place))
            && seen.swap(pair.hash, Ordering::Relaxed) == pair.hash
        {
            self.known().remember(pair.hash, pair.found(Arc::clone(found)));
        }
    }

    fn known(&self) -> MutexGuard<'_, FoundPairs> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FoundPairs {
    fn remember(&mut self, hash: u64, pair: FoundPair) {
        self.bytes += pair.weight();
        if let Some((_, old)) = self.pairs.push(hash, pair) {
            self.bytes -= old.weight();
        }
        while self.bytes > MAX_BYTES
            && let Some((_, oldest)) = self.pairs.pop_lru()
        {
            self.bytes -= oldest.weight();
        }
    }
}

impl FoundPair {
    fn weight(&self) -> usize {
        self.text.len() + self.found.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Difference, DifferenceKind, DifferencePart, Unknown};
    use crate::exchange::Head;

    fn response<'a>(head: &'a Head, body: &'a [u8]) -> ComparedResponse<'a> {
        ComparedResponse {
            status: 200,
            head: Some(head),
            body_len: body.len() as u64,
            body_sha256: None,
            body: Some(body),
            authorities: [b"shop", b"", b""],
        }
    }

    impl KnownPairs {
        fn pair<'a>(&self, one: &ComparedResponse<'a>, other: &ComparedResponse<'a>) -> HashedPair<'a> {
            self.hashed(ResponsePair::new(b"GET", one, other).unwrap())
        }
    }

    fn difference(path: &str) -> Arc<ResponseDiff> {
        let difference = Difference {
            place: DifferencePart::Body,
            path: path.into(),
            kind: DifferenceKind::Value,
            production: 1.into(),
            shadow: 2.into(),
        };
        Arc::new(ResponseDiff { differences: vec![difference], body_unknown: None })
    }

    #[test]
    fn a_pair_that_came_twice_is_known_and_none_that_differs_from_it() {
        let (known, found) = (KnownPairs::default(), difference("line 1"));
        let heads = ["A: 1", "A: 2"].map(|line| Head::new(format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n").into_bytes()));
        let [one, other] = [response(&heads[0], b"a"), response(&heads[1], b"b")];
        let pair = known.pair(&one, &other);
        known.learn(&pair, &found);
        assert!(known.get(&pair).is_none(), "it came once");
        known.learn(&pair, &found);
        assert_eq!(known.get(&pair).as_deref(), Some(&*found));
        let others = [
            (one, ComparedResponse { status: 201, ..other }),
            (one, ComparedResponse { head: Some(&heads[0]), ..other }),
            (one, ComparedResponse { body: Some(b"c"), ..other }),
            (one, ComparedResponse { authorities: [b"", b"shop", b""], ..other }),
            (other, one),
        ];
        for (one, other) in &others {
            let other = known.pair(one, other);
            assert!(known.get(&other).is_none(), "{other:?}");
            let alike = HashedPair { hash: pair.hash, ..other };
            assert!(known.get(&alike).is_none(), "{alike:?}");
        }
        let method = known.hashed(ResponsePair::new(b"GE", &one, &other).unwrap());
        assert!(known.get(&method).is_none());
    }

    #[test]
    fn what_is_not_here_as_a_whole_or_plainly_equal_is_no_pair() {
        let head = Head::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
        let one = response(&head, b"a");
        for other in [
            one,
            ComparedResponse { body: None, ..one },
            ComparedResponse { head: None, ..one },
            ComparedResponse { body_len: 2, ..response(&head, b"b") },
        ] {
            assert!(ResponsePair::new(b"GET", &one, &other).is_none(), "{other:?}");
        }
        let empty = ComparedResponse { body: None, body_len: 0, ..one };
        assert!(ResponsePair::new(b"GET", &one, &empty).is_some());
        let long = vec![b'a'; MAX_PAIR];
        assert!(ResponsePair::new(b"GET", &one, &response(&head, &long)).is_none());
    }

    #[test]
    fn bodies_that_could_not_be_compared_are_tried_again() {
        let known = KnownPairs::default();
        let found = Arc::new(ResponseDiff { body_unknown: Some(Unknown::Memory), ..ResponseDiff::default() });
        let head = Head::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
        let [one, other] = [response(&head, b"a"), response(&head, b"b")];
        let pair = known.pair(&one, &other);
        (0..3).for_each(|_| known.learn(&pair, &found));
        assert!(known.get(&pair).is_none());
    }

    #[test]
    fn the_oldest_make_room() {
        let known = KnownPairs::default();
        let head = Head::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
        let one = response(&head, b"a");
        for n in 0..200 {
            let body = format!("{n:050000}");
            let other = response(&head, body.as_bytes());
            let pair = known.pair(&one, &other);
            (0..2).for_each(|_| known.learn(&pair, &difference(&body)));
            assert!(known.get(&pair).is_some());
        }
        let known = known.known();
        assert!(known.bytes <= MAX_BYTES && (30..100).contains(&known.pairs.len()), "{}", known.pairs.len());
    }
}

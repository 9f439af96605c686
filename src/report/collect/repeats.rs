//! Production's previous responses to repeated requests: two responses to the same request show which fields are not
//! steady.
//!
//! Responses come in by the [`RepeatKey`] of their request; the previous one comes out. The number of remembered
//! responses is bounded: those that were remembered longest ago make room.

use std::num::NonZeroUsize;

use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::inputs::{Production, RepeatKey};
use crate::exchange::HeaderLines;
use crate::replay::RetainedResponse;

/// Requests whose response is remembered.
const MAX_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");
/// Bytes of their heads and bodies.
const MAX_BYTES: usize = 8 << 20;

/// The latest responses.
#[derive(Debug)]
pub(crate) struct RepeatTracker {
    answers: LruCache<RepeatKey, Production, foldhash::fast::RandomState>,
    bytes: usize,
}

impl Default for RepeatTracker {
    fn default() -> Self {
        Self { answers: LruCache::with_hasher(MAX_REMEMBERED, foldhash::fast::RandomState::default()), bytes: 0 }
    }
}

impl RepeatTracker {
    /// Returns the previous response.
    pub(crate) fn before(&self, key: RepeatKey) -> Option<&Production> {
        self.answers.peek(&key)
    }

    /// Remembers a response in place of the previous one.
    pub(crate) fn remember(&mut self, key: RepeatKey, mut answer: Production) {
        if let Some(kept) = &mut answer.kept {
            // It is counted here from now on.
            kept.held = None;
        }
        self.bytes += weight(&answer);
        // What it takes the place of, or the oldest, which makes room.
        if let Some((_, gone)) = self.answers.push(key, answer) {
            self.bytes -= weight(&gone);
        }
        while self.bytes > MAX_BYTES
            && let Some((_, oldest)) = self.answers.pop_lru()
        {
            self.bytes -= weight(&oldest);
        }
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

fn weight(answer: &Production) -> usize {
    answer.kept.as_ref().map_or(0, |kept| kept.head.as_bytes().len() + kept.body.as_ref().map_or(0, bytes::Bytes::len))
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
            repeats.remember(RepeatKey(1), production(status));
            repeats.remember(RepeatKey(2), production(404));
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

    #[test]
    fn the_oldest_make_room_by_number_and_by_bytes() {
        let mut repeats = RepeatTracker::default();
        for n in 0..2 * MAX_REMEMBERED.get() as u64 {
            repeats.remember(RepeatKey(n), production(200));
        }
        assert_eq!(repeats.answers.len(), MAX_REMEMBERED.get());
        let mut large = production(200);
        large.kept = Some(Box::new(RetainedResponse::new(Head::default(), Some(vec![0; 1 << 20].into()))));
        for n in 0..20 {
            repeats.remember(RepeatKey(n), large.clone());
        }
        assert!(repeats.bytes <= MAX_BYTES && repeats.answers.len() <= 8, "{}", repeats.answers.len());
        assert!(repeats.before(RepeatKey(19)).is_some());
    }
}

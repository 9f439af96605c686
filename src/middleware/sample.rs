//! A share of the requests passes, and what belongs together passes together.
//!
//! In goes a request, out comes the same request or `SampledOut`. The choice is a function of seed, kind and key
//! alone: no state, no chance. So several capture nodes with one seed agree on keys that all of them see, and what is in at
//! 10 % is in at 50 %. A request by itself is told by its id, which is that of one capture: another one counts otherwise.

use std::collections::HashSet;
use std::str::FromStr;

use super::context::HeadFields;
use super::key::{KeyHash, KeyHasher, SeededHasher};
use super::{Context, DynamicShare, Filter, SampleKey, Share};
use crate::exchange::{Outcome, Request};

/// Most distinct keys that are counted, 8 bytes each, twice that where a share that rises lets all of them in. Past it
/// the share of keys is no longer known, and the sample continues.
pub(crate) const MAX_COUNTED_KEYS: usize = 1 << 20;

/// Requests of one key, and of none other, from which on this is worth a word.
const MANY_OF_ONE_KEY: u64 = 100;

/// Treatment of a request without the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// It is sampled by itself.
    #[default]
    Request,
    /// It is in.
    In,
    /// It is out.
    Out,
}

impl FromStr for MissingKey {
    type Err = MissingKeyError;

    fn from_str(typed: &str) -> Result<Self, MissingKeyError> {
        match typed {
            "request" => Ok(Self::Request),
            "in" => Ok(Self::In),
            "out" => Ok(Self::Out),
            _ => Err(MissingKeyError { typed: typed.to_owned() }),
        }
    }
}

/// Error for an unknown treatment of requests without the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` does not say what becomes of requests without the key; write request (each by itself), in or out")]
pub struct MissingKeyError {
    /// Text as typed.
    pub typed: String,
}

/// Counts of a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleCounts {
    /// Requests that were looked at.
    pub requests: u64,
    /// Requests of these that are in the sample.
    pub requests_in: u64,
    /// Requests of these that had the key; none when sampling by request.
    pub with_key: u64,
    /// Bytes of the requests that were looked at.
    pub bytes: u64,
    /// Bytes of those that are in.
    pub bytes_in: u64,
    /// The share of distinct keys of which a request is in, from 0 to 1; see [`super::Chain::key_share`].
    pub keys: Option<f64>,
}

/// The link that samples.
#[derive(Clone, Debug)]
pub struct Sampler {
    threshold: u128,
    dial: Option<DynamicShare>,
    missing: MissingKey,
    by_request: SeededHasher,
    by_key: KeyHasher,
    keys: KeyCounts,
    counts: SampleCounts,
}

impl Sampler {
    /// A sampler of this share, by this key.
    #[must_use]
    pub fn new(share: Share, by: SampleKey, seed: u64) -> Self {
        Self {
            threshold: share.threshold(),
            dial: None,
            missing: MissingKey::default(),
            by_request: SeededHasher::new(seed, &SampleKey::Request),
            by_key: KeyHasher::new(by, seed),
            keys: KeyCounts::default(),
            counts: SampleCounts::default(),
        }
    }

    /// The same sampler, with this word on requests that lack the key.
    #[must_use]
    pub(crate) fn with_missing(self, missing: MissingKey) -> Self {
        Self { missing, ..self }
    }

    /// The same sampler, with keys hashed like this.
    #[must_use]
    pub(crate) fn with_hash(self, hash: KeyHash) -> Self {
        Self { by_key: self.by_key.hashed_by(hash), ..self }
    }

    /// The same sampler, of whatever share the dial stands at.
    #[must_use]
    pub(crate) fn turned_by(self, dial: DynamicShare) -> Self {
        Self { dial: Some(dial), ..self }
    }

    /// Returns whether the request is in the sample. One without the key is treated by [`MissingKey`].
    pub fn is_in(&mut self, request: &Request) -> bool {
        self.decide(request, HeadFields::of(&request.head)).0
    }

    /// Returns the result of [`Self::is_in`] without counting the key.
    #[must_use]
    pub(crate) fn would_take(&self, request: &Request) -> bool {
        let hash = self.by_key.hash(request, HeadFields::of(&request.head));
        self.takes(hash, hash.unwrap_or_else(|| self.by_request.hash_id(request.id)))
    }

    /// See [`super::Chain::key_share`].
    #[must_use]
    pub fn key_share(&self) -> Option<f64> {
        self.keys.share()
    }

    /// Returns the key by which it samples.
    #[must_use]
    pub const fn by(&self) -> &SampleKey {
        self.by_key.key()
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn counts(&self) -> SampleCounts {
        SampleCounts { keys: self.key_share(), ..self.counts.clone() }
    }

    /// Returns what to do where all requests have one key, in words for people; `None` where that is not so, where it is
    /// too early to tell, and where all or none are asked for anyway.
    #[must_use]
    pub(super) fn advice(&self) -> Option<String> {
        let SampleCounts { with_key, requests_in, .. } = self.counts;
        let is_share = (1..Share::default().threshold()).contains(&self.threshold());
        let enough = match (requests_in, self.by()) {
            (0, _) => 2,
            // The kernel may have kept the others back.
            (_, SampleKey::Connection) => return None,
            _ => MANY_OF_ONE_KEY,
        };
        if self.keys.len() != 1 || !is_share || with_key < enough {
            return None;
        }
        let by = self.by();
        let why =
            if *by == SampleKey::ClientIp { ", as behind a proxy, which has one address for all clients" } else { "" };
        let all = if requests_in == 0 { "none" } else { "all" };
        Some(format!(
            "{with_key} requests have one key ({by}{why}), of which a sample takes all or none (here {all}): sample by what \
             differs (--sample-by header:X-Forwarded-For or cookie:NAME), or each request by itself (no --sample-by)"
        ))
    }

    /// Returns the number of hashes that are in.
    fn threshold(&self) -> u128 {
        self.dial.as_ref().map_or(self.threshold, |dial| dial.share().threshold())
    }

    /// Returns whether the request is in the sample, and its rank: the lowest ranks are in.
    fn decide(&mut self, request: &Request, captured: HeadFields<'_>) -> (bool, u64) {
        let hash = self.by_key.hash(request, captured);
        let place = hash.unwrap_or_else(|| self.by_request.hash_id(request.id));
        let is_in = self.takes(hash, place);
        if let Some(hash) = hash {
            self.keys.count(hash, is_in);
            self.counts.with_key += 1;
        }
        let bytes = request.bytes();
        self.counts.requests += 1;
        self.counts.bytes += bytes;
        if is_in {
            self.counts.requests_in += 1;
            self.counts.bytes_in += bytes;
        }
        (is_in, place)
    }

    /// Returns whether a request is in the sample, by the hash of its key, if it has one, and its rank.
    fn takes(&self, hash: Option<u64>, place: u64) -> bool {
        match (hash, self.by_key.key(), self.missing) {
            (Some(_), ..) | (_, SampleKey::Request, _) | (.., MissingKey::Request) => {
                u128::from(place) < self.threshold()
            }
            (.., MissingKey::In) => true,
            (.., MissingKey::Out) => false,
        }
    }
}

impl Filter for Sampler {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let with_key = self.counts.with_key;
        let (is_in, place) = self.decide(request, context.captured(request));
        context.place = Some(place);
        if with_key < MANY_OF_ONE_KEY && self.counts.with_key == MANY_OF_ONE_KEY {
            self.advice().into_iter().for_each(|words| context.notice(words));
        }
        if is_in { Ok(()) } else { Err(Outcome::SampledOut) }
    }

    fn sampler(&self) -> Option<&Sampler> {
        Some(self)
    }
}

/// The distinct keys so far. A key counts as in once any of its requests was: the share may change on the way.
///
/// Invariant: no hash is in both sets; past the limit both stay empty for good.
#[derive(Clone, Debug, Default)]
struct KeyCounts {
    inside: KeySet,
    outside: KeySet,
    overflown: bool,
}

type KeySet = HashSet<u64, foldhash::fast::RandomState>;

impl KeyCounts {
    fn count(&mut self, hash: u64, is_in: bool) {
        if self.overflown || self.inside.contains(&hash) {
            return;
        }
        let is_known = if is_in { self.outside.remove(&hash) } else { self.outside.contains(&hash) };
        if !is_known && self.len() == MAX_COUNTED_KEYS {
            *self = Self { overflown: true, ..Self::default() };
            return;
        }
        let set = if is_in { &mut self.inside } else { &mut self.outside };
        set.insert(hash);
    }

    fn len(&self) -> usize {
        self.inside.len() + self.outside.len()
    }

    fn share(&self) -> Option<f64> {
        (self.len() > 0).then(|| self.inside.len() as f64 / self.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    const MANY: u64 = 100_000;

    fn sampler(share: &str, by: &str, seed: u64) -> Sampler {
        Sampler::new(share.parse().unwrap(), by.parse().unwrap(), seed)
    }

    fn user(id: u64) -> Request {
        request(id, &format!("GET /?u=p{id}&v HTTP/1.1\r\nX-User: h{id}\r\nCookie: x=1; sid=c{id}\r\n\r\n"))
    }

    fn chosen(sampler: &mut Sampler) -> Vec<bool> {
        (0..MANY).map(|id| sampler.is_in(&user(id))).collect()
    }

    fn share_of(chosen: &[bool]) -> f64 {
        chosen.iter().filter(|is_in| **is_in).count() as f64 / chosen.len() as f64
    }

    #[test]
    fn shares_are_met_and_nested_over_a_hundred_thousand_keys() {
        for by in ["request", "connection", "header:X-User", "cookie:sid", "param:u"] {
            let mut smaller = vec![false; usize::try_from(MANY).unwrap()];
            for share in ["1%", "10%", "50%", "90%"] {
                let asked = share.parse::<Share>().unwrap().0;
                let chosen = chosen(&mut sampler(share, by, 0));
                assert!((share_of(&chosen) - asked).abs() < 0.005, "{by} {share}: {}", share_of(&chosen));
                assert!(smaller.iter().zip(&chosen).all(|(small, large)| !small || *large), "{by} {share}");
                smaller = chosen;
            }
        }
    }

    #[test]
    fn all_and_none_are_exact() {
        assert!(chosen(&mut sampler("100%", "request", 7)).iter().all(|is_in| *is_in));
        assert!(!chosen(&mut sampler("0%", "request", 7)).iter().any(|is_in| *is_in));
        assert_eq!(Share(1.0).threshold(), 1 << 64);
        assert_eq!(Share(0.5).threshold(), 1 << 63);
        assert_eq!(Share(0.0).threshold(), 0);
    }

    #[test]
    fn two_samplers_agree_on_one_seed_and_differ_on_another() {
        let one = chosen(&mut sampler("50%", "header:x-user", 1));
        assert_eq!(one, chosen(&mut sampler("50%", "header:X-USER", 1)));
        let other = chosen(&mut sampler("50%", "header:x-user", 2));
        let same = one.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / MANY as f64;
        assert!((same - 0.5).abs() < 0.01, "{same}");
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        // Nodes of different versions must agree: a change here is a breaking one.
        let first: Vec<u64> = (0..40).filter(|id| sampler("25%", "cookie:sid", 0).is_in(&user(*id))).collect();
        assert_eq!(first, [1, 7, 10, 14, 20, 21, 30, 31]);
    }

    #[test]
    fn a_key_is_in_or_out_as_a_whole() {
        for by in ["connection", "client-ip", "header:X-User", "cookie:sid", "param:u"] {
            let mut sampler = sampler("50%", by, 0);
            for id in 0..200 {
                let first = sampler.is_in(&user(id));
                for index in 2..10 {
                    let mut next = user(id);
                    next.id.index = index;
                    assert_eq!(sampler.is_in(&next), first, "{by} {id}.{index}");
                }
            }
        }
    }

    #[test]
    fn a_request_without_the_key_is_sampled_by_itself() {
        for (by, head) in [
            ("header:X-User", "GET / HTTP/1.1\r\nX-User:\r\n\r\n"),
            ("cookie:sid", "GET / HTTP/1.1\r\nCookie: SID=1; sid=\r\n\r\n"),
            ("param:u", "GET /u=1?uu=2&u HTTP/1.1\r\n\r\n"),
        ] {
            let (mut by_key, mut by_request) = (sampler("50%", by, 3), sampler("50%", "request", 3));
            for id in 0..100 {
                let request = request(id, head);
                assert_eq!(by_key.is_in(&request), by_request.is_in(&request), "{by} {id}");
            }
            assert_eq!(by_key.key_share(), None, "{by}");
        }
    }

    #[test]
    fn the_share_of_keys_counts_each_key_once() {
        let mut sampler = sampler("50%", "connection", 0);
        let mut inside = 0;
        for id in 0..500_u32 {
            let is_in = (0..3).map(|_| sampler.is_in(&user(id.into()))).fold(false, |any, is_in| any | is_in);
            inside += u32::from(is_in);
        }
        assert_eq!(sampler.key_share(), Some(f64::from(inside) / 500.0));
    }

    #[test]
    fn a_key_that_a_change_of_the_share_lets_in_counts_as_in() {
        let dial = DynamicShare::new(Share(0.1));
        let mut sampler = sampler("100%", "connection", 0).turned_by(dial.clone());
        let pass = |sampler: &mut Sampler| (0..40).filter(|id| sampler.is_in(&user(*id))).count();
        let few = pass(&mut sampler);
        assert!((1..20).contains(&few), "{few}");
        assert_eq!(sampler.key_share(), Some(few as f64 / 40.0));
        dial.set(Share(1.0));
        assert_eq!(pass(&mut sampler), 40);
        assert_eq!(sampler.key_share(), Some(1.0), "a request of each key was in");
        dial.set(Share(0.1));
        assert_eq!(pass(&mut sampler), few);
        assert_eq!(sampler.key_share(), Some(1.0), "what was in stays counted");
    }

    #[test]
    fn past_the_limit_the_share_of_keys_is_unknown() {
        let mut keys = KeyCounts::default();
        (0..MAX_COUNTED_KEYS as u64).for_each(|hash| keys.count(hash, hash % 2 == 0));
        assert_eq!(keys.share(), Some(0.5));
        keys.count(3, false);
        assert_eq!(keys.share(), Some(0.5));
        keys.count(3, true);
        assert_eq!(keys.share(), Some(0.5 + 1.0 / MAX_COUNTED_KEYS as f64), "a known key needs no room");
        keys.count(u64::MAX, true);
        assert_eq!(keys.share(), None);
        keys.count(1, true);
        assert_eq!(keys.share(), None);
    }

    #[test]
    fn shares_are_typed_in_percent() {
        for (typed, share) in
            [("50%", 0.5), ("0.5%", 0.005), ("0.01%", 0.0001), ("100%", 1.0), ("0%", 0.0), (" 7.25 % ", 0.0725)]
        {
            assert_eq!(typed.parse(), Ok(Share(share)), "{typed}");
        }
        for (typed, reason) in [
            ("150%", "`150%`: a share lies between 0% and 100%"),
            ("-1%", "a share lies between 0% and 100%"),
            ("0.5", "`0.5` has no percent sign; write 50% for a half"),
            ("", "has no percent sign"),
            ("half%", "is not a share"),
            ("1e1%", "is not a share"),
            ("NaN%", "is not a share"),
            ("%", "is not a share"),
        ] {
            let error = typed.parse::<Share>().unwrap_err().to_string();
            assert!(error.contains(reason), "{typed}: {error}");
        }
    }

    #[test]
    fn shares_and_keys_print_as_typed() {
        for typed in ["50%", "0.5%", "0.01%", "100%", "0%", "7%", "33.33%", "29%"] {
            assert_eq!(typed.parse::<Share>().unwrap().to_string(), typed);
        }
        for typed in ["request", "connection", "client-ip", "header:x-user", "cookie:SID", "param:a:b"] {
            assert_eq!(typed.parse::<SampleKey>().unwrap().to_string(), typed);
        }
    }
}

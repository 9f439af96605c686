//! No more than so many requests, or bytes, a second: one token bucket, or one for each key.
//!
//! In goes a request and when it is due, out comes the same request or `RateLimited`. Time is due time: at ten times
//! the captured speed a limit lets pass what it would at the captured one, second for second of sending.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use super::context::HeadFields;
use super::key::KeyHasher;
use super::{Context, DynamicShare, Filter, SampleKey};
use crate::exchange::{Outcome, Request, Timestamp};
use crate::quantity;

/// Most keys that have a bucket of their own, 48 bytes each. Past it those whose bucket is full again make room; where
/// none is, what has a new key shares one bucket with what has none.
pub(crate) const MAX_BUCKETS: usize = 1 << 16;
/// Default duration of a burst: a second's worth of requests may come at once.
pub(crate) const DEFAULT_BURST: Duration = Duration::from_secs(1);

/// Rate per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(f64);

/// Reason why a typed text is not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` is no limit; write a number above zero and a unit of time, such as 500/s, 30/m or, of bytes, 10M/s")]
pub struct LimitError {
    /// Text as typed.
    pub typed: String,
}

/// `500/s`, `0.5/s`, `30/m`, `1000/h`; with K, M or G (powers of 1024) before the slash, `10M/s`.
impl FromStr for PerSecond {
    type Err = LimitError;

    fn from_str(typed: &str) -> Result<Self, LimitError> {
        let error = || LimitError { typed: typed.to_owned() };
        let (number, unit) = typed.split_once('/').ok_or_else(error)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(error()),
        };
        let number = number.trim();
        let is_decimal = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        // Less than one is a rate, too, and no size.
        let value = if is_decimal { number.parse().ok() } else { quantity::size(number).map(|size| size as f64) };
        let rate = value.ok_or_else(error)? / seconds;
        if rate > 0.0 && rate.is_finite() { Ok(Self(rate)) } else { Err(error()) }
    }
}

/// Limits on passing requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitSpec {
    /// Requests.
    pub requests: Option<PerSecond>,
    /// Bytes of heads and bodies.
    pub bytes: Option<PerSecond>,
    /// Size of a burst, as the time in which it would come evenly; at least one request.
    pub burst: Option<Duration>,
    /// Each key has a limit of its own; without it there is one for all.
    pub per: Option<SampleKey>,
}

/// The link that limits.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    requests: Option<RefillRate>,
    bytes: Option<RefillRate>,
    per: Option<KeyHasher>,
    /// Of everything without a key, or without room for it.
    common: TokenBucket,
    buckets: HashMap<u64, TokenBucket, foldhash::fast::RandomState>,
    /// Time of the last eviction of full buckets, which visits every bucket.
    swept: Option<Timestamp>,
    refill: Duration,
    /// The part of it that may pass here, where others let the rest pass.
    share: Option<DynamicShare>,
}

/// Fill rate of a bucket, and its capacity.
#[derive(Clone, Copy, Debug)]
struct RefillRate {
    per_second: f64,
    most: f64,
}

/// Levels of one limit.
///
/// Invariant: neither level is above its bucket's capacity. A level may be below zero, after a request that is larger
/// than a full bucket: it passes when the bucket is full, and is paid for later.
#[derive(Clone, Copy, Debug, Default)]
struct TokenBucket {
    /// `None` before the first request: then it is full.
    at: Option<Timestamp>,
    requests: f64,
    bytes: f64,
}

impl Limiter {
    /// A limiter whose buckets are full.
    #[must_use]
    pub(crate) fn new(limits: &LimitSpec) -> Self {
        let burst = limits.burst.unwrap_or(DEFAULT_BURST).as_secs_f64();
        let flow = |rate: PerSecond| RefillRate { per_second: rate.0, most: (rate.0 * burst).max(1.0) };
        let requests = limits.requests.map(flow);
        let bytes = limits.bytes.map(flow);
        let slowest =
            [requests, bytes].into_iter().flatten().map(|flow| flow.most / flow.per_second).fold(0.0, f64::max);
        Self {
            requests,
            bytes,
            per: limits.per.clone().map(|key| KeyHasher::new(key, 0)),
            common: TokenBucket::default(),
            buckets: HashMap::default(),
            swept: None,
            refill: Duration::try_from_secs_f64(slowest).unwrap_or(Duration::MAX),
            share: None,
        }
    }

    /// The same limit for several runs together, of which this one lets its share pass.
    #[must_use]
    pub(crate) fn shared(self, share: Option<DynamicShare>) -> Self {
        Self { share, ..self }
    }

    /// Returns whether a request that is due at `due` passes; if so, takes its tokens.
    pub(crate) fn passes(&mut self, request: &Request, captured: HeadFields<'_>, due: Timestamp) -> bool {
        let share = self.share.as_ref().map_or(1.0, |share| share.share().0);
        let part =
            |rate: RefillRate| RefillRate { per_second: rate.per_second * share, most: (rate.most * share).max(1.0) };
        let (requests, bytes) = (self.requests.map(part), self.bytes.map(part));
        let bucket = match self.per.as_ref().and_then(|per| per.hash(request, captured)) {
            Some(key) => self.bucket(key, due),
            None => &mut self.common,
        };
        bucket.fill(due, requests, bytes);
        let size = request.bytes() as f64;
        let has =
            |level: f64, flow: Option<RefillRate>, cost: f64| flow.is_none_or(|flow| level >= cost.min(flow.most));
        let passes = has(bucket.requests, requests, 1.0) && has(bucket.bytes, bytes, size);
        if passes {
            bucket.requests -= 1.0;
            bucket.bytes -= size;
        }
        passes
    }

    fn bucket(&mut self, key: u64, due: Timestamp) -> &mut TokenBucket {
        if self.buckets.len() >= MAX_BUCKETS && !self.buckets.contains_key(&key) {
            self.make_room(due);
            if self.buckets.len() >= MAX_BUCKETS {
                return &mut self.common;
            }
        }
        self.buckets.entry(key).or_default()
    }

    /// Forgets the buckets that are full by now: a new one is full as well.
    fn make_room(&mut self, due: Timestamp) {
        if self.swept.is_some_and(|swept| due.since(swept) < self.refill) {
            return;
        }
        self.swept = Some(due);
        let refill = self.refill;
        // A bucket in debt fills later than this; it is kept until then.
        let (requests, bytes) = (self.requests, self.bytes);
        self.buckets.retain(|_, bucket| {
            bucket.fill(due, requests, bytes);
            let full = |level: f64, flow: Option<RefillRate>| flow.is_none_or(|flow| level >= flow.most);
            !(full(bucket.requests, requests) && full(bucket.bytes, bytes)) || refill.is_zero()
        });
    }
}

impl TokenBucket {
    fn fill(&mut self, due: Timestamp, requests: Option<RefillRate>, bytes: Option<RefillRate>) {
        let passed = self.at.map(|at| due.since(at).as_secs_f64());
        let level = |level: f64, flow: Option<RefillRate>| {
            flow.map_or(0.0, |flow| {
                passed.map_or(flow.most, |passed| (level + passed * flow.per_second).min(flow.most))
            })
        };
        self.requests = level(self.requests, requests);
        self.bytes = level(self.bytes, bytes);
        // Captures go back in time now and then; what was given is not given twice.
        self.at = self.at.max(Some(due));
    }
}

impl Filter for Limiter {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let passes = self.passes(request, context.captured(request), context.due);
        if passes { Ok(()) } else { Err(Outcome::RateLimited) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    fn limits(requests: &str) -> LimitSpec {
        LimitSpec { requests: Some(requests.parse().unwrap()), ..LimitSpec::default() }
    }

    /// Returns the number of requests that pass, of those at these milliseconds.
    fn passed(limiter: &mut Limiter, at: impl IntoIterator<Item = u64>) -> usize {
        let request = request(1, "GET / HTTP/1.1\r\nU: a\r\n\r\n");
        let due = |ms: u64| Timestamp::from_nanos(1_000_000_000_000 + ms * 1_000_000);
        at.into_iter().filter(|ms| limiter.passes(&request, HeadFields::of(&request.head), due(*ms))).count()
    }

    #[test]
    fn of_a_limit_for_several_runs_each_lets_its_share_pass() {
        let share = DynamicShare::default();
        let mut limiter = Limiter::new(&limits("40/s")).shared(Some(share.clone()));
        share.set(crate::middleware::Share(0.25));
        assert_eq!(passed(&mut limiter, [0; 50]), 10);
        assert_eq!(passed(&mut limiter, (100..10_100).step_by(10)), 100);
        share.set(crate::middleware::Share(0.5));
        assert_eq!(passed(&mut limiter, (10_100..20_100).step_by(10)), 200);
    }

    #[test]
    fn a_burst_passes_and_then_what_flows_in() {
        let mut limiter = Limiter::new(&limits("10/s"));
        assert_eq!(passed(&mut limiter, [0; 25]), 10);
        assert_eq!(passed(&mut limiter, [500; 25]), 5);
        assert_eq!(passed(&mut limiter, [100_000; 25]), 10);
        assert_eq!(passed(&mut Limiter::new(&limits("10/s")), (0..10_000).step_by(10)), 109);
    }

    #[test]
    fn a_burst_is_as_long_as_it_is_said_and_holds_a_request_at_least() {
        let burst = |ms| LimitSpec { burst: Some(Duration::from_millis(ms)), ..limits("10/s") };
        assert_eq!(passed(&mut Limiter::new(&burst(5_000)), [0; 100]), 50);
        assert_eq!(passed(&mut Limiter::new(&burst(1)), [0; 100]), 1);
        assert_eq!(passed(&mut Limiter::new(&limits("30/m")), [0; 100]), 1);
    }

    #[test]
    fn time_that_goes_back_gives_nothing_twice() {
        let mut limiter = Limiter::new(&limits("10/s"));
        assert_eq!(passed(&mut limiter, [1000; 25]), 10);
        assert_eq!(passed(&mut limiter, [0; 25]), 0);
        assert_eq!(passed(&mut limiter, [1100; 25]), 1);
    }

    #[test]
    fn bytes_are_paid_for_and_what_is_larger_than_a_bucket_passes_when_that_is_full() {
        let bytes = LimitSpec { bytes: Some("10/s".parse().unwrap()), ..LimitSpec::default() };
        // The request has 24 bytes: it takes 2.4 s to pay.
        let mut limiter = Limiter::new(&bytes);
        assert_eq!(passed(&mut limiter, [0, 0, 2_300, 2_400, 2_500]), 2);
    }

    #[test]
    fn each_key_has_a_limit_of_its_own() {
        let per = LimitSpec { per: Some(SampleKey::Header("u".into())), ..limits("1/s") };
        let mut limiter = Limiter::new(&per);
        let mut pass = |head: &str| {
            let request = request(1, &format!("GET / HTTP/1.1\r\n{head}\r\n"));
            limiter.passes(&request, HeadFields::of(&request.head), Timestamp::from_nanos(5))
        };
        assert!(pass("U: a\r\n") && pass("U: b\r\n") && pass(""));
        assert!(!pass("U: a\r\n") && !pass("U: b\r\n") && !pass(""));
    }

    #[test]
    fn past_the_bound_new_keys_share_a_bucket_until_others_are_full_again() {
        let per = LimitSpec { per: Some(SampleKey::Connection), ..limits("1/s") };
        let mut limiter = Limiter::new(&per);
        let mut pass = |connection: usize, second: u64| {
            let request = request(connection as u64, "GET / HTTP/1.1\r\n\r\n");
            limiter.passes(&request, HeadFields::of(&request.head), Timestamp::from_nanos(second * 1_000_000_000))
        };
        assert!((0..MAX_BUCKETS).all(|connection| pass(connection, 10)));
        assert!(pass(MAX_BUCKETS, 10) && !pass(MAX_BUCKETS + 1, 10));
        assert!(pass(MAX_BUCKETS, 12) && pass(MAX_BUCKETS + 1, 12));
        assert!(limiter.buckets.len() < 10);
    }

    #[test]
    fn limits_are_numbers_of_things_in_a_time() {
        for (typed, rate) in [("500/s", 500.0), ("30/m", 0.5), ("1.5/s", 1.5), ("10M/s", 10_485_760.0), ("36/h", 0.01)]
        {
            assert_eq!(typed.parse(), Ok(PerSecond(rate)), "{typed}");
        }
        for typed in ["", "500", "0/s", "-1/s", "1/d", "x/s", "1e3/s", "inf/s"] {
            assert!(typed.parse::<PerSecond>().unwrap_err().to_string().contains("such as 500/s"), "{typed}");
        }
    }
}

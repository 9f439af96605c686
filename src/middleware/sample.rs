//! A share of the requests passes, and what belongs together passes together.
//!
//! In goes a request, out comes the same request or `SampledOut`. The choice is a function of seed, kind and key
//! alone: no state, no chance. So several capture nodes with one seed agree, and what is in at 10 % is in at 50 %.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::Xxh3;

use super::rewrite::cookies;
use super::{Link, pair};
use crate::exchange::{ExchangeId, Outcome, Request};

/// Most distinct keys that are counted, 8 bytes each; past it the share of keys is no longer known, and the sample goes on.
pub const MAX_COUNTED_KEYS: usize = 1 << 20;

/// A share from 0 to 1, exact to 0.01 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl Default for Share {
    /// All of it.
    fn default() -> Self {
        Self(1.0)
    }
}

impl Share {
    /// How many of the 2^64 hashes are in. Multiplying by a power of two is exact, and the rounding is monotonic:
    /// the hashes of a smaller share are among those of a larger one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 saturates, and a share is never negative: the product lies in 0..=2^64"
    )]
    fn threshold(self) -> u128 {
        (self.0.clamp(0.0, 1.0) * 2.0_f64.powi(64)) as u128
    }
}

/// Why something typed is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// There is no percent sign, so a half could be meant as well as half a percent.
    #[error("`{typed}` has no percent sign; write 50% for a half, 0.5% for one in two hundred")]
    NoPercent {
        /// What was typed.
        typed: String,
    },
    /// What stands before the percent sign is no decimal number.
    #[error("`{typed}` is not a share; write a decimal number and a percent sign, such as 50% or 0.5%")]
    NotANumber {
        /// What was typed.
        typed: String,
    },
    /// It is less than nothing, or more than all.
    #[error("`{typed}`: a share lies between 0% and 100%")]
    OutOfRange {
        /// What was typed.
        typed: String,
    },
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(typed: &str) -> Result<Self, ShareError> {
        let own = || typed.to_owned();
        let number = typed.trim().strip_suffix('%').ok_or_else(|| ShareError::NoPercent { typed: own() })?.trim_end();
        let decimal = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        let percent: f64 =
            number.parse().ok().filter(|_| decimal).ok_or_else(|| ShareError::NotANumber { typed: own() })?;
        if (0.0..=100.0).contains(&percent) {
            Ok(Self(percent / 100.0))
        } else {
            Err(ShareError::OutOfRange { typed: own() })
        }
    }
}

/// As typed: `50%`, `0.5%`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Eight decimals hide what binary fractions cannot say.
        let text = format!("{:.8}", self.0 * 100.0);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// What is sampled as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SampleKey {
    /// Each request by itself.
    #[default]
    Request,
    /// All requests of a connection.
    Connection,
    /// All requests of a client address.
    ClientIp,
    /// All requests with the same value of this header (the first line of that name; names without case).
    Header(String),
    /// All requests with the same value of this cookie (names with case).
    Cookie(String),
    /// All requests with the same value of this query parameter (name and value as on the wire, not decoded).
    Param(String),
}

/// Why something typed is no sample key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleKeyError {
    /// No such kind.
    #[error("`{typed}` is no sample key; write one of {SAMPLE_KEYS}")]
    Unknown {
        /// What was typed.
        typed: String,
    },
    /// A kind that needs a name has none, or one that it cannot have.
    #[error("`{typed}` needs a name after the colon, such as `{example}`")]
    Name {
        /// What was typed.
        typed: String,
        /// How it could look.
        example: &'static str,
    },
}

const SAMPLE_KEYS: &str = "request, connection, client-ip, header:NAME, cookie:NAME, param:NAME";

impl FromStr for SampleKey {
    type Err = SampleKeyError;

    fn from_str(typed: &str) -> Result<Self, SampleKeyError> {
        let (kind, name) = typed.split_once(':').unwrap_or((typed, ""));
        let named = |fits: bool, example, key: fn(String) -> Self| {
            if fits { Ok(key(name.to_owned())) } else { Err(SampleKeyError::Name { typed: typed.to_owned(), example }) }
        };
        match (kind, typed) {
            (_, "request") => Ok(Self::Request),
            (_, "connection") => Ok(Self::Connection),
            (_, "client-ip") => Ok(Self::ClientIp),
            ("header", _) => named(pair::is_token(name), "header:X-User-Id", Self::Header),
            ("cookie", _) => named(pair::is_token(name), "cookie:session", Self::Cookie),
            ("param", _) => named(!name.is_empty(), "param:user", Self::Param),
            _ => Err(SampleKeyError::Unknown { typed: typed.to_owned() }),
        }
    }
}

/// As typed; header names in lower case, since they have none.
impl fmt::Display for SampleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("request"),
            Self::Connection => f.write_str("connection"),
            Self::ClientIp => f.write_str("client-ip"),
            Self::Header(name) => write!(f, "header:{}", name.to_ascii_lowercase()),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Param(name) => write!(f, "param:{name}"),
        }
    }
}

/// The link that samples.
#[derive(Clone, Debug)]
pub struct Sampler {
    threshold: u128,
    by: SampleKey,
    by_request: Hasher,
    by_key: Hasher,
    keys: Keys,
}

impl Sampler {
    /// A sampler of this share, by this key.
    #[must_use]
    pub fn new(share: Share, by: SampleKey, seed: u64) -> Self {
        Self {
            threshold: share.threshold(),
            by_request: Hasher::new(seed, &SampleKey::Request),
            by_key: Hasher::new(seed, &by),
            by,
            keys: Keys::default(),
        }
    }

    /// Whether the request is in. One without the key is sampled by itself.
    pub fn is_in(&mut self, request: &Request) -> bool {
        let Some(hash) = self.key_hash(request) else {
            return self.has(self.by_request.hash(&id_bytes(request.id, true)));
        };
        let is_in = self.has(hash);
        self.keys.count(hash, is_in);
        is_in
    }

    /// What [`Self::is_in`] says, without counting the key.
    #[must_use]
    pub fn would_take(&self, request: &Request) -> bool {
        self.has(self.key_hash(request).unwrap_or_else(|| self.by_request.hash(&id_bytes(request.id, true))))
    }

    /// See [`super::Chain::key_share`].
    #[must_use]
    pub fn key_share(&self) -> Option<f64> {
        self.keys.share()
    }

    fn has(&self, hash: u64) -> bool {
        u128::from(hash) < self.threshold
    }

    /// The hash of the request's key; `None` where it has none, or is sampled by itself anyway.
    fn key_hash(&self, request: &Request) -> Option<u64> {
        let hasher = &self.by_key;
        match &self.by {
            SampleKey::Request => None,
            SampleKey::Connection => Some(hasher.hash(&id_bytes(request.id, false))),
            SampleKey::ClientIp => Some(match request.client.ip().to_canonical() {
                std::net::IpAddr::V4(ip) => hasher.hash(&ip.octets()),
                std::net::IpAddr::V6(ip) => hasher.hash(&ip.octets()),
            }),
            SampleKey::Header(name) => present(request.head.get(name)).map(|value| hasher.hash(value)),
            SampleKey::Cookie(name) => present(cookie(request, name)).map(|value| hasher.hash(value)),
            SampleKey::Param(name) => present(param(request.path_and_query(), name)).map(|value| hasher.hash(value)),
        }
    }
}

impl Link for Sampler {
    fn apply(&mut self, request: &mut Request) -> Result<(), Outcome> {
        if self.is_in(request) { Ok(()) } else { Err(Outcome::SampledOut) }
    }
}

/// XXH3-64 over seed, kind and key. The kind is part of it so that two kinds with equal keys choose apart.
#[derive(Clone, Debug)]
struct Hasher {
    prefix: Vec<u8>,
}

impl Hasher {
    fn new(seed: u64, kind: &SampleKey) -> Self {
        let mut prefix = seed.to_le_bytes().to_vec();
        prefix.extend_from_slice(kind.to_string().as_bytes());
        // No kind has a zero byte in it: kind and key cannot run into each other.
        prefix.push(0);
        Self { prefix }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut state = Xxh3::new();
        state.update(&self.prefix);
        state.update(key);
        state.digest()
    }
}

/// The distinct keys so far.
///
/// Invariant: `inside` of the hashes in `seen` are in the sample; past the limit both stop for good.
#[derive(Clone, Debug, Default)]
struct Keys {
    seen: HashSet<u64, foldhash::fast::RandomState>,
    inside: usize,
    overflown: bool,
}

impl Keys {
    fn count(&mut self, hash: u64, is_in: bool) {
        if self.overflown {
            return;
        }
        if self.seen.len() == MAX_COUNTED_KEYS && !self.seen.contains(&hash) {
            *self = Self { overflown: true, ..Self::default() };
            return;
        }
        if self.seen.insert(hash) && is_in {
            self.inside += 1;
        }
    }

    fn share(&self) -> Option<f64> {
        (!self.seen.is_empty()).then(|| self.inside as f64 / self.seen.len() as f64)
    }
}

/// Connection, pass and copy, and with `whole` the index on the connection too.
fn id_bytes(id: ExchangeId, whole: bool) -> [u8; 20] {
    let mut bytes = [0; 20];
    let index = if whole { id.index } else { 0 };
    let parts = [id.pass.to_le_bytes(), id.copy.to_le_bytes(), index.to_le_bytes()];
    let all = id.connection.0.to_le_bytes().into_iter().chain(parts.into_iter().flatten());
    for (to, from) in bytes.iter_mut().zip(all) {
        *to = from;
    }
    bytes
}

/// An empty value tells nobody apart: as good as none.
fn present(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| !value.is_empty())
}

fn cookie<'a>(request: &'a Request, name: &'a str) -> Option<&'a [u8]> {
    request
        .head
        .get_all("cookie")
        .flat_map(cookies)
        .find(|(found, _)| *found == name.as_bytes())
        .map(|(_, value)| value)
}

fn param<'a>(path_and_query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let query = path_and_query.get(memchr::memchr(b'?', path_and_query)? + 1..)?;
    query
        .split(|byte| *byte == b'&')
        .find_map(|piece| piece.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")))
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
    fn past_the_limit_the_share_of_keys_is_unknown() {
        let mut keys = Keys::default();
        (0..MAX_COUNTED_KEYS as u64).for_each(|hash| keys.count(hash, hash % 2 == 0));
        assert_eq!(keys.share(), Some(0.5));
        keys.count(3, false);
        assert_eq!(keys.share(), Some(0.5));
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

    #[test]
    fn keys_that_do_not_exist_are_refused_with_those_that_do() {
        for (typed, reason) in [
            ("session", "write one of request, connection"),
            ("request:x", "write one of request, connection"),
            ("header", "such as `header:X-User-Id`"),
            ("header:a b", "such as `header:X-User-Id`"),
            ("cookie:", "such as `cookie:session`"),
            ("param:", "such as `param:user`"),
        ] {
            let error = typed.parse::<SampleKey>().unwrap_err().to_string();
            assert!(error.contains(reason), "{typed}: {error}");
        }
    }
}

//! Keys that group requests: a connection, a client, a header, a cookie, a parameter, a segment of the path.
//!
//! The input is a request and its head as captured. The result is a hash that is the same for the same key on every
//! node and in every version. Nothing is decided here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::context::HeadFields;
use super::{cookies, name_value, query};
use crate::exchange::{ConnectionHash, ExchangeId, Request};

/// Unit that is sampled, or limited, as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SampleKey {
    /// Each request by itself.
    #[default]
    Request,
    /// All requests of a connection. Where its addresses are known, it is told by them and the ports: one that has the same
    /// ones later is in as well.
    Connection,
    /// All requests of a client address.
    ClientIp,
    /// All requests with the same value of this header (the first line of that name; names without case).
    Header(String),
    /// All requests with the same value of this cookie (names with case).
    Cookie(String),
    /// All requests with the same value of this query parameter (name and value as on the wire, not decoded).
    Param(String),
    /// All requests with the same segment of the path at this place, from 1 (as on the wire, not decoded).
    PathSegment(usize),
}

/// Reason why a typed text is not a sample key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleKeyError {
    /// No such kind.
    #[error("`{typed}` is no sample key; write one of {SAMPLE_KEYS}")]
    Unknown {
        /// Text as typed.
        typed: String,
    },
    /// A kind that needs a name or a number has none, or one that it cannot have.
    #[error("`{typed}` needs a name or a number from 1 after the colon, such as `{example}`")]
    Name {
        /// Text as typed.
        typed: String,
        /// Example of a valid key.
        example: &'static str,
    },
}

const SAMPLE_KEYS: &str = "request, connection, client-ip, header:NAME, cookie:NAME, param:NAME, path-segment:N";

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
            ("header", _) => named(name_value::is_token(name), "header:X-User-Id", Self::Header),
            ("cookie", _) => named(name_value::is_token(name), "cookie:session", Self::Cookie),
            ("param", _) => named(!name.is_empty(), "param:user", Self::Param),
            ("path-segment", _) => match name.parse() {
                Ok(at @ 1..) => Ok(Self::PathSegment(at)),
                _ => Err(SampleKeyError::Name { typed: typed.to_owned(), example: "path-segment:2" }),
            },
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
            Self::PathSegment(at) => write!(f, "path-segment:{at}"),
        }
    }
}

/// Hash of a key, from which the sample is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyHash {
    /// XXH3-64 over seed, kind and key: any share, and other sessions with another seed.
    #[default]
    Xxh3,
    /// FNV-1a of 32 bits over the key alone, by whole per cents: the sessions that `GoReplay` chooses.
    Fnv32,
}

/// Error for an unknown hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` is no hash of keys; write xxh3, or fnv32 for the sessions that GoReplay chooses")]
pub struct KeyHashError {
    /// Text as typed.
    pub typed: String,
}

impl FromStr for KeyHash {
    type Err = KeyHashError;

    fn from_str(typed: &str) -> Result<Self, KeyHashError> {
        match typed {
            "xxh3" => Ok(Self::Xxh3),
            "fnv32" => Ok(Self::Fnv32),
            _ => Err(KeyHashError { typed: typed.to_owned() }),
        }
    }
}

/// Returns the rank of a key among all: such that a share of N % takes the keys whose FNV-1a modulo 100 is below N.
fn percent_rank(key: &[u8]) -> u64 {
    let fnv = key.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    // The middle of the hundredth, so that no rounding of the share matters.
    let middle = (u128::from(fnv % 100) * 2 + 1) << 64;
    u64::try_from(middle / 200).unwrap_or(u64::MAX)
}

/// Hashes of one key.
#[derive(Clone, Debug)]
pub(super) struct KeyHasher {
    key: SampleKey,
    hasher: SeededHasher,
    ends: ConnectionHash,
}

impl KeyHasher {
    pub(super) fn new(key: SampleKey, seed: u64) -> Self {
        Self { hasher: SeededHasher::new(seed, &key), ends: ConnectionHash::new(seed), key }
    }

    /// The same, hashed like this.
    pub(super) fn hashed_by(mut self, hash: KeyHash) -> Self {
        self.hasher.hash = hash;
        self
    }

    pub(super) const fn key(&self) -> &SampleKey {
        &self.key
    }

    /// Returns the hash of the request's key, read from its fields as captured; `None` where it has none, or where the
    /// key is the request itself.
    pub(super) fn hash(&self, request: &Request, captured: HeadFields<'_>) -> Option<u64> {
        let hasher = &self.hasher;
        let target = || captured.path_and_query();
        match &self.key {
            SampleKey::Request => None,
            SampleKey::Connection => Some(self.connection(request)),
            SampleKey::ClientIp => Some(match request.client.ip().to_canonical() {
                IpAddr::V4(ip) => hasher.hash(&ip.octets()),
                IpAddr::V6(ip) => hasher.hash(&ip.octets()),
            }),
            SampleKey::Header(name) => present(captured.get(name)).map(|value| hasher.hash(value)),
            SampleKey::Cookie(name) => present(cookie(captured, name)).map(|value| hasher.hash(value)),
            SampleKey::Param(name) => present(param(target(), name)).map(|value| hasher.hash(value)),
            SampleKey::PathSegment(at) => present(segment(target(), *at)).map(|value| hasher.hash(value)),
        }
    }
}

impl KeyHasher {
    /// The hash of a connection: of its ends, where both are known. A capture that samples in the kernel decides by the same
    /// one ([`crate::capture::live::KernelSample`]).
    fn connection(&self, request: &Request) -> u64 {
        let id = request.id;
        let is_known = !request.client.ip().is_unspecified() && !request.server.ip().is_unspecified();
        if !is_known || id.is_made_up() || self.hasher.hash == KeyHash::Fnv32 {
            return self.hasher.hash(&id_bytes(id, false));
        }
        let hash = self.ends.of(request.client, request.server);
        if id.pass == 1 {
            return u64::from(hash) << 32;
        }
        self.hasher.hash(&[hash.to_le_bytes(), id.pass.to_le_bytes()].concat())
    }
}

/// Longest prefix and key that are hashed in one go.
const MAX_SHORT: usize = 128;

/// XXH3-64 over seed, kind and key. The kind is part of it so that two kinds with equal keys choose apart.
#[derive(Clone, Debug)]
pub(super) struct SeededHasher {
    prefix: Vec<u8>,
    hash: KeyHash,
}

impl SeededHasher {
    pub(super) fn new(seed: u64, kind: &SampleKey) -> Self {
        let mut prefix = seed.to_le_bytes().to_vec();
        prefix.extend_from_slice(kind.to_string().as_bytes());
        // No kind has a zero byte in it: kind and key cannot run into each other.
        prefix.push(0);
        Self { prefix, hash: KeyHash::default() }
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        if self.hash == KeyHash::Fnv32 {
            return percent_rank(key);
        }
        let mut short = [0; MAX_SHORT];
        let len = self.prefix.len() + key.len();
        if let Some(whole) = short.get_mut(..len) {
            // The same hash, without setting up a state for more.
            let (prefix, rest) = whole.split_at_mut(self.prefix.len());
            prefix.copy_from_slice(&self.prefix);
            rest.copy_from_slice(key);
            return xxh3_64(whole);
        }
        let mut state = Xxh3::new();
        state.update(&self.prefix);
        state.update(key);
        state.digest()
    }

    /// The hash of one request by itself.
    pub(super) fn hash_id(&self, id: ExchangeId) -> u64 {
        self.hash(&id_bytes(id, true))
    }
}

/// Connection and pass, and with `whole` the index on the connection too. Not the copy: what is decided of a session
/// goes for its copies. Its place stays, empty.
fn id_bytes(id: ExchangeId, whole: bool) -> [u8; 20] {
    let mut bytes = [0; 20];
    if let Some((connection, rest)) = bytes.split_first_chunk_mut()
        && let Some((pass, rest)) = rest.split_first_chunk_mut()
        && let Some(index) = rest.last_chunk_mut()
    {
        *connection = id.connection.0.to_le_bytes();
        *pass = id.pass.to_le_bytes();
        *index = if whole { id.index } else { 0 }.to_le_bytes();
    }
    bytes
}

/// Returns the value unless it is empty: an empty value distinguishes nobody.
fn present(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| !value.is_empty())
}

fn cookie<'a>(fields: HeadFields<'a>, name: &'a str) -> Option<&'a [u8]> {
    let mut cookies = fields.get_all("cookie").flat_map(cookies::cookies);
    cookies.find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

fn param<'a>(path_and_query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    query::query(path_and_query)?
        .split(|byte| *byte == b'&')
        .find_map(|piece| piece.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")))
}

/// `/1/2/3`: the piece before the first slash is empty and has number 0.
fn segment(path_and_query: &[u8], at: usize) -> Option<&[u8]> {
    query::path(path_and_query).split(|byte| *byte == b'/').nth(at)
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    #[test]
    fn keys_that_do_not_exist_are_refused_with_those_that_do() {
        for (typed, reason) in [
            ("session", "write one of request, connection"),
            ("request:x", "write one of request, connection"),
            ("header", "such as `header:X-User-Id`"),
            ("header:a b", "such as `header:X-User-Id`"),
            ("cookie:", "such as `cookie:session`"),
            ("param:", "such as `param:user`"),
            ("path-segment:0", "such as `path-segment:2`"),
            ("path-segment:two", "such as `path-segment:2`"),
        ] {
            let error = typed.parse::<SampleKey>().unwrap_err().to_string();
            assert!(error.contains(reason), "{typed}: {error}");
        }
    }

    #[test]
    fn long_keys_and_short_ones_have_the_hash_of_one_algorithm() {
        let hasher = SeededHasher::new(7, &SampleKey::Connection);
        for len in [0, 1, 50, MAX_SHORT - 20, MAX_SHORT - 19, MAX_SHORT, 1000] {
            let key = vec![b'x'; len];
            assert_eq!(hasher.hash(&key), xxh3_64(&[hasher.prefix.clone(), key].concat()), "{len}");
        }
    }

    #[test]
    fn copies_of_a_session_have_the_hash_of_the_original_and_passes_their_own() {
        let hasher = KeyHasher::new(SampleKey::Connection, 0);
        let hash = |pass, copy| {
            let mut request = request(1, "GET / HTTP/1.1\r\n\r\n");
            request.id = ExchangeId { pass, copy, ..request.id };
            (hasher.hash(&request, HeadFields::of(&request.head)), hasher.hasher.hash_id(request.id))
        };
        assert_eq!(hash(1, 0), hash(1, 3));
        assert_ne!(hash(1, 0).1, hash(2, 0).1);
        assert_ne!(hash(1, 0).0, hash(2, 0).0);
    }

    #[test]
    fn a_segment_is_counted_from_one_and_has_no_query() {
        let hash = |target: &str| {
            let request = request(1, &format!("GET {target} HTTP/1.1\r\n\r\n"));
            KeyHasher::new(SampleKey::PathSegment(2), 0).hash(&request, HeadFields::of(&request.head))
        };
        let channel = hash("/channels/7/now");
        assert!(channel.is_some());
        assert_eq!(hash("/other/7?x=/9"), channel);
        assert_eq!(hash("http://h/channels/7"), channel);
        assert_ne!(hash("/channels/8/now"), channel);
        assert_eq!((hash("/channels"), hash("/channels/"), hash("*")), (None, None, None));
    }
}

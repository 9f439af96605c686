//! What became of every request: the ledger, the join of production and shadow, histograms; then text and JSON.

use std::net::SocketAddr;
use std::time::Duration;

use crate::exchange::{Damage, Digest, ExchangeId, Outcome, Timestamp};
use crate::replay::Delivery;

/// What the stages tell the report, in any order that a run brings about.
#[derive(Debug)]
pub enum Fact {
    /// A request was seen, and ended before any target. Counts as seen.
    Ended {
        /// The request.
        note: Box<RequestNote>,
        /// How it ended.
        outcome: Outcome,
    },
    /// A request was seen and offered to `targets` targets; as many deliveries follow. Counts as seen.
    Offered {
        /// The request.
        note: Box<RequestNote>,
        /// How many targets it was offered to.
        targets: usize,
    },
    /// A delivery ended.
    Delivered(Box<Delivery>),
    /// The production side of an exchange.
    Production {
        /// The request it belongs to.
        of: ExchangeId,
        /// What production answered, or why that is not known.
        production: Result<Production, Damage>,
    },
    /// A production response whose request was not captured.
    Orphan,
}

/// What the report keeps of a request.
#[derive(Clone, Debug)]
pub struct RequestNote {
    /// Its identity.
    pub id: ExchangeId,
    /// When its first byte was captured.
    pub at: Timestamp,
    /// Who sent it.
    pub client: SocketAddr,
    /// Method as captured.
    pub method: Vec<u8>,
    /// Target as captured.
    pub target: Vec<u8>,
    /// Bytes of head and body content.
    pub bytes: u64,
}

/// The production response, as far as it is known.
#[derive(Clone, Debug)]
pub struct Production {
    /// Final status.
    pub status: u16,
    /// Content bytes seen.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty or damaged.
    pub body_sha256: Option<Digest>,
    /// What is missing of it; the status is known all the same.
    pub damage: Option<Damage>,
    /// Last byte of the request to first byte of the final response; zero for an early response.
    pub latency: Duration,
}

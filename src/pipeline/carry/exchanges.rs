//! Exchanges that not everybody has answered yet: what was issued in them so far.

use std::net::IpAddr;

use bytes::Bytes;
use lru::LruCache;

use super::IssuedByRule;
use crate::exchange::ExchangeId;
use crate::middleware::carry::{Issued, ResponsePart};

/// Exchanges that are waited for; past it the earliest is taken for one that nobody answers any more.
pub(super) const MAX_EXCHANGES: usize = 1 << 16;
/// Bytes that the values issued in them may take; past it likewise.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// Bytes that an exchange, or a value, takes besides its own.
pub(super) const ENTRY: usize = 160;

/// What was issued in one exchange so far.
#[derive(Debug, Default)]
pub(super) struct OpenExchange {
    /// By production, and to whom.
    pub(super) production: Option<(IpAddr, IssuedByRule)>,
    /// By the destination, in the head of its response.
    head: Option<IssuedByRule>,
    /// By the destination, in the body.
    body: Option<IssuedByRule>,
}

impl OpenExchange {
    /// What the destination issued in that part, once it is known.
    pub(super) const fn part(&self, part: ResponsePart) -> Option<&IssuedByRule> {
        match part {
            ResponsePart::Head => self.head.as_ref(),
            ResponsePart::Body => self.body.as_ref(),
        }
    }

    /// Takes what the destination issued in that part; false where that was known.
    pub(super) fn answer(&mut self, part: ResponsePart, issued: IssuedByRule) -> bool {
        let known = match part {
            ResponsePart::Head => &mut self.head,
            ResponsePart::Body => &mut self.body,
        };
        let is_new = known.is_none();
        known.get_or_insert(issued);
        is_new
    }

    /// Returns whether nothing more is to come.
    pub(super) const fn is_over(&self) -> bool {
        self.production.is_some() && self.head.is_some() && self.body.is_some()
    }

    fn size(&self) -> usize {
        let production = self.production.as_ref().map(|(_, issued)| issued);
        let all = [production, self.head.as_ref(), self.body.as_ref()].into_iter().flatten();
        ENTRY + all.flat_map(values).map(|(_, value)| ENTRY + value.len()).sum::<usize>()
    }
}

/// The values among what was issued, with their rules.
pub(super) fn values(issued: &IssuedByRule) -> impl Iterator<Item = (usize, &Bytes)> {
    issued.iter().flat_map(|(rule, issued)| {
        issued.iter().filter_map(move |issued| match issued {
            Issued::Value(value) => Some((*rule, value)),
            Issued::Deleted => None,
        })
    })
}

/// The exchanges that are waited for, within a bound.
#[derive(Debug)]
pub(super) struct OpenExchanges {
    open: LruCache<ExchangeId, OpenExchange>,
    bytes: usize,
}

impl OpenExchanges {
    pub(super) fn new() -> Self {
        Self { open: LruCache::unbounded(), bytes: 0 }
    }

    /// The exchange as it is so far; it is not kept any more.
    pub(super) fn take(&mut self, of: ExchangeId) -> OpenExchange {
        let Some(open) = self.open.pop(&of) else { return OpenExchange::default() };
        self.bytes -= open.size();
        open
    }

    /// Keeps an exchange until more of it is known.
    pub(super) fn keep(&mut self, of: ExchangeId, exchange: OpenExchange) {
        self.bytes += exchange.size();
        self.open.push(of, exchange);
    }

    /// The earliest one, where there are more than may be kept: it is kept no longer.
    pub(super) fn drop_first(&mut self) -> Option<(ExchangeId, OpenExchange)> {
        if self.open.len() <= MAX_EXCHANGES && self.bytes <= MAX_BYTES {
            return None;
        }
        let (of, first) = self.open.pop_lru()?;
        self.bytes -= first.size();
        Some((of, first))
    }

    /// Their number, and the bytes that they take.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.open.len(), self.bytes)
    }
}

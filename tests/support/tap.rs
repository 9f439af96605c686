//! Frames through the engine: what it tells is joined into exchanges, and held to the laws of `Event`.

use std::collections::BTreeMap;

use shadowtap::capture::Source;
use shadowtap::decode::{Decoder, Skip};
use shadowtap::exchange::{Close, ConnectionId, Damage, Event, ExchangeId, Request, Response};
use shadowtap::flow::{self, FlowTable};
use shadowtap::http1::{self, BodyPolicies, Http1};

/// A request and what became of its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Box<Request>,
    pub(crate) answer: Option<Result<Box<Response>, Damage>>,
}

/// What a capture held.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// In order of their ids.
    pub(crate) exchanges: BTreeMap<ExchangeId, Exchange>,
    pub(crate) orphans: Vec<Response>,
    /// How each connection ended, in that order.
    pub(crate) closed: Vec<(ConnectionId, Close)>,
    pub(crate) skipped: Vec<Skip>,
    /// What is said of what was skipped.
    pub(crate) advice: Vec<String>,
    pub(crate) flow: flow::FlowStats,
    pub(crate) http1: http1::StreamStats,
    /// The exchanges told of each connection that is open.
    open: BTreeMap<ConnectionId, u32>,
}

/// Runs all of `source` through the engine.
pub(crate) fn run(source: &mut dyn Source, interests: BodyPolicies, ports: &[u16]) -> Seen {
    let (mut decoder, mut flows, mut http1) = (Decoder::new(), FlowTable::new(ports), Http1::new(interests));
    let mut seen = Seen::default();
    while let Some(frame) = source.next() {
        match decoder.decode(&frame) {
            Ok(segment) => {
                let mut place = flows.lookup(&segment);
                flows.guess(&mut place);
                flows.pass_over(&mut place, &segment, |slot, side| http1.passes_over(slot, side));
                flows.take_at(&place, &segment, &mut |chunk| http1.take(chunk, &mut |event| seen.take(event)));
            }
            Err(why) => seen.skipped.push(why),
        }
    }
    flows.finish(&mut |chunk| http1.take(chunk, &mut |event| seen.take(event)));
    assert!(seen.open.is_empty(), "opened and never closed: {:?}", seen.open);
    seen.advice = decoder.advice();
    seen.flow = flows.stats().clone();
    seen.http1 = http1.stats().clone();
    assert_eq!(seen.flow.open, 0, "the table still counts open connections");
    assert_eq!(seen.flow.connections, seen.closed.len() as u64, "connections and their ends");
    seen
}

impl Seen {
    /// Takes one event; every one that breaks a law fails the test.
    fn take(&mut self, event: Event) {
        match event {
            Event::Opened { connection, .. } => {
                let expected = ConnectionId((self.closed.len() + self.open.len()) as u64 + 1);
                assert_eq!(connection, expected, "connections count up from 1");
                assert_eq!(self.open.insert(connection, 0), None, "{connection} was opened twice");
            }
            Event::Request(request) => {
                let id = request.id;
                let told = self.open.get_mut(&id.connection).expect("a request on a connection that is not open");
                *told += 1;
                assert_eq!(id.index, *told, "exchanges count up from 1");
                let before = self.exchanges.insert(id, Exchange { request, answer: None });
                assert!(before.is_none(), "{id} was asked twice");
            }
            Event::Response { of, response } => self.answer(of, Ok(response)),
            Event::Damaged { of, why } => self.answer(of, Err(why)),
            Event::Orphan { connection, response } => {
                assert!(self.open.contains_key(&connection), "an orphan of {connection}, which is not open");
                self.orphans.push(*response);
            }
            Event::Closed { connection, how, .. } => {
                assert!(self.open.remove(&connection).is_some(), "{connection} was closed, and was not open");
                let of_it = |id: &ExchangeId| id.connection == connection;
                let waits = self.exchanges.iter().find(|(id, exchange)| of_it(id) && exchange.answer.is_none());
                assert!(waits.is_none(), "closed before the last word: {waits:?}");
                self.closed.push((connection, how));
            }
        }
    }

    fn answer(&mut self, of: ExchangeId, answer: Result<Box<Response>, Damage>) {
        let exchange = self.exchanges.get_mut(&of).unwrap_or_else(|| panic!("{of} is answered before it was told"));
        assert!(self.open.contains_key(&of.connection), "{of} is answered on a connection that is not open");
        assert!(exchange.answer.is_none(), "{of} has two answers: {:?} and {answer:?}", exchange.answer);
        exchange.answer = Some(answer);
    }
}

//! Production's responses on their way: reported, and recorded where their requests were.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::Pacer;
use super::pause::Stopped;
use crate::exchange::{Damage, Event, ExchangeId, Response, Timestamp};
use crate::middleware::carry::IssuedResponse;
use crate::middleware::carry_set::CarrySet;
use crate::middleware::context::ResponseFilter;
use crate::pipeline::carry::Carry;
use crate::replay::ProductionEnd;
use crate::replay::guard::Observation;
use crate::report::{Production, ReportEvent, TargetSet};

/// Facts about a request, kept until its response comes.
pub(super) struct AwaitingResponse {
    /// Capture time of its last byte.
    pub(super) at: Timestamp,
    pub(super) recorded: bool,
    pub(super) is_head: bool,
    /// Who gets the values that it issues, where such are carried.
    pub(super) issues: Option<IssuedTo>,
    /// The links that are to redact it.
    pub(super) response_filters: Vec<Arc<dyn ResponseFilter>>,
}

/// Who gets the values that a response issues, and where they are known.
pub(super) struct IssuedTo {
    pub(super) client: IpAddr,
    pub(super) rules: CarrySet,
    pub(super) targets: TargetSet,
    pub(super) baseline: bool,
}

impl Pacer {
    pub(super) fn damaged(&mut self, of: ExchangeId, why: Damage) -> Result<(), Stopped> {
        let Some(asked) = self.asked.remove(&of) else {
            self.follow(of, || Event::Damaged { of, why });
            return Ok(());
        };
        if asked.recorded {
            self.record(Event::Damaged { of, why });
        }
        self.issued(of, asked.issues.as_ref(), None);
        if why == Damage::NoResponse {
            self.observed(|| Observation { failed: true, ..Observation::default() });
        }
        self.channels.production_ends.note(of, ProductionEnd::Unknown { due: Instant::now() });
        self.report(ReportEvent::Production { of, production: Err(why.into()) })
    }

    /// A response ended, or is due to be closed then; see [`Pacer::upcoming`].
    pub(super) fn response(
        &mut self,
        of: ExchangeId,
        mut response: Box<Response>,
        due: Option<Instant>,
    ) -> Result<(), Stopped> {
        let Some(asked) = self.asked.remove(&of) else {
            self.follow(of, || Event::Response { of, response });
            return Ok(());
        };
        if !self.channels.dispatchers.is_empty() {
            self.channels.production_ends.note(of, production_end(&response, || self.due_or_now(due)));
        }
        self.issued(of, asked.issues.as_ref(), Some(&response));
        let goes_on = asked.recorded || self.settings.mode.external().is_some();
        let retention = self.settings.retention.as_ref();
        let keep = |response: &mut Response| Some(Box::new(retention?.production(response, goes_on)));
        let production = Production::of(&mut response, asked.at, keep);
        self.observed(|| {
            let (status, service) = (Some(response.status), response.latency(asked.at));
            Observation { failed: response.status >= 500, status, service, ..Observation::default() }
        });
        let is_recordable = self.settings.chains.all.filter_response(&asked.response_filters, &mut response);
        self.notice();
        if !is_recordable {
            if asked.recorded {
                self.record(Event::Damaged { of, why: Damage::Shed });
            }
        } else if self.settings.mode.external().is_some() {
            self.response_outside(of, response, &asked);
        } else if asked.recorded {
            self.record(Event::Response { of, response });
        }
        self.report(ReportEvent::Production { of, production })
    }

    /// Shows a response of production to the conditions of a dashcam, where there are any.
    fn observed(&mut self, sample: impl FnOnce() -> Observation) {
        let Some(watch) = &mut self.settings.save_if else { return };
        if let Some(reason) = watch.take(Instant::now(), sample()) {
            self.settings.control.save(&reason);
        }
    }

    /// Takes note of the values that production issued.
    fn issued(&self, of: ExchangeId, to: Option<&IssuedTo>, response: Option<&Response>) {
        let (Some(carry), Some(to)) = (&self.settings.carry, to) else { return };
        let response = response.map(|response| IssuedResponse::new(&response.head, response.body.content()));
        let destinations = Carry::destinations(to.targets, to.baseline);
        carry.production(of, (to.client, to.rules), destinations, response.as_ref());
    }
}

/// How production's response ended, or was closed when that is `due`.
fn production_end(response: &Response, due: impl FnOnce() -> Instant) -> ProductionEnd {
    match response.damage {
        _ if response.is_open() => ProductionEnd::Open { len: response.body.len, due: due() },
        _ if response.switches_for_the_same_request() => ProductionEnd::Unknown { due: due() },
        None => ProductionEnd::Whole,
        Some(_) => ProductionEnd::Unknown { due: due() },
    }
}

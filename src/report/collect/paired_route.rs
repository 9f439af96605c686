//! Latencies on a route of requests whose latency is known on both sides: what ratios compare.

use std::time::Duration;

use crate::report::schema::histograms::TargetHistograms;
use crate::report::schema::target::PairedLatency;

use super::histogram::micros;
use super::sparse_histogram::SparseHistogram;

/// Latencies of the same requests on both sides.
#[derive(Clone, Debug, Default)]
pub(super) struct PairedRoute {
    production: SparseHistogram,
    service: SparseHistogram,
    response: SparseHistogram,
}

impl PairedRoute {
    /// Does something with each histogram and the duration that belongs there, where both sides are known.
    pub(super) fn each(
        &mut self,
        production: Option<Duration>,
        service: Option<Duration>,
        response: Option<Duration>,
        apply: fn(&mut SparseHistogram, u64),
    ) {
        let (Some(known), Some(response)) = (production, response) else { return };
        apply(&mut self.production, micros(known));
        apply(&mut self.service, micros(service.unwrap_or(response)));
        apply(&mut self.response, micros(response));
    }

    pub(super) fn figures(&self) -> Option<PairedLatency> {
        (self.production.count() > 0).then(|| PairedLatency {
            production: self.production.figures(),
            service: self.service.figures(),
            response: self.response.figures(),
        })
    }

    /// Adds the texts of pairs to those of all, where `production` is that of all.
    pub(super) fn beside(&self, production: &str, all: TargetHistograms) -> TargetHistograms {
        let pairs = [&self.production, &self.service, &self.response].map(SparseHistogram::text);
        all.with_pairs(production, pairs)
    }
}

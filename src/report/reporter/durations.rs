//! The durations behind a run's figures, for whoever adds runs up.

use crate::report::collect::inputs::TargetTotals;
use crate::report::schema::histograms::Histograms;

use super::{BaselineTally, Reporter};

impl Reporter {
    /// Returns the block `histograms`; `ends` are the totals of the targets, and last of the baseline.
    pub(super) fn histograms(&self, ends: &[TargetTotals]) -> Histograms {
        let production = self.production.histogram();
        let none = TargetTotals::default();
        let connect = |at: usize| &ends.get(at).unwrap_or(&none).connect;
        let targets = self.targets.iter().zip(&self.urls).enumerate();
        let targets =
            targets.map(|(at, (tally, url))| (url.clone(), tally.histograms(&production, connect(at)))).collect();
        let of_baseline =
            |baseline: &BaselineTally| baseline.tally.histograms(&production, connect(self.targets.len()));
        Histograms {
            capture_delay: self.capture_delay.text(),
            targets,
            baseline: self.baseline.as_ref().map(of_baseline),
            routes: self.evidence.histograms(&self.urls),
            production,
        }
    }
}

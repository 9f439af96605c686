//! Durations of several runs, merged bucket by bucket: each percentile is that of one run over all of them.

use std::collections::BTreeMap;

use crate::report::collect::histogram::LatencyHistogram;
use crate::report::collect::sparse_histogram::SparseHistogram;
use crate::report::schema::counts::LatencySummary;
use crate::report::schema::curves::{Curves, TargetCurves};
use crate::report::schema::histograms::{Histograms, RouteHistograms, TargetHistograms};
use crate::report::schema::summary::Summary;
use crate::report::schema::target::{PairedLatency, TargetLatency, TargetSummary};

/// A histogram of either kind.
trait Durations: Default {
    fn read(text: &str) -> Option<Self>;
    fn merge(&mut self, more: Self);
    fn text(&self) -> String;
    fn count(&self) -> u64;
    fn figures(&self) -> LatencySummary;

    /// Adds those of a text, of which there have to be as many as `figures` have. Otherwise returns `what` they are.
    fn add(&mut self, what: &str, text: &str, figures: &LatencySummary) -> Result<(), String> {
        let more = Self::read(text).filter(|more| more.count() == figures.count).ok_or_else(|| what.to_owned())?;
        self.merge(more);
        Ok(())
    }
}

impl Durations for LatencyHistogram {
    fn read(text: &str) -> Option<Self> {
        Self::read(text)
    }

    fn merge(&mut self, more: Self) {
        self.merge(more);
    }

    fn text(&self) -> String {
        self.text()
    }

    fn count(&self) -> u64 {
        self.count()
    }

    fn figures(&self) -> LatencySummary {
        self.figures()
    }
}

impl Durations for SparseHistogram {
    fn read(text: &str) -> Option<Self> {
        Self::read(text)
    }

    fn merge(&mut self, more: Self) {
        self.merge(&more);
    }

    fn text(&self) -> String {
        self.text()
    }

    fn count(&self) -> u64 {
        self.count()
    }

    fn figures(&self) -> LatencySummary {
        self.figures()
    }
}

/// The durations behind all figures of the runs so far.
#[derive(Debug, Default)]
pub(super) struct MergedDurations {
    production: LatencyHistogram,
    capture_delay: LatencyHistogram,
    targets: BTreeMap<String, TargetDurations<LatencyHistogram>>,
    baseline: TargetDurations<LatencyHistogram>,
    routes: BTreeMap<String, RouteDurations>,
}

#[derive(Debug, Default)]
struct TargetDurations<H> {
    connect: H,
    service: H,
    response: H,
    lag: H,
    carry_wait: H,
    /// Of requests whose latency is known on both sides: production's, service and response.
    paired: [H; 3],
}

#[derive(Debug, Default)]
struct RouteDurations {
    production: SparseHistogram,
    targets: BTreeMap<String, TargetDurations<SparseHistogram>>,
}

impl MergedDurations {
    /// Adds those of a run.
    ///
    /// # Errors
    ///
    /// Returns whose durations are missing or do not go with the figures of the run, in words.
    pub(super) fn add(&mut self, texts: &Histograms, summary: &Summary) -> Result<(), String> {
        self.production.add("production", &texts.production, &summary.production.latency_us)?;
        let delay = summary.capture_delay_us.clone().unwrap_or_default();
        self.capture_delay.add("the capture's delay", &texts.capture_delay, &delay)?;
        let none = TargetHistograms::default();
        for (url, target) in &summary.targets {
            let of_target = texts.targets.get(url).unwrap_or(&none);
            self.targets.entry(url.clone()).or_default().add_target(url, &texts.production, of_target, target)?;
        }
        if let Some(baseline) = &summary.baseline {
            let of_baseline = texts.baseline.as_ref().unwrap_or(&none);
            self.baseline.add_target("the baseline", &texts.production, of_baseline, &baseline.target)?;
        }
        let nothing = RouteHistograms::default();
        for route in &summary.routes {
            let of_route = texts.routes.get(&route.route).unwrap_or(&nothing);
            let merged = self.routes.entry(route.route.clone()).or_default();
            merged.production.add(&route.route, &of_route.production, &route.production.latency_us)?;
            for (url, target) in &route.targets {
                let of_target = of_route.targets.get(url).unwrap_or(&none);
                let merged = merged.targets.entry(url.clone()).or_default();
                let pairs = target.paired_latency_us.clone().unwrap_or_default();
                merged.add(&route.route, &of_route.production, of_target, (&target.latency_us, &pairs))?;
            }
        }
        Ok(())
    }

    /// Puts the durations of a route among those of another one.
    pub(super) fn fold(&mut self, route: &str, into: &str) {
        let Some(RouteDurations { production, targets }) = self.routes.remove(route) else { return };
        let other = self.routes.entry(into.to_owned()).or_default();
        other.production.merge(&production);
        for (url, durations) in targets {
            other.targets.entry(url).or_default().merge(durations);
        }
    }

    /// Puts every figure into a summary whose counts are added up already, and the durations beside them.
    pub(super) fn fill(&self, summary: &mut Summary) {
        summary.production.latency_us = self.production.figures();
        summary.capture_delay_us = self.capture_delay.some_figures();
        let mut curves = Curves { production: self.production.curve(), ..Curves::default() };
        let mut texts = Histograms {
            production: self.production.text(),
            capture_delay: self.capture_delay.text(),
            ..Histograms::default()
        };
        for (url, target) in &mut summary.targets {
            let Some(durations) = self.targets.get(url) else { continue };
            durations.fill(target);
            let (service, response) = (durations.service.curve(), durations.response.curve());
            curves.targets.insert(url.clone(), TargetCurves { service, response });
            texts.targets.insert(url.clone(), durations.texts(&texts.production));
        }
        if let Some(baseline) = &mut summary.baseline {
            self.baseline.fill(&mut baseline.target);
            texts.baseline = Some(self.baseline.texts(&texts.production));
        }
        for route in &mut summary.routes {
            let Some(durations) = self.routes.get(&route.route) else { continue };
            route.production.latency_us = durations.production.figures();
            let production = durations.production.text();
            let mut of_targets = BTreeMap::new();
            for (url, target) in &mut route.targets {
                let Some(durations) = durations.targets.get(url) else { continue };
                target.latency_us = durations.latency();
                target.paired_latency_us = durations.paired[0].some(|| durations.pairs());
                of_targets.insert(url.clone(), durations.texts(&production));
            }
            texts.routes.insert(route.route.clone(), RouteHistograms { production, targets: of_targets });
        }
        summary.curves = Some(curves);
        summary.histograms = Some(texts);
    }
}

impl SparseHistogram {
    /// What is made, where anything was recorded.
    fn some<T>(&self, made: impl FnOnce() -> T) -> Option<T> {
        (self.count() > 0).then(made)
    }
}

impl<H: Durations> TargetDurations<H> {
    fn add(
        &mut self,
        what: &str,
        production: &str,
        texts: &TargetHistograms,
        (latency, pairs): (&TargetLatency, &PairedLatency),
    ) -> Result<(), String> {
        self.connect.add(what, &texts.connect, &latency.connect)?;
        self.service.add(what, &texts.service, &latency.service)?;
        self.response.add(what, &texts.response, &latency.response)?;
        let figures = [&pairs.production, &pairs.service, &pairs.response];
        for ((own, text), figures) in self.paired.iter_mut().zip(texts.pairs(production)).zip(figures) {
            own.add(what, text, figures)?;
        }
        Ok(())
    }

    fn merge(&mut self, more: Self) {
        let Self { connect, service, response, lag, carry_wait, paired } = more;
        self.connect.merge(connect);
        self.service.merge(service);
        self.response.merge(response);
        self.lag.merge(lag);
        self.carry_wait.merge(carry_wait);
        self.paired.iter_mut().zip(paired).for_each(|(own, more)| own.merge(more));
    }

    fn latency(&self) -> TargetLatency {
        TargetLatency {
            connect: self.connect.figures(),
            service: self.service.figures(),
            response: self.response.figures(),
        }
    }

    fn pairs(&self) -> PairedLatency {
        let [production, service, response] = self.paired.each_ref().map(Durations::figures);
        PairedLatency { production, service, response }
    }

    fn texts(&self, production: &str) -> TargetHistograms {
        let all = TargetHistograms {
            connect: self.connect.text(),
            service: self.service.text(),
            response: self.response.text(),
            lag: self.lag.text(),
            carry_wait: self.carry_wait.text(),
            ..TargetHistograms::default()
        };
        all.with_pairs(production, self.paired.each_ref().map(Durations::text))
    }
}

impl TargetDurations<LatencyHistogram> {
    fn add_target(
        &mut self,
        what: &str,
        production: &str,
        texts: &TargetHistograms,
        target: &TargetSummary,
    ) -> Result<(), String> {
        let pairs = target.paired_latency_us.clone().unwrap_or_default();
        self.add(what, production, texts, (&target.latency_us, &pairs))?;
        self.lag.add(what, &texts.lag, &target.schedule_lag_us.clone().unwrap_or_default())?;
        self.carry_wait.add(what, &texts.carry_wait, &target.carry_wait_us.clone().unwrap_or_default())
    }

    fn fill(&self, target: &mut TargetSummary) {
        target.latency_us = self.latency();
        target.paired_latency_us = Some(self.pairs());
        target.schedule_lag_us = self.lag.some_figures();
        target.carry_wait_us = self.carry_wait.some_figures();
    }
}

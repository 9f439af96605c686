//! Families of samples, written as Prometheus reads them: text, version 0.0.4.
//!
//! The samples are those of a snapshot. The crate's own counters would be a second set of books next to the ledger, so
//! only its model and its encoder are used.

use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use crate::report::collect::buckets::{EDGES_US, LiveBuckets};

/// Names and values of a sample's labels.
pub(super) type MetricLabels<'a> = &'a [(&'static str, &'a str)];

/// A page of metrics that fills from top to bottom. A family without samples is left out.
#[derive(Default)]
pub(super) struct MetricsPage {
    families: Vec<MetricFamily>,
}

impl MetricsPage {
    /// Begins a family that only grows.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> FamilyWriter<'_> {
        self.family(name, help, MetricType::COUNTER)
    }

    /// Begins a family that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> FamilyWriter<'_> {
        self.family(name, help, MetricType::GAUGE)
    }

    /// Begins a family of durations in buckets.
    pub(super) fn histogram(&mut self, name: &'static str, help: &'static str) -> FamilyWriter<'_> {
        self.family(name, help, MetricType::HISTOGRAM)
    }

    /// The page as text.
    pub(super) fn text(&self) -> String {
        let mut text = Vec::new();
        let full: Vec<MetricFamily> =
            self.families.iter().filter(|family| !family.get_metric().is_empty()).cloned().collect();
        if let Err(error) = TextEncoder::new().encode(&full, &mut text) {
            // Only an unnamed or empty family is refused.
            tracing::warn!("metrics are not complete: {error}");
        }
        String::from_utf8(text).unwrap_or_default()
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: MetricType) -> FamilyWriter<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        self.families.push(family);
        FamilyWriter { family: self.families.last_mut(), kind }
    }
}

/// A family that takes samples.
pub(super) struct FamilyWriter<'a> {
    family: Option<&'a mut MetricFamily>,
    kind: MetricType,
}

impl FamilyWriter<'_> {
    /// Adds a whole number.
    pub(super) fn count(&mut self, labels: MetricLabels<'_>, value: u64) -> &mut Self {
        self.value(labels, value as f64)
    }

    /// Adds a number.
    pub(super) fn value(&mut self, labels: MetricLabels<'_>, value: f64) -> &mut Self {
        let mut metric = labeled(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.add(metric)
    }

    /// Adds durations, in seconds.
    pub(super) fn durations(&mut self, labels: MetricLabels<'_>, durations: &LiveBuckets) -> &mut Self {
        let mut histogram = Histogram::default();
        histogram.set_sample_count(durations.count);
        histogram.set_sample_sum(durations.sum.as_secs_f64());
        let buckets = EDGES_US.iter().zip(durations.at_most).map(|(edge, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(Duration::from_micros(*edge).as_secs_f64());
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        let mut metric = labeled(labels);
        metric.set_histogram(histogram);
        self.add(metric)
    }

    fn add(&mut self, metric: Metric) -> &mut Self {
        if let Some(family) = &mut self.family {
            family.mut_metric().push(metric);
        }
        self
    }
}

/// A sample without a value. Labels without a value are left out: to Prometheus that is the same.
fn labeled(labels: MetricLabels<'_>) -> Metric {
    let some = labels.iter().filter(|(_, value)| !value.is_empty());
    Metric::from_label(
        some.map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect(),
    )
}

//! The block `histograms` of the summary: the durations behind its percentiles, so that several runs can be added up to one.
//!
//! Each is a text: see [`crate::report::collect`] for what is in it. One without durations is empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The durations behind the figures of a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Histograms {
    /// Of `production.latency_us`.
    #[serde(default)]
    pub production: String,
    /// Of `capture_delay_us`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub capture_delay: String,
    /// Of each target, by its URL.
    #[serde(default)]
    pub targets: BTreeMap<String, TargetHistograms>,
    /// Of the baseline, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<TargetHistograms>,
    /// Of each route, by its name.
    #[serde(default)]
    pub routes: BTreeMap<String, RouteHistograms>,
}

/// The durations at one target. Those of pairs are left out where they are the same as all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetHistograms {
    /// Setting up a connection.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub connect: String,
    /// Last byte of the request written to first byte of the response read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Due to first byte.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response: String,
    /// Due to sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lag: String,
    /// Waiting for values to carry.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub carry_wait: String,
    /// Of requests whose latency is known on both sides: production's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired_production: Option<String>,
    /// Of the same: service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired_service: Option<String>,
    /// Of the same: response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired_response: Option<String>,
}

impl TargetHistograms {
    /// Adds those of pairs (production, service, response), where `production` is that of all.
    #[must_use]
    pub(crate) fn with_pairs(self, production: &str, pairs: [String; 3]) -> Self {
        let [paired_production, paired_service, paired_response] = pairs;
        let other = |own: String, all: &str| (own != all).then_some(own);
        Self {
            paired_production: other(paired_production, production),
            paired_service: other(paired_service, &self.service),
            paired_response: other(paired_response, &self.response),
            ..self
        }
    }

    /// Returns those of pairs (production, service, response), where `production` is that of all.
    #[must_use]
    pub(crate) fn pairs<'a>(&'a self, production: &'a str) -> [&'a str; 3] {
        [
            self.paired_production.as_deref().unwrap_or(production),
            self.paired_service.as_deref().unwrap_or(&self.service),
            self.paired_response.as_deref().unwrap_or(&self.response),
        ]
    }
}

/// The durations on one route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouteHistograms {
    /// Production's latency.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub production: String,
    /// At each target, by its URL.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, TargetHistograms>,
}

//! The block `curves` of the summary: latency by percentile, for pictures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A share of requests from 0 to 1, and the microseconds that they are not above.
pub(crate) type Curve = Vec<(f64, u64)>;

/// Latency by percentile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Curves {
    /// Of production.
    pub production: Curve,
    /// Of each target, by its URL.
    pub targets: BTreeMap<String, TargetCurves>,
}

/// Latency by percentile at one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetCurves {
    /// Last byte of the request written to first byte of the response read.
    pub service: Curve,
    /// Due to first byte.
    pub response: Curve,
}

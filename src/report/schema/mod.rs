//! The types of the `--summary` object, as serde writes and reads them: names and units that others rely on.

pub mod access_log;
pub mod by_route;
pub mod capture;
pub mod carry;
pub mod counts;
pub mod curves;
pub mod diff_groups;
pub mod failures;
pub mod fleet;
pub mod gates;
pub mod histograms;
pub mod merged;
pub mod middleware;
pub mod noise;
pub mod observe;
pub mod recording;
pub mod reference;
pub mod request;
pub mod spoe;
pub mod steps;
pub mod summary;
pub mod target;
pub mod telemetry;
pub mod timeline;
pub mod verdict;

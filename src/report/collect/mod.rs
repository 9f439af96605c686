//! Collection of the results of every request: the ledger, the join of production and targets, tallies by target, route
//! and difference group, the timeline. It takes values of the stages, and yields values of the schema.

pub mod buckets;
pub mod by_route;
pub(crate) mod comparer;
pub mod curl;
pub(crate) mod curves;
pub mod diff_groups;
pub mod dry_run;
pub(crate) mod engine;
pub(crate) mod evidence;
pub mod histogram;
mod histogram_text;
pub mod inputs;
pub mod join;
pub(crate) mod kept_examples;
pub mod ledger;
pub(crate) mod live_routes;
pub(crate) mod middleware;
pub mod noise;
pub mod observe;
mod paired_route;
pub mod partial;
pub mod patterns;
pub(crate) mod reasons;
pub(crate) mod recent;
pub(crate) mod reference;
pub(crate) mod repeats;
pub(crate) mod request_text;
pub mod results;
pub(crate) mod route_name;
pub(crate) mod slowest;
pub(crate) mod sparse_histogram;
pub mod status;
pub mod steps;
pub(crate) mod tally;
pub mod timeline;
pub(crate) mod unjoined;

#[cfg(test)]
pub(crate) mod testing;

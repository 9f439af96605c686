//! What a running process shows: metrics for Prometheus, a page for people, and the controls on it.
//!
//! In comes a [`Watched`] run, out goes HTTP at one address, on the runtime of that run. A run that nobody looks at pays
//! nothing. Nothing is counted here: what is shown is a [`Snapshot`](crate::report::Snapshot).

pub mod control;
pub mod metrics;

//! Output for people: functions of a summary, of two summaries, or of one exchange.

mod asked;
pub(crate) mod diff_row;
pub mod haproxy;
pub mod html;
pub mod junit;
pub mod listing;
mod loads;
pub mod markdown;
pub(crate) mod run_diff;
pub mod text;

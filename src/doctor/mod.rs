//! What would go wrong with a run, told before it: each finding with the line that mends it.
//!
//! Probes look at this host, at the traffic, at the targets and at stores. Nothing is changed, and of a target only `/` is asked.

mod clock;
mod host;
mod proxy;
mod store;
mod target;
mod traffic;

use std::time::Duration;

use serde::Serialize;

use crate::capture::live::{self, Live, LiveSettings};

pub use clock::clock;
pub use host::{disk, open_files, ports, rights};
pub use proxy::{haproxy, sides};
pub use store::store;
pub use target::targets;
pub use traffic::{Heard, listen, traffic};

/// Time for which the traffic is counted where no other is asked for.
pub const LISTEN: Duration = Duration::from_secs(2);

/// How a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// To be known; a run works all the same.
    Note,
    /// A run would go wrong.
    Problem,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: one word.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub says: String,
    /// What mends it, as a line to type or a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, state: State::Ok, says: says.into(), mend: None }
    }

    fn note(check: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: State::Note, says: says.into(), mend: Some(mend.into()) }
    }

    /// The interfaces that are captured on.
    #[must_use]
    pub fn of_interfaces(capturing: &str) -> Self {
        Self::ok("interfaces", format!("capturing on {capturing}"))
    }

    /// A finding that keeps a run from working.
    #[must_use]
    pub fn problem(check: &'static str, says: impl Into<String>, mend: Option<String>) -> Self {
        Self { check, state: State::Problem, says: says.into(), mend }
    }
}

/// Opens all interfaces, with these ports and no other filter, to tell where the traffic is; `None` where that cannot be
/// done.
#[must_use]
pub fn everywhere(ports: &[u16]) -> Option<Live> {
    let interfaces = vec![crate::capture::interfaces::ANY.to_owned()];
    live::open(&LiveSettings { interfaces, ports: ports.to_vec(), buffer: 4 << 20, ..LiveSettings::default() }).ok()
}

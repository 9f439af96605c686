//! A shortage of files or ports on this machine: a request waits for its connection, since others may give theirs back in a
//! moment. Where that was in vain, those after it hardly wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::exchange::Shed;

/// Interval between two tries for a file or a port.
pub(super) const PAUSE: Duration = Duration::from_millis(10);
/// Longest wait of a request; past it, the request is shed.
const LONGEST: Duration = Duration::from_secs(2);
/// The same while no connection came since a request waited in vain.
const IN_VAIN: Duration = Duration::from_millis(20);

/// What one client lacks.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    is_logged: AtomicBool,
    /// A request waited its time, and no connection was made since.
    lasts: AtomicBool,
}

impl Shortage {
    /// A connection was made.
    pub(super) fn ends(&self) {
        if self.lasts.load(Ordering::Relaxed) {
            self.lasts.store(false, Ordering::Relaxed);
        }
    }

    /// Returns whether a request that lacked this has waited long enough for its connection to `host`. The first lack is
    /// logged.
    pub(super) fn is_over(&self, host: &str, lacked: Shed, waited: Duration, timeout: Duration) -> bool {
        if !self.is_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!("{}", words(host, lacked));
        }
        let most = if self.lasts.load(Ordering::Relaxed) { IN_VAIN } else { LONGEST };
        let is_over = waited + PAUSE > most.min(timeout / 2);
        if is_over {
            self.lasts.store(true, Ordering::Relaxed);
        }
        is_over
    }
}

/// Says what is lacking, and what to do.
fn words(host: &str, lacked: Shed) -> String {
    if lacked == Shed::LocalPorts {
        return format!(
            "no local port is left for a connection to {host}: requests that find none in time are dropped. Lower \
             --max-connections, or widen net.ipv4.ip_local_port_range"
        );
    }
    let limit = getrlimit(Resource::Nofile).current.map(|limit| format!(": limit {limit}")).unwrap_or_default();
    format!(
        "no file is left for a connection to {host}: requests that find none in time are dropped. Open files{limit}; raise \
         it with ulimit -n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_after_a_wait_in_vain_hardly_waits() {
        let shortage = Shortage::default();
        let is_over = |ms| shortage.is_over("h", Shed::OpenFiles, Duration::from_millis(ms), Duration::from_secs(30));
        assert!(!is_over(1_900));
        assert!(!is_over(100));
        assert!(is_over(2_000));
        assert!(is_over(100));
        assert!(!is_over(9));
        shortage.ends();
        assert!(!is_over(100));
    }

    #[test]
    fn what_is_lacking_is_told_with_what_to_do() {
        let files = words("h", Shed::OpenFiles);
        assert!(files.contains("a connection to h:") && files.contains("Open files: limit "), "{files}");
        assert!(files.ends_with("raise it with ulimit -n"), "{files}");
        assert!(words("h", Shed::LocalPorts).contains("net.ipv4.ip_local_port_range"));
    }
}

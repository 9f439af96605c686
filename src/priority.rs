//! Threads that come before others, where that is allowed. The one that answers HAProxy does, whose clients wait for it, and
//! the one that paces a replay, whose lag is that of every request. Both have little to do each time.

#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// Niceness of the thread.
#[cfg(target_os = "linux")]
const NICE: i32 = -10;
/// What the system's limit says where that is allowed (`getrlimit(2)`): 20 less the niceness.
#[cfg(target_os = "linux")]
const ALLOWED: u64 = 30;

/// Leave to come first. Root takes it before its rights are given up.
#[derive(Debug)]
pub struct Priority {
    /// The limit as it was, where it was raised.
    #[cfg(target_os = "linux")]
    before: Option<Rlimit>,
}

impl Priority {
    /// Takes leave, where that can be had.
    #[must_use]
    pub fn take() -> Self {
        #[cfg(target_os = "linux")]
        {
            let before = getrlimit(Resource::Nice);
            let raised = Rlimit { current: Some(ALLOWED), maximum: before.maximum.map(|most| most.max(ALLOWED)) };
            let is_low = before.current.is_some_and(|now| now < ALLOWED);
            Self { before: (is_low && setrlimit(Resource::Nice, raised).is_ok()).then_some(before) }
        }
        #[cfg(not(target_os = "linux"))]
        Self {}
    }

    /// Has the current thread come first; the limit is from then on what it was.
    pub fn come_first(&self) {
        // Elsewhere it would be the whole process.
        #[cfg(target_os = "linux")]
        {
            if let Err(error) = nice(NICE) {
                tracing::debug!(%error, "a thread that has to be in time waits as others do");
            }
            if let Some(before) = self.before
                && let Err(error) = setrlimit(Resource::Nice, before)
            {
                tracing::debug!(%error, "the limit on niceness stays raised");
            }
        }
    }
}

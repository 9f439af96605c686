//! Wakeups of threads that have to be in time.

/// Longest delay of a wakeup of this thread, in nanoseconds. The system would take 50 µs otherwise, to save power, and
/// these were lag of every request.
#[cfg(target_os = "linux")]
const TIMER_SLACK: std::num::NonZeroU64 = std::num::NonZeroU64::new(1_000).expect("it is not zero");

/// Asks the system to wake this thread when it is time; where it does not, requests are as much later.
pub(super) fn wake_in_time() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK)) {
        tracing::debug!(%error, "cannot have a thread woken in time");
    }
}

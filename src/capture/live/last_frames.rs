//! The end of a device: frames that the kernel has not handed over yet are waited for before it counts as gone.

use std::time::Duration;

use tokio::time::Instant;

/// Time in which the kernel hands over the block that was filling when the device failed: a few ticks of its clock, of which
/// the slowest takes 10 ms.
const GRACE: Duration = Duration::from_millis(40);

/// When a device failed first, and with which words, where it did.
#[derive(Debug, Default)]
pub(super) struct LastFrames(Option<(Instant, String)>);

impl LastFrames {
    /// A read brought no frame at `now`: it failed, where these are the words for that. Returns the words that one failed
    /// with first, once nothing more comes.
    pub(super) fn without_frame(&mut self, failed: Option<String>, now: Instant) -> Option<String> {
        if let Some(why) = failed {
            self.0.get_or_insert((now, why));
        }
        self.0.take_if(|(since, _)| now.saturating_duration_since(*since) >= GRACE).map(|(_, why)| why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_gone_a_moment_after_it_failed_by_its_first_words() {
        let (mut last, begin) = (LastFrames::default(), Instant::now());
        let mut read = |words: Option<&str>, ms: u64| {
            last.without_frame(words.map(str::to_owned), begin + Duration::from_millis(ms))
        };
        assert_eq!(read(None, 0), None, "it has not failed");
        assert_eq!((read(Some("went down"), 0), read(Some("again"), 20), read(None, 39)), (None, None, None));
        assert_eq!(read(None, 40).as_deref(), Some("went down"));
        assert_eq!(read(None, 90), None, "it is said once");
    }
}

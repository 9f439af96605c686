//! The names that reports have for targets.

/// Returns host and port of a target's URL, as reports name it; `None` for a Unix socket.
pub(crate) fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    // Where it is elsewhere than the URL says, that follows a blank.
    rest.split(['/', ' ']).next()
}

//! How many connections this process may have: the system's limit on open files, raised as far as it lets us.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::replay::{ConnectionMode, DEFAULT_MAX_CONNECTIONS, Settings};

/// Files that are open for other ends than connections: captures, reports, sockets of the runtime.
const OTHER_FILES: u64 = 64;

/// How many connections there may be, and what a person should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// Connections at once.
    pub connections: usize,
    /// Why it is fewer than were asked for, and what helps.
    pub warning: Option<String>,
}

/// Raises the soft limit on open files to the hard one and says how many connections `settings` get under it.
#[must_use]
pub fn connection_limit(settings: &Settings) -> ConnectionLimit {
    within(settings, raise())
}

/// Files that may be open now; `None` without a limit.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "cannot raise the limit on open files");
            current
        }
    }
}

fn within(settings: &Settings, files: Option<u64>) -> ConnectionLimit {
    let room =
        files.map_or(usize::MAX, |files| usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX));
    let asked = match (settings.max_connections, settings.connections) {
        (Some(asked), _) => asked,
        (None, ConnectionMode::Pooled) => DEFAULT_MAX_CONNECTIONS,
        (None, ConnectionMode::Mirrored) => return ConnectionLimit { connections: room.max(1), warning: None },
    };
    let warning = (asked > room).then(|| {
        format!(
            "--max-connections {asked}: the system lets this process open {} files, which leaves {room} connections; \
             raise its limit, such as with: ulimit -n {}",
            files.unwrap_or_default(),
            asked as u64 + OTHER_FILES,
        )
    });
    ConnectionLimit { connections: asked.min(room).max(1), warning }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(connections: ConnectionMode, asked: Option<usize>, files: Option<u64>, expected: usize, warned: bool) {
        let settings = Settings { connections, max_connections: asked, ..Settings::new("http://h".parse().unwrap()) };
        let limit = within(&settings, files);
        assert_eq!((limit.connections, limit.warning.is_some()), (expected, warned), "{asked:?} {files:?}");
    }

    #[test]
    fn connections_are_as_many_as_were_asked_for_and_files_allow() {
        check(ConnectionMode::Pooled, None, Some(20_000), 256, false);
        check(ConnectionMode::Pooled, None, Some(128), 64, true);
        check(ConnectionMode::Pooled, Some(1000), None, 1000, false);
        check(ConnectionMode::Mirrored, None, Some(20_000), 19_936, false);
        check(ConnectionMode::Mirrored, Some(25_000), Some(20_000), 19_936, true);
        check(ConnectionMode::Mirrored, Some(10), Some(20_000), 10, false);
        check(ConnectionMode::Mirrored, None, Some(1), 1, false);
    }

    #[test]
    fn the_warning_says_what_helps() {
        let settings = Settings { max_connections: Some(25_000), ..Settings::new("http://h".parse().unwrap()) };
        let warning = within(&settings, Some(20_000)).warning.unwrap();
        assert!(warning.contains("leaves 19936 connections") && warning.contains("ulimit -n 25064"), "{warning}");
    }
}

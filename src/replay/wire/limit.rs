//! Limit on the connections of this process: the system's limit on open files, raised as far as allowed, less the files
//! open already and those that a run opens in addition.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::replay::{ConnectionMode, DEFAULT_MAX_CONNECTIONS, SendSettings};

/// Files that a run opens for other ends than connections to targets: outputs, the runtimes' own, the live page.
const OTHER_FILES: u64 = 32;
/// Files that are taken to be open where the system does not say.
const OPEN_FILES: u64 = 32;
/// Fewest connections that are worth a warning where nobody asked for a number: as many as the system allows are used then.
const FEW: usize = 1024;

/// Raises the soft limit on open files to the hard one and gives each of `all` no more connections than fit under it;
/// returns warnings for people. A reference counts as one of them.
pub fn fit_connections(all: &mut [&mut SendSettings]) -> Vec<String> {
    fit(all, raise(), open_files())
}

/// Returns the number of connections that a client of these settings may have, on its own, under the limit on open
/// files.
pub(super) fn connection_limit(settings: &SendSettings) -> usize {
    let room = room(raise(), open_files());
    let room = room - settings.max_streams.min(room / 4);
    settings
        .max_connections
        .unwrap_or(match settings.connections {
            ConnectionMode::Pooled => DEFAULT_MAX_CONNECTIONS,
            ConnectionMode::Mirrored => usize::MAX,
        })
        .min(room)
        .max(1)
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

/// Files that this process has open.
fn open_files() -> u64 {
    let listed = ["/proc/self/fd", "/dev/fd"].iter().find_map(|folder| std::fs::read_dir(folder).ok());
    // One of them is the folder itself.
    listed.map_or(OPEN_FILES, |folder| (folder.count() as u64).saturating_sub(1))
}

/// Connections that fit.
fn room(files: Option<u64>, open: u64) -> usize {
    let left = files.map_or(u64::MAX, |files| files.saturating_sub(open + OTHER_FILES));
    usize::try_from(left).unwrap_or(usize::MAX)
}

fn fit(all: &mut [&mut SendSettings], files: Option<u64>, open: u64) -> Vec<String> {
    let room = room(files, open);
    let asked = |settings: &SendSettings| match (settings.max_connections, settings.connections) {
        (Some(asked), _) => Some(asked),
        (None, ConnectionMode::Pooled) => Some(settings.places()),
        (None, ConnectionMode::Mirrored) => None,
    };
    let wanted: usize = all.iter().filter_map(|settings| asked(settings)).fold(0, usize::saturating_add);
    let open_ended = all.iter().any(|settings| asked(settings).is_none());
    let each = (room / all.len().max(1)).max(1);
    if wanted <= room && !(open_ended && each < FEW) {
        // Streams have what is left, and no more than a quarter where as many connections open as fit.
        let left = if open_ended { each / 4 } else { (room - wanted) / all.len().max(1) };
        for settings in all {
            settings.max_streams = settings.max_streams.min(left);
        }
        return Vec::new();
    }
    let mut least = usize::MAX;
    for settings in all {
        let given = asked(settings).unwrap_or(usize::MAX).min(each);
        (settings.max_connections, settings.max_streams) = (Some(given), 0);
        least = least.min(given);
    }
    let needed = (wanted.max(if open_ended { FEW } else { 0 }) as u64).saturating_add(open + OTHER_FILES);
    vec![format!(
        "too few open files: the system lets this process have {} (ulimit -n), so at most {least} connections to each target \
         are open at once; requests wait where they need more. Raise the limit, such as with: ulimit -n {needed}",
        files.unwrap_or_default(),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(connections: ConnectionMode, max_connections: Option<usize>) -> SendSettings {
        SendSettings { connections, max_connections, ..SendSettings::new("http://h".parse().unwrap()) }
    }

    /// Returns the limits that these settings get where `files` files may be open and 8 are; and the warnings.
    fn given(all: &[SendSettings], files: Option<u64>) -> (Vec<Option<usize>>, Vec<String>) {
        let mut all = all.to_vec();
        let warnings = fit(&mut all.iter_mut().collect::<Vec<_>>(), files, 8);
        (all.iter().map(|settings| settings.max_connections).collect(), warnings)
    }

    #[test]
    fn connections_are_as_many_as_were_asked_for_where_files_allow() {
        let (pooled, mirrored) = (settings(ConnectionMode::Pooled, None), settings(ConnectionMode::Mirrored, None));
        let many = settings(ConnectionMode::Mirrored, Some(25_000));
        for (all, files) in [
            (vec![pooled.clone()], Some(1024)),
            (vec![pooled.clone(), pooled.clone()], Some(1024)),
            (vec![mirrored], Some(20_000)),
            (vec![many], Some(30_000)),
            (vec![settings(ConnectionMode::Pooled, Some(1_000_000))], None),
        ] {
            let asked: Vec<_> = all.iter().map(|settings| settings.max_connections).collect();
            assert_eq!(given(&all, files), (asked, Vec::new()), "{files:?}");
        }
    }

    #[test]
    fn where_files_are_few_connections_are_shared_out_and_it_is_told() {
        let (pooled, mirrored) = (settings(ConnectionMode::Pooled, None), settings(ConnectionMode::Mirrored, None));
        for (all, files, expected) in [
            (vec![pooled.clone()], 64, vec![Some(24)]),
            (vec![pooled.clone(), pooled.clone()], 64, vec![Some(12), Some(12)]),
            (vec![pooled.clone(), settings(ConnectionMode::Pooled, Some(4))], 64, vec![Some(12), Some(4)]),
            (vec![mirrored], 256, vec![Some(216)]),
            (vec![settings(ConnectionMode::Mirrored, Some(25_000))], 20_000, vec![Some(19_960)]),
            (vec![pooled], 10, vec![Some(1)]),
        ] {
            let (given, warnings) = given(&all, Some(files));
            assert_eq!((given, warnings.len()), (expected, 1), "{files}");
            assert!(warnings[0].contains(&format!("have {files} (ulimit -n)")), "{warnings:?}");
        }
    }

    #[test]
    fn streams_have_the_files_that_connections_leave() {
        let (pooled, mirrored) = (settings(ConnectionMode::Pooled, None), settings(ConnectionMode::Mirrored, None));
        let most = pooled.max_streams;
        for (settings, files, streams) in [
            (&pooled, Some(1_000_000), most),
            (&pooled, None, most),
            (&pooled, Some(256 + 40 + 100), 100),
            (&pooled, Some(200), 0),
            (&mirrored, Some(1_000_000), most),
            (&mirrored, Some(2_040), 500),
        ] {
            let mut settings = settings.clone();
            fit(&mut [&mut settings], files, 8);
            assert_eq!(settings.max_streams, streams, "{files:?}");
        }
    }

    #[test]
    fn what_fits_is_what_a_pool_keeps_in_flight() {
        let mut few = settings(ConnectionMode::Pooled, None);
        assert_eq!(fit(&mut [&mut few], Some(64), 8).len(), 1);
        assert_eq!(few.places(), 24);
    }
}

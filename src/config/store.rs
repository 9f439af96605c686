//! Recordings in a store: where they are, who connects, and what cannot be asked of them.

use std::path::{Path, PathBuf};

use super::mistakes::ConfigMistakes;
use super::{check, typed};
use crate::capture;
use crate::help;
use crate::recording::access::StoreAccess;
use crate::recording::place::{self, StoreUrl};
use crate::recording::{self, Origin, RecordingOutput, SpoolSettings, StoreReading};

/// Part of `--max-memory` that may be on its way to a store.
const MEMORY: usize = 8;

/// Largest size of a file for what has no room in memory, unless it is typed.
const SPOOL_SIZE: u64 = 1 << 30;
/// The least.
const LEAST_SPOOL: u64 = 16 << 20;

/// What a run needs to reach its stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreNeeds {
    /// Ports that it connects to.
    pub ports: Vec<u16>,
    /// Files that it reads for that.
    pub reads: Vec<PathBuf>,
    /// Files that it writes for that.
    pub writes: Vec<PathBuf>,
}

/// Who reads a recording in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// This command, all of it.
    All,
    /// Several replayers together; for as long as nodes record where they `follow`.
    Shared {
        /// Whether it has no end.
        follow: bool,
        /// Whether connections to a target are mirrored.
        mirrored: bool,
    },
}

/// The recording in a store of that name; `None` where it is a file, or a mistake.
fn url(flag: &str, name: &Path, mistakes: &mut ConfigMistakes) -> Option<StoreUrl> {
    let typed = name.to_str().unwrap_or_default();
    mistakes.keep(flag, typed.parse())
}

fn access(typed: &typed::Store, mistakes: &mut ConfigMistakes) -> Option<StoreAccess> {
    let read = StoreAccess::read(typed.nats_credentials.as_deref(), typed.nats_ca.clone());
    if let Some(ca) = typed.nats_ca.as_deref().filter(|ca| !ca.is_file()) {
        mistakes.add("--nats-ca", format!("there is no file {}", ca.display()));
    }
    mistakes.keep("--nats-credentials", read.map_err(|error| help::say(&error)))
}

/// The recording in a store that a name stands for, and who connects; `None` where it stands for a file.
///
/// # Errors
///
/// Every mistake in it.
pub fn fleet(name: &Path, typed: &typed::Store) -> Result<Option<(StoreUrl, StoreAccess)>, ConfigMistakes> {
    if !place::is_store(name) {
        return Ok(None);
    }
    let mut mistakes = ConfigMistakes::default();
    let url = url("", name, &mut mistakes);
    let access = access(typed, &mut mistakes);
    match (url, access, mistakes.is_empty()) {
        (Some(url), Some(access), true) => Ok(Some((url, access))),
        _ => Err(mistakes),
    }
}

/// What reaching this recording needs.
fn needs(url: &StoreUrl, access: &StoreAccess) -> StoreNeeds {
    let reads = access.ca().map(Path::to_owned).into_iter().collect();
    StoreNeeds { ports: url.ports().collect(), reads, writes: Vec::new() }
}

/// Prepares a recording into a store, where `output` names one; tells what files alone can do.
pub(super) fn recorder(
    output: &Path,
    recording: &typed::Recording,
    typed: &typed::Store,
    max_memory: usize,
    mistakes: &mut ConfigMistakes,
) -> Option<(Box<dyn RecordingOutput>, StoreNeeds)> {
    let files_only = [
        ("--rotate-size", recording.rotate_size.is_some()),
        ("--rotate-every", recording.rotate_every.is_some()),
        ("--rotate-count", recording.rotate_count.is_some()),
        ("--format", recording.format.is_some()),
        ("--append", recording.append),
    ];
    for (flag, given) in files_only {
        if given {
            mistakes
                .add(flag, "is for files: a store keeps what is recorded as retention and max-bytes in its URL say");
        }
    }
    let url = url("--output", output, mistakes);
    let (url, access) = (url?, access(typed, mistakes)?);
    let spool = spool(recording, mistakes);
    let writes = spool.iter().map(|spool| spool.path.clone()).collect();
    let needs = StoreNeeds { writes, ..needs(&url, &access) };
    let opened = recording::open_output(url, access, max_memory / MEMORY, spool);
    let opened = mistakes.keep("--output", opened.map_err(|error| help::say(&error)))?;
    Some((opened, needs))
}

/// Tells what stores alone can do.
pub(super) fn only_for_stores(typed: &typed::Recording, mistakes: &mut ConfigMistakes) {
    let given = [("--nats-spool", typed.nats_spool.is_some()), ("--nats-spool-size", typed.nats_spool_size.is_some())];
    for (flag, _) in given.into_iter().filter(|(_, given)| *given) {
        mistakes.add(flag, "is for a recording on NATS, such as -o nats://10.0.0.5/evening: a file needs none");
    }
}

/// The file for what has no room in memory, where there is to be one.
fn spool(typed: &typed::Recording, mistakes: &mut ConfigMistakes) -> Option<SpoolSettings> {
    let size = typed.nats_spool_size.as_deref().map(|typed| mistakes.keep("--nats-spool-size", check::size(typed)));
    let size = size.map_or(SPOOL_SIZE, |size| size.unwrap_or_default() as u64);
    let Some(path) = typed.nats_spool.clone() else {
        if typed.nats_spool_size.is_some() {
            mistakes.add("--nats-spool-size", "is the size of a file: name it with --nats-spool FILE");
        }
        return None;
    };
    if size < LEAST_SPOOL {
        mistakes.add("--nats-spool-size", "is too small to hold what one client sends; 16M is the least");
    }
    Some(SpoolSettings { path, size })
}

/// Opens what is read: files, or one recording in a store.
pub(super) fn open(
    settings: &capture::Settings,
    typed: &typed::Store,
    how: Sharing,
    mistakes: &mut ConfigMistakes,
) -> Option<(Origin, StoreNeeds)> {
    let Some(name) = settings.files.iter().find(|file| place::is_store(file)) else {
        if matches!(how, Sharing::Shared { follow: true, .. }) {
            mistakes.add("--follow", "is for a recording on NATS that goes on, such as nats://10.0.0.5/evening");
        }
        return check::open(settings, mistakes).map(|origin| (origin, StoreNeeds::default()));
    };
    if settings.files.len() > 1 {
        mistakes.add("", format!("{} is read by itself: leave out the other files", name.display()));
    }
    if settings.bpf.is_some() {
        mistakes.add(
            "--bpf",
            format!("{} has requests, no packets: choose with --allow-host and the like", name.display()),
        );
    }
    let url = url("", name, mistakes);
    let (url, access) = (url?, access(typed, mistakes)?);
    if !mistakes.is_empty() {
        return None;
    }
    let needs = needs(&url, &access);
    let (shared, follow, mirrored) = match how {
        Sharing::All => (false, false, false),
        Sharing::Shared { follow, mirrored } => (true, follow, mirrored),
    };
    let (halt, ports) = (settings.halt.clone(), settings.ports.clone());
    let reading = StoreReading { halt, follow, shared, mirrored, ports };
    let opened = recording::open_input(url, access, reading);
    let opened = mistakes.keep("", opened.map_err(|error| help::say(&error)))?;
    Some((Origin::Events(opened), needs))
}

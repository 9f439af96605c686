//! Where the socket of a run is, and where those of other runs are looked for.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Where runs of root have their sockets, in a folder for the user that each becomes.
const RUN: &str = "/run/shadowtap";
/// End of a socket's name.
const END: &str = "sock";

/// Where the socket of a run is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: there is none.
    #[default]
    Off,
    /// In a folder of the user that the run becomes, under the number of its process.
    Default,
    /// Here.
    At(PathBuf),
}

impl Place {
    /// The path; `owner` is the user that the run becomes, where it becomes another.
    #[must_use]
    pub fn path(&self, owner: Option<u32>) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::Default => Some(default_folder(owner).join(format!("{}.{END}", std::process::id()))),
            Self::At(path) => Some(path.clone()),
        }
    }
}

/// The folder of the user that the run becomes, whether it is there or not.
#[must_use]
pub fn default_folder(owner: Option<u32>) -> PathBuf {
    let me = geteuid();
    let owner = owner.unwrap_or(me.as_raw());
    if me.is_root() && Path::new("/run").is_dir() {
        return Path::new(RUN).join(owner.to_string());
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(folder) if owner == me.as_raw() && folder.is_absolute() => folder.join("shadowtap"),
        _ => std::env::temp_dir().join(format!("shadowtap-{owner}")),
    }
}

/// The sockets of runs that go on and that this user may have a say in, by path.
#[must_use]
pub fn running() -> Vec<PathBuf> {
    let me = geteuid();
    let mut folders = vec![default_folder(None), std::env::temp_dir().join(format!("shadowtap-{me}"))];
    if me.is_root() {
        folders.extend(fs::read_dir(RUN).into_iter().flatten().flatten().map(|entry| entry.path()));
    } else {
        folders.push(Path::new(RUN).join(me.to_string()));
    }
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_alive(path)).collect();
    found.sort();
    found.dedup();
    found
}

/// Whether somebody listens there.
pub(super) fn is_alive(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_off_or_has_the_number_of_the_process_or_is_as_it_was_said() {
        assert_eq!(Place::Off.path(None), None);
        assert_eq!(Place::At("/x/y".into()).path(None), Some("/x/y".into()));
        let path = Place::Default.path(None).unwrap();
        assert!(path.ends_with(format!("{}.sock", std::process::id())), "{path:?}");
    }
}

//! The socket itself: made for one user, never in the place of something that is alive or of something else.

use crate::causes::Help;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::files::{Folder, is_open_to_others, own_uid};

/// Conversations that may wait to be begun.
const BACKLOG: i32 = 64;

/// Errors of making a socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Somebody listens there.
    #[error("{} is the control socket of a run that goes on: name another place with --control", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is there already, and is no socket: name another place with --control", path.display())]
    NoSocket {
        /// Path that exists already.
        path: PathBuf,
    },
    /// The folder belongs to somebody else, or is open to others.
    #[error("{} belongs to somebody else, or others may write to it: name a place of your own with --control", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
    },
    /// The system has no folder that is for this user alone.
    #[error(
        "nobody can steer this run: there is no folder for its control socket; set XDG_RUNTIME_DIR, or name a place with \
         --control"
    )]
    NoFolder,
    /// The system refused to make the folder.
    #[error("cannot make {} for the control socket", folder.display())]
    MakeFolder {
        /// The folder.
        folder: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot make the control socket {}", path.display())]
    Make {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl Help for SocketError {
    fn help(&self) -> Option<Cow<'static, str>> {
        const ELSEWHERE: &str = "name another place with --control, or none: --control off";
        match self {
            Self::Make { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
                format!("{ELSEWHERE}; its folder has to belong to the user that shadowtap runs as (--user)").into(),
            ),
            Self::Make { .. } | Self::MakeFolder { .. } => Some(ELSEWHERE.into()),
            _ => None,
        }
    }
}

/// A socket that listens, and is removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    pub(super) listener: UnixListener,
    /// User who may send commands, in addition to root.
    pub(super) owner: u32,
    folder: Folder,
    name: OsString,
    /// Device and inode of the socket: another file of that name is not removed.
    id: (u64, u64),
}

impl Socket {
    /// Listens at `path`, for the user that this process is, in a folder that nobody else may write to. What nobody listens
    /// at any more is replaced.
    ///
    /// # Errors
    ///
    /// Where another run has it, something else is in its place, the folder is others', or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let make = |source| SocketError::Make { path: path.to_owned(), source };
        let (folder, name) = Folder::of(path, None).map_err(make)?;
        let stat = folder.stat().map_err(make)?;
        if is_open_to_others(&stat) || ![0, own_uid()].contains(&stat.st_uid) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Err(SocketError::Folder { folder: folder.to_owned() });
        }
        clear(&folder, name, path)?;
        let listener = listen(&folder, name, path).map_err(make)?;
        let id = folder.entry(name).map_err(make)?.map(|stat| id_of(&stat)).unwrap_or_default();
        let (path, name) = (path.to_owned(), name.to_owned());
        Ok(Self { path, listener, owner: own_uid(), folder, name, id })
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_same = |stat: Stat| id_of(&stat) == self.id;
        if self.folder.entry(&self.name).is_ok_and(|stat| stat.is_some_and(is_same)) {
            // What is left behind is replaced by the next run.
            self.folder.remove(&self.name).ok();
        }
    }
}

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_fallible_conversions,
    reason = "other systems have other numbers"
)]
fn id_of(stat: &Stat) -> (u64, u64) {
    (u64::try_from(stat.st_dev).unwrap_or_default(), u64::try_from(stat.st_ino).unwrap_or_default())
}

/// Makes room for a socket where nobody listens any more.
fn clear(folder: &Folder, name: &OsStr, path: &Path) -> Result<(), SocketError> {
    let make = |source| SocketError::Make { path: path.to_owned(), source };
    if folder.entry(name).map_err(make)?.is_none() {
        return Ok(());
    }
    match listens(folder, name, path.parent().unwrap_or(Path::new("."))) {
        None => Err(SocketError::NoSocket { path: path.to_owned() }),
        Some(true) => Err(SocketError::Taken { path: path.to_owned() }),
        Some(false) => folder.remove(name).map_err(make),
    }
}

/// Returns whether a process listens there; `None` where it is no socket. Does not block.
pub(super) fn listens(folder: &Folder, name: &OsStr, path: &Path) -> Option<bool> {
    let stat = folder.entry(name).ok()??;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return None;
    }
    match connect(folder, name, &path.join(name)) {
        Ok(_) => Some(true),
        // One that is busy listens; what may not be asked is none of our business.
        Err(error) => Some(error.kind() != io::ErrorKind::ConnectionRefused),
    }
}

/// A connection to the socket, without waiting where too many others wait.
pub(super) fn connect(folder: &Folder, name: &OsStr, path: &Path) -> io::Result<UnixStream> {
    let socket = socket()?;
    rustix::net::connect(&socket, &address(folder, name, path)?)?;
    Ok(socket.into())
}

/// Only its owner may speak at it, from the moment that it is there.
fn listen(folder: &Folder, name: &OsStr, path: &Path) -> io::Result<UnixListener> {
    let socket = socket()?;
    let own = Mode::RUSR | Mode::WUSR;
    // What is bound has the permissions of what it was bound from.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, own)?;
    rustix::net::bind(&socket, &address(folder, name, path)?)?;
    #[cfg(not(target_os = "linux"))]
    folder.allow_entry(name, own)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn socket() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// The address of an entry of a folder: by its descriptor where the system has a name for that, so that it is in this
/// folder and no other; it is shorter, too.
fn address(folder: &Folder, name: &OsStr, path: &Path) -> Result<SocketAddrUnix, Errno> {
    let by_descriptor = Path::new("/proc/self/fd").join(folder.descriptor().as_raw_fd().to_string());
    if by_descriptor.is_dir() { SocketAddrUnix::new(by_descriptor.join(name)) } else { SocketAddrUnix::new(path) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_socket_is_for_its_user_alone_and_goes_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_came_in_its_place_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let socket = Socket::bind(&path).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(socket);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn one_that_is_alive_is_never_replaced_and_one_that_is_dead_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let alive = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::Taken { .. })));
        drop(alive);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        assert!(Socket::bind(&path).is_ok());
    }

    #[test]
    fn a_file_is_left_alone_and_so_is_what_a_link_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("notes.txt"), folder.path().join("run.sock"));
        fs::write(&file, "mine").unwrap();
        symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            assert!(matches!(Socket::bind(path), Err(SocketError::NoSocket { .. })));
        }
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o1777, 0o770] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            let bound = Socket::bind(&folder.path().join("run.sock"));
            assert!(matches!(bound, Err(SocketError::Folder { .. })), "{bound:?}");
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Socket::bind(&folder.path().join("run.sock")).is_ok());
    }

    #[test]
    fn a_long_path_is_none_where_the_folder_has_a_short_name() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let bound = Socket::bind(&deep.join("run.sock"));
        assert_eq!(bound.is_ok(), Path::new("/proc/self/fd").is_dir(), "{bound:?}");
    }
}

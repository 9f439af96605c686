//! The socket itself: made for one user, never in the place of something that is alive or of something else.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::place::is_alive;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
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
        /// What is there.
        path: PathBuf,
    },
    /// The folder belongs to somebody else, or is open to others.
    #[error("{} belongs to somebody else, or is open to others: name a place of your own with --control", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused.
    #[error("cannot make the control socket {}: {source}; name another place with --control, or none: --control off", path.display())]
    Make {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// A socket that listens, and is removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    pub(super) listener: UnixListener,
    /// Who may speak, besides root.
    pub(super) owner: u32,
}

impl Socket {
    /// Listens at `path`, for `owner` (user and group) where this process is about to become another, else for the user
    /// that it runs as. What nobody listens at any more is replaced. With `own_folder`, its folder is made, for that user
    /// alone.
    pub fn bind(path: &Path, own_folder: bool, owner: Option<(u32, u32)>) -> Result<Self, SocketError> {
        let make = |source| SocketError::Make { path: path.to_owned(), source };
        if let (true, Some(folder)) = (own_folder, path.parent()) {
            make_folder(folder, owner).map_err(make)?;
            if !is_own(folder, owner) {
                return Err(SocketError::Folder { folder: folder.to_owned() });
            }
        }
        clear(path)?;
        let listener = UnixListener::bind(path).map_err(make)?;
        let socket = Self { path: path.to_owned(), listener, owner: owner.map_or(geteuid().as_raw(), |(uid, _)| uid) };
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(make)?;
        if let Some((uid, gid)) = owner {
            chown(path, Some(uid), Some(gid)).map_err(make)?;
        }
        Ok(socket)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What is left behind is replaced by the next run.
        fs::remove_file(&self.path).ok();
    }
}

/// Makes room for a socket where nobody listens any more.
fn clear(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NoSocket { path: path.to_owned() });
    }
    if is_alive(path) {
        return Err(SocketError::Taken { path: path.to_owned() });
    }
    fs::remove_file(path).map_err(|source| SocketError::Make { path: path.to_owned(), source })
}

/// Makes the folder of one user. What is above it is for all to pass.
fn make_folder(folder: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    if let Some(above) = folder.parent().filter(|above| !above.exists()) {
        DirBuilder::new().mode(0o755).create(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => match owner {
            Some((uid, gid)) => chown(folder, Some(uid), Some(gid)),
            None => Ok(()),
        },
    }
}

/// Whether a folder is that user's and closed to all others. A link is not followed.
fn is_own(folder: &Path, owner: Option<(u32, u32)>) -> bool {
    let owner = owner.map_or(geteuid().as_raw(), |(uid, _)| uid);
    let is_own = |metadata: fs::Metadata| {
        metadata.is_dir() && metadata.uid() == owner && metadata.permissions().mode().trailing_zeros() >= 6
    };
    fs::symlink_metadata(folder).is_ok_and(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_its_user_alone_and_goes_with_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of/run.sock");
        let socket = Socket::bind(&path, true, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_is_alive_is_never_replaced_and_one_that_is_dead_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let alive = Socket::bind(&path, false, None).unwrap();
        assert!(matches!(Socket::bind(&path, false, None), Err(SocketError::Taken { .. })));
        drop(alive);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        assert!(Socket::bind(&path, false, None).is_ok());
    }

    #[test]
    fn a_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path, false, None), Err(SocketError::NoSocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let bound = Socket::bind(&open.join("run.sock"), true, None);
        assert!(matches!(bound, Err(SocketError::Folder { .. })), "{bound:?}");
    }
}

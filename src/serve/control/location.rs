//! Location of the socket of a run, and the search for those of other runs.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{Pid, test_kill_process};

use super::socket::{self, Socket, SocketError};
use crate::files::{Folder, is_open_to_others, own_uid};

/// Folders in which systems keep files that last as long as a run; the first that exists counts.
const RUN: [&str; 2] = ["/run", "/var/run"];
/// The folder of shadowtap in one of those.
const OWN: &str = "shadowtap";
/// End of a socket's name.
const END: &str = "sock";
/// Sockets that are looked at in one folder; further ones are passed over.
const MAX_SOCKETS: usize = 1024;

/// Location of a run's socket, as asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SocketLocation {
    /// Nowhere: there is none.
    #[default]
    Off,
    /// In a folder of the user that the run becomes, under the number of its process.
    Default,
    /// Here.
    At(PathBuf),
}

/// Path of a socket that is not bound yet; only its folder exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    path: PathBuf,
    /// True when the folder is for sockets of this user alone.
    is_own: bool,
}

impl SocketLocation {
    /// Makes the folder that the default place needs; `owner` is the user and the group that the run is about to become,
    /// where it becomes another. To be called while it may, and before [`Location::bind`].
    ///
    /// # Errors
    ///
    /// Where there is no folder for it, and none can be made.
    pub fn prepare(&self, owner: Option<(u32, u32)>) -> Result<Option<Location>, SocketError> {
        match self {
            Self::Off => Ok(None),
            Self::At(path) => Ok(Some(Location { path: path.clone(), is_own: false })),
            Self::Default => {
                let folder = default_folder(owner.map(|(uid, _)| uid)).ok_or(SocketError::NoFolder)?;
                make_folder(&folder, owner)?;
                let path = folder.join(format!("{}.{END}", std::process::id()));
                Ok(Some(Location { path, is_own: true }))
            }
        }
    }
}

impl Location {
    /// Listens there, as the user that this process is now. What runs that were killed have left behind is removed.
    ///
    /// # Errors
    ///
    /// Where another run has it, something else is in its place, or the system refuses.
    pub fn bind(&self) -> Result<Socket, SocketError> {
        if self.is_own
            && let Some(folder) = self.path.parent()
        {
            alive(folder);
        }
        Socket::bind(&self.path)
    }
}

/// The folder of the user that the run becomes, whether it is there or not; `None` where the system gives such a user
/// none that is safe.
#[must_use]
pub(crate) fn default_folder(owner: Option<u32>) -> Option<PathBuf> {
    let me = own_uid();
    let owner = owner.unwrap_or(me);
    if me == 0 {
        return Some(of_root()?.join(owner.to_string()));
    }
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = named.unwrap_or_else(|| Path::new("/run/user").join(me.to_string()));
    (owner == me && is_of(&folder, me)).then(|| folder.join(OWN))
}

/// The folder in which root makes those of the users that runs become.
fn of_root() -> Option<PathBuf> {
    RUN.iter().map(Path::new).find(|run| run.is_dir()).map(|run| run.join(OWN))
}

/// Returns whether a folder is this user's, and nobody else may write to it.
fn is_of(folder: &Path, uid: u32) -> bool {
    let stat = Folder::open(folder).and_then(|folder| folder.stat());
    stat.is_ok_and(|stat| stat.st_uid == uid && !is_open_to_others(&stat))
}

/// Makes the folder of one user, in one that only root, or only that user, may write to.
fn make_folder(path: &Path, owner: Option<(u32, u32)>) -> Result<(), SocketError> {
    let failed = |source| SocketError::MakeFolder { folder: path.to_owned(), source };
    let refused = || SocketError::Folder { folder: path.to_owned() };
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Err(refused()) };
    let above = if own_uid() == 0 { shared(above).map_err(failed)? } else { Folder::open(above).map_err(failed)? };
    let (folder, made) = above.subfolder(name, Mode::RWXU).map_err(failed)?;
    if made {
        folder.allow(Mode::RWXU).map_err(failed)?;
    }
    let uid = owner.map_or(own_uid(), |(uid, _)| uid);
    let is_closed = |folder: &Folder, uid: u32| {
        let others = Mode::RWXG | Mode::RWXO;
        folder.stat().is_ok_and(|stat| stat.st_uid == uid && !Mode::from_raw_mode(stat.st_mode).intersects(others))
    };
    // One that was made, and not given away then, belongs to who made it.
    if let Some((uid, gid)) = owner.filter(|_| is_closed(&folder, own_uid())) {
        folder.give_to(uid, gid).map_err(failed)?;
    }
    if is_closed(&folder, uid) { Ok(()) } else { Err(refused()) }
}

/// The folder of all users: root's, for all to pass.
fn shared(path: &Path) -> io::Result<Folder> {
    let (above, name) = Folder::of(path, None)?;
    let (folder, made) = above.subfolder(name, Mode::RWXU)?;
    if made {
        folder.allow(Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH)?;
    }
    let stat = folder.stat()?;
    if !folder.is_trusted() || stat.st_uid != 0 || is_open_to_others(&stat) {
        return Err(io::Error::other(format!("{} does not belong to root, or others may write to it", path.display())));
    }
    Ok(folder)
}

/// The sockets of runs that go on and that this user may have a say in, by path. Those that runs have left behind that
/// were killed are removed.
#[must_use]
pub fn running() -> Vec<PathBuf> {
    let me = own_uid();
    let mut folders: Vec<PathBuf> = default_folder(None).into_iter().collect();
    if let Some(all) = of_root() {
        if me == 0 {
            folders.extend(std::fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            folders.push(all.join(me.to_string()));
        }
    }
    let mut found: Vec<PathBuf> = folders.iter().flat_map(|folder| alive(folder)).collect();
    found.sort();
    found.dedup();
    found
}

/// The sockets in a folder at which somebody listens; what is left of processes that are gone is removed.
fn alive(path: &Path) -> Vec<PathBuf> {
    let Ok(folder) = Folder::open(path) else { return Vec::new() };
    if !folder.stat().is_ok_and(|stat| !is_open_to_others(&stat) && may_belong_to(path, stat.st_uid)) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(MAX_SOCKETS);
    let names = entries.map(|entry| entry.file_name()).filter(|name| process_of(name).is_some());
    let mut alive = Vec::new();
    for name in names {
        match socket::listens(&folder, &name, path) {
            Some(true) => alive.push(path.join(name)),
            Some(false) => drop(remove_left_behind(&folder, &name)),
            None => {}
        }
    }
    alive
}

/// Removes a socket at which nobody listens, where the process that its name has is gone: one that has just begun does not
/// listen yet. Says whether it was.
pub(super) fn remove_left_behind(folder: &Folder, name: &OsStr) -> bool {
    let is_gone = process_of(name).is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
    is_gone && folder.remove(name).is_ok()
}

/// The process that a socket's name has.
fn process_of(name: &OsStr) -> Option<Pid> {
    let number = name.to_str()?.strip_suffix(END)?.strip_suffix('.')?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Pid::from_raw(number.parse().ok()?) } else { None }
}

/// Returns whether a folder or a socket there that belongs to `uid` is trusted: root's, one's own, and for root those
/// of the users that its runs become, in the folder that it made for them.
pub(super) fn may_belong_to(folder: &Path, uid: u32) -> bool {
    let me = own_uid();
    let is_made_by_root = || {
        let of_user = of_root().map(|all| all.join(uid.to_string()));
        let is_safe = |all: Folder| all.is_trusted() && all.stat().is_ok_and(|stat| !is_open_to_others(&stat));
        of_user.as_deref() == Some(folder) && folder.parent().is_some_and(|all| Folder::open(all).is_ok_and(is_safe))
    };
    uid == 0 || uid == me || me == 0 && is_made_by_root()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_place_is_off_or_as_it_was_said() {
        assert_eq!(SocketLocation::Off.prepare(None).unwrap(), None);
        let location = SocketLocation::At("/x/y".into()).prepare(None).unwrap().unwrap();
        assert_eq!(location, Location { path: "/x/y".into(), is_own: false });
    }

    #[test]
    fn no_default_folder_is_in_a_place_that_all_may_write_to() {
        let temporary = std::env::temp_dir();
        assert!(default_folder(None).is_none_or(|folder| !folder.starts_with(&temporary)));
        assert!(running().iter().all(|socket| !socket.starts_with(&temporary)));
        assert!(!is_of(Path::new("/tmp"), own_uid()) && !is_of(Path::new("/none"), own_uid()));
    }

    #[test]
    fn the_folder_of_a_user_is_made_for_that_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("above/4711");
        fs::create_dir(path.parent().unwrap()).unwrap();
        for _ in 0..2 {
            make_folder(&path, None).unwrap();
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid()), (0o700, own_uid()));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(make_folder(&path, None), Err(SocketError::Folder { .. })));
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/", &path).unwrap();
        assert!(matches!(make_folder(&path, None), Err(SocketError::MakeFolder { .. })), "a link is not followed");
    }

    #[test]
    fn what_a_killed_run_left_behind_is_removed_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let path = |name: String| folder.path().join(name);
        let left = path(format!("{}.sock", gone.id()));
        let odd = path("\u{1b}[2J1.sock".to_owned());
        let begins = path(format!("{}.sock", std::process::id()));
        let named = path("named.sock".to_owned());
        for socket in [&left, &begins, &named, &odd] {
            drop(UnixListener::bind(socket).unwrap());
        }
        let listens = path("1.sock".to_owned());
        let _listener = UnixListener::bind(&listens).unwrap();
        let notes = path("2.sock".to_owned());
        fs::write(&notes, "mine").unwrap();
        assert_eq!(alive(folder.path()), std::slice::from_ref(&listens));
        assert!(!left.exists());
        assert!([&begins, &named, &odd, &listens, &notes].iter().all(|path| path.exists()));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(alive(folder.path()).is_empty(), "others may write there");
    }
}

//! A directory as a descriptor: found name by name, so that nobody can exchange a part of its path meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::Refused;

/// Symbolic links that a path may lead through, as the kernel has it; past it the path is an error.
const MAX_LINKS: usize = 40;
/// Attempts to make a directory that somebody else removes meanwhile.
const ATTEMPTS: usize = 8;

/// Flags to open a directory on the way: to pass through, without read access where the system has a flag for that.
const PASSED: OFlags = DIRECTORY.union(PATH_ONLY);
/// Flags to open a directory whose own attributes are changed.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(target_os = "linux")]
const PATH_ONLY: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PATH_ONLY: OFlags = OFlags::empty();

/// A directory that was opened; what is done in it is done there, wherever its name leads later.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) fd: OwnedFd,
    /// True when only root and this user can replace it, or any directory above it.
    pub(super) is_trusted: bool,
}

impl Folder {
    /// Opens a directory. Links on the way are followed where none but root and this user could have put them there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Walk::new(path, None)?.end()
    }

    /// The same; directories that are missing are made with this mode.
    pub(crate) fn make(path: &Path, mode: Mode) -> io::Result<Self> {
        Walk::new(path, Some(mode))?.end()
    }

    /// The directory of a file, and the name of the file in it.
    pub(crate) fn of(path: &Path, make: Option<Mode>) -> io::Result<(Self, &OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = make.map_or_else(|| Self::open(parent), |mode| Self::make(parent, mode))?;
        Ok((folder, name))
    }

    /// Returns whether only root and this user can replace it, or any directory above it.
    pub(crate) const fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Its descriptor.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sets the permissions of an entry, in a directory that nobody else may write to.
    pub(crate) fn allow_entry(&self, name: &OsStr, mode: Mode) -> io::Result<()> {
        Ok(rustix::fs::chmodat(&self.fd, name, mode, AtFlags::empty())?)
    }

    /// Returns the metadata of the directory.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// Returns the metadata of an entry; `None` where there is none. Links are not followed.
    pub(crate) fn entry(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an entry that is no directory.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// The directory of this name in it, made with this mode where there is none; says whether it was.
    pub(crate) fn subfolder(&self, name: &OsStr, mode: Mode) -> io::Result<(Self, bool)> {
        let is_new = match rustix::fs::mkdirat(&self.fd, name, mode) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let fd = rustix::fs::openat(&self.fd, name, DIRECTORY, Mode::empty())?;
        let is_trusted = self.is_trusted && belongs_to_us(&rustix::fs::fstat(&fd)?);
        Ok((Self { fd, is_trusted }, is_new))
    }

    /// Gives it to this user, and none else anything to do with it.
    pub(crate) fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        Ok(rustix::fs::fchown(&self.fd, Some(uid), Some(gid))?)
    }

    /// Sets its permissions, whatever the umask took away.
    pub(crate) fn allow(&self, mode: Mode) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.fd, mode)?)
    }
}

/// The number of the user who does what is done here.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns whether users other than its owner may write to it.
pub(crate) fn is_open_to_others(stat: &Stat) -> bool {
    Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH)
}

/// Returns whether it belongs to root or this user, and nobody else can remove entries from it.
fn belongs_to_us(stat: &Stat) -> bool {
    let is_ours = stat.st_uid == 0 || stat.st_uid == own_uid();
    is_ours && (!is_open_to_others(stat) || Mode::from_raw_mode(stat.st_mode).contains(Mode::SVTX))
}

/// A way from directory to directory.
struct Walk<'a> {
    path: &'a Path,
    at: Folder,
    /// Components that are left: `/`, `..` or a name.
    left: VecDeque<OsString>,
    links: usize,
    make: Option<Mode>,
}

impl<'a> Walk<'a> {
    fn new(path: &'a Path, make: Option<Mode>) -> io::Result<Self> {
        let at = Self::begin(Path::new("."))?;
        let mut walk = Self { path, at, left: VecDeque::new(), links: 0, make };
        walk.before(path);
        Ok(walk)
    }

    /// The root, or the directory of this process: neither has a name that could be exchanged.
    fn begin(path: &Path) -> io::Result<Folder> {
        let fd = rustix::fs::openat(CWD, path, PASSED, Mode::empty())?;
        let is_trusted = belongs_to_us(&rustix::fs::fstat(&fd)?);
        Ok(Folder { fd, is_trusted })
    }

    /// Goes this path first, then what was left.
    fn before(&mut self, path: &Path) {
        for component in path.components().rev() {
            if !matches!(component, Component::CurDir | Component::Prefix(_)) {
                self.left.push_front(component.as_os_str().to_owned());
            }
        }
    }

    fn end(mut self) -> io::Result<Folder> {
        while let Some(name) = self.left.pop_front() {
            if name == "/" {
                self.at = Self::begin(Path::new("/"))?;
            } else {
                self.step(&name)?;
            }
        }
        Ok(self.at)
    }

    fn step(&mut self, name: &OsStr) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat(&self.at.fd, name, PASSED, Mode::empty()) {
                Ok(fd) => {
                    let is_trusted = self.at.is_trusted && belongs_to_us(&rustix::fs::fstat(&fd)?);
                    self.at = Folder { fd, is_trusted };
                    return Ok(());
                }
                Err(Errno::NOENT) => {
                    let Some(mode) = self.make else { return Err(Errno::NOENT.into()) };
                    match rustix::fs::mkdirat(&self.at.fd, name, mode) {
                        Ok(()) => self.allow(name, mode),
                        Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(Errno::LOOP | Errno::NOTDIR) => return self.link(name),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::NOENT.into())
    }

    /// Gives a directory that was made here what the umask took away, where nobody else can have exchanged it since.
    fn allow(&self, name: &OsStr, mode: Mode) {
        if !self.at.is_trusted {
            return;
        }
        let opened = rustix::fs::openat(&self.at.fd, name, DIRECTORY, Mode::empty());
        opened.and_then(|fd| rustix::fs::fchmod(fd, mode)).ok();
    }

    /// Follows `name`, which is not a directory, if it is a link that may be followed.
    fn link(&mut self, name: &OsStr) -> io::Result<()> {
        let stat = self.at.entry(name)?.ok_or(io::ErrorKind::NotFound)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        self.links += 1;
        if self.links > MAX_LINKS || !self.may_follow(&stat)? {
            return Err(Refused::Through { path: self.path.to_owned(), link: name.into() }.into());
        }
        let target = rustix::fs::readlinkat(&self.at.fd, name, Vec::new())?;
        self.before(&PathBuf::from(OsString::from_vec(target.into_bytes())));
        Ok(())
    }

    /// Root follows what nobody else can have put there; others follow what the kernel has them follow in a sticky
    /// directory: their own, root's, and those of the directory's owner.
    fn may_follow(&self, link: &Stat) -> io::Result<bool> {
        let is_ours = link.st_uid == 0 || link.st_uid == own_uid();
        if own_uid() == 0 {
            return Ok(is_ours && self.at.is_trusted);
        }
        Ok(is_ours || link.st_uid == self.at.stat()?.st_uid)
    }
}

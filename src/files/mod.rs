//! Files that are created: for their owner alone, and never through a link that another user has put in their place.
//!
//! A path is opened name by name, each directory held by its descriptor; the last name is never followed where it is a
//! link. An existing file is replaced only where it is this user's: the owner of a file can read everything written to
//! it. So a run as root writes only to the named files, whatever other users do in the directory meanwhile.

mod append;
mod folder;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rand::RngExt as _;
use rustix::fs::{FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;

pub(crate) use append::{append, exchange};
pub(crate) use folder::{Folder, is_open_to_others, own_uid};

/// Attempts where others make and remove the same name meanwhile.
const ATTEMPTS: usize = 8;
/// Flags to create a new file.
const NEW: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags to open an existing file.
const THERE: OFlags = OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Permissions of created files: for their owner, and for those whom `--mode` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(Mode);

impl Default for FileMode {
    fn default() -> Self {
        Self(Mode::RUSR.union(Mode::WUSR))
    }
}

/// Error for permissions that an output file must not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{typed}` is no mode for files that hold what was recorded: write 0600, or 0640 to let the group read; the owner \
     has to read and write, and others cannot write"
)]
pub struct FileModeError {
    typed: String,
}

impl FromStr for FileMode {
    type Err = FileModeError;

    fn from_str(typed: &str) -> Result<Self, FileModeError> {
        let error = || FileModeError { typed: typed.to_owned() };
        let digits = typed.bytes().all(|byte| byte.is_ascii_digit()) && (3..=4).contains(&typed.len());
        let raw = if digits { RawMode::from_str_radix(typed, 8).ok() } else { None };
        let mode = raw.and_then(Mode::from_bits).ok_or_else(error)?;
        let shared = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH;
        if shared.contains(mode) && mode.contains(Self::default().0) { Ok(Self(mode)) } else { Err(error()) }
    }
}

/// As it is typed.
impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0.as_raw_mode())
    }
}

impl FileMode {
    /// For directories on the way: who may read a file may go to it.
    fn of_folder(self) -> Mode {
        let may_go = [(Mode::RGRP, Mode::RGRP | Mode::XGRP), (Mode::ROTH, Mode::ROTH | Mode::XOTH)];
        may_go.into_iter().filter(|(read, _)| self.0.contains(*read)).fold(Mode::RWXU, |mode, (_, go)| mode | go)
    }
}

/// Reason why a path that could be written to is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refused {
    /// It is a link.
    #[error("{} is a symbolic link, and no output follows one: name the file itself, or remove the link", path.display())]
    Link {
        /// Path as named.
        path: PathBuf,
    },
    /// A directory on the way is a link that somebody else may have made.
    #[error("{} leads through the symbolic link {}, which another user can change: name the directory itself", path.display(), link.display())]
    Through {
        /// Path as named.
        path: PathBuf,
        /// The link.
        link: PathBuf,
    },
    /// Somebody else has it.
    #[error("{} belongs to another user ({owner}), who could read what is written to it: remove it, or name another file", path.display())]
    Foreign {
        /// Path as named.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// It goes by several names.
    #[error("{} is one of several names of a file (hard links): remove it, or name another file", path.display())]
    Names {
        /// Path as named.
        path: PathBuf,
    },
    /// It is a disk, a socket, or the like.
    #[error("{} is no file, pipe or terminal: name another file", path.display())]
    Kind {
        /// Path as named.
        path: PathBuf,
    },
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::InvalidInput, refused)
    }
}

/// Makes a new file, and the directories on the way to it. One that exists is an error, and stays as it is.
///
/// # Errors
///
/// Where there is such a file, a link on the way is not to be followed, or the system refuses.
pub(crate) fn create_new(path: &Path, mode: FileMode) -> io::Result<File> {
    let (folder, name) = Folder::of(path, Some(mode.of_folder()))?;
    Ok(create(&folder, name, mode)?)
}

/// Opens a file to be read and written as it is, or makes it.
///
/// # Errors
///
/// Where a link is not to be followed, the file is another user's or no file, or the system refuses.
#[cfg(feature = "nats")]
pub(crate) fn open_or_make(path: &Path, mode: FileMode) -> io::Result<File> {
    let (folder, name) = Folder::of(path, Some(mode.of_folder()))?;
    if folder.entry(name)?.is_none() {
        match create(&folder, name, mode) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let flags = THERE.difference(OFlags::WRONLY) | OFlags::RDWR;
    let fd = rustix::fs::openat(&folder.fd, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(fd.as_fd())?;
    judge(path, &folder, &stat)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Refused::Kind { path: path.to_owned() }.into());
    }
    Ok(fd.into())
}

/// Makes a folder, and those on the way to it, where they are missing.
///
/// # Errors
///
/// Where a link on the way is not to be followed, or the system refuses.
pub fn make_folder(path: &Path, mode: FileMode) -> io::Result<()> {
    Folder::make(path, mode.of_folder()).map(drop)
}

/// Opens a file to be written from its beginning: a new one, in the place of one that this user has. Pipes, terminals
/// and the streams of this process are opened as they are.
///
/// # Errors
///
/// Where a link is not to be followed, the file is another user's or has several names, or the system refuses.
pub fn overwrite(path: &Path, mode: FileMode) -> io::Result<File> {
    if is_own_stream(path) {
        return File::options().write(true).open(path);
    }
    let (folder, name) = Folder::of(path, None)?;
    for _ in 0..ATTEMPTS {
        let Some(stat) = folder.entry(name)? else {
            match create(&folder, name, mode) {
                Err(Errno::EXIST) => continue,
                file => return Ok(file?),
            }
        };
        judge(path, &folder, &stat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return open(path, &folder, name, mode);
        }
        return match replace(&folder, name, mode) {
            Ok(file) => Ok(file),
            // What is there may be written to all the same.
            Err(error) if holds_no_new_file(error) => open(path, &folder, name, mode),
            Err(error) => Err(error.into()),
        };
    }
    Err(Errno::EXIST.into())
}

/// Says whether [`overwrite`] would refuse the path as it is now, or the system would. A file is made beside it and
/// removed again; nothing else changes.
///
/// # Errors
///
/// What [`overwrite`] would say.
pub fn check(path: &Path) -> io::Result<()> {
    if is_own_stream(path) {
        return Ok(());
    }
    let (folder, name) = Folder::of(path, None)?;
    let stat = folder.entry(name)?;
    if let Some(stat) = &stat {
        judge(path, &folder, stat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
    }
    let passing = passing_name();
    match create(&folder, &passing, FileMode::default()) {
        Ok(_) => folder.remove(&passing),
        // What is there may be written to all the same.
        Err(error) if stat.is_some() && holds_no_new_file(error) => {
            rustix::fs::openat(&folder.fd, name, THERE, Mode::empty())?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a pipe for writing without waiting for its reader; `None` where it has none yet.
///
/// # Errors
///
/// Where it is no pipe, or the system refuses.
pub fn open_pipe(path: &Path) -> io::Result<Option<File>> {
    let (folder, name) = Folder::of(path, None)?;
    // A pipe of somebody else is not waited for.
    folder.entry(name)?.map_or(Ok(()), |stat| judge(path, &folder, &stat))?;
    let fd = match rustix::fs::openat(&folder.fd, name, THERE | OFlags::NONBLOCK, Mode::empty()) {
        Err(Errno::NXIO) => return Ok(None),
        fd => fd?,
    };
    let stat = rustix::fs::fstat(fd.as_fd())?;
    judge(path, &folder, &stat)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Err(Refused::Kind { path: path.to_owned() }.into());
    }
    // From here on a slow reader is waited for.
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags.difference(OFlags::NONBLOCK))?;
    Ok(Some(fd.into()))
}

/// Reads the first `len` bytes of a file that [`overwrite`] would replace and that would be gone then; `None` where there is
/// none, or it has another name.
///
/// # Errors
///
/// Where the system refuses.
pub fn beginning(path: &Path, len: usize) -> io::Result<Option<Vec<u8>>> {
    if is_own_stream(path) {
        return Ok(None);
    }
    let (folder, name) = Folder::of(path, None)?;
    let is_at_stake = |stat: &Stat| {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file && stat.st_nlink == 1 && judge(path, &folder, stat).is_ok()
    };
    if !folder.entry(name)?.as_ref().is_some_and(is_at_stake) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&folder.fd, name, flags, Mode::empty())?;
    if !is_at_stake(&rustix::fs::fstat(fd.as_fd())?) {
        return Ok(None);
    }
    let mut begin = Vec::new();
    io::Read::take(File::from(fd), len as u64).read_to_end(&mut begin)?;
    Ok(Some(begin))
}

/// Returns whether the path names a pipe.
#[must_use]
pub fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    !is_own_stream(path) && path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_fifo())
}

/// Removes a file.
///
/// # Errors
///
/// Where the system refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    let (folder, name) = Folder::of(path, None)?;
    folder.remove(name)
}

/// Returns whether the path names a stream that this process was started with. Its owner chose the file behind it.
fn is_own_stream(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    let number = ["/dev/fd/", "/proc/self/fd/"].iter().find_map(|start| text.strip_prefix(start));
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    ["/dev/stdout", "/dev/stderr"].contains(&text) || number.is_some_and(is_number)
}

/// Checks whether an existing file may be written to.
fn judge(path: &Path, folder: &Folder, stat: &Stat) -> Result<(), Refused> {
    let path = || path.to_owned();
    let is_ours = stat.st_uid == 0 || stat.st_uid == own_uid();
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => Err(Refused::Link { path: path() }),
        // Terminals belong to whoever sits at them.
        FileType::CharacterDevice if is_ours || folder.is_trusted => Ok(()),
        FileType::RegularFile | FileType::Fifo if is_ours => Ok(()),
        FileType::CharacterDevice | FileType::RegularFile | FileType::Fifo => {
            Err(Refused::Foreign { path: path(), owner: stat.st_uid })
        }
        _ => Err(Refused::Kind { path: path() }),
    }
}

/// A name that nobody else has, for a file on its way.
fn passing_name() -> OsString {
    OsString::from(format!(".shadowtap-{:016x}", rand::rng().random::<u64>()))
}

fn create(folder: &Folder, name: &OsStr, mode: FileMode) -> Result<File, Errno> {
    let fd = rustix::fs::openat(&folder.fd, name, NEW, Mode::RUSR | Mode::WUSR)?;
    // The umask may have taken something away, and has nothing to add.
    rustix::fs::fchmod(&fd, mode.0)?;
    Ok(fd.into())
}

/// Returns whether an error means that nothing can be made in a folder, or that a mount holds the name.
const fn holds_no_new_file(error: Errno) -> bool {
    matches!(error, Errno::ACCESS | Errno::PERM | Errno::BUSY | Errno::ROFS | Errno::XDEV)
}

/// Puts a new file in the place of an old one: whoever has that open reads nothing of what comes.
fn replace(folder: &Folder, name: &OsStr, mode: FileMode) -> Result<File, Errno> {
    let passing = passing_name();
    let file = create(folder, &passing, mode)?;
    rustix::fs::renameat(&folder.fd, &passing, &folder.fd, name).inspect_err(|_| {
        rustix::fs::unlinkat(&folder.fd, &passing, rustix::fs::AtFlags::empty()).ok();
    })?;
    Ok(file)
}

/// Opens what is there; what it is is judged again once it is open.
fn open(path: &Path, folder: &Folder, name: &OsStr, mode: FileMode) -> io::Result<File> {
    let fd = rustix::fs::openat(&folder.fd, name, THERE, Mode::empty())?;
    let stat = rustix::fs::fstat(fd.as_fd())?;
    judge(path, folder, &stat)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        if stat.st_nlink != 1 {
            return Err(Refused::Names { path: path.to_owned() }.into());
        }
        if stat.st_uid == own_uid() {
            rustix::fs::fchmod(&fd, mode.0)?;
        }
        rustix::fs::ftruncate(&fd, 0)?;
    }
    Ok(fd.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn said(result: io::Result<File>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn modes_let_the_owner_write_and_nobody_else_but_the_group() {
        for typed in ["0600", "600", "0640", "0644", "0660"] {
            let mode: FileMode = typed.parse().unwrap();
            assert_eq!(mode.to_string(), format!("{typed:0>4}"));
        }
        for typed in ["", "0400", "0666", "0606", "0700", "4600", "0o600", "-640", "+600", "0648", "00600", "u=rw"] {
            let error = typed.parse::<FileMode>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{typed}` is no mode")) && error.contains("0640"), "{error}");
        }
    }

    #[test]
    fn files_are_for_their_owner_and_directories_on_the_way_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.gor");
        create_new(&path, FileMode::default()).unwrap();
        assert_eq!((mode_of(&path), mode_of(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(mode_of(&folder.path().join("a")), 0o700);
        let again = create_new(&path, FileMode::default()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let shared = folder.path().join("d/e.gor");
        create_new(&shared, "0640".parse().unwrap()).unwrap();
        assert_eq!(mode_of(&shared), 0o640);
        assert_eq!(mode_of(shared.parent().unwrap()), 0o750, "whatever the umask is");
    }

    #[test]
    fn what_is_appended_stands_behind_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        for (text, there) in [("one\n", false), ("two\n", true), ("three\n", true)] {
            let (mut file, was_there) = append(&path, FileMode::default()).unwrap();
            assert_eq!(was_there, there);
            file.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        let (old, _) = append(&path, FileMode::default()).unwrap();
        let fails = exchange(&path, &old, |_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(fails.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        let mut new = exchange(&path, &old, |file| file.write_all(b"four\n")).unwrap();
        new.write_all(b"five\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\nfive\n");
        assert!(exchange(&path, &old, |_| Ok(())).is_err(), "another file has its name now");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(append(&link, FileMode::default()).unwrap_err().to_string().contains("symbolic link"));
    }

    #[test]
    fn a_file_of_ones_own_is_replaced_and_who_had_it_open_reads_nothing_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        fs::write(&path, "old and longer").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut before = File::open(&path).unwrap();
        overwrite(&path, FileMode::default()).unwrap().write_all(b"new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode_of(&path)), ("new", 0o600));
        let mut read = String::new();
        before.read_to_string(&mut read).unwrap();
        assert_eq!(read, "old and longer");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left on the way");
    }

    #[test]
    fn a_link_is_never_followed_whatever_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("run.json"));
        fs::write(&victim, "mine").unwrap();
        for target in [victim.clone(), folder.path().join("not-there"), "/dev/null".into()] {
            symlink(&target, &link).unwrap();
            for error in [said(overwrite(&link, FileMode::default())), check(&link).unwrap_err().to_string()] {
                assert!(error.starts_with(&format!("{} is a symbolic link", link.display())), "{error}");
            }
            let new = create_new(&link, FileMode::default()).unwrap_err();
            assert_eq!(new.kind(), io::ErrorKind::AlreadyExists);
            fs::remove_file(&link).unwrap();
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert!(!folder.path().join("not-there").exists());
    }

    #[test]
    fn another_name_of_a_file_is_taken_away_and_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, name) = (folder.path().join("victim"), folder.path().join("run.json"));
        fs::write(&victim, "mine").unwrap();
        fs::hard_link(&victim, &name).unwrap();
        overwrite(&name, FileMode::default()).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(fs::metadata(&name).unwrap().nlink(), 1);
    }

    #[test]
    fn links_to_directories_are_followed_where_they_are_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        symlink("real", folder.path().join("latest")).unwrap();
        symlink(folder.path().join("latest/../latest"), folder.path().join("more")).unwrap();
        overwrite(&folder.path().join("more/./run.json"), FileMode::default()).unwrap();
        assert!(folder.path().join("real/run.json").exists());
        symlink("loop", folder.path().join("loop")).unwrap();
        let error = said(overwrite(&folder.path().join("loop/run.json"), FileMode::default()));
        assert!(error.contains("leads through the symbolic link loop"), "{error}");
    }

    #[test]
    fn what_is_in_the_way_is_told_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let kind = |name: &str| overwrite(&folder.path().join(name), FileMode::default()).unwrap_err().kind();
        assert_eq!(kind("none/run.json"), io::ErrorKind::NotFound);
        assert_eq!(kind("file/run.json"), io::ErrorKind::NotADirectory);
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert!(
            said(overwrite(&folder.path().join("socket"), FileMode::default())).contains("no file, pipe or terminal")
        );
    }

    #[test]
    fn streams_and_devices_are_written_to_as_they_are() {
        overwrite("/dev/null".as_ref(), FileMode::default()).unwrap().write_all(b"gone").unwrap();
        let mode = fs::metadata("/dev/null").unwrap().permissions().mode();
        overwrite("/dev/null".as_ref(), FileMode::default()).unwrap();
        assert_eq!(fs::metadata("/dev/null").unwrap().permissions().mode(), mode);
        for path in ["/dev/stdout", "/dev/stderr", "/dev/fd/63", "/proc/self/fd/1"] {
            assert!(is_own_stream(path.as_ref()), "{path}");
        }
        for path in ["/dev/fd/", "/dev/fd/../null", "/dev/stdout/", "/proc/self/fd/1/x", "stdout"] {
            assert!(!is_own_stream(path.as_ref()) || path == "/dev/stdout/", "{path}");
        }
    }

    #[test]
    fn a_check_leaves_nothing_and_says_what_the_system_would() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        fs::write(&path, "old").unwrap();
        check(&path).unwrap();
        check(&folder.path().join("new.json")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(check("/proc/none".as_ref()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_without_a_reader_is_no_reason_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(is_pipe(&path) && open_pipe(&path).unwrap().is_none());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let reader = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        open_pipe(&path).unwrap().unwrap().write_all(b"through").unwrap();
        let mut read = String::new();
        File::from(reader).read_to_string(&mut read).unwrap();
        assert_eq!(read, "through");
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(!is_pipe(&folder.path().join("file")) && open_pipe(&folder.path().join("file")).is_err());
    }

    #[test]
    fn a_pipe_is_written_to_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let reads = path.clone();
        let reader = std::thread::spawn(move || fs::read_to_string(reads).unwrap());
        overwrite(&path, FileMode::default()).unwrap().write_all(b"through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
    }
}

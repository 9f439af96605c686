//! Files that are gone on in: opened behind what is in them, or exchanged for a copy that can be gone on in.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{FileMode, Folder, Refused, THERE, create, judge, passing_name};

/// Opens a file to be read, and written behind what is in it, or makes it. Returns the file, and whether it was there.
///
/// # Errors
///
/// Where a link is not to be followed, the file is another user's or no file, or the system refuses.
pub(crate) fn append(path: &Path, mode: FileMode) -> io::Result<(File, bool)> {
    let (folder, name) = Folder::of(path, Some(mode.of_folder()))?;
    let Some(stat) = folder.entry(name)? else { return Ok((create(&folder, name, mode)?, false)) };
    judge(path, &folder, &stat)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Refused::Kind { path: path.to_owned() }.into());
    }
    let flags = THERE.difference(OFlags::WRONLY) | OFlags::RDWR | OFlags::APPEND;
    let file = File::from(rustix::fs::openat(&folder.fd, name, flags, Mode::empty())?);
    judge(path, &folder, &rustix::fs::fstat(file.as_fd())?)?;
    Ok((file, true))
}

/// Puts what `write` writes in the place of a file that is open. It takes the name when all of it has reached the disk:
/// until then, and where anything fails, the file stays as it is.
///
/// # Errors
///
/// Where `write` fails, the name leads to another file meanwhile, or the system refuses.
pub(crate) fn exchange(path: &Path, old: &File, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<File> {
    let (folder, name) = Folder::of(path, None)?;
    let stat = rustix::fs::fstat(old.as_fd())?;
    let passing = passing_name();
    let mut file = create(&folder, &passing, FileMode(Mode::from_raw_mode(stat.st_mode)))?;
    let written = write(&mut file).and_then(|()| file.sync_all()).and_then(|()| {
        let entry = folder.entry(name)?.ok_or(io::ErrorKind::NotFound)?;
        if (entry.st_dev, entry.st_ino) != (stat.st_dev, stat.st_ino) {
            return Err(Errno::BUSY.into());
        }
        Ok(rustix::fs::renameat(&folder.fd, &passing, &folder.fd, name)?)
    });
    if let Err(error) = written {
        folder.remove(&passing).ok();
        return Err(error);
    }
    Ok(file)
}

//! A file that is being written: buffered, compressed, counted.

use std::any::Any;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use rustix::fs::FlockOperation;

use super::output_path::Compression;
use crate::files::{self, FileMode};

/// Bytes that are collected before they are written: enough that the system call does not count, few enough that they
/// are still in the cache then.
const BUFFER: usize = 64 * 1024;
/// Level of zstd: a recording runs next to production, so this is the cheapest useful level.
const ZSTD_LEVEL: i32 = 1;

/// File creation: in the file system, or in memory in tests.
pub(super) trait Disk: Send {
    /// Makes a new file; one that exists is an error and stays as it is.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn Write + Send>>;

    /// Opens a file behind what is in it, or makes it; `end` is what each record ends with. Returns whether it was there.
    fn append(&mut self, path: &Path, end: &[u8]) -> io::Result<(Box<dyn Write + Send>, bool)> {
        let _ = end;
        self.create(path).map(|file| (file, false))
    }

    /// Returns the number behind those of the files whose names are a number between these two.
    fn next_number(&self, before: &str, after: &str) -> u32 {
        let _ = (before, after);
        0
    }

    /// Removes a file that was made here; nobody minds where that fails.
    fn remove(&mut self, path: &Path);

    /// Opens a file that was made here, to read it.
    fn open(&mut self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// Returns the files of a folder whose names end like this.
    fn files(&self, folder: &Path, ending: &str) -> Vec<PathBuf> {
        let _ = (folder, ending);
        Vec::new()
    }

    /// Makes a folder, and keeps other processes out of it for as long as what is returned lives.
    fn lock(&mut self, folder: &Path) -> io::Result<Box<dyn Any + Send>> {
        let _ = folder;
        Ok(Box::new(()))
    }

    /// Removes what [`Disk::lock`] made, and the folder where it is empty.
    fn unlock(&mut self, folder: &Path) {
        let _ = folder;
    }

    /// Returns the folders that would have to be made for a file, the innermost first.
    fn missing_folders(&self, path: &Path) -> Vec<PathBuf> {
        let _ = path;
        Vec::new()
    }

    /// Removes a folder that is empty; nobody minds where that fails.
    fn remove_folder(&mut self, path: &Path) {
        let _ = path;
    }
}

/// The file system.
#[derive(Debug, Default)]
pub(super) struct FileSystemDisk {
    /// Permissions of new files.
    pub(super) mode: FileMode,
}

impl Disk for FileSystemDisk {
    fn missing_folders(&self, path: &Path) -> Vec<PathBuf> {
        let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        above.take_while(|folder| folder.symlink_metadata().is_err()).map(Path::to_owned).collect()
    }

    fn remove_folder(&mut self, path: &Path) {
        std::fs::remove_dir(path).ok();
    }

    fn append(&mut self, path: &Path, end: &[u8]) -> io::Result<(Box<dyn Write + Send>, bool)> {
        let (file, was_there) = files::append(path, self.mode, end)?;
        Ok((Box::new(file), was_there))
    }

    fn next_number(&self, before: &str, after: &str) -> u32 {
        let (folder, before) = before.rsplit_once('/').map_or((".", before), |(folder, name)| (folder, name));
        let (after, folder) = (after.as_bytes(), if folder.is_empty() { "/" } else { folder });
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| {
            let name = entry.file_name();
            let number = name.as_encoded_bytes().strip_prefix(before.as_bytes())?.strip_suffix(after)?;
            std::str::from_utf8(number).ok()?.parse::<u32>().ok()
        });
        numbers.max().map_or(0, |highest| highest.saturating_add(1))
    }

    fn create(&mut self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        if path.as_os_str() == "-" {
            return Ok(Box::new(standard_output()));
        }
        Ok(Box::new(files::create_new(path, self.mode)?))
    }

    fn remove(&mut self, path: &Path) {
        files::remove(path).ok();
    }

    fn open(&mut self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::fs::File::open(path)?))
    }

    fn files(&self, folder: &Path, ending: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter(|entry| {
                let name = entry.file_name();
                let number = name.to_str().and_then(|name| name.strip_suffix(ending));
                number.is_some_and(|number| number.parse::<u32>().is_ok())
            })
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }

    fn lock(&mut self, folder: &Path) -> io::Result<Box<dyn Any + Send>> {
        check_ring(folder)?;
        let path = folder.join(LOCK);
        let file = match files::create_new(&path, FileMode::default()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::File::options().read(true).write(true).open(&path)?
            }
            Err(error) => return Err(error),
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let why = format!("another run keeps its ring in {}", folder.display());
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        Ok(Box::new(file))
    }

    fn unlock(&mut self, folder: &Path) {
        files::remove(&folder.join(LOCK)).ok();
        self.remove_folder(folder);
    }
}

/// Name of the file that is locked in the folder of a ring.
const LOCK: &str = "lock";

/// Makes sure that a folder which is there already is that of a ring: what is in another one is not ours to remove.
fn check_ring(folder: &Path) -> io::Result<()> {
    let Ok(found) = folder.symlink_metadata() else { return Ok(()) };
    let is_empty = || std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none());
    let why = if !found.is_dir() {
        "is no folder"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if folder.join(LOCK).symlink_metadata().is_err() && !is_empty() {
        "has files that are of no ring"
    } else {
        return Ok(());
    };
    let why = format!("{} {why}; move it away, or record to another file", folder.display());
    Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
}

#[expect(clippy::disallowed_methods, reason = "records are for programs, as they were on the wire")]
fn standard_output() -> io::Stdout {
    io::stdout()
}

/// Counts what reaches the file.
pub(super) struct CountingWriter {
    to: Box<dyn Write + Send>,
    stored: u64,
}

impl Write for CountingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.stored += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A file that is being written.
pub(super) enum Sink {
    Plain(BufWriter<CountingWriter>),
    Gzip(GzEncoder<BufWriter<CountingWriter>>),
    Zstd(zstd::Encoder<'static, BufWriter<CountingWriter>>),
}

impl Sink {
    pub(super) fn new(to: Box<dyn Write + Send>, compression: Compression) -> io::Result<Self> {
        let to = BufWriter::with_capacity(BUFFER, CountingWriter { to, stored: 0 });
        Ok(match compression {
            Compression::None => Self::Plain(to),
            Compression::Gzip => Self::Gzip(GzEncoder::new(to, flate2::Compression::fast())),
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(to, ZSTD_LEVEL)?),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(bytes),
            Self::Gzip(to) => to.write_all(bytes),
            Self::Zstd(to) => to.write_all(bytes),
        }
    }

    /// Hands everything to the system, compressed such that a reader gets all of it: what comes of a process that is
    /// killed now. (Not of a machine that loses power: that would need the disk to be waited for.)
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Gzip(to) => to.flush(),
            Self::Zstd(to) => to.flush(),
        }
    }

    /// Ends the file.
    pub(super) fn finish(self) -> io::Result<u64> {
        let mut to = match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.finish()?,
            Self::Zstd(to) => to.finish()?,
        };
        to.flush()?;
        Ok(to.get_ref().stored)
    }

    /// Leaves the file as it is: nothing more is written to it, not even what was collected.
    pub(super) fn abandon(self) {
        match self {
            Self::Plain(to) => drop(to.into_parts()),
            // Their remains would be written on drop; what follows a failed write is of no use to anybody.
            Self::Gzip(mut to) => to.get_mut().get_mut().to = Box::new(io::sink()),
            Self::Zstd(mut to) => to.get_mut().get_mut().to = Box::new(io::sink()),
        }
    }

    /// Bytes in the file, and those on their way to it.
    pub(super) fn stored(&self) -> u64 {
        let to = match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.get_ref(),
            Self::Zstd(to) => to.get_ref(),
        };
        to.get_ref().stored + to.buffer().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_of_no_ring_is_left_alone() {
        let above = tempfile::tempdir().unwrap();
        let [real, link, file] = ["real", "link", "file"].map(|name| above.path().join(name));
        let mut disk = FileSystemDisk::default();
        drop(disk.lock(&real).unwrap());
        std::fs::write(real.join("0.gor"), "a piece").unwrap();
        drop(disk.lock(&real).unwrap());
        std::os::unix::fs::symlink(&real, &link).unwrap();
        std::fs::write(&file, "no folder").unwrap();
        for path in [&link, &file] {
            let error = disk.lock(path).unwrap_err().to_string();
            assert_eq!(error, format!("{} is no folder; move it away, or record to another file", path.display()));
        }
        std::fs::remove_file(real.join(LOCK)).unwrap();
        let error = disk.lock(&real).unwrap_err().to_string();
        assert!(error.contains("has files that are of no ring"), "{error}");
        assert!(real.join("0.gor").exists());
        std::fs::remove_file(real.join("0.gor")).unwrap();
        drop(disk.lock(&real).unwrap());
    }
}

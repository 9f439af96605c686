//! Where files are made: the file system, or memory in tests.

use std::any::Any;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::append::{self, Appended, KnownWhole, Layout};
use crate::files::{self, FileMode};

/// File creation: in the file system, or in memory in tests.
pub(super) trait Disk: Send {
    /// Makes a new file; one that exists is an error and stays as it is.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn Write + Send>>;

    /// Opens a file behind what is in it, or makes it; what was cut at its end is mended.
    fn append(&mut self, path: &Path, layout: Layout) -> io::Result<Appended<Box<dyn Write + Send>>> {
        let _ = layout;
        self.create(path).map(|to| Appended { to, was_there: false, mended: None })
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
    /// The compressed file that was appended to last, as far as it was looked through.
    pub(super) whole: Option<KnownWhole>,
}

impl Disk for FileSystemDisk {
    fn missing_folders(&self, path: &Path) -> Vec<PathBuf> {
        let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        above.take_while(|folder| folder.symlink_metadata().is_err()).map(Path::to_owned).collect()
    }

    fn remove_folder(&mut self, path: &Path) {
        std::fs::remove_dir(path).ok();
    }

    fn append(&mut self, path: &Path, layout: Layout) -> io::Result<Appended<Box<dyn Write + Send>>> {
        let Appended { to, was_there, mended } = append::append(path, self.mode, layout, &mut self.whole)?;
        Ok(Appended { to: Box::new(to), was_there, mended })
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
        let file = files::create_new(path, self.mode)?;
        append::lock(&file).ok();
        Ok(Box::new(file))
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

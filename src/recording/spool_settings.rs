//! Where a node keeps what has no room in memory while its store is away.

use std::path::PathBuf;

/// A spool file, and how large it may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The file.
    pub path: PathBuf,
    /// Most bytes that wait in it.
    pub size: u64,
}

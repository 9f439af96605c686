//! The sandbox of a run once it has begun: its own files, its own connections, and no system call that it has no use
//! for.
//!
//! The [`Needs`] of a run go in, as soon as everything is open and before there is a second thread; from then on the
//! kernel refuses the rest, for good, to this process and to every one that it starts. Landlock bounds files and ports,
//! seccomp bounds system calls; a kernel that lacks one of them is reported, and the other one stays in force.
//!
//! Programs of the user's (`--middleware`, `--guard-command`) are started, and started again, from within, so they are
//! bounded too: they read the system's files in `/usr` and the like, the folders of their own files, and write to the
//! run's outputs and the folder for temporary files. They may make any other calls but the dangerous ones.

use crate::causes::Help;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod calls;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod rights;

/// Nothing is known of other machines' calls.
#[cfg(all(target_os = "linux", not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod calls {
    #[expect(clippy::unnecessary_wraps, reason = "as where something can fail")]
    pub(super) fn limit(_: bool) -> Result<bool, super::SandboxError> {
        Ok(false)
    }
}

/// Needs of a run, in addition to those that every run has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files, and folders with all that is in them, that are read.
    pub reads: Vec<PathBuf>,
    /// Files that are read again when they may have been replaced.
    pub rereads: Vec<PathBuf>,
    /// Files that are written, or will be: others in their folders may be made and removed.
    pub writes: Vec<PathBuf>,
    /// Programs that are started, with their arguments; none where nothing is started.
    pub programs: Vec<Vec<String>>,
    /// Ports that are connected to.
    pub ports: Vec<u16>,
    /// True when root stays root, and so keeps those of its rights that reach other users' files.
    pub keeps_root: bool,
}

/// Bounds of a run; as text, a line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sandbox {
    files: bool,
    calls: bool,
    programs: bool,
}

/// Reason that a run cannot be bounded, on a kernel that could.
#[derive(Debug, thiserror::Error)]
#[error("cannot enter the sandbox: {step}: {why}")]
pub struct SandboxError {
    step: &'static str,
    why: String,
}

impl Help for SandboxError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("--no-sandbox runs without one".into())
    }
}

#[cfg(target_os = "linux")]
impl SandboxError {
    fn new(step: &'static str, why: impl fmt::Display) -> Self {
        Self { step, why: why.to_string() }
    }
}

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.files, self.calls) {
            (true, true) => "files (Landlock) and system calls (seccomp)",
            (true, false) => "files (Landlock); this kernel cannot limit system calls",
            (false, true) => "system calls (seccomp); this kernel cannot limit files",
            (false, false) => return f.write_str("sandbox: none, this system has neither Landlock nor seccomp"),
        };
        let whose = if self.programs { ", of its programs too" } else { "" };
        write!(f, "sandbox: limits {what}{whose}")
    }
}

/// Sees to it that no other process of the same user reads the memory of this one, and that it leaves no core behind. Where
/// a change of users has done so already, nothing changes.
pub fn hide_memory() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "the process stays dumpable");
    }
}

/// Gives up everything but the `needs`, for good. Call it once everything is open, and before there is another thread.
///
/// # Errors
///
/// Where the kernel could limit the process, and refuses to. A kernel that cannot is no error.
#[cfg(target_os = "linux")]
pub fn enter(needs: &Needs) -> Result<Sandbox, SandboxError> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(SandboxError::new(
            "threads",
            format_args!("{threads} run already, and each has rights of its own"),
        ));
    }
    rights::keep_files_only(needs.keeps_root)?;
    let files = files::limit(needs)?;
    let calls = calls::limit(!needs.programs.is_empty())?;
    Ok(Sandbox { files, calls, programs: !needs.programs.is_empty() })
}

/// Other systems have nothing of the kind.
///
/// # Errors
///
/// None.
#[cfg(not(target_os = "linux"))]
pub fn enter(needs: &Needs) -> Result<Sandbox, SandboxError> {
    Ok(Sandbox { files: false, calls: false, programs: !needs.programs.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_limited_is_told_in_a_line() {
        let told = |files, calls, programs| Sandbox { files, calls, programs }.to_string();
        assert_eq!(told(true, true, false), "sandbox: limits files (Landlock) and system calls (seccomp)");
        assert!(told(true, true, true).ends_with(", of its programs too"));
        assert!(told(false, true, false).contains("this kernel cannot limit files"));
        assert!(told(true, false, false).contains("this kernel cannot limit system calls"));
        assert!(told(false, false, false).starts_with("sandbox: none"));
    }
}

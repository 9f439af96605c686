//! Files that a run will write: whether they can be, before anything is sent.

use std::path::{Path, PathBuf};

use crate::capture;

use super::mistakes::Mistakes;
use super::{Output, Outputs, typed};

/// Where the summary and the results go.
pub(super) fn both(typed: &typed::Report, capture: &capture::Settings, mistakes: &mut Mistakes) -> Outputs {
    let outputs = Outputs {
        summary: summary(typed.summary.as_deref(), capture, mistakes),
        results: one("--results", typed.results.as_deref(), capture, mistakes),
    };
    if outputs.summary.is_some() && outputs.summary == outputs.results {
        let what = if outputs.summary == Some(Output::Stdout) { "standard output" } else { "one file" };
        mistakes.add("--summary and --results", format!("cannot both go to {what}"));
    }
    outputs
}

/// Where the summary goes.
pub(super) fn summary(path: Option<&Path>, capture: &capture::Settings, mistakes: &mut Mistakes) -> Option<Output> {
    one("--summary", path, capture, mistakes)
}

fn one(flag: &str, path: Option<&Path>, capture: &capture::Settings, mistakes: &mut Mistakes) -> Option<Output> {
    let path = path?;
    if path.as_os_str() == "-" {
        return Some(Output::Stdout);
    }
    mistakes.keep(flag, writable(path, &capture.files))?;
    Some(Output::File(path.to_owned()))
}

/// What speaks against writing to `path`.
fn writable(path: &Path, captures: &[PathBuf]) -> Result<(), String> {
    let shown = path.display();
    if path.as_os_str().is_empty() {
        return Err("an empty name is no file".to_owned());
    }
    if path.is_dir() {
        return Err(format!("{shown} is a directory: name a file in it"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(format!("cannot write {shown}: there is no directory {}", parent.display()));
    }
    let Ok(real) = path.canonicalize() else { return Ok(()) };
    if captures.iter().any(|file| file.canonicalize().is_ok_and(|file| file == real)) {
        return Err(format!("{shown} is the capture that is read: it would be overwritten"));
    }
    Ok(())
}

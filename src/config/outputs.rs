//! Files that a run will write: whether they can be, before anything is sent.

use crate::causes::causes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bounded;
use crate::capture;
use crate::files::FileMode;
use crate::report::RoutePatterns;

use super::mistakes::ConfigMistakes;
use super::{Output, Outputs, typed};

/// Largest file of routes that is read: a larger one is refused.
const MAX_ROUTES_FILE: usize = 4 << 20;

/// Checks the destinations of the summary, the results and the page.
pub(super) fn all(typed: &typed::Report, capture: &capture::Settings, mistakes: &mut ConfigMistakes) -> Outputs {
    let outputs = Outputs {
        summary: summary(typed.summary.as_deref(), capture, mistakes),
        results: one("--results", typed.results.as_deref(), capture, mistakes),
        report: one("--report", typed.report.as_deref(), capture, mistakes),
        mode: mode(typed.mode.as_deref(), mistakes),
    };
    if let (Some(Output::File(path)), false) = (&outputs.results, typed.force)
        && path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0)
    {
        let why = format!("{} has something in it: name another file, or overwrite it with --force", path.display());
        mistakes.add("--results", why);
    }
    let named = [("--summary", &outputs.summary), ("--results", &outputs.results), ("--report", &outputs.report)];
    for (at, (flag, output)) in named.iter().enumerate() {
        for (other, same) in named.iter().skip(at + 1).filter(|(_, same)| output.is_some() && same == output) {
            let what = if **same == Some(Output::Stdout) { "standard output" } else { "one file" };
            mistakes.add(format!("{flag} and {other}"), format!("cannot both go to {what}"));
        }
    }
    outputs
}

/// Parses the permissions of output files. Default: their owner alone.
pub(super) fn mode(typed: Option<&str>, mistakes: &mut ConfigMistakes) -> FileMode {
    typed.and_then(|typed| mistakes.keep("--mode", typed.parse())).unwrap_or_default()
}

/// Reads the names of routes from the file. Without a file, routes are named by their shape.
pub(super) fn routes(path: Option<&Path>, mistakes: &mut ConfigMistakes) -> Arc<RoutePatterns> {
    let read = |path: &Path| {
        let shown = path.display();
        let text = bounded::read_text(path, "a list of routes", MAX_ROUTES_FILE);
        let text = text.map_err(|error| format!("{shown} {}", causes(&error)))?;
        RoutePatterns::parse(&text).map_err(|error| format!("{shown}: {error}"))
    };
    path.and_then(|path| mistakes.keep("--routes", read(path))).map_or_else(Arc::default, Arc::new)
}

/// Checks the destination of the summary.
pub(super) fn summary(
    path: Option<&Path>,
    capture: &capture::Settings,
    mistakes: &mut ConfigMistakes,
) -> Option<Output> {
    one("--summary", path, capture, mistakes)
}

fn one(flag: &str, path: Option<&Path>, capture: &capture::Settings, mistakes: &mut ConfigMistakes) -> Option<Output> {
    let path = path?;
    if path.as_os_str() == "-" {
        return Some(Output::Stdout);
    }
    mistakes.keep(flag, writable(path, &capture.files))?;
    Some(Output::File(path.to_owned()))
}

/// Returns an error if `path` must not be written to.
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

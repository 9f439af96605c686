//! Files that a run will write: whether they can be, before anything is sent.

use crate::causes::causes;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bounded;
use crate::capture;
use crate::files::{self, FileMode};
use crate::report::RoutePatterns;
use crate::report::render::{junit, markdown};
use crate::suggest;

use super::mistakes::ConfigMistakes;
use super::{Output, Outputs, typed};

/// Bytes of a file that is to be overwritten that are looked at: more than a page has before its title.
const LOOKED_AT: usize = 4096;
/// Largest file of routes that is read: a larger one is refused.
const MAX_ROUTES_FILE: usize = 4 << 20;

/// Checks the destinations of the summary, the results and the page.
pub(super) fn all(typed: &typed::Report, capture: &capture::Settings, mistakes: &mut ConfigMistakes) -> Outputs {
    let outputs = Outputs {
        summary: summary(typed.summary.as_deref(), capture, mistakes),
        results: one("--results", typed.results.as_deref(), capture, mistakes),
        report: one("--report", typed.report.as_deref(), capture, mistakes),
        junit: one("--junit", typed.junit.as_deref(), capture, mistakes),
        mode: mode(typed.mode.mode.as_deref(), mistakes),
    };
    if let (Some(Output::File(path)), false) = (&outputs.results, typed.force)
        && path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0)
    {
        let why = format!("{} has something in it: name another file, or overwrite it with --force", path.display());
        mistakes.add("--results", why);
    }
    if !typed.force {
        let overwritten = [("--summary", &outputs.summary), ("--report", &outputs.report), ("--junit", &outputs.junit)];
        for (flag, output) in overwritten {
            let foreign = output.as_ref().map_or(Ok(()), may_overwrite);
            mistakes.keep(flag, foreign.map_err(|why| format!("{why}, or overwrite it with --force")));
        }
    }
    let named = [
        ("--summary", &outputs.summary),
        ("--results", &outputs.results),
        ("--report", &outputs.report),
        ("--junit", &outputs.junit),
    ];
    for (at, (flag, output)) in named.iter().enumerate() {
        let Some(output) = output else { continue };
        for (other, same) in named.iter().skip(at + 1) {
            let Some(same) = same.as_ref().filter(|same| is_same(output, same)) else { continue };
            let what = if *same == Output::Stdout { "standard output" } else { "one file" };
            mistakes.add(format!("{flag} and {other}"), format!("cannot both go to {what}"));
        }
    }
    outputs
}

/// Returns whether two outputs go to one place, whatever names it has.
fn is_same(one: &Output, other: &Output) -> bool {
    match (one, other) {
        (Output::Stdout, Output::Stdout) => true,
        (Output::File(one), Output::File(other)) => {
            let place = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
            // What is written to a device is not mixed up with anything.
            let is_device = one.metadata().is_ok_and(|meta| meta.file_type().is_char_device());
            !is_device && (real(one) == real(other) || place(one).is_some_and(|found| place(other) == Some(found)))
        }
        _ => false,
    }
}

/// The path of a file that need not exist, without links and dots.
fn real(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// Checks whether an output may be written over without a word: it is empty, or begins as a summary or a page of shadowtap
/// does. What is no file is not overwritten.
///
/// # Errors
///
/// That it is another file, and what to do.
pub fn may_overwrite(output: &Output) -> Result<(), String> {
    let Output::File(path) = output else { return Ok(()) };
    // One that cannot be read cannot be told; that it cannot be written will be.
    let begin = files::beginning(path, LOOKED_AT).unwrap_or_default().unwrap_or_default();
    let texts = [markdown::BEGINS, junit::BEGINS, "{\n  \"schema\":"];
    if begin.is_empty() || texts.iter().any(|text| begin.starts_with(text.as_bytes())) || is_page(&begin) {
        return Ok(());
    }
    Err(format!("{} is no earlier summary or page of shadowtap: name another file", path.display()))
}

/// Returns whether a text begins as each page of shadowtap does.
fn is_page(begin: &[u8]) -> bool {
    begin.starts_with(b"<!doctype html>") && memchr::memmem::find(begin, b"<title>shadowtap").is_some()
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
        let meant = || suggest::file_beside(path).map(|meant| format!("; {meant}")).unwrap_or_default();
        let text = text.map_err(|error| format!("{shown} {}{}", causes(&error), meant()))?;
        RoutePatterns::parse(&text).map_err(|error| format!("{shown}: {error}"))
    };
    path.and_then(|path| mistakes.keep("--routes", read(path))).map_or_else(Arc::default, Arc::new)
}

/// How an archive of shadowtap begins.
const ARCHIVE_BEGINS: &[u8] = b"{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":\"shadowtap\"";

/// Checks the destination of an archive: one that shadowtap wrote is written over, and no other file.
pub(super) fn archive(
    path: Option<&Path>,
    capture: &capture::Settings,
    mistakes: &mut ConfigMistakes,
) -> Option<Output> {
    let output = one("--har", path, capture, mistakes)?;
    if let Output::File(path) = &output {
        let begin = files::beginning(path, LOOKED_AT).unwrap_or_default().unwrap_or_default();
        if !begin.is_empty() && !begin.starts_with(ARCHIVE_BEGINS) {
            mistakes.add("--har", format!("{} is no earlier archive of shadowtap: name another file", path.display()));
        }
    }
    Some(output)
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

//! One flag at a time: text becomes a value, or a message that says how to write it.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use regex_automata::util::syntax;

use crate::capture::{self, CaptureError, Tunnel};
use crate::help;
use crate::middleware::PatternSet;
use crate::middleware::patterns::PatternBudget;
use crate::quantity;
use crate::recording::{self, Origin, RecordingReadError};

use super::mistakes::ConfigMistakes;

/// A value that knows how to be read; `None` where nothing was typed, or a mistake.
pub(super) fn parsed<T: FromStr<Err: Display>>(
    flag: &str,
    typed: Option<&str>,
    mistakes: &mut ConfigMistakes,
) -> Option<T> {
    typed.and_then(|typed| mistakes.keep(flag, typed.parse()))
}

/// Every value of a flag that can be given several times.
pub(super) fn each<T, E: Display>(
    flag: &str,
    typed: &[String],
    read: impl Fn(&str) -> Result<T, E>,
    mistakes: &mut ConfigMistakes,
) -> Vec<T> {
    typed.iter().filter_map(|typed| mistakes.keep(flag, read(typed))).collect()
}

/// Regular expressions over bytes.
pub(super) fn regexes(
    flag: &str,
    typed: &[String],
    budget: &PatternBudget,
    mistakes: &mut ConfigMistakes,
) -> PatternSet {
    let texts: Vec<&str> = typed.iter().map(String::as_str).collect();
    PatternSet::compile(&texts, syntax::Config::new(), budget).unwrap_or_else(|all| {
        for (_, why) in all {
            mistakes.add(flag, why);
        }
        PatternSet::default()
    })
}

/// Opens captures or recordings. Standard input is left alone while there is any other mistake: it may wait for a person to
/// type.
pub(super) fn open(settings: &capture::Settings, mistakes: &mut ConfigMistakes) -> Option<Origin> {
    let mut tell = |errors: Vec<RecordingReadError>| refused(errors, mistakes);
    let (input, files): (Vec<_>, Vec<_>) =
        settings.files.iter().cloned().partition(|file| capture::is_standard_input(file));
    if input.is_empty() {
        return recording::open(settings).map_err(tell).ok();
    }
    if let Err(errors) = recording::open(&capture::Settings { files, ..settings.clone() }) {
        tell(errors);
    }
    if input.len() > 1 {
        mistakes.add("-", "standard input can be read once only");
    }
    if !mistakes.is_empty() {
        return None;
    }
    recording::open(settings).map_err(|errors| refused(errors, mistakes)).ok()
}

fn refused(errors: Vec<RecordingReadError>, mistakes: &mut ConfigMistakes) {
    for error in errors {
        mistakes.add(flag_of(&error), help::say(&error));
    }
}

/// The flag that a file has something against.
const fn flag_of(error: &RecordingReadError) -> &'static str {
    match error {
        RecordingReadError::Capture(CaptureError::Filter { .. }) | RecordingReadError::NoPackets { .. } => "--bpf",
        RecordingReadError::NoPorts { .. } => "--port",
        _ => "",
    }
}

/// TCP ports, in lists.
pub(super) fn ports(typed: &[String], mistakes: &mut ConfigMistakes) -> Vec<u16> {
    let ports = typed.iter().flat_map(|list| list.split(','));
    ports.filter_map(|typed| mistakes.keep("--port", port(typed))).collect()
}

/// Tunnels, in lists, each once.
pub(super) fn tunnels(typed: &[String], mistakes: &mut ConfigMistakes) -> Vec<Tunnel> {
    let names: Vec<String> = typed.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
    let mut tunnels: Vec<Tunnel> = each("--tunnel", &names, str::parse, mistakes);
    tunnels.sort_unstable();
    tunnels.dedup();
    tunnels
}

/// A TCP port.
fn port(typed: &str) -> Result<u16, String> {
    match typed.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("`{typed}` is no port; write numbers from 1 to 65535, such as 80,8080")),
    }
}

/// A number of requests.
pub(super) fn at_least_one(typed: &str) -> Result<usize, String> {
    match typed.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{typed}` is not a number of requests; write a whole number from 1")),
    }
}

/// A number of records of a file.
pub(super) fn records(typed: &str) -> Result<u64, String> {
    match typed.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{typed}` is not a number of records; write a whole number from 1")),
    }
}

/// A length of time, or `default` where nothing was typed or there is a mistake.
pub(super) fn duration_or(
    flag: &str,
    typed: Option<&str>,
    default: Duration,
    mistakes: &mut ConfigMistakes,
) -> Duration {
    typed.and_then(|typed| mistakes.keep(flag, duration(typed))).unwrap_or(default)
}

/// A length of time that may be days: `2d`, or as [`duration`] has it.
pub(super) fn time(typed: &str) -> Result<Duration, String> {
    match typed.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => duration(typed),
    }
}

/// Parses the duration of a run or a file: at least a second.
pub(super) fn long_time(typed: &str) -> Result<Duration, String> {
    let time = time(typed)?;
    if time < Duration::from_secs(1) {
        return Err(format!("`{typed}` is too short: a second is the least"));
    }
    Ok(time)
}

/// A length of time of a day at most, as [`quantity::duration`] has it.
pub(super) fn duration(typed: &str) -> Result<Duration, String> {
    // A day is more than anything waits for an answer; more is a slip of the hand.
    match quantity::duration(typed) {
        Some(duration) if duration <= Duration::from_secs(86_400) => Ok(duration),
        Some(_) => Err(format!("`{typed}` is more than a day")),
        None => Err(format!("`{typed}` is no length of time; write a number and a unit: 500ms, 30s, 2m or 1h")),
    }
}

/// Least memory that leaves room for a few connections and one large message.
const LEAST_MEMORY: usize = 16 << 20;

/// A bound on memory.
pub(super) fn memory(typed: &str) -> Result<capture::MaxMemory, String> {
    match size(typed)? {
        bytes if bytes >= LEAST_MEMORY => Ok(capture::MaxMemory(bytes)),
        _ => Err(format!("`{typed}` is too little to work with; 16M is the least")),
    }
}

/// A size in bytes, with a unit: what has none is rather a slip of the hand.
pub(super) fn size(typed: &str) -> Result<usize, String> {
    let has_unit = typed.ends_with(|last: char| last.is_ascii_alphabetic());
    let bytes = quantity::size(typed).and_then(|bytes| usize::try_from(bytes).ok()).filter(|_| has_unit);
    bytes.ok_or_else(|| format!("`{typed}` is no size; write 256M or 2G"))
}

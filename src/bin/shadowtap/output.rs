//! Files and streams that a command writes, and its messages on standard error.
//!
//! Nothing else writes to a terminal: text is made safe for it here.
#![expect(clippy::disallowed_methods, reason = "what is written here went through `sanitize`")]

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shadowtap::config::{LogFormat, Output, Outputs};
use shadowtap::files::{self, FileMode};
use shadowtap::report::render::{html, junit, markdown};
use shadowtap::report::{Started, Summary};
use shadowtap::sanitize::{self, Kind};

use crate::{journal, results, signals, terminal};

/// Format of lines on standard error. Set once, before the first line.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Whether only warnings and results are printed. Set once, before the first line.
static QUIET: OnceLock<bool> = OnceLock::new();

/// Bytes that are gathered before they are written to standard output.
const STDOUT_BUFFER: usize = 1 << 16;
/// The same where it is a terminal.
const TERMINAL_BUFFER: usize = 1 << 13;

/// Time between two looks whether a pipe has a reader.
const PIPE_LOOK: Duration = Duration::from_millis(100);

/// Refuses outputs that would not be written in the end, such as links that somebody put in their place: before the run,
/// not after it. The same of what the system does not let this user write.
pub(crate) fn check(outputs: &Outputs) -> anyhow::Result<()> {
    results::check(outputs)?;
    paths(outputs).try_for_each(|path| files::check(path).with_context(|| format!("cannot write {}", path.display())))
}

/// The same, in the system's words alone.
pub(crate) fn try_out(outputs: &Outputs) -> io::Result<()> {
    paths(outputs).try_for_each(files::check)
}

fn paths(outputs: &Outputs) -> impl Iterator<Item = &Path> {
    let all = [&outputs.summary, &outputs.results, &outputs.report, &outputs.junit].into_iter().flatten();
    all.filter_map(|output| match output {
        Output::File(path) => Some(path.as_path()),
        Output::Stdout => None,
    })
}

/// Opens `output` for buffered writing; a file may be read by whom `mode` says.
pub(crate) fn writer(output: &Output, mode: FileMode) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match output {
        Output::Stdout => json(),
        Output::File(path) => {
            let file = if files::is_pipe(path) { open_pipe(path) } else { Ok(files::overwrite(path, mode)?) };
            Box::new(BufWriter::new(file.with_context(|| format!("cannot create {}", path.display()))?))
        }
    })
}

/// Opens a pipe once somebody reads it. A signal ends the wait.
fn open_pipe(path: &Path) -> anyhow::Result<File> {
    let before = signals::received();
    let mut told = false;
    loop {
        if let Some(file) = files::open_pipe(path)? {
            return Ok(file);
        }
        if signals::received() > before {
            bail!("nobody reads this pipe");
        }
        if !std::mem::replace(&mut told, true) {
            print_line(&format!("waiting until somebody reads {} (Ctrl-C gives up)", path.display()));
        }
        thread::sleep(PIPE_LOOK);
    }
}

/// Returns standard output for JSON: what a terminal would obey is escaped, wherever it goes.
pub(crate) fn json() -> Box<dyn Write + Send> {
    let fit = sanitize::Writer::new(io::stdout(), Kind::Json);
    Box::new(BufWriter::with_capacity(if terminal::is_stdout() { TERMINAL_BUFFER } else { STDOUT_BUFFER }, fit))
}

/// Returns standard output for HTML: a terminal gets no character that it would obey, everything else every byte.
fn html() -> Box<dyn Write + Send> {
    if terminal::is_stdout() { json() } else { Box::new(BufWriter::with_capacity(STDOUT_BUFFER, io::stdout())) }
}

/// Returns standard output for text.
pub(crate) fn text() -> Box<dyn Write + Send> {
    let kind = Kind::Text { color: terminal::color_on_stdout() };
    Box::new(BufWriter::with_capacity(STDOUT_BUFFER, sanitize::Writer::new(io::stdout(), kind)))
}

/// Returns standard error for the log, an event at a time.
pub(crate) fn log() -> impl Write {
    let kind = if is_json() { Kind::Json } else { Kind::Text { color: terminal::color_on_stderr() } };
    sanitize::Writer::new(io::stderr(), kind)
}

/// Writes text to standard output, all of it.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let fit = sanitize::text(text, terminal::color_on_stdout());
    let mut stdout = io::stdout().lock();
    stdout.write_all(fit.as_bytes()).and_then(|()| stdout.flush())
}

/// Writes text to standard error, all of it.
pub(crate) fn print_to_stderr(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(sanitize::text(text, terminal::color_on_stderr()).as_bytes())
}

/// Writes JSON to standard output, as [`json`] does.
pub(crate) fn print_json(text: &str) -> io::Result<()> {
    let mut stdout = json();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Writes the summary as one object, indented.
pub(crate) fn write_summary(output: &Output, mode: FileMode, summary: &Summary) -> anyhow::Result<()> {
    let mut to = writer(output, mode)?;
    serde_json::to_writer_pretty(&mut to, summary)
        .map_err(io::Error::from)
        .and_then(|()| to.write_all(b"\n"))
        .and_then(|()| to.flush())
        .with_context(|| format!("cannot write the summary to {}", place(output)))
}

/// Writes the report as its name says: a page of HTML, or Markdown.
pub(crate) fn write_page(output: &Output, mode: FileMode, summary: &Summary) -> anyhow::Result<()> {
    write_text(output, mode, &page_of(output, summary))
}

/// The report as the name of its file says.
pub(crate) fn page_of(output: &Output, summary: &Summary) -> String {
    if ends_with(output, "md") { markdown::report(summary) } else { html::report(summary) }
}

/// Returns whether a file's name ends like this.
fn ends_with(output: &Output, ending: &str) -> bool {
    matches!(output, Output::File(path) if path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)))
}

/// Writes the gates as test cases.
pub(crate) fn write_junit(output: &Output, mode: FileMode, summary: &Summary) -> anyhow::Result<()> {
    write_text(output, mode, &junit::report(summary))
}

/// Writes a report that is ready: a page, Markdown, or test cases.
pub(crate) fn write_text(output: &Output, mode: FileMode, page: &str) -> anyhow::Result<()> {
    let mut to = if *output == Output::Stdout { html() } else { writer(output, mode)? };
    to.write_all(page.as_bytes())
        .and_then(|()| to.flush())
        .with_context(|| format!("cannot write the report to {}", place(output)))
}

/// Says where the page is that was asked for.
pub(crate) fn tell_page(output: &Output) {
    if let Output::File(path) = output {
        print_news(&format!("report written to {}", path.display()));
    }
}

pub(crate) fn place(output: &Output) -> String {
    match output {
        Output::Stdout => "standard output".to_owned(),
        Output::File(path) => path.display().to_string(),
    }
}

/// Says what lines on standard error are from now on.
pub(crate) fn log_as(format: LogFormat) {
    // It is said once.
    FORMAT.set(format).ok();
}

/// Returns whether lines on standard error are JSON.
pub(crate) fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Prints one line to standard error. If nobody can read it, the run continues.
pub(crate) fn print_line(text: &str) {
    if is_json() {
        return tell_object(text, Map::new());
    }
    if !journal::send(text, &Map::new()) {
        print_to_stderr(&format!("{text}\n")).ok();
    }
}

/// Says whether only warnings and results are printed from now on.
pub(crate) fn be_quiet(quiet: bool) {
    // It is said once.
    QUIET.set(quiet).ok();
}

/// Prints one line that says what is done, unless only warnings were asked for. On a terminal its words are wrapped.
pub(crate) fn print_news(text: &str) {
    if QUIET.get() != Some(&true) {
        print_wrapped(text);
    }
}

/// The same as [`print_line`]; on a terminal no word is cut at its edge.
pub(crate) fn print_wrapped(text: &str) {
    match terminal::width_of_stderr() {
        Some(width) if !is_json() => print_line(&terminal::wrapped(text, width, 2).join("\n")),
        _ => print_line(text),
    }
}

/// The same as [`print_line`]; where lines are JSON it has this `value` under `key`, too.
pub(crate) fn print_with(text: &str, key: &str, value: &impl Serialize) {
    let more = || Map::from_iter([(key.to_owned(), serde_json::to_value(value).unwrap_or_default())]);
    if is_json() {
        return tell_object(text, more());
    }
    if !journal::send(text, &more()) {
        print_line(text);
    }
}

fn tell_object(text: &str, more: Map<String, Value>) {
    let line = object(text, more);
    writeln!(io::stderr().lock(), "{}", sanitize::json(&line)).ok();
}

/// A line as an object. What begins with `error: ` or `warning: ` has that as its level.
fn object(text: &str, more: Map<String, Value>) -> String {
    let levels = [("error: ", "ERROR"), ("warning: ", "WARN")];
    let found = levels.iter().find_map(|(word, level)| text.strip_prefix(word).map(|text| (*level, text)));
    let (level, message) = found.unwrap_or(("INFO", text));
    let at = Started::now().at.to_string();
    let Value::Object(mut line) = json!({ "timestamp": at, "level": level, "message": message }) else {
        return String::new();
    };
    line.extend(more);
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_has_its_level_apart() {
        let line = |text: &str| serde_json::from_str::<Value>(&object(text, Map::new())).unwrap();
        for (text, level, message) in [
            ("warning: 3 gaps", "WARN", "3 gaps"),
            ("error: --to: no", "ERROR", "--to: no"),
            ("sending \"all\"\n", "INFO", "sending \"all\"\n"),
        ] {
            let line = line(text);
            assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some(level), Some(message)));
            assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        }
    }
}

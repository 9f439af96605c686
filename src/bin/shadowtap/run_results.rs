//! The results of a run, as a file or a pipe has them: lines that end with a summary, or the summary alone.
//!
//! What a pipe holds is only known once some of it was read. Where it is no run, it is put back, and can be read as a capture or a
//! recording.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, anyhow, bail};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use shadowtap::bounded;
use shadowtap::recording::place;
use shadowtap::report::collect::results::{ResultsEnd, TakenBackLines};
use shadowtap::report::{PartialRun, Summary};

/// Longest line of results that is looked at, in bytes: the summary at their end has the most, some millions at most. A longer one
/// belongs to no run.
const MAX_LINE: u64 = 64 << 20;

/// Bytes of a file by which its kind is told, where its first line is no longer.
const BEGINNING: usize = 64 << 10;

/// Message for a file that is expected to belong to a run, and does not.
const NEITHER: &str = "is neither the results nor the summary of a run (--results, --summary)";

/// Results that are available of a run.
pub(crate) struct RunResults {
    pub(crate) summary: Summary,
    pub(crate) kind: ResultsKind,
}

/// What a summary comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultsKind {
    /// A line for each delivery, in a file.
    Lines,
    /// The same, and the summary was made of them: the run that wrote them did not end.
    Unfinished,
    /// Lines that went through a pipe, and are gone.
    Piped,
    /// Nothing.
    Summary,
    /// Nothing: it is the sum of several runs.
    Sum,
}

impl ResultsKind {
    /// Refuses `what`, which goes through the lines of the results, where there are none in `file` to go through.
    pub(crate) fn require_lines(self, what: &str, file: &Path) -> anyhow::Result<()> {
        match self {
            Self::Lines | Self::Unfinished => Ok(()),
            Self::Piped => bail!(
                "{what}, which are read several times, and {} can be read once: write it to a file, and report on that",
                source_name(file)
            ),
            Self::Summary | Self::Sum => bail!("{what}, and {} is its summary", source_name(file)),
        }
    }
}

/// Name of a file for people.
pub(crate) fn source_name(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// Returns whether a file is standard input, by any of its names.
pub(crate) fn is_stdin(file: &Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| file.as_os_str() == *name)
}

/// What was found in a file.
pub(crate) enum Found {
    Run(Box<RunResults>),
    /// Something else, which can be read from here.
    Other(PathBuf),
}

/// Reads the results or the summary of a run, if `file` has them.
pub(crate) fn find(file: &Path) -> anyhow::Result<Found> {
    let other = || Found::Other(file.to_owned());
    if place::is_store(file) {
        return Ok(other());
    }
    // What cannot be opened is told by whoever reads it as a capture.
    let Ok(Some(mut input)) = RunInput::open(file, |path| File::open(path)) else { return Ok(other()) };
    match input.read()? {
        Some(run) => Ok(Found::Run(Box::new(run))),
        None if input.is_file => Ok(other()),
        None => input.put_back().map(Found::Other),
    }
}

/// Reads the results or the summary of a run, which `file` has to have; `flag` is what needs them.
pub(crate) fn expect(file: &Path, flag: &str) -> anyhow::Result<RunResults> {
    let name = source_name(file);
    let neither = || anyhow!("{flag}: {name} {NEITHER}");
    let input = RunInput::open(file, bounded::open).with_context(|| format!("cannot open {name}"))?;
    input.ok_or_else(neither)?.read()?.ok_or_else(neither)
}

/// Message for `file`, of which `flag` needs a run.
pub(crate) fn no_run(file: &Path, flag: &str) -> anyhow::Error {
    anyhow!("{flag}: {} {NEITHER}", source_name(file))
}

/// Form in which a run is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunForm {
    Lines,
    Summary,
}

/// A file or a pipe whose beginning was read.
struct RunInput {
    path: PathBuf,
    name: String,
    /// Its first line, or more.
    beginning: Vec<u8>,
    rest: File,
    is_file: bool,
}

impl RunInput {
    /// Opens it with `open`, and reads its beginning; `None` for a folder.
    fn open(path: &Path, open: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<Option<Self>> {
        let is_stdin = is_stdin(path);
        let rest = if is_stdin { io::stdin().as_fd().try_clone_to_owned()?.into() } else { open(path)? };
        let meta = rest.metadata()?;
        if meta.is_dir() {
            return Ok(None);
        }
        let (path, is_file) = (path.to_owned(), meta.is_file() && !is_stdin);
        let mut input = Self { name: source_name(&path), path, beginning: Vec::new(), rest, is_file };
        input.read_beginning()?;
        Ok(Some(input))
    }

    /// Reads enough to tell what it is, and the first line of what may be a run. What is read as it comes is told by its first bytes.
    fn read_beginning(&mut self) -> io::Result<()> {
        let mut piece = vec![0; BEGINNING];
        let mut has_line = false;
        loop {
            let read = match self.rest.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let piece = piece.get(..read).unwrap_or_default();
            has_line = has_line || memchr::memchr(b'\n', piece).is_some();
            self.beginning.extend_from_slice(piece);
            let is_enough = match self.beginning.as_slice() {
                begun if read == 0 || begun.len() as u64 >= MAX_LINE => true,
                begun @ [b'{', ..] => has_line && (begun.len() >= BEGINNING || !is_object_alone(begun)),
                // Perhaps a run that is compressed.
                begun @ [0x1f | 0x28, ..] => begun.len() >= BEGINNING,
                _ => true,
            };
            if is_enough {
                return Ok(());
            }
        }
    }

    /// Reads the run that it holds, if it holds one.
    fn read(&mut self) -> anyhow::Result<Option<RunResults>> {
        match form_of(&self.beginning) {
            Some(RunForm::Summary) => self.summary().map(Some),
            Some(RunForm::Lines) => self.lines(),
            None => match compressed_run(&self.beginning) {
                Some(program) => {
                    let name = &self.name;
                    let given = if is_stdin(&self.path) { String::new() } else { format!(" {name}") };
                    bail!(
                        "{name} has the results of a run, compressed: give what `{program} -dc{given}` prints, through a pipe"
                    )
                }
                None => Ok(None),
            },
        }
    }

    /// All of it, once: the beginning and what follows.
    fn whole(&mut self) -> impl BufRead + '_ {
        Cursor::new(std::mem::take(&mut self.beginning)).chain(BufReader::new(&self.rest))
    }

    fn summary(&mut self) -> anyhow::Result<RunResults> {
        let limit = usize::try_from(MAX_LINE).unwrap_or(usize::MAX);
        let name = self.name.clone();
        let text = bounded::rest(self.whole(), "a summary", limit).with_context(|| format!("cannot use {name}"))?;
        let summary = serde_json::from_slice(&text).with_context(|| {
            format!("{name} is no summary of a run, or was cut: name one that --summary wrote whole")
        })?;
        Ok(RunResults { summary, kind: ResultsKind::Summary })
    }

    /// The summary at the end of results, or what their lines add up to where the run that wrote them was killed.
    fn lines(&mut self) -> anyhow::Result<Option<RunResults>> {
        let (name, is_file) = (self.name.clone(), self.is_file);
        let (mut line, mut last) = (Vec::new(), Vec::new());
        let mut lines = self.whole();
        while read_line(&mut lines, &mut line).with_context(|| format!("cannot read {name}"))? > 0 {
            std::mem::swap(&mut last, &mut line);
        }
        drop(lines);
        match serde_json::from_slice::<ResultsEnd<Summary>>(&last) {
            Ok(last) if last.is_summary() => {
                let kind = if is_file { ResultsKind::Lines } else { ResultsKind::Piped };
                Ok(Some(RunResults { summary: last.summary, kind }))
            }
            _ if is_file => {
                Ok(unfinished(&self.path)?.map(|summary| RunResults { summary, kind: ResultsKind::Unfinished }))
            }
            _ => bail!(
                "{name} has results without the summary at their end: the run that wrote them was killed, or still goes on: \
                 wait for its end, or report on the file itself, whose lines are added up"
            ),
        }
    }

    /// Has standard input begin with it, so that it is read from there; returns the name of standard input.
    fn put_back(self) -> anyhow::Result<PathBuf> {
        let Self { name, beginning, mut rest, .. } = self;
        let cannot = || format!("cannot read {name} on");
        let (reader, mut writer) = io::pipe().with_context(cannot)?;
        rustix::stdio::dup2_stdin(&reader).with_context(cannot)?;
        let pass_on = move || {
            // Whoever reads may have had enough.
            writer.write_all(&beginning).and_then(|()| io::copy(&mut rest, &mut writer)).ok();
        };
        thread::Builder::new().name("pipe".to_owned()).spawn(pass_on).with_context(cannot)?;
        Ok(PathBuf::from("-"))
    }
}

/// Form of the run that a text begins; `None` where it is none.
fn form_of(beginning: &[u8]) -> Option<RunForm> {
    if !beginning.starts_with(b"{") {
        return None;
    }
    let keys = first_keys(beginning);
    let has = |key: &str| keys.iter().any(|found| found == key);
    if has("request") || has("log") {
        return None;
    }
    if !is_object_alone(beginning) && (has("outcome") || has("kind")) {
        return Some(RunForm::Lines);
    }
    (is_object_alone(beginning) || has("schema") && (has("command") || has("requests"))).then_some(RunForm::Summary)
}

/// Returns whether the first line has nothing but the beginning of an object.
fn is_object_alone(beginning: &[u8]) -> bool {
    beginning.split(|byte| *byte == b'\n').next().is_some_and(|line| line.trim_ascii() == b"{")
}

/// Keys of the object that a text begins with, as far as it goes.
fn first_keys(text: &[u8]) -> Vec<String> {
    let mut keys = Vec::new();
    // Where it breaks off, the keys before are known.
    FirstKeys(&mut keys).deserialize(&mut serde_json::Deserializer::from_slice(text)).ok();
    keys
}

/// Collects the keys of an object.
struct FirstKeys<'a>(&'a mut Vec<String>);

impl<'de> DeserializeSeed<'de> for FirstKeys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FirstKeys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            self.0.push(key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The program that decompresses a compressed run; `None` where the beginning is that of something else.
fn compressed_run(beginning: &[u8]) -> Option<&'static str> {
    let mut text = Vec::new();
    let most = BEGINNING as u64;
    let (read, program) = match beginning {
        [0x1f, 0x8b, ..] => (flate2::read::MultiGzDecoder::new(beginning).take(most).read_to_end(&mut text), "gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => (zstd::Decoder::new(beginning).ok()?.take(most).read_to_end(&mut text), "zstd"),
        _ => return None,
    };
    // The beginning ends somewhere in the middle.
    read.ok();
    form_of(&text).map(|_| program)
}

/// Adds up the lines of results that have no summary.
fn unfinished(path: &Path) -> anyhow::Result<Option<Summary>> {
    let mut partial = PartialRun::default();
    partial.without(taken_back(path)?);
    for_each_line(path, |line| {
        partial.line(line);
        Ok(())
    })?;
    Ok(partial.finish())
}

/// The lines that later lines of the same results take back.
pub(crate) fn taken_back(path: &Path) -> anyhow::Result<TakenBackLines> {
    let mut found = TakenBackLines::default();
    for_each_line(path, |line| found.look(line).with_context(|| format!("cannot use {}", path.display())))?;
    Ok(found)
}

/// Hands each line of the results in a file to `sink`.
pub(crate) fn for_each_line(path: &Path, mut sink: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    let mut lines = BufReader::new(File::open(path).with_context(cannot)?);
    let mut line = Vec::new();
    while read_line(&mut lines, &mut line).with_context(cannot)? > 0 {
        sink(&line)?;
    }
    Ok(())
}

/// Reads a line of results into `line`; returns its length, 0 at the end.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    from.take(MAX_LINE).read_until(b'\n', line)
}

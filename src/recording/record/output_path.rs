//! Output path of a recording: the name as typed selects the format, the compression and the files.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::exchange::Timestamp;

/// The name of standard output.
const STANDARD_OUTPUT: &str = "-";

/// Format of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingFormat {
    /// `.gor`: GoReplay's records. Whole requests, and their responses.
    Gor,
    /// `.jsonl`: one exchange a line.
    Lines,
    /// `.pcap`: frames of one link type, with nanoseconds.
    Pcap,
    /// `.pcapng`: frames of any link types.
    Pcapng,
}

impl std::str::FromStr for RecordingFormat {
    type Err = RecordingFormatError;

    fn from_str(typed: &str) -> Result<Self, RecordingFormatError> {
        let formats = [Self::Gor, Self::Lines, Self::Pcap, Self::Pcapng];
        let found = formats.into_iter().find(|format| format.ending().strip_prefix('.') == Some(typed));
        found.ok_or_else(|| RecordingFormatError { typed: typed.to_owned() })
    }
}

/// Error for an unknown format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` is no format of recordings; write gor, jsonl, pcap or pcapng")]
pub struct RecordingFormatError {
    /// Text as typed.
    pub typed: String,
}

impl RecordingFormat {
    /// Returns whether frames are written, rather than events.
    #[must_use]
    pub(crate) const fn takes_frames(self) -> bool {
        matches!(self, Self::Pcap | Self::Pcapng)
    }

    /// What each of its records ends with, for what is written behind one that was cut.
    pub(super) const fn end_of_record(self) -> &'static [u8] {
        match self {
            Self::Gor => crate::recording::gor::SEPARATOR,
            Self::Lines => b"\n",
            Self::Pcap | Self::Pcapng => b"",
        }
    }

    /// The end of its files' names.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Gor => ".gor",
            Self::Lines => ".jsonl",
            Self::Pcap => ".pcap",
            Self::Pcapng => ".pcapng",
        }
    }
}

/// Compression of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `.gz`.
    Gzip,
    /// `.zst`.
    Zstd,
}

impl Compression {
    /// The end of its files' names.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// Output path of a recording, as `-o` takes it: `peak.gor`, `peak.jsonl.gz`, `%Y-%m-%d/%H.gor.zst`.
///
/// A `%` begins a field of strftime, filled in by the capture's time in UTC: so several machines name the same hour
/// alike, and no hour comes twice in autumn. A time that gives another name begins another file. `%i` is the number of
/// the file, from 0 or behind those that are there. `%%` is a per cent sign. `-` is standard output, for `.gor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPath {
    /// The name without the endings of format and compression.
    stem: String,
    format: RecordingFormat,
    compression: Compression,
    /// What the name ends in behind the stem.
    ending: String,
}

/// Errors of a name that is no output path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputPathError {
    /// The ending says nothing.
    #[error(
        "cannot tell the format of {name} from its end: write a name such as peak.gor, peak.jsonl, peak.pcap or \
         peak.pcapng, with .gz or .zst after it to compress; - is standard output"
    )]
    Ending {
        /// The name as typed.
        name: String,
    },
    /// There is nothing before the ending.
    #[error("{name} is only the end of a name: write something before it, such as peak{name}")]
    NoName {
        /// The name as typed.
        name: String,
    },
    /// Names with fields have to be text.
    #[error("{name} is not UTF-8: name the recording in characters that are")]
    NotText {
        /// The name, as far as it can be shown.
        name: String,
    },
    /// strftime has no such field.
    #[error(
        "cannot fill in the name {name}: {why}; fields are those of strftime, such as %Y-%m-%d and %H, and %% is a per cent sign"
    )]
    Field {
        /// The name as typed.
        name: String,
        /// The formatter's words.
        why: String,
    },
}

impl OutputPath {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// Where it has no known ending, or names no file.
    pub fn new(name: &Path) -> Result<Self, OutputPathError> {
        let shown = || name.display().to_string();
        if name.as_os_str() == STANDARD_OUTPUT {
            let (format, compression) = (RecordingFormat::Gor, Compression::None);
            return Ok(Self { stem: STANDARD_OUTPUT.to_owned(), format, compression, ending: String::new() });
        }
        let text = name.to_str().ok_or_else(|| OutputPathError::NotText { name: shown() })?;
        let (plain, compression) = unpacked(text);
        let formats = [RecordingFormat::Gor, RecordingFormat::Lines, RecordingFormat::Pcap, RecordingFormat::Pcapng];
        let found = formats.into_iter().find_map(|format| Some((plain.strip_suffix(format.ending())?, format)));
        let (stem, format) = found.ok_or_else(|| OutputPathError::Ending { name: shown() })?;
        if stem.is_empty() || stem.ends_with('/') {
            return Err(OutputPathError::NoName { name: shown() });
        }
        Self::checked(stem, format, compression, format!("{}{}", format.ending(), compression.ending()), name)
    }

    /// Reads a name whose end does not say the format; `.gz` and `.zst` compress.
    ///
    /// # Errors
    ///
    /// Where it names no file.
    pub fn of_format(name: &Path, format: RecordingFormat) -> Result<Self, OutputPathError> {
        if name.as_os_str() == STANDARD_OUTPUT {
            return Self::new(name);
        }
        let shown = || name.display().to_string();
        let text = name.to_str().ok_or_else(|| OutputPathError::NotText { name: shown() })?;
        let (stem, compression) = unpacked(text);
        if stem.is_empty() || stem.ends_with('/') {
            return Err(OutputPathError::NoName { name: shown() });
        }
        Self::checked(stem, format, compression, compression.ending().to_owned(), name)
    }

    fn checked(
        stem: &str,
        format: RecordingFormat,
        compression: Compression,
        ending: String,
        name: &Path,
    ) -> Result<Self, OutputPathError> {
        let shown = || name.display().to_string();
        fill(stem, Timestamp::default()).map_err(|why| OutputPathError::Field { name: shown(), why })?;
        Ok(Self { stem: stem.to_owned(), format, compression, ending })
    }

    /// A name with this stem, which is not compressed.
    pub(super) fn in_ring(stem: String, format: RecordingFormat) -> Self {
        Self { stem, format, compression: Compression::None, ending: format.ending().to_owned() }
    }

    /// Returns whether it is standard output.
    #[must_use]
    pub fn is_standard_output(&self) -> bool {
        self.stem == STANDARD_OUTPUT
    }

    /// The format that is written.
    #[must_use]
    pub const fn format(&self) -> RecordingFormat {
        self.format
    }

    /// Returns the compression.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns whether the name changes with time.
    #[must_use]
    pub(crate) fn is_pattern(&self) -> bool {
        self.stem.contains('%')
    }

    /// The parts of a file's name before and after its number, where it has a place for one.
    pub(super) fn around_number(&self, stem: &str) -> Option<(String, String)> {
        let (before, after) = stem.split_once(NUMBER)?;
        Some((before.to_owned(), format!("{after}{}", self.ending)))
    }

    /// The name without endings at this time.
    pub(super) fn stem(&self, at: Timestamp) -> String {
        // It was tried when the target was made; no time makes it fail.
        fill(&self.stem, at).unwrap_or_else(|_| self.stem.clone())
    }

    /// The file of that stem with this number: `peak.gor`, `peak.1.gor`, `peak.2.gor`.
    pub(super) fn file(&self, stem: &str, number: u32) -> PathBuf {
        if self.is_standard_output() {
            return PathBuf::from(STANDARD_OUTPUT);
        }
        if let Some((before, after)) = self.around_number(stem) {
            return PathBuf::from(format!("{before}{number}{after}"));
        }
        let ending = &self.ending;
        PathBuf::from(if number == 0 { format!("{stem}{ending}") } else { format!("{stem}.{number}{ending}") })
    }
}

/// As it is typed.
impl fmt::Display for OutputPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_standard_output() {
            return f.write_str("standard output");
        }
        write!(f, "{}{}", self.stem, self.ending)
    }
}

/// A name without the ending of its compression.
fn unpacked(text: &str) -> (&str, Compression) {
    let compressions = [Compression::Gzip, Compression::Zstd];
    let packed = compressions.into_iter().find_map(|kind| Some((text.strip_suffix(kind.ending())?, kind)));
    packed.unwrap_or((text, Compression::None))
}

/// Stands for the number of a file in a name that is filled in otherwise: no name can have it.
const NUMBER: char = '\0';

/// Position of the first `%i`.
fn number_field(stem: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = stem.get(from..)?.find('%') {
        let at = from + found;
        if stem.get(at..)?.starts_with("%i") {
            return Some(at);
        }
        // The letter behind it, which may be another sign.
        from = at + 2;
    }
    None
}

fn fill(stem: &str, at: Timestamp) -> Result<String, String> {
    if !stem.contains('%') {
        return Ok(stem.to_owned());
    }
    if let Some((before, after)) = number_field(stem).and_then(|field| stem.split_at_checked(field)) {
        let after = after.strip_prefix("%i").unwrap_or_default();
        return Ok(format!("{}{NUMBER}{}", fill(before, at)?, fill(after, at)?.replace(NUMBER, "%i")));
    }
    let seconds = i64::try_from(at.nanos() / 1_000_000_000).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(stem, &zoned).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Result<OutputPath, OutputPathError> {
        OutputPath::new(Path::new(name))
    }

    #[track_caller]
    fn check(name: &str, format: RecordingFormat, compression: Compression) {
        let target = target(name).unwrap();
        assert_eq!((target.format(), target.compression()), (format, compression), "{name}");
        assert_eq!(target.to_string(), name);
    }

    #[test]
    fn the_end_of_the_name_says_format_and_compression() {
        check("peak.gor", RecordingFormat::Gor, Compression::None);
        check("a/peak.gor.gz", RecordingFormat::Gor, Compression::Gzip);
        check("peak.v2.jsonl.zst", RecordingFormat::Lines, Compression::Zstd);
        check("peak.pcap", RecordingFormat::Pcap, Compression::None);
        check("%Y/peak.pcapng.zst", RecordingFormat::Pcapng, Compression::Zstd);
    }

    #[test]
    fn a_name_that_says_nothing_is_refused_with_advice() {
        let said = |name: &str| target(name).unwrap_err().to_string();
        assert!(said("peak.txt").starts_with("cannot tell the format of peak.txt from its end: write a name such as"));
        assert!(said("peak.zst").contains("peak.pcapng, with .gz or .zst after it"));
        assert!(said("a/.gor").contains("only the end of a name"));
        assert!(said("%!.gor").starts_with("cannot fill in the name %!.gor: "));
    }

    #[test]
    fn fields_are_filled_in_by_time_in_utc_and_numbers_go_before_the_ending() {
        let target = target("%Y-%m-%d/%H-100%%.gor.zst").unwrap();
        let stem = target.stem(Timestamp::from_nanos(1_795_291_200_123_456_789));
        assert_eq!(stem, "2026-11-21/20-100%");
        assert_eq!(target.file(&stem, 0), Path::new("2026-11-21/20-100%.gor.zst"));
        assert_eq!(target.file(&stem, 3), Path::new("2026-11-21/20-100%.3.gor.zst"));
        assert!(target.is_pattern());
    }

    #[test]
    fn a_number_has_its_place_and_standard_output_a_name() {
        let target = target("%Y/x_%i%%i.gor.gz").unwrap();
        let stem = target.stem(Timestamp::from_nanos(1_795_291_200_123_456_789));
        assert_eq!(target.file(&stem, 0), Path::new("2026/x_0%i.gor.gz"));
        assert_eq!(target.file(&stem, 12), Path::new("2026/x_12%i.gor.gz"));
        let output = self::target("-").unwrap();
        assert!(output.is_standard_output() && !output.is_pattern());
        assert_eq!((output.to_string().as_str(), output.format()), ("standard output", RecordingFormat::Gor));
    }

    #[test]
    fn a_format_that_is_named_needs_no_ending() {
        let target = OutputPath::of_format(Path::new("x.gor_%i.gz"), "gor".parse().unwrap()).unwrap();
        assert_eq!((target.format(), target.compression()), (RecordingFormat::Gor, Compression::Gzip));
        let stem = target.stem(Timestamp::default());
        assert_eq!(target.file(&stem, 3), Path::new("x.gor_3.gz"));
        assert_eq!(target.to_string(), "x.gor_%i.gz");
        assert!("txt".parse::<RecordingFormat>().unwrap_err().to_string().contains("write gor, jsonl"));
    }

    #[test]
    fn every_time_can_be_filled_in() {
        let target = target("%Y-%m-%d %H:%M:%S %j %s.gor").unwrap();
        assert!(target.stem(Timestamp::from_nanos(u64::MAX)).starts_with("2554-"));
    }
}

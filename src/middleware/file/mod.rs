//! Chain files: TOML, an ordered list of links, each file with test cases of its own.
//!
//! In goes a file, out come its links and cases, or every mistake in it with line and column. Files that a chain file
//! names (maps, secrets) are read here too; nothing is read later.
//!
//! ```toml
//! [[link]]
//! name = "no-payments"
//! drop = { path = "^/v2/payments/" }
//!
//! [[test]]
//! request = "GET /v2/payments/1"
//! outcome = "filtered: no-payments"
//! ```

use crate::causes::causes;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bounded;

use super::patterns::PatternBudget;
use super::route::TargetNames;
use super::secret::SecretLookup;
use super::spec::FilterSpec;

mod carry;
mod cases;
mod check;
mod conditions;
mod credentials;
mod edits;
mod links;
mod made_here;
mod reader;
#[cfg(test)]
mod tests;
mod words;

pub use cases::Case;
pub use check::Failure;
pub use conditions::QUESTIONS;
pub use links::VERBS;

use reader::{TomlReader, TomlTable};

/// Largest chain file, in bytes; a larger one is a mistake.
const MAX_FILE_BYTES: usize = 4 << 20;
/// Most mistakes reported of one file: beyond that, the first ones have to be fixed anyway.
const MAX_MISTAKES: usize = 100;

/// A chain file that has been read.
#[derive(Clone, Debug, Default)]
pub struct ChainFile {
    /// Path that it was read from.
    pub path: PathBuf,
    /// Its links, in order.
    pub links: Vec<FilterSpec>,
    /// Its test cases, in order.
    pub cases: Vec<Case>,
}

/// Environment in which a chain file is read.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Lookup of secrets.
    pub secrets: SecretLookup,
    /// Targets that routes can name.
    pub targets: TargetNames,
    /// Budget of its expressions.
    pub expressions: PatternBudget,
    /// A file of pairs that is not there is a mistake, even where secrets need not be there.
    pub needs_seeds: bool,
}

impl Environment {
    /// For looking at a file on a machine that has neither its secrets nor its targets.
    #[must_use]
    pub fn for_checks() -> Self {
        Self { secrets: SecretLookup::Placeholders, targets: TargetNames::Any, ..Self::default() }
    }
}

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainMistake {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 where it is the file itself.
    pub line: usize,
    /// The column in characters, from 1; 0 where it is the whole line.
    pub column: usize,
    /// Description of the mistake, with the correct form.
    pub message: String,
}

/// Formats a mistake as compilers do: `filters/canary.toml:3:8: ...`.
impl fmt::Display for ChainMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl ChainFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// Every mistake in it, with its place.
    pub fn read(path: &Path, environment: &Environment) -> Result<Self, Vec<ChainMistake>> {
        let whole = |message| vec![ChainMistake { path: path.to_owned(), line: 0, column: 0, message }];
        let text = bounded::read_text(path, "a chain file", MAX_FILE_BYTES).map_err(|error| whole(causes(&error)))?;
        Self::parse(&text, path, environment)
    }

    /// Reads `text`, which stands in the file at `path`: names of further files are looked up from its folder.
    ///
    /// # Errors
    ///
    /// Every mistake in it, with its place.
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, Vec<ChainMistake>> {
        let mut reader = TomlReader::new(text, path, environment);
        let (root, errors) = toml::de::DeTable::parse_recoverable(text);
        // One that is not closed makes others of what follows it.
        if let Some(error) = errors.first() {
            reader.wrong(error.span().unwrap_or_default(), error.message().trim());
        }
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        // What a broken file seems to say would only be told as further mistakes.
        if reader.mistakes().is_empty() {
            file.fill(&root, &mut reader);
        }
        let mut mistakes = reader.into_mistakes();
        if mistakes.is_empty() {
            return Ok(file);
        }
        mistakes.sort();
        mistakes.truncate(MAX_MISTAKES);
        Err(mistakes)
    }

    fn fill(&mut self, root: &toml::Spanned<toml::de::DeTable<'_>>, reader: &mut TomlReader<'_>) {
        let mut table = TomlTable::root(root);
        let (links, cases) = (table.take("link"), table.take("test"));
        table.finish(reader, "at the top of a chain file", &["link", "test"]);
        let mut names = carry::CarryNames::default();
        for table in reader.tables(links, "link") {
            let span = table.span.clone();
            let Some(link) = links::link(table, reader) else { continue };
            names.take(&link, span, reader);
            self.links.push(link);
        }
        for table in reader.tables(cases, "test") {
            self.cases.extend(cases::case(table, reader));
        }
    }
}

/// Returns the position of `span` in `text`: line and column in characters, from 1.
fn place(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start.min(text.len())).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

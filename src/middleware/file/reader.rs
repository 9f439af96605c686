//! TOML values become Rust values, and what does not fit becomes a mistake with its place.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use regex::bytes::Regex;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::Template;
use super::super::patterns::MAX_LIST;
use super::{ChainMistake, Environment, place};
use crate::suggest::nearest;

/// A value and where it stands.
pub(super) type Located<'t> = Spanned<DeValue<'t>>;

/// Collects mistakes while a file is read.
pub(super) struct TomlReader<'a> {
    text: &'a str,
    path: &'a Path,
    pub(super) environment: &'a Environment,
    mistakes: Vec<ChainMistake>,
}

/// A table whose keys are taken out one by one; what is left at the end is a mistake.
pub(super) struct TomlTable<'t> {
    pub(super) span: Range<usize>,
    entries: Vec<TomlEntry<'t>>,
}

/// A key and its value.
#[derive(Clone)]
pub(super) struct TomlEntry<'t> {
    pub(super) key: &'t str,
    pub(super) span: Range<usize>,
    pub(super) value: &'t Located<'t>,
}

impl<'t> TomlTable<'t> {
    /// The whole file.
    pub(super) fn root(root: &'t Spanned<DeTable<'t>>) -> Self {
        Self::new(root.span(), root.get_ref())
    }

    /// In the order in which they were written.
    fn new(span: Range<usize>, table: &'t DeTable<'t>) -> Self {
        let mut entries: Vec<TomlEntry<'t>> =
            table.iter().map(|(key, value)| TomlEntry { key: key.get_ref(), span: key.span(), value }).collect();
        entries.sort_by_key(|entry| entry.span.start);
        Self { span, entries }
    }

    /// The value under `key`, which is known from now on.
    pub(super) fn take(&mut self, key: &str) -> Option<&'t Located<'t>> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at).value)
    }

    /// Returns the entries that were not taken yet, in order.
    pub(super) fn rest(&mut self) -> Vec<TomlEntry<'t>> {
        std::mem::take(&mut self.entries)
    }

    /// Reports every unknown key. `known` are the keys to suggest.
    pub(super) fn finish(mut self, reader: &mut TomlReader<'_>, place: &str, known: &[&str]) {
        for entry in self.rest() {
            reader.unknown(&entry, place, known);
        }
    }
}

impl<'a> TomlReader<'a> {
    pub(super) fn new(text: &'a str, path: &'a Path, environment: &'a Environment) -> Self {
        Self { text, path, environment, mistakes: Vec::new() }
    }

    pub(super) fn mistakes(&self) -> &[ChainMistake] {
        &self.mistakes
    }

    pub(super) fn into_mistakes(self) -> Vec<ChainMistake> {
        self.mistakes
    }

    /// The folder that file names are looked up from.
    pub(super) fn folder(&self) -> &'a Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        place(self.text, span).0
    }

    /// Adds a mistake.
    pub(super) fn wrong(&mut self, span: Range<usize>, message: impl Display) {
        let (line, column) = place(self.text, &span);
        self.mistakes.push(ChainMistake { path: self.path.to_owned(), line, column, message: message.to_string() });
    }

    /// Adds a mistake in another file.
    pub(super) fn wrong_in(&mut self, path: &Path, line: usize, message: String) {
        self.mistakes.push(ChainMistake { path: path.to_owned(), line, column: 0, message });
    }

    /// The value, or `None` after its error was added.
    pub(super) fn keep<T>(&mut self, span: Range<usize>, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|error| self.wrong(span, error)).ok()
    }

    /// Adds the mistake that nobody knows this key.
    pub(super) fn unknown(&mut self, entry: &TomlEntry<'_>, place: &str, known: &[&str]) {
        let hint = match nearest(entry.key, known.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        self.wrong(entry.span.clone(), format!("`{}` means nothing {place}; {hint}", entry.key));
    }

    /// The tables of `[[name]]`.
    pub(super) fn tables<'t>(&mut self, value: Option<&'t Located<'t>>, name: &str) -> Vec<TomlTable<'t>> {
        let Some(value) = value else { return Vec::new() };
        let Some(all) = value.get_ref().as_array() else {
            self.wrong(value.span(), format!("`{name}` is a list: write [[{name}]] above each"));
            return Vec::new();
        };
        all.iter().filter_map(|value| self.table(value)).collect()
    }

    /// A table.
    pub(super) fn table<'t>(&mut self, value: &'t Located<'t>) -> Option<TomlTable<'t>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(TomlTable::new(value.span(), table)),
            other => {
                self.wrong(value.span(), format!("a table is wanted here, {{ key = value }}, and not {}", kind(other)));
                None
            }
        }
    }

    /// A text.
    pub(super) fn text<'t>(&mut self, value: &'t Located<'t>) -> Option<&'t str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            other => {
                self.wrong(value.span(), format!("a text in quotes is wanted here, and not {}", kind(other)));
                None
            }
        }
    }

    /// A text, or a list of them.
    pub(super) fn texts<'t>(&mut self, value: &'t Located<'t>) -> Vec<(&'t str, Range<usize>)> {
        let values: Vec<&'t Located<'t>> = match value.get_ref() {
            DeValue::Array(all) if all.is_empty() => {
                self.wrong(value.span(), "an empty list matches nothing and does nothing: put something into it");
                return Vec::new();
            }
            DeValue::Array(all) if all.len() > MAX_LIST => {
                self.wrong(value.span(), format!("a list has {MAX_LIST} entries at most, and this one {}", all.len()));
                return Vec::new();
            }
            DeValue::Array(all) => all.iter().collect(),
            _ => vec![value],
        };
        values.into_iter().filter_map(|value| Some((self.text(value)?, value.span()))).collect()
    }

    /// Each text of a list, read by `read`.
    pub(super) fn each<T, E: Display>(&mut self, value: &Located<'_>, read: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let texts = self.texts(value);
        texts.into_iter().filter_map(|(text, span)| self.keep(span, read(text))).collect()
    }

    /// The entries of a table, in the order in which they were written.
    pub(super) fn entries<'t>(&mut self, value: &'t Located<'t>) -> Vec<TomlEntry<'t>> {
        let Some(mut table) = self.table(value) else { return Vec::new() };
        let entries = table.rest();
        if entries.is_empty() {
            self.wrong(value.span(), "an empty table does nothing: put something into it");
        }
        entries
    }

    /// A text that knows how to be read.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, value: &Located<'_>) -> Option<T> {
        let text = self.text(value)?;
        self.keep(value.span(), text.parse())
    }

    /// Yes or no.
    pub(super) fn truth(&mut self, value: &Located<'_>) -> Option<bool> {
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.wrong(value.span(), format!("true or false is wanted here, and not {}", kind(value.get_ref())));
        }
        truth
    }

    /// A whole number from 0.
    pub(super) fn number(&mut self, value: &Located<'_>) -> Option<u64> {
        let number = value.get_ref().as_integer().map(|number| u64::from_str_radix(number.as_str(), number.radix()));
        if let Some(Ok(number)) = number {
            return Some(number);
        }
        self.wrong(value.span(), "a whole number from 0 is wanted here");
        None
    }

    /// A regular expression over bytes.
    pub(super) fn regex(&mut self, value: &Located<'_>) -> Option<Regex> {
        let text = self.text(value)?;
        self.keep(value.span(), self.environment.expressions.regex(text))
    }

    /// A value that may name the capture.
    pub(super) fn template(&mut self, value: &Located<'_>) -> Option<Template> {
        let text = self.text(value)?;
        self.keep(value.span(), Template::new(text))
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

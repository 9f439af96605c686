//! Flags from a file: TOML whose keys are the names of flags. Each becomes a word of the command line, unless the flag was
//! typed or is in the environment.

use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use shadowtap::bounded;
use shadowtap::causes::causes;
use shadowtap::config::ConfigMistakes;
use toml::de::{DeTable, DeValue};

/// Largest file that is read.
const MAX_FILE: usize = 1 << 20;
/// Key of what is no flag: files to read.
const FILES: &str = "files";

/// Where the flags of the file stood when it was last read, for mistakes that are found later.
static PLACES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Mistakes in the file, until those in its values are known too.
static MISTAKES: Mutex<Option<ConfigMistakes>> = Mutex::new(None);

/// The words that the file came to when it was last read.
static WORDS: Mutex<Vec<OsString>> = Mutex::new(Vec::new());

/// Returns the words that the file came to when it was last read.
pub(crate) fn last_words() -> Vec<OsString> {
    WORDS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps the file's mistakes for [`with_mistakes`].
pub(crate) fn keep_mistakes(mistakes: ConfigMistakes) {
    *MISTAKES.lock().unwrap_or_else(PoisonError::into_inner) = Some(mistakes);
}

/// Returns whether the file has mistakes that were not told yet.
pub(crate) fn has_mistakes() -> bool {
    MISTAKES.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Takes the file's mistakes, which are told once.
pub(crate) fn take_mistakes() -> Option<ConfigMistakes> {
    MISTAKES.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A configuration, or every mistake: those of the file, and those of what was typed.
pub(crate) fn with_mistakes<T>(checked: impl FnOnce() -> Result<T, ConfigMistakes>) -> Result<T, ConfigMistakes> {
    let mistakes = take_mistakes();
    match (mistakes, checked()) {
        (None, checked) => checked,
        (Some(mistakes), Ok(_)) => Err(mistakes),
        (Some(mut mistakes), Err(others)) => {
            // What the file was to give is not missing besides.
            let names = mistakes.all().iter().map(|mistake| mistake.message.clone()).collect::<Vec<_>>();
            let is_told =
                |flag: &str| names.iter().any(|told| told.starts_with(&format!("{}: ", flag.trim_start_matches('-'))));
            for other in others.all().iter().filter(|other| !is_told(&other.flag)) {
                mistakes.add(other.flag.clone(), &other.message);
            }
            Err(mistakes)
        }
    }
}

/// Returns the place of a flag in the file, with a colon; nothing where it is of the command line.
pub(crate) fn place_of(flag: &str) -> String {
    let first = flag.split(' ').next().unwrap_or_default();
    let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let found = places.iter().find(|(name, _)| name == first);
    found.map(|(_, place)| format!("{place}: ")).unwrap_or_default()
}

/// Reads the file that `matches` name; returns the words for what was not given otherwise.
/// Its mistakes are kept, unless it cannot be read at all.
pub(crate) fn flags(matches: &ArgMatches, command: &Command) -> anyhow::Result<Vec<OsString>> {
    let Some(path) = matches.get_one::<std::path::PathBuf>("config") else { return Ok(Vec::new()) };
    let mut mistakes = ConfigMistakes::default();
    let text = match bounded::read_text(path, "a configuration", MAX_FILE) {
        Ok(text) => text,
        Err(error) => {
            mistakes.add("--config", format!("{} {}", path.display(), causes(&error)));
            return Err(mistakes.into());
        }
    };
    let read = words(&text, path, matches, command, &mut mistakes);
    if !mistakes.is_empty() {
        keep_mistakes(mistakes);
    }
    WORDS.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&read);
    Ok(read)
}

fn words(
    text: &str,
    path: &Path,
    matches: &ArgMatches,
    command: &Command,
    mistakes: &mut ConfigMistakes,
) -> Vec<OsString> {
    let (mut words, mut places) = (Vec::new(), Vec::new());
    let place = |span: &Range<usize>| {
        let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        format!("{}:{line}", path.display())
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let span = error.span().unwrap_or_default();
            mistakes.add(place(&span), error.message());
            keep_places(places);
            return words;
        }
    };
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let (name, at) = (key.get_ref().as_ref(), place(&key.span()));
        let Some(arg) = arg_of(command, name) else {
            mistakes.add(at, unknown(command, name));
            continue;
        };
        match values(arg, name, value.get_ref()) {
            Err(why) => mistakes.add(at, format!("{name}: {why}")),
            Ok(values) => {
                let source = matches.value_source(arg.get_id().as_str());
                if matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
                    continue;
                }
                places.push((format!("--{name}"), at));
                words.extend(values.into_iter().map(|value| word(name, arg, value)));
            }
        }
    }
    keep_places(places);
    words
}

/// Keeps where the flags stand, for [`place_of`].
fn keep_places(places: Vec<(String, String)>) {
    *PLACES.lock().unwrap_or_else(PoisonError::into_inner) = places;
}

/// The flag under a key; files are no flag, and have a key all the same.
fn arg_of<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    let is_settable = |arg: &&Arg| arg.get_long().is_some_and(|long| long == name && !is_own(long));
    let files = || command.get_positionals().next().filter(|_| name == FILES);
    command.get_arguments().find(is_settable).or_else(files)
}

/// Returns whether a flag means nothing in a file.
pub(crate) fn is_own(long: &str) -> bool {
    long == "config" || long.starts_with("help")
}

fn unknown(command: &Command, name: &str) -> String {
    let known = command.get_arguments().filter_map(Arg::get_long).filter(|long| !is_own(long));
    let known = known.chain(command.get_positionals().next().map(|_| FILES));
    let alike = known.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    let hint = alike.filter(|(slips, _)| *slips <= 2).map(|(_, known)| format!("; did you mean `{known}`?"));
    format!("`{name}` is no flag of {}{}", command.get_name(), hint.unwrap_or_default())
}

/// The values of a key; `None` for a switch that is on.
fn values(arg: &Arg, name: &str, value: &DeValue<'_>) -> Result<Vec<Option<String>>, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(is_on)) => Ok(if *is_on { vec![None] } else { Vec::new() }),
        (ArgAction::SetTrue, _) => Err(format!("is on or off: write {name} = true")),
        (ArgAction::Append, DeValue::Array(all)) => {
            all.iter().map(|one| scalar(name, one.get_ref()).map(Some)).collect()
        }
        (_, DeValue::Array(_)) => Err("takes one value, and not a list".to_owned()),
        (_, value) => Ok(vec![Some(scalar(name, value)?)]),
    }
}

fn scalar(name: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(_) => Err(format!("takes a value, such as {name} = \"...\"")),
        _ => Err(format!("takes text or a number, such as {name} = \"...\"")),
    }
}

fn word(name: &str, arg: &Arg, value: Option<String>) -> OsString {
    match value {
        None => format!("--{name}").into(),
        // No name of a file is a flag; `-` is standard input.
        Some(value) if arg.is_positional() && value.starts_with('-') && value != "-" => format!("./{value}").into(),
        Some(value) if arg.is_positional() => value.into(),
        Some(value) => format!("--{name}={value}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage;

    /// The schema of configuration files, for editors.
    fn schema() -> String {
        let program = usage::command();
        let of = |name: &str| program.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
        let mut properties = serde_json::Map::new();
        for arg in usage::CONFIGURED.iter().flat_map(|name| of(name)) {
            let Some(name) = arg.get_long().filter(|long| !is_own(long)) else { continue };
            let one = serde_json::json!({ "type": ["string", "number"] });
            let mut property = match arg.get_action() {
                ArgAction::SetTrue => serde_json::json!({ "type": "boolean" }),
                ArgAction::Append => serde_json::json!({ "anyOf": [one, { "type": "array", "items": one }] }),
                _ => one,
            };
            property["description"] = arg.get_help().map(ToString::to_string).unwrap_or_default().into();
            properties.insert(name.to_owned(), property);
        }
        properties.insert(
            FILES.to_owned(),
            serde_json::json!({
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
                "description": "Captures or recordings that replay reads"
            }),
        );
        let schema = serde_json::json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "shadowtap --config",
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        });
        serde_json::to_string_pretty(&schema).unwrap() + "\n"
    }

    /// To write it anew: `SHADOWTAP_TEST_WRITE=1 cargo test --bin shadowtap schema`.
    #[test]
    fn the_schema_for_editors_has_every_flag() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/shadowtap.schema.json");
        if std::env::var_os("SHADOWTAP_TEST_WRITE").is_some() {
            std::fs::write(&path, schema()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), schema(), "see the comment on this test");
    }

    fn read(text: &str, typed: &[&str]) -> (Vec<String>, String) {
        let program = usage::command();
        let command = program.find_subcommand("replay").unwrap();
        let words_typed = ["replay"].iter().chain(typed);
        let lenient = command.clone().mut_args(|arg| arg.required(false));
        let matches = lenient.try_get_matches_from(words_typed).unwrap();
        let mut mistakes = ConfigMistakes::default();
        let words = words(text, Path::new("x.toml"), &matches, command, &mut mistakes);
        (words.into_iter().map(|word| word.into_string().unwrap()).collect(), mistakes.to_string())
    }

    #[test]
    fn keys_are_flags_and_what_was_typed_wins() {
        let text = "files = 'a.pcap'\nto = ['http://a', 'http://b']\nsample = '5%'\nport = [80, 81]\nhttp2 = true\nforce = false\n";
        let (words, mistakes) = read(text, &["--sample", "10%"]);
        assert_eq!(mistakes, "");
        assert_eq!(words, ["a.pcap", "--to=http://a", "--to=http://b", "--port=80", "--port=81", "--http2"]);
    }

    #[test]
    fn a_file_is_no_flag() {
        let (words, mistakes) = read("files = ['--allow-writes', '-', 'a']\n", &[]);
        assert_eq!((words.as_slice(), mistakes.as_str()), (&["./--allow-writes", "-", "a"].map(str::to_owned)[..], ""));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let (_, mistakes) =
            read("sampel = '5%'\n\nhttp2 = 'yes'\nspeed = [1, 2]\nlimit = true\n[to]\nurl = 'x'\n", &[]);
        for part in [
            "x.toml:1: `sampel` is no flag of replay; did you mean `sample`?",
            "x.toml:3: http2: is on or off: write http2 = true",
            "x.toml:4: speed: takes one value",
            "x.toml:5: limit: takes a value",
            "x.toml:6: to: takes text or a number",
        ] {
            assert!(mistakes.contains(part), "{mistakes}");
        }
        assert!(read("a = ", &[]).1.starts_with("x.toml:1: "));
    }
}

//! The words of a command line as Go's `flag` package reads them.

use std::collections::BTreeMap;

use super::flags::{self, Fate, Takes};
use crate::config::ConfigMistakes;
use crate::suggest::nearest;

/// Flags with their values, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Words {
    values: BTreeMap<&'static str, Vec<String>>,
    /// Whether the translation is only to be printed: the one flag that GoReplay has not.
    pub(super) print: bool,
}

/// The flag that GoReplay has not.
const PRINT: &str = "print";

/// Flags whose value is a number or a length of time: Go takes no empty one.
const NUMBERS: [&str; 7] = [
    "exit-after",
    "input-file-max-wait",
    "input-raw-expire",
    "output-http-timeout",
    "output-http-workers",
    "output-file-queue-limit",
    "output-file-size-limit",
];

impl Words {
    /// Reads the words: `-flag`, `--flag`, `--flag=value`, `--flag value`.
    pub(super) fn read(words: &[String], mistakes: &mut ConfigMistakes) -> Self {
        let mut read = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|name| !name.is_empty())
            else {
                if word != "--" || rest.len() > 0 {
                    stray(word, mistakes);
                }
                break;
            };
            let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
            if name == PRINT {
                read.print = switch(name, value, mistakes);
                continue;
            }
            let Some(flag) = flags::of_name(name) else {
                unknown(name, mistakes);
                // What stands behind it is probably its value, and nothing can be said of that.
                if value.is_none() && rest.as_slice().first().is_some_and(|next| !next.starts_with('-')) {
                    rest.next();
                }
                continue;
            };
            let value = match (flag.takes, value) {
                (Takes::Switch, value) => switch(name, value, mistakes).to_string(),
                (_, Some(value)) => value.to_owned(),
                (_, None) => {
                    let Some(value) = mistakes.keep(&format!("--{name}"), rest.next().ok_or("needs a value")) else {
                        continue;
                    };
                    value.clone()
                }
            };
            if value.is_empty() && NUMBERS.contains(&flag.name) {
                mistakes.add(format!("--{name}"), super::EMPTY);
            }
            read.values.entry(flag.name).or_default().push(value);
        }
        read.refuse(mistakes);
        read
    }

    /// Adds a mistake for each flag that is refused.
    fn refuse(&self, mistakes: &mut ConfigMistakes) {
        for (name, values) in &self.values {
            let Some(Fate::Refused(why)) = flags::of_name(name).map(|flag| flag.fate) else { continue };
            let is_off = values.last().is_some_and(|value| value == "false" || value == "0" || value.is_empty());
            if !is_off {
                mistakes.add(format!("--{name}"), why.replace('`', ""));
            }
        }
    }

    /// The value of a flag: the last one that was given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a flag.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// Returns whether a flag was given at all.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

/// What Go's `strconv.ParseBool` takes.
fn switch(name: &str, value: Option<&str>, mistakes: &mut ConfigMistakes) -> bool {
    match value {
        None | Some("1" | "t" | "T" | "TRUE" | "true" | "True") => true,
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => false,
        Some(other) => {
            mistakes.add(format!("--{name}"), format!("`{other}` is neither true nor false"));
            false
        }
    }
}

fn stray(word: &str, mistakes: &mut ConfigMistakes) {
    let why = if word == "file-server" {
        "gor file-server is a test aid: `python3 -m http.server 8000` serves a folder".to_owned()
    } else {
        format!(
            "`{word}` is no flag. GoReplay stops reading there, and ignores every flag behind it: a switch takes its \
             value with an equals sign, such as --split-output=true"
        )
    };
    mistakes.add("", why);
}

fn unknown(name: &str, mistakes: &mut ConfigMistakes) {
    let hint = nearest(name, flags::FLAGS.iter().map(|flag| flag.name).chain([PRINT]));
    let hint = hint.map(|hint| format!("; did you mean --{hint}?")).unwrap_or_default();
    mistakes.add(format!("--{name}"), format!("GoReplay has no such flag{hint}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> (Words, String) {
        let mut mistakes = ConfigMistakes::default();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        (Words::read(&words, &mut mistakes), mistakes.to_string())
    }

    #[test]
    fn flags_are_written_as_go_takes_them() {
        let (words, mistakes) = read(&[
            "-input-raw",
            ":80",
            "--input-raw=:81",
            "--stats",
            "-split-output=F",
            "--exit-after=1m",
            "-exit-after",
            "2m",
            "-print",
        ]);
        assert_eq!(mistakes, "");
        assert_eq!(words.all("input-raw"), [":80", ":81"]);
        assert_eq!(
            (words.get("exit-after"), words.is_on("stats"), words.is_on("split-output")),
            (Some("2m"), true, false)
        );
        assert!(words.print);
    }

    #[test]
    fn what_is_refused_unknown_or_in_the_wrong_place_is_told_at_once() {
        let (_, mistakes) = read(&[
            "--input-kafka-host",
            "h",
            "--output-htp",
            "x",
            "--stats=maybe",
            "--split-output",
            "true",
            "--stats",
        ]);
        for part in [
            "--input-kafka-host: Kafka is not spoken here",
            "--output-htp: GoReplay has no such flag; did you mean --output-http?",
            "--stats: `maybe` is neither true nor false",
        ] {
            assert!(mistakes.contains(part), "{mistakes}");
        }
        let (_, mistakes) = read(&["--split-output", "true", "--output-file", "x"]);
        assert!(mistakes.contains("ignores every flag behind it"), "{mistakes}");
        assert!(read(&["--exit-after"]).1.contains("--exit-after: needs a value"));
        assert!(read(&["--exit-after", ""]).1.contains("--exit-after: is empty"));
        assert!(read(&["--output-http-workers="]).1.contains("--output-http-workers: is empty"));
        assert!(read(&["--middleware", "", "--http-pprof="]).1.is_empty());
        assert!(read(&["--output-http-redirects", "0", "--prettify-http=false"]).1.is_empty());
        assert!(read(&["--output-http-redirects", "3"]).1.contains("not followed"));
    }

    #[test]
    fn each_flag_is_there_once() {
        for (at, flag) in flags::FLAGS.iter().enumerate() {
            assert!(!flags::FLAGS.iter().take(at).any(|other| other.name == flag.name), "{}", flag.name);
        }
        assert_eq!(flags::FLAGS.len(), 112, "all of settings.go and of cmd/gor, and one that is only in its manual");
    }
}

//! Mistakes of a command line, collected so that all of them are reported together.

use std::error::Error;
use std::fmt;

use crate::help;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMistake {
    /// Flag or flags at fault; empty where the message has the location itself.
    pub flag: String,
    /// Description of the mistake, with the correct form.
    pub message: String,
}

/// All mistakes, in the order in which they were found. As an error, one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct ConfigMistakes(Vec<ConfigMistake>);

impl ConfigMistakes {
    /// Adds one.
    pub fn add(&mut self, flag: impl Into<String>, message: impl fmt::Display) {
        self.0.push(ConfigMistake { flag: flag.into(), message: message.to_string() });
    }

    /// Adds a mistake unless there is one of the same flag: several targets may share it.
    pub(super) fn add_once(&mut self, flag: &str, message: impl fmt::Display) {
        if !self.0.iter().any(|mistake| mistake.flag == flag) {
            self.add(flag, message);
        }
    }

    /// The value, or `None` after its error was added.
    pub fn keep<T>(&mut self, flag: &str, result: Result<T, impl fmt::Display>) -> Option<T> {
        result.map_err(|error| self.add(flag, error)).ok()
    }

    /// The same of an error that has causes, or knows what helps.
    pub(crate) fn keep_error<T>(&mut self, flag: &str, result: Result<T, impl Error + 'static>) -> Option<T> {
        result.map_err(|error| self.add(flag, help::say(&error))).ok()
    }

    /// Returns whether there are no mistakes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[ConfigMistake] {
        &self.0
    }
}

impl fmt::Display for ConfigMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "\n" })?;
            match mistake.flag.as_str() {
                "" => f.write_str(&mistake.message)?,
                flag => write!(f, "{flag}: {}", mistake.message)?,
            }
        }
        Ok(())
    }
}

//! The command line of a process: words as a shell splits them, and nothing else of a shell.

use std::fmt;
use std::str::FromStr;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub program: String,
    /// Arguments of the program.
    pub arguments: Vec<String>,
}

/// Reason why a typed text is not a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandLineError {
    /// Nothing to run.
    #[error("name a program, such as 'python3 my.py'")]
    Empty,
    /// A quote without its end.
    #[error("`{typed}` has a quote that does not end; it is split into words as a shell does it")]
    Quotes {
        /// Text as typed.
        typed: String,
    },
}

/// Words, with quotes and backslashes as in a shell. Variables, patterns, pipes and redirections are not looked at: for
/// those run a shell, `sh -c '...'`.
impl FromStr for CommandLine {
    type Err = CommandLineError;

    fn from_str(typed: &str) -> Result<Self, CommandLineError> {
        let words = shell_words::split(typed).map_err(|_| CommandLineError::Quotes { typed: typed.to_owned() })?;
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or(CommandLineError::Empty)?;
        Ok(Self { program, arguments: words.collect() })
    }
}

/// As it could be typed.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        f.write_str(&shell_words::join(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them_and_nothing_is_filled_in() {
        let command: CommandLine = r#"python3 'my script.py' --to "a b" $HOME \| x"#.parse().unwrap();
        assert_eq!(command.program, "python3");
        assert_eq!(command.arguments, ["my script.py", "--to", "a b", "$HOME", "|", "x"]);
        assert_eq!(command.to_string().parse::<CommandLine>().unwrap(), command);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for typed in ["", "  ", "''"] {
            assert_eq!(typed.parse::<CommandLine>().unwrap_err(), CommandLineError::Empty, "{typed:?}");
        }
        assert!("python3 'my.py".parse::<CommandLine>().unwrap_err().to_string().contains("does not end"));
    }
}

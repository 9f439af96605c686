//! Properties of the terminal: its width and its use of color.
#![expect(clippy::disallowed_methods, reason = "nothing is written here")]

use std::io::{self, IsTerminal};

/// Width of a report where no terminal says otherwise.
const DEFAULT_WIDTH: usize = 80;

/// Returns whether standard output is colored: on a terminal, unless `NO_COLOR` is set to any value.
pub(crate) fn color_on_stdout() -> bool {
    is_stdout() && color_is_welcome()
}

/// Returns whether standard error is colored.
pub(crate) fn color_on_stderr() -> bool {
    is_stderr() && color_is_welcome()
}

/// Returns whether standard output is a terminal.
pub(crate) fn is_stdout() -> bool {
    io::stdout().is_terminal()
}

/// Returns whether standard error is a terminal.
pub(crate) fn is_stderr() -> bool {
    io::stderr().is_terminal()
}

/// Columns of the terminal behind standard output; `None` where it is a file or a pipe.
pub(crate) fn width_of_stdout() -> Option<usize> {
    width(terminal_size::terminal_size_of(io::stdout()))
}

/// Columns of the terminal behind standard error; `None` where it is a file or a pipe.
pub(crate) fn width_of_stderr() -> Option<usize> {
    width(terminal_size::terminal_size_of(io::stderr()))
}

/// `width`, or that of a report which nobody looks at yet.
pub(crate) fn or_default(width: Option<usize>) -> usize {
    width.unwrap_or(DEFAULT_WIDTH)
}

fn width(size: Option<(terminal_size::Width, terminal_size::Height)>) -> Option<usize> {
    size.map(|(terminal_size::Width(columns), _)| usize::from(columns))
}

fn color_is_welcome() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !dumb && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

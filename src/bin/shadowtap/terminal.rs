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

/// The words of a text in lines of this width, further lines indented by `indent` columns. A longer word stays whole.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (at, word) in text.split(' ').enumerate() {
        let len = lines.last().map_or(0, |line| line.chars().count());
        if at > 0 && len + 1 + word.chars().count() > width {
            lines.push(format!("{:indent$}{word}", ""));
        } else if let Some(line) = lines.last_mut() {
            if at > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn width(size: Option<(terminal_size::Width, terminal_size::Height)>) -> Option<usize> {
    size.map(|(terminal_size::Width(columns), _)| usize::from(columns))
}

fn color_is_welcome() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !dumb && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_cut_at_the_edge_of_a_terminal() {
        let text = "sending GET to http://a.example.org:8080; writes are left out";
        assert_eq!(wrapped(text, 200, 2), [text]);
        assert_eq!(wrapped(text, 61, 2), [text], "it fits");
        assert_eq!(wrapped(text, 30, 2), ["sending GET to", "  http://a.example.org:8080;", "  writes are left out"]);
        assert_eq!(wrapped("a http://a.example.org:8080", 8, 2), ["a", "  http://a.example.org:8080"]);
        assert_eq!(wrapped("", 8, 2), [""]);
    }
}

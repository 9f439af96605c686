//! Errors in one line for people: what each level says, outermost first.

use std::borrow::Cow;
use std::error::Error;

/// An error that knows what helps.
pub(crate) trait Help {
    /// What to do about it, in words that follow those of the error; `None` where these say all.
    fn help(&self) -> Option<Cow<'static, str>>;
}

/// Returns what an error and its causes say, each once, outermost first: `cannot open a.pcap: No such file`.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns the error and each of its causes, outermost first.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns the line that people read: causes, and after a semicolon what helps.
pub(crate) fn line(causes: String, help: Option<Cow<'static, str>>) -> String {
    match help {
        Some(help) => format!("{causes}; {help}"),
        None => causes,
    }
}

/// Returns what an error and its causes say, and what helps against the outermost one.
pub(crate) fn say_with_help<E: Help + Error + 'static>(error: &E) -> String {
    line(causes(error), error.help())
}

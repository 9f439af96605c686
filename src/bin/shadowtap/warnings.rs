//! Warnings of the library as lines for people: each once when it first comes, and how often it came at the end.
//!
//! Whoever sets `SHADOWTAP_LOG` gets the log as developers want it instead: time, level, module, every event.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::output::print_line;
use shadowtap::report::units::number;

/// Most warnings that are counted. A further one is printed each time that it comes.
const MOST_KINDS: usize = 256;

/// Progress lines above which warnings go.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);
/// Warnings so far, and how often each came.
static CAME: Mutex<WarningCounts> = Mutex::new(WarningCounts(Vec::new()));

/// A layer that prints warnings and errors.
pub(crate) struct WarningLines;

impl<S: Subscriber> Layer<S> for WarningLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = EventText::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            // News, of which each is another one.
            _ => "",
        };
        let line = format!("{level}{}{}", text.message, text.fields);
        if !level.is_empty() && !lock(&CAME).is_first(&line) {
            return;
        }
        let bar = lock(&BAR).clone();
        match bar {
            Some(bar) => bar.suspend(|| print_line(&line)),
            None => print_line(&line),
        }
    }
}

/// Has warnings go above these progress lines, or nowhere in particular any more.
pub(crate) fn above(bar: Option<&ProgressBar>) {
    *lock(&BAR) = bar.cloned();
}

/// Prints how often each warning came that came more than once since this was last asked.
pub(crate) fn print_repeats() {
    for line in lock(&CAME).take_repeats() {
        print_line(&line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines, and how often each came.
struct WarningCounts(Vec<(String, u64)>);

impl WarningCounts {
    /// Counts a line; true where it has to be printed.
    fn is_first(&mut self, line: &str) -> bool {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| known == line) {
            *count += 1;
            return false;
        }
        if self.0.len() < MOST_KINDS {
            self.0.push((line.to_owned(), 1));
        }
        true
    }

    fn take_repeats(&mut self) -> Vec<String> {
        let all = std::mem::take(&mut self.0);
        all.into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(line, count)| format!("{line} ({} times)", number(count)))
            .collect()
    }
}

/// What an event says: its message, and its fields behind it.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Nothing fails that is written to a string.
        if field.name() == "message" {
            write!(self.message, "{value:?}").ok();
        } else if !field.name().starts_with("log.") {
            write!(self.fields, "; {} {value:?}", field.name()).ok();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_printed_once_and_counted() {
        let mut counts = WarningCounts(Vec::new());
        let first: Vec<bool> = ["a", "b", "a", "a"].into_iter().map(|line| counts.is_first(line)).collect();
        assert_eq!(first, [true, true, false, false]);
        assert_eq!(counts.take_repeats(), ["a (3 times)"]);
        assert_eq!(counts.take_repeats(), Vec::<String>::new());
    }

    #[test]
    fn past_the_bound_nothing_is_held_and_everything_printed() {
        let mut counts = WarningCounts(Vec::new());
        for n in 0..2 * MOST_KINDS {
            assert!(counts.is_first(&n.to_string()));
        }
        assert_eq!(counts.0.len(), MOST_KINDS);
        assert!(counts.is_first(&MOST_KINDS.to_string()));
    }
}

//! Middleware in a process outside: what is run, how many of it, and how long it may take.

use crate::middleware::external::{DEFAULT_TIMEOUT, ExternalSettings, MAX_WORKERS};

use super::mistakes::ConfigMistakes;
use super::{check, typed};

/// Builds the settings of `--middleware`; `None` where it was not given.
pub(super) fn settings(
    typed: &typed::Middleware,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> Option<ExternalSettings> {
    let Some(command) = typed.middleware.as_deref() else {
        let alone =
            [("--middleware-workers", &typed.middleware_workers), ("--middleware-timeout", &typed.middleware_timeout)];
        for (flag, _) in alone.iter().filter(|(_, typed)| typed.is_some()) {
            warnings.push(format!("{flag} changes nothing without --middleware"));
        }
        return None;
    };
    let command = mistakes.keep("--middleware", command.parse());
    let workers = typed.middleware_workers.as_deref();
    let workers = workers.and_then(|typed| mistakes.keep("--middleware-workers", workers_of(typed))).unwrap_or(1);
    let flag = "--middleware-timeout";
    let timeout = check::duration_or(flag, typed.middleware_timeout.as_deref(), DEFAULT_TIMEOUT, mistakes);
    if timeout.is_zero() {
        mistakes.add(flag, "nothing comes back in no time: give more than zero, such as 5s");
    }
    Some(ExternalSettings { command: command?, workers, timeout })
}

fn workers_of(typed: &str) -> Result<usize, String> {
    match typed.parse() {
        Ok(workers @ 1..=MAX_WORKERS) => Ok(workers),
        _ => Err(format!("`{typed}` is no number of processes; write a whole number from 1 to {MAX_WORKERS}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(
        command: Option<&str>,
        workers: Option<&str>,
        timeout: Option<&str>,
        told: &[&str],
    ) -> Option<ExternalSettings> {
        let typed = typed::Middleware {
            middleware: command.map(str::to_owned),
            middleware_workers: workers.map(str::to_owned),
            middleware_timeout: timeout.map(str::to_owned),
            ..typed::Middleware::default()
        };
        let (mut mistakes, mut warnings) = (ConfigMistakes::default(), Vec::new());
        let settings = settings(&typed, &mut mistakes, &mut warnings);
        let mut all: Vec<String> = mistakes.all().iter().map(|m| format!("{}: {}", m.flag, m.message)).collect();
        all.extend(warnings);
        assert_eq!(all, told);
        settings
    }

    #[test]
    fn a_command_alone_is_one_process_with_five_seconds() {
        let settings = check(Some("python3 'my script.py'"), None, None, &[]).unwrap();
        assert_eq!(settings.command.arguments, ["my script.py"]);
        assert_eq!((settings.workers, settings.timeout), (1, Duration::from_secs(5)));
        assert_eq!(check(None, None, None, &[]), None);
    }

    #[test]
    fn every_mistake_is_told() {
        check(
            Some("'cat"),
            Some("0"),
            Some("0s"),
            &[
                "--middleware: `'cat` has a quote that does not end; it is split into words as a shell does it",
                "--middleware-workers: `0` is no number of processes; write a whole number from 1 to 64",
                "--middleware-timeout: nothing comes back in no time: give more than zero, such as 5s",
            ],
        );
    }

    #[test]
    fn flags_without_a_command_are_warned_of() {
        check(
            None,
            Some("2"),
            Some("1s"),
            &[
                "--middleware-workers changes nothing without --middleware",
                "--middleware-timeout changes nothing without --middleware",
            ],
        );
    }
}

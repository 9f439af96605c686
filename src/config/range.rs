//! Range of the files to replay, the number of passes, and the number of copies of each session.

use std::path::PathBuf;
use std::time::Duration;

use super::check;
use super::mistakes::ConfigMistakes;
use super::{parsed, typed};
use crate::capture;
use crate::exchange::Timestamp;
use crate::recording::place;
use crate::replay::range::{CaptureWindow, Moment, ReplayRange};

/// Passes of a replay without an end.
pub(super) const FOREVER: u32 = u32::MAX;

/// Returns which part of `files` is replayed, and how often.
pub(super) fn range(typed: &typed::Range, files: &[PathBuf], mistakes: &mut ConfigMistakes) -> ReplayRange {
    let moment = |flag, typed: &Option<String>, mistakes: &mut ConfigMistakes| {
        typed.as_deref().and_then(|typed| mistakes.keep(flag, moment(typed)))
    };
    let window = CaptureWindow {
        from: moment("--from", &typed.from, mistakes),
        until: moment("--until", &typed.until, mistakes),
    };
    if window.is_empty() {
        mistakes
            .add("--from and --until", "nothing lies between them: --until names the first moment that is not taken");
    }
    let passes = typed.passes.as_deref().and_then(|typed| mistakes.keep("--loop", passes(typed))).unwrap_or(1);
    if passes > 1 {
        for file in files.iter().filter(|file| !can_be_read_again(file) && !place::is_store(file)) {
            let why = "can be read once only; --loop needs files that stay: write it to one first";
            mistakes.add("--loop", format!("{} {why}", format_file(file)));
        }
    }
    let amplify = parsed("--amplify", typed.amplify.as_deref(), mistakes).unwrap_or_default();
    if files.iter().any(|file| place::is_store(file)) {
        for (flag, given) in [("--loop", passes > 1), ("--amplify", typed.amplify.is_some())] {
            if given {
                mistakes.add(flag, "is for files: each request of a recording in a store goes out once");
            }
        }
    }
    ReplayRange { window, passes, amplify, by_client: false }
}

fn format_file(file: &std::path::Path) -> String {
    if capture::is_standard_input(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// Returns whether a file can be read a second time: a pipe is empty by then. A missing file is reported when it is
/// opened.
fn can_be_read_again(file: &std::path::Path) -> bool {
    !capture::is_standard_input(file) && std::fs::metadata(file).is_ok_and(|about| about.is_file())
}

fn passes(typed: &str) -> Result<u32, String> {
    match typed.parse() {
        Ok(passes) if passes > 0 => Ok(passes),
        _ if typed == "forever" => Ok(FOREVER),
        _ => Err(format!(
            "`{typed}` is not a number of passes; write how often the files are replayed, such as 3, or forever"
        )),
    }
}

/// `90s`, `10m`, `2026-11-21T20:15:00Z`, `20:15`, `20:15:30`.
fn moment(typed: &str) -> Result<Moment, String> {
    if let Ok(instant) = typed.parse::<Timestamp>() {
        return Ok(Moment::At(instant));
    }
    if typed.contains(':') && !typed.contains('T') {
        if let Ok(time) = typed.parse::<jiff::civil::Time>() {
            let midnight = time.duration_since(jiff::civil::Time::midnight());
            return Ok(Moment::OfDay(Duration::try_from(midnight).unwrap_or_default()));
        }
    } else if let Ok(offset) = check::time(typed) {
        return Ok(Moment::After(offset));
    }
    Err(format!(
        "`{typed}` is no moment of a capture; write how long after its beginning, such as 90s or 10m, or a time of day \
         in UTC such as 20:15:00, or an instant such as 2026-11-21T20:15:00Z"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_offset_a_time_of_day_or_an_instant() {
        let seconds = Duration::from_secs;
        for (typed, expected) in [
            ("90s", Moment::After(seconds(90))),
            ("10m", Moment::After(seconds(600))),
            ("0s", Moment::After(seconds(0))),
            ("2d", Moment::After(seconds(172_800))),
            ("20:15", Moment::OfDay(seconds(72_900))),
            ("20:15:30", Moment::OfDay(seconds(72_930))),
            ("00:00:00.5", Moment::OfDay(Duration::from_millis(500))),
            ("2026-11-21T20:00:00Z", Moment::At("2026-11-21T20:00:00Z".parse().unwrap())),
            ("2026-11-21T21:00:00+01:00", Moment::At("2026-11-21T20:00:00Z".parse().unwrap())),
        ] {
            assert_eq!(moment(typed), Ok(expected), "{typed}");
        }
        for typed in ["", "10", "25:00", "2026-11-21", "noon", "-5s", "2026-11-21T20:00"] {
            assert!(moment(typed).unwrap_err().contains("write how long"), "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_read_twice_is_not_looped_and_all_mistakes_are_told() {
        let said = |typed: typed::Range, file: &str| {
            let mut mistakes = ConfigMistakes::default();
            range(&typed, &[file.into()], &mut mistakes);
            mistakes.to_string()
        };
        let twice = || typed::Range { passes: Some("2".into()), ..typed::Range::default() };
        assert!(said(twice(), "-").contains("standard input can be read once only"));
        assert!(said(twice(), "/dev/null").contains("/dev/null can be read once only"));
        let wrong = typed::Range {
            from: Some("10m".into()),
            until: Some("5m".into()),
            passes: Some("0".into()),
            amplify: Some("3".into()),
        };
        let all = said(wrong, "-");
        for flag in ["--from and --until", "--loop", "--amplify"] {
            assert!(all.contains(flag), "{all}");
        }
    }
}

//! A recording that keeps the last minutes alone.

use std::time::Duration;

use super::mistakes::ConfigMistakes;
use super::{check, typed};
use crate::recording::DashcamSettings;
use crate::recording::place;
use crate::recording::record::DEFAULT_RING;
use crate::replay::guard::ProductionConditions;

/// Default time that goes with a save after it was asked for.
const DEFAULT_THEN: Duration = Duration::from_secs(30);
/// Smallest ring: less holds no minute of anything.
const LEAST_RING: usize = 1 << 20;

/// The settings, and when it saves by itself.
pub(super) fn dashcam(
    typed: &typed::Dashcam,
    recording: &typed::Recording,
    mistakes: &mut ConfigMistakes,
) -> (Option<DashcamSettings>, Option<ProductionConditions>) {
    let Some(keep) = typed.keep.as_deref() else {
        let others = [("--keep-size", &typed.keep_size), ("--then", &typed.then), ("--save-if", &typed.save_if)];
        for (flag, _) in others.iter().filter(|(_, given)| given.is_some()) {
            mistakes.add(*flag, "there is nothing to write out without --keep, such as --keep 10m");
        }
        return (None, None);
    };
    let rotations = [
        ("--rotate-size", recording.rotate_size.is_some()),
        ("--rotate-every", recording.rotate_every.is_some()),
        ("--rotate-count", recording.rotate_count.is_some()),
        ("--append", recording.append),
    ];
    for (flag, _) in rotations.iter().filter(|(_, given)| *given) {
        mistakes.add(format!("--keep and {flag}"), "contradict each other: each save is one file of its own");
    }
    if recording.output.as_deref().is_some_and(|output| output.as_os_str() == "-" || place::is_store(output)) {
        mistakes.add("--keep", "a ring lies beside its output: name a file with -o");
    }
    let keep = mistakes.keep("--keep", check::long_time(keep));
    let size = typed.keep_size.as_deref().and_then(|typed| mistakes.keep("--keep-size", ring(typed)));
    let then = check::duration_or("--then", typed.then.as_deref(), DEFAULT_THEN, mistakes);
    let save_if = check::parsed("--save-if", typed.save_if.as_deref(), mistakes);
    (keep.map(|keep| DashcamSettings { keep, size: size.unwrap_or(DEFAULT_RING), then }), save_if)
}

fn ring(typed: &str) -> Result<u64, String> {
    match check::size(typed)? {
        bytes if bytes >= LEAST_RING => Ok(bytes as u64),
        _ => Err(format!("`{typed}` is too little for a ring; 1M is the least")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl FnOnce(&mut typed::Dashcam, &mut typed::Recording)) -> (Option<DashcamSettings>, String) {
        let (mut typed, mut recording) = (typed::Dashcam::default(), typed::Recording::default());
        recording.output = Some("x.gor".into());
        let mut mistakes = ConfigMistakes::default();
        change(&mut typed, &mut recording);
        (dashcam(&typed, &recording, &mut mistakes).0, mistakes.to_string())
    }

    #[test]
    fn a_dashcam_keeps_what_it_is_told_to() {
        let (settings, mistakes) = read(|typed, _| typed.keep = Some("10m".to_owned()));
        let expected = DashcamSettings { keep: Duration::from_secs(600), size: DEFAULT_RING, then: DEFAULT_THEN };
        assert_eq!((settings, mistakes.as_str()), (Some(expected), ""));
    }

    #[test]
    fn every_mistake_is_told() {
        let (_, mistakes) = read(|typed, recording| {
            typed.keep = Some("soon".to_owned());
            typed.keep_size = Some("3K".to_owned());
            typed.then = Some("x".to_owned());
            typed.save_if = Some("5xx>2%/30s".to_owned());
            (recording.append, recording.output) = (true, Some("-".into()));
        });
        for part in [
            "--keep: `soon`",
            "--keep-size: `3K`",
            "--then: ",
            "--save-if: ",
            "--keep and --append",
            "beside its output",
        ] {
            assert!(mistakes.contains(part), "{mistakes}");
        }
        let (_, mistakes) = read(|typed, _| typed.then = Some("2m".to_owned()));
        assert_eq!(mistakes, "--then: there is nothing to write out without --keep, such as --keep 10m");
    }
}

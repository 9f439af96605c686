//! When requests are sent: the pace, and how closely it is kept.

use std::thread::available_parallelism;

use super::mistakes::ConfigMistakes;
use super::{parsed, typed};
use crate::priority::Priority;
use crate::replay::{Pace, Punctuality, SendSettings};

/// Returns the pace that was asked for.
pub(super) fn pace(typed: &typed::Pace, mistakes: &mut ConfigMistakes) -> Pace {
    let speed = typed.speed.as_deref().and_then(|speed| mistakes.keep("--speed", Pace::speed(speed)));
    let rate = typed.rate.as_deref().and_then(|rate| mistakes.keep("--rate", Pace::rate(rate)));
    if typed.speed.is_some() && typed.rate.is_some() {
        mistakes.add(
            "--speed and --rate",
            "contradict each other: the one keeps the captured rhythm, the other has its own",
        );
    }
    rate.or(speed).unwrap_or_default()
}

/// Returns how closely the pace is to be kept.
pub(super) fn punctuality(typed: &typed::Pace, pace: Pace, mistakes: &mut ConfigMistakes) -> Punctuality {
    let processors = available_parallelism().map_or(1, usize::from);
    let punctuality: Punctuality = parsed("--pace", typed.pace.as_deref(), mistakes).unwrap_or_default();
    if let Some((flag, why)) = unfit(punctuality, pace, processors) {
        mistakes.add(flag, why);
    }
    punctuality
}

/// Takes leave for the thread that paces to come before others, before rights are given up, where it has a processor to
/// itself. Elsewhere it may well keep those that send from their work, on which it depends.
pub(super) fn priority(targets: &[SendSettings]) -> Option<Priority> {
    targets.first().filter(|target| target.punctuality == Punctuality::Precise).map(|_| Priority::take())
}

/// Says why a pace cannot be kept like that, where it cannot.
fn unfit(punctuality: Punctuality, pace: Pace, processors: usize) -> Option<(&'static str, &'static str)> {
    match punctuality {
        Punctuality::Precise if pace == Pace::Max => {
            Some(("--pace precise and --speed max", "contradict each other: at --speed max nothing is due at a time"))
        }
        Punctuality::Precise if processors < 2 => Some((
            "--pace precise",
            "takes a processor for itself, and this run may use only one: leave it out, or run where there are two",
        )),
        Punctuality::Normal | Punctuality::Precise => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_precisely_where_there_is_one_and_a_processor_for_it() {
        let flag = |punctuality, pace, processors| unfit(punctuality, pace, processors).map(|(flag, _)| flag);
        assert_eq!(flag(Punctuality::Precise, Pace::Rate(100.0), 2), None);
        assert_eq!(flag(Punctuality::Precise, Pace::Rate(100.0), 1), Some("--pace precise"));
        assert_eq!(flag(Punctuality::Precise, Pace::Max, 2), Some("--pace precise and --speed max"));
        assert_eq!(flag(Punctuality::Normal, Pace::Max, 1), None);
    }
}

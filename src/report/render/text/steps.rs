//! Changes of the share during the run: the position of the ramp, the actions of the guards, and each step.

use crate::middleware::Share;
use crate::replay::GuardState;
use crate::report::schema::summary::{RampEnd, Summary};
use crate::report::schema::target::TargetSummary;
use crate::report::units::counted;

use super::{LABEL, Severity, TextReport};

/// Steps that are listed from either end; of those in between there is the number.
const MOST: usize = 8;

/// The section; nothing where nothing spared anything.
pub(super) fn steps(page: &mut TextReport, summary: &Summary) {
    if let Some(ramp) = &summary.ramp {
        page.out.push('\n');
        page.wrapped(&format!("Ramp         {}", of_ramp(ramp)), LABEL, tone(ramp));
    }
    if summary.steps.is_empty() {
        return;
    }
    page.title("Share");
    let all = &summary.steps;
    let left_out = all.len().saturating_sub(2 * MOST);
    for (at, step) in all.iter().enumerate() {
        if left_out > 0 && (MOST..MOST + left_out).contains(&at) {
            if at == MOST {
                page.line(&format!("  ... {} ...", counted(left_out as u64, "more step")));
            }
            continue;
        }
        // Of the time of day, seconds are enough.
        let time = step.at.get(11..19).unwrap_or(&step.at);
        page.wrapped(&format!("  {time}  {step}"), 12, Severity::Plain);
    }
    page.out.push('\n');
}

fn of_ramp(ramp: &RampEnd) -> String {
    let share = Share(ramp.share).rounded();
    let stood = format!("step {} of {}: held {share}", ramp.step, ramp.steps);
    match (ramp.past, &ramp.reason) {
        (Some(past), Some(reason)) if past > ramp.share => {
            format!("{stood}; past it, at {}: {reason}", Share(past).rounded())
        }
        (Some(_), Some(reason)) => format!("step {} of {}: {share} did not hold: {reason}", ramp.step, ramp.steps),
        _ => stood,
    }
}

const fn tone(ramp: &RampEnd) -> Severity {
    if ramp.past.is_some() { Severity::Odd } else { Severity::Plain }
}

/// Writes the actions of a target's guard, as a line of its block.
pub(super) fn guard(page: &mut TextReport, target: &TargetSummary) {
    let Some(guard) = target.guard.as_ref().filter(|guard| guard.trips > 0) else { return };
    let held = Share(guard.held_share).rounded();
    let state = match guard.state {
        GuardState::Passing => "open again at the end".to_owned(),
        GuardState::Holding => "kept it where it was at the end".to_owned(),
        GuardState::Throttled => format!("held back {held} at the end"),
        GuardState::Probing => "let a trickle in at the end".to_owned(),
        GuardState::Stopped => "stopped it".to_owned(),
    };
    let reason = guard.reason.as_deref().map(|reason| format!("; last: {reason}")).unwrap_or_default();
    let text = format!("Guard        past its limits {}; {state}{reason}", counted(guard.trips, "time"));
    page.wrapped(&text, LABEL, Severity::Odd);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::steps::{RampStep, StepCause};
    use crate::report::schema::target::TargetGuard;

    fn page(fill: impl FnOnce(&mut TextReport)) -> String {
        let mut page = TextReport { out: String::new(), width: 80, color: false };
        fill(&mut page);
        page.out
    }

    fn step(n: usize) -> RampStep {
        let (what, from, to) = (StepCause::Ramp, 0.01, 0.05);
        let (at, reason) = ("2026-11-21T20:15:00.123456789Z".to_owned(), format!("reason {n}"));
        RampStep { at, target: None, what, from, to, reason }
    }

    #[test]
    fn a_ramp_says_what_held_and_what_did_not() {
        let mut ramp = RampEnd { step: 3, steps: 5, share: 0.1, ..RampEnd::default() };
        assert_eq!(of_ramp(&ramp), "step 3 of 5: held 10%");
        (ramp.past, ramp.reason) = (Some(0.5), Some("p99 above 800ms".to_owned()));
        assert_eq!(of_ramp(&ramp), "step 3 of 5: held 10%; past it, at 50%: p99 above 800ms");
        ramp.share = 0.5;
        assert_eq!(of_ramp(&ramp), "step 3 of 5: 50% did not hold: p99 above 800ms");
    }

    #[test]
    fn steps_are_listed_from_both_ends() {
        let summary = Summary { steps: (0..20).map(step).collect(), ..Summary::default() };
        let text = page(|page| steps(page, &summary));
        assert!(text.contains("  20:15:00  ramp: 1% -> 5%: reason 0\n"), "{text}");
        assert!(text.contains("  ... 4 more steps ...\n") && text.contains("reason 19"), "{text}");
        assert!(!text.contains("reason 9\n"), "{text}");
        assert_eq!(page(|page| steps(page, &Summary::default())), "");
    }

    #[test]
    fn a_guard_is_worth_a_line_once_it_did_something() {
        let mut target = TargetSummary { guard: Some(TargetGuard::default()), ..TargetSummary::default() };
        assert_eq!(page(|page| guard(page, &target)), "");
        let state = GuardState::Throttled;
        target.guard = Some(TargetGuard { state, held_share: 0.75, trips: 2, reason: Some("errors 9%".to_owned()) });
        let text = page(|page| guard(page, &target));
        assert_eq!(text, "Guard        past its limits 2 times; held back 75% at the end; last: errors 9%\n");
    }
}

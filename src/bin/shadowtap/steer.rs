//! What people are told of ramps, guards and controls: at the start, and with each step.

use std::sync::Arc;

use indicatif::ProgressBar;
use shadowtap::config::Sparing;
use shadowtap::pipeline::Control;
use shadowtap::replay::guard::Action;

use crate::output::tell;

/// Tells each step as it comes, above the line that moves.
pub(crate) fn listen(control: &Control, bar: &ProgressBar) {
    let bar = bar.clone();
    control.listen(Arc::new(move |step| bar.suspend(|| tell(&step.to_string()))));
}

/// Tells what spares the targets.
pub(crate) fn announce(asked: &Sparing) {
    for line in sparing(asked) {
        tell(&line);
    }
}

/// What spares the targets, in words for the first lines of a run.
fn sparing(asked: &Sparing) -> Vec<String> {
    let ramp = asked.ramp.as_ref().map(|plan| format!("ramp: {plan}"));
    let guard = asked.guard.as_ref().map(|guard| {
        let then = match guard.action {
            Action::Hold => "no more than it gets, until all is well again",
            Action::StepDown => "half of what it gets, until all is well again",
            Action::Pause => "a trickle, until all is well again",
            Action::Stop => "nothing any more",
        };
        let limits: Vec<String> = guard.conditions.iter().map(ToString::to_string).collect();
        let limits = if limits.is_empty() { "as the command says".to_owned() } else { limits.join(",") };
        format!("guard: {limits}; past it a target gets {then}")
    });
    ramp.into_iter().chain(guard).collect()
}

#[cfg(test)]
mod tests {
    use shadowtap::replay::guard::Settings;

    use super::*;

    #[test]
    fn the_first_lines_say_what_spares_the_target() {
        let asked = Sparing {
            ramp: Some("1%:45s,100%".parse().unwrap()),
            guard: Some(Settings::of_shadow()),
            ..Sparing::default()
        };
        assert_eq!(
            sparing(&asked),
            ["ramp: 1%:45s,100%", "guard: errors>=100%/30s; past it a target gets a trickle, until all is well again"]
        );
        assert_eq!(sparing(&Sparing::default()), Vec::<String>::new());
    }
}

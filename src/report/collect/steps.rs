//! Changes of the share during a run: ramp, guards, people. Each change is one step, in the order in which they came.

use std::collections::VecDeque;

use crate::report::schema::steps::RampStep;
use crate::report::units::counted;

/// Steps that are kept from the beginning of a run.
const FIRST: usize = 500;
/// Steps that are kept from its end. Of those in between, in a run that has more, there is only the number.
const LAST: usize = 500;

/// The steps so far.
///
/// Invariant: `last` is empty while there is room in `first`.
#[derive(Clone, Debug, Default)]
pub struct RampSteps {
    first: Vec<RampStep>,
    last: VecDeque<RampStep>,
    left_out: u64,
}

impl RampSteps {
    /// Takes one more.
    pub fn push(&mut self, step: RampStep) {
        if self.first.len() < FIRST {
            self.first.push(step);
            return;
        }
        if self.last.len() == LAST {
            self.last.pop_front();
            self.left_out += 1;
        }
        self.last.push_back(step);
    }

    /// All that are kept, in order.
    #[must_use]
    pub fn kept(&self) -> Vec<RampStep> {
        self.first.iter().chain(&self.last).cloned().collect()
    }

    /// Returns a remark on the steps that are not kept, for people.
    #[must_use]
    pub(crate) fn remark(&self) -> Option<String> {
        let left_out = self.left_out;
        (left_out > 0)
            .then(|| format!("{} of the share left out of the middle of the list", counted(left_out, "change")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::steps::StepCause;

    #[test]
    fn a_step_is_told_with_who_what_and_why() {
        let step = RampStep {
            what: StepCause::Ramp,
            from: 0.01,
            to: 0.05,
            reason: "45 s at 1%".to_owned(),
            ..RampStep::default()
        };
        assert_eq!(step.to_string(), "ramp: 1% -> 5%: 45 s at 1%");
        let target = Some("http://new".to_owned());
        let step =
            RampStep { target, what: StepCause::Guard, from: 0.5, to: 0.015_625, reason: "why".to_owned(), ..step };
        assert_eq!(step.to_string(), "guard of http://new: 50% -> 1.56%: why");
        assert_eq!(RampStep { to: 0.5, ..step }.to_string(), "guard of http://new: 50%: why");
    }

    #[test]
    fn of_very_many_steps_the_first_and_the_last_are_kept() {
        let mut steps = RampSteps::default();
        let all = FIRST + LAST + 7;
        for n in 0..all {
            steps.push(RampStep { reason: n.to_string(), ..RampStep::default() });
        }
        let kept = steps.kept();
        assert_eq!(kept.len(), FIRST + LAST);
        assert!(steps.remark().unwrap().starts_with("7 changes"));
        assert_eq!((kept[0].reason.as_str(), kept[FIRST].reason.as_str()), ("0", (FIRST + 7).to_string().as_str()));
        assert_eq!(kept.last().unwrap().reason, (all - 1).to_string());
    }

    #[test]
    fn its_words_are_those_of_the_contract() {
        let json = serde_json::to_value(RampStep::default()).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["at", "from", "reason", "target", "to", "what"]);
        assert_eq!(json["what"], "control");
    }
}

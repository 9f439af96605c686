//! The JSON paths of all rules, followed at once as the comparison descends into a document.

use super::RuleError;
use crate::compare::met::Happened;
use crate::compare::path::PathStep;
use crate::json_path::{self, Segment, Step};
use crate::middleware::secret_names::SecretNames;

/// Steps of all JSON paths together: a rule that goes past it is a mistake.
pub(crate) const MAX_JSON_STEPS: usize = 256;

/// Action at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathAction {
    Ignore,
    AnyOrder,
}

/// The paths of all rules, as one list of steps.
///
/// Invariant: `steps` holds the paths one after the other, and `act` of a step is that of its path where it is the
/// path's last one.
#[derive(Clone, Debug, Default)]
pub(in crate::compare) struct JsonRules {
    steps: Vec<(Segment, Option<(PathAction, Happened)>)>,
    /// The first step of each path.
    start: PathState,
    /// Actions on the document itself (`$`).
    root: Vec<(PathAction, Happened)>,
    /// Set once a document was looked into.
    pub(super) looked: Happened,
    /// Keys whose values are masked.
    pub(in crate::compare) secrets: SecretNames,
}

/// Position of a value in the paths: the set of steps that may be taken next, and the actions on the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::compare) struct PathState {
    next: [u64; MAX_JSON_STEPS / 64],
    any: bool,
    ignored: bool,
    any_order: bool,
}

impl PathState {
    /// Returns whether the value does not count.
    pub(in crate::compare) const fn is_ignored(&self) -> bool {
        self.ignored
    }

    /// Returns whether a rule may concern a value inside this one.
    pub(in crate::compare) const fn leads_on(&self) -> bool {
        self.any
    }

    /// Returns whether the elements of the value may be in any order.
    pub(in crate::compare) const fn has_no_order(&self) -> bool {
        self.any_order
    }

    fn add(&mut self, step: usize) {
        if let Some(word) = self.next.get_mut(step / 64) {
            *word |= 1 << (step % 64);
            self.any = true;
        }
    }

    const fn act(&mut self, act: PathAction) {
        match act {
            PathAction::Ignore => self.ignored = true,
            PathAction::AnyOrder => self.any_order = true,
        }
    }

    fn steps(&self) -> impl Iterator<Item = usize> + use<> {
        self.next
            .into_iter()
            .enumerate()
            .flat_map(|(at, word)| (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 64 + bit))
    }
}

impl JsonRules {
    /// Returns the state at the document itself.
    pub(in crate::compare) fn root(&self) -> PathState {
        let mut reached = self.start;
        self.looked.set();
        for (act, met) in &self.root {
            reached.act(*act);
            met.set();
        }
        reached
    }

    /// Returns the state at a value inside the one at `from`.
    pub(in crate::compare) fn inside(&self, from: &PathState, step: PathStep<'_>) -> PathState {
        let mut reached = PathState::default();
        if !from.any {
            return reached;
        }
        for at in from.steps() {
            let Some((segment, act)) = self.steps.get(at) else { continue };
            if segment.deep {
                reached.add(at);
            }
            if leads_to(&segment.step, step) {
                match act {
                    Some((act, met)) => {
                        reached.act(*act);
                        met.set();
                    }
                    None => reached.add(at + 1),
                }
            }
        }
        reached
    }

    /// Adds a path; returns what is set once it has led somewhere.
    pub(super) fn add(&mut self, typed: &str, path: &str, act: PathAction) -> Result<Happened, RuleError> {
        let met = Happened::default();
        let segments = json_path::parse(path).map_err(|why| RuleError::Path { typed: typed.to_owned(), why })?;
        if self.steps.len() + segments.len() > MAX_JSON_STEPS {
            return Err(RuleError::TooMany { typed: typed.to_owned() });
        }
        if segments.is_empty() {
            self.root.push((act, met.clone()));
            return Ok(met);
        }
        self.start.add(self.steps.len());
        let last = segments.len() - 1;
        let end = |at| (at == last).then(|| (act, met.clone()));
        self.steps.extend(segments.into_iter().enumerate().map(|(at, segment)| (segment, end(at))));
        Ok(met)
    }
}

fn leads_to(step: &Step, inside: PathStep<'_>) -> bool {
    match inside {
        PathStep::Key(key) => step.is_key(key),
        PathStep::Index(index) => step.is_index(index),
    }
}

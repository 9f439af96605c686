//! What a chain file asks for, link by link, before it is put to work.
//!
//! In goes what [`super::file`] read, out come links. Nothing is applied here.

use super::body::{EditJson, ReplaceBody};
use super::condition::{Condition, Test};
use super::credentials::Credentials;
use super::limit::{Limiter, Limits};
use super::path::ReplacePath;
use super::redact::Redact;
use super::route::Router;
use super::sample::Missing;
use super::{Context, Link, Rewrite, SampleKey, Sampler, Share};
use crate::exchange::{Outcome, Request};

/// One link of a chain file.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What it is called where it ends a request.
    pub name: Option<String>,
    /// Which requests it sees.
    pub when: Condition,
    /// What it does.
    pub action: Action,
}

/// What a link does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ends what does not match.
    Only(Condition),
    /// Ends what matches.
    Drop(Condition),
    /// Lets these writes pass.
    AllowWrites(Condition),
    /// Edits header lines, cookies, parameters.
    Rewrite(Rewrite),
    /// Edits the path.
    Path(ReplacePath),
    /// Edits the body as text.
    Body(ReplaceBody),
    /// Edits the body as JSON.
    Json(EditJson),
    /// Sets credentials.
    Credentials(Credentials),
    /// Removes, masks, or gives pseudonyms.
    Redact(Redact),
    /// Takes a share.
    Sample(SampleSpec),
    /// Takes no more than so many.
    Limit(Limits),
    /// Chooses targets.
    Route(Router),
}

/// A sample, before it has seen anything.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleSpec {
    /// The share that passes.
    pub share: Share,
    /// What is kept together.
    pub by: SampleKey,
    /// Which sample of that size.
    pub seed: u64,
    /// What becomes of requests without the key.
    pub missing: Missing,
}

impl Spec {
    /// The link; `None` where it only says which writes pass.
    pub(super) fn link(&self) -> Option<Box<dyn Link>> {
        let rule = |default: &str| self.name.clone().unwrap_or_else(|| default.to_owned());
        Some(match &self.action {
            Action::AllowWrites(_) => return None,
            Action::Only(condition) => {
                Box::new(Gate { rule: rule("only"), ends_on: false, condition: condition.clone() })
            }
            Action::Drop(condition) => {
                Box::new(Gate { rule: rule("drop"), ends_on: true, condition: condition.clone() })
            }
            Action::Rewrite(link) => Box::new(link.clone()),
            Action::Path(link) => Box::new(link.clone()),
            Action::Body(link) => Box::new(link.clone()),
            Action::Json(link) => Box::new(link.clone()),
            Action::Credentials(link) => Box::new(link.clone()),
            Action::Redact(link) => Box::new(link.clone()),
            Action::Sample(SampleSpec { share, by, seed, missing }) => {
                Box::new(Sampler::new(*share, by.clone(), *seed).with_missing(*missing))
            }
            Action::Limit(limits) => Box::new(Limiter::new(limits)),
            Action::Route(link) => Box::new(link.clone()),
        })
    }

    /// The writes that it lets pass.
    pub(super) fn allowed_writes(&self) -> Option<Condition> {
        let Action::AllowWrites(condition) = &self.action else { return None };
        Some(Condition { tests: vec![Test::All(vec![self.when.clone(), condition.clone()])] })
    }

    /// Whether it can end a request, but for writes.
    #[must_use]
    pub const fn selects(&self) -> bool {
        use Action::{Drop, Limit, Only, Route, Sample};
        matches!(self.action, Only(_) | Drop(_) | Sample(_) | Limit(_) | Route(_))
    }

    /// Whether it can change a request.
    #[must_use]
    pub const fn rewrites(&self) -> bool {
        !self.selects() && !matches!(self.action, Action::AllowWrites(_))
    }

    /// Whether it can change the Host of a request.
    #[must_use]
    pub fn touches_host(&self) -> bool {
        matches!(&self.action, Action::Rewrite(rewrite) if rewrite.touches_host())
    }
}

/// The link that lets pass, or not.
#[derive(Clone, Debug)]
struct Gate {
    rule: String,
    ends_on: bool,
    condition: Condition,
}

impl Link for Gate {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        // A body that was not searched ends the request in the chain.
        if self.condition.holds(request, context) == self.ends_on && !context.is_unsearched() {
            return Err(Outcome::Filtered(self.rule.clone().into()));
        }
        Ok(())
    }
}

//! Filters of a chain file, one by one, before they are applied.
//!
//! The input is the output of [`super::file`], the result is filters. Nothing is applied here.

use super::allow_deny::is_write;
use super::body::{EditJson, ReplaceBody};
use super::carry::{CarryLink, CarryRule};
use super::condition::{Condition, Test};
use super::credentials::Credentials;
use super::key::KeyHash;
use super::limit::{LimitSpec, Limiter};
use super::path::ReplacePath;
use super::redact::Redact;
use super::replace_url::ReplaceUrl;
use super::round_robin::RoundRobin;
use super::route::Router;
use super::sample::MissingKey;
use super::{Context, Filter, Rewrite, SampleKey, Sampler, Share};
use crate::exchange::{Outcome, Request};

/// One link of a chain file.
#[derive(Clone, Debug)]
pub struct FilterSpec {
    /// Rule under which it ends a request.
    pub name: Option<String>,
    /// Condition on the requests that it sees.
    pub when: Condition,
    /// Action on these requests.
    pub action: FilterAction,
}

/// Action of a filter.
#[derive(Clone, Debug)]
pub enum FilterAction {
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
    /// Edits path and query.
    Url(ReplaceUrl),
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
    /// Takes every n-th.
    RoundRobin(RoundRobin),
    /// Takes no more than so many.
    Limit(LimitSpec),
    /// Chooses targets.
    Route(Router),
    /// Sets the key of a write that may come more than once.
    IdempotencyKey(Rewrite),
    /// Puts values that targets issued in the place of those that production issued, when a request is sent.
    Carry(CarryRule),
}

/// A sample, before it has seen anything.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleSpec {
    /// The share that passes.
    pub share: Share,
    /// Unit that is kept together.
    pub by: SampleKey,
    /// Seed: selects one sample of that size.
    pub seed: u64,
    /// Treatment of requests without the key.
    pub missing: MissingKey,
    /// Hash of the keys.
    pub hash: KeyHash,
}

impl FilterSpec {
    /// The link; `None` where it only says which writes pass. `carries` counts the `carry` links before it.
    pub(super) fn link(&self, carries: &mut usize) -> Option<Box<dyn Filter>> {
        let rule = |default: &str| self.name.clone().unwrap_or_else(|| default.to_owned());
        Some(match &self.action {
            FilterAction::AllowWrites(_) => return None,
            FilterAction::Only(condition) => {
                Box::new(MatchFilter { rule: rule("only"), ends_on: false, condition: condition.clone() })
            }
            FilterAction::Drop(condition) => {
                Box::new(MatchFilter { rule: rule("drop"), ends_on: true, condition: condition.clone() })
            }
            FilterAction::Rewrite(link) => Box::new(link.clone()),
            FilterAction::IdempotencyKey(rewrite) => Box::new(OfWrites(rewrite.clone())),
            FilterAction::Path(link) => Box::new(link.clone()),
            FilterAction::Url(link) => Box::new(link.clone()),
            FilterAction::RoundRobin(link) => Box::new(*link),
            FilterAction::Body(link) => Box::new(link.clone()),
            FilterAction::Json(link) => Box::new(link.clone()),
            FilterAction::Credentials(link) => Box::new(link.clone()),
            FilterAction::Redact(link) => Box::new(link.clone().named(self.name.as_ref())),
            FilterAction::Sample(SampleSpec { share, by, seed, missing, hash }) => {
                Box::new(Sampler::new(*share, by.clone(), *seed).with_missing(*missing).with_hash(*hash))
            }
            FilterAction::Limit(limits) => Box::new(Limiter::new(limits)),
            FilterAction::Route(link) => Box::new(link.clone()),
            FilterAction::Carry(_) => {
                *carries += 1;
                Box::new(CarryLink(*carries - 1))
            }
        })
    }

    /// The writes that it lets pass.
    pub(super) fn allowed_writes(&self) -> Option<Condition> {
        let FilterAction::AllowWrites(condition) = &self.action else { return None };
        Some(Condition { tests: vec![Test::All(vec![self.when.clone(), condition.clone()])] })
    }

    /// Its name, or its verb where it has none, for people.
    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(match &self.action {
            FilterAction::Only(_) => "only",
            FilterAction::Drop(_) => "drop",
            FilterAction::AllowWrites(_) => "allow-writes",
            FilterAction::Sample(_) => "sample",
            FilterAction::RoundRobin(_) => "round-robin",
            FilterAction::Limit(_) => "limit",
            FilterAction::Route(_) => "route",
            FilterAction::Redact(_) => "redact",
            FilterAction::Carry(_) => "carry",
            _ => "a change",
        })
    }

    /// Returns whether it can end a request, other than a write.
    #[must_use]
    pub(crate) const fn selects(&self) -> bool {
        use FilterAction::{Drop, Limit, Only, RoundRobin, Route, Sample};
        matches!(self.action, Only(_) | Drop(_) | Sample(_) | RoundRobin(_) | Limit(_) | Route(_))
    }

    /// Returns whether it can change a request.
    #[must_use]
    pub const fn rewrites(&self) -> bool {
        !self.selects() && !matches!(self.action, FilterAction::AllowWrites(_))
    }

    /// Returns whether it carries values from responses into later requests.
    #[must_use]
    pub(crate) const fn carries(&self) -> bool {
        matches!(self.action, FilterAction::Carry(_))
    }

    /// Returns whether it can change the Host of a request.
    #[must_use]
    pub(crate) fn touches_host(&self) -> bool {
        matches!(&self.action, FilterAction::Rewrite(rewrite) if rewrite.touches_host())
    }
}

/// The link that changes writes only.
#[derive(Clone, Debug)]
struct OfWrites(Rewrite);

impl Filter for OfWrites {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        if is_write(context.method(request)) { self.0.apply(request, context) } else { Ok(()) }
    }
}

/// The link that lets pass, or not.
#[derive(Clone, Debug)]
struct MatchFilter {
    rule: String,
    ends_on: bool,
    condition: Condition,
}

impl Filter for MatchFilter {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        // A body that was not searched ends the request in the chain.
        if self.condition.holds(request, context) == self.ends_on && !context.is_unsearched() {
            return Err(Outcome::Filtered(self.rule.clone().into()));
        }
        Ok(())
    }
}

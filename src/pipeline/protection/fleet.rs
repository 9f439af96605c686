//! Protection by several replayers together: each judges what all of them see, and what one decides goes for all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{GuardedTarget, Protection, ProtectionController, SharedTarget};
use crate::fleet::{FleetDecision, FleetView, GuardDecision, MemberState, OutcomeCounts, member_name};
use crate::middleware::Share;
use crate::pipeline::control::Control;
use crate::recording::StoreSession;
use crate::replay::VIA;
use crate::replay::guard::{Guard, GuardChange, GuardHandle};
use crate::report::schema::steps::StepCause;

/// Time between two words of a member after which it is not known when what lies between them was.
const STALE: Duration = Duration::from_secs(5);

/// What stands behind the name of who decided something.
const DECIDED: &str = " decided";

/// The other replayers, as far as guards and the ramp go by them.
pub(super) struct FleetProtection {
    session: Arc<dyn StoreSession>,
    /// The last decision that this member goes by: its number, and who decided.
    last: (u64, String),
    /// This member.
    me: String,
    host: String,
    /// What each of the others said last.
    said: HashMap<String, Said>,
}

/// What targets are called among replayers: each may reach the same one at an address of its own (`--connect-to`).
pub(in crate::pipeline) fn shared_names(urls: &[String]) -> Vec<String> {
    let plain = |url: &String| url.split(VIA).next().unwrap_or_default().to_owned();
    let is_only = |url: &String| urls.iter().filter(|other| plain(other) == plain(url)).count() == 1;
    urls.iter().map(|url| if is_only(url) { plain(url) } else { url.clone() }).collect()
}

/// What a member said last: how often it had said something, when that came, and its counts by target.
struct Said {
    beat: u64,
    at: Instant,
    totals: BTreeMap<String, OutcomeCounts>,
}

impl FleetProtection {
    pub(super) fn new(session: Arc<dyn StoreSession>) -> Self {
        Self { session, last: (0, String::new()), me: String::new(), host: String::new(), said: HashMap::new() }
    }

    /// What the others have counted since they spoke last, by target; with the number of them.
    fn news(&mut self, view: &FleetView) -> BTreeMap<String, OutcomeCounts> {
        let (mut news, now) = (BTreeMap::<String, OutcomeCounts>::new(), Instant::now());
        for member in view.members.iter().filter(|member| member.id != view.me) {
            if self.said.get(&member.id).is_some_and(|said| said.beat == member.beat) {
                continue;
            }
            let totals = member.figures.targets.iter().map(|target| (target.target.clone(), target.total.clone()));
            let said = Said { beat: member.beat, at: now, totals: totals.collect() };
            // The first word of a member says nothing of when that was.
            if let Some(before) = self.said.get(&member.id).filter(|before| now - before.at <= STALE) {
                for (target, total) in &said.totals {
                    let none = OutcomeCounts::default();
                    let more = total.since(before.totals.get(target).unwrap_or(&none));
                    news.entry(target.clone()).or_default().merge(&more);
                }
            }
            self.said.insert(member.id.clone(), said);
        }
        self.said.retain(|id, _| view.members.iter().any(|one| one.id == *id && one.state == MemberState::There));
        news
    }

    /// Returns a decision of another member that this one does not go by yet.
    fn unheard<'a>(&mut self, view: &'a FleetView) -> Option<&'a FleetDecision> {
        self.last.0 = self.last.0.max(view.stale);
        let decision = view.decision.as_deref()?;
        let key = (decision.number, decision.by.clone());
        if decision.by == self.me || decision.number < self.last.0 || key == self.last {
            return None;
        }
        self.last = key;
        Some(decision)
    }
}

impl ProtectionController {
    /// Takes notice of what the other replayers see, and of what one of them has decided.
    pub(in crate::pipeline) fn hear_fleet(&self, view: &FleetView) {
        let Some(mut kept) = self.lock() else { return };
        kept.hear_fleet(view, &self.control);
    }
}

impl Protection {
    fn hear_fleet(&mut self, view: &FleetView, control: &Control) {
        let Some(fleet) = &mut self.fleet else { return };
        fleet.me.clone_from(&view.me);
        if let Some(me) = view.members.iter().find(|member| member.id == view.me) {
            fleet.host = member_name(&me.host, &me.id);
        }
        let (news, decision, at) = (fleet.news(view), fleet.unheard(view), control.clock());
        for (target, guard, _) in self.shared_guards() {
            if let Some(more) = news.get(&target.name) {
                guard.take_others(at, more);
            }
        }
        if let Some(decision) = decision {
            self.follow(decision, at, control);
        }
    }

    /// Goes by what another member has decided.
    fn follow(&mut self, decision: &FleetDecision, at: Instant, control: &Control) {
        let by = format!("{}{DECIDED}", decision.host);
        if let Some((ramp, step)) = self.ramp.as_mut().zip(decision.step)
            && let Some(GuardChange { from, to, reason }) = ramp.follow(at, step, &decision.step_reason)
        {
            control.turn(to);
            control.note(None, StepCause::Ramp, from, to, format!("{by}: {reason}"));
        }
        for (target, guard, handle) in self.shared_guards() {
            let decided = decision.guards.get(&target.name);
            let Some(GuardDecision { state, share, reason, trips }) = decided else { continue };
            let reason = if reason.contains(DECIDED) { reason.clone() } else { format!("{by}: {reason}") };
            let change = guard.follow(at, (*state, Share(*share)), *trips, &reason);
            if let Some(GuardChange { from, to, reason }) = change {
                handle.set(to, guard.state());
                control.note(Some(target.url.clone()), StepCause::Guard, from, to, reason);
            }
        }
    }

    /// Guards, with what their targets are called here and among replayers.
    fn shared_guards(&mut self) -> impl Iterator<Item = (&SharedTarget, &mut Guard, &GuardHandle)> {
        let guarded = self.targets.iter_mut().filter_map(|target| Some((&target.shared, target.guard.as_mut()?)));
        guarded.map(|(target, (guard, handle, _))| (target, guard, &*handle))
    }

    /// How the targets are treated now.
    pub(super) fn decision(&self) -> FleetDecision {
        let guard = |target: &GuardedTarget| {
            let (guard, ..) = target.guard.as_ref()?;
            Some((target.shared.name.clone(), decision_of(guard)))
        };
        let standing = self.ramp.as_ref().map(crate::replay::Ramp::standing);
        FleetDecision {
            step_reason: standing.as_ref().and_then(|at| at.broke.clone()).map(|(_, why)| why).unwrap_or_default(),
            step: standing.map(|standing| standing.step),
            guards: self.targets.iter().filter_map(guard).collect(),
            ..FleetDecision::default()
        }
    }

    /// Has all others treat the targets as this member does, where that is not as `before`.
    pub(super) fn decide(&mut self, before: &FleetDecision) {
        let mut decision = self.decision();
        let is_same = decision.step == before.step
            && decision.guards.iter().all(|(url, now)| {
                before.guards.get(url).is_some_and(|before| (before.state, before.share) == (now.state, now.share))
            });
        let Some(fleet) = self.fleet.as_mut().filter(|fleet| !is_same && !fleet.me.is_empty()) else { return };
        fleet.last = (fleet.last.0 + 1, fleet.me.clone());
        (decision.number, decision.by, decision.host) = (fleet.last.0, fleet.me.clone(), fleet.host.clone());
        fleet.session.decide(decision);
    }
}

fn decision_of(guard: &Guard) -> GuardDecision {
    GuardDecision {
        state: guard.state(),
        share: guard.share().0,
        trips: guard.trips(),
        reason: guard.reason().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{FleetMember, MemberFigures, TargetFigures};

    struct Nobody;

    impl StoreSession for Nobody {
        fn conclude(&self, _: Vec<u8>) -> Result<(), String> {
            Ok(())
        }
    }

    fn fleet() -> FleetProtection {
        FleetProtection { me: "me".to_owned(), ..FleetProtection::new(Arc::new(Nobody)) }
    }

    /// All members, of which `you` has sent so many requests by this beat.
    fn view(beat: u64, sent: u64) -> FleetView {
        let mut total = OutcomeCounts::default();
        (0..sent).for_each(|_| total.take(true, false, Some(500), None));
        let target = TargetFigures { target: "http://t".to_owned(), total, ..TargetFigures::default() };
        let figures = MemberFigures { targets: vec![target], ..MemberFigures::default() };
        let member = |id: &str| {
            Arc::new(FleetMember { id: id.to_owned(), beat, figures: figures.clone(), ..FleetMember::default() })
        };
        FleetView { me: "me".to_owned(), members: vec![member("me"), member("you")], ..FleetView::default() }
    }

    fn samples(news: &BTreeMap<String, OutcomeCounts>) -> u64 {
        news.values().map(|counts| counts.samples).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_counted_is_taken_once_and_only_while_it_is_fresh() {
        let mut fleet = fleet();
        assert_eq!(samples(&fleet.news(&view(1, 10))), 0, "of before anybody listened");
        assert_eq!(samples(&fleet.news(&view(2, 25))), 15, "not this member's own");
        assert_eq!(samples(&fleet.news(&view(2, 25))), 0);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(samples(&fleet.news(&view(3, 90))), 0, "it may be of any time since");
        assert_eq!(samples(&fleet.news(&view(4, 91))), 1);
    }

    #[test]
    fn a_target_has_one_name_whichever_way_it_is_reached() {
        let urls = |all: &[&str]| all.iter().map(|&url| url.to_owned()).collect::<Vec<_>>();
        assert_eq!(shared_names(&urls(&["http://t via 10.0.0.7:80", "http://u"])), ["http://t", "http://u"]);
        let both = urls(&["http://t via 10.0.0.7:80", "http://t via 10.0.0.8:80"]);
        assert_eq!(shared_names(&both), both, "unless it is two");
    }

    #[test]
    fn a_decision_is_followed_once_and_one_of_members_that_are_gone_never() {
        let mut fleet = fleet();
        let decided = |number, by: &str| {
            let decision = FleetDecision { number, by: by.to_owned(), ..FleetDecision::default() };
            FleetView { decision: Some(Arc::new(decision)), stale: 4, ..view(1, 0) }
        };
        assert!(fleet.unheard(&FleetView { stale: 4, ..view(1, 0) }).is_none());
        assert_eq!(fleet.last.0, 4, "the next one goes over those of before");
        assert!(fleet.unheard(&decided(5, "you")).is_some() && fleet.unheard(&decided(5, "you")).is_none());
        assert!(fleet.unheard(&decided(6, "me")).is_none());
        fleet.last = (7, "me".to_owned());
        assert!(fleet.unheard(&decided(6, "you")).is_none(), "this member has decided since");
        assert!(fleet.unheard(&decided(7, "you")).is_some(), "of two at once that of the store stands");
    }
}

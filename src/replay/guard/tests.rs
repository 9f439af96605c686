//! Targets that fail and recover, on a clock of their own: what their guard makes of it.

use proptest::prelude::*;

use super::*;

const OK: Observation =
    Observation { failed: false, late: false, service: Some(Duration::from_millis(10)), age: None, status: None };
const SLOW: Observation =
    Observation { failed: false, late: false, service: Some(Duration::from_secs(2)), age: None, status: None };
const FAILED: Observation = Observation { failed: true, late: false, service: None, age: None, status: None };
const LATE: Observation = Observation { failed: true, late: true, service: None, age: None, status: None };

/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);

/// A target under a guard, with traffic of some hundred requests a second.
struct GuardFixture {
    guard: Guard,
    gate: AdmissionControl,
    valve: GuardHandle,
    begin: Instant,
    now: Duration,
    sent: u64,
    /// Changes: the time, the share before, the share after.
    changes: Vec<(Duration, f64, f64)>,
}

impl GuardFixture {
    fn new(guard: &str, action: GuardAction) -> Self {
        Self::of(&GuardSettings { action, ..guard.parse().unwrap() })
    }

    fn of(settings: &GuardSettings) -> Self {
        let begin = Instant::now();
        let valve = GuardHandle::default();
        let gate = AdmissionControl::new(valve.clone(), settings);
        let guard = Guard::new(settings, Duration::from_secs(10), begin);
        Self { guard, gate, valve, begin, now: Duration::ZERO, sent: 0, changes: Vec::new() }
    }

    /// For so long, `rate` requests a second come; `bad` of a hundred that go on end as `sample`, the others well.
    fn run(&mut self, seconds: f64, rate: u64, bad: u64, sample: Observation) -> &mut Self {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            let at = self.begin + self.now;
            for n in 0..rate / 10 {
                // Places as a hash has them: all over.
                let place = (u64::try_from(self.now.as_millis()).unwrap() + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                if self.gate.lets_in(place, Share(1.0), at) {
                    self.sent += 1;
                    let is_bad = self.sent.wrapping_mul(37) % 100 < bad;
                    self.guard.take(at, if is_bad { sample } else { OK });
                }
            }
            let verdict = self.guard.judge(at);
            if let Some(change) = self.guard.tick(at, verdict) {
                self.valve.set(change.to, self.guard.state());
                self.changes.push((self.now, change.from.0, change.to.0));
            }
            self.now += TICK;
        }
        self
    }

    fn shares(&self) -> Vec<f64> {
        self.changes.iter().map(|(_, _, to)| *to).collect()
    }
}

#[test]
fn a_target_within_its_limits_gets_everything() {
    let mut rig = GuardFixture::new("errors>5%/10s,p99>800ms/30s", GuardAction::StepDown);
    rig.run(300.0, 200, 3, FAILED);
    assert_eq!((rig.shares(), rig.guard.state(), rig.guard.trips()), (vec![], GuardState::Passing, 0));
}

#[test]
fn a_target_that_fails_gets_half_and_half_again_down_to_a_trickle_and_climbs_back() {
    let mut rig = GuardFixture::new("errors>5%/10s", GuardAction::StepDown);
    rig.run(60.0, 400, 0, FAILED).run(60.0, 400, 50, FAILED);
    let down: Vec<f64> = rig.shares();
    assert_eq!(down[..7], [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015_625, 0.0]);
    assert_eq!((down.len(), rig.guard.state()), (7, GuardState::Probing));
    assert!(rig.guard.reason().unwrap().starts_with("errors "), "{:?}", rig.guard.reason());
    rig.run(60.0, 400, 0, FAILED);
    assert_eq!(rig.shares()[7..], [0.125, 0.25, 0.5, 1.0]);
    assert_eq!(rig.guard.state(), GuardState::Passing);
}

#[test]
fn what_is_wrong_with_a_part_of_the_load_ends_where_the_part_ends() {
    // A target that fails one in five, but only while it gets more than two hundred a second.
    let mut rig = GuardFixture::new("errors>5%/10s", GuardAction::StepDown);
    for _ in 0..60 {
        let bad = if rig.guard.share().0 > 0.5 { 20 } else { 0 };
        rig.run(1.0, 400, bad, FAILED);
    }
    assert!(rig.shares().iter().all(|share| [0.5, 1.0].contains(share)), "{:?}", rig.changes);
    assert!(rig.changes.len() <= 5, "tried again, and later each time: {:?}", rig.changes);
}

#[test]
fn slow_answers_and_answers_that_never_come_break_a_percentile() {
    for sample in [SLOW, LATE] {
        let mut rig = GuardFixture::new("p99>800ms/30s", GuardAction::StepDown);
        rig.run(60.0, 200, 5, sample);
        assert_eq!(rig.shares().first(), Some(&0.5), "{sample:?}");
        let reason = rig.guard.reason().unwrap();
        assert!(reason.starts_with("p99 above 800ms: ") && reason.ends_with(" took longer"), "{reason}");
    }
    let mut rig = GuardFixture::new("p99>800ms/30s", GuardAction::StepDown);
    rig.run(60.0, 200, 50, FAILED);
    assert!(rig.changes.is_empty(), "a refusal is quick");
}

#[test]
fn few_requests_prove_nothing() {
    let mut rig = GuardFixture::new("errors>5%/10s", GuardAction::StepDown);
    let begin = rig.begin;
    for second in 0..600 {
        let at = begin + Duration::from_secs(second);
        rig.guard.take(at, FAILED);
        let verdict = rig.guard.judge(at);
        assert_eq!(rig.guard.tick(at, verdict), None, "ten in a window are too few");
    }
}

#[test]
fn each_action_does_what_it_says() {
    for (action, shares, state) in [
        (GuardAction::Hold, vec![1.0], GuardState::Holding),
        (GuardAction::Pause, vec![0.0], GuardState::Probing),
        (GuardAction::Stop, vec![0.0], GuardState::Stopped),
    ] {
        let mut rig = GuardFixture::new("errors>5%/10s", action);
        rig.run(60.0, 400, 50, FAILED);
        assert_eq!((rig.shares(), rig.guard.state()), (shares, state), "{action:?}");
        rig.run(120.0, 400, 0, FAILED);
        let open = if action == GuardAction::Stop { GuardState::Stopped } else { GuardState::Passing };
        assert_eq!(rig.guard.state(), open, "{action:?}");
    }
}

#[test]
fn the_guard_of_a_shadow_acts_when_everything_failed_for_half_a_minute() {
    let mut rig = GuardFixture::of(&GuardSettings::of_shadow());
    rig.run(100.0, 400, 99, FAILED);
    assert!(rig.changes.is_empty(), "one in a hundred is answered");
    rig.run(20.0, 400, 100, FAILED).run(5.0, 400, 0, FAILED);
    assert!(rig.changes.is_empty(), "a restart takes less");
    rig.run(60.0, 400, 100, FAILED);
    assert_eq!(rig.shares(), [0.0]);
    let gone = rig.sent;
    rig.run(100.0, 400, 100, FAILED);
    let probes = rig.sent - gone;
    assert!((100..=500).contains(&probes), "a trickle probes: {probes}");
    rig.run(150.0, 400, 0, FAILED);
    assert_eq!((rig.shares().last(), rig.guard.state()), (Some(&1.0), GuardState::Passing));
}

#[test]
fn after_a_night_without_traffic_a_few_failures_are_no_half_minute() {
    let mut rig = GuardFixture::of(&GuardSettings::of_shadow());
    rig.run(20.0, 0, 0, OK);
    rig.now += Duration::from_secs(40_000);
    rig.run(5.0, 400, 100, FAILED);
    assert!(rig.changes.is_empty(), "{:?}", rig.changes);
}

#[test]
fn a_word_from_outside_brakes_once_and_the_next_one_brakes_again() {
    let mut rig = GuardFixture::of(&GuardSettings::deaf());
    let hear = |rig: &mut GuardFixture, brake: bool| {
        let at = rig.begin + rig.now;
        let word = brake.then(|| "it says no".to_owned());
        rig.guard.hear(at, 0, word.map_or(GuardVerdict::Good, GuardVerdict::Past));
        rig.run(5.0, 100, 0, OK);
    };
    rig.run(1.0, 100, 0, OK);
    for brake in [true, true, false] {
        hear(&mut rig, brake);
    }
    assert_eq!(rig.shares(), [0.5, 0.25]);
    assert_eq!(rig.guard.reason(), Some("it says no"));
    for _ in 0..8 {
        hear(&mut rig, false);
    }
    assert_eq!(rig.shares(), [0.5, 0.25, 0.5, 1.0]);
}

#[test]
fn what_was_sent_before_a_change_says_nothing_about_it() {
    let mut rig = GuardFixture::new("errors>5%/10s", GuardAction::StepDown);
    rig.run(20.0, 400, 0, OK);
    while rig.changes.is_empty() {
        rig.run(0.1, 400, 100, FAILED);
    }
    // What was under way then fails late, and what was sent since is well.
    rig.run(6.0, 400, 50, Observation { age: Some(Duration::from_secs(10)), ..FAILED });
    assert_eq!(rig.shares(), [0.5]);
}

#[test]
fn a_sample_is_what_went_to_the_target() {
    use crate::exchange::{ConnectionId, ExchangeId, HeldBy, Shed};
    use crate::replay::{Destination, TargetId};
    let id = ExchangeId::new(ConnectionId(1), 1);
    let delivery = |outcome| Delivery::unsent(id, Destination::Target(TargetId::at(0)), outcome);
    let now = Instant::now();
    for outcome in [Outcome::GuardHeld(HeldBy::Guard), Outcome::Shed(Shed::TargetQueue), Outcome::SampledOut] {
        assert_eq!(Observation::of(&delivery(outcome), now), None);
    }
    assert_eq!(Observation::of(&delivery(Outcome::Failed(FailureKind::Connect)), now), Some(FAILED));
    assert_eq!(Observation::of(&delivery(Outcome::Failed(FailureKind::Timeout)), now), Some(LATE));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Changes keep their distance whatever a target does: those for the better more of it, and they get rarer.
    #[test]
    fn a_guard_never_flaps(
        phases in proptest::collection::vec((1.0..40.0_f64, 0..300_u64, 0..=100_u64, any::<bool>()), 1..30),
        guard in prop_oneof![Just("errors>5%/10s"), Just("errors>50%/4s,p90>1s/8s"), Just("errors>=100%/30s")],
        action in prop_oneof![Just(GuardAction::StepDown), Just(GuardAction::Pause), Just(GuardAction::Hold)],
    ) {
        let mut rig = GuardFixture::new(guard, action);
        for (seconds, rate, bad, slow) in phases {
            rig.run(seconds, rate, bad, if slow { SLOW } else { FAILED });
        }
        let settings: GuardSettings = guard.parse().unwrap();
        let (shortest, longest) = (settings.shortest().unwrap(), settings.longest().unwrap());
        for pair in rig.changes.windows(2) {
            let [(before, _, was), (at, from, to)] = pair else { unreachable!() };
            prop_assert!((was - from).abs() < f64::EPSILON, "one follows the other: {:?}", rig.changes);
            let apart = at.saturating_sub(*before);
            prop_assert!(apart >= shortest / 2, "too soon: {:?}", rig.changes);
            prop_assert!(to <= from || apart >= longest, "climbs too soon: {:?}", rig.changes);
        }
        for (_, from, to) in &rig.changes {
            prop_assert!((0.0..=1.0).contains(from) && (0.0..=1.0).contains(to));
            prop_assert!(*to <= from * 2.0 || (*from == 0.0 && *to == FIRST), "{from} -> {to}");
        }
        // A climb that proves too early makes the next one wait for twice as long, up to eight times.
        let turns = rig.changes.windows(2).filter(|pair| pair[0].2 > pair[0].1 && pair[1].2 < pair[1].1).count();
        let most = 4.0 + rig.now.as_secs_f64() / (longest.as_secs_f64() * 4.0);
        prop_assert!(turns as f64 <= most, "{turns} turns in {:?}: {:?}", rig.now, rig.changes);
    }
}

#[test]
fn what_a_guard_waits_for_is_told_with_the_time_that_is_left() {
    let mut rig = GuardFixture::new("errors>5%/10s", GuardAction::StepDown);
    let told = |rig: &GuardFixture| rig.guard.waits_for(rig.begin + rig.now);
    rig.run(20.0, 400, 0, FAILED);
    assert_eq!(told(&rig), None);
    while rig.changes.is_empty() {
        rig.run(0.1, 400, 50, FAILED);
    }
    assert_eq!(told(&rig).as_deref(), Some("lets in 100% once all is well for 10s"));
    rig.run(4.0, 400, 0, OK);
    let waits = told(&rig).unwrap();
    assert!(waits.starts_with("well for ") && waits.contains("; lets in 100% in "), "{waits}");
    rig.run(10.0, 400, 0, OK);
    assert_eq!(told(&rig), None);
    let mut rig = GuardFixture::new("errors>5%/10s", GuardAction::Pause);
    rig.run(30.0, 400, 100, FAILED);
    assert!(told(&rig).unwrap().starts_with("probes with a trickle; lets in 12.5% once "), "{:?}", told(&rig));
    let mut rig = GuardFixture::new("errors>5%/10s", GuardAction::Stop);
    rig.run(30.0, 400, 100, FAILED);
    assert_eq!(told(&rig).as_deref(), Some("lets nothing in any more: begin a new run"));
}

#[test]
fn of_several_sources_outside_the_worst_counts_and_each_has_its_own_word() {
    let mut rig = GuardFixture::of(&GuardSettings::deaf());
    let mut hear = |seconds, source, verdict| {
        let at = rig.begin + Duration::from_secs(seconds);
        rig.guard.hear(at, source, verdict);
        rig.guard.judge(at)
    };
    let past = |why: &str| GuardVerdict::Past(why.to_owned());
    assert_eq!(hear(1, 2, GuardVerdict::Near), GuardVerdict::Near);
    assert_eq!(hear(2, 0, GuardVerdict::Good), GuardVerdict::Near, "the word of another one stands");
    assert_eq!(hear(3, 1, past("one")), past("one"));
    assert_eq!(hear(4, 2, past("two")), past("one"), "of equals the first");
    assert_eq!(hear(5, 1, GuardVerdict::Good), past("two"));
    assert_eq!(hear(6, 2, GuardVerdict::Good), GuardVerdict::Good);
}

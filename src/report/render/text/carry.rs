//! Values that went from responses into later requests, rule by rule.

use std::fmt::Write as _;

use super::{LABEL, Severity, TextReport, spread};
use crate::report::schema::carry::{CarryKind, CarrySummary};
use crate::report::schema::target::TargetSummary;
use crate::report::units::{counted, number};

/// A line for each rule, and one for how long requests waited.
pub(super) fn carry(page: &mut TextReport, target: &TargetSummary) {
    for (name, counts) in &target.carry {
        page.wrapped(&format!("Carried      {}", rule(name, counts)), LABEL, Severity::Plain);
    }
    if let Some(waits) = &target.carry_wait_us {
        page.wrapped(
            &format!("Carry wait   {}; it is in no latency and no lag", spread(waits)),
            LABEL,
            Severity::Plain,
        );
    }
}

/// Of a rule under which production issued nothing.
const NOTHING_ISSUED: &str = "nothing was learnt, since production issued no value to a request that went out (is \
                              `from` right, are the logins in the capture, are they sent: --allow-writes)";
/// Of a rule under which the target issued nothing.
const NOTHING_LEARNT: &str = "nothing was learnt, since the target issued no value where production did (do its logins \
                              fail? see the differences of their routes)";

fn rule(name: &str, counts: &CarrySummary) -> String {
    let requests = |count: u64| counted(count, "request");
    let values = |count: u64| counted(count, "value");
    let mut text = match (counts.kind, counts.learnt + counts.seeded + counts.logins, counts.not_issued) {
        (CarryKind::Jwt, ..) => format!("{name}: {} went out with a token signed here", requests(counts.made)),
        (CarryKind::Time, ..) => format!("{name}: times in {} moved to now", requests(counts.made)),
        (_, 0, 0) => format!("{name}: {NOTHING_ISSUED}"),
        (_, 0, _) => format!("{name}: {NOTHING_LEARNT}"),
        _ => format!("{name}: {} went out with one of {}", requests(counts.carried), known(counts)),
    };
    if counts.waited > 0 {
        write!(text, ", {} after a wait", number(counts.waited)).ok();
    }
    for (count, words) in [
        (counts.not_made, format!("{} had something else in that place", requests(counts.not_made))),
        (counts.failed_logins, format!("the login program failed {}", counted(counts.failed_logins, "time"))),
        (counts.gave_up, format!("{} waited in vain", requests(counts.gave_up))),
        (
            counts.unknown,
            format!(
                "{} had {} without a counterpart: issued before the capture, or never by the target",
                requests(counts.unknown),
                values(counts.unknown_values)
            ),
        ),
        (
            counts.unfit,
            format!("{} kept the old value, since the new one cannot stand in its place", requests(counts.unfit)),
        ),
        (counts.not_issued, format!("{} of production had none from the target", values(counts.not_issued))),
        (counts.reissued, format!("{} issued again behind one address, for another session", values(counts.reissued))),
        (counts.foreign, format!("{} had a value that was issued to another client address", requests(counts.foreign))),
        (counts.evicted, format!("{} forgotten for want of room", values(counts.evicted))),
    ] {
        if count > 0 {
            write!(text, "; {words}").ok();
        }
    }
    text
}

/// How many values are known, and from where.
fn known(counts: &CarrySummary) -> String {
    let from = [
        (counts.learnt, "that the target issued"),
        (counts.seeded, "given by `seed`"),
        (counts.logins, "given by `login`"),
    ];
    let from = from.iter().filter(|(count, _)| *count > 0);
    let from: Vec<String> = from.map(|(count, words)| format!("{} {words}", counted(*count, "value"))).collect();
    from.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_what_became_of_it_and_nothing_of_what_did_not_happen() {
        let counts = CarrySummary { learnt: 1, carried: 20_000, ..CarrySummary::default() };
        let all_right = "session: 20,000 requests went out with one of 1 value that the target issued";
        assert_eq!(rule("session", &counts), all_right);
        let nothing = CarrySummary { unknown: 3, unknown_values: 1, ..CarrySummary::default() };
        assert!(rule("s", &nothing).starts_with("s: nothing was learnt, since production issued no value"));
        assert!(rule("s", &nothing).contains("--allow-writes); 3 requests had 1 value without"));
        let nothing = CarrySummary { not_issued: 1, ..CarrySummary::default() };
        assert!(rule("s", &nothing).contains("since the target issued no value where production did"));
        let counts = CarrySummary { learnt: 2, seeded: 1, logins: 3, failed_logins: 4, ..CarrySummary::default() };
        let text = "s: 0 requests went out with one of 2 values that the target issued, 1 value given by `seed`, 3 values \
                    given by `login`; the login program failed 4 times";
        assert_eq!(rule("s", &counts), text);
        for (kind, text) in [
            (
                CarryKind::Jwt,
                "s: 2 requests went out with a token signed here; 1 request had something else in that place",
            ),
            (CarryKind::Time, "s: times in 2 requests moved to now; 1 request had something else in that place"),
        ] {
            assert_eq!(rule("s", &CarrySummary { kind, made: 2, not_made: 1, ..CarrySummary::default() }), text);
        }
        let counts = CarrySummary {
            learnt: 1_000,
            carried: 3,
            waited: 2,
            gave_up: 1,
            unknown: 5,
            unknown_values: 2,
            unfit: 3,
            not_issued: 4,
            reissued: 2,
            foreign: 1,
            evicted: 7,
            ..CarrySummary::default()
        };
        assert_eq!(
            rule("session", &counts),
            "session: 3 requests went out with one of 1,000 values that the target issued, 2 after a wait; 1 request \
             waited in vain; 5 requests had 2 values without a counterpart: issued before the capture, or never by the \
             target; 3 requests kept the old value, since the new one cannot stand in its place; 4 values of production had none from the target; 2 values \
             issued again behind one address, for another session; 1 request had a value that was issued to another \
             client address; 7 values forgotten for want of room"
        );
    }
}

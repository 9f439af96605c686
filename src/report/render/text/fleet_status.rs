//! How the replayers that share a recording stand.

use std::fmt::Write as _;

use super::{LABEL, Severity, TextReport};
use crate::fleet::{FleetMember, FleetStatus, FleetTotals, MemberState};
use crate::middleware::Share;
use crate::replay::GuardState;
use crate::report::units::{counted, duration, number, percent};
use crate::sanitize;

/// Sums over all replayers, and a line for each.
#[must_use]
pub fn fleet_status(status: &FleetStatus, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width, color };
    page.wrapped(&total(status), 2, if status.total.lost > 0 { Severity::Odd } else { Severity::Plain });
    for replayer in &status.replayers {
        let is_well = replayer.state != MemberState::Lost && replayer.order >= status.orders.number;
        let is_behind = !is_well && replayer.state != MemberState::Ended;
        page.wrapped(
            &line(replayer, status.orders.number),
            LABEL,
            if is_behind { Severity::Odd } else { Severity::Plain },
        );
        if replayer.state == MemberState::There {
            guards(&mut page, replayer);
        }
    }
    page.out
}

fn total(status: &FleetStatus) -> String {
    let FleetTotals { there, ended, lost, partitions, sent, errors, p99_us, rate } = &status.total;
    let mut text = format!("run {}: {}", sanitize::line(&status.run), counted(*there as u64, "replayer"));
    for (count, what) in [(ended, "ended"), (lost, "lost")] {
        if *count > 0 {
            write!(text, ", {count} {what}").ok();
        }
    }
    write!(text, "; {} held; {}", counted(*partitions as u64, "partition"), sums(*sent, *errors, *p99_us, *rate)).ok();
    let orders = &status.orders;
    if orders.number > 0 {
        let by = sanitize::line(&orders.by);
        write!(text, "; last order: {} by {by} at {}", sanitize::line(&orders.word), sanitize::line(&orders.at)).ok();
        text.push_str(if orders.paused { "; paused" } else { "" });
        if let Some(share) = orders.share {
            write!(text, "; share {}", Share(share).rounded()).ok();
        }
    }
    text
}

fn sums(sent: u64, errors: u64, p99_us: Option<u64>, rate: f64) -> String {
    let mut text = format!("{} sent", number(sent));
    if errors > 0 {
        write!(text, ", {} ({})", counted(errors, "error"), percent(errors as f64 / sent.max(1) as f64)).ok();
    }
    if rate > 0.0 {
        write!(text, ", {rate:.1}/s").ok();
    }
    if let Some(p99) = p99_us {
        write!(text, ", p99 {}", duration(p99)).ok();
    }
    text
}

fn line(one: &FleetMember, order: u64) -> String {
    let sums = sums(one.sent, one.errors, one.p99_us, one.rate);
    let mut text = format!("  {:<3} {}  ", one.number, sanitize::line(&one.name));
    match one.state {
        MemberState::Ended => return text + "ended; " + &sums,
        MemberState::Lost => {
            let heard = duration(one.heard_ms.saturating_mul(1000));
            return text + &format!("lost: last heard of {heard} ago; {sums}");
        }
        MemberState::There => {}
    }
    let share = Share(one.share).rounded();
    write!(text, "{}; {sums}; share {share}", counted(one.partitions as u64, "partition")).ok();
    if let Some((step, steps)) = one.step.zip(one.steps) {
        write!(text, ", step {step} of {steps}").ok();
    }
    for (is_so, what) in [(one.paused, ", paused"), (one.stopping, ", about to end")] {
        text.push_str(if is_so { what } else { "" });
    }
    if one.order < order {
        text.push_str("; has not taken up the last order");
    }
    write!(text, "; heard of {} ago", duration(one.heard_ms.saturating_mul(1000))).ok();
    text
}

fn guards(page: &mut TextReport, one: &FleetMember) {
    for target in &one.targets {
        let Some(guard) = target.guard.as_ref().filter(|guard| guard.trips > 0 || guard.state != GuardState::Passing)
        else {
            continue;
        };
        let mut text = format!("    {}: guard {}", sanitize::line(&target.target), guard.state.key());
        if guard.held_share > 0.0 {
            write!(text, ", {} held back", Share(guard.held_share).rounded()).ok();
        }
        if let Some(reason) = &guard.reason {
            write!(text, "; last: {}", sanitize::line(reason)).ok();
        }
        page.wrapped(&text, LABEL, if guard.held_share > 0.0 { Severity::Bad } else { Severity::Plain });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fleet::{FleetOrders, FleetWord, MemberFigures, OutcomeCounts, TargetFigures};
    use crate::report::TargetGuard;

    #[test]
    fn each_replayer_has_a_line_and_what_a_host_calls_itself_is_obeyed_by_no_terminal() {
        let mut counts = OutcomeCounts::default();
        (0..100).for_each(|n| counts.take(n < 3, false, Some(200), Some(Duration::from_millis(2))));
        let guard = TargetGuard { state: GuardState::Throttled, held_share: 0.5, trips: 1, ..TargetGuard::default() };
        let target =
            TargetFigures { target: "http://t".to_owned(), total: counts.clone(), recent: counts, guard: Some(guard) };
        let figures = MemberFigures { share: 0.25, targets: vec![target], ..MemberFigures::default() };
        let member = |host: &str, state, order| FleetMember {
            id: format!("7-{host}"),
            host: host.to_owned(),
            state,
            order,
            partitions: 8,
            heard_ms: 400,
            figures: figures.clone(),
            ..FleetMember::default()
        };
        let orders = FleetOrders::default().with(FleetWord::Sample(Share(0.25)), "root@ops", 1_000_000_000);
        let members = [
            member("a", MemberState::There, 1),
            member("b\u{1b}[2J", MemberState::There, 0),
            member("c", MemberState::Lost, 0),
        ];
        let text = fleet_status(&FleetStatus::new("1", orders, members.into_iter()), 300, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "run 1: 2 replayers, 1 lost; 16 partitions held; 300 sent, 9 errors (3%), 20.0/s, p99 2.02ms; last order: sample \
             25% by root@ops at 1970-01-01T00:00:01.000Z; share 25%"
        );
        assert_eq!(
            lines[1],
            "  1   a (process 7)  8 partitions; 100 sent, 3 errors (3%), 10.0/s, p99 2.02ms; share 25%; heard of 400ms ago"
        );
        assert_eq!(lines[2], "    http://t: guard throttled, 50% held back");
        assert!(lines[3].contains("has not taken up the last order") && !text.contains('\u{1b}'), "{text}");
        assert!(lines[5].contains("  3   c (process 7)  lost: last heard of 400ms ago; 100 sent"), "{text}");
    }
}

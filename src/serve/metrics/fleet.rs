//! Families of the replayers that share a recording. They are numbered, in the order in which they began: no name that a host
//! gives itself becomes a label.

use crate::report::Snapshot;

use super::page::MetricsPage;

/// Most replayers with series of their own: the last ones. Sums are over all.
const MAX_MEMBERS: usize = 64;

/// Writes how the fleet stands, where the run is one of several.
pub(super) fn fleet(page: &mut MetricsPage, snapshot: &Snapshot) {
    let Some(fleet) = &snapshot.live.fleet else { return };
    let total = &fleet.total;
    page.gauge("shadowtap_fleet_replayers", "Replayers that share the recording, by state.")
        .count(&[("state", "there")], total.there as u64)
        .count(&[("state", "ended")], total.ended as u64)
        .count(&[("state", "lost")], total.lost as u64);
    page.gauge("shadowtap_fleet_paused", "1 while all replayers send nothing because somebody ordered a pause.")
        .count(&[], u64::from(fleet.orders.paused));
    page.counter("shadowtap_fleet_sent_total", "Requests that all replayers sent.").count(&[], total.sent);
    page.counter("shadowtap_fleet_errors_total", "Those of them that were answered with 5xx, or not at all.")
        .count(&[], total.errors);
    if let Some(p99) = total.p99_us {
        page.gauge("shadowtap_fleet_service_latency_seconds", "Percentile of the service time of all over 10 s.")
            .value(&[("quantile", "0.99")], p99 as f64 / 1e6);
    }
    let first = fleet.replayers.len().saturating_sub(MAX_MEMBERS);
    let members: Vec<_> = (1..).zip(&fleet.replayers).skip(first).map(|(n, one)| (i32::to_string(&n), one)).collect();
    let mut held = page.gauge("shadowtap_fleet_member_partitions", "Partitions that a replayer holds.");
    for (number, one) in &members {
        held.count(&[("member", number)], one.partitions as u64);
    }
    let mut sent = page.counter("shadowtap_fleet_member_sent_total", "Requests that a replayer sent.");
    for (number, one) in &members {
        sent.count(&[("member", number)], one.sent);
    }
    let mut errors = page.counter("shadowtap_fleet_member_errors_total", "Those of them that were errors.");
    for (number, one) in &members {
        errors.count(&[("member", number)], one.errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{FleetMember, FleetOrders, FleetStatus, MemberFigures, TargetFigures};

    #[test]
    fn series_are_bounded_and_sums_are_over_all() {
        let member = |n: u64| {
            let mut target = TargetFigures::default();
            (target.total.samples, target.total.failed) = (n, 1);
            let figures = MemberFigures { targets: vec![target], ..MemberFigures::default() };
            FleetMember { id: format!("{n:03}"), host: "evil\"} 1".to_owned(), figures, ..FleetMember::default() }
        };
        let mut seen = Snapshot::default();
        seen.live.fleet = Some(FleetStatus::new("1", FleetOrders::default(), (1..=70).map(member)));
        let text = crate::serve::metrics::text(&seen);
        let series: Vec<_> =
            text.lines().filter(|line| line.starts_with("shadowtap_fleet_member_sent_total{")).collect();
        assert_eq!((series.len(), series[0]), (64, "shadowtap_fleet_member_sent_total{member=\"7\"} 7"));
        for line in [
            "shadowtap_fleet_sent_total 2485",
            "shadowtap_fleet_errors_total 70",
            "shadowtap_fleet_replayers{state=\"there\"} 70",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("evil"));
        assert!(!crate::serve::metrics::text(&Snapshot::default()).contains("shadowtap_fleet"));
    }
}

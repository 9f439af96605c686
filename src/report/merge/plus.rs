//! Sums of blocks: counts are added up, and of what is the most of something the greater one stays.
//!
//! Each block names all of its fields here. One that is added later does not compile until somebody says what its sum is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::middleware::context::UnreadableCounts;
use crate::report::schema::access_log::AccessLogSummary;
use crate::report::schema::by_route::{RouteProduction, RouteSummary, RouteTarget};
use crate::report::schema::capture::{Frames, MaxGap, Streams, Tcp};
use crate::report::schema::carry::CarrySummary;
use crate::report::schema::failures::{DesynchronisedSummary, FailureReason};
use crate::report::schema::middleware::MiddlewareCounts;
use crate::report::schema::noise::NoiseOnlyCounts;
use crate::report::schema::recording::{RecordingSummary, SavedSummary};
use crate::report::schema::reference::{Baseline, SelfChecks};
use crate::report::schema::spoe::SpoeSummary;
use crate::report::schema::summary::{Ended, FleetEnd, ProductionSide, Requests, Summary};
use crate::report::schema::target::{AddressSummary, Differences, TargetEnded, TargetSummary};
use crate::report::schema::telemetry::{TelemetryCounts, TelemetrySummary};

/// Slowest requests that stay of a route: as many as a run has.
const MAX_SLOWEST: usize = crate::report::collect::slowest::MAX_SLOWEST;

/// What can be added up.
pub(super) trait Plus {
    /// Adds `more`.
    fn plus(&mut self, more: Self);
}

impl Plus for u64 {
    fn plus(&mut self, more: Self) {
        *self = self.saturating_add(more);
    }
}

impl<T: Plus> Plus for Option<T> {
    fn plus(&mut self, more: Self) {
        match (self.as_mut(), more) {
            (Some(own), Some(more)) => own.plus(more),
            (None, more) => *self = more,
            (Some(_), None) => {}
        }
    }
}

impl<T: Plus> Plus for BTreeMap<String, T> {
    fn plus(&mut self, more: Self) {
        for (key, value) in more {
            match self.entry(key) {
                Entry::Occupied(own) => own.into_mut().plus(value),
                Entry::Vacant(free) => drop(free.insert(value)),
            }
        }
    }
}

/// Adds up the fields that are named first, keeps the greater of those behind `most`, and leaves alone those behind `not`.
macro_rules! plus {
    ($block:ident { $($sum:ident),+ $(; most $($most:ident),+)? $(; not $($not:ident),+)? }) => {
        impl Plus for $block {
            fn plus(&mut self, more: Self) {
                let Self { $($sum,)+ $($($most,)+)? $($($not: _,)+)? } = more;
                $(self.$sum.plus($sum);)+
                $($(self.$most = self.$most.max($most);)+)?
            }
        }
    };
}

plus!(Summary { access_log, spoe, frames, tcp, streams, requests, targets, self_check, production, recording, middleware,
    telemetry, redaction, fleet, warnings, unread;
    not schema, version, command, started, duration_s, verdict, asked, baseline, noise, fields, noise_unlearnt,
    capture_delay_us, sample, timeline, curves, histograms, routes, kinds, steps, ramp, observe, max_gap, merged, gates,
    results_failed });
plus!(Frames { received, kernel_dropped, interface_dropped, decoded, skipped, clock_steps; not clock_step_at, clock_step_in });
plus!(Tcp { connections, retransmitted_bytes, gaps, gap_bytes, evicted, unplaced_bytes, unplaced_requests, bad_checksums;
    most peak_open });
plus!(Streams { http1, tls, http2, upgraded, unknown });
plus!(Requests { seen, offered, in_flight, ended });
plus!(Ended { kept, filtered, sampled_out, rate_limited, malformed, incomplete, shed });
plus!(ProductionSide { statuses, damaged, unjoined; not latency_us });
plus!(TargetSummary { offered, in_flight, ended, statuses, connections_opened, addresses, matrix, differences,
    differences_noise, failures, retried, closed_early, paused, carry, desynchronised;
    most peak_connections, peak_in_flight; not latency_us, paired_latency_us, schedule_lag_us, carry_wait_us, guard, mirrored });
plus!(TargetEnded { sent, filtered, sampled_out, rate_limited, guard_held, shed, failed });
plus!(Differences { compared, any, status, headers, body, bodies_unknown, bodies_unknown_reasons });
plus!(NoiseOnlyCounts { any, status, headers, body });
plus!(DesynchronisedSummary { deliveries, connections, before_a_request, earlier, taken_back; not first });
plus!(CarrySummary { learnt, seeded, logins, failed_logins, carried, made, not_made, waited, gave_up, unknown,
    unknown_values, not_issued, reissued, unfit, foreign, evicted; not kind });
plus!(SelfChecks { offered, in_flight, sent, failed, shed, compared, differ });
plus!(Baseline { target; not url });
plus!(MiddlewareCounts { made_up, late, garbage, malformed, untold, restarts });
plus!(UnreadableCounts { body_dropped, dropped, kept });
plus!(SpoeSummary {
    connections,
    health_checks,
    acknowledged,
    shed,
    requests,
    cut,
    responses,
    orphans,
    without_id,
    unread,
    malformed,
    missed
});
plus!(TelemetrySummary { traces, webhook });
plus!(TelemetryCounts { sent, failed, dropped; not endpoint });
plus!(RouteSummary { requests, production, targets; not route });
plus!(RouteProduction { statuses; not latency_us });

impl Plus for Vec<String> {
    fn plus(&mut self, more: Self) {
        self.extend(more);
    }
}

/// What is known is known of all.
impl Plus for AccessLogSummary {
    fn plus(&mut self, more: Self) {
        let Self { format, lines, requests, unread, without_request, known, unknown } = more;
        if self.format != format {
            self.format = format!("{}, {format}", self.format);
        }
        self.lines.plus(lines);
        self.requests.plus(requests);
        self.unread.plus(unread);
        self.without_request.plus(without_request);
        self.known.retain(|what| known.contains(what));
        self.unknown.extend(unknown.into_iter().filter(|what| !self.unknown.contains(what)).collect::<Vec<_>>());
    }
}

impl Plus for RouteTarget {
    fn plus(&mut self, more: Self) {
        let Self { sent, failed, not_sent, statuses, matrix, differences, differences_noise, slowest, .. } = more;
        self.sent.plus(sent);
        self.failed.plus(failed);
        self.not_sent.plus(not_sent);
        self.statuses.plus(statuses);
        self.matrix.plus(matrix);
        self.differences.plus(differences);
        self.differences_noise.plus(differences_noise);
        self.slowest.extend(slowest);
        self.slowest.sort_by_key(|slow| std::cmp::Reverse(slow.response_us));
        self.slowest.truncate(MAX_SLOWEST);
    }
}

impl Plus for Vec<AddressSummary> {
    fn plus(&mut self, more: Self) {
        for AddressSummary { address, connections_opened, connections_failed, requests } in more {
            if let Some(own) = self.iter_mut().find(|own| own.address == address) {
                own.connections_opened.plus(connections_opened);
                own.connections_failed.plus(connections_failed);
                own.requests.plus(requests);
            } else {
                self.push(AddressSummary { address, connections_opened, connections_failed, requests });
            }
        }
    }
}

/// The first of each reason stays; the most frequent comes first.
impl Plus for Vec<FailureReason> {
    fn plus(&mut self, more: Self) {
        for reason in more {
            match self.iter_mut().find(|own| own.kind == reason.kind && own.reason == reason.reason) {
                Some(own) => own.count.plus(reason.count),
                None => self.push(reason),
            }
        }
        self.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    }
}

impl Plus for RecordingSummary {
    fn plus(&mut self, more: Self) {
        let Self { files, last, records, requests, bytes, lost, requests_lost, stored_bytes, left_out, .. } = more;
        self.files.plus(files);
        self.last = last.or(self.last.take());
        self.records.plus(records);
        self.requests = both(self.requests, requests);
        self.bytes.plus(bytes);
        self.lost.plus(lost);
        self.requests_lost.plus(requests_lost);
        self.stored_bytes.plus(stored_bytes);
        self.left_out.plus(left_out);
        self.given_up.plus(more.given_up);
        self.unfinished.plus(more.unfinished);
        self.saved.plus(more.saved);
    }
}

impl Plus for SavedSummary {
    fn plus(&mut self, more: Self) {
        let Self { count, failed, records, requests, bytes, files } = more;
        self.count.plus(count);
        self.failed.plus(failed);
        self.records.plus(records);
        self.requests = both(self.requests, requests);
        self.bytes.plus(bytes);
        self.files.extend(files);
    }
}

/// A sum that is known where both parts are.
fn both(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one?.saturating_add(other?))
}

/// The fleet's run is over where any replayer knows it; how many requests have ended in it each of them says of all.
impl Plus for FleetEnd {
    fn plus(&mut self, more: Self) {
        let Self { over, ended, left_out, given_up, again, sums: _ } = more;
        self.over |= over;
        self.ended = self.ended.max(ended);
        self.left_out.plus(left_out);
        self.given_up.plus(given_up);
        self.again.plus(again);
        // They were of one run.
        self.sums = None;
    }
}

impl Plus for MaxGap {
    fn plus(&mut self, more: Self) {
        let Self { limit_s: _, shortened, left_out_s } = more;
        self.shortened.plus(shortened);
        self.left_out_s += left_out_s;
    }
}

//! What HAProxy would have done with the targets, for a terminal.

use std::time::Duration;

use crate::report::collect::histogram::micros;
use crate::report::schema::observe::{DownTime, ObserveSummary, ObservedServer, SlowWindow};
use crate::report::units::{counted, duration, number};

use super::{LABEL, NARROWEST, Severity, TextReport, WIDEST};

/// Times of each kind that are shown; of further ones there is the number.
const SHOWN: usize = 10;

/// A block that says when the servers would have been marked down, and what `observe layer7` misses.
#[must_use]
pub fn observed(observed: &ObserveSummary, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    block(&mut page, observed);
    page.out
}

/// The same as a block of a report.
pub(super) fn block(page: &mut TextReport, observed: &ObserveSummary) {
    let ObserveSummary { rule, targets } = observed;
    page.title(&format!("HAProxy with observe layer7, {rule}"));
    if targets.is_empty() {
        page.paragraph("  no request was sent", Severity::Plain);
    }
    for (url, server) in targets {
        one(page, url, server);
    }
}

fn one(page: &mut TextReport, url: &str, server: &ObservedServer) {
    let requests = counted(server.requests, "request");
    if server.downs.is_empty() {
        page.wrapped(&format!("  {url}: never marked down in {requests}"), 4, Severity::Good);
    }
    for down in server.downs.iter().take(SHOWN) {
        page.wrapped(&format!("  {url}: {}", went_down(down)), 4, Severity::Bad);
    }
    let more = server.downs.len().saturating_sub(SHOWN) as u64 + server.more_downs;
    if more > 0 || server.downs.len() > 1 {
        let sent_back = number(server.sent_back);
        let rest = if more > 0 { format!("{} more; ", number(more)) } else { String::new() };
        page.wrapped(&format!("  {rest}{sent_back} of {requests} would have gone back in all"), 4, Severity::Plain);
    }
    if server.slow.is_empty() {
        return;
    }
    let windows = counted(server.slow.len() as u64 + server.more_slow, "window");
    page.wrapped(&format!("  unseen by layer7, since the status was well: {windows} too slow"), 4, Severity::Odd);
    for SlowWindow { at, latency_us, responses } in server.slow.iter().take(SHOWN) {
        let text = format!("    {}  {} ({})", clock(at), duration(*latency_us), counted(*responses, "response"));
        page.wrapped(&text, LABEL, Severity::Plain);
    }
}

fn went_down(down: &DownTime) -> String {
    let DownTime { at, lasted_s, ended, requests } = down;
    let at = clock(at);
    let lasted = duration(Duration::try_from_secs_f64(*lasted_s).map_or(0, micros));
    let how_long = if *ended { format!("for {lasted}") } else { format!("to the end, {lasted}") };
    format!(
        "marked down at {at} {how_long}, {} would have gone back to the other servers",
        counted(*requests, "request")
    )
}

/// The time of day, in UTC.
fn clock(at: &str) -> String {
    at.get(11..19).unwrap_or(at).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_have_happened_is_told_with_its_price() {
        let at = "2026-11-21T20:03:07.000000000Z".to_owned();
        let server = ObservedServer {
            requests: 1_000,
            downs: vec![DownTime { at: at.clone(), lasted_s: 12.0, ended: true, requests: 214 }],
            sent_back: 214,
            slow: vec![SlowWindow { at, latency_us: 1_200_000, responses: 50 }],
            ..ObservedServer::default()
        };
        let targets = [("http://new".to_owned(), server), ("http://ok".to_owned(), ObservedServer::default())].into();
        let text = observed(&ObserveSummary { rule: "error-limit 10".to_owned(), targets }, 120, false);
        assert_eq!(
            text,
            "\nHAProxy with observe layer7, error-limit 10\n  \
             http://new: marked down at 20:03:07 for 12.0s, 214 requests would have gone back to the other servers\n  \
             unseen by layer7, since the status was well: 1 window too slow\n    20:03:07  1.20s (50 responses)\n  \
             http://ok: never marked down in 0 requests\n"
        );
    }
}

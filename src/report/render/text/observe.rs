//! What HAProxy would have done with the targets, for a terminal.

use std::collections::BTreeMap;

use crate::report::collect::observe::{DownTime, ObservedServer, SlowWindow};
use crate::report::units::{counted, duration, number};

use super::{LABEL, NARROWEST, Severity, TextReport, WIDEST};

/// Times of each kind that are shown; of further ones there is the number.
const SHOWN: usize = 10;

/// A block that says when the servers would have been marked down, and what `observe layer7` misses.
#[must_use]
pub fn observed(rule: &str, servers: &BTreeMap<String, ObservedServer>, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    page.title(&format!("HAProxy with observe layer7, {rule}"));
    if servers.is_empty() {
        page.paragraph("  no request was sent", Severity::Plain);
    }
    for (url, server) in servers {
        one(&mut page, url, server);
    }
    page.out
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
    for SlowWindow { at, us, responses } in server.slow.iter().take(SHOWN) {
        let text = format!("    {}  {} ({})", clock(&at.to_string()), duration(*us), counted(*responses, "response"));
        page.wrapped(&text, LABEL, Severity::Plain);
    }
}

fn went_down(down: &DownTime) -> String {
    let DownTime { at, lasted, ended, requests } = down;
    let at = clock(&at.to_string());
    let lasted = duration(u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX));
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
    use crate::exchange::Timestamp;
    use std::time::Duration;

    #[test]
    fn what_would_have_happened_is_told_with_its_price() {
        let at = Timestamp::from_nanos(1_795_291_387_000_000_000);
        let server = ObservedServer {
            requests: 1_000,
            downs: vec![DownTime { at, lasted: Duration::from_secs(12), ended: true, requests: 214 }],
            sent_back: 214,
            slow: vec![SlowWindow { at, us: 1_200_000, responses: 50 }],
            ..ObservedServer::default()
        };
        let servers = [("http://new".to_owned(), server), ("http://ok".to_owned(), ObservedServer::default())].into();
        let text = observed("error-limit 10", &servers, 120, false);
        assert_eq!(
            text,
            "\nHAProxy with observe layer7, error-limit 10\n  \
             http://new: marked down at 20:03:07 for 12.0s, 214 requests would have gone back to the other servers\n  \
             unseen by layer7, since the status was well: 1 window too slow\n    20:03:07  1.20s (50 responses)\n  \
             http://ok: never marked down in 0 requests\n"
        );
    }
}

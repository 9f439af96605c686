//! What a run would send, for people: by destination, method and route, and the first requests as they would go out.

use std::fmt::Write as _;

use super::{NARROWEST, Severity, TextReport, WIDEST};
use crate::exchange::wire_text;
use crate::report::collect::dry_run::{CarryForecast, DestinationTally, DryRunTally, SHOWN_REQUESTS};
use crate::report::render::listing::shortened;
use crate::report::schema::counts::CountMap;
use crate::report::units::{bytes, counted, duration, number, percent};
use crate::sanitize;

/// Routes of a destination that have a row; the rest is one row.
const MAX_ROWS: usize = 20;
/// Lines of a head that are shown; of further ones there is the number.
const MAX_HEAD_LINES: usize = 100;

/// What a run would send, `width` columns wide, with ANSI colors where `color`.
#[must_use]
pub fn dry_run(tally: &DryRunTally, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    let mut first = format!("Dry run: {} seen, nothing sent, no output written", counted(tally.seen, "request"));
    if let Some(length) = tally.length {
        let length = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        write!(first, "; the last would be due after {}", duration(length)).ok();
    }
    page.paragraph(&first, Severity::Title);
    reasons(&mut page, &tally.kept_back);
    for destination in &tally.destinations {
        of_destination(&mut page, destination, tally.seen);
    }
    if !tally.carried.is_empty() {
        page.title("Carried, where the target issues a value wherever production did");
        tally.carried.iter().for_each(|forecast| page.wrapped(&format!("  {}", carried(forecast)), 4, Severity::Plain));
    }
    if !tally.remarks.is_empty() {
        page.title("Not counted here");
        tally.remarks.iter().for_each(|remark| page.wrapped(&format!("  {remark}"), 2, Severity::Plain));
    }
    page.out
}

/// The requests that a selection lets pass, and at which filter the others end; empty where nothing ended or was routed.
#[must_use]
pub fn passed(tally: &DryRunTally, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    let Some(passing) = tally.destinations.first() else { return page.out };
    let text = format!("{} of {} pass the filters", number(passing.requests), counted(tally.seen, "request"));
    page.paragraph(&text, Severity::Title);
    reasons(&mut page, &tally.kept_back);
    for (target, count) in &passing.routes {
        page.wrapped(&format!("  {} to target {target}", number(*count)), 4, Severity::Plain);
    }
    page.out
}

fn carried(forecast: &CarryForecast) -> String {
    let CarryForecast { rule, issued, known, unknown } = forecast;
    if *issued == 0 && *unknown == 0 {
        return format!("{rule}: no value of it is in what would be sent, nor in production's responses to that");
    }
    let mut text =
        format!("{rule}: {} issued, {} with one of them", counted(*issued, "value"), counted(*known, "request"));
    if *unknown > 0 {
        write!(text, "; {} with a value that no response before had issued", counted(*unknown, "request")).ok();
    }
    text
}

fn reasons(page: &mut TextReport, reasons: &CountMap) {
    let mut rows: Vec<_> = reasons.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (reason, count) in rows {
        page.wrapped(&format!("  - {} {reason}", number(*count)), 4, Severity::Plain);
    }
}

fn of_destination(page: &mut TextReport, tally: &DestinationTally, seen: u64) {
    page.title(&tally.name);
    let share = if seen == 0 { 0.0 } else { tally.requests as f64 / seen as f64 };
    let methods: Vec<String> =
        tally.methods.iter().map(|(method, count)| format!("{method} {}", number(*count))).collect();
    let mut text =
        format!("  {} ({} of those seen), {}", counted(tally.requests, "request"), percent(share), bytes(tally.bytes));
    if !methods.is_empty() {
        write!(text, ": {}", methods.join(", ")).ok();
    }
    page.wrapped(&text, 4, Severity::Plain);
    reasons(page, &tally.kept_back);
    routes(page, tally);
    for (at, shown) in tally.first.iter().enumerate() {
        let body = if shown.body > 0 { format!(", and {} of body", bytes(shown.body)) } else { String::new() };
        let text = format!("  {} of the first {}{body}:", at + 1, tally.first.len().min(SHOWN_REQUESTS));
        page.wrapped(&text, 4, Severity::Faint);
        let head = shown.head.strip_suffix(b"\r\n").unwrap_or(&shown.head);
        let head = head.strip_suffix(b"\r\n").unwrap_or(head);
        let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
        for line in lines.iter().take(MAX_HEAD_LINES) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            page.line(&format!("    {}", sanitize::text(&wire_text(line), false)));
        }
        if let Some(more) = lines.len().checked_sub(MAX_HEAD_LINES).filter(|more| *more > 0) {
            page.line(&format!("    ({} more)", counted(more as u64, "line")));
        }
    }
}

/// The routes, the busiest first.
fn routes(page: &mut TextReport, tally: &DestinationTally) {
    let mut rows: Vec<_> = tally.routes.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let width = number(tally.requests).len().max(5);
    let room = page.width.saturating_sub(width + 4);
    for (route, count) in rows.iter().take(MAX_ROWS) {
        page.line(&format!("  {:>width$}  {}", number(**count), shortened(&sanitize::line(route), Some(room))));
    }
    if let Some(rest) = rows.get(MAX_ROWS..).filter(|rest| !rest.is_empty()) {
        let requests = rest.iter().map(|(_, count)| **count).sum();
        page.line(&format!("  {:>width$}  in {}", number(requests), counted(rest.len() as u64, "more route")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::exchange::Outcome;
    use crate::testing::request;

    #[test]
    fn a_page_has_counts_reasons_routes_and_heads() {
        let mut tally = DryRunTally::new(Arc::default(), ["new = http://staging:8080".to_owned()]);
        tally.seen = 4;
        tally.length = Some(Duration::from_secs(90));
        tally.keep_back(&Outcome::filtered("writes"), None);
        tally.carried = vec![
            CarryForecast { rule: "session".to_owned(), issued: 50, known: 400, unknown: 3 },
            CarryForecast { rule: "csrf".to_owned(), ..CarryForecast::default() },
        ];
        let one = request(1, "GET /a/1 HTTP/1.1\r\n\r\n");
        for _ in 0..3 {
            tally.destinations[0].send(&one, "GET /a/{id}", || b"GET /a/1 HTTP/1.1\r\nHost: x\x1b[2J\r\n\r\n".to_vec());
        }
        let text = dry_run(&tally, 80, false);
        assert_eq!(
            text.lines().take(9).collect::<Vec<_>>(),
            [
                "Dry run: 4 requests seen, nothing sent, no output written; the last would be due",
                "  after 1m30s",
                "  - 1 writes (sent with --allow-writes only)",
                "",
                "new = http://staging:8080",
                "  3 requests (75% of those seen), 63B: GET 3",
                "      3  GET /a/{id}",
                "  1 of the first 3:",
                "    GET /a/1 HTTP/1.1",
            ]
        );
        assert!(!text.contains('\x1b'), "{text}");
        let carried = "\n\nCarried, where the target issues a value wherever production did\n  session: 50 values \
                       issued, 400 requests with one of them; 3 requests with a\n    value that no response before had \
                       issued\n  csrf: no value of it is in what would be sent, nor in production's responses\n    to \
                       that\n";
        assert!(text.ends_with(carried), "{text}");
    }
}

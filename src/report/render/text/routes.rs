//! Routes as a table: a row each, the busiest first, and the totals below.

use std::fmt::Write as _;

use crate::inspect::routes::{RouteRow, RouteStats};
use crate::report::collect::status::StatusClass;
use crate::report::render::listing::shortened;
use crate::report::units::{bytes, duration, number, short_number};
use crate::sanitize;

use super::{NARROWEST, Severity, TextReport};

/// Fewest columns for the route next to its figures; with less room the route has a line above them.
const ROUTE: usize = 32;

/// The classes that have a column in any case; the others have one where there is anything in it.
const USUAL: [StatusClass; 5] =
    [StatusClass::Success, StatusClass::Redirect, StatusClass::Client, StatusClass::Server, StatusClass::None];

/// The table, `width` columns wide (as wide as it needs to be without one), with ANSI colors where `color`.
#[must_use]
pub fn routes(routes: &RouteStats, width: Option<usize>, color: bool) -> String {
    let all = routes.all();
    if all.requests == 0 {
        return String::new();
    }
    let width = width.map(|width| width.max(NARROWEST));
    let table = RouteTable::new(&all, width);
    let room = width.map(|width| width.saturating_sub(table.width()));
    let stacked = room.is_some_and(|room| room < ROUTE);
    let mut page = TextReport { out: String::new(), width: width.unwrap_or(usize::MAX), color };
    let head = page.paint(&format!("{}{}", table.head(), if stacked { "" } else { "  route" }), Severity::Title);
    page.line(&head);
    for row in routes.rows().iter().chain([&all]) {
        let figures = table.row(&page, row);
        let route = sanitize::line(&row.route);
        if stacked {
            let route = page.paint(&shortened(&route, width), Severity::Title);
            page.line(&route);
            page.line(&figures);
        } else {
            page.line(&format!("{figures}  {}", shortened(&route, room.map(|room| room - 2))));
        }
    }
    page.out
}

/// Columns of the table, and the width of those with counts.
struct RouteTable {
    classes: Vec<(StatusClass, usize)>,
    count: usize,
    number: fn(u64) -> String,
}

impl RouteTable {
    /// The table in `width` columns: where it would be wider its counts are shortened.
    fn new(all: &RouteRow, width: Option<usize>) -> Self {
        let full = Self::of(all, number);
        if width.is_some_and(|width| full.width() > width) { Self::of(all, short_number) } else { full }
    }

    fn of(all: &RouteRow, number: fn(u64) -> String) -> Self {
        let found = |class: &StatusClass| all.statuses.get(class.key()).copied().unwrap_or(0);
        let classes = StatusClass::ALL.into_iter().filter(|class| USUAL.contains(class) || found(class) > 0);
        let classes = classes.map(|class| (class, number(found(&class)).len().max(5))).collect();
        Self { classes, count: number(all.requests).len().max(5), number }
    }

    /// Columns of a row, without the route.
    fn width(&self) -> usize {
        self.head().chars().count()
    }

    fn head(&self) -> String {
        let mut line = format!("{:>1$}  share", "reqs", self.count);
        for (class, width) in &self.classes {
            write!(line, " {:>width$}", class.key()).ok();
        }
        for name in ["p50", "p95", "p99", "max", "bytes"] {
            write!(line, " {name:>6}").ok();
        }
        line
    }

    fn row(&self, page: &TextReport, row: &RouteRow) -> String {
        let mut line = format!("{:>1$} {2:>6}", (self.number)(row.requests), self.count, share(row.share));
        for (class, width) in &self.classes {
            let count = row.statuses.get(class.key()).copied().unwrap_or(0);
            let text = if count == 0 { ".".to_owned() } else { (self.number)(count) };
            write!(line, " {}", page.paint(&format!("{text:>width$}"), tone(*class, count))).ok();
        }
        let latency = &row.latency_us;
        for us in [latency.p50, latency.p95, latency.p99, latency.max] {
            let text = if latency.count == 0 { "-".to_owned() } else { duration(us) };
            write!(line, " {text:>6}").ok();
        }
        write!(line, " {:>6}", bytes(row.request_bytes + row.response_bytes)).ok();
        line
    }
}

/// One decimal is enough to compare by, and always as wide.
fn share(share: f64) -> String {
    if share >= 0.9995 { "100%".to_owned() } else { format!("{:.1}%", share * 100.0) }
}

fn tone(class: StatusClass, count: u64) -> Severity {
    match class {
        _ if count == 0 => Severity::Faint,
        StatusClass::Success => Severity::Good,
        StatusClass::Client | StatusClass::None => Severity::Odd,
        StatusClass::Server | StatusClass::Other => Severity::Bad,
        StatusClass::Interim | StatusClass::Redirect => Severity::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Damage;
    use crate::recording::JoinedExchange;
    use crate::testing::{request, response};

    fn some(odd: Option<u16>) -> RouteStats {
        let mut all = RouteStats::default();
        for n in 0..1_200 {
            let path = if n % 3 == 0 { "/v2/search?q=\u{7}".to_owned() } else { format!("/v2/channels/{n}") };
            let status = [Some(200), Some(304), Some(404), odd][n / 400 + usize::from(n > 1_190)];
            let request = request(1, &format!("GET {path} HTTP/1.1\r\n\r\n"));
            all.take(&JoinedExchange { request, response: status.map(response).ok_or(Damage::NoResponse) });
        }
        all
    }

    #[test]
    fn a_wide_table_has_a_line_a_route() {
        insta::assert_snapshot!(routes(&some(None), Some(120), false), @"
         reqs  share   2xx   3xx   4xx   5xx  none    p50    p95    p99    max  bytes  route
          800  66.7%   266   267   261     .     6 1.25ms 1.25ms 1.25ms 1.25ms 51.9kB  GET /v2/channels/{id}
          400  33.3%   134   133   130     .     3 1.25ms 1.25ms 1.25ms 1.25ms 25.1kB  GET /v2/search
        1,200   100%   400   400   391     .     9 1.25ms 1.25ms 1.25ms 1.25ms 77.0kB  (all)
        ");
        assert_eq!(routes(&some(None), Some(120), false), routes(&some(None), None, false));
    }

    #[test]
    fn on_a_narrow_terminal_a_route_stands_above_its_figures() {
        let table = routes(&some(Some(503)), Some(80), false);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        insta::assert_snapshot!(table, @"
         reqs  share   2xx   3xx   4xx   5xx  none    p50    p95    p99    max  bytes
        GET /v2/channels/{id}
          800  66.7%   266   267   261     6     . 1.25ms 1.25ms 1.25ms 1.25ms 52.1kB
        GET /v2/search
          400  33.3%   134   133   130     3     . 1.25ms 1.25ms 1.25ms 1.25ms 25.2kB
        (all)
        1,200   100%   400   400   391     9     . 1.25ms 1.25ms 1.25ms 1.25ms 77.3kB
        ");
    }

    #[test]
    fn a_class_that_is_rare_has_a_column_where_there_is_one_of_it() {
        assert!(!routes(&some(None), None, false).contains("1xx"));
        assert!(routes(&some(Some(101)), None, false).contains("1xx"));
        assert!(routes(&some(Some(777)), None, false).contains("other"));
    }

    #[test]
    fn counts_that_make_the_table_too_wide_are_shortened() {
        let statuses = USUAL.map(|class| (class.key(), 1_234_567)).into();
        let all = RouteRow { requests: 6_172_835, share: 1.0, statuses, ..some(None).all() };
        let page = TextReport { out: String::new(), width: 80, color: false };
        for (width, cell) in [(None, "1,234,567"), (Some(80), "1.23M")] {
            let table = RouteTable::new(&all, width);
            let row = table.row(&page, &all);
            assert!(row.contains(cell), "{row}");
            assert_eq!(row.chars().count(), table.width());
            assert!(width.is_none_or(|width| table.width() <= width), "{row}");
        }
    }

    #[test]
    fn nothing_is_no_table() {
        assert_eq!(routes(&RouteStats::default(), Some(80), true), "");
    }
}

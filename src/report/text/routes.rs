//! Routes as a table: a row each, the busiest first, and the totals below.

use std::fmt::Write as _;

use super::super::listing::{printable, shortened};
use super::super::routes::{RouteRow, Routes};
use super::super::status::Class;
use super::super::units::{bytes, duration, number};
use super::{NARROWEST, Page, Tone};

/// Fewest columns for the route beside its figures; with less room it stands above them.
const ROUTE: usize = 32;

/// The classes that have a column in any case; the others have one where there is anything in it.
const USUAL: [Class; 5] = [Class::Success, Class::Redirect, Class::Client, Class::Server, Class::None];

/// The table, `width` columns wide (as wide as it needs to be without one), with ANSI colours where `colour`.
#[must_use]
pub fn routes(routes: &Routes, width: Option<usize>, colour: bool) -> String {
    let all = routes.all();
    if all.requests == 0 {
        return String::new();
    }
    let table = Table::new(&all);
    let width = width.map(|width| width.max(NARROWEST));
    let room = width.map(|width| width.saturating_sub(table.width()));
    let stacked = room.is_some_and(|room| room < ROUTE);
    let mut page = Page { out: String::new(), width: width.unwrap_or(usize::MAX), colour };
    let head = page.paint(&format!("{}{}", table.head(), if stacked { "" } else { "  route" }), Tone::Title);
    page.line(&head);
    for row in routes.rows().iter().chain([&all]) {
        let figures = table.row(&page, row);
        let route = printable(&row.route);
        if stacked {
            let route = page.paint(&shortened(&route, width), Tone::Title);
            page.line(&route);
            page.line(&figures);
        } else {
            page.line(&format!("{figures}  {}", shortened(&route, room.map(|room| room - 2))));
        }
    }
    page.out
}

/// What the columns are, and how wide those with counts have to be.
struct Table {
    classes: Vec<Class>,
    count: usize,
}

impl Table {
    fn new(all: &RouteRow) -> Self {
        let found = |class: &Class| all.statuses.get(class.key()).is_some_and(|count| *count > 0);
        let classes = Class::ALL.into_iter().filter(|class| USUAL.contains(class) || found(class)).collect();
        Self { classes, count: number(all.requests).len().max(5) }
    }

    /// Columns of a row, without the route.
    fn width(&self) -> usize {
        self.head().chars().count()
    }

    fn head(&self) -> String {
        let mut line = format!("{:>1$}  share", "reqs", self.count);
        for class in &self.classes {
            write!(line, " {:>1$}", class.key(), self.count).ok();
        }
        for name in ["p50", "p90", "p99", "max", "bytes"] {
            write!(line, " {name:>6}").ok();
        }
        line
    }

    fn row(&self, page: &Page, row: &RouteRow) -> String {
        let mut line = format!("{:>1$} {2:>6}", number(row.requests), self.count, share(row.share));
        for class in &self.classes {
            let count = row.statuses.get(class.key()).copied().unwrap_or(0);
            let text = if count == 0 { ".".to_owned() } else { number(count) };
            write!(line, " {}", page.paint(&format!("{text:>0$}", self.count), tone(*class, count))).ok();
        }
        let latency = &row.latency_us;
        for us in [latency.p50, latency.p90, latency.p99, latency.max] {
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

fn tone(class: Class, count: u64) -> Tone {
    match class {
        _ if count == 0 => Tone::Faint,
        Class::Success => Tone::Good,
        Class::Client | Class::None => Tone::Odd,
        Class::Server | Class::Other => Tone::Bad,
        Class::Interim | Class::Redirect => Tone::Plain,
    }
}

//! Production statuses down, the target's across: what agrees stands on the diagonal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report::schema::counts::{CountMap, sum};
use crate::report::schema::target::TargetSummary;
use crate::report::units::number;

use super::{Severity, TextReport};

/// Rows that are shown: the rarest statuses beyond them are one row, `other`.
const MOST_ROWS: usize = 10;

/// Columns of the row's name.
const NAME: usize = 14;

/// Columns of a cell.
const CELL: usize = 10;

/// Row or column for statuses that have none of their own.
const OTHER: &str = "other";

/// The table; nothing where nothing was sent or failed.
pub(super) fn status(page: &mut TextReport, target: &TargetSummary) {
    if target.matrix.is_empty() {
        return;
    }
    let rows: CountMap = target.matrix.iter().map(|(name, row)| (name.clone(), sum(row))).collect();
    let mut columns = CountMap::new();
    for (name, count) in target.matrix.values().flatten() {
        *columns.entry(name.clone()).or_default() += count;
    }
    let rows = most(&rows, MOST_ROWS);
    let columns = most(&columns, (page.width - NAME) / CELL);
    let cells = folded(&target.matrix, &rows, &columns);

    let mut title = format!("{:<NAME$}", "Status");
    for column in &columns {
        write!(title, "{column:>CELL$}").ok();
    }
    page.title(&title);
    for (at, row) in rows.iter().enumerate() {
        let name = if at == 0 { format!("  prod. {row}") } else { format!("        {row}") };
        let mut line = format!("{name:<NAME$}");
        for column in &columns {
            line.push_str(&cell(page, row, column, cells.get(&(*row, *column)).copied().unwrap_or(0)));
        }
        page.line(&line);
    }
}

fn cell(page: &TextReport, row: &str, column: &str, count: u64) -> String {
    let tone = match count {
        0 => Severity::Faint,
        _ if row == column && row != OTHER => Severity::Good,
        _ if column == "failed" || column.starts_with('5') => Severity::Bad,
        _ => Severity::Odd,
    };
    let text = if count == 0 { ".".to_owned() } else { number(count) };
    page.paint(&format!("{text:>CELL$}"), tone)
}

/// The names with the greatest counts, in the order of names; the last place goes to `other` where there are more.
fn most(counts: &CountMap, places: usize) -> Vec<&str> {
    let mut names: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let too_many = names.len() > places;
    if too_many {
        names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        names.truncate(places.saturating_sub(1));
        names.sort_unstable();
    }
    let mut names: Vec<&str> = names.into_iter().map(|(name, _)| name).collect();
    if too_many {
        names.push(OTHER);
    }
    names
}

fn folded<'a>(
    matrix: &BTreeMap<String, CountMap>,
    rows: &[&'a str],
    columns: &[&'a str],
) -> BTreeMap<(&'a str, &'a str), u64> {
    let place = |names: &[&'a str], name: &str| names.iter().find(|known| **known == name).copied().unwrap_or(OTHER);
    let mut cells = BTreeMap::new();
    for (row, counts) in matrix {
        for (column, count) in counts {
            *cells.entry((place(rows, row), place(columns, column))).or_default() += count;
        }
    }
    cells
}

//! Production statuses down, the target's across: what agrees stands on the diagonal.
//!
//! Statuses beyond the room are folded, those that agree everywhere first, and never with those that do not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::report::schema::counts::CountMap;
use crate::report::schema::target::TargetSummary;
use crate::report::units::number;

use super::{Severity, TextReport};

/// Rows that are shown: statuses beyond them are one row, `other`.
const MOST_ROWS: usize = 10;

/// Columns of the row's name.
const NAME: usize = 14;

/// Columns of a cell.
const CELL: usize = 10;

/// Row for statuses that have none of their own; column for them where production has another.
const OTHER: &str = "other";

/// Column for statuses that have no row or column of their own, where both sides agree.
const SAME: &str = "same";

/// Production without a known response: no target disagrees with it.
const NONE: &str = "none";

type Cells<'a> = BTreeMap<(&'a str, &'a str), u64>;

/// The table; nothing where nothing was sent or failed.
pub(super) fn status(page: &mut TextReport, target: &TargetSummary) {
    if target.matrix.is_empty() {
        return;
    }
    let (rows, columns, cells) = folded(&target.matrix, (page.width - NAME) / CELL);

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
        _ if column == SAME || (row == column && row != OTHER) => Severity::Good,
        _ if is_failure(column) => Severity::Bad,
        _ => Severity::Odd,
    };
    let text = if count == 0 { ".".to_owned() } else { number(count) };
    page.paint(&format!("{text:>CELL$}"), tone)
}

fn is_failure(column: &str) -> bool {
    column == "failed" || column.starts_with('5')
}

/// How much a status has to say: failures that production did not have come first, then what else differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    fails: bool,
    differs: bool,
    count: u64,
}

impl Weight {
    fn add(&mut self, differs: bool, column: &str, count: u64) {
        self.fails |= count > 0 && differs && is_failure(column);
        self.differs |= count > 0 && differs;
        self.count += count;
    }
}

/// Rows, columns and cells, with as many columns as there is room for.
fn folded(matrix: &BTreeMap<String, CountMap>, room: usize) -> (Vec<&str>, Vec<&str>, Cells<'_>) {
    let (mut rows, mut columns) = (BTreeMap::new(), BTreeMap::new());
    for (row, column, count) in all(matrix) {
        let differs = row != column;
        rows.entry(row).or_insert_with(Weight::default).add(differs, column, count);
        columns.entry(column).or_insert_with(Weight::default).add(differs && row != NONE, column, count);
    }
    let too_many = rows.len() > MOST_ROWS;
    let mut own_rows = heaviest(&rows, if too_many { MOST_ROWS - 1 } else { MOST_ROWS });
    let mut own_columns = heaviest(&columns, room);
    let mut cells = cells(matrix, &own_rows, &own_columns);
    // `same` and `other` take room, too.
    while own_columns.len() + folds(&cells).count() > room && !own_columns.is_empty() {
        own_columns = heaviest(&columns, own_columns.len() - 1);
        cells = self::cells(matrix, &own_rows, &own_columns);
    }
    own_columns.extend(folds(&cells));
    own_rows.extend(too_many.then_some(OTHER));
    (own_rows, own_columns, cells)
}

fn all(matrix: &BTreeMap<String, CountMap>) -> impl Iterator<Item = (&str, &str, u64)> {
    matrix
        .iter()
        .flat_map(|(row, counts)| counts.iter().map(move |(column, count)| (row.as_str(), column.as_str(), *count)))
}

/// The names with the most to say, in the order of names.
fn heaviest<'a>(weights: &BTreeMap<&'a str, Weight>, places: usize) -> Vec<&'a str> {
    let mut names: Vec<(&str, Weight)> = weights.iter().map(|(name, weight)| (*name, *weight)).collect();
    names.sort_by_key(|(_, weight)| Reverse(*weight));
    names.truncate(places);
    names.sort_unstable_by_key(|(name, _)| *name);
    names.into_iter().map(|(name, _)| name).collect()
}

/// The columns for what has none of its own.
fn folds<'a>(cells: &Cells<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let found: BTreeSet<&str> = cells.keys().map(|(_, column)| *column).collect();
    [SAME, OTHER].into_iter().filter(move |name| found.contains(name))
}

fn cells<'a>(matrix: &'a BTreeMap<String, CountMap>, rows: &[&'a str], columns: &[&'a str]) -> Cells<'a> {
    let mut cells = BTreeMap::new();
    for (row, column, count) in all(matrix) {
        let (has_row, has_column) = (rows.contains(&row), columns.contains(&column));
        let in_row = if has_row { row } else { OTHER };
        let in_column = match (row == column, has_row && has_column) {
            (true, false) => SAME,
            (false, _) if !has_column => OTHER,
            _ => column,
        };
        *cells.entry((in_row, in_column)).or_default() += count;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: usize, cells: &[(u16, u16, u64)]) -> String {
        let mut target = TargetSummary::default();
        for (row, column, count) in cells {
            target.matrix.entry(row.to_string()).or_default().insert(column.to_string(), *count);
        }
        let mut page = TextReport { out: String::new(), width, color: false };
        status(&mut page, &target);
        page.out.trim_start().to_owned()
    }

    /// Six statuses that agree, and one of which some became 503.
    const RARE: [(u16, u16, u64); 8] = [
        (200, 200, 90),
        (200, 503, 10),
        (201, 201, 100),
        (204, 204, 100),
        (301, 301, 100),
        (302, 302, 100),
        (304, 304, 100),
        (404, 404, 100),
    ];

    #[test]
    fn what_agrees_is_folded_and_not_with_errors() {
        insta::assert_snapshot!(table(80, &RARE), @"
        Status               201       204       301       302       503      same
          prod. 200            .         .         .         .        10        90
                201          100         .         .         .         .         .
                204            .       100         .         .         .         .
                301            .         .       100         .         .         .
                302            .         .         .       100         .         .
                304            .         .         .         .         .       100
                404            .         .         .         .         .       100
        ");
    }

    #[test]
    fn with_room_nothing_is_folded() {
        let wide = table(120, &RARE);
        assert!(!wide.contains(SAME) && !wide.contains(OTHER), "{wide}");
    }

    #[test]
    fn where_too_much_differs_it_is_not_folded_with_what_agrees() {
        let mut cells: Vec<(u16, u16, u64)> = (400..408).flat_map(|n| [(n, n, 1_000), (200, n, 3)]).collect();
        cells.push((200, 500, 1));
        insta::assert_snapshot!(table(80, &cells), @"
        Status               400       401       402       500      same     other
          prod. 200            3         3         3         1         .        15
                400        1,000         .         .         .         .         .
                401            .     1,000         .         .         .         .
                402            .         .     1,000         .         .         .
                403            .         .         .         .     1,000         .
                404            .         .         .         .     1,000         .
                405            .         .         .         .     1,000         .
                406            .         .         .         .     1,000         .
                407            .         .         .         .     1,000         .
        ");
    }

    #[test]
    fn rows_that_agree_are_folded_before_one_that_does_not() {
        let mut cells: Vec<(u16, u16, u64)> = (200..215).map(|n| (n, n, 1_000)).collect();
        cells.extend([(404, 404, 5), (404, 502, 1)]);
        insta::assert_snapshot!(table(80, &cells), @"
        Status               200       201       202       203       502      same
          prod. 200        1,000         .         .         .         .         .
                201            .     1,000         .         .         .         .
                202            .         .     1,000         .         .         .
                203            .         .         .     1,000         .         .
                204            .         .         .         .         .     1,000
                205            .         .         .         .         .     1,000
                206            .         .         .         .         .     1,000
                207            .         .         .         .         .     1,000
                404            .         .         .         .         1         5
                other          .         .         .         .         .     7,000
        ");
    }
}

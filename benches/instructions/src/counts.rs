//! The numbers in the tree, and what they allow.

use std::fmt::Write as _;

/// Share by which a count may be over its number in the tree: a change of more is to be looked at.
const MARGIN: f64 = 0.02;

const ABOUT: &str = "\
# Instructions of each path and its allocations, over all of its items. `make bench-instructions` counts them anew, and CI
# fails where one is more than 2 % over. `make bench-instructions-accept` writes them; the commit that raises one says why.
";

/// The counts of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathCount {
    pub(crate) name: String,
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// What was counted, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Compiler, C library and processor: with others the counts are others.
    pub(crate) tools: String,
    pub(crate) paths: Vec<PathCount>,
}

impl Counts {
    /// Reads what [`Counts::to_text`] wrote; `None` where it is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tools = text.lines().find_map(|line| line.strip_prefix("tools: "))?.to_owned();
        let rows =
            text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("tools: ") && !line.is_empty());
        let paths = rows.map(|row| {
            let mut words = row.split_ascii_whitespace();
            let (name, instructions, allocations) = (words.next()?, words.next()?, words.next()?);
            let (instructions, allocations) = (instructions.parse().ok()?, allocations.parse().ok()?);
            Some(PathCount { name: name.to_owned(), instructions, allocations })
        });
        Some(Self { tools, paths: paths.collect::<Option<_>>()? })
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{ABOUT}tools: {}\n", self.tools);
        for PathCount { name, instructions, allocations } in &self.paths {
            writeln!(text, "{name:26} {instructions:>12} {allocations:>10}").expect("memory takes it");
        }
        text
    }

    /// Says of each path what it takes now, beside its number in `tree`, and what is over that.
    pub(crate) fn against(&self, tree: &Self, items: impl Fn(&str) -> u64) -> (String, Vec<String>) {
        let (mut table, mut over) = (String::new(), Vec::new());
        writeln!(
            table,
            "{:26} {:>12} {:>8} {:>10} {:>8} {:>12}",
            "path", "instructions", "", "allocs", "", "instr./item"
        )
        .expect("memory takes it");
        for now in &self.paths {
            let before = tree.paths.iter().find(|before| before.name == now.name);
            let changes = [
                change(now.instructions, before.map(|before| before.instructions)),
                change(now.allocations, before.map(|before| before.allocations)),
            ];
            let [instructions, allocations] = changes.map(words);
            let each = now.instructions / items(&now.name).max(1);
            writeln!(
                table,
                "{:26} {:>12} {instructions:>8} {:>10} {allocations:>8} {each:>12}",
                now.name, now.instructions, now.allocations
            )
            .expect("memory takes it");
            for (change, what) in changes.into_iter().zip(["instructions", "allocations"]) {
                match change {
                    Some(change) if change > MARGIN => {
                        over.push(format!("{}: {} more {what} than in the tree", now.name, words(Some(change))));
                    }
                    Some(_) => {}
                    None => over.push(format!("{}: no number of {what} in the tree", now.name)),
                }
            }
        }
        over.dedup();
        (table, over)
    }
}

/// The share by which a count has grown; `None` where there was none.
fn change(now: u64, before: Option<u64>) -> Option<f64> {
    let before = before?;
    Some(if before == now { 0.0 } else { now as f64 / before as f64 - 1.0 })
}

fn words(change: Option<f64>) -> String {
    change.map_or_else(|| "new".to_owned(), |change| format!("{:+.1} %", change * 100.0))
}

#[cfg(test)]
mod tests {
    use super::{Counts, PathCount};

    fn counts(rows: &[(&str, u64, u64)]) -> Counts {
        let path = |&(name, instructions, allocations): &(&str, u64, u64)| PathCount {
            name: name.to_owned(),
            instructions,
            allocations,
        };
        Counts { tools: "rustc 1, glibc 2".to_owned(), paths: rows.iter().map(path).collect() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let some = counts(&[("flow", 12_345, 0), ("http1", 1, 2)]);
        assert_eq!(Counts::parse(&some.to_text()), Some(some));
        assert_eq!(Counts::parse("flow 1 2"), None);
        assert_eq!(Counts::parse("tools: x\nflow 1"), None);
    }

    #[test]
    fn two_per_cent_may_come_and_no_more() {
        let tree = counts(&[("a", 10_000, 100), ("b", 10_000, 0)]);
        let over = |rows| counts(rows).against(&tree, |_| 1).1;
        assert!(over(&[("a", 10_199, 101), ("b", 2_000, 0)]).is_empty());
        assert_eq!(over(&[("a", 10_201, 103)]).len(), 2);
        assert_eq!(over(&[("b", 10_000, 1)]).len(), 1, "there were none");
        assert_eq!(over(&[("c", 1, 1)]).len(), 2, "it is not in the tree");
    }
}

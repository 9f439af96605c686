//! Comparison of texts line by line. The common beginning and end are skipped; the lines between are reported in pairs.

use super::Difference;
use super::DifferenceKind;
use super::findings::BodyFindings;
use super::shown;

/// Most lines reported of one body. For further ones the report only notes that there are more.
const MAX_LINES: usize = 20;

/// Returns the differences of two texts; none only if they are equal. Allocates only for lines that are reported.
pub(super) fn compare(production: &str, shadow: &str) -> Vec<Difference> {
    let (all_one, all_other) = (count(production), count(shadow));
    let before = production.split('\n').zip(shadow.split('\n')).take_while(|(a, b)| a == b).count();
    let longest = all_one.min(all_other) - before;
    let ends = production.rsplit('\n').zip(shadow.rsplit('\n'));
    let after = ends.take(longest).take_while(|(a, b)| a == b).count();
    let last = all_one.max(all_other) - after;
    let mut one = production.split('\n').take(all_one - after).skip(before);
    let mut other = shadow.split('\n').take(all_other - after).skip(before);
    let mut found = BodyFindings::default();
    for at in before..last {
        if at - before == MAX_LINES {
            found.give_up();
            break;
        }
        let path = format!("line {}", at + 1);
        match (one.next(), other.next()) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => found.add(path.clone(), DifferenceKind::Value, || {
                let (a, b) = shown::pair(a, b);
                (path, a, b)
            }),
            (Some(a), None) => found.add(path.clone(), DifferenceKind::Missing, || (path, shown::one(a), ().into())),
            (None, Some(b)) => found.add(path.clone(), DifferenceKind::Extra, || (path, ().into(), shown::one(b))),
            (None, None) => {}
        }
    }
    found.finish()
}

/// Lines of a text: one more than it has ends of lines.
fn count(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1
}

//! Comparison of texts line by line. The common beginning and end are skipped; the lines between are reported in pairs.

use serde_json::Value;

use super::common::{common_end, common_len};
use super::findings::BodyFindings;
use super::shown;
use super::{Difference, DifferenceKind};

/// Most lines reported of one body. For further ones the report only notes that there are more.
const MAX_LINES: usize = 20;

/// Returns the differences of two texts; none only if they are equal. Allocates only for lines that are reported.
pub(super) fn compare(production: &str, shadow: &str) -> Vec<Difference> {
    let (before, one, other) = after_same_lines(production, shadow);
    let (one, other) = before_same_lines(one, other);
    let (mut one, mut other) = (lines(one), lines(other));
    let mut found = BodyFindings::default();
    for at in 0.. {
        let pair = (one.next(), other.next());
        if pair == (None, None) {
            break;
        }
        if at == MAX_LINES {
            found.give_up();
            break;
        }
        let kind = match pair {
            (Some(a), Some(b)) if a == b => continue,
            (Some(_), Some(_)) => DifferenceKind::Value,
            (_, None) => DifferenceKind::Missing,
            (None, _) => DifferenceKind::Extra,
        };
        let path = format!("line {}", before + at + 1);
        found.add(path.clone(), kind, || {
            let (one, other) = match pair {
                (Some(a), Some(b)) => shown::pair(a, b),
                (one, other) => (one.map_or(Value::Null, shown::one), other.map_or(Value::Null, shown::one)),
            };
            (path, one, other)
        });
    }
    found.finish()
}

fn lines(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(|text| text.split('\n'))
}

fn line_ends(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

/// Returns how many lines both begin with in common, and what follows them; `None` where there is no line left.
fn after_same_lines<'a>(one: &'a str, other: &'a str) -> (usize, Option<&'a str>, Option<&'a str>) {
    let same = common_len(one.as_bytes(), other.as_bytes());
    let ends = |text: &str| matches!(text.as_bytes().get(same), None | Some(b'\n'));
    let start = if ends(one) && ends(other) {
        // The line up to there is whole on both sides.
        same + 1
    } else {
        one.as_bytes().get(..same).and_then(|same| memchr::memrchr(b'\n', same)).map_or(0, |end| end + 1)
    };
    let passed = one.get(..start).or_else(|| other.get(..start)).map_or_else(|| line_ends(one) + 1, line_ends);
    (passed, one.get(start..), other.get(start..))
}

/// Takes off the lines that both end with in common.
fn before_same_lines<'a>(one: Option<&'a str>, other: Option<&'a str>) -> (Option<&'a str>, Option<&'a str>) {
    let (Some(one), Some(other)) = (one, other) else { return (one, other) };
    let same = common_end(one.as_bytes(), other.as_bytes());
    let begins = |text: &str| match text.len() - same {
        0 => true,
        before => text.as_bytes().get(before - 1) == Some(&b'\n'),
    };
    // Bytes of those lines, with the line end before them.
    let lines = if begins(one) && begins(other) {
        same + 1
    } else {
        let end = one.as_bytes().get(one.len() - same..).unwrap_or_default();
        memchr::memchr(b'\n', end).map_or(0, |at| end.len() - at)
    };
    let rest = |text: &'a str| text.len().checked_sub(lines).and_then(|end| text.get(..end));
    (rest(one), rest(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair = (String, Option<String>, Option<String>);

    /// The same, line by line.
    fn plainly(production: &str, shadow: &str) -> Vec<Pair> {
        let (mut one, mut other): (Vec<_>, Vec<_>) = (production.split('\n').collect(), shadow.split('\n').collect());
        let before = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        one.drain(..before);
        other.drain(..before);
        while one.last().is_some() && one.last() == other.last() {
            one.pop();
            other.pop();
        }
        let text = |line: Option<&&str>| line.map(|line| (*line).to_owned());
        let pairs = (0..one.len().max(other.len())).map(|at| (at, text(one.get(at)), text(other.get(at))));
        pairs.filter(|(_, a, b)| a != b).map(|(at, a, b)| (format!("line {}", before + at + 1), a, b)).collect()
    }

    #[test]
    fn texts_differ_in_the_same_lines_however_they_are_looked_through() {
        let piece = |number: usize, at: u32| ["", "\n", "a", "é"][number / 4_usize.pow(at) % 4];
        let texts: Vec<String> =
            (0..4_usize.pow(5)).step_by(5).map(|number| (0..5).map(|at| piece(number, at)).collect()).collect();
        for one in &texts {
            for other in &texts {
                let found = compare(one, other).into_iter().map(|found| {
                    let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
                    (found.path, text(found.production), text(found.shadow))
                });
                assert_eq!(found.collect::<Vec<_>>(), plainly(one, other), "{one:?} {other:?}");
            }
        }
    }
}

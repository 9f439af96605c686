//! Texts, line by line: what they begin and end with in common is passed over, what is between is told in pairs.

use super::Difference;
use super::Kind;
use super::findings::Findings;
use super::shown;

/// Lines that are told of one body; of further ones it is only told that there are more.
const MAX_LINES: usize = 20;

/// Where two texts differ; nowhere only where they are the same.
pub(super) fn compare(production: &str, shadow: &str) -> Vec<Difference> {
    let (mut one, mut other) = (lines(production), lines(shadow));
    let before = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let longest = one.len().min(other.len()) - before;
    let after = one.iter().rev().zip(other.iter().rev()).take(longest).take_while(|(a, b)| a == b).count();
    one.truncate(one.len() - after);
    other.truncate(other.len() - after);
    let mut found = Findings::default();
    let last = one.len().max(other.len());
    for at in before..last {
        if at - before == MAX_LINES {
            found.give_up();
            break;
        }
        let path = format!("line {}", at + 1);
        match (one.get(at), other.get(at)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => found.add(path.clone(), Kind::Value, || {
                let (a, b) = shown::pair(a, b);
                (path, a, b)
            }),
            (Some(a), None) => found.add(path.clone(), Kind::Missing, || (path, shown::one(a), ().into())),
            (None, Some(b)) => found.add(path.clone(), Kind::Extra, || (path, ().into(), shown::one(b))),
            (None, None) => {}
        }
    }
    found.finish()
}

fn lines(text: &str) -> Vec<&str> {
    text.split('\n').collect()
}

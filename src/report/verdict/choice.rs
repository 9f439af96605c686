//! Which findings become sentences: at most five, of all targets together, and of each kind one before any has a second.

use std::collections::HashMap;

use crate::report::schema::verdict::{MAX_SENTENCES, VerdictSentence, VerdictWord};
use crate::report::units::counted;

use super::FoundAtTarget;
use super::finding::{Finding, Likeness};

/// The sentences on targets, the worst of which comes first, and how many findings have none.
pub(super) fn sentences(targets: Vec<FoundAtTarget<'_>>) -> (Vec<VerdictSentence>, u64) {
    if targets.len() == 1 {
        return targets.into_iter().next().map(|one| of_one(one, None, MAX_SENTENCES)).unwrap_or_default();
    }
    let left_out = targets.len().saturating_sub(MAX_SENTENCES);
    let named = if left_out > 0 { MAX_SENTENCES - 1 } else { targets.len() };
    let mut room = MAX_SENTENCES - named - usize::from(left_out > 0);
    let (mut all, mut more) = (Vec::new(), 0);
    let mut targets = targets.into_iter();
    for target in targets.by_ref().take(named) {
        // What the worst does not need goes to the next.
        let most = 1 + room;
        let label = format!("{} {}", target.name, target.word.text());
        let (told, others) = of_one(target, Some(&label), most);
        room = room.saturating_sub(told.len().saturating_sub(1));
        all.extend(told);
        more += others;
    }
    all.extend(summed_up(targets));
    (all, more)
}

/// A sentence on targets that have none of their own.
fn summed_up<'a>(targets: impl Iterator<Item = FoundAtTarget<'a>>) -> Option<VerdictSentence> {
    let rest: Vec<FoundAtTarget<'_>> = targets.collect();
    let worst = rest.first()?;
    let mut words: Vec<(VerdictWord, u64)> = Vec::new();
    for target in &rest {
        match words.iter_mut().find(|(word, _)| *word == target.word) {
            Some((_, count)) => *count += 1,
            None => words.push((target.word, 1)),
        }
    }
    let words: Vec<String> = words.iter().map(|(word, count)| format!("{count} {}", word.text())).collect();
    let text = format!("{}: {}", counted(rest.len() as u64, "more target"), words.join(", "));
    Some(VerdictSentence { text, severity: worst.severity, ..VerdictSentence::default() })
}

/// The sentences on one target, `most` of them, and how many findings have none.
fn of_one(target: FoundAtTarget<'_>, label: Option<&str>, most: usize) -> (Vec<VerdictSentence>, u64) {
    let FoundAtTarget { url, word, findings, note, .. } = target;
    let all = findings.len();
    let mut chosen = chosen(findings, most);
    let told: usize =
        chosen.iter().map(|one| 1 + usize::try_from(one.sentence.more_routes).unwrap_or(usize::MAX)).sum();
    // That all is the same is worth a sentence where no other says so.
    let is_plain = !matches!(word, VerdictWord::Different | VerdictWord::Failed);
    if chosen.is_empty() || (is_plain && chosen.len() < most) {
        chosen.push(note);
    }
    let sentences = chosen.into_iter().map(|one| one.told(url, label)).collect();
    (sentences, all.saturating_sub(told) as u64)
}

/// The findings that are told, the weightiest first; what is alike on several routes is one where there is no room for all.
fn chosen(mut findings: Vec<Finding>, most: usize) -> Vec<Finding> {
    findings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    if findings.len() > most {
        findings = grouped(findings);
        findings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    }
    if findings.len() <= most {
        return findings;
    }
    // One of each kind before any has a second.
    let mut kinds = Vec::new();
    let (mut first, second): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(|one| {
        let is_first = !kinds.contains(&one.kind());
        kinds.push(one.kind());
        is_first
    });
    first.truncate(most);
    let room = most - first.len();
    first.extend(second.into_iter().take(room));
    first.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    first
}

/// What is alike on several routes as one, named by the route that meets it most.
fn grouped(findings: Vec<Finding>) -> Vec<Finding> {
    let mut groups: Vec<Finding> = Vec::new();
    let mut known: HashMap<Likeness, usize> = HashMap::new();
    for one in findings {
        let likeness = one.likeness();
        let group = likeness.as_ref().and_then(|likeness| known.get(likeness)).and_then(|at| groups.get_mut(*at));
        if let Some(group) = group {
            group.absorb(&one);
            continue;
        }
        if let Some(likeness) = likeness {
            known.insert(likeness, groups.len());
        }
        groups.push(one);
    }
    groups
}

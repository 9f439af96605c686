//! A finding before it is a sentence: what it says, how much it weighs, and how it joins another one.

use std::fmt::Write as _;

use crate::report::schema::verdict::{FindingKind, Severity, VerdictSentence};
use crate::report::units::{counted, number};

/// What findings that are alike have in common: the kind, the field, both statuses.
pub(super) type Likeness = (FindingKind, String, (Option<String>, Option<String>));

/// A finding, before it is a sentence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    /// What it says as values; without its text.
    pub(super) sentence: VerdictSentence,
    /// What the sentence says after the route: one `{n}` stands for how many.
    pub(super) what: String,
    /// What stands after how many.
    pub(super) then: String,
    /// How much it weighs beside others.
    pub(super) weight: f64,
    /// Whether it makes a run DIFFERENT or SLOWER.
    pub(super) decides: bool,
}

impl Finding {
    /// What there is to know of a target, all told.
    pub(super) fn note(text: &str, severity: Severity) -> Self {
        let sentence = VerdictSentence { severity, ..VerdictSentence::default() };
        Self { sentence, what: text.to_owned(), then: String::new(), weight: 0.0, decides: false }
    }

    pub(super) const fn kind(&self) -> FindingKind {
        self.sentence.kind
    }

    pub(super) const fn severity(&self) -> Severity {
        self.sentence.severity
    }

    /// What it has in common with the same on other routes; `None` where it is of no route.
    pub(super) fn likeness(&self) -> Option<Likeness> {
        let VerdictSentence { kind, route, path, before, after, .. } = &self.sentence;
        route.as_ref()?;
        let path = if *kind == FindingKind::Slower { String::new() } else { path.clone() };
        let statuses = if *kind == FindingKind::Status { (before.clone(), after.clone()) } else { (None, None) };
        Some((*kind, path, statuses))
    }

    /// Counts another that is the same on another route. Of slow routes the one that lost most time is named.
    pub(super) fn absorb(&mut self, other: &Self) {
        if other.lost_us() > self.lost_us() {
            let VerdictSentence { route, path, before, after, .. } = &other.sentence;
            (self.sentence.route, self.sentence.path) = (route.clone(), path.clone());
            (self.sentence.before, self.sentence.after) = (before.clone(), after.clone());
            (self.what, self.then) = (other.what.clone(), other.then.clone());
        }
        self.sentence.count += other.sentence.count;
        self.sentence.of += other.sentence.of;
        self.sentence.more_routes += 1 + other.sentence.more_routes;
        self.sentence.severity = self.sentence.severity.max(other.sentence.severity);
        self.weight += other.weight;
        self.decides |= other.decides;
    }

    /// Microseconds by which a slow route is slower; 0 for any other finding.
    fn lost_us(&self) -> u64 {
        if self.kind() != FindingKind::Slower {
            return 0;
        }
        let us = |figure: &Option<String>| figure.as_ref().and_then(|us| us.parse::<u64>().ok()).unwrap_or_default();
        us(&self.sentence.after).saturating_sub(us(&self.sentence.before))
    }

    /// The sentence, which names the target where there are several.
    pub(super) fn told(mut self, url: &str, label: Option<&str>) -> VerdictSentence {
        let VerdictSentence { route, more_routes, count, of, kind, .. } = &self.sentence;
        let mut text = label.map(|label| format!("{label}: ")).unwrap_or_default();
        if let Some(route) = route {
            text.push_str(route);
            if *more_routes > 0 && *kind != FindingKind::Slower {
                write!(text, " and {}", counted(*more_routes, "more route")).ok();
            }
            text.push_str(": ");
        }
        text.push_str(&self.what);
        if *count > 0 && *kind != FindingKind::Slower {
            write!(text, " {} of {}", number(*count), number(*of)).ok();
        }
        text.push_str(&self.then);
        if *more_routes > 0 && *kind == FindingKind::Slower {
            write!(text, "; {} slower", counted(*more_routes, "more route")).ok();
        }
        self.sentence.text = text;
        self.sentence.target = Some(url.to_owned());
        self.sentence
    }
}

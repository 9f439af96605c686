//! Output of `inspect`, and the checks for flags that contradict each other.

use std::path::Path;

use super::chain::unsampled;
use super::mistakes::ConfigMistakes;
use super::{InspectView, typed};

/// The one view that was asked for.
pub(super) fn view(typed: &typed::Inspect, mistakes: &mut ConfigMistakes, warnings: &mut Vec<String>) -> InspectView {
    if typed.stats && typed.forecast {
        mistakes.add("--stats and --forecast", "are two views: ask for one at a time");
    }
    if typed.full && (!typed.json || typed.stats || typed.forecast) {
        mistakes.add("--full", "adds to the lines of --json: give both, without --stats and --forecast");
    }
    if typed.har.is_some() && (typed.stats || typed.forecast || typed.json) {
        mistakes.add("--har", "is a view of its own: leave out --json, --stats and --forecast");
    }
    let view = match (typed.stats, typed.forecast, typed.json, typed.summary.is_some()) {
        (true, _, json, _) => InspectView::Stats { json },
        (_, true, json, _) => InspectView::Forecast { json },
        (_, _, true, _) => InspectView::JsonLines { full: typed.full },
        _ if typed.har.is_some() => InspectView::Archive,
        (_, _, _, true) => InspectView::Nothing,
        (_, _, _, false) => InspectView::Lines,
    };
    if !matches!(view, InspectView::Nothing) && typed.summary.as_deref() == Some(Path::new("-")) {
        let shown = match view {
            InspectView::Stats { .. } => "what --stats prints",
            InspectView::Forecast { .. } => "what --forecast prints",
            InspectView::Archive if typed.har.as_deref() != Some(Path::new("-")) => {
                return with_choice(typed, view, mistakes, warnings);
            }
            InspectView::Archive => "the archive",
            _ => "the lines of --json",
        };
        mistakes.add("--summary -", format!("would stand in the middle of {shown}: give it a file"));
    }
    with_choice(typed, view, mistakes, warnings)
}

/// The same view, once the selection was checked against it.
fn with_choice(
    typed: &typed::Inspect,
    view: InspectView,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> InspectView {
    chosen(typed, view, mistakes, warnings);
    view
}

/// Checks the selection flags against the view.
fn chosen(typed: &typed::Inspect, view: InspectView, mistakes: &mut ConfigMistakes, warnings: &mut Vec<String>) {
    let forecast = typed.forecast && !typed.stats;
    unsampled(&typed.select, forecast, warnings);
    if view == InspectView::Nothing && typed.status.is_some() {
        warnings.push("--status changes nothing without lines or a table: the summary counts every status".to_owned());
    }
    if !forecast {
        return;
    }
    let shares = "contradict each other: the forecast has shares of its own, by connection";
    for (flag, given, why) in [
        ("--sample", typed.select.sample.is_some(), shares),
        ("--sample-by", typed.select.sample_by.is_some(), shares),
        ("--status", typed.status.is_some(), "contradict each other: connections have no status"),
    ] {
        if given {
            mistakes.add(format!("{flag} and --forecast"), why);
        }
    }
}

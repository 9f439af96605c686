//! Two runs side by side, on a terminal.

use crate::report::render::diff_row::{DiffRow, Trend};
use crate::report::render::listing::shortened;
use crate::report::render::run_diff::RunDiff;
use crate::report::units::counted;
use crate::sanitize;

use super::{NARROWEST, Severity, TextReport, WIDEST};

/// Columns of a figure.
const FIGURE: usize = 18;

/// Returns the changes for better and for worse, `width` columns wide, with ANSI colors where `color`.
#[must_use]
pub fn against(comparison: &RunDiff, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    if let Some(asked) = &comparison.asked {
        page.paragraph(asked, Severity::Odd);
    }
    page.paragraph(&comparison.sentence, if comparison.is_worse() { Severity::Bad } else { Severity::Good });
    for (name, run) in ["before", "after"].iter().zip(&comparison.runs) {
        page.wrapped(
            &format!("{name:<7} {}  {}", run.started.get(..16).unwrap_or_default(), run.verdict),
            8,
            Severity::Faint,
        );
    }
    for target in &comparison.targets {
        let [old, new] = &target.urls;
        page.title(&if old == new { new.clone() } else { format!("{new}, before {old}") });
        rows(&mut page, "figure", &target.rows);
        if let Some(note) = &target.note {
            page.wrapped(&format!("  {note}"), 2, Severity::Odd);
        }
        if !target.routes.is_empty() {
            page.out.push('\n');
            rows(&mut page, "route", &target.routes);
        }
        if target.more_routes > 0 {
            page.line(&format!("  and {} more by route", counted(target.more_routes as u64, "change")));
        }
    }
    page.out
}

fn rows(page: &mut TextReport, what: &str, rows: &[DiffRow]) {
    let room = page.width.saturating_sub(2 + 2 * (FIGURE + 1) + 8);
    let head = format!("  {what:<room$} {:>FIGURE$} {:>FIGURE$}", "before", "after");
    let head = page.paint(&head, Severity::Faint);
    page.line(&head);
    for row in rows {
        let name = sanitize::line(&row.name);
        let name = shortened(&name, Some(room));
        let tone = match row.turn {
            Trend::Better => Severity::Good,
            Trend::Worse => Severity::Bad,
            Trend::Same => Severity::Plain,
        };
        let word = page.paint(row.turn.word(), tone);
        page.line(&format!("  {name:<room$} {:>FIGURE$} {:>FIGURE$}  {word}", row.before, row.after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::counts::LatencySummary;
    use crate::report::schema::summary::Summary;
    use crate::report::schema::target::{Differences, TargetSummary};

    fn run(any: u64) -> Summary {
        let mut summary = Summary { started: "2026-11-21T20:15:00.000000000Z".into(), ..Summary::default() };
        (summary.requests.seen, summary.requests.offered) = (1_000, 1_000);
        let differences = Differences { compared: 1_000, any, status: any, ..Differences::default() };
        let schedule_lag_us = Some(LatencySummary::default());
        let mut target = TargetSummary { schedule_lag_us, differences, ..TargetSummary::default() };
        target.ended.sent = 1_000;
        summary.targets.insert("http://new".into(), target);
        summary
    }

    #[test]
    fn two_runs_fit_80_columns_and_say_what_turned() {
        insta::assert_snapshot!(against(&RunDiff::of(&run(2), &run(300)), 80, false), @"
        Worse: responses that differ, in status.
        before  2026-11-21T20:15  DIFFERENT: status differs in 2 of 1,000
        after   2026-11-21T20:15  DIFFERENT: status differs in 300 of 1,000

        http://new
          figure                                       before              after
          requests answered                             1,000              1,000
          responses that differ                    0.20 % (2)      30.00 % (300)  WORSE
          in status                                0.20 % (2)      30.00 % (300)  WORSE
          in headers                               0.00 % (0)         0.00 % (0)
          in body                                  0.00 % (0)         0.00 % (0)
          no response                              0.00 % (0)         0.00 % (0)
          5xx responses                            0.00 % (0)         0.00 % (0)
          most connections at once                          0                  0
          lost: frames, gaps, sheds                         0                  0
        ");
    }

    #[test]
    fn that_latencies_are_not_judged_stands_below_them() {
        let mut max = run(2);
        max.targets.values_mut().for_each(|target| target.schedule_lag_us = None);
        let text = against(&RunDiff::of(&max, &max), 80, false);
        let note = "  Latencies are not judged: at --speed max each run makes its own load; requests\n  a second say what the target takes.\n";
        assert!(text.ends_with(note), "{text}");
    }
}

//! Two runs side by side, as a page: tables, without a script.

use std::fmt::Write as _;

use crate::report::render::diff_row::{DiffRow, Trend};
use crate::report::render::run_diff::RunDiff;
use crate::report::units::counted;

use super::{ReportPage, escaped, page};

/// Returns the page on the changes between two runs, for better and for worse.
#[must_use]
pub fn against(comparison: &RunDiff) -> String {
    let tone = if comparison.is_worse() { "bad" } else { "good" };
    let mut fixed = format!(
        "<p class=\"run\"><b>shadowtap report</b><span>two runs</span></p><div class=\"verdict {tone}\"><h1>{}</h1><ul>",
        escaped(&comparison.sentence)
    );
    if let Some(asked) = &comparison.asked {
        write!(fixed, "<li>{}</li>", escaped(asked)).ok();
    }
    for (name, run) in ["Before", "After"].iter().zip(&comparison.runs) {
        let started = run.started.get(..16).unwrap_or_default().replace('T', " ");
        write!(fixed, "<li>{name}, {}: {}</li>", escaped(&started), escaped(&run.verdict)).ok();
    }
    fixed.push_str("</ul></div>");
    for target in &comparison.targets {
        let [old, new] = &target.urls;
        write!(fixed, "<section><h2 class=\"wire\">{}</h2>", escaped(new)).ok();
        if old != new {
            write!(fixed, "<p class=\"lead small\">Before: <bdi class=\"wire\">{}</bdi></p>", escaped(old)).ok();
        }
        table(&mut fixed, "Figure", &target.rows);
        if let Some(note) = &target.note {
            write!(fixed, "<p class=\"small\">{}</p>", escaped(note)).ok();
        }
        if !target.routes.is_empty() {
            fixed.push_str("<h3>Routes that changed</h3>");
            table(&mut fixed, "Route", &target.routes);
        }
        if target.more_routes > 0 {
            write!(
                fixed,
                "<p class=\"soft small\">And {} more by route.</p>",
                counted(target.more_routes as u64, "change")
            )
            .ok();
        }
        fixed.push_str("</section>");
    }
    fixed.push_str(
        "<footer>A share counts as changed where chance would make such a difference less than three times in a thousand; \
         a latency where it changed by more than a tenth and a millisecond, and both runs kept a schedule.</footer>",
    );
    let title = format!("shadowtap: {}", comparison.sentence);
    page(ReportPage { title: &title, fixed: &fixed, data: "", scripts: &[], connects: false })
}

fn table(out: &mut String, what: &str, rows: &[DiffRow]) {
    write!(
        out,
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">{what}</th><th scope=\"col\" class=\"num\">Before</th>\
         <th scope=\"col\" class=\"num\">After</th><th scope=\"col\"></th></tr></thead><tbody>"
    )
    .ok();
    for row in rows {
        let (class, word) = match row.turn {
            Trend::Better => ("good", "▲ better"),
            Trend::Worse => ("bad", "▼ worse"),
            Trend::Same => ("soft", ""),
        };
        write!(
            out,
            "<tr><td><bdi>{}</bdi></td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"{class}\">{word}</td></tr>",
            escaped(&row.name),
            escaped(&row.before),
            escaped(&row.after)
        )
        .ok();
    }
    out.push_str("</tbody></table></div>");
}

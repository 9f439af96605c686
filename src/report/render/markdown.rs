//! A summary as Markdown, for pull requests and chats: the verdict, targets, gates and differences, and the whole report
//! folded away.

use std::fmt::Write as _;

use super::text;
use crate::report::schema::counts::sum;
use crate::report::schema::gates::GateState;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::TargetSummary;
use crate::report::units;

/// What every report in Markdown begins with.
pub const BEGINS: &str = "## shadowtap: ";
/// Rows of a table at most.
const MAX_ROWS: usize = 20;
/// Width of the report that is folded away.
const WIDTH: usize = 100;

/// Returns the report as Markdown, as GitHub and GitLab read it.
#[must_use]
pub fn report(summary: &Summary) -> String {
    let mut out = String::new();
    let word = summary.verdict.as_ref().map_or("", |verdict| verdict.word.text());
    writeln!(out, "{BEGINS}{word}\n").ok();
    for sentence in summary.verdict.iter().flat_map(|verdict| &verdict.sentences) {
        writeln!(out, "- {}", cell(&sentence.text)).ok();
    }
    targets(summary, &mut out);
    gates(summary, &mut out);
    groups(summary, &mut out);
    let whole = text::report(summary, WIDTH, false);
    // A fence is longer than every run of its own sign.
    let fence = "`".repeat(longest_run(&whole).max(2) + 1);
    writeln!(out, "\n<details><summary>The whole report</summary>\n\n{fence}text\n{whole}{fence}\n\n</details>").ok();
    out
}

fn targets(summary: &Summary, out: &mut String) {
    if summary.targets.is_empty() {
        return;
    }
    out.push_str("\n| target | responses | failed | status | headers | body | p95 |\n|---|---|---|---|---|---|---|\n");
    let production = &summary.production.latency_us;
    for (url, TargetSummary { ended, differences, latency_us, .. }) in summary.targets.iter().take(MAX_ROWS) {
        let number = |n: u64| units::number(n);
        let before = if production.count > 0 { units::duration(production.p95) } else { "-".to_owned() };
        let after = &latency_us.response;
        let after = if after.count > 0 { units::duration(after.p95) } else { "-".to_owned() };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {before} → {after} |",
            cell(url),
            number(ended.sent),
            number(sum(&ended.failed)),
            number(differences.status),
            number(differences.headers),
            number(differences.body)
        )
        .ok();
    }
}

fn gates(summary: &Summary, out: &mut String) {
    if summary.gates.is_empty() {
        return;
    }
    out.push_str("\n| gate | | why |\n|---|---|---|\n");
    for gate in &summary.gates {
        let state = match gate.state {
            GateState::Held => "held",
            GateState::TooFew => "**too few**",
            GateState::Failed => "**failed**",
            GateState::Unknown => "**unknown**",
        };
        writeln!(out, "| {} | {state} | {} |", cell(&gate.gate), cell(&gate.reason)).ok();
    }
}

fn groups(summary: &Summary, out: &mut String) {
    let rows: Vec<_> = summary.kinds.iter().flat_map(|kinds| &kinds.rows).filter(|row| row.count > row.noise).collect();
    if rows.is_empty() {
        return;
    }
    out.push_str("\n| route | differs in | how often |\n|---|---|---|\n");
    for row in rows.iter().take(MAX_ROWS) {
        let what = row.what.as_ref().map(|what| format!(": {what}")).unwrap_or_default();
        let place = format!("{} {}{what}", row.place, row.path);
        writeln!(out, "| {} | {} | {} |", cell(&row.route), cell(&place), units::number(row.count - row.noise)).ok();
    }
    if rows.len() > MAX_ROWS {
        writeln!(out, "\nThe whole report has {} more.", units::counted((rows.len() - MAX_ROWS) as u64, "kind")).ok();
    }
}

/// A text from the wire as plain text of a cell: nothing in it is Markdown or HTML, and it stays on its line.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for letter in text.trim().chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' | '#' | '!' | '@' => out.extend(['\\', letter]),
            control if control.is_control() => out.push(' '),
            plain => out.push(plain),
        }
    }
    out
}

fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::gates::GateResult;

    #[test]
    fn what_comes_from_the_wire_is_no_markdown() {
        assert_eq!(cell("GET /a|b <img> `x` *y* [l](u)\n"), "GET /a\\|b &lt;img&gt; \\`x\\` \\*y\\* \\[l\\](u)");
        assert_eq!(longest_run("a ``` b ` c"), 3);
    }

    #[test]
    fn a_report_has_its_gates_and_the_text() {
        let mut summary = Summary::default();
        let failed = GateResult {
            state: GateState::Failed,
            gate: "errors>0".into(),
            reason: "2 of 3".into(),
            ..GateResult::default()
        };
        summary.gates.push(failed);
        let text = report(&summary);
        assert!(text.starts_with(BEGINS), "{text}");
        assert!(text.contains("| errors&gt;0 | **failed** | 2 of 3 |"), "{text}");
        assert!(text.contains("```text\n") && text.ends_with("\n```\n\n</details>\n"), "{text}");
    }
}

//! Fields in which responses differ; which of them differ whatever the stack, and how that is known: listed, though
//! excluded from the counts.

use crate::compare::DifferencePart;
use crate::report::schema::counts::sum;
use crate::report::schema::noise::{FieldRow, NoiseRow, NoiseSource};
use crate::report::schema::reference::Baseline;
use crate::report::schema::summary::Summary;
use crate::report::units::{counted, number, percent};

use super::{LABEL, Severity, TextReport};

/// Fields that are listed of one target; of further ones there is the number.
const MAX_ROWS: usize = 8;

/// The fields in which a target differs most.
pub(super) fn fields(page: &mut TextReport, summary: &Summary, url: &str) {
    let rows: Vec<&FieldRow> = summary.fields.iter().filter(|row| row.target == url).collect();
    if rows.is_empty() {
        return;
    }
    page.out.push('\n');
    for (at, row) in rows.iter().take(MAX_ROWS).enumerate() {
        let label = if at == 0 { "Differs in" } else { "" };
        let field = place(row.place, &row.path);
        let how_often = format!("{} of {}", number(row.count), number(row.compared));
        page.wrapped(&format!("{label:LABEL$}{}, {field}: {how_often}", row.route), LABEL + 2, Severity::Plain);
    }
    if rows.len() > MAX_ROWS {
        let more = format!("{}and {} more", " ".repeat(LABEL), counted((rows.len() - MAX_ROWS) as u64, "field"));
        page.wrapped(&more, LABEL, Severity::Faint);
    }
}

/// A field in words.
fn place(place: DifferencePart, path: &str) -> String {
    match place {
        DifferencePart::Status => "status".to_owned(),
        DifferencePart::Header => format!("header {path}"),
        DifferencePart::Body if path.is_empty() => "body".to_owned(),
        DifferencePart::Body => format!("body {path}"),
    }
}

/// Says that it is not known what of the differences is noise, and what helps.
fn unlearnt(page: &mut TextReport, summary: &Summary, url: &str) {
    let Some(unlearnt) = summary.noise_unlearnt.iter().find(|unlearnt| unlearnt.target == url) else { return };
    let ask = match (&summary.self_check, &summary.baseline) {
        (None, None) => "--self-check 10% or --baseline URL",
        (Some(_), None) => "a larger --self-check, or --baseline URL",
        _ => "a larger --self-check",
    };
    let mut of_target = summary.fields.iter().filter(|row| row.target == url);
    let ignore = of_target.find_map(ignoring).map(|rule| format!(", or leave a field out: --ignore {rule}"));
    page.out.push('\n');
    page.wrapped(
        &format!(
            "Noise        not known on {} where {} differ: too few requests were sent twice to tell what changes by itself. \
             Add {ask}{}",
            counted(unlearnt.routes, "route"),
            counted(unlearnt.responses, "response"),
            ignore.unwrap_or_default()
        ),
        LABEL,
        Severity::Plain,
    );
}

/// Returns the rule that leaves a field out, as a shell takes it; `None` where there is none for the field alone.
fn ignoring(row: &FieldRow) -> Option<String> {
    let is_plain = !row.path.is_empty() && !row.path.contains(['\'', '…']);
    match row.place {
        DifferencePart::Header if is_plain => Some(format!("header:{}", row.path)),
        DifferencePart::Body if is_plain && row.path.starts_with("$.") => Some(format!("'json:{}'", row.path)),
        _ => None,
    }
}

/// The noise of one target.
pub(super) fn of_target(page: &mut TextReport, summary: &Summary, url: &str) {
    unlearnt(page, summary, url);
    let rows: Vec<&NoiseRow> = summary.noise.iter().filter(|row| row.target == url).collect();
    let Some(target) = summary.targets.get(url).filter(|_| !rows.is_empty()) else { return };
    let only = target.differences_noise;
    page.out.push('\n');
    let (differ, are) = if rows.len() == 1 { ("differs", "is") } else { ("differ", "are") };
    page.wrapped(
        &format!(
            "Noise        {} {differ} whatever the stack and {are} not counted: responses that differ in nothing else are {} \
             by status, {} by headers, {} by body",
            counted(rows.len() as u64, "field"),
            number(only.status),
            number(only.headers),
            number(only.body),
        ),
        LABEL,
        Severity::Plain,
    );
    for row in rows.iter().take(MAX_ROWS) {
        page.wrapped(&format!("{}{}", " ".repeat(LABEL), words(row)), LABEL + 2, Severity::Faint);
    }
    if rows.len() > MAX_ROWS {
        let more = format!("{}and {} more", " ".repeat(LABEL), number((rows.len() - MAX_ROWS) as u64));
        page.wrapped(&more, LABEL, Severity::Faint);
    }
}

fn words(row: &NoiseRow) -> String {
    let of = match row.why {
        NoiseSource::Baseline => "with the baseline",
        NoiseSource::SelfCheck => "asked twice",
        NoiseSource::Repeats => "repeats in the capture",
    };
    format!(
        "{}, {}: {} of {} here, {} of {} {of}",
        row.route,
        place(row.place, &row.path),
        percent(row.rates.shadow),
        number(row.samples.shadow),
        percent(row.rates.own),
        number(row.samples.own),
    )
}

/// Writes the results of the baseline, and of the requests sent twice.
pub(super) fn reference(page: &mut TextReport, summary: &Summary) {
    if let Some(baseline) = &summary.baseline {
        of_baseline(page, baseline);
    }
    if let Some(checks) = &summary.self_check {
        let text = format!(
            "Self-checks  {} sent twice, {} answered twice; {} of these differ",
            counted(checks.offered, "request"),
            number(checks.compared),
            number(checks.differ)
        );
        page.wrapped(&text, LABEL, Severity::Plain);
    }
}

fn of_baseline(page: &mut TextReport, baseline: &Baseline) {
    let (target, differences) = (&baseline.target, &baseline.target.differences);
    let failed = sum(&target.ended.failed);
    let text = format!(
        "Baseline     {} answered {} of {}; {} failed; of {} compared with production's {} differ in status, {} in headers, \
         {} in body",
        baseline.url,
        number(target.ended.sent),
        counted(target.offered, "request"),
        number(failed),
        number(differences.compared),
        number(differences.status),
        number(differences.headers),
        number(differences.body),
    );
    page.wrapped(&text, LABEL, if failed > 0 { Severity::Odd } else { Severity::Plain });
}

//! The summary as one page of HTML: a file of its own, without anything from elsewhere.
//!
//! A [`Summary`] comes in, text leaves. The page carries the summary as JSON, and a script that draws it
//! (`shadowtap.render(summary)` of [`SCRIPT`]); without scripts it shows the verdict and the main tables. What came
//! off the wire is never HTML: here it is escaped, in the script it becomes text. The policy of the page lets nothing
//! run but the scripts that it was made with, and nothing be loaded.

use std::borrow::Cow;
use std::fmt::Write as _;

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use crate::report::schema::by_route::RouteSummary;
use crate::report::schema::counts::LatencySummary;
use crate::report::schema::summary::Summary;
use crate::report::units::{duration, number};
use crate::sanitize::is_odd;

use super::text;
use crate::report::schema::verdict::{Severity, Verdict};

mod against;
mod differences;

pub use against::against;

/// The style of every page.
pub(crate) const STYLE: &str = include_str!("page.css");

/// Script that draws a summary: it defines `shadowtap.render(summary, { live, root })`, and draws the summary that the
/// page carries in `#summary`, where it carries one, into `#report`.
pub const SCRIPT: &str = include_str!("page.js");

/// Pages have placeholders in double braces.
const PAGE: &str = include_str!("page.html");

/// Columns of the report as text, for readers without scripts.
const COLUMNS: usize = 80;

/// Routes that are listed for readers without scripts.
const ROUTES: usize = 100;

/// Parts of a page.
#[derive(Clone, Copy, Debug)]
pub struct ReportPage<'a> {
    /// Its title; text.
    pub title: &'a str,
    /// Part shown without scripts: HTML.
    pub fixed: &'a str,
    /// Data to draw: [`data`]; empty where there is none.
    pub data: &'a str,
    /// Its scripts, in their order.
    pub scripts: &'a [&'a str],
    /// True when its scripts may connect to the page's own origin.
    pub connects: bool,
}

/// The report of a run, as a page.
#[must_use]
pub fn report(summary: &Summary) -> String {
    let summary = judged(summary);
    let verdict = summary.verdict.clone().unwrap_or_default();
    let title = format!("shadowtap {}: {}", summary.command, verdict.line());
    let fixed = fixed(&summary, &verdict);
    page(ReportPage { title: &title, fixed: &fixed, data: &json(&summary), scripts: &[SCRIPT], connects: false })
}

/// What `shadowtap.render` takes, as JSON: the summary with the verdict on it. It may stand inside a script element.
#[must_use]
pub fn data(summary: &Summary) -> String {
    json(&judged(summary))
}

/// The same of a run that goes on, without a verdict: routes are not looked at as often as it is given.
#[must_use]
pub(crate) fn data_so_far(summary: &Summary) -> String {
    json(summary)
}

/// The summary with a verdict, and without what no page shows: the durations behind its figures.
fn judged(summary: &Summary) -> Cow<'_, Summary> {
    if summary.verdict.is_some() && summary.histograms.is_none() {
        return Cow::Borrowed(summary);
    }
    let verdict = summary.verdict.clone().unwrap_or_else(|| Verdict::of(summary));
    Cow::Owned(Summary { verdict: Some(verdict), histograms: None, ..summary.clone() })
}

fn json(summary: &Summary) -> String {
    // A summary has names as keys and no numbers that JSON lacks: this cannot fail.
    inside_script(&serde_json::to_string(summary).unwrap_or_default())
}

/// JSON that no `</script>` or `<!--` can stand in: in JSON a `<` is always inside a string.
fn inside_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// A page.
#[must_use]
pub fn page(page: ReportPage<'_>) -> String {
    let mut scripts = String::new();
    for script in page.scripts {
        // Writing to a string cannot fail.
        write!(scripts, "<script>{script}</script>").ok();
    }
    let title = escaped(page.title);
    let policy = policy(page);
    filled(|name| match name {
        "policy" => &policy,
        "title" => &title,
        "style" => STYLE,
        "static" => page.fixed,
        "data" => page.data,
        "scripts" => &scripts,
        _ => "",
    })
}

/// Returns the content security policy of the page: these scripts and this style are allowed, and nothing else.
fn policy(page: ReportPage<'_>) -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text)));
    let scripts: Vec<String> = page.scripts.iter().map(|script| hash(script)).collect();
    let connect = if page.connects { "; connect-src 'self'" } else { "" };
    let (scripts, style) = (scripts.join(" "), hash(STYLE));
    format!("default-src 'none'; script-src {scripts}; style-src {style}; base-uri 'none'; form-action 'none'{connect}")
}

/// The page with every placeholder replaced once: what is put in is not looked at again.
fn filled<'a>(part: impl Fn(&str) -> &'a str) -> String {
    let mut out = String::new();
    let mut left = PAGE;
    while let Some((before, after)) = left.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(part(name));
        left = after;
    }
    out.push_str(left);
    out
}

/// Returns the part shown without scripts.
fn fixed(summary: &Summary, verdict: &Verdict) -> String {
    let severity = match verdict.severity {
        Severity::Good => "good",
        Severity::Odd => "odd",
        Severity::Bad => "bad",
    };
    let word = escaped(verdict.word.text());
    let mut out = format!("<div class=\"static\"><div class=\"verdict {severity}\"><h1>{word}</h1>");
    if !verdict.sentences.is_empty() {
        out.push_str("<ul>");
        for sentence in &verdict.sentences {
            write!(out, "<li>{}</li>", escaped(&sentence.text)).ok();
        }
        out.push_str("</ul>");
    }
    out.push_str("</div>");
    out.push_str(&differences::differences(summary, verdict));
    let text = text::report(summary, COLUMNS, false);
    write!(out, "<section><h2>The report</h2><pre class=\"block\">{}</pre></section>", escaped_lines(&text)).ok();
    if !summary.routes.is_empty() {
        out.push_str(&routes(&summary.routes));
    }
    out.push_str("</div>");
    out
}

fn routes(routes: &[RouteSummary]) -> String {
    let mut out = "<section><h2>Routes</h2><div class=\"scroll\"><table><thead><tr><th>Route</th><th>Target</th>\
                   <th class=\"num\">Requests</th><th class=\"num\">Differ</th><th class=\"num\">No response</th>\
                   <th class=\"num\">p95 production</th><th class=\"num\">p95 shadow</th>\
                   <th class=\"num\">p99 production</th><th class=\"num\">p99 shadow</th></tr></thead><tbody>"
        .to_owned();
    for route in routes.iter().take(ROUTES) {
        for (url, target) in &route.targets {
            let both = |at: fn(&LatencySummary) -> u64| {
                let pairs = target.paired_latency_us.as_ref();
                pairs
                    .map_or([&route.production.latency_us, &target.latency_us.response], |pairs| {
                        [&pairs.production, &pairs.response]
                    })
                    .map(|figures| if figures.count == 0 { "–".to_owned() } else { duration(at(figures)) })
            };
            let percentiles = [both(|figures| figures.p95), both(|figures| figures.p99)].concat();
            let (requests, differing, failed) =
                (target.sent + target.failed, target.differences.differing(), target.failed);
            write!(out, "<tr><td class=\"wire\">{}</td><td>{}</td>", escaped(&route.route), escaped(url)).ok();
            for figure in [number(requests), number(differing), number(failed)].into_iter().chain(percentiles) {
                write!(out, "<td class=\"num\">{figure}</td>").ok();
            }
            out.push_str("</tr>");
        }
    }
    out.push_str("</tbody></table></div>");
    if let Some(more) = routes.len().checked_sub(ROUTES).filter(|more| *more > 0) {
        write!(out, "<p>{} further routes are in the page's data.</p>", number(more as u64)).ok();
    }
    out.push_str("</section>");
    out
}

/// Text as HTML shows it. Control characters, and those that turn text around or have no width, are shown, not obeyed.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, is_odd)
}

/// The same, with its lines.
fn escaped_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && is_odd(c))
}

fn escape(text: &str, odd: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| matches!(c, '&' | '<' | '>' | '"' | '\'') || odd(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if odd(c) => write!(out, "[U+{:04X}]", u32::from(c)).unwrap_or_default(),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

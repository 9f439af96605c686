//! The forecast on a terminal: what production's connections do, then what a target will see of them.

use std::fmt::Write as _;

use super::super::forecast::{Outlook, Rate};
use super::super::summary::Figures;
use super::super::units::{counted, duration, number, percent};
use super::{NARROWEST, Page, Tone, WIDEST};

/// Columns of a row's name.
const NAME: usize = 26;

/// Columns of a figure.
const CELL: usize = 10;

/// Levels of the course over time, none first.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The forecast, `width` columns wide, with ANSI colours where `colour`.
#[must_use]
pub fn forecast(outlook: &Outlook, width: usize, colour: bool) -> String {
    let mut page = Page { out: String::new(), width: width.clamp(NARROWEST, WIDEST), colour };
    page.paragraph(&first_line(outlook), Tone::Plain);
    if outlook.unfollowed > 0 {
        let text = format!("! {} too many at once to be followed", counted(outlook.unfollowed, "connection"));
        page.paragraph(&text, Tone::Odd);
    }
    if outlook.connections == 0 {
        return page.out;
    }
    rates(&mut page, outlook);
    course(&mut page, outlook);
    spreads(&mut page, outlook);
    target(&mut page, outlook);
    page.out
}

fn first_line(outlook: &Outlook) -> String {
    let mut text = format!(
        "{} with HTTP/1 in {}, {}",
        counted(outlook.connections, "connection"),
        seconds(outlook.duration_s),
        counted(outlook.requests, "request")
    );
    if outlook.other_connections > 0 {
        write!(text, "; {} without, left out below", counted(outlook.other_connections, "connection")).ok();
    }
    text
}

fn rates(page: &mut Page, outlook: &Outlook) {
    head(page, "Production", &["mean", "peak"]);
    for (name, Rate { mean, peak }) in [
        ("connections opened / s", outlook.opened_per_s),
        ("connections open at once", outlook.concurrent),
        ("requests / s", outlook.requests_per_s),
    ] {
        row(page, name, &[rate(mean), rate(peak)]);
    }
    if outlook.resolution_s > 1 {
        let text = format!("  peaks are of {} seconds: the capture is long", outlook.resolution_s);
        page.wrapped(&text, 2, Tone::Faint);
    }
}

/// Connections open at once, a character a step, the peak as high as a character is.
fn course(page: &mut Page, outlook: &Outlook) {
    let over = &outlook.over_time;
    let peak = over.concurrent.iter().copied().max().unwrap_or(0).max(1);
    let step = duration(over.step_s.saturating_mul(1_000_000));
    page.title(&format!("Open at once: a step is {step}, the highest is {}", number(peak)));
    let line: String = over.concurrent.iter().map(|level| bar(*level, peak)).collect();
    page.line(&format!("  {line}"));
    let from = outlook.from.as_deref().and_then(|from| from.get(11..19)).unwrap_or_default();
    let after = format!("+{}", seconds(outlook.duration_s));
    let gap = over.concurrent.len().saturating_sub(from.len() + after.len()).max(1);
    let axis = page.paint(&format!("  {from}{:gap$}{after}", ""), Tone::Faint);
    page.line(&axis);
}

/// Nothing is blank; anything, however little, is not.
fn bar(level: u64, peak: u64) -> char {
    let height = usize::try_from((level * 8).div_ceil(peak)).unwrap_or(8);
    LEVELS.get(height).copied().unwrap_or('█')
}

fn spreads(page: &mut Page, outlook: &Outlook) {
    head(page, "On a connection", &["p50", "p90", "p99", "max"]);
    let four = |f: &Figures, show: fn(u64) -> String| [f.p50, f.p90, f.p99, f.max].map(show);
    row(page, "requests", &four(&outlook.requests_per_connection, number));
    if outlook.idle_us.count > 0 {
        row(page, "idle between two", &four(&outlook.idle_us, duration));
    }
}

fn target(page: &mut Page, outlook: &Outlook) {
    let columns = ["in all", "opened/s", "at once", "requests/s", "pooled"];
    head(page, "A target will see, at", &columns);
    for at in &outlook.shares {
        let cells = [
            number(at.connections),
            rate(at.opened_per_s_peak),
            number(at.concurrent_peak),
            rate(at.requests_per_s_peak),
            format!("~{}", number(at.pooled_estimate)),
        ];
        row(page, &percent(at.share), &cells);
    }
    let seed = if outlook.seed == 0 { String::new() } else { format!(" --seed {}", outlook.seed) };
    let text = format!(
        "Peaks. Shares are of connections, the very ones that --sample-by connection{seed} takes; opened/s and at once \
         are what --connections mirrored opens. pooled is an estimate of the fewest that shared connections need: \
         requests/s x production's p99 latency (Little's law); a slower target needs more."
    );
    page.wrapped(&text, 0, Tone::Faint);
}

fn head(page: &mut Page, name: &str, columns: &[&str]) {
    let mut line = format!("{name:<NAME$}");
    for column in columns {
        write!(line, "{column:>CELL$}").ok();
    }
    page.title(&line);
}

fn row(page: &mut Page, name: &str, cells: &[String]) {
    let mut line = format!("  {name:<0$}", NAME - 2);
    for cell in cells {
        write!(line, "{cell:>CELL$}").ok();
    }
    page.line(&line);
}

/// One decimal where it tells something.
fn rate(value: f64) -> String {
    if value < 100.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let whole = format!("{value:.0}");
    whole.parse().map_or(whole, number)
}

fn seconds(s: f64) -> String {
    std::time::Duration::try_from_secs_f64(s)
        .map_or_else(|_| format!("{s}s"), |s| duration(super::super::histogram::micros(s)))
}

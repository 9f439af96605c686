//! The forecast on a terminal: what production's connections do, then what a target will see of them.

use std::fmt::Write as _;

use crate::inspect::forecast::{ForecastReport, Rate};
use crate::report::schema::counts::LatencySummary;
use crate::report::units::{counted, duration, number, percent};

use super::{NARROWEST, Severity, TextReport, WIDEST};

/// Columns of a row's name.
const NAME: usize = 25;

/// Columns of a figure.
const CELL: usize = 11;

/// Levels of the course over time, none first.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The forecast, `width` columns wide, with ANSI colors where `color`.
#[must_use]
pub fn forecast(outlook: &ForecastReport, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    page.paragraph(&first_line(outlook), Severity::Plain);
    if outlook.unfollowed > 0 {
        let text = format!("! {} too many at once to be followed", counted(outlook.unfollowed, "connection"));
        page.paragraph(&text, Severity::Odd);
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

fn first_line(outlook: &ForecastReport) -> String {
    let mut text = format!(
        "{} with HTTP/1 in {}, {}",
        counted(outlook.connections, "connection"),
        seconds(outlook.duration_s),
        counted(outlook.requests, "request")
    );
    if outlook.other_connections > 0 {
        write!(text, " ({} without: left out)", number(outlook.other_connections)).ok();
    }
    text
}

fn rates(page: &mut TextReport, outlook: &ForecastReport) {
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
        page.wrapped(&text, 2, Severity::Faint);
    }
}

/// Connections open at once, a character a step, the peak as high as a character is.
fn course(page: &mut TextReport, outlook: &ForecastReport) {
    let over = &outlook.over_time;
    let peak = over.concurrent.iter().copied().max().unwrap_or(0).max(1);
    let step = duration(over.step_s.saturating_mul(1_000_000));
    page.title(&format!("Open at once: a step is {step}, the highest is {}", number(peak)));
    let line: String = over.concurrent.iter().map(|level| bar(*level, peak)).collect();
    page.line(&format!("  {line}"));
    let from = outlook.from.as_deref().and_then(|from| from.get(11..19)).unwrap_or_default();
    let after = format!("+{}", seconds(outlook.duration_s));
    let gap = over.concurrent.len().saturating_sub(from.len() + after.len()).max(1);
    let axis = page.paint(&format!("  {from}{:gap$}{after}", ""), Severity::Faint);
    page.line(&axis);
}

/// Nothing is blank; anything, however little, is not.
fn bar(level: u64, peak: u64) -> char {
    let height = usize::try_from((level * 8).div_ceil(peak)).unwrap_or(8);
    LEVELS.get(height).copied().unwrap_or('█')
}

fn spreads(page: &mut TextReport, outlook: &ForecastReport) {
    head(page, "On a connection", &["p50", "p95", "p99", "max"]);
    let four = |f: &LatencySummary, show: fn(u64) -> String| [f.p50, f.p95, f.p99, f.max].map(show);
    row(page, "requests", &four(&outlook.requests_per_connection, number));
    if outlook.idle_us.count > 0 {
        row(page, "idle between two", &four(&outlook.idle_us, duration));
    }
}

fn target(page: &mut TextReport, outlook: &ForecastReport) {
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
        "All but \"in all\" are peaks. Shares are of connections, the very ones that --sample-by connection{seed} takes; \
         opened/s and at once are those of mirrored connections. \"pooled\" estimates the fewest that shared connections \
         can be: requests/s x production's p99 latency (Little's law). A slower target needs more."
    );
    page.wrapped(&text, 0, Severity::Faint);
}

fn head(page: &mut TextReport, name: &str, columns: &[&str]) {
    let mut line = format!("{name:<NAME$}");
    for column in columns {
        write!(line, "{column:>CELL$}").ok();
    }
    page.title(&line);
}

fn row(page: &mut TextReport, name: &str, cells: &[String]) {
    let mut line = format!("  {name:<0$}", NAME - 2);
    for cell in cells {
        write!(line, "{cell:>CELL$}").ok();
    }
    page.line(&line);
}

/// Formats a rate, with one decimal where it is significant.
fn rate(value: f64) -> String {
    if value < 100.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let whole = format!("{value:.0}");
    whole.parse().map_or(whole, number)
}

fn seconds(s: f64) -> String {
    std::time::Duration::try_from_secs_f64(s)
        .map_or_else(|_| format!("{s}s"), |s| duration(crate::report::collect::histogram::micros(s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::forecast::{AtShare, OverTime};

    fn outlook() -> ForecastReport {
        let at = |share, connections, concurrent_peak, pooled_estimate| AtShare {
            share,
            connections,
            requests: 10 * connections,
            opened_per_s_peak: connections as f64 / 8.0,
            concurrent_peak,
            requests_per_s_peak: 10_000.0 * share,
            pooled_estimate,
        };
        let figures = |p50| LatencySummary {
            count: 9,
            p50,
            p95: 2 * p50,
            p99: 3 * p50,
            max: 4 * p50,
            ..LatencySummary::default()
        };
        ForecastReport {
            from: Some("2026-11-21T20:00:00.000000000Z".into()),
            duration_s: 3_600.0,
            resolution_s: 1,
            connections: 1_204,
            other_connections: 2,
            unfollowed: 0,
            requests: 12_040,
            opened_per_s: Rate { mean: 0.334, peak: 151.0 },
            concurrent: Rate { mean: 812.25, peak: 1_017.0 },
            requests_per_s: Rate { mean: 3.3, peak: 10_000.0 },
            requests_per_connection: figures(7),
            idle_us: figures(68_000),
            over_time: OverTime {
                step_s: 60,
                concurrent: (0..60).map(|n| if n < 2 { 0 } else { (n + 1) * 17 }).collect(),
                ..OverTime::default()
            },
            seed: 7,
            shares: vec![at(0.1, 121, 100, 1), at(0.25, 300, 251, 3), at(0.5, 598, 507, 5), at(1.0, 1_204, 1_017, 10)],
        }
    }

    #[test]
    fn the_forecast_fits_eighty_columns() {
        let page = forecast(&outlook(), 80, false);
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        insta::assert_snapshot!(page, @r#"
        1,204 connections with HTTP/1 in 60m00s, 12,040 requests (2 without: left out)

        Production                      mean       peak
          connections opened / s         0.3        151
          connections open at once        812      1,017
          requests / s                   3.3     10,000

        Open at once: a step is 1m00s, the highest is 1,020
            ▁▁▁▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇████████
          20:00:00                                             +60m00s

        On a connection                  p50        p95        p99        max
          requests                         7         14         21         28
          idle between two            68.0ms      136ms      204ms      272ms

        A target will see, at         in all   opened/s    at once requests/s     pooled
          10%                            121       15.1        100      1,000         ~1
          25%                            300       37.5        251      2,500         ~3
          50%                            598       74.8        507      5,000         ~5
          100%                         1,204        150      1,017     10,000        ~10
        All but "in all" are peaks. Shares are of connections, the very ones that
        --sample-by connection --seed 7 takes; opened/s and at once are those of
        mirrored connections. "pooled" estimates the fewest that shared connections can
        be: requests/s x production's p99 latency (Little's law). A slower target needs
        more.
        "#);
    }

    #[test]
    fn what_makes_a_forecast_less_sure_is_told() {
        let page = forecast(&ForecastReport { unfollowed: 3, resolution_s: 4, ..outlook() }, 100, false);
        assert!(page.contains("! 3 connections too many") && page.contains("peaks are of 4 seconds"), "{page}");
    }

    #[test]
    fn without_connections_there_is_a_line_and_no_table() {
        let none = ForecastReport { connections: 0, requests: 0, ..outlook() };
        assert_eq!(forecast(&none, 80, false).lines().count(), 1);
    }
}

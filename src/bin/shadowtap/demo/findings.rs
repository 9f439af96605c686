//! Holds the report of the demo against what staging did on purpose. In go the result lines of the run (as
//! `--results` has them) and staging's own [`Tally`]; out comes a table for people. Nothing is taken for granted:
//! a difference that was built in and not reported shows as missing, and so does one that was not built in.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::staging::{FAIL_EVERY, SLOWER, StagingCounts};

/// Between what was built in and what was found.
#[derive(Debug)]
pub(crate) struct DemoFindings {
    rows: [FindingRow; 4],
}

/// One route: the difference there, how often staging made it, and what the report has.
#[derive(Debug)]
struct FindingRow {
    route: &'static str,
    built_in: String,
    done: String,
    reported: String,
    agrees: bool,
}

/// Fields read from a result line. The last line, the summary, has none of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResultLine {
    target: String,
    outcome: String,
    response: Option<ResultSide>,
    production_us: Option<u64>,
    service_us: Option<u64>,
    differences: Option<Vec<ResultDifference>>,
}

#[derive(Debug, Deserialize)]
struct ResultSide {
    status: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct ResultDifference {
    #[serde(rename = "in")]
    place: String,
}

impl DemoFindings {
    /// Reads `results`, JSON lines, and compares with what `tally` counted.
    pub(crate) fn new(results: &[u8], tally: &StagingCounts) -> Result<Self, serde_json::Error> {
        let lines: Vec<ResultLine> = results
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()?;
        let sent: Vec<&ResultLine> = lines.iter().filter(|line| line.outcome == "sent").collect();
        let on = |path: &str| -> Vec<&ResultLine> { sent.iter().copied().filter(|line| line.path() == path).collect() };
        let unexplained = sent.iter().filter(|line| line.is_unexplained()).count();
        Ok(Self {
            rows: [
                slower(&on("/v2/programs"), tally.slowed()),
                failing(&on("/v2/search"), tally.failed()),
                changed(&on("/v2/profile"), tally.changed()),
                unchanged(unexplained),
            ],
        })
    }

    /// Returns whether the report has every built-in difference, as often as it was made, and no other.
    pub(crate) fn agree(&self) -> bool {
        self.rows.iter().all(|row| row.agrees)
    }
}

impl ResultLine {
    fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// Returns whether the response differs in a way that is not built in.
    fn is_unexplained(&self) -> bool {
        match self.path() {
            "/v2/search" if self.status() == Some(503) => false,
            "/v2/profile" => self.differs_in("status"),
            _ => self.differs_in("status") || self.differs_in("body"),
        }
    }

    fn differs_in(&self, place: &str) -> bool {
        self.differences.iter().flatten().any(|difference| difference.place == place)
    }

    fn status(&self) -> Option<u16> {
        self.response.as_ref().and_then(|side| side.status)
    }
}

fn slower(lines: &[&ResultLine], done: u64) -> FindingRow {
    let production = median(lines.iter().filter_map(|line| line.production_us));
    let shadow = median(lines.iter().filter_map(|line| line.service_us));
    let reported = match (production, shadow) {
        (Some(production), Some(shadow)) => {
            format!("median {} -> {}", milliseconds(production), milliseconds(shadow))
        }
        _ => "no latency".to_owned(),
    };
    let slower = shadow.unwrap_or_default().saturating_sub(production.unwrap_or_default());
    FindingRow {
        route: "/v2/programs",
        built_in: format!("{} ms slower", SLOWER.as_millis()),
        done: format!("{done} delayed"),
        reported,
        agrees: lines.len() as u64 == done && (done == 0 || slower >= SLOWER * 9 / 10),
    }
}

fn failing(lines: &[&ResultLine], done: u64) -> FindingRow {
    let found = lines.iter().filter(|line| line.differs_in("status") && line.status() == Some(503)).count() as u64;
    FindingRow {
        route: "/v2/search",
        built_in: format!("503, 1 in {FAIL_EVERY}"),
        done: format!("{done} failed"),
        reported: format!("{found} statuses differ"),
        agrees: found == done,
    }
}

fn changed(lines: &[&ResultLine], done: u64) -> FindingRow {
    let found = lines.iter().filter(|line| line.differs_in("body")).count() as u64;
    FindingRow {
        route: "/v2/profile",
        built_in: "another body".to_owned(),
        done: format!("{done} changed"),
        reported: format!("{found} bodies differ"),
        agrees: found == done,
    }
}

fn unchanged(found: usize) -> FindingRow {
    FindingRow {
        route: "elsewhere",
        built_in: "nothing".to_owned(),
        done: "-".to_owned(),
        reported: format!("{found} responses differ"),
        agrees: found == 0,
    }
}

/// The middle one of these microseconds.
fn median(micros: impl Iterator<Item = u64>) -> Option<Duration> {
    let mut micros: Vec<u64> = micros.collect();
    micros.sort_unstable();
    micros.get(micros.len() / 2).copied().map(Duration::from_micros)
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

impl fmt::Display for DemoFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<12} {:<13} {:<13} {:<26}", "route", "built in", "staging did", "the report has")?;
        for row in &self.rows {
            let verdict = if row.agrees { "ok" } else { "WRONG" };
            writeln!(f, "  {:<12} {:<13} {:<13} {:<26} {verdict}", row.route, row.built_in, row.done, row.reported)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAMS: &str = r#"{"target":"/v2/programs?day=mon","outcome":"sent","production":{"status":200},"response":{"status":200},"production_us":400,"service_us":61000,"differences":[]}"#;
    const PROFILE: &str = r#"{"target":"/v2/profile","outcome":"sent","production":{"status":200},"response":{"status":200},"differences":[{"in":"body","path":"","production":1,"shadow":2}]}"#;
    const SEARCH: &str = r#"{"target":"/v2/search?q=a","outcome":"sent","production":{"status":200},"response":{"status":503},"differences":[{"in":"status","path":"","production":200,"shadow":503}]}"#;
    const HOME: &str =
        r#"{"target":"/","outcome":"sent","response":{"status":200},"service_us":null,"differences":null}"#;
    const SUMMARY: &str = r#"{"kind":"summary","schema":1,"requests":{"seen":4}}"#;

    fn check(lines: &[&str], tally: &StagingCounts, agrees: [bool; 4]) {
        let findings = DemoFindings::new(lines.join("\n").as_bytes(), tally).unwrap();
        assert_eq!(findings.rows.each_ref().map(|row| row.agrees), agrees, "{findings}");
        assert_eq!(findings.agree(), agrees == [true; 4]);
    }

    #[test]
    fn what_was_built_in_and_reported_agrees() {
        check(&[PROGRAMS, PROFILE, SEARCH, HOME, SUMMARY, ""], &StagingCounts::of(1, 1, 1), [true; 4]);
    }

    #[test]
    fn what_was_built_in_and_not_reported_is_wrong() {
        check(&[HOME, SUMMARY], &StagingCounts::of(1, 1, 1), [false, false, false, true]);
    }

    #[test]
    fn what_was_reported_and_not_built_in_is_wrong() {
        check(&[PROFILE, SEARCH], &StagingCounts::of(0, 0, 0), [true, false, false, true]);
        check(&[&PROFILE.replace("profile", "search")], &StagingCounts::of(0, 0, 0), [true, true, true, false]);
        check(
            &[&HOME.replace("\"differences\":null", "\"differences\":[{\"in\":\"body\"}]")],
            &StagingCounts::of(0, 0, 0),
            [true, true, true, false],
        );
    }

    #[test]
    fn a_delay_that_does_not_show_is_wrong() {
        check(&[&PROGRAMS.replace("61000", "900")], &StagingCounts::of(1, 0, 0), [false, true, true, true]);
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let findings =
            DemoFindings::new(PROGRAMS.as_bytes(), &StagingCounts::of(1_000, 1_000, 1_000)).unwrap().to_string();
        assert!(findings.lines().all(|line| line.trim_end().chars().count() <= 80), "{findings}");
        assert!(findings.contains("median 0.4 ms -> 61.0 ms"), "{findings}");
    }
}

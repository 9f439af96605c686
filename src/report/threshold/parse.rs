//! Parser of thresholds; an error has its position and the text that is valid there.

use std::str::FromStr;
use std::time::Duration;

use crate::route_pattern::{RoutePattern, RouteSet};

use super::{LatencyClock, LatencyFigure, Threshold, ThresholdLimit, ThresholdMetric};
use crate::suggest::nearest;

/// Error of a typed threshold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}`, character {at}: {why}")]
pub struct ThresholdError {
    /// Typed text.
    pub typed: String,
    /// The place, from 1.
    pub at: usize,
    /// Fault at that position, and the text that is valid instead.
    pub why: String,
}

/// Metrics other than latencies, by name.
const METRICS: [(&str, ThresholdMetric); 6] = [
    ("status-diff", ThresholdMetric::Status),
    ("header-diff", ThresholdMetric::Header),
    ("body-diff", ThresholdMetric::Body),
    ("differences", ThresholdMetric::Any),
    ("errors", ThresholdMetric::Errors),
    ("lost", ThresholdMetric::Lost),
];

/// Figures of latencies. `p99.9` is what people write, `p99_9` what the summary calls it.
const FIGURES: [(&str, LatencyFigure); 9] = [
    ("mean", LatencyFigure::Mean),
    ("p50", LatencyFigure::P50),
    ("p90", LatencyFigure::P90),
    ("p95", LatencyFigure::P95),
    ("p99", LatencyFigure::P99),
    ("p99_9", LatencyFigure::P999),
    ("p99.9", LatencyFigure::P999),
    ("p999", LatencyFigure::P999),
    ("max", LatencyFigure::Max),
];

const KNOWN: &str = "status-diff, header-diff, body-diff, differences, errors, lost, or of latencies mean, p50, p90, p95, p99, p99.9, max";
const LIMITS: &str =
    "write a number, a share such as 0.1%, a time such as 800ms, or one beside production's such as 1.2*production";

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(typed: &str) -> Result<Self, ThresholdError> {
        let mut rest = ParseInput { typed, rest: typed };
        rest.blanks();
        let named = rest;
        let metric = rest.metric()?;
        let (target, route) = rest.selection()?;
        if route.is_some() && metric == ThresholdMetric::Lost {
            return named.wrong("nobody knows the route of what was lost; leave the route out");
        }
        let or_equal = rest.operator()?;
        rest.blanks();
        let at = rest;
        let limit = rest.limit()?;
        fits(metric, limit).map_or(Ok(()), |why| at.wrong(why))?;
        Ok(Self { typed: typed.trim().to_owned(), metric, target, route, or_equal, limit })
    }
}

/// Returns the reason that this limit does not fit this metric.
const fn fits(metric: ThresholdMetric, limit: ThresholdLimit) -> Option<&'static str> {
    match (metric, limit) {
        (ThresholdMetric::Latency(..), ThresholdLimit::Time(_) | ThresholdLimit::Production { .. })
        | (ThresholdMetric::Lost, ThresholdLimit::Count(_))
        | (
            ThresholdMetric::Status
            | ThresholdMetric::Header
            | ThresholdMetric::Body
            | ThresholdMetric::Any
            | ThresholdMetric::Errors,
            ThresholdLimit::Count(_) | ThresholdLimit::Share(_),
        ) => None,
        (ThresholdMetric::Latency(..), _) => Some("a latency is a time: write one such as 800ms, or 1.2*production"),
        (ThresholdMetric::Lost, _) => Some("lost counts frames, gaps and requests together: write a number such as 0"),
        _ => Some("deliveries are counted: write a number such as 0, or a share such as 0.1%"),
    }
}

/// Rest of the text that is still to be parsed.
#[derive(Clone, Copy)]
struct ParseInput<'t> {
    typed: &'t str,
    rest: &'t str,
}

impl<'t> ParseInput<'t> {
    fn wrong<T>(&self, why: impl Into<String>) -> Result<T, ThresholdError> {
        let read = self.typed.len() - self.rest.len();
        let at = 1 + self.typed.char_indices().take_while(|(at, _)| *at < read).count();
        Err(ThresholdError { typed: self.typed.to_owned(), at, why: why.into() })
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes `word` where it comes next.
    fn takes(&mut self, word: &str) -> bool {
        self.blanks();
        let after = self.rest.strip_prefix(word);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn while_(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
        let (part, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        part
    }

    fn metric(&mut self) -> Result<ThresholdMetric, ThresholdError> {
        let begin = *self;
        let word = self.while_(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'));
        if let Some((_, metric)) = METRICS.iter().find(|(name, _)| *name == word) {
            return Ok(*metric);
        }
        let (clock, figure) = match word.split_once('.') {
            Some(("service", figure)) => (LatencyClock::Service, figure),
            Some(("response", figure)) => (LatencyClock::Response, figure),
            _ => (LatencyClock::Response, word),
        };
        if let Some((_, figure)) = FIGURES.iter().find(|(name, _)| *name == figure) {
            return Ok(ThresholdMetric::Latency(clock, *figure));
        }
        let known = METRICS.iter().map(|(name, _)| *name).chain(FIGURES.iter().map(|(name, _)| *name));
        let hint = nearest(figure, known).map(|hint| format!("did you mean `{hint}`?"));
        let hint = hint.unwrap_or_else(|| format!("write one of {KNOWN}"));
        begin.wrong(format!("`{word}` is nothing that is measured; {hint}"))
    }

    /// `{route="/v2/*", target="new"}`, or nothing.
    fn selection(&mut self) -> Result<(Option<String>, Option<RouteSet>), ThresholdError> {
        let (mut target, mut route) = (None, None);
        if !self.takes("{") {
            return Ok((target, route));
        }
        loop {
            self.blanks();
            let begin = *self;
            match self.while_(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')) {
                "route" if route.is_none() => {
                    let at = *self;
                    let pattern = RoutePattern::parse(self.quoted()?).map_err(str::to_owned);
                    route = Some(pattern.and_then(|one| RouteSet::compile(vec![one])).or_else(|why| at.wrong(why))?);
                }
                "target" if target.is_none() => target = Some(self.quoted()?.to_owned()),
                "route" | "target" => return begin.wrong("it is there twice; one demand is about one"),
                other => {
                    return begin.wrong(format!(
                        "`{other}` chooses nothing; write route=\"/v2/*\" or target=\"NAME\" between the braces"
                    ));
                }
            }
            if self.takes("}") {
                return Ok((target, route));
            }
            if !self.takes(",") {
                return self.wrong("the brace is not closed; write `}` after the last quotation mark");
            }
        }
    }

    /// `="..."`.
    fn quoted(&mut self) -> Result<&'t str, ThresholdError> {
        if !(self.takes("=") && self.takes("\"")) {
            return self.wrong("a name goes in quotation marks: route=\"/v2/*\"");
        }
        let begin = *self;
        let value = self.while_(|letter| letter != '"');
        if !self.takes("\"") {
            return begin.wrong("the quotation mark is not closed");
        }
        if value.trim().is_empty() { begin.wrong("nothing is called so") } else { Ok(value) }
    }

    /// Parses the operator. Returns whether the limit itself counts as past it.
    fn operator(&mut self) -> Result<bool, ThresholdError> {
        if self.takes(">=") {
            return Ok(true);
        }
        if self.takes(">") {
            return Ok(false);
        }
        self.wrong("here goes `>` or `>=`: what is said is what fails the run, such as errors>0.5%")
    }

    /// `0`, `0.1%`, `800ms`, `1.2*production`, `production+50ms`.
    fn limit(&mut self) -> Result<ThresholdLimit, ThresholdError> {
        let limit = if self.takes("production") {
            ThresholdLimit::Production { factor: 1.0, more: self.more()? }
        } else {
            let number = self.number()?;
            if self.takes("%") {
                ThresholdLimit::Share(number / 100.0)
            } else if self.takes("*") {
                if !self.takes("production") {
                    return self.wrong("after `*` goes `production`");
                }
                ThresholdLimit::Production { factor: number, more: self.more()? }
            } else if let Some(time) = self.unit(number) {
                ThresholdLimit::Time(time)
            } else {
                ThresholdLimit::Count(number)
            }
        };
        self.blanks();
        if self.rest.is_empty() {
            Ok(limit)
        } else {
            self.wrong(format!("`{}` belongs to nothing; {LIMITS}", self.rest))
        }
    }

    /// `+50ms`, or nothing.
    fn more(&mut self) -> Result<Duration, ThresholdError> {
        if !self.takes("+") {
            return Ok(Duration::ZERO);
        }
        self.blanks();
        let begin = *self;
        let number = self.number()?;
        self.unit(number).map_or_else(|| begin.wrong("after `+` goes a time such as 50ms"), Ok)
    }

    fn number(&mut self) -> Result<f64, ThresholdError> {
        self.blanks();
        let begin = *self;
        let digits = self.while_(|letter| letter.is_ascii_digit() || letter == '.');
        match digits.parse::<f64>() {
            Ok(number) if number <= MOST => Ok(number),
            Ok(_) => begin.wrong("that is past anything that is measured"),
            Err(_) => begin.wrong(format!("this is no limit; {LIMITS}")),
        }
    }

    /// The time that so many of the unit are which comes next.
    fn unit(&mut self, number: f64) -> Option<Duration> {
        const UNITS: [(&str, f64); 5] = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
        let (_, seconds) = UNITS.iter().find(|(unit, _)| self.takes(unit))?;
        Duration::try_from_secs_f64(number * seconds).ok()
    }
}

/// Largest number of a limit.
const MOST: f64 = 1e12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_are_read_as_they_are_meant() {
        use ThresholdMetric::{Any, Body, Errors, Header, Latency, Lost, Status};
        let ms = Duration::from_millis;
        let beside = |factor, more| ThresholdLimit::Production { factor, more: ms(more) };
        for (typed, metric, limit) in [
            ("status-diff>0.1%", Status, ThresholdLimit::Share(0.001)),
            ("header-diff > 3", Header, ThresholdLimit::Count(3.0)),
            ("body-diff>0", Body, ThresholdLimit::Count(0.0)),
            ("differences>1%", Any, ThresholdLimit::Share(0.01)),
            ("errors>0.5%", Errors, ThresholdLimit::Share(0.005)),
            ("lost>0", Lost, ThresholdLimit::Count(0.0)),
            ("p99>1.2*production", Latency(LatencyClock::Response, LatencyFigure::P99), beside(1.2, 0)),
            (
                "p95>1s",
                Latency(LatencyClock::Response, LatencyFigure::P95),
                ThresholdLimit::Time(Duration::from_secs(1)),
            ),
            ("response.p999>production+50ms", Latency(LatencyClock::Response, LatencyFigure::P999), beside(1.0, 50)),
            ("response.p99.9>production+50ms", Latency(LatencyClock::Response, LatencyFigure::P999), beside(1.0, 50)),
            (
                " service.p99_9 > 2 * production + 1 s ",
                Latency(LatencyClock::Service, LatencyFigure::P999),
                beside(2.0, 1000),
            ),
            ("mean>800ms", Latency(LatencyClock::Response, LatencyFigure::Mean), ThresholdLimit::Time(ms(800))),
            ("max>1m", Latency(LatencyClock::Response, LatencyFigure::Max), ThresholdLimit::Time(ms(60_000))),
            (
                "service.p50>250us",
                Latency(LatencyClock::Service, LatencyFigure::P50),
                ThresholdLimit::Time(Duration::from_micros(250)),
            ),
        ] {
            let demand: Threshold = typed.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((demand.metric, demand.limit, demand.or_equal), (metric, limit, false), "{typed}");
            assert_eq!(demand.to_string(), typed.trim());
        }
        assert!("errors>=1".parse::<Threshold>().unwrap().or_equal);
    }

    #[test]
    fn a_demand_may_be_about_a_route_and_a_target() {
        let demand: Threshold = "body-diff{route=\"/v2/*\", target=\"new\"}>0".parse().unwrap();
        assert_eq!(
            (demand.target(), &demand.route),
            (Some("new"), &Some(RouteSet::compile(vec![RoutePattern::parse("/v2/*").unwrap()]).unwrap()))
        );
        let demand: Threshold = "p90 { target = \"http://h:1\" } > 1s".parse().unwrap();
        assert_eq!((demand.target(), &demand.route), (Some("http://h:1"), &None));
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_what_can_stand_there() {
        for (typed, at, why) in [
            ("statusdiff>1%", 1, "did you mean `status-diff`?"),
            ("service.p98>1s", 1, "`service.p98` is nothing that is measured"),
            ("", 1, "is nothing that is measured"),
            ("errors<1%", 7, "here goes `>` or `>=`"),
            ("errors", 7, "here goes `>` or `>=`"),
            ("errors>", 8, "this is no limit"),
            ("errors>x", 8, "this is no limit"),
            ("errors>1..2", 8, "this is no limit"),
            ("errors>1% of them", 11, "`of them` belongs to nothing"),
            ("errors>5ms", 8, "write a number such as 0, or a share such as 0.1%"),
            ("p99>5", 5, "a latency is a time"),
            ("p99>5%", 5, "a latency is a time"),
            ("p99>1.2*prod", 9, "after `*` goes `production`"),
            ("p99>production+5", 16, "after `+` goes a time such as 50ms"),
            ("lost>1%", 6, "write a number such as 0"),
            ("lost{route=\"/a\"}>0", 1, "nobody knows the route"),
            ("errors{path=\"/a\"}>0", 8, "`path` chooses nothing"),
            ("errors{route=/a}>0", 14, "quotation marks"),
            ("errors{route=\"/a}>0", 15, "not closed"),
            ("errors{route=\"\"}>0", 15, "nothing is called so"),
            ("errors{route=\"v2\"}>0", 13, "a path begins with /"),
            ("errors{route=\"/{\"}>0", 13, "a { has no }"),
            ("errors{route=\"/a\">0", 18, "the brace is not closed"),
            ("errors{route=\"/a\",route=\"/b\"}>0", 19, "twice"),
            ("errors>9999999999999999", 8, "past anything"),
        ] {
            let error = typed.parse::<Threshold>().unwrap_err();
            assert_eq!(error.at, at, "{error}");
            assert!(error.why.contains(why), "{error}");
        }
    }
}

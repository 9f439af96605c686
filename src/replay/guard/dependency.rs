//! Dependencies of a target as a guard's condition: a number that another system says, and its limit.
//!
//! Readings come in, with their instants; verdicts go out. Nothing is asked or connected to here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::GuardVerdict;
use super::condition::WELL_BELOW;
use crate::json_path::{self, Segment};

/// Time until a limit that is still broken counts once more: what was taken off a target shows at its dependencies late.
const SETTLES: Duration = Duration::from_secs(5);
/// Path at which a Prometheus answers queries.
const QUERY_PATH: &str = "api/v1/query";

/// A number of another system, and its limit.
#[derive(Clone, PartialEq)]
pub struct Dependency {
    source: DependencySource,
    relation: Relation,
    limit: f64,
}

/// Where the number is found.
#[derive(Clone, PartialEq, Eq)]
pub enum DependencySource {
    /// A field of what a Redis answers to `INFO`.
    Redis {
        /// Its address, with what it is logged in with; without the field.
        url: Url,
        /// The field.
        field: String,
    },
    /// The result of a query to a Prometheus; of several series the worst.
    Prometheus {
        /// Where it takes queries, with the query.
        url: Url,
        /// Its address as typed, without a user.
        shown: String,
        /// The query.
        query: String,
    },
    /// A place in a JSON document.
    Json {
        /// The document's address.
        url: Url,
        /// The place as typed.
        path: String,
        /// Its steps.
        steps: JsonSteps,
    },
}

/// The steps to a place in a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonSteps(pub(crate) Vec<Segment>);

/// How a number is past its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    More,
    AtLeast,
    Less,
    AtMost,
}

/// What an unknown number does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// The share does not rise until it is known again.
    #[default]
    Hold,
    /// It counts as well.
    Ignore,
}

impl FromStr for OnUnknown {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        match typed {
            "hold" => Ok(Self::Hold),
            "ignore" => Ok(Self::Ignore),
            _ => Err(format!("`{typed}` does not say what an unknown number does; write hold or ignore")),
        }
    }
}

impl Dependency {
    /// Where its number is found.
    #[must_use]
    pub const fn source(&self) -> &DependencySource {
        &self.source
    }

    /// The port that is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        let (DependencySource::Redis { url, .. }
        | DependencySource::Prometheus { url, .. }
        | DependencySource::Json { url, .. }) = &self.source;
        url.port_or_known_default().unwrap_or(6379)
    }

    /// The worst of several numbers; `None` where there is none that can be compared.
    #[must_use]
    pub fn worst(&self, numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
        let known = numbers.into_iter().filter(|number| !number.is_nan());
        known.reduce(match self.relation {
            Relation::More | Relation::AtLeast => f64::max,
            Relation::Less | Relation::AtMost => f64::min,
        })
    }

    fn is_past(&self, number: f64) -> bool {
        match self.relation {
            Relation::More => number > self.limit,
            Relation::AtLeast => number >= self.limit,
            Relation::Less => number < self.limit,
            Relation::AtMost => number <= self.limit,
        }
    }

    /// Returns whether a number is so far from the limit that more may be let in.
    fn is_well(&self, number: f64) -> bool {
        let margin = self.limit.abs() * (1.0 - WELL_BELOW);
        !self.is_past(number)
            && match self.relation {
                Relation::More | Relation::AtLeast => number <= self.limit - margin,
                Relation::Less | Relation::AtMost => number >= self.limit + margin,
            }
    }

    fn words(&self, number: f64) -> String {
        let than = match self.relation {
            Relation::More => "more than",
            Relation::AtLeast => "at least",
            Relation::Less => "less than",
            Relation::AtMost => "at most",
        };
        format!("{} is {number}, {than} {}", self.source, self.limit)
    }
}

impl FromStr for Dependency {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let typed = typed.trim();
        let (scheme, rest) = typed.split_once("://").ok_or_else(|| {
            format!("`{}` is no address; {EXAMPLES}", typed.split(['@', '/']).next().unwrap_or_default())
        })?;
        let (rest, relation, limit) = limit(scheme, rest)?;
        let source = match scheme {
            "redis" => redis(rest)?,
            "prometheus" => prometheus(rest)?,
            "http" | "https" => json(scheme, rest)?,
            "rediss" => {
                return Err("Redis with TLS is not spoken; ask it through a program (--guard-command)".to_owned());
            }
            other => return Err(format!("`{other}` is no kind of dependency; {EXAMPLES}")),
        };
        Ok(Self { source, relation, limit })
    }
}

/// Examples, for error messages.
const EXAMPLES: &str = "write such as redis://host:6379/connected_clients>20000, prometheus://host:9090{up}<1 or \
                        http://host/health#$.queue.length>100";

/// Splits off relation and limit. A query has relations of its own: they are within its braces.
fn limit<'a>(scheme: &str, rest: &'a str) -> Result<(&'a str, Relation, f64), String> {
    let from = if scheme == "prometheus" { rest.rfind('}').unwrap_or_default() } else { 0 };
    let (before, after) = rest.split_at(from);
    let at = if scheme == "prometheus" { after.find(['>', '<']) } else { after.rfind(['>', '<']) };
    let Some(at) = at else {
        return Err(format!("there is no limit; {EXAMPLES}"));
    };
    let (place, sign) = rest.split_at(before.len() + at);
    let (relation, number) = match (sign.strip_prefix(">="), sign.strip_prefix('>'), sign.strip_prefix("<=")) {
        (Some(number), ..) => (Relation::AtLeast, number),
        (None, Some(number), _) => (Relation::More, number),
        (None, None, Some(number)) => (Relation::AtMost, number),
        (None, None, None) => (Relation::Less, sign.get(1..).unwrap_or_default()),
    };
    let limit: Option<f64> = number.trim().parse().ok().filter(|limit: &f64| limit.is_finite());
    let limit = limit.ok_or_else(|| format!("`{}` is no number; a limit is such as 20000", number.trim()))?;
    Ok((place.trim_end(), relation, limit))
}

/// An address; nothing of it is in the error, since a password may be.
fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("its address cannot be read: {error}"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("its address has no host".to_owned());
    }
    Ok(url)
}

fn redis(rest: &str) -> Result<DependencySource, String> {
    let mut url = address(&format!("redis://{rest}"))?;
    let field = url.path().trim_start_matches('/').to_owned();
    if field.is_empty() || !field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("after the address stands a field of INFO, such as /connected_clients".to_owned());
    }
    url.set_path("");
    Ok(DependencySource::Redis { url, field })
}

fn prometheus(rest: &str) -> Result<DependencySource, String> {
    let query = rest.split_once('{').and_then(|(before, query)| Some((before, query.strip_suffix('}')?)));
    let Some((before, query)) = query.filter(|(_, query)| !query.trim().is_empty()) else {
        return Err("after the address stands a query in braces, such as {sum(queue_length)}".to_owned());
    };
    let mut url = address(&format!("http://{before}"))?;
    let shown = shown(&url, "prometheus");
    let path = format!("{}/{QUERY_PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut().clear().append_pair("query", query);
    Ok(DependencySource::Prometheus { url, shown, query: query.to_owned() })
}

fn json(scheme: &str, rest: &str) -> Result<DependencySource, String> {
    let Some((before, path)) = rest.split_once('#') else {
        return Err("after the address stands the place in its JSON, such as #$.queue.length".to_owned());
    };
    let steps = json_path::parse(path).map_err(|why| format!("`{path}`: {why}"))?;
    if steps.iter().filter(|step| step.deep).count() > 1 {
        return Err(format!("`{path}`: `..` may stand in it once"));
    }
    let url = address(&format!("{scheme}://{before}"))?;
    Ok(DependencySource::Json { url, path: path.to_owned(), steps: JsonSteps(steps) })
}

/// An address without what may be a secret: a user, a query.
fn shown(url: &Url, scheme: &str) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{scheme}://{}{port}{path}", url.host_str().unwrap_or_default())
}

/// Without what may be a secret in it.
impl fmt::Display for DependencySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis { url, field } => write!(f, "{}/{field}", shown(url, "redis")),
            Self::Prometheus { shown, query, .. } => write!(f, "{shown}{{{query}}}"),
            Self::Json { url, path, .. } => write!(f, "{}#{path}", shown(url, url.scheme())),
        }
    }
}

impl fmt::Debug for DependencySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As typed, without what may be a secret in it.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.relation {
            Relation::More => ">",
            Relation::AtLeast => ">=",
            Relation::Less => "<",
            Relation::AtMost => "<=",
        };
        write!(f, "{}{sign}{}", self.source, self.limit)
    }
}

impl fmt::Debug for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Judges the readings of one dependency.
#[derive(Clone, Debug)]
pub(crate) struct DependencyWatch {
    dependency: Dependency,
    on_unknown: OnUnknown,
    is_unknown: bool,
    /// When the limit was last said to be broken, while it is.
    past: Option<Instant>,
}

impl DependencyWatch {
    pub(crate) const fn new(dependency: Dependency, on_unknown: OnUnknown) -> Self {
        Self { dependency, on_unknown, is_unknown: false, past: None }
    }

    /// The dependency.
    pub(crate) const fn dependency(&self) -> &Dependency {
        &self.dependency
    }

    /// Whether a number that is not known counts as well.
    pub(crate) fn ignores_unknown(&self) -> bool {
        self.on_unknown == OnUnknown::Ignore
    }

    /// Takes a reading, or why there is none. Returns the verdict, and what is new for people: that the number is not
    /// known any more, or is again.
    pub(crate) fn judge(&mut self, at: Instant, reading: Result<f64, String>) -> (GuardVerdict, Option<String>) {
        let was_unknown = std::mem::replace(&mut self.is_unknown, reading.is_err());
        let number = match reading {
            Err(why) => {
                self.past = None;
                let (verdict, does) = match self.on_unknown {
                    OnUnknown::Hold => (GuardVerdict::Near, "the share does not rise"),
                    OnUnknown::Ignore => (GuardVerdict::Good, "ignored"),
                };
                let news = format!("{} is unknown: {why}; {does}", self.dependency.source);
                return (verdict, (!was_unknown).then_some(news));
            }
            Ok(number) => number,
        };
        let news = was_unknown.then(|| format!("{} is known again: {number}", self.dependency.source));
        if !self.dependency.is_past(number) {
            self.past = None;
            let verdict = if self.dependency.is_well(number) { GuardVerdict::Good } else { GuardVerdict::Near };
            return (verdict, news);
        }
        if self.past.is_some_and(|said| at.saturating_duration_since(said) < SETTLES) {
            return (GuardVerdict::Near, news);
        }
        self.past = Some(at);
        (GuardVerdict::Past(self.dependency.words(number)), news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_and_shown_without_their_secrets() {
        for (typed, shown) in [
            ("redis://host:6379/connected_clients>20000", "redis://host:6379/connected_clients>20000"),
            ("redis://user:hush@host/used_memory >= 1e9", "redis://host/used_memory>=1000000000"),
            (
                "prometheus://p:9090{sum(rate(x{a=\"b\"}[1m])) > 2}>0.5",
                "prometheus://p:9090{sum(rate(x{a=\"b\"}[1m])) > 2}>0.5",
            ),
            ("prometheus://u:hush@p/prom{up}<1", "prometheus://p/prom{up}<1"),
            ("https://u:hush@h/stats?key=hush#$.a[0].b<=3", "https://h/stats#$.a[0].b<=3"),
        ] {
            let read: Dependency = typed.parse().unwrap();
            assert_eq!((read.to_string(), format!("{read:?}")), (shown.to_owned(), shown.to_owned()), "{typed}");
        }
    }

    #[test]
    fn a_query_goes_to_where_prometheus_takes_them() {
        let read: Dependency = "prometheus://p:9090/prom/{a > 1}>2".parse().unwrap();
        let DependencySource::Prometheus { url, .. } = read.source() else { panic!() };
        assert_eq!((url.as_str(), read.port()), ("http://p:9090/prom/api/v1/query?query=a+%3E+1", 9090));
        assert_eq!("redis://h/x>1".parse::<Dependency>().unwrap().port(), 6379);
        assert_eq!("https://h/#$>1".parse::<Dependency>().unwrap().port(), 443);
    }

    #[test]
    fn mistakes_are_told_without_secrets() {
        for (typed, why) in [
            ("host:6379", "no address"),
            ("ftp://h/x>1", "`ftp` is no kind"),
            ("rediss://h/x>1", "TLS is not spoken"),
            ("redis://:hush@h/connected_clients", "there is no limit"),
            ("redis://:hush@h>1", "a field of INFO"),
            ("redis://h/x>many", "`many` is no number"),
            ("redis://h/x>NaN", "`NaN` is no number"),
            ("prometheus://h>1", "a query in braces"),
            ("prometheus://h{}>1", "a query in braces"),
            ("http://:hush@h/x>1", "the place in its JSON"),
            ("http://h/x#a>1", "it begins with $"),
            ("http://h/x#$..a..b>1", "once"),
            ("redis:///x>1", "no host"),
        ] {
            let error = typed.parse::<Dependency>().unwrap_err();
            assert!(error.contains(why) && !error.contains("hush"), "{typed}: {error}");
        }
    }

    #[test]
    fn the_worst_of_several_numbers_is_nearest_past_the_limit() {
        let more: Dependency = "redis://h/x>1".parse().unwrap();
        let less: Dependency = "redis://h/x<1".parse().unwrap();
        assert_eq!((more.worst([1.0, f64::NAN, 3.0]), less.worst([1.0, 3.0])), (Some(3.0), Some(1.0)));
        assert_eq!(more.worst([f64::NAN]), None);
    }

    fn seconds(at: u64) -> Instant {
        // The same for all: only differences count.
        static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BEGIN.get_or_init(Instant::now) + Duration::from_secs(at)
    }

    #[test]
    fn a_broken_limit_counts_once_until_it_had_time_to_settle() {
        let mut watch = DependencyWatch::new("redis://h/x>100".parse().unwrap(), OnUnknown::Hold);
        let mut judge = |at, number| watch.judge(seconds(at), Ok(number)).0;
        assert_eq!(judge(0, 80.0), GuardVerdict::Good);
        assert_eq!(judge(1, 81.0), GuardVerdict::Near);
        assert_eq!(judge(2, 101.0), GuardVerdict::Past("redis://h/x is 101, more than 100".to_owned()));
        assert_eq!((judge(3, 150.0), judge(6, 150.0)), (GuardVerdict::Near, GuardVerdict::Near));
        assert!(matches!(judge(7, 150.0), GuardVerdict::Past(_)));
        assert_eq!(judge(8, 90.0), GuardVerdict::Near);
        assert!(matches!(judge(9, 150.0), GuardVerdict::Past(_)), "it was well in between");
    }

    #[test]
    fn what_is_unknown_holds_or_is_ignored_and_is_told_once() {
        for (on_unknown, verdict, does) in [
            (OnUnknown::Hold, GuardVerdict::Near, "the share does not rise"),
            (OnUnknown::Ignore, GuardVerdict::Good, "ignored"),
        ] {
            let mut watch = DependencyWatch::new("redis://h/x>100".parse().unwrap(), on_unknown);
            let mut judge = |at, reading: Result<f64, &str>| watch.judge(seconds(at), reading.map_err(str::to_owned));
            assert_eq!(judge(0, Ok(1.0)), (GuardVerdict::Good, None));
            let (first, news) = judge(1, Err("connection refused"));
            assert_eq!(
                (first, news.unwrap()),
                (verdict.clone(), format!("redis://h/x is unknown: connection refused; {does}"))
            );
            assert_eq!(judge(2, Err("connection refused")), (verdict, None));
            assert_eq!(judge(3, Ok(7.0)), (GuardVerdict::Good, Some("redis://h/x is known again: 7".to_owned())));
            assert_eq!(judge(4, Ok(7.0)), (GuardVerdict::Good, None));
        }
    }
}

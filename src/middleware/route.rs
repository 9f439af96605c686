//! Routing of requests to targets: a map of regular expressions in the format of `HAProxy`'s `map_reg`.
//!
//! The input is the text of a map and the names of targets, then a request; the result is the target, or none. A
//! thousand expressions are searched in one pass.
//!
//! A line is an expression, blanks, and a value that ends at the next blank; `#` begins a comment line. The first line
//! whose expression matches decides. A value is the name of a target, or `-` for none at all.

use crate::causes::causes;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use regex_automata::util::syntax;

use super::context::HeadFields;
use super::patterns::{MAX_LIST, PatternBudget, PatternSet, short_enough};
use super::{Context, Filter, allow_deny, query};
use crate::bounded;
use crate::exchange::{Outcome, Request};

/// The rule under which a request ends that belongs to no target of the run.
pub(crate) const ROUTE: &str = "route";
/// Most routes of one map; a longer one is a mistake.
pub(crate) const MAX_ROUTES: usize = MAX_LIST;
/// Largest file of a map, in bytes; a larger one is a mistake.
const MAX_MAP_BYTES: usize = 16 << 20;

/// Text that the expressions search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchInput {
    /// The path, without the query: `path` in `HAProxy`.
    #[default]
    Path,
    /// Host, as in its header, and path: `base` in `HAProxy`.
    HostPath,
}

/// A mistake in a map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// A line has an expression and nothing else.
    #[error("`{line}` has no value: write the expression, a blank, and the name of a target or `-`")]
    NoValue {
        /// The line.
        line: String,
    },
    /// `HAProxy` with PCRE takes it, this engine does not.
    #[error("`{pattern}` needs PCRE ({why}): write it without, for instance as two lines of which the first decides")]
    OnlyPcre {
        /// The expression.
        pattern: String,
        /// Construct that needs PCRE.
        why: &'static str,
    },
    /// No engine takes it.
    #[error("`{pattern}` is no regular expression: {why}")]
    Pattern {
        /// The expression.
        pattern: String,
        /// I/O error of the read.
        why: String,
    },
    /// It cannot be compiled.
    #[error("{why}")]
    Compiled {
        /// Reason.
        why: String,
    },
    /// There are too many.
    #[error("the map is too large: at most {MAX_ROUTES} lines")]
    TooLarge,
}

/// A map: expressions in order, and the value of each.
#[derive(Clone, Debug)]
pub struct RouteMap {
    machine: PatternSet,
    patterns: Vec<String>,
    values: Vec<Arc<str>>,
    /// The line of each value in the text, from 1.
    lines: Vec<usize>,
    on: MatchInput,
}

impl RouteMap {
    /// Reads a map. Every mistake comes with its line, from 1.
    ///
    /// # Errors
    ///
    /// Every mistake in it, with its line.
    pub fn parse(text: &str, on: MatchInput) -> Result<Self, Vec<(usize, RouteError)>> {
        Self::within(text, on, &PatternBudget::default())
    }

    /// Reads a map whose expressions count in `budget`.
    ///
    /// # Errors
    ///
    /// Every mistake in it, with its line.
    pub fn within(text: &str, on: MatchInput, budget: &PatternBudget) -> Result<Self, Vec<(usize, RouteError)>> {
        let (mut patterns, mut values, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
        let mut lines = Vec::new();
        for (line, text) in (1..).zip(text.lines()).map(|(line, text)| (line, text.trim())) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match route(text) {
                Ok((pattern, value)) => {
                    patterns.push(pattern);
                    values.push(Arc::from(value));
                    lines.push(line);
                }
                Err(error) => mistakes.push((line, error)),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        if patterns.len() > MAX_ROUTES {
            return Err(vec![(1, RouteError::TooLarge)]);
        }
        let machine = PatternSet::compile(&patterns, as_bytes(), budget).map_err(|all| -> Vec<_> {
            let line = |at: usize| lines.get(at).copied().unwrap_or(1);
            all.into_iter().map(|(at, why)| (line(at), RouteError::Compiled { why })).collect()
        })?;
        let patterns = patterns.into_iter().map(str::to_owned).collect();
        Ok(Self { machine, patterns, values, lines, on })
    }

    /// The lines of the map, in their order: expression, value, and number in the file, from 1.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        let values = self.values.iter().map(|value| &**value);
        self.patterns
            .iter()
            .map(String::as_str)
            .zip(values)
            .zip(self.lines.iter().copied())
            .map(|((pattern, value), line)| (pattern, value, line))
    }

    /// The place among the [`entries`](Self::entries) of the first whose expression matches this path.
    #[must_use]
    pub fn entry_of(&self, path: &[u8]) -> Option<usize> {
        self.machine.first(path)
    }

    /// The values that name targets, each once, in the order in which they first stand.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut seen = HashSet::new();
        self.values.iter().filter(|value| &***value != "-" && seen.insert(Arc::clone(value))).cloned().collect()
    }

    /// The values that name no target, each once with its first line, and the names that there are.
    #[must_use]
    pub fn unknown(&self, targets: &TargetNames) -> Vec<(usize, String)> {
        let first = |name: &Arc<str>| self.values.iter().position(|value| value == name);
        let line = |name: &Arc<str>| first(name).and_then(|at| self.lines.get(at)).copied().unwrap_or(1);
        self.names().iter().filter_map(|name| Some((line(name), targets.check(name).err()?))).collect()
    }

    /// The value of the first line whose expression matches. `buffer` is memory that is used again.
    fn value(&self, fields: HeadFields<'_>, buffer: &mut Vec<u8>) -> Option<usize> {
        let path = query::path(fields.path_and_query());
        let text = match self.on {
            MatchInput::Path => path,
            MatchInput::HostPath => {
                buffer.clear();
                buffer.extend(allow_deny::request_host(fields).iter().map(u8::to_ascii_lowercase));
                buffer.extend_from_slice(path);
                buffer
            }
        };
        self.machine.first(text)
    }
}

/// Routing decision for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDecision<'a> {
    /// It goes to these targets.
    To {
        /// Name in the map.
        name: &'a Arc<str>,
        /// Their numbers.
        targets: &'a Arc<[usize]>,
    },
    /// The map says `-`.
    Dropped,
    /// The map names what is no target of this run.
    Unbound(&'a Arc<str>),
    /// No expression matches.
    NoMatch,
}

/// The names that targets have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TargetNames {
    /// Any name is one, and each has the number 0: for checking a file without its targets.
    #[default]
    Any,
    /// These, by number; several may share a name, and some have none.
    Named(Vec<Option<String>>),
}

/// The numbers of the targets of one name; `None` where none has it.
pub(crate) type BoundTargets = Option<Arc<[usize]>>;

/// A map whose values are bound to targets.
#[derive(Clone, Debug)]
pub struct Router {
    map: Arc<RouteMap>,
    /// By the number of the line.
    bound: Vec<BoundTargets>,
    default: Option<(Arc<str>, BoundTargets)>,
    buffer: Vec<u8>,
}

impl Router {
    /// Binds the values of `map`. What matches no line belongs to `default`, a value as in the map.
    #[must_use]
    pub fn new(map: Arc<RouteMap>, default: Option<&str>, targets: &TargetNames) -> Self {
        let bound = map.values.iter().map(|value| targets.numbers(value)).collect();
        let default = default.map(|value| (Arc::from(value), targets.numbers(value)));
        Self { map, bound, default, buffer: Vec::new() }
    }

    /// Returns the decision for this request.
    pub fn route(&mut self, request: &Request) -> RouteDecision<'_> {
        self.route_fields(HeadFields::of(&request.head))
    }

    fn route_fields(&mut self, fields: HeadFields<'_>) -> RouteDecision<'_> {
        let Some(line) = self.map.value(fields, &mut self.buffer) else {
            let default = self.default.as_ref();
            return default.map_or(RouteDecision::NoMatch, |(name, targets)| decision(name, targets.as_ref()));
        };
        match self.map.values.get(line) {
            Some(name) => decision(name, self.bound.get(line).and_then(Option::as_ref)),
            None => RouteDecision::NoMatch,
        }
    }
}

impl Filter for Router {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        match self.route_fields(context.fields(request)) {
            RouteDecision::To { name, targets } => {
                context.route = Some(Arc::clone(name));
                context.targets = Some(Arc::clone(targets));
                Ok(())
            }
            RouteDecision::Dropped | RouteDecision::Unbound(_) | RouteDecision::NoMatch => {
                Err(Outcome::filtered(ROUTE))
            }
        }
    }
}

fn decision<'a>(name: &'a Arc<str>, targets: Option<&'a Arc<[usize]>>) -> RouteDecision<'a> {
    match targets {
        _ if &**name == "-" => RouteDecision::Dropped,
        Some(targets) => RouteDecision::To { name, targets },
        None => RouteDecision::Unbound(name),
    }
}

impl TargetNames {
    /// Checks a value as a map has it: the name of a target, or `-`.
    ///
    /// # Errors
    ///
    /// That no target has this name, with the names that there are.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let Self::Named(names) = self else { return Ok(()) };
        if value == "-" || names.iter().flatten().any(|name| name == value) {
            return Ok(());
        }
        let mut known: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        known.dedup();
        Err(if known.is_empty() {
            format!(
                "no target is called `{value}`: none has a name; give it one, such as --to {value}=http://staging:8080"
            )
        } else {
            format!("no target is called `{value}`; there is {}, and - for none", known.join(", "))
        })
    }

    /// Returns the numbers of the targets of this name; `None` where none has it.
    pub(crate) fn numbers(&self, value: &str) -> BoundTargets {
        match self {
            Self::Any => Some(Arc::from([0])),
            Self::Named(names) => {
                let all = names.iter().enumerate().filter(|(_, name)| name.as_deref() == Some(value));
                let numbers: Vec<usize> = all.map(|(at, _)| at).collect();
                (!numbers.is_empty()).then(|| Arc::from(numbers))
            }
        }
    }
}

/// A map from a file. A mistake is told with its line; line 0 is the file itself.
///
/// # Errors
///
/// Every mistake in it, with its line.
pub fn read(path: &Path, on: MatchInput, budget: &PatternBudget) -> Result<RouteMap, Vec<(usize, String)>> {
    let text = bounded::read_text(path, "a map", MAX_MAP_BYTES).map_err(|error| vec![(0, causes(&error))])?;
    RouteMap::within(&text, on, budget)
        .map_err(|all| all.into_iter().map(|(line, error)| (line, error.to_string())).collect())
}

/// Expression and value of a line.
fn route(line: &str) -> Result<(&str, &str), RouteError> {
    let (pattern, rest) = line.split_once([' ', '\t']).ok_or_else(|| RouteError::NoValue { line: line.to_owned() })?;
    let value = rest.split_whitespace().next().unwrap_or_default();
    short_enough(pattern).map_err(|why| RouteError::Compiled { why })?;
    if let Some(why) = only_pcre(pattern) {
        return Err(RouteError::OnlyPcre { pattern: pattern.to_owned(), why });
    }
    let pattern_error = |error: &dyn std::fmt::Display| RouteError::Pattern {
        pattern: pattern.to_owned(),
        why: error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    };
    syntax::parse_with(pattern, &as_bytes()).map_err(|error| pattern_error(&error))?;
    Ok((pattern, value))
}

/// Expressions look at bytes, as those of `HAProxy` do: `.` is one byte, `\d` a digit of ASCII.
fn as_bytes() -> syntax::Config {
    syntax::Config::new().utf8(false).unicode(false)
}

/// Returns the first construct of an expression that only PCRE has. Escapes and classes are skipped as in PCRE.
fn only_pcre(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern;
    let mut in_class = false;
    let mut after_repeat = false;
    while let Some(letter) = rest.chars().next() {
        let found = if in_class { None } else { special(rest, after_repeat) };
        if found.is_some() {
            return found;
        }
        let len = if letter == '\\' { 1 + rest.chars().nth(1).map_or(0, char::len_utf8) } else { letter.len_utf8() };
        in_class = match letter {
            '[' => true,
            ']' => false,
            _ => in_class,
        };
        after_repeat = !in_class && !after_repeat && matches!(letter, '*' | '+' | '?' | '}');
        rest = rest.get(len..).unwrap_or_default();
    }
    None
}

/// Returns the PCRE construct that begins here, outside of classes.
fn special(rest: &str, after_repeat: bool) -> Option<&'static str> {
    const SPECIAL: [(&str, &str); 12] = [
        ("(?=", "look-ahead"),
        ("(?!", "look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "look-behind"),
        ("(?>", "an atomic group"),
        ("(?|", "a branch reset"),
        ("(?(", "a condition"),
        ("(?R)", "recursion"),
        ("(*", "a verb"),
        ("\\K", "`\\K`"),
        ("\\Q", "`\\Q`"),
        ("\\g", "a back-reference"),
    ];
    if after_repeat && rest.starts_with('+') {
        return Some("a possessive repetition");
    }
    let mut letters = rest.chars();
    if letters.next() == Some('\\') && letters.next().is_some_and(|next| ('1'..='9').contains(&next)) {
        return Some("a back-reference");
    }
    SPECIAL.iter().find(|(begin, _)| rest.starts_with(begin)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    const MAP: &str = "\
# what has moved, as in HAProxy's map_reg
^/v2/payments/          on-premises-only   # for now
^/v2/(programs|channels)/\\d+$   new   ignored words
\t/search   new
^/v2/       old

^/private   -
";

    fn router(text: &str, on: MatchInput, names: &[&str]) -> Router {
        let targets = TargetNames::Named(names.iter().map(|name| Some((*name).to_owned())).collect());
        Router::new(Arc::new(RouteMap::parse(text, on).unwrap()), None, &targets)
    }

    fn reported(router: &mut Router, target: &str) -> String {
        match router.route(&request(1, &format!("GET {target} HTTP/1.1\r\nHost: TV.example:80\r\n\r\n"))) {
            RouteDecision::To { name, targets } => format!("{name} {targets:?}"),
            RouteDecision::Dropped => "dropped".to_owned(),
            RouteDecision::Unbound(name) => format!("unbound {name}"),
            RouteDecision::NoMatch => "no match".to_owned(),
        }
    }

    #[test]
    fn the_first_line_that_matches_decides_wherever_in_the_path() {
        let mut router = router(MAP, MatchInput::Path, &["new", "old", "new"]);
        for (target, decision) in [
            ("/v2/payments/1", "unbound on-premises-only"),
            ("/v2/programs/7", "new [0, 2]"),
            ("/v2/programs/7?x=1", "new [0, 2]"),
            ("/v2/programs/7/a", "old [1]"),
            ("/v2/search", "new [0, 2]"),
            ("/private/a", "dropped"),
            ("/", "no match"),
            ("/v1?q=/search", "no match"),
            ("http://other/v2/a", "old [1]"),
        ] {
            assert_eq!(reported(&mut router, target), decision, "{target}");
        }
    }

    #[test]
    fn host_and_path_are_one_text_where_the_map_is_for_that() {
        let mut router = router("^tv\\.example/a new\n^other/ old\n", MatchInput::HostPath, &["new", "old"]);
        assert_eq!(reported(&mut router, "/a?b"), "new [0]");
        assert_eq!(reported(&mut router, "http://other/a"), "old [1]");
        assert_eq!(reported(&mut router, "/b"), "no match");
    }

    #[test]
    fn what_matches_nothing_has_a_default() {
        let map = Arc::new(RouteMap::parse("^/a new", MatchInput::Path).unwrap());
        let targets = TargetNames::Named(vec![Some("new".to_owned())]);
        assert_eq!(reported(&mut Router::new(Arc::clone(&map), Some("new"), &targets), "/x"), "new [0]");
        assert_eq!(reported(&mut Router::new(Arc::clone(&map), Some("-"), &targets), "/x"), "dropped");
        assert_eq!(reported(&mut Router::new(map, Some("home"), &targets), "/x"), "unbound home");
    }

    #[test]
    fn names_that_no_target_has_are_told_once_with_their_first_line() {
        let map = RouteMap::parse(MAP, MatchInput::Path).unwrap();
        let named = |names: &[&str]| TargetNames::Named(names.iter().map(|name| Some((*name).to_owned())).collect());
        let unknown = map.unknown(&named(&["old"]));
        assert_eq!(unknown.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(unknown[1].1, "no target is called `new`; there is old, and - for none");
        assert!(map.unknown(&TargetNames::Named(vec![None]))[0].1.contains("--to on-premises-only=http://"));
        assert!(map.unknown(&named(&["new", "old", "on-premises-only"])).is_empty());
        assert!(map.unknown(&TargetNames::Any).is_empty());
    }

    #[test]
    fn a_pattern_that_only_pcre_knows_is_told_with_its_line() {
        for (pattern, why) in [
            ("^/(?!v2)", "look-ahead"),
            ("(?<=a)b", "look-behind"),
            ("(?>a+)b", "an atomic group"),
            ("(a)\\1", "a back-reference"),
            ("a++", "a possessive repetition"),
            ("a{2}+", "a possessive repetition"),
            ("a\\Kb", "`\\K`"),
        ] {
            let mistakes = RouteMap::parse(&format!("# x\n^/a new\n{pattern} old\n"), MatchInput::Path).unwrap_err();
            let [(3, error)] = mistakes.as_slice() else { panic!("{pattern}: {mistakes:?}") };
            assert!(error.to_string().contains(&format!("needs PCRE ({why})")), "{pattern}: {error}");
        }
    }

    #[test]
    fn what_only_looks_like_pcre_is_taken() {
        for pattern in ["[(?!]a", "\\(\\?=", "a\\++", "a+?", "[*+]+", "(?:a|b)", "(?i)^/A", "\\\\1"] {
            assert!(RouteMap::parse(&format!("{pattern} new"), MatchInput::Path).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn every_other_mistake_is_told_too() {
        let mistakes = RouteMap::parse("^/a\n^/(b new\n", MatchInput::Path).unwrap_err();
        let told: Vec<String> = mistakes.iter().map(|(line, error)| format!("{line}: {error}")).collect();
        assert!(told[0].starts_with("1: `^/a` has no value"), "{told:?}");
        assert!(told[1].starts_with("2: `^/(b` is no regular expression: unclosed group"), "{told:?}");
        assert_eq!(told.len(), 2);
        let mistakes =
            RouteMap::parse(&format!("^/a new\n{} new\n", "a".repeat(70_000)), MatchInput::Path).unwrap_err();
        assert!(mistakes[0].0 == 2 && mistakes[0].1.to_string().contains("a…` is too long"), "{mistakes:?}");
    }

    #[test]
    fn a_thousand_routes_are_told_apart() {
        let lines: Vec<String> = (0..1000).map(|n| format!("^/v2/service-{n}/ target-{n}")).collect();
        let names: Vec<String> = (0..1000).map(|n| format!("target-{n}")).collect();
        let mut router =
            router(&lines.join("\n"), MatchInput::Path, &names.iter().map(String::as_str).collect::<Vec<_>>());
        for n in [0, 1, 10, 99, 500, 999] {
            assert_eq!(reported(&mut router, &format!("/v2/service-{n}/a")), format!("target-{n} [{n}]"));
        }
        assert_eq!(reported(&mut router, "/v2/service-1000/a"), "no match");
    }
}

//! Rules for what counts as a difference: `json:$.generatedAt`, `header:etag`, `body`.
//!
//! Rules are parsed from the text as typed, and queried by the comparison. JSON paths are followed as the comparison
//! descends into a document ([`PathState`]), all of them at once. Where no path leads, they cost nothing.

mod json;

use super::met::{Happened, TypedRule};
use crate::middleware::secret_names::SecretNames;
pub(crate) use json::MAX_JSON_STEPS;
use json::PathAction;
pub(super) use json::{JsonRules, PathState};

/// Bytes of a body that are compared, unless said otherwise. Longer ones are compared by length and hash.
pub(crate) const DEFAULT_MAX_BODY: usize = 256 << 10;
/// Largest decoded body that is still parsed, as a multiple of its coded size.
const DECODED_TIMES: usize = 4;
/// Most of what a body may be once it is decoded, in bytes, however much was asked for.
const MAX_DECODED: usize = 16 << 20;
/// Bytes that one comparison may take to decode and parse two bodies, unless said otherwise.
pub(super) const DEFAULT_MEMORY: usize = 24 << 20;
/// Longest name of a header that can be left out, in bytes.
const MAX_HEADER_NAME: usize = 64;

/// Header lines that never count unless requested: those of one connection, those of framing, and those that identify
/// this very response, the machine it came from, or the time.
pub(crate) const NEVER_COUNTED: [&str; 73] = [
    "age",
    "akamai-cache-status",
    "akamai-grn",
    "akamai-request-bc",
    "alt-svc",
    "b3",
    "baggage",
    "cdn-loop",
    "cf-cache-status",
    "cf-ray",
    "connection",
    "content-length",
    "date",
    "eagleid",
    "expires",
    "fastly-ff",
    "fastly-restarts",
    "forwarded",
    "function-execution-id",
    "keep-alive",
    "ms-cv",
    "nel",
    "proxy-connection",
    "report-to",
    "rndr-id",
    "sentry-trace",
    "server",
    "server-timing",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "warning",
    "x-amz-apigw-id",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-amz-id-2",
    "x-amzn-remapped-date",
    "x-azure-ref",
    "x-azure-ref-originshield",
    "x-b3-flags",
    "x-b3-sampled",
    "x-backend",
    "x-backend-server",
    "x-cache",
    "x-cache-hits",
    "x-cache-lookup",
    "x-cache-status",
    "x-cloud-trace-context",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-debug-token",
    "x-debug-token-link",
    "x-guploader-uploadid",
    "x-iinfo",
    "x-ms-activity-id",
    "x-ms-ests-server",
    "x-msedge-ref",
    "x-now-id",
    "x-now-trace",
    "x-oss-server-time",
    "x-powered-by",
    "x-railway-edge",
    "x-request-start",
    "x-runtime",
    "x-served-by",
    "x-timer",
    "x-varnish",
    "x-vercel-cache",
    "x-vercel-id",
];

/// Ends of header names, after a dash or as the whole name, that never count unless they are asked for: ids of this very
/// request, and times that it took.
const NEVER_COUNTED_ENDS: [&str; 19] = [
    "request-id",
    "requestid",
    "req-id",
    "reqid",
    "request-uuid",
    "request-guid",
    "trace-id",
    "traceid",
    "span-id",
    "spanid",
    "parentspanid",
    "correlation-id",
    "correlationid",
    "transaction-id",
    "invocation-id",
    "latency",
    "response-time",
    "service-time",
    "processing-time",
];

/// Reason why a typed text is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It names neither a header, nor a JSON path, nor the body.
    #[error("`{typed}` names nothing that is compared; write header:NAME, json:$.PATH, body or headers")]
    Kind {
        /// Text as typed.
        typed: String,
    },
    /// The name of the header is none.
    #[error("`{typed}` is no name of a header; write one such as header:etag")]
    Header {
        /// Text as typed.
        typed: String,
    },
    /// The path cannot be read.
    #[error("`{typed}` is no path: {why}; write one such as json:$.items[*].id or json:$..updatedAt")]
    Path {
        /// Text as typed.
        typed: String,
        /// Reason why the path is invalid.
        why: &'static str,
    },
    /// An order can only be left out of JSON arrays.
    #[error("`{typed}` has no order; write the path of an array, such as json:$.items")]
    Order {
        /// Text as typed.
        typed: String,
    },
    /// There are too many.
    #[error("`{typed}` is too much: all JSON paths together have {MAX_JSON_STEPS} steps at most")]
    TooMany {
        /// Text as typed.
        typed: String,
    },
}

/// Rules of a comparison: the parts that are compared, and those of them that count.
#[derive(Clone, Debug)]
pub struct CompareRules {
    /// Names of header lines that do not count, in lower case, by their length.
    uncounted: Vec<Vec<Box<str>>>,
    /// Requested names, in lower case: these count whatever their ends, and whatever Connection says of them.
    asked: Vec<Box<str>>,
    /// True when the length in a response to HEAD counts.
    head_length: bool,
    headers: bool,
    bodies: bool,
    max_body: usize,
    memory: usize,
    json: JsonRules,
    /// Names of header lines that were left out by a rule, in lower case, and whether there was one.
    left_out: Vec<(Box<str>, Happened)>,
    /// Set once a header line was looked at.
    looked: Happened,
    typed: Vec<TypedRule>,
}

impl Default for CompareRules {
    fn default() -> Self {
        let mut rules = Self {
            uncounted: vec![Vec::new(); MAX_HEADER_NAME + 1],
            asked: Vec::new(),
            head_length: true,
            headers: true,
            bodies: true,
            max_body: DEFAULT_MAX_BODY,
            memory: DEFAULT_MEMORY,
            json: JsonRules::default(),
            left_out: Vec::new(),
            looked: Happened::default(),
            typed: Vec::new(),
        };
        for name in NEVER_COUNTED {
            rules.leave_out(name);
        }
        rules
    }
}

impl CompareRules {
    /// What is named does not count from now on: `header:NAME`, `headers`, `json:PATH`, `body`.
    ///
    /// # Errors
    ///
    /// Where that names nothing that is compared, or paths are too many together.
    pub fn ignore(&mut self, typed: &str) -> Result<(), RuleError> {
        match typed.trim().split_once(':') {
            Some(("header", name)) => {
                let name = header(typed, name)?;
                self.head_length &= name != "content-length";
                self.leave_out(&name);
                let met = Happened::default();
                self.left_out.push((name.into(), met.clone()));
                self.typed.push(TypedRule { text: typed.trim().to_owned(), asked: self.looked.clone(), met });
            }
            Some(("json", path)) => {
                let met = self.json.add(typed, path.trim(), PathAction::Ignore)?;
                let asked = self.json.looked.clone();
                self.typed.push(TypedRule { text: typed.trim().to_owned(), asked, met });
            }
            None if typed.trim() == "body" => self.bodies = false,
            None if typed.trim() == "headers" => self.headers = false,
            _ => return Err(RuleError::Kind { typed: typed.to_owned() }),
        }
        Ok(())
    }

    /// The elements of the array that is named may stand in any order from now on: `json:PATH`.
    ///
    /// # Errors
    ///
    /// Where that names nothing that is compared, or paths are too many together.
    pub fn ignore_order(&mut self, typed: &str) -> Result<(), RuleError> {
        match typed.trim().split_once(':') {
            Some(("json", path)) => self.json.add(typed, path.trim(), PathAction::AnyOrder).map(drop),
            _ => Err(RuleError::Order { typed: typed.to_owned() }),
        }
    }

    /// A header counts from now on, though it is one of [`NEVER_COUNTED`] or ends as an id of a request does.
    ///
    /// # Errors
    ///
    /// Where that names nothing that is compared, or paths are too many together.
    pub(crate) fn compare_header(&mut self, typed: &str) -> Result<(), RuleError> {
        let name = header(typed, typed.strip_prefix("header:").unwrap_or(typed))?;
        if let Some(names) = self.uncounted.get_mut(name.len()) {
            names.retain(|other| **other != *name);
        }
        self.asked.push(name.into());
        Ok(())
    }

    /// Bodies of more bytes than this are compared by length and hash; with none, all of them are.
    pub const fn set_max_body(&mut self, bytes: usize) {
        self.max_body = bytes;
    }

    /// Returns whether header lines are compared.
    #[must_use]
    pub const fn headers(&self) -> bool {
        self.headers
    }

    /// Returns whether bodies are compared.
    #[must_use]
    pub const fn bodies(&self) -> bool {
        self.bodies
    }

    /// Longest body that is looked into, in bytes as it was sent.
    #[must_use]
    pub const fn max_body(&self) -> usize {
        self.max_body
    }

    /// Returns the rules that left out nothing so far, as they were typed, of those that could have.
    pub(crate) fn unmet(&self) -> impl Iterator<Item = &str> {
        self.typed.iter().filter(|rule| rule.is_unmet()).map(|rule| rule.text.as_str())
    }

    /// Bytes that one comparison may take.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// Lets one comparison take so many bytes to decode and parse two bodies. What takes more is compared by hash.
    pub(crate) const fn set_memory(&mut self, bytes: usize) {
        self.memory = bytes;
    }

    /// Longest body that is looked into, in bytes once it is decoded.
    pub(super) fn max_decoded(&self) -> usize {
        self.max_body.saturating_mul(DECODED_TIMES).min(MAX_DECODED)
    }

    /// Returns whether it has to be asked of each header line whether it counts: rules remember what they left out.
    pub(super) const fn looks_at_all_names(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// Returns whether header lines of this name count.
    pub(super) fn counts(&self, name: &[u8]) -> bool {
        if !self.left_out.is_empty() {
            self.looked.set();
            let same = self.left_out.iter().filter(|(other, _)| other.as_bytes().eq_ignore_ascii_case(name));
            same.for_each(|(_, met)| met.set());
        }
        let same_length = self.uncounted.get(name.len()).map_or(&[][..], Vec::as_slice);
        !is_in(same_length, name) && (!is_never_counted_by_end(name) || self.is_asked_for(name))
    }

    /// Returns whether somebody asked for header lines of this name to count.
    pub(super) fn is_asked_for(&self, name: &[u8]) -> bool {
        is_in(&self.asked, name)
    }

    /// Returns whether the Content-Length of responses to HEAD counts.
    pub(super) const fn head_length(&self) -> bool {
        self.head_length
    }

    /// Has the values under these names masked where they are shown, too, and left out of bodies.
    pub(crate) fn set_secrets(&mut self, secrets: SecretNames) {
        self.json.secrets = secrets;
    }

    /// What is masked where values are shown.
    pub(crate) const fn secrets(&self) -> &SecretNames {
        &self.json.secrets
    }

    pub(super) const fn json(&self) -> &JsonRules {
        &self.json
    }

    fn leave_out(&mut self, name: &str) {
        if let Some(names) = self.uncounted.get_mut(name.len())
            && !names.iter().any(|other| **other == *name)
        {
            names.push(name.into());
        }
    }
}

/// Returns whether `name` is one of `names`.
fn is_in(names: &[Box<str>], name: &[u8]) -> bool {
    names.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(name))
}

fn is_never_counted_by_end(name: &[u8]) -> bool {
    // Quick for most names: they end otherwise.
    matches!(name.last(), Some(b'd' | b'D' | b'e' | b'E' | b'y' | b'Y'))
        && NEVER_COUNTED_ENDS.iter().any(|end| {
            let before = name.len().checked_sub(end.len()).and_then(|before| name.split_at_checked(before));
            before.is_some_and(|(before, rest)| {
                matches!(before.last(), None | Some(b'-')) && rest.eq_ignore_ascii_case(end.as_bytes())
            })
        })
}

/// A header name in lower case.
fn header(typed: &str, name: &str) -> Result<String, RuleError> {
    let name = name.trim().to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let fits = !name.is_empty() && name.len() <= MAX_HEADER_NAME && name.bytes().all(is_token);
    if fits { Ok(name) } else { Err(RuleError::Header { typed: typed.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::path::PathStep;

    fn reached(rule: &str, steps: &[PathStep<'_>]) -> PathState {
        let mut rules = CompareRules::default();
        rules.ignore(rule).unwrap();
        steps.iter().fold(rules.json.root(), |at, step| rules.json.inside(&at, *step))
    }

    #[test]
    fn rules_that_left_out_nothing_are_known() {
        let mut rules = CompareRules::default();
        for rule in ["json:$.a", "json:$.typo", "header:x-a", "header:x-typo"] {
            rules.ignore(rule).unwrap();
        }
        assert_eq!(rules.unmet().count(), 0, "nothing was compared yet");
        let compared = rules.clone();
        compared.json.inside(&compared.json.root(), PathStep::Key("a"));
        assert_eq!(rules.unmet().collect::<Vec<_>>(), ["json:$.typo"]);
        assert!(!compared.counts(b"X-A") && compared.counts(b"x-b"));
        assert_eq!(rules.unmet().collect::<Vec<_>>(), ["json:$.typo", "header:x-typo"]);
    }

    #[test]
    fn a_path_leads_to_what_it_names_and_nowhere_else() {
        let (a, b, one) = (PathStep::Key("a"), PathStep::Key("b"), PathStep::Index(1));
        for (rule, steps, ignored) in [
            ("json:$", &[][..], true),
            ("json:$.a", &[a], true),
            ("json:/a/1/b", &[a, one, b], true),
            ("json:/a/*/b", &[a, one, b], true),
            ("json:$.a", &[b], false),
            ("json:$.a", &[a, b], false),
            ("json:$.a.b", &[a, b], true),
            ("json:$.a[1].b", &[a, one, b], true),
            ("json:$.a[0].b", &[a, one, b], false),
            ("json:$.a[*].b", &[a, one, b], true),
            ("json:$.*.*", &[a, one], true),
            ("json:$..b", &[b], true),
            ("json:$..b", &[a, one, b], true),
            ("json:$..b", &[a, one, a], false),
            ("json:$.a..[1]", &[a, b, b, one], true),
            ("json:$['a'][\"b\"]", &[a, b], true),
            ("json:$['x.y[0]\\'']", &[PathStep::Key("x.y[0]'")], true),
        ] {
            assert_eq!(reached(rule, steps).is_ignored(), ignored, "{rule} {steps:?}");
        }
    }

    #[test]
    fn several_paths_are_followed_at_once() {
        let mut rules = CompareRules::default();
        for rule in ["json:$.a.b", "json:$.a.c", "json:$..d"] {
            rules.ignore(rule).unwrap();
        }
        rules.ignore_order("json:$.a.list").unwrap();
        let a = rules.json.inside(&rules.json.root(), PathStep::Key("a"));
        for key in ["b", "c", "d"] {
            assert!(rules.json.inside(&a, PathStep::Key(key)).is_ignored(), "{key}");
        }
        let list = rules.json.inside(&a, PathStep::Key("list"));
        assert!(list.has_no_order() && !list.is_ignored());
    }

    #[test]
    fn what_is_no_rule_is_told_with_what_is() {
        for (typed, part) in [
            ("etag", "write header:NAME"),
            ("cookie:a", "write header:NAME"),
            ("header:", "is no name of a header"),
            ("header:a b", "is no name of a header"),
            ("json:a", "begins with $"),
            ("json:$a", "a dot or a bracket"),
            ("json:$.", "has no name"),
            ("json:$.a[", "not closed"),
            ("json:$.a[x]", "a number, *"),
            ("json:$['a]", "a quote is not closed"),
            ("json:$['a'", "a bracket is not closed"),
        ] {
            let error = CompareRules::default().ignore(typed).unwrap_err().to_string();
            assert!(error.contains(part), "{typed}: {error}");
        }
        assert!(CompareRules::default().ignore_order("header:a").unwrap_err().to_string().contains("json:$.items"));
        let long = format!("json:${}", ".a".repeat(MAX_JSON_STEPS + 1));
        assert!(matches!(CompareRules::default().ignore(&long), Err(RuleError::TooMany { .. })));
    }

    #[test]
    fn a_header_can_be_left_out_and_taken_back() {
        let mut rules = CompareRules::default();
        assert!(!rules.counts(b"Date") && rules.counts(b"ETag"));
        rules.ignore("header:ETag").unwrap();
        rules.compare_header("Date").unwrap();
        assert!(rules.counts(b"date") && !rules.counts(b"etag"));
        assert!(rules.counts(&[b'a'; 500]));
        assert!(NEVER_COUNTED.is_sorted());
    }
}

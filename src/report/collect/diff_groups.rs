//! Differences in groups, each with a few examples: the block `kinds` of the summary.
//!
//! Differences come in, each with the exchange that it is of; a list comes out. A group is a target, a route, a part of
//! the response and a path in it, with `[*]` for every index. Groups, examples and their bytes are bounded.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::compare::{self, Difference, DifferencePart};
use crate::exchange::{Head, wire_text};
use crate::middleware;
use crate::middleware::secret_names::SecretNames;
use crate::replay::{RetainedResponse, SentAs, TargetResponse};
use crate::report::schema::diff_groups::{
    DiffExample, DiffGroup, DiffGroups, ExampleBodies, ExampleBody, ExampleRequest,
};

use super::inputs::{Production, RequestRecord};
use super::kept_examples::KeptExamples;
use super::recent::CountedDelivery;
use super::request_text::RequestText;
use super::route_name::RouteName;
use super::{curl, noise};

/// Groups that are counted separately: differences of a further one count in [`DiffGroups::left_out`].
pub(crate) const MAX_KINDS: usize = 1000;

/// Groups that are counted separately on one route, whatever the target: as above.
pub(crate) const MAX_KINDS_OF_ROUTE: usize = 50;

/// Bytes of examples as JSON, about: past it kinds are counted without.
pub(crate) const MAX_EXAMPLE_BYTES: usize = 2 << 20;

/// Longest value that is shown of either side, in bytes of JSON; of a longer one its beginning is.
pub(crate) const MAX_VALUE: usize = 2048;

/// Fields that are counted separately within one group.
const MAX_FIELDS: usize = 64;

/// Longest path that is kept, in characters; a longer one is cut there, and ends in `…`.
const MAX_PATH: usize = 256;

/// Longest target that is kept in full, in bytes: a request with a longer one is no example.
const MAX_TARGET: usize = 4096;

/// Running counts by difference group.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiffGroupTally {
    routes: HashMap<RouteName, RouteGroups, foldhash::fast::RandomState>,
    /// Groups of all routes.
    groups: usize,
    bytes: usize,
    left_out: u64,
    /// What is masked in excerpts of bodies.
    secrets: SecretNames,
}

/// The groups of a route, few enough to be looked through.
#[derive(Clone, Debug, Default)]
struct RouteGroups {
    /// The hash of each key: most are looked for again and again.
    hashes: Vec<u64>,
    groups: Vec<(DiffGroupKey<'static>, DiffGroupCount)>,
}

/// What tells the groups of a route apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DiffGroupKey<'a> {
    target: usize,
    place: DifferencePart,
    path: Cow<'a, str>,
    statuses: Option<(u16, u16)>,
    how: compare::DifferenceKind,
}

#[derive(Clone, Debug, Default)]
struct DiffGroupCount {
    count: u64,
    /// Of fields that the kind does not name by themselves: lines, and paths that were cut. Further ones are no noise.
    fields: Vec<(Box<str>, u64)>,
    examples: KeptExamples,
}

/// Two responses to one request that differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DifferingPair<'a> {
    /// The request, named.
    pub(crate) note: &'a RequestRecord,
    /// How it was sent to the target.
    pub(crate) sent_as: &'a SentAs,
    /// Target, counted from 0.
    pub(crate) target: usize,
    /// Its URL.
    pub(crate) url: &'a str,
    /// Production's response.
    pub(crate) production: &'a Production,
    /// The target's status.
    pub(crate) status: Option<u16>,
    /// What the target answered, where it did.
    pub(crate) response: Option<&'a TargetResponse>,
}

impl DiffGroupTally {
    /// No counts yet; in examples these are masked.
    pub(crate) fn hiding(secrets: SecretNames) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Counts the differences of one pair of responses.
    pub(crate) fn take(&mut self, pair: DifferingPair<'_>, differences: &[Difference]) {
        let Some(route) = &pair.note.route else { return };
        let Self { routes, groups, bytes, left_out, secrets } = self;
        let of_route = match routes.get_mut(route) {
            Some(of_route) => of_route,
            None => routes.entry(RouteName::clone(route)).or_default(),
        };
        for difference in differences {
            let statuses = Some((pair.production.status, pair.status));
            let named = compare::field(&difference.path);
            let key = DiffGroupKey::of(pair.target, statuses, difference, &named);
            let has_own_fields = named != key.path;
            let Some(count) = of_route.get_or_begin(key, groups) else {
                *left_out += 1;
                continue;
            };
            count.count += 1;
            if has_own_fields {
                count.field(&named);
            }
            let connection = pair.response.and_then(|response| response.connection);
            if count.examples.wants(connection)
                && *bytes < MAX_EXAMPLE_BYTES
                && let Some(example) = example(pair, difference, secrets)
            {
                *bytes += example.weight();
                count.examples.push(connection, example);
            }
        }
    }

    /// Takes back what was counted of a response.
    pub(crate) fn take_back(&mut self, one: &CountedDelivery) {
        let target = one.destination.target();
        let (Some(target), Some(route), Some(production), Some(compared)) =
            (target, &one.route, one.production, &one.compared)
        else {
            return;
        };
        for difference in &compared.found.differences {
            let statuses = Some((production.status, Some(one.status)));
            let named = compare::field(&difference.path);
            let key = DiffGroupKey::of(target.index(), statuses, difference, &named);
            let Some(count) = self.routes.get_mut(route).and_then(|of_route| of_route.get_mut(&key)) else {
                self.left_out = self.left_out.saturating_sub(1);
                continue;
            };
            count.count = count.count.saturating_sub(1);
            count.unfield(&named);
            let id = one.id.to_string();
            self.bytes -= count.examples.take_back(&id).map(|example| example.weight()).sum::<usize>();
        }
    }

    /// The block, with what of it is `noise`.
    pub(crate) fn block(&self, urls: &[String], noise: &noise::NoiseVerdict) -> Option<DiffGroups> {
        let groups =
            self.routes.iter().flat_map(|(route, of_route)| of_route.groups.iter().map(move |one| (route, one)));
        let rows = groups.filter(|(_, (_, count))| count.count > 0).map(|(route, (key, count))| DiffGroup {
            target: urls.get(key.target).cloned().unwrap_or_default(),
            route: route.to_string(),
            place: key.place.key().to_owned(),
            path: key.path.clone().into_owned(),
            what: key.what(),
            count: count.count,
            noise: count.noise(route, key, noise),
            examples: count.examples.shown().cloned().collect(),
        });
        let mut rows: Vec<DiffGroup> = rows.collect();
        rows.sort_by(|a, b| {
            let place =
                |kind: &DiffGroup| (kind.target.clone(), kind.route.clone(), kind.place.clone(), kind.path.clone());
            b.count.cmp(&a.count).then_with(|| place(a).cmp(&place(b))).then_with(|| a.what.cmp(&b.what))
        });
        (!rows.is_empty() || self.left_out > 0).then_some(DiffGroups { rows, left_out: self.left_out })
    }
}

impl RouteGroups {
    fn get_mut(&mut self, key: &DiffGroupKey<'_>) -> Option<&mut DiffGroupCount> {
        let at = self.position(key, key.hash())?;
        self.groups.get_mut(at).map(|(_, count)| count)
    }

    /// The counts of a group. A new one is begun where there is room for it, and adds to `all`, those of all routes.
    fn get_or_begin(&mut self, key: DiffGroupKey<'_>, all: &mut usize) -> Option<&mut DiffGroupCount> {
        let hash = key.hash();
        let at = self.position(&key, hash).or_else(|| {
            if *all >= MAX_KINDS || self.groups.len() >= MAX_KINDS_OF_ROUTE {
                return None;
            }
            *all += 1;
            self.hashes.push(hash);
            self.groups.push((key.into_owned(), DiffGroupCount::default()));
            Some(self.groups.len() - 1)
        })?;
        self.groups.get_mut(at).map(|(_, count)| count)
    }

    fn position(&self, key: &DiffGroupKey<'_>, hash: u64) -> Option<usize> {
        let hashes = self.hashes.iter().enumerate().filter(|(_, other)| **other == hash);
        hashes.map(|(at, _)| at).find(|at| self.groups.get(*at).is_some_and(|(other, _)| other == key))
    }
}

impl<'a> DiffGroupKey<'a> {
    /// The group of a difference between responses of these statuses; `named` is its field.
    fn of(target: usize, statuses: Option<(u16, Option<u16>)>, difference: &Difference, named: &'a str) -> Self {
        let statuses = || statuses.and_then(|(production, shadow)| Some((production, shadow?)));
        Self {
            target,
            place: difference.place,
            path: pattern(named),
            statuses: if difference.place == DifferencePart::Status { statuses() } else { None },
            how: difference.kind,
        }
    }

    /// A hash of what mostly tells groups apart.
    fn hash(&self) -> u64 {
        xxh3_64_with_seed(self.path.as_bytes(), (self.target as u64) << 8 | self.place as u64)
    }

    fn into_owned(self) -> DiffGroupKey<'static> {
        DiffGroupKey { path: self.path.into_owned().into(), ..self }
    }

    fn what(&self) -> Option<String> {
        let word = match self.how {
            compare::DifferenceKind::Value => None,
            compare::DifferenceKind::Missing => Some("missing"),
            compare::DifferenceKind::Extra => Some("extra"),
            compare::DifferenceKind::Type => Some("type"),
            compare::DifferenceKind::Order => Some("order"),
            compare::DifferenceKind::More => Some("more that are not listed"),
        };
        let statuses = self.statuses.map(|(production, shadow)| format!("{production:03} → {shadow:03}"));
        statuses.or_else(|| word.map(str::to_owned))
    }
}

impl DiffGroupCount {
    fn field(&mut self, name: &str) {
        if let Some((_, count)) = self.fields.iter_mut().find(|(known, _)| **known == *name) {
            *count += 1;
        } else if self.fields.len() < MAX_FIELDS {
            self.fields.push((name.into(), 1));
        }
    }

    fn unfield(&mut self, name: &str) {
        if let Some((_, count)) = self.fields.iter_mut().find(|(known, _)| **known == *name) {
            *count = count.saturating_sub(1);
        }
    }

    /// Returns the number of a group's differences that are noise.
    fn noise(&self, route: &RouteName, key: &DiffGroupKey<'_>, noise: &noise::NoiseVerdict) -> u64 {
        if key.how == compare::DifferenceKind::More {
            return 0;
        }
        let is_noise = |path: &str| noise.has(route, key.target, key.place, path);
        if self.fields.is_empty() {
            return if is_noise(&key.path) { self.count } else { 0 };
        }
        self.fields.iter().filter(|(path, _)| is_noise(path)).map(|(_, count)| count).sum()
    }
}

impl DiffExample {
    /// About how many bytes it has as JSON.
    pub(crate) fn weight(&self) -> usize {
        let values = [&self.production, &self.shadow].map(|value| value.to_string().len());
        let headers = self.request.headers.iter().map(|(name, value)| name.len() + value.len() + 8);
        let bodies = self.bodies.iter().flat_map(|bodies| [&bodies.production, &bodies.shadow]);
        let bodies: usize = bodies.map(|body| 60 + body.text.as_ref().map_or(0, String::len)).sum();
        let words = self.request.target.len() + self.curl.len();
        200 + values.iter().sum::<usize>() + headers.sum::<usize>() + bodies + words
    }
}

/// A field, not too long, and `line *` for every line.
fn pattern(field: &str) -> Cow<'_, str> {
    if field.strip_prefix("line ").is_some_and(|line| line.bytes().all(|byte| byte.is_ascii_digit())) {
        return "line *".into();
    }
    if field.len() <= MAX_PATH { field.into() } else { shortened(field.to_owned(), MAX_PATH).into() }
}

fn shortened(mut text: String, most: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
        text.push('…');
    }
    text
}

fn example(pair: DifferingPair<'_>, difference: &Difference, secrets: &SecretNames) -> Option<DiffExample> {
    let note = pair.note;
    let (request, curl) = shown_request(&note.text, pair.sent_as, note.body_len, pair.url)?;
    let is_whole = difference.place == DifferencePart::Status
        || (difference.place == DifferencePart::Body && difference.path.is_empty());
    Some(DiffExample {
        id: note.id.to_string(),
        at: note.at.to_string(),
        path: shortened(difference.path.clone(), MAX_PATH),
        production: value(&difference.production),
        shadow: value(&difference.shadow),
        statuses: (Some(pair.production.status), pair.status),
        bodies: if is_whole { bodies(pair, secrets) } else { None },
        request,
        curl,
    })
}

/// A request as it was captured and may be shown, and the command line that asks for it again, as it was sent; `None` where
/// its target is too long.
pub(super) fn shown_request(
    text: &RequestText,
    sent_as: &SentAs,
    body_len: u64,
    url: &str,
) -> Option<(ExampleRequest, String)> {
    if text.target().len() > MAX_TARGET {
        return None;
    }
    let headers = curl::chosen(&Head::new(text.head().to_vec()));
    let curl = match &sent_as.head {
        None => {
            let host = sent_as.keeps_host.then(|| text.host());
            curl::line(url, (text.method(), text.target()), host, &headers, body_len)
        }
        Some(head) => {
            let (method, target, _) = head.request_line();
            let host = head.get("host").filter(|_| sent_as.keeps_host);
            curl::line(url, (method, target), host, &curl::chosen(head), body_len)
        }
    };
    let shown = |bytes: &[u8]| wire_text(bytes).into_owned();
    let request = ExampleRequest {
        method: shown(text.method()),
        target: shown(&middleware::masking::target(text.target())),
        headers: headers.iter().map(|(name, value)| (shown(name), shown(value))).collect(),
    };
    Some((request, curl))
}

/// Both bodies, where the target answered.
fn bodies(pair: DifferingPair<'_>, secrets: &SecretNames) -> Option<ExampleBodies> {
    let response = pair.response?;
    let production = body(pair.production.body_len, pair.production.kept.as_deref(), secrets);
    Some(ExampleBodies { production, shadow: body(response.body_len, response.kept.as_deref(), secrets) })
}

fn body(len: u64, kept: Option<&RetainedResponse>, secrets: &SecretNames) -> ExampleBody {
    let content_type = kept.and_then(|kept| kept.head.get("content-type"));
    let content_type = content_type.map(|value| shortened(wire_text(value).into_owned(), MAX_PATH));
    let text = kept.and_then(|kept| compare::excerpt(&kept.head, kept.body.as_deref()?, secrets));
    ExampleBody { len, content_type, text }
}

/// A value that is not too long to look at.
fn value(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text),
        value => Cow::Owned(value.to_string()),
    };
    if text.len() <= MAX_VALUE { value.clone() } else { shortened(text.into_owned(), MAX_VALUE).into() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::recent::{CountedComparison, KnownProduction};
    use super::super::testing::{answer, counted, note, production};
    use super::*;
    use crate::compare::ResponseDiff;
    use crate::replay::ConnNumber;

    fn difference(place: DifferencePart, path: &str) -> Difference {
        Difference {
            place,
            path: path.into(),
            kind: compare::DifferenceKind::Value,
            production: 1.into(),
            shadow: 2.into(),
        }
    }

    fn take(tally: &mut DiffGroupTally, n: u32, route: &str, found: &[Difference]) {
        let mut note = note(n);
        note.route = Some(route.into());
        let pair = DifferingPair {
            note: &note,
            sent_as: &SentAs::CAPTURED,
            target: 0,
            url: "http://t",
            production: &production(200),
            status: Some(503),
            response: None,
        };
        tally.take(pair, found);
    }

    fn block(tally: &DiffGroupTally) -> DiffGroups {
        tally.block(&["http://t".to_owned()], &noise::NoiseVerdict::default()).unwrap()
    }

    #[test]
    fn indexes_are_one_kind_and_the_first_examples_are_kept() {
        let mut tally = DiffGroupTally::default();
        for n in 0..10 {
            take(&mut tally, n, "GET /a", &[difference(DifferencePart::Body, &format!("$.items[{n}].tags[3]"))]);
        }
        let kinds = block(&tally).rows;
        assert_eq!((kinds.len(), kinds[0].path.as_str(), kinds[0].count), (1, "$.items[*].tags[*]", 10));
        let paths: Vec<&str> = kinds[0].examples.iter().map(|example| example.path.as_str()).collect();
        assert_eq!(paths, ["$.items[0].tags[3]", "$.items[1].tags[3]", "$.items[2].tags[3]"]);
        assert_eq!(kinds[0].examples[0].curl, "curl -sSig --path-as-is 'http://t/a'");
        for (path, kind) in [
            ("$['a[1']", "$['a[1']"),
            ("[", "["),
            ("line 17", "line *"),
            ("line x", "line x"),
            ("$.users.4711.seen", "$.users.*.seen"),
            (r#"$["12:30"].seen"#, "$.*.seen"),
            ("[]x", "[]x"),
            ("$[12]]", "$[*]]"),
            ("", ""),
        ] {
            assert_eq!(pattern(&compare::field(path)), kind);
        }
    }

    /// Counts a difference of one exchange whose response came over this connection.
    fn take_over(tally: &mut DiffGroupTally, n: u32, connection: ConnNumber) -> CountedDelivery {
        let mut note = note(n);
        let route: RouteName = "GET /a".into();
        note.route = Some(RouteName::clone(&route));
        let found = vec![difference(DifferencePart::Body, "$.a")];
        let response = TargetResponse { connection: Some(connection), ..answer(200) };
        let production = production(200);
        let pair = DifferingPair {
            note: &note,
            sent_as: &SentAs::CAPTURED,
            target: 0,
            url: "http://t",
            production: &production,
            status: Some(200),
            response: Some(&response),
        };
        tally.take(pair, &found);
        let found = ResponseDiff { differences: found, body_unknown: None };
        let compared = Some(CountedComparison::new(Arc::new(found), false));
        let (route, production) = (Some(route), Some(KnownProduction::of(&production)));
        CountedDelivery { connection, route, production, compared, ..counted(n) }
    }

    #[test]
    fn a_kind_whose_first_examples_are_taken_back_has_another_one() {
        let (mut tally, connection) = (DiffGroupTally::default(), ConnNumber::next());
        let of_it: Vec<_> = (1..=5).map(|n| take_over(&mut tally, n, connection)).collect();
        (6..=9).for_each(|n| drop(take_over(&mut tally, n, ConnNumber::next())));
        let shown = |tally: &DiffGroupTally| -> Vec<String> {
            block(tally).rows[0].examples.iter().map(|example| example.id.clone()).collect()
        };
        assert_eq!(shown(&tally), ["1.1", "1.2", "1.3"]);
        for one in &of_it {
            tally.take_back(one);
        }
        assert_eq!((block(&tally).rows[0].count, shown(&tally)), (4, vec!["1.6".to_owned()]));
        let last = [10, 11, 12].map(|n| take_over(&mut tally, n, connection));
        assert_eq!(shown(&tally), ["1.6", "1.10", "1.11"]);
        for one in &last {
            tally.take_back(one);
        }
        assert_eq!(shown(&tally), ["1.6"]);
    }

    #[test]
    fn a_status_is_a_kind_by_what_it_became() {
        let mut tally = DiffGroupTally::default();
        take(&mut tally, 1, "GET /a", &[difference(DifferencePart::Status, "")]);
        assert_eq!(block(&tally).rows[0].what.as_deref(), Some("200 → 503"));
    }

    #[test]
    fn of_lines_only_those_that_are_noise_are_told_as_noise() {
        let mut tally = DiffGroupTally::default();
        let mut more = difference(DifferencePart::Body, "$.at");
        more.kind = compare::DifferenceKind::More;
        for n in 0..3 {
            let paths = ["line 2", "line 7", "$.items[0].at", "$.at"];
            take(&mut tally, n, "GET /a", &paths.map(|path| difference(DifferencePart::Body, path)));
        }
        take(&mut tally, 4, "GET /a", &[more]);
        take(&mut tally, 5, "GET /b", &[difference(DifferencePart::Body, "$.at")]);
        let fields = ["line 2", "$.items[*].at", "$.at"].map(|path| (DifferencePart::Body, path.into())).into();
        let of_route = noise::RouteNoise { fields, ..noise::RouteNoise::default() };
        let noise = noise::NoiseVerdict {
            routes: [("GET /a".to_owned(), vec![of_route])].into(),
            ..noise::NoiseVerdict::default()
        };
        let rows = tally.block(&["http://t".to_owned()], &noise).unwrap().rows;
        let told = |kind: &DiffGroup| format!("{} {} {} of {}", kind.route, kind.path, kind.noise, kind.count);
        assert_eq!(
            rows.iter().map(told).collect::<Vec<_>>(),
            [
                "GET /a line * 3 of 6",
                "GET /a $.at 3 of 3",
                "GET /a $.items[*].at 3 of 3",
                "GET /a $.at 0 of 1",
                "GET /b $.at 0 of 1"
            ]
        );
    }

    #[test]
    fn kinds_are_bounded_by_route_and_in_all_and_what_is_left_out_is_counted() {
        let mut tally = DiffGroupTally::default();
        for route in 0..40 {
            for n in 0..MAX_KINDS_OF_ROUTE + 10 {
                take(&mut tally, 1, &format!("GET /{route}"), &[difference(DifferencePart::Body, &format!("$.a{n}"))]);
            }
        }
        let kinds = block(&tally);
        assert_eq!(kinds.rows.len(), MAX_KINDS);
        assert_eq!(kinds.rows.iter().filter(|kind| kind.route == "GET /0").count(), MAX_KINDS_OF_ROUTE);
        let all = 40 * (MAX_KINDS_OF_ROUTE as u64 + 10);
        assert_eq!(kinds.left_out + kinds.rows.iter().map(|kind| kind.count).sum::<u64>(), all);
    }

    #[test]
    fn examples_are_bounded_in_bytes_whatever_differs() {
        let mut tally = DiffGroupTally::default();
        for n in 0..MAX_KINDS {
            let long = "é".repeat(100_000);
            let found = Difference {
                production: long.clone().into(),
                shadow: vec![long].into(),
                ..difference(DifferencePart::Body, "$.a")
            };
            take(&mut tally, 1, &format!("GET /{n}"), &[found]);
        }
        let json = serde_json::to_string(&block(&tally)).unwrap();
        assert!(json.len() < 2 * MAX_EXAMPLE_BYTES, "{}", json.len());
        assert!(block(&tally).rows.iter().any(|kind| kind.examples.is_empty()));
    }
}

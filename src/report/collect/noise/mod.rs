//! Noise: the fields that differ whatever the stack, which are those in which production differs from itself.
//!
//! Comparisons come in, by route: of production with a target ([`Noise::take`]), and of something with itself
//! ([`Noise::own`]): production with the baseline, with its own earlier response to the same request, or a target with
//! its response to the same request sent twice. At any time a [`NoiseVerdict`] comes out: the fields that are noise,
//! the reasons, and the number of responses that differ in nothing else. Nothing is forgotten or hidden: noise is
//! counted separately.
//!
//! **The rule.** A field of a route is noise if it differed from itself in two comparisons at least, and the target's
//! rate of differing is not above its own by more than a half, or by three in ten thousand. That is Diffy's rule (a
//! relative difference of 20 % between the rates is a factor of 1.5), but for the two comparisons: a field that never
//! differed from itself is never noise.

mod route;

use std::collections::{BTreeMap, HashMap};

use crate::compare::{DifferencePart, ResponseDiff};
use crate::report::schema::noise::{FieldRow, NoiseOnlyCounts, NoiseRow, NoiseSource, UnlearntNoise};

use super::route_name::{MAX_ROUTES, OTHER};
use route::{FieldId, MAX_FIELDS, MAX_SETS, NoiseCapacity, NoiseRoute, NoiseTarget, add, subtract};

/// Fields of all routes, and sets of all: as of 500 routes that have as many as they may. The sets may have eight fields
/// each, on the whole: who makes up responses that differ in everything fills no more than two megabytes.
const ROOM: NoiseCapacity =
    NoiseCapacity { fields: 500 * MAX_FIELDS, sets: 500 * MAX_SETS, members: 8 * 500 * MAX_SETS };
/// Comparisons of something with itself that one route is judged by, for each way to compare: enough for any rate.
pub(crate) const MAX_OWN: u64 = 1000;
/// Rows of each list of the verdict for each target, the most frequent first; the others count all the same.
pub(crate) const MAX_ROWS: usize = 2000;

impl NoiseSource {
    const ALL: [Self; 3] = [Self::Baseline, Self::SelfCheck, Self::Repeats];

    /// Returns whether this source is valid for a part of a response. Production's own statuses change with time: only
    /// responses of the same moment count for them.
    pub(super) const fn concerns(self, place: DifferencePart) -> bool {
        !matches!((self, place), (Self::Repeats, DifferencePart::Status))
    }
}

impl NoiseOnlyCounts {
    /// Counts responses that differ in just these fields: of each its part, and whether it is noise.
    pub(crate) fn count(&mut self, fields: &(impl Iterator<Item = (DifferencePart, bool)> + Clone), count: u64) {
        if fields.clone().all(|(_, is_noise)| is_noise) {
            self.any += count;
        }
        for (place, into) in [
            (DifferencePart::Status, &mut self.status),
            (DifferencePart::Header, &mut self.headers),
            (DifferencePart::Body, &mut self.body),
        ] {
            let mut of_place = fields.clone().filter(|(other, _)| *other == place).map(|(_, is_noise)| is_noise);
            if of_place.next() == Some(true) && of_place.all(|is_noise| is_noise) {
                *into += count;
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.any += other.any;
        self.status += other.status;
        self.headers += other.headers;
        self.body += other.body;
    }
}

/// Noise on one route at one target, and the responses it explains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteNoise {
    /// The fields that are.
    pub fields: Vec<(DifferencePart, Box<str>)>,
    /// Responses that differ in nothing else.
    pub only: NoiseOnlyCounts,
}

/// Fields that are noise, and the responses they explain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NoiseVerdict {
    /// Each field that is, the most frequent first.
    pub rows: Vec<NoiseRow>,
    /// Each field that differs and is not, the most frequent first.
    pub fields: Vec<FieldRow>,
    /// Routes where noise is unknown, by target; none where it is known.
    pub unlearnt: Vec<UnlearntNoise>,
    /// Responses that differ in noise alone, by target.
    pub targets: Vec<NoiseOnlyCounts>,
    /// All of it, by route and then by target.
    pub routes: HashMap<String, Vec<RouteNoise>>,
}

impl NoiseVerdict {
    /// Returns the responses that differ in noise alone on this route at this target.
    #[must_use]
    pub fn only(&self, route: &str, target: usize) -> NoiseOnlyCounts {
        self.of(route, target).map(|found| found.only).unwrap_or_default()
    }

    /// Returns whether a field, with `[*]` for indices, is noise on this route at this target.
    #[must_use]
    pub fn has(&self, route: &str, target: usize, place: DifferencePart, path: &str) -> bool {
        let is_it = |(other, name): &(DifferencePart, Box<str>)| *other == place && **name == *path;
        self.of(route, target).is_some_and(|found| found.fields.iter().any(is_it))
    }

    fn add_unlearnt(&mut self, url: &str, responses: u64) {
        if !self.unlearnt.iter().any(|known| known.target == url) {
            self.unlearnt.push(UnlearntNoise { target: url.to_owned(), ..UnlearntNoise::default() });
        }
        if let Some(known) = self.unlearnt.iter_mut().find(|known| known.target == url) {
            known.routes += 1;
            known.responses += responses;
        }
    }

    fn of(&self, route: &str, target: usize) -> Option<&RouteNoise> {
        self.routes.get(route)?.get(target)
    }
}

/// Counts of all comparisons.
#[derive(Clone, Debug)]
pub struct Noise {
    targets: usize,
    routes: HashMap<String, NoiseRoute, foldhash::fast::RandomState>,
    room: NoiseCapacity,
}

impl Noise {
    /// No comparison yet.
    #[must_use]
    pub fn new(targets: usize) -> Self {
        Self { targets, routes: HashMap::default(), room: ROOM }
    }

    /// Adds a comparison of a target's response with production's.
    pub fn take(&mut self, route: &str, target: usize, found: &ResponseDiff) {
        let (targets, mut room) = (self.targets, self.room);
        let route = self.route(route);
        route.targets.resize(targets, NoiseTarget::default());
        route.take(target, found, &mut room);
        self.room = room;
    }

    /// Takes back that a target's answer was compared with production's.
    pub(crate) fn take_back(&mut self, route: &str, target: usize, found: &ResponseDiff) {
        let mut room = self.room;
        self.route(route).take_back(target, found, &mut room);
        self.room = room;
    }

    /// Takes back that something was compared with itself.
    pub(crate) fn own_back(&mut self, route: &str, why: NoiseSource, found: &ResponseDiff) {
        let mut room = self.room;
        let route = self.route(route);
        let fields = route.own_fields(found, &mut room);
        if let Some(own) = route.own.get_mut(why as usize) {
            own.pairs = own.pairs.saturating_sub(1);
            for field in fields {
                subtract(&mut own.differ, field);
            }
        }
        self.room = room;
    }

    /// Returns whether another comparison of something with itself adds to the knowledge of this route.
    #[must_use]
    pub fn wants(&self, route: &str, why: NoiseSource) -> bool {
        let known = self.routes.get(route).or_else(|| self.routes.get(OTHER).filter(|_| self.is_full()));
        known.is_none_or(|route| route.own_of(why).is_none_or(|own| own.pairs < MAX_OWN))
    }

    /// Something was compared with itself. Returns whether that was counted: of many comparisons the first tell enough.
    pub fn own(&mut self, route: &str, why: NoiseSource, found: &ResponseDiff) -> bool {
        let mut room = self.room;
        let route = self.route(route);
        let fields = route.own_fields(found, &mut room);
        let Some(own) = route.own.get_mut(why as usize).filter(|own| own.pairs < MAX_OWN) else { return false };
        own.pairs += 1;
        for field in fields {
            add(&mut own.differ, field);
        }
        self.room = room;
        true
    }

    /// Returns the verdict so far; `urls` are the targets'.
    #[must_use]
    pub fn verdict(&self, urls: &[String]) -> NoiseVerdict {
        let mut verdict =
            NoiseVerdict { targets: vec![NoiseOnlyCounts::default(); self.targets], ..NoiseVerdict::default() };
        // In the order of names: the same run is always told the same way.
        let routes: BTreeMap<&str, &NoiseRoute> =
            self.routes.iter().map(|(name, route)| (name.as_str(), route)).collect();
        for (name, route) in routes {
            for (at, target) in route.targets.iter().enumerate() {
                let url = urls.get(at).map_or("", String::as_str);
                let rows = route.rows(name, url, target);
                let mut noise = [false; MAX_FIELDS];
                for (field, _) in &rows {
                    if let Some(is_noise) = noise.get_mut(usize::from(*field)) {
                        *is_noise = true;
                    }
                }
                let is_noise = |field: FieldId| noise.get(usize::from(field)).copied().unwrap_or_default();
                let mut only = NoiseOnlyCounts::default();
                target.sets.iter().for_each(|(set, count)| route.only_noise(set, *count, &is_noise, &mut only));
                if let Some(all) = verdict.targets.get_mut(at) {
                    all.add(only);
                }
                if !rows.is_empty() {
                    let fields: Vec<_> = rows.iter().map(|(_, row)| (row.place, row.path.as_str().into())).collect();
                    let of_route = verdict.routes.entry(name.to_owned()).or_default();
                    of_route.resize(self.targets, RouteNoise::default());
                    if let Some(found) = of_route.get_mut(at) {
                        *found = RouteNoise { fields, only };
                    }
                }
                let differing = route.unlearnt(target);
                if differing > 0 {
                    verdict.add_unlearnt(url, differing);
                }
                verdict.fields.extend(route.others(name, url, target, &rows));
                verdict.rows.extend(rows.into_iter().map(|(_, row)| row));
            }
        }
        let often = |row: &NoiseRow| row.rates.shadow * row.samples.shadow as f64;
        verdict.rows.sort_by(|a, b| often(b).total_cmp(&often(a)));
        truncate(&mut verdict.rows, |row| &row.target);
        verdict.fields.sort_by_key(|row| std::cmp::Reverse(row.count));
        truncate(&mut verdict.fields, |row| &row.target);
        verdict
    }

    /// As routes come by their names in the report, this is never met: they and [`OTHER`] have room.
    fn is_full(&self) -> bool {
        self.routes.len() > MAX_ROUTES
    }

    fn route(&mut self, name: &str) -> &mut NoiseRoute {
        let name = if self.is_full() && !self.routes.contains_key(name) { OTHER } else { name };
        if !self.routes.contains_key(name) {
            self.routes.insert(name.to_owned(), NoiseRoute::default());
        }
        self.routes.entry(name.to_owned()).or_default()
    }
}

/// Keeps the first rows of each target.
fn truncate<T>(rows: &mut Vec<T>, target: impl Fn(&T) -> &str) {
    let mut kept = BTreeMap::<String, usize>::new();
    rows.retain(|row| {
        let count = kept.entry(target(row).to_owned()).or_default();
        *count += 1;
        *count <= MAX_ROWS
    });
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::compare::{Difference, DifferenceKind};

    /// Differences in these places: `$...` in the body, `status`, anything else a header.
    fn found(paths: &[&str]) -> ResponseDiff {
        let differences = paths.iter().map(|path| {
            let place = match *path {
                "status" => DifferencePart::Status,
                path if path.starts_with('$') => DifferencePart::Body,
                _ => DifferencePart::Header,
            };
            let path = (*path).to_owned();
            Difference { place, path, kind: DifferenceKind::Value, production: Value::Null, shadow: Value::Null }
        });
        ResponseDiff { differences: differences.collect(), body_unknown: None }
    }

    fn verdict(noise: &Noise) -> (Vec<String>, NoiseOnlyCounts) {
        let verdict = noise.verdict(&["http://t".to_owned()]);
        let rows = verdict.rows.iter().map(|row| format!("{} {} {:?}", row.route, row.path, row.why));
        (rows.collect(), verdict.targets[0])
    }

    /// `own` of 100 comparisons with itself differ, and `shadow` of 100 with production.
    fn rated(why: NoiseSource, own: u32, shadow: u32) -> bool {
        let mut noise = Noise::new(1);
        for n in 0..100 {
            noise.own("GET /", why, &found(if n < own { &["$.t"] } else { &[] }));
            noise.take("GET /", 0, &found(if n < shadow { &["$.t"] } else { &[] }));
        }
        !verdict(&noise).0.is_empty()
    }

    #[test]
    fn a_field_that_differs_from_itself_as_often_is_noise() {
        for (own, shadow, is_noise) in
            [(100, 100, true), (67, 100, true), (66, 100, false), (10, 15, true), (10, 16, false), (100, 1, true)]
        {
            assert_eq!(rated(NoiseSource::Baseline, own, shadow), is_noise, "{own} {shadow}");
        }
    }

    #[test]
    fn what_never_differed_from_itself_or_only_once_is_no_noise() {
        assert!(!rated(NoiseSource::Repeats, 0, 1));
        assert!(!rated(NoiseSource::Repeats, 1, 1));
        assert!(rated(NoiseSource::SelfCheck, 2, 2));
        assert!(!rated(NoiseSource::SelfCheck, 2, 0), "nothing is told of what does not differ");
    }

    #[test]
    fn an_answer_that_differs_in_something_else_as_well_still_counts() {
        let mut noise = Noise::new(1);
        for _ in 0..5 {
            noise.own("GET /", NoiseSource::Repeats, &found(&["$.items[3].ts", "etag"]));
        }
        for _ in 0..7 {
            noise.take("GET /", 0, &found(&["$.items[9].ts", "$.items[1].ts"]));
        }
        for _ in 0..2 {
            noise.take("GET /", 0, &found(&["$.items[0].ts", "$.price", "etag"]));
        }
        noise.take("GET /", 0, &found(&[]));
        let fields = noise.verdict(&["http://t".to_owned()]).fields;
        assert_eq!(fields.len(), 1);
        assert_eq!((fields[0].path.as_str(), fields[0].count, fields[0].compared), ("$.price", 2, 10));
        let (rows, only) = verdict(&noise);
        assert_eq!(rows, ["GET / $.items[*].ts Repeats", "GET / etag Repeats"]);
        assert_eq!(only, NoiseOnlyCounts { any: 7, status: 0, headers: 2, body: 7 });
        let verdict = noise.verdict(&["http://t".to_owned()]);
        assert_eq!((verdict.only("GET /", 0), verdict.only("GET /", 1)), (only, NoiseOnlyCounts::default()));
        let has = |route, path| verdict.has(route, 0, DifferencePart::Body, path);
        assert!(has("GET /", "$.items[*].ts") && !has("GET /", "$.price") && !has("GET /b", "$.items[*].ts"));
    }

    #[test]
    fn where_nothing_was_compared_with_itself_it_is_told_that_noise_is_not_known() {
        let mut noise = Noise::new(1);
        let known = |noise: &Noise| {
            let unlearnt = noise.verdict(&["http://t".to_owned()]).unlearnt;
            unlearnt.iter().map(|one| (one.target.clone(), one.routes, one.responses)).collect::<Vec<_>>()
        };
        for _ in 0..4 {
            noise.take("GET /same", 0, &found(&[]));
            noise.take("GET /gone", 0, &found(&["status"]));
        }
        assert_eq!(known(&noise), []);
        for n in 0..6 {
            noise.take("GET /a", 0, &found(&["$.by.4711.at"]));
            noise.take("GET /b", 0, &found(if n < 2 { &["etag"] } else { &[] }));
        }
        noise.own("GET /a", NoiseSource::Repeats, &found(&[]));
        assert_eq!(known(&noise), [("http://t".to_owned(), 2, 8)]);
        noise.own("GET /a", NoiseSource::SelfCheck, &found(&[]));
        noise.own("GET /a", NoiseSource::SelfCheck, &found(&["$.by.12.at"]));
        assert_eq!(known(&noise), [("http://t".to_owned(), 1, 2)]);
    }

    #[test]
    fn members_under_ids_are_one_noisy_field() {
        let mut noise = Noise::new(1);
        for n in 0..300 {
            let path = format!("$.by.{}.seen", 5000 + n);
            noise.own("GET /", NoiseSource::SelfCheck, &found(&[&path]));
            noise.take("GET /", 0, &found(&[&path]));
        }
        let (rows, only) = verdict(&noise);
        assert_eq!((rows, only.body), (vec!["GET / $.by.*.seen SelfCheck".to_owned()], 300));
    }

    #[test]
    fn a_route_says_nothing_of_another() {
        let mut noise = Noise::new(1);
        for _ in 0..5 {
            noise.own("GET /a", NoiseSource::Baseline, &found(&["$.t"]));
            noise.take("GET /b", 0, &found(&["$.t"]));
        }
        assert_eq!(verdict(&noise).0, Vec::<String>::new());
    }

    #[test]
    fn statuses_are_noise_only_by_what_was_asked_at_the_same_moment() {
        for (why, is_noise) in
            [(NoiseSource::Baseline, true), (NoiseSource::SelfCheck, true), (NoiseSource::Repeats, false)]
        {
            let mut noise = Noise::new(1);
            for _ in 0..5 {
                noise.own("GET /", why, &found(&["status"]));
                noise.take("GET /", 0, &found(&["status"]));
            }
            assert_eq!(!verdict(&noise).0.is_empty(), is_noise, "{why:?}");
        }
    }

    #[test]
    fn bodies_of_responses_with_different_statuses_tell_nothing_of_those_with_the_same() {
        for (why, is_noise) in [(NoiseSource::Baseline, true), (NoiseSource::Repeats, false)] {
            let mut noise = Noise::new(1);
            for _ in 0..5 {
                noise.own("GET /", why, &found(&["status", "$"]));
                noise.take("GET /", 0, &found(&["$"]));
                noise.take("GET /", 0, &found(&["status", "$"]));
            }
            let (rows, only) = verdict(&noise);
            assert_eq!(rows, if is_noise { vec!["GET / status Baseline".to_owned()] } else { vec![] });
            let both = if is_noise { 5 } else { 0 };
            assert_eq!(only, NoiseOnlyCounts { any: both, status: both, headers: 0, body: both }, "{why:?}");
            let fields = noise.verdict(&["http://t".to_owned()]).fields;
            assert!(fields.iter().any(|row| row.path == "$" && row.count == 10), "{fields:?}");
        }
    }

    #[test]
    fn what_is_listed_counts_where_more_differs() {
        let mut noise = Noise::new(1);
        let mut more = found(&["$.a", "$.b"]);
        more.differences[1].kind = DifferenceKind::More;
        for _ in 0..3 {
            noise.take("GET /", 0, &more);
            noise.take("GET /", 0, &found(&["$.a"]));
        }
        let count = |noise: &Noise| noise.verdict(&["http://t".to_owned()]).fields[0].count;
        assert_eq!(count(&noise), 6);
        noise.take_back("GET /", 0, &more);
        assert_eq!(count(&noise), 5);
    }

    #[test]
    fn each_target_has_as_many_rows_whatever_differs_at_another() {
        let urls = ["http://a".to_owned(), "http://b".to_owned()];
        let mut noise = Noise::new(2);
        for route in 0..MAX_ROUTES {
            for n in 0..10 {
                noise.take(&format!("GET /{route}"), 0, &found(&[&format!("$.a{n}")]));
            }
        }
        noise.take("GET /0", 1, &found(&["$.b"]));
        let fields = noise.verdict(&urls).fields;
        assert_eq!(fields.iter().filter(|row| row.target == urls[0]).count(), MAX_ROWS);
        assert_eq!(fields.iter().filter(|row| row.target == urls[1]).count(), 1);
    }

    #[test]
    fn whatever_comes_memory_and_work_have_a_bound() {
        let mut noise = Noise::new(1);
        for n in 0..2 * MAX_FIELDS {
            let path = format!("$.f{n}");
            noise.own("GET /", NoiseSource::Baseline, &found(&[&path]));
            noise.own("GET /", NoiseSource::Baseline, &found(&[&path]));
            noise.take("GET /", 0, &found(&[&path]));
        }
        for n in 0..2 * MAX_ROUTES {
            noise.take(&format!("GET /r{n}"), 0, &found(&[]));
        }
        assert_eq!((noise.routes.len(), noise.routes["GET /"].fields.len()), (MAX_ROUTES + 2, MAX_FIELDS));
        assert_eq!(noise.routes["GET /"].targets[0].sets.len(), MAX_FIELDS);
        for _ in 0..2 * MAX_OWN {
            noise.own("GET /", NoiseSource::Repeats, &found(&[]));
        }
        assert!(!noise.wants("GET /", NoiseSource::Repeats) && noise.wants("GET /", NoiseSource::SelfCheck));
        assert!(noise.wants("GET /new", NoiseSource::Repeats));
    }

    #[test]
    fn a_difference_that_is_not_listed_is_never_noise() {
        let mut more = found(&["$.t", ""]);
        more.differences[1].kind = DifferenceKind::More;
        let mut noise = Noise::new(1);
        for _ in 0..5 {
            noise.own("GET /", NoiseSource::Baseline, &more);
            noise.take("GET /", 0, &more);
        }
        assert_eq!(verdict(&noise).1, NoiseOnlyCounts::default());
    }
}

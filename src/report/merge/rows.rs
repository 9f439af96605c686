//! Rows of several runs: routes, groups of differences, fields and noise. Rows of one key become one; there are no more of them
//! than a run may have.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::compare::DifferencePart;
use crate::report::collect::diff_groups::{MAX_EXAMPLE_BYTES, MAX_KINDS};
use crate::report::collect::kept_examples::MAX_EXAMPLES;
use crate::report::collect::noise::MAX_ROWS;
use crate::report::collect::route_name::{MAX_ROUTES, OTHER};
use crate::report::schema::by_route::RouteSummary;
use crate::report::schema::diff_groups::{DiffGroup, DiffGroups};
use crate::report::schema::noise::{FieldRow, NoiseRow, NoiseSource, UnlearntNoise};
use crate::report::schema::summary::Summary;

use super::durations::MergedDurations;
use super::plus::Plus as _;

/// A field at a target on a route.
type FieldKey = (String, String, DifferencePart, String);

/// Rows of the runs so far.
#[derive(Debug, Default)]
pub(super) struct MergedRows {
    routes: BTreeMap<String, RouteSummary>,
    kinds: BTreeMap<(String, String, String, String, Option<String>), DiffGroup>,
    kinds_left_out: u64,
    fields: BTreeMap<FieldKey, FieldRow>,
    noise: BTreeMap<(FieldKey, NoiseSource), NoiseRow>,
    unlearnt: BTreeMap<String, UnlearntNoise>,
    /// Some run had more fields than are listed.
    is_cut: bool,
}

impl MergedRows {
    /// Takes the rows out of a summary.
    pub(super) fn add(&mut self, summary: &mut Summary) {
        for route in std::mem::take(&mut summary.routes) {
            self.add_route(route);
        }
        self.add_kinds(summary.kinds.take().unwrap_or_default());
        self.add_fields(std::mem::take(&mut summary.fields));
        self.add_noise(std::mem::take(&mut summary.noise));
        self.add_unlearnt(std::mem::take(&mut summary.noise_unlearnt));
    }

    fn add_route(&mut self, route: RouteSummary) {
        let name = route.route.clone();
        let empty = RouteSummary { route: name.clone(), ..RouteSummary::default() };
        self.routes.entry(name).or_insert(empty).plus(route);
    }

    fn add_kinds(&mut self, kinds: DiffGroups) {
        self.kinds_left_out.plus(kinds.left_out);
        for group in kinds.rows {
            let DiffGroup { target, route, place, path, what, .. } = group.clone();
            match self.kinds.get_mut(&(target.clone(), route.clone(), place.clone(), path.clone(), what.clone())) {
                Some(own) => {
                    own.count.plus(group.count);
                    own.noise.plus(group.noise);
                    own.examples.extend(group.examples);
                    own.examples.truncate(MAX_EXAMPLES);
                }
                None => drop(self.kinds.insert((target, route, place, path, what), group)),
            }
        }
    }

    fn add_fields(&mut self, fields: Vec<FieldRow>) {
        self.is_cut |= fields.len() >= MAX_ROWS;
        for row in fields {
            let key = (row.target.clone(), row.route.clone(), row.place, row.path.clone());
            match self.fields.get_mut(&key) {
                Some(own) => {
                    own.count.plus(row.count);
                    own.compared.plus(row.compared);
                }
                None => drop(self.fields.insert(key, row)),
            }
        }
    }

    fn add_noise(&mut self, noise: Vec<NoiseRow>) {
        for row in noise {
            let key = ((row.target.clone(), row.route.clone(), row.place, row.path.clone()), row.why);
            match self.noise.get_mut(&key) {
                Some(own) => {
                    let rate = |one: (f64, u64), other: (f64, u64)| {
                        let (differing, all) =
                            (one.0 * one.1 as f64 + other.0 * other.1 as f64, one.1 as f64 + other.1 as f64);
                        if all > 0.0 { differing / all } else { 0.0 }
                    };
                    let (rates, samples) = (&mut own.rates, &mut own.samples);
                    rates.shadow = rate((rates.shadow, samples.shadow), (row.rates.shadow, row.samples.shadow));
                    rates.own = rate((rates.own, samples.own), (row.rates.own, row.samples.own));
                    samples.shadow.plus(row.samples.shadow);
                    samples.own.plus(row.samples.own);
                }
                None => drop(self.noise.insert(key, row)),
            }
        }
    }

    /// On how many routes of several runs noise is not known, the summaries do not say: on as many as in any of them.
    fn add_unlearnt(&mut self, unlearnt: Vec<UnlearntNoise>) {
        for row in unlearnt {
            match self.unlearnt.get_mut(&row.target) {
                Some(own) => {
                    own.routes = own.routes.max(row.routes);
                    own.responses.plus(row.responses);
                }
                None => drop(self.unlearnt.insert(row.target.clone(), row)),
            }
        }
    }

    /// Returns whether some run had more fields than are listed of it.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The routes, the busiest first; those that are too many become one, in `durations` too.
    pub(super) fn routes(&mut self, durations: &mut MergedDurations) -> Vec<RouteSummary> {
        let other = self.routes.remove(OTHER);
        let mut rows: Vec<RouteSummary> = std::mem::take(&mut self.routes).into_values().collect();
        rows.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.route.cmp(&b.route)));
        let further = rows.split_off(rows.len().min(MAX_ROUTES));
        let mut all = other.into_iter().collect::<Vec<_>>();
        for route in further {
            durations.fold(&route.route, OTHER);
            all.push(route);
        }
        let folded = all.into_iter().reduce(|mut own, more| {
            own.plus(more);
            own
        });
        rows.extend(folded.map(|row| RouteSummary { route: OTHER.to_owned(), ..row }));
        rows
    }

    /// The groups of differences, the most frequent first.
    pub(super) fn kinds(&mut self) -> Option<DiffGroups> {
        let mut rows: Vec<DiffGroup> = std::mem::take(&mut self.kinds).into_values().collect();
        rows.sort_by_key(|row| Reverse(row.count));
        let mut left_out = self.kinds_left_out;
        rows.split_off(rows.len().min(MAX_KINDS)).iter().for_each(|row| left_out.plus(row.count));
        let mut bytes = 0;
        for row in &mut rows {
            row.examples.retain(|example| {
                let fits = bytes < MAX_EXAMPLE_BYTES;
                bytes += example.weight();
                fits
            });
        }
        (!rows.is_empty() || left_out > 0).then_some(DiffGroups { rows, left_out })
    }

    /// The fields that differ, the most frequent first. How many were compared is known of `routes`: a run in which a field
    /// did not differ has no row of it.
    pub(super) fn fields(&mut self, routes: &[RouteSummary]) -> Vec<FieldRow> {
        let compared: BTreeMap<(&str, &str), u64> = routes
            .iter()
            .flat_map(|route| route.targets.iter().map(|(url, target)| ((&*route.route, &**url), target)))
            .map(|(key, target)| (key, target.differences.compared))
            .collect();
        let mut rows: Vec<FieldRow> = std::mem::take(&mut self.fields).into_values().collect();
        for row in &mut rows {
            let of_route = compared.get(&(&*row.route, &*row.target)).copied();
            row.compared = row.compared.max(of_route.unwrap_or_default());
        }
        rows.sort_by_key(|row| Reverse(row.count));
        rows.truncate(MAX_ROWS);
        rows
    }

    /// The fields that are noise, the most frequent first.
    pub(super) fn noise(&mut self) -> Vec<NoiseRow> {
        let mut rows: Vec<NoiseRow> = std::mem::take(&mut self.noise).into_values().collect();
        let often = |row: &NoiseRow| row.rates.shadow * row.samples.shadow as f64;
        rows.sort_by(|a, b| often(b).total_cmp(&often(a)));
        rows.truncate(MAX_ROWS);
        rows
    }

    pub(super) fn unlearnt(&mut self) -> Vec<UnlearntNoise> {
        std::mem::take(&mut self.unlearnt).into_values().collect()
    }
}

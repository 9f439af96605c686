//! The comparisons of one route, and which of its fields are noise by them.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::compare::{Difference, DifferenceKind, DifferencePart, ResponseDiff, field};
use crate::report::schema::noise::{FieldRow, NoiseOnlyCounts, NoiseRates, NoiseRow, NoiseSamples, NoiseSource};

/// Fields of one route that are counted separately; further ones are never noise.
pub(super) const MAX_FIELDS: usize = 200;
/// Sets of fields that differed together, of one route at one target; what comes up later is never noise.
pub(super) const MAX_SETS: usize = 256;
/// Times that a field has to have differed from itself.
const LEAST_OWN: u64 = 2;
/// Largest excess of a field's rate at a target over its own rate, relative to the sum of both rates.
const RELATIVE: f64 = 0.2;
/// The same, in rates.
const ABSOLUTE: f64 = 0.0003;

/// A field of a route, by its number.
pub(super) type FieldId = u16;

/// Remaining capacity on all routes together.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoiseCapacity {
    pub(super) fields: usize,
    pub(super) sets: usize,
    /// Fields in these sets.
    pub(super) members: usize,
}

/// Counts of one route.
#[derive(Clone, Debug, Default)]
pub(super) struct NoiseRoute {
    pub(super) fields: Vec<(DifferencePart, Box<str>)>,
    /// The hash of each: most are looked for again and again.
    hashes: Vec<u64>,
    pub(super) own: [SelfComparison; NoiseSource::ALL.len()],
    pub(super) targets: Vec<NoiseTarget>,
}

/// Comparisons with itself.
#[derive(Clone, Debug, Default)]
pub(super) struct SelfComparison {
    pub(super) pairs: u64,
    pub(super) differ: Vec<u64>,
}

/// Comparisons of one target with production.
#[derive(Clone, Debug, Default)]
pub(super) struct NoiseTarget {
    pub(super) compared: u64,
    pub(super) differ: Vec<u64>,
    /// Number of differences in just these fields. A response with a field without a number has none here.
    pub(super) sets: HashMap<Box<[FieldId]>, u64, foldhash::fast::RandomState>,
}

/// Fields in which two responses differ, each once, in order.
struct DifferingFields {
    fields: Vec<FieldId>,
    /// False where there are others, without a number.
    are_all: bool,
}

impl DifferingFields {
    /// All of them, where there are any and each has a number.
    fn whole(self) -> Option<Box<[FieldId]>> {
        (self.are_all && !self.fields.is_empty()).then(|| self.fields.into())
    }
}

impl NoiseRoute {
    pub(super) fn own_of(&self, why: NoiseSource) -> Option<&SelfComparison> {
        self.own.get(why as usize)
    }

    pub(super) fn take(&mut self, target: usize, found: &ResponseDiff, room: &mut NoiseCapacity) {
        let set = self.set(found, room);
        let Some(target) = self.targets.get_mut(target) else { return };
        target.compared += 1;
        set.fields.iter().for_each(|field| add(&mut target.differ, *field));
        let Some(set) = set.whole() else { return };
        if let Some(count) = target.sets.get_mut(&set) {
            *count += 1;
        } else if target.sets.len() < MAX_SETS && room.sets > 0 && room.members >= set.len() {
            room.sets -= 1;
            room.members -= set.len();
            target.sets.insert(set, 1);
        }
    }

    /// What had no number, or no set, when it was counted, has none now either: there is no more room than there was.
    pub(super) fn take_back(&mut self, target: usize, found: &ResponseDiff, room: &mut NoiseCapacity) {
        let set = self.set(found, room);
        let Some(target) = self.targets.get_mut(target) else { return };
        target.compared = target.compared.saturating_sub(1);
        set.fields.iter().for_each(|field| subtract(&mut target.differ, *field));
        let Some(set) = set.whole() else { return };
        if let Some(count) = target.sets.get_mut(&set) {
            *count = count.saturating_sub(1);
        }
    }

    /// Returns the fields in which responses differ.
    fn set(&mut self, found: &ResponseDiff, room: &mut NoiseCapacity) -> DifferingFields {
        let mut set = DifferingFields { fields: Vec::with_capacity(found.differences.len()), are_all: true };
        for difference in &found.differences {
            match self.number(difference, room) {
                Some(field) => set.fields.push(field),
                None => set.are_all = false,
            }
        }
        set.fields.sort_unstable();
        set.fields.dedup();
        set
    }

    /// Returns the fields in which something differs from itself. Responses with different statuses are different messages:
    /// what else is in them tells nothing of a field.
    pub(super) fn own_fields(&mut self, found: &ResponseDiff, room: &mut NoiseCapacity) -> Vec<FieldId> {
        match found.differences.iter().find(|difference| difference.place == DifferencePart::Status) {
            Some(status) => self.number(status, room).into_iter().collect(),
            None => self.set(found, room).fields,
        }
    }

    fn number(&mut self, difference: &Difference, room: &mut NoiseCapacity) -> Option<FieldId> {
        if difference.kind == DifferenceKind::More {
            return None;
        }
        let path = field(&difference.path);
        let hash = xxh3_64_with_seed(path.as_bytes(), difference.place as u64);
        let is_it = |at: &usize| self.fields.get(*at).is_some_and(|(_, other)| **other == *path);
        let hashes = self.hashes.iter().enumerate().filter(|(_, other)| **other == hash);
        let known = hashes.map(|(at, _)| at).find(is_it);
        let at = match known {
            Some(at) => at,
            None if self.fields.len() < MAX_FIELDS && room.fields > 0 => {
                room.fields -= 1;
                self.fields.push((difference.place, path.into()));
                self.hashes.push(hash);
                self.fields.len() - 1
            }
            None => return None,
        };
        FieldId::try_from(at).ok()
    }

    /// The fields that are noise at this target.
    pub(super) fn rows(&self, name: &str, url: &str, target: &NoiseTarget) -> Vec<(FieldId, NoiseRow)> {
        let mut rows = Vec::new();
        for (at, (place, path)) in self.fields.iter().enumerate() {
            let shadow = rate(target.differ.get(at), target.compared);
            if shadow == 0.0 {
                continue;
            }
            let noisy = NoiseSource::ALL.into_iter().filter(|why| why.concerns(*place)).find_map(|why| {
                let own = self.own_of(why)?;
                let differ = own.differ.get(at).copied().unwrap_or_default();
                let rates = NoiseRates { shadow, own: rate(Some(&differ), own.pairs) };
                let is_noise = differ >= LEAST_OWN && rates.are_alike();
                is_noise.then_some((why, rates, own.pairs))
            });
            let Some((why, rates, own)) = noisy else { continue };
            let samples = NoiseSamples { shadow: target.compared, own };
            let (route, path) = (name.to_owned(), path.to_string());
            let row = NoiseRow { route, place: *place, path, target: url.to_owned(), why, rates, samples };
            rows.extend(FieldId::try_from(at).ok().map(|at| (at, row)));
        }
        rows
    }

    /// Returns how many responses differ in headers or body, where too little was compared with itself to find noise; 0
    /// elsewhere.
    pub(super) fn unlearnt(&self, target: &NoiseTarget) -> u64 {
        if self.own.iter().any(|own| own.pairs >= LEAST_OWN) {
            return 0;
        }
        let says = |field: &FieldId| {
            self.fields.get(usize::from(*field)).is_some_and(|(place, _)| *place != DifferencePart::Status)
        };
        target.sets.iter().filter(|(set, _)| set.iter().any(says)).map(|(_, count)| count).sum()
    }

    /// The fields in which this target differs and that are no noise.
    pub(super) fn others(
        &self,
        name: &str,
        url: &str,
        target: &NoiseTarget,
        noise: &[(FieldId, NoiseRow)],
    ) -> Vec<FieldRow> {
        let counted = self
            .fields
            .iter()
            .zip(&target.differ)
            .enumerate()
            .filter(|(at, (_, count))| **count > 0 && !noise.iter().any(|(field, _)| usize::from(*field) == *at));
        let row = |(_, ((place, path), count)): (usize, (&(DifferencePart, Box<str>), &u64))| FieldRow {
            route: name.to_owned(),
            place: *place,
            path: path.to_string(),
            target: url.to_owned(),
            count: *count,
            compared: target.compared,
        };
        counted.map(row).collect()
    }

    /// Counts responses that differed in just these fields, where those of a part are all noise.
    pub(super) fn only_noise(
        &self,
        set: &[FieldId],
        count: u64,
        is_noise: &dyn Fn(FieldId) -> bool,
        counts: &mut NoiseOnlyCounts,
    ) {
        let place = |at: FieldId| Some(self.fields.get(usize::from(at))?.0);
        // What else differs where statuses do goes with them.
        let status = set.iter().find(|at| place(**at) == Some(DifferencePart::Status)).map(|at| is_noise(*at));
        let field = |at: &FieldId| Some((place(*at)?, status.unwrap_or_else(|| is_noise(*at))));
        counts.count(&set.iter().filter_map(field), count);
    }
}

impl NoiseRates {
    /// Returns whether a target differs no more than the comparisons of something with itself.
    fn are_alike(self) -> bool {
        let more = self.shadow - self.own;
        more <= RELATIVE * (self.shadow + self.own) || more <= ABSOLUTE
    }
}

pub(super) fn add(counts: &mut Vec<u64>, field: FieldId) {
    let at = usize::from(field);
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    if let Some(count) = counts.get_mut(at) {
        *count += 1;
    }
}

pub(super) fn subtract(counts: &mut [u64], field: FieldId) {
    if let Some(count) = counts.get_mut(usize::from(field)) {
        *count = count.saturating_sub(1);
    }
}

fn rate(count: Option<&u64>, of: u64) -> f64 {
    count.map_or(0.0, |count| *count as f64 / of.max(1) as f64)
}

//! Several runs as one: the summaries of replayers that shared a recording, or of runs that each had a part of the traffic.
//!
//! Summaries come in, one leaves. Counts are added up, durations are merged bucket by bucket (`durations`): what comes out is
//! what one run over all of it would have counted. What cannot be added up is left out, and the summary says so in words.

use crate::exchange::Timestamp;
use crate::report::schema::merged::{MergedRunPart, MergedRuns};
use crate::report::schema::request::RunRequest;
use crate::report::schema::summary::{SCHEMA, SampleSummary, Summary};
use crate::report::schema::target::TargetSummary;
use crate::report::schema::verdict::Verdict;

mod durations;
pub mod fleet;
mod plus;
mod rows;
mod timeline;

use durations::MergedDurations;
use plus::Plus as _;
use rows::MergedRows;
use timeline::MergedTimelines;

/// Reason that a run cannot be added to others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// It is in there already.
    #[error(
        "{name} is of the same run as {other}, which began at {started}: each run counts once, so leave one of them out"
    )]
    SameRun {
        /// Its name.
        name: String,
        /// The one that is there.
        other: String,
        /// When the run began.
        started: String,
    },
    /// Another command wrote it: its requests are others, or the same once more.
    #[error("{name} is of `{command}` and {other} is of `{expected}`: add up runs of one command")]
    OtherCommand {
        /// Its name.
        name: String,
        /// Its command.
        command: String,
        /// The one that is there.
        other: String,
        /// The command of that one.
        expected: String,
    },
    /// It is of another version of the schema.
    #[error("{name} has version {found} of the schema, and this shadowtap adds up version {SCHEMA}")]
    Schema {
        /// Its name.
        name: String,
        /// Its version.
        found: u32,
    },
    /// It has percentiles alone, of which nobody can make those of all.
    #[error(
        "{name} has percentiles, and not the durations behind them (`histograms`): an earlier version wrote it. Percentiles \
         cannot be averaged; run it again with this version"
    )]
    NoHistograms {
        /// Its name.
        name: String,
    },
    /// Its counts do not add up.
    #[error(
        "{name}: its counts do not add up, as those of every run do: it was changed or damaged after it was written"
    )]
    Unbalanced {
        /// Its name.
        name: String,
    },
    /// Its durations do not go with its figures.
    #[error(
        "{name}: the durations of {what} do not go with its figures: it was changed or damaged after it was written"
    )]
    Damaged {
        /// Its name.
        name: String,
        /// Whose durations.
        what: String,
    },
}

/// Runs that are added up.
#[derive(Debug, Default)]
pub struct MergedRun {
    sum: Summary,
    runs: Vec<MergedRunPart>,
    durations: MergedDurations,
    rows: MergedRows,
    timelines: MergedTimelines,
    samples: Vec<SampleSummary>,
    left_out: LeftOut,
    /// When the last of them ended, in nanoseconds.
    ended: u64,
}

impl MergedRun {
    /// Adds a run, which came from `name`.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be added. The others are worth nothing then: nobody asked for a part of the sum.
    pub fn add(&mut self, name: &str, mut summary: Summary) -> Result<(), MergeError> {
        self.check(name, &summary)?;
        let Some(histograms) = summary.histograms.take() else {
            return Err(MergeError::NoHistograms { name: name.to_owned() });
        };
        let damaged = |what| MergeError::Damaged { name: name.to_owned(), what };
        self.durations.add(&histograms, &summary).map_err(damaged)?;
        self.runs.extend(parts(name, &summary));
        self.left_out.take(&mut summary);
        self.rows.add(&mut summary);
        self.timelines.add(summary.timeline.take());
        self.ended = self.ended.max(end(&summary));
        for words in summary.warnings.iter_mut().chain(&mut summary.unread) {
            *words = format!("{name}: {words}");
        }
        if self.samples.is_empty() {
            self.sum = Summary {
                schema: SCHEMA,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                command: summary.command.clone(),
                started: summary.started.clone(),
                asked: summary.asked.clone(),
                ..Summary::default()
            };
        }
        self.sum.started = earliest(std::mem::take(&mut self.sum.started), &summary.started);
        self.sum.asked = both_asked(self.sum.asked.take(), summary.asked.take());
        self.add_alike(&mut summary);
        self.samples.push(std::mem::take(&mut summary.sample));
        self.sum.plus(summary);
        Ok(())
    }

    /// Returns whether there is no run yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the sum, and what it came to.
    #[must_use]
    pub fn finish(self) -> Summary {
        let Self { sum: mut summary, runs, mut durations, mut rows, timelines, samples, left_out, ended } = self;
        summary.routes = rows.routes(&mut durations);
        summary.kinds = rows.kinds();
        summary.fields = rows.fields(&summary.routes);
        summary.noise = rows.noise();
        summary.noise_unlearnt = rows.unlearnt();
        durations.fill(&mut summary);
        let timeline = timelines.merge();
        let (sample, is_sample_whole) = sampled(&samples);
        summary.sample = sample;
        let nanos = summary.started.parse::<Timestamp>().map_or(0, |start| ended.saturating_sub(start.nanos()));
        summary.duration_s = (nanos as f64 / 1e6).round() / 1e3;
        let mut words = left_out.words();
        let more = [
            (timeline.is_mixed, "percentiles and shares over time, where several runs have the same seconds"),
            (timeline.missing > 0, "the course of runs that have none"),
            (!is_sample_whole, "the shares that the sample took of keys and bytes"),
            (rows.is_cut(), "fields beyond the 200 most frequent of a run"),
        ];
        words.extend(more.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words.to_owned()));
        words.sort_unstable();
        words.dedup();
        summary.timeline = timeline.timeline;
        summary.merged = Some(MergedRuns { runs, left_out: words });
        summary.verdict = Some(Verdict::of(&summary));
        summary
    }

    fn check(&self, name: &str, summary: &Summary) -> Result<(), MergeError> {
        if summary.schema != SCHEMA {
            return Err(MergeError::Schema { name: name.to_owned(), found: summary.schema });
        }
        if let Some(first) = self.runs.first().filter(|_| summary.command != self.sum.command) {
            let (command, expected) = (summary.command.clone(), self.sum.command.clone());
            return Err(MergeError::OtherCommand {
                name: name.to_owned(),
                command,
                other: first.name.clone(),
                expected,
            });
        }
        let differs = |target: &TargetSummary| {
            let counts = &target.differences;
            let most = counts.any.max(counts.status).max(counts.body);
            most <= counts.compared && counts.compared <= target.offered
        };
        if !summary.balances() || !summary.targets.values().all(differs) {
            return Err(MergeError::Unbalanced { name: name.to_owned() });
        }
        for part in parts(name, summary) {
            // Nanoseconds: no two runs begin at the same.
            if let Some(same) = self.runs.iter().find(|run| run.started == part.started) {
                let (other, started) = (same.name.clone(), part.started);
                return Err(MergeError::SameRun { name: name.to_owned(), other, started });
            }
        }
        Ok(())
    }

    /// Adds what has a sum where it is of the same in all runs: of one baseline, with one limit on silences.
    fn add_alike(&mut self, summary: &mut Summary) {
        let is_first = self.samples.is_empty();
        match (&mut self.sum.baseline, summary.baseline.take()) {
            (Some(own), Some(more)) if own.url == more.url => own.plus(more),
            (Some(_), Some(_)) => self.left_out.baselines = true,
            (own @ None, Some(more)) => *own = Some(more),
            (_, None) => {}
        }
        match (&mut self.sum.max_gap, summary.max_gap.take()) {
            (Some(own), Some(more)) if own.limit_s.total_cmp(&more.limit_s).is_eq() => own.plus(more),
            (None, None) => {}
            (own, Some(more)) if is_first => *own = Some(more),
            _ => self.left_out.max_gaps = true,
        }
        if self.left_out.baselines {
            self.sum.baseline = None;
        }
        if self.left_out.max_gaps {
            self.sum.max_gap = None;
        }
    }
}

/// The runs of a summary: itself, or those that it was added up from.
fn parts(name: &str, summary: &Summary) -> Vec<MergedRunPart> {
    if let Some(merged) = &summary.merged {
        return merged.runs.clone();
    }
    vec![MergedRunPart {
        name: name.to_owned(),
        started: summary.started.clone(),
        duration_s: summary.duration_s,
        seen: summary.requests.seen,
        command_line: summary.asked.as_ref().map(|asked| asked.command_line.clone()).unwrap_or_default(),
    }]
}

/// When a run ended, in nanoseconds.
fn end(summary: &Summary) -> u64 {
    let took = std::time::Duration::try_from_secs_f64(summary.duration_s).unwrap_or_default();
    summary.started.parse::<Timestamp>().map_or(0, |start| start.plus(took).nanos())
}

fn earliest(own: String, other: &str) -> String {
    let at = |text: &str| text.parse::<Timestamp>().map_or(u64::MAX, Timestamp::nanos);
    if at(other) < at(&own) { other.to_owned() } else { own }
}

/// What runs were asked for, as far as it is the same.
fn both_asked(own: Option<RunRequest>, more: Option<RunRequest>) -> Option<RunRequest> {
    let (Some(mut own), Some(more)) = (own.clone(), more.clone()) else { return own.or(more) };
    if own.command_line != more.command_line {
        own.command_line.clear();
    }
    if own.seed != more.seed {
        own.seed.clear();
    }
    for (into, from) in [(&mut own.inputs, more.inputs), (&mut own.filters, more.filters)] {
        into.extend(from);
        into.sort_unstable();
        into.dedup();
    }
    for (url, name) in more.names {
        own.names.entry(url).or_insert(name);
    }
    Some(own)
}

/// The shares that all samples together reached, and whether nothing had to be left out.
fn sampled(all: &[SampleSummary]) -> (SampleSummary, bool) {
    let decided: u64 = all.iter().fold(0, |sum, one| sum.saturating_add(one.decided));
    let passed: f64 = all.iter().filter_map(|one| Some(one.requests? * one.decided as f64)).sum();
    let same = |of: fn(&SampleSummary) -> Option<f64>| {
        let first = all.first().and_then(of);
        let is_same = all.iter().all(|one| of(one) == first);
        (first.filter(|_| is_same), is_same)
    };
    // No share stands here rather than one of some runs.
    let (asked, _) = same(|one| Some(one.asked));
    let ((keys, has_keys), (bytes, has_bytes)) = (same(|one| one.keys), same(|one| one.bytes));
    let kernel = all.iter().map(|one| one.kernel.unwrap_or(1.0)).fold(0.0, f64::max);
    let sample = SampleSummary {
        asked: asked.unwrap_or(1.0),
        decided,
        requests: (decided > 0).then(|| passed / decided as f64),
        keys,
        bytes,
        kernel: Some(kernel).filter(|share| (0.0..1.0).contains(share) && !all.is_empty()),
    };
    (sample, has_keys && has_bytes)
}

/// What runs had that cannot be added up.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of its own")]
struct LeftOut {
    gates: bool,
    guards: bool,
    ramps: bool,
    observe: bool,
    baselines: bool,
    max_gaps: bool,
    noise: bool,
    already: Vec<String>,
}

impl LeftOut {
    /// Takes note of what a run has of it, and takes it out where it stands among what is added up.
    fn take(&mut self, summary: &mut Summary) {
        for target in summary.targets.values_mut() {
            self.guards |= target.guard.take().is_some();
        }
        self.gates |= !summary.gates.is_empty();
        self.ramps |= summary.ramp.is_some() || !summary.steps.is_empty();
        self.observe |= summary.observe.is_some();
        self.noise |= !summary.noise.is_empty();
        self.already.extend(summary.merged.iter().flat_map(|merged| merged.left_out.clone()));
    }

    fn words(self) -> Vec<String> {
        let all = [
            (self.gates, "gates: --fail-if judges the sum"),
            (self.guards, "what guards did, but for the requests that they held back"),
            (self.ramps, "ramps and changes of the share"),
            (self.observe, "what HAProxy would have done (--observe)"),
            (self.baselines, "the baseline: the runs had different ones"),
            (self.max_gaps, "silences that were shortened: the runs had different limits"),
            (self.noise, "noise of all together: each run has learnt its own, and leaves that out of its differences"),
        ];
        let found = all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words.to_owned());
        self.already.into_iter().chain(found).collect()
    }
}

#[cfg(test)]
mod tests;

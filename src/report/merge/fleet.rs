//! The run of a fleet: what its replayers have left in the store, added up, and held against what the store knows of each request.

use crate::recording::{FleetAccount, MemberAccount};
use crate::report::schema::fleet::{FleetReplayer, FleetSums};
use crate::report::schema::summary::Summary;
use crate::report::schema::target::TargetSummary;
use crate::report::schema::verdict::Verdict;
use crate::report::units::{counted, number};

use super::MergedRun;

/// The run of a fleet.
#[derive(Debug, Default)]
pub struct FleetRun {
    /// What became of every request of the recording.
    pub sums: FleetSums,
    /// What its replayers came to together; `None` where none has said so.
    pub summary: Option<Summary>,
    /// Summaries that could not be added, in words for people.
    pub remarks: Vec<String>,
}

impl FleetRun {
    /// Adds up what stands in a store.
    #[must_use]
    pub fn of(account: &FleetAccount) -> Self {
        let (mut merged, mut replayers, mut remarks) = (MergedRun::default(), Vec::new(), Vec::new());
        for member in &account.members {
            let name = format!("{} (process {})", member.host, member.process);
            let outcomes = match added(&mut merged, &name, member) {
                Ok(outcomes) => outcomes,
                Err(why) => {
                    remarks.push(why);
                    None
                }
            };
            replayers.push(FleetReplayer { name, began: member.began.clone(), ended: member.ended, outcomes });
        }
        let sums = FleetSums::new(account, replayers);
        let summary = (!merged.is_empty()).then(|| {
            let mut summary = merged.finish();
            summary.warnings.splice(0..0, remarks.iter().cloned().chain(warnings(&sums)));
            summary.fleet.get_or_insert_default().sums = Some(sums.clone());
            summary.verdict = Some(Verdict::of(&summary));
            summary
        });
        Self { sums, summary, remarks }
    }
}

/// Adds what a replayer came to, and returns how many requests ended there; `None` where it has not said so.
fn added(merged: &mut MergedRun, name: &str, member: &MemberAccount) -> Result<Option<u64>, String> {
    let Some(json) = &member.summary else { return Ok(None) };
    let summary: Summary = serde_json::from_slice(json)
        .map_err(|error| format!("the summary of {name} cannot be read, and is not in this report: {error}"))?;
    let outcomes = outcomes(&summary);
    merged.add(name, summary).map_err(|error| format!("not in this report: {error}"))?;
    Ok(Some(outcomes))
}

/// Requests of a run that nobody else may have: all but those that it gave up for others, and those that it left out unseen.
fn outcomes(summary: &Summary) -> u64 {
    let given_up = |shed: &crate::report::schema::counts::CountMap| -> u64 {
        ["stopped", "moved"].iter().filter_map(|place| shed.get(*place)).sum()
    };
    let requests = &summary.requests;
    // A request is given up where no target had it.
    let by_all = |target: &TargetSummary| given_up(&target.ended.shed).saturating_add(target.in_flight);
    let undelivered = summary.targets.values().map(by_all).min().unwrap_or_default();
    let unseen = summary.fleet.as_ref().map_or(0, |fleet| fleet.left_out);
    let open = requests.in_flight.saturating_add(given_up(&requests.ended.shed)).saturating_add(undelivered);
    requests.seen.saturating_sub(open).saturating_add(unseen)
}

/// What is not in the report of a fleet's run.
fn warnings(sums: &FleetSums) -> Vec<String> {
    let mut warnings = Vec::new();
    let missing: Vec<&str> = sums.missing().map(|replayer| replayer.name.as_str()).collect();
    if !missing.is_empty() {
        warnings.push(format!(
            "{} of {} left no summary (lost, or still at work), and what became of their requests is not in this report: {}",
            number(missing.len() as u64),
            counted(sums.replayers.len() as u64, "replayer"),
            missing.join(", ")
        ));
    }
    let count = counted(sums.unaccounted.unsigned_abs(), "request");
    match sums.unaccounted {
        0 => {}
        1.. => warnings.push(format!("{count} ended whose outcome is in no replayer's summary")),
        ..0 => warnings.push(format!(
            "the replayers have {count} more than the store knows to have ended: they went out again after a replayer was lost"
        )),
    }
    if sums.expired > 0 {
        let count = counted(sums.expired, "request");
        warnings.push(format!(
            "{count} expired in the store before they were replayed (retention, max-bytes): they are lost"
        ));
    }
    warnings
}

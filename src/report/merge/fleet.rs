//! The run of a fleet: what its replayers have left in the store, added up, and held against what the store knows of each request.

use crate::exchange::Shed;
use crate::fleet::member_name;
use crate::recording::{FleetAccount, MemberAccount, NodeAccount};
use crate::report::schema::counts::CountMap;
use crate::report::schema::fleet::{FleetReplayer, FleetSums};
use crate::report::schema::summary::Summary;
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
        let (mut merged, mut replayers, mut remarks, mut again) = (MergedRun::default(), Vec::new(), Vec::new(), 0);
        for member in &account.members {
            let name = member_name(&member.host, &member.id);
            let outcomes = match added(&mut merged, &name, member) {
                Ok(outcomes) => outcomes,
                Err(why) => {
                    remarks.push(why);
                    None
                }
            };
            let (outcomes, more) = outcomes.unzip();
            again += more.unwrap_or_default();
            replayers.push(FleetReplayer { name, began: member.began.clone(), ended: member.ended, outcomes });
        }
        let sums = FleetSums::new(account, replayers, again);
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

/// Adds what a replayer came to, and returns how many requests ended there alone, and how many elsewhere, too; `None` where it
/// has not said so.
fn added(merged: &mut MergedRun, name: &str, member: &MemberAccount) -> Result<Option<(u64, u64)>, String> {
    let Some(json) = &member.summary else { return Ok(None) };
    let mut summary: Summary = serde_json::from_slice(json)
        .map_err(|error| format!("the summary of {name} cannot be read, and is not in this report: {error}"))?;
    take_out_given_up(&mut summary);
    let outcomes = outcomes(&summary);
    merged.add(name, summary).map_err(|error| format!("not in this report: {error}"))?;
    Ok(Some(outcomes))
}

/// Takes out what a replayer gave up for others: it counts where it went, or waits.
fn take_out_given_up(summary: &mut Summary) {
    let take = |shed: &mut CountMap| -> u64 {
        [Shed::Stopped, Shed::RunEnded, Shed::Moved].iter().filter_map(|place| shed.remove(place.key())).sum()
    };
    let given_up = summary.fleet.as_ref().map_or(0, |fleet| fleet.given_up);
    let undelivered = given_up.saturating_sub(take(&mut summary.requests.ended.shed));
    for target in summary.targets.values_mut() {
        target.offered = target.offered.saturating_sub(take(&mut target.ended.shed));
    }
    let requests = &mut summary.requests;
    requests.seen = requests.seen.saturating_sub(given_up);
    requests.offered = requests.offered.saturating_sub(undelivered);
}

/// Requests of a run that ended there alone, and those that ended elsewhere, too.
fn outcomes(summary: &Summary) -> (u64, u64) {
    let (unseen, again) = summary.fleet.as_ref().map_or((0, 0), |fleet| (fleet.left_out, fleet.again));
    let ended = summary.requests.seen.saturating_sub(summary.requests.in_flight).saturating_add(unseen);
    (ended.saturating_sub(again), again)
}

/// What is not in the report of a fleet's run.
fn warnings(sums: &FleetSums) -> Vec<String> {
    let untold = sums.nodes.iter().filter_map(NodeAccount::untold);
    let mut warnings: Vec<String> =
        untold.map(|untold| format!("{untold}: what was lost there is not known")).collect();
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
            "the replayers have {count} more than the store knows to have ended: it was not told in time, or has lost them"
        )),
    }
    if sums.again > 0 {
        let count = counted(sums.again, "request");
        warnings.push(format!(
            "{count} went out at a replayer that had lost them by then, and ended again at another one: reads went out twice, \
             writes count there as uncertain"
        ));
    }
    if sums.late > 0 {
        let count = counted(sums.late, "request");
        warnings.push(format!("{count} came after run {} was over, and wait for another one (?run=WORD)", sums.run));
    }
    if sums.expired > 0 {
        let count = counted(sums.expired, "request");
        warnings.push(format!(
            "{count} expired in the store before they were replayed (retention, max-bytes): they are lost"
        ));
    }
    warnings
}

//! The store that a run would record into or replay from.

use std::time::Duration;

use super::Finding;
use crate::causes::Help as _;
use crate::recording::access::StoreAccess;
use crate::recording::place::StoreUrl;
use crate::recording::{self, RecordingProbe, StoreError, StoreProbe, StoreUse, StoredRecording};
use crate::report::units;

/// Difference of two clocks that is told, and one that is too large for a common schedule.
const ODD: Duration = Duration::from_millis(100);
const WRONG: Duration = Duration::from_secs(1);
/// Share of its room above which a recording that goes on is about to lose its oldest exchanges.
const FULL: f64 = 0.9;

/// Asks a store whether a run could use the recording there. Nothing of that stays.
#[must_use]
pub fn store(url: &StoreUrl, access: &StoreAccess, to: StoreUse) -> Vec<Finding> {
    findings(url, recording::probe_store(url, access, to), to)
}

fn findings(url: &StoreUrl, probed: Result<StoreProbe, StoreError>, to: StoreUse) -> Vec<Finding> {
    let StoreProbe { version, recording } = match probed {
        Ok(probe) => probe,
        Err(error) => return vec![problem("store", &error)],
    };
    let mut findings = vec![Finding::ok("store", format!("{} answers: NATS {version}", url.server()))];
    let RecordingProbe { stored, clock_ahead_ns } = match recording {
        Ok(probe) => probe,
        Err(error) => {
            findings.push(problem("recording", &error));
            return findings;
        }
    };
    findings.push(stored.as_ref().map_or_else(|| makable(url), |stored| found(url, stored, to)));
    findings.extend(clock_ahead_ns.map(clock));
    findings
}

fn problem(check: &'static str, error: &StoreError) -> Finding {
    Finding::problem(check, error.to_string(), error.help().map(std::borrow::Cow::into_owned))
}

fn makable(url: &StoreUrl) -> Finding {
    let room = units::bytes(url.settings.max_bytes());
    Finding::ok("recording", format!("{} is not there yet; there is room for the {room} of it", url.name))
}

fn found(url: &StoreUrl, stored: &StoredRecording, to: StoreUse) -> Finding {
    let StoredRecording { bytes, max_bytes, retention } = stored;
    let kept = units::duration(u64::try_from(retention.as_micros()).unwrap_or(u64::MAX));
    let has = units::bytes(*bytes);
    let Some(max) = max_bytes else { return Finding::ok("recording", format!("{} has {has}", url.name)) };
    let says = format!("{} has {has} of {} at most, each exchange for {kept}", url.name, units::bytes(*max));
    if to == StoreUse::Record && *bytes as f64 > FULL * *max as f64 {
        let mend = "its oldest exchanges go when more comes: replay it first, or record under another name";
        return Finding::note("recording", says, mend);
    }
    Finding::ok("recording", says)
}

fn clock(ahead_ns: i64) -> Finding {
    let apart = Duration::from_nanos(ahead_ns.unsigned_abs());
    let shown = units::duration(u64::try_from(apart.as_micros()).unwrap_or(u64::MAX));
    let side = if ahead_ns < 0 { "behind" } else { "ahead of" };
    let says = format!("the clock of the store is {shown} {side} that of this host");
    let mend = "sudo timedatectl set-ntp true on both: nodes and replayers go by one clock".to_owned();
    match apart {
        apart if apart >= WRONG => Finding::problem("store clock", says, Some(mend)),
        apart if apart >= ODD => Finding::note("store clock", says, mend),
        _ => Finding::ok("store clock", "agrees with that of this host"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn found_of(bytes: u64, ahead_ns: i64, to: StoreUse) -> Vec<(State, String)> {
        let url: StoreUrl = "nats://a/evening?max-bytes=2G".parse().unwrap();
        let stored = StoredRecording { bytes, max_bytes: Some(1 << 30), retention: Duration::from_secs(3600) };
        let recording = Ok(RecordingProbe { stored: Some(stored), clock_ahead_ns: Some(ahead_ns) });
        let probe = StoreProbe { version: "2.10.1".to_owned(), recording };
        findings(&url, Ok(probe), to).into_iter().map(|finding| (finding.state, finding.says)).collect()
    }

    #[test]
    fn a_recording_that_is_nearly_full_and_a_clock_that_is_wrong_are_told() {
        let well = found_of(1 << 20, 5_000_000, StoreUse::Record);
        assert!(well.len() == 3 && well.iter().all(|(state, _)| *state == State::Ok), "{well:?}");
        let full = found_of((1 << 30) - 1000, -3_000_000_000, StoreUse::Record);
        assert_eq!((full[1].0, full[2].0), (State::Note, State::Problem), "{full:?}");
        assert!(full[2].1.contains("3.00s behind that of this host"), "{}", full[2].1);
        assert_eq!(found_of((1 << 30) - 1000, 0, StoreUse::Replay)[1].0, State::Ok, "nothing comes");
    }

    #[test]
    fn what_keeps_a_run_from_its_recording_says_what_to_do() {
        let url: StoreUrl = "nats://a/evening".parse().unwrap();
        let missing = StoreError::Missing { name: "evening".to_owned(), server: "a:4222".to_owned() };
        let probe = StoreProbe { version: "2.10.1".to_owned(), recording: Err(missing) };
        let told = findings(&url, Ok(probe), StoreUse::Replay);
        assert_eq!((told[0].state, told[1].state), (State::Ok, State::Problem));
        assert!(told[1].mend.as_deref().unwrap().contains("record -o"), "{told:?}");
        let denied = StoreError::Denied { server: "a:4222".to_owned(), given: false };
        let told = findings(&url, Err(denied), StoreUse::Record);
        assert!(told[0].mend.as_deref().unwrap().contains("--nats-credentials"), "{told:?}");
    }
}

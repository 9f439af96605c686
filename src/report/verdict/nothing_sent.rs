//! Reasons that a run sent nothing, for people: the first thing to know of it.

use crate::report::schema::counts::{CountMap, lost, sum};
use crate::report::schema::summary::{Frames, Streams, Summary};
use crate::report::schema::target::TargetSummary;
use crate::report::units::{self, counted, number};

/// Reasons that are named; further ones are in the ledger.
const MAX_REASONS: usize = 4;

impl Summary {
    /// Returns why nothing was sent, or recorded where nothing is to be sent, in a line; `None` where a response came from any
    /// target, or something was recorded.
    #[must_use]
    pub fn nothing_sent(&self) -> Option<String> {
        if self.targets.is_empty() {
            return self.nothing_recorded();
        }
        if self.targets.values().any(|target| target.ended.sent > 0) || self.left_to_others().is_some() {
            return None;
        }
        if self.requests.seen == 0 {
            let outside = self.warnings.iter().find(|words| words.contains("(--from;") || words.contains("(--until;"));
            return Some(match outside {
                Some(outside) => format!("nothing was sent: no request lies in the part that is replayed; {outside}"),
                None => format!("nothing was sent: {}", self.no_request()),
            });
        }
        let failed: u64 = self.targets.values().map(|target| sum(&target.ended.failed)).sum();
        if failed > 0 {
            return Some(format!("no request was delivered: {} failed", counted(failed, "attempt")));
        }
        Some(self.nothing_of("sent"))
    }

    /// Says that other replayers of the same recording had all requests of the run, where that is why nothing was sent.
    #[must_use]
    pub fn left_to_others(&self) -> Option<&'static str> {
        let is_over = self.fleet.as_ref().is_some_and(|fleet| fleet.over && fleet.ended > 0 && fleet.left_out == 0);
        let is_elsewhere = |target: &TargetSummary| {
            let of = |why: &str| target.ended.shed.get(why).copied().unwrap_or_default();
            of("moved") + of("uncertain") == self.requests.seen
        };
        (is_over && self.targets.values().all(is_elsewhere))
            .then_some("nothing was left to send: other replayers had all requests of this run")
    }

    /// Says that there was no request, and what there was instead.
    fn no_request(&self) -> String {
        match (&self.access_log, &self.spoe) {
            (_, Some(spoe)) => spoe.silence(),
            (Some(log), None) => {
                format!("no line has a request ({}, read as {})", counted(log.lines, "line"), log.format)
            }
            (None, None) => no_request(&self.frames, &self.streams),
        }
    }

    /// Returns why a recording has no records, in a line; `None` where it has, or where there is none.
    fn nothing_recorded(&self) -> Option<String> {
        let recording = self.recording.as_ref()?;
        if recording.records > 0 || !recording.lost.is_empty() || self.requests.ended.kept > 0 {
            return None;
        }
        Some(match self.requests.seen {
            0 => format!("nothing was recorded: {}", self.no_request()),
            _ => self.nothing_of("recorded"),
        })
    }

    /// Says why nothing was `done` to the requests that were seen.
    fn nothing_of(&self, done: &str) -> String {
        let mut reasons = self.kept_back();
        reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let words: Vec<String> =
            reasons.iter().take(MAX_REASONS).map(|(count, why)| format!("{} {why}", units::number(*count))).collect();
        let seen = counted(self.requests.seen, "request");
        if words.is_empty() {
            format!("nothing was {done}: the run ended before any of {seen}")
        } else {
            format!("nothing was {done} of {seen}: {}", words.join(", "))
        }
    }

    /// Returns whether sending failed, rather than that there was nothing to send: `--allow-empty` does not excuse it.
    #[must_use]
    pub fn sending_failed(&self) -> bool {
        let by_middleware = |counts: &CountMap| counts.get("middleware").is_some_and(|count| *count > 0);
        let restarted = self.middleware.is_some_and(|counts| counts.restarts > 0);
        lost(&self.requests.ended.shed) > 0
            || (restarted && by_middleware(&self.requests.ended.filtered))
            || self.targets.values().any(|target| sum(&target.ended.failed) + lost(&target.ended.shed) > 0)
    }

    /// The share that was asked for, where that is known.
    fn asked_share(&self) -> String {
        let asked = self.sample.asked;
        if asked < 1.0 { format!(" of {}", units::percent(asked)) } else { String::new() }
    }

    /// Returns the reasons that requests were kept back, before any target or at one, with their counts.
    fn kept_back(&self) -> Vec<(u64, String)> {
        let ended = &self.requests.ended;
        let mut found: Vec<(u64, String)> = Vec::new();
        let mut filtered = ended.filtered.clone();
        let mut shed = ended.shed.clone();
        let (mut sampled_out, mut limited) = (ended.sampled_out, ended.rate_limited);
        let mut held = Vec::new();
        for target in self.targets.values() {
            for (rule, count) in &target.ended.filtered {
                *filtered.entry(rule.clone()).or_default() += count;
            }
            sampled_out += target.ended.sampled_out;
            limited += target.ended.rate_limited;
            for (place, count) in &target.ended.shed {
                *shed.entry(place.clone()).or_default() += count;
            }
            held.extend(target.held());
        }
        let restarted = self.middleware.is_some_and(|counts| counts.restarts > 0);
        for (rule, count) in filtered {
            found.push((count, kept_by(&rule, restarted)));
        }
        // What a process that exits never took: no queue was full.
        let not_taken = if restarted { shed.remove("middleware").unwrap_or_default() } else { 0 };
        found.extend([
            (not_taken, "not taken by the middleware, which exited".to_owned()),
            (sampled_out, format!("not in the sample{}", self.asked_share())),
            (limited, "held back by a rate limit".to_owned()),
            (ended.malformed, "malformed".to_owned()),
            (sum(&ended.incomplete), "not captured whole".to_owned()),
        ]);
        let dropped = shed.iter().map(|(place, count)| (*count, dropped_at(place)));
        for (count, what) in dropped.chain(held) {
            match found.iter_mut().find(|(_, known)| known == what) {
                Some((known, _)) => *known += count,
                None => found.push((count, what.to_owned())),
            }
        }
        found.retain(|(count, _)| *count > 0);
        found
    }
}

/// Says what a rule is, and what to do where that is one flag.
fn kept_by(rule: &str, restarted: bool) -> String {
    match rule {
        "writes" => "writes (sent with --allow-writes only)".to_owned(),
        "middleware" if restarted => "not returned by the middleware, which exited".to_owned(),
        "middleware" => "not returned by the middleware".to_owned(),
        rule => format!("kept back by filter {rule}"),
    }
}

/// Says why a request was dropped, and what to do where this machine lacked something.
fn dropped_at(place: &str) -> &'static str {
    match place {
        "open_files" => "dropped: no file was left for a connection (raise the limit with ulimit -n)",
        "moved" => "left to another replayer, which has their partition now",
        "uncertain" => "not sent again after a replayer was lost that may have sent them",
        "local_ports" => "dropped: no local port was left for a connection (net.ipv4.ip_local_port_range)",
        "connections" => "dropped because no connection came free in time",
        "connection_busy" => "dropped because earlier ones kept their mirrored connection (--connections pooled)",
        "body_limit" => "dropped because their bodies are larger than what is kept",
        "stopped" => "dropped because the run was stopped before",
        "run_ended" => "not sent before the run ended",
        "recording" => "dropped because the recording did not take them",
        _ => "dropped because a queue was full",
    }
}

/// Says that a capture has no request, and what it has instead.
#[must_use]
pub fn no_request(frames: &Frames, streams: &Streams) -> String {
    format!("no HTTP/1 request was found in the capture{}", instead(frames, streams))
}

/// Describes the capture's content other than HTTP/1.
fn instead(frames: &Frames, streams: &Streams) -> String {
    let found: Vec<String> = [(streams.tls, "TLS"), (streams.http2, "HTTP/2"), (streams.unknown, "something else")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} of {what}", number(count)))
        .collect();
    match (frames.received, found.is_empty()) {
        (0, _) => ": it has no frames".to_owned(),
        (_, true) if frames.decoded == 0 && frames.skipped.get("port").is_some_and(|count| *count > 0) => {
            format!(": {}, none of them on a port of -p", counted(frames.received, "frame"))
        }
        (_, true) => {
            format!(": {}, {} with TCP", counted(frames.received, "frame"), number(frames.decoded))
        }
        (_, false) => format!(": its connections are {}", found.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::middleware::MiddlewareCounts;
    use crate::report::schema::recording::RecordingSummary;
    use crate::report::schema::summary::FleetEnd;
    use crate::report::schema::verdict::{Severity, Verdict, VerdictWord};

    fn empty() -> Summary {
        let mut summary = Summary::default();
        summary.targets.insert("http://t".to_owned(), TargetSummary::default());
        summary
    }

    #[track_caller]
    fn says(summary: &Summary, words: &str) {
        let reason = summary.nothing_sent().unwrap();
        assert!(reason.contains(words), "{reason}");
        assert!(reason.starts_with("nothing was sent"), "{reason}");
    }

    #[test]
    fn frames_on_other_ports_are_told_from_those_without_tcp() {
        let mut frames = Frames { received: 3, ..Frames::default() };
        let words = |frames: &Frames| no_request(frames, &Streams::default());
        assert!(words(&frames).ends_with(": 3 frames, 0 with TCP"));
        frames.skipped.insert("port".to_owned(), 3);
        assert!(words(&frames).ends_with(": 3 frames, none of them on a port of -p"));
    }

    #[test]
    fn each_cause_is_named() {
        says(&empty(), "no HTTP/1 request was found");
        let mut summary = empty();
        summary.warnings.push("the capture was taken from 20:00 on (--from; 4 requests before it)".to_owned());
        says(&summary, "(--from; 4 requests before it)");
        let mut summary = empty();
        summary.requests.seen = 7;
        summary.requests.ended.filtered.insert("writes".to_owned(), 3);
        summary.requests.ended.sampled_out = 4;
        says(&summary, "of 7 requests: 4 not in the sample of 0%, 3 writes (sent with --allow-writes only)");
        let mut summary = empty();
        summary.requests.seen = 2;
        summary.targets.get_mut("http://t").unwrap().ended.guard_held = 2;
        says(&summary, "2 held back by the guard");
        assert!(!summary.sending_failed());
        let mut summary = empty();
        summary.requests.seen = 8;
        summary.targets.get_mut("http://t").unwrap().ended.shed.insert("run_ended".to_owned(), 8);
        says(&summary, "of 8 requests: 8 not sent before the run ended");
        assert!(!summary.sending_failed());
        let mut summary = empty();
        summary.requests.seen = 9;
        let shed = &mut summary.targets.get_mut("http://t").unwrap().ended.shed;
        for (place, count) in [("open_files", 4), ("target_queue", 3), ("connections", 2)] {
            shed.insert(place.to_owned(), count);
        }
        says(
            &summary,
            "of 9 requests: 4 dropped: no file was left for a connection (raise the limit with ulimit -n), \
             3 dropped because a queue was full, 2 dropped because no connection came free in time",
        );
    }

    #[test]
    fn what_went_wrong_is_not_just_empty() {
        let mut summary = empty();
        summary.requests.seen = 2;
        summary.requests.ended.filtered.insert("middleware".to_owned(), 2);
        assert!(!summary.sending_failed());
        summary.middleware = Some(MiddlewareCounts { restarts: 1, ..MiddlewareCounts::default() });
        assert!(summary.sending_failed());
        says(&summary, "of 2 requests: 2 not returned by the middleware, which exited");
        summary.requests.seen = 3;
        summary.requests.ended.shed.insert("middleware".to_owned(), 1);
        says(
            &summary,
            "of 3 requests: 2 not returned by the middleware, which exited, 1 not taken by the middleware, which",
        );
        let mut summary = empty();
        summary.requests.seen = 1;
        summary.targets.get_mut("http://t").unwrap().ended.failed.insert("connect".to_owned(), 1);
        assert!(summary.sending_failed());
        assert_eq!(summary.nothing_sent().as_deref(), Some("no request was delivered: 1 attempt failed"));
    }

    #[test]
    fn a_recording_without_records_is_told_as_such() {
        let mut summary = Summary { recording: Some(RecordingSummary::default()), ..Summary::default() };
        let reason = |summary: &Summary| summary.nothing_sent().unwrap();
        assert!(reason(&summary).starts_with("nothing was recorded: no HTTP/1 request was found"), "{summary:?}");
        summary.requests.seen = 2;
        summary.requests.ended.sampled_out = 2;
        assert!(reason(&summary).starts_with("nothing was recorded of 2 requests: 2 not in the sample"));
        summary.recording.as_mut().unwrap().records = 1;
        assert_eq!(summary.nothing_sent(), None);
    }

    #[test]
    fn what_other_replayers_had_is_no_mistake() {
        let mut summary = empty();
        for (over, ended, left_out) in [(false, 0, 0), (true, 0, 0), (true, 4, 4)] {
            summary.fleet = Some(FleetEnd { over, ended, left_out, ..FleetEnd::default() });
            says(&summary, "no HTTP/1 request was found");
        }
        summary.fleet = Some(FleetEnd { over: true, ended: 4, ..FleetEnd::default() });
        assert!(summary.nothing_sent().is_none() && summary.left_to_others().is_some());
        let verdict = Verdict::of(&summary);
        assert_eq!((verdict.word, verdict.severity), (VerdictWord::NothingSent, Severity::Good));
        summary.requests.seen = 2;
        let shed = &mut summary.targets.get_mut("http://t").unwrap().ended.shed;
        shed.insert("moved".to_owned(), 2);
        assert!(summary.nothing_sent().is_none() && summary.left_to_others().is_some());
        summary.requests.seen = 3;
        summary.requests.ended.filtered.insert("writes".to_owned(), 1);
        says(&summary, "of 3 requests: 2 left to another replayer");
        assert_eq!(summary.left_to_others(), None);
    }

    #[test]
    fn one_response_is_enough_and_a_recording_sends_nothing() {
        let mut summary = empty();
        summary.targets.get_mut("http://t").unwrap().ended.sent = 1;
        assert_eq!(summary.nothing_sent(), None);
        assert_eq!(Summary::default().nothing_sent(), None);
    }
}

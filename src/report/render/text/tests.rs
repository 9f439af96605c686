use crate::compare::DifferencePart;
use crate::report::schema::merged::MergedRuns;
use crate::report::schema::noise::{FieldRow, NoiseRates, NoiseRow, NoiseSamples, NoiseSource, UnlearntNoise};
use crate::report::schema::reference::{Baseline, SelfChecks};
use crate::report::schema::steps::{RampStep, StepCause};
use crate::report::schema::summary::{Ended, Frames, ProductionSide, Requests, SampleSummary, Streams, Tcp};
use crate::report::schema::target::{Differences, PairedLatency, TargetEnded, TargetLatency};

use super::*;

fn counts<const N: usize>(all: [(&str, u64); N]) -> CountMap {
    all.map(|(key, count)| (key.to_owned(), count)).into()
}

fn figures(count: u64, us: u64) -> LatencySummary {
    LatencySummary {
        count,
        min: us / 2,
        mean: us,
        p50: us,
        p90: us * 2,
        p95: us * 3,
        p99: us * 7,
        p99_9: us * 21,
        max: us * 43,
    }
}

fn target() -> TargetSummary {
    let mut ended = TargetEnded { sent: 1_202, ..TargetEnded::default() };
    ended.failed.insert("timeout".into(), 2);
    TargetSummary {
        offered: 1_204,
        ended,
        statuses: counts([("200", 1_160), ("404", 5), ("503", 37)]),
        connections_opened: 12,
        peak_connections: 10,
        peak_in_flight: 40,
        latency_us: TargetLatency {
            connect: figures(12, 320),
            service: figures(1_202, 1_450),
            response: figures(1_202, 1_620),
        },
        schedule_lag_us: Some(figures(1_204, 90)),
        matrix: [
            ("200".to_owned(), counts([("200", 1_150), ("503", 37), ("failed", 2)])),
            ("404".to_owned(), counts([("404", 5)])),
            ("none".to_owned(), counts([("200", 10)])),
        ]
        .into(),
        differences: Differences {
            compared: 1_192,
            any: 130,
            status: 37,
            headers: 0,
            body: 112,
            ..Differences::default()
        },
        ..TargetSummary::default()
    }
}

fn summary() -> Summary {
    let mut ended = Ended { sampled_out: 1_198, malformed: 1, filtered: counts([("writes", 4)]), ..Ended::default() };
    ended.incomplete.insert("end_of_capture".into(), 3);
    let summary = Summary {
        frames: Frames {
            received: 12_345,
            decoded: 12_312,
            skipped: counts([("not_tcp", 30), ("cut", 3)]),
            ..Frames::default()
        },
        tcp: Tcp { connections: 120, gaps: 2, gap_bytes: 2_920, ..Tcp::default() },
        streams: Streams { http1: 118, tls: 2, ..Streams::default() },
        requests: Requests { seen: 2_410, offered: 1_204, in_flight: 0, ended },
        targets: [("http://staging:8080".to_owned(), target())].into(),
        production: ProductionSide {
            statuses: counts([("200", 1_189), ("404", 5)]),
            latency_us: figures(1_194, 850),
            damaged: CountMap::new(),
            unjoined: counts([("gap", 6), ("no_response", 4)]),
        },
        sample: SampleSummary {
            asked: 0.5,
            decided: 2_402,
            requests: Some(0.501_25),
            keys: None,
            bytes: Some(0.4873),
            kernel: None,
        },
        warnings: vec!["evening.pcap ends in the middle of a record: what stands before it was used".into()],
        ..Summary::default()
    };
    assert!(summary.balances());
    summary
}

fn check_width(text: &str, width: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= width, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn what_helps_where_the_schedule_is_not_kept_depends_on_the_connections() {
    let said = |mirrored| {
        let lag = LatencySummary { count: 1_000, p50: LATE_US, ..LatencySummary::default() };
        let target = TargetSummary { mirrored, schedule_lag_us: Some(lag), ..TargetSummary::default() };
        let mut summary = Summary::default();
        summary.targets.insert("http://t".to_owned(), target);
        report(&summary, 120, false).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(said(false).contains("raise --max-in-flight and --max-connections"));
    let mirrored = said(true);
    assert!(
        mirrored.contains("--connections pooled") && mirrored.contains("--max-connections, where it is set"),
        "{mirrored}"
    );
}

#[test]
fn a_usual_run_at_80_columns() {
    let text = report(&summary(), 80, false);
    check_width(&text, 80);
    insta::assert_snapshot!(text, @"
    DIFFERENT
      status 200 -> 503 in 37 of 1,192
      body differs in 112 of 1,192
      no response to 2 of 1,204: timeout 2
      lost: 2 gaps in the capture

    1,202 of 2,410 requests were sent to http://staging:8080; 2 failed; 37 responses
      differ in status, 112 in body, of 1,192 compared

    Requests
        2,410  seen
      -     1  malformed: not replayed
      -     3  incomplete in the capture: end of capture
      -     4  kept back by filter: writes
      - 1,198  not in the sample of 50% (took 50.12% of the 2,402 requests that
               reached it, 48.73% of bytes)
      = 1,204  offered to the target
      -     2  failed: timeout
      = 1,202  answered

    Status               200       404       503    failed
      prod. 200        1,150         .        37         2
            404            .         5         .         .
            none          10         .         .         .

    Latency           p50      p90      p95      p99    p99.9      max   samples
      production    850µs   1.70ms   2.55ms   5.95ms   17.9ms   36.5ms     1,194
      service      1.45ms   2.90ms   4.35ms   10.2ms   30.4ms   62.4ms     1,202
      response     1.62ms   3.24ms   4.86ms   11.3ms   34.0ms   69.7ms     1,202

    Connections  12 opened, 10 at once; 40 requests in flight at most; set up in
                 320µs (p95 960µs, p99 2.24ms)
    Schedule lag p50 90µs, p95 270µs, p99 630µs, max 3.87ms
    Capture      12,345 frames, 120 connections; 33 frames skipped (30 not tcp, 3
                 cut); 2 gaps (2.92kB missing)
    Set aside    connections: 2 TLS

    ! 10 production responses not known (gap 6, no response 4)
    ! evening.pcap ends in the middle of a record: what stands before it was used
    ");
}

#[test]
fn a_usual_run_on_a_wide_terminal() {
    let text = report(&summary(), 200, false);
    insta::assert_snapshot!(text, @"
    DIFFERENT
      status 200 -> 503 in 37 of 1,192
      body differs in 112 of 1,192
      no response to 2 of 1,204: timeout 2
      lost: 2 gaps in the capture

    1,202 of 2,410 requests were sent to http://staging:8080; 2 failed; 37 responses differ in status, 112 in body, of 1,192
      compared

    Requests
        2,410  seen
      -     1  malformed: not replayed
      -     3  incomplete in the capture: end of capture
      -     4  kept back by filter: writes
      - 1,198  not in the sample of 50% (took 50.12% of the 2,402 requests that reached it, 48.73% of bytes)
      = 1,204  offered to the target
      -     2  failed: timeout
      = 1,202  answered

    Status               200       404       503    failed
      prod. 200        1,150         .        37         2
            404            .         5         .         .
            none          10         .         .         .

    Latency           p50      p90      p95      p99    p99.9      max   samples
      production    850µs   1.70ms   2.55ms   5.95ms   17.9ms   36.5ms     1,194
      service      1.45ms   2.90ms   4.35ms   10.2ms   30.4ms   62.4ms     1,202
      response     1.62ms   3.24ms   4.86ms   11.3ms   34.0ms   69.7ms     1,202
      production: last byte of the request to first of the response
      service: the same at the target
      response: from when it was due: what users feel

    Connections  12 opened, 10 at once; 40 requests in flight at most; set up in 320µs (p95 960µs, p99 2.24ms)
    Schedule lag p50 90µs, p95 270µs, p99 630µs, max 3.87ms
    Capture      12,345 frames, 120 connections; 33 frames skipped (30 not tcp, 3 cut); 2 gaps (2.92kB missing)
    Set aside    connections: 2 TLS

    ! 10 production responses not known (gap 6, no response 4)
    ! evening.pcap ends in the middle of a record: what stands before it was used
    ");
}

#[test]
fn a_target_that_never_answered_cannot_be_overlooked() {
    let mut summary = summary();
    let mut ended = TargetEnded::default();
    ended.failed.insert("connect".into(), 1_204);
    let matrix = [("200".to_owned(), counts([("failed", 1_204)]))].into();
    let dead = TargetSummary { offered: 1_204, ended, matrix, ..TargetSummary::default() };
    summary.targets = [("http://staging:8080".to_owned(), dead)].into();
    summary.warnings.clear();
    let text = report(&summary, 80, false);
    check_width(&text, 80);
    insta::assert_snapshot!(text, @"
    FAILED
      no response to 1,204 of 1,204: connect 1,204
      lost: 2 gaps in the capture

    Requests
        2,410  seen
      -     1  malformed: not replayed
      -     3  incomplete in the capture: end of capture
      -     4  kept back by filter: writes
      - 1,198  not in the sample of 50% (took 50.12% of the 2,402 requests that
               reached it, 48.73% of bytes)
      = 1,204  offered to the target
      - 1,204  failed: connect
      =     0  answered

    Status            failed
      prod. 200        1,204

    Latency           p50      p90      p95      p99    p99.9      max   samples
      production    850µs   1.70ms   2.55ms   5.95ms   17.9ms   36.5ms     1,194

    Connections  0 opened, 0 at once; 0 requests in flight at most
    Schedule lag none: there was no schedule to keep
    Capture      12,345 frames, 120 connections; 33 frames skipped (30 not tcp, 3
                 cut); 2 gaps (2.92kB missing)
    Set aside    connections: 2 TLS

    ! 10 production responses not known (gap 6, no response 4)
    ");
    assert!(report(&summary, 80, true).starts_with("\x1b[31mFAILED"));
}

#[test]
fn a_capture_without_http_says_what_it_holds_instead() {
    let empty = Summary {
        frames: Frames { received: 40, decoded: 40, ..Frames::default() },
        tcp: Tcp { connections: 3, ..Tcp::default() },
        streams: Streams { tls: 3, ..Streams::default() },
        targets: [("http://staging:8080".to_owned(), TargetSummary::default())].into(),
        ..Summary::default()
    };
    let text = report(&empty, 80, false);
    insta::assert_snapshot!(text, @"
    NOTHING SENT
      nothing was sent: no HTTP/1 request was found in the capture: its connections
        are 3 of TLS
    Capture      40 frames, 3 connections
    Set aside    connections: 3 TLS
    ");
    let nothing = report(&Summary::default(), 80, false);
    assert!(nothing.starts_with("NOTHING SEEN\n  no HTTP/1 request was found in the capture: it has no frames\n"));
}

#[test]
fn what_the_run_did_not_come_to_is_told_apart_from_what_was_shed() {
    let mut summary = summary();
    let target = summary.targets.get_mut("http://staging:8080").unwrap();
    target.offered += 23;
    target.ended.shed = counts([("run_ended", 21), ("stopped", 2)]);
    let text = report(&summary, 80, false);
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("shed") || line.contains("not sent")).collect();
    assert_eq!(rows[1..], ["  -     2  shed: stopped", "  -    21  not sent: the run ended first"], "{text}");
}

#[test]
fn what_flags_keep_out_is_told_in_words() {
    let frames = Frames { received: 40, skipped: counts([("port", 38), ("filter", 2)]), ..Frames::default() };
    let text = footer(&Summary { frames, ..Summary::default() }, None, 200, false);
    assert!(text.contains("40 frames skipped (38 not on a port of -p, 2 not matched by -f)"), "{text}");
}

#[test]
fn color_only_where_it_is_asked_for() {
    assert!(!report(&summary(), 80, false).contains('\x1b'));
    assert!(report(&summary(), 80, true).contains("\x1b[32m"));
}

#[test]
fn many_statuses_are_folded_to_the_width() {
    let mut summary = summary();
    let row: CountMap = (200..230).map(|status: u64| (status.to_string(), status)).collect();
    let matrix = &mut summary.targets.get_mut("http://staging:8080").unwrap().matrix;
    for status in 200..230 {
        matrix.insert(status.to_string(), row.clone());
    }
    let text = report(&summary, 80, false);
    check_width(&text, 80);
    assert!(text.contains("other"));
}

#[test]
fn the_footer_of_inspect_names_what_could_not_be_read() {
    let mut summary = summary();
    summary.targets.clear();
    summary.production.damaged = counts([("gap", 2)]);
    summary.requests =
        Requests { seen: 7, ended: Ended { kept: 6, malformed: 1, ..Ended::default() }, ..Requests::default() };
    insta::assert_snapshot!(footer(&summary, None, 80, false), @"
    7 exchanges, 1 damaged, 2 with a damaged response
    Capture      12,345 frames, 120 connections; 33 frames skipped (30 not tcp, 3
                 cut); 2 gaps (2.92kB missing)
    Set aside    connections: 2 TLS

    ! 10 production responses not known (gap 6, no response 4)
    ! evening.pcap ends in the middle of a record: what stands before it was used
    ");
}

#[test]
fn what_a_pause_held_back_is_not_said_to_be_the_guards() {
    let held = |guard_held, paused| {
        let mut summary = summary();
        let target = summary.targets.values_mut().next().unwrap();
        (target.ended.guard_held, target.paused) = (guard_held, paused);
        report(&summary, 80, false).lines().filter(|line| line.contains("held back")).map(str::to_owned).collect()
    };
    let rows: [Vec<String>; 3] = [held(7, 0), held(7, 7), held(7, 2)];
    assert_eq!(rows[0], ["  -     7  held back by the guard"]);
    assert_eq!(rows[1], ["  -     7  held back during a pause"]);
    assert_eq!(rows[2], ["  -     5  held back by the guard", "  -     2  held back during a pause"]);
}

#[test]
fn a_share_that_was_turned_goes_for_no_part_of_the_ledger() {
    let mut summary = summary();
    summary.steps = vec![RampStep { what: StepCause::Control, from: 1.0, to: 0.5, ..RampStep::default() }];
    let text = report(&summary, 80, false);
    assert!(text.contains("not in the sample (took 50.12% of the 2,402 requests"), "{text}");
}

#[test]
fn the_largest_share_of_the_kernel_is_told_as_such_where_it_was_smaller_before() {
    let mut summary = summary();
    summary.sample.kernel = Some(0.6);
    let told = |summary: &Summary, share: &str| {
        let text = report(summary, 400, false);
        assert!(text.contains(&format!("seen: the kernel let {share} of the connections through")), "{text}");
    };
    let step = |what, from, to| RampStep { what, from, to, ..RampStep::default() };
    told(&summary, "60%");
    // One that falls is taken after the capture, as it is where nothing is sent for now.
    for (what, from, to) in
        [(StepCause::Control, 0.6, 0.3), (StepCause::Control, 0.6, 0.0), (StepCause::Guard, 0.1, 1.0)]
    {
        summary.steps = vec![step(what, from, to)];
        told(&summary, "60%");
    }
    for what in [StepCause::Control, StepCause::Ramp] {
        summary.steps = vec![step(what, 0.3, 0.6), step(StepCause::Control, 0.6, 0.0)];
        told(&summary, "at most 60%");
    }
    summary.steps.clear();
    summary.merged = Some(MergedRuns::default());
    told(&summary, "at most 60%");
}

#[test]
fn bodies_that_were_not_compared_are_counted() {
    let mut summary = summary();
    for (count, told) in [(1, "; 1 body not compared"), (2_000, "; 2,000 bodies not compared")] {
        summary.targets.values_mut().next().unwrap().differences.bodies_unknown = count;
        let text = report(&summary, 400, false);
        assert!(text.contains(told), "{text}");
    }
    let reasons = &mut summary.targets.values_mut().next().unwrap().differences.bodies_unknown_reasons;
    let counts = [("late", 497), ("values", 1_499), ("of_tomorrow", 1), ("not_kept", 3)];
    reasons.extend(counts.map(|(why, count)| (why.to_owned(), count)));
    let text = report(&summary, 400, false).replace("\n  ", " ");
    let told = "2,000 bodies not compared: 1,499 too many JSON values, 497 compared too late, \
                3 not kept (longer than --max-compare-body, or no memory for them), 1 of_tomorrow";
    assert!(text.contains(told), "{text}");
}

#[test]
fn what_the_capture_takes_stands_by_itself() {
    let words = "Capture delay";
    assert!(!report(&summary(), 80, false).contains(words));
    let live = Summary { capture_delay_us: Some(figures(1_204, 100)), ..summary() };
    let text = report(&live, 100, false);
    assert!(
        text.contains("Capture delay p50 100µs, p95 300µs, p99 700µs, max 4.30ms: no part of any latency\n"),
        "{text}"
    );
}

#[test]
fn addresses_are_listed_where_there_are_several() {
    let address = |last: u8, requests: u64, failed: u64| AddressSummary {
        address: format!("10.0.0.{last}:80"),
        connections_opened: 1_000 + u64::from(last),
        connections_failed: failed,
        requests,
    };
    assert_eq!(
        addresses(&[address(1, 75, 0), address(2, 25, 0), address(3, 0, 4)]),
        "Addresses    10.0.0.1:80 75% over 1,001; 10.0.0.2:80 25% over 1,002; 10.0.0.3:80 0% over 1,003 (4 failed)"
    );
    let many: Vec<AddressSummary> = (1..=10).map(|last| address(last, 1, 0)).collect();
    assert!(addresses(&many).ends_with("10.0.0.8:80 10% over 1,008; and 2 more"), "{}", addresses(&many));
}

#[test]
fn where_noise_is_not_known_it_is_told_what_helps() {
    let mut summary = summary();
    let target = "http://staging:8080".to_owned();
    let row = |place, path: &str| FieldRow {
        route: "GET /".into(),
        place,
        path: path.into(),
        target: target.clone(),
        count: 9,
        compared: 9,
    };
    summary.fields = vec![row(DifferencePart::Body, "line 3"), row(DifferencePart::Body, "$.by.*.at")];
    let without = report(&summary, 80, false);
    summary.noise_unlearnt = vec![UnlearntNoise { target: target.clone(), routes: 1, responses: 9 }];
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = report(&summary, 80, false);
    check_width(&text, 80);
    let told = "Noise not known on 1 route where 9 responses differ: too few requests were sent twice to tell what changes by \
                itself. Add --self-check 10% or --baseline URL, or leave a field out: --ignore 'json:$.by.*.at'";
    assert!(words(&text).contains(told) && !words(&without).contains("not known on"), "{text}");
    summary.self_check = Some(SelfChecks { offered: 1, ..SelfChecks::default() });
    assert!(words(&report(&summary, 80, false)).contains("Add a larger --self-check, or --baseline URL"));
}

#[test]
fn what_differs_is_told_by_field_and_noise_with_both_rates() {
    let mut summary = summary();
    let target = "http://staging:8080".to_owned();
    let (route, path) = ("GET /v2/channels/{id}".to_owned(), "$.items[*].updatedAt".to_owned());
    summary.fields = vec![
        FieldRow {
            route: route.clone(),
            place: DifferencePart::Body,
            path: "$.region".into(),
            target: target.clone(),
            count: 112,
            compared: 112,
        },
        FieldRow {
            route: "GET /".into(),
            place: DifferencePart::Header,
            path: "etag".into(),
            target: target.clone(),
            count: 3,
            compared: 40,
        },
    ];
    let row = |why, own| NoiseRow {
        route: route.clone(),
        place: DifferencePart::Body,
        path: path.clone(),
        target: target.clone(),
        why,
        rates: NoiseRates { shadow: 0.991, own },
        samples: NoiseSamples { shadow: 112, own: 40 },
    };
    summary.noise = vec![row(NoiseSource::Repeats, 1.0), row(NoiseSource::Baseline, 0.925)];
    summary.baseline = Some(Baseline { url: "http://old:8080".into(), target: self::target() });
    summary.self_check =
        Some(SelfChecks { offered: 12, sent: 11, failed: 1, compared: 11, differ: 4, ..SelfChecks::default() });
    let text = report(&summary, 80, false);
    check_width(&text, 80);
    let between = |from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap();
        format!("{from}{}", rest.split_once(to).unwrap().0)
    };
    insta::assert_snapshot!(between("Differs in", "\nLatency"), @"
    Differs in   GET /v2/channels/{id}, body $.region: 112 of 112
                 GET /, header etag: 3 of 40

    Noise        2 fields differ whatever the stack and are not counted: responses
                 that differ in nothing else are 0 by status, 0 by headers, 0 by
                 body
                 GET /v2/channels/{id}, body $.items[*].updatedAt: 99.1% of 112
                   here, 100% of 40 repeats in the capture
                 GET /v2/channels/{id}, body $.items[*].updatedAt: 99.1% of 112
                   here, 92.5% of 40 with the baseline
    ");
    insta::assert_snapshot!(between("Baseline", "Capture "), @"
    Baseline     http://old:8080 answered 1,202 of 1,204 requests; 2 failed; of
                 1,192 compared with production's 37 differ in status, 0 in headers,
                 112 in body
    Self-checks  12 requests sent twice, 11 answered twice; 4 of these differ
    ");
}

#[test]
fn each_gate_is_told_with_what_became_of_it_and_why() {
    use crate::report::schema::gates::GateState::{Failed, Held, TooFew};
    let gate = |gate: &str, state, reason: &str| crate::report::schema::gates::GateResult {
        gate: gate.to_owned(),
        held: state == Held,
        state,
        reason: reason.to_owned(),
        ..crate::report::schema::gates::GateResult::default()
    };
    let mut summary = summary();
    summary.gates = vec![
        gate("errors>0.5%", Held, "0% (0 of 1,204) is not more than 0.5%"),
        gate(
            "p99>1.2*production",
            Failed,
            "67.9ms is more than 4.51ms (production's is 3.76ms), at http://staging.example.com:8080",
        ),
        gate("body-diff{route=\"/v2/*\"}>0", TooFew, "it needs 30 compared deliveries to pass, and there are 12"),
    ];
    let text = report(&summary, 80, false);
    check_width(&text, 80);
    let (_, gates) = text.split_once("\nGates\n").unwrap();
    let (gates, _) = gates.split_once("\n\n").unwrap();
    insta::assert_snapshot!(gates, @r#"
    held     errors>0.5%: 0% (0 of 1,204) is not more than 0.5%
    failed   p99>1.2*production: 67.9ms is more than 4.51ms (production's is
             3.76ms), at http://staging.example.com:8080
    too few  body-diff{route="/v2/*"}>0: it needs 30 compared deliveries to pass,
             and there are 12
    "#);
    assert!(report(&summary, 80, true).contains("\u{1b}[31m  failed   p99>1.2*production"));
}

/// The report of a run that recorded, of 83,135 requests, what is left after the losses.
fn recorded(recording: crate::report::schema::recording::RecordingSummary) -> (Summary, String) {
    let ended = Ended { kept: 83_135, ..Ended::default() };
    let requests = Requests { seen: 83_135, offered: 0, in_flight: 0, ended };
    let summary = Summary { requests, recording: Some(recording), ..Summary::default() };
    let text = report(&summary, 100, false);
    (summary, text)
}

#[test]
fn what_a_recording_lost_is_not_said_to_be_recorded() {
    let recording = crate::report::schema::recording::RecordingSummary {
        files: 1,
        last: Some("a.gor".to_owned()),
        records: 10,
        requests: Some(5),
        lost: counts([("disk", 166_260)]),
        ..Default::default()
    };
    let (summary, text) = recorded(recording.clone());
    assert!(text.contains("5 of 83,135 requests recorded in a.gor; 166,260 records LOST"), "{text}");
    assert!(text.contains("83,135  to be recorded") && text.contains("83,130  LOST on the way"), "{text}");
    assert!(!text.contains("83,135  recorded") && text.contains("  5  recorded\n"), "{text}");
    assert!(summary.recording_failed());
    // Frames: how many requests are in them is not known.
    let frames = crate::report::schema::recording::RecordingSummary { requests: None, ..recording.clone() };
    let (_, text) = recorded(frames);
    assert!(text.contains("10 records recorded in a.gor; 83,135 requests seen; 166,260 records LOST"), "{text}");
    assert!(!text.contains("83,135  recorded"), "{text}");
    let whole = crate::report::schema::recording::RecordingSummary {
        requests: Some(83_135),
        lost: CountMap::new(),
        ..recording
    };
    let (summary, text) = recorded(whole.clone());
    assert!(
        text.contains("83,135 of 83,135 requests recorded in a.gor\n") && text.contains("83,135  recorded\n"),
        "{text}"
    );
    assert!(!summary.recording_failed());
    let queue = crate::report::schema::recording::RecordingSummary { lost: counts([("queue", 1)]), ..whole.clone() };
    assert!(!recorded(queue).0.recording_failed(), "the disk took all that came to it");
    assert!(
        recorded(crate::report::schema::recording::RecordingSummary { unfinished: 1, ..whole }).0.recording_failed()
    );
}

#[test]
fn each_of_several_targets_stands_beside_production_of_the_requests_that_it_was_offered() {
    let mut summary = summary();
    let pairs = |us| PairedLatency { production: figures(600, us), ..PairedLatency::default() };
    let targets = [("http://a", 400), ("http://b", 9_000)];
    summary.targets = targets.map(|(url, us)| (url.to_owned(), with_pairs(pairs(us)))).into();
    let text = report(&summary, 200, false);
    let rows: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("production ")).collect();
    assert_eq!(
        rows,
        [
            "production    400µs    800µs   1.20ms   2.80ms   8.40ms   17.2ms       600",
            "production   9.00ms   18.0ms   27.0ms   63.0ms    189ms    387ms       600"
        ],
        "{text}"
    );
}

fn with_pairs(pairs: PairedLatency) -> TargetSummary {
    TargetSummary { paired_latency_us: Some(pairs), ..target() }
}

#[test]
fn a_response_without_a_request_is_called_so() {
    let mut summary = summary();
    summary.production.unjoined = counts([("orphan", 1)]);
    let text = report(&summary, 80, false).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("! 1 response without a request (its request was not captured, or the server sent it unasked)"),
        "{text}"
    );
    assert!(!text.contains("not known"), "{text}");
    summary.production.unjoined = counts([("orphan", 2), ("gap", 1)]);
    let text = report(&summary, 80, false).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("! 1 production response not known (gap 1)"), "{text}");
    assert!(text.contains("! 2 responses without a request (their requests were not captured,"), "{text}");
}

#[test]
fn latencies_that_are_those_of_timeouts_are_called_so() {
    let mut summary = summary();
    assert!(!report(&summary, 80, false).contains("timed out"), "2 of 1,204 change no percentile that is shown");
    summary.targets.values_mut().for_each(|target| _ = target.ended.failed.insert("timeout".into(), 180));
    assert!(
        report(&summary, 80, false).contains("  180 of these timed out, and count as long as they were waited for\n")
    );
}

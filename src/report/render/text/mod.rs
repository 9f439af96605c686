//! The summary on a terminal: read in ten seconds, at 80 columns.
//!
//! The verdict comes first, then the results of the requests in sums that can be followed, then the comparison of the
//! responses, then the course of the run itself; warnings come last, where the eye stays. Everything is a function of
//! the [`Summary`]: nothing is measured, read or printed here.

use std::fmt::Write as _;

use crate::exchange::{Damage, Shed};
use crate::report::schema::counts::{CountMap, LatencySummary, sum};
use crate::report::schema::failures::{DesynchronisedSummary, FailureReason};
use crate::report::schema::summary::{FileFrame, MaxGap, Requests, Summary};
use crate::report::schema::target::{AddressSummary, TargetSummary};
use crate::report::schema::verdict::Verdict;
use crate::report::units::{bytes, counted, duration, number, percent};
use crate::sanitize;

mod access_log;
mod advice;
mod against;
mod carry;
mod dry_run;
mod fleet;
mod fleet_status;
mod forecast;
mod gates;
mod matrix;
mod merged;
mod noise;
mod observe;
mod recording;
mod routes;
mod steps;
#[cfg(test)]
mod tests;
mod verdict;

pub use advice::advice;
pub use against::against;
pub use dry_run::{dry_run, passed};
pub use fleet::fleet;
pub use fleet_status::fleet_status;
pub use forecast::forecast;
pub use observe::observed;
pub use routes::routes;

/// Narrowest page that is laid out: narrower terminals wrap by themselves.
const NARROWEST: usize = 60;

/// Widest paragraph: longer lines are hard to read, whatever the terminal.
const WIDEST: usize = 120;

/// Columns of the labels of the last block.
const LABEL: usize = 13;

/// Addresses of a target that are listed; of further ones there is the number.
const MAX_ADDRESSES: usize = 8;

/// Reasons for failures that are listed; of further ones there is the number.
const MAX_REASONS: usize = 8;

/// Median lateness from which the schedule counts as missed, in microseconds.
const LATE_US: u64 = 100_000;

/// The report of a run that sent something, `width` columns wide, with ANSI colors where `color`.
#[must_use]
pub fn report(summary: &Summary, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    let verdict = summary.verdict.clone().unwrap_or_else(|| Verdict::of(summary));
    access_log::line(&mut page, summary);
    verdict::verdict(&mut page, summary, &verdict);
    if let Some(sums) = summary.fleet.as_ref().and_then(|fleet| fleet.sums.as_ref()) {
        fleet::block(&mut page, sums);
    }
    ledger(&mut page, summary, &verdict);
    for url in verdict::worst_first(summary, &verdict) {
        let Some(target) = summary.targets.get(url) else { continue };
        if summary.targets.len() > 1 {
            page.title(&summary.name_and_url(url));
        }
        failures(&mut page, target);
        matrix::status(&mut page, target);
        noise::fields(&mut page, summary, url);
        noise::of_target(&mut page, summary, url);
        latency(&mut page, summary, target);
        sending(&mut page, target, summary.merged.is_some());
        steps::guard(&mut page, target);
    }
    noise::reference(&mut page, summary);
    if let Some(recording) = &summary.recording {
        recording::line(&mut page, recording);
    }
    steps::steps(&mut page, summary);
    if let Some(observed) = &summary.observe {
        observe::block(&mut page, observed);
        page.out.push('\n');
    }
    silences(&mut page, summary);
    capture(&mut page, summary);
    asked(&mut page, summary);
    merged::block(&mut page, summary);
    gates::gates(&mut page, summary);
    warnings(&mut page, summary);
    page.out
}

/// What the run was asked for.
fn asked(page: &mut TextReport, summary: &Summary) {
    let Some(asked) = summary.asked.as_ref().filter(|asked| !asked.command_line.is_empty()) else { return };
    let mut text = format!("Command      {}", asked.command_line);
    if summary.sample.asked < 1.0 {
        write!(text, "; seed {}", asked.seed).ok();
    }
    page.wrapped(&text, LABEL, Severity::Plain);
}

/// The few lines under what `inspect` shows: how much there was, how many of it are `shown` where not all are, what was
/// kept back, and what could not be read.
#[must_use]
pub fn footer(summary: &Summary, shown: Option<u64>, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    access_log::line(&mut page, summary);
    let Requests { seen, ended, .. } = &summary.requests;
    let mut text = counted(*seen, "exchange");
    let filtered = ended.filtered.iter().map(|(rule, count)| {
        let is_flag = ["allow-method", "allow-path", "deny-path", "allow-host"].contains(&rule.as_str());
        (format!("kept back by {}{rule}", if is_flag { "--" } else { "filter " }), *count)
    });
    let others = [
        ("not in the sample", ended.sampled_out),
        ("damaged", ended.malformed + sum(&ended.incomplete)),
        ("with a damaged response", damaged_responses(summary)),
    ];
    for (what, count) in filtered.chain(others.map(|(what, count)| (what.to_owned(), count))) {
        if count > 0 {
            write!(text, ", {} {what}", number(count)).ok();
        }
    }
    if let Some(shown) = shown {
        write!(text, "; {} with that status", number(shown)).ok();
    }
    page.paragraph(&text, Severity::Plain);
    capture(&mut page, summary);
    warnings(&mut page, summary);
    page.out
}

/// Responses that were captured in part. What an access log does not have was never to be captured.
fn damaged_responses(summary: &Summary) -> u64 {
    let damaged = summary.production.damaged.iter().filter(|(why, _)| *why != Damage::NotLogged.key());
    damaged.map(|(_, count)| count).sum()
}

/// Severity of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Plain,
    Title,
    Faint,
    Good,
    Odd,
    Bad,
}

/// A page that fills from top to bottom.
struct TextReport {
    out: String,
    width: usize,
    color: bool,
}

impl TextReport {
    fn line(&mut self, text: &str) {
        self.out.push_str(&sanitize::text(text.trim_end(), self.color));
        self.out.push('\n');
    }

    fn title(&mut self, text: &str) {
        let text = self.paint(text, Severity::Title);
        self.out.push('\n');
        self.line(&text);
    }

    /// Words wrapped to the width, further lines indented a little.
    fn paragraph(&mut self, text: &str, tone: Severity) {
        self.wrapped(text, 2, tone);
    }

    /// Words wrapped to the width, further lines indented by `indent` columns.
    fn wrapped(&mut self, text: &str, indent: usize, tone: Severity) {
        let mut line = String::new();
        let mut used = 0;
        for (at, word) in text.split(' ').enumerate() {
            let len = word.chars().count();
            if used > indent && used + 1 + len > self.width {
                let full = self.paint(line.trim_end(), tone);
                self.line(&full);
                line = " ".repeat(indent);
                used = indent;
            } else if at > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += len;
        }
        let last = self.paint(&line, tone);
        self.line(&last);
    }

    fn paint(&self, text: &str, tone: Severity) -> String {
        // What is painted has no style of its own.
        let text = sanitize::text(text, false);
        let code = match tone {
            _ if !self.color => return text.into_owned(),
            Severity::Plain => return text.into_owned(),
            Severity::Title => "1",
            Severity::Faint => "2",
            Severity::Good => "32",
            Severity::Odd => "33",
            Severity::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Writes the requests from those seen to those with a response, one subtraction a line.
fn ledger(page: &mut TextReport, summary: &Summary, verdict: &Verdict) {
    let requests = &summary.requests;
    if requests.seen == 0 {
        return;
    }
    page.title("Requests");
    let rows = TextRows { figures: number(requests.seen).len().max(3) };
    rows.row(page, ' ', requests.seen, &seen_words(summary));
    let ended = &requests.ended;
    rows.less(page, ended.malformed, "malformed: not replayed");
    rows.each(page, &ended.incomplete, "incomplete in the capture");
    rows.each(page, &ended.filtered, "kept back by filter");
    rows.less(page, ended.sampled_out, &sample_words(summary));
    rows.less(page, ended.rate_limited, "kept back by the rate limit");
    rows.shed(page, &ended.shed);
    rows.less(page, requests.in_flight, "not yet decided when the run ended");
    if summary.targets.is_empty() {
        kept(page, &rows, summary);
        return;
    }
    rows.less(page, ended.kept, "kept");
    let one = summary.targets.len() == 1;
    rows.row(page, '=', requests.offered, if one { "offered to the target" } else { "offered to at least one target" });
    for url in verdict::worst_first(summary, verdict) {
        if let Some(target) = summary.targets.get(url) {
            target_ledger(page, &rows, (!one).then(|| summary.name_and_url(url)).as_deref(), target);
        }
    }
}

/// Writes the requests to record, and those lost on the way, where nothing is sent.
fn kept(page: &mut TextReport, rows: &TextRows, summary: &Summary) {
    let kept = summary.requests.ended.kept;
    match summary.requests_recorded() {
        Some(recorded) if recorded < kept => {
            rows.row(page, '=', kept, "to be recorded");
            rows.less(page, kept - recorded, "LOST on the way to the recording");
            rows.row(page, '=', recorded, "recorded");
        }
        Some(_) => rows.row(page, '=', kept, "recorded"),
        // How many requests are in the frames that were lost, nobody knows.
        None if summary.recording.as_ref().is_some_and(|recording| recording.lost.is_empty()) => {
            rows.row(page, '=', kept, "recorded");
        }
        None => rows.row(page, '=', kept, "kept"),
    }
}

fn target_ledger(page: &mut TextReport, rows: &TextRows, name: Option<&str>, target: &TargetSummary) {
    if let Some(name) = name {
        rows.row(page, ' ', target.offered, &format!("offered to {name}"));
    }
    let ended = &target.ended;
    rows.less(page, ended.sampled_out, "not in the target's sample");
    rows.each(page, &ended.filtered, "kept back by the target's filter");
    rows.less(page, ended.rate_limited, "kept back by the target's rate limit");
    for (count, what) in target.held() {
        rows.less(page, count, what);
    }
    rows.shed(page, &ended.shed);
    rows.each(page, &ended.failed, "failed");
    rows.less(page, target.in_flight, "still in flight when the run ended");
    rows.row(page, '=', ended.sent, "answered");
}

/// What the requests are of that were seen: all there were, or those of a share of the connections.
fn seen_words(summary: &Summary) -> String {
    let most = if summary.is_kernel_share_a_maximum() { "at most " } else { "" };
    let sampled = |share| format!("seen: the kernel let {most}{} of the connections through", percent(share));
    summary.sample.kernel.map_or_else(|| "seen".to_owned(), sampled)
}

/// Returns the share asked of the sample and the shares it reached, in words.
fn sample_words(summary: &Summary) -> String {
    let sample = &summary.sample;
    let reached = |share: Option<f64>, what: &str| share.map(|share| format!("{} of {what}", percent(share)));
    // Not of all that were seen: damaged ones and those that a filter ended never came to the sample.
    let requests = match sample.decided {
        0 => "requests".to_owned(),
        decided => format!("the {} that reached it", counted(decided, "request")),
    };
    let shares: Vec<String> = [(sample.requests, &*requests), (sample.keys, "keys"), (sample.bytes, "bytes")]
        .into_iter()
        .filter_map(|(share, what)| reached(share, what))
        .collect();
    // Samples of several routes have no share in common, nor has one that was turned on the way.
    let is_turned = summary.steps.iter().any(|step| step.what.is_of_sample());
    let asked = if sample.asked < 1.0 && !is_turned { format!(" of {}", percent(sample.asked)) } else { String::new() };
    let took = if shares.is_empty() { String::new() } else { format!(" (took {})", shares.join(", ")) };
    format!("not in the sample{asked}{took}")
}

/// Rows of a sum.
struct TextRows {
    figures: usize,
}

impl TextRows {
    fn row(&self, page: &mut TextReport, sign: char, count: u64, what: &str) {
        let text = format!("  {sign} {:>1$}  {what}", number(count), self.figures);
        page.wrapped(&text, self.figures + 6, Severity::Plain);
    }

    /// A row that is left out where it is zero.
    fn less(&self, page: &mut TextReport, count: u64, what: &str) {
        if count > 0 {
            self.row(page, '-', count, what);
        }
    }

    fn each(&self, page: &mut TextReport, counts: &CountMap, what: &str) {
        for (key, count) in counts {
            self.less(page, *count, &format!("{what}: {}", key.replace('_', " ")));
        }
    }

    /// What was shed, by place, and beside it what the run did not come to.
    fn shed(&self, page: &mut TextReport, counts: &CountMap) {
        let mut shed = counts.clone();
        let not_reached = shed.remove(Shed::RunEnded.key()).unwrap_or_default();
        self.each(page, &shed, "shed");
        self.less(page, not_reached, "not sent: the run ended first");
    }
}

/// Writes the reasons of failed deliveries, a line each; and a note on responses that came without a request.
fn failures(page: &mut TextReport, target: &TargetSummary) {
    if !target.failures.is_empty() {
        page.title("Failures");
    }
    for failure in target.failures.iter().take(MAX_REASONS) {
        let FailureReason { kind, reason, count, first } = failure;
        let text = format!("  {}: {reason} ({}; first {first})", kind.replace('_', " "), number(*count));
        page.wrapped(&text, 4, Severity::Bad);
    }
    if let Some(rest) = target.failures.get(MAX_REASONS..).filter(|rest| !rest.is_empty()) {
        let deliveries = rest.iter().map(|failure| failure.count).sum();
        page.wrapped(
            &format!("  {} more ({})", counted(rest.len() as u64, "reason"), number(deliveries)),
            4,
            Severity::Bad,
        );
    }
    if let Some(found) = &target.desynchronised {
        page.out.push('\n');
        page.wrapped(&desynchronised(found), LABEL, Severity::Bad);
    }
}

/// A finding: responses and requests did not go together.
fn desynchronised(found: &DesynchronisedSummary) -> String {
    let DesynchronisedSummary { deliveries, connections, before_a_request, earlier, taken_back, first } = found;
    let mut text =
        format!("Desynchronised: responses came without a request on {}", counted(*connections, "connection"));
    if *before_a_request > 0 {
        write!(text, ", on {} before any was sent", number(*before_a_request)).ok();
    }
    write!(text, "; {} failed for it and not compared", counted(*deliveries, "response")).ok();
    if *taken_back > 0 {
        write!(text, ", {} of them taken back", number(*taken_back)).ok();
    }
    let stand = earlier.saturating_sub(*taken_back);
    if stand > 0 {
        write!(text, "; {} before them stand: too long ago to be taken back", counted(stand, "response")).ok();
    }
    if let Some(first) = first {
        write!(text, "; first {first}").ok();
    }
    text
}

/// Production, service and response side by side.
fn latency(page: &mut TextReport, summary: &Summary, target: &TargetSummary) {
    let latency = &target.latency_us;
    // Of several targets each is held against production's figures for the requests that it was offered.
    let production = match &target.paired_latency_us {
        Some(pairs) if summary.targets.len() > 1 => &pairs.production,
        _ => &summary.production.latency_us,
    };
    let all = [
        ("production", production, "last byte of the request to first of the response"),
        ("service", &latency.service, "the same at the target"),
        ("response", &latency.response, "from when it was due: what users feel"),
    ];
    if all.iter().all(|(_, figures, _)| figures.count == 0) {
        return;
    }
    page.title(&format!(
        "{:<12}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}",
        "Latency", "p50", "p90", "p95", "p99", "p99.9", "max", "samples"
    ));
    for (name, f, _) in all.iter().filter(|(_, figures, _)| figures.count > 0) {
        let mut line = format!("  {name:<10}");
        for us in [f.p50, f.p90, f.p95, f.p99, f.p99_9, f.max] {
            write!(line, "{:>9}", duration(us)).ok();
        }
        write!(line, "{:>10}", number(f.count)).ok();
        page.line(&line);
    }
    if let Some(words) = timed_out(target) {
        let line = page.paint(&format!("  {words}"), Severity::Odd);
        page.line(&line);
    }
    if page.width >= 100 {
        for (name, _, words) in all.iter().filter(|(_, figures, _)| figures.count > 0) {
            let line = page.paint(&format!("  {name}: {words}"), Severity::Faint);
            page.line(&line);
        }
    }
}

/// Says that latencies at the target are also how long was waited for what never came, where that is one in a hundred or more.
fn timed_out(target: &TargetSummary) -> Option<String> {
    let late = ["timeout", "connect_timeout"].map(|kind| target.ended.failed.get(kind).copied().unwrap_or_default());
    let late: u64 = late.into_iter().sum();
    (late > 0 && late * 100 >= target.latency_us.service.count)
        .then(|| format!("{} of these timed out, and count as long as they were waited for", number(late)))
}

/// Connections and the schedule. Of several runs it is not known what was at once in all of them.
fn sending(page: &mut TextReport, target: &TargetSummary, is_merged: bool) {
    if target.offered == 0 {
        return;
    }
    page.out.push('\n');
    let mut text = format!(
        "Connections  {} opened, {} at once; {} in flight at most{}",
        number(target.connections_opened),
        number(target.peak_connections),
        counted(target.peak_in_flight, "request"),
        if is_merged { " in one run" } else { "" },
    );
    let connect = &target.latency_us.connect;
    if connect.count > 0 {
        let [p50, p95, p99] = [connect.p50, connect.p95, connect.p99].map(duration);
        write!(text, "; set up in {p50} (p95 {p95}, p99 {p99})").ok();
    }
    if target.retried > 0 {
        write!(text, "; {} sent again after theirs was closed", counted(target.retried, "request")).ok();
    }
    let closed = sum(&target.closed_early);
    if closed > 0 {
        let (responses, there) = (counted(closed, "response"), target.closed_early.get("production_ended").copied());
        write!(
            text,
            "; {responses} without end closed, {} where production's ended",
            number(there.unwrap_or_default())
        )
        .ok();
    }
    page.wrapped(&text, LABEL, Severity::Plain);
    if target.addresses.len() > 1 {
        page.wrapped(&addresses(&target.addresses), LABEL, Severity::Plain);
    }
    match &target.schedule_lag_us {
        Some(lag) => page.wrapped(&format!("Schedule lag {}", spread(lag)), LABEL, Severity::Plain),
        None => page.wrapped("Schedule lag none: there was no schedule to keep", LABEL, Severity::Plain),
    }
    carry::carry(page, target);
}

/// Returns the distribution of requests over the addresses of a name.
fn addresses(all: &[AddressSummary]) -> String {
    let requests: u64 = all.iter().map(|address| address.requests).sum();
    let mut text = "Addresses   ".to_owned();
    for address in all.iter().take(MAX_ADDRESSES) {
        let share = 100.0 * address.requests as f64 / requests.max(1) as f64;
        write!(text, " {} {share:.0}% over {}", address.address, number(address.connections_opened)).ok();
        if address.connections_failed > 0 {
            write!(text, " ({} failed)", number(address.connections_failed)).ok();
        }
        text.push(';');
    }
    match all.len().saturating_sub(MAX_ADDRESSES) {
        0 => {
            text.pop();
        }
        more => {
            write!(text, " and {more} more").ok();
        }
    }
    text
}

fn spread(f: &LatencySummary) -> String {
    let [p50, p95, p99, max] = [f.p50, f.p95, f.p99, f.max].map(duration);
    format!("p50 {p50}, p95 {p95}, p99 {p99}, max {max}")
}

/// What was left out of the capture's silences, where that was asked for.
fn silences(page: &mut TextReport, summary: &Summary) {
    let Some(MaxGap { limit_s, shortened, left_out_s }) = summary.max_gap else { return };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of a duration, and `as` saturates")]
    let in_words = |seconds: f64| duration((seconds * 1e6) as u64);
    let limit = in_words(limit_s);
    let text = if shortened == 0 {
        format!("Silences     none was longer than {limit} (--max-gap)")
    } else {
        let (silences, left_out) = (counted(shortened, "silence"), in_words(left_out_s));
        format!("Silences     {silences} shortened to {limit} (--max-gap), {left_out} left out")
    };
    page.wrapped(&text, LABEL, Severity::Plain);
}

/// Writes the statistics of the capture.
fn capture(page: &mut TextReport, summary: &Summary) {
    let (frames, tcp) = (&summary.frames, &summary.tcp);
    let mut text =
        format!("Capture      {}, {}", counted(frames.received, "frame"), counted(tcp.connections, "connection"));
    let skipped = sum(&frames.skipped);
    if skipped > 0 {
        write!(text, "; {} skipped ({})", counted(skipped, "frame"), skipped_words(&frames.skipped)).ok();
    }
    if tcp.gaps > 0 {
        write!(text, "; {} ({} missing)", counted(tcp.gaps, "gap"), bytes(tcp.gap_bytes)).ok();
    }
    // A recording has requests and no frames that they came of.
    if frames.received > 0 || summary.requests.seen == 0 {
        page.wrapped(&text, LABEL, Severity::Plain);
    }
    if let Some(delay) = &summary.capture_delay_us {
        let text = format!("Capture delay {}: no part of any latency", spread(delay));
        page.wrapped(&text, LABEL, Severity::Plain);
    }
    let streams = &summary.streams;
    let aside =
        [(streams.tls, "TLS"), (streams.http2, "HTTP/2"), (streams.upgraded, "upgraded"), (streams.unknown, "unknown")];
    let aside: Vec<String> =
        aside.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(*n))).collect();
    if !aside.is_empty() {
        page.wrapped(&format!("Set aside    connections: {}", aside.join(", ")), LABEL, Severity::Plain);
    }
}

/// Writes the warnings, which make the rest less certain.
fn warnings(page: &mut TextReport, summary: &Summary) {
    let mut all = Vec::new();
    let lost = summary.frames.kernel_dropped + summary.frames.interface_dropped;
    if lost > 0 {
        all.push(format!("{} were lost before they could be read: a larger --buffer helps", counted(lost, "frame")));
    }
    if sum(&summary.tcp.evicted) > 0 {
        all.push(format!("limits were reached while reading: {}", kinds(&summary.tcp.evicted)));
    }
    if summary.frames.clock_steps > 0 {
        let at = match (&summary.frames.clock_step_in, summary.frames.clock_step_at) {
            (Some(FileFrame { file, frame }), _) => format!(", first at frame {} of {file}", number(*frame)),
            (None, Some(frame)) => format!(", first at frame {}", number(frame)),
            (None, None) => String::new(),
        };
        let times = counted(summary.frames.clock_steps, "time");
        all.push(format!("the capture's clock was set {times}{at}: latencies across are left out"));
    }
    if summary.tcp.unplaced_requests > 0 {
        let what = counted(summary.tcp.unplaced_requests, "request");
        all.push(format!("{what} fit no connection, or came too late, and are not counted: receivers drop such segments, recorders with other clocks delay them"));
    }
    if summary.tcp.bad_checksums > 0 {
        let what = counted(summary.tcp.bad_checksums, "segment");
        all.push(format!("{what} had a wrong checksum: copies of them were taken where any came"));
    }
    all.extend(unjoined(&summary.production.unjoined));
    for (url, target) in &summary.targets {
        if target.schedule_lag_us.as_ref().is_some_and(|lag| lag.p50 >= LATE_US) {
            let helps = if target.mirrored { KEEPS_UP_MIRRORED } else { KEEPS_UP };
            all.push(format!("the schedule could not be kept toward {url}: {helps}"));
        }
    }
    all.extend(summary.warnings.iter().cloned());
    if !all.is_empty() {
        page.out.push('\n');
    }
    for text in all {
        page.paragraph(&format!("! {text}"), Severity::Odd);
    }
}

/// Says which production responses are not known, and which requests are not. An orphan is a response without a request.
fn unjoined(counts: &CountMap) -> Vec<String> {
    let mut unknown = counts.clone();
    let orphans = unknown.remove("orphan").unwrap_or_default();
    let mut said = Vec::new();
    if sum(&unknown) > 0 {
        said.push(format!("{} not known ({})", counted(sum(&unknown), "production response"), kinds(&unknown)));
    }
    if orphans > 0 {
        let (what, its) =
            (counted(orphans, "response"), if orphans == 1 { "its request was" } else { "their requests were" });
        let them = if orphans == 1 { "it" } else { "them" };
        said.push(format!("{what} without a request ({its} not captured, or the server sent {them} unasked)"));
    }
    said
}

/// What helps where requests go out late.
const KEEPS_UP: &str = "raise --max-in-flight and --max-connections, lower --speed, or send less (--sample)";

/// The same where each captured connection has its own: there are as many as in production already, unless a limit was set.
const KEEPS_UP_MIRRORED: &str = "on a mirrored connection a request waits for the one before; --connections pooled waits for none. \
     Or raise --max-in-flight (and --max-connections, where it is set), lower --speed, or send less (--sample)";

/// Says why frames were skipped, greatest first: `38 not on a port of -p, 2 not tcp`. The number stands first: behind `-p` it
/// would be read as a port.
fn skipped_words(skipped: &CountMap) -> String {
    let word = |key: &str| match key {
        "port" => "not on a port of -p".to_owned(),
        "filter" => "not matched by -f".to_owned(),
        "direction" => "not of the --direction that is taken".to_owned(),
        "duplicate" => "seen before under other addresses".to_owned(),
        key => key.replace('_', " "),
    };
    let all: Vec<String> =
        greatest_first(skipped).into_iter().map(|(key, count)| format!("{} {}", number(count), word(key))).collect();
    all.join(", ")
}

/// Returns the counts that are not zero, greatest first: `not tcp 30, cut 2`.
fn kinds(counts: &CountMap) -> String {
    let all: Vec<String> = greatest_first(counts)
        .into_iter()
        .map(|(key, count)| format!("{} {}", key.replace('_', " "), number(count)))
        .collect();
    all.join(", ")
}

fn greatest_first(counts: &CountMap) -> Vec<(&str, u64)> {
    let mut all: Vec<(&str, u64)> =
        counts.iter().filter(|(_, count)| **count > 0).map(|(key, count)| (key.as_str(), *count)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    all
}

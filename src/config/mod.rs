//! Configuration: turns the typed text, files and defaults into one validated configuration, and reports every mistake
//! at once.
//!
//! The input is [`typed`], as text. The output is a configuration that can be run, or all [`ConfigMistakes`]. Capture
//! files are opened here, so that a missing file is reported together with a misspelled flag. Nothing is created, sent
//! or printed here.

use std::path::PathBuf;
use std::sync::Arc;

use crate::capture;
use crate::files::FileMode;
use crate::middleware::route::TargetNames;
use crate::pipeline::Run;
use crate::recording::{AccessLogFormat, Origin};
use crate::report::{RoutePatterns, StatusChoice};
use crate::{middleware, replay};

mod addressing;
mod chain;
mod check;
mod compare;
mod dashcam;
mod doctor;
mod external;
mod gates;
pub mod gor;
mod inspect;
mod live;
mod mistakes;
mod monitoring;
mod outputs;
mod own_traffic;
mod pacing;
mod protection;
mod range;
mod reload;
mod run;
mod sending;
mod store;
#[cfg(test)]
mod tests;
pub mod typed;

pub use chain::reread;
pub use doctor::{DoctorConfig, doctor};
pub use gates::demands;
pub use mistakes::{ConfigMistake, ConfigMistakes};
pub use monitoring::LogFormat;
pub use outputs::may_overwrite;
pub use reload::{ConfigChanges, RELOADABLE, changes_of_record, changes_of_shadow};
pub use run::{LiveConfig, RunConfig, record, shadow};
pub use store::{StoreNeeds, fleet};

use check::parsed;

/// Most targets of one run.
const MAX_TARGETS: usize = 32;

/// Destination of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output, typed as `-`.
    Stdout,
    /// A file, made anew.
    File(PathBuf),
}

/// Outputs of a run besides its report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The summary, as one JSON object.
    pub summary: Option<Output>,
    /// A line of JSON for each ended delivery.
    pub results: Option<Output>,
    /// The report as a page of HTML, or as Markdown.
    pub report: Option<Output>,
    /// The gates as test cases, in the XML of `JUnit`.
    pub junit: Option<Output>,
    /// Permissions of the output files.
    pub mode: FileMode,
}

/// Output format of `inspect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectView {
    /// Nothing: only the summary is wanted.
    Nothing,
    /// An aligned line for people, an exchange.
    Lines,
    /// A JSON object an exchange.
    JsonLines {
        /// With the messages themselves.
        full: bool,
    },
    /// An HTTP archive (HAR) in a file of its own.
    Archive,
    /// A table by route.
    Stats {
        /// As a JSON object a route.
        json: bool,
    },
    /// Connection figures for planning a migration.
    Forecast {
        /// As one JSON object.
        json: bool,
    },
}

/// An inspection that can be run.
pub struct InspectConfig {
    /// Frame filters and capture limits.
    pub capture: capture::Settings,
    /// Source of the frames, opened.
    pub source: Origin,
    /// Selection of requests. Writes are included, and nothing is rewritten.
    pub select: middleware::ChainSettings,
    /// Statuses of the exchanges to print; `None` prints all.
    pub status: Option<StatusChoice>,
    /// Output format.
    pub view: InspectView,
    /// Destination of the summary.
    pub summary: Option<Output>,
    /// Destination of the archive.
    pub har: Option<Output>,
    /// Permissions of the files.
    pub mode: FileMode,
    /// Names of routes.
    pub routes: Arc<RoutePatterns>,
    /// Warnings for people: settings that are allowed and probably not intended.
    pub warnings: Vec<String>,
}

/// Checks what `shadowtap replay` was asked for, and opens the captures.
///
/// # Errors
///
/// Every mistake in it.
pub fn replay(typed: typed::Replay) -> Result<RunConfig, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let mut warnings = Vec::new();
    let capture = capture_settings(typed.capture, &mut mistakes);
    let range = range::range(&typed.range, &capture.files, &mut mistakes);
    if typed.dry_run.dry_run && range.passes == range::FOREVER {
        mistakes.add("--loop forever and --dry-run", "a dry run that has no end tells nothing: leave out --loop");
    }
    let names = names(&typed.send);
    chain::unsampled(&typed.select, typed.protection.ramp.is_some(), &mut warnings);
    let middleware = chain::settings(
        &typed.select,
        &typed.middleware,
        typed.writes.allow_writes,
        &names,
        &mut mistakes,
        &mut warnings,
    );
    let external = external::settings(&typed.middleware, &mut mistakes, &mut warnings);
    let protection = protection::protection(&typed.protection, &typed.select, false, &mut mistakes, &mut warnings);
    let guard = protection.guard.as_ref();
    let targets = targets(&typed.send, &typed.pace, &middleware, guard, &mut mistakes, &mut warnings);
    let middleware = chain::sample_as_sent(middleware, &typed.select, &targets);
    chain::torn_sessions(&middleware, typed.protection.ramp.is_some(), &mut warnings);
    let compare = compare::rules(&typed.compare, &mut mistakes);
    let reference = compare::reference(&typed.compare, &targets, &mut mistakes);
    let outputs = outputs::all(&typed.report, &capture, &mut mistakes);
    let patterns = outputs::routes(typed.report.routes.routes.as_deref(), &mut mistakes);
    let monitoring = monitoring::monitoring(&typed.monitoring, &mut mistakes);
    let ending = typed.ending.duration.as_deref();
    let duration = ending.and_then(|typed| mistakes.keep("--duration", check::long_time(typed)));
    let observe = parsed("--observe", typed.compare.observe.as_deref(), &mut mistakes);
    let demands = gates::checked(&typed.gates, &names_and_urls(&targets), &mut mistakes, &mut warnings);
    let sharing = sharing(&typed.follow, &typed.pace, typed.dry_run.dry_run, &targets, &mut mistakes);
    let source = store::open(&capture, &typed.store, sharing, &mut mistakes);
    let (Some((source, stores)), true) = (source, mistakes.is_empty()) else { return Err(mistakes) };
    let run = Run {
        capture,
        range,
        middleware,
        external,
        priority: pacing::priority(&targets),
        targets,
        ramp: protection.ramp,
        guard_command: protection.command,
        dependencies: protection.dependencies,
        on_unknown: protection.on_unknown,
        server: monitoring.server,
        patterns,
        compare,
        reference,
        demands,
        observe,
        telemetry: monitoring.telemetry,
        ..Run::of_files(source)
    };
    let control = protection::control(typed.control.control.as_deref(), false);
    Ok(RunConfig { run, live: None, stores, control, outputs, quiet: monitoring.quiet, duration, warnings })
}

/// How a replay reads a recording in a store.
fn sharing(
    &typed::Follow { follow }: &typed::Follow,
    pace: &typed::Pace,
    dry_run: bool,
    targets: &[replay::SendSettings],
    mistakes: &mut ConfigMistakes,
) -> store::Sharing {
    if follow && (pace.speed.is_some() || pace.rate.is_some() || pace.pace.is_some()) {
        mistakes.add(
            "--follow",
            "sends each request as soon as it is there, and keeps no pace: leave out --speed, --rate and --pace",
        );
    }
    let mirrored = targets.iter().any(|target| target.connections == replay::ConnectionMode::Mirrored);
    if dry_run { store::Sharing::All } else { store::Sharing::Shared { follow, mirrored } }
}

/// Splits a value of `--to`: an address, or a name for routes and an address, `new=https://new.example.com`.
fn name_and_url(typed: &str) -> (Option<&str>, &str) {
    // The path of a socket may have an equals sign, too.
    let scheme = typed.find("://").or_else(|| typed.find("unix:")).unwrap_or(typed.len());
    match typed.split_once('=') {
        Some((name, url)) if name.len() < scheme => (Some(name.trim()), url.trim()),
        _ => (None, typed),
    }
}

/// The names that targets have, by their number.
fn names(typed: &typed::Send) -> TargetNames {
    TargetNames::Named(typed.to.iter().map(|to| name_and_url(to).0.map(str::to_owned)).collect())
}

/// The names and URLs of targets.
fn names_and_urls(targets: &[replay::SendSettings]) -> Vec<(Option<String>, String)> {
    targets.iter().map(|target| (target.name.clone(), target.target.to_string())).collect()
}

/// A target with its name, where it has one.
fn named(typed: &str) -> Result<(Option<String>, replay::TargetUrl), String> {
    let (name, url) = name_and_url(typed);
    if let Some(name) = name
        && (name.is_empty() || name == "-" || name.contains(char::is_whitespace))
    {
        return Err(format!("`{typed}`: a name is one word, as a map has it, such as new=http://staging:8080"));
    }
    let url = url.parse().map_err(|error: replay::TargetUrlError| error.to_string())?;
    Ok((name.map(str::to_owned), url))
}

/// Every target, with what goes for all of them.
fn targets(
    typed: &typed::Send,
    pace: &typed::Pace,
    middleware: &middleware::ChainSettings,
    guard: Option<&replay::guard::GuardSettings>,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> Vec<replay::SendSettings> {
    if typed.keep_host {
        chain::keeps_host(middleware, mistakes);
    }
    if typed.to.is_empty() {
        mistakes.add("--to", "say where to send, such as --to http://staging:8080");
    }
    if typed.to.len() > MAX_TARGETS {
        mistakes.add("--to", format!("{} targets are too many: {MAX_TARGETS} at most", typed.to.len()));
    }
    let urls = check::each("--to", &typed.to, named, mistakes);
    let urls = addressing::connected(typed, urls, mistakes);
    let mut server_names = addressing::server_names(typed, mistakes);
    let sending = sending(typed, pace, mistakes);
    let mut targets: Vec<replay::SendSettings> = Vec::new();
    for (number, (name, target)) in urls.into_iter().enumerate() {
        if typed.insecure && !target.is_tls() {
            warnings.push(format!("--insecure changes nothing: {target} has no certificate to check"));
        }
        if targets.iter().any(|other| other.target == target) {
            mistakes.add("--to", format!("{target} is given twice"));
        }
        let sni = server_names.remove(&number);
        targets.push(replay::SendSettings { name, sni, guard: guard.cloned(), ..sending(target) });
    }
    for target in &targets {
        sending::contradictions(target, middleware, mistakes);
        addressing::contradictions(target, mistakes);
    }
    warnings.extend(targets.iter().filter_map(addressing::pointless));
    warnings.extend(targets.iter().filter_map(sending::without_http2));
    if let Some(first) = targets.first() {
        sending::pointless(typed, first, warnings);
    }
    targets
}

/// What `shadowtap inspect` was asked for, checked.
///
/// # Errors
///
/// Every mistake in it.
pub fn inspect(typed: typed::Inspect) -> Result<InspectConfig, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let mut warnings = Vec::new();
    let view = inspect::view(&typed, &mut mistakes, &mut warnings);
    let status = parsed("--status", typed.status.as_deref(), &mut mistakes);
    let select = chain::inspected(&typed.select, &typed.filters, &mut mistakes, &mut warnings);
    let capture = capture_settings(typed.capture, &mut mistakes);
    let summary = outputs::summary(typed.summary.as_deref(), &capture, &mut mistakes);
    mistakes.keep("--summary", summary.as_ref().map_or(Ok(()), may_overwrite));
    let har = outputs::archive(typed.har.as_deref(), &capture, &mut mistakes);
    let mode = outputs::mode(typed.mode.mode.as_deref(), &mut mistakes);
    let routes = outputs::routes(typed.routes.routes.as_deref(), &mut mistakes);
    let source = store::open(&capture, &typed.store, store::Sharing::All, &mut mistakes).map(|(source, _)| source);
    if !typed.filters.is_empty() && matches!(view, InspectView::Forecast { .. }) {
        mistakes
            .add("--filters and --forecast", "contradict each other: the forecast counts connections, not requests");
    }
    if matches!((&source, view), (Some(Origin::Events(_)), InspectView::Forecast { .. })) {
        mistakes.add("--forecast", "a recording does not say when connections began and ended: ask a capture");
    }
    match (source, mistakes.is_empty()) {
        (Some(source), true) => {
            Ok(InspectConfig { capture, source, select, status, view, summary, har, mode, routes, warnings })
        }
        _ => Err(mistakes),
    }
}

/// Who may read the files of a command that has nothing else to check.
///
/// # Errors
///
/// Every mistake in it.
pub fn file_mode(typed: Option<&str>) -> Result<FileMode, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let mode = outputs::mode(typed, &mut mistakes);
    if mistakes.is_empty() { Ok(mode) } else { Err(mistakes) }
}

fn capture_settings(typed: typed::Capture, mistakes: &mut ConfigMistakes) -> capture::Settings {
    let ports = check::ports(&typed.ports, mistakes);
    let tunnels = check::tunnels(&typed.tunnels, mistakes);
    let max_memory = typed.max_memory.and_then(|typed| mistakes.keep("--max-memory", check::memory(&typed)));
    capture::Settings {
        files: typed.files,
        logs: typed.format.filter(|format| mistakes.keep("--format", format.parse::<AccessLogFormat>()).is_some()),
        bpf: typed.bpf.filter(|bpf| is_filter(bpf)),
        ports,
        tunnels,
        local: capture::LocalEnds::default(),
        max_memory: max_memory.unwrap_or_default(),
        halt: capture::Halt::default(),
    }
}

/// An empty filter is libpcap's way to say everything.
fn is_filter(typed: &str) -> bool {
    !typed.trim().is_empty()
}

/// Returns a function that builds the send settings of a target.
fn sending(
    typed: &typed::Send,
    typed_pace: &typed::Pace,
    mistakes: &mut ConfigMistakes,
) -> impl Fn(replay::TargetUrl) -> replay::SendSettings + use<> {
    let pace = pacing::pace(typed_pace, mistakes);
    let punctuality = pacing::punctuality(typed_pace, pace, mistakes);
    let max_gap = typed_pace.max_gap.as_deref().and_then(|gap| mistakes.keep("--max-gap", check::duration(gap)));
    let timeout = check::duration_or("--timeout", typed.timeout.as_deref(), replay::DEFAULT_TIMEOUT, mistakes);
    if timeout.is_zero() {
        mistakes.add("--timeout", "no response comes in no time: give more than zero, such as 30s");
    }
    let most = timeout.saturating_mul(replay::MAX_TIME_FACTOR);
    let max_time = check::duration_or("--max-time", typed.max_time.as_deref(), most, mistakes);
    if max_time.is_zero() && !timeout.is_zero() {
        mistakes.add("--max-time", "no response is whole in no time: give more than zero, such as 5m");
    }
    let drain = check::duration_or("--drain", typed.drain.as_deref(), replay::DEFAULT_DRAIN, mistakes);
    let most = typed.max_in_flight.as_deref().and_then(|n| mistakes.keep("--max-in-flight", check::at_least_one(n)));
    let max_in_flight = most.unwrap_or(replay::DEFAULT_MAX_IN_FLIGHT);
    let (keep_host, insecure) = (typed.keep_host, typed.insecure);
    let connections = sending::connections(typed, mistakes);
    move |target| {
        let settings = replay::SendSettings::new(target);
        connections(replay::SendSettings {
            pace,
            punctuality,
            max_gap,
            timeout,
            max_time,
            max_in_flight,
            keep_host,
            insecure,
            drain,
            ..settings
        })
    }
}

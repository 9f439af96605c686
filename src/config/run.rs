//! `shadow` and `record`: what they share, and what each has of its own.

use std::time::Duration;

use crate::capture::live::{CaptureScope, KernelSample};
use crate::capture::privileges::User;
use crate::compare::CompareRules;
use crate::files::FileMode;
use crate::middleware::route::TargetNames;
use crate::middleware::{self, LoopHeader, SampleKey};
use crate::pipeline::{Control, Run};
use crate::recording::place;
use crate::recording::{DashcamSettings, OutputPath, Recorder, RecordingOutput, Rotation};
use crate::replay::ramp::RampPlan;
use crate::replay::{self, ReferenceSettings};
use crate::report::threshold::Thresholds;
use crate::serve::control::SocketLocation;

use super::live::LiveFeed;
use super::mistakes::ConfigMistakes;
use super::monitoring::{self, Monitoring};
use super::protection::{self, ProtectionSettings};
use super::store::{self, StoreNeeds};
use super::{Output, Outputs, chain, check, compare, dashcam, external, gates, live, outputs, own_traffic, typed};

/// A run that was asked for, checked. Nothing was made or sent for it yet.
pub struct RunConfig {
    /// The run itself, but for what is made when it begins: its results, and reloads of its chain.
    pub run: Run,
    /// What a live run needs besides.
    pub live: Option<LiveConfig>,
    /// What it needs to reach the store of its recording.
    pub stores: StoreNeeds,
    /// Location of the control socket.
    pub control: SocketLocation,
    /// Outputs besides the report.
    pub outputs: Outputs,
    /// Whether only warnings are told on the way.
    pub quiet: bool,
    /// The time after which it ends by itself.
    pub duration: Option<Duration>,
    /// Warnings for people: settings that are allowed and probably not intended.
    pub warnings: Vec<String>,
}

/// The interfaces of a live run are open: the rights that this took can be given up now.
pub struct LiveConfig {
    /// User to run as from here on.
    pub user: User,
    /// What is captured, in words for the first line.
    pub capturing: String,
    /// What is listened to, for advice where nothing comes of it.
    pub scope: Option<CaptureScope>,
}

/// Checks what `shadowtap shadow` was asked for; the interfaces are opened last, where there is no mistake.
///
/// # Errors
///
/// Every mistake in it; what is wrong with interfaces only where there is no other.
pub fn shadow(typed: &typed::Shadow) -> Result<RunConfig, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let mut warnings = Vec::new();
    let names = super::names(&typed.send);
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
    let protection = protection::protection(&typed.protection, &typed.select, true, &mut mistakes, &mut warnings);
    // What is live goes out as it comes.
    let pace = typed::Pace::default();
    let guard = protection.guard.as_ref();
    let targets = super::targets(&typed.send, &pace, &middleware, guard, &mut mistakes, &mut warnings);
    let middleware = chain::sample_as_sent(middleware, &typed.select, &targets);
    chain::torn_sessions(&middleware, typed.protection.ramp.is_some(), &mut warnings);
    let compare = compare::rules(&typed.compare, &mut mistakes);
    let reference = compare::reference(&typed.compare, &targets, &mut mistakes);
    let observe = check::parsed("--observe", typed.compare.observe.as_deref(), &mut mistakes);
    let demands = gates::checked(&typed.gates, &super::names_and_urls(&targets), &mut mistakes, &mut warnings);
    let (command, dashcam) = ("shadow", None);
    let parts =
        RunParts { command, middleware, external, targets, protection, compare, reference, demands, dashcam, warnings };
    let to = (&typed.recording, &typed.store);
    let config = finish(&typed.live, &typed.running, to, &typed.report, &typed.monitoring, parts, mistakes)?;
    Ok(RunConfig { run: Run { observe, ..config.run }, ..config })
}

/// Checks what `shadowtap record` was asked for; the interfaces are opened last, where there is no mistake.
///
/// # Errors
///
/// Every mistake in it; what is wrong with interfaces only where there is no other.
pub fn record(typed: &typed::Record) -> Result<RunConfig, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let mut warnings = Vec::new();
    chain::unsampled(&typed.select, false, &mut warnings);
    let external = external::settings(&typed.middleware, &mut mistakes, &mut warnings);
    // Nothing is sent, so nothing can be done twice: writes are recorded too, and so is what a route chooses, whoever it is.
    let (allow_writes, names) = (true, TargetNames::Any);
    let middleware =
        chain::settings(&typed.select, &typed.middleware, allow_writes, &names, &mut mistakes, &mut warnings);
    if typed.recording.output.is_none() {
        mistakes.add("--output", "say where to record, such as -o peak.gor.zst");
    }
    let (dashcam, save_if) = dashcam::dashcam(&typed.dashcam, &typed.recording, &mut mistakes);
    let parts = RunParts {
        command: "record",
        middleware,
        external,
        targets: Vec::new(),
        protection: ProtectionSettings::default(),
        compare: CompareRules::default(),
        reference: ReferenceSettings::default(),
        demands: Thresholds::default(),
        dashcam,
        warnings,
    };
    let to = (&typed.recording, &typed.store);
    let config = finish(&typed.live, &typed.running, to, &typed.report, &typed.monitoring, parts, mistakes)?;
    Ok(RunConfig { run: Run { save_if, ..config.run }, ..config })
}

/// Parts of a run's configuration that do not depend on the capture.
struct RunParts {
    command: &'static str,
    middleware: middleware::ChainSettings,
    external: Option<middleware::external::ExternalSettings>,
    targets: Vec<replay::SendSettings>,
    protection: ProtectionSettings,
    compare: CompareRules,
    reference: ReferenceSettings,
    demands: Thresholds,
    /// What a dashcam keeps, where it is one.
    dashcam: Option<DashcamSettings>,
    warnings: Vec<String>,
}

fn finish(
    typed: &typed::Live,
    running: &typed::Running,
    to: (&typed::Recording, &typed::Store),
    report: &typed::Report,
    monitoring: &typed::Monitoring,
    parts: RunParts,
    mut mistakes: ConfigMistakes,
) -> Result<RunConfig, ConfigMistakes> {
    let RunParts { command, middleware, external, targets, protection, compare, reference, demands, .. } = parts;
    let (dashcam, mut warnings) = (parts.dashcam, parts.warnings);
    let mut settings = live::settings(typed, &mut mistakes, &mut warnings);
    // Nobody waits for a frame that is only recorded.
    settings.in_blocks = targets.is_empty() && external.is_none();
    let capture = live::capture_settings(typed, &settings, &mut mistakes);
    let user = live::user(typed, &mut mistakes);
    let outputs = outputs::all(report, &capture, &mut mistakes);
    let patterns = outputs::routes(report.routes.routes.as_deref(), &mut mistakes);
    let (recorder, stores) =
        recorded_to(to, dashcam, &middleware, (outputs.mode, capture.max_memory.0), &mut mistakes, &mut warnings);
    only_one_on_stdout(recorder.as_deref(), &outputs, &mut mistakes);
    unseen_frames(recorder.as_deref(), external.is_some(), &mut mistakes);
    let Monitoring { server, quiet, telemetry } = monitoring::monitoring(monitoring, &mut mistakes);
    let (most, duration) = limits(running, &mut mistakes);
    let mark = mark(running.mark.as_deref(), &mut mistakes).map(|mark| mark.of_run(&middleware.run.id));
    let control = Control::default();
    settings.sample = kernel_sample(&middleware, protection.ramp.as_ref(), recorder.as_deref(), &control);
    let source = live::feed(typed, &settings, recorder.as_deref(), &mut mistakes, &mut warnings);
    let captured = source.as_ref().map(LiveFeed::interfaces).unwrap_or_default();
    let everybody: Vec<_> = targets.iter().chain(&reference.baseline).cloned().collect();
    let own = own_traffic::check(&everybody, &settings.ports, captured, mark.as_ref());
    warnings.extend(mistakes.keep("--to", own).flatten());
    let (Some(source), Some(user), true) = (source, user, mistakes.is_empty()) else { return Err(mistakes) };
    let opened = LiveConfig { user, capturing: source.describe(&capture.local), scope: source.scope(&settings) };
    // A recording is counted, and little more is asked of it.
    let is_looked_at = outputs.report.is_some() || outputs.results.is_some() || server.is_some();
    let run = Run {
        command,
        capture,
        middleware,
        external,
        evidence: !targets.is_empty() || is_looked_at,
        targets,
        recorder,
        mark,
        most,
        ramp: protection.ramp,
        guard_command: protection.command,
        dependencies: protection.dependencies,
        on_unknown: protection.on_unknown,
        server,
        patterns,
        compare,
        reference,
        demands,
        control,
        telemetry,
        ..Run::new(source.into_feed())
    };
    let control = protection::control(running.control.control.as_deref(), true);
    Ok(RunConfig {
        run,
        live: Some(opened),
        stores: stores.unwrap_or_default(),
        control,
        outputs,
        quiet,
        duration,
        warnings,
    })
}

/// Where is recorded to, with these rights for others and so much memory, and what the sandbox has to leave for it.
fn recorded_to(
    (typed, access): (&typed::Recording, &typed::Store),
    dashcam: Option<DashcamSettings>,
    middleware: &middleware::ChainSettings,
    (mode, memory): (FileMode, usize),
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> (Option<Box<dyn RecordingOutput>>, Option<StoreNeeds>) {
    match typed.output.as_deref().filter(|output| place::is_store(output)) {
        Some(_) if dashcam.is_some() => {
            let why = "is for files: how long a store keeps a recording is in its URL, such as ?retention=10m";
            mistakes.add("--keep", why);
            (None, None)
        }
        Some(output) => store::recorder(output, typed, access, memory, mistakes).unzip(),
        None => {
            store::only_for_stores(typed, mistakes);
            (recorder(typed, dashcam, middleware, mode, mistakes, warnings), None)
        }
    }
}

/// The sample of connections that the kernel takes, at the share that `control` sets: none where another key is sampled
/// by, or where frames are recorded, which are recorded all.
fn kernel_sample(
    middleware: &middleware::ChainSettings,
    ramp: Option<&RampPlan>,
    recorder: Option<&dyn RecordingOutput>,
    control: &Control,
) -> Option<KernelSample> {
    let takes_frames = recorder.is_some_and(RecordingOutput::takes_frames);
    if middleware.sample_by != SampleKey::Connection || takes_frames {
        return None;
    }
    control.dial().set(ramp.map_or(middleware.sample, RampPlan::first));
    Some(KernelSample::new(middleware.seed, control.dial().bits()))
}

/// Checks that a recording on standard output has it to itself.
fn only_one_on_stdout(recorder: Option<&dyn RecordingOutput>, outputs: &Outputs, mistakes: &mut ConfigMistakes) {
    if !recorder.is_some_and(RecordingOutput::is_standard_output) {
        return;
    }
    let others = [
        ("--summary", &outputs.summary),
        ("--results", &outputs.results),
        ("--report", &outputs.report),
        ("--junit", &outputs.junit),
    ];
    for (flag, _) in others.iter().filter(|(_, output)| **output == Some(Output::Stdout)) {
        mistakes.add(format!("--output and {flag}"), "cannot both go to standard output");
    }
}

/// Checks that no middleware is to change what is recorded as frames.
fn unseen_frames(recorder: Option<&dyn RecordingOutput>, is_external: bool, mistakes: &mut ConfigMistakes) {
    if is_external && recorder.is_some_and(RecordingOutput::takes_frames) {
        mistakes.add("--output and --middleware", "a capture file holds frames, and no middleware sees those");
    }
}

/// How many requests are taken, and for how long.
fn limits(typed: &typed::Running, mistakes: &mut ConfigMistakes) -> (Option<u64>, Option<Duration>) {
    let count = typed.count.as_deref().and_then(|typed| mistakes.keep("--count", check::at_least_one(typed)));
    let duration = typed.duration.as_deref().and_then(|typed| mistakes.keep("--duration", check::long_time(typed)));
    (count.map(|count| count as u64), duration)
}

fn mark(typed: Option<&str>, mistakes: &mut ConfigMistakes) -> Option<LoopHeader> {
    match typed {
        None => Some(LoopHeader::default()),
        Some("off") => None,
        Some(typed) => mistakes.keep("--mark", typed.parse()),
    }
}

fn recorder(
    typed: &typed::Recording,
    dashcam: Option<DashcamSettings>,
    middleware: &middleware::ChainSettings,
    mode: FileMode,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> Option<Box<dyn RecordingOutput>> {
    let Some(output) = typed.output.as_deref() else {
        let rotations = [
            ("--rotate-size", &typed.rotate_size),
            ("--rotate-every", &typed.rotate_every),
            ("--rotate-count", &typed.rotate_count),
        ];
        for (flag, given) in rotations {
            if given.is_some() {
                mistakes.add(flag, "there is nothing to rotate without --output");
            }
        }
        if typed.format.is_some() {
            mistakes.add("--format", "there is nothing to write without --output");
        }
        if typed.append {
            mistakes.add("--append", "there is nothing to append to without --output");
        }
        return None;
    };
    let size = typed.rotate_size.as_deref().and_then(|typed| mistakes.keep("--rotate-size", check::size(typed)));
    let every =
        typed.rotate_every.as_deref().and_then(|typed| mistakes.keep("--rotate-every", check::long_time(typed)));
    let count = typed.rotate_count.as_deref().and_then(|n| mistakes.keep("--rotate-count", check::records(n)));
    let format = check::parsed("--format", typed.format.as_deref(), mistakes);
    let target = format.map_or_else(|| OutputPath::new(output), |format| OutputPath::of_format(output, format));
    let target = mistakes.keep("--output", target)?;
    if typed.append && (size.is_some() || every.is_some() || count.is_some()) {
        mistakes.add("--append", "a file that is gone on in has no end: leave out --append, or the rotation");
    }
    if typed.append && target.format().takes_frames() {
        mistakes.add("--append", "a capture file has one beginning: record to .gor or .jsonl, or leave --append out");
    }
    if target.format().takes_frames() {
        frames_only(middleware, mistakes, warnings);
    }
    let rotation = Rotation { size: size.map(|size| size as u64), every, records: count };
    let recorder = Recorder::new(target, rotation).appending(typed.append).with_mode(mode);
    Some(Box::new(match dashcam {
        Some(settings) => recorder.keeping(settings),
        None => recorder,
    }))
}

/// Checks for settings that a capture file cannot support.
fn frames_only(middleware: &middleware::ChainSettings, mistakes: &mut ConfigMistakes, warnings: &mut Vec<String>) {
    if middleware.rewrites() {
        mistakes.add(
            "--output",
            "a capture file holds frames as they were on the wire, and nothing can be changed in them: record to .gor \
             or .jsonl instead",
        );
    } else if middleware.selects() {
        warnings.push(
            "a capture file holds every frame that -p and -f let through: filters and the sample do not apply to it"
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_on_unless_it_is_turned_off() {
        let mut mistakes = ConfigMistakes::default();
        assert_eq!(mark(None, &mut mistakes), Some(LoopHeader::default()));
        assert_eq!(mark(Some("off"), &mut mistakes), None);
        assert_eq!(mark(Some("X-Mine"), &mut mistakes).unwrap().name(), "X-Mine");
        assert_eq!(mark(Some("a b"), &mut mistakes), None);
        assert!(mistakes.to_string().starts_with("--mark: `a b` is no header"));
    }

    #[test]
    fn a_capture_file_takes_no_rewrites_and_warns_of_filters() {
        let typed = typed::Recording { output: Some("x.pcap".into()), ..Default::default() };
        let (mut mistakes, mut warnings) = (ConfigMistakes::default(), Vec::new());
        let rewrites = middleware::ChainSettings {
            remove_cookies: vec!["session".to_owned()],
            ..middleware::ChainSettings::default()
        };
        recorder(&typed, None, &rewrites, FileMode::default(), &mut mistakes, &mut warnings);
        assert!(mistakes.to_string().contains("nothing can be changed"), "{mistakes}");
        let selects =
            middleware::ChainSettings { sample: middleware::Share(0.5), ..middleware::ChainSettings::default() };
        let mut mistakes = ConfigMistakes::default();
        assert!(
            recorder(&typed, None, &selects, FileMode::default(), &mut mistakes, &mut warnings).is_some()
                && mistakes.is_empty()
        );
        assert!(warnings[0].contains("do not apply"), "{warnings:?}");
    }

    #[test]
    fn rotation_without_a_recording_is_a_mistake() {
        let typed = typed::Recording { rotate_every: Some("1h".to_owned()), ..Default::default() };
        let mut mistakes = ConfigMistakes::default();
        recorder(
            &typed,
            None,
            &middleware::ChainSettings::default(),
            FileMode::default(),
            &mut mistakes,
            &mut Vec::new(),
        );
        assert!(mistakes.to_string().starts_with("--rotate-every: "), "{mistakes}");
    }
}

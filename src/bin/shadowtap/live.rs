//! `shadowtap shadow` and `shadowtap record`: open the interfaces, give up root, run, report.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use shadowtap::capture::interfaces::ANY;
use shadowtap::capture::live::Live;
use shadowtap::capture::{Settings, privileges};
use shadowtap::config::{self, RunConfig};
use shadowtap::pipeline::{self, Control, Feed, Observer, Progress, Reopen, Run};
use shadowtap::replay::ReplayRange;
use shadowtap::report::Started;

use crate::args::{RecordCommand, ShadowCommand};
use crate::confine::{self, Uses};
use crate::control_output;
use crate::output::{print_line, writer};
use crate::progress::{ProgressKind, ProgressWatch};
use crate::reload::Reload;
use crate::replay::{announce_server, startup_line, startup_warnings, write};
use crate::signals::{HangUp, Stop};
use crate::{gates, output};

/// What the program itself heeds of what was typed.
#[derive(Clone, Copy)]
struct LiveFlags {
    no_sandbox: bool,
    allow_empty: bool,
}

/// Runs `shadow`.
pub(crate) fn shadow(args: ShadowCommand) -> anyhow::Result<ExitCode> {
    let flags = LiveFlags { no_sandbox: args.sandbox.no_sandbox, allow_empty: args.gates.allow_empty };
    let config = config::shadow(&args.into())?;
    let first = startup_line("shadowing", &config.middleware, config.sparing.ramp.as_ref(), &config.targets);
    run(config, ProgressKind::Shadow, &first, flags)
}

/// Runs `record`.
pub(crate) fn record(args: RecordCommand) -> anyhow::Result<ExitCode> {
    let flags = LiveFlags { no_sandbox: args.sandbox.no_sandbox, allow_empty: true };
    let config = config::record(args.into())?;
    let share = config.middleware.sample;
    let target = config.recorder.as_ref().map(|recorder| recorder.target().to_string()).unwrap_or_default();
    run(config, ProgressKind::Record, &format!("recording {share} to {target}; nothing is sent"), flags)
}

/// Runs either; `first` says what will be done.
fn run(config: RunConfig, about: ProgressKind, first: &str, flags: LiveFlags) -> anyhow::Result<ExitCode> {
    let RunConfig {
        capture,
        source,
        user,
        middleware,
        external,
        mut targets,
        sparing,
        compare,
        reference: mut beside,
        mut recorder,
        mark,
        ..
    } = config;
    let location = control_output::prepare(&config.control, user.becomes())?;
    // Before any other thread starts: from here on no right is needed.
    let given_up = privileges::drop_privileges(&user)?;
    // Files and sockets are made by who the run is from now on.
    let socket = control_output::socket(&config.control, location)?;
    print_line(&format!("capturing on {}; {given_up}", captured(&source, &capture)));
    print_line(first);
    control_output::announce(&sparing);
    let warnings = config.warnings.into_iter().chain(startup_warnings(&mut targets, &mut beside));
    warnings.for_each(|warning| print_line(&format!("warning: {warning}")));
    output::check(&config.outputs)?;
    if let Some(recorder) = &mut recorder {
        recorder.preflight(Started::now().at).context("the recording cannot begin")?;
    }
    let results = config.outputs.results.as_ref().map(|output| writer(output, config.outputs.mode)).transpose()?;
    let reopen = Reopen::default();
    let (reload, reloads) = Reload::new(&middleware, &targets);
    let uses = Uses {
        capture: &capture,
        middleware: &middleware,
        external: external.as_ref(),
        targets: &targets,
        beside: &beside,
        sparing: &sparing,
        outputs: &config.outputs,
        recorder: recorder.as_ref(),
        socket: socket.as_ref(),
        keeps_root: false,
    };
    confine::enter(&uses, flags.no_sandbox)?;
    reload.try_out();
    let files = reopen.clone();
    let hung_up = move || {
        files.ask();
        reload.read();
    };
    let stop = Stop::listen(&capture.halt, HangUp::Call(Box::new(hung_up)))?;
    let counters = Arc::new(Progress::default());
    let observer = Observer::default();
    let server = announce_server(config.watching.server);
    let watch = ProgressWatch::begin(&counters, &observer, about, config.watching.quiet);
    let control = Control::default();
    control_output::listen(&control, watch.bar());
    watch.bar().suspend(|| control_output::open(socket.as_ref(), &control))?;
    // A recording is counted, and little more is asked of it.
    let evidence =
        about == ProgressKind::Shadow || config.outputs.report.is_some() || results.is_some() || server.is_some();
    let mark = mark.map(|mark| mark.of_run(&middleware.run.id));
    let run = Run {
        command: about.command(),
        feed: Feed::Live(Box::new(source)),
        capture,
        range: ReplayRange::default(),
        middleware,
        external,
        targets,
        recorder,
        mark,
        most: config.limits.count,
        ramp: sparing.ramp,
        guard_command: sparing.brake,
        control,
        observer,
        server,
        reopen,
        reloads,
        results,
        patterns: config.routes,
        evidence,
        compare,
        reference: beside,
        demands: config.demands,
    };
    let summary = pipeline::run(run, &counters, ended(stop, config.limits.duration));
    drop((watch, socket));
    let summary = summary?;
    gates::tell_unread(&summary);
    let nothing_sent = gates::nothing_sent(&summary, flags.allow_empty);
    write(&config.outputs, &summary)?;
    let failed = nothing_sent || summary.results_failed || summary.recording_failed();
    Ok(gates::ending(&summary, failed))
}

/// Where is captured, and what of it is taken.
fn captured(source: &Live, capture: &Settings) -> String {
    let several = source.interfaces().len() > 1 || source.interfaces().iter().any(|name| name == ANY);
    let once = several.then(|| "a connection that is seen in several places counts once".to_owned());
    let parts: Vec<String> =
        [Some(source.describe()), once, config::taken(&capture.local)].into_iter().flatten().collect();
    parts.join("; ")
}

/// Ready when the run is asked to end, or its time is over.
async fn ended(stop: Stop, after: Option<Duration>) {
    match after {
        Some(time) => tokio::select! {
            () = stop.wait() => {}
            () = tokio::time::sleep(time) => {}
        },
        None => stop.wait().await,
    }
}

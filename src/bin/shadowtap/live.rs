//! `shadowtap shadow` and `shadowtap record`: open the interfaces, drop privileges, run, report.

use std::process::ExitCode;

use anyhow::Context;
use shadowtap::capture::privileges;
use shadowtap::config::{self, LiveConfig, RunConfig, typed};
use shadowtap::report::Started;
use shadowtap::serve::control::Socket;

use crate::args::{RecordCommand, ShadowCommand};
use crate::output::print_line;
use crate::progress::ProgressKind;
use crate::reload::Reload;
use crate::run::{self, Prepared};
use crate::signals::HangUp;
use crate::startup::{self, startup_line};
use crate::{confine, control_output, output, waiting};

/// Runs `shadow`.
pub(crate) fn shadow(args: ShadowCommand) -> anyhow::Result<ExitCode> {
    let (no_sandbox, allow_empty) = (args.sandbox.no_sandbox, args.gates.allow_empty);
    let typed: typed::Shadow = args.into();
    waiting::for_interfaces(&typed.live);
    let config = config::shadow(&typed)?;
    let run = &config.run;
    let first = startup_line("shadowing", &run.middleware, run.ramp.as_ref(), &run.targets);
    run_live(config, ProgressKind::Shadow, &first, no_sandbox, allow_empty)
}

/// Runs `record`.
pub(crate) fn record(args: RecordCommand) -> anyhow::Result<ExitCode> {
    let no_sandbox = args.sandbox.no_sandbox;
    let typed: typed::Record = args.into();
    waiting::for_interfaces(&typed.live);
    let config = config::record(typed)?;
    let share = config.run.middleware.sample;
    let target = config.run.recorder.as_ref().map(|recorder| recorder.target().to_string()).unwrap_or_default();
    let first = format!("recording {share} to {target}; nothing is sent");
    run_live(config, ProgressKind::Record, &first, no_sandbox, true)
}

/// Runs either; `first` says what will be done.
fn run_live(
    mut config: RunConfig,
    kind: ProgressKind,
    first: &str,
    no_sandbox: bool,
    allow_empty: bool,
) -> anyhow::Result<ExitCode> {
    let socket = match config.live.take() {
        Some(live) => drop_privileges(&live, &config)?,
        None => None,
    };
    startup::announce(first, &mut config);
    output::check(&config.outputs)?;
    if let Some(recorder) = &mut config.run.recorder {
        recorder.preflight(Started::now().at).context("the recording cannot begin")?;
    }
    let results = output::results(&config.outputs)?;
    let (reload, reloads) = Reload::new(&config.run.middleware, &config.run.targets);
    config.run.reloads = reloads;
    confine::enter(&config, socket.as_ref(), no_sandbox)?;
    reload.try_out();
    let files = config.run.reopen.clone();
    let hang_up = HangUp::Call(Box::new(move || {
        files.ask();
        reload.read();
    }));
    run::run(config, Prepared { kind, socket, results, hang_up, allow_empty })
}

/// Becomes who the run is from now on, and makes its control socket. To be called before any other thread starts.
fn drop_privileges(live: &LiveConfig, config: &RunConfig) -> anyhow::Result<Option<Socket>> {
    let location = control_output::prepare(&config.control, live.user.becomes())?;
    let dropped = privileges::drop_privileges(&live.user)?;
    // Files and sockets are made by who the run is from now on.
    let socket = control_output::socket(&config.control, location)?;
    print_line(&format!("capturing on {}; {dropped}", live.capturing));
    Ok(socket)
}

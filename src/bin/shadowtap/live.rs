//! `shadowtap shadow` and `shadowtap record`: open the interfaces, drop privileges, run, report.

use std::path::PathBuf;
use std::process::ExitCode;

use shadowtap::capture::privileges;
use shadowtap::config::{self, LiveConfig, RunConfig, typed};
use shadowtap::recording::RecordError;
use shadowtap::report::Started;
use shadowtap::serve::control::{Socket, SocketLocation};

use crate::output::print_news;
use crate::progress::ProgressKind;
use crate::reload::Reload;
use crate::run::{self, Prepared};
use crate::signals::HangUp;
use crate::startup::{self, startup_line};
use crate::{config_file, confine, control_output, dry_run, output, results, waiting};

/// What the command line says besides the run itself.
struct LiveFlags {
    sandbox: typed::Sandbox,
    dry_run: typed::DryRun,
    empty: typed::Empty,
    config: Option<PathBuf>,
}

/// Runs `shadow`.
pub(crate) fn shadow(typed: typed::Shadow) -> anyhow::Result<ExitCode> {
    if !config_file::has_mistakes() {
        waiting::for_interfaces(&typed.live);
    }
    let config = config_file::with_mistakes(|| config::shadow(&typed))?;
    let flags =
        LiveFlags { sandbox: typed.sandbox, dry_run: typed.dry_run, empty: typed.empty, config: typed.file.config };
    let run = &config.run;
    let doing = if flags.dry_run.dry_run { "dry run, would send" } else { "shadowing" };
    let first = startup_line(doing, &run.middleware, run.ramp.as_ref(), &run.targets);
    run_live(config, ProgressKind::Shadow, &first, &flags)
}

/// Runs `record`.
pub(crate) fn record(typed: typed::Record) -> anyhow::Result<ExitCode> {
    if !config_file::has_mistakes() {
        waiting::for_interfaces(&typed.live);
    }
    let config = config_file::with_mistakes(|| config::record(&typed))?;
    let flags =
        LiveFlags { sandbox: typed.sandbox, dry_run: typed.dry_run, empty: typed.empty, config: typed.file.config };
    let share = config.run.middleware.sample;
    let target = config.run.recorder.as_ref().map(|recorder| recorder.name()).unwrap_or_default();
    let doing = if flags.dry_run.dry_run { "dry run, would record" } else { "recording" };
    let dashcam = config.run.recorder.as_ref().and_then(|recorder| recorder.dashcam());
    let first = match dashcam {
        Some(settings) => {
            let (keep, size) = (settings.keep.as_secs(), settings.size >> 20);
            format!(
                "keeping {share} of the last {keep} s, in {size} MiB at most; SIGUSR1 or shadowtap control save writes them \
                 to {target}; nothing is sent"
            )
        }
        None => format!("{doing} {share} to {target}; nothing is sent"),
    };
    run_live(config, ProgressKind::Record, &first, &flags)
}

/// Runs either; `first` says what will be done.
fn run_live(mut config: RunConfig, kind: ProgressKind, first: &str, flags: &LiveFlags) -> anyhow::Result<ExitCode> {
    let (is_dry, no_sandbox, allow_empty) = (flags.dry_run.dry_run, flags.sandbox.no_sandbox, flags.empty.allow_empty);
    if is_dry {
        config.control = SocketLocation::Off;
    }
    let mut live = config.live.take();
    let stays = live.as_mut().map(|live| stay_where_needed(live, &mut config)).transpose()?.unwrap_or_default();
    let socket = live.as_ref().map(|live| drop_privileges(live, stays, &config)).transpose()?.flatten();
    let scope = live.and_then(|live| live.scope);
    startup::announce(first, &mut config);
    output::check(&config.outputs)?;
    if let Some(recorder) = &mut config.run.recorder {
        recorder.preflight(Started::now().at)?;
    }
    if is_dry {
        confine::enter(&config, None, None, no_sandbox)?;
        return dry_run::run(config, scope.as_ref(), allow_empty);
    }
    let results = results::open(&config.outputs)?;
    let has_file = flags.config.is_some();
    let (mut reload, reloads) = Reload::new(&config.run.middleware, &config.run.targets, has_file, &config.run.control);
    config.run.reloads = reloads;
    confine::enter(&config, flags.config.as_deref(), socket.as_ref(), no_sandbox)?;
    reload.try_out();
    let files = config.run.reopen.clone();
    let hang_up = HangUp::Call(Box::new(move || {
        files.ask();
        reload.read();
    }));
    run::run(config, Prepared { kind, socket, results, hang_up, allow_empty, scope })
}

/// Has root stay root where nobody else is behind it, and `nobody` may not write the outputs. Returns whether it does. To be
/// called before any other thread starts.
fn stay_where_needed(live: &mut LiveConfig, config: &mut RunConfig) -> anyhow::Result<bool> {
    let RunConfig { outputs, run, .. } = config;
    Ok(live.user.stay_where_needed(|| {
        output::try_out(outputs)?;
        let tried = run.recorder.as_mut().map(|recorder| recorder.preflight(Started::now().at));
        tried.transpose().map(drop).map_err(RecordError::into_io)
    })?)
}

/// Becomes who the run is from now on, and makes its control socket; `stays` where root stays root for its outputs. To be
/// called before any other thread starts.
fn drop_privileges(live: &LiveConfig, stays: bool, config: &RunConfig) -> anyhow::Result<Option<Socket>> {
    let location = control_output::prepare(&config.control, live.user.becomes())?;
    let dropped = privileges::drop_privileges(&live.user)?;
    // Files and sockets are made by who the run is from now on.
    let socket = control_output::socket(&config.control, location)?;
    let why = if stays { ", since as nobody it could not write the outputs (--user names who may)" } else { "" };
    print_news(&format!("capturing on {}; {dropped}{why}", live.capturing));
    Ok(socket)
}

//! `shadowtap replay`: capture files to another stack, and the report of it.

use std::process::ExitCode;

use shadowtap::config::{self, typed};

use crate::progress::ProgressKind;
use crate::run::{self, Prepared};
use crate::signals::HangUp;
use crate::startup::{self, startup_line};
use crate::{config_file, confine, control_output, dry_run, output, results};

/// Runs the command.
pub(crate) fn run(typed: typed::Replay) -> anyhow::Result<ExitCode> {
    let (no_sandbox, allow_empty) = (typed.sandbox.no_sandbox, typed.empty.allow_empty);
    let is_dry = typed.dry_run.dry_run;
    let mut config = config_file::with_mistakes(|| config::replay(typed))?;
    output::check(&config.outputs)?;
    if is_dry {
        let run = &config.run;
        let first = startup_line("dry run, would send", &run.middleware, run.ramp.as_ref(), &run.targets);
        startup::announce(&first, &mut config);
        confine::enter(&config, None, None, no_sandbox)?;
        return dry_run::run(config, None, allow_empty);
    }
    let socket = control_output::socket(&config.control, control_output::prepare(&config.control, None)?)?;
    let results = results::open(&config.outputs)?;
    let first = startup_line("sending", &config.run.middleware, config.run.ramp.as_ref(), &config.run.targets);
    startup::announce(&first, &mut config);
    let hang_up = HangUp::of_replay();
    confine::enter(&config, None, socket.as_ref(), no_sandbox)?;
    run::run(config, Prepared { kind: ProgressKind::Replay, socket, results, hang_up, allow_empty, scope: None })
}

//! The command line of shadowtap: parse, set up the log, run one command, end with its exit code.

mod advise;
mod args;
mod config_file;
mod confine;
mod control;
mod control_output;
mod demo;
mod doctor;
mod dry_run;
mod environment;
mod filters;
mod gates;
mod gor;
mod inspect;
mod interfaces;
mod journal;
mod live;
mod manuals;
mod meant;
mod merge;
mod notify;
mod output;
mod progress;
mod reload;
mod replay;
mod report;
mod results;
mod run;
mod run_results;
mod signals;
mod startup;
mod terminal;
mod usage;
mod waiting;
mod warnings;

use std::io;
use std::process::ExitCode;

use shadowtap::config::{ConfigMistakes, LogFormat};
use shadowtap::help;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use args::Command;
use output::print_line;
use usage::UsageError;
use warnings::WarningLines;

/// Allocator of the program. One thread allocates a request and another frees it. The system allocator takes a lock for
/// each such piece, a sixth of the whole cost of a replay.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Default log filter. The certificate verifier is off, since it logs a line for each connection: failures are counted
/// by reason instead. So is the client of stores: what fails there is told once, by what the run needed it for.
const LOGGED: &str = "warn,shadowtap::news=info,rustls_platform_verifier=off,async_nats=off";

/// Exit code of a run that did what it should, and of which something was demanded that did not hold.
const GATE_FAILED: u8 = 1;
/// Exit code of an error: usage, files, privileges, or no delivery possible.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    let words = gor::words(std::env::args_os());
    if words.len() < 2 {
        output::print_to_stderr(usage::FIRST_STEPS).ok();
        return ExitCode::from(TROUBLE);
    }
    let name = words.get(1).cloned().unwrap_or_default();
    let cli = match usage::parse(words.into_iter()) {
        Ok(cli) => cli,
        Err(UsageError::Words(error)) => return print_usage(&meant::with_tip(error, &name)),
        Err(UsageError::File(error)) => return trouble(&error),
    };
    let (command, stay) = match cli.command {
        Command::Gor(args) => match gor::translate(&args) {
            Ok(Some(run)) => run.into_parts(),
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => return trouble(&error),
        },
        command => (command, None),
    };
    notify::open();
    journal::open();
    let format = command.log_format().and_then(|typed| LogFormat::parse(typed).ok()).unwrap_or_default();
    output::log_as(format);
    output::be_quiet(command.is_quiet());
    log(format);
    if command.is_configured() {
        let names = std::env::vars_os().map(|(name, _)| name);
        for line in environment::misspelled(&usage::command(), names) {
            print_line(&line);
        }
    }
    if let Err(error) = signals::survive_file_limits() {
        print_line(&format!("warning: a limit on file sizes (ulimit -f) would end this run: {error}"));
    }
    let ended = gor::stay(stay, run_command(command));
    warnings::print_repeats();
    ended.unwrap_or_else(|error| trouble(&error))
}

/// Runs a command to its end.
fn run_command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Shadow(args) => live::shadow(args),
        Command::Replay(args) => replay::run(args),
        Command::Record(args) => live::record(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Report(args) => report::run(&args),
        Command::Filters(args) => filters::run(&args),
        Command::Interfaces(args) => interfaces::run(&args),
        Command::Control(args) => control::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::command(&args),
        Command::Completions(args) => manuals::completions(&args),
        Command::Man(args) => manuals::man(&args),
        Command::Gor(_) => anyhow::bail!("a translated command is no command of GoReplay"),
    }
}

/// Prints warnings of the library on standard error; with `SHADOWTAP_LOG=debug` its whole log.
fn log(format: LogFormat) {
    let Ok(filter) = EnvFilter::try_from_env("SHADOWTAP_LOG") else {
        return tracing_subscriber::registry().with(EnvFilter::new(LOGGED)).with(WarningLines).init();
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(output::log);
    match format {
        LogFormat::Text => log.with_ansi(terminal::color_on_stderr()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Shows the help that was asked for, or what is wrong with what was typed.
fn print_usage(error: &clap::Error) -> ExitCode {
    let (text, color) =
        (error.render(), if error.use_stderr() { terminal::color_on_stderr() } else { terminal::color_on_stdout() });
    let text = if color { text.ansi().to_string() } else { text.to_string() };
    // With nobody there to read it, the exit code says it.
    if error.use_stderr() { output::print_to_stderr(&text) } else { output::print(&text) }.ok();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(TROUBLE))
}

/// Prints the error and returns its exit code. A reader that closed early (`| head`) is no error.
fn trouble(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    match error.downcast_ref::<ConfigMistakes>() {
        Some(mistakes) => mistakes.all().iter().for_each(|mistake| {
            let colon = if mistake.flag.is_empty() { "" } else { ": " };
            let place = config_file::place_of(&mistake.flag) + &environment::place_of(&mistake.flag);
            print_line(&format!("error: {place}{}{colon}{}", mistake.flag, mistake.message));
        }),
        None => print_line(&format!("error: {}", help::say(error.as_ref()))),
    }
    ExitCode::from(TROUBLE)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.any(|kind| kind == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_leaves_is_told_apart_from_a_full_disk() {
        let error = |kind: io::ErrorKind| anyhow::Error::from(io::Error::from(kind)).context("cannot write lines");
        assert!(is_broken_pipe(&error(io::ErrorKind::BrokenPipe)));
        assert!(!is_broken_pipe(&error(io::ErrorKind::StorageFull)));
    }
}

//! `--dry-run`: what a run would send, and where; nothing is sent or written.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use shadowtap::capture::live::CaptureScope;
use shadowtap::config::RunConfig;
use shadowtap::pipeline::{self, DryRun};
use shadowtap::report::render::text;
use shadowtap::report::{no_request, units};

use crate::output::{print, print_line, print_news};
use crate::signals::{HangUp, Stop};
use crate::{TROUBLE, terminal};

/// Time that a live run listens where no other is asked for.
const LISTEN: Duration = Duration::from_secs(5);

/// Counts what the run would send, and prints it.
pub(crate) fn run(config: RunConfig, scope: Option<&CaptureScope>, allow_empty: bool) -> anyhow::Result<ExitCode> {
    let RunConfig { run, duration, .. } = config;
    let listen = duration.unwrap_or(LISTEN);
    let is_live = run.capture.files.is_empty();
    let done = if run.targets.is_empty() { "recorded" } else { "sent" };
    if is_live {
        let time = units::duration(u64::try_from(listen.as_micros()).unwrap_or(u64::MAX));
        print_news(&format!("listening for {time} (--duration)"));
    }
    let _stop = Stop::listen(&run.capture.halt, HangUp::End, None)?;
    let DryRun { tally, capture } = pipeline::dry_run(run, listen)?;
    for unread in &capture.unread {
        print_line(&format!("error: {unread}; what follows is about what was read"));
    }
    let is_empty = tally.would_send() == 0;
    if is_empty {
        let level = if allow_empty { "warning" } else { "error" };
        let why = match tally.seen {
            0 => match scope {
                Some(scope) => scope.no_request(capture.frames.decoded),
                None => no_request(&capture.frames, &capture.streams),
            },
            seen => {
                let all = tally.kept_back.iter().chain(tally.destinations.iter().flat_map(|to| &to.kept_back));
                let reasons: Vec<_> =
                    all.map(|(reason, count)| format!("{} {reason}", units::number(*count))).collect();
                format!("{} seen, and each would be kept back: {}", units::counted(seen, "request"), reasons.join(", "))
            }
        };
        print_line(&format!("{level}: nothing would be {done}: {why}"));
    }
    let width = terminal::or_default(terminal::width_of_stdout());
    print(&text::dry_run(&tally, width, terminal::color_on_stdout())).context("cannot write to standard output")?;
    let unread = |warning: &&String| !capture.unread.contains(warning);
    capture.warnings.iter().filter(unread).for_each(|warning| print_line(&format!("warning: {warning}")));
    let failed = (is_empty && !allow_empty) || !capture.unread.is_empty();
    Ok(if failed { ExitCode::from(TROUBLE) } else { ExitCode::SUCCESS })
}

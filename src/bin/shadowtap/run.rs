//! A run that was prepared: carried out, watched, steered, reported.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use shadowtap::capture::live::CaptureScope;
use shadowtap::config::{Output, Outputs, RunConfig};
use shadowtap::middleware::masking;
use shadowtap::pipeline::{self, Progress};
use shadowtap::report::Summary;
use shadowtap::report::render::text;
use shadowtap::serve::Server;
use shadowtap::serve::control::Socket;

use crate::output::{
    is_json, print, print_line, print_to_stderr, print_with, tell_page, write_junit, write_page, write_summary,
};
use crate::progress::{ProgressKind, ProgressWatch};
use crate::signals::{HangUp, Save, Stop};
use crate::{control_output, gates, notify, terminal, warnings};

/// What was made for a run before it begins.
pub(crate) struct Prepared {
    pub(crate) kind: ProgressKind,
    /// Where it is steered from.
    pub(crate) socket: Option<Socket>,
    /// Where each ended delivery is written.
    pub(crate) results: Option<Box<dyn Write + Send>>,
    pub(crate) hang_up: HangUp,
    /// Whether it is no error that there was nothing to send.
    pub(crate) allow_empty: bool,
    /// What a live run listens to.
    pub(crate) scope: Option<CaptureScope>,
}

/// Carries the run out to its end, and reports it.
pub(crate) fn run(config: RunConfig, prepared: Prepared) -> anyhow::Result<ExitCode> {
    let RunConfig { mut run, outputs, quiet, duration, .. } = config;
    let Prepared { kind, socket, results, hang_up, allow_empty, scope } = prepared;
    run.results = results;
    run.command_line = masking::command_line(std::env::args());
    let recording = run.recorder.as_ref().is_some_and(|recorder| recorder.is_standard_output());
    let save = run.recorder.as_ref().and_then(|recorder| recorder.dashcam()).map(|_| {
        let control = run.control.clone();
        Box::new(move || control.save("SIGUSR1")) as Save
    });
    let stop = Stop::listen(&run.capture.halt, hang_up, save)?;
    announce_server(run.server.as_ref());
    let progress = Arc::new(Progress::default());
    let watch = ProgressWatch::begin(&progress, &run.observer, kind, quiet, scope);
    control_output::listen(&run.control, watch.bar());
    watch.bar().suspend(|| control_output::open(socket.as_ref(), &run.control))?;
    notify::send("READY=1");
    let summary = pipeline::run(run, &progress, ended(stop, duration));
    notify::send("STOPPING=1");
    drop(socket);
    match &summary {
        Ok(summary) => watch.finish(summary),
        Err(_) => drop(watch),
    }
    warnings::print_repeats();
    let summary = summary?;
    gates::tell_unread(&summary);
    let nothing_sent = gates::nothing_sent(&summary, allow_empty);
    write(&outputs, recording, &summary)?;
    Ok(gates::ending(&summary, nothing_sent || summary.results_failed || summary.recording_failed()))
}

/// Prints the address of the live page or of the metrics.
fn announce_server(server: Option<&Server>) {
    let Some(server) = server else { return };
    let address = server.address();
    print_line(&if server.shows_page() {
        format!("live page at http://{address}/, metrics at http://{address}/metrics")
    } else {
        format!("metrics at http://{address}/metrics; no live page there without --control-token-file")
    });
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

/// The report for people, and the summary and the page where they were asked for. Where one fails, the
/// others are written all the same. `recording` says whether standard output is taken by a recording.
fn write(outputs: &Outputs, recording: bool, summary: &Summary) -> anyhow::Result<()> {
    let written = outputs.summary.as_ref().map_or(Ok(()), |output| write_summary(output, outputs.mode, summary));
    let page = outputs.report.as_ref().map_or(Ok(()), |output| write_page(output, outputs.mode, summary));
    let cases = outputs.junit.as_ref().map_or(Ok(()), |output| write_junit(output, outputs.mode, summary));
    let stdout_is_taken = recording
        || [&outputs.summary, &outputs.results, &outputs.report, &outputs.junit].contains(&&Some(Output::Stdout));
    let shown = if stdout_is_taken {
        let text =
            text::report(summary, terminal::or_default(terminal::width_of_stderr()), terminal::color_on_stderr());
        if is_json() {
            print_with("the run has ended", "report", &text);
            Ok(())
        } else {
            print_to_stderr(&text)
        }
    } else {
        let text =
            text::report(summary, terminal::or_default(terminal::width_of_stdout()), terminal::color_on_stdout());
        print(&text)
    };
    // Last, where the eye stays.
    if page.is_ok() {
        outputs.report.iter().for_each(tell_page);
    }
    written.and(page).and(cases).and(shown.context("cannot write the report"))
}

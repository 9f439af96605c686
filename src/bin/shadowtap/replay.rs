//! `shadowtap replay`: capture files to another stack, and the report of it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use shadowtap::config::{self, Output, Outputs, Protection, ReplayConfig};
use shadowtap::pipeline::{self, Control, Observer, Progress, Run};
use shadowtap::replay::ramp::RampPlan;
use shadowtap::report::Summary;
use shadowtap::report::render::text;
use shadowtap::serve::Server;
use shadowtap::{middleware, replay};

use crate::args::ReplayCommand;
use crate::confine::{self, Uses};
use crate::output::{is_json, print, print_line, print_to_stderr, print_with, write_page, write_summary, writer};
use crate::progress::{ProgressKind, ProgressWatch};
use crate::signals::{HangUp, Stop};
use crate::{control_output, gates, output, terminal};

/// Runs the command.
pub(crate) fn run(args: ReplayCommand) -> anyhow::Result<ExitCode> {
    let (no_sandbox, allow_empty) = (args.sandbox.no_sandbox, args.gates.allow_empty);
    let config = config::replay(args.into())?;
    let ReplayConfig {
        capture,
        source,
        range: course,
        middleware,
        external,
        mut targets,
        sparing,
        compare,
        reference: mut beside,
        outputs,
        ..
    } = config;
    output::check(&outputs)?;
    let socket = control_output::socket(&config.control, control_output::prepare(&config.control, None)?)?;
    let results = outputs.results.as_ref().map(|output| writer(output, outputs.mode)).transpose()?;
    print_line(&startup_line("sending", &middleware, sparing.ramp.as_ref(), &targets));
    control_output::announce(&sparing);
    let warnings = config.warnings.into_iter().chain(startup_warnings(&mut targets, &mut beside));
    warnings.for_each(|warning| print_line(&format!("warning: {warning}")));
    let hang_up = HangUp::of_replay();
    let uses = Uses {
        capture: &capture,
        middleware: &middleware,
        external: external.as_ref(),
        targets: &targets,
        beside: &beside,
        sparing: &sparing,
        outputs: &outputs,
        recorder: None,
        socket: socket.as_ref(),
        keeps_root: true,
    };
    confine::enter(&uses, no_sandbox)?;
    let stop = Stop::listen(&capture.halt, hang_up)?;
    let counters = Arc::new(Progress::default());
    let observer = Observer::default();
    let server = announce_server(config.watching.server);
    let watch = ProgressWatch::begin(&counters, &observer, ProgressKind::Replay, config.watching.quiet);
    let control = Control::default();
    control_output::listen(&control, watch.bar());
    watch.bar().suspend(|| control_output::open(socket.as_ref(), &control))?;
    let Protection { ramp, brake, .. } = sparing;
    let run = Run {
        capture,
        middleware,
        external,
        targets,
        observer,
        server,
        range: course,
        compare,
        results,
        reference: beside,
        patterns: config.routes,
        demands: config.demands,
        ramp,
        guard_command: brake,
        control,
        ..Run::of_files(source)
    };
    let summary = pipeline::run(run, &counters, stop.wait());
    drop((watch, socket));
    let summary = summary?;
    gates::tell_unread(&summary);
    let nothing_sent = gates::nothing_sent(&summary, allow_empty);
    write(&outputs, &summary)?;
    Ok(gates::ending(&summary, nothing_sent || summary.results_failed))
}

/// The report for people, and the summary and the page where they were asked for. Where one fails, the
/// others are written all the same.
pub(crate) fn write(outputs: &Outputs, summary: &Summary) -> anyhow::Result<()> {
    let written = outputs.summary.as_ref().map_or(Ok(()), |output| write_summary(output, outputs.mode, summary));
    let page = outputs.report.as_ref().map_or(Ok(()), |output| write_page(output, outputs.mode, summary));
    let stdout_is_taken = [&outputs.summary, &outputs.results, &outputs.report].contains(&&Some(Output::Stdout));
    let shown = if stdout_is_taken {
        let text =
            text::report(summary, terminal::or_default(terminal::width_of_stderr()), terminal::colour_on_stderr());
        if is_json() {
            print_with("the run has ended", "report", &text);
            Ok(())
        } else {
            print_to_stderr(&text)
        }
    } else {
        let text =
            text::report(summary, terminal::or_default(terminal::width_of_stdout()), terminal::colour_on_stdout());
        print(&text)
    };
    written.and(page).and(shown.context("cannot write the report"))
}

/// Tells where a run is shown.
pub(crate) fn announce_server(server: Option<Server>) -> Option<Server> {
    let server = server?;
    let address = server.address();
    print_line(&if server.shows_page() {
        format!("live page at http://{address}/, metrics at http://{address}/metrics")
    } else {
        format!("metrics at http://{address}/metrics; no live page there without --control-token-file")
    });
    Some(server)
}

/// The first line of a run: what share of what will be sent where, and what will not.
pub(crate) fn startup_line(
    doing: &str,
    middleware: &middleware::ChainSettings,
    ramp: Option<&RampPlan>,
    targets: &[replay::SendSettings],
) -> String {
    let methods = match (middleware.allow_methods.as_slice(), middleware.allow_writes) {
        ([], true) => "every method".to_owned(),
        ([], false) => "GET, HEAD, OPTIONS".to_owned(),
        (methods, _) => methods.join(", "),
    };
    let (share, key) = (ramp.map_or(middleware.sample, RampPlan::first), &middleware.sample_by);
    let at_first = if ramp.is_some() { " at first" } else { "" };
    let writes = match (middleware.allow_writes, middleware.allows_some_writes()) {
        (true, _) => "writes are sent too",
        (false, true) => "writes are left out but for those that a chain allows",
        (false, false) => "writes are left out (--allow-writes)",
    };
    let chains: Vec<String> = middleware.files.iter().map(|file| file.path.display().to_string()).collect();
    let chains = if chains.is_empty() { String::new() } else { format!(" of what passes {}", chains.join(", ")) };
    let targets: Vec<String> = targets.iter().map(|target| target.target.to_string()).collect();
    format!("{doing} {methods}: {share}{at_first} by {key}{chains} -> {}; {writes}", targets.join(", "))
}

/// What is told of how targets are sent to before anything is: that nobody checks who they are, and that they get fewer
/// connections than they may need, which is seen to here.
pub(crate) fn startup_warnings(
    targets: &mut [replay::SendSettings],
    beside: &mut replay::ReferenceSettings,
) -> Vec<String> {
    let mut warnings: Vec<String> = targets.iter().filter_map(insecure).collect();
    let mut all: Vec<_> = targets.iter_mut().chain(&mut beside.baseline).collect();
    warnings.extend(replay::wire::fit_connections(&mut all));
    warnings
}

fn insecure(replay: &replay::SendSettings) -> Option<String> {
    (replay.insecure && replay.target.is_tls()).then(|| {
        format!(
            "--insecure: the certificate of {} is not checked; whoever answers at its address gets the requests, \
             cookies and all",
            replay.target
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(url: &str) -> replay::SendSettings {
        replay::SendSettings {
            timeout: Duration::from_secs(1),
            max_in_flight: 1,
            insecure: true,
            drain: Duration::from_secs(1),
            ..replay::SendSettings::new(url.parse().unwrap())
        }
    }

    #[test]
    fn the_first_line_says_what_goes_where() {
        let to = [settings("http://staging:8080")];
        let mut middleware = middleware::ChainSettings { sample: middleware::Share(0.5), ..Default::default() };
        assert_eq!(
            startup_line("sending", &middleware, None, &to),
            "sending GET, HEAD, OPTIONS: 50% by request -> http://staging:8080; writes are left out (--allow-writes)"
        );
        let ramp = "1%:45s,100%".parse().unwrap();
        let ramped = startup_line("sending", &middleware, Some(&ramp), &to);
        assert!(ramped.starts_with("sending GET, HEAD, OPTIONS: 1% at first by request -> "), "{ramped}");
        middleware.allow_writes = true;
        assert!(
            startup_line("sending", &middleware, None, &to).starts_with("sending every method: 50% by request -> ")
        );
        middleware.allow_methods = vec!["POST".into()];
        assert!(startup_line("sending", &middleware, None, &to).starts_with("sending POST: "));
    }

    #[test]
    fn the_first_line_names_chain_files_and_the_writes_that_they_allow() {
        let environment = middleware::file::Environment::for_checks();
        let file = |text| middleware::ChainFile::parse(text, "a.toml".as_ref(), &environment).unwrap();
        let files = vec![file("[[link]]\nallow-writes = true\n"), file("")];
        let middleware = middleware::ChainSettings { files, ..Default::default() };
        assert_eq!(
            startup_line("sending", &middleware, None, &[settings("http://staging")]),
            "sending GET, HEAD, OPTIONS: 100% by request of what passes a.toml, a.toml -> http://staging; writes are left out \
             but for those that a chain allows"
        );
    }

    #[test]
    fn insecure_is_said_aloud_where_it_does_something() {
        let warning = insecure(&settings("https://staging")).unwrap();
        assert!(warning.contains("certificate of https://staging is not checked"), "{warning}");
        assert_eq!(insecure(&settings("http://staging")), None);
    }
}

//! `shadowtap doctor`: the findings of all probes, with what mends each.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use shadowtap::capture::privileges;
use shadowtap::config::{self, DoctorConfig, typed};
use shadowtap::doctor::{self, Finding, LISTEN, State};

use crate::output::{print, print_json, print_news};
use crate::signals::{HangUp, Stop};
use crate::{TROUBLE, terminal};

/// Width of the column of names.
const NAME: usize = 12;

/// Column of what mends.
const MEND: usize = 9;

/// All findings, as JSON has them.
#[derive(Debug, Serialize)]
struct CheckUp {
    schema: u32,
    version: &'static str,
    problems: usize,
    findings: Vec<Finding>,
}

/// Runs the command.
pub(crate) fn run(typed: &typed::Doctor) -> anyhow::Result<ExitCode> {
    let findings = findings(config::doctor(typed)?, typed.json)?;
    let problems = findings.iter().filter(|finding| finding.state == State::Problem).count();
    let written = if typed.json {
        let all = CheckUp { schema: 1, version: env!("CARGO_PKG_VERSION"), problems, findings };
        let json = serde_json::to_string_pretty(&all).context("cannot write JSON")?;
        print_json(&(json + "\n"))
    } else {
        print(&text(&findings, problems, terminal::or_default(terminal::width_of_stdout())))
    };
    written.context("cannot write to standard output")?;
    Ok(if problems > 0 { ExitCode::from(TROUBLE) } else { ExitCode::SUCCESS })
}

/// Asks every probe. What needs rights comes first; then they are given up.
fn findings(config: DoctorConfig, quiet: bool) -> anyhow::Result<Vec<Finding>> {
    let DoctorConfig { capture, ports, targets, output, stores, duration, listen } = config;
    let captures = capture.is_some();
    let mut findings: Vec<_> = captures.then(doctor::rights).into_iter().collect();
    let mut rate = 0.0;
    match capture {
        None => {}
        Some(Err(mistakes)) => {
            let problem = |mistake: &config::ConfigMistake| {
                let (says, mend) = mistake.message.split_once("; ").unwrap_or((&mistake.message, ""));
                let is_filter = mend.is_empty() && says.contains("does not compile");
                let mend =
                    if is_filter { "man pcap-filter has the language; tcpdump -d 'FILTER' tries one" } else { mend };
                Finding::problem("capture", says, (!mend.is_empty()).then(|| mend.to_owned()))
            };
            // What the first finding says already is not said again.
            let is_new = |mistake: &&config::ConfigMistake| {
                findings.iter().all(|finding| finding.state == State::Ok) || !mistake.message.contains("not permitted")
            };
            let problems: Vec<_> = mistakes.all().iter().filter(is_new).map(problem).collect();
            findings.extend(problems);
        }
        Some(Ok(mut config)) => {
            let everywhere = doctor::everywhere(&ports);
            let live = config.live.take().context("nothing is captured")?;
            privileges::drop_privileges(&live.user)?;
            let time = listen.unwrap_or(LISTEN);
            findings.push(Finding::of_interfaces(&live.capturing));
            if !quiet {
                print_news(&format!("listening for {} s", time.as_secs()));
            }
            let _stop = Stop::listen(&config.run.capture.halt, HangUp::End, None)?;
            let heard = doctor::listen(config.run, time)?;
            rate = heard.rate();
            findings.extend(live.scope.map(|scope| doctor::traffic(&heard, &scope, everywhere)).unwrap_or_default());
        }
    }
    if captures {
        findings.extend(doctor::sides(&ports));
    }
    findings.extend(doctor::targets(&targets));
    findings.push(doctor::open_files(&targets));
    findings.push(doctor::ports());
    findings.extend(stores.iter().flat_map(|(url, access, to)| doctor::store(url, access, *to)));
    findings.extend(output.map(|output| doctor::disk(&output, rate, duration)));
    findings.push(doctor::clock());
    findings.extend(doctor::haproxy());
    Ok(findings)
}

/// The findings for people: problems stand out, and below each what mends it.
fn text(findings: &[Finding], problems: usize, width: usize) -> String {
    let mut out = String::new();
    for Finding { check, state, says, mend } in findings {
        let word = match state {
            State::Ok => "ok",
            State::Note => "note",
            State::Problem => "PROBLEM",
        };
        let room = width.saturating_sub(NAME + 10).max(30);
        let head = format!("{word:<8} {check:<NAME$} ");
        let blank = " ".repeat(NAME + 10);
        for (number, line) in terminal::wrapped(says, room, 0).iter().enumerate() {
            let start = if number == 0 { &head } else { &blank };
            writeln!(out, "{start}{line}").ok();
        }
        let lines = mend.as_deref().map(|mend| terminal::wrapped(mend, width.saturating_sub(MEND + 4).max(30), 0));
        for (number, line) in lines.iter().flatten().enumerate() {
            writeln!(out, "{:MEND$}{} {line}", "", if number == 0 { "->" } else { "  " }).ok();
        }
    }
    let found = match problems {
        0 => "Nothing would go wrong.".to_owned(),
        1 => "1 problem. The line below it mends it.".to_owned(),
        many => format!("{many} problems. The line below each mends it."),
    };
    writeln!(out, "\n{found}").ok();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_line_that_mends_it_below_and_all_fits_80_columns() {
        let mend = "sudo setcap cap_net_raw+ep /usr/local/bin/shadowtap   (or run it with sudo)".to_owned();
        let findings = [
            Finding::problem(
                "rights",
                "user 1000 may not capture: it has no CAP_NET_RAW; system calls are filtered",
                Some(mend),
            ),
            Finding::of_interfaces("lo"),
        ];
        let text = text(&findings, 1, 80);
        assert!(text.starts_with("PROBLEM  rights       user 1000 may not capture"), "{text}");
        assert!(
            text.contains("-> sudo setcap") && text.contains("\nok       interfaces   capturing on lo\n"),
            "{text}"
        );
        assert!(text.ends_with("\n1 problem. The line below it mends it.\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

//! The first lines of a run: what it will send where, what spares the targets, and what to beware of.

use shadowtap::config::RunConfig;
use shadowtap::replay::guard::{GuardAction, GuardSettings};
use shadowtap::replay::ramp::RampPlan;
use shadowtap::{middleware, replay};

use crate::output::{print_news, print_wrapped};

/// Prints the first lines of a run; `first` is what it will do. Fits the connections of its targets into the limit on open
/// files.
pub(crate) fn announce(first: &str, config: &mut RunConfig) {
    print_news(first);
    let run = &mut config.run;
    let guard = run.targets.first().and_then(|target| target.guard.as_ref());
    run.targets.first().and_then(precise_line).iter().for_each(|line| print_news(line));
    let others = run.guard_command.iter().map(|guard| format!("`{}`", guard.command));
    let others: Vec<String> = others.chain(run.dependencies.iter().map(ToString::to_string)).collect();
    for line in protection_lines(run.ramp.as_ref(), guard, &others) {
        print_news(&line);
    }
    let warnings = startup_warnings(&mut run.targets, &mut run.reference);
    for warning in config.warnings.iter().chain(&warnings) {
        print_wrapped(&format!("warning: {warning}"));
    }
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
    let targets: Vec<String> = targets.iter().map(place).collect();
    format!("{doing} {methods}: {share}{at_first} by {key}{chains} -> {}; {writes}", targets.join(", "))
}

/// Name of a target: that which it was given, else its URL.
fn place(target: &replay::SendSettings) -> String {
    target.name.clone().unwrap_or_else(|| target.target.to_string())
}

/// Returns the warnings about targets before anything is sent: certificates that are not verified, and connection
/// limits lower than the targets may need. Fits those limits to the file descriptors available.
fn startup_warnings(targets: &mut [replay::SendSettings], reference: &mut replay::ReferenceSettings) -> Vec<String> {
    let mut warnings: Vec<String> = targets.iter().filter_map(insecure).collect();
    let mut all: Vec<_> = targets.iter_mut().chain(&mut reference.baseline).collect();
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

/// Says what a precise pace costs, where it is asked for.
fn precise_line(target: &replay::SendSettings) -> Option<String> {
    (target.punctuality == replay::Punctuality::Precise)
        .then(|| "pace: precise; one processor is busy with it for as long as the run lasts".to_owned())
}

/// Says what spares the targets; `others` speak to the guard besides its own limits: a command, and dependencies.
fn protection_lines(ramp: Option<&RampPlan>, guard: Option<&GuardSettings>, others: &[String]) -> Vec<String> {
    let ramp = ramp.map(|plan| format!("ramp: {plan}"));
    let guard = guard.map(|guard| {
        let then = match guard.action {
            GuardAction::Hold => "no more than it gets, until all is well again",
            GuardAction::StepDown => "half of what it gets, until all is well again",
            GuardAction::Pause => "a trickle, until all is well again",
            GuardAction::Stop => "nothing any more",
        };
        let limits: Vec<String> = guard.conditions.iter().map(ToString::to_string).collect();
        let own = Some(limits.join(",")).filter(|limits| !limits.is_empty());
        let all: Vec<String> = own.into_iter().chain(others.iter().cloned()).collect();
        format!("guard: {}; past it a target gets {then}", all.join(", "))
    });
    ramp.into_iter().chain(guard).collect()
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
        let named =
            [replay::SendSettings { name: Some("new".to_owned()), ..settings("http://new:8080") }, to[0].clone()];
        assert_eq!(
            startup_line("sending", &middleware, None, &named),
            "sending GET, HEAD, OPTIONS: 50% by request -> new, http://staging:8080; writes are left out (--allow-writes)"
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

    #[test]
    fn the_first_lines_say_what_spares_the_target() {
        let ramp = "1%:45s,100%".parse().unwrap();
        assert_eq!(
            protection_lines(Some(&ramp), Some(&GuardSettings::of_shadow()), &[]),
            ["ramp: 1%:45s,100%", "guard: errors>=100%/30s; past it a target gets a trickle, until all is well again"]
        );
        assert_eq!(protection_lines(None, None, &[]), Vec::<String>::new());
        let others = ["`./check`".to_owned(), "redis://cache/connected_clients>20000".to_owned()];
        let said = |guard: GuardSettings, others| protection_lines(None, Some(&guard), others).remove(0);
        let alone = said(GuardSettings::deaf(), &others[1..]);
        assert!(alone.starts_with("guard: redis://cache/connected_clients>20000; past it a target gets "), "{alone}");
        let all = said(GuardSettings::of_shadow(), &others);
        let starts = "guard: errors>=100%/30s, `./check`, redis://cache/connected_clients>20000; past it";
        assert!(all.starts_with(starts), "{all}");
    }
}

//! `shadowtap report --advise haproxy`: which steps of a ramp are ready on each route of a map, and the lines that tell
//! HAProxy of the next one. Files are read, lines are printed; nothing is changed.

use std::path::Path;

use anyhow::{anyhow, bail};
use shadowtap::config;
use shadowtap::middleware::Share;
use shadowtap::middleware::patterns::PatternBudget;
use shadowtap::middleware::route::{self, MatchInput, RouteMap};
use shadowtap::replay::ramp::RampPlan;
use shadowtap::report::Summary;
use shadowtap::report::render::haproxy::{HaproxyMove, NextStep};
use shadowtap::report::render::text;
use shadowtap::report::threshold::Thresholds;
use shadowtap::report::threshold::readiness::{Readiness, ReadinessPlan, ReadinessWatch, STEPS};

use crate::args::{AdviseArguments, ReportCommand};
use crate::run_results::{ResultsKind, for_each_line, taken_back};

/// What is said of a run, and how it is shown.
pub(crate) struct Advice {
    readiness: Readiness,
    next: Vec<NextStep>,
    notes: Vec<String>,
}

impl Advice {
    /// Works it out, where it was asked for.
    pub(crate) fn of(args: &ReportCommand, kind: ResultsKind, summary: &Summary) -> anyhow::Result<Option<Self>> {
        let advise = &args.advise;
        match advise.advise.as_deref() {
            None => return advise.refuse_without().map(|()| None),
            Some("haproxy") => {}
            Some(other) => bail!("--advise: `{other}` is not known; write haproxy"),
        }
        kind.require_lines("--advise: it needs the results of a run (--results)", args.file())?;
        let Some(file) = &advise.map else {
            bail!("--advise haproxy: it needs the routes: --map FILE, with the lines of a map_reg");
        };
        let map = read_map(file)?;
        let way = way_of(advise, &map)?;
        let steps = steps_of(advise, summary)?;
        let now = advise
            .now
            .as_deref()
            .map_or(Ok(Share(0.0)), |typed| typed.parse::<Share>().map_err(|error| anyhow!("--now: {error}")))?;
        let target = target_of(advise, summary)?;
        let demands = demands_of(args, summary)?;
        let plan = ReadinessPlan { map, steps, demands, connections: advise.connection_limit, target };
        let mut watch = ReadinessWatch::new(plan, summary, taken_back(args.file())?);
        for_each_line(args.file(), |line| {
            watch.line(line);
            Ok(())
        })?;
        let readiness = watch.finish(summary);
        let name = advise.map_name.clone().unwrap_or_else(|| file.display().to_string());
        let next = way.next(&readiness, &name, now);
        Ok(Some(Self { readiness, next, notes: notes(&way) }))
    }

    /// The text of it.
    pub(crate) fn text(&self, width: usize, color: bool) -> String {
        text::advice(&self.readiness, &self.next, &self.notes, width, color)
    }
}

impl AdviseArguments {
    /// Refuses flags that say something of an advice which is not asked for.
    fn refuse_without(&self) -> anyhow::Result<()> {
        let given = [
            ("--map", self.map.is_some()),
            ("--map-name", self.map_name.is_some()),
            ("--steps", self.steps.is_some()),
            ("--now", self.now.is_some()),
            ("--new-servers", !self.new_servers.is_empty()),
            ("--old-servers", !self.old_servers.is_empty()),
            ("--new-backend", self.new_backend.is_some()),
            ("--connection-limit", self.connection_limit.is_some()),
            ("--of", self.of.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(anyhow!("{flag} says something of an advice: give --advise haproxy, too")),
            None => Ok(()),
        }
    }
}

fn read_map(file: &Path) -> anyhow::Result<RouteMap> {
    let map = route::read(file, MatchInput::Path, &PatternBudget::default()).map_err(|mistakes| {
        let all = mistakes.into_iter().map(|(line, why)| match line {
            0 => format!("{} {why}", file.display()),
            line => format!("{}, line {line}: {why}", file.display()),
        });
        anyhow!("--map: {}", all.collect::<Vec<_>>().join("\n"))
    })?;
    if map.entries().next().is_none() {
        bail!("--map: {} has no line: each is a regular expression, a blank and a value", file.display());
    }
    Ok(map)
}

/// How a share goes over: as the flags say, or as the values of the map do.
fn way_of(advise: &AdviseArguments, map: &RouteMap) -> anyhow::Result<HaproxyMove> {
    let words = |flag: &str, names: &[String]| -> anyhow::Result<()> {
        let wrong = names
            .iter()
            .find(|name| name.is_empty() || name.contains(|c: char| c.is_whitespace() || "/;\\".contains(c)));
        wrong.map_or(Ok(()), |name| {
            Err(anyhow!("{flag}: `{name}` is no name of HAProxy: write it as in its configuration"))
        })
    };
    words("--new-servers", &advise.new_servers)?;
    words("--old-servers", &advise.old_servers)?;
    words("--new-backend", advise.new_backend.as_slice())?;
    match (&advise.new_backend, advise.new_servers.is_empty(), advise.old_servers.is_empty()) {
        (Some(_), false, _) | (Some(_), _, false) => {
            bail!(
                "--new-backend and --new-servers contradict each other: traffic goes over by a value of the map, or by weights"
            )
        }
        (Some(backend), true, true) => Ok(HaproxyMove::Backend(backend.clone())),
        (None, false, false) => {
            Ok(HaproxyMove::Weights { new: advise.new_servers.clone(), old: advise.old_servers.clone() })
        }
        (None, false, true) => bail!("--new-servers: which servers get less? Name them with --old-servers"),
        (None, true, false) => bail!("--old-servers: which servers get more? Name them with --new-servers"),
        (None, true, true)
            if map.entries().all(|(_, value, _)| value.parse::<u32>().is_ok_and(|value| value <= 100)) =>
        {
            Ok(HaproxyMove::Percents)
        }
        (None, true, true) => bail!(
            "--advise haproxy: how does traffic go over? By weights: --new-servers and --old-servers. By the value of the map: \
             --new-backend. Values that are percents (0 to 100) need neither"
        ),
    }
}

/// The steps that are asked for, or else those of the run's ramp.
fn steps_of(advise: &AdviseArguments, summary: &Summary) -> anyhow::Result<Vec<Share>> {
    if let Some(typed) = &advise.steps {
        let shares: Result<Vec<Share>, _> = typed.split(',').map(str::parse).collect();
        let shares = shares.map_err(|error| anyhow!("--steps: {error}"))?;
        if shares.first().is_none_or(|first| first.0 <= 0.0) || !shares.is_sorted_by(|one, next| one.0 < next.0) {
            bail!("--steps: {typed} does not rise from above 0%; write such as 1%,10%,50%,100%");
        }
        return Ok(shares);
    }
    let plan = summary.ramp.as_ref().map_or(STEPS, |ramp| &ramp.plan);
    let plan = plan.parse::<RampPlan>().map_err(|error| anyhow!("the run's ramp cannot be read: {error}"))?;
    Ok(plan.shares().filter(|share| share.0 > 0.0).collect())
}

/// The target whose readiness is asked for.
fn target_of(advise: &AdviseArguments, summary: &Summary) -> anyhow::Result<String> {
    let name = |url: &str| summary.asked.as_ref().and_then(|asked| asked.names.get(url).cloned());
    let all: Vec<&String> = summary.targets.keys().collect();
    let known = || all.iter().map(|url| name(url).unwrap_or_else(|| (*url).clone())).collect::<Vec<_>>().join(", ");
    match (&advise.of, &all[..]) {
        (_, []) => bail!("--advise: the run had no target"),
        (None, [one]) => Ok((*one).clone()),
        (None, _) => bail!("--advise: the run had several targets: choose one with --of; there is {}", known()),
        (Some(asked), all) => {
            let url = asked.trim_end_matches('/');
            let found =
                all.iter().find(|own| own.trim_end_matches('/') == url || name(own).as_deref() == Some(asked.as_str()));
            found
                .map(|url| (*url).clone())
                .ok_or_else(|| anyhow!("--of: no target is called `{asked}`; there is {}", known()))
        }
    }
}

/// What has to hold: as is demanded now, or else what was demanded of the run.
fn demands_of(args: &ReportCommand, summary: &Summary) -> anyhow::Result<Thresholds> {
    let mut gates = args.gates.clone();
    if gates.fail_if.is_empty() {
        gates.fail_if = summary.gates.iter().map(|gate| gate.gate.clone()).collect();
    }
    Ok(config::demands(&gates, &summary.named_targets())?)
}

/// What has to be so in HAProxy for the lines to do what they say.
fn notes(way: &HaproxyMove) -> Vec<String> {
    let text = match way {
        HaproxyMove::Weights { .. } => {
            "Weights need a balance that takes them (roundrobin, leastconn). HAProxy forgets them when it restarts: have `weight 0` \
             on the new servers in its configuration, so that it falls back to the old ones, or these weights."
        }
        HaproxyMove::Backend(_) => "A value moves its whole route.",
        HaproxyMove::Percents => "Values are percents of a route.",
    };
    vec![text.to_owned()]
}

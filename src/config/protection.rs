//! What spares the targets: a ramp, guards, a guard command, dependencies.

use std::path::Path;

use super::mistakes::ConfigMistakes;
use super::{check, parsed, typed};
use crate::pipeline::GuardCommand;
use crate::pipeline::guard_command::DEFAULT_EVERY;
use crate::replay::guard::{Dependency, GuardSettings, OnUnknown};
use crate::replay::ramp::RampPlan;
use crate::serve::control::SocketLocation;

/// Most dependencies of a run: each is asked every second.
const MAX_DEPENDENCIES: usize = 16;

/// Protection of a run's targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ProtectionSettings {
    /// Ramp of the share.
    pub(super) ramp: Option<RampPlan>,
    /// A command outside that brakes.
    pub(super) command: Option<GuardCommand>,
    /// Numbers of other systems that brake.
    pub(super) dependencies: Vec<Dependency>,
    /// What such a number does where it is not known.
    pub(super) on_unknown: OnUnknown,
    /// Guard of each target.
    pub(super) guard: Option<GuardSettings>,
}

/// Returns the location of the control socket; `live` runs have one by default.
pub(super) fn control(typed: Option<&Path>, live: bool) -> SocketLocation {
    match typed {
        Some(path) if path == Path::new("off") => SocketLocation::Off,
        Some(path) => SocketLocation::At(path.to_owned()),
        None if live => SocketLocation::Default,
        None => SocketLocation::Off,
    }
}

/// Builds the protection settings; `live` runs have a guard by default.
pub(super) fn protection(
    typed: &typed::Protection,
    select: &typed::Select,
    live: bool,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> ProtectionSettings {
    if typed.ramp.is_some() && select.sample.is_some() {
        mistakes.add("--ramp and --sample", "contradict each other: the ramp says the share, from its first step on");
    }
    let ramp = parsed("--ramp", typed.ramp.as_deref(), mistakes);
    let command = guard_command(typed, mistakes, warnings);
    let (dependencies, on_unknown) = dependencies(typed, mistakes, warnings);
    let hears = command.is_some() || !dependencies.is_empty();
    let guard = guard(typed, live, hears, mistakes, warnings);
    ProtectionSettings { ramp, command, dependencies, on_unknown, guard }
}

fn dependencies(
    typed: &typed::Protection,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> (Vec<Dependency>, OnUnknown) {
    if typed.dependency.len() > MAX_DEPENDENCIES {
        mistakes.add("--dependency", format!("{} are too many: {MAX_DEPENDENCIES} at most", typed.dependency.len()));
    }
    if typed.dependency.is_empty() && typed.on_unknown.is_some() {
        warnings.push("--on-unknown changes nothing without --dependency".to_owned());
    }
    let all = check::each("--dependency", &typed.dependency, str::parse::<Dependency>, mistakes);
    (all, parsed("--on-unknown", typed.on_unknown.as_deref(), mistakes).unwrap_or_default())
}

fn guard_command(
    typed: &typed::Protection,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> Option<GuardCommand> {
    let flag = "--guard-every";
    let Some(command) = typed.guard_command.as_deref() else {
        if typed.guard_every.is_some() {
            warnings.push(format!("{flag} changes nothing without --guard-command"));
        }
        return None;
    };
    let command = mistakes.keep("--guard-command", command.parse());
    let every = check::duration_or(flag, typed.guard_every.as_deref(), DEFAULT_EVERY, mistakes);
    if every.is_zero() {
        mistakes.add(flag, "a command cannot be run all the time: give more than zero, such as 10s");
    }
    Some(GuardCommand { command: command?, every })
}

fn guard(
    typed: &typed::Protection,
    live: bool,
    hears: bool,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> Option<GuardSettings> {
    let action = parsed("--on-guard", typed.on_guard.as_deref(), mistakes);
    let settings = match typed.guard.as_deref() {
        Some("off") => None,
        Some(limits) => mistakes.keep("--guard", limits.parse::<GuardSettings>()),
        None if live => Some(GuardSettings::of_shadow()),
        None => None,
    };
    // What is outside speaks to guards, and one that watches nothing by itself will do.
    let settings = settings.or_else(|| hears.then(GuardSettings::deaf));
    if settings.is_none() && typed.on_guard.is_some() && typed.guard.as_deref().is_none_or(|limits| limits == "off") {
        warnings.push("--on-guard changes nothing without --guard".to_owned());
    }
    settings.map(|settings| GuardSettings { action: action.unwrap_or(settings.action), ..settings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::guard::GuardAction;

    #[track_caller]
    fn check(
        live: bool,
        change: impl FnOnce(&mut typed::Protection, &mut typed::Select),
        told: &[&str],
    ) -> ProtectionSettings {
        let (mut typed, mut select) = (typed::Protection::default(), typed::Select::default());
        change(&mut typed, &mut select);
        let (mut mistakes, mut warnings) = (ConfigMistakes::default(), Vec::new());
        let protection = protection(&typed, &select, live, &mut mistakes, &mut warnings);
        let mut all: Vec<String> = mistakes.all().iter().map(|m| format!("{}: {}", m.flag, m.message)).collect();
        all.extend(warnings);
        assert_eq!(all, told);
        protection
    }

    #[test]
    fn only_a_shadow_has_a_guard_unasked() {
        assert_eq!(check(false, |_, _| {}, &[]), ProtectionSettings::default());
        assert_eq!(check(true, |_, _| {}, &[]).guard, Some(GuardSettings::of_shadow()));
        assert_eq!(check(true, |typed, _| typed.guard = Some("off".to_owned()), &[]).guard, None);
    }

    #[test]
    fn a_guard_steps_down_unless_something_else_is_asked_for() {
        let guard =
            |typed: &mut typed::Protection, _: &mut typed::Select| typed.guard = Some("errors>5%/10s".to_owned());
        assert_eq!(check(true, guard, &[]).guard.unwrap().action, GuardAction::StepDown);
        let stop = |typed: &mut typed::Protection, _: &mut typed::Select| typed.on_guard = Some("stop".to_owned());
        assert_eq!(check(true, stop, &[]).guard.unwrap().action, GuardAction::Stop);
        check(false, stop, &["--on-guard changes nothing without --guard"]);
    }

    #[test]
    fn a_command_outside_has_a_guard_to_speak_to() {
        let command = |typed: &mut typed::Protection, _: &mut typed::Select| {
            typed.guard_command = Some("sh -c 'test 1'".to_owned());
        };
        let protection = check(false, command, &[]);
        assert_eq!(protection.guard, Some(GuardSettings::deaf()));
        assert_eq!(protection.command.unwrap().every, DEFAULT_EVERY);
    }

    #[test]
    fn a_dependency_has_a_guard_to_speak_to() {
        let typed = |typed: &mut typed::Protection, _: &mut typed::Select| {
            typed.dependency = vec!["redis://cache/connected_clients>20000".to_owned()];
            typed.on_unknown = Some("ignore".to_owned());
        };
        let protection = check(false, typed, &[]);
        assert_eq!((protection.guard, protection.on_unknown), (Some(GuardSettings::deaf()), OnUnknown::Ignore));
        assert_eq!(protection.dependencies[0].to_string(), "redis://cache/connected_clients>20000");
        check(
            false,
            |typed, _| {
                typed.dependency = vec!["redis://:hush@cache>1".to_owned()];
                typed.on_unknown = Some("wait".to_owned());
            },
            &[
                "--dependency: after the address stands a field of INFO, such as /connected_clients",
                "--on-unknown: `wait` does not say what an unknown number does; write hold or ignore",
            ],
        );
        let many = |typed: &mut typed::Protection, _: &mut typed::Select| {
            typed.dependency = vec!["redis://h/x>1".to_owned(); 17];
        };
        check(false, many, &["--dependency: 17 are too many: 16 at most"]);
        let alone = |typed: &mut typed::Protection, _: &mut typed::Select| typed.on_unknown = Some("hold".to_owned());
        check(false, alone, &["--on-unknown changes nothing without --dependency"]);
    }

    #[test]
    fn only_a_live_run_has_a_socket_unasked() {
        assert_eq!((control(None, true), control(None, false)), (SocketLocation::Default, SocketLocation::Off));
        assert_eq!(control(Some(Path::new("off")), true), SocketLocation::Off);
        assert_eq!(control(Some(Path::new("/run/x")), false), SocketLocation::At("/run/x".into()));
    }

    #[test]
    fn every_mistake_is_told() {
        check(
            false,
            |typed, select| {
                typed.ramp = Some("5%:1m,1%".to_owned());
                select.sample = Some("5%".to_owned());
                typed.guard = Some("errors>5/10s".to_owned());
                typed.on_guard = Some("halt".to_owned());
                typed.guard_command = Some("'x".to_owned());
                typed.guard_every = Some("0s".to_owned());
            },
            &[
                "--ramp and --sample: contradict each other: the ramp says the share, from its first step on",
                "--ramp: `5%:1m,1%`, at character 7: 1% is not more than the step before: a ramp rises; write such as \
                 '1%:45s,5%:45s,10%:1m,50%:1m,100%'",
                "--guard-command: `'x` has a quote that does not end; it is split into words as a shell does it",
                "--guard-every: a command cannot be run all the time: give more than zero, such as 10s",
                "--on-guard: `halt` does not say what to do past the limits; write step-down, hold, pause or stop",
                "--guard: `errors>5/10s`, at character 8: `5` is no share: a number from 0 to 100 and a percent sign; \
                 write such as 'errors>5%/10s,p99>800ms/30s'",
            ],
        );
        check(
            false,
            |typed, _| typed.guard_every = Some("1s".to_owned()),
            &["--guard-every changes nothing without --guard-command"],
        );
    }
}

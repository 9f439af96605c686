//! Flags from the environment: `SHADOWTAP_` and the name of a flag.

use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use shadowtap::config::ConfigMistakes;

use crate::config_file::is_own;
use crate::usage::CONFIGURED;

/// What the names of all these variables begin with.
const PREFIX: &str = "SHADOWTAP_";
/// Variables that are no flags: of the log, and what commands of a guard are told.
const OTHERS: [&str; 3] = ["SHADOWTAP_LOG", "SHADOWTAP_RULE", "SHADOWTAP_TARGET"];
/// Values of switches. An empty variable is as good as none.
const ON: [&str; 6] = ["1", "on", "t", "true", "y", "yes"];
const OFF: [&str; 7] = ["", "0", "f", "false", "n", "no", "off"];

/// Flags that the environment has set, for mistakes that are found later.
static TAKEN: OnceLock<Vec<String>> = OnceLock::new();

/// The variable of a flag.
pub(crate) fn variable(long: &str) -> String {
    format!("{PREFIX}{}", long.to_uppercase().replace('-', "_"))
}

/// A flag that its variable sets, too.
pub(crate) fn with_environment(arg: Arg) -> Arg {
    let Some(long) = arg.get_long().filter(|long| !long.starts_with("help")) else { return arg };
    let name = variable(long);
    let arg = arg.env(name).hide_env(true);
    if is_switch(&arg) { arg.value_parser(FalseyValueParser::new()) } else { arg }
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Checks the variables of switches: what is neither on nor off would turn one on.
pub(crate) fn check(command: &Command, value: impl Fn(&str) -> Option<OsString>) -> Result<(), ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    for name in command.get_arguments().filter(|arg| is_switch(arg)).filter_map(Arg::get_long).map(variable) {
        let Some(value) = value(&name) else { continue };
        let word = value.to_string_lossy().to_lowercase();
        if !ON.contains(&word.as_str()) && !OFF.contains(&word.as_str()) {
            mistakes.add(name, format!("`{word}` is neither on nor off; write true or false"));
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// Keeps which flags of a command the environment has set.
pub(crate) fn keep_taken(matches: &ArgMatches, command: &Command) {
    let is_taken = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable);
    let taken = command.get_arguments().filter(is_taken).filter_map(Arg::get_long).map(str::to_owned);
    TAKEN.set(taken.collect()).ok();
}

/// Returns the variable that has set a flag, with a colon; nothing where none has.
pub(crate) fn place_of(flag: &str) -> String {
    let mut taken = TAKEN.get().into_iter().flatten();
    let long = flag.split(' ').next().and_then(|first| first.strip_prefix("--")).unwrap_or_default();
    taken.find(|taken| *taken == long).map(|long| format!("{}: ", variable(long))).unwrap_or_default()
}

/// Returns a warning for each variable that is nearly one of a flag, and is none.
pub(crate) fn misspelled(program: &Command, names: impl Iterator<Item = OsString>) -> Vec<String> {
    let commands = CONFIGURED.iter().filter_map(|name| program.find_subcommand(name));
    let longs = commands.flat_map(Command::get_arguments).filter_map(Arg::get_long);
    let mut known: Vec<String> = longs
        .filter(|long| *long == "config" || !is_own(long))
        .map(variable)
        .chain(OTHERS.map(str::to_owned))
        .collect();
    known.sort();
    let names = names.filter_map(|name| OsStr::to_str(&name).map(str::to_owned));
    let odd = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let warning = |name: String| {
        let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(known, &name), known)).min()?;
        let meant = Some(nearest.1).filter(|_| nearest.0 <= 2)?;
        Some(format!("warning: {name} in the environment is no flag; did you mean {meant}?"))
    };
    odd.filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage;

    #[test]
    fn a_switch_is_on_or_off() {
        let program = usage::command();
        let replay = program.find_subcommand("replay").unwrap();
        let said = |value: &str| {
            let of = |name: &str| (name == "SHADOWTAP_ALLOW_WRITES").then(|| OsString::from(value));
            check(replay, of).err().map(|mistakes| mistakes.to_string())
        };
        for value in ["", "true", "No", "OFF", "1"] {
            assert_eq!(said(value), None, "{value}");
        }
        for value in ["disabled", "never", "2", " "] {
            assert!(said(value).unwrap().contains("SHADOWTAP_ALLOW_WRITES: `"), "{value}");
        }
    }

    #[test]
    fn a_slip_in_a_name_is_told_and_names_of_others_are_not() {
        let said = |name: &str| misspelled(&usage::command(), [OsString::from(name)].into_iter());
        assert_eq!(
            said("SHADOWTAP_SAMPEL"),
            ["warning: SHADOWTAP_SAMPEL in the environment is no flag; did you mean SHADOWTAP_SAMPLE?"]
        );
        for name in ["SHADOWTAP_SAMPLE", "SHADOWTAP_CONFIG", "SHADOWTAP_LOG", "SHADOWTAP_DATABASE_PASSWORD", "SAMPEL"] {
            assert!(said(name).is_empty(), "{name}");
        }
    }
}

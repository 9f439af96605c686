//! What the program says of its own command line: first steps, help with the flags that matter, help with all of them.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _};

use crate::args::Cli;
use crate::{config_file, environment};

/// Printed where nothing was typed.
pub(crate) const FIRST_STEPS: &str = "\
shadowtap replays real HTTP against another stack, and says what differs. Type:

  shadowtap demo
      see a report in ten seconds; needs no rights
  sudo shadowtap doctor -p 80 --to http://staging:8080
      say what would go wrong here, and what mends it
  sudo shadowtap record -p 80 -o peak.gor.zst --duration 10m
      record what this machine serves on port 80; sends nothing
  shadowtap replay peak.gor.zst --to http://staging:8080
      send it elsewhere at the same pace, and compare the responses
  sudo shadowtap shadow -p 80 --to http://staging:8080 --sample 1%
      the same live, with a hundredth of the traffic

All commands: shadowtap --help. Coming from GoReplay: shadowtap gor --help
";

/// Commands that take flags from a file and from the environment.
pub(crate) const CONFIGURED: [&str; 3] = ["shadow", "record", "replay"];

/// Other commands that reach a recording in a store, and the flags for that: the environment sets these for them, too.
const STORES: [&str; 4] = ["doctor", "inspect", "report", "control"];
const STORE_FLAGS: [&str; 2] = ["nats_credentials", "nats_ca"];

/// Name of the hidden flag that prints every flag.
const HELP_ALL: &str = "help-all";

/// The flags that matter, of the commands that have many. The others are in `--help all`.
const MATTER: [(&str, &[&str]); 5] = [
    (
        "shadow",
        &["port", "interface", "to", "sample", "filters", "allow-writes", "ramp", "duration", "dry-run", "report"],
    ),
    (
        "replay",
        &["to", "speed", "sample", "filters", "allow-writes", "connections", "ignore", "fail-if", "dry-run", "report"],
    ),
    (
        "record",
        &[
            "port",
            "interface",
            "output",
            "rotate-size",
            "keep",
            "sample",
            "filters",
            "remove-header",
            "duration",
            "dry-run",
        ],
    ),
    ("doctor", &["port", "interface", "bpf", "to", "output", "duration", "listen", "json", "tunnel", "ca"]),
    ("inspect", &["port", "filters", "allow-path", "status", "stats", "forecast", "json", "full", "summary", "sample"]),
];

/// Examples that short help opens with.
const EXAMPLES: usize = 3;

/// Help of a command with many flags: what it does, examples, then flags.
const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Error of a command line.
#[derive(Debug)]
pub(crate) enum UsageError {
    /// Of its words.
    Words(clap::Error),
    /// Of its configuration file.
    File(anyhow::Error),
}

impl From<clap::Error> for UsageError {
    fn from(error: clap::Error) -> Self {
        Self::Words(error)
    }
}

/// Parses a command line, with the flags of its configuration file and of the environment.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Cli, UsageError> {
    let mut words = with_help(words);
    let configured = words.get(1).and_then(|word| CONFIGURED.into_iter().find(|name| word == name));
    let mut command = command();
    if let Some(of_command) = configured.and_then(|name| command.find_subcommand(name)) {
        environment::check(of_command, |name| std::env::var_os(name))
            .map_err(|error| UsageError::File(error.into()))?;
        if names_a_file(&words) {
            let matches = lenient().try_get_matches_from(&words)?;
            let matches = matches.subcommand().map_or(&matches, |(_, matches)| matches);
            let flags = config_file::flags(matches, of_command).map_err(UsageError::File)?;
            words.splice(2..2, flags);
        }
    }
    let mut matches = command.try_get_matches_from_mut(words).map_err(told_first)?;
    if let Some((name, matches)) = matches.subcommand()
        && let Some(of_command) = command.find_subcommand(name)
    {
        environment::keep_taken(matches, of_command);
    }
    Ok(Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?)
}

/// The mistakes of the configuration file where it has any: what is missing on the command line may stand there.
fn told_first(error: clap::Error) -> UsageError {
    match config_file::take_mistakes().filter(|_| error.use_stderr()) {
        Some(mistakes) => UsageError::File(mistakes.into()),
        None => error.into(),
    }
}

/// Returns whether a configuration file is named on the command line or in the environment.
fn names_a_file(words: &[OsString]) -> bool {
    let is_flag =
        |word: &OsString| word == "--config" || word.to_str().is_some_and(|word| word.starts_with("--config="));
    words.iter().any(is_flag) || std::env::var_os("SHADOWTAP_CONFIG").is_some()
}

/// The command line where nothing is required: what is missing may stand in the file.
fn lenient() -> Command {
    CONFIGURED.into_iter().fold(command(), |program, name| {
        program.mut_subcommand(name, |command| command.mut_args(|arg| arg.required(false)))
    })
}

/// `--help all` as one flag; `help COMMAND` and `version` as the flags that they are here.
fn with_help(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    match words.get(1).and_then(|word| word.to_str()) {
        Some("gor") => return words,
        Some("version") if words.len() == 2 => words = vec![words.swap_remove(0), "--version".into()],
        Some("help") if words.len() <= 3 => {
            words.remove(1);
            words.push("--help".into());
        }
        _ => {}
    }
    if let Some([help, all]) = words.last_chunk::<2>()
        && (help == "--help" || help == "-h")
        && all == "all"
    {
        let is_long = words.get(1).is_some_and(|word| MATTER.iter().any(|(name, _)| word == name));
        words.truncate(words.len() - 2);
        // Where there are few flags, all of them are in the help.
        words.push(if is_long { format!("--{HELP_ALL}").into() } else { "--help".into() });
    }
    words
}

/// The command line, with short help for commands that have many flags.
pub(crate) fn command() -> Command {
    let program = STORES.into_iter().fold(Cli::command(), |program, name| {
        program.mut_subcommand(name, |command| {
            STORE_FLAGS.into_iter().fold(command, |command, flag| command.mut_arg(flag, environment::with_environment))
        })
    });
    let program = CONFIGURED.into_iter().fold(program, |program, name| {
        program.mut_subcommand(name, |command| command.mut_args(environment::with_environment))
    });
    let to = "Target that is asked for /: scheme, host and port, such as http://staging:8080, or unix:/run/app.sock. Repeatable";
    let program = program.mut_subcommand("doctor", |doctor| doctor.mut_arg("to", |arg| arg.help(to)));
    MATTER.into_iter().fold(program, |program, (name, flags)| {
        program.mut_subcommand(name, |command| with_short_help(command, name, flags))
    })
}

fn with_short_help(command: Command, name: &str, matter: &[&str]) -> Command {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, rest) = after.split_once("\n\n").unwrap_or((&after, ""));
    let first = examples.lines().take(1 + EXAMPLES).collect::<Vec<_>>().join("\n");
    let is_minor = |arg: &Arg| {
        let is_kept = arg.get_long().is_some_and(|long| matter.contains(&long));
        !arg.is_positional() && !is_kept
    };
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpShort);
    let all = Arg::new(HELP_ALL).long(HELP_ALL).action(ArgAction::HelpLong).hide(true);
    command
        .mut_args(|arg| if is_minor(&arg) { arg.hide_short_help(true) } else { arg })
        .disable_help_flag(true)
        .arg(help.help("Print this; --help all prints every flag").help_heading("Help"))
        .arg(all)
        .help_template(TEMPLATE)
        .before_help(first)
        .before_long_help(examples.to_owned())
        .after_help(format!("Every flag, and the exit codes: shadowtap {name} --help all"))
        .after_long_help(rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(words: &[&str]) -> String {
        let words = ["shadowtap"].iter().chain(words).map(OsString::from);
        match parse(words) {
            Err(UsageError::Words(error)) => error.render().to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_command_that_reaches_a_store_takes_its_credentials_from_the_environment() {
        let program = command();
        let mut found = 0;
        for command in program.get_subcommands() {
            for (flag, variable) in
                [("nats-credentials", "SHADOWTAP_NATS_CREDENTIALS"), ("nats-ca", "SHADOWTAP_NATS_CA")]
            {
                let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(flag)) else { continue };
                assert_eq!(arg.get_env(), Some(std::ffi::OsStr::new(variable)), "{}", command.get_name());
                found += 1;
            }
        }
        assert_eq!(found, 2 * (CONFIGURED.len() + STORES.len()));
    }

    fn flags(help: &str) -> usize {
        let is_flag = |line: &&str| line.starts_with("  -") || line.starts_with("      --");
        help.lines().filter(is_flag).count()
    }

    #[test]
    fn the_command_line_fits_together() {
        command().debug_assert();
    }

    #[test]
    fn help_opens_with_three_examples_and_has_ten_flags() {
        for (name, matter) in MATTER {
            assert_eq!(matter.len(), 10, "{name}");
            for short in [help(&[name, "--help"]), help(&[name, "-h"])] {
                let (before, behind) = short.split_once("Usage: ").unwrap();
                assert_eq!(before.matches(&format!("shadowtap {name} ")).count(), EXAMPLES, "{short}");
                assert_eq!(flags(behind), 11, "ten, and help:\n{short}");
                assert!(behind.ends_with(&format!("shadowtap {name} --help all\n")), "{short}");
            }
            let all = help(&[name, "--help", "all"]);
            assert!(flags(&all) > 20, "{all}");
            assert!(all.lines().count() > 2 * help(&[name, "--help"]).lines().count());
        }
    }

    #[test]
    fn help_fits_80_columns() {
        for (name, _) in MATTER {
            let mut command = command().term_width(80);
            let mut command = command.find_subcommand_mut(name).unwrap().clone().term_width(80);
            for text in [command.render_help(), command.render_long_help()] {
                let text = text.to_string();
                let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
                assert!(widest.chars().count() <= 80, "{name}: {widest}");
            }
        }
        assert!(FIRST_STEPS.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn all_is_a_word_elsewhere() {
        let words = |words: &[&str]| with_help(words.iter().map(OsString::from)).len();
        assert_eq!(words(&["shadowtap", "gor", "--help", "all"]), 4);
        assert_eq!(words(&["shadowtap", "inspect", "all"]), 3);
        assert_eq!(words(&["shadowtap", "inspect", "--help", "all"]), 3);
    }

    #[test]
    fn help_is_found_however_it_is_asked_for() {
        for words in [&["help"][..], &["--help", "all"], &["-h", "all"]] {
            assert!(help(words).contains("Commands:"), "{words:?}");
        }
        assert_eq!(help(&["help", "replay"]), help(&["replay", "--help"]));
        for name in ["report", "filters", "interfaces", "control", "demo", "completions", "man"] {
            assert!(help(&[name, "--help", "all"]).contains("Usage: "), "{name}");
        }
        assert!(!help(&["doctor", "--help"]).contains("(required)"));
        assert!(help(&["version"]).starts_with("shadowtap "));
    }
}

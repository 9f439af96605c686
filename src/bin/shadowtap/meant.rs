//! What was probably meant by a flag that there is not: those of `GoReplay`, and words that others use.

use std::ffi::OsStr;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _, Error};

use crate::args::Cli;

/// Flags that there are not, and what to write instead.
const MEANT: [(&str, &str); 44] = [
    ("--target", "the target is --to URL"),
    ("--url", "the target is --to URL"),
    ("--output", "the target is --to URL; a recording is record -o FILE"),
    ("--output-http", "GoReplay's --output-http is --to URL"),
    ("--input-raw", "GoReplay's --input-raw :80 is shadow -p 80 or record -p 80"),
    ("--input-file", "GoReplay's --input-file FILE is replay FILE"),
    ("--output-file", "GoReplay's --output-file FILE is record -o FILE"),
    ("--output-stdout", "the results of a run go to standard output with --results -"),
    ("--output-null", "to send and write nothing, give --dry-run"),
    ("--output-http-timeout", "GoReplay's --output-http-timeout is --timeout"),
    ("--output-http-workers", "GoReplay's --output-http-workers is --max-connections, or --max-in-flight"),
    ("--output-http-workers-min", "connections are opened as they are needed: leave it out"),
    ("--output-http-queue-len", "queues have fixed bounds here, and what is shed is counted: leave it out"),
    ("--output-http-track-response", "responses are always compared: leave it out"),
    ("--output-http-response-buffer", "GoReplay's --output-http-response-buffer is --max-compare-body"),
    ("--output-http-skip-verify", "GoReplay's --output-http-skip-verify is --insecure"),
    ("--output-http-stats", "figures of a run are served with --metrics 127.0.0.1:9184"),
    ("--output-http-redirects", "redirects are compared, and not followed: leave it out"),
    ("--output-file-size-limit", "GoReplay's --output-file-size-limit is --rotate-size"),
    (
        "--output-file-append",
        "a recording is one file unless --rotate-size or --rotate-every says otherwise: leave it out",
    ),
    (
        "--output-file-queue-limit",
        "a recording is one file unless --rotate-size or --rotate-every says otherwise: leave it out",
    ),
    ("--input-raw-track-response", "responses are always captured: leave it out"),
    ("--input-raw-bpf-filter", "GoReplay's --input-raw-bpf-filter is -f FILTER"),
    ("--input-raw-buffer-size", "GoReplay's --input-raw-buffer-size is --buffer"),
    ("--input-raw-override-snaplen", "frames are captured whole: leave it out"),
    ("--input-raw-expire", "GoReplay's --input-raw-expire has no counterpart: leave it out"),
    ("--input-raw-engine", "the engine is libpcap; to read a file, use replay FILE"),
    ("--input-raw-realip-header", "name it where it is used, such as --sample-by header:X-Real-IP"),
    ("--input-file-loop", "GoReplay's --input-file-loop is --loop N"),
    ("--input-file-dry-run", "GoReplay's --input-file-dry-run is --dry-run"),
    ("--input-file-max-wait", "GoReplay's --input-file-max-wait is --max-gap"),
    ("--http-allow-url", "GoReplay's --http-allow-url is --allow-path"),
    ("--http-disallow-url", "GoReplay's --http-disallow-url is --deny-path"),
    ("--http-allow-method", "GoReplay's --http-allow-method is --allow-method"),
    (
        "--http-allow-header",
        "headers are matched in a chain file: --filters FILE, with only = { header.NAME = \"...\" }",
    ),
    (
        "--http-disallow-header",
        "headers are matched in a chain file: --filters FILE, with drop = { header.NAME = \"...\" }",
    ),
    ("--http-set-header", "GoReplay's --http-set-header is --set-header"),
    ("--http-set-param", "parameters are set in a chain file: --filters FILE, with set-param"),
    ("--http-rewrite-url", "paths are rewritten in a chain file: --filters FILE, with replace-path"),
    ("--http-rewrite-header", "headers are rewritten in a chain file: --filters FILE, with replace-header"),
    ("--http-header-limiter", "GoReplay's --http-header-limiter is --sample 25% --sample-by header:NAME"),
    ("--http-param-limiter", "GoReplay's --http-param-limiter is --sample 25% --sample-by param:NAME"),
    ("--http-original-host", "GoReplay's --http-original-host is --keep-host"),
    ("--exit-after", "GoReplay's --exit-after is --duration"),
];

/// Adds what was probably meant of `command`, in place of the flag whose letters are most alike.
pub(crate) fn with_tip(mut error: Error, command: &OsStr) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return error };
    let name = typed.split('=').next().unwrap_or_default();
    let name = if name.starts_with("--") { name.to_owned() } else { format!("-{name}") };
    let Some((_, meant)) = MEANT.iter().find(|(flag, _)| *flag == name) else {
        return with_nearest(error, &name, command);
    };
    // The usage has the flag whose letters are most alike, too.
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::Usage);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(*meant)]));
    error
}

/// Adds the flag of the command that is two slips away, where clap found none; or the commands that have this flag.
fn with_nearest(mut error: Error, typed: &str, command: &OsStr) -> Error {
    let program = Cli::command();
    let has = |command: &&Command| command.get_arguments().any(|arg| arg.get_long() == typed.strip_prefix("--"));
    let of: Vec<&str> = program.get_subcommands().filter(has).map(Command::get_name).collect();
    let tip = |error: &mut Error, text: String| {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(text)]));
    };
    if !of.is_empty() {
        tip(&mut error, format!("{typed} is a flag of {}", of.join(", ")));
        return error;
    }
    if error.get(ContextKind::SuggestedArg).is_some() {
        return error;
    }
    let of_command = program.get_subcommands().filter(|one| OsStr::new(one.get_name()) == command);
    let flags = of_command.flat_map(Command::get_arguments).filter_map(Arg::get_long);
    let slips = |flag: &str| strsim::damerau_levenshtein(typed.trim_start_matches('-'), flag);
    // In a short name, fewer slips than it has letters.
    let most = 2.min(typed.len().saturating_sub(3));
    if let Some(flag) = flags.min_by_key(|flag| slips(flag)).filter(|flag| slips(flag) <= most) {
        error.remove(ContextKind::Suggested);
        error.insert(ContextKind::SuggestedArg, ContextValue::String(format!("--{flag}")));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn told(arguments: &[&str]) -> String {
        let error = Cli::try_parse_from(arguments).expect_err("a mistake");
        with_tip(error, OsStr::new(arguments[1])).render().to_string()
    }

    #[test]
    fn flags_of_others_are_told_in_our_words() {
        for (flag, tip) in [
            ("--target", "tip: the target is --to URL\n"),
            ("--output-http", "tip: GoReplay's --output-http is --to URL\n"),
            ("--http-allow-url=^/v2", "tip: GoReplay's --http-allow-url is --allow-path\n"),
        ] {
            let said = told(&["shadowtap", "replay", "x.pcap", flag, "x"]);
            assert!(said.contains(tip) && said.matches("tip:").count() == 1, "{said}");
        }
        let said = told(&["shadowtap", "replay", "x.pcap", "--sampel", "5%"]);
        assert!(said.contains("a similar argument exists: '--sample'"), "{said}");
    }

    #[test]
    fn a_short_flag_with_a_slip_is_told_too() {
        let said = told(&["shadowtap", "replay", "x.pcap", "--tp", "x"]);
        assert!(said.contains("a similar argument exists: '--to'") && !said.contains("as a value"), "{said}");
    }

    #[test]
    fn a_flag_of_other_commands_is_told_with_them() {
        let said = told(&["shadowtap", "replay", "x.pcap", "--json"]);
        assert!(said.contains("tip: --json is a flag of ") && said.contains("inspect"), "{said}");
        assert!(!told(&["shadowtap", "replay", "x.pcap", "--jsn"]).contains("json"));
        let said = told(&["shadowtap", "--to", "http://h"]);
        assert!(said.contains("tip: --to is a flag of shadow, replay"), "{said}");
    }

    #[test]
    fn what_is_told_is_there() {
        let mut all = Cli::command();
        all.build();
        let known: Vec<String> = all
            .get_subcommands()
            .flat_map(|command| command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)))
            .collect();
        for (flag, tip) in MEANT {
            let words = tip.split([' ', ';', ':', ',']).filter_map(|word| word.strip_prefix("--"));
            for word in words.filter(|word| !tip.contains(&format!("GoReplay's --{word}"))) {
                assert!(known.iter().any(|known| known == word), "{flag}: --{word}");
            }
        }
    }
}

//! GoReplay's command line, translated: flags of GoReplay 2.0.0 go in, a command line of shadowtap comes out.
//!
//! Nothing is run or written here. What GoReplay's filters need beyond flags is a chain file, as text. Where GoReplay's
//! meaning surprises, it is kept, and a note says so.

mod chain;
mod flags;
mod input;
mod output;
mod values;
mod words;

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::ConfigMistakes;
use chain::ChainLink;
use input::Input;
use output::HttpOutput;
use words::Words;

pub use flags::{FLAGS, Fate, GorFlag, Takes};

/// The command that reads a file and sends nothing.
const INSPECT: &str = "inspect";

/// Said of a value without which there is nothing to do.
const EMPTY: &str = "is empty: is a variable of the script not set?";

/// A command line of shadowtap, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The words behind `shadowtap`.
    pub command: Vec<String>,
    /// Chain files that it names, with their text.
    pub chains: Vec<(String, String)>,
    /// What surprises, for people.
    pub notes: Vec<String>,
    /// Whether the command is only to be printed.
    pub print: bool,
    /// Whether GoReplay would not end with the command: at the end of a file it goes on doing nothing.
    pub stays: bool,
    /// The time after which it ends all the same.
    pub exit_after: Option<Duration>,
}

/// Translates the words behind `gor`.
///
/// # Errors
///
/// Every mistake in them: flags that are refused, unknown, or have no counterpart together.
pub fn translate(words: &[String]) -> Result<Translation, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let mut notes = Vec::new();
    let words = Words::read(words, &mut mistakes);
    let input = input::input(&words, &mut mistakes, &mut notes);
    let targets = output::targets(&words, &mut mistakes, &mut notes);
    let recording = output::recording(&words, &mut mistakes, &mut notes);
    let exit_after =
        words.get("exit-after").and_then(|time| values::duration(time).ok()).filter(|time| !time.is_zero());
    let parts = input.and_then(|(input, taken)| {
        let sending = output::sending(&words, &targets, &mut mistakes);
        let command = command(&words, input, &targets, &recording, &sending, &mut mistakes)?;
        Some((command, taken))
    });
    let Some(((mut command, files, stays), taken)) = parts else { return Err(mistakes) };
    let chains = if command.first().is_some_and(|name| name == INSPECT) {
        notes.clear();
        notes.push("--input-file-dry-run counts all that is in the file: outputs and filters take no part".to_owned());
        Vec::new()
    } else {
        command.extend(taken);
        filters(&words, &targets, !recording.is_empty(), &mut command, &mut mistakes, &mut notes)
    };
    command.extend(files);
    if stays {
        notes.push("it goes on at the end of the file, as GoReplay does; the command alone ends there".to_owned());
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(Translation { command, chains, notes, print: words.print, stays, exit_after })
}

/// The command with its flags, the files that go behind them, and whether `GoReplay` goes on at their end.
type CommandParts = (Vec<String>, Vec<String>, bool);

fn command(
    words: &Words,
    input: Input,
    targets: &[HttpOutput],
    recording: &[String],
    sending: &[String],
    mistakes: &mut ConfigMistakes,
) -> Option<CommandParts> {
    let sends = !targets.is_empty();
    let (records, is_live) = (!recording.is_empty(), matches!(input, Input::Live(_)));
    if !is_live && records {
        let why = "a file is not recorded again: shadowtap inspect FILE lists what is in it, and shadowtap inspect FILE \
                   --json --full > x.jsonl makes a recording of what passes --allow-path and the like";
        mistakes.add(if words.has("output-file") { "--output-file" } else { "--output-stdout" }, why);
        return None;
    }
    if let (Input::Recordings(files), true) = (&input, words.is_on("input-file-dry-run")) {
        return Some((vec![INSPECT.to_owned(), "--stats".to_owned()], files.clone(), false));
    }
    if !sends && !records {
        let why = if words.is_on("output-null") && is_live {
            "alone sends and writes nothing: shadowtap record -p 80 -o x.gor --dry-run counts what passes"
        } else if words.is_on("output-null") {
            "alone sends nothing: shadowtap inspect FILE counts what passes"
        } else {
            "say where to send, such as --output-http http://staging:8080, or where to record: --output-file x.gor"
        };
        if words.has("output-http") || !mistakes.is_empty() {
            return None;
        }
        mistakes.add(if words.is_on("output-null") { "--output-null" } else { "" }, why);
        return None;
    }
    let name = match (&input, sends) {
        (Input::Live(_), true) => "shadow",
        (Input::Live(_), false) => "record",
        (_, _) => "replay",
    };
    let mut command = vec![name.to_owned()];
    let (mut files, mut stays) = (Vec::new(), false);
    match input {
        Input::Live(flags) => command.extend(flags),
        Input::Captures(all) => {
            let at = all.iter().position(|word| word == "-p").unwrap_or(all.len());
            let (names, ports) = all.split_at_checked(at).unwrap_or_default();
            command.extend(ports.iter().cloned().chain(["--speed", "max"].map(str::to_owned)));
            if let Some(time) = words.get("exit-after") {
                duration("exit-after", time, "--duration", &mut command, mistakes);
            }
            (files, stays) = (names.to_vec(), true);
        }
        Input::Recordings(names) => (files, stays) = (names, true),
    }
    command.extend(recording.iter().cloned());
    if sends {
        command.extend(sending.iter().cloned());
    }
    Some((command, files, stays && !words.is_on("input-file-loop")))
}

/// Adds targets and filters to a command; returns the chain files that they need.
fn filters(
    words: &Words,
    targets: &[HttpOutput],
    records: bool,
    command: &mut Vec<String>,
    mistakes: &mut ConfigMistakes,
    notes: &mut Vec<String>,
) -> Vec<(String, String)> {
    let middleware = words.get("middleware");
    // GoReplay asks the middleware first. What is only for a target runs behind it here, too.
    let behind = middleware.is_some() && !targets.is_empty();
    let (mut common, mut flags) = (Vec::new(), Vec::new());
    if chain::is_plain(words) && !behind {
        flags = chain::plain_flags(words, mistakes);
    } else {
        common = chain::links(words, mistakes, notes);
    }
    if let Some(middleware) = middleware {
        // GoReplay knows no quotes: what it splits at blanks is quoted where a shell would read more into it.
        let program = shell_words::join(middleware.split_whitespace());
        command.extend(["--middleware".to_owned(), program]);
        if (!common.is_empty() || !flags.is_empty()) && !behind {
            notes.push("the middleware sees what passes the filters; GoReplay asks it before them".to_owned());
        }
    }
    let split = splits(words, targets, records, mistakes);
    let apart = targets.len() > 1 || records || behind;
    let mut chains = Vec::new();
    let mut of_targets = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        let mut links: Vec<ChainLink> = if behind { common.clone() } else { Vec::new() };
        if split {
            links.push(("split-output", format!("round-robin = '{}/{}'", number + 1, targets.len())));
        }
        if apart {
            links.extend(output::limit_link(target.limit));
            links.extend(target.path.as_deref().map(output::one_path));
        } else {
            flags.extend(output::limit_flags(target.limit));
            common.extend(target.path.as_deref().map(output::one_path));
        }
        if links.is_empty() {
            command.extend(["--to".to_owned(), target.url.clone()]);
            continue;
        }
        let name = format!("out{}", number + 1);
        command.extend(["--to".to_owned(), format!("{name}={}", target.url)]);
        let file = file(&links, &mut chains);
        of_targets.extend(["--filters".to_owned(), format!("{name}={file}")]);
    }
    if !common.is_empty() && !behind {
        let file = file(&common, &mut chains);
        command.extend(["--filters".to_owned(), file]);
    }
    command.extend(of_targets);
    if let Some(name) = words.get("input-raw-realip-header") {
        flags.extend(["--set-header".to_owned(), format!("{name}: {{client.ip}}")]);
    }
    command.extend(flags);
    chains
}

/// Whether targets share the requests.
fn splits(words: &Words, targets: &[HttpOutput], records: bool, mistakes: &mut ConfigMistakes) -> bool {
    let split = words.is_on("split-output");
    if split && (targets.len() < 2 || records) {
        mistakes
            .add("--split-output", "requests are shared among several --output-http only, and not with a recording");
    }
    split
}

/// The name of the chain file of these links: the same links have the same one.
fn file(links: &[ChainLink], chains: &mut Vec<(String, String)>) -> String {
    let text = chain::text(links);
    let name = format!("gor-{:08x}.toml", xxh3_64(text.as_bytes()) >> 32);
    if !chains.iter().any(|(other, _)| *other == name) {
        chains.push((name.clone(), text));
    }
    name
}

/// The name of a file that does not look like a flag.
fn no_flag(name: String) -> String {
    if name.starts_with('-') { format!("./{name}") } else { name }
}

/// Adds a length of time as a flag, unless it is none.
fn duration(from: &str, typed: &str, flag: &str, flags: &mut Vec<String>, mistakes: &mut ConfigMistakes) {
    let time = mistakes.keep(&format!("--{from}"), values::duration(typed));
    let time = time.filter(|time| !time.is_zero()).map(|time| time.max(Duration::from_secs(1)));
    flags.extend(time.map(values::written).into_iter().flat_map(|time| [flag.to_owned(), time]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<Translation, ConfigMistakes> {
        translate(&shell_words::split(line).unwrap())
    }

    #[track_caller]
    fn check(line: &str, command: &str) -> Translation {
        let translation = translated(line).unwrap_or_else(|mistakes| panic!("{line}: {mistakes}"));
        let chains = translation.chains.iter().enumerate();
        let found = chains.fold(translation.command.join(" "), |found, (number, (name, _))| {
            found.replace(name, &format!("CHAIN{}", number + 1))
        });
        assert_eq!(found, command, "{line}");
        translation
    }

    #[test]
    fn a_line_becomes_one_command() {
        let live = "--no-promiscuous --direction in";
        let sent = "--allow-writes --timeout 5s --max-time 5s";
        check(
            "--input-raw :8080 --output-http 'https://app|5%'",
            &format!("shadow -p 8080 {live} {sent} --to https://app --sample 5%"),
        );
        check(
            "--input-raw :80 --output-file x.gor --output-file-append --exit-after 10m",
            &format!("record -p 80 {live} --duration 10m -o x.gor --append"),
        );
        check("-input-raw :80 -output-stdout", &format!("record -p 80 {live} -o -"));
        check(
            "--input-file 'x.gor|200%' --output-http http://h --http-original-host --http-allow-url ^/v2",
            &format!("replay {sent} --keep-host --speed 2x --to http://h --allow-path ^/v2 x.gor"),
        );
        check("--input-file x.gor --input-file-dry-run", "inspect --stats x.gor");
        let more = "--output-http http://h/x --http-allow-url ^/v2 --http-header-limiter 'X: 5%' --middleware cat";
        let dry = check(&format!("--input-file 'x.gor|200%' --input-file-dry-run {more}"), "inspect --stats x.gor");
        assert!(dry.chains.is_empty() && dry.notes.len() == 1, "{dry:?}");
        check(
            "--input-raw :80 --output-file -x.gor --output-file-append",
            &format!("record -p 80 {live} -o ./-x.gor --append"),
        );
        check(
            "--input-raw x.pcap:80 --output-http http://h",
            &format!("replay -p 80 --speed max {sent} --to http://h x.pcap"),
        );
        check(
            "--input-raw :80 --input-raw-realip-header X-Real-IP --output-http http://h",
            &format!("shadow -p 80 {live} {sent} --to http://h --set-header X-Real-IP: {{client.ip}}"),
        );
    }

    #[test]
    fn what_is_for_one_output_is_for_one_target() {
        let line =
            "--input-raw :80 --output-http 'http://a|10%' --output-http http://b/x --http-header-limiter 'X: 5%'";
        let both = check(
            line,
            "shadow -p 80 --no-promiscuous --direction in --allow-writes --timeout 5s --max-time 5s \
            --to out1=http://a --to out2=http://b --filters CHAIN3 --filters out1=CHAIN1 --filters out2=CHAIN2",
        );
        assert!(both.chains[0].1.contains("sample = '10%'") && both.chains[1].1.contains("with = '/x'"));
        assert!(both.notes[0].contains("every request goes to /x of http://b"));
        let split = check(
            "--input-file x.gor --output-http http://a --output-http http://b --split-output",
            "replay --allow-writes --timeout 5s --max-time 5s --to out1=http://a --to out2=http://b --filters out1=CHAIN1 \
             --filters out2=CHAIN2 x.gor",
        );
        assert!(split.chains[0].1.contains("round-robin = '1/2'") && split.chains[1].1.contains("round-robin = '2/2'"));
    }

    #[test]
    fn the_middleware_is_asked_before_the_filters() {
        let line = "--input-file x.gor --middleware './my.py --a b' --http-allow-url ^/v2 --output-http http://a";
        let found = check(
            line,
            "replay --allow-writes --timeout 5s --max-time 5s --middleware ./my.py --a b --to out1=http://a \
            --filters out1=CHAIN1 x.gor",
        );
        assert!(found.chains[0].1.contains("only = { path = '^/v2' }"), "{found:?}");
    }

    #[test]
    fn a_file_goes_on_at_its_end_unless_it_begins_anew() {
        let replay = |more: &str| translated(&format!("--input-file x.gor --output-http http://h {more}")).unwrap();
        assert!(replay("").stays && replay("").notes[0].contains("goes on at the end of the file"));
        assert!(!replay("--input-file-loop").stays);
        assert_eq!(replay("--exit-after 90s").exit_after, Some(Duration::from_secs(90)));
    }

    #[test]
    fn every_mistake_is_told_at_once_and_nothing_is_left_out() {
        let told =
            translated("--input-file x.gor --output-file y.gor --prettify-http --output-kafka-host h").unwrap_err();
        assert_eq!(told.all().len(), 3, "{told}");
        for (line, part) in [
            ("--input-raw :80", "say where to send"),
            ("--input-raw :80 --output-http ''", "--output-http: is empty"),
            ("--input-raw :80 --output-http '|10%'", "--output-http: is empty"),
            ("--input-raw :80 --output-file ''", "--output-file: is empty"),
            ("--input-raw :80 --output-null", "record -p 80"),
            ("--input-raw :80 --output-http http://a --split-output", "several --output-http"),
        ] {
            assert!(translated(line).unwrap_err().to_string().contains(part), "{line}");
        }
    }

    #[test]
    fn each_flag_that_is_done_or_needless_is_accepted_alone() {
        for flag in FLAGS.iter().filter(|flag| !matches!(flag.fate, Fate::Refused(_))) {
            let value = match (flag.takes, flag.name) {
                (Takes::Switch, _) => "",
                (_, "input-raw-engine") => "libpcap",
                (_, "input-raw-protocol") => "http",
                (_, "input-raw-ignore-interface") => "none9",
                (_, name) if name.contains("limiter") => "'X: 5%'",
                (_, "http-rewrite-header") => "'X: a,b'",
                (_, "input-raw-vxlan-port") => "4789 --input-raw-engine vxlan",
                (_, "output-http") => "http://b",
                (_, name) if name.contains("header") => "'X: a'",
                (_, "http-rewrite-url" | "input-raw") => ":80",
                (_, name) if name.contains("time") || name.contains("wait") || name.ends_with("after") => "5s",
                (_, "http-set-param") => "a=b",
                (_, name) if name.contains("size") || name.contains("limit") => "5",
                _ => "1",
            };
            let (input, output) = match flag.name {
                "output-file" | "output-stdout" => ("--input-raw :80", ""),
                name if name.starts_with("output-file") => ("--input-raw :80", "--output-file x.gor"),
                "split-output" => ("--input-raw :80", "--output-http http://a --output-http http://b"),
                name if name.starts_with("input-raw") => ("--input-raw :80", "--output-http http://a"),
                _ => ("--input-file x.gor", "--output-http http://a"),
            };
            let line = format!("{input} {output} --{} {value}", flag.name);
            assert!(translated(&line).is_ok(), "{line}: {}", translated(&line).unwrap_err());
        }
    }
}

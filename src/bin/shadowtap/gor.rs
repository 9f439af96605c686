//! `shadowtap gor`, and shadowtap under the name `gor`: GoReplay's command line is translated, printed, and run.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use shadowtap::capture::Halt;
use shadowtap::config::gor::{self, Translation};
use shadowtap::files::{self, FileMode};
use shadowtap::sanitize;
use tokio::time::Instant;

use crate::args::{Command, GorCommand};
use crate::output::{print, print_line};
use crate::signals::{self, HangUp, Stop};
use crate::usage::{self, UsageError};

/// Name of GoReplay's program, and of the command here.
const NAME: &str = "gor";

/// A translated run: its command, and how long GoReplay would stay.
pub(crate) struct GorRun {
    command: Command,
    stay: Option<Stay>,
}

/// GoReplay goes on where its input has ended.
pub(crate) struct Stay {
    until: Option<Instant>,
}

/// Returns the words of the command line as clap is to see them: under the name `gor` the program is its command `gor`.
pub(crate) fn words(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    let is_gor = words.first().is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == NAME));
    if is_gor {
        words.splice(..1, ["shadowtap", NAME].map(OsString::from));
    }
    words
}

/// Translates and prints. Returns the run, unless the command was only to be printed.
pub(crate) fn translate(args: &GorCommand) -> anyhow::Result<Option<GorRun>> {
    let words: Result<Vec<String>, OsString> = args.words.iter().cloned().map(OsString::into_string).collect();
    let words = match words {
        Ok(words) => words,
        Err(word) => bail!("{} is not UTF-8", word.display()),
    };
    let translation = gor::translate(&words)?;
    if translation.print {
        print(&script(&translation))?;
        return Ok(None);
    }
    for (name, text) in &translation.chains {
        write_chain(name, text)?;
    }
    print_line(&format!("gor: {}", command_line(&translation)));
    for note in &translation.notes {
        print_line(&format!("gor: note: {}", sanitize::line(note)));
    }
    let arguments = ["shadowtap".to_owned()].into_iter().chain(translation.command.iter().cloned());
    let command = match usage::parse(arguments.map(OsString::from)) {
        Ok(cli) => cli.command,
        Err(UsageError::Words(error)) => {
            let text = error.render().to_string();
            bail!(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned())
        }
        Err(UsageError::File(error)) => return Err(error),
    };
    let until = translation.exit_after.and_then(|time| Instant::now().checked_add(time));
    Ok(Some(GorRun { command, stay: translation.stays.then_some(Stay { until }) }))
}

/// Stays as GoReplay does, where the run has ended by itself.
pub(crate) fn stay(stay: Option<Stay>, ended: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let (Some(stay), Ok(code)) = (stay, &ended) else { return ended };
    let left = stay.until.map(|until| until.saturating_duration_since(Instant::now()));
    if signals::received() > 0 || left == Some(Duration::ZERO) {
        return ended;
    }
    let code = *code;
    print_line("gor: the input has ended, and GoReplay would stay. Ctrl-C ends this; so does --exit-after");
    let stop = Stop::listen(&Halt::default(), HangUp::of_replay(), None)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        match left {
            Some(left) => drop(tokio::time::timeout(left, stop.wait()).await),
            None => stop.wait().await,
        }
    });
    Ok(code)
}

impl GorRun {
    /// Takes the run apart.
    pub(crate) fn into_parts(self) -> (Command, Option<Stay>) {
        (self.command, self.stay)
    }
}

/// The translation as lines of a shell script.
fn script(translation: &Translation) -> String {
    // A line end in a note would end the comment.
    let notes = translation.notes.iter().map(|note| format!("# {}\n", sanitize::line(note)));
    let chains = translation.chains.iter().map(|(name, text)| format!("cat > {name} <<'END'\n{text}END\n"));
    notes.chain(chains).collect::<String>() + &command_line(translation) + "\n"
}

fn command_line(translation: &Translation) -> String {
    let words = ["shadowtap"].into_iter().chain(translation.command.iter().map(String::as_str));
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// A word for sh. What a terminal obeys is written as the number that it has, so that what is copied is what was meant.
fn quoted(word: &str) -> String {
    let is_odd = |c: char| sanitize::text(c.encode_utf8(&mut [0; 4]), false).contains('\u{fffd}');
    if word.is_empty() || !word.contains(is_odd) {
        let plain = shell_words::quote(word);
        // In zsh a name behind `=` is a program's, one behind `~` in every shell a user's.
        let is_bare = plain == word && word.starts_with(['=', '~', '#']);
        return if is_bare { format!("'{word}'") } else { plain.into_owned() };
    }
    let mut all = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(is_odd) {
        let (before, from) = rest.split_at_checked(at).unwrap_or_default();
        let end = from.find(|c: char| !is_odd(c)).unwrap_or(from.len());
        let (odd, behind) = from.split_at_checked(end).unwrap_or_default();
        if !before.is_empty() {
            all.push_str(&shell_words::quote(before));
        }
        all.push_str("\"$(printf '");
        for byte in odd.bytes() {
            write!(all, "\\{byte:03o}").ok();
        }
        all.push_str("')\"");
        rest = behind;
    }
    if rest.is_empty() { all } else { all + &shell_words::quote(rest) }
}

/// Writes a chain file into this folder, unless it is there.
fn write_chain(name: &str, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(name).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if Path::new(name).symlink_metadata().is_ok() {
        bail!("{name} is another file than `shadowtap gor` makes: move it away");
    }
    let mode: FileMode = "0644".parse()?;
    let write = || -> std::io::Result<()> {
        std::io::Write::write_all(&mut files::overwrite(Path::new(name), mode)?, text.as_bytes())
    };
    write().with_context(|| {
        format!("cannot write the filters to {name}: run it in a folder that you may write to, or make it with `shadowtap gor --print`")
    })?;
    print_line(&format!("gor: filters are in {name}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command as Program;

    use super::*;

    #[test]
    fn a_shell_reads_what_was_quoted() {
        let words = [
            "",
            "a b",
            "it's",
            "\"$HOME`id`\\",
            "\u{1b}[31mred\r",
            "\u{202e}/rtl\u{85}",
            "two\nlines\u{7}",
            "=ls",
            "~x",
            "#x",
            "%1$s\u{1}9",
            "*?[x]{a,b}!",
            "\u{fffd}",
        ];
        let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let line = format!("printf '%s\\0' {}", line.join(" "));
        assert_eq!(sanitize::text(&line, false), line, "a terminal shows it as it is");
        for shell in ["sh", "bash", "dash", "zsh"] {
            let Ok(output) = Program::new(shell).args(["-c", &line]).output() else { continue };
            let read = String::from_utf8(output.stdout).unwrap();
            assert_eq!(read.split_terminator('\0').collect::<Vec<_>>(), words, "{shell}: {line}");
        }
    }

    #[test]
    fn a_note_stays_in_its_comment() {
        let words = ["--input-file", "x.gor", "--output-http", "http://h/a\ntouch PWNED\n#"].map(str::to_owned);
        let script = script(&gor::translate(&words).unwrap());
        assert!(script.contains("touch PWNED"), "{script}");
        assert!(!script.lines().any(|line| line.starts_with("touch")), "{script}");
    }
}

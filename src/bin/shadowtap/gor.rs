//! `shadowtap gor`, and shadowtap under the name `gor`: GoReplay's command line is translated, printed, and run.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use shadowtap::capture::Halt;
use shadowtap::config::gor::{self, Translation};
use shadowtap::files::{self, FileMode};
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
        words.insert(1, NAME.into());
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
        print_line(&format!("gor: note: {note}"));
    }
    let arguments = ["shadowtap".to_owned()].into_iter().chain(translation.command.iter().cloned());
    let command = match usage::parse(arguments.map(OsString::from)) {
        Ok(cli) => cli.command,
        Err(UsageError::Words(error)) => bail!(error.render().to_string()),
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
    let stop = Stop::listen(&Halt::default(), HangUp::of_replay())?;
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
    let notes = translation.notes.iter().map(|note| format!("# {note}\n"));
    let chains = translation.chains.iter().map(|(name, text)| format!("cat > {name} <<'END'\n{text}END\n"));
    notes.chain(chains).collect::<String>() + &command_line(translation) + "\n"
}

fn command_line(translation: &Translation) -> String {
    let words = ["shadowtap"].into_iter().chain(translation.command.iter().map(String::as_str));
    shell_words::join(words)
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

//! `shadowtap completions` and `shadowtap man`: made of the command line itself, so that they say what it takes.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use shadowtap::files::{self, FileMode};

use crate::args::{Cli, CompletionsCommand, ManCommand};
use crate::output::print;

/// Everybody may read a manual.
const MODE: &str = "0644";

/// Prints what a shell completes with.
pub(crate) fn completions(args: &CompletionsCommand) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shadowtap", &mut text);
    print(&String::from_utf8_lossy(&text)).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and one for each command.
pub(crate) fn man(args: &ManCommand) -> anyhow::Result<ExitCode> {
    let mode: FileMode = MODE.parse()?;
    let folder = files::make_folder(&args.directory, mode);
    folder.with_context(|| format!("cannot make {}", args.directory.display()))?;
    let mut program = Cli::command();
    program.build();
    page(&program, "shadowtap", &args.directory, mode)?;
    Ok(ExitCode::SUCCESS)
}

fn page(command: &Command, name: &str, folder: &Path, mode: FileMode) -> anyhow::Result<()> {
    let path = folder.join(format!("{name}.1"));
    let mut text = Vec::new();
    Man::new(command.clone()).title(name).render(&mut text)?;
    let written = files::overwrite(&path, mode).and_then(|mut file| file.write_all(&text));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    command.get_subcommands().try_for_each(|one| page(one, &format!("{name}-{}", one.get_name()), folder, mode))
}

//! `shadowtap filters check`: chain files are read, and the test cases run that they carry. Nothing is sent.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use shadowtap::middleware::ChainFile;
use shadowtap::middleware::file::Environment;

use crate::TROUBLE;
use crate::args::{FiltersCheck, FiltersCommand, FiltersSubcommand};
use crate::output::print;

/// Runs the command.
pub(crate) fn run(args: &FiltersCommand) -> anyhow::Result<ExitCode> {
    let FiltersSubcommand::Check(args) = &args.command;
    check(args)
}

fn check(args: &FiltersCheck) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let mut all_well = true;
    for path in &args.files {
        let (told, is_well) = verdict(path);
        text.push_str(&told);
        all_well &= is_well;
    }
    print(&text).context("cannot write to standard output")?;
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::from(TROUBLE) })
}

/// Returns the messages about one file, and whether it passes all checks.
fn verdict(path: &Path) -> (String, bool) {
    let mut told = String::new();
    let shown = path.display();
    let environment = Environment { needs_seeds: true, ..Environment::for_checks() };
    let file = match ChainFile::read(path, &environment) {
        Ok(file) => file,
        Err(mistakes) => {
            for mistake in &mistakes {
                line(&mut told, format_args!("{mistake}"));
            }
            line(&mut told, format_args!("{shown}: {}", many(mistakes.len(), "mistake")));
            return (told, false);
        }
    };
    let failures = file.run_cases();
    for failure in &failures {
        line(&mut told, format_args!("{}:{}: FAILED {}: {}", shown, failure.at.line, failure.name, failure.at.message));
    }
    let (links, cases) = (many(file.links.len(), "link"), file.cases.len());
    match (cases, failures.len()) {
        (0, _) => line(&mut told, format_args!("{shown}: {links}, no tests")),
        (_, 0) => line(&mut told, format_args!("{shown}: {links}, {} passed", many(cases, "test"))),
        (_, failed) => line(&mut told, format_args!("{shown}: {links}, {failed} of {} FAILED", many(cases, "test"))),
    }
    (told, failures.is_empty())
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(text, "{arguments}").ok();
}

fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, told: &str, is_well: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        let place = format!("{}", path.display());
        assert_eq!(verdict(&path), (told.replace('@', &place), is_well));
    }

    const LINK: &str = "[[link]]\nname = \"n\"\ndrop = { path = \"^/a\" }\n";

    #[test]
    fn a_file_whose_cases_pass_is_said_in_one_line() {
        let case = "[[test]]\nrequest = \"GET /a\"\noutcome = \"filtered: n\"\n";
        check(&format!("{LINK}{case}"), "@: 1 link, 1 test passed\n", true);
        check(LINK, "@: 1 link, no tests\n", true);
    }

    #[test]
    fn pairs_have_to_be_there_where_secrets_need_not() {
        let text = "[[link]]\ncarry = \"a\"\nfrom = { set-cookie = \"a\" }\nseed = \"none.csv\"\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        let (told, is_well) = verdict(&path);
        assert!(told.contains(":4:8: cannot read ") && told.contains("No such file") && !is_well, "{told}");
    }

    #[test]
    fn a_case_that_fails_is_told_with_its_line() {
        let case = "[[test]]\nname = \"a passes\"\nrequest = \"GET /a\"\n";
        let told = "@:4: FAILED a passes: expected \"passes\", found \"filtered: n\"\n@: 1 link, 1 of 1 test FAILED\n";
        check(&format!("{LINK}{case}"), told, false);
    }

    #[test]
    fn mistakes_are_told_as_compilers_do() {
        let told = "@:2:1: `dorp` means nothing in a link; did you mean `drop`?\n@: 1 mistake\n";
        check("[[link]]\ndorp = 1\n", told, false);
    }
}

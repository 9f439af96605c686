//! Trials that need what is not on every machine: where that is not there they are ignored, and their names say what
//! they lack.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::env;
use std::path::PathBuf;

use libtest_mimic::Trial;

/// A trial that lacks this; nothing where it can run.
pub(crate) fn trial(name: &str, lacks: &[&str], run: fn()) -> Trial {
    let name = match lacks {
        [] => name.to_owned(),
        lacks => format!("{name} (skipped: lacks {})", lacks.join(", ")),
    };
    let run = move || {
        run();
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(!lacks.is_empty())
}

/// Those of these programs that are not installed.
pub(crate) fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().copied().filter(|program| !is_installed(program)).collect()
}

/// Daemons live where only root's PATH looks.
fn is_installed(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&paths).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

//! An external command that checks whether the targets bear their load. It runs again and again, and its exit code goes
//! to every guard: 0 lets traffic continue; anything else throttles, as does a command that hangs or cannot be run.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::children::{self, OwnChild};
use super::stderr::log_lines;
use crate::middleware::external::CommandLine;

/// Default interval between two runs of the command.
pub(crate) const DEFAULT_EVERY: Duration = Duration::from_secs(10);
/// Longest time for one run of the command. Past it the command is killed, which counts as a failure.
const LIMIT: Duration = Duration::from_secs(10);

/// A command, and how often it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardCommand {
    /// Command to run.
    pub command: CommandLine,
    /// From one beginning to the next, at least.
    pub every: Duration,
}

/// Starts it.
pub(super) fn start(command: &CommandLine) -> io::Result<OwnChild> {
    let mut process = Command::new(&command.program);
    process.args(&command.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    children::start(&mut process)
}

/// Waits for a run of it to end; returns why to brake, or nothing.
pub(super) async fn word_of(mut child: OwnChild) -> Option<String> {
    let complaints = child.stderr.take().map(|stderr| tokio::spawn(log_lines(stderr, "the guard command")));
    let ended = timeout(LIMIT, child.wait()).await;
    // It is dropped here, and killed if it still runs: what it was about to say goes with it.
    drop(child);
    if let Some(complaints) = complaints {
        timeout(Duration::from_millis(250), complaints).await.ok();
    }
    match ended {
        Ok(Ok(status)) if status.success() => None,
        Ok(Ok(status)) => Some(format!("the guard command says no ({})", format_status(status))),
        Ok(Err(error)) => Some(format!("the guard command cannot be waited for: {error}")),
        Err(_) => Some(format!("the guard command took longer than {} s", LIMIT.as_secs())),
    }
}

fn format_status(status: ExitStatus) -> String {
    status.code().map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(script: &str) -> Option<String> {
        let command = CommandLine { program: "sh".to_owned(), arguments: vec!["-c".to_owned(), script.to_owned()] };
        word_of(start(&command).unwrap()).await
    }

    #[tokio::test]
    async fn only_exit_code_0_lets_go_on() {
        assert_eq!(said("exit 0").await, None);
        assert_eq!(said("echo 25000 >&2; exit 3").await.unwrap(), "the guard command says no (exit code 3)");
        assert_eq!(said("kill -9 $$").await.unwrap(), "the guard command says no (killed by a signal)");
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_cannot_be_started() {
        let command = "/nonexistent/check".parse().unwrap();
        assert_eq!(start(&command).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

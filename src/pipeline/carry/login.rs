//! Programs that give a new value for an old one (`login`): once a value, few at a time, with pauses after failures.
//!
//! The old value goes to the program's standard input, as a line; the first line of its output is the new one.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::entry::ValueKey;
use super::values::CarriedValues;
use crate::middleware::carry::{MAX_VALUE, coding};
use crate::middleware::external::CommandLine;
use crate::middleware::redact::MASK;
use crate::pipeline::children;

/// Programs that run at once.
const AT_ONCE: usize = 4;
/// Values whose program runs or is to run; one past it stays unknown.
const MAX_OUTSTANDING: usize = 1024;
/// Longest time for one program; past it it is killed, which is a failure.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the output of a program that has ended is read on, where something else holds its pipes.
const LINGER: Duration = Duration::from_millis(100);
/// Bytes of what a failed program says on its standard error that are looked at.
const COMPLAINT_BYTES: usize = 4096;
/// Failures that are logged; further ones are counted only.
const LOGGED: usize = 5;

/// Runs the programs of a run.
#[derive(Debug)]
pub(super) struct Logins {
    runtime: Handle,
    outstanding: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    logged: Arc<AtomicUsize>,
}

/// A value that a program is to be asked about.
pub(super) struct LoginRequest {
    pub(super) rule: String,
    pub(super) command: CommandLine,
    /// Where the new value is for.
    pub(super) target: String,
    pub(super) key: ValueKey,
    /// The value as it was found.
    pub(super) value: Bytes,
}

/// Room among the programs that are asked for.
pub(super) type LoginRoom = OwnedSemaphorePermit;

impl Logins {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            outstanding: Arc::new(Semaphore::new(MAX_OUTSTANDING)),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            logged: Arc::default(),
        }
    }

    /// Room for one more program, where there is any.
    pub(super) fn room(&self) -> Option<LoginRoom> {
        Arc::clone(&self.outstanding).try_acquire_owned().ok()
    }

    /// Has a program asked; `values` are told, not before this returns.
    pub(super) fn ask(&self, request: LoginRequest, outstanding: LoginRoom, values: &Arc<Mutex<CarriedValues>>) {
        let (values, at_once, logged) = (Arc::clone(values), Arc::clone(&self.at_once), Arc::clone(&self.logged));
        self.runtime.spawn(async move {
            let place = at_once.acquire_owned().await;
            let given = timeout(LIMIT, run(&request)).await.unwrap_or_else(|_| Err(took_too_long()));
            drop((place, outstanding));
            if let Err(why) = &given
                && logged.fetch_add(1, Ordering::Relaxed) < LOGGED
            {
                tracing::warn!("login `{}` for {} failed: {why}", request.rule, request.target);
            }
            super::lock(&values).logged_in(&request.key, given.ok(), coding::is_coded(&request.value));
        });
    }
}

fn took_too_long() -> String {
    format!("it took longer than {} s", LIMIT.as_secs())
}

/// The new value, or why there is none.
async fn run(request: &LoginRequest) -> Result<Bytes, String> {
    let LoginRequest { rule, command, target, value, .. } = request;
    let mut process = Command::new(&command.program);
    process.args(&command.arguments).env("SHADOWTAP_RULE", rule).env("SHADOWTAP_TARGET", target);
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = children::start(&mut process);
    let mut child = start.map_err(|error| format!("cannot start `{}`: {error}", command.program))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ask = async {
        if let Some(mut stdin) = stdin {
            // Who does not read it may know the value otherwise.
            drop(stdin.write_all(&[value, &b"\n"[..]].concat()).await);
        }
    };
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let hear = async {
        if let Some(stdout) = stdout {
            drop(stdout.take(2 * MAX_VALUE as u64).read_to_end(&mut said).await);
        }
    };
    let complain = async {
        if let Some(mut stderr) = stderr {
            drop((&mut stderr).take(COMPLAINT_BYTES as u64).read_to_end(&mut complaint).await);
            // What is left goes nowhere; a full pipe would hold it up.
            drop(tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await);
        }
    };
    let group = ProcessGroup(child.id());
    let pipes = async { tokio::join!(ask, hear, complain) };
    let status = ended(&mut child, pipes).await.map_err(|error| format!("it cannot be waited for: {error}"))?;
    group.leave();
    if !status.success() {
        let code = status.code().map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit code {code}"));
        return Err(code + &first_line(&complaint, value));
    }
    let line = said.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    match line.len() {
        0 => Err("it printed no value".to_owned()),
        len if len > MAX_VALUE => Err(format!("it printed a line of more than {MAX_VALUE} bytes")),
        _ => Ok(Bytes::copy_from_slice(line)),
    }
}

/// How a program ended; its `pipes` may be held for longer by what it has left behind.
async fn ended(child: &mut Child, pipes: impl Future) -> io::Result<ExitStatus> {
    let mut pipes = pin!(pipes);
    let status = tokio::select! {
        status = child.wait() => Some(status),
        _ = &mut pipes => None,
    };
    match status {
        Some(status) => {
            // What it has said is there already.
            drop(timeout(LINGER, pipes).await);
            status
        }
        None => child.wait().await,
    }
}

/// A program that has not ended, and what it has started: both are killed when this is dropped.
struct ProcessGroup(Option<u32>);

impl ProcessGroup {
    /// The program has ended by itself: what it leaves behind is meant to stay.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            kill_process_group(id, Signal::KILL).ok();
        }
    }
}

/// What a program says first on its standard error, without the value.
fn first_line(complaint: &[u8], value: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint).replace(&*String::from_utf8_lossy(value), MASK);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.map(|line| format!(": {line}")).unwrap_or_default()
}

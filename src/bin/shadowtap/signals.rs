//! Signals. The first SIGINT or SIGTERM ends a run in order, the second ends it at once, where it comes half
//! a second later.
//!
//! SIGHUP makes a live run read or begin files anew; a replay ends in order, unless it was started with SIGHUP ignored
//! (`nohup`). SIGXFSZ, for a file that reached the system's limit (`ulimit -f`), ends no run: the write fails with an
//! error.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use shadowtap::capture::Halt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Exit code after a second signal, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;

/// Time within which a further signal is the first one once more: `timeout` and terminals tell a process and its group.
const TWICE: Duration = Duration::from_millis(500);

/// Signals so far that asked a run to end.
static RECEIVED: AtomicU32 = AtomicU32::new(0);

/// Returns the number of signals that asked this process to end, of those that it listens for.
pub(crate) fn received() -> u32 {
    RECEIVED.load(Ordering::Relaxed)
}

/// Effect of SIGUSR1 on a dashcam.
pub(crate) type Save = Box<dyn FnMut() + Send>;

/// Effect of SIGHUP.
pub(crate) enum HangUp {
    /// It calls this.
    Call(Box<dyn FnMut() + Send>),
    /// It ends the run as SIGTERM does.
    End,
    /// The system's default: ends the process, or does nothing where the signal is ignored.
    Default,
}

impl HangUp {
    /// Returns what it does to a replay: ends it, unless whoever started this process had SIGHUP ignored, as `nohup` does.
    /// To be asked before this process limits itself to its own files.
    pub(crate) fn of_replay() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if ignores_hang_up(&status) { Self::Default } else { Self::End }
    }
}

/// Returns whether a process ignores SIGHUP, the first of signals, by its status in `/proc`.
fn ignores_hang_up(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// Has a write that a limit on file sizes forbids fail, as it does on a full disk, rather than end this process. For once,
/// before the first file is written.
pub(crate) fn survive_file_limits() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    // Whoever listens need not stay: from the first listener on, the signal ends nothing any more.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    Ok(())
}

/// What to say where a run could not be ended in order.
const DEAF: &str = "cannot listen for signals (is a limit in force? ulimit -n, ulimit -u)";

/// Shutdown requests from signals.
pub(crate) struct Stop {
    asked: Halt,
    told: oneshot::Receiver<()>,
}

impl Stop {
    /// Listens from now on, on a thread of its own: signals have to be heard whatever the run is waiting for. The first
    /// one sets `asked`.
    pub(crate) fn listen(asked: &Halt, hang_up: HangUp, save: Option<Save>) -> anyhow::Result<Self> {
        let asked = asked.clone();
        let (tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context(DEAF)?;
        let signals = {
            let _context = runtime.enter();
            Signals::new(hang_up, save).context(DEAF)?
        };
        let flag = asked.clone();
        let listener = std::thread::Builder::new().name("signals".to_owned());
        listener.spawn(move || runtime.block_on(signals.heed(&flag, tell))).context(DEAF)?;
        Ok(Self { asked, told })
    }

    /// Returns whether the run was asked to end. To be polled now and then.
    pub(crate) fn asked(&self) -> bool {
        self.asked.is_set()
    }

    /// Ready when the run is asked to end.
    pub(crate) async fn wait(self) {
        if self.told.await.is_err() {
            // The listener is gone, so nobody will ever ask.
            std::future::pending::<()>().await;
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hup: Option<(Signal, HangUp)>,
    save: Option<(Signal, Save)>,
}

impl Signals {
    fn new(hang_up: HangUp, save: Option<Save>) -> io::Result<Self> {
        let hup = match hang_up {
            HangUp::Default => None,
            hang_up => Some((signal(SignalKind::hangup())?, hang_up)),
        };
        let save = save.map(|save| Ok::<_, io::Error>((signal(SignalKind::user_defined1())?, save))).transpose()?;
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hup, save })
    }

    async fn heed(mut self, asked: &Halt, tell: oneshot::Sender<()>) {
        self.next().await;
        RECEIVED.fetch_add(1, Ordering::Relaxed);
        asked.set();
        // A run that does not wait looks at the flag.
        tell.send(()).ok();
        let first = Instant::now();
        loop {
            self.next().await;
            if first.elapsed() >= TWICE {
                std::process::exit(INTERRUPTED);
            }
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hung_up(&mut self.hup) => {}
            () = saved(&mut self.save) => {}
        }
    }
}

/// Returns when SIGHUP ends the run; for ever pending where it does not, calling what it calls.
async fn hung_up(hup: &mut Option<(Signal, HangUp)>) {
    if let Some((signal, hang_up)) = hup {
        while signal.recv().await.is_some() {
            match hang_up {
                HangUp::Call(call) => call(),
                HangUp::End | HangUp::Default => return,
            }
        }
    }
    std::future::pending::<()>().await;
}

/// For ever pending: calls what SIGUSR1 calls.
async fn saved(save: &mut Option<(Signal, Save)>) {
    if let Some((signal, save)) = save {
        while signal.recv().await.is_some() {
            save();
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_seen_in_the_mask_of_ignored_signals() {
        assert!(ignores_hang_up("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignores_hang_up("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hang_up(""));
    }
}

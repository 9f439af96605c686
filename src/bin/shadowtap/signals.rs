//! SIGINT and SIGTERM: the first ends a run in order, the second ends it at once. SIGHUP asks for new output files.

use std::io;

use anyhow::Context;
use shadowtap::capture::Halt;
use shadowtap::pipeline::Reopen;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Exit code after a second signal, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;

/// What becomes known of signals.
pub(crate) struct Stop {
    asked: Halt,
    told: oneshot::Receiver<()>,
}

impl Stop {
    /// Listens from now on, on a thread of its own: signals have to be heard whatever the run is waiting for. The first
    /// one sets `asked`. Where there is a `reopen`, SIGHUP asks it; else SIGHUP ends the process as it always does.
    pub(crate) fn listen(asked: &Halt, reopen: Option<&Reopen>) -> anyhow::Result<Self> {
        let asked = asked.clone();
        let (tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context("cannot listen for signals")?;
        let signals = {
            let _context = runtime.enter();
            Signals::new(reopen.cloned()).context("cannot listen for signals")?
        };
        let flag = asked.clone();
        let listener = std::thread::Builder::new().name("signals".to_owned());
        listener.spawn(move || runtime.block_on(signals.heed(&flag, tell))).context("cannot listen for signals")?;
        Ok(Self { asked, told })
    }

    /// Whether the run was asked to end: to be looked at now and then.
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
    hang_up: Option<(Signal, Reopen)>,
}

impl Signals {
    fn new(reopen: Option<Reopen>) -> io::Result<Self> {
        let listen = |reopen| signal(SignalKind::hangup()).map(|hang_up| (hang_up, reopen));
        let hang_up = reopen.map(listen).transpose()?;
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hang_up })
    }

    async fn heed(mut self, asked: &Halt, tell: oneshot::Sender<()>) {
        self.next().await;
        asked.set();
        // A run that does not wait looks at the flag.
        tell.send(()).ok();
        self.next().await;
        std::process::exit(INTERRUPTED);
    }

    async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                () = hung_up(&mut self.hang_up) => {}
            }
        }
    }
}

/// Asks for new files when the signal comes; for ever pending where nobody listens for it.
async fn hung_up(hang_up: &mut Option<(Signal, Reopen)>) {
    match hang_up {
        Some((signal, reopen)) => match signal.recv().await {
            Some(()) => reopen.ask(),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

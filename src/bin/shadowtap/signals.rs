//! SIGINT and SIGTERM: the first ends a run in order, the second ends it at once.

use std::io;

use anyhow::Context;
use shadowtap::capture::Halt;
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
    /// one sets `asked`.
    pub(crate) fn listen(asked: &Halt) -> anyhow::Result<Self> {
        let asked = asked.clone();
        let (tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context("cannot listen for signals")?;
        let signals = {
            let _context = runtime.enter();
            Signals::new().context("cannot listen for signals")?
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
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
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
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

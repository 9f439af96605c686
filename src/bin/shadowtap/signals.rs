//! SIGINT and SIGTERM: the first ends a run in order, the second ends it at once. SIGHUP: files are read or begun anew.
//! SIGXFSZ: a file that grew to the limit of the system (`ulimit -f`) ends no run; who writes to it is told.

use std::io;

use anyhow::Context;
use shadowtap::capture::Halt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Exit code after a second signal, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;

/// What SIGHUP calls.
pub(crate) type HungUp = Box<dyn FnMut() + Send>;

/// Has a write that a limit on file sizes forbids fail, as it does on a full disk, rather than end this process. For once,
/// before the first file is written.
pub(crate) fn survive_file_limits() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    // Whoever listens need not stay: from the first listener on, the signal ends nothing any more.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    Ok(())
}

/// What becomes known of signals.
pub(crate) struct Stop {
    asked: Halt,
    told: oneshot::Receiver<()>,
}

impl Stop {
    /// Listens from now on, on a thread of its own: signals have to be heard whatever the run is waiting for. The first
    /// one sets `asked`. Where there is a `hung_up`, SIGHUP calls it; else SIGHUP ends the process as it always does.
    pub(crate) fn listen(asked: &Halt, hung_up: Option<HungUp>) -> anyhow::Result<Self> {
        let asked = asked.clone();
        let (tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context("cannot listen for signals")?;
        let signals = {
            let _context = runtime.enter();
            Signals::new(hung_up).context("cannot listen for signals")?
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
    hup: Option<(Signal, HungUp)>,
}

impl Signals {
    fn new(hung_up: Option<HungUp>) -> io::Result<Self> {
        let listen = |call| signal(SignalKind::hangup()).map(|signal| (signal, call));
        let hup = hung_up.map(listen).transpose()?;
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hup })
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
                () = hung_up(&mut self.hup) => {}
            }
        }
    }
}

/// Calls what listens when the signal comes; for ever pending where nobody does.
async fn hung_up(hup: &mut Option<(Signal, HungUp)>) {
    match hup {
        Some((signal, call)) => match signal.recv().await {
            Some(()) => call(),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

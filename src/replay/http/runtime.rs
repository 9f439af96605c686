//! The runtime of a client: one thread, on which connections are opened and requests are handed to them.
//!
//! hyper hands a request to the task of its connection through a channel of tokio. Where that task ends, as after a GOAWAY, it
//! empties the channel, and what was in it goes over another connection. A request that another thread was just putting there is
//! left behind, and so is all that came after it: nobody takes it, nobody drops it, and it waits for its timeout (hyper 1.12,
//! `client/dispatch.rs`; tokio 1.54, the drop of `Rx` in `sync/mpsc/chan.rs`). On one thread, one of the two comes first.

use std::convert::Infallible;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A runtime with one thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct OneThread {
    handle: Handle,
    _ends: oneshot::Sender<Infallible>,
}

impl OneThread {
    /// Starts it, on a thread of the current runtime: that has the name and the niceness of those that send.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel();
        Handle::current().spawn_blocking(move || runtime.block_on(ended));
        Ok(Self { handle, _ends: ends })
    }

    /// Does `work` there, and leaves it undone where the caller goes.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let mut only = JoinSet::new();
        only.spawn_on(work, &self.handle);
        match only.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The thread outlives who calls, unless the runtime that it is on ends: then the caller does, too.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn all_is_done_on_one_thread_that_is_none_of_the_callers() {
        let one = OneThread::start().unwrap();
        let ids = (0..20).map(|_| one.run(async { thread::current().id() }));
        let ids = futures_util::future::join_all(ids).await;
        assert!(ids.iter().all(|id| *id == ids[0]) && ids[0] != thread::current().id());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_left_undone() {
        let one = OneThread::start().unwrap();
        let (held, dropped) = oneshot::channel::<Infallible>();
        let (begins, begun) = oneshot::channel();
        let work = one.run(async move {
            let _held = held;
            begins.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        tokio::select! {
            () = work => unreachable!("it has no end"),
            _ = begun => {}
        }
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn the_thread_ends_with_its_owner() {
        let one = OneThread::start().unwrap();
        let (held, dropped) = oneshot::channel::<Infallible>();
        one.handle.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(one);
        assert!(dropped.await.is_err());
    }
}

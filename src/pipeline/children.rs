//! Child processes of a run, and those that it inherits.
//!
//! As process 1 of a container shadowtap becomes the parent of every process whose own parent ended: what a middleware
//! started and left behind, say. Nobody else can take their exit codes, so they are taken here, and only theirs: those of
//! the run's own children belong to whoever waits for them.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, interval};

/// Time between two looks for inherited processes that ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ids of the run's own children. Held while one is started: a child that ends at once is known by then.
static OWN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A child that was started here. It is killed when it is dropped.
#[derive(Debug)]
pub(super) struct OwnChild {
    // Dropped, and so killed, before its id is forgotten.
    child: Child,
    _known: KnownChild,
}

/// An id in [`OWN`], until it is dropped.
#[derive(Debug)]
struct KnownChild(Option<u32>);

impl Drop for KnownChild {
    fn drop(&mut self) {
        own().retain(|id| Some(*id) != self.0);
    }
}

impl Deref for OwnChild {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for OwnChild {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

fn own() -> MutexGuard<'static, Vec<u32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process in a group of its own, so that what interrupts the run does not interrupt it.
pub(super) fn start(command: &mut Command) -> io::Result<OwnChild> {
    let mut own = own();
    let child = command.process_group(0).kill_on_drop(true).spawn()?;
    own.extend(child.id());
    drop(own);
    Ok(OwnChild { _known: KnownChild(child.id()), child })
}

/// Takes the exit codes of inherited processes for as long as the run lasts, where this is process 1.
pub(super) async fn reap_inherited() {
    if std::process::id() != 1 {
        return;
    }
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        while reap_one() {}
    }
}

/// Takes the exit code of one inherited process; false where none has ended.
fn reap_one() -> bool {
    let own = own();
    // Looked at first, and left: it may be a child of the run.
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let Ok(WaitStatus::Exited(id, _) | WaitStatus::Signaled(id, ..)) = waitid(Id::All, look) else { return false };
    // A child of the run is waited for within moments; what ended behind it is found at the next look.
    let is_own = u32::try_from(id.as_raw()).is_ok_and(|id| own.contains(&id));
    !is_own && waitpid(id, Some(WaitPidFlag::WNOHANG)).is_ok()
}

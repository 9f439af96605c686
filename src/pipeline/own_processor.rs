//! A processor that one thread has to itself.

/// A processor for one thread alone, as far as this program goes. Whoever reserves it leaves it, with all threads that
/// it starts meanwhile, and is back once this is dropped.
pub(super) struct OwnProcessor {
    #[cfg(target_os = "linux")]
    all: rustix::thread::CpuSet,
    number: usize,
}

/// Number of a processor that was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessorNumber(usize);

impl OwnProcessor {
    /// Reserves the last of the processors that the current thread may use; `None` where that cannot be had, or there is
    /// only one.
    #[cfg(target_os = "linux")]
    pub(super) fn reserve() -> Option<Self> {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

        let all = sched_getaffinity(None).ok()?;
        let number = (0..CpuSet::MAX_CPU).rev().find(|number| all.is_set(*number)).filter(|_| all.count() > 1)?;
        let mut others = all;
        others.unset(number);
        sched_setaffinity(None, &others).ok()?;
        Some(Self { all, number })
    }

    /// Elsewhere threads are left to the system.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn reserve() -> Option<Self> {
        None
    }

    pub(super) const fn number(&self) -> ProcessorNumber {
        ProcessorNumber(self.number)
    }
}

impl ProcessorNumber {
    /// Moves the current thread there.
    pub(super) fn enter(self) {
        #[cfg(target_os = "linux")]
        {
            let mut own = rustix::thread::CpuSet::new();
            own.set(self.0);
            if let Err(error) = rustix::thread::sched_setaffinity(None, &own) {
                tracing::debug!(%error, "a thread has no processor to itself");
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for OwnProcessor {
    fn drop(&mut self) {
        if let Err(error) = rustix::thread::sched_setaffinity(None, &self.all) {
            tracing::debug!(%error, "a thread does not get all processors back");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::thread::sched_getaffinity;

    use super::*;

    #[test]
    fn who_reserves_a_processor_leaves_it_until_that_is_over() {
        let before = sched_getaffinity(None).unwrap();
        let Some(own) = OwnProcessor::reserve() else {
            assert_eq!(before.count(), 1);
            return;
        };
        let number = own.number();
        let others = std::thread::spawn(|| sched_getaffinity(None).unwrap()).join().unwrap();
        assert!(!others.is_set(number.0) && others.count() + 1 == before.count());
        let mine = std::thread::spawn(move || {
            number.enter();
            sched_getaffinity(None).unwrap()
        });
        let mine = mine.join().unwrap();
        assert!(mine.is_set(number.0) && mine.count() == 1);
        drop(own);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}

//! What HAProxy counted beside what it told of: the rest are requests that it gave up telling of.
//!
//! The shipped configuration has each process of HAProxy count its requests, right behind the event of each, and send the count
//! along with every message. A count of a request is of those before it; a count of a response is of all so far.

use std::collections::HashMap;

/// Processes of HAProxy that are told apart: each reload is one. Further ones are not counted.
const MAX_PROCESSES: usize = 4096;
/// Longest name of a process that is heeded, in bytes. The shipped configuration gives each a UUID.
const MAX_NAME: usize = 64;

/// Counts of all processes.
#[derive(Debug, Default)]
pub(super) struct CountedRequests {
    processes: HashMap<Box<[u8]>, ProcessCount, foldhash::fast::RandomState>,
}

/// A process, from the first request on that it told of.
#[derive(Clone, Copy, Debug)]
struct ProcessCount {
    /// Its count before that request.
    first: u64,
    last: u64,
    told: u64,
}

impl CountedRequests {
    /// Notes a request, with what the process had counted before it.
    pub(super) fn request(&mut self, process: &[u8], count: u64) {
        if let Some(known) = self.processes.get_mut(process) {
            // Messages of several threads may overtake each other.
            known.first = known.first.min(count);
            known.last = known.last.max(count);
            known.told += 1;
        } else if self.processes.len() < MAX_PROCESSES && process.len() <= MAX_NAME {
            self.processes.insert(process.into(), ProcessCount { first: count, last: count, told: 1 });
        }
    }

    /// Notes a response, with what the process has counted. Of what was before the first request nothing is known.
    pub(super) fn response(&mut self, process: &[u8], count: u64) {
        if let Some(known) = self.processes.get_mut(process) {
            known.last = known.last.max(count);
        }
    }

    /// Returns how many were counted that nobody told of, at least.
    pub(super) fn missed(&self) -> u64 {
        self.processes.values().map(|known| (known.last - known.first).saturating_sub(known.told)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_and_not_told_is_missed_in_each_process() {
        let mut counted = CountedRequests::default();
        counted.response(b"old", 90);
        counted.request(b"old", 100);
        assert_eq!(counted.missed(), 0, "what was before is of no concern");
        counted.response(b"old", 101);
        assert_eq!(counted.missed(), 0);
        counted.response(b"old", 104);
        assert_eq!(counted.missed(), 3);
        // A reload: the new process counts anew, while the old one ends what it has.
        counted.request(b"new", 0);
        counted.request(b"new", 1);
        counted.response(b"old", 104);
        counted.response(b"new", 2);
        assert_eq!(counted.missed(), 3);
        counted.request(b"new", 7);
        assert_eq!(counted.missed(), 3 + 4);
    }

    #[test]
    fn messages_that_overtake_each_other_are_no_loss() {
        let mut counted = CountedRequests::default();
        for count in [2, 0, 1, 1] {
            counted.request(b"p", count);
        }
        counted.response(b"p", 4);
        counted.response(b"p", 3);
        assert_eq!(counted.missed(), 0);
    }

    #[test]
    fn further_processes_are_not_counted_nor_are_long_names() {
        let mut counted = CountedRequests::default();
        counted.request(&[b'p'; MAX_NAME + 1], 0);
        assert_eq!(counted.processes.len(), 0);
        for process in 0..=MAX_PROCESSES {
            counted.request(&process.to_be_bytes(), 0);
            counted.response(&process.to_be_bytes(), 2);
        }
        assert_eq!((counted.processes.len(), counted.missed()), (MAX_PROCESSES, MAX_PROCESSES as u64));
    }
}

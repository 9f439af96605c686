//! Several readings of one capture, counted together.

use crate::report::schema::counts::CountMap;
use crate::report::schema::summary::{Frames, Streams, Tcp};

use super::inputs::CaptureStats;

impl CaptureStats {
    /// Adds the statistics of another reading of the capture. A warning in the same words is kept once.
    pub fn add(&mut self, other: Self) {
        self.frames.add(&other.frames);
        self.tcp.add(&other.tcp);
        self.streams.add(&other.streams);
        // A further pass reads the same lines.
        self.spoe = self.spoe.take().or(other.spoe);
        self.access_log = self.access_log.take().or(other.access_log);
        for trouble in other.warnings {
            if !self.warnings.contains(&trouble) {
                self.warnings.push(trouble);
            }
        }
        for unread in other.unread {
            if !self.unread.contains(&unread) {
                self.unread.push(unread);
            }
        }
    }
}

impl Frames {
    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.kernel_dropped += other.kernel_dropped;
        self.interface_dropped += other.interface_dropped;
        self.decoded += other.decoded;
        add(&mut self.skipped, &other.skipped);
        self.clock_steps += other.clock_steps;
        if self.clock_step_at.is_none() {
            self.clock_step_at = other.clock_step_at;
            self.clock_step_in.clone_from(&other.clock_step_in);
        }
    }
}

impl Tcp {
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        // One reading begins when the other has ended.
        self.peak_open = self.peak_open.max(other.peak_open);
        self.retransmitted_bytes += other.retransmitted_bytes;
        self.gaps += other.gaps;
        self.gap_bytes += other.gap_bytes;
        add(&mut self.evicted, &other.evicted);
        self.unplaced_bytes += other.unplaced_bytes;
        self.unplaced_requests += other.unplaced_requests;
        self.bad_checksums += other.bad_checksums;
    }
}

impl Streams {
    const fn add(&mut self, other: &Self) {
        self.http1 += other.http1;
        self.tls += other.tls;
        self.http2 += other.http2;
        self.upgraded += other.upgraded;
        self.unknown += other.unknown;
    }
}

fn add(counts: &mut CountMap, more: &CountMap) {
    for (what, count) in more {
        *counts.entry(what.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(frames: u64, peak_open: u64, trouble: &str) -> CaptureStats {
        CaptureStats {
            frames: Frames { received: frames, skipped: [("not_tcp".to_owned(), 1)].into(), ..Frames::default() },
            tcp: Tcp { connections: 2, peak_open, ..Tcp::default() },
            warnings: vec![trouble.to_owned()],
            ..CaptureStats::default()
        }
    }

    #[test]
    fn what_was_counted_adds_up_and_what_was_open_at_once_does_not() {
        let mut both = engine(10, 2, "cut");
        both.add(engine(7, 1, "cut"));
        assert_eq!(both.frames.received, 17);
        assert_eq!(both.frames.skipped["not_tcp"], 2);
        assert_eq!((both.tcp.connections, both.tcp.peak_open), (4, 2));
        assert_eq!(both.warnings, ["cut"]);
    }
}

//! What a person is told while a live run goes on: a line that moves, or a plain line a second where no terminal can
//! show one; and a warning when something begins to be lost, with what helps against it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::ProgressBar;
use shadowtap::pipeline::Progress;
use shadowtap::report::units::{bytes, counted, number};
use tokio::time::Instant;

use crate::output::tell;
use crate::progress;

/// Time between two looks at the counters.
const LOOK: Duration = Duration::from_millis(200);
/// Time between two plain lines.
const LINE: Duration = Duration::from_secs(1);
/// Time before the same kind of loss is warned of again.
const AGAIN: Duration = Duration::from_secs(60);

/// What a run is about, for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Shadow,
    Record,
}

impl About {
    /// The command that does it.
    pub(crate) const fn command(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Record => "record",
        }
    }
}

/// Watches a run until it is dropped.
pub(crate) struct Watch {
    bar: ProgressBar,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch. When `quiet`, only warnings are told.
    pub(crate) fn begin(progress: &Arc<Progress>, about: About, quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            let counters = Arc::clone(progress);
            progress::bar(move || line(&counters, about))
        };
        let (end, ended) = mpsc::channel();
        let eye = Eye { progress: Arc::clone(progress), about, bar: bar.clone(), plain: !quiet && bar.is_hidden() };
        // Without this thread the run goes on all the same, only unseen.
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || eye.look(&ended)).ok();
        Self { bar, end: Some(end), thread }
    }

    /// The line that moves: what else is told stands above it.
    pub(crate) const fn bar(&self) -> &ProgressBar {
        &self.bar
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        self.bar.finish_and_clear();
    }
}

struct Eye {
    progress: Arc<Progress>,
    about: About,
    bar: ProgressBar,
    plain: bool,
}

impl Eye {
    fn look(&self, ended: &mpsc::Receiver<()>) {
        let mut losses = Losses::default();
        let mut told = Instant::now();
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            for warning in losses.warnings(&self.progress, now) {
                self.bar.suspend(|| tell(&format!("warning: {warning}")));
            }
            if self.plain && now.duration_since(told) >= LINE {
                told = now;
                tell(&line(&self.progress, self.about));
            }
        }
        // What was lost in the last moments is in the report.
    }
}

/// Losses that were warned of: how many there were then, and when.
#[derive(Default)]
struct Losses {
    frames_dropped: Told,
    shed: Told,
    unrecorded: Told,
    lost_to_disk: Told,
    gaps: Told,
}

#[derive(Default)]
struct Told {
    count: u64,
    at: Option<Instant>,
}

impl Told {
    /// How many there are, where that is worth a warning.
    fn news(&mut self, counter: &AtomicU64, now: Instant) -> Option<u64> {
        let count = counter.load(Relaxed);
        let again = self.at.is_none_or(|at| now.duration_since(at) >= AGAIN);
        if count <= self.count || !again {
            return None;
        }
        *self = Self { count, at: Some(now) };
        Some(count)
    }
}

impl Losses {
    fn warnings(&mut self, progress: &Progress, now: Instant) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(count) = self.frames_dropped.news(&progress.frames_dropped, now) {
            let frames = counted(count, "frame");
            all.push(format!(
                "{frames} dropped before shadowtap could read them: requests are being lost; a larger --buffer \
                 helps against bursts, a narrower -p or -f against too much traffic"
            ));
        }
        if let Some(count) = self.gaps.news(&progress.gaps, now) {
            all.push(format!(
                "{} in captured streams: segments did not reach this interface, or were dropped; the requests \
                 concerned are counted as incomplete",
                counted(count, "gap")
            ));
        }
        if let Some(count) = self.shed.news(&progress.shed, now) {
            all.push(format!(
                "{} shed: the target does not keep up; send less (--sample 10%), or let more wait for their answer at \
                 once (--max-in-flight)",
                counted(count, "request")
            ));
        }
        if let Some(count) = self.unrecorded.news(&progress.unrecorded, now) {
            all.push(format!(
                "{} not recorded: the disk does not keep up; record less (--sample), or to a faster one",
                counted(count, "record")
            ));
        }
        if let Some(count) = self.lost_to_disk.news(&progress.lost_to_disk, now) {
            all.push(format!(
                "{} not recorded: the disk does not take them; make room, and recording goes on",
                counted(count, "record")
            ));
        }
        all
    }
}

/// Counters as one line of less than 80 columns, as long as they are below a billion.
fn line(progress: &Progress, about: About) -> String {
    let count = |counter: &AtomicU64| number(counter.load(Relaxed));
    let mut text = format!("{} seen", count(&progress.seen));
    match about {
        About::Shadow => {
            let (sent, waiting) = (count(&progress.sent), count(&progress.in_flight));
            write!(text, ", {sent} answered, {waiting} waiting").ok();
        }
        About::Record => {
            let size = bytes(progress.recorded_bytes.load(Relaxed));
            write!(text, ", {} recorded ({size})", count(&progress.recorded)).ok();
        }
    }
    let lost = [
        (&progress.failed, "failed"),
        (&progress.shed, "shed"),
        (&progress.frames_dropped, "frames dropped"),
        (&progress.gaps, "gaps"),
        (&progress.unrecorded, "not recorded"),
        (&progress.lost_to_disk, "lost to the disk"),
    ];
    for (counter, what) in lost.iter().filter(|(counter, _)| counter.load(Relaxed) > 0) {
        write!(text, ", {} {what}", count(counter)).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_lost_only_where_something_is() {
        let progress = Progress::default();
        progress.seen.store(1_234, Relaxed);
        progress.sent.store(600, Relaxed);
        assert_eq!(line(&progress, About::Shadow), "1,234 seen, 600 answered, 0 waiting");
        progress.frames_dropped.store(7, Relaxed);
        assert_eq!(line(&progress, About::Shadow), "1,234 seen, 600 answered, 0 waiting, 7 frames dropped");
        assert!(line(&progress, About::Record).starts_with("1,234 seen, 0 recorded ("));
    }

    #[test]
    fn a_loss_is_warned_of_when_it_begins_and_not_again_for_a_while() {
        let progress = Progress::default();
        let mut losses = Losses::default();
        let begin = Instant::now();
        assert!(losses.warnings(&progress, begin).is_empty());
        progress.frames_dropped.store(3, Relaxed);
        let warnings = losses.warnings(&progress, begin);
        assert!(warnings.len() == 1 && warnings[0].starts_with("3 frames dropped") && warnings[0].contains("--buffer"));
        progress.frames_dropped.store(9, Relaxed);
        assert!(losses.warnings(&progress, begin + AGAIN / 2).is_empty());
        assert_eq!(losses.warnings(&progress, begin + AGAIN).len(), 1);
        assert!(losses.warnings(&progress, begin + AGAIN * 3).is_empty(), "no more were lost since");
    }

    #[test]
    fn each_loss_has_its_own_advice() {
        let progress = Progress::default();
        for (counter, advice) in
            [(&progress.shed, "--sample"), (&progress.unrecorded, "disk"), (&progress.gaps, "incomplete")]
        {
            let mut losses = Losses::default();
            counter.store(1, Relaxed);
            let warnings = losses.warnings(&progress, Instant::now());
            assert!(warnings.iter().any(|warning| warning.contains(advice)), "{warnings:?}");
        }
    }
}

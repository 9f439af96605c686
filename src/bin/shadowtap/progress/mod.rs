//! Progress output for people while a run is in progress: two lines that change in place, or a plain line per second
//! without a terminal. Also warns when losses begin.

mod figures;
mod line;
mod losses;

use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use shadowtap::capture::live::CaptureScope;
use shadowtap::pipeline::{Observer, Progress};
use shadowtap::report::{Snapshot, Summary};
use shadowtap::sanitize;
use tokio::time::Instant;

use crate::output::{is_json, print_line, print_with};
use crate::{notify, terminal, warnings};
use figures::ProgressFigures;
use losses::Losses;

/// Time between two looks at the counters.
const LOOK: Duration = Duration::from_millis(200);
/// Time between two plain lines, and between two looks at what the report has.
const LINE: Duration = Duration::from_secs(1);
/// Time without any request after which a live run says what may be wrong.
const SILENCE: Duration = Duration::from_secs(10);
/// Time between two frames of the activity indicator.
const TICK: Duration = Duration::from_millis(100);

/// Kind of run, for the progress lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressKind {
    Shadow,
    Replay,
    Record,
}

/// Watches a run until it is dropped.
pub(crate) struct ProgressWatch {
    bar: ProgressBar,
    end: Option<mpsc::Sender<()>>,
    /// Returns whether it printed a line.
    thread: Option<JoinHandle<Watched>>,
    sight: ProgressView,
}

/// The counters of a run, and what its report had when it was last looked at.
#[derive(Clone)]
struct ProgressView {
    about: ProgressKind,
    progress: Arc<Progress>,
    seen: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

impl ProgressView {
    fn figures(&self) -> ProgressFigures {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ProgressFigures::new(self.about, &self.progress, seen.as_deref())
    }

    /// The run has ended: from now on its figures are those of its summary.
    fn end(&self, summary: &Summary) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let live = seen.as_ref().map(|seen| seen.live.clone()).unwrap_or_default();
        *seen = Some(Arc::new(Snapshot { summary: summary.clone(), live, ..Snapshot::default() }));
    }
}

/// Prints a plain line.
fn print_figures(figures: &ProgressFigures) {
    print_with(&line::plain(figures), "progress", figures);
}

impl ProgressWatch {
    /// Begins to watch. When `quiet`, only warnings are printed; `scope` is what a live run listens to.
    pub(crate) fn begin(
        progress: &Arc<Progress>,
        observer: &Observer,
        about: ProgressKind,
        quiet: bool,
        scope: Option<CaptureScope>,
    ) -> Self {
        let sight = ProgressView { about, progress: Arc::clone(progress), seen: Arc::default() };
        let bar = if quiet || is_json() { ProgressBar::hidden() } else { bar(&sight) };
        let shown = if quiet {
            ProgressOutput::Nothing
        } else if bar.is_hidden() {
            ProgressOutput::Lines
        } else {
            ProgressOutput::InPlace
        };
        warnings::above(Some(&bar));
        let (end, ended) = mpsc::channel();
        let eye = ProgressThread { sight: sight.clone(), observer: observer.clone(), bar: bar.clone(), shown, scope };
        // Without this thread the run goes on all the same, only unseen.
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || eye.look(&ended)).ok();
        Self { bar, end: Some(end), thread, sight }
    }

    /// Returns the progress lines; other output goes above them.
    pub(crate) const fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Ends with the run: of lines that are printed one after the other, the last one says what the run came to.
    pub(crate) fn finish(mut self, summary: &Summary) {
        let watched = self.stop();
        if let Some(warning) = watched.unheard.and_then(|scope| no_request_at_all(&scope, summary)) {
            self.bar.suspend(|| print_line(&format!("warning: {warning}")));
        }
        if watched.has_printed {
            self.sight.end(summary);
            // How far it has read says nothing any more.
            print_figures(&ProgressFigures { read: None, ..self.sight.figures() });
        }
    }

    /// Ends the thread; returns what it leaves to be said.
    fn stop(&mut self) -> Watched {
        self.end = None;
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for ProgressWatch {
    fn drop(&mut self) {
        self.stop();
        warnings::above(None);
        self.bar.finish_and_clear();
    }
}

/// Two lines that change in place. Without a terminal nothing is shown.
fn bar(sight: &ProgressView) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let color = terminal::color_on_stderr();
    let both = sight.clone();
    let lines = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A column is left free: some terminals wrap when the last one is written.
        let width = terminal::or_default(terminal::width_of_stderr()).saturating_sub(1);
        let text = line::both(&both.figures(), state.elapsed(), width, color);
        // The bar has no way to say that it cannot be drawn.
        out.write_str(&sanitize::text(&text, color)).unwrap_or_default();
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {lines}") {
        bar.set_style(style.with_key("lines", lines));
        bar.enable_steady_tick(TICK);
    }
    bar
}

/// What the thread leaves when it ends.
#[derive(Default)]
struct Watched {
    /// Whether a line was printed.
    has_printed: bool,
    /// What was listened to, where nothing was said yet of no request having come.
    unheard: Option<CaptureScope>,
}

/// Says why no request came in a run that was over before that was said.
fn no_request_at_all(scope: &CaptureScope, summary: &Summary) -> Option<String> {
    (summary.requests.seen == 0).then(|| format!("no request came: {}", scope.no_request(summary.frames.decoded)))
}

/// Form of the progress output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgressOutput {
    InPlace,
    Lines,
    Nothing,
}

struct ProgressThread {
    sight: ProgressView,
    observer: Observer,
    bar: ProgressBar,
    shown: ProgressOutput,
    scope: Option<CaptureScope>,
}

impl ProgressThread {
    /// Watches until the run has ended.
    fn look(mut self, ended: &mpsc::Receiver<()>) -> Watched {
        let mut has_printed = false;
        let mut losses = Losses::default();
        let mut told = Instant::now();
        let begun = told;
        // Looks are awaited, and nothing else: no driver is needed. Without it only the counters are shown.
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok();
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            let news = self.sight.progress.take_news();
            for warning in news.into_iter().chain(losses.warnings(&self.sight.progress, now)) {
                self.bar.suspend(|| print_line(&format!("warning: {warning}")));
            }
            if now.duration_since(begun) >= SILENCE
                && let Some(scope) = self.scope.take()
            {
                let Progress { seen, segments, .. } = &*self.sight.progress;
                if seen.load(Ordering::Relaxed) == 0 {
                    let advice = scope.no_request(segments.load(Ordering::Relaxed));
                    self.bar
                        .suspend(|| print_line(&format!("warning: no request for {} s: {advice}", SILENCE.as_secs())));
                }
            }
            let watched = notify::is_open();
            if self.shown == ProgressOutput::Nothing && !watched || now.duration_since(told) < LINE {
                continue;
            }
            told = now;
            if let Some(runtime) = &runtime {
                let seen = runtime.block_on(self.observer.look(false));
                *self.sight.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            }
            if watched {
                notify::send(&format!("WATCHDOG=1\nSTATUS={}", line::plain(&self.sight.figures())));
            }
            if self.shown == ProgressOutput::Lines {
                print_figures(&self.sight.figures());
                has_printed = true;
            }
        }
        // What was lost in the last moments is in the report.
        Watched { has_printed, unheard: self.scope }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_says_why_nothing_came_and_nothing_where_something_did() {
        let scope = CaptureScope::new(&["no-such-interface".to_owned()], None, &[81]);
        let mut summary = Summary::default();
        let said = no_request_at_all(&scope, &summary).unwrap();
        let why = "no packets on no-such-interface match `tcp port 81`: are -i, -p and -f right?";
        assert_eq!(said, format!("no request came: {why}"));
        summary.frames.decoded = 7;
        assert!(no_request_at_all(&scope, &summary).unwrap().contains("7 packets on no-such-interface match"));
        summary.requests.seen = 1;
        assert_eq!(no_request_at_all(&scope, &summary), None);
    }
}

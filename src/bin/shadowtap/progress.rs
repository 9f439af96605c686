//! The line on standard error that moves while a run goes on; only where a terminal can show it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use shadowtap::pipeline::Progress;
use shadowtap::report::units::number;

/// Time between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);

/// Cells of the bar.
const CELLS: u64 = 20;

/// Shows `progress` until the returned bar is cleared. Without a terminal nothing is shown.
pub(crate) fn show(progress: &Arc<Progress>) -> ProgressBar {
    let progress = Arc::clone(progress);
    bar(move || line(&progress))
}

/// Shows what `line` says until the returned bar is cleared. Without a terminal nothing is shown.
pub(crate) fn bar(line: impl Fn() -> String + Send + Sync + 'static) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The bar has no way to say that it cannot be drawn.
    let line = Arc::new(line);
    let counters = move |_: &ProgressState, out: &mut dyn std::fmt::Write| out.write_str(&line()).unwrap_or_default();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {counters} {elapsed}") {
        bar.set_style(style.with_key("counters", counters));
        bar.enable_steady_tick(TICK);
    }
    bar
}

/// Counters as one line of less than 80 columns.
fn line(progress: &Progress) -> String {
    let mut text = String::new();
    let permille = progress.read_permille.load(Relaxed);
    if permille <= 1000 {
        let full = permille * CELLS / 1000;
        let cells = (0..CELLS).map(|cell| if cell < full { '█' } else { '·' });
        text.extend(cells);
        write!(text, " {:>3}%  ", permille / 10).ok();
    }
    let count = |counter: &std::sync::atomic::AtomicU64| number(counter.load(Relaxed));
    let (seen, sent, waiting) = (count(&progress.seen), count(&progress.sent), count(&progress.in_flight));
    write!(text, "{seen} seen, {sent} answered, {waiting} waiting").ok();
    if progress.failed.load(Relaxed) > 0 {
        write!(text, ", {} failed", count(&progress.failed)).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_much() {
        let progress = Progress::default();
        progress.seen.store(1_234, Relaxed);
        progress.sent.store(600, Relaxed);
        assert_eq!(line(&progress), "1,234 seen, 600 answered, 0 waiting");
        progress.read_permille.store(500, Relaxed);
        progress.failed.store(3, Relaxed);
        assert_eq!(line(&progress), "██████████··········  50%  1,234 seen, 600 answered, 0 waiting, 3 failed");
    }
}

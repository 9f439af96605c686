//! Progress figures as lines that fit the terminal.
//!
//! The first line has the progress of the run and its losses; the second compares production with the target. Parts
//! that do not fit are left out, the least important first. Lines never wrap.

use std::borrow::Cow;
use std::time::Duration;

use shadowtap::report::units::{bytes, duration, number, percent, short_number};

use super::ProgressKind;
use super::figures::{ProgressFigures, ProgressSide};

/// Cells of the bar.
const CELLS: usize = 16;

/// Narrowest lines that are made to fit.
const NARROWEST: usize = 30;

/// Columns of the spinner before the first line, and of the blanks below it.
const MARGIN: usize = 2;

/// Longest name of a target, in characters; of a longer one its beginning is.
const MAX_NAME: usize = 16;

/// A piece of a line. Pieces of a lower rank stay longest where there is not room for all.
struct LinePart {
    rank: u8,
    text: String,
    bad: bool,
    /// Separator between this part and the next one.
    then: &'static str,
}

/// Default separator between two parts.
const COMMA: &str = ", ";

fn piece(rank: u8, text: String) -> LinePart {
    LinePart { rank, text, bad: false, then: COMMA }
}

/// One that is red where it is not zero.
fn bad(rank: u8, text: String) -> LinePart {
    LinePart { bad: true, ..piece(rank, text) }
}

/// Both lines, `width` columns wide together with what stands before the first.
pub(super) fn both(figures: &ProgressFigures, elapsed: Duration, width: usize, color: bool) -> String {
    let width = width.max(NARROWEST).saturating_sub(MARGIN);
    let clock = clock(elapsed);
    let room = width.saturating_sub(clock.len() + 1);
    let full = how_far(figures, number);
    let first = if length(&full) <= room { full } else { how_far(figures, short_number) };
    let mut first = fitted(first, room);
    // The bar is the first to go.
    if let Some(read) = figures.read.filter(|_| length(&first) + 2 + CELLS <= room) {
        first.insert(0, LinePart { then: "  ", ..piece(u8::MAX, cells(read)) });
    }
    let second = fitted(comparison(figures), width);
    format!("{} {clock}\n  {}", joined(&first, color), joined(&second, color))
}

/// Both as one line, whatever its length.
pub(super) fn plain(figures: &ProgressFigures) -> String {
    let beside = comparison(figures);
    let gap = if beside.is_empty() { "" } else { "; " };
    format!("{}{gap}{}", joined(&how_far(figures, number), false), joined(&beside, false))
}

fn how_far(figures: &ProgressFigures, number: fn(u64) -> String) -> Vec<LinePart> {
    let mut pieces = Vec::new();
    if let Some(read) = figures.read {
        pieces.push(piece(3, format!("{:.0}%", (read * 100.0).floor())));
    }
    pieces.push(piece(0, format!("{} seen", number(figures.seen))));
    if figures.about == ProgressKind::Record {
        let size = bytes(figures.recorded_bytes);
        let what = if figures.records_frames { "frames " } else { "" };
        pieces.push(piece(1, format!("{} {what}recorded ({size})", number(figures.recorded))));
    } else {
        let share = figures.share.map(|share| format!(" ({})", percent(share))).unwrap_or_default();
        let to = if figures.targets > 1 { format!(" to {} targets", figures.targets) } else { String::new() };
        pieces.push(piece(1, format!("{} sent{share}{to}", number(figures.sent))));
        pieces.push(piece(4, format!("{} waiting", number(figures.waiting))));
        pieces.extend(figures.lag_us.map(|lag| piece(5, format!("lag {}", duration(lag)))));
        pieces.extend(figures.capture_delay_us.map(|delay| piece(6, format!("capture {}", duration(delay)))));
    }
    if figures.paused {
        pieces.push(bad(0, "paused".to_owned()));
    }
    if figures.guarded > 0 {
        pieces.push(bad(2, "guarded".to_owned()));
    }
    if figures.failed > 0 {
        pieces.push(bad(3, format!("{} failed", number(figures.failed))));
    }
    pieces.push(LinePart { bad: figures.lost > 0, ..piece(2, lost(figures, number)) });
    pieces
}

/// What is lost; records, of which a request is one and its response another, by their name.
fn lost(figures: &ProgressFigures, number: fn(u64) -> String) -> String {
    let (all, records) = (figures.lost, figures.lost_records);
    let what = match (figures.records_frames, records) {
        (true, 1) => "frame",
        (true, _) => "frames",
        (false, 1) => "record",
        (false, _) => "records",
    };
    match records {
        0 => format!("{} lost", number(all)),
        _ if records == all => format!("{} {what} lost", number(all)),
        _ => format!("{} lost, {} {what} of them", number(all), number(records)),
    }
}

/// Production, an arrow and the target; one of them alone where there is no other.
fn comparison(figures: &ProgressFigures) -> Vec<LinePart> {
    let sides: Vec<&ProgressSide> = [&figures.production, &figures.shadow].into_iter().flatten().collect();
    let target = figures.target.as_deref().map_or(Cow::Borrowed("target"), short_name);
    let name = match (&figures.production, &figures.shadow) {
        (Some(_), Some(_)) => format!("production→{target}"),
        (Some(_), None) => "production".to_owned(),
        (None, Some(_)) => target.into_owned(),
        (None, None) => return Vec::new(),
    };
    let pair = |of: &dyn Fn(&ProgressSide) -> String| sides.iter().map(|side| of(side)).collect::<Vec<_>>().join("→");
    let mut pieces = vec![
        // Without it nothing says what the pairs are of.
        LinePart { then: " ", ..piece(1, format!("{name}:")) },
        piece(0, format!("p50 {}", pair(&|side| duration(side.p50_us)))),
        piece(1, format!("p95 {}", pair(&|side| duration(side.p95_us)))),
        piece(4, format!("p99 {}", pair(&|side| duration(side.p99_us)))),
    ];
    for (class, rank) in [("1xx", 6), ("2xx", 3), ("3xx", 6), ("4xx", 5), ("5xx", 2), ("other", 6)] {
        let count = |side: &ProgressSide| side.statuses.get(class).copied().unwrap_or_default();
        if sides.iter().any(|side| count(side) > 0) {
            let more = figures.shadow.as_ref().map_or(0, count) > figures.production.as_ref().map_or(0, count);
            let bad = class == "5xx" && more;
            pieces
                .push(LinePart { bad, ..piece(rank, format!("{class} {}", pair(&|side| short_number(count(side))))) });
        }
    }
    pieces
}

/// A name that leaves room for figures: of a URL the host.
fn short_name(name: &str) -> Cow<'_, str> {
    let host = name.split_once("://").map_or(name, |(_, host)| host);
    match host.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", host.get(..end).unwrap_or_default()).into(),
        None => host.into(),
    }
}

/// As many pieces as there is room for, in their order.
fn fitted(mut pieces: Vec<LinePart>, room: usize) -> Vec<LinePart> {
    while length(&pieces) > room {
        let Some((last, _)) = pieces.iter().enumerate().max_by_key(|(_, piece)| piece.rank) else { break };
        pieces.remove(last);
    }
    pieces
}

fn length(pieces: &[LinePart]) -> usize {
    let text: usize = pieces.iter().map(|piece| piece.text.chars().count()).sum();
    text + COMMA.len() * pieces.len().saturating_sub(1)
}

fn joined(pieces: &[LinePart], color: bool) -> String {
    let text = |piece: &LinePart| {
        if piece.bad && color { format!("\x1b[31m{}\x1b[0m", piece.text) } else { piece.text.clone() }
    };
    let mut line = String::new();
    let mut gap = "";
    for piece in pieces {
        line.push_str(gap);
        line.push_str(&text(piece));
        gap = piece.then;
    }
    line
}

fn cells(read: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of cells")]
    let full = (read.clamp(0.0, 1.0) * CELLS as f64) as usize;
    (0..CELLS).map(|cell| if cell < full { '█' } else { '·' }).collect()
}

/// `1:23`, `7:01:05`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(p50_us: u64, p99_us: u64, statuses: &[(&'static str, u64)]) -> ProgressSide {
        ProgressSide { statuses: statuses.iter().copied().collect(), p50_us, p95_us: p99_us / 2, p99_us }
    }

    fn figures() -> ProgressFigures {
        ProgressFigures {
            about: ProgressKind::Replay,
            read: Some(0.527),
            seen: 12_345,
            sent: 6_170,
            failed: 0,
            waiting: 12,
            share: Some(0.5),
            paused: false,
            guarded: 0,
            recorded: 0,
            records_frames: false,
            recorded_bytes: 0,
            lost: 0,
            lost_records: 0,
            lag_us: Some(1_200),
            capture_delay_us: None,
            production: Some(side(1_210, 85_300, &[("2xx", 6_010), ("4xx", 33)])),
            shadow: Some(side(1_920, 120_000, &[("2xx", 6_000), ("4xx", 33), ("5xx", 9)])),
            target: None,
            targets: 1,
        }
    }

    #[track_caller]
    fn check(figures: &ProgressFigures, width: usize, expected: &str) {
        let text = both(figures, Duration::from_secs(83), width, false);
        assert_eq!(text, expected);
    }

    #[test]
    fn two_lines_say_how_far_and_set_both_sides_beside_each_other() {
        check(
            &figures(),
            120,
            "████████········  52%, 12,345 seen, 6,170 sent (50%), 12 waiting, lag 1.20ms, 0 lost 1:23\n  \
             production→target: p50 1.21ms→1.92ms, p95 42.6ms→60.0ms, p99 85.3ms→120ms, 2xx 6,010→6,000, 4xx 33→33, 5xx 0→9",
        );
    }

    #[test]
    fn at_80_columns_the_least_important_goes() {
        check(
            &figures(),
            79,
            "52%, 12,345 seen, 6,170 sent (50%), 12 waiting, lag 1.20ms, 0 lost 1:23\n  \
             production→target: p50 1.21ms→1.92ms, p95 42.6ms→60.0ms, 5xx 0→9",
        );
    }

    #[test]
    fn of_several_targets_one_is_set_beside_production_by_its_name() {
        let target = Some("http://staging-two.internal.example:8080".to_owned());
        let figures = ProgressFigures { target, targets: 2, ..figures() };
        assert_eq!(
            plain(&figures),
            "52%, 12,345 seen, 6,170 sent (50%) to 2 targets, 12 waiting, lag 1.20ms, 0 lost; \
             production→staging-two.inte…: p50 1.21ms→1.92ms, p95 42.6ms→60.0ms, p99 85.3ms→120ms, 2xx 6,010→6,000, \
             4xx 33→33, 5xx 0→9"
        );
    }

    #[test]
    fn nothing_wraps_whatever_the_figures_are() {
        let large = 999_999_999_999;
        let all = [("1xx", large), ("2xx", large), ("3xx", large), ("4xx", large), ("5xx", large), ("other", large)];
        for about in [ProgressKind::Shadow, ProgressKind::Replay, ProgressKind::Record] {
            let figures = ProgressFigures {
                about,
                seen: large,
                sent: large,
                failed: large,
                waiting: large,
                paused: true,
                guarded: 3,
                recorded: large,
                recorded_bytes: u64::MAX,
                lost: large,
                lag_us: Some(3_599_000_000),
                production: Some(side(3_599_000_000, 3_599_000_000, &all)),
                shadow: Some(side(3_599_000_000, 3_599_000_000, &all)),
                ..figures()
            };
            for width in [20, 40, 60, 79, 80, 100, 199, 200] {
                let text = both(&figures, Duration::from_secs(100 * 3600), width, false);
                let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
                // The spinner stands before the first line.
                assert!(widest + MARGIN <= width.max(NARROWEST) + MARGIN, "{width}: {text}");
                assert!(
                    text.lines().next().unwrap().chars().count() + MARGIN <= width.max(NARROWEST),
                    "{width}: {text}"
                );
                assert_eq!(text.lines().count(), 2);
            }
        }
    }

    #[test]
    fn before_anybody_answered_there_is_nothing_to_compare() {
        let first =
            ProgressFigures { production: None, shadow: None, share: None, read: None, lag_us: None, ..figures() };
        assert_eq!(plain(&first), "12,345 seen, 6,170 sent, 12 waiting, 0 lost");
        assert_eq!(both(&first, Duration::ZERO, 79, false).lines().nth(1), Some("  "));
    }

    #[test]
    fn a_plain_line_says_all_of_it() {
        assert_eq!(
            plain(&figures()),
            "52%, 12,345 seen, 6,170 sent (50%), 12 waiting, lag 1.20ms, 0 lost; production→target: \
             p50 1.21ms→1.92ms, p95 42.6ms→60.0ms, p99 85.3ms→120ms, 2xx 6,010→6,000, 4xx 33→33, 5xx 0→9"
        );
    }

    #[test]
    fn what_is_lost_or_fails_is_red_where_color_is_welcome() {
        let figures = ProgressFigures { lost: 7, failed: 2, paused: true, ..figures() };
        let text = both(&figures, Duration::ZERO, 200, true);
        for red in
            ["\x1b[31m7 lost\x1b[0m", "\x1b[31m2 failed\x1b[0m", "\x1b[31mpaused\x1b[0m", "\x1b[31m5xx 0→9\x1b[0m"]
        {
            assert!(text.contains(red), "{text}");
        }
        assert!(!both(&figures, Duration::ZERO, 200, false).contains('\x1b'));
    }

    #[test]
    fn a_recording_says_what_is_on_the_disk() {
        let figures = ProgressFigures {
            about: ProgressKind::Record,
            recorded: 1_200,
            recorded_bytes: 3_400_000,
            read: None,
            shadow: None,
            ..figures()
        };
        assert_eq!(
            plain(&figures),
            "12,345 seen, 1,200 recorded (3.40MB), 0 lost; production: p50 1.21ms, p95 42.6ms, p99 85.3ms, 2xx 6,010, 4xx 33"
        );
        let frames = ProgressFigures { records_frames: true, ..figures };
        assert!(plain(&frames).starts_with("12,345 seen, 1,200 frames recorded (3.40MB), "));
    }

    #[test]
    fn records_that_are_lost_are_called_so() {
        let said = |all, lost_records, records_frames| {
            lost(
                &ProgressFigures { about: ProgressKind::Record, lost: all, lost_records, records_frames, ..figures() },
                number,
            )
        };
        assert_eq!(said(200, 200, false), "200 records lost");
        assert_eq!(said(1, 1, false), "1 record lost");
        assert_eq!(said(1_203, 200, false), "1,203 lost, 200 records of them");
        assert_eq!((said(7, 0, false), said(7, 7, true)), ("7 lost".to_owned(), "7 frames lost".to_owned()));
    }
}

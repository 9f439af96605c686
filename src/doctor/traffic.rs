//! The traffic of a few seconds: is there any, can it be read, and is all of it captured?

use std::time::Duration;

use super::Finding;
use crate::capture::live::{CaptureScope, Live};
use crate::capture::{Batch, Dropped, Frame, Polled, Source};
use crate::pipeline::{self, DryRun, Feed, Run, RunError};
use crate::report::units;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest frame that comes over Ethernet as it is: longer ones were put together by the interface or the kernel.
const ETHERNET: u64 = 1522;

/// What was heard.
#[derive(Debug)]
pub struct Heard {
    /// The dry run of it.
    pub run: DryRun,
    /// Bytes of its frames.
    pub bytes: u64,
    /// The longest frame.
    longest: u64,
    /// Frames that a snap length cut.
    cut: u64,
    /// How long was listened.
    time: Duration,
}

impl Heard {
    /// Returns the bytes in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64().max(0.001)
    }
}

/// Counts of the frames that pass.
#[derive(Debug, Default)]
struct FrameCounts {
    bytes: AtomicU64,
    longest: AtomicU64,
    cut: AtomicU64,
}

impl FrameCounts {
    fn count(&self, frame: &Frame<'_>) {
        self.bytes.fetch_add(frame.data.len() as u64, Ordering::Relaxed);
        self.longest.fetch_max(u64::from(frame.wire_len), Ordering::Relaxed);
        self.cut.fetch_add(u64::from((frame.wire_len as usize) > frame.data.len()), Ordering::Relaxed);
    }
}

/// A source whose frames are counted on their way.
struct CountingSource {
    inner: Box<dyn Source + Send>,
    counts: Arc<FrameCounts>,
}

impl Source for CountingSource {
    fn next(&mut self) -> Option<Frame<'_>> {
        self.inner.next().inspect(|frame| self.counts.count(frame))
    }

    fn next_batch(&mut self) -> Batch<'_> {
        let batch = self.inner.next_batch();
        batch.iter().for_each(|frame| self.counts.count(frame));
        batch
    }

    fn poll(&mut self) -> Polled<'_> {
        let polled = self.inner.poll();
        if let Polled::Frame(frame) = &polled {
            self.counts.count(frame);
        }
        polled
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }

    fn dropped(&self) -> Dropped {
        self.inner.dropped()
    }
}

/// Listens for `time`, and sends nothing.
///
/// # Errors
///
/// Where the run cannot be rehearsed.
pub fn listen(run: Run, time: Duration) -> Result<Heard, RunError> {
    let counts = Arc::new(FrameCounts::default());
    let feed = match run.feed {
        Feed::Live(inner) => Feed::Live(Box::new(CountingSource { inner, counts: Arc::clone(&counts) })),
        other @ (Feed::Files(_) | Feed::Spoe(_)) => other,
    };
    let run = pipeline::dry_run(Run { feed, ..run }, time)?;
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (bytes, longest, cut) = (load(&counts.bytes), load(&counts.longest), load(&counts.cut));
    Ok(Heard { run, bytes, longest, cut, time })
}

/// Returns what is to be said of the traffic; `everywhere` hears all interfaces.
#[must_use]
pub fn traffic(heard: &Heard, scope: &CaptureScope, everywhere: Option<Live>) -> Vec<Finding> {
    let frames = &heard.run.capture.frames;
    let seen = heard.run.tally.seen;
    if frames.decoded == 0 {
        return vec![silence(scope.no_request(0), everywhere.map(count_waiting))];
    }
    let mut findings = Vec::new();
    let streams = &heard.run.capture.streams;
    let time = heard.time.as_secs_f64();
    let per_second = seen as f64 / time.max(0.001);
    if seen > 0 {
        let says = format!("{} HTTP/1 requests in {time:.0} s, {per_second:.0} a second", units::number(seen));
        findings.push(Finding::ok("traffic", says));
    }
    findings.extend(protocols(streams.http1, streams.tls, streams.http2, seen));
    if seen == 0 && streams.tls == 0 && streams.http2 == 0 {
        let says = format!("{} packets match, and no request began in {time:.0} s", units::number(frames.decoded));
        let mend = "listen longer: --listen 10s; or is it another protocol? shadowtap record -o x.pcap shows it";
        findings.push(Finding::problem("traffic", says, Some(mend.to_owned())));
    }
    findings.push(drops(frames.kernel_dropped, frames.interface_dropped, frames.received));
    findings.push(lengths(heard.longest, heard.cut));
    findings.extend(
        heard
            .run
            .capture
            .warnings
            .iter()
            .map(|warning| Finding::note("capture", warning, "see docs/troubleshooting.md")),
    );
    findings
}

/// Nothing was heard: where is the traffic?
fn silence(why: String, waiting: Option<u64>) -> Finding {
    match waiting {
        Some(frames) if frames > 0 => {
            let says =
                format!("{why}. On all interfaces together {} of these ports passed", units::counted(frames, "packet"));
            let mend = "name the interface that has them (-i any is all), or leave out -f where it is given";
            Finding::problem("traffic", says, Some(mend.to_owned()))
        }
        _ => Finding::problem("traffic", why, Some("sudo tcpdump -ni any -c 10 tcp   shows what there is".to_owned())),
    }
}

/// Frames that came meanwhile.
fn count_waiting(mut everywhere: Live) -> u64 {
    let mut frames = 0;
    while let Polled::Frame(_) = everywhere.poll() {
        frames += 1;
        if frames >= 10_000 {
            break;
        }
    }
    frames
}

/// What is spoken.
fn protocols(http1: u64, tls: u64, http2: u64, seen: u64) -> Vec<Finding> {
    let all = http1 + tls + http2;
    let share = |part: u64| format!("{} of {} connections", units::number(part), units::number(all));
    // What is a part of the traffic may be meant to be; where it is all of it, nothing can be replayed.
    let finding = |check, says: String, mend: &str| {
        if seen == 0 { Finding::problem(check, says, Some(mend.to_owned())) } else { Finding::note(check, says, mend) }
    };
    let mut findings = Vec::new();
    if tls > 0 {
        let mend =
            "capture behind what ends TLS: there it is in the clear, such as -i lo, and the port of the application";
        findings.push(finding("tls", format!("{} are TLS: nothing in them can be read", share(tls)), mend));
    }
    if http2 > 0 {
        let mend = "have the proxy speak HTTP/1.1 to its servers (nginx: proxy_http_version 1.1; Envoy: no http2_protocol_options)";
        findings.push(finding("http2", format!("{} are HTTP/2: only HTTP/1 is followed", share(http2)), mend));
    }
    findings
}

fn drops(kernel: u64, interface: u64, received: u64) -> Finding {
    let received = units::number(received);
    if kernel + interface == 0 {
        return Finding::ok("drops", format!("none of {received} frames"));
    }
    let says = format!("the kernel dropped {kernel} frames and the interface {interface}, beside {received} that came");
    let mend = "--buffer 512M; narrow the capture with -p and -f; sudo ethtool -G IFACE rx 4096";
    Finding::problem("drops", says, Some(mend.to_owned()))
}

fn lengths(longest: u64, cut: u64) -> Finding {
    if cut > 0 {
        let says = format!("{cut} frames were cut: what was in them is incomplete, and never sent");
        return Finding::problem(
            "snaplen",
            says,
            Some("leave out --snaplen: 256K of each frame are captured then".to_owned()),
        );
    }
    let joined =
        if longest > ETHERNET { ", put together by the interface (GRO, TSO); that is read as it is" } else { "" };
    Finding::ok("snaplen", format!("frames are whole, the longest has {}{joined}", units::bytes(longest)))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_cannot_be_read_is_a_problem_where_it_is_all_and_a_note_beside_requests() {
        let all = protocols(0, 12, 0, 0);
        assert_eq!((all[0].check, all[0].state), ("tls", State::Problem));
        assert!(all[0].says.starts_with("12 of 12 connections are TLS"));
        let some = protocols(9, 0, 1, 100);
        assert_eq!((some[0].check, some[0].state, some.len()), ("http2", State::Note, 1));
        assert!(protocols(9, 0, 0, 100).is_empty());
    }

    #[test]
    fn drops_and_cuts_are_problems_and_long_frames_are_none() {
        assert_eq!(drops(0, 0, 10).state, State::Ok);
        assert!(drops(3, 0, 10).mend.unwrap().starts_with("--buffer 512M"));
        assert_eq!(lengths(1514, 2).state, State::Problem);
        let long = lengths(65_000, 0);
        assert!(long.state == State::Ok && long.says.contains("GRO"), "{long:?}");
    }

    #[test]
    fn silence_says_where_the_traffic_is() {
        assert!(silence("no packets".to_owned(), Some(7)).says.contains("7 packets of these ports"));
        assert!(silence("no packets".to_owned(), None).mend.unwrap().starts_with("sudo tcpdump"));
    }
}

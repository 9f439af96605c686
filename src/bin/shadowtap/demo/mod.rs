//! `shadowtap demo`: the whole path on this machine. A bundled capture goes in, its requests go to a staging server
//! that runs in this process, the report of it comes out, with a word on whether it is right. Nothing leaves the
//! loopback interface; no right and no file is needed.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use shadowtap::capture::{self, FileSource, Halt};
use shadowtap::config::{self, Output};
use shadowtap::pipeline::{self, Progress, Run};
use shadowtap::report::Summary;
use shadowtap::report::render::text;
use shadowtap::{middleware, replay};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

mod findings;
mod site;
mod staging;

use crate::args::DemoCommand;
use crate::output::{self, tell_page, write_page, write_summary};
use crate::progress::{ProgressKind, ProgressWatch};
use crate::signals::{HangUp, Stop};
use crate::{gates, terminal};
use findings::DemoFindings;
use staging::StagingCounts;

/// Eight seconds of a small TV platform, taken off the wire by `testdata/record-demo.sh`: pcap in zstd.
pub(crate) const CAPTURE: &[u8] = include_bytes!("../../../../testdata/demo.pcap.zst");

/// The share that is replayed.
const SAMPLE: f64 = 0.5;

/// Time allowed for staging to end after the last response.
const FAREWELL: Duration = Duration::from_millis(500);

/// Input and settings of the demo's replay.
pub(crate) struct DemoPlan {
    /// The bytes of a capture file.
    pub(crate) capture: &'static [u8],
    /// The default chain, with a sample.
    pub(crate) middleware: middleware::ChainSettings,
    /// To staging, at the captured pace.
    pub(crate) replay: replay::SendSettings,
    /// Output for a line of JSON per ended delivery.
    pub(crate) results: Box<dyn Write + Send>,
}

/// Runs the command.
pub(crate) fn command(args: &DemoCommand) -> anyhow::Result<ExitCode> {
    let demands = config::demands(&args.gates, &[])?;
    let mode = config::file_mode(args.mode.mode.as_deref())?;
    for (flag, path) in [("--summary", &args.summary), ("--report", &args.report)] {
        if let Some(Err(why)) = path.clone().map(|path| config::may_overwrite(&Output::File(path))) {
            bail!("{flag}: {why}");
        }
    }
    let halt = Halt::default();
    let stop = Stop::listen(&halt, HangUp::Default, None)?;
    let mut summary = Summary::default();
    let agrees = run(&mut output::text(), |plan| {
        let DemoPlan { capture, middleware, replay, results } = plan;
        let run = Run {
            command: "demo",
            capture: capture::Settings { halt: halt.clone(), ..Default::default() },
            middleware,
            results: Some(results),
            targets: vec![replay],
            demands,
            ..Run::of_files(Box::new(bundled(capture)?))
        };
        let counters = Arc::new(Progress::default());
        let watch = ProgressWatch::begin(&counters, &run.observer, ProgressKind::Replay, !terminal::is_stderr(), None);
        let ended = pipeline::run(run, &counters, stop.wait());
        drop(watch);
        summary = ended?;
        if let Some(file) = &args.summary {
            write_summary(&Output::File(file.clone()), mode, &summary)?;
        }
        if let Some(file) = &args.report {
            write_page(&Output::File(file.clone()), mode, &summary)?;
        }
        let width = terminal::or_default(terminal::width_of_stdout());
        Ok(text::report(&summary, width, terminal::color_on_stdout()))
    })?;
    args.report.iter().for_each(|file| tell_page(&Output::File(file.clone())));
    // A run that was stopped has not seen all that was built in.
    Ok(gates::ending(&summary, !agrees && !halt.is_set()))
}

/// The bundled capture, decompressed first: so it is known how far a run has come.
fn bundled(capture: &[u8]) -> anyhow::Result<FileSource> {
    let bytes = zstd::decode_all(capture)?;
    let size = bytes.len() as u64;
    Ok(FileSource::read("the bundled capture", Box::new(io::Cursor::new(bytes)), Some(size))?)
}

/// Starts staging, has `replay` carry the plan out and return the report's text, prints it to `out` and holds it
/// against what staging did. Whether they agree is returned. For a plain thread: it waits on a runtime of its own.
pub(crate) fn run(
    out: &mut dyn Write,
    replay: impl FnOnce(DemoPlan) -> anyhow::Result<String>,
) -> anyhow::Result<bool> {
    let staging = Staging::start().context("cannot start the demo's staging server on 127.0.0.1")?;
    let results = DemoLines::default();
    writeln!(out, "Production is eight seconds of nginx, recorded off the wire and bundled here.")?;
    writeln!(out, "Staging is http://{}, in this process, and wrong in three ways.", staging.address)?;
    writeln!(out, "Half of the requests go there now, at the pace at which they were recorded.\n")?;
    out.flush()?;
    let report = replay(plan(staging.address, Box::new(results.clone()))?)?;
    let tally = staging.stop();
    let findings = DemoFindings::new(&results.take(), &tally).context("cannot read the results of the run")?;
    writeln!(out, "{}\n", report.trim_end())?;
    writeln!(out, "What was built into staging, and what the report has of it:\n\n{findings}")?;
    writeln!(out, "Next, with a capture of yours:\n")?;
    writeln!(out, "  shadowtap replay my.pcap --to http://staging:8080 --sample 50%")?;
    Ok(findings.agree())
}

fn plan(staging: SocketAddr, results: Box<dyn Write + Send>) -> anyhow::Result<DemoPlan> {
    let target = format!("http://{staging}").parse()?;
    Ok(DemoPlan {
        capture: CAPTURE,
        middleware: middleware::ChainSettings { sample: middleware::Share(SAMPLE), ..Default::default() },
        replay: replay::SendSettings {
            timeout: Duration::from_secs(5),
            max_in_flight: 256,
            drain: Duration::from_secs(2),
            ..replay::SendSettings::new(target)
        },
        results,
    })
}

/// The staging server on a runtime of its own, so that it and the replay do not wait for each other.
struct Staging {
    address: SocketAddr,
    tally: Arc<StagingCounts>,
    runtime: Runtime,
    stop: oneshot::Sender<()>,
}

impl Staging {
    fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let tally = Arc::new(StagingCounts::default());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        runtime.spawn(staging::serve(listener, Arc::clone(&tally), shutdown));
        Ok(Self { address, tally, runtime, stop })
    }

    /// Ends the server and gives what it counted.
    fn stop(self) -> Arc<StagingCounts> {
        if self.stop.send(()).is_err() {
            tracing::debug!("the demo's staging server had ended by itself");
        }
        self.runtime.shutdown_timeout(FAREWELL);
        self.tally
    }
}

/// Result lines in memory. Bounded by the bundled capture: a line a request.
#[derive(Clone, Default)]
struct DemoLines(Arc<Mutex<Vec<u8>>>);

impl DemoLines {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for DemoLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

    /// Returns the status of staging's response to a GET of `target`.
    fn status(plan: &DemoPlan, target: &str) -> u16 {
        let address = plan.replay.target.authority();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn search_seven_times(tell: bool) -> (bool, String) {
        let mut out = Vec::new();
        let agrees = run(&mut out, |mut plan| {
            for _ in 0..7 {
                let status = status(&plan, "/v2/search?q=news");
                let place = if status == 503 && tell { r#"{"in":"status"}"# } else { "" };
                writeln!(
                    plan.results,
                    r#"{{"target":"/v2/search?q=news","outcome":"sent","response":{{"status":{status}}},"differences":[{place}]}}"#
                )?;
            }
            Ok("the report\n".to_owned())
        });
        (agrees.unwrap(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_report_that_tells_of_the_failed_search_is_right() {
        let (agrees, text) = search_seven_times(true);
        assert!(agrees && text.contains("the report") && !text.contains("WRONG"), "{text}");
    }

    #[test]
    fn a_report_that_keeps_the_failed_search_to_itself_is_wrong() {
        let (agrees, text) = search_seven_times(false);
        assert!(!agrees && text.contains("WRONG"), "{text}");
    }

    #[test]
    fn the_bundled_capture_is_a_small_zstd_file() {
        assert!(CAPTURE.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        assert!(CAPTURE.len() < 400 * 1024);
    }

    /// Loopback frames are large enough to hold each body in one piece.
    #[test]
    fn the_capture_holds_the_very_bytes_that_staging_answers() {
        let capture = zstd::decode_all(CAPTURE).unwrap();
        let pages = site::files().into_iter().map(|(name, page)| (name, page.into_bytes()));
        let compressed = staging::COMPRESSED.iter().map(|(name, page)| (format!("{name}.gz"), page.to_vec()));
        let moved = [("moved".to_owned(), site::MOVED.as_bytes().to_vec())];
        for (name, body) in pages.chain(compressed).chain(moved) {
            assert!(memchr::memmem::find(&capture, &body).is_some(), "record the demo again: no {name} in the capture");
        }
    }
}

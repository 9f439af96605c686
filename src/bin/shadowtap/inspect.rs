//! `shadowtap inspect`: the exchanges of capture files, one a line, or what they amount to. Nothing is sent.

use std::cell::RefCell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use shadowtap::config::{self, InspectConfig, InspectView, typed};
use shadowtap::exchange::{Event, digest};
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::inspect::InspectLedger;
use shadowtap::inspect::forecast::Forecast;
use shadowtap::inspect::routes::RouteStats;
use shadowtap::middleware::Selection;
use shadowtap::pipeline;
use shadowtap::recording::jsonl_write::JsonLine;
use shadowtap::recording::{ExchangeJoin, HarWriter, JoinedExchange};
use shadowtap::report::render::text;
use shadowtap::report::{Listing, RoutePatterns, Started, StatusChoice, Summary};

use crate::output::{self, print_line, write_summary};
use crate::signals::{HangUp, Stop};
use crate::{gates, terminal};

/// Runs the command.
pub(crate) fn run(typed: typed::Inspect) -> anyhow::Result<ExitCode> {
    let InspectConfig { capture, source, select, status, view, summary: output, har, mode, routes, warnings } =
        config::inspect(typed)?;
    for warning in &warnings {
        print_line(&format!("warning: {warning}"));
    }
    let started = Started::now();
    let stop = Stop::listen(&capture.halt, HangUp::Default, None)?;
    let reads_bodies = !select.files.is_empty();
    let mut ledger = InspectLedger::choosing(Selection::new(&select));
    let archive =
        har.as_ref().filter(|_| view == InspectView::Archive).map(|har| output::writer(har, mode)).transpose()?;
    let shown = RefCell::new(InspectFilter::new(view, status, select.seed, routes, archive));
    let mut take = |mut event| {
        if let Event::Request(request) = &mut event
            && reads_bodies
            && request.body.sha256.is_none()
        {
            // The body was kept for the chain rather than hashed.
            request.body.sha256 = request.body.content().and_then(|content| digest(&content));
        }
        let wanted = !ledger.note(&event) || shown.borrow_mut().take(event);
        wanted && !stop.asked()
    };
    let mut pause = || shown.borrow_mut().out.flush();
    let engine = pipeline::inspect_as_it_comes(source, &capture, interests(view, reads_bodies), &mut take, &mut pause)?;
    let by_link = ledger.by_link().cloned();
    let summary = ledger.finish(engine, started);
    let (count, written) = shown.into_inner().finish(&summary);
    gates::tell_unread(&summary);
    if let Some(output) = &output {
        write_summary(output, mode, &summary)?;
    }
    let place = har.as_ref().map_or_else(|| "standard output".to_owned(), output::place);
    written.with_context(|| format!("cannot write to {place}"))?;
    let is_text =
        matches!(view, InspectView::Lines | InspectView::Stats { json: false } | InspectView::Forecast { json: false });
    // No lines at all need a reason, whoever reads them.
    let is_empty = matches!(view, InspectView::JsonLines { .. } | InspectView::Archive) && summary.requests.seen == 0;
    if is_text || is_empty {
        let width = terminal::or_default(terminal::width_of_stderr());
        print_line(text::footer(&summary, count, width, terminal::color_on_stderr()).trim_end());
    } else {
        // What went wrong is for people, wherever the figures go.
        summary.warnings.iter().for_each(|trouble| print_line(&format!("warning: {trouble}")));
    }
    if let Some(tally) = &by_link {
        let width = terminal::or_default(terminal::width_of_stderr());
        print_line(text::passed(tally, width, terminal::color_on_stderr()).trim_end());
    }
    Ok(gates::ending(&summary, false))
}

/// Returns the body policies that this view needs, and a chain that may read the bodies of requests.
fn interests(view: InspectView, reads_bodies: bool) -> BodyPolicies {
    let both = |interest| BodyPolicies { request_body: interest, response_body: interest };
    let wanted = match view {
        InspectView::Nothing | InspectView::Lines | InspectView::Stats { .. } | InspectView::Forecast { .. } => {
            both(BodyPolicy::Count)
        }
        InspectView::JsonLines { full: false } => both(BodyPolicy::Hash),
        InspectView::JsonLines { full: true } | InspectView::Archive => both(BodyPolicy::Keep),
    };
    if reads_bodies { BodyPolicies { request_body: BodyPolicy::Keep, ..wanted } } else { wanted }
}

/// Output of `inspect` to standard output. With no output, exchanges are not joined at all.
struct InspectFilter {
    work: InspectWork,
    exchanges: ExchangeJoin,
    status: Option<Statuses>,
    out: InspectOutput,
}

/// The statuses that are shown, and how many exchanges had one of them.
struct Statuses {
    choice: StatusChoice,
    shown: u64,
}

/// Product made from exchanges, or from events.
enum InspectWork {
    Nothing,
    Lines(Listing),
    JsonLines {
        full: bool,
    },
    /// An archive; `None` once it could not be written.
    Archive(Option<HarWriter<Box<dyn Write + Send>>>),
    Stats {
        routes: Box<RouteStats>,
        json: bool,
    },
    Forecast {
        forecast: Box<Forecast>,
        json: bool,
    },
}

/// Standard output, until it fails.
struct InspectOutput {
    to: Box<dyn Write + Send>,
    written: io::Result<()>,
    /// The line that was written last: its memory is used again.
    line: Vec<u8>,
}

impl InspectFilter {
    fn new(
        view: InspectView,
        status: Option<StatusChoice>,
        seed: u64,
        patterns: Arc<RoutePatterns>,
        archive: Option<Box<dyn Write + Send>>,
    ) -> Self {
        let is_json = matches!(
            view,
            InspectView::JsonLines { .. } | InspectView::Stats { json: true } | InspectView::Forecast { json: true }
        );
        let to = if is_json { output::json() } else { output::text() };
        let mut out = InspectOutput { to, written: Ok(()), line: Vec::new() };
        let work = match view {
            InspectView::Nothing => InspectWork::Nothing,
            InspectView::Lines => InspectWork::Lines(listing(&mut out)),
            InspectView::JsonLines { full } => InspectWork::JsonLines { full },
            InspectView::Archive => InspectWork::Archive(archive.and_then(|to| out.kept(HarWriter::new(to)))),
            InspectView::Stats { json } => InspectWork::Stats { routes: Box::new(RouteStats::new(patterns)), json },
            InspectView::Forecast { json } => InspectWork::Forecast { forecast: Box::new(Forecast::new(seed)), json },
        };
        let status = status.map(|choice| Statuses { choice, shown: 0 });
        Self { work, exchanges: ExchangeJoin::default(), status, out }
    }

    /// False once nothing more can be written.
    fn take(&mut self, event: Event) -> bool {
        let Self { work, exchanges, status, out } = self;
        match work {
            InspectWork::Nothing => {}
            InspectWork::Forecast { forecast, .. } => forecast.note(&event),
            _ => exchanges.take(event, |exchange| work.take(&exchange, status, out)),
        }
        out.written.is_ok()
    }

    /// Shows what is left, once all is known. Returns how many exchanges had the status that was asked for.
    fn finish(self, summary: &Summary) -> (Option<u64>, io::Result<()>) {
        let Self { mut work, exchanges, mut status, mut out } = self;
        exchanges.finish(|exchange| work.take(&exchange, &mut status, &mut out));
        let (width, color) = (terminal::width_of_stdout(), terminal::color_on_stdout());
        match work {
            InspectWork::Nothing | InspectWork::Lines(_) | InspectWork::JsonLines { .. } => {}
            InspectWork::Archive(archive) => {
                out.kept(archive.map_or(Ok(()), |archive| archive.finish().map(drop)));
            }
            InspectWork::Stats { routes, json: true } => routes.rows().iter().for_each(|row| out.json(row)),
            InspectWork::Stats { routes, json: false } => out.text(&text::routes(&routes, width, color)),
            InspectWork::Forecast { forecast, json } => {
                let outlook = forecast.finish(&summary.production.latency_us);
                if json {
                    out.json(&outlook);
                } else {
                    out.text(&text::forecast(&outlook, terminal::or_default(width), color));
                }
            }
        }
        (status.map(|status| status.shown), out.written.and_then(|()| out.to.flush()))
    }
}

impl InspectWork {
    fn take(&mut self, exchange: &JoinedExchange, status: &mut Option<Statuses>, out: &mut InspectOutput) {
        if let Some(Statuses { choice, shown }) = status {
            if !choice.has(exchange.response.as_ref().ok().map(|response| response.status)) {
                return;
            }
            *shown += 1;
        }
        match self {
            Self::Lines(listing) => out.text(&format!("{}\n", listing.line(exchange))),
            Self::JsonLines { full } => out.json_line(JsonLine::new(exchange, *full)),
            Self::Archive(archive) => {
                if let Some(archive) = archive {
                    out.kept(archive.exchange(exchange));
                }
            }
            Self::Stats { routes, .. } => routes.take(exchange),
            Self::Nothing | Self::Forecast { .. } => {}
        }
    }
}

impl InspectOutput {
    /// The value, or `None` after its error was kept: the first one counts.
    fn kept<T>(&mut self, done: io::Result<T>) -> Option<T> {
        match done {
            Ok(value) => Some(value),
            Err(error) => {
                if self.written.is_ok() {
                    self.written = Err(error);
                }
                None
            }
        }
    }

    /// Writes out what is held back.
    fn flush(&mut self) {
        if self.written.is_ok() {
            self.written = self.to.flush();
        }
    }

    fn text(&mut self, text: &str) {
        if self.written.is_ok() {
            self.written = self.to.write_all(text.as_bytes());
        }
    }

    fn json_line(&mut self, line: JsonLine<'_>) {
        if self.written.is_ok() {
            self.line.clear();
            line.write(&mut self.line);
            self.line.push(b'\n');
            self.written = self.to.write_all(&self.line);
        }
    }

    fn json(&mut self, value: &impl Serialize) {
        if self.written.is_ok() {
            self.written = serde_json::to_writer(&mut self.to, value).map_err(io::Error::from);
            self.text("\n");
        }
    }
}

/// Lines as wide as the terminal; on one they have a header.
fn listing(out: &mut InspectOutput) -> Listing {
    let width = terminal::width_of_stdout();
    let listing = Listing::new(width, terminal::color_on_stdout());
    if width.is_some() {
        out.text(&format!("{}\n", listing.header()));
    }
    listing
}

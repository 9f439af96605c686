//! `shadowtap inspect`: the exchanges of capture files, one a line. Nothing is sent.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use shadowtap::config::{self, InspectConfig, Lines};
use shadowtap::exchange::Event;
use shadowtap::http1::{Interest, Interests};
use shadowtap::pipeline;
use shadowtap::report::lines::{JsonLine, TextLine};
use shadowtap::report::{Exchange, Exchanges, InspectLedger, Started, text};

use crate::args::InspectCommand;
use crate::output::{tell, write_summary};
use crate::signals::Stop;
use crate::terminal;

/// Runs the command.
pub(crate) fn run(args: InspectCommand) -> anyhow::Result<ExitCode> {
    let InspectConfig { capture, source, lines, summary: output } = config::inspect(args.into())?;
    let started = Started::now();
    let stop = Stop::listen()?;
    let mut ledger = InspectLedger::default();
    let mut printer = Printer::new(lines);
    let engine = pipeline::inspect(source, &capture, interests(lines), &mut |event| {
        ledger.note(&event);
        printer.take(event) && !stop.asked()
    })?;
    let lines_written = printer.finish();
    let summary = ledger.finish(engine, started);
    if let Some(output) = &output {
        write_summary(output, &summary)?;
    }
    lines_written.context("cannot write the lines")?;
    if lines == Lines::Text {
        let width = terminal::or_default(terminal::width_of_stderr());
        tell(text::footer(&summary, width, terminal::colour_on_stderr()).trim_end());
    } else {
        // What went wrong is for people, wherever the figures go.
        summary.trouble.iter().for_each(|trouble| tell(&format!("warning: {trouble}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// What has to be known of bodies for these lines.
fn interests(lines: Lines) -> Interests {
    let both = |interest| Interests { request_body: interest, response_body: interest };
    match lines {
        Lines::None | Lines::Text => both(Interest::Count),
        Lines::Json { full: false } => both(Interest::Hash),
        Lines::Json { full: true } => both(Interest::Keep),
    }
}

/// Exchanges to lines on standard output. Without lines nothing is joined at all.
struct Printer {
    lines: Lines,
    exchanges: Exchanges,
    out: BufWriter<io::StdoutLock<'static>>,
    width: Option<usize>,
    colour: bool,
    written: io::Result<()>,
}

impl Printer {
    fn new(lines: Lines) -> Self {
        Self {
            lines,
            exchanges: Exchanges::default(),
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            width: terminal::width_of_stdout(),
            colour: terminal::colour_on_stdout(),
            written: Ok(()),
        }
    }

    /// False once nothing more can be written.
    fn take(&mut self, event: Event) -> bool {
        if self.lines == Lines::None {
            return true;
        }
        let Self { lines, exchanges, out, width, colour, written } = self;
        exchanges.take(event, |exchange| print(out, &exchange, *lines, *width, *colour, written));
        written.is_ok()
    }

    fn finish(self) -> io::Result<()> {
        let Self { lines, exchanges, mut out, width, colour, mut written } = self;
        exchanges.finish(|exchange| print(&mut out, &exchange, lines, width, colour, &mut written));
        written.and_then(|()| out.flush())
    }
}

fn print(
    out: &mut impl Write,
    exchange: &Exchange,
    lines: Lines,
    width: Option<usize>,
    colour: bool,
    written: &mut io::Result<()>,
) {
    if written.is_err() {
        return;
    }
    *written = match lines {
        Lines::None => Ok(()),
        Lines::Text => writeln!(out, "{}", TextLine::new(exchange, width, colour)),
        Lines::Json { full } => serde_json::to_writer(&mut *out, &JsonLine::new(exchange, full))
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n")),
    };
}

//! Files and streams that a command writes.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use anyhow::Context;
use shadowtap::config::Output;
use shadowtap::report::{Summary, html};

/// Opens `output` for buffered writing.
pub(crate) fn writer(output: &Output) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match output {
        Output::Stdout => Box::new(BufWriter::new(io::stdout())),
        Output::File(path) => {
            let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
            Box::new(BufWriter::new(file))
        }
    })
}

/// Writes the summary as one object, indented.
pub(crate) fn write_summary(output: &Output, summary: &Summary) -> anyhow::Result<()> {
    let mut to = writer(output)?;
    serde_json::to_writer_pretty(&mut to, summary)
        .map_err(io::Error::from)
        .and_then(|()| to.write_all(b"\n"))
        .and_then(|()| to.flush())
        .with_context(|| format!("cannot write the summary to {}", place(output)))
}

/// Writes the report as a page of HTML.
pub(crate) fn write_page(output: &Output, summary: &Summary) -> anyhow::Result<()> {
    let mut to = writer(output)?;
    let page = html::report(summary);
    to.write_all(page.as_bytes())
        .and_then(|()| to.flush())
        .with_context(|| format!("cannot write the report to {}", place(output)))
}

fn place(output: &Output) -> String {
    match output {
        Output::Stdout => "standard output".to_owned(),
        Output::File(path) => path.display().to_string(),
    }
}

/// One line to standard error. With nobody there to read it, the run goes on.
pub(crate) fn tell(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

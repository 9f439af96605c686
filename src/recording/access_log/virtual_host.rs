//! Lines with the server's name before them, where they are read as if they had none: the name would be the client.

use std::net::IpAddr;

use super::compile::{self, LineFormat};
use super::format::Matcher;
use super::meaning::Meaning;

/// Lines that are looked at: the format of a log does not change.
const LOOKED_AT: u32 = 8;

/// Looks whether lines begin with the name of a server.
#[derive(Debug, Default)]
pub(super) struct VirtualHostCheck {
    looked_at: u32,
    found: bool,
}

impl VirtualHostCheck {
    /// Looks at a line that was read as one of `format`.
    pub(super) fn look(&mut self, format: &str, line: &[u8]) {
        if self.found || self.looked_at >= LOOKED_AT || !matches!(format, "nginx" | "combined" | "common") {
            return;
        }
        self.looked_at += 1;
        self.found = begins_with_server(line);
    }

    /// What there is to say of that.
    pub(super) fn warning(&self, file: &str, format: &str) -> Option<String> {
        self.found.then(|| {
            format!(
                "{file}: its lines begin with the name of a server, which --format {format} takes for the client: read them with \
                 --format vhost_combined"
            )
        })
    }
}

/// Returns whether `line` begins with the name and port of a server, and the address of a client after that.
pub(super) fn begins_with_server(line: &[u8]) -> bool {
    let Ok((_, LineFormat::Text(format))) = compile::format("vhost_combined") else { return false };
    let mut matcher = Matcher::default();
    if !matcher.read(&format, line) {
        return false;
    }
    let client = format.fields.iter().position(|field| field.meaning == Meaning::Client);
    let (spans, _) = matcher.found();
    let value = client.and_then(|field| spans.get(field)).and_then(|span| line.get(span.clone()));
    value.and_then(|value| std::str::from_utf8(value).ok()).is_some_and(|value| value.parse::<IpAddr>().is_ok())
}

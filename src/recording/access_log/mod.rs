//! Access logs: lines of HAProxy, nginx and others become exchanges, as far as a log knows them.
//!
//! Into [`LogReader`] go the lines of one file, out come exchanges whose production side has a status at most. What a
//! log does not know is marked so ([`Damage::NotLogged`](crate::exchange::Damage), [`Incomplete::NotLogged`](crate::exchange::Incomplete))
//! and is neither sent nor compared.

mod compile;
mod format;
mod json;
mod layout;
mod line;
mod meaning;
mod names;
mod part;
mod reader;
mod shape;
mod skipped;
mod straight;
#[cfg(test)]
mod tests;
mod time;
mod virtual_host;

pub(super) use reader::LogReader;

use std::str::FromStr;

use format::Matcher;

use compile::LineFormat;

/// Format of access logs, as `--format` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogFormat {
    name: String,
    lines: LineFormat,
}

/// What was read of access logs, and what is known of each request in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadLog {
    /// Name of the format.
    pub format: String,
    /// Lines that are not blank.
    pub lines: u64,
    /// Requests in them.
    pub requests: u64,
    /// Lines that are not of the format, and were passed over.
    pub unread: u64,
    /// Lines without a request: nobody asked for anything, or not in HTTP.
    pub without_request: u64,
    /// Known parts of requests and production's responses, in words.
    pub known: Vec<String>,
    /// Unknown parts.
    pub unknown: Vec<String>,
}

impl ReadLog {
    /// Adds what was read of another log of the same format.
    pub(crate) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.requests += other.requests;
        self.unread += other.unread;
        self.without_request += other.without_request;
    }
}

/// A text that is no format of access logs, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AccessLogFormatError(String);

impl FromStr for AccessLogFormat {
    type Err = AccessLogFormatError;

    fn from_str(typed: &str) -> Result<Self, AccessLogFormatError> {
        compile::format(typed).map(|(name, lines)| Self { name, lines }).map_err(AccessLogFormatError)
    }
}

/// Returns the format that a file's first line seems to have, for advice.
pub(super) fn guess(line: &[u8]) -> Option<&'static str> {
    let is = |name: &str| match compile::format(name) {
        Ok((_, LineFormat::Text(format))) => Matcher::default().read(&format, line),
        _ => false,
    };
    if virtual_host::begins_with_server(line) {
        return Some("vhost_combined");
    }
    ["haproxy", "combined", "common", "vhost_combined", "haproxy-clf"].into_iter().find(|name| is(name))
}

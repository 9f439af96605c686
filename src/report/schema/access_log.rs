//! What was read of access logs.

use serde::{Deserialize, Serialize};

/// What was read of access logs, and what is known of each request in them: `lines` = `requests` + `unread` +
/// `without_request`, and those that were not reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AccessLogSummary {
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
    /// Known parts of requests and of production's responses, in words.
    pub known: Vec<String>,
    /// Unknown parts: neither sent nor compared.
    pub unknown: Vec<String>,
}

//! The first line of a report on requests that were not captured: what is known of them.

use std::fmt::Write as _;

use crate::report::schema::summary::Summary;
use crate::report::units::{counted, number};

use super::{Severity, TextReport};

/// Says what is known and what is not.
pub(super) fn line(page: &mut TextReport, summary: &Summary) {
    if summary.spoe.is_some() {
        let text =
            "From HAProxy (SPOE). Order and case of header names are HAProxy's; requests of HTTP/2 arrive as HTTP/1.1.";
        page.paragraph(text, Severity::Plain);
        page.out.push('\n');
    }
    let Some(log) = &summary.access_log else { return };
    let sent = if summary.targets.is_empty() { "" } else { ", and neither sent nor compared" };
    let mut text = format!(
        "From access logs ({}). Known: {}. Not known{sent}: {}.",
        log.format,
        log.known.join(", "),
        log.unknown.join(", ")
    );
    if log.unread > 0 {
        write!(text, " {} of {} could not be read.", number(log.unread), counted(log.lines, "line")).ok();
    }
    page.paragraph(&text, Severity::Plain);
    page.out.push('\n');
}

//! Exchanges as lines for people, in columns.
//!
//! [`JoinedExchange`]s come in, in the order of their ends, and a line of text leaves for each. Nothing is joined or counted here.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::exchange::{Damage, Request, RequestState, wire_text};
use crate::recording::JoinedExchange;
use crate::recording::jsonl_write::{latency_us, state};
use crate::report::collect::status::StatusClass;
use crate::report::units::{bytes, duration};
use crate::sanitize;

/// Columns from which there is room for the client and for the size of the request.
const ROOMY: usize = 110;

/// Fewest characters of method and target that are shown, however narrow the terminal is.
const SHORTEST_TARGET: usize = 12;

/// Widest column that grows with its content: a wider value moves the rest of its own line only.
const WIDEST: usize = 24;

/// ANSI: faint.
const FAINT: &str = "2";

/// Lines in columns: time of day, id, status, latency, size of the response body, method and target, and the state
/// where that is not `complete`; on wide terminals and where there is none, the client and the size of the request
/// body too.
///
/// The target comes after everything that has a width of its own, so that columns stay aligned however long it is; it
/// alone is shortened, in its middle. Columns whose contents grow with the capture (ids, clients) grow with it.
#[derive(Clone, Debug)]
pub struct Listing {
    width: Option<usize>,
    color: bool,
    id: usize,
    client: usize,
    method: usize,
}

impl Listing {
    /// A listing of lines of at most `width` characters, where that is given, with ANSI colors where `color`.
    #[must_use]
    pub const fn new(width: Option<usize>, color: bool) -> Self {
        Self { width, color, id: 6, client: 15, method: 4 }
    }

    /// The line above the others.
    #[must_use]
    pub fn header(&self) -> String {
        let (id, client) = (self.id, self.client);
        let client = if self.is_roomy() { format!("{:<client$} ", "client") } else { String::new() };
        let up = if self.is_roomy() { "    up " } else { "" };
        let line = format!("{:<12} {:<id$} {client}status latency {up}  down  request", "time", "id");
        self.paint(&line, FAINT).into_owned()
    }

    /// The line of `exchange`.
    #[must_use]
    pub fn line(&mut self, exchange: &JoinedExchange) -> String {
        let JoinedExchange { request, response } = exchange;
        let response = response.as_deref().ok();
        let time = request.first_byte.to_string();
        let id = request.id.to_string();
        grow(&mut self.id, &id);
        let mut before = format!("{} {id:<columns$} ", time.get(11..23).unwrap_or(&time), columns = self.id);
        if self.is_roomy() {
            let client = request.client.ip().to_string();
            grow(&mut self.client, &client);
            write!(before, "{client:<columns$} ", columns = self.client).ok();
        }
        let status = response.map_or_else(|| "     -".to_owned(), |response| format!("{:>6}", response.status));
        let mut after = format!(" {:>7} ", latency_us(exchange).map_or_else(|| "-".to_owned(), duration));
        if self.is_roomy() {
            write!(after, "{:>6} ", bytes(request.body.len)).ok();
        }
        let down = response.map_or_else(|| "-".to_owned(), |response| bytes(response.body.len));
        write!(after, "{down:>6}  ").ok();
        let state = match state(exchange) {
            // Of an access log that is all there is.
            _ if response.is_some_and(|response| response.damage == Some(Damage::NotLogged))
                && request.state == RequestState::Whole =>
            {
                String::new()
            }
            state if state == "complete" => String::new(),
            state if !self.is_roomy() => format!("  [{}]", brief(&state)),
            state => format!("  [{state}]"),
        };
        let class = StatusClass::of(response.map(|response| response.status));
        let used = width(&before) + width(&status) + width(&after) + width(&state);
        let what = self.what(request, self.width.map(|width| width.saturating_sub(used).max(SHORTEST_TARGET)));
        let status = class.color().map_or(Cow::Borrowed(status.as_str()), |color| self.paint(&status, color));
        let color_of_state = StatusClass::None.color().unwrap_or(FAINT);
        format!("{}{status}{after}{what}{}", self.paint(&before, FAINT), self.paint(&state, color_of_state))
    }

    /// Method and target in `room` characters, fit for a terminal.
    fn what(&mut self, request: &Request, room: Option<usize>) -> String {
        let method = sanitize::line(&wire_text(request.method())).into_owned();
        grow(&mut self.method, &method);
        let method = format!("{method:<columns$} ", columns = self.method);
        let room = room.map(|room| room.saturating_sub(width(&method)).max(SHORTEST_TARGET / 2));
        format!("{method}{}", shortened(&sanitize::line(&wire_text(request.target())), room))
    }

    fn is_roomy(&self) -> bool {
        self.width.is_none_or(|width| width >= ROOMY)
    }

    fn paint<'a>(&self, text: &'a str, color: &str) -> Cow<'a, str> {
        if self.color && !text.is_empty() { format!("\x1b[{color}m{text}\x1b[0m").into() } else { text.into() }
    }
}

/// Of what is wrong with a request, that it is; of what is wrong with a response, what.
fn brief(state: &str) -> &str {
    match state.split_once(": ") {
        Some(("response damaged", why)) => why,
        Some((what, _)) => what,
        None => state,
    }
}

fn grow(column: &mut usize, text: &str) {
    *column = (*column).max(width(text).min(WIDEST));
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Both ends of a text that is longer than its room; the end has a third of it.
pub(super) fn shortened(text: &str, room: Option<usize>) -> Cow<'_, str> {
    let len = width(text);
    match room {
        Some(room) if len > room => {
            let end = room.saturating_sub(1) / 3;
            let begin = room.saturating_sub(1 + end);
            text.chars().take(begin).chain("…".chars()).chain(text.chars().skip(len - end)).collect()
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{ConnectionId, Damage, ExchangeId};
    use crate::testing::{request, response};

    fn exchange(line: &str, status: Option<u16>) -> JoinedExchange {
        let request = request(3, &format!("{line} HTTP/1.1\r\n\r\n"));
        JoinedExchange { request, response: status.map(response).ok_or(Damage::Gap) }
    }

    fn listed(width: Option<usize>) -> String {
        let mut late = exchange("DELETE /v2/recordings/1234567890/parts/17?force=true&reason=none", Some(503));
        late.request.id = ExchangeId::new(ConnectionId(123_456), 78);
        late.request.client = "[2001:db8::1]:5000".parse().unwrap();
        let mut listing = Listing::new(width, false);
        let mut text = listing.header();
        for exchange in
            [exchange("GET /a?b=1", Some(200)), exchange("POST /a-rather-long-target/with-a-tail", None), late]
        {
            write!(text, "\n{}", listing.line(&exchange)).unwrap();
        }
        text
    }

    #[test]
    fn lines_are_aligned_and_whole_where_there_is_no_terminal() {
        insta::assert_snapshot!(listed(None), @"
        time         id     client          status latency     up   down  request
        20:00:00.123 1.3    10.0.0.7           200  1.25ms     0B     2B  GET  /a?b=1
        20:00:00.123 1.3    10.0.0.7             -       -     0B      -  POST /a-rather-long-target/with-a-tail  [response damaged: gap]
        20:00:00.123 123456.78 2001:db8::1        503  1.25ms     0B     2B  DELETE /v2/recordings/1234567890/parts/17?force=true&reason=none
        ");
    }

    #[test]
    fn lines_fit_a_narrow_terminal() {
        let lines = listed(Some(80));
        assert!(lines.lines().all(|line| width(line) <= 80), "{lines}");
        insta::assert_snapshot!(lines, @"
        time         id     status latency   down  request
        20:00:00.123 1.3       200  1.25ms     2B  GET  /a?b=1
        20:00:00.123 1.3         -       -      -  POST /a-rather-long-t…h-a-tail  [gap]
        20:00:00.123 123456.78    503  1.25ms     2B  DELETE /v2/recordings/123…son=none
        ");
    }

    #[test]
    fn lines_fit_a_wide_terminal() {
        let lines = listed(Some(120));
        assert!(lines.lines().all(|line| width(line) <= 120), "{lines}");
        insta::assert_snapshot!(lines, @"
        time         id     client          status latency     up   down  request
        20:00:00.123 1.3    10.0.0.7           200  1.25ms     0B     2B  GET  /a?b=1
        20:00:00.123 1.3    10.0.0.7             -       -     0B      -  POST /a-rather-long-t…-a-tail  [response damaged: gap]
        20:00:00.123 123456.78 2001:db8::1        503  1.25ms     0B     2B  DELETE /v2/recordings/1234567890/par…ue&reason=none
        ");
    }

    #[test]
    fn statuses_are_colored_by_class() {
        let mut listing = Listing::new(None, true);
        for (status, color) in [(200, "32"), (304, "36"), (404, "33"), (503, "31")] {
            let line = listing.line(&exchange("GET /", Some(status)));
            assert!(line.contains(&format!("\x1b[{color}m   {status}\x1b[0m")), "{line:?}");
        }
    }

    #[test]
    fn control_characters_from_the_wire_do_not_reach_the_terminal() {
        let line = Listing::new(None, false).line(&exchange("GET /\x1b[2J\x07", None));
        assert!(!line.contains('\x1b') && !line.contains('\x07'), "{line:?}");
    }

    #[test]
    fn a_text_is_shortened_in_its_middle() {
        assert_eq!(shortened("/v2/channels/17/epg", Some(13)), "/v2/chan…/epg");
        assert_eq!(shortened("/v2", Some(3)), "/v2");
        assert_eq!(shortened("/v2", None), "/v2");
    }
}

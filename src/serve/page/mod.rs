//! The live page: the report's pictures as they happen, the last differences, and the controls.
//!
//! It is the page of [`crate::report::render::html`] with a script of its own that draws the content of each event.

use serde::Serialize;
use serde_json::value::RawValue;

use super::access::Access;
use crate::report::render::html::{self, ReportPage, SCRIPT};
use crate::report::reporter::snapshot::{LiveState, Snapshot};

/// Script that requests events and puts them on the page.
const LIVE: &str = include_str!("live.js");

/// The style of what that script adds.
const STYLE: &str = include_str!("live.css");

/// The page; what it shows `first` is as any event. One that is `locked` asks for the token before it asks for events. A
/// browser that runs no scripts gets the reason why nothing moves.
pub(super) fn page(access: &Access, first: Option<&str>, locked: bool) -> String {
    let lock = if locked { attribute("locked", "") } else { String::new() };
    let token = access.page_token().map(|token| attribute("token", token)).unwrap_or_default();
    let first = first.map(|told| attribute("first", told)).unwrap_or_default();
    let style = attribute("style", STYLE);
    let fixed = format!(
        "<div class=\"static\" id=\"live\"{lock}{token}{style}{first}><h1>A run goes on</h1><p>This page draws it with a \
         script. Without one there is <a href=\"/metrics\">/metrics</a>.</p></div>"
    );
    html::page(ReportPage {
        title: "shadowtap: a run goes on",
        fixed: &fixed,
        data: "",
        scripts: &[SCRIPT, LIVE],
        connects: true,
    })
}

/// An attribute of HTML that a script reads.
fn attribute(name: &str, value: &str) -> String {
    format!(" data-{name}=\"{}\"", value.replace('&', "&amp;").replace('"', "&quot;"))
}

/// Returns the event that the page gets each second, as JSON; with the last differences where evidence was asked for.
pub(super) fn page_events(seen: &Snapshot, steers: bool, evidence: bool) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct PageEvents<'a> {
        summary: &'a RawValue,
        live: &'a LiveState,
        #[serde(skip_serializing_if = "Option::is_none")]
        differences: Option<&'a [Box<RawValue>]>,
        /// True when anybody may control the run.
        steers: bool,
    }
    let summary = if evidence { html::data(&seen.summary) } else { html::data_so_far(&seen.summary) };
    let summary = RawValue::from_string(summary)?;
    let differences = evidence.then_some(seen.differences.as_slice());
    serde_json::to_string(&PageEvents { summary: &summary, live: &seen.live, differences, steers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{Token, Tokens};

    fn access(token: Option<Token>) -> Access {
        Access::new("127.0.0.1:9184".parse().unwrap(), "127.0.0.1", Tokens { control: token, metrics: None })
    }

    #[test]
    fn the_page_has_its_own_token_and_never_the_one_of_a_file() {
        let own = access(None);
        assert!(page(&own, None, false).contains(&format!("data-token=\"{}\"", own.page_token().unwrap())));
        let token = Token::random();
        let word = token.word().to_owned();
        let text = page(&access(Some(token)), None, false);
        assert!(!text.contains(&word) && !text.contains("data-token"));
    }

    #[test]
    fn the_page_loads_nothing_and_runs_nothing_but_its_scripts() {
        // The name of a vocabulary is no address.
        let text = page(&access(None), None, false).replace("http://www.w3.org/", "");
        assert!(text.contains("default-src 'none'") && text.contains("connect-src 'self'"));
        for elsewhere in ["http://", "https://", " src=", "@import", "url("] {
            assert!(!text.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn what_the_page_begins_with_stays_inside_its_attribute() {
        let text = page(&access(None), Some("{\"a\":\"\\\"><script>alert(1)</script>&amp;\"}"), false);
        assert!(text.contains("{&quot;a&quot;:&quot;\\&quot;><script>alert(1)</script>&amp;amp;&quot;}\""), "{text}");
    }

    #[test]
    fn an_event_has_the_verdict_and_the_moment() {
        let event = |evidence| -> serde_json::Value {
            serde_json::from_str(&page_events(&Snapshot::default(), true, evidence).unwrap()).unwrap()
        };
        assert!(event(true)["differences"].is_array() && event(false)["differences"].is_null());
        let event = event(true);
        assert!(event["summary"]["verdict"].is_object() && event["live"]["targets"].is_object());
        assert_eq!(event["steers"], true);
    }
}

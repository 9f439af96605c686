//! The live page: the report's pictures as they happen, the last differences, and the controls.
//!
//! It is the page of [`crate::report::html`] with a script of its own that draws what each event tells.

use serde::Serialize;
use serde_json::value::RawValue;

use super::access::Access;
use crate::report::html::{self, Page, SCRIPT, escaped};
use crate::report::snapshot::{Live, Snapshot};

/// What asks for events and puts them on the page.
const LIVE: &str = include_str!("live.js");

/// The style of what that script adds.
const STYLE: &str = include_str!("live.css");

/// The page, before the first event.
pub(super) fn page(access: &Access) -> String {
    let token = access.page_token().map(|token| format!(" data-token=\"{}\"", escaped(token))).unwrap_or_default();
    // A style sheet has lines, which `escaped` would show as odd characters.
    let style = STYLE.replace('&', "&amp;").replace('"', "&quot;");
    let fixed = format!(
        "<div class=\"static\" id=\"live\"{token} data-style=\"{style}\"><h1>A run goes on</h1><p>This page draws it with a \
         script. Without one there is <a href=\"/metrics\">/metrics</a>.</p></div>"
    );
    html::page(Page {
        title: "shadowtap: a run goes on",
        fixed: &fixed,
        data: "",
        scripts: &[SCRIPT, LIVE],
        connects: true,
    })
}

/// What the page is told each second, as JSON.
pub(super) fn told(seen: &Snapshot, steers: bool) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Told<'a> {
        summary: &'a RawValue,
        live: &'a Live,
        differences: &'a [Box<RawValue>],
        /// Whether anybody may steer.
        steers: bool,
    }
    let summary = RawValue::from_string(html::data(&seen.summary))?;
    serde_json::to_string(&Told { summary: &summary, live: &seen.live, differences: &seen.differences, steers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Token;

    fn access(token: Option<Token>) -> Access {
        Access::new("127.0.0.1:9184".parse().unwrap(), "127.0.0.1", token)
    }

    #[test]
    fn the_page_has_its_own_token_and_never_the_one_of_a_file() {
        let own = access(None);
        assert!(page(&own).contains(&format!("data-token=\"{}\"", own.page_token().unwrap())));
        let token = Token::random();
        let word = token.word().to_owned();
        let text = page(&access(Some(token)));
        assert!(!text.contains(&word) && !text.contains("data-token"));
    }

    #[test]
    fn the_page_loads_nothing_and_runs_nothing_but_its_scripts() {
        // The name of a vocabulary is no address.
        let text = page(&access(None)).replace("http://www.w3.org/", "");
        assert!(text.contains("default-src 'none'") && text.contains("connect-src 'self'"));
        for elsewhere in ["http://", "https://", " src=", "@import", "url("] {
            assert!(!text.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn an_event_has_the_verdict_and_the_moment() {
        let event: serde_json::Value = serde_json::from_str(&told(&Snapshot::default(), true).unwrap()).unwrap();
        assert!(event["summary"]["verdict"].is_object() && event["live"]["targets"].is_object());
        assert_eq!(event["steers"], true);
    }
}

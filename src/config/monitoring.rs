//! Monitoring of a run: its HTTP server and its log output.

use super::check::parsed;
use super::mistakes::ConfigMistakes;
use super::typed;
use crate::serve::{Server, Token, Tokens};
use crate::telemetry::Telemetry;

/// Monitoring of a run.
#[derive(Debug, Default)]
pub(super) struct Monitoring {
    /// HTTP server for metrics and the live page. It is bound, and serves no requests yet.
    pub(super) server: Option<Server>,
    /// True when only warnings are printed during the run.
    pub(super) quiet: bool,
    /// Other systems that are told of the run.
    pub(super) telemetry: Telemetry,
}

/// Format of lines on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object each.
    Json,
}

impl LogFormat {
    /// As typed: `text`, `json`.
    ///
    /// # Errors
    ///
    /// Where it is neither, in words.
    pub fn parse(typed: &str) -> Result<Self, String> {
        match typed {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{typed}` is no format of the log; write text or json")),
        }
    }
}

pub(super) fn monitoring(typed: &typed::Monitoring, mistakes: &mut ConfigMistakes) -> Monitoring {
    // It has been heeded already where it is right: mistakes are told in it, too.
    if let Some(format) = &typed.log_format {
        mistakes.keep("--log-format", LogFormat::parse(format));
    }
    let files = [("--control-token-file", &typed.control_token_file), ("--metrics-token", &typed.metrics_token)];
    let [control, metrics] = files.map(|(flag, file)| {
        if file.is_some() && typed.metrics.is_none() {
            mistakes.add(flag, "there is nothing to guard without --metrics");
        }
        file.as_deref().and_then(|path| mistakes.keep_error(flag, Token::read(path)))
    });
    let tokens = Tokens { control, metrics };
    let server =
        typed.metrics.as_deref().and_then(|address| mistakes.keep_error("--metrics", Server::bind(address, tokens)));
    let telemetry = Telemetry {
        traces: parsed("--otlp", typed.otlp.as_deref(), mistakes),
        webhook: parsed("--webhook", typed.webhook.as_deref(), mistakes),
    };
    Monitoring { server, quiet: typed.quiet, telemetry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut typed::Monitoring), part: &str) -> Monitoring {
        let (mut typed, mut mistakes) = (typed::Monitoring::default(), ConfigMistakes::default());
        change(&mut typed);
        let monitoring = monitoring(&typed, &mut mistakes);
        let told = mistakes.to_string();
        assert!(if part.is_empty() { told.is_empty() } else { told.contains(part) }, "{told}");
        monitoring
    }

    #[test]
    fn nothing_is_shown_unless_it_is_asked_for() {
        assert!(check(|_| {}, "").server.is_none());
        assert!(check(|typed| typed.metrics = Some("127.0.0.1:0".to_owned()), "").server.unwrap().steers());
    }

    #[test]
    fn every_mistake_is_told_with_its_flag() {
        check(|typed| typed.metrics = Some("9184".to_owned()), "--metrics: `9184` is no address with a port");
        check(|typed| typed.otlp = Some("collector:4318".to_owned()), "--otlp: `collector` is neither http nor https");
        check(|typed| typed.webhook = Some("x".to_owned()), "--webhook: it is no URL");
        check(|typed| typed.log_format = Some("xml".to_owned()), "--log-format: `xml` is no format");
        check(|typed| typed.control_token_file = Some("/nowhere".into()), "--control-token-file: cannot read /nowhere");
        check(|typed| typed.control_token_file = Some("/nowhere".into()), "nothing to guard without --metrics");
        check(|typed| typed.metrics_token = Some("/nowhere".into()), "--metrics-token: cannot read /nowhere");
        check(|typed| typed.metrics_token = Some("/nowhere".into()), "nothing to guard without --metrics");
    }
}

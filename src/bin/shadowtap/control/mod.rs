//! `shadowtap control`: sends a command to a running run over its socket, and prints the response.

mod fleet;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::Value;
use shadowtap::middleware::Share;
use shadowtap::pipeline::RunState;
use shadowtap::sanitize;
use shadowtap::serve::control::{ControlCommand, ask, running};

use crate::args::ControlArguments;
use crate::output::{print, print_json};

/// Runs the command.
pub(crate) fn run(args: &ControlArguments) -> anyhow::Result<ExitCode> {
    let word: ControlCommand = args.word.join(" ").parse()?;
    if let Some(at) = &args.at {
        return fleet::run(args, at, word);
    }
    let socket = match &args.socket {
        Some(path) => path.clone(),
        None => only(running())?,
    };
    let answer = ask(&socket, word)?;
    let Ok(mut value) = serde_json::from_str::<Value>(&answer) else {
        bail!("{}: what it answers is no JSON: that is no run of shadowtap", socket.display());
    };
    strip(&mut value);
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        bail!("{}: {error}", socket.display());
    }
    if args.json {
        print_json(&as_json(&answer))?;
    } else {
        print(&words(&serde_json::from_value(value)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes every text in `value` one clean line. The sender is not trusted: any process of the run's user may send the
/// response.
fn strip(value: &mut Value) {
    match value {
        Value::String(text) => *text = sanitize::line(text).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(strip),
        Value::Object(values) => values.values_mut().for_each(strip),
        _ => {}
    }
}

/// One line of JSON, as it came, and fit for a terminal wherever it goes.
fn as_json(answer: &str) -> String {
    // Between the parts of it: inside of a text JSON has none of them.
    sanitize::json(answer.trim()).replace(['\n', '\r', '\t'], " ") + "\n"
}

/// The socket of the one run that there is.
fn only(mut found: Vec<PathBuf>) -> anyhow::Result<PathBuf> {
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => bail!(
            "found no run of this user: a run started with sudo belongs to who typed it, and a replay has a socket only \
             with --control PATH; name it with --socket PATH"
        ),
        (Some(last), false) => {
            found.push(last);
            let all: Vec<String> = found.iter().map(|path| format!("--socket {}", path.display())).collect();
            bail!("{} runs go on: say which one, {}", found.len(), all.join(" or "))
        }
    }
}

/// Returns the status of a run as text for people.
fn words(state: &RunState) -> String {
    let mut text = format!("share {}", Share(state.share).rounded());
    if let Some(ramp) = &state.ramp {
        write!(text, ", step {} of {} of the ramp", ramp.step, ramp.steps).ok();
        if let Some(held) = &ramp.held {
            write!(text, " (held: {})", sanitize::line(held)).ok();
        }
    }
    for (is_so, what) in [(state.paused, ", paused"), (state.stopping, ", about to end")] {
        text.push_str(if is_so { what } else { "" });
    }
    if let Some(saves) = state.saves {
        write!(text, ", saves asked for: {saves}").ok();
    }
    text.push('\n');
    for target in &state.targets {
        let name = sanitize::line(&target.target);
        let Some(guard) = &target.guard else {
            writeln!(text, "{name}: no guard").ok();
            continue;
        };
        write!(text, "{name}: guard {}", guard.state.key()).ok();
        if guard.held_share > 0.0 {
            write!(text, ", {} held back", Share(guard.held_share).rounded()).ok();
        }
        if let Some(waits_for) = &target.waits_for {
            write!(text, "; {}", sanitize::line(waits_for)).ok();
        }
        if let Some(reason) = &guard.reason {
            write!(text, "; last: {}", sanitize::line(reason)).ok();
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use shadowtap::pipeline::{RampState, TargetState};
    use shadowtap::replay::GuardState;
    use shadowtap::report::TargetGuard;

    use super::*;

    #[test]
    fn a_run_that_is_the_only_one_need_not_be_named() {
        assert_eq!(only(vec!["/a".into()]).unwrap(), PathBuf::from("/a"));
        assert!(only(Vec::new()).unwrap_err().to_string().contains("--socket PATH"));
        let several = only(vec!["/a".into(), "/b".into()]).unwrap_err().to_string();
        assert_eq!(several, "2 runs go on: say which one, --socket /a or --socket /b");
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        let answer = "{\"a\":[{\"b\":\"x\\u001b[2J\u{9b}1m\u{202e}y\\n\"}],\r\n\"c\":1}\n";
        let mut value: Value = serde_json::from_str(answer).unwrap();
        strip(&mut value);
        assert_eq!(value["a"][0]["b"], "x\u{fffd}[2J\u{fffd}1m\u{fffd}y\u{fffd}");
        let line = as_json(answer);
        assert_eq!(line, "{\"a\":[{\"b\":\"x\\u001b[2J\\u009b1m\\u202ey\\n\"}],  \"c\":1}\n");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), serde_json::from_str::<Value>(answer).unwrap());
    }

    #[test]
    fn how_a_run_stands_is_said_in_a_line_a_target() {
        let mut guard = TargetGuard::default();
        (guard.state, guard.held_share) = (GuardState::Throttled, 0.5);
        (guard.trips, guard.reason) = (1, Some("why".to_owned()));
        let state = RunState {
            share: 0.25,
            paused: true,
            stopping: false,
            ramp: Some(RampState { step: 2, steps: 5, held: None }),
            targets: vec![
                TargetState {
                    target: "http://new".to_owned(),
                    guard: Some(guard),
                    waits_for: Some("lets in 100% once all is well for 10s".to_owned()),
                },
                TargetState { target: "http://other".to_owned(), ..TargetState::default() },
            ],
            saves: None,
        };
        assert_eq!(
            words(&state),
            "share 25%, step 2 of 5 of the ramp, paused\nhttp://new: guard throttled, 50% held back; lets in 100% once all is well for 10s; last: why\n\
             http://other: no guard\n"
        );
    }
}

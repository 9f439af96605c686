//! `shadowtap control`: a word to a run that goes on, over its socket, and what it answers.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use shadowtap::middleware::Share;
use shadowtap::pipeline::State;
use shadowtap::sanitise;
use shadowtap::serve::control::{Word, running};

use crate::args::ControlCommand;
use crate::output::{print, print_json};

/// Longest wait for an answer: a run that goes on gives it at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the command.
pub(crate) fn run(args: &ControlCommand) -> anyhow::Result<ExitCode> {
    let word: Word = args.word.join(" ").parse()?;
    let socket = match &args.socket {
        Some(path) => path.clone(),
        None => only(running())?,
    };
    let answer = ask(&socket, word)?;
    let refused = serde_json::from_str::<serde_json::Value>(&answer).ok();
    if let Some(error) = refused.as_ref().and_then(|answer| answer.get("error")?.as_str()) {
        bail!("{}: {}", socket.display(), sanitise::line(error));
    }
    if args.json {
        print_json(&answer)?;
    } else {
        print(&words(&serde_json::from_str(&answer)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The socket of the one run that there is.
fn only(mut found: Vec<PathBuf>) -> anyhow::Result<PathBuf> {
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => bail!(
            "no run that goes on was found for this user: a run that sudo began belongs to who typed it, and one of \
             files has a socket only with --control PATH; name it with --socket PATH"
        ),
        (Some(last), false) => {
            found.push(last);
            let all: Vec<String> = found.iter().map(|path| format!("--socket {}", path.display())).collect();
            bail!("{} runs go on: say which one, {}", found.len(), all.join(" or "))
        }
    }
}

fn ask(socket: &Path, word: Word) -> anyhow::Result<String> {
    let place = || format!("cannot speak to the run at {}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(place)?;
    stream.set_read_timeout(Some(PATIENCE)).with_context(place)?;
    stream.write_all(format!("{word}\n").as_bytes()).with_context(place)?;
    stream.shutdown(Shutdown::Write).with_context(place)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(place)?;
    Ok(answer)
}

/// How a run stands, for people.
fn words(state: &State) -> String {
    let mut text = format!("share {}", Share(state.share).rounded());
    if let Some(ramp) = &state.ramp {
        write!(text, ", step {} of {} of the ramp", ramp.step, ramp.steps).ok();
        if let Some(held) = &ramp.held {
            write!(text, " (held: {})", sanitise::line(held)).ok();
        }
    }
    for (is_so, what) in [(state.paused, ", paused"), (state.stopping, ", about to end")] {
        text.push_str(if is_so { what } else { "" });
    }
    text.push('\n');
    for target in &state.targets {
        let name = sanitise::line(&target.target);
        let Some(guard) = &target.guard else {
            writeln!(text, "{name}: no guard").ok();
            continue;
        };
        write!(text, "{name}: guard {}", guard.state.key()).ok();
        if guard.held_share > 0.0 {
            write!(text, ", {} held back", Share(guard.held_share).rounded()).ok();
        }
        match &guard.reason {
            Some(reason) => writeln!(text, "; last: {}", sanitise::line(reason)).ok(),
            None => writeln!(text).ok(),
        };
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
    fn how_a_run_stands_is_said_in_a_line_a_target() {
        let guard =
            TargetGuard { state: GuardState::Lowered, held_share: 0.5, trips: 1, reason: Some("why".to_owned()) };
        let state = State {
            share: 0.25,
            paused: true,
            stopping: false,
            ramp: Some(RampState { step: 2, steps: 5, held: None }),
            targets: vec![
                TargetState { target: "http://new".to_owned(), guard: Some(guard) },
                TargetState { target: "http://other".to_owned(), guard: None },
            ],
        };
        assert_eq!(
            words(&state),
            "share 25%, step 2 of 5 of the ramp, paused\nhttp://new: guard lowered, 50% held back; last: why\n\
             http://other: no guard\n"
        );
    }
}

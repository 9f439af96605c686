//! What people are told of ramps, guards and controls: at the start, and with each step.

use std::sync::Arc;

use anyhow::Context;
use indicatif::ProgressBar;
use shadowtap::config::Protection;
use shadowtap::pipeline::Control;
use shadowtap::replay::guard::GuardAction;
use shadowtap::serve::control::{ControlCommand, Location, Socket, SocketError, SocketLocation, serve};

use crate::output::print_line;

/// Tells each step as it comes, above the line that moves.
pub(crate) fn listen(control: &Control, bar: &ProgressBar) {
    let bar = bar.clone();
    control.listen(Arc::new(move |step| bar.suspend(|| print_line(&step.to_string()))));
}

/// Makes the folder of the socket over which a run is steered; `owner` is who the run is about to become. The socket itself
/// is made once it has.
pub(crate) fn prepare(place: &SocketLocation, owner: Option<(u32, u32)>) -> anyhow::Result<Option<Location>> {
    Ok(where_asked(place, place.prepare(owner))?.flatten())
}

/// Makes the socket over which a run is steered.
pub(crate) fn socket(place: &SocketLocation, location: Option<Location>) -> anyhow::Result<Option<Socket>> {
    let bound = location.map(|location| where_asked(place, location.bind())).transpose()?;
    Ok(bound.flatten())
}

/// That there is no socket where none was asked for by name is told, and the run goes on.
fn where_asked<T>(place: &SocketLocation, made: Result<T, SocketError>) -> anyhow::Result<Option<T>> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error) if *place == SocketLocation::Default => {
            print_line(&format!("warning: {error}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Listens to what is said at `socket`, and says where that is.
pub(crate) fn open(socket: Option<&Socket>, control: &Control) -> anyhow::Result<()> {
    let Some(socket) = socket else { return Ok(()) };
    let control = control.clone();
    serve(socket, Arc::new(move |word| steer(&control, word))).context("cannot listen at the control socket")?;
    print_line(&format!("steered by: shadowtap control --socket {}", socket.path().display()));
    Ok(())
}

/// Does what was said, and says how the run stands then.
fn steer(control: &Control, word: ControlCommand) -> String {
    match word {
        ControlCommand::Sample(share) => control.set_share(share),
        ControlCommand::Pause => control.pause(),
        ControlCommand::Resume => control.resume(),
        ControlCommand::Stop => control.stop(),
        ControlCommand::Status => {}
    }
    serde_json::to_string(&control.state()).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// Tells what spares the targets.
pub(crate) fn announce(asked: &Protection) {
    for line in sparing(asked) {
        print_line(&line);
    }
}

/// What spares the targets, in words for the first lines of a run.
fn sparing(asked: &Protection) -> Vec<String> {
    let ramp = asked.ramp.as_ref().map(|plan| format!("ramp: {plan}"));
    let guard = asked.guard.as_ref().map(|guard| {
        let then = match guard.action {
            GuardAction::Hold => "no more than it gets, until all is well again",
            GuardAction::StepDown => "half of what it gets, until all is well again",
            GuardAction::Pause => "a trickle, until all is well again",
            GuardAction::Stop => "nothing any more",
        };
        let limits: Vec<String> = guard.conditions.iter().map(ToString::to_string).collect();
        let limits = if limits.is_empty() { "as the command says".to_owned() } else { limits.join(",") };
        format!("guard: {limits}; past it a target gets {then}")
    });
    ramp.into_iter().chain(guard).collect()
}

#[cfg(test)]
mod tests {
    use shadowtap::replay::guard::GuardSettings;

    use super::*;

    #[test]
    fn the_first_lines_say_what_spares_the_target() {
        let asked = Protection {
            ramp: Some("1%:45s,100%".parse().unwrap()),
            guard: Some(GuardSettings::of_shadow()),
            ..Protection::default()
        };
        assert_eq!(
            sparing(&asked),
            ["ramp: 1%:45s,100%", "guard: errors>=100%/30s; past it a target gets a trickle, until all is well again"]
        );
        assert_eq!(sparing(&Protection::default()), Vec::<String>::new());
    }
}

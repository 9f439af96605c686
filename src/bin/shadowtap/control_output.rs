//! The control socket of a run, and what is told of each step.

use std::sync::Arc;

use anyhow::Context;
use indicatif::ProgressBar;
use shadowtap::help;
use shadowtap::pipeline::Control;
use shadowtap::serve::control::{ControlCommand, Location, Socket, SocketError, SocketLocation, serve};

use crate::output::print_line;

/// Prints each step as it comes, above the progress lines.
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

/// Returns the socket if it was made. For the default location, a failure is a warning and the run continues; for a
/// location named by the user, it is an error.
fn where_asked<T>(place: &SocketLocation, made: Result<T, SocketError>) -> anyhow::Result<Option<T>> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error) if *place == SocketLocation::Default => {
            print_line(&format!("warning: {}", help::say(&error)));
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

/// Does what was said, and says how the run stands then. Who is faster than the run waits for its beginning.
fn steer(control: &Control, word: ControlCommand) -> String {
    control.wait_for_begin();
    if word == ControlCommand::Save && !control.can_save() {
        return "{\"error\":\"this run keeps nothing to save: start it with record --keep 10m\"}".to_owned();
    }
    control.obey(word);
    serde_json::to_string(&control.state()).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

//! The clock of this host: times of several machines are compared only where it is right.

use std::process::{Command, Stdio};

use super::Finding;

/// Returns whether the system's clock is kept by NTP, as far as the system says.
#[must_use]
pub fn clock() -> Finding {
    let mut command = Command::new("timedatectl");
    command.args(["show", "-p", "NTPSynchronized", "--value"]).stdin(Stdio::null()).stderr(Stdio::null());
    let said = command.output().ok().filter(|output| output.status.success());
    said_of(said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).as_deref())
}

fn said_of(synchronized: Option<&str>) -> Finding {
    match synchronized {
        Some("yes") => Finding::ok("clock", "kept by NTP"),
        Some(_) => Finding::note(
            "clock",
            "not kept by NTP: times in recordings of several machines do not fit together",
            "sudo timedatectl set-ntp true",
        ),
        None => Finding::ok("clock", "nothing here says whether NTP keeps it (no timedatectl)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_that_nobody_keeps_is_noted() {
        assert_eq!(said_of(Some("yes")).state, State::Ok);
        assert_eq!(said_of(Some("no")).mend.as_deref(), Some("sudo timedatectl set-ntp true"));
        assert_eq!(said_of(None).state, State::Ok);
    }
}

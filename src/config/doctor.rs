//! A check-up: what would be captured, where it would go, and what of that cannot even be begun.

use std::path::PathBuf;
use std::time::Duration;

use super::mistakes::ConfigMistakes;
use super::run::{self, RunConfig};
use super::{check, typed};
use crate::middleware::ChainSettings;
use crate::replay::SendSettings;

/// A check-up that can be carried out.
pub struct DoctorConfig {
    /// The capture, as a recording that is only rehearsed; or why it cannot be opened.
    pub capture: Result<RunConfig, ConfigMistakes>,
    /// Ports that are asked for.
    pub ports: Vec<u16>,
    /// Targets.
    pub targets: Vec<SendSettings>,
    /// Recording whose place is looked at.
    pub output: Option<PathBuf>,
    /// Length of the run, where it is known.
    pub duration: Option<Duration>,
    /// Time for which the traffic is counted.
    pub listen: Option<Duration>,
}

/// Checks what `shadowtap doctor` was asked for; the interfaces are opened. That they cannot be is a finding, and no mistake.
///
/// # Errors
///
/// Every mistake in the flags.
pub fn doctor(typed: &typed::Doctor) -> Result<DoctorConfig, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let ports = check::ports(&typed.live.ports, &mut mistakes);
    if typed.live.spoe.is_some() {
        mistakes.add("--spoe", "doctor looks at interfaces; HAProxy is looked at with shadow --spoe ... --dry-run");
    }
    let seconds = |flag, typed: &Option<String>, mistakes: &mut ConfigMistakes| {
        typed.as_deref().and_then(|typed| mistakes.keep(flag, check::long_time(typed)))
    };
    let listen = seconds("--listen", &typed.listen, &mut mistakes);
    let duration = seconds("--duration", &typed.duration, &mut mistakes);
    let (pace, chain) = (typed::Pace::default(), ChainSettings::default());
    let targets = if typed.send.to.is_empty() {
        Vec::new()
    } else {
        super::targets(&typed.send, &pace, &chain, None, &mut mistakes, &mut Vec::new())
    };
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let recording = typed::Recording { output: Some(PathBuf::from("-")), ..typed::Recording::default() };
    let control = typed::Control { control: Some(PathBuf::from("off")) };
    let running = typed::Running { control, ..typed::Running::default() };
    let capture =
        run::record(&typed::Record { live: typed.live.clone(), recording, running, ..typed::Record::default() });
    Ok(DoctorConfig { capture, ports, targets, output: typed.output.clone(), duration, listen })
}

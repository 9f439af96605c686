//! A check-up: what would be captured, where it would go, and what of that cannot even be begun.

use std::path::PathBuf;
use std::time::Duration;

use super::mistakes::ConfigMistakes;
use super::run::{self, RunConfig};
use super::{check, store, typed};
use crate::middleware::ChainSettings;
use crate::recording::StoreUse;
use crate::recording::access::StoreAccess;
use crate::recording::place::{self, StoreUrl};
use crate::replay::SendSettings;

/// A check-up that can be carried out.
pub struct DoctorConfig {
    /// The capture, as a recording that is only rehearsed; or why it cannot be opened. `None` where a recording is replayed.
    pub capture: Option<Result<RunConfig, ConfigMistakes>>,
    /// Ports that are asked for.
    pub ports: Vec<u16>,
    /// Targets.
    pub targets: Vec<SendSettings>,
    /// Recording into a file whose place is looked at.
    pub output: Option<PathBuf>,
    /// Recordings in stores, and what a run would do with them.
    pub stores: Vec<(StoreUrl, StoreAccess, StoreUse)>,
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
    let stores = stores(typed, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let recording = typed::Recording { output: Some(PathBuf::from("-")), ..typed::Recording::default() };
    let control = typed::Control { control: Some(PathBuf::from("off")) };
    let running = typed::Running { control, ..typed::Running::default() };
    let record = typed::Record { live: typed.live.clone(), recording, running, ..typed::Record::default() };
    let capture = typed.input.is_none().then(|| run::record(&record));
    let output = typed.output.clone().filter(|output| !place::is_store(output));
    Ok(DoctorConfig { capture, ports, targets, output, stores, duration, listen })
}

/// The recordings in stores that the run would use.
fn stores(typed: &typed::Doctor, mistakes: &mut ConfigMistakes) -> Vec<(StoreUrl, StoreAccess, StoreUse)> {
    if let Some(input) = typed.input.as_ref().filter(|input| !place::is_store(input)) {
        let words = format!(
            "{}: doctor looks at recordings on NATS, such as nats://10.0.0.5/evening; `shadowtap inspect` looks at files",
            input.display()
        );
        mistakes.add("", words);
        return Vec::new();
    }
    let named = [(&typed.input, StoreUse::Replay), (&typed.output, StoreUse::Record)];
    let mut stores = Vec::new();
    for (name, to) in named.into_iter().filter_map(|(name, to)| Some((name.as_ref()?, to))) {
        match store::fleet(name, &typed.store) {
            Ok(found) => stores.extend(found.map(|(url, access)| (url, access, to))),
            Err(more) => more.all().iter().for_each(|mistake| mistakes.add(mistake.flag.clone(), &mistake.message)),
        }
    }
    stores
}

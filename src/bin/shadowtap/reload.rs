//! Reload of the chain files of a run in progress, on SIGHUP.

use shadowtap::middleware::route::TargetNames;
use shadowtap::report::units::counted;
use shadowtap::{config, middleware, replay};
use tokio::sync::watch;

use crate::output::print_line;

/// Reads the files of one chain again, and hands what they say to the run.
pub(crate) struct Reload {
    settings: middleware::ChainSettings,
    targets: TargetNames,
    to: watch::Sender<Option<middleware::ChainSettings>>,
}

impl Reload {
    /// For the chain that `settings` describe, on its way to `targets`.
    pub(crate) fn new(
        settings: &middleware::ChainSettings,
        targets: &[replay::SendSettings],
    ) -> (Self, watch::Receiver<Option<middleware::ChainSettings>>) {
        let (to, reloads) = watch::channel(None);
        let names = || targets.iter().map(|target| target.name.clone()).collect();
        let targets = if targets.is_empty() { TargetNames::Any } else { TargetNames::Named(names()) };
        (Self { settings: settings.clone(), targets, to }, reloads)
    }

    /// Checks whether the files can be read again with the privileges that are left, and warns if not.
    pub(crate) fn try_out(&self) {
        if let Err(mistakes) = config::reread(&self.settings, &self.targets) {
            let why = mistakes.all().first().map(|mistake| format!(": {}", mistake.message)).unwrap_or_default();
            print_line(&format!("warning: SIGHUP will not read the chain files again{why}"));
        }
    }

    /// Reads the files again. If any has a mistake, all of them stay as they are, and the mistakes are reported.
    pub(crate) fn read(&self) {
        let files = self.settings.files.len() + self.settings.for_targets.len();
        if files == 0 {
            return;
        }
        match config::reread(&self.settings, &self.targets) {
            // A run that has ended needs no new chain.
            Ok(settings) => {
                if self.to.send(Some(settings)).is_ok() {
                    print_line(&format!("read again: {}", counted(files as u64, "chain file")));
                }
            }
            Err(mistakes) => {
                for mistake in mistakes.all() {
                    print_line(&format!("error: {}", mistake.message));
                }
                print_line("the chain stays as it was: mend the file, and send SIGHUP again");
            }
        }
    }
}

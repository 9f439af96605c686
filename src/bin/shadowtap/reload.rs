//! Reload of the chain files of a run in progress, and of its configuration file, on SIGHUP.

use std::collections::BTreeSet;
use std::ffi::OsString;

use shadowtap::config::{ConfigChanges, ConfigMistakes, RELOADABLE};
use shadowtap::middleware::route::TargetNames;
use shadowtap::pipeline::Control;
use shadowtap::replay::guard::GuardSettings;
use shadowtap::report::units::counted;
use shadowtap::{config, middleware, replay};
use tokio::sync::watch;

use crate::args::Command;
use crate::output::print_line;
use crate::usage::UsageError;
use crate::{config_file, gor, usage};

/// Reads the files of one chain again, and hands what they say to the run.
pub(crate) struct Reload {
    settings: middleware::ChainSettings,
    targets: TargetNames,
    to: watch::Sender<Option<middleware::ChainSettings>>,
    /// The words of the configuration file, where there is one, and the guard that they came to.
    file: Option<(Vec<OsString>, Option<GuardSettings>)>,
    control: Control,
}

impl Reload {
    /// For the chain that `settings` describe, on its way to `targets`.
    pub(crate) fn new(
        settings: &middleware::ChainSettings,
        targets: &[replay::SendSettings],
        has_file: bool,
        control: &Control,
    ) -> (Self, watch::Receiver<Option<middleware::ChainSettings>>) {
        let (to, reloads) = watch::channel(None);
        let names = || targets.iter().map(|target| target.name.clone()).collect();
        let guard = targets.first().and_then(|target| target.guard.clone());
        let targets = if targets.is_empty() { TargetNames::Any } else { TargetNames::Named(names()) };
        let file = has_file.then(|| (config_file::last_words(), guard));
        (Self { settings: settings.clone(), targets, to, file, control: control.clone() }, reloads)
    }

    /// Checks whether the files can be read again with the privileges that are left, and warns if not.
    pub(crate) fn try_out(&self) {
        if let Err(mistakes) = config::reread(&self.settings, &self.targets) {
            let why = mistakes.all().first().map(|mistake| format!(": {}", mistake.message)).unwrap_or_default();
            print_line(&format!("warning: SIGHUP will not read the chain files again{why}"));
        }
    }

    /// Reads the files again. If any has a mistake, all of them stay as they are, and the mistakes are reported.
    pub(crate) fn read(&mut self) {
        if self.file.is_some() {
            return self.read_file();
        }
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

    /// Reads the configuration file again, and the chain files that it names now.
    fn read_file(&mut self) {
        let changes = match again(&self.settings) {
            Ok(changes) => changes,
            Err(mistakes) => {
                for mistake in mistakes.all() {
                    let colon = if mistake.flag.is_empty() { "" } else { ": " };
                    let place = config_file::place_of(&mistake.flag);
                    print_line(&format!("error: {place}{}{colon}{}", mistake.flag, mistake.message));
                }
                return print_line("the run goes on as it was: mend the file, and send SIGHUP again");
            }
        };
        let ConfigChanges { middleware, guard } = changes;
        let Some((words, guarded)) = &mut self.file else { return };
        let (now, before) = (config_file::last_words(), std::mem::take(words));
        let names = changed(&before, &now);
        let (taken, left): (Vec<_>, Vec<_>) = names.iter().partition(|name| RELOADABLE.contains(&name.as_str()));
        // A run without a guard has nothing that it could be given to.
        let (taken, left) = match (&guarded, &guard) {
            (Some(_), Some(_)) | (None, None) => (taken, left),
            _ => {
                let is_guard = |name: &&String| name.as_str() == "guard" || name.as_str() == "on-guard";
                let (guards, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_guard);
                (others, [left, guards].concat())
            }
        };
        *words = now;
        if middleware.sample.0.to_bits() != self.settings.sample.0.to_bits() {
            self.control.configure_share(middleware.sample);
        }
        if let (Some(old), Some(new)) = (&*guarded, &guard)
            && old != new
        {
            self.control.configure_guard(new.clone());
        }
        *guarded = guard;
        self.settings = middleware.clone();
        if self.to.send(Some(middleware)).is_err() {
            return;
        }
        let list = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let news =
            if taken.is_empty() { "nothing new for this run".to_owned() } else { format!("{} changed", list(&taken)) };
        print_line(&format!("read again: the configuration; {news}"));
        if !left.is_empty() {
            print_line(&format!("warning: read at the start alone, so a restart is needed: {}", list(&left)));
        }
    }
}

/// What the command line says with its configuration file as it is now.
fn again(before: &middleware::ChainSettings) -> Result<ConfigChanges, ConfigMistakes> {
    let told = |error: &dyn std::fmt::Display| {
        let mut mistakes = ConfigMistakes::default();
        mistakes.add("", error.to_string().trim());
        mistakes
    };
    let cli = usage::parse(gor::words(std::env::args_os()).into_iter()).map_err(|error| match error {
        UsageError::Words(error) => told(&error.render()),
        UsageError::File(error) => match error.downcast::<ConfigMistakes>() {
            Ok(mistakes) => mistakes,
            Err(error) => told(&error),
        },
    })?;
    config_file::with_mistakes(|| match &cli.command {
        Command::Shadow(typed) => config::changes_of_shadow(typed, before),
        Command::Record(typed) => config::changes_of_record(typed, before),
        _ => Err(told(&"this run has no configuration that can be read again")),
    })
}

/// The names of flags whose words differ.
fn changed(before: &[OsString], now: &[OsString]) -> Vec<String> {
    let of = |words: &[OsString]| -> BTreeSet<String> {
        let words = words.iter().map(|word| word.to_string_lossy().into_owned());
        // The order of a list counts.
        words
            .enumerate()
            .map(|(at, word)| if word.starts_with("--filters=") { format!("{word}\0{at}") } else { word })
            .collect()
    };
    let (before, now) = (of(before), of(now));
    let names = before.symmetric_difference(&now).map(|word| {
        let name = word.split('=').next().unwrap_or_default().trim_start_matches('-');
        if word.starts_with("--") { name.to_owned() } else { "files".to_owned() }
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_differ_are_named_once() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let before = words(&["--sample=1%", "--to=http://a", "--quiet", "--filters=a", "--filters=b"]);
        let now = words(&["--sample=2%", "--to=http://a", "--to=http://b", "--filters=b", "--filters=a"]);
        assert_eq!(changed(&before, &now), ["filters", "quiet", "sample", "to"]);
        assert!(changed(&before, &before).is_empty());
    }
}

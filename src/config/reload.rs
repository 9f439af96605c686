//! The part of a configuration that may change while a run goes on: which requests, how they are changed, and guards.

use super::mistakes::ConfigMistakes;
use super::{chain, protection, typed};
use crate::middleware::ChainSettings;
use crate::middleware::route::TargetNames;
use crate::replay::guard::GuardSettings;

/// The flags whose values may change; the others are read at the start alone.
pub const RELOADABLE: [&str; 14] = [
    "sample",
    "allow-method",
    "allow-path",
    "deny-path",
    "allow-host",
    "allow-writes",
    "filters",
    "limit",
    "set-header",
    "remove-header",
    "set-cookie",
    "remove-cookie",
    "guard",
    "on-guard",
];

/// What a configuration says now of what may change.
#[derive(Debug)]
pub struct ConfigChanges {
    /// Middleware settings of the requests.
    pub middleware: ChainSettings,
    /// The guard of each target, where there is one.
    pub guard: Option<GuardSettings>,
}

/// Checks what `shadowtap shadow` is asked for now, in the place of a chain with these settings.
///
/// # Errors
///
/// Every mistake in it; then nothing is to change.
pub fn changes_of_shadow(typed: &typed::Shadow, before: &ChainSettings) -> Result<ConfigChanges, ConfigMistakes> {
    let names = super::names(&typed.send);
    changes(&typed.select, &typed.middleware, typed.writes.allow_writes, &names, Some(&typed.protection), before)
}

/// Checks what `shadowtap record` is asked for now, likewise.
///
/// # Errors
///
/// Every mistake in it; then nothing is to change.
pub fn changes_of_record(typed: &typed::Record, before: &ChainSettings) -> Result<ConfigChanges, ConfigMistakes> {
    changes(&typed.select, &typed.middleware, true, &TargetNames::Any, None, before)
}

fn changes(
    select: &typed::Select,
    middleware: &typed::Middleware,
    allow_writes: bool,
    names: &TargetNames,
    guarded: Option<&typed::Protection>,
    before: &ChainSettings,
) -> Result<ConfigChanges, ConfigMistakes> {
    let (mut mistakes, mut warnings) = (ConfigMistakes::default(), Vec::new());
    let settings = chain::settings(select, middleware, allow_writes, names, &mut mistakes, &mut warnings);
    let guard = guarded
        .map(|typed| protection::protection(typed, select, true, &mut mistakes, &mut warnings))
        .and_then(|protection| protection.guard);
    if mistakes.is_empty() {
        chain::same_carry(before, &settings.files, &mut mistakes);
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    // Who it is stays, and so does which share of whom a sample takes: the kernel may take it.
    let (run, dial, seed, sample_by) = (before.run.clone(), before.dial.clone(), before.seed, before.sample_by.clone());
    Ok(ConfigChanges { middleware: ChainSettings { run, dial, sample_by, seed, ..settings }, guard })
}

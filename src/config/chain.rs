//! Filter chain of requests: chain files, and the flags that set the same filters.

use std::path::{Path, PathBuf};

use crate::middleware::file::Environment;
use crate::middleware::limit::PerSecond;
use crate::middleware::patterns::PatternBudget;
use crate::middleware::route::TargetNames;
use crate::middleware::spec::FilterSpec;
use crate::middleware::{
    ChainFile, ChainSettings, LimitSpec, PseudonymKey, RunIdentity, SampleKey, Template, allow_deny, name_value,
};
use crate::middleware::{carry, carry_set};
use crate::replay::{self, ConnectionMode};
use crate::suggest;

use super::check::{each, parsed, regexes};
use super::mistakes::ConfigMistakes;
use super::typed;

/// Names and values to set, and names to remove.
type NameValueRules = (Vec<(String, String)>, Vec<String>);

/// Methods that change nothing (RFC 9110, 9.2.1) and are replayed without further words.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// Builds the settings of the whole filter chain for targets of these names.
pub(super) fn settings(
    select: &typed::Select,
    typed: &typed::Middleware,
    allow_writes: bool,
    targets: &TargetNames,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> ChainSettings {
    let budget = PatternBudget::default();
    let environment = Environment { targets: targets.clone(), expressions: budget.clone(), ..Environment::default() };
    let (files, for_targets) = files_of(&typed.filters, &environment, mistakes);
    let (set_headers, remove_headers) = header_rules(typed, mistakes);
    let (set_cookies, remove_cookies) = cookie_rules(typed, mistakes);
    let limit = parsed::<PerSecond>("--limit", typed.limit.as_deref(), mistakes);
    let limit = limit.map(|requests| LimitSpec { requests: Some(requests), ..LimitSpec::default() });
    let chosen = self::select(select, allow_writes, &budget, mistakes, warnings);
    let settings = ChainSettings {
        files,
        for_targets,
        run: run(),
        limit,
        set_headers,
        remove_headers,
        set_cookies,
        remove_cookies,
        ..chosen
    };
    carry_links(&settings, mistakes);
    // What a file may allow is not known of one that could not be read.
    if settings.files.len() + settings.for_targets.len() >= typed.filters.len() {
        writes_by_name(&settings, mistakes);
    }
    settings
}

/// The chain of an inspection: it matches and samples as the flags say, after these files. Nothing is sent, so secrets need
/// not exist, and every target named by a route is taken to.
pub(super) fn inspected(
    select: &typed::Select,
    filters: &[PathBuf],
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> ChainSettings {
    let environment = Environment::for_checks();
    let (files, _) = files_of(filters, &environment, mistakes);
    ChainSettings { files, ..self::select(select, true, &environment.expressions, mistakes, warnings) }
}

/// The matching and sampling half; `writes` says whether methods that change something pass, and expressions count in
/// `budget`.
pub(super) fn select(
    typed: &typed::Select,
    writes: bool,
    budget: &PatternBudget,
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> ChainSettings {
    ChainSettings {
        allow_methods: methods(&typed.allow_methods, mistakes, warnings),
        allow_paths: regexes("--allow-path", &typed.allow_paths, budget, mistakes),
        deny_paths: regexes("--deny-path", &typed.deny_paths, budget, mistakes),
        allow_hosts: each("--allow-host", &typed.allow_hosts, allow_deny::host, mistakes),
        allow_writes: writes,
        sample: parsed("--sample", typed.sample.as_deref(), mistakes).unwrap_or_default(),
        sample_by: parsed("--sample-by", typed.sample_by.as_deref(), mistakes).unwrap_or_default(),
        seed: typed.seed.as_deref().and_then(|typed| mistakes.keep("--seed", seed(typed))).unwrap_or_default(),
        ..ChainSettings::default()
    }
}

/// Samples whole connections where connections are mirrored, unless `--sample-by` was given: half of the requests on
/// each connection would still be all of the connections.
pub(super) fn sample_as_sent(
    settings: ChainSettings,
    typed: &typed::Select,
    targets: &[replay::SendSettings],
) -> ChainSettings {
    let is_mirrored = targets.iter().any(|target| target.connections == ConnectionMode::Mirrored);
    if typed.sample_by.is_none() && is_mirrored {
        return ChainSettings { sample_by: SampleKey::Connection, ..settings };
    }
    settings
}

/// Warns of a sample that tears sessions apart where their values are carried: without its login, none is known.
pub(super) fn torn_sessions(settings: &ChainSettings, ramps: bool, warnings: &mut Vec<String>) {
    let is_torn = matches!(settings.sample_by, SampleKey::Request | SampleKey::Cookie(_));
    let learns = || settings.carry_rules().iter().any(|rule| rule.from.is_some());
    if is_torn && (settings.sample.0 < 1.0 || ramps) && learns() {
        warnings.push(
            "the sample leaves out logins whose sessions are in it, and their values cannot be carried: --sample-by \
             client-ip takes all of a client, or nothing"
                .to_owned(),
        );
    }
}

/// Warns of flags that say how to sample where nothing is sampled. A forecast and a ramp have shares of their own.
pub(super) fn unsampled(typed: &typed::Select, has_shares: bool, warnings: &mut Vec<String>) {
    let pointless = [("--sample-by", typed.sample_by.is_some()), ("--seed", typed.seed.is_some())];
    for (flag, _) in pointless.iter().filter(|(_, given)| *given && typed.sample.is_none() && !has_shares) {
        warnings.push(format!("{flag} changes nothing without --sample: every request is in"));
    }
}

/// Reads chain files in their order: those for every request, and those of single targets (`new=canary.toml`), by
/// number. Reports every mistake in any of them with its location.
fn files_of(
    typed: &[PathBuf],
    environment: &Environment,
    mistakes: &mut ConfigMistakes,
) -> (Vec<ChainFile>, Vec<(usize, ChainFile)>) {
    let (mut files, mut for_targets) = (Vec::new(), Vec::new());
    for path in typed {
        let of = path.to_str().and_then(|text| text.split_once('=')).map(|(name, file)| (name, Path::new(file)));
        match of {
            Some((name, file)) if !path.exists() => match &environment.targets {
                targets @ TargetNames::Named(_) => {
                    let file = read(file, environment, mistakes);
                    let known = mistakes.keep("--filters", targets.check(name));
                    if let (Some(file), Some(())) = (file, known) {
                        let numbers = targets.numbers(name).unwrap_or_default();
                        for_targets.extend(numbers.iter().map(|target| (*target, file.clone())));
                    }
                }
                // Nothing goes to a target: what is done on the way to one is not asked.
                TargetNames::Any => drop(read(file, environment, mistakes)),
            },
            _ => files.extend(read(path, environment, mistakes)),
        }
    }
    (files, for_targets)
}

fn read(path: &Path, environment: &Environment, mistakes: &mut ConfigMistakes) -> Option<ChainFile> {
    let read = ChainFile::read(path, environment);
    let meant = suggest::file_beside(path).map(|meant| format!("; {meant}")).unwrap_or_default();
    read.map_err(|all| all.into_iter().for_each(|mistake| mistakes.add("", format!("{mistake}{meant}")))).ok()
}

/// The same settings with their chain files read again: all of them, or none where one has a mistake.
///
/// # Errors
///
/// Every mistake in them.
pub fn reread(settings: &ChainSettings, targets: &TargetNames) -> Result<ChainSettings, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    // The expressions of flags stay, and count.
    let budget = PatternBudget::with([&settings.allow_paths, &settings.deny_paths]);
    let environment = Environment { targets: targets.clone(), expressions: budget, ..Environment::default() };
    let mut again = |file: &ChainFile| read(&file.path, &environment, &mut mistakes);
    let files: Vec<ChainFile> = settings.files.iter().filter_map(&mut again).collect();
    let for_targets = settings.for_targets.iter().filter_map(|(of, file)| Some((*of, again(file)?))).collect();
    if mistakes.is_empty() {
        same_carry(settings, &files, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(ChainSettings { files, for_targets, ..settings.clone() }) } else { Err(mistakes) }
}

/// Checks that files that were read again carry the same values.
pub(super) fn same_carry(before: &ChainSettings, files: &[ChainFile], mistakes: &mut ConfigMistakes) {
    let carries = |files: &[ChainFile]| format!("{:?}", ChainSettings::carry_rules_of(files));
    if carries(files) != carries(&before.files) {
        let why = "a carry link has changed, and values are known under those that the run began with: start it anew";
        mistakes.add("--filters", why);
    }
}

/// What holds of all `carry` links together.
fn carry_links(settings: &ChainSettings, mistakes: &mut ConfigMistakes) {
    let rules = settings.carry_rules();
    for (at, rule) in rules.iter().enumerate() {
        if rules.iter().take(at).any(|earlier| earlier.name == rule.name) {
            mistakes.add("--filters", carry::same_name(&rule.name));
        }
    }
    if rules.len() > carry_set::MAX_RULES {
        mistakes.add("--filters", carry::too_many(rules.len()));
    }
    let of_target = |file: &ChainFile| file.links.iter().any(FilterSpec::carries);
    if let Some((_, file)) = settings.for_targets.iter().find(|(_, file)| of_target(file)) {
        let file = file.path.display();
        let why =
            format!("{file} is for one target only, and has a carry link; values are kept apart by target anyway");
        mistakes.add("--filters", format!("{why}: move the link to a file for all of them"));
    }
}

/// Contradictions with a Host that is to stay as captured.
pub(super) fn keeps_host(settings: &ChainSettings, mistakes: &mut ConfigMistakes) {
    let host = |name: &String| name.eq_ignore_ascii_case("host");
    if settings.set_headers.iter().any(|(name, _)| host(name)) {
        let why = "contradict each other: the one keeps what the other replaces";
        mistakes.add("--keep-host and --set-header Host", why);
    } else if settings.sets_host() {
        let why = "contradict each other: a link of a chain file changes the Host that is to be kept";
        mistakes.add("--keep-host and --filters", why);
    }
    if settings.remove_headers.iter().any(host) {
        mistakes.add("--keep-host and --remove-header Host", "contradict each other");
    }
}

/// A name and a key that no other run has.
fn run() -> RunIdentity {
    RunIdentity { id: format!("{:08x}", rand::random::<u32>()), key: PseudonymKey(rand::random::<[u8; 32]>().to_vec()) }
}

/// The seed of the sample.
fn seed(typed: &str) -> Result<u64, String> {
    typed.parse().map_err(|_| format!("`{typed}` is no seed; write a whole number from 0 to {}", u64::MAX))
}

/// A write that is allowed by name and always kept back as a write is a contradiction.
fn writes_by_name(settings: &ChainSettings, mistakes: &mut ConfigMistakes) {
    for method in &settings.allow_methods {
        let passes = settings.allow_writes || SAFE.contains(&method.as_str()) || settings.allows_some(method);
        if passes {
            continue;
        }
        let upper = method.to_uppercase();
        let why = if SAFE.contains(&upper.as_str()) {
            format!("methods are told apart by case: write {upper}")
        } else {
            format!(
                "{method} is a write, and writes are kept back: add --allow-writes if you mean it, or a chain file with \
                 `allow-writes` for the routes that you mean"
            )
        };
        mistakes.add(format!("--allow-method {method}"), why);
    }
}

/// Methods that pass.
fn methods(allowed: &[String], mistakes: &mut ConfigMistakes, warnings: &mut Vec<String>) -> Vec<String> {
    let names = allowed.iter().flat_map(|list| list.split(','));
    let methods: Vec<String> = names.filter_map(|name| mistakes.keep("--allow-method", method(name))).collect();
    for method in &methods {
        let upper = method.to_uppercase();
        if *method != upper {
            warnings.push(format!("--allow-method {method}: methods are told apart by case: is {upper} meant?"));
        }
    }
    methods
}

fn method(typed: &str) -> Result<String, String> {
    let name = typed.trim();
    let is_token = name_value::header_name(name).is_ok();
    if is_token { Ok(name.to_owned()) } else { Err(format!("`{typed}` is no method; write one such as GET")) }
}

/// Header lines to set and to remove.
fn header_rules(typed: &typed::Middleware, mistakes: &mut ConfigMistakes) -> NameValueRules {
    let set = each("--set-header", &typed.set_headers, name_value::header_pair, mistakes);
    let remove = each("--remove-header", &typed.remove_headers, name_value::header_name, mistakes);
    for name in remove.iter().filter(|name| set.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))) {
        mistakes.add("--set-header and --remove-header", format!("contradict each other on `{name}`"));
    }
    values_can_be_written("--set-header", &set, mistakes);
    (set, remove)
}

/// Cookies to set and to remove.
fn cookie_rules(typed: &typed::Middleware, mistakes: &mut ConfigMistakes) -> NameValueRules {
    let set = each("--set-cookie", &typed.set_cookies, name_value::cookie_pair, mistakes);
    let remove = each("--remove-cookie", &typed.remove_cookies, name_value::cookie_name, mistakes);
    for name in remove.iter().filter(|name| set.iter().any(|(other, _)| other == *name)) {
        mistakes.add("--set-cookie and --remove-cookie", format!("contradict each other on `{name}`"));
    }
    values_can_be_written("--set-cookie", &set, mistakes);
    (set, remove)
}

/// Checks the templates in values: each variable must be one that exists.
fn values_can_be_written(flag: &str, pairs: &[(String, String)], mistakes: &mut ConfigMistakes) {
    for (_, value) in pairs {
        mistakes.keep(flag, Template::new(value));
    }
}

//! Rules of comparison: flags and files, the same rules in both.

use std::path::Path;

use serde::Deserialize;

use crate::bounded::{self, ReadError};
use crate::compare::{CompareRules, RuleError};
use crate::middleware::Share;
use crate::replay::{self, ReferenceSettings};

use super::addressing;
use super::check::{parsed, size};
use super::mistakes::ConfigMistakes;
use super::typed;

/// Largest file of rules, in bytes; a larger one is a mistake.
const MAX_FILE: usize = 1 << 20;
/// Largest body that can be asked to be looked into, in bytes: many of them have to fit into `--max-memory`.
const LARGEST_BODY: usize = 16 << 20;

/// Contents of a rules file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RulesFile {
    ignore: Vec<String>,
    ignore_order: Vec<String>,
    compare_headers: Vec<String>,
    max_body: Option<String>,
}

/// The rules of the file and then those of the flags, over the defaults.
pub(super) fn rules(typed: &typed::Compare, mistakes: &mut ConfigMistakes) -> CompareRules {
    let mut rules = CompareRules::default();
    if let Some(path) = &typed.file {
        let place = format!("--compare {}", path.display());
        if let Some(file) = mistakes.keep(&place, read(path)) {
            let name = |key: &str| format!("{place}: {key}");
            each(&name("ignore"), &file.ignore, mistakes, |rule| rules.ignore(rule));
            each(&name("ignore_order"), &file.ignore_order, mistakes, |rule| rules.ignore_order(rule));
            each(&name("compare_headers"), &file.compare_headers, mistakes, |rule| rules.compare_header(rule));
            max_body(&name("max_body"), file.max_body.as_deref(), &mut rules, mistakes);
        }
    }
    each("--ignore", &typed.ignore, mistakes, |rule| rules.ignore(rule));
    each("--ignore-order", &typed.ignore_order, mistakes, |rule| rules.ignore_order(rule));
    each("--compare-header", &typed.compare_headers, mistakes, |rule| rules.compare_header(rule));
    max_body("--max-compare-body", typed.max_body.as_deref(), &mut rules, mistakes);
    rules
}

/// Builds the settings of the reference (baseline) for these targets. It is sent to in the same way as the first of
/// them.
pub(super) fn reference(
    typed: &typed::Compare,
    targets: &[replay::SendSettings],
    mistakes: &mut ConfigMistakes,
) -> ReferenceSettings {
    let url = parsed::<replay::TargetUrl>("--baseline", typed.baseline.as_deref(), mistakes);
    if let Some(url) = url.as_ref().filter(|url| targets.iter().any(|target| target.target == **url)) {
        mistakes.add("--baseline", format!("{url} is a target: it would only be held against itself"));
    }
    let baseline = url.zip(targets.first());
    let baseline =
        baseline.map(|(target, first)| replay::SendSettings { target, name: None, sni: None, ..first.clone() });
    if let Some(baseline) = &baseline {
        addressing::contradictions(baseline, mistakes);
    }
    let share = parsed::<Share>("--self-check", typed.self_check.as_deref(), mistakes);
    if share.is_some_and(|share| share.0 > 0.0)
        && targets.iter().any(|target| target.has_connection_each() && target.places() < 2)
    {
        let why = "takes a part of the connections: --max-connections and --max-in-flight have to be 2 at least";
        mistakes.add("--self-check", why);
    }
    ReferenceSettings { baseline, self_check: share.map_or(0.0, |share| share.0) }
}

fn each(
    place: &str,
    rules: &[String],
    mistakes: &mut ConfigMistakes,
    mut add: impl FnMut(&str) -> Result<(), RuleError>,
) {
    for rule in rules {
        mistakes.keep(place, add(rule));
    }
}

fn max_body(place: &str, typed: Option<&str>, rules: &mut CompareRules, mistakes: &mut ConfigMistakes) {
    let parse = |typed: &str| match typed.trim() {
        "0" => Ok(0),
        typed => size(typed).and_then(|bytes| match bytes {
            0..=LARGEST_BODY => Ok(bytes),
            _ => Err(format!("`{typed}` is more than is ever looked into; 16M is the most")),
        }),
    };
    if let Some(bytes) = typed.and_then(|typed| mistakes.keep(place, parse(typed))) {
        rules.set_max_body(bytes);
    }
}

fn read(path: &Path) -> Result<RulesFile, String> {
    let text = bounded::read_text(path, "a list of rules", MAX_FILE).map_err(|error| match error {
        ReadError::Io(why) => format!("cannot read it: {why}"),
        error => format!("it {error}"),
    })?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
        let at = line.map_or(String::new(), |line| format!("line {line}: "));
        format!("{at}{}", error.message().lines().next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(typed: &typed::Compare) -> (CompareRules, String) {
        let mut mistakes = ConfigMistakes::default();
        let rules = rules(typed, &mut mistakes);
        (rules, mistakes.to_string())
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn file(text: &str) -> (tempfile::TempDir, typed::Compare) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        std::fs::write(&path, text).unwrap();
        (folder, typed::Compare { file: Some(path), ..typed::Compare::default() })
    }

    #[test]
    fn flags_stand_over_the_file_and_the_file_over_the_defaults() {
        let (_folder, typed) = file("ignore = ['json:$.at', 'body']\ncompare_headers = ['server']\nmax_body = '1M'\n");
        let (rules, mistakes) = reported(&typed::Compare { max_body: Some("64K".to_owned()), ..typed });
        assert_eq!(mistakes, "");
        assert_eq!((rules.max_body(), rules.bodies(), rules.headers()), (64 << 10, false, true));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let typed = typed::Compare {
            ignore: strings(&["etag", "json:a"]),
            ignore_order: strings(&["header:a"]),
            compare_headers: strings(&["a b"]),
            max_body: Some("1G".to_owned()),
            ..typed::Compare::default()
        };
        let (_, mistakes) = reported(&typed);
        let places: Vec<&str> = mistakes.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(
            places,
            ["--ignore", "--ignore", "--ignore-order", "--compare-header", "--max-compare-body"],
            "{mistakes}"
        );
    }

    #[test]
    fn mistakes_in_a_file_are_told_with_their_line() {
        let (_folder, typed) = file("ignore = []\nignroe = []\n");
        let (_, mistakes) = reported(&typed);
        assert!(mistakes.contains("rules.toml: line 2: unknown field `ignroe`"), "{mistakes}");
        let (_folder, typed) = file("ignore = ['etag']\n");
        let (_, mistakes) = reported(&typed);
        assert!(mistakes.contains("rules.toml: ignore: `etag` names nothing"), "{mistakes}");
        let typed = typed::Compare { file: Some("/nonexistent/rules.toml".into()), ..typed::Compare::default() };
        assert!(reported(&typed).1.contains("cannot read it"));
    }

    #[test]
    fn a_baseline_is_asked_as_the_target_is_and_is_not_the_target() {
        let target =
            |url: &str| replay::SendSettings { keep_host: true, ..replay::SendSettings::new(url.parse().unwrap()) };
        let beside = |baseline: &str, self_check: &str| {
            let typed = typed::Compare {
                baseline: Some(baseline.to_owned()),
                self_check: Some(self_check.to_owned()),
                ..typed::Compare::default()
            };
            let mut mistakes = ConfigMistakes::default();
            (reference(&typed, &[target("http://new")], &mut mistakes), mistakes.to_string())
        };
        let (found, mistakes) = beside("http://old:81", "1%");
        let baseline = found.baseline.unwrap();
        assert_eq!((baseline.target.to_string().as_str(), baseline.keep_host), ("http://old:81", true));
        assert_eq!((found.self_check, mistakes.as_str()), (0.01, ""));
        assert!(beside("http://new", "1%").1.starts_with("--baseline: http://new is a target"));
        let (_, mistakes) = beside("http://old/path?x=1", "101%");
        assert!(mistakes.contains("--baseline: ") && mistakes.contains("--self-check: "), "{mistakes}");
    }

    #[test]
    fn a_self_check_needs_a_connection_besides() {
        let mistakes = |most| {
            let typed = typed::Compare { self_check: Some("1%".to_owned()), ..typed::Compare::default() };
            let target = replay::SendSettings::new("http://new".parse().unwrap());
            let mut mistakes = ConfigMistakes::default();
            reference(&typed, &[replay::SendSettings { max_connections: most, ..target }], &mut mistakes);
            mistakes.to_string()
        };
        assert!(mistakes(Some(1)).starts_with("--self-check: takes a part of the connections"));
        assert_eq!((mistakes(Some(2)).as_str(), mistakes(None).as_str()), ("", ""));
    }

    #[test]
    fn no_body_at_all_can_be_asked_for() {
        let (rules, mistakes) =
            reported(&typed::Compare { max_body: Some("0".to_owned()), ..typed::Compare::default() });
        assert_eq!((rules.max_body(), rules.bodies(), mistakes.as_str()), (0, true, ""));
    }
}

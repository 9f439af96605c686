//! What two runs were asked for, from their command lines: a figure that changed says little where that did.

use std::collections::BTreeMap;

use crate::report::schema::summary::Summary;

/// Flags that say together one thing about a run.
struct FlagGroup {
    name: &'static str,
    flags: &'static [&'static str],
}

/// What is compared.
const RULES: FlagGroup = FlagGroup {
    name: "compare rules",
    flags: &["--ignore", "--ignore-order", "--compare", "--compare-header", "--max-compare-body"],
};

/// Whatever else makes other figures of the same stacks.
const OTHERS: [FlagGroup; 6] = [
    FlagGroup { name: "writes", flags: &["--allow-writes"] },
    FlagGroup { name: "sample", flags: &["--sample", "--sample-by", "--seed", "--limit"] },
    FlagGroup {
        name: "selection",
        flags: &["--allow-method", "--allow-path", "--deny-path", "--allow-host", "--from", "--until", "--count"],
    },
    FlagGroup { name: "pace", flags: &["--speed", "--rate", "--pace", "--max-gap", "--amplify", "--loop"] },
    FlagGroup {
        name: "filters",
        flags: &[
            "--filters",
            "--set-header",
            "--remove-header",
            "--set-cookie",
            "--remove-cookie",
            "--middleware",
            "--keep-host",
        ],
    },
    FlagGroup { name: "configuration file", flags: &["--config"] },
];

/// Flags without a value: the word behind them is another's.
const SWITCHES: [&str; 2] = ["--allow-writes", "--keep-host"];

/// In what two runs were asked for different things, as far as both say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AskedDiff {
    /// What is compared differs: their differences say nothing about each other.
    pub(super) rules: bool,
    /// Names of what differs.
    names: Vec<&'static str>,
}

impl AskedDiff {
    /// Compares the command lines of two runs.
    pub(super) fn of(before: &Summary, after: &Summary) -> Self {
        let (Some(before), Some(after)) = (flags(before), flags(after)) else { return Self::default() };
        let differs = |group: &FlagGroup| group.flags.iter().any(|flag| before.get(*flag) != after.get(*flag));
        let rules = differs(&RULES);
        let others = OTHERS.iter().filter(|group| differs(group)).map(|group| group.name);
        Self { rules, names: rules.then_some(RULES.name).into_iter().chain(others).collect() }
    }

    /// The difference in a sentence; `None` where there is none.
    pub(super) fn sentence(&self) -> Option<String> {
        let and = if self.rules { ": differences are not held against each other" } else { "" };
        (!self.names.is_empty())
            .then(|| format!("The two runs were asked for different things ({}){and}.", self.names.join(", ")))
    }
}

/// The flags of a run's command line with their values in order; `None` where the run has none, or several.
fn flags(run: &Summary) -> Option<BTreeMap<String, Vec<String>>> {
    let line = &run.asked.as_ref()?.command_line;
    let words = shell_words::split(line).ok().filter(|words| !words.is_empty())?;
    let mut flags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if !flag.starts_with("--") {
            continue;
        }
        let is_switch = SWITCHES.contains(&flag.as_str());
        let value = value.or_else(|| if is_switch { None } else { words.next_if(|next| !next.starts_with("--")) });
        flags.entry(flag).or_default().push(value.unwrap_or_default());
    }
    // In which order rules stand changes nothing.
    for flag in RULES.flags {
        flags.entry((*flag).to_owned()).or_default().sort();
    }
    Some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::request::RunRequest;

    fn run(line: &str) -> Summary {
        let asked = RunRequest { command_line: format!("shadowtap replay a {line}"), ..RunRequest::default() };
        Summary { asked: Some(asked), ..Summary::default() }
    }

    #[track_caller]
    fn check(before: &str, after: &str, names: &[&str]) {
        assert_eq!(AskedDiff::of(&run(before), &run(after)).names, names);
    }

    #[test]
    fn what_differs_is_named() {
        check("--ignore a --ignore=b --to x", "--ignore b --ignore a --to y --results z", &[]);
        check("--allow-writes b --speed 2x", "--allow-writes c --speed=2x", &[]);
        let after = "--ignore header:a --allow-writes --sample 1% --rate 5/s --set-header 'A:***' --config a";
        check("", after, &["compare rules", "writes", "sample", "pace", "filters", "configuration file"]);
        check("--sample 50%", "--deny-path -x", &["sample", "selection"]);
    }

    #[test]
    fn a_run_without_a_command_line_says_nothing() {
        assert_eq!(AskedDiff::of(&run("--ignore a"), &Summary::default()), AskedDiff::default());
        assert_eq!(AskedDiff::default().sentence(), None);
    }
}

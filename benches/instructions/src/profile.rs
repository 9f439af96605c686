//! What callgrind wrote: the instructions of functions themselves, without those that they call.

use std::collections::HashMap;

/// Sums the instructions of functions of whose name `counts` says so.
pub(crate) fn own_instructions(profile: &str, counts: impl Fn(&str) -> bool) -> u64 {
    let mut names: HashMap<&str, bool> = HashMap::new();
    let (mut is_counted, mut is_call, mut sum) = (false, false, 0);
    for line in profile.lines() {
        if let Some((key, name)) = line.split_once('=') {
            if matches!(key, "fn" | "cfn") {
                // Names may have numbers before them, and stand there once.
                let numbered = name.starts_with('(').then(|| name.split_once(' ').unwrap_or((name, "")));
                let (number, name) = numbered.unwrap_or((name, name));
                let known = *names.entry(number).or_insert_with(|| counts(name));
                if key == "fn" {
                    is_counted = known;
                }
            }
            // The line behind it has what the call took.
            is_call |= key == "calls";
        } else if line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*')) {
            if is_counted && !is_call {
                sum += line.split_ascii_whitespace().nth(1).and_then(|own| own.parse::<u64>().ok()).unwrap_or_default();
            }
            is_call = false;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::own_instructions;

    #[test]
    fn names_may_have_no_numbers() {
        let profile = "fn=sha2::sha256::compress\n10 100\nfi=b.rs\n+1 20\ncfn=<a as b>::c\ncalls=3 0\n* 500\nfn=<a as b>::c\n7 5\n";
        assert_eq!(own_instructions(profile, |name| name.starts_with("sha2::")), 120);
    }

    #[test]
    fn calls_and_other_functions_are_left_out() {
        let profile = "events: Ir\n\nfl=(1) a.rs\nfn=(1) sha2::compress\n10 100\n+1 20\ncfn=(2) memcpy\ncalls=3 0\n* 500\n\
                       -4 3\n\nfn=(2)\n7 500\n\nfn=(3) parse\n1 40\ncfn=(1)\ncalls=1 10\n2 623\n\nfn=(1)\n12 7\n";
        assert_eq!(own_instructions(profile, |name| name.contains("sha2::")), 130);
        assert_eq!(own_instructions(profile, |name| name == "memcpy"), 500);
        assert_eq!(own_instructions(profile, |name| name == "parse"), 40);
    }
}

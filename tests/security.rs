//! SECURITY.md names a test for each thing that somebody cannot do: they are there.
#![allow(clippy::unwrap_used, reason = "what breaks here fails its test")]

use std::fs;
use std::path::Path;

/// Fewest tests that are named: with fewer the page would not be read as it is written.
const FEWEST: usize = 40;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backticks and is a test: a file, and a function in it.
fn named(line: &str) -> Vec<(&str, &str)> {
    line.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::")).collect()
}

/// Lines of tables under the heading of what others cannot do, without the heads of these.
fn claims(page: &str) -> Vec<&str> {
    let part = page.split("## What others can and cannot do").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = part.lines().filter(|line| line.starts_with("| "));
    rows.filter(|line| !line.starts_with("| cannot |")).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let tests: Vec<_> = page.lines().flat_map(named).collect();
    assert!(tests.len() >= FEWEST, "{tests:?}");
    let mut missing = Vec::new();
    for (file, function) in tests {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        if !text.contains(&format!("fn {function}(")) {
            missing.push(format!("{file}::{function}"));
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn nothing_is_claimed_without_a_test() {
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let claims = claims(&page);
    assert!(claims.len() > 20, "{claims:?}");
    for line in claims {
        assert!(!named(line).is_empty(), "{line}");
    }
}

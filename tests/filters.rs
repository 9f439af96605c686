//! The chains that come with shadowtap, and every example of their documentation: each reads well, and the test cases
//! that it carries pass.

use std::fs;
use std::path::{Path, PathBuf};

use shadowtap::middleware::ChainFile;
use shadowtap::middleware::file::{Environment, QUESTIONS, VERBS};

fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Reads a chain file and runs its cases; says how many there are.
fn check(text: &str, path: &Path) -> usize {
    let file = ChainFile::parse(text, path, &Environment::for_checks()).unwrap_or_else(|mistakes| {
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        panic!("{}\n{text}", told.join("\n"))
    });
    let failures = file.run_cases();
    assert!(failures.is_empty(), "{failures:#?}\n{text}");
    file.cases.len()
}

/// The TOML blocks of the documentation.
fn examples(text: &str) -> Vec<&str> {
    text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn every_chain_that_comes_along_passes_its_own_tests() {
    let mut names = Vec::new();
    for entry in fs::read_dir(in_tree("filters")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            assert!(check(&fs::read_to_string(&path).unwrap(), &path) > 1, "{} has no tests", path.display());
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    assert_eq!(names, ["canary-v2", "credentials", "no-payments", "privacy", "read-only", "staging-50"]);
}

#[test]
fn every_example_of_the_documentation_does_what_it_says() {
    let text = fs::read_to_string(in_tree("docs/filters.md")).unwrap();
    let examples = examples(&text);
    assert!(examples.len() > 10);
    // Maps and secrets are looked up where the chains that come along stand.
    let path = in_tree("filters/example.toml");
    for example in examples {
        assert!(check(example, &path) > 0, "without a test:\n{example}");
    }
}

#[test]
fn every_verb_and_every_question_is_documented_and_in_an_example() {
    let text = fs::read_to_string(in_tree("docs/filters.md")).unwrap();
    let examples = examples(&text).concat();
    for verb in VERBS {
        assert!(text.contains(&format!("`{verb}`")), "{verb} is not documented");
        assert!(examples.contains(&format!("\n{verb} = ")), "{verb} has no example");
    }
    for question in QUESTIONS {
        assert!(text.contains(&format!("`{question}`")), "{question} is not documented");
    }
}

#[test]
fn the_files_that_the_documentation_links_to_exist() {
    let text = fs::read_to_string(in_tree("docs/filters.md")).unwrap();
    for link in text.split("](../").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(in_tree(link).exists(), "{link}");
    }
}

//! The pages for people, held against the tree and the program: links lead somewhere, flags exist, each flag is
//! written of.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::{Captures, Regex};

const COMMANDS: [&str; 13] = [
    "shadow",
    "replay",
    "record",
    "inspect",
    "report",
    "filters check",
    "interfaces",
    "control",
    "doctor",
    "demo",
    "gor",
    "completions",
    "man",
];

/// Those whose help is short unless it is asked for in full.
const HAS_MORE: [&str; 5] = ["doctor", "shadow", "replay", "record", "inspect"];

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, by its path.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md"]
        .iter()
        .map(|name| tree().join(name))
        .filter(|path| path.exists())
        .collect();
    paths.extend(book());
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The pages of the book.
fn book() -> Vec<PathBuf> {
    let entries = fs::read_dir(tree().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.sort();
    pages
}

/// The text outside of fenced and indented code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            prose.push(line);
        }
    }
    prose.join("\n")
}

/// What GitHub and mdBook make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).lines().filter(|line| line.starts_with('#')).map(|l| anchor(l.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let (mut links, mut broken) = (0, Vec::new());
    for (page, text) in pages() {
        for found in link.captures_iter(&prose(&text)) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let there =
                path.exists() && (heading.is_empty() || anchors(&fs::read_to_string(&path).unwrap()).contains(heading));
            if !there {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(links > 50 && broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_book_lists_each_page_once() {
    let summary = fs::read_to_string(tree().join("docs/SUMMARY.md")).unwrap();
    for page in book() {
        let name = page.file_name().unwrap().to_str().unwrap();
        let listed = summary.matches(&format!("({name})")).count();
        assert_eq!(listed, usize::from(name != "SUMMARY.md"), "{name}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(tree().join("README.md")).unwrap().lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// The flags of each command, by its help: the long form, and the short one where there is one.
fn flags() -> BTreeMap<&'static str, BTreeMap<String, Option<String>>> {
    let flag = Regex::new(r"(?m)^\s+(?:(-\w), )?(--[a-z0-9-]+)").unwrap();
    let of = |command: &'static str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        let output = program
            .args(command.split(' '))
            .args(if HAS_MORE.contains(&command) { &["--help", "all"][..] } else { &["--help"] })
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let short = |found: &Captures<'_>| found.get(1).map(|short| short.as_str().to_owned());
        (command, flag.captures_iter(&help).map(|found| (found[2].to_owned(), short(&found))).collect())
    };
    let mut all: BTreeMap<_, _> = COMMANDS.into_iter().map(of).collect();
    // Those of GoReplay are words to clap.
    let others = shadowtap::config::gor::FLAGS.iter().map(|flag| flag.name).chain(["print"]);
    all.insert("gor", others.map(|name| (format!("--{name}"), None)).collect());
    all
}

/// The command lines on a page, a continued one as one.
fn command_lines(text: &str) -> Vec<String> {
    let inline = Regex::new(r"`(shadowtap [^`]+)`").unwrap();
    let mut lines: Vec<String> = inline.captures_iter(&prose(text)).map(|found| found[1].to_owned()).collect();
    let code = text.replace("\\\n", " ");
    let indented = code.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .extend(indented.filter_map(|line| line.split_once("shadowtap ")).map(|(_, rest)| format!("shadowtap {rest}")));
    lines
}

#[test]
fn every_command_line_has_only_flags_that_its_command_knows() {
    let flags = flags();
    let flag = Regex::new(r"(?:^|\s)(--[a-z][a-z0-9-]*)").unwrap();
    let (mut checked, mut unknown) = (0, Vec::new());
    for (page, text) in pages() {
        for line in command_lines(&text) {
            let command = COMMANDS.iter().find(|command| line.trim_start_matches("shadowtap ").starts_with(**command));
            let Some(command) = command else { continue };
            // What follows a pipe or a comment is another program's.
            let own = line.split([';', '#']).next().unwrap().split(" | ").next().unwrap();
            for found in flag.captures_iter(own) {
                checked += 1;
                if found[1] != *"--help" && !flags[command].contains_key(&found[1]) {
                    unknown.push(format!("{}: {} in `{line}`", page.display(), &found[1]));
                }
            }
        }
    }
    assert!(checked > 50 && unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn every_flag_is_written_of() {
    let text: String = pages().into_iter().map(|(_, text)| text).collect();
    let all: BTreeMap<String, Option<String>> = flags().into_values().flatten().collect();
    assert!(all.len() > 60, "{all:?}");
    let is_there = |flag: &str| Regex::new(&format!("[ `]{flag}(?:[^a-z0-9-]|$)")).unwrap().is_match(&text);
    let missing: Vec<_> =
        all.iter().filter(|(long, short)| !is_there(long) && !short.as_deref().is_some_and(is_there)).collect();
    assert!(missing.is_empty(), "no page says what these do: {missing:#?}");
}

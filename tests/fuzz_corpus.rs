//! The saved corpus of every fuzz target, and whatever fuzzing ever found, run through the same functions.

#![expect(clippy::unwrap_used, reason = "what breaks in a helper fails the test that called it")]

use std::fs;
use std::path::Path;

use shadowtap::invariants;

/// Runs every file of a target's corpus; a panic names the file.
fn check(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus in {} is not all there", folder.display());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let broken = std::panic::catch_unwind(|| body(&bytes)).is_err();
        assert!(!broken, "{} breaks the laws", file.display());
    }
}

#[test]
fn capture_files_keep_the_laws() {
    check("capture_file", invariants::capture_file);
}

#[test]
fn recordings_keep_the_laws() {
    check("journal", invariants::journal);
}

#[test]
fn decoding_keeps_the_laws() {
    check("decode", invariants::decode);
}

#[test]
fn flow_and_http1_keep_the_laws() {
    check("engine", invariants::engine);
}

//! The command lines of the report, typed into each shell that is installed: they run curl, with the words that were
//! meant, and nothing else; and curl asks the target, and nobody else.
//!
//! Trials that lack a shell are named as skipped.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/trials.rs"]
mod trials;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::Arguments;
use shadowtap::exchange::path_and_query;
use shadowtap::report::collect::curl;

use trials::{missing, trial};

fn main() -> ExitCode {
    let lacks = |program| missing(&[program]);
    let all = vec![
        trial("sh_runs_curl_with_the_words_that_were_meant", &lacks("sh"), || typed("sh", "")),
        trial("dash_runs_curl_with_the_words_that_were_meant", &lacks("dash"), || typed("dash", "")),
        trial("bash_runs_curl_with_the_words_that_were_meant", &lacks("bash"), || typed("bash", "")),
        trial("bash_with_history_does_too", &lacks("bash"), || typed("bash", "set -o history -o histexpand\n")),
        trial("zsh_runs_curl_with_the_words_that_were_meant", &lacks("zsh"), || typed("zsh", "")),
        trial("zsh_with_other_quotes_does_too", &lacks("zsh"), || {
            typed("zsh", "setopt rcquotes banghist extendedglob interactivecomments\n");
        }),
        trial("fish_runs_curl_with_the_words_that_were_meant", &lacks("fish"), || typed("fish", "")),
        trial("curl_asks_the_target_for_what_was_captured", &lacks("curl"), asked),
    ];
    libtest_mimic::run(&Arguments::from_args(), all).exit_code()
}

/// How many requests are tried in each shell.
const REQUESTS: usize = 400;

const METHODS: [&str; 12] = ["GET", "POST", "HEAD", "-K", "--help", "$IFS", "`id`", "'", "!!", "A*B", "~root", "#|"];

/// What would run, be expanded, be read from a file, or ask somebody else.
const TARGETS: [&str; 44] = [
    "/plain?x=1&y=2",
    "/a';/usr/bin/touch${IFS}pwned;'",
    "/$(/usr/bin/touch${IFS}pwned)",
    "/`/usr/bin/touch${IFS}pwned`",
    "/a>pwned",
    "/a|/usr/bin/touch${IFS}pwned",
    "/(/usr/bin/touch${IFS}pwned)",
    "/\\'>pwned;'",
    "/\\",
    "/\\\\",
    "/a\\'b\\\\'c'\\",
    "/'",
    "/''",
    "/'''\\''>pwned#",
    "/\"$HOME\"",
    "/!!/!$/!-1",
    "/{a,b}/[1-9]/*?~",
    "/[::1]{}[",
    "/../../etc/passwd",
    "/a/./b/..",
    "/~root/=ls",
    "//evil.example/x",
    "///evil.example",
    "/@evil.example/x",
    "@evil.example/x",
    ".evil.example/x",
    ":80@evil.example/x",
    "evil.example",
    ":99/x",
    "\\evil.example\\x",
    "/\\evil.example",
    "http://evil.example/x",
    "http://user:word@evil.example",
    "http://evil.example?q=1",
    "HTTPS://evil.example:1/x#y",
    "/a#fragment",
    "#",
    "?x",
    "*",
    "-K/etc/passwd",
    "--next",
    "-",
    "/%00%0a%27?%5c=%",
    "/<>\"^`{|}~%%",
];

const VALUES: [&str; 20] = [
    "*/*",
    "",
    " ",
    "@/etc/passwd",
    "a'; /usr/bin/touch pwned; '",
    "$(/usr/bin/touch pwned)",
    "`/usr/bin/touch pwned`",
    "\\' > pwned; '",
    "\\",
    "\\\\ '",
    "a\\",
    "'",
    "''''",
    "$HOME \"$PATH\" ${IFS} $'\\x41' $1 %1",
    "!! !$ ^a^b",
    "(a) {b} [c] * ? ~ # ; & | < >",
    "-K /etc/passwd",
    "x; charset=\"utf-8\"",
    "tab\\tnewline\\n\\x00\\u0041",
    "\\'\\\\'\\\\\\'",
];

const NAMES: [&str; 4] = ["Accept", "user-agent", "Accept-Encoding", "X-Odd'`$*!#"];

struct Hostile {
    method: &'static str,
    target: &'static str,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: u64,
}

/// Every target, method and value, each in several neighborhoods.
fn hostile() -> impl Iterator<Item = Hostile> {
    (0..REQUESTS).map(|n| {
        let header = |at: usize| (NAMES[at % NAMES.len()].into(), VALUES[(at * 7 + n / 3) % VALUES.len()].into());
        let method = METHODS[n / 7 % METHODS.len()];
        let body = u64::from(n % 5 == 0 && method != "HEAD");
        Hostile { method, target: TARGETS[n % TARGETS.len()], headers: (n..n + n % 3).map(header).collect(), body }
    })
}

const ORIGIN: &str = "https://new.example:8443";

/// The words that curl should get.
fn meant(request: &Hostile) -> Vec<String> {
    let quiet = if request.body > 0 { "-ig" } else { "-sSig" };
    let mut words = vec![quiet.to_owned(), "--path-as-is".to_owned()];
    match request.method {
        "GET" if request.body == 0 => {}
        "HEAD" => words.push("--head".to_owned()),
        method => words.extend(["-X".to_owned(), method.to_owned()]),
    }
    let asked = wanted(request.target);
    if asked.starts_with('/') && !asked.contains(['#', '\\']) {
        words.push(format!("{ORIGIN}{asked}"));
    } else {
        words.extend(["--request-target".to_owned(), asked, format!("{ORIGIN}/")]);
    }
    for (name, value) in &request.headers {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        let value = value.trim();
        words.push("-H".to_owned());
        words.push(if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") });
        if name == "Accept-Encoding" {
            words.push("--compressed".to_owned());
        }
    }
    if request.body > 0 {
        words.extend(["--data-binary".to_owned(), "@body".to_owned()]);
    }
    words
}

/// The request-target that a server should see.
fn wanted(target: &str) -> String {
    let asked = String::from_utf8(path_and_query(target.as_bytes()).to_vec()).unwrap();
    if target.contains("://") && asked.starts_with('?') { format!("/{asked}") } else { asked }
}

fn line(origin: &str, request: &Hostile) -> String {
    curl::line(origin, (request.method.as_bytes(), request.target.as_bytes()), None, &request.headers, request.body)
}

/// Writes a `curl` that only notes its words: how many, then each, with a NUL behind.
fn stub(folder: &Path) {
    let path = folder.join("curl");
    fs::write(&path, "#!/bin/sh\nprintf '%s\\0' \"$#\" \"$@\" >>\"$WORDS\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Types every request into a shell.
fn typed(shell: &str, first: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (programs, place) = (folder.path().join("bin"), folder.path().join("cwd"));
    fs::create_dir_all(&programs).unwrap();
    fs::create_dir_all(&place).unwrap();
    stub(&programs);
    let words = folder.path().join("words");
    fs::write(&words, "").unwrap();
    let mut script = first.to_owned();
    for request in hostile() {
        let line = line(ORIGIN, &request);
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{line}");
        script.push_str(&line);
        script.push('\n');
    }
    fs::write(folder.path().join("script"), &script).unwrap();
    let found = env_path(shell);
    let output = Command::new(found)
        .arg(folder.path().join("script"))
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", &programs)
        .env("WORDS", &words)
        .current_dir(&place)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shell}: {said}");
    let left: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{shell} wrote {left:?}");
    let noted = fs::read_to_string(&words).unwrap();
    let mut noted = noted.split_terminator('\0');
    for request in hostile() {
        let count: usize = noted.next().unwrap_or_else(|| panic!("{shell} stopped: {said}")).parse().unwrap();
        let got: Vec<&str> = noted.by_ref().take(count).collect();
        assert_eq!(got, meant(&request), "{shell}: {}", line(ORIGIN, &request));
    }
    assert_eq!(noted.next(), None, "{shell} ran more than there was");
}

fn env_path(program: &str) -> std::path::PathBuf {
    let paths = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file()).unwrap()
}

/// Has the real curl ask a server for each target, with the words that a shell would give it.
fn asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut from = BufReader::new(stream.try_clone().unwrap());
            let mut head = Vec::new();
            while from.read_until(b'\n', &mut head).unwrap() > 0 && !head.ends_with(b"\r\n\r\n") {}
            let head = String::from_utf8(head).unwrap();
            if head.is_empty() {
                return heads;
            }
            if head.contains("Content-Length: 3") {
                from.read_exact(&mut [0; 3]).unwrap();
            }
            heads.push(head);
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
        heads
    });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("body"), "abc").unwrap();
    let origin = format!("http://{address}");
    let requests: Vec<Hostile> = hostile().take(132).filter(|request| request.method != "HEAD").collect();
    let script: String = requests.iter().map(|request| line(&origin, request) + "\n").collect();
    let script = format!("set -e\n{script}");
    let mut sh = Command::new("sh");
    sh.args(["-c", &script]).current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null());
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        sh.env_remove(name);
    }
    let output = sh.output().unwrap();
    drop(std::net::TcpStream::connect(address).unwrap());
    let heads = server.join().unwrap();
    assert!(output.status.success(), "{} of {}: {output:?}", heads.len(), requests.len());
    assert_eq!(heads.len(), requests.len());
    for (head, request) in heads.iter().zip(&requests) {
        let first = format!("{} {} HTTP/1.1\r\nHost: {address}\r\n", request.method, wanted(request.target));
        assert!(head.starts_with(&first), "{head}\n{first}");
        for (name, value) in &request.headers {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            let is_there =
                |line: &str| line.split_once(':').is_some_and(|(n, v)| n == name && v.trim() == value.trim());
            assert!(head.lines().any(is_there), "{name}: {value} is not in\n{head}");
        }
    }
}

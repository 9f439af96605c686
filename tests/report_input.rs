//! What `report` is given: files and pipes, runs and recordings, whole, cut and compressed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use server::{Server, answer};

/// A folder with a run: `run.jsonl` is its results, `run.json` its summary, `line.json` the same on one line.
struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(|_| vec![answer("404 Not Found", "no")]).await;
        let run = Self { folder };
        let url = server.url("http");
        let capture = demo();
        let (results, summary) = (run.path("run.jsonl"), run.path("run.json"));
        let words = ["replay", &capture, "--to", &url, "--speed", "max", "--results", &results, "--summary", &summary];
        let words = words.map(str::to_owned);
        let output = tokio::task::spawn_blocking(move || shadowtap(&words, None)).await.unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let line: String = String::from_utf8(run.text("run.json")).unwrap().lines().map(str::trim_start).collect();
        run.write("line.json", format!("{line}\n").as_bytes());
        run
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn text(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Writes a file that may be something else than the run.
    fn write(&self, name: &str, text: &[u8]) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The report in text, of the file itself.
    fn report(&self) -> String {
        let output = shadowtap(&["report", &self.path("run.json")], None);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn demo() -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "testdata", "demo.pcap.zst"].iter().collect();
    path.to_str().unwrap().to_owned()
}

/// Runs the program; `piped` comes through standard input.
fn shadowtap(words: &[impl AsRef<std::ffi::OsStr>], piped: Option<&[u8]>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    let stdin = if piped.is_some() { Stdio::piped() } else { Stdio::null() };
    command.args(words).env_remove("SHADOWTAP_LOG").stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let writer = child.stdin.take().zip(piped.map(<[u8]>::to_vec));
    // Who has read enough reads no more.
    let writing = std::thread::spawn(move || writer.map(|(mut to, text)| to.write_all(&text).is_ok()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one line of an error that the program ended with.
fn error(output: &Output) -> String {
    let said = said(output);
    assert!(output.status.code() == Some(2) && output.stdout.is_empty() && said.lines().count() == 1, "{said}");
    said.trim_end().to_owned()
}

fn compressed(text: &[u8]) -> [(&'static str, Vec<u8>); 2] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text).unwrap();
    [("gzip", gzip.finish().unwrap()), ("zstd", zstd::encode_all(text, 1).unwrap())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_through_a_pipe_is_reported_as_its_file_is() {
    let run = Run::new().await;
    let report = run.report();
    for name in ["run.json", "line.json", "run.jsonl"] {
        for file in ["-", "/dev/stdin"] {
            let output = shadowtap(&["report", file], Some(&run.text(name)));
            assert!(output.status.success(), "{name}: {}", said(&output));
            assert_eq!(String::from_utf8(output.stdout).unwrap(), report, "{name} as {file}");
        }
    }
    let pipe = run.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (to, text) = (pipe.clone(), run.text("line.json"));
    let writing = std::thread::spawn(move || fs::write(to, text).unwrap());
    let output = shadowtap(&["report", &pipe], None);
    writing.join().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_through_a_pipe_is_read_from_its_first_byte() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("rec.jsonl");
    let lines = shadowtap(&["inspect", &demo(), "--json", "--full"], None).stdout;
    fs::write(&recording, &lines).unwrap();
    let of_file = |file: &Path| shadowtap(&[Path::new("report"), file], None).stdout;
    for (file, text) in [(recording, lines), (PathBuf::from(demo()), fs::read(demo()).unwrap())] {
        let report = of_file(&file);
        for name in ["-", "/dev/stdin"] {
            let output = shadowtap(&["report", name], Some(&text));
            assert!(output.status.success() && output.stdout == report, "{}: {}", file.display(), said(&output));
        }
        let output = shadowtap(&["report", "-", "--advise", "haproxy"], Some(&text));
        let expected =
            "error: --advise: standard input is neither the results nor the summary of a run (--results, --summary)";
        assert_eq!(error(&output), expected);
    }
}

#[test]
fn an_interrupt_ends_a_wait_for_more_of_a_capture() {
    let capture = zstd::decode_all(&*fs::read(demo()).unwrap()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .args(["report", "-"])
        .env_remove("SHADOWTAP_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Far less than is looked at of a file, and never the end.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&capture[..8_000]).unwrap();
    let status = format!("/proc/{}/status", child.id());
    let catches_int = || {
        let status = fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(caught, 16).unwrap() & 2 > 0
    };
    let is_ready = (0..3_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        catches_int()
    });
    assert!(is_ready, "it waits for more before it begins");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(stdin);
}

#[tokio::test(flavor = "multi_thread")]
async fn either_of_two_runs_may_come_through_standard_input() {
    let run = Run::new().await;
    let (file, line) = (run.path("run.jsonl"), run.text("line.json"));
    let expected = shadowtap(&["report", &file, "--against", &run.path("run.json")], None).stdout;
    for words in [["report", "-", "--against", &file], ["report", &file, "--against", "-"]] {
        let output = shadowtap(&words, Some(&line));
        assert!(output.status.success() && output.stdout == expected, "{words:?}: {}", said(&output));
    }
    let twice = error(&shadowtap(&["report", "-", "--against", "/dev/stdin"], Some(&line)));
    assert!(twice.contains("--against: standard input is one run"), "{twice}");
    let twice = error(&shadowtap(&["report", "--merge", "-", &file, "-"], Some(&line)));
    assert!(twice.contains("--merge: standard input is one run"), "{twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_through_lines_several_times_asks_for_a_file() {
    let run = Run::new().await;
    for words in [["--observe", "error-limit 10"], ["--fail-if", "errors{route=\"/a\"}>0"]] {
        let words = ["report", "-", words[0], words[1]];
        let piped = error(&shadowtap(&words, Some(&run.text("run.jsonl"))));
        assert!(piped.contains("standard input can be read once: write it to a file"), "{piped}");
        let summary = error(&shadowtap(&words, Some(&run.text("run.json"))));
        assert!(summary.contains("standard input is its summary"), "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compressed_or_cut_is_named_and_what_helps() {
    let run = Run::new().await;
    let whole = run.path("run.json");
    for name in ["run.json", "line.json", "run.jsonl"] {
        for (program, text) in compressed(&run.text(name)) {
            let text = if name == "run.jsonl" { &text[..text.len() - text.len() / 3] } else { &text[..] };
            let file = run.write(&format!("{name}.{program}"), text);
            let expected = format!(
                "error: {file} has the results of a run, compressed: give what `{program} -dc {file}` prints, through a pipe"
            );
            for words in [
                vec!["report", &file],
                vec!["report", "--merge", &whole, &file],
                vec!["report", &whole, "--against", &file],
            ] {
                assert_eq!(error(&shadowtap(&words, None)), expected, "{words:?}");
            }
            let piped = error(&shadowtap(&["report", "-"], Some(text)));
            assert!(piped.contains(&format!("give what `{program} -dc` prints")), "{piped}");
        }
    }
    for name in ["run.json", "line.json"] {
        let text = run.text(name);
        let file = run.write("cut.json", &text[..text.len() / 2]);
        for words in [vec!["report", &file], vec!["report", "--merge", &whole, &file]] {
            let cut = error(&shadowtap(&words, None));
            assert!(cut.contains(&format!("{file} is no summary of a run, or was cut: ")), "{cut}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_a_run_that_did_not_end_are_no_part_of_a_sum_of_whole_ones() {
    let run = Run::new().await;
    let text = run.text("run.jsonl");
    let file = run.write("cut.jsonl", &text[..text.len() / 4]);
    let cut = error(&shadowtap(&["report", "--merge", &run.path("run.json"), &file], None));
    assert!(cut.contains(&format!("--merge: {file} has results without the summary at their end: ")), "{cut}");
    assert!(cut.contains("wait for its end, or leave it out"), "{cut}");
    assert!(shadowtap(&["report", &file], None).status.success(), "its part has a report");
    let piped = error(&shadowtap(&["report", "-"], Some(&fs::read(&file).unwrap())));
    assert!(piped.contains("report on the file itself"), "{piped}");
}

#[test]
fn lines_of_json_of_which_none_is_an_exchange_are_no_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.jsonl");
    let name = path.to_str().unwrap();
    for (text, none) in [
        ("{\"level\":\"info\"}\n{\"level\":\"warn\"}\n", "none of its 2 lines is an exchange"),
        ("{\"level\":\"info\"}\n", "its line is no exchange"),
        ("{\"level\":\"info\"}", "its line is no exchange"),
    ] {
        fs::write(&path, text).unwrap();
        for command in ["inspect", "report"] {
            let output = shadowtap(&[command, name], None);
            let words = format!("error: {name} is no recording: {none} (line 1: missing field `id`");
            assert!(said(&output).starts_with(&words), "{}", said(&output));
            assert_eq!(output.status.code(), Some(2), "{command}: {text}");
        }
    }
    // What was cut is said to be, as before.
    fs::write(&path, "{\"level\":\"in").unwrap();
    assert!(said(&shadowtap(&["inspect", name], None)).contains("ends inside a line (12 bytes of it are there)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_on_one_line_is_no_recording() {
    let run = Run::new().await;
    let said = error(&shadowtap(&["inspect", &run.path("line.json")], None));
    assert!(said.contains("is one JSON object, such as the summary of a run, and has no requests"), "{said}");
}

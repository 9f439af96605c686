//! The real program at work within its limits: with middleware, guard commands, TLS, names, and files that change.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio_rustls::rustls::{self, pki_types};

use crate::files::testdata;
use crate::server::{Server, answer};

const SHADOWTAP: &str = env!("CARGO_BIN_EXE_shadowtap");

/// Looks, a tenth of a second apart, before something counts as never to come.
const LOOKS: usize = 600;

/// The rights that root keeps: those of files.
const OF_FILES: u64 = 0b1111;

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} never came");
}

/// The port of a stack that answers everything alike, for as long as this process runs.
fn stack() -> u16 {
    counting_stack().0
}

/// The same, with how many requests it answered.
fn counting_stack() -> (u16, Arc<AtomicUsize>) {
    let answered = Arc::<AtomicUsize>::default();
    let counts = Arc::clone(&answered);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let counts = Arc::clone(&counts);
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for _ in lines.map_while(Result::ok).filter(String::is_empty) {
                    if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                        return;
                    }
                    counts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (port, answered)
}

/// A program at work; it ends with its trial.
struct Run {
    child: Child,
    told: Lines<BufReader<ChildStderr>>,
    /// What was told so far.
    lines: Vec<String>,
    folder: tempfile::TempDir,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Run {
    /// A replay of the demo's capture to `to`, which is limited, or says why not.
    fn replay(to: &str, more: &[&str]) -> Self {
        let capture = testdata("demo.pcap.zst");
        Self::begin(&[&["replay", capture.to_str().unwrap(), "--to", to], more].concat(), tempfile::tempdir().unwrap())
    }

    fn begin(arguments: &[&str], folder: tempfile::TempDir) -> Self {
        let mut command = Command::new(SHADOWTAP);
        command.args(arguments).arg("--summary").arg(folder.path().join("run.json"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut run = Self { child, told, lines: Vec::new(), folder };
        run.until_told("sandbox: ");
        assert!(run.lines.len() < 8, "it is told in the first lines: {:#?}", run.lines);
        run
    }

    fn until_told(&mut self, part: &str) -> String {
        for line in self.told.by_ref().map_while(Result::ok) {
            self.lines.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
        panic!("{part} was never told: {:#?}", self.lines);
    }

    /// What the kernel says of each of its threads.
    fn statuses(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok()).collect()
    }

    /// Asks it to end once something was answered: a run that sent nothing has another exit code.
    fn interrupt(&self, answered: &AtomicUsize) {
        until("an answer", || (answered.load(Ordering::Relaxed) > 0).then_some(()));
        self.signal("INT");
    }

    /// Waits until it has all its threads.
    fn at_work(&self) -> Vec<String> {
        until("threads that send", || Some(self.statuses()).filter(|all| all.iter().any(|one| one.contains("sending"))))
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Its exit code and its summary.
    fn end(mut self) -> (Option<i32>, Value) {
        while let Some(Ok(line)) = self.told.next() {
            self.lines.push(line);
        }
        let code = self.child.wait().unwrap().code();
        let summary = fs::read(self.folder.path().join("run.json"));
        let summary = summary.unwrap_or_else(|_| panic!("no summary: {:#?}", self.lines));
        (code, serde_json::from_slice(&summary).unwrap())
    }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

/// A sum over all targets.
fn of_targets(summary: &Value, pointer: &str) -> u64 {
    let targets = summary["targets"].as_object().unwrap().values();
    targets.map(|target| target.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()).sum()
}

const ENDLESS: [&str; 4] = ["--loop", "100000", "--rate", "200/s"];

pub(crate) fn limited() {
    let (port, answered) = counting_stack();
    let run = Run::replay(&format!("http://127.0.0.1:{port}"), &ENDLESS);
    assert_eq!(run.lines.last().unwrap(), "sandbox: limits files (Landlock) and system calls (seccomp)");
    for status in run.at_work() {
        assert_eq!((field(&status, "Seccomp:"), field(&status, "NoNewPrivs:")), ("2", "1"), "{status}");
        for set in ["CapEff:", "CapPrm:"] {
            let rights = u64::from_str_radix(field(&status, set), 16).unwrap();
            assert_eq!(rights & !OF_FILES, 0, "{status}");
        }
        for set in ["CapBnd:", "CapInh:", "CapAmb:"] {
            assert_eq!(field(&status, set), "0000000000000000", "{status}");
        }
    }
    run.interrupt(&answered);
    let (code, summary) = run.end();
    assert_eq!(code, Some(0), "{summary}");
}

pub(crate) fn left_out() {
    let (port, answered) = counting_stack();
    let run = Run::replay(&format!("http://127.0.0.1:{port}"), &[&ENDLESS[..], &["--no-sandbox"]].concat());
    assert_eq!(run.lines.last().unwrap(), "sandbox: none (--no-sandbox)");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    for status in run.at_work() {
        for unchanged in ["Seccomp:", "NoNewPrivs:", "CapEff:"] {
            assert_eq!(field(&status, unchanged), field(&own, unchanged), "{status}");
        }
    }
    run.interrupt(&answered);
    assert_eq!(run.end().0, Some(0));
}

/// Lines of a shell script that tries what it must not, and writes what it got to `notes`.
fn attempts(notes: &Path, forbidden: &Path) -> String {
    let (notes, forbidden) = (notes.display(), forbidden.display());
    format!(
        "{{ echo begun; cat /etc/shadow && echo stolen; cat '{forbidden}/file' && echo read\n\
         echo x >> '{forbidden}/file' && echo written; true > '{forbidden}/new' && echo made\n\
         unshare -r true && echo unshared; chroot / true && echo chrooted\n\
         grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status; }} >> '{notes}' 2>/dev/null\n"
    )
}

#[track_caller]
fn got_nothing(notes: &Path, starts: usize) {
    let notes = fs::read_to_string(notes).unwrap();
    let begun = notes.lines().filter(|line| *line == "begun").count();
    assert!(begun >= starts, "{notes}");
    for line in notes.lines() {
        let is_fine =
            line == "begun" || line == "Seccomp:\t2" || line == "NoNewPrivs:\t1" || line.starts_with("CapEff:");
        assert!(is_fine, "{line}: {notes}");
    }
    assert!(notes.contains("Seccomp:\t2") && notes.contains("NoNewPrivs:\t1"), "{notes}");
}

fn forbidden() -> tempfile::TempDir {
    // Not below the folder for temporary files, which programs may use.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(folder.path().join("file"), "secret").unwrap();
    folder
}

pub(crate) fn middleware() {
    let (outputs, programs, forbidden) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), forbidden());
    let (notes, script) = (outputs.path().join("notes"), programs.path().join("my.sh"));
    let once = outputs.path().join("once").display().to_string();
    let tries = attempts(&notes, forbidden.path());
    // The first one dies, and another one is started in its place.
    fs::write(&script, format!("{tries}if [ ! -e '{once}' ]; then : > '{once}'; head -n 3; exit 1; fi\nexec cat\n"))
        .unwrap();
    let results = outputs.path().join("results.jsonl");
    let command = format!("sh {}", script.display());
    let to = format!("http://127.0.0.1:{}", stack());
    let run = Run::replay(&to, &["--rate", "500/s", "--middleware", &command, "--results", results.to_str().unwrap()]);
    assert!(run.lines.last().unwrap().ends_with("of its programs too"), "{:?}", run.lines);
    for status in run.at_work() {
        assert_eq!((field(&status, "Seccomp:"), field(&status, "NoNewPrivs:")), ("2", "1"), "{status}");
    }
    let (code, summary) = run.end();
    assert_eq!(code, Some(0), "{summary}");
    got_nothing(&notes, 2);
    assert!(of_targets(&summary, "/ended/sent") > 500, "{}", summary["warnings"]);
    assert_eq!(fs::read(forbidden.path().join("file")).unwrap(), b"secret");
    assert!(fs::metadata(&results).unwrap().len() > 0);
}

pub(crate) fn guard() {
    let (outputs, programs, forbidden) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), forbidden());
    let (notes, script) = (outputs.path().join("notes"), programs.path().join("guard.sh"));
    fs::write(&script, format!("{}exit 1\n", attempts(&notes, forbidden.path()))).unwrap();
    let (command, results) = (format!("sh {}", script.display()), outputs.path().join("results.jsonl"));
    let to = format!("http://127.0.0.1:{}", stack());
    let more = ["--guard-command", &command, "--guard-every", "100ms", "--on-guard", "stop", "--results"];
    let run = Run::replay(&to, &[&["--rate", "500/s"], &more[..], &[results.to_str().unwrap()]].concat());
    let (_, summary) = run.end();
    let reason = summary["steps"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "the guard command says no (exit code 1)");
    got_nothing(&notes, 1);
}

pub(crate) fn reread() {
    let (chains, maps) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, map) = (chains.path().join("chain.toml"), maps.path().join("routes.map"));
    let write = |path: &Path, text: &str| {
        // As editors do it: a new file takes the place of the old one.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    };
    write(&map, "^/v2/ -\n");
    let text = format!("[[link]]\nroute = {{ map = \"{}\", default = \"new\" }}\n", map.display());
    write(&chain, &text);
    let to = format!("new=http://127.0.0.1:{}", stack());
    // Files are read by who a live run becomes.
    let outputs = tempfile::tempdir().unwrap();
    for (folder, mode) in [(&chains, 0o755), (&maps, 0o755), (&outputs, 0o777)] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    }
    let arguments =
        ["shadow", "-i", "lo", "-p", "1", "--to", &to, "--allow-empty", "--filters", chain.to_str().unwrap()];
    let mut run = Run::begin(&arguments, outputs);
    run.at_work();
    write(&map, "^/v3/ -\n");
    write(&chain, &format!("# again\n{text}"));
    run.signal("HUP");
    run.until_told("read again: 1 chain file");
    assert!(!run.lines.iter().any(|line| line.contains("SIGHUP will not")), "{:#?}", run.lines);
    run.signal("INT");
    assert_eq!(run.end().0, Some(0));
}

pub(crate) fn unreadable() {
    let (private, outputs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = private.path().join("chain.toml");
    fs::write(&chain, "[[link]]\ndrop = { path = \"^/private/\" }\n").unwrap();
    fs::set_permissions(&chain, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(outputs.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let file = outputs.path().join("x.gor");
    let arguments = [
        "record",
        "-i",
        "lo",
        "-p",
        "1",
        "-o",
        file.to_str().unwrap(),
        "--duration",
        "1s",
        "--allow-empty",
        "--filters",
    ];
    let mut run = Run::begin(&[&arguments[..], &[chain.to_str().unwrap()]].concat(), outputs);
    let line = run.until_told("SIGHUP will not read the chain files again");
    assert!(line.starts_with("warning: ") && line.contains("ermission denied"), "{line}");
    run.end();
}

/// A server over TLS, and the file of its certificate.
async fn encrypting(folder: &Path) -> (Server, String) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = folder.join("ca.pem");
    fs::write(&file, signed.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let config = builder.with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key.into()).unwrap();
    (Server::start_tls_as(config, |_| vec![answer("200 OK", "fine")]).await, file.display().to_string())
}

pub(crate) fn encrypted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (server, ca) = runtime.block_on(encrypting(folder.path()));
    let to = format!("https://localhost:{}", server.addr.port());
    for client in ["wire", "reqwest"] {
        let run = Run::replay(&to, &["--rate", "1000/s", "--client", client, "--ca", &ca]);
        let (code, summary) = run.end();
        assert_eq!(code, Some(0), "{client}: {summary}");
        assert!(of_targets(&summary, "/ended/sent") > 1000, "{client}: {summary}");
    }
    // Those of the system do not know it, and are read to find that out.
    let run = Run::replay(&to, &["--speed", "max"]);
    let (code, summary) = run.end();
    assert_eq!(code, Some(2), "{summary}");
    assert!(of_targets(&summary, "/ended/failed/tls") > 1000, "{summary}");
}

pub(crate) fn named() {
    let run = Run::replay(&format!("http://localhost:{}", stack()), &["--rate", "1000/s"]);
    let (code, summary) = run.end();
    assert_eq!(code, Some(0), "{summary}");
    assert!(of_targets(&summary, "/ended/sent") > 1000, "{summary}");
}

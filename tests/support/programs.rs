//! nginx, its clients and shadowtap as processes: started for a trial, and ended with it whatever becomes of that.
#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// Another build of shadowtap to try, such as one to look at with a profiler.
const PROGRAM: &str = "SHADOWTAP_TEST_PROGRAM";
/// Longest wait for what takes milliseconds, but on a machine that is busy elsewhere.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if is_so() {
            return;
        }
        thread::sleep(LOOK);
    }
    panic!("waited {PATIENCE:?} for {what}");
}

/// A folder that anybody may write to.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_up(folder.path());
    folder
}

/// Lets anybody write there.
pub(crate) fn open_up(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

/// A process that ends with its owner.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap();
    }

    /// Its exit code, once it ends by itself; nothing where a signal ended it.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        until("a process to end", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Processor time that it took so far, in microseconds.
    #[track_caller]
    pub(crate) fn processor_time(&self) -> u64 {
        /// Of the system's clock, as proc(5) counts: a hundredth of a second.
        const TICK: u64 = 10_000;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // After the name, which may hold anything, the fields of user and system time are the 12th and 13th.
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap() * TICK).sum()
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs a program to its end, and expects it to be content.
#[track_caller]
pub(crate) fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// nginx in one process, with a line of its log for each request: its target, and the mark.
pub(crate) struct Nginx {
    running: Running,
    log: PathBuf,
    folder: tempfile::TempDir,
}

/// Answers to everything: quick ones, and chunked ones below /zipped/.
const CONFIG: &str = r#"
daemon off;
master_process off;
error_log stderr crit;
pid @ROOT@/nginx.pid;
worker_rlimit_nofile 16384;
events { worker_connections 12288; }
http {
    client_body_temp_path @ROOT@/body;
    proxy_temp_path @ROOT@/proxy;
    fastcgi_temp_path @ROOT@/fastcgi;
    uwsgi_temp_path @ROOT@/uwsgi;
    scgi_temp_path @ROOT@/scgi;
    log_format each '$request_uri $status $msec $http_x_shadowtap';
    access_log @ROOT@/access.log each@LOG@;
    keepalive_requests @MOST@;
    keepalive_timeout 600s;
    client_max_body_size 16m;
    default_type text/plain;
    gzip_types text/plain;
    server {
        listen @LISTEN@ backlog=4096;
        location / { return 200 "ok\n"; }
        location /zipped/ { gzip on; return 200 "@LONG@"; }
    }
}
"#;

/// A request as nginx logged it.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) target: String,
    pub(crate) status: u16,
    /// When, in milliseconds of the system's clock.
    pub(crate) at: u64,
    pub(crate) mark: Option<String>,
}

impl Nginx {
    #[track_caller]
    pub(crate) fn start(listen: &str) -> Self {
        Self::start_as(listen, "", "")
    }

    /// One that writes its log in blocks, and so can do more.
    #[track_caller]
    pub(crate) fn start_busy(listen: &str) -> Self {
        Self::start_as(listen, "", " buffer=1m flush=1s")
    }

    /// One that speaks HTTP/2 without TLS, and ends each connection after 100 requests.
    #[track_caller]
    pub(crate) fn start_http2(listen: &str) -> Self {
        Self::start_as(listen, " http2", "")
    }

    #[track_caller]
    fn start_as(listen: &str, protocol: &str, log: &str) -> Self {
        let folder = folder();
        let root = folder.path().to_str().unwrap();
        let config =
            CONFIG.replace("@ROOT@", root).replace("@LISTEN@", &format!("{listen}{protocol}")).replace("@LOG@", log);
        let config = config.replace("@LONG@", &"long ".repeat(400));
        let most = if protocol.is_empty() { "100000000" } else { "100" };
        let config = config.replace("@MOST@", most);
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let child = Command::new("nginx")
            .args(["-p", root, "-c", file.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address: SocketAddr = listen.parse().unwrap();
        let nginx = Self { running: Running(child), log: folder.path().join("access.log"), folder };
        until("nginx to listen", || TcpStream::connect(address).is_ok());
        nginx
    }

    /// Processor time that it took so far, in microseconds.
    #[track_caller]
    pub(crate) fn processor_time(&self) -> u64 {
        self.running.processor_time()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// Halts it: connections are taken by the kernel, and nobody answers.
    pub(crate) fn halt(&self) {
        self.running.signal("STOP");
    }

    pub(crate) fn go_on(&self) {
        self.running.signal("CONT");
    }

    /// What it logged so far; a line that is under way is not.
    pub(crate) fn logged(&self) -> Vec<Logged> {
        let log = fs::read_to_string(&self.log).unwrap();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(Logged::parse).collect()
    }

    /// Ends it in order; returns what it logged.
    pub(crate) fn end(mut self) -> Vec<Logged> {
        self.running.signal("QUIT");
        self.running.wait();
        self.logged()
    }
}

impl Logged {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or_else(|| panic!("nginx logged `{line}`"));
        let (target, status, at, mark) = (next(), next(), next(), next());
        Self {
            target: target.to_owned(),
            status: status.parse().unwrap(),
            at: at.replace('.', "").parse().unwrap(),
            mark: (mark != "-").then(|| mark.to_owned()),
        }
    }
}

/// How often each target is there.
pub(crate) fn times<'a>(targets: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for target in targets {
        *times.entry(target.to_owned()).or_insert(0) += 1;
    }
    times
}

/// Each target that was logged has to be among `found` exactly once, and whatever else was found is what was under way
/// as a client left: no more than `open` of it, each once.
#[track_caller]
pub(crate) fn each_once<'a>(what: &str, logged: &[Logged], found: impl IntoIterator<Item = &'a str>, open: usize) {
    let found = times(found);
    let expected = times(logged.iter().map(|logged| &*logged.target));
    let twice: Vec<_> = expected.iter().chain(&found).filter(|(_, times)| **times > 1).take(5).collect();
    assert!(twice.is_empty(), "{what}: more than once: {twice:?}");
    let missing: Vec<_> = expected.keys().filter(|target| !found.contains_key(*target)).collect();
    assert!(missing.is_empty(), "{what}: {} of {} missing, such as {:?}", missing.len(), expected.len(), missing[0]);
    let more = found.len() - expected.len();
    assert!(more <= open, "{what}: {more} that were not logged");
}

/// A run of shadowtap.
pub(crate) struct Tap {
    running: Running,
    said: Arc<Mutex<String>>,
    hearing: JoinHandle<()>,
    summary: PathBuf,
    _folder: tempfile::TempDir,
}

/// What is left of a run.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    /// Null where none was written.
    pub(crate) summary: Value,
}

impl Tap {
    /// Starts shadowtap, and waits until it captures.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::launch(&mut Self::program(), arguments).ready()
    }

    /// shadowtap, without arguments.
    pub(crate) fn program() -> Command {
        Command::new(env::var_os(PROGRAM).unwrap_or_else(|| env!("CARGO_BIN_EXE_shadowtap").into()))
    }

    /// The same of a command that is shadowtap; does not wait.
    pub(crate) fn launch(command: &mut Command, arguments: &[&str]) -> Self {
        let folder = folder();
        let summary = folder.path().join("summary.json");
        let mut child = command
            .args(arguments)
            .arg("--summary")
            .arg(&summary)
            .env_remove("SUDO_UID")
            .env_remove("SUDO_GID")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (hears, stderr) = (Arc::clone(&said), child.stderr.take().unwrap());
        let hearing = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = hears.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { running: Running(child), said, hearing, summary, _folder: folder }
    }

    /// Waits until it captures, and hears signals.
    #[track_caller]
    pub(crate) fn ready(mut self) -> Self {
        // The first line of how it goes.
        until("shadowtap to begin", || self.said().contains(" seen, ") || self.running.has_ended());
        assert!(!self.running.has_ended(), "shadowtap ended: {}", self.said());
        self
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        until(&format!("`{words}`"), || self.said().contains(words));
    }

    /// Waits until these words were said so often.
    #[track_caller]
    pub(crate) fn says_times(&self, words: &str, times: usize) {
        until(&format!("`{words}`"), || self.said().matches(words).count() == times);
    }

    pub(crate) fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// A field of what the system says of the process.
    #[track_caller]
    pub(crate) fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned()
    }

    /// The most memory that it ever had, in megabytes.
    #[track_caller]
    pub(crate) fn most_memory(&self) -> u64 {
        self.status("VmHWM:").split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Memory that it has now, in kilobytes.
    #[track_caller]
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:").split(' ').next().unwrap().parse().unwrap()
    }

    /// Processor time that it took so far, in microseconds.
    #[track_caller]
    pub(crate) fn processor_time(&self) -> u64 {
        self.running.processor_time()
    }

    /// Waits for the end; with what the run ends with comes its processor time in microseconds, and the most memory that it
    /// ever had in megabytes, both as of the last look at it.
    #[track_caller]
    pub(crate) fn watched(mut self) -> (Ended, u64, u64) {
        let (mut took, mut peak) = (0, 0);
        while !self.running.has_ended() {
            // What has ended has no memory any more, but its time.
            let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
            if status.contains("VmHWM:") {
                (took, peak) = (self.processor_time(), self.most_memory().max(peak));
            }
            thread::sleep(LOOK);
        }
        (self.ended(), took, peak)
    }

    /// Sends a signal, and waits for the end.
    #[track_caller]
    pub(crate) fn end(self, signal: &str) -> Ended {
        self.signal(signal);
        self.ended()
    }

    /// Waits for the end; the ledger has to add up.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Ended {
        let code = self.running.wait();
        let Self { said, hearing, .. } = self;
        hearing.join().unwrap();
        let said = said.lock().unwrap().clone();
        let text = fs::read(&self.summary).unwrap_or_else(|_| b"null".to_vec());
        let summary: Value = serde_json::from_slice(&text).unwrap();
        let ended = Ended { code, said, summary };
        if ended.summary.is_object() {
            ended.adds_up();
        }
        ended
    }
}

impl Ended {
    /// A number of the summary; 0 where nothing stands.
    pub(crate) fn count(&self, pointer: &str) -> u64 {
        self.summary.pointer(pointer).map_or(0, total)
    }

    /// What is said of the only target, or of all of them together.
    pub(crate) fn of_target(&self, pointer: &str) -> u64 {
        let targets = self.summary["targets"].as_object().unwrap();
        targets.values().map(|target| target.pointer(pointer).map_or(0, total)).sum()
    }

    fn adds_up(&self) {
        let requests = |pointer: &str| self.count(&format!("/requests{pointer}"));
        let ends = requests("/offered") + requests("/in_flight") + requests("/ended");
        assert_eq!(requests("/seen"), ends, "{}", self.summary["requests"]);
        assert_eq!(self.of_target("/offered"), self.of_target("/in_flight") + self.of_target("/ended"));
    }

    /// Neither the kernel nor shadowtap has dropped a thing.
    #[track_caller]
    pub(crate) fn lost_nothing(&self) {
        let dropped = self.count("/frames/kernel_dropped") + self.count("/frames/interface_dropped");
        assert_eq!(dropped, 0, "frames were dropped: this machine is too busy for the trial");
        let losses = ["/tcp/gaps", "/requests/ended/shed", "/requests/ended/incomplete", "/requests/ended/malformed"];
        for loss in losses {
            assert_eq!(self.count(loss), 0, "{loss}: {}", self.summary);
        }
    }
}

/// A number, or all the numbers of a block.
fn total(value: &Value) -> u64 {
    match value {
        Value::Object(block) => block.values().map(total).sum(),
        number => number.as_u64().unwrap_or(0),
    }
}

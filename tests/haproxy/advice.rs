//! The next step of a migration in HAProxy's words: what is printed is fed to a real HAProxy over its stats socket by
//! `socat`, and read back.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Client, Rig, Running, haproxy_command, ports, until};

/// Requests of the route that has enough.
const MANY: usize = 4_000;
/// Requests of the route that has too few.
const FEW: usize = 40;

/// An HAProxy with a backend of both stacks, maps, and a stats socket.
struct Migration {
    folder: tempfile::TempDir,
    _haproxy: Running,
}

impl Migration {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [www, old, new] = ports();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(folder.path().join("routes.map"), "# routes\n^/api/ app\n^/img/ static\n^/none app2\n").unwrap();
        fs::write(folder.path().join("shares.map"), "^/api/[a-z]+\\.json$ 10\n^/img/ 10\n").unwrap();
        fs::write(folder.path().join("whole.map"), "^/api/ onprem\n^/img/ onprem\n").unwrap();
        let backend = |name: &str| {
            format!(
                "backend {name}\n    balance roundrobin\n    server cloud 127.0.0.1:{new} weight 100\n    \
                 server onprem 127.0.0.1:{old} weight 100\n"
            )
        };
        let config = format!(
            "global\n    stats socket {} level admin\n    stats timeout 2s\ndefaults\n    mode http\n    timeout connect 1s\n    \
             timeout client 5s\n    timeout server 5s\nfrontend www\n    bind 127.0.0.1:{www}\n    \
             http-request set-var(txn.share) path,map_reg_int({},0)\n    \
             http-request set-var(txn.whole) path,map_reg({},onprem)\n    \
             use_backend %[path,map_reg({},app)]\n{}{}{}",
            path("stats.sock"),
            path("shares.map"),
            path("whole.map"),
            path("routes.map"),
            backend("app"),
            backend("static"),
            backend("app2"),
        );
        fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
        let started = haproxy_command(&folder.path().join("haproxy.cfg")).stdout(Stdio::null()).spawn().unwrap();
        let migration = Self { folder, _haproxy: Running(started) };
        until("HAProxy to have its socket", || migration.path("stats.sock").exists());
        migration
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Feeds lines to the runtime API, and returns what it says.
    fn say(&self, lines: &str) -> String {
        let address = format!("UNIX-CONNECT:{}", self.path("stats.sock").display());
        let mut said = String::new();
        // Without `prompt` a connection takes one line.
        for line in lines.lines() {
            fs::write(self.path("line"), format!("{line}\n")).unwrap();
            let output = Command::new("socat")
                .args(["-t2", "-", &address])
                .stdin(fs::File::open(self.path("line")).unwrap())
                .output()
                .unwrap();
            said += &String::from_utf8_lossy(&output.stdout);
        }
        said
    }

    /// The weights of a backend's servers, by name.
    fn weights(&self, backend: &str) -> Vec<(String, String)> {
        let state = self.say(&format!("show servers state {backend}"));
        let rows = state.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(' '));
        let mut weights: Vec<_> = rows
            .map(|row| row.split(' ').collect::<Vec<_>>())
            .map(|row| (row[3].to_owned(), row[7].to_owned()))
            .collect();
        weights.sort();
        weights
    }

    /// The value of an expression in a map.
    fn value(&self, map: &str, pattern: &str) -> String {
        let shown = self.say(&format!("show map {}", self.path(map).display()));
        let found = shown.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            (words.next() == Some(pattern)).then(|| words.next().unwrap().to_owned())
        });
        found.unwrap_or_else(|| panic!("no {pattern} in {shown}"))
    }
}

/// Results of a real run behind HAProxy.
fn results(rig: &mut Rig) -> std::path::PathBuf {
    let mut client = Client::new(rig.www);
    for n in 0..MANY {
        assert_eq!(client.ask(&format!("GET /api/list.json?n={n} HTTP/1.1\r\nHost: h\r\n\r\n"), &[]), 200);
    }
    for n in 0..FEW {
        assert_eq!(client.ask(&format!("GET /img/{n} HTTP/1.1\r\nHost: h\r\n\r\n"), &[]), 200);
    }
    until("all to be logged", || rig.log("www").iter().filter(|line| line.contains("/img/")).count() >= FEW);
    let mut before = 0;
    until("no more to be sent", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let sent = rig.log("target").len();
        std::mem::replace(&mut before, sent) == sent
    });
    rig.end();
    rig.folder.path().join("run.jsonl")
}

/// The advice, whole.
fn advice(results: &Path, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_shadowtap"))
        .arg("report")
        .arg(results)
        .args(["--advise", "haproxy", "--fail-if", "p99>30s", "--connection-limit", "5000"])
        .args(more)
        .env("COLUMNS", "120")
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Its lines for the runtime API.
fn lines(advice: &str) -> String {
    advice.split_inclusive('\n').filter(|line| line.starts_with("set ")).collect()
}

pub(super) fn taken_by_haproxy() {
    let mut rig = Rig::start(false, &["--results", "run.jsonl"]);
    let run = results(&mut rig);
    let migration = Migration::start();
    let map = |name: &str| migration.path(name).display().to_string();
    let weights = |cloud: &str, onprem: &str| {
        [("cloud", cloud), ("onprem", onprem)].map(|(name, weight)| (name.to_owned(), weight.to_owned())).to_vec()
    };

    // By weights.
    let servers = ["--new-servers", "cloud", "--old-servers", "onprem", "--now", "10%"];
    let told = advice(&run, &[&["--map", &map("routes.map")], &servers[..]].concat());
    assert_eq!(lines(&told), "set weight app/cloud 25\nset weight app/onprem 75\n", "{told}");
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("static: 25% is not ready on ^/img/"), "{told}");
    assert!(words.contains("errors: 0 of 40, may be 7.22%: too few for 0.5%: 598 at least"), "{told}");
    assert!(words.contains("^/none app2: 0 requests") && words.contains("no request of it was in the run"), "{told}");
    assert_eq!(migration.weights("app"), weights("100", "100"));
    assert_eq!(migration.say(&lines(&told)).trim(), "");
    assert_eq!(migration.weights("app"), weights("25", "75"));
    assert_eq!(migration.weights("static"), weights("100", "100"), "what is not ready stays");

    // By values that are percents, with an expression that the runtime API needs escaped.
    let told = advice(&run, &["--map", &map("shares.map")]);
    assert!(told.contains("     1  ^/api/[a-z]+\\.json$ 25\n"), "{told}");
    assert_eq!(migration.value("shares.map", "^/api/[a-z]+\\.json$"), "10");
    assert_eq!(migration.say(&lines(&told)).trim(), "");
    assert_eq!(migration.value("shares.map", "^/api/[a-z]+\\.json$"), "25");
    assert_eq!(migration.value("shares.map", "^/img/"), "10");

    // As a whole.
    let told = advice(&run, &["--map", &map("whole.map"), "--new-backend", "cloud"]);
    assert_eq!(migration.say(&lines(&told)).trim(), "");
    assert_eq!(migration.value("whole.map", "^/api/"), "cloud", "{told}");
    assert_eq!(migration.value("whole.map", "^/img/"), "onprem", "{told}");

    // Files are as they were.
    assert_eq!(fs::read_to_string(migration.path("whole.map")).unwrap(), "^/api/ onprem\n^/img/ onprem\n");
}

pub(super) fn not_ready() {
    let mut rig = Rig::start(false, &["--results", "run.jsonl", "--sample", "20%", "--sample-by", "request"]);
    let run = results(&mut rig);
    let map = rig.folder.path().join("shares.map");
    fs::write(&map, "^/api/ 10\n").unwrap();
    // A fifth of it was sent: enough for errors, too few for statuses, and nothing beyond.
    let told = advice(&run, &["--map", map.to_str().unwrap(), "--steps", "15%,100%"]);
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(lines(&told), "", "{told}");
    assert!(words.contains("too few for 0.1%: 2,995 at least"), "{told}");
    assert!(words.contains("100% not ready: not tried: the run sent 20% at most"), "{told}");
    assert!(words.contains("Nothing is ready: there is nothing to paste."), "{told}");
    let told = advice(&run, &["--map", map.to_str().unwrap(), "--steps", "15%", "--fail-if", "status-diff>1%"]);
    assert_eq!(lines(&told), format!("set map {} ^/api/ 15\n", map.display()), "{told}");
}

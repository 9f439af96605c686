//! This program enters the sandbox itself, tries what an attacker would, and says what came of it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::UnshareFlags;
use serde_json::{Value, json};
use shadowtap::sandbox::{self, Needs};

/// What it is told by: the folder in which it may write, the one in which it may not, and the port it may connect to.
const ASKED: &str = "SHADOWTAP_TEST_SANDBOX";

pub(crate) fn is_asked() -> bool {
    std::env::var_os(ASKED).is_some()
}

/// What this kernel lacks.
pub(crate) fn lacks() -> Vec<String> {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let told = within(folders[0].path(), folders[1].path(), 1)["told"].as_str().unwrap().to_owned();
    let mut lacks = Vec::new();
    for (part, name) in [("files (Landlock)", "Landlock"), ("system calls (seccomp)", "seccomp")] {
        if !told.contains(part) {
            lacks.push(name.to_owned());
        }
    }
    lacks
}

/// What it finds, from within a process of its own.
fn within(may: &Path, may_not: &Path, port: u16) -> Value {
    let asked = json!({ "may": may, "may_not": may_not, "port": port }).to_string();
    let output = Command::new(std::env::current_exe().unwrap()).env(ASKED, asked).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[expect(clippy::print_stdout, reason = "it is read from there")]
pub(crate) fn report() {
    let asked: Value = serde_json::from_str(&std::env::var(ASKED).unwrap()).unwrap();
    let folder = |key: &str| PathBuf::from(asked[key].as_str().unwrap());
    let port = u16::try_from(asked["port"].as_u64().unwrap()).unwrap();
    let needs = Needs { writes: vec![folder("may").join("x")], ports: vec![port], ..Needs::default() };
    sandbox::hide_memory();
    let told = sandbox::enter(&needs).unwrap().to_string();
    // What one thread may not, no other may.
    let (may, may_not) = (folder("may"), folder("may_not"));
    let found = thread::spawn(move || look(&may, &may_not, port)).join().unwrap();
    println!("{}", json!({ "told": told, "found": found }));
}

/// What each attempt comes to: `ok`, or the kind of its failure.
fn look(may: &Path, may_not: &Path, port: u16) -> Value {
    let said = |result: std::io::Result<()>| match result {
        Ok(()) => "ok".to_owned(),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => "denied".to_owned(),
        Err(error) => error.to_string(),
    };
    let read = |path: &str| said(File::open(path).map(drop));
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    #[expect(deprecated, reason = "the call that is refused is what is looked at")]
    let unshared = rustix::thread::unshare(UnshareFlags::NEWUSER).map_err(Into::into);
    json!({
        "shadow": read("/etc/shadow"),
        "passwd": read("/etc/passwd"),
        "resolv.conf": said(fs::read("/etc/resolv.conf").map(drop)),
        "other file": said(fs::read(may_not.join("file")).map(drop)),
        "other folder": said(File::create(may_not.join("new")).map(drop)),
        "over a file": said(fs::OpenOptions::new().write(true).open(may_not.join("file")).map(drop)),
        "remove": said(fs::remove_file(may_not.join("file"))),
        "own folder": said(File::create(may.join("new")).map(drop)),
        "own folder below": said(fs::create_dir_all(may.join("a/b")).and_then(|()| fs::write(may.join("a/b/c"), "x"))),
        "turn over": said(fs::rename(may.join("new"), may.join("old"))),
        "a core pattern": said(fs::OpenOptions::new().write(true).open("/proc/sys/kernel/core_pattern").map(drop)),
        "null": said(fs::write("/dev/null", "x")),
        "urandom": read("/dev/urandom"),
        "program": said(Command::new("/bin/true").status().map(drop)),
        "unshare": said(unshared),
        "packets": said(socket(AddressFamily::PACKET, SocketType::RAW, None).map(drop).map_err(Into::into)),
        "datagrams": said(UdpSocket::bind("127.0.0.1:0").map(drop)),
        "own port": said(TcpStream::connect(("127.0.0.1", port)).map(drop)),
        "other port": said(TcpStream::connect(("127.0.0.1", other)).map(drop)),
        "thread": said(thread::spawn(|| ()).join().map_err(|_| std::io::Error::other("died"))),
        "status": fs::read_to_string("/proc/thread-self/status").unwrap(),
    })
}

fn looked() -> (Value, [tempfile::TempDir; 2]) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    fs::write(folders[1].path().join("file"), "untouched").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = within(folders[0].path(), folders[1].path(), listener.local_addr().unwrap().port());
    (found["found"].clone(), folders)
}

pub(crate) fn refused() {
    let (found, folders) = looked();
    for refused in ["shadow", "other file", "other folder", "over a file", "remove", "a core pattern", "other port"] {
        assert_eq!(found[refused], "denied", "{refused}: {found:#}");
    }
    for refused in ["program", "unshare", "packets"] {
        assert_ne!(found[refused], "ok", "{refused}: {found:#}");
    }
    assert_eq!(fs::read(folders[1].path().join("file")).unwrap(), b"untouched");
    let status = found["status"].as_str().unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
}

pub(crate) fn served() {
    let (found, _folders) = looked();
    for served in [
        "passwd",
        "resolv.conf",
        "own folder",
        "own folder below",
        "turn over",
        "null",
        "urandom",
        "datagrams",
        "own port",
        "thread",
    ] {
        assert_eq!(found[served], "ok", "{served}: {found:#}");
    }
}

//! Who a run is, who owns its files, and what it says where it may not.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::net::{Network, SERVER, WIRE, may};
use crate::programs::{Ended, Nginx, Tap, folder, open_up};
use crate::traffic::{curl, gor};

pub(crate) const NOBODY: u32 = 65_534;
const DAEMON: u32 = 1;
/// A user who may nothing; it needs no account.
const SOMEBODY: u32 = 54_321;

fn record<'a>(file: &'a Path, arguments: &[&'a str]) -> Vec<&'a str> {
    [&["record", "-i", WIRE, "-p", "80", "-o", file.to_str().unwrap()], arguments].concat()
}

/// Whose process it is, by its real, effective, saved and file system user, and that it can do nothing more.
#[track_caller]
fn is(tap: &Tap, user: u32) {
    assert_eq!(tap.status("Uid:").split_whitespace().collect::<Vec<_>>(), [&*user.to_string(); 4]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(tap.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(tap.status("NoNewPrivs:"), "1");
    assert_eq!(tap.status("Seccomp:"), "2");
    // What is not dumpable belongs to root there.
    let memory = fs::metadata(format!("/proc/{}/environ", tap.id())).unwrap();
    assert_eq!(memory.uid(), 0);
    assert!(tap.said().contains("sandbox: limits "), "{}", tap.said());
    assert!(!tap.status("Groups:").split_whitespace().any(|group| group == "0"));
}

/// Records a few requests as `user`, whom it has to have become.
fn check(tap: Tap, network: &Network, file: &Path, user: u32) {
    is(&tap, user);
    curl(&mut network.client("curl"), SERVER, "asked", 5);
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let (requests, _) = gor(&fs::read(file).unwrap());
    assert_eq!(requests.len(), 5);
    let metadata = fs::metadata(file).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (user, 0o600), "whatever the umask is");
}

pub(crate) fn nobody() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("all.gor");
    check(Tap::start(&record(&file, &[])), &network, &file, NOBODY);
}

pub(crate) fn named() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let file = folder.path().join("all.gor");
    check(Tap::start(&record(&file, &["--user", "daemon"])), &network, &file, DAEMON);
}

/// A copy of shadowtap that anybody may start.
fn copy(folder: &Path) -> PathBuf {
    let copy = folder.join("shadowtap");
    fs::copy(env!("CARGO_BIN_EXE_shadowtap"), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// As a unit of systemd with `AmbientCapabilities=` starts it.
pub(crate) fn ambient() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let (copy, file) = (copy(folder.path()), folder.path().join("all.gor"));
    let user = SOMEBODY.to_string();
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    setpriv.args(["--inh-caps", "+net_raw,+net_admin", "--ambient-caps", "+net_raw,+net_admin"]).arg(copy);
    check(Tap::launch(&mut setpriv, &record(&file, &[])).ready(), &network, &file, SOMEBODY);
}

fn as_somebody(program: &Path, arguments: &[&str]) -> Tap {
    Tap::launch(Command::new(program).uid(SOMEBODY).gid(SOMEBODY), arguments)
}

pub(crate) fn of_file() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let (copy, file) = (copy(folder.path()), folder.path().join("all.gor"));
    assert!(may("setcap", &["cap_net_raw+ep", copy.to_str().unwrap()]), "setcap");
    check(as_somebody(&copy, &record(&file, &[])).ready(), &network, &file, SOMEBODY);
}

#[track_caller]
fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    for words in words {
        assert!(ended.said.contains(words), "`{words}` is not said: {}", ended.said);
    }
}

pub(crate) fn missing() {
    let (_network, folder) = (Network::new(), folder());
    let ended = as_somebody(&copy(folder.path()), &record(&folder.path().join("all.gor"), &[])).ended();
    refused(&ended, &["cannot open node0", "run with sudo, or: sudo setcap cap_net_raw+ep"]);
}

fn start(arguments: &[&str]) -> Ended {
    Tap::launch(&mut Command::new(env!("CARGO_BIN_EXE_shadowtap")), arguments).ended()
}

/// The same, as if behind sudo there were a user who may nothing.
fn start_by_sudo(arguments: &[&str]) -> Ended {
    let behind = [format!("SUDO_UID={SOMEBODY}"), format!("SUDO_GID={SOMEBODY}")];
    let mut env = Command::new("env");
    Tap::launch(env.args(behind).arg(env!("CARGO_BIN_EXE_shadowtap")), arguments).ended()
}

pub(crate) fn not_writable() {
    let (_network, folder) = (Network::new(), folder());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("all.gor");
    let words = ["cannot make", "all.gor", "Permission denied", "--user"];
    refused(&start_by_sudo(&record(&file, &[])), &words);
    refused(&start(&record(&file, &["--user", "nobody"])), &words);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A root that nobody else is behind, and whose folder is its own.
pub(crate) fn of_root() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    for file in ["all.gor", "later/%Y/all.gor"] {
        let file = folder.path().join(file);
        let tap = Tap::start(&record(&file, &["--rotate-every", "1h"]));
        assert!(
            tap.said().contains("running as root, no capabilities, since as nobody it could not write the outputs"),
            "{}",
            tap.said()
        );
        assert_eq!(tap.status("Uid:").split_whitespace().collect::<Vec<_>>(), ["0"; 4]);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(tap.status(set), "0000000000000000", "{set}");
        }
        assert_eq!((tap.status("NoNewPrivs:"), tap.status("Seccomp:")), ("1".to_owned(), "2".to_owned()));
        curl(&mut network.client("curl"), SERVER, "asked", 5);
        let ended = tap.end("INT");
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
    let all = folder.path().join("all.gor");
    let metadata = fs::metadata(&all).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o600));
    assert_eq!(gor(&fs::read(&all).unwrap()).0.len(), 5);
    assert_eq!(fs::read_dir(folder.path().join("later")).unwrap().count(), 1);
}

/// What another user put in the way of a root that stays root is not followed.
pub(crate) fn planted_links() {
    let (_network, folder) = (Network::new(), folder());
    let (theirs, precious) = (folder.path().join("theirs"), folder.path().join("precious"));
    fs::create_dir(&theirs).unwrap();
    fs::write(&precious, "precious").unwrap();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    symlink(&precious, theirs.join("all.json")).unwrap();
    symlink(folder.path().join("elsewhere"), theirs.join("link")).unwrap();
    for path in [theirs.clone(), theirs.join("all.json"), theirs.join("link")] {
        lchown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["all.json", "link/all.json"] {
        let results = theirs.join(path);
        let shadow = ["shadow", "-i", WIRE, "-p", "80", "--to", "http://127.0.0.1:9", "--results"];
        let ended = start(&[&shadow[..], &[results.to_str().unwrap()]].concat());
        refused(&ended, &["cannot", "link"]);
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read_dir(folder.path().join("elsewhere")).unwrap().count(), 0);
}

pub(crate) fn pattern_not_writable() {
    let (_network, folder) = (Network::new(), folder());
    // The first file could be made: it is there already what cannot be done once more.
    let made = folder.path().join("made");
    fs::create_dir(&made).unwrap();
    fs::set_permissions(&made, fs::Permissions::from_mode(0o755)).unwrap();
    let file = made.join("%Y/%H.gor");
    let arguments = record(&file, &["--rotate-every", "1h"]);
    refused(&start_by_sudo(&arguments), &["cannot make", "Permission denied", "--user"]);
    assert_eq!(fs::read_dir(&made).unwrap().count(), 0);
}

pub(crate) fn rotated() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let place = folder.path().join("%Y/all.gor");
    open_up(folder.path());
    let tap = Tap::start(&record(&place, &["--rotate-size", "1K"]));
    curl(&mut network.client("curl"), SERVER, "asked", 50);
    let ended = tap.end("INT");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let year = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    let year = year.unwrap();
    assert_eq!(fs::metadata(&year).unwrap().mode() & 0o7777, 0o700);
    let files: Vec<_> = fs::read_dir(year).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 3, "{files:?}");
    let requests: usize = files.iter().map(|file| gor(&fs::read(file).unwrap()).0.len()).sum();
    assert_eq!(requests, 50);
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().uid() == NOBODY));
}

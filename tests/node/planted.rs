//! Another user of the machine, who exchanges what root is about to write to: nothing but what was named is ever touched.

use std::env;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::fs::inotify;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::programs::{Tap, folder, until};
use crate::rights::NOBODY;

/// Names what a process of the other user does: the way, the place, and what it would like to have written to.
const ATTACK: &str = "SHADOWTAP_TEST_ATTACK";
/// Attempts: where the race can be won at all, some of them win it.
const ROUNDS: usize = 30;
/// Where runs of nobody have their sockets.
const SOCKETS: &str = "/run/shadowtap/65534";

/// What the other user does, in a process of its own; until it is ended.
pub(crate) fn attack() -> bool {
    let Ok(attack) = env::var(ATTACK) else { return false };
    let [way, place, victim] = attack.split('|').collect::<Vec<_>>()[..] else { panic!("{attack}") };
    let place = Path::new(place);
    loop {
        match way {
            "sockets" => exchange_sockets(place, victim),
            "file" => {
                let other = place.with_extension("other");
                symlink(victim, &other).ok();
                fs::rename(&other, place).ok();
                fs::write(&other, "mine").ok();
                fs::rename(&other, place).ok();
            }
            "folder" => {
                let other = place.with_extension("other");
                fs::rename(place, &other).ok();
                symlink(victim, place).ok();
                fs::remove_file(place).ok();
                fs::rename(&other, place).ok();
            }
            _ => panic!("{way}"),
        }
    }
}

/// Puts a link in the place of each socket as soon as that is there: the kernel wakes who waits for it.
fn exchange_sockets(folder: &Path, victim: &str) {
    let news = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&news, folder, inotify::WatchFlags::CREATE).unwrap();
    fs::write(folder.join("ready"), "").unwrap();
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    let mut news = inotify::Reader::new(news, &mut buffer);
    loop {
        let event = news.next().unwrap();
        let Some(name) = event.file_name().and_then(|name| name.to_str().ok()) else { continue };
        let path = folder.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|entry| entry.file_type().is_socket()) {
            fs::rename(&path, folder.join("moved")).ok();
            symlink(victim, &path).ok();
        }
    }
}

/// Has this thread, and what it starts, run on one processor: who is woken by another takes its turn there.
fn on_one_processor() {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|processor| all.is_set(*processor)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
}

/// The other user at work.
struct Attacker(Child);

impl Attacker {
    fn start(way: &str, place: &Path, victim: &Path) -> Self {
        let mut command = Command::new("/proc/self/exe");
        command.env(ATTACK, format!("{way}|{}|{}", place.display(), victim.display()));
        Self(command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A file that nobody but root has anything to do with.
struct Victim(PathBuf);

impl Victim {
    fn new(folder: &Path) -> Self {
        let path = folder.join("victim");
        fs::write(&path, "root's own").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        Self(path)
    }

    #[track_caller]
    fn is_untouched(&self) {
        let metadata = fs::symlink_metadata(&self.0).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, 0, 0o640));
        assert_eq!(fs::read_to_string(&self.0).unwrap(), "root's own");
    }
}

fn shadowtap(arguments: &[&str]) -> Output {
    let program = env::var_os("SHADOWTAP_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_shadowtap").into());
    let mut command = Command::new(program);
    command.args(arguments).env_remove("SUDO_UID").env_remove("SUDO_GID").stdin(Stdio::null());
    command.output().unwrap()
}

/// Root's folder, that all may pass.
fn passable() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The other user's folder in it.
fn of_nobody(folder: &Path) -> PathBuf {
    let path = folder.join("nobody");
    fs::create_dir(&path).unwrap();
    chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    path
}

pub(crate) fn sockets() {
    let folder = passable();
    let victim = Victim::new(folder.path());
    // Begins, makes its socket, and ends since it cannot record there.
    let start = || shadowtap(&["record", "-i", "lo", "-p", "80", "-o", "/proc/none/all.gor"]);
    let first = start();
    assert_eq!(first.status.code(), Some(2), "{first:?}");
    let before = sched_getaffinity(None).unwrap();
    on_one_processor();
    let attacker = Attacker::start("sockets", Path::new(SOCKETS), &victim.0);
    until("who watches", || Path::new(SOCKETS).join("ready").exists());
    for _ in 0..ROUNDS {
        start();
        victim.is_untouched();
    }
    drop(attacker);
    sched_setaffinity(None, &before).unwrap();
    assert!(fs::symlink_metadata(Path::new(SOCKETS).join("moved")).is_ok(), "none was exchanged");
    fs::remove_dir_all("/run/shadowtap").unwrap();
}

/// In the place of the folder of all sockets stands another user's: there is no socket then, and that is told.
pub(crate) fn folder_of_sockets() {
    let folder = passable();
    let victim = Victim::new(folder.path());
    // Of a trial before.
    fs::remove_dir_all("/run/shadowtap").ok();
    for planted in ["folder", "link"] {
        if planted == "folder" {
            fs::create_dir("/run/shadowtap").unwrap();
            chown("/run/shadowtap", Some(NOBODY), Some(NOBODY)).unwrap();
        } else {
            symlink(folder.path(), "/run/shadowtap").unwrap();
        }
        let ended = shadowtap(&["record", "-i", "lo", "-p", "80", "-o", "/proc/none/all.gor"]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("warning: cannot make /run/shadowtap/65534 for the control socket"), "{said}");
        victim.is_untouched();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        if planted == "folder" {
            assert_eq!(fs::read_dir("/run/shadowtap").unwrap().count(), 0);
            fs::remove_dir("/run/shadowtap").unwrap();
        } else {
            fs::remove_file("/run/shadowtap").unwrap();
        }
    }
}

fn capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/demo.pcap.zst")
}

fn summary(to: &Path) -> Output {
    shadowtap(&["inspect", capture().to_str().unwrap(), "--summary", to.to_str().unwrap()])
}

pub(crate) fn outputs() {
    let folder = passable();
    let victim = Victim::new(folder.path());
    let place = of_nobody(folder.path());
    // In a folder such as /tmp, and in one of the other user.
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    for folder in [&shared, &place] {
        let path = folder.join("run.json");
        let told = |words: &str| {
            let ended = summary(&path);
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(2), "{said}");
            assert!(said.contains(&format!("{} {words}", path.display())), "{said}");
            victim.is_untouched();
            fs::remove_file(&path).unwrap();
        };
        symlink(&victim.0, &path).unwrap();
        told("is a symbolic link");
        fs::write(&path, "mine").unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        told("belongs to another user (65534)");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        told("belongs to another user (65534)");
        // Another name of root's file is taken away, and the file stays as it is; one's own is overwritten.
        fs::hard_link(&victim.0, &path).unwrap();
        for _ in 0..2 {
            assert!(summary(&path).status.success());
            victim.is_untouched();
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.mode() & 0o7777, metadata.nlink()), (0, 0o600, 1));
        }
        fs::remove_file(&path).unwrap();
    }
}

pub(crate) fn raced() {
    let folder = passable();
    let secret = folder.path().join("secret");
    fs::create_dir(&secret).unwrap();
    let victim = Victim::new(&secret);
    let place = of_nobody(folder.path());
    let (file, sub) = (place.join("run.json"), place.join("sub"));
    fs::create_dir(&sub).unwrap();
    chown(&sub, Some(NOBODY), Some(NOBODY)).unwrap();
    for (way, target, to) in [("file", &victim.0, &file), ("folder", &secret, &sub.join("victim"))] {
        let attacker = Attacker::start(way, if way == "file" { &file } else { &sub }, target);
        for _ in 0..ROUNDS {
            summary(to);
            victim.is_untouched();
        }
        drop(attacker);
    }
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
}

/// `shadowtap control` of this user, with these arguments.
fn control(user: u32, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("/proc/self/fd/0");
    // The program may lie where only root can go.
    command.stdin(fs::File::open(env!("CARGO_BIN_EXE_shadowtap")).unwrap());
    let output = command.arg("control").args(arguments).uid(user).gid(user).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output.status.code(), said)
}

pub(crate) fn steered() {
    let folder = folder();
    let file = folder.path().join("all.gor");
    let tap = Tap::start(&["record", "-i", "lo", "-p", "80", "-o", file.to_str().unwrap()]);
    let socket = PathBuf::from(format!("{SOCKETS}/{}.sock", tap.id()));
    let metadata = fs::symlink_metadata(&socket).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (NOBODY, 0o600));
    for user in [0, NOBODY] {
        assert_eq!(control(user, &["status"]), (Some(0), "share 100%\n".to_owned()), "user {user}");
    }
    // Somebody else finds none, may not go there, and has nothing to offer in its place.
    let (code, said) = control(1, &["status"]);
    assert!(code == Some(2) && said.contains("found no run of this user"), "{said}");
    let (code, said) = control(1, &["--socket", socket.to_str().unwrap(), "stop"]);
    assert!(code == Some(2) && said.contains("is not spoken to"), "{said}");
    // What a kill leaves behind goes with the next look.
    assert_eq!(tap.end("KILL").code, None);
    assert!(socket.exists());
    let (code, said) = control(0, &["status"]);
    assert!(code == Some(2) && said.contains("found no run of this user"), "{said}");
    assert!(!socket.exists());
    // Or with the next run.
    let tap = Tap::start(&["record", "-i", "lo", "-p", "80", "-o", file.to_str().unwrap()]);
    let socket = PathBuf::from(format!("{SOCKETS}/{}.sock", tap.id()));
    assert_eq!(tap.end("KILL").code, None);
    assert!(socket.exists());
    let tap = Tap::start(&["record", "-i", "lo", "-p", "80", "-o", file.to_str().unwrap(), "--allow-empty"]);
    assert!(!socket.exists());
    let own = PathBuf::from(format!("{SOCKETS}/{}.sock", tap.id()));
    until("its socket", || own.exists());
    assert_eq!(tap.end("INT").code, Some(0));
    assert!(!own.exists(), "nothing is left behind");
}

//! Files and ports, bounded by Landlock.

use std::collections::BTreeMap;
use std::env;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::{Needs, SandboxError};

/// The newest rules that are asked for; an older kernel keeps to those that it knows.
const RULES: ABI = ABI::V6;

/// Folders of programs and libraries, those for name lookups among them.
const SYSTEM: [&str; 9] = ["/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store"];

/// Files read to look up names and users, to check certificates, and to know the machine. Single files of `/etc`: not
/// `shadow`, no private key.
const READ: [&str; 44] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/networks",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/passwd",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/etc/alternatives",
    "/etc/crypto-policies",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/var/lib/ca-certificates",
    "/var/lib/sss/mc",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/connman",
    "/run/current-system",
    "/proc",
    "/sys/class/net",
    "/sys/devices",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
    "/dev/random",
];

/// Devices that anybody may write to.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

/// Folder that is readable as a whole, `/etc`: a user other than root reads nothing in it that is meant for root. So a
/// file that is replaced by another one during the run, as `resolv.conf` is, is still found.
const ETC: &str = "/etc";

/// Ports of name servers, which are reached over TCP where a response is long.
const NAMES: [u16; 2] = [53, 853];

/// Names of folders that hold programs only.
const PROGRAMS: [&str; 3] = ["bin", "sbin", "shims"];

/// Folders that hold too much to be opened because one file in them is read.
const SHARED: [&str; 6] = ["/", "/etc", "/root", "/home", "/var", "/proc"];

/// Access rights by path.
type Rules = BTreeMap<PathBuf, BitFlags<AccessFs>>;

/// Refuses every file and port but those that the run needs; whether the kernel does.
pub(super) fn limit(needs: &Needs) -> Result<bool, SandboxError> {
    let failed = |error: landlock::RulesetError| SandboxError::new("landlock", error);
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(RULES)).map_err(failed)?;
    // The user's programs may speak to whom they like.
    let alone = needs.programs.is_empty();
    if alone {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp).map_err(failed)?;
        ruleset = ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal).map_err(failed)?;
    }
    let mut ruleset = ruleset.create().map_err(failed)?;
    for (path, access) in rules(needs, rustix::process::geteuid().is_root()) {
        // What is not there needs no rule, and neither does what has no place in a file system, such as a pipe.
        let Ok(path) = PathFd::new(&path) else { continue };
        ruleset = ruleset.add_rule(PathBeneath::new(path, access)).map_err(failed)?;
    }
    if alone {
        for port in needs.ports.iter().chain(&NAMES) {
            ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(failed)?;
        }
    }
    let status = ruleset.restrict_self().map_err(failed)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn rules(needs: &Needs, is_root: bool) -> Rules {
    let mut rules = Rules::new();
    let starts = !needs.programs.is_empty();
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let run = if starts { read | AccessFs::Execute } else { read };
    let always = [(&SYSTEM[..], run), (&READ, read), (&DEVICES, of_file())];
    for (path, access) in always.into_iter().flat_map(|(paths, access)| paths.iter().map(move |path| (path, access))) {
        allow(&mut rules, path, access);
    }
    if !is_root {
        allow(&mut rules, ETC, read);
    }
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let named = env::var_os(variable).unwrap_or_default();
        env::split_paths(&named).for_each(|path| allow(&mut rules, path, read));
    }
    needs.reads.iter().for_each(|path| allow(&mut rules, path, read));
    needs.rereads.iter().flat_map(|path| of_reread(path)).for_each(|path| allow(&mut rules, path, read));
    needs.writes.iter().for_each(|path| allow_output(&mut rules, path));
    if starts {
        let temporary = env::temp_dir();
        allow(&mut rules, &temporary, in_folder());
        for path in needs.programs.iter().flat_map(|words| of_program(words)).chain(of_names()) {
            allow(&mut rules, path, run);
        }
    }
    rules
}

/// Adds a rule for what is at `path` now; whatever is not there, or is no file, folder or device, has none.
fn allow(rules: &mut Rules, path: impl AsRef<Path>, access: BitFlags<AccessFs>) {
    let Ok(path) = path.as_ref().canonicalize() else { return };
    let Ok(metadata) = path.metadata() else { return };
    let (kind, is_folder) = (metadata.file_type(), metadata.is_dir());
    if !(is_folder || kind.is_file() || kind.is_char_device() || kind.is_fifo()) {
        return;
    }
    let access = if is_folder { access } else { access & AccessFs::from_file(RULES) };
    let known = rules.entry(path).or_default();
    *known |= access;
}

/// Returns the rights on an output that is a device, or on a device that all may write to.
fn of_file() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev
}

/// Returns the rights in a folder of outputs: files are made, rotated and removed.
fn in_folder() -> BitFlags<AccessFs> {
    of_file()
        | AccessFs::ReadDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::MakeFifo
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// A file that is written, with its folder; where that is yet to be made, the nearest one above it. Of a device, or of a
/// stream by its name (`/dev/stdout`), nothing but itself.
fn allow_output(rules: &mut Rules, path: &Path) {
    let kind = path.metadata().map(|metadata| metadata.file_type());
    let is_special = kind.is_ok_and(|kind| kind.is_char_device() || kind.is_block_device() || kind.is_fifo());
    if is_special || ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder)) {
        return allow(rules, path, of_file());
    }
    let folders =
        path.ancestors().skip(1).map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    if let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) {
        allow(rules, folder, in_folder());
    }
}

/// The files of a program, and their folders: its own, and those that its arguments name.
fn of_program(words: &[String]) -> Vec<PathBuf> {
    let files = words.iter().map(Path::new).filter(|path| path.is_file());
    files.flat_map(|path| folders_of(path).into_iter().flat_map(with_libraries).chain([path.to_owned()])).collect()
}

/// Returns the folders in which programs are searched by name.
fn of_names() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).filter_map(|folder| folder.canonicalize().ok()).flat_map(with_libraries).collect()
}

/// Returns a folder of programs, and the parent of a folder named `bin`, which has its libraries.
fn with_libraries(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    let is_bin = PROGRAMS.iter().any(|name| folder.ends_with(name));
    let beside = folder.parent().filter(|_| is_bin).map(Path::to_owned);
    [Some(folder), beside].into_iter().flatten().filter(|folder| !is_shared(folder))
}

/// Returns the paths that must be readable so that the file at `path` can be read again when another one has replaced
/// it: its folder; or the file alone, where too much else is in that.
fn of_reread(path: &Path) -> Vec<PathBuf> {
    let folders = folders_of(path).into_iter().filter(|folder| !is_shared(folder));
    folders.chain([path.to_owned()]).collect()
}

/// The folder in which a file is named, and the one in which it is, where that name is a link.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let named = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let named = named.and_then(|folder| folder.canonicalize().ok());
    let real = path.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned()));
    named.into_iter().chain(real).collect()
}

fn is_shared(folder: &Path) -> bool {
    let is_home = folder.parent() == Some(Path::new("/home")) || env::home_dir().is_some_and(|home| folder == home);
    is_home || SHARED.iter().any(|shared| folder == Path::new(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(rules: &Rules, path: &str, access: AccessFs) -> bool {
        let path = Path::new(path);
        rules.iter().any(|(rule, allowed)| path.starts_with(rule) && allowed.contains(access))
    }

    #[test]
    fn root_reads_no_secret_of_the_system_and_runs_nothing_unasked() {
        let rules = rules(&Needs::default(), true);
        for secret in
            ["/etc/shadow", "/etc/ssl/private/key.pem", "/root/.ssh/id_ed25519", "/home/alice/x", "/var/log/syslog"]
        {
            assert!(!may(&rules, secret, AccessFs::ReadFile), "{secret}");
        }
        for written in ["/etc/passwd", "/tmp/x", "/usr/bin/x", "/dev/sda", "/proc/sys/kernel/core_pattern"] {
            assert!(!may(&rules, written, AccessFs::WriteFile), "{written}");
        }
        assert!(may(&rules, "/etc/passwd", AccessFs::ReadFile) && may(&rules, "/dev/null", AccessFs::WriteFile));
        assert!(!may(&rules, "/usr/bin/true", AccessFs::Execute));
    }

    #[test]
    fn an_output_opens_its_folder_and_a_device_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().canonicalize().unwrap().join("x");
        let writes = vec![folder.path().join("%Y/later/peak.gor"), "/dev/full".into(), "/dev/stdout".into()];
        let rules = rules(&Needs { writes, ..Needs::default() }, true);
        assert!(may(&rules, inside.to_str().unwrap(), AccessFs::MakeReg));
        assert!(!may(&rules, "/tmp", AccessFs::MakeReg));
        assert!(!may(&rules, "/dev/x", AccessFs::MakeReg) && may(&rules, "/dev/full", AccessFs::WriteFile));
    }

    #[test]
    fn a_socket_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().canonicalize().unwrap().join("run.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let rules = rules(&Needs { writes: vec![socket.clone()], ..Needs::default() }, true);
        assert!(may(&rules, socket.to_str().unwrap(), AccessFs::RemoveFile));
    }

    #[test]
    fn a_program_opens_the_folders_of_its_files_and_none_that_is_shared() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("bin/my.py");
        std::fs::create_dir(script.parent().unwrap()).unwrap();
        std::fs::write(&script, "").unwrap();
        let words = ["python3", script.to_str().unwrap(), "/etc/passwd", "--verbose"].map(str::to_owned).to_vec();
        let rules = rules(&Needs { programs: vec![words], ..Needs::default() }, true);
        let beside = folder.path().canonicalize().unwrap().join("lib/helper.py");
        assert!(may(&rules, beside.to_str().unwrap(), AccessFs::ReadFile));
        assert!(may(&rules, "/usr/bin/true", AccessFs::Execute));
        assert!(!may(&rules, "/etc/shadow", AccessFs::ReadFile));
    }

    #[test]
    fn what_is_read_again_opens_its_folder_unless_that_holds_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chain.toml");
        std::fs::write(&file, "").unwrap();
        assert!(of_reread(&file).contains(&folder.path().canonicalize().unwrap()));
        assert_eq!(of_reread(Path::new("/etc/passwd")), [Path::new("/etc/passwd")]);
    }
}

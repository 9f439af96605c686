//! Rights, limits and room of this host.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::capture::live::setcap;
use crate::recording::place;
use crate::replay::{DEFAULT_MAX_CONNECTIONS, SendSettings};
use crate::report::units;

/// The bit of the right to capture.
const CAP_NET_RAW: u32 = 13;
/// Files of a run that are no connections to a target.
const OTHER_FILES: u64 = 64;
/// Shortest time for which a disk should last where the length of the run is not known.
const LASTS: Duration = Duration::from_secs(3600);
/// Ports that the system lends to connections at least.
const FEW_PORTS: u64 = 4096;

/// Returns who this process is, and whether it may capture.
#[must_use]
pub fn rights() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    rights_of(&status, &setcap())
}

fn rights_of(status: &str, setcap: &str) -> Finding {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let capabilities = field("CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
    let user = field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)).unwrap_or("?");
    let filtered = if field("Seccomp:") == Some("2") { "; system calls are filtered (seccomp)" } else { "" };
    if capabilities & (1 << CAP_NET_RAW) != 0 {
        return Finding::ok("rights", format!("user {user} has CAP_NET_RAW{filtered}"));
    }
    if user == "0" {
        let says = format!("root without CAP_NET_RAW, as in a container{filtered}");
        return Finding::problem("rights", says, Some("docker run --net=host --cap-add NET_RAW ...".to_owned()));
    }
    let says = format!("user {user} may not capture: it has no CAP_NET_RAW{filtered}");
    Finding::problem("rights", says, Some(format!("{setcap}   (or run it with sudo)")))
}

/// Returns whether the limit on open files is enough for the connections of a run.
#[must_use]
pub fn open_files(targets: &[SendSettings]) -> Finding {
    let each = |target: &SendSettings| target.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS) as u64;
    let connections: u64 = targets.iter().map(each).sum::<u64>().max(DEFAULT_MAX_CONNECTIONS as u64);
    files_for(connections, getrlimit(Resource::Nofile).maximum)
}

fn files_for(connections: u64, limit: Option<u64>) -> Finding {
    let needed = connections + OTHER_FILES;
    match limit {
        Some(limit) if limit < needed => Finding::problem(
            "open files",
            format!("{limit} at most, and {} connections need {needed}", units::number(connections)),
            Some(format!("ulimit -Hn {needed}   (in a unit: LimitNOFILE={needed})")),
        ),
        Some(limit) => Finding::ok("open files", format!("{} at most, {needed} are needed", units::number(limit))),
        None => Finding::ok("open files", "no limit"),
    }
}

/// Returns whether there are ports for connections to the targets.
#[must_use]
pub fn ports() -> Finding {
    ports_in(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
}

fn ports_in(range: &str) -> Finding {
    let bounds: Vec<u64> = range.split_whitespace().filter_map(|bound| bound.parse().ok()).collect();
    let [low, high] = bounds.as_slice() else { return Finding::ok("port range", "not known on this system") };
    let count = high.saturating_sub(*low) + 1;
    if count >= FEW_PORTS {
        return Finding::ok("port range", format!("{} ports for connections to one address", units::number(count)));
    }
    let says = format!("only {count} ports for connections to one address; a closed one rests for a minute");
    Finding::note("port range", says, "sudo sysctl net.ipv4.ip_local_port_range='16384 60999'")
}

/// Returns whether the folder of a recording has room for `rate` bytes a second.
#[must_use]
pub fn disk(output: &Path, rate: f64, run: Option<Duration>) -> Finding {
    if place::is_store(output) {
        return Finding::ok("disk", format!("not needed: {} keeps the recording", output.display()));
    }
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fixed = parent.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(fixed) {
        Ok(about) => room(&fixed.display().to_string(), about.f_bavail.saturating_mul(about.f_frsize), rate, run),
        Err(error) => {
            let says = format!("{}: {}", fixed.display(), std::io::Error::from(error));
            Finding::problem("disk", says, Some("name another folder with -o".to_owned()))
        }
    }
}

fn room(folder: &str, free: u64, rate: f64, run: Option<Duration>) -> Finding {
    let shown = units::bytes(free);
    if rate < 1.0 {
        return Finding::ok(
            "disk",
            format!("{shown} free in {folder}; nothing was captured to tell how fast it fills"),
        );
    }
    let seconds = free as f64 / rate;
    let lasts = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let hours = format!("{:.1} h", seconds / 3600.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, for people")]
    let says =
        format!("{shown} free in {folder}, full in {hours} at {}/s before compression", units::bytes(rate as u64));
    if lasts < run.unwrap_or(LASTS) {
        let mend = "record less: --sample 10%, compress: -o NAME.gor.zst, or name another folder with -o";
        return Finding::problem("disk", says, Some(mend.to_owned()));
    }
    Finding::ok("disk", says)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn the_right_to_capture_is_told_from_root_and_mended() {
        let status = |uid: &str, caps: &str| format!("Uid:\t{uid}\t{uid}\t0\t0\nCapEff:\t{caps}\nSeccomp:\t2\n");
        let may = rights_of(&status("1000", "0000000000002000"), "/x");
        assert_eq!((may.state, may.mend), (State::Ok, None));
        assert!(may.says.contains("user 1000 has CAP_NET_RAW; system calls are filtered"));
        let not = rights_of(&status("1000", "0"), "sudo setcap cap_net_raw+ep /usr/bin/shadowtap");
        assert_eq!(not.state, State::Problem);
        assert!(not.mend.unwrap().starts_with("sudo setcap cap_net_raw+ep /usr/bin/shadowtap"));
        assert!(rights_of(&status("0", "0"), "/x").mend.unwrap().contains("--cap-add NET_RAW"));
    }

    #[test]
    fn limits_are_held_against_what_a_run_needs() {
        assert_eq!(files_for(256, Some(1024)).state, State::Ok);
        let few = files_for(2048, Some(1024));
        assert_eq!(
            (few.state, few.mend.as_deref()),
            (State::Problem, Some("ulimit -Hn 2112   (in a unit: LimitNOFILE=2112)"))
        );
        assert_eq!(ports_in("32768\t60999\n").state, State::Ok);
        assert_eq!(ports_in("60000 60999").state, State::Note);
        assert_eq!(ports_in("").state, State::Ok);
    }

    #[test]
    fn a_disk_lasts_as_long_as_the_run() {
        let gigabyte = 1 << 30;
        assert_eq!(room("/d", gigabyte, 1e6, Some(Duration::from_secs(60))).state, State::Ok);
        assert_eq!(room("/d", gigabyte, 1e6, None).state, State::Problem, "18 minutes");
        assert_eq!(room("/d", gigabyte, 0.0, None).state, State::Ok);
        assert_eq!(disk(Path::new("/none/of/these/x.gor"), 0.0, None).check, "disk");
    }
}

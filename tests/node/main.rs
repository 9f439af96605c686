//! shadowtap as on a production node: nginx, its clients at the other end of a wire, and `record` and `shadow` beside it.
//!
//! Each trial has a network of its own, in namespaces that end with the test; what it lacks on this machine, its name
//! says, and then it is ignored. All of nginx's access log has to be accounted for. The trials run in processes side by side:
//! most of the time they wait.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "../support/files.rs"]
mod files;
#[path = "../support/net.rs"]
mod net;
#[path = "../support/packets.rs"]
#[allow(dead_code, reason = "frames are wrapped here, and no captures are built")]
mod packets;
#[path = "../support/programs.rs"]
mod programs;
#[path = "../support/shares.rs"]
mod shares;
#[path = "../support/traffic.rs"]
mod traffic;
#[path = "../support/trials.rs"]
mod trials;

mod container;
mod dashcam;
mod disk;
mod doctor;
mod dry_run;
mod ends;
mod everything;
mod gor;
mod interfaces;
mod legs;
mod own;
mod planted;
mod reload;
mod rights;
mod sample;
mod target;
mod wire;

use std::process::ExitCode;

use libtest_mimic::Trial;
use net::Row;

/// Processes side by side.
const SHARES: usize = 4;

fn main() -> ExitCode {
    if planted::attack() {
        return ExitCode::SUCCESS;
    }
    shares::run(SHARES, trials)
}

fn trials() -> Vec<Trial> {
    let root = net::enter();
    let lacks = root.or_else(|| trials::missing(&["nginx", "curl", "wrk"]).into_iter().next());
    let haproxy = lacks.or_else(|| trials::missing(&["haproxy"]).into_iter().next());
    let nft = lacks.or_else(|| trials::missing(&["nft"]).into_iter().next());
    let unshare = lacks.or_else(|| trials::missing(&["unshare"]).into_iter().next());
    let trials: [Row<'_>; 45] = [
        ("each request of the access log is in every recording once", lacks, everything::recorded),
        ("each request of the access log reaches the target once", lacks, everything::shadowed),
        ("a mirror that loses frames costs what it loses, and nothing is sent that is not whole", lacks, wire::lossy),
        ("a mirror that reorders frames costs nothing", lacks, wire::reordered),
        ("a mirror that tags frames costs nothing", lacks, wire::tagged),
        ("a mirror that wraps frames in VXLAN costs nothing", lacks, wire::wrapped),
        ("a target that stalls costs what is shed, and comes back; the recording is whole", lacks, target::stalled),
        ("a target that is gone costs what fails, and comes back", lacks, target::gone),
        ("a target of HTTP/2 that ends its connections costs no request", lacks, target::http2),
        ("a target behind the captured port is told apart by the mark", lacks, own::marked),
        ("two shadows of one server leave out each other's requests", lacks, own::two),
        ("without a mark a loop is refused at start", lacks, own::refused),
        ("two servers that are alike are as fast as each other", lacks, own::alike),
        ("what is translated on its way through the node counts once", nft, legs::translated),
        ("what nginx sends on to the same port elsewhere is left out", lacks, legs::nginx),
        ("what HAProxy sends on to the same port elsewhere is left out", haproxy, legs::haproxy),
        ("an interface that is made again is captured on again", lacks, interfaces::made_again),
        ("where no interface is left a run ends with code 2", lacks, interfaces::none_left),
        ("--wait-interface waits at the start and later", lacks, interfaces::waited_for),
        ("an interface that appears and matches is captured on", lacks, interfaces::matching),
        ("what appears where nothing was named is captured on once", lacks, interfaces::everywhere),
        ("interfaces that appear have eight places, and one that is gone makes room", lacks, interfaces::places),
        ("process 1 takes the exit codes of what a middleware left behind", unshare, container::reaped),
        ("SIGINT and SIGTERM end a run in order", lacks, ends::signals),
        ("--duration and --count end a run in order", lacks, ends::limits),
        ("a second signal ends it at once", lacks, ends::twice),
        ("SIGHUP begins a new file, and nothing is lost between", lacks, ends::reopened),
        ("what was written a second ago survives a kill", lacks, ends::killed),
        ("a compressed recording survives a kill too", lacks, ends::killed_compressed),
        ("a full disk is told and counted, stops nobody, and is taken again", lacks, disk::full),
        ("a limit on file sizes is told and counted as a full disk is", lacks, disk::limited),
        ("a full disk under results is told at once", lacks, disk::results),
        ("a dry run listens, and sends and writes nothing", lacks, dry_run::listens),
        ("a dry run tries its outputs, and leaves nothing", lacks, dry_run::tries_outputs),
        ("what a run hears nothing of it says, and ends with code 2", lacks, dry_run::silence),
        ("who exchanges sockets gets nothing of root", root, planted::sockets),
        ("who has the folder of sockets gets nothing of root", root, planted::folder_of_sockets),
        ("what others have planted is no output of root", root, planted::outputs),
        ("who exchanges outputs gets nothing of root", root, planted::raced),
        ("GoReplay's line records as GoReplay does, and a restart destroys nothing", lacks, gor::recorded),
        ("GoReplay's line prints its records", lacks, gor::printed),
        ("the ramp of nine restarts runs unchanged, and as one line", lacks, gor::ramp),
        ("the doctor finds nothing where all is well", lacks, doctor::well),
        ("the doctor says what is wrong, and what mends it", lacks, doctor::ill),
        ("only its user and root speak to a run, and nothing is left of its socket", root, planted::steered),
    ];
    let others = net::trials(&of_rights(lacks)).into_iter().chain(net::trials(&of_samples_and_dashcams(lacks)));
    net::trials(&trials).into_iter().chain(others).collect()
}

/// Trials of samples that the kernel takes, of recordings that keep the last minutes alone, and of what is read again.
fn of_samples_and_dashcams(lacks: Option<&'static str>) -> [Row<'static>; 5] {
    [
        ("SIGHUP reads a configuration again, and one with a mistake changes nothing", lacks, reload::configuration),
        ("a sample that the kernel takes is the one that is taken later", lacks, sample::equal),
        ("a sample that the kernel takes follows a share that rises", lacks, sample::raised),
        ("a dashcam writes what was before and what follows when it is signaled", lacks, dashcam::signaled),
        ("a dashcam saves frames when production is unwell, and on a word", lacks, dashcam::asked),
    ]
}

/// Trials of who a run is, and of what it may.
fn of_rights(lacks: Option<&'static str>) -> [Row<'static>; 10] {
    let setcap = lacks.or_else(|| trials::missing(&["setcap"]).into_iter().next());
    let setpriv = lacks.or_else(|| trials::missing(&["setpriv"]).into_iter().next());
    [
        ("root becomes nobody, and so do its files", lacks, rights::nobody),
        ("root becomes who --user names", lacks, rights::named),
        ("the right of the file alone is enough", setcap, rights::of_file),
        ("ambient capabilities serve and are given up", setpriv, rights::ambient),
        ("without rights it says what is missing and what helps", lacks, rights::missing),
        ("a folder that the user cannot write to is told at start", lacks, rights::not_writable),
        ("root stays root, without its rights, where nobody else may write", lacks, rights::of_root),
        ("root that stays root follows no planted link", lacks, rights::planted_links),
        ("a folder that a later file needs is tried at start", lacks, rights::pattern_not_writable),
        ("rotated files are written in folders made on the way", lacks, rights::rotated),
    ]
}

//! Recordings on NATS JetStream: nodes that record, replayers that share, and a store that is taken away from them.
//!
//! The trials have a network of their own, and real `nats-server` processes in it; what is lacking on this machine, their names
//! say, and then they are ignored. Every request that a client made has to be accounted for. They run in processes side
//! by side: most of the time they wait.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "../support/files.rs"]
mod files;
#[path = "../support/net.rs"]
mod net;
#[path = "../support/programs.rs"]
mod programs;
#[path = "../support/shares.rs"]
mod shares;
#[path = "../support/trials.rs"]
mod trials;

mod cluster;
mod faults;
mod merged;
mod origin;
mod recorded;
mod server;
mod shared;
mod steered;
mod sums;

use std::process::ExitCode;

use libtest_mimic::Trial;
use net::Row;

/// Processes side by side.
const SHARES: usize = 4;

fn main() -> ExitCode {
    shares::run(SHARES, trials)
}

fn trials() -> Vec<Trial> {
    let lacks = net::enter().or_else(|| trials::missing(&["nats-server"]).into_iter().next());
    let cut = lacks.or_else(faults::lacks_nft);
    let no_nginx = lacks.or_else(|| trials::missing(&["nginx"]).into_iter().next());
    let trials: [Row<'_>; 44] = [
        ("what two nodes record is read back, each request once", lacks, recorded::by_two_nodes),
        ("bodies larger than a message of the store come whole", lacks, recorded::large_bodies),
        ("a store that is killed and comes back costs nothing", lacks, recorded::over_a_restart),
        ("a store that stays away costs what is counted as lost", lacks, recorded::store_stays_away),
        ("a store that does not keep up costs what is counted as lost", lacks, recorded::store_does_not_keep_up),
        ("what has no room while the store stands still waits in a file, and costs nothing", lacks, recorded::spooled),
        ("a file that cannot be used is told before a recording is made", lacks, recorded::spool_is_checked_first),
        ("what a killed node left in its file is sent by its next start", lacks, recorded::spool_of_a_killed_node),
        ("wrong credentials, no JetStream and no recording are told at the start", lacks, recorded::refused),
        ("doctor says what a store would say to a run", lacks, recorded::looked_at_by_doctor),
        ("two replayers share a recording, and each request goes out once", lacks, shared::by_two),
        ("a replayer that is stopped leaves the rest to the next", lacks, shared::one_is_stopped),
        ("a replayer that is killed leaves no write that goes out twice", lacks, shared::one_is_killed),
        ("a replayer that stands still sends nothing that it has lost", lacks, shared::one_stands_still),
        ("a store that is killed during a replay costs nothing", lacks, shared::store_is_killed),
        ("a store that is started again during a paced replay costs nothing", lacks, shared::store_is_started_again),
        ("a store that was away makes no replayer faster than its rate", lacks, shared::rate_is_kept_after_a_silence),
        ("a reader that the store forgets goes on where it was", lacks, shared::reader_is_forgotten),
        ("the summaries of two replayers are one run's, to the bucket", no_nginx, merged::as_one_run),
        ("without a replayer there is no run to judge", lacks, merged::nobody_yet),
        ("a replayer that others left nothing ends in order", lacks, shared::one_has_nothing),
        ("a cluster that loses the leader of a recording costs nothing", lacks, cluster::leader_is_killed),
        ("a cluster with a server that is gone costs nothing", lacks, cluster::follower_is_gone),
        ("a node that is killed counts as ended, and what it stored is replayed", lacks, faults::node_is_killed),
        ("a store that stands still costs nothing", lacks, faults::store_stands_still),
        ("a network that is cut costs nothing", cut, faults::network_is_cut),
        ("what makes way for newer requests is told as expired", lacks, faults::old_ones_make_way),
        ("a store that is full costs what is counted as lost", lacks, faults::store_is_full),
        ("a recording that is deleted ends who records and replays it", lacks, faults::stream_is_deleted),
        ("a bucket that is deleted ends who records and replays with it", lacks, faults::bucket_is_deleted),
        ("a recording that is made anew takes nothing of the one before", lacks, faults::made_anew),
        ("a server that is too old is told at the start", lacks, faults::server_is_old),
        ("a store that stands still while a replayer is killed has no write go out twice", lacks, faults::two_at_once),
        ("a pause holds for all replayers, and nothing is lost by it", lacks, steered::paused),
        ("a sample that is ordered goes for all replayers", lacks, steered::sampled),
        ("a stop ends all replayers, and leaves the rest", lacks, steered::stopped),
        ("a replayer that does not take an order up is named", lacks, steered::not_heard),
        ("an order that nobody takes up, and one that was overtaken, say so", lacks, steered::overtaken),
        ("a guard goes by what all replayers see, and stops all", lacks, steered::guards),
        ("a ramp is at one step for all replayers, and a fall is one of all", lacks, steered::ramps),
        ("replayers that do not hear the store send nothing, and say so", lacks, steered::store_is_not_heard),
        ("a limit is that of all replayers together", lacks, steered::limited),
        ("a limit holds for what waited before it was followed", lacks, steered::follow_limited),
        ("a pause loses nothing of what is followed", lacks, steered::follow_paused),
    ];
    net::trials(&trials)
}

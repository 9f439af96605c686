//! What shadowtap costs beside a busy nginx, whether it stays what it is for long, and what a replay reaches. All take
//! minutes, so they run only when asked for: `make soak`, `make bench-live`, `make bench-replay`,
//! `make bench-fleet`, `make bench-haproxy`.
//!
//! The client is this same binary, started again among the clients.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]
#![allow(clippy::print_stdout, reason = "figures are what this is for")]

#[path = "../../benches/support/generate.rs"]
mod generate;
#[path = "../support/net.rs"]
mod net;
#[path = "../support/programs.rs"]
mod programs;
#[path = "../support/traffic.rs"]
mod traffic;
#[path = "../support/trials.rs"]
mod trials;

mod client;
mod costs;
mod fleet;
mod haproxy;
mod punctual;
mod replay;
mod soak;

use std::env;
use std::process::{Child, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};
use net::{Network, SERVER};
use serde_json::Value;

/// Holds rate and seconds in the process that is the client.
const CLIENT: &str = "SHADOWTAP_TEST_CLIENT";

fn main() -> ExitCode {
    if let Ok(load) = env::var(CLIENT) {
        let (rate, seconds) = load.split_once(' ').unwrap();
        client::run(format!("{SERVER}:80").parse().unwrap(), rate.parse().unwrap(), seconds.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let lacks = net::enter().or_else(|| trials::missing(&["nginx"]).into_iter().next());
    let trial = |name: &str, run: fn()| {
        let run = move || {
            let missing = |lacks| format!("lacks {lacks}");
            lacks.map_or(Ok(()), |lacks| Err(missing(lacks)))?;
            run();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(true)
    };
    let trials = vec![
        trial("soak: memory is flat, and nothing is missing", soak::run),
        trial("costs", costs::run),
        trial("fleet", fleet::run),
        trial("replay: lag", replay::lag),
        trial("replay: on time at the target", punctual::on_time),
        trial("replay: speed", replay::fast),
        trial("haproxy: how long it waits", haproxy::acknowledged),
        trial("haproxy: its log", haproxy::logs),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A number that the environment may set.
fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |typed| typed.parse().unwrap_or_else(|_| panic!("{name}: `{typed}` is no number")))
}

/// Asks `rate` times a second.
fn load(network: &Network, rate: u64, seconds: u64) -> Child {
    let this = env::current_exe().unwrap();
    let mut client = network.client(this.to_str().unwrap());
    client.env(CLIENT, format!("{rate} {seconds}")).stdout(Stdio::piped()).spawn().unwrap()
}

/// What the client has to say at its end.
fn outcome(client: Child) -> Value {
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "the client failed: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

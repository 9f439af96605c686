//! Trials that wait most of the time, in processes side by side: each runs a share of them, one after another.

use std::env;
use std::process::{Command, ExitCode};
use std::thread;

use libtest_mimic::{Arguments, Trial};

/// Set in a process that runs a share of the trials: to the number of its first one.
const SHARE: &str = "SHADOWTAP_TEST_SHARE";

/// Runs the trials in so many processes, each of which enters a network of its own as it makes them. Where some are picked by
/// name, or listed, this process does it alone.
pub(crate) fn run(shares: usize, trials: fn() -> Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let share: Option<usize> = env::var(SHARE).ok().map(|share| share.parse().unwrap());
    if share.is_none() && arguments.filter.is_none() && !arguments.list {
        return side_by_side(shares);
    }
    arguments.test_threads = Some(1);
    let (first, step) = share.map_or((0, 1), |share| (share, shares));
    let mine = trials().into_iter().skip(first).step_by(step).collect();
    libtest_mimic::run(&arguments, mine).exit_code()
}

/// Starts this program again for each share. What the first says is shown at once, what the others say behind it.
#[expect(clippy::print_stdout, reason = "cargo test shows it")]
fn side_by_side(shares: usize) -> ExitCode {
    let program = env::current_exe().unwrap();
    let share = |number: usize| {
        let mut command = Command::new(&program);
        command.args(env::args().skip(1)).env(SHARE, number.to_string());
        command
    };
    let others: Vec<_> =
        (1..shares).map(share).map(|mut other| thread::spawn(move || other.output().unwrap())).collect();
    let mut all_well = share(0).status().unwrap().success();
    for other in others {
        let output = other.join().unwrap();
        print!("{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
        all_well &= output.status.success();
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! `shadowtap control --at`: an order to all replayers of a recording, and how they stand.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use shadowtap::config;
use shadowtap::fleet::{FleetStatus, FleetWord};
use shadowtap::recording::{fleet_status, steer_fleet};
use shadowtap::report::render::text;
use shadowtap::sanitize;
use shadowtap::serve::control::ControlCommand;

use crate::args::ControlArguments;
use crate::output::{print, print_json, print_line};
use crate::terminal;

/// Exit code where a replayer did not take an order up.
const NOT_ALL: u8 = 1;
/// Longest name of whoever gives an order.
const MAX_NAME: usize = 100;

/// Gives `word` to the replayers of the recording `at`, or says how they stand.
pub(super) fn run(args: &ControlArguments, at: &Path, word: ControlCommand) -> anyhow::Result<ExitCode> {
    let Some((url, access)) = config::fleet(at, &args.store)? else {
        bail!("--at: {} is no recording on NATS, such as nats://10.0.0.5/evening", at.display());
    };
    let Some(word) = of_fleet(word)? else {
        show(args, &fleet_status(&url, &access)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let status = steer_fleet(&url, &access, word, &by())?;
    let behind: Vec<_> = status.behind().map(|one| format!("{} ({})", sanitize::line(&one.host), one.id)).collect();
    print_line(&acknowledged(&status, behind.len()));
    if args.json {
        show(args, &status)?;
    }
    if behind.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    print_line(&format!("not taken up within 5 s by {}", behind.join(", ")));
    Ok(ExitCode::from(NOT_ALL))
}

/// The order that a command is; none where it only looks.
fn of_fleet(word: ControlCommand) -> anyhow::Result<Option<FleetWord>> {
    Ok(Some(match word {
        ControlCommand::Sample(share) => FleetWord::Sample(share),
        ControlCommand::Pause => FleetWord::Pause,
        ControlCommand::Resume => FleetWord::Resume,
        ControlCommand::Stop => FleetWord::Stop,
        ControlCommand::Status => return Ok(None),
        ControlCommand::Save => bail!("save is for a dashcam (record --keep), and replayers have none"),
    }))
}

/// Says how many have taken the order up.
fn acknowledged(status: &FleetStatus, behind: usize) -> String {
    let (orders, there) = (&status.orders, status.total.there);
    let ended = status.replayers.iter().filter(|one| one.order == orders.number).count().saturating_sub(there - behind);
    let order = format!("{} (order {} of run {})", orders.word, orders.number, status.run);
    match (there + ended, orders.stop == orders.number) {
        (0, true) => format!("{order}: no replayer takes part"),
        (0, false) => format!("{order}: no replayer takes part now; who joins takes it up"),
        (all, _) => format!("{order}: taken up by {} of {all} replayers", all - behind),
    }
}

fn show(args: &ControlArguments, status: &FleetStatus) -> anyhow::Result<()> {
    if args.json {
        let json = serde_json::to_string(status).context("cannot write the status")?;
        return Ok(print_json(&(sanitize::json(&json).into_owned() + "\n"))?);
    }
    let width = terminal::or_default(terminal::width_of_stdout());
    Ok(print(&text::fleet_status(status, width, terminal::color_on_stdout()))?)
}

/// Who gives orders here.
fn by() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}").chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use shadowtap::fleet::{FleetMember, FleetOrders, MemberState};
    use shadowtap::middleware::Share;

    use super::*;

    fn status(members: &[(MemberState, u64)]) -> FleetStatus {
        let orders = FleetOrders { number: 2, word: "pause".to_owned(), ..FleetOrders::default() };
        let members = members.iter().map(|(state, order)| {
            let mut member = FleetMember::default();
            (member.state, member.order) = (*state, *order);
            member
        });
        FleetStatus::new("1", orders, members)
    }

    #[test]
    fn it_is_said_how_many_of_how_many_took_an_order_up() {
        let there = MemberState::There;
        assert_eq!(
            acknowledged(&status(&[(there, 2), (there, 2)]), 0),
            "pause (order 2 of run 1): taken up by 2 of 2 replayers"
        );
        assert_eq!(
            acknowledged(&status(&[(there, 2), (there, 1)]), 1),
            "pause (order 2 of run 1): taken up by 1 of 2 replayers"
        );
        let ended = [(there, 2), (MemberState::Ended, 2), (MemberState::Ended, 1), (MemberState::Lost, 0)];
        assert!(acknowledged(&status(&ended), 0).ends_with("by 2 of 2 replayers"), "who ended by it took it up");
        assert!(acknowledged(&status(&[]), 0).ends_with("no replayer takes part now; who joins takes it up"));
    }

    #[test]
    fn a_dashcam_is_no_replayer() {
        assert!(of_fleet(ControlCommand::Save).is_err());
        assert_eq!(of_fleet(ControlCommand::Status).unwrap(), None);
        assert_eq!(of_fleet(ControlCommand::Sample(Share(0.5))).unwrap(), Some(FleetWord::Sample(Share(0.5))));
    }
}

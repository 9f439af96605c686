//! `shadowtap control --at`: an order to all replayers of a recording, and how they stand.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use shadowtap::config;
use shadowtap::fleet::{FleetStatus, FleetWord, OrderReceipt, Overtaken};
use shadowtap::recording::{fleet_status, steer_fleet};
use shadowtap::report::render::text;
use shadowtap::sanitize;
use shadowtap::serve::control::ControlCommand;

use crate::args::ControlArguments;
use crate::output::{print, print_json, print_line};
use crate::terminal;

/// Exit code where a replayer did not take an order up, where there is none, and where another order went over it.
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
    let receipt = steer_fleet(&url, &access, word, &by())?;
    let (text, is_done) = acknowledged(&receipt);
    print_line(&text);
    if args.json {
        show(args, &receipt.status)?;
    }
    let behind: Vec<_> = receipt.status.behind(receipt.given.number).map(|one| sanitize::line(&one.name)).collect();
    if !behind.is_empty() {
        print_line(&format!("not taken up within 5 s by {}", behind.join(", ")));
    }
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(NOT_ALL) })
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

/// Says how many have taken the order up, and whether all have.
fn acknowledged(receipt: &OrderReceipt) -> (String, bool) {
    let OrderReceipt { given, status, .. } = receipt;
    let (taken, behind) = (status.obeying(given.number).count(), status.behind(given.number).count());
    let order = format!("{} (order {} of run {})", given.word, given.number, sanitize::line(&status.run));
    let all = taken + behind;
    let later = format!(
        "{} (order {}) by {}",
        sanitize::line(&status.orders.word),
        status.orders.number,
        sanitize::line(&status.orders.by)
    );
    match receipt.overtaken() {
        Overtaken::Replaced => {
            return (format!("{order}: overtaken by {later}, by which the replayers go instead"), false);
        }
        Overtaken::Joined => {
            let text = format!("{order}: taken up by {taken} of {all} replayers, together with {later}");
            return (text, behind == 0);
        }
        Overtaken::No => {}
    }
    match (all, given.stop == given.number) {
        (0, true) => (format!("{order}: nobody takes it up, no replayer takes part"), false),
        (0, false) => {
            (format!("{order}: nobody takes it up, no replayer takes part now; it stands for those that join"), false)
        }
        _ => (format!("{order}: taken up by {taken} of {all} replayers"), behind == 0),
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

    /// A pause, and the replayers of the run.
    fn receipt(members: &[(MemberState, u64)]) -> OrderReceipt {
        let given = FleetOrders { number: 1, ..FleetOrders::default() }.with(FleetWord::Pause, "bob@ops", 1);
        let members = members.iter().map(|(state, order)| {
            let mut member = FleetMember::default();
            (member.state, member.order) = (*state, *order);
            member
        });
        let status = FleetStatus::new("1", given.clone(), members);
        OrderReceipt { word: FleetWord::Pause, given, status }
    }

    #[test]
    fn it_is_said_how_many_of_how_many_took_an_order_up() {
        let there = MemberState::There;
        let of = |members: &[(MemberState, u64)]| acknowledged(&receipt(members));
        let all = "pause (order 2 of run 1): taken up by 2 of 2 replayers";
        assert_eq!(of(&[(there, 2), (there, 2)]), (all.to_owned(), true));
        let one = "pause (order 2 of run 1): taken up by 1 of 2 replayers";
        assert_eq!(of(&[(there, 2), (there, 1)]), (one.to_owned(), false));
        let ended = [(there, 2), (MemberState::Ended, 2), (MemberState::Ended, 1), (MemberState::Lost, 0)];
        assert_eq!(of(&ended), (all.to_owned(), true), "who ended by it took it up");
        let (text, is_done) = of(&[]);
        assert!(text.ends_with("nobody takes it up, no replayer takes part now; it stands for those that join"));
        assert!(!is_done, "{text}");
    }

    #[test]
    fn an_order_that_was_overtaken_says_so() {
        let mut receipt = receipt(&[(MemberState::There, 3)]);
        let later = receipt.given.with(FleetWord::Resume, "ada@ops", 1);
        receipt.status.orders = later;
        let (text, is_done) = acknowledged(&receipt);
        assert_eq!(
            text,
            "pause (order 2 of run 1): overtaken by resume (order 3) by ada@ops, by which the replayers go instead"
        );
        assert!(!is_done);
        receipt.status.orders = receipt.given.with(FleetWord::Sample(Share(0.5)), "ada@ops", 1);
        let (text, is_done) = acknowledged(&receipt);
        assert!(text.ends_with("by 1 of 1 replayers, together with sample 50% (order 3) by ada@ops"), "{text}");
        assert!(is_done);
    }

    #[test]
    fn a_dashcam_is_no_replayer() {
        assert!(of_fleet(ControlCommand::Save).is_err());
        assert_eq!(of_fleet(ControlCommand::Status).unwrap(), None);
        assert_eq!(of_fleet(ControlCommand::Sample(Share(0.5))).unwrap(), Some(FleetWord::Sample(Share(0.5))));
    }
}

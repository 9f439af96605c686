//! The sums of a recording that a fleet shares.

use std::fmt::Write as _;

use crate::recording::FleetAccount;
use crate::report::units::{counted, number};

use super::{LABEL, Severity, TextReport};

/// What became of all requests of a recording in a store, in sums that can be followed.
#[must_use]
pub fn fleet(account: &FleetAccount, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width, color };
    page.title("Fleet");
    for node in &account.nodes {
        let published = number(node.published);
        let mut text = match (node.seen, node.ended_there) {
            (Some(seen), Some(ended)) => {
                format!(
                    "  node {:<5} {} seen = {} ended there + {published} published",
                    node.node,
                    number(seen),
                    number(ended)
                )
            }
            _ => format!("  node {:<5} {published} published; it did not say what it saw", node.node),
        };
        write!(text, "; {}, from {}", node.host, node.began).ok();
        if !node.ended {
            text.push_str("; it did not say that it ended");
        }
        page.wrapped(&text, LABEL, if node.ended { Severity::Plain } else { Severity::Odd });
    }
    let FleetAccount { published, ended, waiting, expired, .. } = account;
    let sum = format!(
        "  run {:<6} {} published = {} ended + {} waiting + {} expired",
        account.run,
        number(*published),
        number(*ended),
        number(*waiting),
        number(*expired)
    );
    let mut text = format!("{sum}; {}", counted(account.replayers as u64, "replayer"));
    if account.uncertain > 0 {
        write!(text, "; {} of those that ended are uncertain", number(account.uncertain)).ok();
    }
    if account.moved > 0 {
        write!(text, "; {} went from a replayer that was lost", counted(account.moved, "partition")).ok();
    }
    page.wrapped(&text, LABEL, if *expired > 0 { Severity::Bad } else { Severity::Plain });
    page.out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_of_a_run_stands_apart_from_its_count() {
        let account = FleetAccount { run: "new-cache".to_owned(), published: 3_200, ..FleetAccount::default() };
        let text = fleet(&account, 120, false);
        assert!(text.contains("\n  run new-cache 3,200 published = "), "{text}");
    }

    #[test]
    fn each_sum_can_be_followed() {
        let mut account = FleetAccount::default();
        (account.published, account.ended, account.waiting, account.expired) = (1_204, 1_000, 200, 4);
        (account.run, account.replayers, account.uncertain) = ("1".to_owned(), 2, 3);
        let text = fleet(&account, 120, false);
        assert_eq!(
            text,
            "\nFleet\n  run 1      1,204 published = 1,000 ended + 200 waiting + 4 expired; 2 replayers; 3 of those that ended are \
             uncertain\n"
        );
    }
}

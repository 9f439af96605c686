//! The sums of a recording that a fleet shares.

use std::fmt::Write as _;

use crate::recording::NodeAccount;
use crate::report::schema::fleet::FleetSums;
use crate::report::units::{counted, number};

use super::{LABEL, Severity, TextReport};

/// What became of all requests of a recording in a store, in sums that can be followed.
#[must_use]
pub fn fleet(sums: &FleetSums, width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width, color };
    block(&mut page, sums);
    page.out
}

/// The same as a block of a report.
pub(super) fn block(page: &mut TextReport, sums: &FleetSums) {
    page.title("Fleet");
    for node in &sums.nodes {
        of_node(page, node);
    }
    if let (Some(seen), Some(ended), 2..) = (sums.seen, sums.ended_there, sums.nodes.len()) {
        let sum = [seen, ended, sums.published].map(number);
        let text = format!("  all nodes  {} seen = {} ended there + {} published", sum[0], sum[1], sum[2]);
        page.wrapped(&text, LABEL, Severity::Plain);
    }
    let FleetSums { published, ended, waiting, expired, replayers, outcomes, unaccounted, .. } = sums;
    let mut text = format!(
        "  run {:<6} {} published = {} ended + {} waiting + {} expired; {}",
        sums.run,
        number(*published),
        number(*ended),
        number(*waiting),
        number(*expired),
        counted(replayers.len() as u64, "replayer")
    );
    if *expired > 0 {
        write!(text, "; what expired was never replayed: it is LOST").ok();
    }
    if sums.late > 0 {
        let late = number(sums.late);
        write!(text, "; {late} of those that wait came after this run was over: another one replays them (?run=WORD)")
            .ok();
    }
    if sums.uncertain > 0 {
        write!(text, "; {} of those that ended are uncertain", number(sums.uncertain)).ok();
    }
    if sums.moved > 0 {
        write!(text, "; {} went from a replayer that was lost", counted(sums.moved, "partition")).ok();
    }
    page.wrapped(&text, LABEL, if *expired > 0 { Severity::Bad } else { Severity::Plain });
    if replayers.is_empty() {
        return;
    }
    let sign = if *unaccounted < 0 { '-' } else { '+' };
    let mut text = format!(
        "  outcomes   {} ended = {} in the summaries of replayers {sign} {} {}",
        number(*ended),
        number(*outcomes),
        number(unaccounted.unsigned_abs()),
        if *unaccounted < 0 { "of these that the store does not know of" } else { "in none" }
    );
    if sums.again > 0 {
        write!(text, "; {} more went out at a replayer that had lost them by then", number(sums.again)).ok();
    }
    let missing: Vec<&str> = sums.missing().map(|replayer| replayer.name.as_str()).collect();
    if !missing.is_empty() {
        let (count, all) = (number(missing.len() as u64), counted(replayers.len() as u64, "replayer"));
        write!(text, "; {count} of {all} left none, lost or still at work: {}", missing.join(", ")).ok();
    }
    let is_whole = *unaccounted == 0 && sums.again == 0 && missing.is_empty();
    page.wrapped(&text, LABEL, if is_whole { Severity::Plain } else { Severity::Odd });
}

fn of_node(page: &mut TextReport, node: &NodeAccount) {
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
    if node.lost > 0 {
        write!(text, "; {} LOST there (frames, gaps, requests)", number(node.lost)).ok();
    }
    match node.cut_off() {
        _ if node.ended => {}
        Some(words) => drop(write!(text, "; it {words}")),
        None => text.push_str("; it did not say that it ended"),
    }
    let severity = match node {
        NodeAccount { lost: 1.., .. } => Severity::Bad,
        NodeAccount { ended: true, seen: Some(_), .. } => Severity::Plain,
        _ => Severity::Odd,
    };
    page.wrapped(&text, LABEL, severity);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::fleet::FleetReplayer;

    #[test]
    fn a_long_name_of_a_run_stands_apart_from_its_count() {
        let sums = FleetSums { run: "new-cache".to_owned(), published: 3_200, ..FleetSums::default() };
        let text = fleet(&sums, 120, false);
        assert!(text.contains("\n  run new-cache 3,200 published = "), "{text}");
    }

    #[test]
    fn each_sum_can_be_followed() {
        let mut sums =
            FleetSums { run: "1".to_owned(), uncertain: 3, outcomes: 900, unaccounted: 100, ..FleetSums::default() };
        (sums.published, sums.ended, sums.waiting, sums.expired) = (1_204, 1_000, 200, 4);
        let replayer =
            |name: &str, outcomes| FleetReplayer { name: name.to_owned(), outcomes, ..FleetReplayer::default() };
        sums.replayers = vec![replayer("a", Some(900)), replayer("b", None)];
        let text = fleet(&sums, 300, false);
        assert_eq!(
            text,
            "\nFleet\n  run 1      1,204 published = 1,000 ended + 200 waiting + 4 expired; 2 replayers; what expired was never \
             replayed: it is LOST; 3 of those that ended are uncertain\n  outcomes   1,000 ended = 900 in the summaries of \
             replayers + 100 in none; 1 of 2 replayers left none, lost or still at work: b\n"
        );
    }

    #[test]
    fn nodes_have_a_sum_where_each_has_said_what_it_saw() {
        let node = |seen| NodeAccount {
            seen,
            ended_there: seen.map(|_| 1),
            published: 9,
            ended: true,
            ..NodeAccount::default()
        };
        let mut sums = FleetSums { nodes: vec![node(Some(10)), node(Some(10))], published: 18, ..FleetSums::default() };
        (sums.seen, sums.ended_there) = (Some(20), Some(2));
        assert!(fleet(&sums, 120, false).contains("\n  all nodes  20 seen = 2 ended there + 18 published\n"));
        sums.nodes[1] = node(None);
        (sums.seen, sums.ended_there) = (None, None);
        let text = fleet(&sums, 120, false);
        assert!(!text.contains("all nodes") && text.contains("it did not say what it saw"), "{text}");
    }

    #[test]
    fn a_node_that_was_killed_is_told_from_one_that_records() {
        let mut node = NodeAccount { published: 9, heard: "2026-11-30T22:31:07Z".to_owned(), ..NodeAccount::default() };
        let text =
            |node: &NodeAccount| fleet(&FleetSums { nodes: vec![node.clone()], ..FleetSums::default() }, 300, false);
        assert!(text(&node).contains("; it did not say that it ended"), "{}", text(&node));
        (node.gone, node.lost) = (true, 3);
        let said = "; 3 LOST there (frames, gaps, requests); it was killed or cut off: last heard of 2026-11-30 22:31:07 UTC\n";
        assert!(text(&node).contains(said), "{}", text(&node));
    }
}

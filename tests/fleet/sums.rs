//! What `report` adds up of a fleet, read from what it prints.

use std::collections::BTreeMap;

use crate::programs::Ended;
use crate::shared::report;

/// The sums of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// On nodes that said so.
    pub(crate) seen: u64,
    pub(crate) ended_there: u64,
    pub(crate) published: u64,
    pub(crate) ended: u64,
    pub(crate) waiting: u64,
    pub(crate) expired: u64,
    pub(crate) replayers: u64,
}

/// Reads them; they have to hold.
#[track_caller]
pub(crate) fn sums(url: &str) -> Sums {
    let text = report(url);
    let (_, fleet) = text.split_once("Fleet\n").unwrap_or_else(|| panic!("nothing of a fleet: {text}"));
    // Lines are broken anywhere.
    let words: Vec<_> = fleet.split_whitespace().map(|word| word.trim_end_matches([',', ';'])).collect();
    let run = words.iter().position(|word| *word == "run").unwrap();
    let count = |words: &[&str], of: &str| -> u64 {
        let counts = words.windows(2).filter(|pair| pair[1].trim_end_matches('s') == of.trim_end_matches('s'));
        counts.filter_map(|pair| pair[0].replace(',', "").parse::<u64>().ok()).sum()
    };
    let (nodes, run) = words.split_at(run);
    // Behind it are the outcomes, as far as replayers have told of them.
    let run = run.split(|word| *word == "outcomes").next().unwrap();
    let sums = Sums {
        seen: count(nodes, "seen"),
        ended_there: count(nodes, "ended"),
        published: count(run, "published"),
        ended: count(run, "ended"),
        waiting: count(run, "waiting"),
        expired: count(run, "expired"),
        replayers: count(run, "replayers"),
    };
    assert_eq!(sums.published, count(nodes, "published"), "{fleet}");
    assert_eq!(sums.published, sums.ended + sums.waiting + sums.expired, "{fleet}");
    let unknown = nodes.windows(3).filter(|of| of == &["it", "did", "not"]).count();
    assert!(unknown > 0 || sums.seen == sums.ended_there + sums.published, "{fleet}");
    sums
}

/// Each replayer ended in order, and together they did all that is published; none of it waits.
#[track_caller]
pub(crate) fn all_ended(url: &str, ended: &[Ended], seen: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) {
    for ended in ended {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
    let uncertain = ended.iter().map(|ended| ended.of_target("/ended/shed/uncertain")).sum();
    crate::shared::once(seen, expected, uncertain);
    let sums = sums(url);
    let all = expected.values().sum::<u64>();
    assert_eq!((sums.published, sums.ended, sums.replayers > 0), (all, all, true), "{sums:?}");
}

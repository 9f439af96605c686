//! Partitions that were taken from replayers that are lost: told in one line for each of these.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::RENEW;

/// Partitions by the name of the replayer that they were taken from.
#[derive(Default)]
pub(super) struct TakenPartitions {
    by_holder: BTreeMap<String, Vec<u16>>,
    /// When the last one was.
    last: Option<Instant>,
}

impl TakenPartitions {
    pub(super) fn add(&mut self, holder: String, partition: u16) {
        self.by_holder.entry(holder).or_default().push(partition);
        self.last = Some(Instant::now());
    }

    /// Returns whether no more are to come: a holder renews each within this time, so that all are missed within it.
    pub(super) fn are_all(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() > RENEW)
    }

    /// Describes them, and forgets them. Where connections are `mirrored` theirs open anew.
    pub(super) fn drain(&mut self, mirrored: bool) -> Vec<String> {
        let anew = if mirrored { "; mirrored connections open anew" } else { "" };
        let words = std::mem::take(&mut self.by_holder).into_iter().map(|(holder, mut partitions)| {
            partitions.sort_unstable();
            let numbers: Vec<String> = partitions.iter().map(u16::to_string).collect();
            let what = match partitions.len() {
                1 => format!("partition {} is", numbers.concat()),
                count => format!("{count} partitions ({}) are", numbers.join(", ")),
            };
            format!("{what} taken from a replayer that is lost ({holder}){anew}")
        });
        words.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn partitions_that_are_missed_one_after_the_other_are_told_together() {
        let mut taken = TakenPartitions::default();
        assert!(taken.are_all());
        for partition in 0..3 {
            taken.add("a".to_owned(), partition);
            tokio::time::advance(RENEW).await;
            assert!(!taken.are_all());
        }
        tokio::time::advance(RENEW).await;
        assert!(taken.are_all());
        assert_eq!(taken.drain(false).len(), 1);
    }

    #[test]
    fn each_lost_replayer_has_a_line() {
        let mut taken = TakenPartitions::default();
        for (holder, partition) in [("a", 6), ("b", 1), ("a", 2)] {
            taken.add(holder.to_owned(), partition);
        }
        assert_eq!(
            taken.drain(false),
            [
                "2 partitions (2, 6) are taken from a replayer that is lost (a)",
                "partition 1 is taken from a replayer that is lost (b)"
            ]
        );
        assert!(taken.drain(false).is_empty(), "they were told");
        taken.add("a".to_owned(), 3);
        let mirrored = "partition 3 is taken from a replayer that is lost (a); mirrored connections open anew";
        assert_eq!(taken.drain(true), [mirrored]);
    }
}

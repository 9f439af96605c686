//! What became of an order.

use super::member::FleetStatus;
use super::order::{FleetOrders, FleetWord};

/// An order that was given, and how the fleet stands since.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderReceipt {
    /// The order.
    pub word: FleetWord,
    /// All orders, as they stood with this one.
    pub given: FleetOrders,
    /// How the fleet stands.
    pub status: FleetStatus,
}

/// Whether another order came before all replayers had taken one up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overtaken {
    /// None did.
    No,
    /// One did, and replayers go by both.
    Joined,
    /// One did, and replayers go by that one instead.
    Replaced,
}

impl OrderReceipt {
    /// Returns whether another order came before all replayers had taken this one up.
    #[must_use]
    pub fn overtaken(&self) -> Overtaken {
        let (given, now) = (&self.given, &self.status.orders);
        if self.status.obeying(given.number + 1).next().is_none() {
            return Overtaken::No;
        }
        let stands = match self.word {
            FleetWord::Sample(_) => now.share == given.share,
            FleetWord::Pause | FleetWord::Resume => now.paused == given.paused,
            // Who was there ends, whatever was ordered after that.
            FleetWord::Stop => true,
        };
        if stands { Overtaken::Joined } else { Overtaken::Replaced }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{FleetMember, MemberState};
    use crate::middleware::Share;

    /// What becomes of `first` where `then` follows it, and a replayer has taken up the orders up to this number.
    fn overtaken(first: FleetWord, then: FleetWord, order: u64) -> Overtaken {
        let given = FleetOrders::default().with(first, "a", 1);
        let member = FleetMember { state: MemberState::There, order, ..FleetMember::default() };
        let status = FleetStatus::new("1", given.with(then, "b", 2), std::iter::once(member));
        OrderReceipt { word: first, given, status }.overtaken()
    }

    #[test]
    fn an_order_that_another_one_overtook_is_not_taken_up() {
        let sample = FleetWord::Sample(Share(0.25));
        assert_eq!(overtaken(FleetWord::Pause, FleetWord::Resume, 2), Overtaken::Replaced);
        assert_eq!(overtaken(sample, FleetWord::Sample(Share(0.5)), 2), Overtaken::Replaced);
        assert_eq!(overtaken(sample, FleetWord::Stop, 2), Overtaken::Replaced);
        assert_eq!(overtaken(FleetWord::Pause, sample, 2), Overtaken::Joined);
        assert_eq!(overtaken(FleetWord::Stop, FleetWord::Pause, 2), Overtaken::Joined);
        assert_eq!(overtaken(FleetWord::Pause, FleetWord::Resume, 1), Overtaken::No, "it was taken up before that");
    }
}

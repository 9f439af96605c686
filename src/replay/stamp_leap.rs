//! Stamps that are wrong for a while: far ahead of the others, or where the capture's clock was set.

use std::time::Duration;

use crate::exchange::Timestamp;

/// Largest lag of an instant behind the latest one that is not a step of the capture's clock: requests end in another
/// order than they begin, recorders differ.
pub(super) const LAG: Duration = Duration::from_secs(10);
/// Largest lead of the next stamp over one that it confirms.
const NEAR: Duration = Duration::from_secs(60);
/// Places to which the clock may go back that are known at once; the first ones are the likeliest.
const MAX_RETURNS: usize = 4;

/// A stamp far ahead of those before it: what follows tells a silence from a stamp that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct StampLeap {
    at: Timestamp,
    /// Where the clock was before, lately.
    bases: Vec<Timestamp>,
}

impl StampLeap {
    /// The leap from `latest` to `at`, if it is one.
    pub(crate) fn of(latest: Timestamp, at: Timestamp) -> Option<Self> {
        (at.since(latest) > LAG).then(|| Self { at, bases: vec![latest] })
    }

    /// The same where one by little counts, too: nothing waits for what follows it.
    pub(crate) fn by_little(latest: Timestamp, at: Timestamp) -> Option<Self> {
        (at.since(latest) >= LEAST_STEP).then(|| Self { at, bases: vec![latest] })
    }

    /// The stamp.
    pub(crate) const fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns whether it is so little ahead that recorders may differ by as much.
    pub(crate) fn is_little(&self) -> bool {
        self.bases.iter().all(|base| self.at.since(*base) <= LAG)
    }

    /// Returns whether a stamp after it shows that the clock went back to where it was.
    pub(crate) fn is_wrong_by(&self, later: Timestamp) -> bool {
        let least = |base| Some(self.at.since(base)).filter(|leap| *leap <= LAG).map_or(LAG, |leap| leap / 2);
        self.bases.iter().any(|base| self.at.since(later) > least(*base) && is_near(later, *base))
    }
}

/// Least lag that may be a step of the capture's clock: a request that was held up in the reassembly may lag as much, but
/// not all that follow.
const LEAST_STEP: Duration = Duration::from_millis(200);

/// A stamp that is a little behind one before it: what follows tells a late one from a clock that was set back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LagBehind {
    latest: Timestamp,
    /// The highest one since.
    highest: Timestamp,
    lag: Duration,
}

impl LagBehind {
    /// The lag of `at` behind `latest`, if it is one.
    pub(super) fn of(latest: Timestamp, at: Timestamp) -> Option<Self> {
        let lag = latest.since(at);
        (lag >= LEAST_STEP && lag <= LAG).then_some(Self { latest, highest: at, lag })
    }

    /// Returns whether the next stamp goes on from there. What was late is followed by what is not.
    pub(crate) fn goes_on(&mut self, at: Timestamp) -> bool {
        let (ahead, behind) = (at.since(self.highest), self.highest.since(at));
        self.highest = self.highest.max(at);
        ahead.max(behind) < self.lag / 2
    }

    /// Returns whether the stamps have come to where they were before.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.highest >= self.latest
    }
}

/// A step back of the capture's clock, by little.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetBack {
    /// The latest stamp before it.
    pub(super) latest: Timestamp,
    /// Time that had passed then.
    pub(super) elapsed: Duration,
    pub(super) lag: Duration,
}

impl SetBack {
    /// Returns whether the next stamp, behind `latest`, is back where the clock was without having gone there.
    pub(super) fn is_left_at_once(&self, latest: Timestamp, next: Timestamp) -> bool {
        next.since(latest) >= self.lag / 2
    }
}

/// Where the clock was when it was set, for as long as it may go back there; each with the time that had passed then.
#[derive(Clone, Debug)]
pub(super) struct ReturnPoints(Vec<(Timestamp, Duration)>);

impl ReturnPoints {
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, stamp: Timestamp, elapsed: Duration) {
        self.0.truncate(MAX_RETURNS - 1);
        self.0.push((stamp, elapsed));
    }

    /// Returns whether the clock is back at one of them.
    pub(super) fn has(&self, at: Timestamp) -> bool {
        self.at(at).is_some()
    }

    /// The one at which an instant is.
    pub(super) fn at(&self, at: Timestamp) -> Option<(Timestamp, Duration)> {
        self.0.iter().find(|(stamp, _)| is_near(at, *stamp)).copied()
    }

    /// The one at which the clock is back; those since then are forgotten with it.
    pub(super) fn take(&mut self, at: Timestamp) -> Option<(Timestamp, Duration)> {
        let found = self.0.iter().position(|(stamp, _)| is_near(at, *stamp))?;
        self.0.drain(found..).next()
    }

    /// Forgets those from which so much time has passed that the clock does not go back there any more.
    pub(super) fn expire(&mut self, elapsed: Duration) {
        self.0.retain(|(_, then)| elapsed <= *then + NEAR);
    }

    /// What shows that a leap is a wrong stamp is also a stamp at one of them.
    pub(super) fn widen(&self, mut leap: StampLeap) -> StampLeap {
        leap.bases.extend(self.0.iter().map(|(stamp, _)| *stamp));
        leap
    }
}

/// Returns whether an instant is about that of a stamp, or comes soon after it.
pub(super) fn is_near(at: Timestamp, stamp: Timestamp) -> bool {
    at.since(stamp) <= NEAR && stamp.since(at) <= LAG
}

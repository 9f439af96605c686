//! A share that can be turned while requests pass.
//!
//! Clones are one and the same. Whoever samples reads it with each request; nothing is decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Share;

/// The share of the flags' sample, turned by a ramp or by hand. Samples of different shares are nested, so that turning it
/// up takes nobody out, and turning it down lets nobody in.
#[derive(Clone, Debug)]
pub struct DynamicShare(Arc<AtomicU64>);

impl DynamicShare {
    /// A dial at this share.
    #[must_use]
    pub(crate) fn new(share: Share) -> Self {
        Self(Arc::new(AtomicU64::new(share.0.to_bits())))
    }

    /// The share's bits as `f64`, for who has to know it before any request.
    pub(crate) fn bits(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0)
    }

    /// Turns it.
    pub(crate) fn set(&self, share: Share) {
        self.0.store(share.0.to_bits(), Ordering::Relaxed);
    }

    /// Returns the current share.
    #[must_use]
    pub(crate) fn share(&self) -> Share {
        Share(f64::from_bits(self.0.load(Ordering::Relaxed)))
    }
}

/// All of it.
impl Default for DynamicShare {
    fn default() -> Self {
        Self::new(Share::default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::super::{Chain, ChainSettings};
    use super::*;

    fn passed(chain: &mut Chain) -> Vec<bool> {
        (0..2000).map(|id| chain.apply(&mut request(id, "GET / HTTP/1.1\r\n\r\n")).is_ok()).collect()
    }

    #[test]
    fn a_dial_that_is_turned_up_takes_nobody_out() {
        let dial = DynamicShare::new(Share(0.1));
        let mut chain = Chain::new(&ChainSettings { dial: Some(dial.clone()), ..ChainSettings::default() });
        let few = passed(&mut chain);
        dial.set(Share(0.5));
        let more = passed(&mut chain);
        assert!(few.iter().zip(&more).all(|(few, more)| !few || *more));
        let count = |passed: &[bool]| passed.iter().filter(|passed| **passed).count();
        assert!((150..250).contains(&count(&few)) && (900..1100).contains(&count(&more)));
        dial.set(Share(0.1));
        assert_eq!(passed(&mut chain), few);
    }

    #[test]
    fn a_dial_chooses_as_a_sample_of_the_same_share_does() {
        let fixed = passed(&mut Chain::new(&ChainSettings { sample: Share(0.3), ..ChainSettings::default() }));
        let dial = Some(DynamicShare::new(Share(0.3)));
        assert_eq!(
            passed(&mut Chain::new(&ChainSettings { dial, sample: Share(0.9), ..ChainSettings::default() })),
            fixed
        );
    }

    #[test]
    fn a_chain_that_is_read_again_keeps_its_dial() {
        let dial = DynamicShare::new(Share(0.0));
        let mut chain = Chain::new(&ChainSettings { dial: Some(dial.clone()), ..ChainSettings::default() });
        chain.replace(&ChainSettings::default());
        assert!(!passed(&mut chain).contains(&true));
        dial.set(Share(1.0));
        assert!(!passed(&mut chain).contains(&false));
    }
}

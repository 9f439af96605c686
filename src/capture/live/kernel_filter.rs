//! The filter of one device, as the kernel runs it.

use super::LiveSettings;
use super::expression::expression;
use super::kernel_sample::KernelSample;
use crate::capture::{LinkType, Tunnel};

/// Parts of a filter, and what of the sample is in it.
#[derive(Debug)]
pub(super) struct KernelFilter {
    typed: Option<String>,
    ports: Vec<u16>,
    tunnels: Vec<Tunnel>,
    sample: Option<KernelSample>,
    /// The limit of the sample that is in force; `None` where all connections are let through. It only rises: a connection
    /// that was let in is seen to its end, whatever becomes of the share.
    limit: Option<u32>,
    /// Why the kernel does not take the sample, until that was said.
    refused: Option<String>,
}

impl KernelFilter {
    pub(super) fn new(settings: &LiveSettings) -> Self {
        let (typed, sample) = (settings.bpf.clone(), settings.sample.clone());
        let (ports, tunnels) = (settings.ports.clone(), settings.tunnels.clone());
        Self { typed, ports, tunnels, sample, limit: None, refused: None }
    }

    /// Has `apply` set the filter. One that the kernel cannot sample by is set without the sample.
    ///
    /// # Errors
    ///
    /// The filter, as typed where it was, and what `apply` says of it.
    pub(super) fn set<E: ToString>(
        &mut self,
        link: LinkType,
        mut apply: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), (String, E)> {
        if let Some(sample) = &self.sample {
            self.limit = sample.limit();
            if let Some(limit) = self.limit {
                match apply(&self.expression(link, Some(&sample.condition(limit)))) {
                    Ok(()) => return Ok(()),
                    Err(error) => self.refused = Some(error.to_string()),
                }
            }
            // What was let through whole once is not sampled again.
            (self.sample, self.limit) = (None, None);
        }
        let expression = self.expression(link, None);
        apply(&expression).map_err(|error| {
            self.refused = None;
            (self.typed.clone().unwrap_or(expression), error)
        })
    }

    fn expression(&self, link: LinkType, sampled: Option<&str>) -> String {
        expression(self.typed.as_deref(), &self.ports, &self.tunnels, link, sampled)
    }

    /// Whether the share has risen above what is let through.
    pub(super) fn is_outgrown(&self) -> bool {
        let Some((sample, limit)) = self.sample.as_ref().zip(self.limit) else { return false };
        sample.limit().is_none_or(|wanted| wanted > limit)
    }

    /// Returns why the kernel does not take the sample, once.
    pub(super) fn take_refused(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// The share of connections that it lets through; `None` where it lets all through.
    pub(super) fn share(&self) -> Option<f64> {
        self.sample.as_ref()?;
        // Decimals that are not of the limit but of its rounding are left out.
        self.limit.map(|limit| (f64::from(limit) / (f64::from(u32::MAX) + 1.0) * 1e8).round() / 1e8)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn sampled(share: f64) -> (KernelFilter, Arc<AtomicU64>) {
        let bits = Arc::new(AtomicU64::new(share.to_bits()));
        let sample = Some(KernelSample::new(7, Arc::clone(&bits)));
        (KernelFilter::new(&LiveSettings { ports: vec![80], sample, ..LiveSettings::default() }), bits)
    }

    fn set(filter: &mut KernelFilter) -> String {
        let mut last = String::new();
        let apply = |expression: &str| {
            expression.clone_into(&mut last);
            Ok::<(), String>(())
        };
        filter.set(LinkType::RAW, apply).unwrap();
        last
    }

    #[test]
    fn more_is_let_through_where_the_share_rises_and_never_less() {
        let (mut filter, bits) = sampled(0.25);
        assert!(set(&mut filter).contains(" < 1073741824"));
        assert_eq!((filter.is_outgrown(), filter.share()), (false, Some(0.25)));
        let (mut tenth, _) = sampled(0.1);
        set(&mut tenth);
        assert_eq!(tenth.share(), Some(0.1));
        bits.store(0.1_f64.to_bits(), Ordering::Relaxed);
        assert!(!filter.is_outgrown());
        bits.store(0.5_f64.to_bits(), Ordering::Relaxed);
        assert!(filter.is_outgrown());
        assert!(set(&mut filter).contains(" < 2147483648"));
        assert_eq!((filter.is_outgrown(), filter.share()), (false, Some(0.5)));
        bits.store(1.0_f64.to_bits(), Ordering::Relaxed);
        assert!(filter.is_outgrown());
        assert!(!set(&mut filter).contains(" < "));
        assert_eq!((filter.is_outgrown(), filter.share()), (false, None));
        bits.store(0.5_f64.to_bits(), Ordering::Relaxed);
        assert_eq!((filter.is_outgrown(), filter.share()), (false, None));
    }

    #[test]
    fn what_the_kernel_cannot_take_is_sampled_later_and_told_once() {
        let (mut filter, _) = sampled(0.25);
        let apply = |expression: &str| if expression.contains(" < ") { Err("too long") } else { Ok(()) };
        filter.set(LinkType::RAW, apply).unwrap();
        assert_eq!((filter.take_refused().as_deref(), filter.take_refused()), (Some("too long"), None));
        assert_eq!((filter.is_outgrown(), filter.share()), (false, None));
        let error = filter.set(LinkType::RAW, |_| Err::<(), _>("no")).unwrap_err();
        assert_eq!(error.1, "no");
    }
}

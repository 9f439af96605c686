//! Selection of requests for `inspect`: the filters that match and sample, where nothing is sent.
//!
//! The input is a request as captured, the result is whether it passes. Nothing is changed. Writes, which a replay may
//! leave out, pass too: `inspect` shows all of them; so do tunnels, unless there are chain files.

use super::{AllowDeny, Chain, ChainSettings, Sampler};
use crate::exchange::{Outcome, Request, RequestState};

/// The filter and the sample of [`ChainSettings`]; the same requests pass as in a replay with the same flags.
#[derive(Debug)]
pub struct Selection {
    filter: AllowDeny,
    sampler: Sampler,
    asked: f64,
    /// The whole chain, where there are chain files.
    chain: Option<Box<Chain>>,
}

impl Selection {
    /// The selection that `settings` ask for; `None` where they let everything pass.
    #[must_use]
    pub fn new(settings: &ChainSettings) -> Option<Self> {
        let ChainSettings { allow_methods, allow_paths, deny_paths, allow_hosts, sample, .. } = settings;
        let everything = allow_methods.is_empty()
            && allow_paths.is_empty()
            && deny_paths.is_empty()
            && allow_hosts.is_empty()
            && sample.0 >= 1.0
            && settings.files.is_empty();
        (!everything).then(|| Self {
            filter: AllowDeny::new(settings),
            sampler: Sampler::new(*sample, settings.sample_by.clone(), settings.seed),
            asked: settings.asked_share().0,
            chain: (!settings.files.is_empty()).then(|| Box::new(Chain::new(settings))),
        })
    }

    /// Passes the request, or says what kept it back. Of a damaged one the sample counts no key, as in a replay.
    ///
    /// # Errors
    ///
    /// How the request ended, where it is not selected.
    pub(crate) fn decide(&mut self, request: &Request) -> Result<(), Outcome> {
        if let Some(chain) = &mut self.chain {
            // A damaged one never comes to the chain.
            return if request.state == RequestState::Whole { chain.apply(&mut request.clone()) } else { Ok(()) };
        }
        if let Some(rule) = self.filter.choice(request) {
            return Err(Outcome::filtered(rule));
        }
        let is_in = match request.state {
            RequestState::Whole => self.sampler.is_in(request),
            RequestState::Incomplete(_) | RequestState::Malformed(_) => self.sampler.would_take(request),
        };
        if is_in { Ok(()) } else { Err(Outcome::SampledOut) }
    }

    /// The chain, where there are chain files.
    #[must_use]
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_deref()
    }

    /// The share that was asked for, from 0 to 1.
    #[must_use]
    pub const fn asked(&self) -> f64 {
        self.asked
    }

    /// See [`super::Chain::key_share`].
    #[must_use]
    pub fn key_share(&self) -> Option<f64> {
        self.chain.as_ref().map_or_else(|| self.sampler.key_share(), |chain| chain.key_share())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::Environment;
    use super::super::testing::request;
    use super::super::{Chain, ChainFile, SampleKey, Share};
    use super::*;
    use crate::exchange::Malformed;

    #[test]
    fn without_flags_there_is_nothing_to_decide() {
        assert!(Selection::new(&ChainSettings::default()).is_none());
        assert!(
            Selection::new(&ChainSettings { seed: 7, sample_by: SampleKey::ClientIp, ..ChainSettings::default() })
                .is_none()
        );
    }

    #[test]
    fn the_same_requests_pass_as_in_a_replay_that_allows_writes() {
        let settings = ChainSettings {
            deny_paths: crate::middleware::PatternSet::new(["^/a3"]).unwrap(),
            sample: Share(0.5),
            allow_writes: true,
            ..ChainSettings::default()
        };
        let (mut chain, mut selection) = (Chain::new(&settings), Selection::new(&settings).unwrap());
        for n in 0..500 {
            let mut request = request(n, &format!("POST /a{} HTTP/1.1\r\n\r\n", n % 7));
            assert_eq!(selection.decide(&request), chain.apply(&mut request), "{n}");
        }
    }

    #[test]
    fn chain_files_come_first_and_leave_the_request_as_it_was() {
        let links = "[[link]]\nset-header = { X = \"1\" }\n[[link]]\nname = \"no-a\"\ndrop = { header.X = \"1\", path = \"^/a\" }\n";
        let file = ChainFile::parse(links, Path::new("f.toml"), &Environment::for_checks()).unwrap();
        let deny_paths = crate::middleware::PatternSet::new(["^/b"]).unwrap();
        let settings = ChainSettings { files: vec![file], deny_paths, allow_writes: true, ..ChainSettings::default() };
        let mut selection = Selection::new(&settings).unwrap();
        let mut decide = |line: &str| {
            let request = request(1, &format!("{line} HTTP/1.1\r\n\r\n"));
            let decided = selection.decide(&request);
            assert_eq!(request.head.get("x"), None);
            (decided, selection.chain().unwrap().ended_by().map(ToString::to_string))
        };
        let link = Some("f.toml, link 2 (no-a)".to_owned());
        assert_eq!(decide("POST /a"), (Err(Outcome::filtered("no-a")), link));
        assert_eq!(decide("POST /b"), (Err(Outcome::filtered("deny-path")), None));
        assert_eq!(decide("POST /c"), (Ok(()), None));
    }

    #[test]
    fn a_damaged_request_is_chosen_alike_and_counts_no_key() {
        let settings =
            ChainSettings { sample: Share(0.5), sample_by: SampleKey::Connection, ..ChainSettings::default() };
        let (mut whole, mut damaged) = (Selection::new(&settings).unwrap(), Selection::new(&settings).unwrap());
        for n in 0..100 {
            let mut request = request(n, "GET / HTTP/1.1\r\n\r\n");
            let decided = whole.decide(&request);
            request.state = RequestState::Malformed(Malformed::HeaderLine);
            assert_eq!(damaged.decide(&request), decided, "{n}");
        }
        assert!(whole.key_share().is_some() && damaged.key_share().is_none());
    }
}

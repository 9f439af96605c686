//! The links of one chain in their order: those of chain files as given, then those of the flags.
//!
//! In goes a request and when it is due, out comes the same request, changed or not, or the outcome that ended it. What
//! no replay can carry ends first. Writes end before the first link that samples, limits or changes anything, so that
//! they cost no place in a sample, and their count is the number that `--allow-writes` would let pass.

use std::path::Path;
use std::sync::Arc;

use super::carry_set::CarrySet;
use super::condition::Condition;
use super::context::ResponseFilter;
use super::context::{BODY_SEARCH, BodyCounts, Context, RequestChange};
use super::sample::SampleCounts;
use super::spec::{FilterAction, FilterSpec};
use super::{AllowDeny, ChainSettings, DynamicShare, Filter, Limiter, Rewrite, SampleKey, Sampler, allow_deny};
use crate::exchange::{Outcome, Request, Response, Timestamp};

/// Result of one sampling filter.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledShare {
    /// Key by which it samples.
    pub by: SampleKey,
    /// Its counts.
    pub counts: SampleCounts,
}

/// All filters that requests pass on their way.
#[derive(Debug)]
pub struct Chain {
    links: Vec<ChainEntry>,
    /// Writes that pass; `None` where all do.
    writes: Option<Vec<Condition>>,
    /// Before which link writes are asked.
    guard_at: usize,
    /// True when a filter that reads keys comes after one that changes heads.
    keep_captured: bool,
    /// True when no filter reads heads: then they are not parsed.
    is_blind: bool,
    /// Share of the flags' sample, when it can be changed during the run.
    dial: Option<DynamicShare>,
    limit_share: Option<DynamicShare>,
    context: Context,
}

/// A link at its place.
#[derive(Debug)]
struct ChainEntry {
    when: Condition,
    link: Box<dyn Filter>,
    kind: FilterKind,
    /// Key that identifies an equal filter of another chain: then its state can be taken over.
    same: Option<String>,
    /// Location and name in a chain file, for people; `None` of a flag's filter.
    label: Option<Arc<str>>,
}

/// Kind of a filter, as far as it decides its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FilterKind {
    Matches,
    ReadsKeys,
    Changes,
}

impl Chain {
    /// A chain that does what `settings` say.
    #[must_use]
    pub fn new(settings: &ChainSettings) -> Self {
        let specs = settings.links();
        let of_files = settings.files.iter().flat_map(|file| (1..).zip(&file.links).map(move |link| (file, link)));
        let mut carries = 0;
        let of_files =
            of_files.filter_map(|(file, (number, spec))| ChainEntry::of_file(&file.path, number, spec, &mut carries));
        let links: Vec<ChainEntry> = of_files.chain(ChainEntry::of_flags(settings)).collect();
        let guard_at = links.iter().position(|placed| placed.kind != FilterKind::Matches).unwrap_or(links.len());
        let first_change = links.iter().position(|placed| placed.kind == FilterKind::Changes).unwrap_or(links.len());
        Self {
            writes: (!settings.allow_writes).then(|| specs.filter_map(FilterSpec::allowed_writes).collect()),
            guard_at,
            keep_captured: links.iter().skip(first_change).any(|placed| placed.kind == FilterKind::ReadsKeys),
            is_blind: links.iter().all(ChainEntry::ignores_headers),
            links,
            dial: settings.dial.clone(),
            limit_share: settings.limit_share.clone(),
            context: Context::new(settings.run.clone()),
        }
    }

    /// Passes the request through every link, or ends it at the first that says so. It is due when it was captured.
    ///
    /// # Errors
    ///
    /// How the request ended, where it may not pass.
    pub fn apply(&mut self, request: &mut Request) -> Result<(), Outcome> {
        self.apply_at(request, request.last_byte)
    }

    /// The same for a request that is due at `due`, on whatever clock the run is paced by: limits run on it.
    ///
    /// # Errors
    ///
    /// How the request ended, where it may not pass.
    pub(crate) fn apply_at(&mut self, request: &mut Request, due: Timestamp) -> Result<(), Outcome> {
        let Self { links, writes, guard_at, keep_captured, is_blind, context, .. } = self;
        if *is_blind && !request.head.may_have("upgrade") {
            context.begin_unread(due);
        } else {
            context.begin(request, due, *keep_captured);
        }
        if let Some(rule) = allow_deny::tunnel(context.method(request), context.fields(request)) {
            return Err(Outcome::filtered(rule));
        }
        let (before, after) = links.split_at_mut_checked(*guard_at).unwrap_or_default();
        pass(before, request, context)?;
        may_write(writes.as_deref(), request, context)?;
        pass(after, request, context)
    }

    /// Asks again what no link may change: whether a replay can carry the request, and whether it is a write that may
    /// pass. For what an external middleware made of it, or made up.
    ///
    /// # Errors
    ///
    /// How the request ended, where it may not pass.
    pub(crate) fn admit(&mut self, request: &Request) -> Result<(), Outcome> {
        let Self { writes, context, .. } = self;
        context.begin(request, request.last_byte, false);
        match allow_deny::tunnel(context.method(request), context.fields(request)) {
            Some(rule) => Err(Outcome::filtered(rule)),
            None => may_write(writes.as_deref(), request, context),
        }
    }

    /// Returns whether the chain ignores the due time of requests.
    #[must_use]
    pub(crate) const fn is_timeless(&self) -> bool {
        self.is_blind
    }

    /// Does from now on what `settings` say. Samples and limits that stand in both go on where they are; what was
    /// counted of others is gone. A dial stays.
    pub fn replace(&mut self, settings: &ChainSettings) {
        let dial = settings.dial.clone().or(self.dial.take());
        let limit_share = settings.limit_share.clone().or(self.limit_share.take());
        let mut new = Self::new(&ChainSettings { dial, limit_share, ..settings.clone() });
        for placed in &mut new.links {
            let old = self.links.iter().position(|old| old.same.is_some() && old.same == placed.same);
            if let Some(old) = old {
                // It may stand elsewhere in its file by now.
                let label = placed.label.take();
                *placed = ChainEntry { label, ..self.links.swap_remove(old) };
            }
        }
        new.context.resume(&mut self.context);
        *self = new;
    }

    /// Returns whether a filter gave the last request its Host: then the target's name must not replace it.
    #[must_use]
    pub(crate) const fn host_was_set(&self) -> bool {
        matches!(self.context.changed, RequestChange::Host)
    }

    /// Returns whether a filter that changes requests applied to the last one.
    #[must_use]
    pub(crate) const fn has_changed(&self) -> bool {
        !matches!(self.context.changed, RequestChange::Nothing)
    }

    /// The targets that a route chose for the last request, by number; `None` where there is no route: then it belongs
    /// to all.
    #[must_use]
    pub fn targets(&self) -> Option<&[usize]> {
        self.context.targets.as_deref()
    }

    /// The name that a route chose for the last request.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.context.route.as_deref()
    }

    /// The link of a chain file that ended the last request: its location, and its name or verb. `None` where no such link
    /// ended it.
    #[must_use]
    pub(crate) fn ended_by(&self) -> Option<&str> {
        self.context.ended_by.as_deref()
    }

    /// Returns the rank of the last request in the last sample that it reached: requests in a smaller share have a
    /// lower rank. `None` where there is no sample.
    #[must_use]
    pub const fn place(&self) -> Option<u64> {
        self.context.place
    }

    /// Returns the carry rules that apply to the last request.
    #[must_use]
    pub(crate) const fn carried(&self) -> CarrySet {
        self.context.carried
    }

    /// Returns the counts about bodies so far.
    #[must_use]
    pub const fn bodies(&self) -> BodyCounts {
        self.context.bodies
    }

    /// What the response to the last request passes, see [`Chain::filter_response`].
    #[must_use]
    pub(crate) fn response_filters(&self) -> &[Arc<dyn ResponseFilter>] {
        self.context.response_filters()
    }

    /// Has a response pass the filters of its request; false where it is not to be recorded.
    pub(crate) fn filter_response(&mut self, filters: &[Arc<dyn ResponseFilter>], response: &mut Response) -> bool {
        filters.iter().all(|filter| filter.apply(response, &mut self.context))
    }

    /// Returns whether there is a message for people that cannot wait for the end.
    #[must_use]
    pub(crate) const fn has_notices(&self) -> bool {
        self.context.has_notices()
    }

    /// Returns the messages for people that cannot wait for the end; each is returned once.
    pub fn take_notices(&mut self) -> Vec<String> {
        self.context.take_notices()
    }

    /// Returns the result of each sampling filter, in order.
    #[must_use]
    pub fn samples(&self) -> Vec<SampledShare> {
        let samplers = self.links.iter().filter_map(|placed| placed.link.sampler());
        samplers.map(|sampler| SampledShare { by: sampler.by().clone(), counts: sampler.counts() }).collect()
    }

    /// The share of distinct sample keys of which a request was in, from 0 to 1, of those seen so far; of the last
    /// sampling link that has any. `None` when sampling by request, before the first key, and past
    /// `sample::MAX_COUNTED_KEYS`.
    #[must_use]
    pub fn key_share(&self) -> Option<f64> {
        self.links.iter().rev().find_map(|placed| placed.link.sampler()?.key_share())
    }

    /// Returns remarks for people at the end of a run.
    #[must_use]
    pub(crate) fn remarks(&self) -> Vec<String> {
        let keyless = self.samples().into_iter().filter(|sampled| {
            sampled.by != SampleKey::Request && sampled.counts.requests > 0 && sampled.counts.with_key == 0
        });
        let mut remarks: Vec<String> = keyless
            .map(|SampledShare { by, counts }| {
                format!(
                    "none of {} requests has what the sample goes by ({by}): is its name spelled right?",
                    counts.requests
                )
            })
            .collect();
        remarks.extend(self.links.iter().filter_map(|placed| placed.link.sampler()?.advice()));
        let BodyCounts { coded, not_json, unreadable, .. } = self.bodies();
        let counts = [
            (unreadable.body_dropped, "bodies were dropped"),
            (unreadable.dropped, "messages were dropped"),
            (unreadable.kept, "bodies were kept as they are"),
        ];
        for (count, done) in counts.into_iter().filter(|(count, _)| *count > 0) {
            remarks.push(format!("{count} {done} because redact cannot look into them (coding, type, or broken JSON)"));
        }
        if coded > 0 {
            remarks.push(format!(
                "{coded} bodies were left as they are because they have a content coding (gzip, br, ...)"
            ));
        }
        if not_json > 0 {
            remarks.push(format!(
                "{not_json} bodies were left as they are because they are not the JSON that they say they are"
            ));
        }
        remarks
    }
}

/// Ends a write, unless all pass (`None`) or one of these conditions lets it.
fn may_write(allowed: Option<&[Condition]>, request: &Request, context: &mut Context) -> Result<(), Outcome> {
    let Some(allowed) = allowed else { return Ok(()) };
    let passes = !allow_deny::is_write(context.method(request))
        || allowed.iter().any(|condition| condition.holds(request, context));
    searched(context)?;
    if passes { Ok(()) } else { Err(Outcome::filtered(allow_deny::WRITES)) }
}

/// Ends a request of which a body was not searched that should have been.
fn searched(context: &Context) -> Result<(), Outcome> {
    if context.is_unsearched() { Err(Outcome::filtered(BODY_SEARCH)) } else { Ok(()) }
}

fn pass(links: &mut [ChainEntry], request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
    for placed in links {
        placed.pass(request, context).inspect_err(|_| context.ended_by.clone_from(&placed.label))?;
    }
    Ok(())
}

impl ChainEntry {
    fn pass(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let holds = self.when.holds(request, context);
        // What may be in a body that was not searched decides nothing: it goes nowhere.
        searched(context)?;
        if holds {
            if self.kind == FilterKind::Changes {
                context.changed = context.changed.max(RequestChange::Something);
            }
            self.link.apply(request, context)?;
            searched(context)?;
        }
        Ok(())
    }

    /// Returns whether it reads no heads, as a sample of requests or connections.
    fn ignores_headers(&self) -> bool {
        let sampled_by = self.link.sampler().map(Sampler::by);
        let is_blind = matches!(sampled_by, Some(SampleKey::Request | SampleKey::Connection | SampleKey::ClientIp));
        is_blind && self.when.tests.is_empty()
    }

    /// The link with this number, from 1, in the chain file at `path`; `None` for one that only says which writes pass.
    fn of_file(path: &Path, number: usize, spec: &FilterSpec, carries: &mut usize) -> Option<Self> {
        let kind = match &spec.action {
            FilterAction::AllowWrites(_) => return None,
            FilterAction::Only(_) | FilterAction::Drop(_) => FilterKind::Matches,
            FilterAction::Sample(_) | FilterAction::Limit(_) => FilterKind::ReadsKeys,
            _ => FilterKind::Changes,
        };
        let same = (kind == FilterKind::ReadsKeys).then(|| format!("{spec:?}"));
        let label = format!("{}, link {number} ({})", path.display(), spec.label());
        Some(Self { when: spec.when.clone(), link: spec.link(carries)?, kind, same, label: Some(label.into()) })
    }

    /// The links of the flags, in the order match, sample, limit, rewrite.
    fn of_flags(settings: &ChainSettings) -> impl Iterator<Item = Self> {
        let (share, by, seed) = (settings.sample, settings.sample_by.clone(), settings.seed);
        let sample = match &settings.dial {
            Some(_) => format!("--sample by a dial {by:?} {seed}"),
            None => format!("--sample {share:?} {by:?} {seed}"),
        };
        let samples = settings.dial.is_some() || share.0 < 1.0 || by != SampleKey::Request;
        let link = Sampler::new(share, by, seed);
        let link = match &settings.dial {
            Some(dial) => link.turned_by(dial.clone()),
            None => link,
        };
        let (filter, rewrite) = (AllowDeny::new(settings), Rewrite::new(settings));
        let always =
            |link: Box<dyn Filter>, kind, same| Self { when: Condition::default(), link, kind, same, label: None };
        [
            (!filter.is_empty()).then(|| always(Box::new(filter), FilterKind::Matches, None)),
            samples.then(|| always(Box::new(link), FilterKind::ReadsKeys, Some(sample))),
            settings.limit.as_ref().map(|limits| {
                let limiter = Limiter::new(limits).shared(settings.limit_share.clone());
                always(Box::new(limiter), FilterKind::ReadsKeys, Some(format!("--limit {limits:?}")))
            }),
            (!rewrite.is_empty()).then(|| always(Box::new(rewrite), FilterKind::Changes, None)),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Environment;
    use super::super::limit::LimitSpec;
    use super::super::route::TargetNames;
    use super::super::testing::{request, with_body};
    use super::super::{ChainFile, Share};
    use super::*;

    fn file(text: &str) -> ChainFile {
        let environment = Environment {
            targets: TargetNames::Named(
                ["new", "", "new", "search", "on-premises-only"]
                    .map(|name| (!name.is_empty()).then(|| name.to_owned()))
                    .to_vec(),
            ),
            ..Environment::for_checks()
        };
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/filters/f.toml");
        ChainFile::parse(text, Path::new(folder), &environment).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
    }

    fn settings(files: &[&str]) -> ChainSettings {
        ChainSettings { files: files.iter().map(|text| file(text)).collect(), ..ChainSettings::default() }
    }

    fn get(line: &str) -> Request {
        request(1, &format!("GET / HTTP/1.1\r\n{line}\r\n"))
    }

    /// Returns the number of requests that pass, out of `requests` at one instant.
    fn passed(chain: &mut Chain, requests: usize) -> usize {
        (0..requests).filter(|_| chain.apply(&mut get("")).is_ok()).count()
    }

    #[test]
    fn a_body_that_would_grow_without_a_bound_is_kept_back() {
        for (with, bytes, fits) in [("b".repeat(400), 10 << 10, true), ("b".repeat(400), 200 << 10, false)] {
            for (expression, with) in [("a", with.clone()), ("(a)", format!("${{1}}{with}"))] {
                let text = format!("[[link]]\nreplace-body = {{ match = \"{expression}\", with = \"{with}\" }}\n");
                let mut chain = Chain::new(&ChainSettings { allow_writes: true, ..settings(&[&text]) });
                let head = format!("POST / HTTP/1.1\r\nContent-Length: {bytes}\r\n\r\n");
                let ended = chain.apply(&mut with_body(&head, &"a".repeat(bytes)));
                assert_eq!(ended, if fits { Ok(()) } else { Err(Outcome::filtered(BODY_SEARCH)) }, "{expression}");
            }
        }
    }

    #[test]
    fn files_come_in_their_order_and_then_the_flags() {
        let mut settings = settings(&[
            "[[link]]\nset-header = { X = \"1\" }\n",
            "[[link]]\nreplace-header = { X = { match = \"1\", with = \"2\" } }\n",
        ]);
        settings.set_headers = vec![("Y".to_owned(), "3".to_owned())];
        settings.deny_paths = crate::middleware::PatternSet::new(["^/no"]).unwrap();
        let mut request = get("");
        Chain::new(&settings).apply(&mut request).unwrap();
        assert_eq!(request.head.as_bytes(), b"GET / HTTP/1.1\r\nX: 2\r\nY: 3\r\n\r\n");
        assert_eq!(
            Chain::new(&settings).apply(&mut request_to("/no")),
            Err(Outcome::filtered(allow_deny::DENY_PATH)),
            "the flags see it too"
        );
    }

    fn request_to(path: &str) -> Request {
        request(1, &format!("GET {path} HTTP/1.1\r\n\r\n"))
    }

    #[test]
    fn samples_and_limits_go_by_the_key_as_captured_whatever_a_file_makes_of_it() {
        let redact = "[[link]]\nredact = { cookie = \"sid\", how = \"mask\" }\n";
        let mut masked = settings(&[redact]);
        masked.sample = Share(0.5);
        masked.sample_by = SampleKey::Cookie("sid".to_owned());
        let plain = ChainSettings { files: Vec::new(), ..masked.clone() };
        let (mut masked, mut plain) = (Chain::new(&masked), Chain::new(&plain));
        for user in 0..500 {
            let mut one = get(&format!("Cookie: sid={user}\r\n"));
            let mut other = one.clone();
            assert_eq!(masked.apply(&mut one).is_ok(), plain.apply(&mut other).is_ok(), "{user}");
            assert!(one.head.get("cookie") == Some(&b"sid=***"[..]));
        }
    }

    #[test]
    fn a_limit_runs_on_due_times_and_not_on_those_of_the_capture() {
        let mut settings = ChainSettings { limit: Some(LimitSpec::default()), ..ChainSettings::default() };
        settings.limit = Some(LimitSpec { requests: Some("10/s".parse().unwrap()), ..LimitSpec::default() });
        let mut chain = Chain::new(&settings);
        let mut count = |ms: u64, requests: usize| {
            let due = Timestamp::from_nanos(ms * 1_000_000);
            (0..requests).filter(|_| chain.apply_at(&mut get(""), due).is_ok()).count()
        };
        assert_eq!((count(0, 30), count(500, 30), count(600, 30)), (10, 5, 1));
    }

    #[test]
    fn a_chain_that_is_replaced_goes_on_with_what_is_the_same_in_both() {
        let limit = "[[link]]\nlimit = { requests = \"10/s\" }\n";
        let header = "[[link]]\nset-header = { X = \"1\" }\n";
        let mut chain = Chain::new(&settings(&[limit]));
        assert_eq!(passed(&mut chain, 8), 8);
        chain.replace(&settings(&[header, limit]));
        assert_eq!(passed(&mut chain, 8), 2, "the bucket is the old one");
        let mut request = get("");
        chain.replace(&settings(&[header, &limit.replace("10", "20")]));
        assert_eq!(chain.apply(&mut request), Ok(()), "another limit begins anew");
        assert_eq!(request.head.get("x"), Some(&b"1"[..]), "and the other link is new");
    }

    #[test]
    fn the_link_that_ended_a_request_is_known_by_its_place_in_its_file() {
        let links = "[[link]]\nset-header = { X = \"1\" }\n[[link]]\nname = \"no-a\"\ndrop = { path = \"^/a\" }\n\
                     [[link]]\nsample = \"0%\"\n";
        let mut chain = Chain::new(&settings(&[links]));
        let mut ended_by = |path: &str| {
            chain.apply(&mut request(1, &format!("{path} HTTP/1.1\r\n\r\n"))).unwrap_err();
            chain.ended_by().map(|label| label.rsplit('/').next().unwrap().to_owned())
        };
        assert_eq!(ended_by("GET /a").as_deref(), Some("f.toml, link 2 (no-a)"));
        assert_eq!(ended_by("GET /b").as_deref(), Some("f.toml, link 3 (sample)"));
        assert_eq!(ended_by("POST /b"), None, "that is no link's doing");
    }

    #[test]
    fn a_sample_that_goes_by_what_nobody_has_is_worth_a_word() {
        let mut chain = Chain::new(&ChainSettings {
            sample: Share(0.5),
            sample_by: SampleKey::Cookie("sdi".to_owned()),
            ..ChainSettings::default()
        });
        assert_eq!(chain.remarks(), Vec::<String>::new(), "nothing was looked at yet");
        passed(&mut chain, 7);
        assert_eq!(
            chain.remarks(),
            ["none of 7 requests has what the sample goes by (cookie:sdi): is its name spelled right?"]
        );
        chain.apply(&mut get("Cookie: sdi=1\r\n")).ok();
        assert_eq!(chain.remarks(), Vec::<String>::new());
        let counts = &chain.samples()[0].counts;
        assert_eq!((counts.requests, counts.with_key), (8, 1));
    }

    #[test]
    fn a_sample_by_what_all_have_alike_is_worth_a_word_at_once() {
        let with = |share: f64, by: SampleKey, seed| {
            Chain::new(&ChainSettings { sample: Share(share), sample_by: by, seed, ..ChainSettings::default() })
        };
        let user = || SampleKey::Header("X-User".to_owned());
        let tell = |chain: &mut Chain, user: &str, requests: usize| {
            (0..requests).filter(|_| chain.apply(&mut get(&format!("X-User: {user}\r\n"))).is_ok()).count()
        };
        let mut told = Vec::new();
        for seed in 0..8 {
            let mut chain = with(0.5, SampleKey::ClientIp, seed);
            let few = tell(&mut chain, "a", 99);
            assert!(!chain.has_notices(), "too early");
            assert_eq!(chain.remarks().len(), usize::from(few == 0), "at the end nothing at all is worth a word");
            let all = few + tell(&mut chain, "b", 101);
            let notices = chain.take_notices();
            assert_eq!(notices.len(), 1, "once");
            assert_eq!(chain.remarks().len(), 1);
            let takes = if all == 0 { "none" } else { "all" };
            assert!(notices[0].starts_with("100 requests have one key (client-ip, as behind a proxy"), "{notices:?}");
            for part in [&format!("(here {takes})"), "--sample-by header:X-Forwarded-For or cookie:NAME"] {
                assert!(notices[0].contains(part), "{part} is not in {notices:?}");
            }
            told.push(takes);
        }
        assert!(told.contains(&"none") && told.contains(&"all"), "{told:?}");

        for (share, by, others) in
            [(0.5, user(), true), (1.0, user(), false), (0.0, user(), false), (0.5, SampleKey::Request, false)]
        {
            let mut chain = with(share, by.clone(), 0);
            tell(&mut chain, "a", 50);
            tell(&mut chain, if others { "b" } else { "a" }, 1);
            tell(&mut chain, "a", 100);
            assert!(!chain.has_notices() && chain.remarks().is_empty(), "{share} {by}: {:?}", chain.remarks());
        }
    }

    #[test]
    fn bodies_that_were_left_alone_are_worth_a_word() {
        let json = "[[link]]\nallow-writes = true\n[[link]]\nremove-json = \"/a\"\n";
        let mut chain = Chain::new(&settings(&[json]));
        let head = "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n";
        chain.apply(&mut with_body(head, "?")).unwrap();
        chain.apply(&mut with_body(&head.replace("gzip", "identity"), "?")).unwrap();
        let remarks = chain.remarks();
        assert!(remarks[0].starts_with("1 bodies were left as they are because they have a content coding"));
        assert!(remarks[1].starts_with("1 bodies were left as they are because they are not the JSON"), "{remarks:?}");
    }

    #[test]
    fn a_host_is_set_for_the_requests_that_a_link_gave_one() {
        let set = settings(&["[[link]]\nset-host = \"new\"\nwhen = { path = \"^/v2/\" }\n"]);
        assert!(set.sets_host());
        let mut chain = Chain::new(&set);
        for (path, is_set) in [("/v1/", false), ("/v2/", true), ("/v1/", false)] {
            chain.apply(&mut request_to(path)).unwrap();
            assert_eq!((chain.host_was_set(), chain.has_changed()), (is_set, is_set), "{path}");
        }
    }

    #[test]
    fn a_route_tells_the_targets_of_the_last_request() {
        let mut chain = Chain::new(&settings(&["[[link]]\nroute = { map = \"routes.map\" }\n"]));
        chain.apply(&mut request_to("/v2/programs/1")).unwrap();
        assert_eq!((chain.route(), chain.targets()), (Some("new"), Some(&[0, 2][..])));
        assert_eq!(chain.apply(&mut request_to("/internal/a")), Err(Outcome::filtered("route")), "the map says so");
        assert_eq!((chain.route(), chain.targets()), (None, None));
    }

    #[test]
    fn what_came_of_a_request_outside_is_asked_again_for_writes_and_tunnels() {
        let mut chain = Chain::new(&settings(&[
            "[[link]]\nallow-writes = true\nwhen = { path = \"^/ok\" }\n[[link]]\nset-header = { X = \"1\" }\n",
        ]));
        let asked = |chain: &mut Chain, line: &str| chain.admit(&request(1, &format!("{line} HTTP/1.1\r\n\r\n")));
        assert_eq!(asked(&mut chain, "GET /"), Ok(()));
        assert_eq!(asked(&mut chain, "POST /ok"), Ok(()));
        assert_eq!(asked(&mut chain, "POST /"), Err(Outcome::filtered(allow_deny::WRITES)));
        assert_eq!(asked(&mut chain, "CONNECT h:1"), Err(Outcome::filtered(allow_deny::CONNECT)));
    }

    #[test]
    fn what_no_replay_can_carry_ends_before_any_link() {
        let mut chain = Chain::new(&settings(&["[[link]]\ndrop = { method = \"CONNECT\" }\n"]));
        assert_eq!(
            chain.apply(&mut request(1, "CONNECT h:1 HTTP/1.1\r\n\r\n")),
            Err(Outcome::filtered(allow_deny::CONNECT))
        );
    }
}

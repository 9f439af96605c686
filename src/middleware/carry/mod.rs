//! Values that a server issues and clients bring back: session cookies, bearer tokens, CSRF tokens.
//!
//! A [`CarryRule`] finds the values that a response issues, and the places of a request in which they come back. Both
//! sides of a run issue values of their own: what production issued is to be replaced by what the target issued in
//! the same exchange. Which value stands for which is not known here; nothing waits, and nothing is counted.

pub(crate) mod coding;
mod issued;
pub(super) mod jwt;
mod places;
pub(super) mod seeds;
mod shift;

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::{Match, Regex};

use super::carry_set::MAX_RULES;
use super::external::CommandLine;
use super::json::JsonPath;
use super::secret_names::RunSecrets;
use super::{Context, Filter};
use crate::exchange::{Outcome, Request, Timestamp};

pub(crate) use issued::{Issued, IssuedResponse};
pub(crate) use jwt::JwtMint;
pub(crate) use places::{FoundAt, Placed, ValuePlaces};
pub(crate) use seeds::Seeds;

/// Longest value that is carried, in bytes. A longer one is no session and no token.
pub(crate) const MAX_VALUE: usize = 16 << 10;
/// How long a request waits for a value whose counterpart is on its way, unless said otherwise.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(2);

/// One `carry` link: where values are issued, and where they come back.
#[derive(Clone, Debug, Default)]
pub struct CarryRule {
    /// Name of the rule, in the report.
    pub name: String,
    /// Where responses issue its values; `None` where they come from elsewhere.
    pub(crate) from: Option<ValueSource>,
    pub(crate) into: Vec<ValuePlace>,
    pub(crate) until_known: UntilKnown,
    /// Pairs that are known before the run.
    pub(crate) seeds: Option<Arc<Seeds>>,
    /// Program that gives a new value for an old one.
    pub(crate) login: Option<CommandLine>,
    /// How the new value is made of the old one, where no target issues it.
    pub(crate) makes: Option<ValueMaker>,
}

/// Makes a new value of the captured one.
#[derive(Clone, Debug)]
pub(crate) enum ValueMaker {
    /// A token with a signature of its own.
    Jwt(JwtMint),
    /// A time as far from now as the captured one was from its capture.
    ShiftTime,
}

impl ValueMaker {
    /// The value that stands for `value` in a request of that time; `None` where it is none of its kind.
    pub(crate) fn make(&self, value: &[u8], captured: Timestamp, now: Timestamp) -> Option<Vec<u8>> {
        match self {
            Self::Jwt(mint) => mint.make(value, now),
            Self::ShiftTime => shift::shifted(value, captured, now),
        }
    }
}

impl CarryRule {
    /// Returns whether its values are in the bodies of responses.
    pub(crate) fn is_in_bodies(&self) -> bool {
        self.part() == ResponsePart::Body
    }

    /// Returns whether a value of a cookie stands in `place` without the percent coding that cookies mostly have: scripts
    /// take it off.
    pub(crate) const fn decodes(&self, place: &ValuePlace) -> bool {
        matches!(self.from, Some(ValueSource::SetCookie(_))) && !matches!(place, ValuePlace::Cookie(_))
    }

    /// The part of a response that its values are in, where they are in any.
    pub(crate) fn part(&self) -> ResponsePart {
        self.from.as_ref().map_or(ResponsePart::Head, ValueSource::part)
    }
}

/// The mistake that two links have the same name.
pub(crate) fn same_name(name: &str) -> String {
    format!("two carry links are called `{name}`: the report could not tell them apart")
}

/// The mistake that there are so many links.
pub(crate) fn too_many(links: usize) -> String {
    format!("there are {links} carry links; {MAX_RULES} are possible")
}

/// The names and expressions under which `rules` find values.
pub(super) fn secrets(rules: &[CarryRule]) -> RunSecrets {
    let mut secrets = RunSecrets::default();
    let key = |path: &JsonPath| path.last_key().map(str::to_owned);
    for rule in rules {
        if matches!(rule.makes, Some(ValueMaker::ShiftTime)) {
            // A time is no secret.
            continue;
        }
        match &rule.from {
            Some(ValueSource::Header(name)) => secrets.headers.push(name.clone()),
            Some(ValueSource::LocationParam(name)) => secrets.params.push(name.clone()),
            Some(ValueSource::Json(path)) => secrets.keys.extend(key(path)),
            Some(ValueSource::Body(regex)) => secrets.texts.push(regex.clone()),
            // Values of cookies are masked anyway.
            Some(ValueSource::SetCookie(_)) | None => {}
        }
        for place in &rule.into {
            match place {
                ValuePlace::Header(name, _) => secrets.headers.push(name.clone()),
                ValuePlace::Param(name) | ValuePlace::Form(name) => secrets.params.push(name.clone()),
                ValuePlace::Json(path) => secrets.keys.extend(key(path)),
                ValuePlace::Cookie(_) => {}
            }
        }
    }
    secrets
}

/// What the first group of `regex` matches in `text`, or all of the match where there is no group.
fn first_group<'t>(regex: &Regex, text: &'t [u8]) -> Option<Match<'t>> {
    let groups = regex.captures(text)?;
    groups.get(1).or_else(|| groups.get(0))
}

/// A text that begins as a JSON object or array does, without a byte order mark.
fn json_text(content: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(content).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_start().starts_with(['{', '[']).then_some(text)
}

/// Where a response issues a value.
#[derive(Clone, Debug)]
pub(crate) enum ValueSource {
    /// The cookie of this name, in `Set-Cookie` (RFC 6265, 4.1).
    SetCookie(String),
    /// A header line.
    Header(String),
    /// A value within a JSON body.
    Json(JsonPath),
    /// What the first group of the expression matches in the body, or all of it where there is no group.
    Body(Regex),
    /// A parameter in the query or the fragment of `Location`.
    LocationParam(String),
}

/// Part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponsePart {
    Head,
    Body,
}

impl ResponsePart {
    pub(crate) const ALL: [Self; 2] = [Self::Head, Self::Body];
}

/// Where a request brings a value back.
#[derive(Clone, Debug)]
pub(crate) enum ValuePlace {
    /// A cookie.
    Cookie(String),
    /// A header line: all of it, or what the first group of the expression matches.
    Header(String, Option<Regex>),
    /// A query parameter.
    Param(String),
    /// A value within a JSON body.
    Json(JsonPath),
    /// A field of a form, `application/x-www-form-urlencoded` or `multipart/form-data`.
    Form(String),
}

/// What happens to a request whose value has no counterpart yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UntilKnown {
    /// It waits for one that is on its way, and goes out with its own value after that time.
    Wait(Duration),
    /// It goes out with its own value.
    Send,
    /// It is kept back.
    Drop,
}

impl Default for UntilKnown {
    fn default() -> Self {
        Self::Wait(DEFAULT_WAIT)
    }
}

impl ValuePlace {
    /// Returns whether it stands in a body.
    const fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Form(_))
    }
}

impl ValueSource {
    /// The place where the value comes back unless said otherwise; `None` where that cannot be told.
    pub(super) fn default_place(&self) -> Option<ValuePlace> {
        match self {
            Self::SetCookie(name) => Some(ValuePlace::Cookie(name.clone())),
            Self::Header(name) => Some(ValuePlace::Header(name.clone(), None)),
            Self::Json(path) => Some(ValuePlace::Json(path.clone())),
            Self::LocationParam(name) => Some(ValuePlace::Param(name.clone())),
            Self::Body(_) => None,
        }
    }

    /// The part of a response that it is in.
    pub(crate) const fn part(&self) -> ResponsePart {
        match self {
            Self::Json(_) | Self::Body(_) => ResponsePart::Body,
            Self::SetCookie(_) | Self::Header(_) | Self::LocationParam(_) => ResponsePart::Head,
        }
    }
}

/// The link in a chain: notes that the rule of this number applies to the request.
#[derive(Clone, Debug)]
pub(super) struct CarryLink(pub(super) usize);

impl Filter for CarryLink {
    fn apply(&mut self, _: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        context.carried.add(self.0);
        Ok(())
    }
}

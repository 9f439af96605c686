//! The test cases of a chain file, run.

use std::borrow::Cow;

use bytes::Bytes;

use super::super::carry::{CarryRule, FoundAt, Issued, IssuedResponse, ValuePlaces, coding};
use super::super::carry_set::CarrySet;
use super::super::value_change::ValueChange;
use super::super::{Chain, ChainSettings, Context, RunIdentity};
use super::cases::{Case, IssuingResponse, written};
use super::{ChainFile, ChainMistake};
use crate::exchange::Request;

/// A case that did not end as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Location of the case.
    pub at: ChainMistake,
    /// Name of the case.
    pub name: String,
}

impl ChainFile {
    /// Runs every case through a chain of its own; returns those that fail.
    #[must_use]
    pub fn run_cases(&self) -> Vec<Failure> {
        let mut alone = self.clone();
        let cases = std::mem::take(&mut alone.cases);
        let settings = ChainSettings { files: vec![alone], run: RunIdentity::default(), ..ChainSettings::default() };
        cases.iter().filter_map(|case| Some(self.failure(case, case.run(&settings).err()?))).collect()
    }

    fn failure(&self, case: &Case, message: String) -> Failure {
        let at = ChainMistake { path: self.path.clone(), line: case.line, column: 0, message };
        Failure { at, name: case.name.clone() }
    }
}

impl Case {
    /// Runs the case; an error describes the difference from the expectations.
    fn run(&self, settings: &ChainSettings) -> Result<(), String> {
        let mut chain = Chain::new(&ChainSettings { allow_writes: self.allow_writes, ..settings.clone() });
        let mut ended = Ok(());
        let mut request = self.request.clone();
        for _ in 0..self.times {
            request = self.request.clone();
            ended = chain.apply(&mut request);
        }
        if ended.is_ok() && !chain.carried().is_empty() {
            self.carry(&mut request, &settings.carry_rules(), chain.carried());
        }
        match (&self.outcome, ended) {
            (None, Ok(())) => self.compare(&request, &chain),
            (Some(expected), Err(outcome)) if written(&outcome) == *expected => Ok(()),
            (expected, ended) => {
                let expected = expected.as_deref().unwrap_or("passes");
                let found = ended.map_or_else(|outcome| written(&outcome), |()| "passes".to_owned());
                Err(format!("expected \"{expected}\", found \"{found}\""))
            }
        }
    }

    /// Puts what the target issued, or what is known otherwise, in the place of production's values.
    fn carry(&self, request: &mut Request, rules: &[CarryRule], apply: CarrySet) {
        let issued = |rule: &CarryRule, (head, content): &IssuingResponse| {
            rule.issued(&IssuedResponse::new(head, Some(Cow::Borrowed(content.as_slice()))))
        };
        let counterpart = |rule: &CarryRule| {
            let [production, target] = self.issued_by.as_ref()?;
            // Of several values nobody can say which stands for which.
            match (issued(rule, production).as_slice(), issued(rule, target).as_slice()) {
                ([Issued::Value(old)], [new]) => Some((old.clone(), new.clone())),
                _ => None,
            }
        };
        let pairs: Vec<Option<(Bytes, Issued)>> = rules.iter().map(counterpart).collect();
        let captured = request.last_byte;
        let new = |rule: &CarryRule, at: FoundAt<'_>, pair: Option<&(Bytes, Issued)>, value: &[u8]| {
            let (plain, decodes) = (coding::plain(value), rule.decodes(at.place));
            if let Some(maker) = &rule.makes {
                return maker.make(value, captured, captured.plus(self.later)).map(ValueChange::Value);
            }
            if let Some((old, new)) = pair.filter(|(old, _)| *coding::plain(old) == *plain) {
                return Some(match new {
                    Issued::Value(new) => {
                        ValueChange::Value(coding::in_place_of(value, coding::is_coded(old), decodes, new))
                    }
                    Issued::Deleted => ValueChange::Remove,
                });
            }
            let seed = rule.seeds.as_ref()?.get(&plain, None)?;
            Some(ValueChange::Value(coding::in_place_of(value, seed.was_coded, decodes, &seed.new)))
        };
        ValuePlaces::of(request).each(rules, apply, &mut |at, value| {
            let pair = pairs.get(at.rule).and_then(Option::as_ref);
            rules.get(at.rule).and_then(|rule| new(rule, at, pair, value)).unwrap_or(ValueChange::Keep)
        });
    }

    fn compare(&self, request: &Request, chain: &Chain) -> Result<(), String> {
        let body = request.body.content().unwrap_or_default();
        let whole = [request.head.as_bytes(), &body].concat();
        if let Some(becomes) = &self.becomes
            && *becomes != whole
        {
            return Err(difference(becomes, &whole));
        }
        if let Some(route) = &self.route
            && chain.route() != Some(route)
        {
            return Err(format!("expected route \"{route}\", found {:?}", chain.route().unwrap_or("none")));
        }
        let mut context = Context::default();
        context.begin(request, request.last_byte, false);
        if self.then.holds(request, &context) {
            return Ok(());
        }
        Err(format!("what `then` asks does not hold for\n{}", indented(&whole)))
    }
}

/// The first line that is another one.
fn difference(expected: &[u8], found: &[u8]) -> String {
    let (wanted, got) = (String::from_utf8_lossy(expected), String::from_utf8_lossy(found));
    let (mut wanted, mut lines) = (wanted.lines(), got.lines());
    loop {
        match (wanted.next(), lines.next()) {
            (Some(this), Some(line)) if this == line => {}
            (None, None) => return format!("it differs in how its lines end: {got:?}"),
            (this, line) => {
                let shown = |line: Option<&str>| line.map_or("its end".to_owned(), |line| format!("`{line}`"));
                return format!("expected {}, found {}", shown(this), shown(line));
            }
        }
    }
}

fn indented(message: &[u8]) -> String {
    format!("    {}", String::from_utf8_lossy(message).replace('\r', "").trim_end().replace('\n', "\n    "))
}

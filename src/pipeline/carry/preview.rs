//! What a run without its sending can tell of values: how many production issues, and how many requests bring one back.

use std::collections::{HashMap, HashSet};

use crate::exchange::{ExchangeId, Request, Response};
use crate::middleware::carry::{CarryRule, Issued, IssuedResponse, ValuePlaces, coding};
use crate::middleware::carry_set::CarrySet;
use crate::middleware::value_change::ValueChange;
use crate::report::collect::dry_run::CarryForecast;

/// Values that are told apart; of further ones it is not known whether they were issued.
const MAX_VALUES: usize = 1 << 20;

/// The values that went by so far.
pub(in crate::pipeline) struct CarryPreview {
    rules: Vec<CarryRule>,
    /// Requests whose response is still to come, and the rules that apply to it.
    open: HashMap<ExchangeId, CarrySet>,
    /// Hashes of the values that production issued, by rule and copy.
    issued: HashSet<(usize, u32, u32, u64)>,
    forecasts: Vec<CarryForecast>,
}

impl CarryPreview {
    pub(in crate::pipeline) fn new(rules: Vec<CarryRule>) -> Self {
        let forecasts = rules.iter().map(|rule| CarryForecast { rule: rule.name.clone(), ..CarryForecast::default() });
        Self { forecasts: forecasts.collect(), rules, open: HashMap::new(), issued: HashSet::new() }
    }

    /// A request that would be sent.
    pub(in crate::pipeline) fn request(&mut self, request: &mut Request, rules: CarrySet) {
        if rules.is_empty() {
            return;
        }
        let id = request.id;
        self.open.insert(id, rules);
        let Self { rules: all, issued, forecasts, .. } = self;
        let mut found: Vec<(usize, bool)> = Vec::new();
        ValuePlaces::of(request).each(all, rules, &mut |at, value| {
            found.push((at.rule, issued.contains(&(at.rule, id.pass, id.copy, fingerprint(value)))));
            ValueChange::Keep
        });
        for (number, forecast) in forecasts.iter_mut().enumerate() {
            let of_rule = || found.iter().filter(|(rule, _)| *rule == number);
            forecast.known += u64::from(of_rule().any(|(_, known)| *known));
            forecast.unknown += u64::from(of_rule().any(|(_, known)| !known));
        }
    }

    /// Production's response; `None` where there is none.
    pub(in crate::pipeline) fn response(&mut self, of: ExchangeId, response: Option<&Response>) {
        let Some(rules) = self.open.remove(&of) else { return };
        let Some(response) = response else { return };
        let response = IssuedResponse::new(&response.head, response.body.content());
        for number in rules.numbers() {
            let (Some(rule), Some(forecast)) = (self.rules.get(number), self.forecasts.get_mut(number)) else { break };
            for issued in rule.issued(&response) {
                let Issued::Value(value) = issued else { continue };
                let key = (number, of.pass, of.copy, fingerprint(&value));
                if self.issued.len() < MAX_VALUES && self.issued.insert(key) {
                    forecast.issued += 1;
                }
            }
        }
    }

    /// What there is to tell.
    pub(in crate::pipeline) fn finish(self) -> Vec<CarryForecast> {
        self.forecasts
    }
}

fn fingerprint(value: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&coding::plain(value))
}

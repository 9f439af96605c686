//! The results of a run, read again: what demands on routes are measured on.

use std::borrow::Cow;

use serde::Deserialize;

use crate::compare::{DifferenceKind, DifferencePart};
use crate::report::collect::results::TakenBackLines;

use super::ThresholdWatch;
use super::watch::{DiffParts, EndedDelivery, FieldSet};

/// Keys of a line of results that are counted.
#[derive(Deserialize)]
struct ResultsLine<'a> {
    #[serde(default, borrow)]
    id: Cow<'a, str>,
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    target: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    route: Option<Cow<'a, str>>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(default, borrow)]
    shadow: Option<Cow<'a, str>>,
    production: Option<ResultsSide>,
    response: Option<ResultsSide>,
    production_us: Option<u64>,
    service_us: Option<u64>,
    response_us: Option<u64>,
    #[serde(default)]
    differences: Vec<ResultsDifference>,
    body_unknown: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct ResultsSide {
    status: u16,
    damage: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct ResultsDifference {
    #[serde(rename = "in")]
    place: DifferencePart,
    #[serde(default)]
    path: String,
    #[serde(default)]
    kind: DifferenceKind,
}

impl ThresholdWatch {
    /// What the results take back of their own lines: such deliveries count as failed from now on.
    pub fn without(&mut self, taken_back: TakenBackLines) {
        self.taken_back = taken_back;
    }

    /// Counts the delivery of a line of results; other lines are passed over.
    pub fn line(&mut self, line: &[u8]) {
        if TakenBackLines::is_one(line) {
            return;
        }
        let Ok(mut line) = serde_json::from_slice::<ResultsLine<'_>>(line) else { return };
        if line.shadow.as_deref().is_some_and(|url| self.taken_back.has(&line.id, url)) {
            (line.outcome, line.response, line.service_us, line.response_us) = ("failed".into(), None, None, None);
        }
        let (Some(url), Some(target), true) = (&line.shadow, &line.target, matches!(&*line.outcome, "sent" | "failed"))
        else {
            return;
        };
        let status = line.response.as_ref().map(|side| side.status).filter(|_| line.outcome == "sent");
        let differs = line.production.as_ref().filter(|_| status.is_some()).map(|production| {
            let is_in = |place| line.differences.iter().any(|difference| difference.place == place);
            DiffParts {
                status: is_in(DifferencePart::Status),
                headers: is_in(DifferencePart::Header),
                body: is_in(DifferencePart::Body),
                body_unknown: production.damage.is_some() || line.body_unknown.is_some(),
            }
        });
        self.take(
            url,
            &EndedDelivery {
                method: line.method.as_deref().unwrap_or_default().as_bytes(),
                target: target.as_bytes(),
                status,
                service_us: line.service_us,
                response_us: line.response_us,
                production: line.production.as_ref().map(|side| side.status),
                production_us: line.production_us,
                differs,
                together: line.route.as_deref().and_then(|route| {
                    let differences = line.differences.iter();
                    FieldSet::new(route, differences.map(|one| (one.place, one.path.as_str(), one.kind)))
                }),
            },
        );
    }
}

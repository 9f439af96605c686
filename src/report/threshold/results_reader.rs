//! The results of a run, read again: what demands on routes are measured on.

use std::borrow::Cow;

use serde::Deserialize;

use crate::compare::{DifferenceKind, DifferencePart};
use crate::report::collect::results::TakenBackLines;

use super::ThresholdWatch;
use super::watch::{DiffParts, EndedDelivery, FieldSet};

/// Keys of a line of results that are counted.
#[derive(Debug, Deserialize)]
pub(super) struct ResultsLine<'a> {
    #[serde(default, borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) target: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) route: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) outcome: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) rule: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) shadow: Option<Cow<'a, str>>,
    pub(super) production: Option<ResultsSide>,
    pub(super) response: Option<ResultsSide>,
    pub(super) production_us: Option<u64>,
    pub(super) service_us: Option<u64>,
    pub(super) response_us: Option<u64>,
    pub(super) share: Option<f64>,
    #[serde(default)]
    pub(super) differences: Vec<ResultsDifference>,
    pub(super) body_unknown: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ResultsSide {
    pub(super) status: u16,
    pub(super) damage: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ResultsDifference {
    #[serde(rename = "in")]
    pub(super) place: DifferencePart,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    kind: DifferenceKind,
}

impl ResultsDifference {
    /// Returns whether it stands for further differences that are not in the line.
    pub(super) fn is_more(&self) -> bool {
        self.kind == DifferenceKind::More
    }
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

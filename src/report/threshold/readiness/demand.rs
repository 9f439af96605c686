//! What was measured for one demand, and whether it holds by that.

use super::super::bounds::{lower_rank, needed, upper_rank, upper_share};
use super::super::judge::{GateInput, is_error, judge};
use super::super::results_reader::ResultsLine;
use super::super::{LatencyClock, LatencyFigure, Threshold, ThresholdLimit, ThresholdMetric};
use super::ReadinessFinding;
use crate::report::collect::histogram::LatencyHistogram;
use crate::report::units::{duration, number, percent};

/// What was measured for one demand.
#[derive(Clone, Debug, Default)]
pub(super) struct DemandEvidence {
    bad: u64,
    of: u64,
    own: Option<Box<LatencyHistogram>>,
    production: Option<Box<LatencyHistogram>>,
}

/// A delivery, as far as demands ask for it.
pub(super) struct SeenDelivery<'a> {
    pub(super) line: &'a ResultsLine<'a>,
    pub(super) status: Option<u16>,
    pub(super) differs: Option<[bool; 3]>,
    pub(super) body_unknown: bool,
}

impl DemandEvidence {
    pub(super) fn take(&mut self, demand: &Threshold, seen: &SeenDelivery<'_>) {
        let SeenDelivery { line, status, differs, body_unknown } = seen;
        let production = line.production.as_ref().map(|side| side.status);
        let [in_status, in_headers, in_body] = differs.unwrap_or_default();
        let (is_measured, is_bad) = match demand.metric {
            ThresholdMetric::Errors => (true, is_error(*status, production)),
            ThresholdMetric::Status => (differs.is_some(), in_status),
            ThresholdMetric::Header => (differs.is_some(), in_headers),
            ThresholdMetric::Body => (differs.is_some() && !body_unknown, in_body),
            ThresholdMetric::Any => (differs.is_some(), in_status || in_headers || in_body),
            ThresholdMetric::Lost => (false, false),
            ThresholdMetric::Latency(clock, _) => {
                let us = if clock == LatencyClock::Service { line.service_us } else { line.response_us };
                let beside = line.production_us;
                let is_relative = matches!(demand.limit, ThresholdLimit::Production { .. });
                if let Some(us) = us.filter(|_| !is_relative || beside.is_some()) {
                    histogram(&mut self.own).record_us(us);
                    if let Some(beside) = beside.filter(|_| is_relative) {
                        histogram(&mut self.production).record_us(beside);
                    }
                }
                (false, false)
            }
        };
        self.of += u64::from(is_measured);
        self.bad += u64::from(is_measured && is_bad);
    }

    /// The finding on a demand; `None` where it is about none of the deliveries.
    pub(super) fn judge(&self, demand: &Threshold, min_samples: u64, input: &GateInput) -> Option<ReadinessFinding> {
        let (holds, words) = match demand.metric {
            ThresholdMetric::Lost => {
                let gate = judge(demand, min_samples, &[(String::new(), input.clone())]);
                (gate.held, gate.reason)
            }
            ThresholdMetric::Latency(_, figure) => match self.own.as_deref() {
                Some(own) => self.judge_latency(demand, figure, own),
                None if demand.route.is_some() => return None,
                None => (false, "no latency is known on both sides".to_owned()),
            },
            _ if self.of == 0 && demand.route.is_some() => return None,
            _ => self.judge_share(demand),
        };
        let name = demand.to_string();
        let name = name.split(['>', '{']).next().unwrap_or_default().trim().to_owned();
        Some(ReadinessFinding { holds, words: format!("{name}: {words}") })
    }

    fn judge_share(&self, demand: &Threshold) -> (bool, String) {
        let (bad, of) = (self.bad, self.of);
        if of == 0 {
            return (false, "no response could be compared".to_owned());
        }
        let ThresholdLimit::Share(limit) = demand.limit else {
            let limit = if let ThresholdLimit::Count(limit) = demand.limit { limit } else { 0.0 };
            let is_past = if demand.or_equal { bad as f64 >= limit } else { bad as f64 > limit };
            return (!is_past, format!("{} of {}", number(bad), number(of)));
        };
        let (share, upper) = (bad as f64 / of as f64, upper_share(bad, of));
        let is_past = |share: f64| if demand.or_equal { share >= limit } else { share > limit };
        let found = format!("{} of {}", number(bad), number(of));
        if is_past(share) {
            return (false, format!("{} ({found}), the limit is {}", percent(share), percent(limit)));
        }
        let may_be = format!("{found}, may be {}", percent(upper));
        if !is_past(upper) {
            return (true, format!("{may_be} at most, of {}", percent(limit)));
        }
        let needed = match needed(limit) {
            Some(needed) if needed > of => format!("too few for {}: {} at least", percent(limit), number(needed)),
            Some(_) => format!("too few for {}", percent(limit)),
            None => "no number of them shows that there is none".to_owned(),
        };
        (false, format!("{may_be}: {needed}"))
    }

    fn judge_latency(&self, demand: &Threshold, figure: LatencyFigure, own: &LatencyHistogram) -> (bool, String) {
        let none = LatencyHistogram::default();
        let production = self.production.as_deref().unwrap_or(&none);
        let limit_beside = |beside: u64| match demand.limit {
            ThresholdLimit::Production { factor, more } => factor * beside as f64 + more.as_secs_f64() * 1e6,
            ThresholdLimit::Time(time) => time.as_secs_f64() * 1e6,
            ThresholdLimit::Count(limit) | ThresholdLimit::Share(limit) => limit,
        };
        let is_past = |us: u64, limit: f64| if demand.or_equal { us as f64 >= limit } else { us as f64 > limit };
        let measured = figure.of(&own.figures());
        let limit = limit_beside(figure.of(&production.figures()));
        if is_past(measured, limit) {
            return (false, format!("{}, the limit is {}", duration(measured), format_us(limit)));
        }
        let Some(share) = figure.share() else {
            return (true, format!("{} as measured, of {}", duration(measured), format_us(limit)));
        };
        let is_relative = matches!(demand.limit, ThresholdLimit::Production { .. });
        let beside = lower_rank(share, production.count()).map(|rank| production.at_rank(rank));
        let ranks =
            upper_rank(share, own.count()).map(|rank| own.at_rank(rank)).zip(beside.or((!is_relative).then_some(0)));
        let Some((upper, beside)) = ranks else {
            let needed = needed(1.0 - share).unwrap_or_default();
            return (false, format!("{} latencies, too few: {} at least", number(own.count()), number(needed)));
        };
        let limit = limit_beside(beside);
        let may_be = format!("{}, may be {}", duration(measured), duration(upper));
        let than = if is_relative { format!(" (production's may be {})", duration(beside)) } else { String::new() };
        if is_past(upper, limit) {
            (false, format!("{may_be}, too near {}{than}: more latencies would tell", format_us(limit)))
        } else {
            (true, format!("{may_be} at most, of {}{than}", format_us(limit)))
        }
    }
}

fn histogram(slot: &mut Option<Box<LatencyHistogram>>) -> &mut LatencyHistogram {
    slot.get_or_insert_with(|| Box::new(LatencyHistogram::coarse()))
}

fn format_us(us: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
    duration(us.max(0.0) as u64)
}

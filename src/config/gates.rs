//! Gates of a run, checked: each condition must be one that can be evaluated.

use crate::replay::TargetUrl;
use crate::report::threshold::{MAX_DEMANDS, MIN_SAMPLES, Threshold, Thresholds};

use super::mistakes::ConfigMistakes;
use super::{check, typed};

/// What is demanded of a run against these targets, each by its name, where it has one, and its URL.
///
/// # Errors
///
/// Every demand that cannot be read, or is about a target that there is not.
pub fn demands(typed: &typed::Gates, targets: &[(Option<String>, String)]) -> Result<Thresholds, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    let demands = self::checked(typed, targets, &mut mistakes, &mut Vec::new());
    if mistakes.is_empty() { Ok(demands) } else { Err(mistakes) }
}

/// Like [`demands`], but adds mistakes and warnings to existing lists.
pub(super) fn checked(
    typed: &typed::Gates,
    targets: &[(Option<String>, String)],
    mistakes: &mut ConfigMistakes,
    warnings: &mut Vec<String>,
) -> Thresholds {
    if typed.fail_if.len() > MAX_DEMANDS {
        mistakes.add("--fail-if", format!("{} are too many: {MAX_DEMANDS} at most", typed.fail_if.len()));
    }
    if typed.min_samples.is_some() && typed.fail_if.is_empty() {
        warnings.push("--min-samples changes nothing without --fail-if".to_owned());
    }
    let all = check::each("--fail-if", &typed.fail_if, str::parse::<Threshold>, mistakes);
    let all = all.into_iter().filter_map(|demand| mistakes.keep("--fail-if", bound(demand, targets))).collect();
    let least = typed.min_samples.as_deref().and_then(|typed| mistakes.keep("--min-samples", samples(typed)));
    Thresholds { all, min_samples: least.unwrap_or(MIN_SAMPLES) }
}

/// The demand with the URL of its target.
fn bound(demand: Threshold, targets: &[(Option<String>, String)]) -> Result<Threshold, String> {
    let Some(asked) = demand.target() else { return Ok(demand) };
    let url = asked.parse::<TargetUrl>().map_or_else(|_| asked.to_owned(), |url| url.to_string());
    let found = targets.iter().find(|(name, own)| name.as_deref() == Some(asked) || *own == url);
    let Some((_, url)) = found else {
        let known: Vec<&str> = targets.iter().map(|(name, url)| name.as_deref().unwrap_or(url)).collect();
        let known = if known.is_empty() { "no target".to_owned() } else { known.join(", ") };
        return Err(format!("`{demand}`: no target is called `{asked}`; there is {known}"));
    };
    Ok(demand.at(url.clone()))
}

fn samples(typed: &str) -> Result<u64, String> {
    match typed.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{typed}` is not a number of deliveries; write a whole number from 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fail_if: &[&str], min_samples: Option<&str>) -> Result<Thresholds, String> {
        let fail_if = fail_if.iter().map(|typed| (*typed).to_owned()).collect();
        let targets =
            [(Some("new".to_owned()), "https://new.example".to_owned()), (None, "http://other:8080".to_owned())];
        demands(&typed::Gates { fail_if, min_samples: min_samples.map(str::to_owned) }, &targets)
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn targets_are_called_by_name_or_url() {
        let demands = check(
            &[
                "lost{target=\"new\"}>0",
                "lost{target=\"https://new.example/\"}>0",
                "lost{target=\"http://other:8080\"}>0",
            ],
            Some("5"),
        );
        let demands = demands.unwrap();
        let targets: Vec<_> = demands.all.iter().map(|demand| demand.target().unwrap()).collect();
        assert_eq!(targets, ["https://new.example", "https://new.example", "http://other:8080"]);
        assert_eq!(demands.min_samples, 5);
        assert_eq!(check(&[], None), Ok(Thresholds::default()));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let told = check(&["errors<1%", "lost{target=\"old\"}>0"], Some("0")).unwrap_err();
        for part in [
            "--fail-if: `errors<1%`, character 7",
            "no target is called `old`; there is new, http://other:8080",
            "--min-samples: `0`",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let many = vec!["lost>0"; MAX_DEMANDS + 1];
        assert!(check(&many, None).unwrap_err().contains("33 are too many"));
    }
}

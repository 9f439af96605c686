//! The next step of a ramp in HAProxy's words: lines of its runtime API, and lines of its map.
//!
//! What is ready comes in, lines leave. They are only written: nothing is sent to HAProxy.

use std::collections::BTreeMap;

use crate::middleware::Share;
use crate::report::threshold::readiness::{Readiness, RouteReadiness};

/// Largest weight of a server in HAProxy.
const MAX_WEIGHT: u64 = 256;
/// Shares closer than this are the same.
const SAME: f64 = 1e-9;

/// How a share goes to the new stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HaproxyMove {
    /// A value of the map is a backend, which has servers of both stacks: by their weights.
    Weights {
        /// Servers of the new stack.
        new: Vec<String>,
        /// Servers of the old one.
        old: Vec<String>,
    },
    /// A value of the map is a backend, and one of them is the new stack: as a whole, by its name.
    Backend(String),
    /// A value of the map is the share of the new stack, in percent.
    Percents,
}

/// What would take the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// These lines do.
    Ready {
        /// What it does, in words for people.
        words: String,
        /// Lines of the runtime API.
        runtime: Vec<String>,
        /// Lines of the map as they would stand in its file, with their numbers.
        map: Vec<(usize, String)>,
    },
    /// There is none yet, and this is why.
    NotYet(String),
}

impl HaproxyMove {
    /// Returns the next step of everything in the map. `map` is the name by which HAProxy knows the file, and `now` the
    /// share that the new stack gets.
    #[must_use]
    pub fn next(&self, readiness: &Readiness, map: &str, now: Share) -> Vec<NextStep> {
        let routes = &readiness.routes;
        match self {
            Self::Weights { new, old } => {
                let mut backends: BTreeMap<&str, Vec<&RouteReadiness>> = BTreeMap::new();
                for route in routes {
                    backends.entry(&route.value).or_default().push(route);
                }
                backends.into_iter().map(|(name, routes)| weights(name, &routes, (new, old), now)).collect()
            }
            Self::Backend(backend) => routes.iter().map(|route| whole(route, backend, map)).collect(),
            Self::Percents => routes.iter().map(|route| percents(route, map)).collect(),
        }
    }
}

/// The first step above a share, where there is one.
fn step_above(route: &RouteReadiness, now: f64) -> Option<usize> {
    route.steps.iter().position(|step| step.share.0 > now + SAME)
}

/// The next step of a backend: all its routes take it together, since they share its servers.
fn weights(backend: &str, routes: &[&RouteReadiness], (new, old): (&[String], &[String]), now: Share) -> NextStep {
    let first = routes.first().and_then(|route| step_above(route, now.0).map(|step| (*route, step)));
    let Some((route, step)) = first else {
        return NextStep::NotYet(format!("{backend}: {now} is the last step"));
    };
    let share = route.steps.get(step).map_or(now, |step| step.share);
    let missing: Vec<&str> =
        routes.iter().filter(|route| !route.is_ready_up_to(step)).map(|route| route.pattern.as_str()).collect();
    if let Some(first) = missing.first() {
        let rest = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
        return NextStep::NotYet(format!("{backend}: {share} is not ready on {first}{rest}"));
    }
    let Some(percent) = whole_percent(share) else {
        return NextStep::NotYet(format!("{backend}: {share} is ready, but is no whole percent"));
    };
    let (of_new, of_old) = server_weights(percent, new.len(), old.len());
    let line = |server: &String, weight: u64| format!("set weight {backend}/{server} {weight}");
    let runtime = new.iter().map(|server| line(server, of_new)).chain(old.iter().map(|server| line(server, of_old)));
    let words = format!("{backend}: {now} -> {share}");
    NextStep::Ready { words, runtime: runtime.collect(), map: Vec::new() }
}

/// The weights by which so many new servers get this percentage beside so many old ones: numbers of their own, since a percentage
/// of a configured weight of 1 is none.
fn server_weights(percent: u32, new: usize, old: usize) -> (u64, u64) {
    let percent = u64::from(percent.min(100));
    let (mut of_new, mut of_old) = (percent * old.max(1) as u64, (100 - percent) * new.max(1) as u64);
    let most = of_new.max(of_old);
    if most > MAX_WEIGHT {
        // As near as it gets; who is to get something gets something.
        let scaled = |weight: u64| (weight * MAX_WEIGHT).div_ceil(most);
        (of_new, of_old) = (scaled(of_new), scaled(of_old));
    }
    (of_new, of_old)
}

/// The next step of a route that goes over as a whole.
fn whole(route: &RouteReadiness, backend: &str, map: &str) -> NextStep {
    let RouteReadiness { pattern, value, .. } = route;
    if value == backend {
        return NextStep::NotYet(format!("{pattern}: is at {backend}"));
    }
    let all = route.steps.iter().position(|step| step.share.0 >= 1.0 - SAME);
    match all {
        Some(step) if route.is_ready_up_to(step) => {
            change(route, backend, format!("{pattern}: {value} -> {backend}"), map)
        }
        Some(_) => NextStep::NotYet(format!("{pattern}: 100% is not ready, and a value moves all of it")),
        None => NextStep::NotYet(format!("{pattern}: a value moves all of it, and 100% is no step of the ramp")),
    }
}

/// The next step of a route whose value is its share.
fn percents(route: &RouteReadiness, map: &str) -> NextStep {
    let RouteReadiness { pattern, value, .. } = route;
    let Some(now) = value.parse::<u32>().ok().filter(|percent| *percent <= 100) else {
        return NextStep::NotYet(format!("{pattern}: `{value}` is no percentage"));
    };
    let Some(step) = step_above(route, f64::from(now) / 100.0) else {
        return NextStep::NotYet(format!("{pattern}: {now}% is the last step"));
    };
    let share = route.steps.get(step).map_or_else(Share::default, |step| step.share);
    if !route.is_ready_up_to(step) {
        return NextStep::NotYet(format!("{pattern}: {share} is not ready"));
    }
    let Some(percent) = whole_percent(share) else {
        return NextStep::NotYet(format!("{pattern}: {share} is ready, but is no whole percent"));
    };
    change(route, &percent.to_string(), format!("{pattern}: {now}% -> {share}"), map)
}

fn change(route: &RouteReadiness, value: &str, words: String, map: &str) -> NextStep {
    let runtime = vec![format!("set map {} {} {value}", word(map), word(&route.pattern))];
    NextStep::Ready { words, runtime, map: vec![(route.line, format!("{} {value}", route.pattern))] }
}

/// A word of the runtime API: a backslash keeps what would end it, or a command.
fn word(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | ' ' | ';') {
            word.push('\\');
        }
        word.push(letter);
    }
    word
}

fn whole_percent(share: Share) -> Option<u32> {
    let percent = share.0 * 100.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is from 0 to 1")]
    ((percent - percent.round()).abs() < 1e-6).then_some(percent.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::threshold::readiness::{ReadinessFinding, StepReadiness};

    /// A route whose steps of 10 %, 50 % and 100 % are ready as `ready` says.
    fn route(pattern: &str, value: &str, ready: [bool; 3]) -> RouteReadiness {
        let steps = [0.1, 0.5, 1.0].into_iter().zip(ready).map(|(share, holds)| StepReadiness {
            share: Share(share),
            samples: 10,
            findings: vec![ReadinessFinding { holds, words: String::new() }],
            connections: None,
        });
        RouteReadiness {
            pattern: pattern.to_owned(),
            value: value.to_owned(),
            line: 7,
            requests: 10,
            kept_back: BTreeMap::new(),
            steps: steps.collect(),
        }
    }

    fn next(way: &HaproxyMove, routes: Vec<RouteReadiness>, now: f64) -> Vec<Result<Vec<String>, String>> {
        let readiness = Readiness { routes, unmatched: 0, demands: Vec::new() };
        let told = |step| match step {
            NextStep::Ready { runtime, .. } => Ok(runtime),
            NextStep::NotYet(why) => Err(why),
        };
        way.next(&readiness, "/etc/haproxy/a b.map", Share(now)).into_iter().map(told).collect()
    }

    fn servers() -> HaproxyMove {
        HaproxyMove::Weights { new: vec!["cloud".to_owned()], old: vec!["a".to_owned(), "b".to_owned()] }
    }

    #[test]
    fn weights_of_a_backend_follow_the_least_of_its_routes() {
        let (good, half) = ([true; 3], [true, true, false]);
        let routes = || vec![route("^/a", "app", good), route("^/b", "app", half), route("^/c", "other", good)];
        let lines = |name: &str, percent: u32| {
            // One new server beside two old ones.
            let (new, old) = (2 * percent, 100 - percent);
            Ok(vec![
                format!("set weight {name}/cloud {new}"),
                format!("set weight {name}/a {old}"),
                format!("set weight {name}/b {old}"),
            ])
        };
        assert_eq!(next(&servers(), routes(), 0.1), [lines("app", 50), lines("other", 50)]);
        let last = next(&servers(), routes(), 0.5);
        assert_eq!(last, [Err("app: 100% is not ready on ^/b".to_owned()), lines("other", 100)]);
        assert!(next(&servers(), routes(), 1.0).iter().all(Result::is_err));
    }

    #[test]
    fn weights_are_numbers_that_haproxy_takes() {
        assert_eq!(server_weights(25, 1, 1), (25, 75));
        assert_eq!(server_weights(25, 2, 1), (25, 150));
        assert_eq!(server_weights(100, 1, 4), (256, 0));
        assert_eq!(server_weights(1, 20, 1), (1, 256), "few is not none");
        assert_eq!(server_weights(0, 1, 1), (0, 100));
    }

    #[test]
    fn a_step_is_ready_only_where_those_before_it_are() {
        let told = next(&servers(), vec![route("^/a", "app", [false, true, true])], 0.1);
        assert_eq!(told, [Err("app: 50% is not ready on ^/a".to_owned())]);
    }

    #[test]
    fn values_of_maps_are_escaped_as_the_runtime_api_has_it() {
        let good = || route(r"^/a\.b;c$", "10", [true; 3]);
        let told = next(&HaproxyMove::Percents, vec![good(), route("^/b", "100", [true; 3])], 0.0);
        let line = r"set map /etc/haproxy/a\ b.map ^/a\\.b\;c$ 50".to_owned();
        assert_eq!(told, [Ok(vec![line]), Err("^/b: 100% is the last step".to_owned())]);
        let whole = HaproxyMove::Backend("cloud".to_owned());
        let routes = vec![
            route("^/a", "onprem", [true; 3]),
            route("^/b", "onprem", [true, true, false]),
            route("^/c", "cloud", [true; 3]),
        ];
        let told = next(&whole, routes, 0.0);
        assert_eq!(told[0], Ok(vec![r"set map /etc/haproxy/a\ b.map ^/a cloud".to_owned()]));
        assert!(told[1].is_err() && told[2] == Err("^/c: is at cloud".to_owned()));
    }
}

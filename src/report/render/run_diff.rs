//! Two runs held against each other: what got better, what got worse, and what only looks so.
//!
//! Two [`Summary`]s come in, a [`RunDiff`] leaves. A share counts as changed where chance would make such a
//! difference less than three times in a thousand; a latency where it changed by more than a tenth and a millisecond, on enough samples.
//! Where a run kept no schedule (`--speed max`) its latencies are of the load that it made itself: they are shown, and not judged.

use crate::report::schema::by_route::{RouteSummary, RouteTarget};
use crate::report::schema::counts::{self, CountMap, LatencySummary, sum};
use crate::report::schema::fleet::FleetEnd;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::{Differences, TargetSummary};
use crate::report::schema::verdict::Verdict;
use crate::report::units::number;
use crate::report::verdict::speed;

use super::asked::AskedDiff;
use super::diff_row::{DiffRow, LatencyPick, NOTHING, Trend, share_row, time_row};
use super::loads::{Loads, Pacing, rate_words};

/// Ratio from which two rates differ.
const RATE_RATIO: f64 = speed::RATIO;

/// Routes that are listed: those that changed most.
pub(crate) const MAX_ROUTES: usize = 50;

/// Two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDiff {
    /// That the runs were asked for different things, where they were.
    pub asked: Option<String>,
    /// In a sentence.
    pub sentence: String,
    /// The earlier run and the later one.
    pub runs: [RunLine; 2],
    /// Each target of the later run, with the one of the earlier run that it is held against.
    pub targets: Vec<TargetChange>,
}

/// One of the runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLine {
    /// Start time.
    pub started: String,
    /// The verdict on it.
    pub verdict: String,
}

/// Changes at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetChange {
    /// Its URL in the earlier run and in the later one.
    pub urls: [String; 2],
    /// Figures of all requests.
    pub rows: Vec<DiffRow>,
    /// Figures of routes that changed, the greatest change first.
    pub routes: Vec<DiffRow>,
    /// Routes that changed, and are not listed.
    pub more_routes: usize,
    /// Whether latencies are judged: both runs kept a schedule.
    pub judges_latency: bool,
    /// Why latencies are not judged, or of what load they are.
    pub note: Option<String>,
}

impl RunDiff {
    /// Compares one run with the next.
    #[must_use]
    pub fn of(before: &Summary, after: &Summary) -> Self {
        let asked = AskedDiff::of(before, after);
        let targets = after.targets.iter().filter_map(|(url, target)| {
            let (old_url, old) = counterpart(before, url, after.targets.len())?;
            Some(change([(before, old_url, old), (after, url, target)], asked.rules))
        });
        let targets: Vec<TargetChange> = targets.collect();
        let line =
            |summary: &Summary| RunLine { started: summary.started.clone(), verdict: Verdict::of(summary).line() };
        let (asked, sentence) = (asked.sentence(), sentence(&targets));
        Self { asked, sentence, runs: [line(before), line(after)], targets }
    }

    /// Returns whether any figure got worse.
    #[must_use]
    pub(crate) fn is_worse(&self) -> bool {
        self.turned(Trend::Worse) > 0
    }

    fn turned(&self, turn: Trend) -> usize {
        let rows = self.targets.iter().flat_map(|target| target.rows.iter().chain(&target.routes));
        rows.filter(|row| row.turn == turn).count()
    }
}

/// The target of the same URL; where each run has one target, that one.
fn counterpart<'a>(before: &'a Summary, url: &str, targets: usize) -> Option<(&'a String, &'a TargetSummary)> {
    let only = || if before.targets.len() == 1 && targets == 1 { before.targets.iter().next() } else { None };
    before.targets.get_key_value(url).or_else(only)
}

fn sentence(targets: &[TargetChange]) -> String {
    let names = |turn| {
        let rows = targets.iter().flat_map(|target| &target.rows).filter(move |row| row.turn == turn);
        rows.map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (mut worse, better) = (names(Trend::Worse), names(Trend::Better));
    // What is worse on a route alone is worse.
    if worse.is_empty() {
        let of_routes = targets.iter().flat_map(|target| &target.routes).filter(|row| row.turn == Trend::Worse);
        let of_routes: Vec<&str> = of_routes.map(|row| row.name.as_str()).collect();
        worse = match of_routes.as_slice() {
            [] => worse,
            [only] => (*only).to_owned(),
            [first, rest @ ..] => format!("{first}, and {} more by route", rest.len()),
        };
    }
    let found = match (targets.is_empty(), worse.is_empty(), better.is_empty()) {
        (true, ..) => return "The runs have no target in common.".to_owned(),
        (_, true, true) => "No change beyond chance.".to_owned(),
        (_, true, false) => format!("Better: {better}. Nothing got worse."),
        (_, false, true) => format!("Worse: {worse}."),
        (_, false, false) => format!("Worse: {worse}. Better: {better}."),
    };
    if targets.iter().all(|target| target.judges_latency) {
        found
    } else {
        format!("{found} Latencies are not judged.")
    }
}

/// Where other rules compare, no difference is for the better or for the worse.
fn change(sides: [(&Summary, &String, &TargetSummary); 2], other_rules: bool) -> TargetChange {
    let [before, after] = sides;
    let (old, new) = (before.2, after.2);
    let loads = Loads::of(sides.map(|(summary, _, target)| (summary, target)));
    let is_judged = loads.pacing == Pacing::Scheduled;
    let share = |name: &str, of: fn(&TargetSummary) -> (u64, u64)| share_row(name, of(old), of(new));
    let time = |name: &str, of: fn(&TargetSummary) -> &LatencySummary, at| {
        let row = time_row(name, of(old), of(new), at);
        if is_judged { row } else { DiffRow { turn: Trend::Same, ..row } }
    };
    let plain = |name: &str, [old, new]: [u64; 2]| DiffRow {
        name: name.to_owned(),
        before: number(old),
        after: number(new),
        turn: Trend::Same,
    };
    let production = sides.map(|(summary, _, target)| match &target.paired_latency_us {
        Some(pairs) => &pairs.production,
        None => &summary.production.latency_us,
    });
    let lost = [lost(before.0, old), lost(after.0, new)];
    let mut rows = vec![
        plain("requests answered", [old.ended.sent, new.ended.sent]),
        rate_row(&loads),
        share(DIFFERENCES[0], |target| (target.differences.differing(), target.differences.compared)),
        share(DIFFERENCES[1], |target| (target.differences.status, target.differences.compared)),
        headers_row(sides),
        share(DIFFERENCES[3], |target| (target.differences.body, target.differences.compared)),
        share("no response", |target| (sum(&target.ended.failed), target.ended.sent + sum(&target.ended.failed))),
        share("5xx responses", |target| (server_errors(&target.statuses), target.ended.sent)),
    ];
    for (name, at) in PERCENTILES {
        rows.push(time(&format!("response {name}"), |target| &target.latency_us.response, at));
    }
    for (name, at) in TAIL {
        rows.push(time(&format!("service {name}"), |target| &target.latency_us.service, at));
    }
    let [old_production, new_production] = production;
    // Production is not what is judged: its turn is for comparison.
    rows.extend(TAIL.map(|(name, at)| DiffRow {
        turn: Trend::Same,
        ..time_row(&format!("production {name}"), old_production, new_production, at)
    }));
    rows.push(plain("most connections at once", [old.peak_connections, new.peak_connections]));
    if !is_judged {
        rows.push(plain("most in flight at once", loads.in_flight));
    }
    rows.push(plain("lost: frames, gaps, sheds", lost));
    rows.retain(|row| row.before != NOTHING || row.after != NOTHING);
    let judged = JudgedFigures { differences: !other_rules, latencies: is_judged };
    judged.leave_out(&mut rows);
    let mut routes = routes([(before.0, before.1), (after.0, after.1)], judged);
    let more_routes = routes.len().saturating_sub(MAX_ROUTES);
    routes.truncate(MAX_ROUTES);
    TargetChange {
        urls: [before.1.clone(), after.1.clone()],
        rows,
        routes,
        more_routes,
        judges_latency: is_judged,
        note: loads.note(),
    }
}

/// Responses of another status are not compared in headers. Where those that are of another status in one run alone make up
/// for the change, there is none.
fn headers_row([before, after]: [(&Summary, &String, &TargetSummary); 2]) -> DiffRow {
    let share =
        |(_, _, target): (&Summary, &String, &TargetSummary)| (target.differences.headers, target.differences.compared);
    let with_unseen = |run, other| {
        let (some, all) = share(run);
        (some.saturating_add(unseen(run, other)).min(all), all)
    };
    let row = share_row(DIFFERENCES[2], share(before), share(after));
    let least = match row.turn {
        Trend::Better => share_row("", share(before), with_unseen(after, before)).turn,
        Trend::Worse => share_row("", with_unseen(before, after), share(after)).turn,
        Trend::Same => Trend::Same,
    };
    DiffRow { turn: if least == row.turn { row.turn } else { Trend::Same }, ..row }
}

/// Returns how many more responses than in `other` are of another status in `run`: by route, where both have routes.
fn unseen(run: (&Summary, &String, &TargetSummary), other: (&Summary, &String, &TargetSummary)) -> u64 {
    let more = |run: &Differences, other: &Differences| {
        let as_before = u128::from(other.status) * u128::from(run.compared) / u128::from(other.compared.max(1));
        run.status.saturating_sub(u64::try_from(as_before).unwrap_or(u64::MAX))
    };
    let of_route = |route: &RouteSummary| {
        let before = other.0.routes.iter().find(|before| before.route == route.route)?.targets.get(other.1)?;
        Some(more(&route.targets.get(run.1)?.differences, &before.differences))
    };
    let by_route = run.0.routes.iter().filter_map(of_route).fold(0, u64::saturating_add);
    by_route.max(more(&run.2.differences, &other.2.differences))
}

/// What of two runs is judged.
#[derive(Clone, Copy, Debug)]
struct JudgedFigures {
    /// Both were compared by the same rules.
    differences: bool,
    /// Both kept a schedule.
    latencies: bool,
}

impl JudgedFigures {
    /// What was counted by other rules got neither better nor worse.
    fn leave_out(self, rows: &mut [DiffRow]) {
        let is_left_out = |row: &&mut DiffRow| !self.differences && DIFFERENCES.contains(&row.name.as_str());
        rows.iter_mut().filter(is_left_out).for_each(|row| row.turn = Trend::Same);
    }
}

/// Figures of differences.
const DIFFERENCES: [&str; 4] = ["responses that differ", "in status", "in headers", "in body"];

/// Percentiles of the other latencies, and of routes.
const TAIL: [(&str, LatencyPick); 2] = [("p95", |figures| figures.p95), ("p99", |figures| figures.p99)];

/// Percentiles of the response latency that are compared.
const PERCENTILES: [(&str, LatencyPick); 4] =
    [("p50", |figures| figures.p50), TAIL[0], TAIL[1], ("p99.9", |figures| figures.p99_9)];

fn server_errors(statuses: &CountMap) -> u64 {
    statuses.iter().filter(|(status, _)| status.starts_with('5')).map(|(_, count)| count).sum()
}

fn lost(summary: &Summary, target: &TargetSummary) -> u64 {
    let frames = summary.frames.kernel_dropped + summary.frames.interface_dropped;
    let fleet = summary.fleet.as_ref().map_or(0, FleetEnd::lost);
    frames + summary.tcp.gaps + counts::lost(&summary.requests.ended.shed) + counts::lost(&target.ended.shed) + fleet
}

/// Requests a second. Of a target that was asked as fast as it took them they are what it takes.
fn rate_row(loads: &Loads) -> DiffRow {
    let [before, after] = loads.rates.map(|rate| rate.map_or_else(|| NOTHING.to_owned(), rate_words));
    let turn = match loads.judged_ratio() {
        Some(ratio) if ratio < 1.0 / RATE_RATIO => Trend::Worse,
        Some(ratio) if ratio > RATE_RATIO => Trend::Better,
        _ => Trend::Same,
    };
    DiffRow { name: "requests a second".to_owned(), before, after, turn }
}

/// Returns the changes by route: those for the worse first, of these what was answered before how long it took, and of these the
/// ones with the most requests. An earlier run that was added up from its lines has no routes, which says nothing of those of the
/// later one.
fn routes([(before, old_url), (after, new_url)]: [(&Summary, &String); 2], judged: JudgedFigures) -> Vec<DiffRow> {
    if before.routes.is_empty() {
        return Vec::new();
    }
    let old =
        |route: &str| before.routes.iter().find(|old| old.route == route).and_then(|old| old.targets.get(old_url));
    let mut found: Vec<((bool, bool, u64), DiffRow)> = Vec::new();
    for route in &after.routes {
        let Some(target) = route.targets.get(new_url) else { continue };
        let (shares, times) = match old(&route.route) {
            None => (new_route(&route.route, target, judged).into_iter().collect(), Vec::new()),
            Some(old) if judged.latencies => {
                (share_rows(&route.route, old, target, judged), time_rows(&route.route, old, target))
            }
            Some(old) => (share_rows(&route.route, old, target, judged), Vec::new()),
        };
        for (is_share, rows) in [(true, shares), (false, times)] {
            found.extend(rows.into_iter().map(|row| ((row.turn == Trend::Worse, is_share, route.requests), row)));
        }
    }
    found.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    found.into_iter().map(|(_, row)| row).collect()
}

/// Returns the row of a route that the earlier run did not have, where it has differences or failures.
fn new_route(route: &str, target: &RouteTarget, judged: JudgedFigures) -> Option<DiffRow> {
    let wrong = target.differences.differing() + target.failed;
    (wrong > 0 && (judged.differences || target.failed > 0)).then(|| DiffRow {
        name: route.to_owned(),
        before: "not seen".to_owned(),
        after: format!("{} differ or fail", number(wrong)),
        turn: Trend::Worse,
    })
}

/// Returns the shares that changed, the most telling first. A route that differed in something before differs no more often
/// where its status breaks, too: each part is held against the same part of before.
fn share_rows(route: &str, old: &RouteTarget, new: &RouteTarget, judged: JudgedFigures) -> Vec<DiffRow> {
    let row = |name: &str, of: &dyn Fn(&RouteTarget) -> (u64, u64)| {
        let row = share_row(&format!("{route}: {name}"), of(old), of(new));
        (row.turn != Trend::Same).then_some(row)
    };
    let differ = |name, of: fn(&Differences) -> u64| {
        let row = row(name, &|target| (of(&target.differences), target.differences.compared));
        row.filter(|_| judged.differences)
    };
    let found = [
        differ(DIFFERENCES[1], |found| found.status),
        row("5xx responses", &|target| (server_errors(&target.statuses), target.sent)),
        differ(DIFFERENCES[3], |found| found.body),
        differ("differ", Differences::differing),
        row("no response", &|target| (target.failed, target.sent + target.failed)),
    ];
    let mut rows: Vec<DiffRow> = Vec::new();
    for row in found.into_iter().flatten() {
        // What has the figures of another row is the same responses once more.
        let is_new = rows.iter().all(|other| (&other.before, &other.after) != (&row.before, &row.after));
        rows.extend(is_new.then_some(row));
    }
    rows
}

fn time_rows(route: &str, old: &RouteTarget, new: &RouteTarget) -> Vec<DiffRow> {
    let (before, after) = (&old.latency_us.response, &new.latency_us.response);
    let rows = TAIL.map(|(name, at)| time_row(&format!("{route}: {name}"), before, after, at));
    rows.into_iter().filter(|row| row.turn != Trend::Same).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::request::RunRequest;
    use crate::report::schema::target::PairedLatency;

    fn run(url: &str, differing: u64, failed: u64, p99: u64) -> Summary {
        let mut summary = Summary::default();
        (summary.requests.seen, summary.requests.offered) = (10_000, 10_000);
        let mut target = TargetSummary::default();
        target.ended.sent = 10_000 - failed;
        target.ended.failed.insert("timeout".into(), failed);
        target.differences =
            Differences { compared: 10_000 - failed, any: differing, body: differing, ..Differences::default() };
        let times =
            LatencySummary { count: 9_000, p50: 100, p95: p99 / 2, p99, p99_9: 2 * p99, ..LatencySummary::default() };
        target.latency_us.response = times.clone();
        target.schedule_lag_us = Some(LatencySummary::default());
        let mut route = RouteSummary { route: "GET /a".into(), requests: 10_000, ..RouteSummary::default() };
        let mut of_route = RouteTarget { sent: target.ended.sent, failed, ..RouteTarget::default() };
        of_route.differences = target.differences.clone();
        of_route.latency_us.response = times;
        route.targets.insert(url.into(), of_route);
        summary.routes.push(route);
        summary.targets.insert(url.into(), target);
        summary
    }

    #[track_caller]
    fn check(before: &Summary, after: &Summary, sentence: &str, routes: &[&str]) {
        let comparison = RunDiff::of(before, after);
        assert_eq!(comparison.sentence, sentence);
        let names: Vec<&str> = comparison.targets.iter().flat_map(|t| &t.routes).map(|row| row.name.as_str()).collect();
        assert_eq!(names, routes);
    }

    #[test]
    fn what_chance_makes_is_no_change() {
        check(&run("u", 100, 5, 1_000), &run("u", 110, 6, 1_050), "No change beyond chance.", &[]);
        check(&run("u", 0, 0, 1_000), &run("u", 0, 0, 1_000), "No change beyond chance.", &[]);
    }

    #[test]
    fn what_got_worse_or_better_is_named() {
        let sentence = "Worse: responses that differ, in body. Better: response p95, response p99, response p99.9.";
        let routes = ["GET /a: in body", "GET /a: p95", "GET /a: p99"];
        check(&run("u", 100, 0, 10_000), &run("u", 200, 0, 5_000), sentence, &routes);
        check(&run("u", 0, 0, 100), &run("u", 0, 0, 500), "No change beyond chance.", &[]);
        let sentence = "Better: no response. Nothing got worse.";
        check(&run("u", 0, 50, 1_000), &run("u", 0, 0, 1_000), sentence, &["GET /a: no response"]);
    }

    /// Route `GET /a` of one run: 47 responses that differ in a header, or in status, with this class.
    fn route_of(status: bool, class: &str) -> Summary {
        let mut run = run("u", 9_000, 0, 1_000);
        let target = run.routes[0].targets.get_mut("u").unwrap();
        (target.sent, target.statuses) = (47, [(class.to_owned(), 47)].into());
        let (of_status, headers) = if status { (47, 0) } else { (0, 47) };
        target.differences =
            Differences { compared: 47, any: 47, status: of_status, headers, ..Differences::default() };
        run
    }

    #[test]
    fn a_route_whose_status_breaks_is_named_where_it_differed_in_a_header_before() {
        check(&route_of(false, "2xx"), &route_of(true, "4xx"), "Worse: GET /a: in status.", &["GET /a: in status"]);
        let row = &RunDiff::of(&route_of(false, "2xx"), &route_of(true, "4xx")).targets[0].routes[0];
        assert_eq!((row.before.as_str(), row.after.as_str()), ("0.00 % (0)", "100.00 % (47)"));
        // The same responses are named once.
        check(&route_of(false, "2xx"), &route_of(true, "5xx"), "Worse: GET /a: in status.", &["GET /a: in status"]);
    }

    #[test]
    fn headers_that_are_not_looked_at_any_more_did_not_get_better() {
        let of = |status: u64, headers: u64| {
            let mut run = run("u", 9_000, 0, 1_000);
            let found = &mut run.targets.get_mut("u").unwrap().differences;
            (found.status, found.headers) = (status, headers);
            run.routes[0].targets.get_mut("u").unwrap().differences = found.clone();
            run
        };
        let routes = ["GET /a: in status"];
        check(&of(0, 2_000), &of(1_990, 10), "Worse: in status.", &routes);
        check(&of(0, 2_000), &of(500, 10), "Worse: in status. Better: in headers.", &routes);
        check(&of(1_990, 10), &of(0, 2_000), "Better: in status. Nothing got worse.", &routes);
        check(&of(1_000, 10), &of(1_000, 700), "Worse: in headers.", &[]);
        // One route breaks while another one is mended.
        let two = |one: &Summary, other: &Summary| {
            let (mut both, mut second) = (one.clone(), other.routes[0].clone());
            second.route = "GET /b".into();
            both.routes.push(second);
            let total = &mut both.targets.get_mut("u").unwrap().differences;
            let more = &other.targets["u"].differences;
            *total = Differences {
                compared: 20_000,
                any: 18_000,
                status: total.status + more.status,
                headers: total.headers + more.headers,
                body: 18_000,
                ..Differences::default()
            };
            both
        };
        let (before, after) = (two(&of(0, 2_000), &of(2_000, 0)), two(&of(2_000, 0), &of(0, 0)));
        assert!(!RunDiff::of(&before, &after).sentence.contains("Better: in headers"));
    }

    #[test]
    fn a_route_with_another_wrong_status_than_before_is_named_where_that_is_5xx() {
        let sentence = "Worse: GET /a: 5xx responses.";
        check(&route_of(true, "4xx"), &route_of(true, "5xx"), sentence, &["GET /a: 5xx responses"]);
    }

    #[test]
    fn a_route_that_answers_wrong_stands_before_one_that_is_slow_and_busier() {
        let with_slow = |status, p95| {
            let mut found = route_of(status, "2xx");
            let mut slow = run("u", 9_000, 0, p95).routes.remove(0);
            (slow.route, slow.requests) = ("GET /slow".into(), 1_000_000);
            found.routes.push(slow);
            found
        };
        let sentence = "Worse: GET /a: in status, and 2 more by route.";
        let routes = ["GET /a: in status", "GET /slow: p95", "GET /slow: p99"];
        check(&with_slow(false, 10_000), &with_slow(true, 50_000), sentence, &routes);
    }

    #[test]
    fn a_single_target_is_held_against_the_single_one_of_before_whatever_its_url() {
        let comparison = RunDiff::of(&run("http://old", 0, 0, 1), &run("http://new", 0, 0, 1));
        assert_eq!(comparison.targets[0].urls, ["http://old", "http://new"]);
        let mut two = run("http://a", 0, 0, 1);
        two.targets.insert("http://b".into(), TargetSummary::default());
        check(&two, &run("http://c", 0, 0, 1), "The runs have no target in common.", &[]);
    }

    #[test]
    fn production_of_each_run_is_that_of_the_requests_that_both_answered() {
        let with = |all: u64, paired: u64| {
            let figures = |us| LatencySummary { count: 500, p50: us, p99: us, p99_9: us, ..LatencySummary::default() };
            let mut run = run("u", 0, 0, 1_000);
            run.production.latency_us = figures(all);
            let pairs = PairedLatency { production: figures(paired), ..PairedLatency::default() };
            run.targets.values_mut().next().unwrap().paired_latency_us = Some(pairs);
            run
        };
        let found = RunDiff::of(&with(1_000, 3_000), &with(2_000, 5_000));
        let row = found.targets[0].rows.iter().find(|row| row.name == "production p99").unwrap();
        assert_eq!((row.before.as_str(), row.after.as_str()), ("3.00ms", "5.00ms"));
    }

    #[test]
    fn differences_by_other_rules_are_neither_better_nor_worse() {
        let asked = |mut run: Summary, line: &str| {
            run.asked = Some(RunRequest { command_line: format!("shadowtap {line}"), ..RunRequest::default() });
            run
        };
        let (before, after) = (asked(run("u", 900, 50, 1_000), ""), asked(run("u", 0, 0, 1_000), "--ignore header:a"));
        check(&before, &after, "Better: no response. Nothing got worse.", &["GET /a: no response"]);
        let said = RunDiff::of(&before, &after).asked;
        let expected = "The two runs were asked for different things (compare rules): differences are not held against each other.";
        assert_eq!(said.as_deref(), Some(expected));
        assert_eq!(RunDiff::of(&before, &before).asked, None);
    }

    #[test]
    fn a_new_route_is_told_where_something_is_wrong_with_it() {
        let mut before = run("u", 10, 0, 1_000);
        before.routes[0].route = "GET /b".into();
        check(&before, &run("u", 10, 0, 1_000), "Worse: GET /a.", &["GET /a"]);
        check(&before, &run("u", 0, 0, 1_000), "Better: responses that differ, in body. Nothing got worse.", &[]);
    }

    /// Sent as fast as the target took them, with so many at once, in so many seconds.
    fn max(p99: u64, in_flight: u64, seconds: f64) -> Summary {
        let mut summary = run("u", 0, 0, p99);
        summary.duration_s = seconds;
        let target = summary.targets.get_mut("u").unwrap();
        (target.schedule_lag_us, target.peak_in_flight) = (None, in_flight);
        summary
    }

    #[test]
    fn without_a_schedule_the_rate_is_judged_where_as_many_were_at_once_and_no_latency_is() {
        let same = "No change beyond chance. Latencies are not judged.";
        check(&max(10_000, 8, 10.0), &max(50_000, 8, 10.0), same, &[]);
        let worse = "Worse: requests a second. Latencies are not judged.";
        check(&max(10_000, 8, 10.0), &max(50_000, 8, 20.0), worse, &[]);
        let better = "Better: requests a second. Nothing got worse. Latencies are not judged.";
        check(&max(10_000, 8, 10.0), &max(1_000, 8, 5.0), better, &[]);
        check(&max(10_000, 8, 10.0), &max(50_000, 64, 5.0), same, &[]);
        check(&max(10_000, 8, 0.9), &max(10_000, 8, 0.4), same, &[]);
        let note = |before: &Summary, after: &Summary| RunDiff::of(before, after).targets[0].note.clone();
        assert_eq!(
            note(&max(1, 8, 10.0), &max(1, 8, 10.0)).unwrap(),
            "Latencies are not judged: at --speed max each run makes its own load; requests a second say what the target takes."
        );
        assert!(
            note(&max(1, 8, 10.0), &max(1, 64, 10.0))
                .unwrap()
                .contains("8 requests in flight at most before and 64 after")
        );
    }

    #[test]
    fn a_run_without_a_schedule_is_as_little_slower_than_one_with_one() {
        let (scheduled, max) = (run("u", 0, 0, 1_000), max(50_000, 8, 10.0));
        check(&scheduled, &max, "No change beyond chance. Latencies are not judged.", &[]);
        let note = RunDiff::of(&scheduled, &max).targets[0].note.clone().unwrap();
        assert!(note.contains("one run kept a schedule, the other did not"), "{note}");
    }

    #[test]
    fn another_rate_of_a_schedule_is_told_with_the_latencies() {
        let at = |seconds| Summary { duration_s: seconds, ..run("u", 0, 0, 1_000) };
        let note = |before, after| RunDiff::of(&at(before), &at(after)).targets[0].note.clone();
        assert_eq!(note(10.0, 11.0), None);
        assert_eq!(
            note(10.0, 200.0).unwrap(),
            "The load was not the same: 1,000 requests a second before, 50.0 after. Latencies are of that."
        );
    }

    #[test]
    fn of_a_run_without_routes_nothing_is_said_by_route() {
        let mut before = run("u", 10, 0, 1_000);
        before.routes.clear();
        check(&before, &run("u", 10, 0, 1_000), "No change beyond chance.", &[]);
    }
}

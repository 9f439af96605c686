//! The report as a page, in a real browser: what it shows, what it does, and what hostile data cannot make it do.
//!
//! Each trial needs chromium. Where that is not there the trial is ignored, and its name says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

#[path = "support/trials.rs"]
mod trials;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Trial};
use shadowtap::recording::NodeAccount;
use shadowtap::report::render::html::{self, ReportPage};
use shadowtap::report::schema::by_route::{RouteProduction, RouteSummary, RouteTarget, SlowRequest};
use shadowtap::report::schema::carry::{CarryKind, CarrySummary};
use shadowtap::report::schema::curves::{Curves, TargetCurves};
use shadowtap::report::schema::diff_groups::{
    DiffExample, DiffGroup, DiffGroups, ExampleBodies, ExampleBody, ExampleRequest,
};
use shadowtap::report::schema::fleet::{FleetEnd, FleetReplayer, FleetSums};
use shadowtap::report::schema::noise::UnlearntNoise;
use shadowtap::report::schema::target::PairedLatency;
use shadowtap::report::schema::timeline::{TargetPoint, Timeline, TimelinePoint};
use shadowtap::report::{
    Differences, GateResult, LatencySummary, RampStep, RunDiff, StepCause, Summary, TargetSummary,
};

/// The target of every run here.
const URL: &str = "http://new.example:8080";

/// What somebody may have sent to do harm, and what its parts look like on the page.
const HOSTILE: &str = "/a</script><img src=x onerror=alert(1)>\u{202e}\u{0}'\"&amp;";

/// Seconds that a browser gets for a page; it takes one.
const PATIENCE: &str = "60";

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("an empty run is a page that says so", an_empty_run),
        trial("a run is a page with everything in it, and nothing on the console", a_whole_run),
        trial("2,000 routes and 1,200 points are under 5 MB, and the first screen is there", a_huge_run),
        trial("what came off the wire is text on the page, and can be seen", hostile_data),
        trial("drawing again keeps what is open, filtered, sorted and in focus", drawn_again),
        trial("what differs is open for the first, and both bodies stand beside a status", what_differs),
        trial("paper shows what differs, and a link opens its route", paper_and_links),
        trial("what was not sent, or not compared, has a dash and no zero", not_sent),
        trial("what differs comes in the order of the sentences", as_the_sentences_say),
        trial("carried values have their figures, and what did not happen has no row", carried_values),
        trial("the sums of a fleet have their section, and what is not in them is said", sums_of_a_fleet),
        trial("of several targets production is that of each one's requests", production_of_each_target),
        trial("a ratio is that of the requests whose latency is known on both sides", ratios_of_pairs),
        trial("the last, partial second is no point of a curve", a_partial_second),
        trial("noise that is not known is said with what helps", unlearnt_noise),
        trial("nothing scrolls sideways at the width of a phone", a_phone),
        trial("without scripts the verdict and the tables are there", without_scripts),
        trial("two runs side by side are a page without scripts", two_runs),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, run: fn()) -> Trial {
    trials::trial(name, if browser().is_some() { &[] } else { &["chromium"] }, run)
}

fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok())
}

/// What a browser makes of a page, and what it says on its console.
struct Shown {
    dom: String,
    console: Vec<String>,
}

impl Shown {
    #[track_caller]
    fn has(&self, all: &[&str]) {
        for part in all {
            assert!(self.dom.contains(part), "{part:?} is not in {}", self.dom);
        }
    }

    #[track_caller]
    fn is_quiet(&self) {
        assert!(self.console.is_empty(), "{:?}", self.console);
    }
}

fn show(page: &str) -> Shown {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, page).unwrap();
    show_file(&file, folder.path())
}

fn show_file(file: &Path, folder: &Path) -> Shown {
    let output = Command::new("timeout")
        .args([PATIENCE, browser().unwrap(), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .args(["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .args(["--window-size=1400,1000", "--dump-dom", &format!("--user-data-dir={}", folder.join("own").display())])
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Shown { dom: String::from_utf8(output.stdout).unwrap(), console }
}

/// A block of the summary in which these are set. Such a block cannot be written out elsewhere: fields may be added.
macro_rules! filled {
    ($block:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut block = $block::default();
        $(block.$field = $value;)*
        block
    }};
}

/// A page with one more script at its end.
fn probed(summary: &Summary, probe: &str) -> String {
    html::page(ReportPage {
        title: "probed",
        fixed: "",
        data: &html::data(summary),
        scripts: &[html::SCRIPT, probe],
        connects: false,
    })
}

fn figures(us: u64) -> LatencySummary {
    filled!(LatencySummary {
        count: 500,
        min: us / 3,
        mean: us,
        p50: us,
        p90: us * 2,
        p95: us * 3,
        p99: us * 4,
        p99_9: us * 9,
        max: us * 20,
    })
}

fn counts(some: &[(&str, u64)]) -> BTreeMap<String, u64> {
    some.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
}

fn route(name: &str, differing: u64) -> RouteSummary {
    let mut target = filled!(RouteTarget { sent: 500, statuses: counts(&[("2xx", 500)]) });
    target.matrix.insert("200".into(), counts(&[("200", 500 - differing), ("503", differing)]));
    target.differences = filled!(Differences { compared: 500, any: differing, status: differing });
    (target.latency_us.service, target.latency_us.response) = (figures(2_500), figures(3_000));
    filled!(RouteSummary {
        route: name.to_owned(),
        requests: 1_000,
        production: filled!(RouteProduction { statuses: counts(&[("2xx", 500)]), latency_us: figures(2_000) }),
        targets: [(URL.to_owned(), target)].into(),
    })
}

fn kind(route: &str, path: &str, value: &str) -> DiffGroup {
    let example = |n: u32| {
        filled!(DiffExample {
            id: format!("17.{n}"),
            at: "2026-11-21T20:15:00.000000000Z".into(),
            path: path.into(),
            production: value.into(),
            shadow: serde_json::json!({ "price": n, "name": value }),
            statuses: (Some(200), Some(503)),
            bodies: None,
            request: filled!(ExampleRequest { method: "GET".into(), target: route.into(), headers: Vec::new() }),
            curl: format!("curl -sSig --path-as-is '{URL}/a'"),
        })
    };
    filled!(DiffGroup {
        noise: 0,
        target: URL.into(),
        route: route.into(),
        place: "body".into(),
        path: path.into(),
        what: None,
        count: 7,
        examples: (1..=3).map(example).collect(),
    })
}

/// A point a second.
fn timeline(seconds: u64) -> Timeline {
    let point = |second: u64| {
        filled!(TimelinePoint {
            seen: 500 + second % 100,
            share: Some(0.5),
            targets: vec![filled!(TargetPoint {
                sent: 250,
                failed: second % 7,
                p50_us: 4_000,
                p99_us: 16_000 + second,
                connections: Some(20)
            })]
        })
    };
    filled!(Timeline {
        start: "2026-11-21T20:15:00.000000000Z".into(),
        width_s: 1,
        last_s: 1.0,
        targets: vec![URL.into()],
        points: (0..seconds).map(point).collect(),
    })
}

/// A run with something in every part, over this many seconds.
fn run(routes: Vec<RouteSummary>, kinds: Vec<DiffGroup>, seconds: u64) -> Summary {
    let mut summary = Summary::default();
    (summary.version, summary.command) = ("0.1.0".into(), "shadow".into());
    (summary.started, summary.duration_s) = ("2026-11-21T20:15:00.000000000Z".into(), seconds as f64);
    (summary.routes, summary.kinds) = (routes, Some(filled!(DiffGroups { rows: kinds, left_out: 0 })));
    summary.warnings = vec!["a warning".into()];
    summary.gates = vec![filled!(GateResult { gate: "lost>0".into(), value: 0.0, held: true, samples: 5_000 })];
    (summary.requests.seen, summary.requests.offered, summary.requests.ended.sampled_out) = (10_000, 5_000, 5_000);
    summary.production.latency_us = figures(2_000);
    let mut target = TargetSummary::default();
    target.offered = 5_000;
    target.ended.sent = 4_990;
    target.ended.failed.insert("timeout".into(), 10);
    target.matrix.insert("200".into(), counts(&[("200", 4_900), ("503", 90), ("failed", 10)]));
    target.differences = filled!(Differences { compared: 4_990, any: 120, status: 90, body: 30 });
    (target.latency_us.service, target.latency_us.response) = (figures(3_000), figures(4_000));
    summary.targets.insert(URL.into(), target);
    let curve: Vec<(f64, u64)> =
        (0..60_u32).map(|at| (1.0 - 0.9_f64.powf(at.into()), 1_000 + 99 * u64::from(at * at))).collect();
    summary.curves = Some(filled!(Curves {
        production: curve.clone(),
        targets: [(URL.to_owned(), filled!(TargetCurves { service: curve.clone(), response: curve }))].into(),
    }));
    summary.timeline = Some(timeline(seconds));
    summary.steps = vec![filled!(RampStep {
        at: "2026-11-21T20:15:30.000000000Z".into(),
        target: None,
        what: StepCause::Ramp,
        from: 0.1,
        to: 0.5,
        reason: "nothing spoke against it".into(),
    })];
    summary
}

fn small() -> Summary {
    run(
        vec![route("GET /v2/a/{id}", 90), route("GET /b", 0)],
        vec![kind("GET /v2/a/{id}", "$.items[*].price", "x")],
        60,
    )
}

fn an_empty_run() {
    let shown = show(&html::report(&Summary::default()));
    shown.is_quiet();
    shown.has(&["no HTTP/1 request was found in the capture", "<h1>NOTHING SEEN</h1>"]);
}

fn a_whole_run() {
    let shown = show(&html::report(&small()));
    shown.is_quiet();
    for id in ["ledger", "statuses", "latency", "time", "routes", "facts"] {
        shown.has(&[&format!("<section id=\"{id}\"")]);
    }
    shown.has(&[
        "<h1>DIFFERENT</h1>",
        "GET /v2/a/{id}: status 200 -&gt; 503 in 90 of 500",
        "no response to 10 of 5,000: timeout 10",
        "a warning",
        "lost&gt;0",
    ]);
    // The timeline, the curves and the step stand in pictures.
    assert!(shown.dom.matches("<path class=\"l ").count() > 8, "{}", shown.dom);
    shown.has(&["class=\"step\"", "nothing spoke against it"]);
}

fn a_huge_run() {
    let name = |n: u64| format!("GET /v{}/{}/{{id}}/{n}", n % 3, "channels-and-programmes");
    let routes: Vec<RouteSummary> = (0..2_000).map(|n| route(&name(n), n % 50)).collect();
    let kinds = (0..1_000).map(|n| kind(&name(n), "$.items[*].price", &"v".repeat(300))).collect();
    let page = html::report(&run(routes, kinds, 1_200));
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    let shown = show(&page);
    shown.is_quiet();
    shown.has(&["2,000 routes", "Show 240 more", "GET /v1/channels-and-programmes/{id}/49"]);
    // What is not looked at is not made: the page stays quick.
    assert!(shown.dom.matches("<tr").count() < 300);
}

const OPEN_ALL: &str = "for (const b of document.querySelectorAll('td.route button')) b.click(); \
     for (const k of document.querySelectorAll('details.kind')) k.open = true;";

fn hostile_data() {
    let mut summary = run(vec![route(HOSTILE, 3)], vec![kind(HOSTILE, HOSTILE, HOSTILE)], 60);
    summary.warnings = vec![HOSTILE.into()];
    summary.gates[0].gate = HOSTILE.into();
    summary.steps[0].reason = HOSTILE.into();
    summary.requests.ended.filtered = counts(&[(HOSTILE, 3)]);
    let target = summary.targets.remove(URL).unwrap();
    summary.targets.insert(format!("{URL}{HOSTILE}"), target);
    let report = html::report(&summary);
    assert_eq!(report.matches("</script>").count(), 2, "only its own scripts end");
    assert!(!report.split("<script").next().unwrap().contains('\u{202e}'), "text is turned around");
    let look = format!(
        "{OPEN_ALL} document.documentElement.dataset.turned = \
         document.getElementById('report').textContent.includes('\\u202e');"
    );
    for (page, turned) in [(report, ""), (probed(&summary, &look), "data-turned=\"false\"")] {
        let shown = show(&page);
        shown.is_quiet();
        // In the data a `<` is \u003c; anywhere else `<img` would be an element.
        assert!(!shown.dom.contains("<img"), "{}", shown.dom);
        shown.has(&["&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;", "U+202E", "\u{2400}", turned]);
    }
}

fn with_carried() -> Summary {
    let mut summary = small();
    let target = summary.targets.get_mut(URL).unwrap();
    let (mut session, mut token) = (CarrySummary::default(), CarrySummary::default());
    (session.learnt, session.carried, session.waited, session.gave_up) = (1_000, 20_000, 412, 3);
    (session.unknown, session.unknown_values, session.foreign) = (31, 4, 1);
    (token.kind, token.made) = (CarryKind::Jwt, 77);
    let rules = [("session-of-the-shop", session), ("token", token), ("csrf-form", CarrySummary::default())];
    target.carry = rules.map(|(name, counts)| (name.to_owned(), counts)).into();
    target.carry_wait_us = Some(figures(3_000));
    summary
}

fn sums_of_a_fleet() {
    let mut summary = small();
    let replayer = |name: &str, outcomes| filled!(FleetReplayer { name: name.to_owned(), outcomes: outcomes });
    let node =
        filled!(NodeAccount { host: HOSTILE.to_owned(), seen: Some(1_000), ended_there: Some(10), published: 990 });
    let sums = filled!(FleetSums {
        run: "1".to_owned(),
        nodes: vec![node],
        published: 990,
        ended: 900,
        waiting: 70,
        expired: 20,
        replayers: vec![replayer("a (process 1)", Some(860)), replayer("b (process 2)", None)],
        outcomes: 860,
        unaccounted: 40,
    });
    summary.fleet = Some(filled!(FleetEnd { sums: Some(sums) }));
    let shown = show(&html::report(&summary));
    shown.is_quiet();
    shown.has(&[
        "<section id=\"fleet\"",
        "= 10 ended there + 990 published",
        "published = 900 ended + 70 waiting + 20 expired",
        "what expired was never replayed: it is lost",
        "ended = 860 in the summaries of replayers + 40 in none",
        "1 of 2 replayers left no summary",
        ": 860 requests",
    ]);
    assert!(!shown.dom.contains("<img"), "{}", shown.dom);
    shown.has(&["at least ", "not known: 40 outcomes are in no summary"]);
    killed_node(summary);
    assert!(!show(&html::report(&small())).dom.contains("<section id=\"fleet\""));
}

/// A page of a run one of whose nodes was killed.
fn killed_node(mut summary: Summary) {
    let heard = "2026-11-30T22:31:07Z".to_owned();
    let node = filled!(NodeAccount { node: 1, host: "vm".to_owned(), published: 5_999, gone: true, heard: heard });
    summary.fleet = Some(filled!(FleetEnd { sums: Some(filled!(FleetSums { nodes: vec![node], published: 5_999 })) }));
    let shown = show(&html::report(&summary));
    shown.is_quiet();
    shown.has(&[
        "not known: node 1 (vm) did not say what it saw",
        "killed or cut off before it said what it saw; 5,999 published",
        ", last heard of 2026-11-30 22:31:07 UTC",
    ]);
    assert!(!shown.dom.contains("<dd>no frame dropped") && !shown.dom.contains(">not said"), "{}", shown.dom);
}

fn carried_values() {
    let shown = show(&html::report(&with_carried()));
    shown.is_quiet();
    shown.has(&[
        "<section id=\"carried\"",
        "session-of-the-shop",
        "20,000",
        "<th scope=\"row\">requests that waited in vain</th><td class=\"num zero\">0</td><td class=\"num bad\">3</td>",
        "<td class=\"num odd\">0</td><td class=\"num \">1,000</td><td class=\"num soft\">signed here</td>",
        "Requests waited for their value p50 3.00",
    ]);
    assert!(!shown.dom.contains("<th scope=\"row\">values forgotten"), "{}", shown.dom);
    assert!(!show(&html::report(&small())).dom.contains("<section id=\"carried\""));
}

/// Opens, filters and sorts; draws again; says what has not stayed.
const AGAIN: &str = "
    const $ = (selector) => document.querySelector(selector), wrong = [];
    const check = (what, is) => { if (!is) wrong.push(what); };
    const summary = JSON.parse($('#summary').textContent);
    const search = $('input[type=search]');
    search.value = '/v2/'; search.dispatchEvent(new Event('input'));
    check('the filter leaves one route', document.querySelectorAll('td.route').length === 1);
    $('td.route button').click();
    check('a click opens a route', $('tr.detail') !== null && $('td.route button').getAttribute('aria-expanded') === 'true');
    check('the focus stays on its button', document.activeElement === document.body || document.activeElement.dataset.key === 'route GET /v2/a/{id}');
    check('the only kind is open, with its examples', document.querySelectorAll('#routes .example').length === 3);
    [...document.querySelectorAll('th button')].find((b) => b.textContent === 'Requests').click();
    check('the column says how it is sorted', $('th[data-sort=requests]').getAttribute('aria-sort') === 'descending');
    search.focus();
    summary.requests.seen = 77777;
    shadowtap.render(summary, { live: true });
    check('the new figures are there', document.body.textContent.includes('77,777'));
    check('it says that the run goes on', document.body.textContent.includes('so far'));
    check('the filter stays', $('input[type=search]').value === '/v2/');
    check('the route stays open', document.querySelectorAll('#routes .example').length === 3);
    check('the order stays', $('th[data-sort=requests]').getAttribute('aria-sort') === 'descending');
    check('the focus stays', document.activeElement.type === 'search');
    shadowtap.render({ requests: { seen: 0, offered: 0, ended: {} }, production: {}, targets: {} });
    check('a summary with hardly anything is drawn', $('h1') !== null);
    document.documentElement.dataset.probe = wrong.join('; ') || 'all is well';
";

/// A route whose status differs, with both bodies, and one that is slower.
fn with_groups() -> Summary {
    let mut status = kind("GET /v2/a/{id}", "", "x");
    (status.place, status.what, status.count) = ("status".into(), Some("200 → 503".into()), 90);
    let body =
        |text: &str| filled!(ExampleBody { len: 58, content_type: Some("text/html".into()), text: Some(text.into()) });
    for example in &mut status.examples {
        example.bodies =
            Some(filled!(ExampleBodies { production: body("<h1>welcome</h1>"), shadow: body("<h1>maintenance</h1>") }));
    }
    let mut slow = route("GET /slow", 0);
    let target = slow.targets.get_mut(URL).unwrap();
    (target.latency_us.service, target.latency_us.response) = (figures(6_000), figures(6_000));
    target.slowest = vec![filled!(SlowRequest {
        id: "3.77".into(),
        at: "2026-11-21T20:15:00.000000000Z".into(),
        status: Some(200),
        response_us: 309_000,
        curl: format!("curl -sSig --path-as-is '{URL}/slow?n=1'")
    })];
    let mut summary = run(vec![route("GET /v2/a/{id}", 90), slow, route("GET /b", 0)], vec![status], 60);
    // Without a schedule speed is not judged.
    summary.targets.get_mut(URL).unwrap().schedule_lag_us = Some(figures(30));
    summary
}

const GROUPS: &str = "
    const $ = (selector) => document.querySelector(selector), wrong = [];
    const check = (what, is) => { if (!is) wrong.push(what); };
    const groups = [...document.querySelectorAll('#differences details.kind')];
    check('a group a difference', groups.length === 2);
    check('the worst first', groups[0].textContent.includes('200 → 503') && groups[1].textContent.includes('GET /slow'));
    check('the first is open', groups[0].open && !groups[1].open);
    check('both bodies', [...groups[0].querySelectorAll('.sides')][0].textContent.includes('welcome') && groups[0].textContent.includes('<h1>maintenance</h1>'));
    check('a mark', getComputedStyle(groups[0].firstChild, '::before').content.includes('▾') && getComputedStyle(groups[1].firstChild, '::before').content.includes('▸'));
    groups[1].open = true;
    groups[1].dispatchEvent(new Event('toggle'));
    check('the slowest with its command', groups[1].textContent.includes('309') && groups[1].textContent.includes('/slow?n=1'));
    document.documentElement.dataset.probe = wrong.join('; ') || 'all is well';
";

fn what_differs() {
    let summary = with_groups();
    let shown = show(&probed(&summary, GROUPS));
    shown.is_quiet();
    shown.has(&["data-probe=\"all is well\""]);
    let page = html::report(&summary);
    let (fixed, _) = page.split_once("<script").unwrap();
    let shown = show(fixed);
    shown.has(&["What differs", "&lt;h1&gt;welcome&lt;/h1&gt;", "&lt;h1&gt;maintenance&lt;/h1&gt;", "/slow?n=1"]);
}

const PAPER: &str = "
    const $ = (selector) => document.querySelector(selector), wrong = [];
    const check = (what, is) => { if (!is) wrong.push(what); };
    const all = () => [...document.querySelectorAll('#differences details.kind')];
    dispatchEvent(new Event('beforeprint'));
    check('every group is open on paper', all().length === 2 && all().every((one) => one.open && one.children.length > 1));
    check('routes without a difference are left out', !$('#routes').textContent.includes('GET /b'));
    dispatchEvent(new Event('afterprint'));
    check('and shut again', !all()[1].open && $('#routes').textContent.includes('GET /b'));
    const link = [...document.querySelectorAll('.verdict a')].find((a) => a.textContent.includes('GET /slow'));
    check('the sentence has a link', link && link.hash === '#route=' + encodeURIComponent('GET /slow'));
    check('the route has the same', [...document.querySelectorAll('td.route a')].some((a) => a.hash === link.hash));
    location.hash = link.hash;
    shadowtap.follow();
    check('the link opens the route', $('tr.open') && $('tr.open').textContent.includes('GET /slow'));
    document.documentElement.dataset.probe = wrong.join('; ') || 'all is well';
";

fn paper_and_links() {
    let shown = show(&probed(&with_groups(), PAPER));
    shown.is_quiet();
    shown.has(&["data-probe=\"all is well\""]);
}

const NOT_SENT: &str = "
    const wrong = [], check = (what, is) => { if (!is) wrong.push(what); };
    const cell = (route, label) => {
        const rows = [...document.querySelectorAll('#routes tbody tr')];
        return rows.find((row) => row.textContent.includes(route)).querySelector('[data-label=\"' + label + '\"]').textContent;
    };
    check('what was never sent differs in nothing that is known', ['differ', 'no response', '5xx'].every((label) => cell('GET /none', label) === '–'));
    check('what was sent and never compared has a dash', cell('GET /alone', 'differ') === '–' && cell('GET /alone', 'no response') === '0');
    check('what was compared has a count of how many', cell('GET /b', 'differ') === '0' && cell('GET /a', 'differ') === '90 of 500, 18\u{202f}%');
    const ledger = document.querySelector('.ledger').textContent;
    check('a pause is no guard', ledger.includes('5held back by the guard') && ledger.includes('2held back during a pause'));
    check('the share is of what reached it', ledger.includes('took 50.1\u{202f}% of the 9,980 requests that reached it'));
    document.documentElement.dataset.probe = wrong.join('; ') || 'all is well';
";

fn not_sent() {
    let mut never = route("GET /none", 0);
    *never.targets.values_mut().next().unwrap() = filled!(RouteTarget { not_sent: 20 });
    let mut alone = route("GET /alone", 0);
    alone.targets.values_mut().next().unwrap().differences = Differences::default();
    let mut summary = run(vec![route("GET /a", 90), route("GET /b", 0), never, alone], vec![], 10);
    summary.sample.asked = 0.5;
    (summary.sample.decided, summary.sample.requests) = (9_980, Some(0.501));
    let target = summary.targets.values_mut().next().unwrap();
    (target.ended.guard_held, target.paused) = (7, 2);
    let shown = show(&probed(&summary, NOT_SENT));
    shown.is_quiet();
    shown.has(&["data-probe=\"all is well\""]);
}

const ORDER: &str = "
    const wrong = [], check = (what, is) => { if (!is) wrong.push(what); };
    const groups = [...document.querySelectorAll('#differences details.kind > summary')].map((one) => one.textContent);
    const said = [...document.querySelectorAll('.verdict li')].map((one) => one.textContent);
    check('the first group is what the first sentence says: ' + said[0], groups[0].includes('GET /far') && said[0].includes('GET /far'));
    const table = document.querySelector('#differences details.kind table').textContent;
    check('the percentile by which it is slower is in its table', groups[0].includes('p95') && table.includes('p95'));
    document.documentElement.dataset.probe = wrong.join('; ') || 'all is well';
";

/// Of the routes that are alike the sentence names the one that is slower by most, whatever is asked more often.
fn as_the_sentences_say() {
    let slow = |name: &str, us: u64, count: u64| {
        let mut slow = route(name, 0);
        let target = slow.targets.values_mut().next().unwrap();
        (target.latency_us.service, target.latency_us.response) = (figures(us), figures(us));
        for one in [&mut target.latency_us.service, &mut slow.production.latency_us] {
            one.count = count;
        }
        slow
    };
    let near = ["/a", "/b", "/c", "/d", "/e"].map(|path| slow(&format!("GET {path}"), 60_000, 500));
    let mut summary = run([&near[..], &[slow("GET /far", 900_000, 450)]].concat(), vec![], 10);
    let target = summary.targets.values_mut().next().unwrap();
    target.schedule_lag_us = Some(figures(10));
    let shown = show(&probed(&summary, ORDER));
    shown.is_quiet();
    shown.has(&["data-probe=\"all is well\""]);
}

/// The page's ratios, and its table of routes without scripts.
fn ratios_of_pairs() {
    let pairs = || {
        Some(filled!(PairedLatency { production: figures(2_000), service: figures(4_000), response: figures(6_000) }))
    };
    let mut route = route("GET /paired", 0);
    route.production.latency_us = figures(500);
    let target = route.targets.get_mut(URL).unwrap();
    (target.latency_us.response, target.paired_latency_us) = (figures(700), pairs());
    let mut summary = run(vec![route], vec![], 60);
    summary.production.latency_us = figures(500);
    let target = summary.targets.get_mut(URL).unwrap();
    (target.latency_us.response, target.paired_latency_us) = (figures(700), pairs());
    let probe = "
        const rows = [...document.querySelectorAll('#latency table tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent));
        document.documentElement.dataset.probe = rows.find((row) => row[0] === 'p95').at(-1).replace(/\\s/g, '');
    ";
    let shown = show(&probed(&summary, probe));
    shown.is_quiet();
    shown.has(&["data-probe=\"3.0×\""]);
    let page = html::report(&summary);
    let row = page.split("<td class=\"wire\">GET /paired</td>").nth(1).unwrap().split("</tr>").next().unwrap();
    assert!(row.contains(">6.00ms</td>") && row.contains(">18.0ms</td>"), "p95 of the pairs: {row}");
}

/// Of several targets production is that of each one's own requests, as in the text.
fn production_of_each_target() {
    let mut summary = run(vec![route("GET /a", 0)], vec![], 60);
    summary.production.latency_us = figures(500);
    let target = summary.targets.get_mut(URL).unwrap();
    target.paired_latency_us =
        Some(filled!(PairedLatency { production: figures(2_000), service: figures(4_000), response: figures(6_000) }));
    let other = target.clone();
    target.ended.failed.insert("timeout".into(), 100_000);
    summary.targets.insert("http://other".into(), other);
    let probe = "
        const rows = [...document.querySelectorAll('#latency table tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent));
        document.documentElement.dataset.probe = rows.find((row) => row[0] === 'p50')[1].replace(/\\s/g, '');
    ";
    let shown = show(&probed(&summary, probe));
    shown.is_quiet();
    shown.has(&["data-probe=\"2.00ms\"", "100,000 of these timed out"]);
}

fn a_partial_second() {
    let ends = |seconds, last_s| {
        let mut summary = run(vec![], vec![], seconds);
        summary.timeline.as_mut().unwrap().last_s = last_s;
        let shown = show(&probed(&summary, ""));
        shown.is_quiet();
        let curves = shown.dom.split("<path class=\"l production\" d=\"").skip(1);
        let mut curves = curves.filter_map(|rest| rest.split('"').next()).filter(|curve| curve.contains('L'));
        // After the curve by percentile.
        curves.nth(1).unwrap().matches('L').count() + 1
    };
    assert_eq!((ends(3, 1.0), ends(3, 0.3), ends(4, 0.99)), (3, 2, 4));
}

fn unlearnt_noise() {
    let mut summary = small();
    summary.noise_unlearnt = vec![filled!(UnlearntNoise { target: URL.into(), routes: 1, responses: 30 })];
    let shown = show(&html::report(&summary));
    shown.is_quiet();
    shown.has(&["Noise that is not known", "30 responses differ", "--self-check 10% or --baseline URL"]);
}

fn drawn_again() {
    let shown = show(&probed(&small(), AGAIN));
    shown.is_quiet();
    shown.has(&["data-probe=\"all is well\""]);
}

fn a_phone() {
    let mut summary = run(vec![route(&format!("GET /{}", "a-very-long-route/".repeat(20)), 90)], vec![], 60);
    summary.targets = with_carried().targets;
    let mut page = probed(
        &summary,
        &format!("{OPEN_ALL} document.documentElement.dataset.width = document.documentElement.scrollWidth;"),
    );
    page = page.replace('&', "&amp;").replace('"', "&quot;");
    // A browser's window has a least width; a frame has not.
    let outer = format!(
        "<!doctype html><iframe style=\"width:390px;height:900px;border:0\" srcdoc=\"{page}\"></iframe><script>\
         onload = () => document.documentElement.dataset.width = document.querySelector('iframe').contentDocument.documentElement.dataset.width;\
         </script>"
    );
    let shown = show(&outer);
    shown.is_quiet();
    let width = shown.dom.split("data-width=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(width.parse::<u32>().unwrap() <= 390, "{width} pixels");
}

fn without_scripts() {
    let whole = html::report(&small());
    let (page, rest) = whole.split_once("<script").unwrap();
    assert!(rest.contains("shadowtap"));
    let shown = show(page);
    shown.is_quiet();
    shown.has(&["<h1>DIFFERENT</h1>", "GET /v2/a/{id}", "500", "responses differ in status", "10,000"]);
}

fn two_runs() {
    let (before, mut after) = (small(), small());
    let target = after.targets.get_mut(URL).unwrap();
    (target.differences.any, target.differences.status) = (2_000, 2_000);
    let page = html::against(&RunDiff::of(&before, &after));
    assert!(!page.contains("<script>"));
    let shown = show(&page);
    shown.is_quiet();
    shown.has(&["Worse: responses that differ, in status.", "▼ worse", "40.08 % (2,000)"]);
}

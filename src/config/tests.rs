use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// An empty but valid pcap file: magic, version 2.4, snap length, Ethernet.
const EMPTY_PCAP: [u8; 24] = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];

fn capture_in(folder: &Path) -> PathBuf {
    let file = folder.join("a.pcap");
    fs::write(&file, EMPTY_PCAP).unwrap();
    file
}

/// Returns the mistakes after a change to a valid command line.
fn reported(change: impl FnOnce(&mut typed::Replay)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut typed = good(folder.path());
    change(&mut typed);
    match replay(typed) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
    }
}

fn good(folder: &Path) -> typed::Replay {
    let capture = typed::Capture { files: vec![capture_in(folder)], ..typed::Capture::default() };
    let send = typed::Send { to: all("http://staging:8080"), ..typed::Send::default() };
    typed::Replay { capture, send, ..typed::Replay::default() }
}

fn config(change: impl FnOnce(&mut typed::Replay)) -> RunConfig {
    let folder = tempfile::tempdir().unwrap();
    let mut typed = good(folder.path());
    change(&mut typed);
    replay(typed).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn check(change: impl FnOnce(&mut typed::Replay), words: &[&str]) {
    let told = reported(change);
    assert_eq!(told.len(), 1, "{told:?}");
    for word in words {
        assert!(told[0].contains(word), "{word} is not in {told:?}");
    }
}

fn all(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn what_is_not_typed_has_a_default() {
    let config = config(|_| {});
    assert_eq!(config.run.middleware.sample, middleware::Share(1.0));
    assert_eq!(config.run.targets[0].pace, replay::Pace::Speed(1.0));
    assert_eq!(config.run.targets[0].timeout, Duration::from_secs(30));
    assert_eq!(config.run.targets[0].drain, Duration::from_secs(5));
    assert!(!config.run.middleware.allow_writes && !config.run.targets[0].insecure && config.warnings.is_empty());
}

#[test]
fn what_is_typed_is_taken() {
    let config = config(|typed| {
        typed.capture.ports = vec!["80, 8080".into(), "443".into()];
        typed.select.sample = Some("0.5%".into());
        typed.select.sample_by = Some("cookie:sid".into());
        typed.select.allow_methods = all("GET,HEAD");
        typed.pace.rate = Some("500/s".into());
        typed.send.timeout = Some("1.5m".into());
        typed.send.max_in_flight = Some("7".into());
    });
    assert_eq!(config.run.capture.ports, [80, 8080, 443]);
    assert_eq!(config.run.middleware.sample_by, middleware::SampleKey::Cookie("sid".into()));
    assert_eq!(config.run.middleware.allow_methods, ["GET", "HEAD"]);
    assert_eq!((config.run.targets[0].pace, config.run.targets[0].max_in_flight), (replay::Pace::Rate(500.0), 7));
    assert_eq!(config.run.targets[0].timeout, Duration::from_secs(90));
    assert_eq!(config.run.targets[0].max_time, Duration::from_secs(900), "ten times as long");
}

#[test]
fn every_mistake_is_told_at_once() {
    let told = reported(|typed| {
        typed.capture.files.push("no/such.pcap".into());
        typed.capture.ports = all("80,0,x");
        typed.capture.bpf = Some("tcp prt 80".into());
        typed.select.sample = Some("150%".into());
        typed.select.seed = Some("-1".into());
        typed.select.allow_paths = all("/a(");
        typed.send.to = all("staging:8080");
        typed.send.timeout = Some("30".into());
        typed.send.max_time = Some("0s".into());
        typed.send.max_in_flight = Some("0".into());
        typed.report.summary = Some("no/such/folder/s.json".into());
    });
    for begin in [
        "--port: `0`",
        "--port: `x`",
        "--sample: `150%`",
        "--seed: `-1`",
        "--allow-path: `/a(`",
        "--to: `staging:8080`",
        "--timeout: `30`",
        "--max-time: no response is whole in no time",
        "--max-in-flight: `0`",
        "--summary: cannot write",
        "cannot open no/such.pcap",
        "--bpf: ",
    ] {
        assert_eq!(told.iter().filter(|line| line.starts_with(begin)).count(), 1, "{begin}: {told:#?}");
    }
    assert_eq!(told.len(), 12, "{told:#?}");
}

#[test]
fn without_a_target_the_flag_is_named() {
    check(|typed| typed.send.to = Vec::new(), &["--to: ", "http://staging:8080"]);
}

#[test]
fn speed_and_rate_contradict_each_other() {
    let both = |typed: &mut typed::Replay| {
        typed.pace.speed = Some("2x".into());
        typed.pace.rate = Some("5/s".into());
    };
    check(both, &["--speed and --rate: contradict"]);
}

#[test]
fn what_is_followed_has_no_pace() {
    let told = reported(|typed| {
        typed.follow.follow = true;
        typed.pace.rate = Some("5/s".into());
    });
    assert!(told[0].starts_with("--follow: sends each request as soon as it is there"), "{told:?}");
}

#[test]
fn a_write_allowed_by_name_needs_writes_allowed() {
    check(|typed| typed.select.allow_methods = all("GET,DELETE"), &["DELETE", "--allow-writes"]);
    check(|typed| typed.select.allow_methods = all("get"), &["--allow-method get", "write GET"]);
    config(|typed| {
        typed.select.allow_methods = all("DELETE");
        typed.writes.allow_writes = true;
    });
}

#[test]
fn a_write_allowed_by_name_may_be_one_that_a_chain_file_lets_pass() {
    let folder = tempfile::tempdir().unwrap();
    let with = |when: &str, methods: &str| {
        let file = folder.path().join("chain.toml");
        fs::write(&file, format!("[[link]]\nallow-writes = {when}\n")).unwrap();
        let (file, methods) = (file, all(methods));
        move |typed: &mut typed::Replay| {
            typed.middleware.filters = vec![file];
            typed.select.allow_methods = methods;
        }
    };
    config(with("true", "DELETE"));
    config(with("{ path = \"^/v2/\" }", "DELETE,GET"));
    config(with("{ method = [\"PUT\", \"DELETE\"], path = \"^/v2/\" }", "DELETE"));
    config(with("{ not = { method = \"PUT\" } }", "DELETE"));
    for never in [
        "{ method = \"PUT\" }",
        "{ not = { method = \"DELETE\" } }",
        "{ not = { any = [{ path = \"/\" }, { method = \"DELETE\" }] } }",
    ] {
        check(with(never, "DELETE"), &["--allow-method DELETE", "writes are kept back"]);
    }
    let unreadable = reported(|typed| {
        typed.middleware.filters = vec![folder.path().join("none.toml")];
        typed.select.allow_methods = all("DELETE");
    });
    assert_eq!(unreadable.len(), 1, "what a file may allow is not guessed at: {unreadable:?}");
}

#[test]
fn setting_and_removing_the_same_name_is_a_contradiction() {
    let header = |typed: &mut typed::Replay| {
        typed.middleware.set_headers = all("X-A: 1");
        typed.middleware.remove_headers = all("x-a");
    };
    check(header, &["--set-header and --remove-header", "x-a"]);
    let cookie = |typed: &mut typed::Replay| {
        typed.middleware.set_cookies = all("a=1");
        typed.middleware.remove_cookies = all("a");
    };
    check(cookie, &["--set-cookie and --remove-cookie", "`a`"]);
}

#[test]
fn two_outputs_cannot_share_a_place() {
    let both = |typed: &mut typed::Replay| {
        typed.report.summary = Some("-".into());
        typed.report.results = Some("-".into());
    };
    check(both, &["--summary and --results", "standard output"]);
}

#[test]
fn neither_the_capture_nor_earlier_results_are_overwritten_by_themselves() {
    check(|typed| typed.report.results = Some(typed.capture.files[0].clone()), &["--results", "overwritten"]);
    let folder = tempfile::tempdir().unwrap();
    let earlier = folder.path().join("run.jsonl");
    std::fs::write(&earlier, "{}").unwrap();
    check(|typed| typed.report.results = Some(earlier.clone()), &["--results", "with --force"]);
}

#[test]
fn standard_input_is_not_touched_while_there_are_other_mistakes() {
    let twice = |typed: &mut typed::Replay| typed.capture.files = vec!["-".into(), "-".into()];
    check(twice, &["standard input can be read once only"]);
}

#[test]
fn a_sample_of_mirrored_connections_takes_whole_ones_unless_it_is_said_otherwise() {
    use middleware::SampleKey::{ClientIp, Connection, Request};
    for (connections, by, expected) in [
        (Some("mirrored"), None, Connection),
        (Some("mirrored"), Some("request"), Request),
        (Some("mirrored"), Some("client-ip"), ClientIp),
        (None, None, Request),
    ] {
        let config = config(|typed| {
            typed.send.connections = connections.map(str::to_owned);
            typed.select.sample = Some("50%".into());
            typed.select.sample_by = by.map(str::to_owned);
        });
        assert_eq!(config.run.middleware.sample_by, expected);
    }
}

#[test]
fn a_sample_that_tears_carried_sessions_apart_is_warned_of() {
    let warnings = |sample: &str, by: Option<&str>, chain: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        fs::write(&file, chain).unwrap();
        let config = config(|typed| {
            typed.middleware.filters = vec![file];
            typed.select.sample = Some(sample.into());
            typed.select.sample_by = by.map(str::to_owned);
        });
        config.warnings
    };
    let carry = "[[link]]\ncarry = \"s\"\nfrom = { set-cookie = \"sid\" }\n";
    for (sample, by, chain, expected) in [
        ("10%", None, carry, true),
        ("10%", Some("cookie:sid"), carry, true),
        ("10%", Some("client-ip"), carry, false),
        ("100%", None, carry, false),
        ("10%", None, "[[link]]\ndrop = { path = \"^/x\" }\n", false),
    ] {
        let told = warnings(sample, by, chain);
        let is_told = told.iter().any(|warning| warning.contains("--sample-by client-ip"));
        assert_eq!((is_told, told.len()), (expected, usize::from(expected)), "{sample} {by:?} {told:?}");
    }
}

#[test]
fn what_is_pointless_is_warned_of_and_done() {
    let config = config(|typed| {
        typed.send.insecure = true;
        typed.select.sample_by = Some("connection".into());
    });
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn a_host_is_either_kept_or_changed() {
    let set = |typed: &mut typed::Replay| typed.middleware.set_headers = all("Host: h");
    let removed = |typed: &mut typed::Replay| typed.middleware.remove_headers = all("host");
    for change in [set as fn(&mut typed::Replay), removed] {
        let keep = |typed: &mut typed::Replay| {
            typed.send.keep_host = true;
            change(typed);
        };
        check(keep, &["--keep-host and "]);
    }
}

#[test]
fn a_host_that_is_set_is_kept() {
    let config = config(|typed| typed.middleware.set_headers = all("host: www.example.com"));
    // It is the pipeline that keeps it, for the chain says so; the flag is another matter.
    assert!(config.run.middleware.sets_host() && !config.run.targets[0].keep_host);
}

/// Checks a replay with this chain file, which is `F` in messages.
fn filtered(text: &str, change: impl FnOnce(&mut typed::Replay)) -> Result<RunConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.toml");
    fs::write(&file, text).unwrap();
    let mut typed = good(folder.path());
    typed.middleware.filters = vec![file.clone()];
    change(&mut typed);
    replay(typed).map_err(|mistakes| mistakes.to_string().replace(&file.display().to_string(), "F"))
}

#[test]
fn chain_files_are_read_and_their_mistakes_told_with_all_others() {
    let good = filtered("[[link]]\nset-host = \"new\"\n", |_| {}).unwrap_or_else(|told| panic!("{told}"));
    assert_eq!((good.run.middleware.files.len(), good.run.middleware.sets_host()), (1, true));
    let sample = |typed: &mut typed::Replay| typed.select.sample = Some("2".into());
    let Err(told) = filtered("[[link]]\ndorp = 1\n[[link]]\nonly = 1\n", sample) else { panic!("it was taken") };
    let begins = ["F:2:1: `dorp` means", "F:4:8: a table is wanted", "--sample: "];
    assert_eq!(told.lines().count(), begins.len(), "{told}");
    assert!(begins.iter().all(|begin| told.lines().any(|line| line.starts_with(begin))), "{told}");
}

#[test]
fn a_chain_file_that_changes_the_host_contradicts_keep_host() {
    let keep = |typed: &mut typed::Replay| typed.send.keep_host = true;
    let Err(told) = filtered("[[link]]\nset-host = \"new\"\n", keep) else { panic!("it was taken") };
    assert!(told.starts_with("--keep-host and --filters: contradict each other"), "{told}");
}

#[test]
fn a_limit_is_a_number_of_requests_in_a_time() {
    assert!(config(|typed| typed.middleware.limit = Some("500/s".into())).run.middleware.limit.is_some());
    check(|typed| typed.middleware.limit = Some("500".into()), &["--limit: `500` is no limit", "500/s"]);
}

#[test]
fn values_name_what_a_request_has() {
    config(|typed| typed.middleware.set_headers = all("X-Forwarded-For: {client.ip}"));
    check(
        |typed| typed.middleware.set_headers = all("X: {client_ip}"),
        &["--set-header: ", "did you mean `{client.ip}`"],
    );
    check(|typed| typed.middleware.set_cookies = all("x={runs}"), &["--set-cookie: ", "did you mean `{run}`"]);
}

#[test]
fn two_runs_have_two_names_and_two_keys() {
    let (one, other) = (config(|_| {}).run.middleware.run, config(|_| {}).run.middleware.run);
    assert!(one.id != other.id && one.key != other.key);
}

#[test]
fn durations_have_a_number_and_a_unit() {
    for (typed, millis) in
        [("500ms", 500), ("30s", 30_000), ("1.5m", 90_000), ("1h", 3_600_000), ("0s", 0), ("1h30m", 5_400_000)]
    {
        assert_eq!(check::duration(typed), Ok(Duration::from_millis(millis)));
    }
    for wrong in ["", "s", "30", "-1s", "1e9s", "inf s", "infs", "25h", "."] {
        assert!(check::duration(wrong).is_err(), "{wrong}");
    }
}

fn inspected(change: impl FnOnce(&mut typed::Inspect)) -> Result<InspectConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let capture = typed::Capture { files: vec![capture_in(folder.path())], ..typed::Capture::default() };
    let mut typed = typed::Inspect { capture, ..typed::Inspect::default() };
    change(&mut typed);
    inspect(typed).map_err(|mistakes| mistakes.to_string())
}

fn view(change: impl FnOnce(&mut typed::Inspect)) -> InspectView {
    inspected(change).unwrap_or_else(|mistakes| panic!("{mistakes}")).view
}

#[track_caller]
fn inspect_refuses(change: impl FnOnce(&mut typed::Inspect), begin: &str) {
    let told = inspected(change).map(|config| config.view).unwrap_err();
    assert!(told.starts_with(begin) && told.lines().count() == 1, "{told}");
}

#[test]
fn inspect_prints_lines_unless_only_the_summary_is_wanted() {
    assert_eq!(view(|_| {}), InspectView::Lines);
    assert_eq!(view(|typed| typed.summary = Some("-".into())), InspectView::Nothing);
    assert_eq!(view(|typed| typed.json = true), InspectView::JsonLines { full: false });
    assert_eq!(view(|typed| typed.stats = true), InspectView::Stats { json: false });
    let json_forecast = |typed: &mut typed::Inspect| (typed.forecast, typed.json) = (true, true);
    assert_eq!(view(json_forecast), InspectView::Forecast { json: true });
}

#[test]
fn views_of_inspect_that_exclude_each_other_are_told() {
    inspect_refuses(|typed| typed.full = true, "--full: ");
    inspect_refuses(|typed| (typed.full, typed.json, typed.stats) = (true, true, true), "--full: ");
    inspect_refuses(|typed| (typed.stats, typed.forecast) = (true, true), "--stats and --forecast: ");
    let printed: [fn(&mut typed::Inspect); 3] =
        [|typed| typed.json = true, |typed| typed.stats = true, |typed| typed.forecast = true];
    for print in printed {
        let mixed = |typed: &mut typed::Inspect| {
            typed.summary = Some("-".into());
            print(typed);
        };
        inspect_refuses(mixed, "--summary -: ");
    }
}

#[test]
fn a_forecast_has_shares_and_lines_of_its_own() {
    for (flag, change) in [
        ("--sample and --forecast: ", (|typed| typed.select.sample = Some("50%".into())) as fn(&mut typed::Inspect)),
        ("--sample-by and --forecast: ", |typed| typed.select.sample_by = Some("client-ip".into())),
        ("--status and --forecast: ", |typed| typed.status = Some("5xx".into())),
    ] {
        let both = |typed: &mut typed::Inspect| {
            typed.forecast = true;
            change(typed);
        };
        inspect_refuses(both, flag);
    }
    let seeded = inspected(|typed| {
        typed.forecast = true;
        typed.select.seed = Some("7".into());
    });
    let seeded = seeded.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!((seeded.select.seed, seeded.warnings.len()), (7, 0));
}

#[test]
fn inspect_chooses_requests_by_the_flags_of_a_replay_and_writes_are_seen() {
    let chosen = inspected(|typed| {
        typed.select.allow_methods = all("POST,DELETE");
        typed.select.allow_paths = all("^/v2/");
        typed.select.sample = Some("50%".into());
        typed.status = Some("404,5xx".into());
    });
    let chosen = chosen.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(chosen.select.allow_methods, ["POST", "DELETE"]);
    assert_eq!(chosen.select.sample, middleware::Share(0.5));
    assert!(chosen.status.unwrap().has(Some(503)) && chosen.warnings.is_empty());
    inspect_refuses(|typed| typed.status = Some("5yy".into()), "--status: `5yy` is no status");
    inspect_refuses(|typed| typed.select.allow_paths = all("a("), "--allow-path: ");
}

#[test]
fn what_changes_nothing_in_inspect_is_warned_of() {
    let warned = inspected(|typed| {
        typed.summary = Some("-".into());
        typed.status = Some("5xx".into());
        typed.select.seed = Some("7".into());
    });
    assert_eq!(warned.unwrap_or_else(|mistakes| panic!("{mistakes}")).warnings.len(), 2);
}

#[test]
fn the_client_its_connections_and_its_trust_are_taken_as_typed() {
    let config = config(|typed| {
        typed.send.to = vec!["https://staging".into()];
        typed.send.connections = Some("mirrored".into());
        typed.send.max_connections = Some("500".into());
        typed.send.max_response = Some("64M".into());
        typed.send.resolve_every = Some("5s".into());
        typed.send.cert = Some("own.pem".into());
    });
    let target = &config.run.targets[0];
    assert_eq!((target.client, target.connections), (replay::ClientChoice::Wire, replay::ConnectionMode::Mirrored));
    assert_eq!((target.max_connections, target.max_response), (Some(500), 64 << 20));
    assert_eq!(
        (target.resolve_every, target.trust.cert.as_deref()),
        (Duration::from_secs(5), Some(Path::new("own.pem")))
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn http_2_is_for_reqwest_and_proxies_are_for_both() {
    fn asked(
        http2: bool,
        proxy: Option<&str>,
        change: impl FnOnce(&mut typed::Replay),
    ) -> impl FnOnce(&mut typed::Replay) {
        let proxy = proxy.map(str::to_owned);
        move |typed| {
            typed.send.client = Some("reqwest".into());
            typed.send.http2 = http2;
            typed.send.proxy = proxy;
            change(typed);
        }
    }
    let config = config(asked(true, Some("socks5://proxy:1080"), |_| {}));
    let target = &config.run.targets[0];
    assert_eq!((target.http2, target.proxy.as_ref().unwrap().to_string().as_str()), (true, "socks5://proxy:1080"));
    assert_eq!(target.places(), target.max_in_flight, "a connection carries many requests");
    let wire = |typed: &mut typed::Replay| typed.send.client = None;
    check(asked(true, None, wire), &["--http2: ", "add --client reqwest"]);
    assert_eq!(reported(asked(false, Some("http://p:1"), wire)), Vec::<String>::new());
    check(asked(false, Some("p:1"), |_| {}), &["--proxy: `p:1` is no proxy"]);
    check(asked(true, None, |typed| typed.send.keep_host = true), &["--http2 and --keep-host: "]);
    let kept_over_tls = |typed: &mut typed::Replay| {
        typed.send.to = all("https://staging");
        typed.send.keep_host = true;
    };
    check(asked(false, None, kept_over_tls), &["--client reqwest and --keep-host: "]);
    let host = |typed: &mut typed::Replay| typed.middleware.set_headers = all("Host: new");
    check(asked(true, None, host), &["--http2 and a Host that is set: "]);
    check(asked(true, Some("http://p:1"), |_| {}), &["--http2 and --proxy: ", "take socks5://"]);
    let tls = |typed: &mut typed::Replay| typed.send.to = all("https://staging");
    assert_eq!(reported(asked(true, Some("http://p:1"), tls)), Vec::<String>::new(), "TLS goes through a tunnel");
}

#[test]
fn what_no_client_can_do_is_refused() {
    check(|typed| typed.send.client = Some("curl".into()), &["--client", "`curl` is no client", "wire", "reqwest"]);
    check(|typed| typed.send.connections = Some("one".into()), &["--connections", "`one`", "pooled", "mirrored"]);
    check(|typed| typed.send.max_connections = Some("0".into()), &["--max-connections", "a whole number from 1"]);
    check(|typed| typed.send.max_response = Some("big".into()), &["--max-response", "`big` is no size"]);
    check(|typed| typed.send.resolve_every = Some("0s".into()), &["--resolve-every", "more than zero"]);
    check(|typed| typed.send.key = Some("k.pem".into()), &["--key", "add the certificate with --cert"]);
    check(
        |typed| {
            typed.send.client = Some("reqwest".into());
            typed.send.connections = Some("mirrored".into());
        },
        &["--client reqwest and --connections mirrored", "--client wire"],
    );
    check(
        |typed| {
            typed.send.insecure = true;
            typed.send.ca = Some("ca.pem".into());
        },
        &["--insecure and --ca", "contradict"],
    );
}

#[test]
fn what_changes_nothing_about_the_client_is_warned_of() {
    let warned = |change: fn(&mut typed::Send), words: &str| {
        let warnings = config(|typed| change(&mut typed.send)).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(words), "{words}: {warnings:?}");
    };
    warned(|send| send.ca = Some("ca.pem".into()), "--ca changes nothing");
    warned(|send| send.max_connections = Some("5000".into()), "--max-in-flight 1024 is less");
    warned(|send| send.max_in_flight = Some("4000".into()), "add --max-connections 4000");
    warned(|send| send.client = Some("reqwest".into()), "speaks HTTP/2 alone");
    warned(
        |send| {
            send.client = Some("reqwest".into());
            send.http2 = true;
            send.resolve_every = Some("5s".into());
        },
        "--resolve-every changes nothing",
    );
}

#[test]
fn a_target_may_have_a_name_for_routes() {
    let config = config(|typed| typed.send.to = vec!["new=http://new:81".into(), "http://h".into()]);
    let names: Vec<_> = config.run.targets.iter().map(|target| target.name.as_deref()).collect();
    assert_eq!(names, [Some("new"), None]);
    assert_eq!(config.run.targets[0].target.to_string(), "http://new:81");
    for typed in ["=http://h", "-=http://h", "a b=http://h"] {
        check(|to| to.send.to = all(typed), &["--to: ", "a name is one word"]);
    }
    check(|typed| typed.send.to = vec!["http://h".into(), "new=http://h".into()], &["--to: http://h is given twice"]);
}

#[test]
fn what_is_said_for_a_name_goes_for_every_target_of_that_name() {
    let config = config(|typed| {
        typed.send.to = vec!["new=https://a".into(), "old=https://b".into(), "new=https://c".into()];
        typed.send.connect_to = all("new=10.0.0.7:443");
        typed.send.sni = all("new=www.example.com");
    });
    let targets = config.run.targets.iter().map(|target| (target.target.to_string(), target.sni.as_deref()));
    let [name, elsewhere] = [Some("www.example.com"), None];
    assert_eq!(
        targets.collect::<Vec<_>>(),
        [
            ("https://a via 10.0.0.7:443".to_owned(), name),
            ("https://b".to_owned(), elsewhere),
            ("https://c via 10.0.0.7:443".to_owned(), name),
        ]
    );
}

#[test]
fn a_chain_file_may_be_for_one_target_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    fs::write(&file, "[[link]]\nset-host = \"new\"\n").unwrap();
    let config = config(|typed| {
        typed.send.to = vec!["http://old".into(), "new=http://new".into()];
        typed.middleware.filters = vec![format!("new={}", file.display()).into(), file.clone()];
    });
    assert_eq!((config.run.middleware.files.len(), config.run.middleware.for_targets[0].0), (1, 1));
    assert!(config.run.middleware.of_target(0).is_none() && config.run.middleware.of_target(1).is_some());
    check(
        |typed| {
            typed.send.to = vec!["http://old".into(), "new=http://new".into()];
            typed.middleware.filters = vec![format!("nobody={}", file.display()).into()];
        },
        &["--filters: no target is called `nobody`; there is new, and - for none"],
    );
}

#[test]
fn expressions_of_flags_and_of_files_count_together() {
    // Texts that share no beginning: 2 MiB each, of which there are 64.
    let texts = |from: u8| (from..from + 20).map(|n| char::from(n).to_string().repeat(64 << 10)).collect::<Vec<_>>();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.toml");
    fs::write(&file, format!("[[link]]\ndrop = {{ path = ['{}'] }}\n", texts(b'a').join("','"))).unwrap();
    let with_flags = |flags: &[String]| {
        reported(|typed| {
            typed.select.deny_paths = flags.to_vec();
            typed.middleware.filters = vec![file.clone()];
        })
    };
    assert_eq!(with_flags(&[]), Vec::<String>::new());
    let told = with_flags(&texts(b'A'));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("--deny-path: `") && told[0].contains("64 MiB of all of a run"), "{told:?}");
    // Read again, files count beside the flags.
    let config = config(|typed| {
        typed.select.deny_paths = texts(b'A');
        let small = folder.path().join("small.toml");
        fs::write(&small, "[[link]]\ndrop = { path = '^/a' }\n").unwrap();
        typed.middleware.filters = vec![small];
    });
    assert!(reread(&config.run.middleware, &TargetNames::Named(vec![None])).is_ok());
    fs::copy(&file, folder.path().join("small.toml")).unwrap();
    let told = reread(&config.run.middleware, &TargetNames::Named(vec![None])).unwrap_err().to_string();
    assert!(told.contains("small.toml:2:") && told.contains("64 MiB of all of a run"), "{told}");
}

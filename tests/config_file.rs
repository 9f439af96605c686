//! Flags from a file and from the environment, and what systemd is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use server::{Server, answer};

fn capture() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "demo.pcap.zst"].iter().collect()
}

fn run(config: &Path, words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    program.args(["replay", "--config"]).arg(config).args(words).envs(environment.iter().copied());
    program.env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).output().unwrap()
}

/// The share that a run was asked for.
fn asked(output: &Output) -> f64 {
    let summary: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    summary["sample"]["asked"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_wins_over_the_environment_and_that_over_the_file() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("x.toml");
    let text = format!(
        "files = [{:?}]\nto = \"{}\"\nspeed = \"max\"\nsample = \"1%\"\nquiet = true\nsummary = \"-\"\n",
        capture(),
        server.url("http")
    );
    fs::write(&config, text).unwrap();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    near(asked(&run(&config, &[], &[])), 0.01);
    near(asked(&run(&config, &[], &[("SHADOWTAP_SAMPLE", "2%")])), 0.02);
    near(asked(&run(&config, &["--sample", "3%"], &[("SHADOWTAP_SAMPLE", "2%")])), 0.03);
    let writes = |environment: &[(&str, &str)]| {
        run(&config, &["--sample", "100%"], environment);
        server.requests().iter().any(|request| request.starts_with("POST "))
    };
    assert!(!writes(&[("SHADOWTAP_ALLOW_WRITES", "no")]));
    for odd in ["disabled", "never"] {
        let output = run(&config, &[], &[("SHADOWTAP_ALLOW_WRITES", odd)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("error: SHADOWTAP_ALLOW_WRITES: `") && said.contains("neither on nor off"), "{said}");
    }
    assert!(!writes(&[]), "what is odd turns nothing on");
    assert!(writes(&[("SHADOWTAP_ALLOW_WRITES", "yes")]));
}

#[test]
fn every_mistake_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("x.toml");
    let said = |text: &str| {
        fs::write(&config, text).unwrap();
        let output = run(&config, &[], &[]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap().replace(config.to_str().unwrap(), "x.toml")
    };
    let keys = said("sampel = \"1%\"\nto = \"http://h\"\nallow-writes = \"y\"\n");
    assert!(keys.contains("error: x.toml:1: `sampel` is no flag of replay; did you mean `sample`?"), "{keys}");
    assert!(keys.contains("error: x.toml:3: allow-writes: is on or off"), "{keys}");
    let values = said("files = \"x.pcap\"\nto = \"http://h\"\n\nsample = \"many\"\ntimeout = 5\n");
    for part in ["error: x.toml:4: --sample: ", "error: x.toml:5: --timeout: "] {
        assert!(values.contains(part), "{values}");
    }
    let both =
        said("files = \"x.pcap\"\nto = \"http://h\"\nsampel = \"1%\"\nsample = \"many\"\nallow-writes = \"y\"\n");
    for part in ["x.toml:3: `sampel` is no", "x.toml:4: --sample: `many`", "x.toml:5: allow-writes: is on", "x.pcap"] {
        assert!(both.contains(part), "{both}");
    }
    fs::remove_file(&config).unwrap();
    let output = run(&config, &[], &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: --config: "));
}

/// Every key of the file that the package brings, with the mark before it taken away, is a flag with a value that it may have.
#[test]
fn the_example_of_the_package_has_no_mistake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(root.join("deploy/debian/example.toml")).unwrap();
    let example = example.replace("/usr/share/shadowtap", root.to_str().unwrap());
    let of_key = |line: &str| line.strip_prefix('#').filter(|rest| rest.contains(" = ")).map(str::to_owned);
    let keys: Vec<String> = example.lines().filter_map(of_key).collect();
    assert!(keys.len() > 5, "{keys:?}");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("x.toml");
    fs::write(&config, keys.join("\n") + "\nsample-by = \"moon\"\n").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    let output = program.args(["shadow", "--config"]).arg(&config).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("error: ").count(), 1, "the planted one alone: {said}");
    assert!(said.contains(&format!("x.toml:{}: --sample-by: `moon`", keys.len() + 1)), "{said}");
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("x.toml");
    fs::write(&config, "files = \"x.pcap\"\nto = \"http://h\"\n").unwrap();
    let said = |environment: &[(&str, &str)]| String::from_utf8(run(&config, &[], environment).stderr).unwrap();
    let value = said(&[("SHADOWTAP_SAMPLE", "many")]);
    assert!(value.contains("error: SHADOWTAP_SAMPLE: --sample: `many`"), "{value}");
    let name = said(&[("SHADOWTAP_SAMPEL", "1%")]);
    assert!(name.contains("warning: SHADOWTAP_SAMPEL") && name.contains("mean SHADOWTAP_SAMPLE?"), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_that_a_run_is_ready_alive_and_ends() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let folder = tempfile::tempdir().unwrap();
    let (config, socket) = (folder.path().join("x.toml"), folder.path().join("notify"));
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    fs::write(&config, format!("files = {:?}\nto = \"{}\"\nduration = \"3s\"\n", capture(), server.url("http")))
        .unwrap();
    let output = run(&config, &["--quiet"], &[("NOTIFY_SOCKET", socket.to_str().unwrap())]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut news = Vec::new();
    let mut block = [0; 4096];
    while news.last().is_none_or(|last: &String| last != "STOPPING=1") {
        let len = systemd.recv(&mut block).unwrap();
        news.push(String::from_utf8(block[..len].to_vec()).unwrap());
    }
    assert_eq!(news[0], "READY=1");
    assert!(news[1].starts_with("WATCHDOG=1\nSTATUS=") && news[1].contains(" seen, "), "{news:?}");
}

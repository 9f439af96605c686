//! Where requests go: elsewhere than the URL says, under another name of TLS, to a Unix socket, to an address on one link;
//! with the program as it is run, sandbox and all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/server.rs"]
mod server;

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use server::{Server, answer};
use tokio_rustls::rustls::{self, pki_types};

/// Requests in the capture that is sent.
const ALL: usize = 3;

/// Replays it; returns how that ended, and the summary.
async fn replayed(args: &[&str]) -> (Output, Value) {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/get-nano.pcap");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.args(["replay", capture, "--speed", "max", "--summary"]).arg(&file).args(args);
    command.env_remove("SHADOWTAP_LOG").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let summary = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
    (output, summary.unwrap_or_default())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The Host lines of what came, and what each request begins with.
fn hosts(requests: &[String]) -> Vec<&str> {
    requests.iter().map(|request| request.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_elsewhere_and_host_stays() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let at = server.addr.to_string();
    let (output, summary) = replayed(&["--to", "http://www.example.com:81/v2", "--connect-to", &at]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let target = &summary["targets"][format!("http://www.example.com:81/v2 via {at}")];
    assert_eq!(target["ended"]["sent"], ALL, "{summary:#}");
    let requests = server.requests();
    assert_eq!(hosts(&requests), ["www.example.com:81"; ALL]);
    assert!(requests.iter().all(|request| request.contains(" /v2/")), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_targets_each_goes_where_its_name_says() {
    let servers = [(); 2].map(async |()| Server::start(|_| vec![answer("200 OK", "ok")]).await);
    let [first, second] = servers;
    let (first, second) = (first.await, second.await);
    let to = ["a=http://www.example.com", "b=http://www.example.com"];
    let at = [format!("a={}", first.addr), format!("b={}", second.addr)];
    let (output, summary) =
        replayed(&["--to", to[0], "--to", to[1], "--connect-to", &at[0], "--connect-to", &at[1]]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(summary["targets"].as_object().unwrap().len(), 2, "{summary:#}");
    for server in [&first, &second] {
        assert_eq!(hosts(&server.requests()), ["www.example.com"; ALL]);
    }
}

/// A server with a certificate for this name alone, and a file with that certificate.
async fn named(name: &str, folder: &Path) -> (Server, String) {
    let signed = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, signed.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let config = builder.with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key.into()).unwrap();
    (Server::start_tls_as(config, |_| vec![answer("200 OK", "ok")]).await, file.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_asks_for_the_name_of_the_url_or_for_the_one_that_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ca) = named("www.example.com", folder.path()).await;
    let (at, url) = (server.addr.to_string(), server.url("https"));
    for (args, host) in [
        (["--to", "https://www.example.com", "--connect-to", &at], "www.example.com"),
        (["--to", &url, "--sni", "www.example.com"], &at),
    ] {
        let (output, summary) = replayed(&[&args[..], &["--ca", &ca]].concat()).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}: {summary:#}");
        assert_eq!(hosts(&server.requests()[server.requests().len() - ALL..]), [host; ALL]);
    }
    let (output, summary) = replayed(&["--to", &url, "--ca", &ca]).await;
    assert_eq!(output.status.code(), Some(2));
    let reasons = summary["targets"][&url]["failures"].to_string();
    assert!(reasons.contains("certificate not valid for the target's name"), "{summary:#}");
}

/// Answers over a Unix socket; hands out what came.
fn over_unix(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).unwrap();
    let came = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&came);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let all = Arc::clone(&all);
            thread::spawn(move || serve(stream, &all));
        }
    });
    came
}

fn serve(mut stream: UnixStream, came: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            came.lock().unwrap().push(String::from_utf8(std::mem::take(&mut head)).unwrap());
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app=1.sock");
    let came = over_unix(&path);
    let to = format!("unix:{}", path.display());
    for (args, host) in [
        (vec!["--to", &*to], "localhost"),
        (vec!["--to", &to, "--connections", "mirrored"], "localhost"),
        (vec!["--to", "http://app:81", "--connect-to", &to], "app:81"),
    ] {
        let (output, summary) = replayed(&args).await;
        assert_eq!(output.status.code(), Some(0), "{}\n{summary:#}", said(&output));
        let requests = std::mem::take(&mut *came.lock().unwrap());
        assert_eq!(hosts(&requests), [host; ALL], "{args:?}");
        let target = summary["targets"].as_object().unwrap().values().next().unwrap();
        assert_eq!(target["addresses"][0]["address"], to, "{target:#}");
    }
    let gone = format!("unix:{}", folder.path().join("gone.sock").display());
    let (output, summary) = replayed(&["--to", &gone]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(summary["targets"][&gone]["failures"].to_string().contains("no socket is there"), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_on_one_link_may_be_a_target() {
    let server = Server::start_at("[::1]:0", |_| vec![answer("200 OK", "ok")]).await;
    let port = server.addr.port();
    for zone in ["%25lo", "%lo", "%251"] {
        let (output, summary) = replayed(&["--to", &format!("http://[::1{zone}]:{port}")]).await;
        assert_eq!(output.status.code(), Some(0), "{zone}: {}\n{summary:#}", said(&output));
    }
    assert_eq!(hosts(&server.requests()), vec![format!("[::1]:{port}"); 3 * ALL]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_nowhere_is_told_before_anything_is_sent() {
    let two = ["--to", "a=http://h1", "--to", "http://h2"];
    let one = ["--to", "http://h1"];
    for (args, words) in [
        ([&two[..], &["--connect-to", "10.0.0.7:80"]].concat(), "--connect-to: which of the targets?"),
        ([&two[..], &["--connect-to", "c=10.0.0.7:80"]].concat(), "--connect-to: no target is called `c`"),
        ([&one[..], &["--connect-to", "10.0.0.7"]].concat(), "is no place to connect to; write HOST:PORT"),
        ([&one[..], &["--connect-to", "h:1", "--connect-to", "h:2"]].concat(), "the target has one already"),
        ([&one[..], &["--connect-to", "h:1", "--proxy", "http://p:1"]].concat(), "a proxy connects by the URL alone"),
        ([&one[..], &["--sni", "10.0.0.7"]].concat(), "TLS asks for names only"),
        (vec!["--to", "https://h1", "--client", "reqwest", "--sni", "h"], "--client reqwest and --sni"),
        (vec!["--to", "unix:app.sock"], "the path of a socket begins with /"),
        (vec!["--to", "http://[fe80::1%no0]"], "`no0` is no interface of this machine"),
    ] {
        let (output, _) = replayed(&args).await;
        assert!(said(&output).contains(words), "{args:?}: {}", said(&output));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

//! GoReplay's command line off a real interface.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::net::{Network, SERVER};
use crate::programs::{Nginx, folder, until};
use crate::traffic::{curl, gor};

/// The manual's ramp.
const PAGE: &str = include_str!("../../docs/from-goreplay.md");

/// The program under the name of GoReplay's, in a folder of its own.
fn link(folder: &Path) -> std::path::PathBuf {
    let name = folder.join("gor");
    if !name.exists() {
        symlink(env!("CARGO_BIN_EXE_shadowtap"), &name).unwrap();
    }
    name
}

/// Starts it, and waits until it captures. What it says goes to a file.
fn start(folder: &Path, arguments: &[&str]) -> Child {
    let said = folder.join("said");
    let mut command = Command::new(link(folder));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.stdout(fs::File::create(folder.join("printed")).unwrap()).stderr(fs::File::create(&said).unwrap());
    let child = command.spawn().unwrap();
    until("it to capture", || fs::read_to_string(&said).unwrap().contains(" seen, "));
    child
}

fn end(mut child: Child) {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
}

fn requests(file: &Path) -> usize {
    gor(&fs::read(file).unwrap()).0.len()
}

pub(crate) fn recorded() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    // 4 records are 2 requests with their responses. A restart goes on behind the highest number.
    for round in ["one", "two"] {
        let flags = ["--input-raw", ":80", "--output-file", "x.gor", "--output-file-queue-limit", "4"];
        let run = start(folder.path(), &flags);
        curl(&mut network.client("curl"), SERVER, round, 4);
        end(run);
    }
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("x_"));
    names.sort();
    assert_eq!(names, ["x_0.gor", "x_1.gor", "x_2.gor", "x_3.gor"]);
    let each = names.iter().map(|name| requests(&folder.path().join(name))).sum::<usize>();
    assert_eq!(each, 8);
    // GoReplay destroys the file here.
    for round in 1..=2 {
        let flags = ["--input-raw", ":80", "--output-file", "all.gor", "--output-file-append", "--stats"];
        let run = start(folder.path(), &flags);
        curl(&mut network.client("curl"), SERVER, "all", 5);
        end(run);
        assert_eq!(requests(&folder.path().join("all.gor")), 5 * round);
    }
}

pub(crate) fn printed() {
    let (network, folder) = (Network::new(), folder());
    let _nginx = Nginx::start(&format!("{SERVER}:80"));
    let run = start(folder.path(), &["-input-raw=:80", "-output-stdout", "-http-disallow-url", "/1$"]);
    curl(&mut network.client("curl"), SERVER, "out", 3);
    end(run);
    let printed = fs::read(folder.path().join("printed")).unwrap();
    assert_eq!(gor(&printed).0, ["/out/0", "/out/2"]);
    let said = fs::read_to_string(folder.path().join("said")).unwrap();
    assert!(said.contains("gor: shadowtap record -p 80 ") && said.contains("RECORDED"), "{said}");
}

pub(crate) fn ramp() {
    let (network, folder) = (Network::new(), folder());
    let (_nginx, target) = (Nginx::start(&format!("{SERVER}:80")), Nginx::start("127.0.0.1:8081"));
    link(folder.path());
    let script = PAGE.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(script.matches(" 2 5 10 20 35 50 75 100").count(), 1, "nine steps");
    let script =
        script.replace(":8080", ":80").replace("http://staging:80|", "http://127.0.0.1:8081|").replace("60s", "1s");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut run = Command::new("sh");
    run.args(["-ec", &script]).current_dir(folder.path()).env("PATH", path).stdin(Stdio::null());
    let mut run =
        run.stdout(Stdio::null()).stderr(fs::File::create(folder.path().join("said")).unwrap()).spawn().unwrap();
    let mut sent = 0;
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        curl(&mut network.client("curl"), SERVER, &format!("ramp{sent}"), 20);
        sent += 1;
        thread::sleep(Duration::from_millis(50));
    };
    let said = fs::read_to_string(folder.path().join("said")).unwrap();
    // Between two steps nobody captures: a step without a request is told by its exit code.
    assert!(status.success() || said.contains("no request"), "{said}");
    assert_eq!(said.matches("gor: shadowtap shadow -p 80 ").count(), 9, "{said}");
    let shadowed = target.logged().len();
    assert!(shadowed > 0 && shadowed < sent * 20, "{shadowed} of {}", sent * 20);

    let line = PAGE.lines().find_map(|line| line.strip_prefix("    sudo shadowtap ")).unwrap();
    let line = line.replace("8080 --to http://staging:8080", "80 --to http://127.0.0.1:8081").replace("9m", "9s");
    let words = shell_words::split(&line.replace(":1m", ":1s")).unwrap();
    let said = folder.path().join("said");
    let mut run = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    run.args(&words).stdin(Stdio::null()).stdout(fs::File::create(folder.path().join("report")).unwrap());
    let mut run = run.stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
    until("it to capture", || fs::read_to_string(&said).unwrap().contains(" seen, "));
    let before = target.logged().len();
    while run.try_wait().unwrap().is_none() {
        curl(&mut network.client("curl"), SERVER, "line", 20);
        thread::sleep(Duration::from_millis(50));
    }
    assert!(run.wait().unwrap().success(), "{}", fs::read_to_string(&said).unwrap());
    assert!(target.logged().len() > before);
    let report = fs::read_to_string(folder.path().join("report")).unwrap();
    assert!(report.contains("100%"), "{report}");
}

//! Requests of curl and wrk, each with a target of its own, and what recordings hold of them.
#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its trial")]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::net::{Network, SERVER};
use super::programs::run;

/// What wrk asks for. Each request is another; `@BODY@` and `@TOGETHER@` are filled in.
const SCRIPT: &str = r#"
local n = 0
local body = string.rep("x", @BODY@)
local function one()
  n = n + 1
  local path = "/@NAME@/" .. n
  if n % 3 == 0 then return wrk.format("POST", path, nil, body) end
  return wrk.format("GET", path)
end
function request()
  local all = {}
  for i = 1, @TOGETHER@ do all[i] = one() end
  return table.concat(all)
end
function delay() return @PAUSE@ end
"#;

/// How wrk asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// The first segment of every target.
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    pub(crate) seconds: u32,
    /// Milliseconds between two requests of a connection: what bounds the rate.
    pub(crate) pause: u32,
    /// Bytes of the body of each third request.
    pub(crate) body: usize,
    /// Requests that are sent at once.
    pub(crate) together: usize,
}

impl Load {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, connections: 8, seconds: 1, pause: 10, body: 100, together: 1 }
    }

    /// Requests that may be under way as wrk leaves.
    pub(crate) const fn open(&self) -> usize {
        self.connections * self.together
    }

    /// wrk, ready to be started.
    pub(crate) fn command(&self, network: &Network, folder: &Path) -> Command {
        let script = folder.join(format!("{}.lua", self.name));
        let text = SCRIPT
            .replace("@NAME@", self.name)
            .replace("@BODY@", &self.body.to_string())
            .replace("@TOGETHER@", &self.together.to_string())
            .replace("@PAUSE@", &self.pause.to_string());
        fs::write(&script, text).unwrap();
        let mut wrk = network.client("wrk");
        wrk.args(["-t1", &format!("-c{}", self.connections), &format!("-d{}s", self.seconds), "-s"]);
        wrk.arg(script).arg(format!("http://{SERVER}"));
        wrk
    }

    #[track_caller]
    pub(crate) fn run(&self, network: &Network, folder: &Path) {
        run(&mut self.command(network, folder));
    }
}

/// curl asks for so many targets, all on one connection.
#[track_caller]
pub(crate) fn curl(command: &mut Command, server: &str, name: &str, requests: usize) {
    command.args(["-s", "-S", "-m", "60"]);
    for n in 0..requests {
        command.args(["-o", "/dev/null", &format!("http://{server}/{name}/{n}")]);
    }
    run(command);
}

/// The requests of a `.gor` recording, and how many responses it holds.
pub(crate) fn gor(text: &[u8]) -> (Vec<String>, usize) {
    let text = String::from_utf8_lossy(text);
    let (mut requests, mut responses) = (Vec::new(), 0);
    for record in text.split("\n🐵🙈🙉\n").filter(|record| !record.is_empty()) {
        let (head, message) = record.split_once('\n').unwrap_or((record, ""));
        match head.as_bytes()[0] {
            b'1' => requests.push(message.split(' ').nth(1).unwrap_or_default().to_owned()),
            b'2' => responses += 1,
            other => panic!("a record of type {other}: {head}"),
        }
    }
    (requests, responses)
}

/// The whole lines of a `.jsonl` recording.
pub(crate) fn lines(text: &[u8]) -> Vec<Value> {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Their targets.
pub(crate) fn targets(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["target"].as_str().unwrap()).collect()
}

/// What can be read of a file, as far as it goes.
pub(crate) fn unpacked(file: &Path) -> Vec<u8> {
    let packed = fs::read(file).unwrap();
    let mut from: Box<dyn std::io::Read> = match file.extension().and_then(|end| end.to_str()) {
        Some("zst") => Box::new(zstd::Decoder::new(&*packed).unwrap()),
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(&*packed)),
        _ => return packed,
    };
    let (mut all, mut some) = (Vec::new(), [0; 8192]);
    // A file whose writer was killed ends in the middle of something.
    while let Ok(read @ 1..) = from.read(&mut some) {
        all.extend_from_slice(&some[..read]);
    }
    all
}

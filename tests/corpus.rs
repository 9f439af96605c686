//! The engine against captures from elsewhere, each with the exchanges that it is known to hold.
//!
//! The captures are not part of this repository: a folder `shared/corpus` next to it has them, or the one that
//! `SHADOWTAP_CORPUS` names. Each `NAME.pcap` or `NAME.pcapng` stands there with a `NAME.expected.jsonl`, a line a
//! request: `must` be found or `may` be, with what is known of its response. Where there is no such folder, one
//! trial says so and is counted as ignored.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what breaks in a helper fails the trial that called it")]
#![expect(clippy::indexing_slicing, reason = "the matching numbers its own rows and columns")]

#[path = "support/tap.rs"]
#[allow(dead_code, reason = "other targets use the rest of it")]
mod tap;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use shadowtap::capture::{FileSource, Halt};
use shadowtap::exchange::{Body, Request, Response};
use shadowtap::http1::{BodyPolicies, BodyPolicy};

use tap::Exchange;

/// What the engine finds besides what is expected of a file, and why that is right: file, request line, number.
const ACCEPTED: [(&str, &str, usize); 2] = [
    // Frames are cut before the Host line of these two; the expectation has it from the uncut capture.
    ("snaplen-truncated--lab--snaplen-mix", "GET /xpb3gf8x?a=fvya1u0t&b=%20%C3%A9", 1),
    ("snaplen-truncated--lab--snaplen-mix", "GET /u403ncr0", 1),
];

fn main() {
    let arguments = Arguments::from_args();
    let trials = match std::fs::read_dir(folder()) {
        Ok(entries) => trials(entries.map(|entry| entry.unwrap().path()).collect()),
        Err(_) => vec![
            Trial::test("the corpus is not here: set SHADOWTAP_CORPUS to its folder", || Ok(()))
                .with_ignored_flag(true),
        ],
    };
    libtest_mimic::run(&arguments, trials).exit();
}

fn folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    std::env::var_os("SHADOWTAP_CORPUS").map_or(beside, PathBuf::from)
}

fn trials(mut files: Vec<PathBuf>) -> Vec<Trial> {
    files.sort();
    let is_capture = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    files
        .into_iter()
        .filter(is_capture)
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            Trial::test(name.clone(), move || examine(&name, &file))
        })
        .collect()
}

/// One request that is expected of a capture.
struct Expected {
    must: bool,
    method: Vec<u8>,
    /// Every reading of the target that is accepted.
    targets: Vec<Vec<u8>>,
    host: Vec<u8>,
    body_len: Option<u64>,
    body_sha256: Option<String>,
    answer: Answer,
    response_len: Option<u64>,
    response_sha256: Option<String>,
}

/// What is known of the final response.
#[derive(Debug)]
enum Answer {
    Status(u16),
    /// None was captured.
    Missing,
    NotJudged,
}

impl Answer {
    /// Whether `status` is right; `None` where that is not judged.
    fn is(&self, status: Option<u16>) -> Option<bool> {
        match self {
            Self::Status(expected) => Some(status == Some(*expected)),
            Self::Missing => Some(status.is_none()),
            Self::NotJudged => None,
        }
    }
}

fn examine(name: &str, file: &Path) -> Result<(), Failed> {
    let text = std::fs::read_to_string(file.with_file_name(format!("{name}.expected.jsonl")))?;
    let expected: Vec<Expected> =
        text.lines().map(|line| Expected::parse(&serde_json::from_str(line).unwrap())).collect();
    let mut source = FileSource::open(file, &Halt::default())?;
    let interests = BodyPolicies { request_body: BodyPolicy::Hash, response_body: BodyPolicy::Hash };
    let found: Vec<Exchange> = tap::run(&mut source, interests, &[]).exchanges.into_values().collect();
    let complaints = compare(name, &expected, &found);
    if complaints.is_empty() { Ok(()) } else { Err(complaints.into()) }
}

/// Pairs what is expected with what was found, and says what does not fit.
fn compare(name: &str, expected: &[Expected], found: &[Exchange]) -> String {
    let pairs = pair(expected, found);
    let mut complaints = String::new();
    for (wanted, place) in expected.iter().zip(&pairs) {
        match place.and_then(|place| found.get(place)) {
            Some(exchange) => complaints.extend(wanted.complaints(exchange)),
            None if wanted.must => writeln!(complaints, "missing: {wanted}").unwrap(),
            None => {}
        }
    }
    let mut accepted = ACCEPTED.to_vec();
    accepted.retain(|(file, ..)| *file == name);
    for (place, exchange) in found.iter().enumerate().filter(|(place, _)| !pairs.contains(&Some(*place))) {
        let line = request_line(&exchange.request);
        match accepted.iter_mut().find(|(_, request, left)| *request == line && *left > 0) {
            Some((_, _, left)) => *left -= 1,
            None => writeln!(complaints, "not expected: {line} (number {})", place + 1).unwrap(),
        }
    }
    for (_, request, _) in accepted.iter().filter(|(.., left)| *left > 0) {
        writeln!(complaints, "known as found besides, and no longer there: {request}").unwrap();
    }
    complaints
}

/// A largest matching: for each expectation the exchange that it goes with. Better fits go first; then those left
/// over take the place of others that have another choice.
fn pair(expected: &[Expected], found: &[Exchange]) -> Vec<Option<usize>> {
    let fits = |wanted: &Expected| -> Vec<(u32, usize)> {
        found.iter().enumerate().filter_map(|(place, one)| Some((wanted.fit(one)?, place))).collect()
    };
    let choices: Vec<Vec<(u32, usize)>> = expected.iter().map(fits).collect();
    let mut edges: Vec<(bool, u32, usize, usize)> = Vec::new();
    for (index, (wanted, choice)) in expected.iter().zip(&choices).enumerate() {
        edges.extend(choice.iter().map(|(fit, place)| (!wanted.must, u32::MAX - fit, index, *place)));
    }
    edges.sort_unstable();
    let mut pairs = vec![None; expected.len()];
    let mut owners = vec![None; found.len()];
    for (_, _, index, place) in edges {
        if pairs[index].is_none() && owners[place].is_none() {
            pairs[index] = Some(place);
            owners[place] = Some(index);
        }
    }
    for must in [true, false] {
        for (index, _) in expected.iter().enumerate().filter(|(_, wanted)| wanted.must == must) {
            if pairs[index].is_none() {
                make_room(index, &choices, &mut pairs, &mut owners, &mut vec![false; found.len()]);
            }
        }
    }
    while exchange_places(&choices, &mut pairs, &mut owners) {}
    pairs
}

/// Lets two expectations swap, or one move to a free place, where both together fit better then.
fn exchange_places(choices: &[Vec<(u32, usize)>], pairs: &mut [Option<usize>], owners: &mut [Option<usize>]) -> bool {
    let fit = |index: usize, place: usize| choices[index].iter().find(|(_, one)| *one == place).map(|(fit, _)| *fit);
    for index in 0..pairs.len() {
        let Some(place) = pairs[index] else { continue };
        for &(better, other) in &choices[index] {
            let owner = owners[other].filter(|owner| *owner != index);
            let now = fit(index, place).unwrap() + owner.map_or(0, |owner| fit(owner, other).unwrap());
            let Some(theirs) = owner.map_or(Some(0), |owner| fit(owner, place)) else { continue };
            if better + theirs > now {
                (owners[other], owners[place]) = (Some(index), owner);
                pairs[index] = Some(other);
                if let Some(owner) = owner {
                    pairs[owner] = Some(place);
                }
                return true;
            }
        }
    }
    false
}

/// Finds a place for `index` along an augmenting path.
fn make_room(
    index: usize,
    choices: &[Vec<(u32, usize)>],
    pairs: &mut [Option<usize>],
    owners: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for &(_, place) in &choices[index] {
        if std::mem::replace(&mut tried[place], true) {
            continue;
        }
        let free = match owners[place] {
            Some(owner) => make_room(owner, choices, pairs, owners, tried),
            None => true,
        };
        if free {
            pairs[index] = Some(place);
            owners[place] = Some(index);
            return true;
        }
    }
    false
}

impl Expected {
    fn parse(line: &Value) -> Self {
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        let number = |key: &str| line.get(key).and_then(Value::as_u64);
        let others =
            line.get("uri_alternatives").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let status = number("status").map(|status| u16::try_from(status).unwrap());
        Self {
            must: text("certainty") != Some("may"),
            method: wire(text("method").unwrap_or_default()),
            targets: text("uri").into_iter().chain(others).map(wire).collect(),
            host: wire(text("host").unwrap_or_default()).trim_ascii().to_ascii_lowercase(),
            body_len: number("body_len"),
            body_sha256: text("body_sha256").map(str::to_ascii_lowercase),
            response_sha256: text("response_body_sha256").map(str::to_ascii_lowercase),
            answer: match (text("response"), status) {
                (Some("yes") | None, Some(status)) => Answer::Status(status),
                (Some("no"), _) => Answer::Missing,
                _ => Answer::NotJudged,
            },
            response_len: number("response_body_len"),
        }
    }

    /// How well `exchange` fits; `None` where it cannot be meant.
    fn fit(&self, exchange: &Exchange) -> Option<u32> {
        let request = &exchange.request;
        let host = request.head.get("host").unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let meant = request.method() == self.method
            && self.targets.iter().any(|target| target == request.target())
            && host == self.host
            && self.body_len.is_none_or(|len| len == request.body.len);
        let fit = [
            (8, self.body_sha256.is_some() && self.body_sha256 == hex(&request.body)),
            (4, self.answer.is(exchange.status()) == Some(true)),
            (2, self.response_len.is_some() && self.response_len == exchange.response_len()),
            (1, self.body_len.is_some()),
        ];
        meant.then(|| fit.iter().filter(|(_, holds)| *holds).map(|(weight, _)| weight).sum())
    }

    /// What of `exchange` is not as it should be.
    fn complaints(&self, exchange: &Exchange) -> Option<String> {
        let mut complaints = String::new();
        let mut complain = |what: &str, found: String| writeln!(complaints, "{what} {found}: {self}").unwrap();
        if let (Some(expected), Some(found)) = (&self.body_sha256, hex(&exchange.request.body))
            && *expected != found
        {
            complain("a body of sha256", found);
        }
        if let (Some(expected), Some(found)) =
            (&self.response_sha256, exchange.response().and_then(|one| hex(&one.body)))
            && *expected != found
        {
            complain("a response body of sha256", found);
        }
        if self.answer.is(exchange.status()) == Some(false) {
            complain("status", format!("{:?}", exchange.status()));
        }
        if let (Some(expected), Some(found)) = (self.response_len, exchange.response_len())
            && expected != found
        {
            complain("a response body of", format!("{found} bytes instead of {expected}"));
        }
        (!complaints.is_empty()).then_some(complaints)
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let target = self.targets.first().map(|target| String::from_utf8_lossy(target)).unwrap_or_default();
        let (method, host) = (String::from_utf8_lossy(&self.method), String::from_utf8_lossy(&self.host));
        write!(f, "{method} {target} at {host:?}, body {:?}, {:?}", self.body_len, self.answer)
    }
}

impl Exchange {
    fn response(&self) -> Option<&Response> {
        self.answer.as_ref()?.as_deref().ok()
    }

    fn status(&self) -> Option<u16> {
        Some(self.response()?.status)
    }

    fn response_len(&self) -> Option<u64> {
        Some(self.response()?.body.len)
    }
}

fn request_line(request: &Request) -> String {
    format!("{} {}", String::from_utf8_lossy(request.method()), String::from_utf8_lossy(request.target()))
}

fn hex(body: &Body) -> Option<String> {
    let digest = body.sha256?;
    Some(digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

/// Bytes of the wire from the text that stands for them, a character a byte.
fn wire(text: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = text.chars().map(|one| u8::try_from(u32::from(one)).ok()).collect();
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

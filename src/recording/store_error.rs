//! Errors of a store that holds recordings.

use std::borrow::Cow;

use crate::bounded::ReadError;
use crate::causes::Help;

/// How a server says that it cannot set aside as much as a recording may take.
const NO_ROOM: &str = "error code 10047";

/// Reason that a recording in a store cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// This build has no client for stores.
    #[error("this build has no client for {server}")]
    Unsupported {
        /// The URL.
        server: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {server}: {why}")]
    Connect {
        /// The server.
        server: String,
        /// The client's words.
        why: String,
    },
    /// The server does not know who connects.
    #[error("{server} refuses the credentials{}", if *given { "" } else { ": it was given none" })]
    Denied {
        /// The server.
        server: String,
        /// Whether there were any.
        given: bool,
    },
    /// The file of credentials cannot be read.
    #[error("{file}")]
    Read {
        /// The file.
        file: String,
        /// What is wrong.
        source: ReadError,
    },
    /// The server is of a version that lacks what a recording needs.
    #[error("{server} is NATS {version}: a recording needs {needed} or later")]
    Old {
        /// The server.
        server: String,
        /// Its version.
        version: String,
        /// The oldest version that has it.
        needed: &'static str,
    },
    /// The credentials are none.
    #[error("the credentials in {file} are none: {why}")]
    Credentials {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// There is no such recording.
    #[error("there is no recording {name} on {server}")]
    Missing {
        /// The recording.
        name: String,
        /// The server.
        server: String,
    },
    /// Something there goes by its name and is no recording, or is one of a later version.
    #[error("{name} on {server} is no recording that this version reads: {why}")]
    Foreign {
        /// The recording.
        name: String,
        /// The server.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// All of it was replayed.
    #[error("{}", consumed(name, run, *requests, *late))]
    Consumed {
        /// The recording.
        name: String,
        /// The run.
        run: String,
        /// Its requests.
        requests: u64,
        /// Requests that came after the run was over.
        late: u64,
    },
    /// It was made with other settings.
    #[error(
        "the recording {name} has {has} partitions, not {asked}: that cannot change; leave partitions out of the URL"
    )]
    Partitions {
        /// The recording.
        name: String,
        /// Those that it has.
        has: u16,
        /// Those in the URL.
        asked: u16,
    },
    /// The server refused something, or did not answer.
    #[error("cannot {doing} {name} on {server}: {why}")]
    Refused {
        /// What was to be done.
        doing: &'static str,
        /// The recording.
        name: String,
        /// The server.
        server: String,
        /// The client's words.
        why: String,
    },
}

/// Says that a run is over, and what has come since.
fn consumed(name: &str, run: &str, requests: u64, late: u64) -> String {
    match late {
        0 => format!("all of {name} was replayed: its {requests} requests have ended in run {run}"),
        _ => format!(
            "run {run} of {name} is over: {requests} requests have ended in it, and {late} that came later wait for another run"
        ),
    }
}

impl Help for StoreError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unsupported { .. } => Some("build it with the feature nats".into()),
            Self::Connect { .. } => Some("is it running, and does a firewall let this host reach it?".into()),
            Self::Denied { .. } => Some("give a file with them: --nats-credentials FILE".into()),
            Self::Consumed { .. } => Some("to replay it anew, write ?run=2 or another word behind its name".into()),
            Self::Missing { .. } => Some("is its name spelled right? `shadowtap record -o` makes one".into()),
            Self::Refused { why, .. } if why.contains(NO_ROOM) => Some(
                "it sets aside max-bytes, 10G unless the URL says other: write less, as in ?max-bytes=1G, or raise its max_file_store"
                    .into(),
            ),
            Self::Refused { why, .. } if why.contains("not enabled") || why.contains("no responders") => Some(
                "JetStream has to be on: start it with nats-server -js, or jetstream {} in its configuration".into(),
            ),
            _ => None,
        }
    }
}

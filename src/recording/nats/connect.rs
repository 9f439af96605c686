//! The way into a store: who connects, and what has to be there.

use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, KeyValueError, KeyValueErrorKind,
};
use async_nats::jetstream::{self, kv, stream};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::names;
use crate::recording::access::{Credentials, StoreAccess};
use crate::recording::place::StoreUrl;
use crate::recording::store_error::StoreError;

/// Time that a connection may take, and an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Times that a stream is asked for: a cluster that has lost a server may need 10 s to choose who answers for it.
const ATTEMPTS: u32 = 3;
/// The same for a stream that a cluster is to make, whose servers do not know each other yet: with the pauses some 5 s.
const PEER_ATTEMPTS: u32 = 10;
/// Pause before a server that answered, and could not say, is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two attempts to connect anew.
const RETRY: Duration = Duration::from_secs(1);
/// Time within which a batch that is sent twice is known as such.
const DUPLICATES: Duration = Duration::from_secs(300);
/// Oldest version of a server that has what a recording needs, and how it is written.
const OLDEST: ((u64, u64), &str) = ((2, 9), "2.9");
/// Version of what is stored.
const FORMAT: u32 = 1;

/// What is said of a question that nobody answers.
pub(super) const NO_ANSWER: &str = "it did not answer in time";

/// What a recording is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) format: u32,
    pub(super) partitions: u16,
    /// The version of shadowtap that made it.
    pub(super) version: String,
}

/// A recording that is open.
#[derive(Clone)]
pub(in crate::recording) struct Store {
    pub(super) client: Client,
    pub(super) context: jetstream::Context,
    pub(super) keys: kv::Store,
    pub(super) meta: Meta,
    pub(super) url: StoreUrl,
}

impl Store {
    /// Opens a recording that is there.
    pub(in crate::recording) async fn open(url: &StoreUrl, access: &StoreAccess) -> Result<Self, StoreError> {
        let (client, context) = connect(url, access).await?;
        stream(url, &context).await?;
        Self::opened(url, client, context).await
    }

    /// Opens a recording, and makes it where it is not there.
    pub(in crate::recording) async fn open_or_make(url: &StoreUrl, access: &StoreAccess) -> Result<Self, StoreError> {
        let (client, context) = connect(url, access).await?;
        // What is there stays as it is; one that somebody began to make is made to its end.
        if asked(|| context.get_key_value(names::stream(&url.name)), is_not_there).await.is_err() {
            make(url, &context).await?;
        }
        let store = Self::opened(url, client, context).await?;
        match url.settings.partitions {
            Some(asked) if asked != store.meta.partitions => {
                Err(StoreError::Partitions { name: url.name.clone(), has: store.meta.partitions, asked })
            }
            _ => Ok(store),
        }
    }

    async fn opened(url: &StoreUrl, client: Client, context: jetstream::Context) -> Result<Self, StoreError> {
        let keys = asked(|| context.get_key_value(names::stream(&url.name)), is_not_there).await;
        let keys = keys.map_err(|error| match error.kind() {
            _ if is_not_there(&error) => foreign(url, &"its bucket of keys is missing"),
            KeyValueErrorKind::InvalidStoreName => foreign(url, &"its bucket of keys is a stream of another kind"),
            _ => refused(url, "open", &error),
        })?;
        let meta = asked(|| keys.get(names::META), |_| false).await.map_err(|error| refused(url, "open", &error))?;
        let meta = meta.ok_or_else(|| foreign(url, &"it does not say what it is"))?;
        let meta: Meta = serde_json::from_slice(&meta).map_err(|error| foreign(url, &error))?;
        if meta.format != FORMAT || meta.partitions == 0 {
            return Err(foreign(url, &format_args!("its format is {}", meta.format)));
        }
        Ok(Self { client, context, keys, meta, url: url.clone() })
    }

    /// Returns the stream of its batches.
    pub(super) async fn stream(&self) -> Result<stream::Stream, StoreError> {
        stream(&self.url, &self.context).await
    }

    /// What of it the server says that it does not have any more; `None` where all is there, or that is not known now.
    pub(super) async fn absent(&self) -> Option<&'static str> {
        let stream = names::stream(&self.url.name);
        let bucket = format!("KV_{stream}");
        let parts =
            [(stream, "the recording is not there any more"), (bucket, "its bucket of keys is not there any more")];
        for (name, words) in parts {
            if self.context.get_stream(name).await.is_err_and(|error| is_absent(&error)) {
                return Some(words);
            }
        }
        None
    }

    /// Returns whether it is connected now.
    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }
}

/// Returns the stream of the batches of a recording.
pub(super) async fn stream(url: &StoreUrl, context: &jetstream::Context) -> Result<stream::Stream, StoreError> {
    let stream = asked(|| context.get_stream(names::stream(&url.name)), is_absent).await;
    stream.map_err(|error| if is_absent(&error) { missing(url) } else { refused(url, "open", &error) })
}

/// Asks until there is an answer, [`ATTEMPTS`] times at most.
async fn asked<T, E, F>(ask: impl Fn() -> F, is_answer: impl Fn(&E) -> bool) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    for _ in 1..ATTEMPTS {
        match ask().await {
            Err(error) if !is_answer(&error) => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
    ask().await
}

/// Returns whether the server says that it has no such stream.
fn is_absent(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(why) if why.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
}

/// Returns whether the server says that it has no such bucket. The client calls a silence by the same name.
fn is_not_there(error: &KeyValueError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<GetStreamError>());
    cause.is_some_and(is_absent)
}

/// Returns the stream that the batches of a recording need.
pub(super) fn stream_config(url: &StoreUrl) -> stream::Config {
    let settings = &url.settings;
    stream::Config {
        name: names::stream(&url.name),
        max_messages: -1,
        subjects: vec![names::partitions(&url.name)],
        max_age: settings.retention(),
        max_bytes: i64::try_from(settings.max_bytes()).unwrap_or(i64::MAX),
        num_replicas: settings.replicas().into(),
        duplicate_window: DUPLICATES.min(settings.retention()),
        allow_direct: true,
        description: Some("a recording of shadowtap".to_owned()),
        ..stream::Config::default()
    }
}

/// Makes a recording. Whoever else makes it at the same time makes the same.
async fn make(url: &StoreUrl, context: &jetstream::Context) -> Result<(), StoreError> {
    let (name, settings) = (names::stream(&url.name), &url.settings);
    create(url, context, stream_config(url)).await?;
    // A bucket, as a stream: asking the client for one fails with servers before 2.10, whose accounts it cannot read.
    let bucket = stream::Config {
        subjects: vec![format!("$KV.{name}.>")],
        name: format!("KV_{name}"),
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        discard: stream::DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        // Reads come from the leader: what a replica has may be old.
        allow_direct: false,
        num_replicas: settings.replicas().into(),
        description: Some("who takes part in a recording of shadowtap".to_owned()),
        ..stream::Config::default()
    };
    create(url, context, bucket).await?;
    // A bucket that was made this moment may be unknown to the server that is asked.
    let keys = asked(|| context.get_key_value(&name), |_| false).await.map_err(|error| refused(url, "make", &error))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let meta = Meta { format: FORMAT, partitions: settings.partitions(), version };
    let meta = serde_json::to_vec(&meta).map_err(|error| refused(url, "make", &error))?;
    // Where somebody else was faster, theirs stands.
    let made = keys.create(names::META, Bytes::from(meta)).await;
    match made {
        Err(error) if error.kind() != kv::CreateErrorKind::AlreadyExists => Err(refused(url, "make", &error)),
        _ => Ok(()),
    }
}

/// Makes a stream; one that is there stays as it is.
pub(super) async fn create(
    url: &StoreUrl,
    context: &jetstream::Context,
    config: stream::Config,
) -> Result<(), StoreError> {
    let mut asked = 1;
    loop {
        match context.create_stream(config.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if is_there(&error.kind()) => return Ok(()),
            // A cluster that has lost a server takes its time, and may have made it by now.
            Err(error) if error.kind() == CreateStreamErrorKind::TimedOut && asked < ATTEMPTS => asked += 1,
            Err(error) if lacks_peers(&error.kind()) && asked < PEER_ATTEMPTS => {
                asked += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(refused(url, "make", &error)),
        }
    }
}

/// Returns whether a stream could not be made since it is there, with these settings or others.
fn is_there(kind: &CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(why) if why.error_code() == jetstream::ErrorCode::STREAM_NAME_EXIST)
}

/// Returns whether a cluster has too few servers that it knows to be there, which is so for a moment after its start.
fn lacks_peers(kind: &CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(why) if why.error_code() == jetstream::ErrorCode::CLUSTER_NO_PEERS)
}

/// Connects to the servers of a recording.
pub(super) async fn connect(url: &StoreUrl, access: &StoreAccess) -> Result<(Client, jetstream::Context), StoreError> {
    let scheme = if url.tls { "tls" } else { "nats" };
    let address = |(host, port): &(String, u16)| {
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{scheme}://{open}{host}{close}:{port}")
    };
    let addresses: Vec<String> = url.hosts.iter().map(address).collect();
    let mut options = ConnectOptions::new()
        .name("shadowtap")
        .connection_timeout(TIMEOUT)
        .request_timeout(Some(TIMEOUT))
        // A run that is confined may connect to the ports of its command line only.
        .ignore_discovered_servers()
        .reconnect_delay_callback(|attempts| RETRY.min(Duration::from_millis(50 * attempts as u64)))
        .require_tls(url.tls);
    if let Some(file) = &access.ca {
        options = options.add_root_certificates(file.clone());
    }
    options = match &access.credentials {
        None => options,
        Some(Credentials::Creds(text)) => options
            .credentials(text)
            .map_err(|error| StoreError::Credentials { file: access.file.clone(), why: error.to_string() })?,
        Some(Credentials::User(user, password)) => options.user_and_password(user.clone(), password.clone()),
        Some(Credentials::Nkey(seed)) => options.nkey(seed.clone()),
        Some(Credentials::Token(token)) => options.token(token.clone()),
    };
    let servers = addresses.iter().map(|address| address.parse()).collect::<Result<Vec<async_nats::ServerAddr>, _>>();
    let servers = servers.map_err(|error| failed(url, &error))?;
    let client = options.connect(servers).await.map_err(|error| match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            StoreError::Denied { server: url.server(), given: access.credentials.is_some() }
        }
        _ => failed(url, &error),
    })?;
    let version = client.server_info().version;
    if is_too_old(&version) {
        return Err(StoreError::Old { server: url.server(), version, needed: OLDEST.1 });
    }
    let mut context = jetstream::new(client.clone());
    context.set_timeout(TIMEOUT);
    Ok((client, context))
}

/// Returns whether a server of this version lacks what a recording needs; one that cannot be read is taken as it is.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|word| word.parse::<u64>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version < OLDEST.0)
}

fn failed(url: &StoreUrl, error: &(dyn std::error::Error + 'static)) -> StoreError {
    StoreError::Connect { server: url.server(), why: words(error) }
}

fn missing(url: &StoreUrl) -> StoreError {
    StoreError::Missing { name: url.name.clone(), server: url.server() }
}

fn foreign(url: &StoreUrl, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Foreign { name: url.name.clone(), server: url.server(), why: why.to_string() }
}

/// What could not be done with the recording.
pub(super) fn refused(url: &StoreUrl, doing: &'static str, error: &(dyn std::error::Error + 'static)) -> StoreError {
    StoreError::Refused { doing, name: url.name.clone(), server: url.server(), why: words(error) }
}

/// What an error of the client says: most of them say what their causes do, too.
pub(super) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        next = cause.source();
    }
    if words.contains("timed out") {
        // It says so up to three times.
        return NO_ANSWER.to_owned();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_9_are_too_old() {
        for old in ["2.2.0", "2.8.4", "1.4.1", "2.8.0-beta.1"] {
            assert!(is_too_old(old), "{old}");
        }
        for enough in ["2.9.0", "2.9.10", "2.10.24", "2.12.0-RC.2", "3.0.0", "", "dev", "2"] {
            assert!(!is_too_old(enough), "{enough}");
        }
    }

    #[test]
    fn a_silence_is_told_in_a_few_words() {
        let error = std::io::Error::other("request error: timed out: request timed out: deadline has elapsed");
        assert_eq!(words(&error), NO_ANSWER);
        assert_eq!(words(&std::io::Error::other("no quorum")), "no quorum");
    }
}

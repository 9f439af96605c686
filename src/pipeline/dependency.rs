//! Asks dependencies of the targets for their numbers, once a second each. An answer that does not come within its time is
//! none: the number is unknown then, which is a state of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::causes::causes;
use crate::json_path::{Segment, Step};
use crate::replay::guard::{Dependency, DependencySource};
use crate::replay::outside_client;
use crate::suggest::nearest;

/// From one question to the next.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Time that an answer has.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest answer that is read, in bytes; a longer one is none.
const MAX_ANSWER: usize = 4 << 20;
/// Most nesting that a search by `..` goes into.
const MAX_DEPTH: usize = 64;

/// Asks one dependency.
pub(super) struct DependencyProbe {
    dependency: Dependency,
    client: ProbeClient,
}

enum ProbeClient {
    /// A connection stays open: where a Redis takes no more clients, it goes on answering those that it has.
    Redis {
        client: Box<redis::Client>,
        connection: Option<MultiplexedConnection>,
    },
    Http(reqwest::Client),
}

impl DependencyProbe {
    /// Nothing is connected to yet.
    pub(super) fn new(dependency: Dependency) -> Result<Self, String> {
        let client = match dependency.source() {
            DependencySource::Redis { url, .. } => {
                let client = redis::Client::open(url.clone()).map_err(|error| causes(&error))?;
                ProbeClient::Redis { client: Box::new(client), connection: None }
            }
            DependencySource::Prometheus { url, .. } | DependencySource::Json { url, .. } => {
                ProbeClient::Http(outside_client(url.scheme() == "https", LIMIT)?)
            }
        };
        Ok(Self { dependency, client })
    }

    /// Asks once; returns the number, or why there is none.
    pub(super) async fn read(&mut self) -> Result<f64, String> {
        let read = timeout(LIMIT, self.attempt()).await;
        let read = read.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
        if let (Err(_), ProbeClient::Redis { connection, .. }) = (&read, &mut self.client) {
            *connection = None;
        }
        read
    }

    /// Asks a Redis once, before a run begins: an error where it answers and has no such number. One that does not answer
    /// may do so later.
    pub(super) async fn check(&mut self) -> Result<(), String> {
        let (ProbeClient::Redis { client, connection }, DependencySource::Redis { field, .. }) =
            (&mut self.client, self.dependency.source())
        else {
            return Ok(());
        };
        if let Ok(Ok(info)) = timeout(LIMIT, info(client, connection)).await {
            return info_field(&info, field).map(drop);
        }
        *connection = None;
        Ok(())
    }

    async fn attempt(&mut self) -> Result<f64, String> {
        match (&mut self.client, self.dependency.source()) {
            (ProbeClient::Redis { client, connection }, DependencySource::Redis { field, .. }) => {
                info_field(&info(client, connection).await?, field)
            }
            (ProbeClient::Http(client), DependencySource::Prometheus { url, .. }) => {
                let numbers = series(&get(client, url).await?)?;
                let count = numbers.len();
                self.dependency.worst(numbers).ok_or_else(|| match count {
                    0 => "the query finds nothing".to_owned(),
                    _ => "the query's value is no number".to_owned(),
                })
            }
            (ProbeClient::Http(client), DependencySource::Json { url, path, steps }) => {
                let document = get(client, url).await?;
                let mut found = Vec::new();
                find(&document, &steps.0, 0, &mut found);
                let numbers = found.iter().filter_map(|value| as_number(value));
                self.dependency.worst(numbers).ok_or_else(|| match found.len() {
                    0 => format!("there is nothing at {path}"),
                    _ => format!("there is no number at {path}"),
                })
            }
            _ => Err("it cannot be asked".to_owned()),
        }
    }
}

/// What a Redis says of itself.
async fn info(client: &redis::Client, connection: &mut Option<MultiplexedConnection>) -> Result<String, String> {
    // Its words have their cause in them.
    let told = |error: redis::RedisError| error.to_string();
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(client.get_multiplexed_async_connection().await.map_err(told)?),
    };
    redis::cmd("INFO").query_async(connection).await.map_err(told)
}

/// The document at an address.
async fn get(client: &reqwest::Client, url: &Url) -> Result<Value, String> {
    let told = |error: reqwest::Error| causes(&error.without_url());
    let mut response = client.get(url.clone()).send().await.map_err(told)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(told)? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err(format!("its answer is longer than {} MiB", MAX_ANSWER >> 20));
        }
        body.extend_from_slice(&part);
    }
    let document: Result<Value, _> = serde_json::from_slice(&body);
    if !status.is_success() {
        // Prometheus says in its JSON what is wrong with a query.
        let why = document.ok().and_then(|document| Some(format!(": {}", document.get("error")?.as_str()?)));
        return Err(format!("it answered {status}{}", why.unwrap_or_default()));
    }
    document.map_err(|_| "its answer is no JSON".to_owned())
}

/// The values of a field of `INFO`.
fn info_field(info: &str, field: &str) -> Result<f64, String> {
    let lines = || info.lines().filter_map(|line| line.trim().split_once(':'));
    let Some((_, value)) = lines().find(|(key, _)| *key == field) else {
        let near = nearest(field, lines().map(|(key, _)| key)).map(|near| format!("; near it: {near}"));
        return Err(format!("INFO has no field {field}{}", near.unwrap_or_default()));
    };
    number(value).ok_or_else(|| format!("{field} is no number: {value}"))
}

/// The values of the series that a query of Prometheus found: a scalar is one.
fn series(answer: &Value) -> Result<Vec<f64>, String> {
    let data = answer.get("data").ok_or("its answer is none of Prometheus")?;
    let result = data.get("result").and_then(Value::as_array).ok_or("its answer is none of Prometheus")?;
    let value = |sample: &Value| sample.get(1).and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
    match data.get("resultType").and_then(Value::as_str) {
        Some("scalar") => Ok(value(&Value::Array(result.clone())).into_iter().collect()),
        Some("vector") => Ok(result.iter().filter_map(|row| value(row.get("value")?)).collect()),
        other => Err(format!("the query's result is a {}, not a number", other.unwrap_or("riddle"))),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}

fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str().and_then(number))
}

/// Finds what lies at a path.
fn find<'a>(value: &'a Value, path: &[Segment], depth: usize, found: &mut Vec<&'a Value>) {
    let Some((first, rest)) = path.split_first() else {
        found.push(value);
        return;
    };
    let children: Vec<(bool, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, child)| (first.step.is_key(key), child)).collect(),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(at, child)| (first.step.is_index(at) || first.step == Step::Every, child))
            .collect(),
        _ => return,
    };
    for (is_step, child) in children {
        if is_step {
            find(child, rest, depth, found);
        }
        if first.deep && depth < MAX_DEPTH {
            find(child, path, depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_of_info_is_found_by_its_whole_name() {
        let info = "# Clients\r\nmaxclients:10000\r\nclients:7\r\nrole:master\r\nratio:1.5\r\n";
        assert_eq!((info_field(info, "clients"), info_field(info, "ratio")), (Ok(7.0), Ok(1.5)));
        assert_eq!(info_field(info, "client").unwrap_err(), "INFO has no field client; near it: clients");
        assert_eq!(info_field(info, "zzz").unwrap_err(), "INFO has no field zzz");
        assert_eq!(info_field(info, "role").unwrap_err(), "role is no number: master");
    }

    #[test]
    fn results_of_queries_are_vectors_or_scalars() {
        let vector = json!({ "status": "success", "data": { "resultType": "vector", "result": [
            { "metric": { "a": "1" }, "value": [1.5, "3"] }, { "metric": {}, "value": [1.5, "NaN"] },
        ] } });
        let found = series(&vector).unwrap();
        assert!(found.len() == 2 && found[0].to_string() == "3" && found[1].is_nan());
        assert_eq!(series(&json!({ "data": { "resultType": "scalar", "result": [1.5, "7"] } })), Ok(vec![7.0]));
        assert_eq!(series(&json!({ "data": { "resultType": "vector", "result": [] } })), Ok(vec![]));
        assert!(series(&json!({ "data": { "resultType": "matrix", "result": [] } })).unwrap_err().contains("a matrix"));
        assert!(series(&json!([1])).is_err());
    }

    #[test]
    fn places_in_json_are_found_by_path() {
        let document = json!({ "pools": [{ "used": 3 }, { "used": "7" }], "deep": { "er": { "used": 9 } } });
        let numbers = |path: &str| {
            let mut found = Vec::new();
            find(&document, &crate::json_path::parse(path).unwrap(), 0, &mut found);
            found.into_iter().filter_map(as_number).collect::<Vec<_>>()
        };
        assert_eq!(numbers("$.pools[1].used"), [7.0]);
        assert_eq!(numbers("$.pools[*].used"), [3.0, 7.0]);
        assert_eq!(numbers("$..used"), [9.0, 3.0, 7.0]);
        assert_eq!(numbers("$.pools"), Vec::<f64>::new());
    }
}

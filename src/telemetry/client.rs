//! One request to another system, with a time limit, and a few more where it fails.

use std::time::Duration;

use serde_json::Value;

use super::endpoint::Endpoint;
use crate::replay::outside_client;

/// Time that one attempt has.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between attempts: one fewer than there are attempts.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Sends to one endpoint.
pub(super) struct EndpointClient {
    client: reqwest::Client,
    endpoint: Endpoint,
    /// Path where the endpoint has none.
    path: &'static str,
}

impl EndpointClient {
    pub(super) fn new(endpoint: Endpoint, path: &'static str) -> Result<Self, String> {
        let client = outside_client(endpoint.is_tls(), TIMEOUT)?;
        Ok(Self { client, endpoint, path })
    }

    /// Posts JSON; what is wrong where it was not taken, however often it was tried.
    pub(super) async fn post(&self, body: &Value) -> Result<(), String> {
        let mut pauses = PAUSES.iter();
        loop {
            let why = match self.attempt(body).await {
                Ok(()) => return Ok(()),
                Err(Refused::ForGood(why)) => return Err(why),
                Err(Refused::ForNow(why)) => why,
            };
            let Some(pause) = pauses.next() else { return Err(why) };
            tokio::time::sleep(*pause).await;
        }
    }

    async fn attempt(&self, body: &Value) -> Result<(), Refused> {
        let url = self.endpoint.url(self.path);
        let request = self.client.post(url).header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.map_err(|error| {
            // Its own words would have the path in them.
            let error = error.without_url();
            Refused::ForNow(format!("{}: {}", self.endpoint, crate::causes::causes(&error)))
        })?;
        let status = response.status();
        let why = || format!("{} answered {status}", self.endpoint);
        match status.as_u16() {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=599 => Err(Refused::ForNow(why())),
            _ => Err(Refused::ForGood(why())),
        }
    }
}

/// Why it was not taken.
enum Refused {
    /// Another attempt may help.
    ForNow(String),
    /// None will.
    ForGood(String),
}

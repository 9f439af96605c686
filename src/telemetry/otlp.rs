//! Spans in the JSON encoding of OTLP (opentelemetry-proto, `ExportTraceServiceRequest`).

use std::sync::Arc;

use data_encoding::HEXLOWER;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::traceparent::TraceParent;
use crate::exchange::{Timestamp, wire_text};

/// `SPAN_KIND_CLIENT`.
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpanStatus {
    /// With this status.
    Answered(u16),
    /// Without a response: the key of the reason.
    Failed(String),
}

/// The span of one delivery.
#[derive(Clone, Debug)]
pub(crate) struct FinishedSpan {
    pub(crate) id: String,
    pub(crate) method: Vec<u8>,
    /// The target of the request, without secrets.
    pub(crate) path: Vec<u8>,
    /// URL of the stack that it went to.
    pub(crate) target: Arc<str>,
    pub(crate) begun: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) status: SpanStatus,
    /// Production's own span, where the request names it.
    pub(crate) production: Option<TraceParent>,
}

/// A request of the exporter.
pub(super) fn request(spans: &[FinishedSpan]) -> Value {
    let scope = json!({ "name": "shadowtap", "version": env!("CARGO_PKG_VERSION") });
    let resource = [text("service.name", "shadowtap"), text("service.version", env!("CARGO_PKG_VERSION"))];
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": scope, "spans": spans.iter().map(span).collect::<Vec<_>>() }],
    }] })
}

fn span(span: &FinishedSpan) -> Value {
    let mut random = rand::rng();
    let (trace, id): ([u8; 16], [u8; 8]) = (random.random(), random.random());
    let path = wire_text(&span.path);
    let (path, query) = path.split_once('?').map_or((&*path, None), |(path, query)| (path, Some(query)));
    let mut attributes = vec![
        text("http.request.method", &wire_text(&span.method)),
        text("url.path", path),
        text("shadowtap.target", &span.target),
        text("shadowtap.exchange", &span.id),
    ];
    attributes.extend(query.map(|query| text("url.query", query)));
    let mut status = json!({});
    match &span.status {
        SpanStatus::Answered(code) => {
            attributes.push(json!({ "key": "http.response.status_code", "value": { "intValue": code.to_string() } }));
            if *code >= 500 {
                attributes.push(text("error.type", &code.to_string()));
                status = json!({ "code": ERROR });
            }
        }
        SpanStatus::Failed(reason) => {
            attributes.push(text("error.type", reason));
            status = json!({ "code": ERROR, "message": reason });
        }
    }
    let links: Vec<Value> = span.production.iter().map(link).collect();
    json!({
        "traceId": HEXLOWER.encode(&trace),
        "spanId": HEXLOWER.encode(&id),
        "name": wire_text(&span.method),
        "kind": CLIENT,
        "startTimeUnixNano": span.begun.nanos().to_string(),
        "endTimeUnixNano": span.ended.nanos().max(span.begun.nanos()).to_string(),
        "attributes": attributes,
        "links": links,
        "status": status,
    })
}

fn link(to: &TraceParent) -> Value {
    json!({
        "traceId": HEXLOWER.encode(&to.trace),
        "spanId": HEXLOWER.encode(&to.span),
        "attributes": [text("shadowtap.link", "production")],
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(status: SpanStatus) -> Value {
        let production = TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let span = FinishedSpan {
            id: "1.3".to_owned(),
            method: b"GET".to_vec(),
            path: b"/a?b=1".to_vec(),
            target: "http://staging".into(),
            begun: Timestamp::from_nanos(5),
            ended: Timestamp::from_nanos(9),
            status,
            production,
        };
        request(&[span])["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
    }

    #[test]
    fn a_span_is_that_of_the_contract_and_links_production() {
        let span = example(SpanStatus::Answered(200));
        assert_eq!((span["traceId"].as_str().unwrap().len(), span["spanId"].as_str().unwrap().len()), (32, 16));
        assert_eq!(span["links"][0]["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((&span["startTimeUnixNano"], &span["endTimeUnixNano"]), (&json!("5"), &json!("9")));
        assert_eq!((&span["kind"], &span["name"], &span["status"]), (&json!(3), &json!("GET"), &json!({})));
        let attribute = |key: &str| {
            let all = span["attributes"].as_array().unwrap();
            all.iter().find(|one| one["key"] == key).map(|one| one["value"].clone())
        };
        assert_eq!(attribute("url.path"), Some(json!({ "stringValue": "/a" })));
        assert_eq!(attribute("url.query"), Some(json!({ "stringValue": "b=1" })));
        assert_eq!(attribute("http.response.status_code"), Some(json!({ "intValue": "200" })));
        assert_eq!(example(SpanStatus::Answered(503))["status"]["code"], 2);
        assert_eq!(example(SpanStatus::Failed("timeout".to_owned()))["status"]["message"], "timeout");
    }
}

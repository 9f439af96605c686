//! Which fields of a format have what a request is made of, and what is therefore known of every line.

use super::meaning::{Field, Meaning, TimeUnit, Took};

/// Numbers of the fields with each part of a request, in the order in which they count.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) times: Vec<(usize, bool)>,
    pub(super) client: Vec<usize>,
    pub(super) client_port: Vec<usize>,
    pub(super) request: Vec<usize>,
    pub(super) method: Vec<usize>,
    pub(super) target: Vec<usize>,
    pub(super) path: Vec<usize>,
    pub(super) query: Vec<usize>,
    pub(super) version: Vec<usize>,
    pub(super) host: Vec<usize>,
    pub(super) headers: Vec<(String, usize)>,
    pub(super) cookies: Vec<(String, usize)>,
    /// An object with all headers.
    pub(super) all_headers: Vec<usize>,
    pub(super) status: Vec<usize>,
    pub(super) bytes: Vec<usize>,
    pub(super) body: Vec<usize>,
    pub(super) body_length: Vec<usize>,
    pub(super) connection: Vec<usize>,
    /// To read the head of the request.
    pub(super) head: Option<(usize, TimeUnit)>,
    /// From the first byte of a request to the last one of its response.
    pub(super) all: Vec<(usize, TimeUnit)>,
    /// What may be the latency: the first that a line has is.
    pub(super) latency: Vec<LatencyFields>,
}

/// Fields whose sum is a latency.
#[derive(Clone, Debug)]
pub(super) struct LatencyFields {
    pub(super) fields: Vec<(usize, TimeUnit)>,
    /// What it is called, for people.
    name: String,
}

impl Layout {
    pub(super) fn of(fields: &[Field]) -> Self {
        let mut layout = Self::default();
        let mut hosts = Vec::new();
        for (number, field) in fields.iter().enumerate() {
            match &field.meaning {
                Meaning::Ignored | Meaning::Took(..) => {}
                Meaning::Client => layout.client.push(number),
                Meaning::ClientPort => layout.client_port.push(number),
                Meaning::Time { at_end } => layout.times.push((number, *at_end)),
                Meaning::Request => layout.request.push(number),
                Meaning::Method => layout.method.push(number),
                Meaning::Target => layout.target.push(number),
                Meaning::Path => layout.path.push(number),
                Meaning::Query => layout.query.push(number),
                Meaning::Version => layout.version.push(number),
                Meaning::Host(source) => hosts.push((*source, number)),
                Meaning::Header(name) => layout.headers.push((name.clone(), number)),
                Meaning::Cookie(name) => layout.cookies.push((name.clone(), number)),
                Meaning::Headers => layout.all_headers.push(number),
                Meaning::Status => layout.status.push(number),
                Meaning::Bytes => layout.bytes.push(number),
                Meaning::Body => layout.body.push(number),
                Meaning::BodyLength => layout.body_length.push(number),
                Meaning::Connection => layout.connection.push(number),
            }
        }
        hosts.sort_by_key(|(source, _)| *source);
        layout.host = hosts.into_iter().map(|(_, number)| number).collect();
        layout.with_times(fields)
    }

    fn with_times(mut self, fields: &[Field]) -> Self {
        let all = |wanted: Took| {
            fields.iter().enumerate().filter_map(move |(number, field)| match field.meaning {
                Meaning::Took(took, unit) if took == wanted => Some((number, unit, field.name.as_str())),
                _ => None,
            })
        };
        self.head = all(Took::Head).map(|(number, unit, _)| (number, unit)).next();
        self.all = all(Took::All).map(|(number, unit, _)| (number, unit)).collect();
        let in_haproxy = [Took::Queue, Took::Connect, Took::Server].map(|took| all(took).next());
        // HAProxy counts what it answers itself, too: that is nobody's latency.
        let sums = match in_haproxy {
            [Some(queue), Some(connect), Some(server)] => vec![vec![queue, connect, server]],
            [_, _, Some(server)] => vec![vec![server]],
            _ => {
                let others = [Took::Latency, Took::UpstreamHead, Took::Upstream, Took::All].into_iter().flat_map(all);
                others.map(|one| vec![one]).collect()
            }
        };
        self.latency = sums
            .into_iter()
            .map(|parts| LatencyFields {
                name: parts.iter().map(|(.., name)| *name).collect::<Vec<_>>().join("+"),
                fields: parts.into_iter().map(|(number, unit, _)| (number, unit)).collect(),
            })
            .collect();
        self
    }

    /// What every line has, and what none has, in words.
    pub(super) fn known(&self) -> (Vec<String>, Vec<String>) {
        let (mut known, mut unknown) = (vec!["time".to_owned()], Vec::new());
        let mut sort = |what: &str, is_known: bool| {
            if is_known { known.push(what.to_owned()) } else { unknown.push(what.to_owned()) }
        };
        sort("client", !self.client.is_empty());
        sort("method", true);
        sort("target", true);
        sort("host", !self.host.is_empty() || !self.all_headers.is_empty());
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        names.dedup();
        if !self.all_headers.is_empty() {
            sort("headers", true);
        } else if names.is_empty() {
            sort("headers", false);
        } else {
            sort(&format!("the headers {}", names.join(", ")), true);
            sort("other headers", false);
        }
        sort("bodies of requests", !self.body.is_empty());
        sort("status", !self.status.is_empty());
        match self.latency.first() {
            Some(latency) => sort(&format!("latency ({})", latency.name), true),
            None => sort("latency", false),
        }
        sort("production's headers and bodies", false);
        (known, unknown)
    }
}

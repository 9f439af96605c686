//! Targets: does a name resolve, does somebody listen, is the certificate good, what comes for `/`, and how fast?

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use super::Finding;
use crate::exchange::{Body, ConnectionId, ExchangeId, Head, Request, RequestState, Timestamp};
use crate::help;
use crate::replay::{
    AnyClient, Client as _, ConnectTo, ResponseOptions, ResponseProgress, SendError, SendSettings, Ticket,
};
use crate::report::units;

/// Longest wait for the response.
const WAIT: Duration = Duration::from_secs(5);
/// Slowest response that goes without a word.
const SLOW: Duration = Duration::from_secs(1);

/// Asks each target for `/`, as a run would: over the same connections, with the same certificates.
#[must_use]
pub fn targets(all: &[SendSettings]) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    match runtime {
        Ok(runtime) => all.iter().map(|settings| runtime.block_on(target(settings))).collect(),
        Err(error) => {
            vec![Finding::problem("target", format!("cannot be asked: {error}"), Some("ulimit -u 1024".to_owned()))]
        }
    }
}

async fn target(settings: &SendSettings) -> Finding {
    let url = settings.target.to_string();
    let addresses = match resolved(settings) {
        Ok(addresses) => addresses,
        Err(why) => {
            let mend = format!("is the name right? getent hosts {}", settings.target.host());
            return Finding::problem("target", format!("{url}: {why}"), Some(mend));
        }
    };
    let at = match addresses.as_slice() {
        [] => String::new(),
        [one] => format!(" ({one})"),
        [one, rest @ ..] => format!(" ({one} and {} more)", rest.len()),
    };
    let client = match AnyClient::new(settings) {
        Ok(client) => client,
        Err(error) => return Finding::problem("target", format!("{url}: {}", help::say(&error)), None),
    };
    let progress = ResponseProgress::default();
    let sent = client.send(Ticket::default(), Box::new(request(settings)), ResponseOptions::default(), &progress);
    match tokio::time::timeout(WAIT, sent).await {
        // What it takes to connect, and this machine to begin, is none of its time.
        Ok(Ok(response)) => answered(
            (&format!("{url}{at}"), settings.target.prefix()),
            response.status,
            response.done.saturating_duration_since(response.written),
        ),
        Ok(Err(error)) => {
            let why = why(&error);
            let mend = mend(&why, &url);
            Finding::problem("target", format!("{url}{at}: {why}"), Some(mend))
        }
        Err(_) => {
            let says = format!("{url}{at}: no response for {} s", WAIT.as_secs());
            Finding::problem("target", says, Some(curl(&url)))
        }
    }
}

/// Says why nothing came back.
fn why(error: &SendError) -> String {
    match error {
        SendError::Failed { reason: Some(reason), .. } => reason.to_string(),
        SendError::Failed { kind, .. } => kind.key().to_owned(),
        SendError::Shed(_) => "this machine has no file or port left for a connection".to_owned(),
    }
}

fn resolved(settings: &SendSettings) -> Result<Vec<SocketAddr>, String> {
    match settings.target.connect_to() {
        ConnectTo::Name(host, port) => (host.as_str(), *port)
            .to_socket_addrs()
            .map(Iterator::collect)
            .map_err(|error| format!("{host} does not resolve: {error}")),
        ConnectTo::Address(address) => Ok(vec![*address]),
        ConnectTo::Unix(_) => Ok(Vec::new()),
    }
}

/// What is asked: `/`, as a run would have it sent.
fn request(settings: &SendSettings) -> Request {
    let head =
        format!("GET / HTTP/1.1\r\nHost: {}\r\nUser-Agent: shadowtap-doctor\r\n\r\n", settings.target.authority());
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Request {
        id: ExchangeId::new(ConnectionId(1), 1),
        client: nowhere,
        server: nowhere,
        head: Head::new(head.into_bytes()),
        body: Body::EMPTY,
        first_byte: Timestamp::default(),
        last_byte: Timestamp::default(),
        state: RequestState::Whole,
    }
}

fn answered((target, prefix): (&str, &str), status: u16, took: Duration) -> Finding {
    let time = units::duration(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let says = format!("{target} answers {status} for {prefix}/ in {time}");
    match status {
        500.. => Finding::problem("target", says, Some("look at its log: it fails already".to_owned())),
        401 => Finding::note("target", says, "it asks for credentials: set them in a chain, see docs/filters.md"),
        _ if took > SLOW => {
            Finding::note("target", says, "it is slow already: begin with a small --sample, and --guard")
        }
        _ => Finding::ok("target", says),
    }
}

/// What mends a failure, by its words.
fn mend(why: &str, url: &str) -> String {
    let lower = why.to_lowercase();
    if lower.contains("refused") {
        "start it, or mend the port of --to".to_owned()
    } else if lower.contains("is it https") {
        format!("it speaks TLS: --to {}", url.replacen("http://", "https://", 1))
    } else if lower.contains("speaks http/2") {
        "send it HTTP/2: --client reqwest --http2".to_owned()
    } else if lower.contains("certificate") {
        "give the CA with --ca FILE, or the name in the certificate with --sni; --insecure checks nothing".to_owned()
    } else if lower.contains("tls") {
        format!("does it speak TLS there? Try http:// in place of {url}")
    } else {
        curl(url)
    }
}

/// The command that asks the same by hand.
fn curl(url: &str) -> String {
    match url.strip_prefix("unix:") {
        Some(path) => format!("curl -v --max-time 5 --unix-socket {path} http://localhost/"),
        None => format!("curl -v --max-time 5 {url}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_response_is_told_with_its_time_and_failures_with_what_mends_them() {
        let at = Duration::from_millis(3);
        assert_eq!(answered(("http://h", ""), 200, at).says, "http://h answers 200 for / in 3.00ms");
        assert_eq!(answered(("http://h/v2", "/v2"), 200, at).says, "http://h/v2 answers 200 for /v2/ in 3.00ms");
        let states: Vec<State> = [404, 403, 401, 503].map(|status| answered(("x", ""), status, at).state).into();
        assert_eq!(states, [State::Ok, State::Ok, State::Note, State::Problem]);
        assert_eq!(answered(("x", ""), 200, Duration::from_secs(2)).state, State::Note);
        for (why, part) in [
            ("cannot connect: Connection refused (os error 111)", "start it"),
            ("invalid peer certificate: UnknownIssuer", "--ca FILE"),
            ("TLS: received corrupt message", "Try http://"),
            ("the target speaks TLS; is it https://?", "--to https://h"),
            ("the target speaks HTTP/2; is it --client reqwest --http2?", "send it HTTP/2"),
            ("reset", "curl -v"),
        ] {
            assert!(mend(why, if why.contains("is it") { "http://h" } else { "https://h" }).contains(part), "{why}");
        }
        assert_eq!(
            mend("gone", "unix:/run/a.sock"),
            "curl -v --max-time 5 --unix-socket /run/a.sock http://localhost/"
        );
    }

    #[test]
    fn a_dead_target_and_a_name_that_is_none_are_problems() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let found = targets(&[SendSettings::new(format!("http://{closed}").parse().unwrap())]);
        assert_eq!(found[0].state, State::Problem, "{found:?}");
        assert!(found[0].mend.as_ref().unwrap().contains("start it"), "{found:?}");
        let found = targets(&[SendSettings::new("http://no-such-name.invalid:81".parse().unwrap())]);
        assert!(
            found[0].says.contains("does not resolve") && found[0].mend.as_ref().unwrap().contains("getent"),
            "{found:?}"
        );
    }
}

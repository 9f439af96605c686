//! Chains and requests as operators have them, for what a chain costs in time and in memory.

use std::path::Path;

use shadowtap::exchange::{Body, ConnectionId, ExchangeId, Head, Request, RequestState, Timestamp};
use shadowtap::middleware::file::Environment;
use shadowtap::middleware::{Chain, ChainFile, ChainSettings};

/// Ten links of every kind. What `/v2/` asks for passes them all unchanged; what `/v1/` asks for is rewritten by five.
pub(crate) const TEN_LINKS: &str = r#"
[[link]]
drop = { path = ["^/v[0-9]+/payments/", "^/checkout", "^/internal/", "^/health$"] }
[[link]]
drop = { header = { User-Agent = "^(ELB-HealthChecker|HAProxy)" } }
[[link]]
only = { host = "*.tv.example", method = ["GET", "HEAD", "POST"] }
[[link]]
sample = { share = "100%", by = "cookie:sid" }
[[link]]
limit = { requests = "1000000000/s", per = "client-ip" }
[[link]]
set-header = { X-Shadow = "1" }
when = { path = "^/v1/" }
[[link]]
replace-path = { match = "^/v1/", with = "/v2/" }
[[link]]
replace-header = { Referer = { match = "^https://old[.]", with = "https://new." } }
[[link]]
set-cookie = { stage = "shadow" }
when = { cookie = { beta = true } }
[[link]]
redact = { header = "Authorization", cookie = "uid", param = "token", how = "mask" }
"#;

/// A chain of one file.
pub(crate) fn chain(text: &str) -> Chain {
    let file = ChainFile::parse(text, Path::new("chain.toml"), &Environment::for_checks());
    Chain::new(&ChainSettings { files: vec![file.expect("the chain is well written")], ..ChainSettings::default() })
}

/// A browser's request that no link of [`TEN_LINKS`] changes.
pub(crate) fn unchanged() -> Request {
    request(
        "/v2/programs/4711/recordings?day=2026-11-20&page=3",
        "https://www.tv.example/channels",
        "theme=dark; sid=8d7f1c",
    )
}

/// A browser's request that five of them rewrite.
pub(crate) fn rewritten() -> Request {
    request("/v1/programs/4711?day=fri&token=abcdef", "https://old.tv.example/channels", "sid=8d7f1c; beta=1; uid=77")
}

fn request(target: &str, referer: &str, cookies: &str) -> Request {
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: www.tv.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) \
         Gecko/20100101 Firefox/140.0\r\nAccept: application/json, text/plain, */*\r\nAccept-Language: en-GB,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: {referer}\r\nCookie: {cookies}\r\nConnection: keep-alive\r\n\
         Sec-Fetch-Mode: cors\r\nX-Requested-With: XMLHttpRequest\r\n\r\n"
    );
    Request {
        id: ExchangeId::new(ConnectionId(1), 1),
        client: ([192, 0, 2, 7], 50_000).into(),
        server: ([192, 0, 2, 80], 80).into(),
        head: Head::new(head.into_bytes()),
        body: Body::EMPTY,
        first_byte: Timestamp::from_nanos(1),
        last_byte: Timestamp::from_nanos(2),
        state: RequestState::Whole,
    }
}

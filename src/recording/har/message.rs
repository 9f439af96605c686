//! The messages of an entry: heads made of lists of headers, and content without its codings.

use data_encoding::BASE64_MIME_PERMISSIVE as BASE64;

use super::entry::{Answered, Asked, Pair, Posted, Skipped, Times, Url, shortened};
use crate::exchange::{Body, Framing, Head, Incomplete, Request, RequestState, Response};
use crate::http1::one_shot::{self, RequestHint};
use crate::http1::{BodyPolicies, BodyPolicy};

/// Longest body that is believed, in bytes: past it a number has no room for all its digits.
const MAX_LEN: f64 = 9e15;

pub(super) fn request(
    asked: &Asked<'_>,
    url: &Url,
    interest: BodyPolicy,
) -> Result<(Head, Body, RequestState), Skipped> {
    let method = asked.method.trim();
    if method.is_empty() || method.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(("it has no method", shortened(method)));
    }
    let content = asked.post_data.as_ref().map_or(Ok(None), posted)?;
    let version = match asked.http_version.as_deref() {
        Some("HTTP/1.0" | "http/1.0") => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let mut head = Lines::new(&format!("{method} {} {version}", url.target));
    let authority = asked.headers.iter().find(|pair| pair.name.eq_ignore_ascii_case(":authority"));
    let is = |pair: &&Pair<'_>, name: &str| pair.name.eq_ignore_ascii_case(name);
    if !asked.headers.iter().any(|pair| is(&pair, "host")) {
        head.line("Host", authority.map_or(&url.authority, |pair| &pair.value))?;
    }
    let framing = ["content-length", "transfer-encoding"];
    for pair in &asked.headers {
        if !pair.name.starts_with(':') && !framing.iter().any(|name| is(&pair, name)) {
            head.lines(pair)?;
        }
    }
    let claimed = asked.headers.iter().find(|pair| is(pair, "content-length"));
    let claimed = claimed.and_then(|pair| pair.value.trim().parse::<u64>().ok());
    let measured = asked.body_size.filter(|size| *size > 0.0);
    let is_chunked = asked.headers.iter().any(|pair| is(&pair, "transfer-encoding"));
    let len = content.as_ref().map(|content| content.len() as u64).or(claimed);
    if let Some(len) = len {
        head.line("Content-Length", &len.to_string())?;
    }
    let is_missing = content.is_none() && (measured.is_some() || is_chunked);
    let bytes = head.end(content.as_deref().unwrap_or_default());
    let single =
        one_shot::request(&bytes, interest).ok_or_else(|| ("it is no HTTP/1 request", shortened(&asked.url)))?;
    // A body that is not in the archive is not sent as if there were none.
    let state = match single.state {
        RequestState::Whole if is_missing => RequestState::Incomplete(Incomplete::Cut),
        state => state,
    };
    Ok((single.head, single.body, state))
}

/// The content of a request; `None` where it is not there.
fn posted(posted: &Posted<'_>) -> Result<Option<Vec<u8>>, Skipped> {
    if let Some(text) = posted.text.as_deref().filter(|text| !text.is_empty()) {
        return decoded(text, posted.encoding.as_deref()).map(Some);
    }
    let is_form = posted.mime_type.as_deref().is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let params = posted.params.as_deref().filter(|params| is_form && !params.is_empty());
    Ok(params.map(|params| {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(params.iter().map(|pair| (&pair.name, &pair.value)));
        form.finish().into_bytes()
    }))
}

fn decoded(text: &str, encoding: Option<&str>) -> Result<Vec<u8>, Skipped> {
    match encoding {
        Some(encoding) if encoding.eq_ignore_ascii_case("base64") => {
            BASE64.decode(text.as_bytes()).map_err(|error| ("its body is not base64", error.to_string()))
        }
        _ => Ok(text.as_bytes().to_vec()),
    }
}

/// The response; `None` where there is none: browsers write status 0 then.
pub(super) fn response(
    answered: &Answered<'_>,
    request: &Request,
    asked: RequestHint,
    times: &Times,
    interests: BodyPolicies,
) -> Option<Box<Response>> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a status")]
    let status = answered.status.filter(|status| (100.0..1000.0).contains(status))? as u16;
    let is_bodiless = request.method() == b"HEAD" || matches!(status, 100..=199 | 204 | 304);
    let content = answered.content.as_ref();
    let text = content.and_then(|content| Some((content.text.as_deref()?, content.encoding.as_deref())));
    // A body that cannot be read is one that was not kept.
    let bytes = text.and_then(|(text, encoding)| decoded(text, encoding).ok());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length that is not negative")]
    let size = content
        .and_then(|content| content.size)
        .filter(|size| (0.0..MAX_LEN).contains(size))
        .map_or(0, |size| size as u64);
    let reason: String =
        answered.status_text.iter().flat_map(|text| text.chars()).filter(|c| !c.is_control()).collect();
    let mut head = Lines::new(&format!("HTTP/1.1 {status} {reason}"));
    let of_wire = ["content-length", "transfer-encoding", "content-encoding"];
    for pair in &answered.headers {
        let is_of_wire = of_wire.iter().any(|name| pair.name.eq_ignore_ascii_case(name));
        let is_framing = pair.name.eq_ignore_ascii_case("transfer-encoding");
        if !pair.name.starts_with(':') && !is_framing && (is_bodiless || !is_of_wire) {
            head.lines(pair).ok()?;
        }
    }
    if !is_bodiless {
        let len = bytes.as_ref().map_or(size, |bytes| bytes.len() as u64);
        head.line("Content-Length", &len.to_string()).ok()?;
    }
    let is_kept = bytes.is_some() || size == 0 || is_bodiless;
    let raw = head.end(bytes.as_deref().filter(|_| !is_bodiless).unwrap_or_default());
    let single = one_shot::response(&raw, asked, interests.response_body)?;
    let (body, damage) = if is_kept {
        (single.body, single.state.damage)
    } else {
        (Body { framing: Framing::Length(size), len: size, sha256: None, wire: None }, None)
    };
    Some(Box::new(Response {
        status: single.state.status,
        head: single.head,
        body,
        first_byte: times.first_byte,
        last_byte: times.last_byte,
        damage,
        opaque: single.state.opaque,
        untimed: false,
        left: false,
    }))
}

/// A head that is made line by line.
struct Lines(Vec<u8>);

impl Lines {
    fn new(start: &str) -> Self {
        Self(format!("{start}\r\n").into_bytes())
    }

    /// Values of one name, which browsers write with line ends between them.
    fn lines(&mut self, pair: &Pair<'_>) -> Result<(), Skipped> {
        pair.value.split('\n').try_for_each(|value| self.line(&pair.name, value.trim_end_matches('\r')))
    }

    fn line(&mut self, name: &str, value: &str) -> Result<(), Skipped> {
        let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !is_token || value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(("a header is none", shortened(&name.escape_debug().to_string())));
        }
        self.0.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        Ok(())
    }

    fn end(mut self, body: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(body);
        self.0
    }
}

//! Where a response points to: `Location` and `Content-Location`, as far as they mean the stack that sent them.

/// A reference, taken apart where it names its own stack's host.
#[derive(Clone, Copy, Debug)]
struct Reference<'a> {
    /// Scheme before that host, where it names one.
    scheme: Option<&'a [u8]>,
    /// Port behind it, where that is neither the one it was asked at nor that of a scheme.
    port: Option<&'a [u8]>,
    /// All of it, where it names another host.
    rest: &'a [u8],
}

/// Returns whether both sides point to the same places, each seen from its own hosts.
pub(super) fn same<'a>(
    (mut one, own): (impl Iterator<Item = &'a [u8]>, [&[u8]; 3]),
    (mut other, others_own): (impl Iterator<Item = &'a [u8]>, [&[u8]; 3]),
) -> bool {
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if Reference::of(one, own).is_same(&Reference::of(other, others_own)) => {}
            _ => return false,
        }
    }
}

impl<'a> Reference<'a> {
    fn of(value: &'a [u8], authorities: [&[u8]; 3]) -> Self {
        let whole = Self { scheme: None, port: None, rest: value };
        let parts = [&b"http"[..], b"https", b""].into_iter().find_map(|scheme| {
            let (begin, rest) = value.split_at_checked(scheme.len())?;
            let after = rest.strip_prefix(if scheme.is_empty() { &b"//"[..] } else { b"://" })?;
            begin.eq_ignore_ascii_case(scheme).then_some(((!scheme.is_empty()).then_some(begin), after))
        });
        let Some((scheme, after)) = parts else { return whole };
        let end = memchr::memchr3(b'/', b'?', b'#', after).unwrap_or(after.len());
        let Some((authority, rest)) = after.split_at_checked(end) else { return whole };
        let (host, port) = host_and_port(authority);
        let own = authorities.into_iter().filter(|own| !own.is_empty()).map(host_and_port);
        let mut own = own.filter(|(own, _)| own.eq_ignore_ascii_case(host)).peekable();
        if own.peek().is_none() {
            return whole;
        }
        // Whoever is asked at 8080 names that, or the port of the proxy before it.
        let is_usual = matches!(port, None | Some(b"" | b"80" | b"443")) || own.any(|(_, asked)| asked == port);
        Self { scheme, port: port.filter(|_| !is_usual), rest: if rest.is_empty() { b"/" } else { rest } }
    }

    /// What names no scheme stays with the one that it was asked by: that is any. Between two that do, a redirect may never
    /// end on one of them; nor does a proxy before it hear at a port that its server names by mistake.
    fn is_same(&self, other: &Self) -> bool {
        let same_scheme = match (self.scheme, other.scheme) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => true,
        };
        same_scheme && self.port == other.port && self.rest == other.rest
    }
}

/// The host of an authority, and its port where it names one (RFC 3986, 3.2).
fn host_and_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let split = memchr::memrchr(b':', authority).and_then(|colon| authority.split_at_checked(colon));
    match split.and_then(|(host, port)| Some((host, port.strip_prefix(b":")?))) {
        Some((host, port)) if port.iter().all(u8::is_ascii_digit) => (host, Some(port)),
        _ => (authority, None),
    }
}

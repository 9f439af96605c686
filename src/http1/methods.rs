//! Methods that requests in the wild begin with, and what is left of one whose beginning is missing.

/// Methods that are registered, or in common use.
const METHODS: [&[u8]; 27] = [
    b"CHECKIN",
    b"CHECKOUT",
    b"CONNECT",
    b"COPY",
    b"DELETE",
    b"GET",
    b"HEAD",
    b"LINK",
    b"LOCK",
    b"M-SEARCH",
    b"MERGE",
    b"MKCALENDAR",
    b"MKCOL",
    b"MOVE",
    b"NOTIFY",
    b"OPTIONS",
    b"PATCH",
    b"POST",
    b"PROPFIND",
    b"PROPPATCH",
    b"PURGE",
    b"PUT",
    b"REPORT",
    b"SEARCH",
    b"TRACE",
    b"UNLINK",
    b"UNLOCK",
];

/// Fewer bytes than this are the beginning of anything.
const TELLING: usize = 3;

/// Returns whether an unfinished first line begins with a method in common use and a target, so that it is no part of a
/// body. The line may end within either.
pub(super) fn has_known_method(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| match bytes.strip_prefix(*method) {
        Some([b' ', target @ ..]) => matches!(*method, b"CONNECT" | b"OPTIONS") || begins_target(target),
        Some(rest) => rest.is_empty(),
        None => bytes.len() >= TELLING && method.starts_with(bytes),
    })
}

/// Returns the same of a line of which too little may be there to tell.
pub(super) fn may_be_known_method(bytes: &[u8]) -> bool {
    has_known_method(bytes)
        || ((1..TELLING).contains(&bytes.len()) && METHODS.iter().any(|method| method.starts_with(bytes)))
}

/// Returns whether bytes are the beginning of a path, or of a URL as proxies get it.
fn begins_target(bytes: &[u8]) -> bool {
    let begins = |url: &[u8]| bytes.iter().zip(url).all(|(byte, wanted)| byte.eq_ignore_ascii_case(wanted));
    bytes.first() == Some(&b'/') || begins(b"http://") || begins(b"https://")
}

/// Returns whether `bytes` begin with a method that asks for no change (RFC 9110, 9.2.1).
pub(super) fn is_safe(bytes: &[u8]) -> bool {
    const SAFE: [&[u8]; 3] = [b"GET ", b"HEAD ", b"OPTIONS "];
    SAFE.iter().any(|method| bytes.starts_with(method))
}

/// Returns whether the first word of `bytes` is only the rest of a method whose beginning is missing: `ST` of `POST`.
/// An unregistered method is accepted; so is a registered one that ends another (`LOCK`, `UNLOCK`).
pub(super) fn is_rest_of_method(bytes: &[u8]) -> bool {
    let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    !METHODS.contains(&word) && METHODS.iter().any(|method| method.ends_with(word))
}

//! Methods that requests in the wild begin with, and what is left of one whose beginning is missing.

/// Returns whether an unfinished first line begins with a method in common use, so that it is no part of a body.
pub(super) fn has_known_method(bytes: &[u8]) -> bool {
    const KNOWN: [&[u8]; 9] =
        [b"GET /", b"POST /", b"HEAD /", b"PUT /", b"DELETE /", b"OPTIONS ", b"PATCH /", b"CONNECT ", b"PROPFIND /"];
    KNOWN.iter().any(|method| bytes.starts_with(method))
}

/// Returns whether `bytes` begin with a method that asks for no change (RFC 9110, 9.2.1).
pub(super) fn is_safe(bytes: &[u8]) -> bool {
    const SAFE: [&[u8]; 3] = [b"GET ", b"HEAD ", b"OPTIONS "];
    SAFE.iter().any(|method| bytes.starts_with(method))
}

/// Returns whether the first word of `bytes` is only the rest of a method whose beginning is missing: `ST` of `POST`.
/// An unregistered method is accepted; so is a registered one that ends another (`LOCK`, `UNLOCK`).
pub(super) fn is_rest_of_method(bytes: &[u8]) -> bool {
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
    let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    !METHODS.contains(&word) && METHODS.iter().any(|method| method.ends_with(word))
}

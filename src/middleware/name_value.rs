//! Names and values that were typed: `Name: value`, `name=value`.
//!
//! In goes what stood behind a flag, out comes a pair that can be put into a head without breaking it, or an error
//! that says how to write it.

/// Reason why a typed text is not a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HeaderError {
    /// There is no colon.
    #[error("`{typed}` has no colon; write `Name: value`")]
    NoColon {
        /// Text as typed.
        typed: String,
    },
    /// The name is no token (RFC 9110, 5.6.2).
    #[error("`{name}` cannot be a header name: letters, digits and {TOKEN_MARKS} are allowed, and nothing else")]
    Name {
        /// The name.
        name: String,
    },
    /// The value has control characters (RFC 9110, 5.5).
    #[error("the value of `{name}` has a line end or another control character in it, which no header value may have")]
    Value {
        /// The name it was typed for.
        name: String,
    },
    /// The header says where the body ends.
    #[error("`{name}` says where the body ends and cannot be changed; it is set to what the body needs")]
    Framing {
        /// The name.
        name: String,
    },
}

/// Reason why a typed text is not a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CookieError {
    /// There is no equals sign.
    #[error("`{typed}` has no equals sign; write `name=value`")]
    NoEquals {
        /// Text as typed.
        typed: String,
    },
    /// The name is no token (RFC 6265, 4.1.1).
    #[error("`{name}` cannot be the name of a cookie: letters, digits and {TOKEN_MARKS} are allowed, and nothing else")]
    Name {
        /// The name.
        name: String,
    },
    /// The value has characters that no cookie may have (RFC 6265, 4.1.1).
    #[error(
        "the value of cookie `{name}` has a blank, comma, semicolon, backslash, inner quote or control character; encode it, e.g. `%20` for a blank"
    )]
    Value {
        /// The name it was typed for.
        name: String,
    },
}

const TOKEN_MARKS: &str = "!#$%&'*+-.^_`|~";

/// A header line from `Name: value`.
///
/// # Errors
///
/// Where there is no colon, or the name or the value cannot stand in a head.
pub(crate) fn header_pair(typed: &str) -> Result<(String, String), HeaderError> {
    let (name, value) = typed.split_once(':').ok_or_else(|| HeaderError::NoColon { typed: typed.to_owned() })?;
    let name = header_name(name)?;
    let value = value.trim_matches([' ', '\t']);
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(HeaderError::Value { name });
    }
    Ok((name, value.to_owned()))
}

/// The name of a header line that may be set or removed.
///
/// # Errors
///
/// Where it cannot be a name, or may not be changed.
pub(crate) fn header_name(typed: &str) -> Result<String, HeaderError> {
    let name = typed.to_owned();
    if !is_token(typed) {
        return Err(HeaderError::Name { name });
    }
    if ["content-length", "transfer-encoding"].iter().any(|framing| typed.eq_ignore_ascii_case(framing)) {
        return Err(HeaderError::Framing { name });
    }
    Ok(name)
}

/// A cookie from `name=value`; the value may stand in quotes, which belong to it.
///
/// # Errors
///
/// Where there is no equals sign, or the name or the value cannot stand in a cookie.
pub(crate) fn cookie_pair(typed: &str) -> Result<(String, String), CookieError> {
    let (name, value) = typed.split_once('=').ok_or_else(|| CookieError::NoEquals { typed: typed.to_owned() })?;
    let name = cookie_name(name)?;
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    if !inner.bytes().all(is_cookie_octet) {
        return Err(CookieError::Value { name });
    }
    Ok((name, value.to_owned()))
}

/// The name of a cookie.
///
/// # Errors
///
/// Where it cannot be a name.
pub(crate) fn cookie_name(typed: &str) -> Result<String, CookieError> {
    if is_token(typed) { Ok(typed.to_owned()) } else { Err(CookieError::Name { name: typed.to_owned() }) }
}

/// RFC 9110, 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || TOKEN_MARKS.as_bytes().contains(&byte))
}

/// RFC 6265, 4.1.1; bytes past ASCII are let through, since real cookies have them.
const fn is_cookie_octet(byte: u8) -> bool {
    !(byte.is_ascii_control() || matches!(byte, b' ' | b'"' | b',' | b';' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own((name, value): (&str, &str)) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn headers_are_split_at_the_first_colon_and_their_values_trimmed() {
        for (typed, pair) in [
            ("X-A: 1", ("X-A", "1")),
            ("X-A:1", ("X-A", "1")),
            ("X-Time: 12:30 ", ("X-Time", "12:30")),
            ("X-Empty:", ("X-Empty", "")),
            ("Host: staging.example:8080", ("Host", "staging.example:8080")),
        ] {
            assert_eq!(header_pair(typed), Ok(own(pair)), "{typed}");
        }
    }

    #[test]
    fn headers_that_would_break_a_head_are_refused_with_the_reason() {
        for (typed, reason) in [
            ("X-A", "has no colon; write `Name: value`"),
            ("X A: 1", "cannot be a header name"),
            (": 1", "cannot be a header name"),
            ("X-A : 1", "cannot be a header name"),
            ("X-A: 1\r\nEvil: 2", "control character"),
            ("Content-Length: 5", "says where the body ends"),
            ("transfer-ENCODING: chunked", "says where the body ends"),
        ] {
            let error = header_pair(typed).unwrap_err().to_string();
            assert!(error.contains(reason), "{typed}: {error}");
        }
        assert!(matches!(header_name("Content-Length"), Err(HeaderError::Framing { .. })));
    }

    #[test]
    fn cookies_are_split_at_the_first_equals_sign() {
        for (typed, pair) in
            [("a=1", ("a", "1")), ("a=", ("a", "")), ("a=b=c==", ("a", "b=c==")), ("a=\"q\"", ("a", "\"q\""))]
        {
            assert_eq!(cookie_pair(typed), Ok(own(pair)), "{typed}");
        }
    }

    #[test]
    fn cookies_that_would_become_others_are_refused_with_the_reason() {
        for (typed, reason) in [
            ("a", "has no equals sign; write `name=value`"),
            ("=1", "cannot be the name of a cookie"),
            ("a b=1", "cannot be the name of a cookie"),
            ("a=1; b=2", "encode it"),
            ("a=x y", "encode it"),
            ("a=\"", "encode it"),
        ] {
            let error = cookie_pair(typed).unwrap_err().to_string();
            assert!(error.contains(reason), "{typed}: {error}");
        }
    }
}

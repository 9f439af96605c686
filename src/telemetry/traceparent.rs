//! The header `traceparent` (W3C Trace Context), which says of which trace a request is a part.

/// Identity of a span of another system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Identity of its trace.
    pub trace: [u8; 16],
    /// Its own.
    pub span: [u8; 8],
}

impl TraceParent {
    /// Reads a value of the header; `None` where it is none.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.trim_ascii().split(|byte| *byte == b'-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more behind it; 255 is none.
        let is_known = version.len() == 2 && version != b"ff" && (version != b"00" || parts.next().is_none());
        let flags: Option<[u8; 1]> = hex(flags);
        let (trace, span): ([u8; 16], [u8; 8]) = (hex(trace)?, hex(span)?);
        let is_some = trace != [0; 16] && span != [0; 8];
        (is_known && hex::<1>(version).is_some() && flags.is_some() && is_some).then_some(Self { trace, span })
    }
}

/// Bytes in lower-case hexadecimal.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let len = data_encoding::HEXLOWER.decode_len(text.len()).ok().filter(|len| *len == N)?;
    data_encoding::HEXLOWER.decode_mut(text, bytes.get_mut(..len)?).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_value_that_is_right_says_anything() {
        let right = b" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ";
        let found = TraceParent::parse(right).unwrap();
        assert_eq!((found.trace[0], found.trace[15], found.span[7]), (0x0a, 0x9c, 0x31));
        assert!(TraceParent::parse(b"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").is_some());
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}

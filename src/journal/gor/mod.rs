//! GoReplay's record format, `.gor`: one message a record, request and response under one id.
//!
//! ```text
//! TYPE SP ID SP TIME [SP LATENCY] LF  message as on the wire  LF U+1F435 U+1F648 U+1F649 LF
//! ```
//!
//! TYPE is 1 for a request, 2 for its response, 3 for what a replay got. TIME is when the first byte was captured, in
//! nanoseconds since 1970; LATENCY how long it took to the last one. GoReplay makes ids of 24 hex digits: the client's
//! port, the server's port, the client's IPv4 address (or the end of an IPv6 one), and a TCP number. Nothing can be
//! escaped: a message that has the separating line in it cannot be held.

mod write;

pub(super) use write::GorWriter;

/// What ends a record: a line of three emoji, and the end of the line before it.
const SEPARATOR: &[u8] = b"\n\xf0\x9f\x90\xb5\xf0\x9f\x99\x88\xf0\x9f\x99\x89\n";

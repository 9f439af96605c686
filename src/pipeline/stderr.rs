//! What commands and external processes write to stderr, for people.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest line that is logged whole; the rest of a longer one is a line of its own.
const LINE_BYTES: usize = 4096;

/// Logs what a process writes, line by line.
pub(super) async fn log_lines(mut from: impl AsyncRead + Unpin, who: &'static str) {
    let mut line = Vec::with_capacity(LINE_BYTES);
    let mut buffer = vec![0; LINE_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        for byte in buffer.iter().take(bytes) {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= LINE_BYTES {
                log_line(&mut line, who);
            }
        }
    }
    log_line(&mut line, who);
}

fn log_line(line: &mut Vec<u8>, who: &str) {
    if !line.is_empty() {
        tracing::warn!("{who} says: {}", String::from_utf8_lossy(line).trim_end());
    }
    line.clear();
}

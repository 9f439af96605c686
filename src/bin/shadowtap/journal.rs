//! Lines on their way to the journal of systemd, where standard error is connected to it: with their level, and what belongs
//! to them in fields of its own (`systemd.journal-fields(7)`, the native protocol).

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Bytes of an entry that go in one datagram: what is longer goes to standard error.
const MAX_ENTRY: usize = 128 << 10;

/// The journal; empty where standard error is something else.
static JOURNAL: OnceLock<UnixDatagram> = OnceLock::new();

/// Connects to the journal, where it is behind standard error. To be called before the process limits itself.
pub(crate) fn open() {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return };
    let Ok(metadata) = std::fs::metadata("/proc/self/fd/2") else { return };
    // A program whose standard error was sent elsewhere inherits the variable all the same.
    if stream != format!("{}:{}", metadata.dev(), metadata.ino()) {
        return;
    }
    let connected = UnixDatagram::unbound().and_then(|socket| {
        socket.connect(SOCKET)?;
        Ok(socket)
    });
    if let Ok(socket) = connected {
        JOURNAL.set(socket).ok();
    }
}

/// Sends a line; false where there is no journal, or it does not take it.
pub(crate) fn send(text: &str, more: &Map<String, Value>) -> bool {
    let Some(journal) = JOURNAL.get() else { return false };
    let entry = entry(text, more);
    entry.len() <= MAX_ENTRY && journal.send(&entry).is_ok()
}

/// An entry: the message without its level, the level, and a field for each value.
fn entry(text: &str, more: &Map<String, Value>) -> Vec<u8> {
    let levels = [("error: ", 3), ("warning: ", 4)];
    let found = levels.iter().find_map(|(word, level)| Some((text.strip_prefix(word)?, *level)));
    let (message, priority) = found.unwrap_or((text, 6));
    let mut entry = Vec::new();
    field("PRIORITY", &priority.to_string(), &mut entry);
    field("SYSLOG_IDENTIFIER", "shadowtap", &mut entry);
    field("MESSAGE", message.trim_end(), &mut entry);
    for (key, value) in more {
        put("SHADOWTAP", key, value, &mut entry);
    }
    entry
}

/// A value under its name; what is in an object has names of its own: `SHADOWTAP_PROGRESS_SENT`.
fn put(before: &str, key: &str, value: &Value, entry: &mut Vec<u8>) {
    let letters =
        key.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' });
    let name: String = before.chars().chain(['_']).chain(letters).take(64).collect();
    match value {
        Value::Null => {}
        Value::Object(values) => values.iter().for_each(|(key, value)| put(&name, key, value, entry)),
        Value::String(text) => field(&name, text, entry),
        other => field(&name, &other.to_string(), entry),
    }
}

fn field(name: &str, value: &str, entry: &mut Vec<u8>) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(text: &str, more: Value) -> String {
        let Value::Object(more) = more else { panic!("no object") };
        String::from_utf8(entry(text, &more)).unwrap()
    }

    #[test]
    fn a_line_has_its_level_and_its_fields_apart() {
        assert_eq!(encoded("warning: 3 gaps", json!({})), "PRIORITY=4\nSYSLOG_IDENTIFIER=shadowtap\nMESSAGE=3 gaps\n");
        let more = json!({ "progress": { "sent": 5, "per-second": 1.5, "none": null }, "report": "a" });
        let line = encoded("5 seen", more);
        assert!(line.starts_with("PRIORITY=6\n"), "{line}");
        for part in ["\nSHADOWTAP_PROGRESS_SENT=5\n", "\nSHADOWTAP_PROGRESS_PER_SECOND=1.5\n", "\nSHADOWTAP_REPORT=a\n"]
        {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn a_value_of_several_lines_says_how_long_it_is() {
        let text = encoded("error: a\nMESSAGE=b", json!({}));
        assert!(text.ends_with("MESSAGE\n\u{b}\0\0\0\0\0\0\0a\nMESSAGE=b\n"), "{text:?}");
    }
}

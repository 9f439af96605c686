//! Words that several links share: names of rules, and lengths of time.

use std::time::Duration;

use super::reader::{Located, TomlReader};

/// The name under which a request ends: a word that can be a key in the summary.
pub(super) fn rule_name(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<String> {
    let name = reader.text(value)?;
    let is_word =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let message = format!("`{name}` is no name for a rule; write letters, digits and hyphens, such as no-payments");
    reader.keep(value.span(), if is_word { Ok(name.to_owned()) } else { Err(message) })
}

/// `500ms`, `2s`, `1m`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000)];
    let millis = units
        .into_iter()
        .find_map(|(unit, millis)| text.strip_suffix(unit)?.parse::<u32>().ok().map(|n| u64::from(n) * millis));
    let time = millis.filter(|millis| *millis > 0).map(Duration::from_millis);
    time.ok_or_else(|| format!("`{text}` is no length of time; write 500ms, 2s or 1m"))
}

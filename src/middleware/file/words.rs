//! Words that several links share: names of rules, lengths of time, values of JSON.

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
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let millis = units
        .into_iter()
        .find_map(|(unit, millis)| text.strip_suffix(unit)?.parse::<u32>().ok().map(|n| u64::from(n) * millis));
    let time = millis.filter(|millis| *millis > 0).map(Duration::from_millis);
    time.ok_or_else(|| format!("`{text}` is no length of time; write 500ms, 2s or 1m"))
}

/// The same, as it stands in a file.
pub(super) fn span_of_time(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Duration> {
    let text = reader.text(value)?;
    reader.keep(value.span(), time(text))
}

/// The same value in JSON. Numbers keep their digits where JSON has them.
pub(super) fn json(value: &toml::de::DeValue<'_>) -> Option<serde_json::Value> {
    use toml::de::DeValue;
    Some(match value {
        DeValue::String(text) => serde_json::Value::from(&**text),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.into(),
        DeValue::Float(number) => serde_json::Number::from_f64(number.as_str().parse().ok()?)?.into(),
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Datetime(_) => return None,
        DeValue::Array(all) => all.iter().map(|value| json(value.get_ref())).collect::<Option<Vec<_>>>()?.into(),
        DeValue::Table(table) => {
            let members = table.iter().map(|(key, value)| Some((key.get_ref().to_string(), json(value.get_ref())?)));
            serde_json::Value::Object(members.collect::<Option<_>>()?)
        }
    })
}

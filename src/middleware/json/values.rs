//! Values in a JSON text that are read, or replaced where they stand: every byte around them stays.

use super::node::JsonNode;
use super::{JsonChange, JsonPath, NotJson, any_depth};
use crate::json_path::{Segment, Step};

/// Offers each value at `path` to `replacement`, which gives another one as JSON text; `None` where none was replaced.
pub(in crate::middleware) fn replace(
    text: &str,
    path: &JsonPath,
    replacement: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Option<String>, NotJson> {
    let mut out = String::new();
    let mut copied = 0;
    for value in values(text, path)? {
        let Some(new) = replacement(value) else { continue };
        let start = value.as_ptr().addr() - text.as_ptr().addr();
        out.push_str(text.get(copied..start).ok_or(NotJson)?);
        out.push_str(&new);
        copied = start + value.len();
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Ok((copied > 0).then_some(out))
}

/// The values at `path` in their order, as slices of the text.
pub(in crate::middleware) fn values<'t>(text: &'t str, path: &JsonPath) -> Result<Vec<&'t str>, NotJson> {
    let mut found = Vec::new();
    inside(text, &path.0, &mut found)?;
    Ok(found)
}

fn inside<'t>(text: &'t str, path: &[Segment], found: &mut Vec<&'t str>) -> Result<(), NotJson> {
    let Some((first, rest)) = path.split_first() else {
        found.push(text);
        return Ok(());
    };
    if let Segment { deep: true, step: Step::Key(key) } = first {
        let start = text.as_ptr().addr();
        any_depth(text, key, &mut |value| {
            let at = value.as_ptr().addr() - start;
            found.extend(text.get(at..at + value.len()));
            JsonChange::Keep
        })?;
        // A value of that name may lie within another one: the outer one is not replaced and read twice.
        found.dedup_by(|inner, outer| inner.as_ptr().addr() < outer.as_ptr().addr() + outer.len());
        return Ok(());
    }
    let node: JsonNode<'t> = serde_json::from_str(text).map_err(|_| NotJson)?;
    for (at, item) in node.items.iter().enumerate() {
        let is_it = item.key.as_deref().map_or_else(|| first.step.is_index(at), |key| first.step.is_key(key));
        if is_it {
            inside(item.value, rest, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_where_it_stands() {
        for (path, text, expected) in [
            ("$.a", "{ \"a\" : 1.0 ,\n \"b\":2 }", Some("{ \"a\" : X ,\n \"b\":2 }")),
            ("$.a[*].b", "{\"a\": [ {\"b\":1}, {\"b\": \"2\"} , 3]}", Some("{\"a\": [ {\"b\":X}, {\"b\": X} , 3]}")),
            ("$..b", "{\"a\": [ {\"b\":1} ], \"b\" : [2]}", Some("{\"a\": [ {\"b\":X} ], \"b\" : X}")),
            ("$..b", "{\"b\": {\"b\" : 1}, \"c\":{\"b\":2}}", Some("{\"b\": X, \"c\":{\"b\":X}}")),
            ("$.x", "{\"a\":1}", None),
        ] {
            let path = JsonPath::parse(path).unwrap();
            let replaced = replace(text, &path, &mut |_| Some("X".to_owned()));
            assert_eq!(replaced, Ok(expected.map(str::to_owned)), "{text}");
        }
        let path = JsonPath::parse("$.a").unwrap();
        assert_eq!(replace("{\"a\":1", &path, &mut |_| Some("X".to_owned())), Err(NotJson));
        assert_eq!(replace("{\"a\":1}", &path, &mut |_| None), Ok(None));
    }
}

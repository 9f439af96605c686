//! Values as they may be shown: short, and without secrets.

use serde_json::Value;

use super::common::common_len;
use super::path::{PathStep, cut_at};
use super::tree::TreeNode;
use crate::middleware::redact::MASK;
use crate::middleware::secret_names::SecretNames;

/// Longest text that is shown of a value, in bytes; of a longer one it is what stands about the difference, with `…`
/// for the rest.
pub(super) const MAX_SHOWN: usize = 200;
/// Longest name whose value is shown, in bytes.
const MAX_NAME: usize = 1024;
/// Mark of a text that is cut there.
const CUT: &str = "…";
/// Bytes before the difference that are shown of it.
const BEFORE: usize = 40;

/// Two texts that differ: what stands about the first place where they do.
pub(super) fn pair(production: &str, shadow: &str) -> (Value, Value) {
    if production.len() <= MAX_SHOWN && shadow.len() <= MAX_SHOWN {
        return (production.into(), shadow.into());
    }
    let same = common_len(production.as_bytes(), shadow.as_bytes());
    let from = same.saturating_sub(BEFORE);
    (window(production, from).into(), window(shadow, from).into())
}

/// One text, its beginning.
pub(super) fn one(text: &str) -> Value {
    window(text, 0).into()
}

fn window(text: &str, from: usize) -> String {
    let before = cut_at(text, from);
    let rest = text.get(before.len()..).unwrap_or_default();
    let shown = cut_at(rest, MAX_SHOWN);
    if shown.len() == text.len() {
        return text.to_owned();
    }
    let mut window = String::with_capacity(shown.len() + 2 * CUT.len());
    window.push_str(if before.is_empty() { "" } else { CUT });
    window.push_str(shown);
    window.push_str(if shown.len() < rest.len() { CUT } else { "" });
    window
}

/// Returns whether a value at this path is a secret, by the name of any key on the path; of an element of a list, also where that
/// is the plural of such a name.
pub(super) fn is_secret(steps: &[PathStep<'_>], secrets: &SecretNames) -> bool {
    let by_itself = steps.iter().any(|step| matches!(step, PathStep::Key(key) if hides(key, secrets)));
    by_itself
        || steps
            .windows(2)
            .any(|pair| matches!(pair, [PathStep::Key(key), PathStep::Index(_)] if secrets.has_list(key)))
}

/// Returns whether a value of this name is masked. Names longer than the limit are not searched; their values are
/// always masked.
fn hides(key: &str, secrets: &SecretNames) -> bool {
    key.len() > MAX_NAME || secrets.has_key(key)
}

/// Two JSON values that differ, at this place.
pub(super) fn nodes(
    steps: &[PathStep<'_>],
    production: Option<&TreeNode<'_>>,
    shadow: Option<&TreeNode<'_>>,
    secrets: &SecretNames,
) -> (Value, Value) {
    let is_list = |node: Option<&TreeNode<'_>>| matches!(node.map(TreeNode::resolved), Some(TreeNode::List(..)));
    let in_lists = is_list(production) || is_list(shadow);
    let is_list_of = in_lists && matches!(steps.last(), Some(PathStep::Key(key)) if secrets.has_list(key));
    if is_list_of || is_secret(steps, secrets) {
        let mask = |node: Option<&TreeNode<'_>>| node.map_or(Value::Null, |_| MASK.into());
        return (mask(production), mask(shadow));
    }
    let (production, shadow) = (production.map(TreeNode::resolved), shadow.map(TreeNode::resolved));
    if let (Some(production), Some(shadow)) = (production.and_then(text), shadow.and_then(text)) {
        return pair(production, shadow);
    }
    match (production, shadow) {
        (Some(TreeNode::Number(production)), Some(TreeNode::Number(shadow))) => {
            // Where one of them would be rounded both are their digits, as text.
            match (production.exact(), shadow.exact()) {
                (Some(production), Some(shadow)) => (production, shadow),
                _ => pair(production.text(), shadow.text()),
            }
        }
        (production, shadow) => {
            let shown = |side: Option<&TreeNode<'_>>| side.map_or(Value::Null, |side| node(side, secrets));
            (shown(production), shown(shadow))
        }
    }
}

fn text<'n>(node: &'n TreeNode<'_>) -> Option<&'n str> {
    match node {
        TreeNode::Text(text) => Some(text),
        TreeNode::Unpaired(text) => Some(text),
        _ => None,
    }
}

fn node(node: &TreeNode<'_>, secrets: &SecretNames) -> Value {
    match node {
        TreeNode::Same(same) => self::node(same, secrets),
        TreeNode::Null => Value::Null,
        TreeNode::Bool(value) => (*value).into(),
        TreeNode::Number(number) => number.exact().unwrap_or_else(|| one(number.text())),
        TreeNode::Text(_) | TreeNode::Unpaired(_) => text(node).map_or(Value::Null, one),
        TreeNode::List(..) | TreeNode::Object(..) => one(&as_json(node, MAX_SHOWN, secrets)),
    }
}

/// The beginning of a value as JSON, without secrets: what is beyond `most` bytes is cut somewhere.
pub(super) fn as_json(node: &TreeNode<'_>, most: usize, secrets: &SecretNames) -> String {
    let mut text = String::new();
    write_json(node, most, secrets, &mut text);
    text
}

/// Writes a value as JSON until there is enough of it.
fn write_json(node: &TreeNode<'_>, most: usize, secrets: &SecretNames, text: &mut String) {
    if text.len() > most {
        return;
    }
    match node {
        TreeNode::Same(same) => write_json(same, most, secrets, text),
        TreeNode::List(items, _) => {
            text.push('[');
            for (at, item) in items.iter().enumerate().take(most) {
                text.push_str(if at == 0 { "" } else { "," });
                write_json(item, most, secrets, text);
            }
            text.push(']');
        }
        TreeNode::Object(members, _) => {
            text.push('{');
            for (at, (key, value)) in members.iter().enumerate().take(most) {
                text.push_str(if at == 0 { "" } else { "," });
                text.push_str(&Value::from(cut_at(key, MAX_SHOWN)).to_string());
                text.push(':');
                let is_list = matches!(value.resolved(), TreeNode::List(..));
                if hides(key, secrets) || (is_list && secrets.has_list(key)) {
                    text.push_str(&Value::from(MASK).to_string());
                } else {
                    write_json(value, most, secrets, text);
                }
                if text.len() > most {
                    return;
                }
            }
            text.push('}');
        }
        TreeNode::Number(number) if number.exact().is_none() => text.push_str(cut_at(number.text(), MAX_SHOWN)),
        scalar => text.push_str(&self::node(scalar, secrets).to_string()),
    }
}

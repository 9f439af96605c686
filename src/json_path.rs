//! Paths into JSON: `$.items[*].price`, `$["odd key"]`, `$..email`. One language for comparison and chain files.
//!
//! A JSON pointer (RFC 6901) is taken, too: `/items/*/price`, with `*` for every element or member. `..email` is short for
//! `$..email`.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// True when any number of levels may lie before it (`..`).
    pub(crate) deep: bool,
    pub(crate) step: Step,
}

/// What a step leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The member of this name.
    Key(String),
    /// The element at this index.
    Index(usize),
    /// The member of this name, or the element at this index: a pointer does not tell them apart.
    KeyOrIndex(String, usize),
    /// Every element or member.
    Every,
}

impl Step {
    /// Returns whether it leads to the member of this name.
    pub(crate) fn is_key(&self, name: &str) -> bool {
        match self {
            Self::Key(key) | Self::KeyOrIndex(key, _) => key == name,
            Self::Index(_) => false,
            Self::Every => true,
        }
    }

    /// Returns whether it leads to the element at this index.
    pub(crate) const fn is_index(&self, at: usize) -> bool {
        match self {
            Self::Key(_) => false,
            Self::Index(index) | Self::KeyOrIndex(_, index) => *index == at,
            Self::Every => true,
        }
    }
}

/// Parses a path. The error says what is wrong with the text, without the text.
pub(crate) fn parse(text: &str) -> Result<Vec<Segment>, &'static str> {
    if let Some(pointer) = text.strip_prefix('/') {
        return Ok(pointer.split('/').map(token).collect());
    }
    let mut rest = match text.strip_prefix('$') {
        Some(rest) => rest,
        None if text.starts_with("..") => text,
        None => return Err("it begins with $, which is the whole document"),
    };
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let (deep, after) = match rest.strip_prefix("..") {
            Some(after) => (true, after),
            None => (false, rest),
        };
        let (step, after) = match after.strip_prefix('[') {
            Some(inside) => bracket(inside)?,
            None if deep => name(after)?,
            None => name(after.strip_prefix('.').ok_or("a dot or a bracket stands before each step")?)?,
        };
        segments.push(Segment { deep, step });
        rest = after;
    }
    Ok(segments)
}

/// One token of a pointer (RFC 6901, section 4): `~1` is a slash, `~0` a tilde.
fn token(token: &str) -> Segment {
    let step = match (token, token.parse()) {
        ("*", _) => Step::Every,
        (_, Ok(index)) => Step::KeyOrIndex(token.to_owned(), index),
        _ => Step::Key(token.replace("~1", "/").replace("~0", "~")),
    };
    Segment { deep: false, step }
}

fn name(text: &str) -> Result<(Step, &str), &'static str> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    match text.split_at(end) {
        ("", _) => Err("a step has no name"),
        ("*", rest) => Ok((Step::Every, rest)),
        (key, rest) => Ok((Step::Key(key.to_owned()), rest)),
    }
}

fn bracket(text: &str) -> Result<(Step, &str), &'static str> {
    if let Some(rest) = text.strip_prefix("*]") {
        return Ok((Step::Every, rest));
    }
    for quote in ['"', '\''] {
        if let Some(text) = text.strip_prefix(quote) {
            return quoted(text, quote);
        }
    }
    let (index, rest) = text.split_once(']').ok_or("a bracket is not closed")?;
    let index = index.parse().map_err(|_| "in brackets stands a number, * or a name in quotes")?;
    Ok((Step::Index(index), rest))
}

/// A name up to its quote; a backslash stands before a quote or a backslash that belongs to it.
fn quoted(text: &str, quote: char) -> Result<(Step, &str), &'static str> {
    let mut key = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => key.extend(letters.next().map(|(_, letter)| letter)),
            _ if letter == quote => {
                let rest = text.get(at + 1..).and_then(|rest| rest.strip_prefix(']'));
                return Ok((Step::Key(key), rest.ok_or("a bracket is not closed")?));
            }
            letter => key.push(letter),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(step: Step) -> Segment {
        Segment { deep: false, step }
    }

    #[test]
    fn a_path_and_a_pointer_lead_to_the_same() {
        let (items, price) = (near(Step::Key("items".into())), near(Step::Key("price".into())));
        for text in ["$.items[*].price", "/items/*/price", "$['items'].*[\"price\"]"] {
            assert_eq!(parse(text).unwrap(), [items.clone(), near(Step::Every), price.clone()], "{text}");
        }
        assert_eq!(parse("/a~1b~0").unwrap(), [near(Step::Key("a/b~".into()))]);
        assert_eq!(parse("/3").unwrap(), [near(Step::KeyOrIndex("3".into(), 3))]);
        assert_eq!(parse("$[3]").unwrap(), [near(Step::Index(3))]);
        assert_eq!(parse("$").unwrap(), []);
        let deep = [Segment { deep: true, step: Step::Key("email".into()) }];
        assert_eq!((parse("$..email").unwrap(), parse("..email").unwrap()), (deep.to_vec(), deep.to_vec()));
    }

    #[test]
    fn a_step_knows_members_from_elements() {
        let both = Step::KeyOrIndex("3".into(), 3);
        assert!(both.is_key("3") && both.is_index(3) && !both.is_index(2));
        assert!(!Step::Index(3).is_key("3") && !Step::Key("3".into()).is_index(3));
        assert!(Step::Every.is_key("a") && Step::Every.is_index(7));
    }
}

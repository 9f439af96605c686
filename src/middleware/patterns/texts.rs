//! Plain texts of a list, looked up in order.

/// Texts in order, each with the longest other one that it begins with.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<KnownText>);

#[derive(Debug)]
struct KnownText {
    text: Box<[u8]>,
    number: u32,
    /// The least number of it and all that it begins with.
    least: u32,
    parent: Option<usize>,
}

impl Texts {
    pub(super) fn new(mut texts: Vec<(Vec<u8>, u32)>) -> Self {
        texts.sort_unstable();
        // Of the same text the first in the list counts.
        texts.dedup_by(|next, first| next.0 == first.0);
        let mut all: Vec<KnownText> = Vec::with_capacity(texts.len());
        for (text, number) in texts {
            let mut parent = all.len().checked_sub(1);
            while let Some(other) = parent.and_then(|at| all.get(at)).filter(|other| !text.starts_with(&other.text)) {
                parent = other.parent;
            }
            let least = parent.and_then(|at| all.get(at)).map_or(number, |other| other.least.min(number));
            all.push(KnownText { text: text.into(), number, least, parent });
        }
        Self(all)
    }

    /// The least number of those that `text` begins with.
    pub(super) fn first_prefix(&self, text: &[u8]) -> Option<u32> {
        // All that `text` begins with is what the last one before it begins with, or that one itself.
        let mut at = self.0.partition_point(|one| &*one.text <= text).checked_sub(1);
        while let Some(one) = at.and_then(|at| self.0.get(at)) {
            if text.starts_with(&one.text) {
                return Some(one.least);
            }
            at = one.parent;
        }
        None
    }

    /// The number of the one that is `text`.
    pub(super) fn same(&self, text: &[u8]) -> Option<u32> {
        let at = self.0.binary_search_by(|one| (*one.text).cmp(text)).ok()?;
        self.0.get(at).map(|one| one.number)
    }
}

//! What was probably meant by a word that is not known.

/// Returns the one of `known` that was probably meant by `typed`.
pub(crate) fn nearest<'k>(typed: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    /// Least similarity of two words, from 0 to 1, at which one counts as a typo of the other.
    const ALIKE: f64 = 0.8;
    known
        .map(|word| (strsim::jaro_winkler(typed, word), word))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, word)| word)
}

//! What was probably meant by a word that is not known.

use std::path::Path;

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

/// Most names of a folder that are looked at.
const MAX_NAMES: usize = 10_000;

/// Says which file beside a missing one was probably meant: two slips away; `None` where the file is there, or none is.
pub(crate) fn file_beside(missing: &Path) -> Option<String> {
    let (folder, name) = (missing.parent()?, missing.file_name()?.to_str()?);
    if missing.symlink_metadata().is_ok() {
        return None;
    }
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let slips = |other: &str| strsim::damerau_levenshtein(name, other);
    let most = 2.min(name.chars().count().saturating_sub(1));
    let names = std::fs::read_dir(here).ok()?.flatten().take(MAX_NAMES);
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let nearest = names.map(|other| (slips(&other), other)).filter(|(slips, _)| *slips <= most).min()?;
    Some(format!("perhaps {} was meant", folder.join(nearest.1).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_two_slips_away_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("evening.pcap"), "").unwrap();
        let meant = |name: &str| file_beside(&folder.path().join(name));
        assert!(meant("evenign.pcap").unwrap().ends_with("/evening.pcap was meant"));
        assert_eq!((meant("morning.pcap"), meant("evening.pcap"), meant("none/evening.pcap")), (None, None, None));
        assert_eq!(file_beside(Path::new("Cargo.tml")).as_deref(), Some("perhaps Cargo.toml was meant"));
    }
}

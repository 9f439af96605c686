//! Passwords, tokens and keys: from a file or the environment, never from a command line or a chain file.
//!
//! In goes the name of a place, out comes what stands there. It is never printed.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::bounded;

/// Largest file that is taken for a secret, in bytes; a larger one is a mistake.
const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Bytes of line ends that may stand behind it.
const LINE_END: usize = 64;

/// Something that nobody is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[a secret]")
    }
}

/// Location of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretLocation {
    /// In this environment variable.
    Variable(String),
    /// In this file, but for the line end at its end.
    File(PathBuf),
}

/// Reason why a secret is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The variable is not set, or not text.
    #[error("the environment has no variable {name}; set it where shadowtap is started")]
    Variable {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// There is nothing in it, or more than a secret.
    #[error("{place} is empty, has a line end inside, or is longer than {MAX_SECRET_BYTES} bytes: that is no secret")]
    Content {
        /// Location that was read.
        place: String,
    },
}

/// Source of secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretLookup {
    /// Their actual locations.
    #[default]
    Real,
    /// None: the name of the location replaces its content, such as `env:PASSWORD`. For checking a file on a machine
    /// that has none of its secrets.
    Placeholders,
}

impl SecretLookup {
    /// What stands at `place`; file names are looked up from `folder`.
    ///
    /// # Errors
    ///
    /// Where there is no such variable, the file cannot be read, or neither holds a secret.
    pub fn read(self, place: &SecretLocation, folder: &Path) -> Result<Secret, SecretError> {
        let (text, place) = self.text(place, folder)?;
        Secret::new(text, &place, u8::is_ascii_control)
    }

    /// The same for a secret that may have several lines, such as a key in PEM.
    pub(crate) fn read_lines(self, place: &SecretLocation, folder: &Path) -> Result<Secret, SecretError> {
        let (text, place) = self.text(place, folder)?;
        Secret::new(text, &place, |byte| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t'))
    }

    /// What stands at `place`, and the name of that.
    fn text(self, place: &SecretLocation, folder: &Path) -> Result<(Vec<u8>, String), SecretError> {
        Ok(match (self, place) {
            (Self::Placeholders, SecretLocation::Variable(name)) => (format!("env:{name}").into_bytes(), name.clone()),
            (Self::Placeholders, SecretLocation::File(path)) => {
                let text = format!("file:{}", path.display());
                (text.clone().into_bytes(), text)
            }
            (Self::Real, SecretLocation::Variable(name)) => {
                let value = std::env::var(name).map_err(|_| SecretError::Variable { name: name.clone() })?;
                (value.into_bytes(), name.clone())
            }
            (Self::Real, SecretLocation::File(path)) => {
                let path = folder.join(path);
                let text = bounded::read(&path, "a secret", MAX_SECRET_BYTES + LINE_END)
                    .map_err(|error| SecretError::File { path: path.clone(), source: error.into_io() })?;
                (text, path.display().to_string())
            }
        })
    }
}

impl Secret {
    fn new(mut text: Vec<u8>, place: &str, is_bad: impl Fn(&u8) -> bool) -> Result<Self, SecretError> {
        while text.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
            text.pop();
        }
        let fits = !text.is_empty() && text.len() <= MAX_SECRET_BYTES && !text.iter().any(is_bad);
        if fits { Ok(Self(text)) } else { Err(SecretError::Content { place: place.to_owned() }) }
    }

    /// Returns the secret value, for its use.
    #[must_use]
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_its_last_line_end_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "abc\r\n").unwrap();
        let secret = SecretLookup::Real.read(&SecretLocation::File("token".into()), folder.path()).unwrap();
        assert_eq!(secret.reveal(), b"abc");
        assert_eq!(format!("{secret:?}"), "[a secret]");
    }

    #[test]
    fn what_is_no_secret_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("two"), "a\nb\n").unwrap();
        let told = |place| SecretLookup::Real.read(&place, folder.path()).unwrap_err().to_string();
        assert!(told(SecretLocation::File("two".into())).contains("two is empty, has a line end inside"));
        assert!(told(SecretLocation::File("none".into())).contains("cannot read"));
        assert!(told(SecretLocation::Variable("SHADOWTAP_NO_SUCH".into())).contains("no variable SHADOWTAP_NO_SUCH"));
    }
}

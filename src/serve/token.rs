//! Token that proves the right to control a run.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::bounded::{self, ReadError};

/// Fewest characters of a token: what is shorter can be guessed.
const MIN_CHARACTERS: usize = 16;

/// Longest file that is read for one.
const MAX_BYTES: usize = 4096;

/// Bytes of a token of our own.
const OWN_BYTES: usize = 16;

/// A secret word. It is not shown by its `Debug`.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

/// Errors of a token file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// There is too much in it.
    #[error("{} {why}; `openssl rand -hex 16` makes a token", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Limit on its length.
        why: String,
    },
    /// Its content is not valid in a header.
    #[error(
        "{}: a token is one word of {MIN_CHARACTERS} or more letters, digits and signs; `openssl rand -hex 16` makes one",
        path.display()
    )]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// One that nobody knows yet.
    #[must_use]
    pub fn random() -> Self {
        let bytes: [u8; OWN_BYTES] = rand::rng().random();
        Self(HEXLOWER.encode(&bytes))
    }

    /// The one in a file, blanks around it left out.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or holds no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = match bounded::read_text(path, "a token", MAX_BYTES) {
            Ok(text) => text,
            Err(ReadError::Io(source)) => return Err(TokenError::Read { path: path.to_owned(), source }),
            Err(error @ ReadError::TooLarge { .. }) => {
                return Err(TokenError::TooLong { path: path.to_owned(), why: error.to_string() });
            }
            Err(ReadError::NotText { .. }) => return Err(TokenError::NoToken { path: path.to_owned() }),
        };
        let word = text.trim();
        if word.len() < MIN_CHARACTERS || !word.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::NoToken { path: path.to_owned() });
        }
        Ok(Self(word.to_owned()))
    }

    /// The word itself.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.0
    }

    /// Returns whether `word` is the same. The comparison takes the same time wherever they differ.
    #[must_use]
    pub fn is(&self, word: &[u8]) -> bool {
        // Of equal length whatever is shown.
        Sha256::digest(word).ct_eq(&Sha256::digest(&self.0)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(content: &str) -> Result<Token, TokenError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        Token::read(&path)
    }

    #[test]
    fn a_token_is_one_long_word() {
        assert!(read("0123456789abcdef\n").unwrap().is(b"0123456789abcdef"));
        for content in ["", "short", "two words of some length", "né pas en ASCII à la fin", &"a".repeat(5000)] {
            let error = read(content).unwrap_err().to_string();
            assert!(error.contains("openssl rand"), "{error}");
        }
        assert!(matches!(Token::read("/dev/zero".as_ref()), Err(TokenError::TooLong { .. })), "it has no end");
        assert!(Token::read("/nowhere/token".as_ref()).unwrap_err().to_string().contains("cannot read /nowhere/token"));
    }

    #[test]
    fn a_token_is_only_itself_and_is_not_shown() {
        let token = Token::random();
        assert!(token.is(token.word().as_bytes()) && !token.is(b"") && !token.is(Token::random().word().as_bytes()));
        assert!(!format!("{token:?}").contains(token.word()));
    }
}

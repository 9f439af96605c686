//! Who connects to a store: credentials out of a file, and whom to trust.

use std::fmt;
use std::path::{Path, PathBuf};

use super::store_error::StoreError;
use crate::bounded;

/// Largest file of credentials that is read.
const MAX_FILE: usize = 64 << 10;

/// Access to a store.
#[derive(Clone, Debug, Default)]
pub struct StoreAccess {
    /// Who connects; nobody in particular without.
    pub(super) credentials: Option<Credentials>,
    /// The file that they stand in, for messages.
    pub(super) file: String,
    /// Certificates that are trusted besides the system's.
    pub(super) ca: Option<PathBuf>,
}

/// Credentials, by their kind.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A `.creds` file: a JWT and its seed.
    Creds(String),
    /// A name and a password.
    User(String, String),
    /// The seed of an NKey.
    Nkey(String),
    /// A token.
    Token(String),
}

/// Without what is secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creds(_) => "Creds",
            Self::User(..) => "User",
            Self::Nkey(_) => "Nkey",
            Self::Token(_) => "Token",
        })
    }
}

impl StoreAccess {
    /// Reads the credentials in `file`, where one is given, now: whoever runs later may not be able to.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or holds none.
    pub fn read(file: Option<&Path>, ca: Option<PathBuf>) -> Result<Self, StoreError> {
        let Some(file) = file else { return Ok(Self { ca, ..Self::default() }) };
        let name = file.display().to_string();
        let failed = |why: String| StoreError::Credentials { file: name.clone(), why };
        let text = bounded::read_text(file, "credentials", MAX_FILE)
            .map_err(|source| StoreError::Read { file: name.clone(), source })?;
        let credentials = credentials(&text).map_err(|why| failed(why.to_owned()))?;
        Ok(Self { credentials: Some(credentials), file: name, ca })
    }

    /// Returns the file of certificates, which is read with each connection.
    #[must_use]
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }
}

/// A `.creds` file as it is; else one line: the seed of an NKey, `USER:PASSWORD`, or a token.
fn credentials(text: &str) -> Result<Credentials, &'static str> {
    if text.contains("-----BEGIN NATS USER JWT-----") {
        return Ok(Credentials::Creds(text.to_owned()));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().ok_or("it is empty")?;
    if lines.next().is_some() {
        return Err(
            "it has several lines, and is no .creds file: write one line, USER:PASSWORD, a token or an NKey's seed",
        );
    }
    let is_base32 = line.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if line.starts_with("SU") && line.len() == 58 && is_base32 {
        return Ok(Credentials::Nkey(line.to_owned()));
    }
    Ok(match line.split_once(':') {
        Some((user, password)) => Credentials::User(user.to_owned(), password.to_owned()),
        None => Credentials::Token(line.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_file_says_what_it_is() {
        let user = Credentials::User("tap".to_owned(), "a:b".to_owned());
        assert_eq!(credentials("\n tap:a:b\n").unwrap(), user);
        assert_eq!(credentials("s3cret\n").unwrap(), Credentials::Token("s3cret".to_owned()));
        let seed = format!("SU{}", "A2".repeat(28));
        assert_eq!(credentials(&seed).unwrap(), Credentials::Nkey(seed.clone()));
        let creds = "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n";
        assert_eq!(credentials(creds).unwrap(), Credentials::Creds(creds.to_owned()));
        assert_eq!(credentials(" \n"), Err("it is empty"));
        assert!(credentials("a\nb").unwrap_err().contains("several lines"));
        assert_eq!(format!("{user:?}"), "User");
    }
}

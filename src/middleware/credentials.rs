//! Credentials for the other stack: basic (RFC 7617) and bearer (RFC 6750).
//!
//! In goes a request, out comes the same request with one Authorization line, or the outcome of other links. What the
//! captured one said is gone.

use data_encoding::BASE64;

use super::secret::Secret;
use super::{Context, Filter};
use crate::exchange::{Outcome, Request};

/// The link that sets credentials.
#[derive(Clone)]
pub struct Credentials {
    value: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// A user and a password. A user has no colon (RFC 7617, 2).
    #[must_use]
    pub fn basic(user: &str, password: &Secret) -> Self {
        let pair = [user.as_bytes(), b":", password.reveal()].concat();
        Self { value: format!("Basic {}", BASE64.encode(&pair)).into_bytes() }
    }

    /// A token.
    #[must_use]
    pub fn bearer(token: &Secret) -> Self {
        Self { value: [b"Bearer ", token.reveal()].concat() }
    }
}

impl Filter for Credentials {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        context.set_header(request, "Authorization", &self.value);
        Ok(())
    }
}

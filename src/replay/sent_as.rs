//! How a request was sent, as far as that may differ from how it was captured.

use crate::exchange::Head;
use crate::middleware::secret_names::SecretNames;

/// How a request was sent to one target.
#[derive(Clone, Debug)]
pub struct SentAs {
    /// It had the Host of its head, and not the target's own.
    pub keeps_host: bool,
    /// Its head, before the client made the target's of it, where filters may have changed it; else it is the captured one.
    pub head: Option<Box<Head>>,
}

impl SentAs {
    /// As it was captured, but for the target's Host.
    pub const CAPTURED: Self = Self { keeps_host: false, head: None };

    /// The Host that it was sent with, where filters gave it one; empty where it may only be the target's or the captured one.
    pub(crate) fn host(&self) -> &[u8] {
        let head = self.head.as_ref().filter(|_| self.keeps_host);
        head.and_then(|head| head.get("host")).unwrap_or_default()
    }

    /// Bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.as_bytes().len())
    }

    /// Masks these in its target, as in that of the captured request.
    pub(crate) fn hide(&mut self, secrets: &SecretNames) {
        let Some(head) = &mut self.head else { return };
        let (_, target, _) = head.request_line();
        if let std::borrow::Cow::Owned(masked) = secrets.noted_target(target) {
            head.set_target(&masked);
        }
    }
}

//! What must not leave: header values, cookies, parameters and JSON values are removed, masked or given pseudonyms.
//!
//! In goes a request, out comes the same request without them. A pseudonym is a keyed hash: the same value gets the same
//! one wherever it stands, so that sessions still correlate, and nobody without the key finds the value.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::edit::{EditOp, FieldEdit, FieldKind, ValueChange};
use super::json::{self, JsonChange, Pointer};
use super::secret::Secret;
use super::{Context, Filter, RunIdentity, body};
use crate::exchange::{Outcome, Request};

/// What stands for a masked value. Its length says nothing of the value's.
pub const MASK: &str = "***";
/// Bytes of the keyed hash that a pseudonym shows, in hexadecimal: two values in a thousand million share one with a
/// chance of three in a hundred.
const PSEUDONYM_BYTES: usize = 8;

/// How a value is made unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedactMode {
    /// It is taken out.
    Remove,
    /// [`MASK`] stands for it.
    Mask,
    /// A keyed hash stands for it; without a key, that of the run.
    Pseudonym(Option<Secret>),
}

/// The link that redacts.
#[derive(Clone, Debug)]
pub struct Redact {
    veil: RedactMode,
    fields: Vec<FieldEdit>,
    json: Vec<Pointer>,
}

impl Redact {
    /// Veils these fields, and what stands at these places of JSON bodies.
    #[must_use]
    pub fn new(veil: RedactMode, fields: &[(FieldKind, String)], json: Vec<Pointer>) -> Self {
        let fields = fields.iter().map(|(place, name)| FieldEdit::new(*place, name, EditOp::Remove)).collect();
        Self { veil, fields, json }
    }
}

impl Filter for Redact {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        for field in &self.fields {
            field.each(request, context, &mut |value, run| self.field(value, run));
        }
        if !self.json.is_empty() {
            let run = std::sync::Arc::clone(&context.run);
            let veiled = |text: &str| self.json_value(text, &run.key.0);
            body::edit_json(request, context, |text| self.json(text, &veiled));
        }
        Ok(())
    }
}

impl Redact {
    fn field(&self, value: &[u8], run: &RunIdentity) -> ValueChange {
        match &self.veil {
            RedactMode::Remove => ValueChange::Remove,
            // Nothing is to be known of no value.
            _ if value.is_empty() => ValueChange::Keep,
            RedactMode::Mask => ValueChange::Value(MASK.as_bytes().to_vec()),
            RedactMode::Pseudonym(key) => {
                ValueChange::Value(pseudonym(key.as_ref().map_or(&run.key.0, |key| key.reveal()), value).into_bytes())
            }
        }
    }

    fn json(&self, text: &str, veiled: &dyn Fn(&str) -> JsonChange) -> Result<Option<String>, json::NotJson> {
        let mut now = None;
        for pointer in &self.json {
            let before = now.as_deref().unwrap_or(text);
            if let Some(new) = json::edit(before, pointer, None, &mut |value| veiled(value))? {
                now = Some(new);
            }
        }
        Ok(now)
    }

    /// Of a string its content counts, so that it gets the pseudonym of the same value in a header; of anything else
    /// its text.
    fn json_value(&self, text: &str, run_key: &[u8]) -> JsonChange {
        let shown = match &self.veil {
            RedactMode::Remove => return JsonChange::Remove,
            RedactMode::Mask => MASK.to_owned(),
            RedactMode::Pseudonym(key) => {
                let value = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
                pseudonym(key.as_ref().map_or(run_key, |key| key.reveal()), value.as_bytes())
            }
        };
        JsonChange::Value(format!("\"{shown}\""))
    }
}

/// HMAC-SHA256 (RFC 2104), cut.
fn pseudonym(key: &[u8], value: &[u8]) -> String {
    use std::fmt::Write as _;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return MASK.to_owned() };
    mac.update(value);
    let hash = mac.finalize().into_bytes();
    hash.iter().take(PSEUDONYM_BYTES).fold(String::with_capacity(2 * PSEUDONYM_BYTES), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_body;
    use super::*;

    const HEAD: &str = "POST /a?token=s3cret&x=1 HTTP/1.1\r\nCookie: a=1; sid=s3cret; b=2\r\nAuthorization: s3cret\r\n\
                        Content-Type: application/json\r\nContent-Length: 32\r\n\r\n";
    const BODY: &str = r#"{"sid":"s3cret","mail":["a","b"]}"#;

    fn redacted(veil: RedactMode) -> String {
        let mut request = with_body(HEAD, BODY);
        let mut context = Context::default();
        context.begin(&request, request.last_byte, false);
        let fields = [
            (FieldKind::Header, "Authorization".to_owned()),
            (FieldKind::Cookie, "sid".to_owned()),
            (FieldKind::Param, "token".to_owned()),
        ];
        let json = ["/sid", "/mail"].map(|at| Pointer::new(at).unwrap()).to_vec();
        Redact::new(veil, &fields, json).apply(&mut request, &mut context).unwrap();
        let body = String::from_utf8(request.body.content().unwrap().into_owned()).unwrap();
        format!("{}{body}", String::from_utf8_lossy(request.head.as_bytes()))
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_stays() {
        assert_eq!(
            redacted(RedactMode::Remove),
            "POST /a?x=1 HTTP/1.1\r\nCookie: a=1; b=2\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        );
    }

    #[test]
    fn a_mask_says_nothing_of_the_value() {
        assert_eq!(
            redacted(RedactMode::Mask),
            "POST /a?token=***&x=1 HTTP/1.1\r\nCookie: a=1; sid=***; b=2\r\nAuthorization: ***\r\n\
             Content-Type: application/json\r\nContent-Length: 26\r\n\r\n{\"sid\":\"***\",\"mail\":\"***\"}"
        );
    }

    #[test]
    fn a_value_has_one_pseudonym_wherever_it_stands() {
        let name = pseudonym(&[0; 32], b"s3cret");
        let text = redacted(RedactMode::Pseudonym(None));
        assert_eq!((name.len(), text.matches(&name).count(), text.contains("s3cret")), (16, 4, false), "{text}");
        assert_ne!(pseudonym(&[1; 32], b"s3cret"), name);
        assert_ne!(pseudonym(&[0; 32], b"s3cretx"), name);
    }

    #[test]
    fn pseudonyms_are_what_rfc_4231_says() {
        // Test case 2 of RFC 4231: key "Jefe", data "what do ya want for nothing?".
        assert_eq!(pseudonym(b"Jefe", b"what do ya want for nothing?"), "5bdcc146bf60754e");
    }
}

//! Tokens signed anew (JWT: RFC 7519, in the compact form of RFC 7515).
//!
//! A captured token and the time go in; out comes one with claims of the same names, as far as they are kept, and the
//! signature of a key of the other stack.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::exchange::Timestamp;

/// Claims that say when a token was made, and so become the time of the new one (RFC 7519, 4.1.5 and 4.1.6).
const MADE_AT: [&str; 2] = ["iat", "nbf"];
/// Bytes of half a signature of ES256 (RFC 7518, 3.4).
const ES256_HALF: usize = 32;

/// How a token is signed (RFC 7518, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JwtAlgorithm {
    Hs256,
    Rs256,
    Es256,
}

impl JwtAlgorithm {
    pub(crate) const ALL: [(&str, Self); 3] = [("HS256", Self::Hs256), ("RS256", Self::Rs256), ("ES256", Self::Es256)];

    const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A key that nobody is shown.
#[derive(Clone)]
pub(crate) enum JwtKey {
    Secret(Vec<u8>),
    Private(Arc<dyn SigningKey>),
    /// None is here: a file is only checked. Signatures are empty.
    Absent,
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[a key]")
    }
}

/// Reason why a key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtKeyError {
    #[error("it holds no private key in PEM, such as `openssl genpkey` writes")]
    NotPem,
    #[error("this kind of key cannot be used; RS256 needs one of RSA, ES256 one of the curve P-256")]
    Kind,
}

impl JwtKey {
    /// The key in `text`: a secret for HS256, else a private key in PEM.
    pub(crate) fn new(algorithm: JwtAlgorithm, text: &[u8]) -> Result<Self, JwtKeyError> {
        let scheme = match algorithm {
            JwtAlgorithm::Hs256 => return Ok(Self::Secret(text.to_vec())),
            JwtAlgorithm::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
            JwtAlgorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        };
        let der = PrivateKeyDer::from_pem_slice(text).map_err(|_| JwtKeyError::NotPem)?;
        let key = any_supported_type(&der).map_err(|_| JwtKeyError::Kind)?;
        if key.choose_scheme(&[scheme]).is_some() { Ok(Self::Private(key)) } else { Err(JwtKeyError::Kind) }
    }

    fn sign(&self, algorithm: JwtAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        match (self, algorithm) {
            (Self::Absent, _) => Some(Vec::new()),
            (Self::Secret(key), _) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
                mac.update(message);
                Some(mac.finalize().into_bytes().to_vec())
            }
            (Self::Private(key), JwtAlgorithm::Es256) => {
                let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])?;
                halves(&signer.sign(message).ok()?)
            }
            (Self::Private(key), _) => key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?.sign(message).ok(),
        }
    }
}

/// The two numbers of a signature in ASN.1 (RFC 3279, 2.2.3), one after the other.
fn halves(signature: &[u8]) -> Option<Vec<u8>> {
    let [0x30, _, rest @ ..] = signature else { return None };
    let mut both = Vec::with_capacity(2 * ES256_HALF);
    let mut rest = rest;
    for _ in 0..2 {
        let [0x02, len, after @ ..] = rest else { return None };
        let (number, after) = after.split_at_checked(usize::from(*len))?;
        // One byte more says that the number is not negative.
        let number = number.strip_prefix(&[0]).filter(|rest| rest.len() >= ES256_HALF).unwrap_or(number);
        both.resize(both.len() + ES256_HALF.checked_sub(number.len())?, 0);
        both.extend_from_slice(number);
        rest = after;
    }
    Some(both)
}

/// How tokens are made.
#[derive(Clone, Debug)]
pub(crate) struct JwtMint {
    pub(crate) algorithm: JwtAlgorithm,
    pub(crate) key: JwtKey,
    /// Claims that stay; `None`: all of them.
    pub(crate) keep: Option<Vec<String>>,
    /// Claims that are set.
    pub(crate) set: Vec<(String, Value)>,
    /// How long the new token is good for.
    pub(crate) lasts: Option<Duration>,
    /// Name of the key, in the token's header.
    pub(crate) kid: Option<String>,
}

impl JwtMint {
    /// The token that stands for `token` now; `None` where that is no signed token.
    pub(crate) fn make(&self, token: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let (mut header, mut claims) = (object(header)?, object(claims)?);
        header.get("alg")?;
        header.insert("alg".to_owned(), self.algorithm.name().into());
        if let Some(kid) = &self.kid {
            header.insert("kid".to_owned(), kid.as_str().into());
        }
        if let Some(keep) = &self.keep {
            claims.retain(|name, _| keep.iter().any(|kept| kept == name));
        }
        let seconds = now.nanos() / 1_000_000_000;
        if let Some(lasts) = self.lasts {
            claims.insert("exp".to_owned(), (seconds + lasts.as_secs()).into());
            for name in MADE_AT {
                claims.entry(name).and_modify(|at| *at = seconds.into());
            }
        }
        claims.extend(self.set.iter().cloned());
        let coded = |object: Map<String, Value>| BASE64URL_NOPAD.encode(Value::Object(object).to_string().as_bytes());
        let message = format!("{}.{}", coded(header), coded(claims));
        let signature = self.key.sign(self.algorithm, message.as_bytes())?;
        Some(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature)).into_bytes())
    }
}

fn object(coded: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(coded).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};

    use super::*;

    /// 2026-11-30 00:00 UTC.
    const NOW: u64 = 1_796_688_000;

    fn token(header: &str, claims: &str) -> String {
        let coded = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.c2ln", coded(header), coded(claims))
    }

    fn mint(algorithm: JwtAlgorithm, key: &[u8]) -> JwtMint {
        let key = JwtKey::new(algorithm, key).unwrap();
        let keep = Some(["sub", "iat", "big"].map(str::to_owned).to_vec());
        let set = vec![("iss".to_owned(), "staging".into())];
        JwtMint { algorithm, key, keep, set, lasts: Some(Duration::from_secs(3600)), kid: Some("k1".to_owned()) }
    }

    fn made(mint: &JwtMint, token: &str) -> Option<String> {
        mint.make(token.as_bytes(), Timestamp::from_nanos(NOW * 1_000_000_000))
            .map(|new| String::from_utf8(new).unwrap())
    }

    #[test]
    fn a_token_keeps_its_claims_and_gets_another_signature() {
        let old = token(
            r#"{"alg":"RS256","typ":"JWT","kid":"old"}"#,
            r#"{"sub":"u1","admin":true,"iat":1,"exp":2,"big":12345678901234567890}"#,
        );
        let new = made(&mint(JwtAlgorithm::Hs256, b"key"), &old).unwrap();
        let parts: Vec<Vec<u8>> = new.split('.').map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).collect();
        assert_eq!(parts[0], br#"{"alg":"HS256","kid":"k1","typ":"JWT"}"#);
        let claims = r#"{"big":12345678901234567890,"exp":1796691600,"iat":1796688000,"iss":"staging","sub":"u1"}"#;
        assert_eq!(String::from_utf8_lossy(&parts[1]), claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        mac.update(new.rsplit_once('.').unwrap().0.as_bytes());
        assert!(mac.verify_slice(&parts[2]).is_ok());
    }

    #[test]
    fn a_curve_signs_in_two_numbers_of_the_same_length() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mint = mint(JwtAlgorithm::Es256, key.serialize_pem().as_bytes());
        let old = token(r#"{"alg":"none"}"#, "{}");
        for _ in 0..50 {
            let new = made(&mint, &old).unwrap();
            let (message, signature) = new.rsplit_once('.').unwrap();
            let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
            let public = ring_public(&key);
            assert!(public.verify(message.as_bytes(), &signature).is_ok());
        }
    }

    fn ring_public(key: &KeyPair) -> ring::signature::UnparsedPublicKey<Vec<u8>> {
        use rcgen::PublicKeyData as _;
        ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, key.der_bytes().to_vec())
    }

    #[test]
    fn keys_that_do_not_fit_are_refused_without_being_shown() {
        let curve = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        for (algorithm, text, error) in [
            (JwtAlgorithm::Rs256, "secret", JwtKeyError::NotPem),
            (JwtAlgorithm::Es256, curve.as_str(), JwtKeyError::Kind),
            (JwtAlgorithm::Rs256, curve.as_str(), JwtKeyError::Kind),
        ] {
            assert_eq!(JwtKey::new(algorithm, text.as_bytes()).unwrap_err(), error);
        }
        assert_eq!(format!("{:?}", JwtKey::Secret(b"x".to_vec())), "[a key]");
    }

    #[test]
    fn what_is_no_token_stays() {
        let mint = mint(JwtAlgorithm::Hs256, b"key");
        for text in ["", "abc", "a.b.c", "..", "e30.e30.", "e30.e30.x.y"] {
            assert_eq!(made(&mint, text), None, "{text}");
        }
    }
}

//! Certificates to trust in a target and to present to it: the files of `--ca`, `--cert` and `--key` become a rustls
//! configuration.
//!
//! Files are read once, at the start. Nothing is ever trusted unasked: without `--ca` the roots of the system count,
//! with it those of the file alone, with `--insecure` any certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::tls_refusal::NEEDS_CERTIFICATE;
use super::{ClientError, Reason, SendSettings};
use crate::bounded;
use crate::exchange::Timestamp;

/// Protocol offered in ALPN (RFC 7301): it keeps a server from choosing HTTP/2.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Largest file of certificates or keys, in bytes: all roots of a system take a quarter of it.
const MAX_PEM: usize = 1 << 20;

/// The TLS side of `settings`.
pub(super) fn config(settings: &SendSettings) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let setup = |error: rustls::Error| setup(settings, &error);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier(settings, &provider)?);
    let mut config = match &settings.trust.cert {
        None => builder.with_no_client_auth(),
        Some(cert) => {
            let key = settings.trust.key.as_deref().map_or(("--cert", cert.as_path()), |key| ("--key", key));
            let chain = certificates("--cert", cert)?;
            builder.with_client_auth_cert(chain, private_key(key.0, key.1)?).map_err(setup)?
        }
    };
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(config)
}

/// A TLS side that believes any certificate, to which no request goes.
pub(super) fn accepting_any() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier = Arc::new(AcceptAnyCertificate(provider));
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn setup(settings: &SendSettings, error: &rustls::Error) -> ClientError {
    ClientError::Setup { url: settings.target.to_string(), why: error.to_string() }
}

fn verifier(
    settings: &SendSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ClientError> {
    if settings.insecure {
        return Ok(Arc::new(AcceptAnyCertificate(Arc::clone(provider))));
    }
    let Some(ca) = &settings.trust.ca else {
        let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
        let roots =
            |error: rustls::Error| ClientError::Roots { url: settings.target.to_string(), why: error.to_string() };
        return Ok(Arc::new(system.map_err(roots)?));
    };
    let bad = |why: String| ClientError::Pem { flag: "--ca", path: ca.clone(), why };
    let mut roots = RootCertStore::empty();
    let given = certificates("--ca", ca)?;
    for certificate in &given {
        roots.add(certificate.clone()).map_err(|error| bad(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let by_chain = verifier.map_err(|error| bad(error.to_string()))?;
    Ok(Arc::new(Given { by_chain, given }))
}

/// Believes what the certificates of `--ca` vouch for, and those certificates themselves: one that signed itself says of
/// itself that it is an authority, as which no server may show it, and is shown all the same. Its name and its time count.
#[derive(Debug)]
struct Given {
    by_chain: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl Given {
    /// Returns whether the only fault of a certificate is that it is an authority's, while it is one of those given.
    /// That is found after its validity period was checked.
    fn is_itself(&self, shown: &CertificateDer<'_>, error: &rustls::Error) -> bool {
        let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
        let is_authority = matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity));
        is_authority && self.given.iter().any(|given| given.as_ref() == shown.as_ref())
    }
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.by_chain.verify_server_cert(shown, intermediates, name, ocsp, now) {
            Err(error) if self.is_itself(shown, &error) => {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_chain.supported_verify_schemes()
    }
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let bad = |why: String| ClientError::Pem { flag, path: path.to_owned(), why };
    let pem = bounded::read(path, "a PEM file", MAX_PEM).map_err(|error| bad(error.into_io().to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = read.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() { Err(bad("no certificate is in it".to_owned())) } else { Ok(found) }
}

fn private_key(flag: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, ClientError> {
    let bad = |why: String| ClientError::Pem { flag, path: path.to_owned(), why };
    let pem = bounded::read(path, "a PEM file", MAX_PEM).map_err(|error| bad(error.into_io().to_string()))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => bad("no private key is in it".to_owned()),
        error => bad(error.to_string()),
    })
}

/// Believes any certificate, as `--insecure` asks; signatures are checked all the same, which costs nothing to keep.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Returns the reason that a session was refused.
pub(super) fn reason(error: &rustls::Error) -> Reason {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => NEEDS_CERTIFICATE,
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate,
        ) => Reason::new("the target refuses the client certificate, or that there is none (--cert)"),
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            Reason::new("the target refuses the handshake; it may require a client certificate (--cert)")
        }
        rustls::Error::AlertReceived(alert) => {
            Reason::new("the target refuses the session").with(format_args!("{alert:?}"))
        }
        rustls::Error::InvalidMessage(_) => Reason::new("the target does not speak TLS; is it http://?"),
        other => Reason::new("no TLS session").with(other),
    }
}

fn of_certificate(error: &CertificateError) -> Reason {
    let day = |time: &rustls::pki_types::UnixTime| {
        let text = Timestamp::from_nanos(time.as_secs().saturating_mul(1_000_000_000)).to_string();
        text.split('T').next().unwrap_or_default().to_owned()
    };
    match error {
        CertificateError::Expired => Reason::new("certificate expired"),
        CertificateError::ExpiredContext { not_after, .. } => Reason::new("certificate expired").with(day(not_after)),
        CertificateError::NotValidYet => Reason::new("certificate not valid yet"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Reason::new("certificate not valid before").with(day(not_before))
        }
        CertificateError::NotValidForName => Reason::new("certificate not valid for the target's name"),
        CertificateError::NotValidForNameContext { expected, .. } => {
            Reason::new("certificate not valid for the target's name").with(expected.to_str())
        }
        CertificateError::UnknownIssuer => Reason::new("certificate of an unknown issuer, which is not trusted (--ca)"),
        CertificateError::Revoked => Reason::new("certificate revoked"),
        CertificateError::BadSignature => {
            Reason::new("certificate not signed by the authority that it names, as far as that is trusted (--ca)")
        }
        CertificateError::Other(other) if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) => {
            Reason::new("self-signed certificate, which is not trusted (--ca)")
        }
        other => Reason::new("certificate not accepted").with(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_by_what_is_wrong_with_them() {
        use rustls::pki_types::{ServerName, UnixTime};
        let time = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        let expired = CertificateError::ExpiredContext { time: time(1_800_000_000), not_after: time(1_790_812_800) };
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("new.example").unwrap(),
            presented: Vec::new(),
        };
        for (error, words) in [
            (expired, "certificate expired: 2026-10-01"),
            (name, "certificate not valid for the target's name: new.example"),
            (CertificateError::UnknownIssuer, "certificate of an unknown issuer, which is not trusted (--ca)"),
            (
                CertificateError::BadSignature,
                "certificate not signed by the authority that it names, as far as that is trusted (--ca)",
            ),
            (
                CertificateError::Other(rustls::OtherError(std::sync::Arc::new(webpki::Error::CaUsedAsEndEntity))),
                "self-signed certificate, which is not trusted (--ca)",
            ),
        ] {
            assert_eq!(reason(&rustls::Error::InvalidCertificate(error)).to_string(), words);
        }
    }
}

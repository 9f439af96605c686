//! What a target has to show to be believed, and what is shown to it: the files of `--ca`, `--cert` and `--key` become
//! a rustls configuration.
//!
//! Files are read once, at the start. Nothing is ever trusted that was not asked for: without `--ca` the roots of the
//! system count, with it those of the file alone, with `--insecure` anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{ClientError, Settings};

/// What is spoken inside (RFC 7301): a server that would rather speak HTTP/2 is told that it must not.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Which certificates are trusted and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificates in PEM to trust instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// The chain in PEM that is shown to a target which asks for one.
    pub cert: Option<PathBuf>,
    /// Its private key in PEM; where there is none, the key is looked for in the file of [`Trust::cert`].
    pub key: Option<PathBuf>,
}

/// The TLS side of `settings`.
pub(super) fn config(settings: &Settings) -> Result<ClientConfig, ClientError> {
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

fn setup(settings: &Settings, error: &rustls::Error) -> ClientError {
    ClientError::Setup { url: settings.target.to_string(), why: error.to_string() }
}

fn verifier(settings: &Settings, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ClientError> {
    if settings.insecure {
        return Ok(Arc::new(Anyone(Arc::clone(provider))));
    }
    let Some(ca) = &settings.trust.ca else {
        let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
        let roots =
            |error: rustls::Error| ClientError::Roots { url: settings.target.to_string(), why: error.to_string() };
        return Ok(Arc::new(system.map_err(roots)?));
    };
    let bad = |why: String| ClientError::Pem { flag: "--ca", path: ca.clone(), why };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("--ca", ca)? {
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(verifier.map_err(|error| bad(error.to_string()))?)
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let bad = |why: String| ClientError::Pem { flag, path: path.to_owned(), why };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() { Err(bad("no certificate is in it".to_owned())) } else { Ok(found) }
}

fn private_key(flag: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, ClientError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| ClientError::Pem {
        flag,
        path: path.to_owned(),
        why: match error {
            rustls::pki_types::pem::Error::NoItemsFound => "no private key is in it".to_owned(),
            error => error.to_string(),
        },
    })
}

/// Believes any certificate, as `--insecure` asks; signatures are checked all the same, which costs nothing to keep.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
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

//! A server's side of TLS, and what a client trusts it by.
#![allow(clippy::unwrap_used, reason = "what breaks here fails its test")]

use std::sync::Arc;

use shadowtap::replay::TlsIdentity;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, pki_types};

/// A certificate of its own for `localhost`, in a file, and a server that shows it and offers these protocols.
pub(crate) fn tls(folder: &tempfile::TempDir, protocols: &[&[u8]]) -> (TlsAcceptor, TlsIdentity) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, signed.cert.pem()).unwrap();
    let key = pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), TlsIdentity { ca: Some(file), ..TlsIdentity::default() })
}

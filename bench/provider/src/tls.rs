//! TLS: the server's side, from PEM files or made on the spot.
//!
//! Comes in: a certificate and key, or the names to make one for. Goes out: an
//! acceptor that offers h2 and HTTP/1.1, and the certificate that a client must
//! trust. Keys that are made here live as long as the process.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Names that a certificate made here is always good for.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Made on the spot for loopback and these further names.
    SelfSigned {
        /// Host names or addresses.
        names: Vec<String>,
    },
    /// The given PEM texts.
    Pem {
        /// The chain, the server's own certificate first.
        certificate: String,
        /// Its private key.
        key: String,
    },
}

/// What went wrong with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text can't be read.
    #[error("can't read the PEM text")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The certificate and key are not usable.
    #[error("the certificate can't be used")]
    Rustls(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("no certificate could be made")]
    Make(#[from] rcgen::Error),
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// The acceptor, and the PEM text of what its clients must trust.
pub(crate) fn acceptor(tls: &Tls) -> Result<(TlsAcceptor, String), TlsError> {
    let (certificate, key, trusted) = match tls {
        Tls::Pem { certificate, key } => (certificate.clone(), key.clone(), certificate.clone()),
        Tls::SelfSigned { names } => make(names)?,
    };
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), trusted))
}

/// A server certificate with its key, and the authority that signed it.
fn make(names: &[String]) -> Result<(String, String, String), TlsError> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "scripted provider authority");
    let authority_key = KeyPair::generate()?;
    let trusted = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let names = LOOPBACK_NAMES
        .iter()
        .map(|name| (*name).to_owned())
        .chain(names.iter().cloned());
    let mut server = CertificateParams::new(names.collect::<Vec<_>>())?;
    server
        .distinguished_name
        .push(DnType::CommonName, "scripted provider");
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?.pem();
    Ok((certificate, server_key.serialize_pem(), trusted))
}

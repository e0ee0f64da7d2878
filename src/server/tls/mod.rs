//! The certificate that the gateway shows on its HTTPS port.
//!
//! Owns: [`Tls`], the certificate in force, and what people are told of it. In: PEM texts, from wherever they come. Out: the
//! settings of the next handshake. A certificate that is replaced stays with the connections that began with it; one that
//! can't be used leaves the last good one in force. Must not know: files, the node, requests.

mod validity;

use crate::{metrics::Metrics, record::Timestamp};
use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::sync::Arc;

/// The HTTPS certificate of a gateway. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Tls(Arc<RwLock<Inner>>);

#[derive(Debug)]
struct Inner {
    current: Option<Current>,
    state: TlsState,
    metrics: Metrics,
}

#[derive(Clone, Debug)]
struct Current {
    settings: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
}

/// What is known of the certificate.
#[derive(Clone, Debug, Default)]
pub struct TlsState {
    /// Where it comes from, for people.
    pub source: String,
    /// The name by which clients call, where it is known.
    pub name: String,
    /// How long it is good; none = there is no certificate yet.
    pub validity: Option<Validity>,
    /// Why the last attempt to get one failed; none = it did not.
    pub error: Option<String>,
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub until: Timestamp,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// The chain is no list of certificates in PEM.
    #[error("the certificate is not in PEM (-----BEGIN CERTIFICATE-----)")]
    Chain,
    /// There is no key.
    #[error(
        "the key is not a private key in PEM (-----BEGIN PRIVATE KEY-----, without a passphrase)"
    )]
    Key,
    /// The first certificate does not say how long it is good.
    #[error("the certificate can't be read")]
    Unreadable,
    /// rustls refuses the pair.
    #[error("certificate and key do not fit: {0}")]
    Refused(#[from] rustls::Error),
}

// === impl Tls ===

impl Tls {
    /// No certificate yet.
    pub fn new(source: String, metrics: Metrics) -> Self {
        Self(Arc::new(RwLock::new(Inner {
            current: None,
            state: TlsState {
                source,
                ..TlsState::default()
            },
            metrics,
        })))
    }

    /// Takes a certificate for the connections that come from now on. Returns how long it is good, and whether it is new.
    pub fn install(&self, chain: &[u8], key: &[u8]) -> Result<(Validity, bool), BadCertificate> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| BadCertificate::Chain)?;
        let first = chain.first().ok_or(BadCertificate::Chain)?;
        let validity = validity::read(first).ok_or(BadCertificate::Unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| BadCertificate::Key)?;
        let settings = settings(chain.clone(), key)?;

        let mut inner = self.0.write();
        let is_new = inner
            .current
            .as_ref()
            .is_none_or(|current| current.chain != chain);
        inner.current = Some(Current {
            settings: Arc::new(settings),
            chain,
        });
        inner.state.validity = Some(validity);
        inner.state.error = None;
        inner.metrics.certificate_taken(validity.until);
        Ok((validity, is_new))
    }

    /// Says by which name clients call, and where the certificate comes from.
    pub fn describe(&self, source: String, name: &str) {
        let state = &mut self.0.write().state;
        state.source = source;
        name.clone_into(&mut state.name);
    }

    /// No certificate could be had; the last one stays in force.
    pub fn failed(&self, why: String) {
        let mut inner = self.0.write();
        inner.metrics.certificate_failed();
        inner.state.error = Some(why);
    }

    /// What is known of the certificate.
    pub fn state(&self) -> TlsState {
        self.0.read().state.clone()
    }

    /// The settings of a handshake; none while there is no certificate.
    pub(super) fn settings(&self) -> Option<Arc<ServerConfig>> {
        let inner = self.0.read();
        let current = inner.current.as_ref()?;
        Some(Arc::clone(&current.settings))
    }
}

// === impl TlsState ===

impl TlsState {
    /// How it stands, in a word: `ok`, `pending`, `failing` (the last one is still good), `failed` (there is none), `expired`.
    pub fn word(&self, now: Timestamp) -> &'static str {
        match (self.validity, &self.error) {
            (Some(validity), _) if validity.until <= now => "expired",
            (Some(_), None) => "ok",
            (Some(_), Some(_)) => "failing",
            (None, Some(_)) => "failed",
            (None, None) => "pending",
        }
    }
}

/// HTTP/2 or HTTP/1.1 by ALPN, TLS 1.2 or 1.3, no early data (it could be replayed).
fn settings(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(settings)
}

#[cfg(test)]
mod tests;

//! How far a connection got that was not made.
//!
//! Owns: [`Stage`], found in the causes of an error. In: what hyper says. Out: the stage at which it ended, for `doctor` and for
//! whoever tries a provider. Must not know: what is told about it.

use rustls::CertificateError;
use std::{error::Error, fmt, io};

/// Where a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The name has no address.
    Name,
    /// TCP, an outbound proxy, or the tailnet.
    Network,
    /// TLS.
    Tls(TlsFault),
}

/// What is wrong with the other side's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet: most often the own clock is behind.
    Early,
    /// Its certificate is for other names.
    WrongName,
    /// Its certificate is from nobody who is trusted here.
    Untrusted,
    /// Anything else: it may not speak TLS at all.
    Other,
}

/// A name that could not be resolved: a type of its own, so that it is found again among the causes.
#[derive(Debug)]
pub(super) struct Unresolved(String);

impl Unresolved {
    /// Marks the resolver's error.
    pub(super) fn error(error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), Self(error.to_string()))
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unresolved {}

/// The stage at which a connection ended.
pub(super) fn stage(error: &(dyn Error + 'static)) -> Stage {
    found(error).unwrap_or(Stage::Network)
}

fn found(error: &(dyn Error + 'static)) -> Option<Stage> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(Stage::Tls(fault(error)));
    }
    if error.is::<Unresolved>() {
        return Some(Stage::Name);
    }
    // The source of an I/O error is the source of what it wraps: what it wraps has to be asked for.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(|error| error.get_ref())
        .and_then(|inner| found(inner));
    wrapped.or_else(|| found(error.source()?))
}

fn fault(error: &rustls::Error) -> TlsFault {
    let rustls::Error::InvalidCertificate(why) = error else {
        return TlsFault::Other;
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFault::Early
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::WrongName
        }
        _ => TlsFault::Untrusted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_found_however_deep_it_is_wrapped() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, expired));
        assert_eq!(stage(&wrapped), Stage::Tls(TlsFault::Expired));
        let stranger = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let stranger = io::Error::other(stranger);
        assert_eq!(stage(&stranger), Stage::Tls(TlsFault::Untrusted));
        let name = Unresolved::error(&io::Error::other("no such name"));
        assert_eq!(name.to_string(), "no such name");
        assert_eq!(stage(&io::Error::other(name)), Stage::Name);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(stage(&refused), Stage::Network);
    }
}

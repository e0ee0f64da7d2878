//! What an upstream request is paid with: a key in a header, a signature, or a token that is minted for it.
//!
//! Owns: [`Credentials`], the last step before a request goes out, and what was minted so far. `sigv4` signs; `aws` and
//! `google` mint, from what `host` and `profile` find and over `fetch`; `renew` keeps what was minted. In: a provider and its
//! finished request. Out: the same request with what the provider wants, or a [`MintError`] that holds no secret.
//! Must not know: callers, records, how failures look to clients.

mod aws;
mod fetch;
mod google;
mod host;
mod profile;
mod renew;
mod sigv4;

pub use host::Host;

use super::{
    client::{Client, Pieces},
    headers,
};
use crate::{
    config::{
        AuthMode, Provider,
        cloud::{Aws, CloudCredential},
    },
    shutdown::Tasks,
};
use fetch::Errand;
use http::{HeaderMap, HeaderValue, Request, header};
use parking_lot::Mutex;
use renew::Renewed;
use sigv4::{Keys, Scope};
use std::{collections::HashMap, fmt, sync::Arc, time::SystemTime};

/// Credentials that are kept at most. A document has few; those that it no longer names go first.
const MAX_KEPT: usize = 256;

/// The name that Bedrock's requests are signed for.
const BEDROCK: &str = "bedrock";

/// Why a request can't be paid. Every text is fit for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The key has characters that no header can carry.
    #[error("its key has characters that a header can't carry")]
    BadKey,
    /// No connection to whoever mints; the detail is for the log.
    #[error("its token endpoint can't be reached")]
    Unreachable(String),
    /// No answer in time, in seconds.
    #[error("its token endpoint gave no answer within {0} s")]
    Timeout(u64),
    /// A refusal, with its word where it has one.
    #[error("its token endpoint refused with {status}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Such as `invalid_grant` or `AccessDenied`.
        code: Option<String>,
    },
    /// An answer that makes no sense.
    #[error("its token endpoint's answer can't be used: {0}")]
    Unusable(&'static str),
    /// The gateway's host has not what the document relies on; what exactly is for the log.
    #[error("the gateway's host has no usable credential for it")]
    Host(String),
    /// The request or the key does not lend itself to a signature.
    #[error("the request can't be signed: {0}")]
    Unsignable(&'static str),
    /// The body is too large to be held, and has to be known before it is signed.
    #[error("the body is too large to be signed")]
    NotWhole,
    /// The gateway stopped in between.
    #[error("the gateway is stopping")]
    Interrupted,
}

impl MintError {
    /// Whether the same request may work in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::Interrupted => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            Self::BadKey
            | Self::Unusable(_)
            | Self::Host(_)
            | Self::Unsignable(_)
            | Self::NotWhole => false,
        }
    }

    /// The same with what only administrators should read.
    pub fn in_full(&self) -> String {
        match self {
            Self::Unreachable(detail) | Self::Host(detail) => format!("{self}: {detail}"),
            _ => self.to_string(),
        }
    }
}

/// What was minted, by what it was minted from.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    client: Client,
    host: Host,
    tasks: Tasks,
    kept: Mutex<HashMap<Source, Kept>>,
}

/// What a credential is minted from: the same one for all providers that say the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Source {
    credential: CloudCredential,
    extra_ca: Option<Arc<[u8]>>,
}

#[derive(Clone)]
enum Kept {
    Keys(Arc<Renewed<Keys>>),
    Token(Arc<Renewed<HeaderValue>>),
}

impl Credentials {
    /// Without anything minted.
    pub fn new(client: Client, host: Host, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            client,
            host,
            tasks,
            kept: Mutex::default(),
        }))
    }

    /// Adds what the provider wants to a finished request; nothing may change it afterwards. `client` is the caller's head,
    /// of which a provider in passthrough mode gets the caller's own credential.
    pub async fn add(
        &self,
        provider: &Provider,
        client: &HeaderMap,
        request: &mut Request<Pieces>,
    ) -> Result<(), MintError> {
        let paid = headers::add_credential(request.headers_mut(), client, provider)
            .map_err(|_| MintError::BadKey)?;
        let Some(credential) = &provider.cloud else {
            return Ok(());
        };
        if paid || provider.auth_mode == AuthMode::None {
            return Ok(());
        }
        match credential {
            CloudCredential::Aws(_) if !request.body().is_whole() => Err(MintError::NotWhole),
            CloudCredential::Aws(aws) => {
                let keys = self.keys(provider, aws).await?;
                let scope = Scope {
                    region: &aws.region,
                    service: BEDROCK,
                };
                sigv4::sign(&keys, scope, SystemTime::now(), request)
            }
            CloudCredential::ServiceAccount(_) | CloudCredential::Adc(_) => {
                let token = self.token(provider, credential).await?;
                request.headers_mut().insert(header::AUTHORIZATION, token);
                Ok(())
            }
        }
    }

    async fn keys(&self, provider: &Provider, aws: &Aws) -> Result<Keys, MintError> {
        let credential = CloudCredential::Aws(aws.clone());
        let Kept::Keys(kept) = self.kept(provider, &credential) else {
            return Err(MintError::Unsignable("its credential holds no keys"));
        };
        let mint = || {
            let minted = aws::mint(aws.clone(), self.0.host.clone(), self.errand(provider));
            told(provider, minted)
        };
        kept.get(&self.0.tasks, mint).await
    }

    async fn token(
        &self,
        provider: &Provider,
        credential: &CloudCredential,
    ) -> Result<HeaderValue, MintError> {
        let Kept::Token(kept) = self.kept(provider, credential) else {
            return Err(MintError::Unsignable("its credential holds no token"));
        };
        let mint = || {
            let (host, errand) = (self.0.host.clone(), self.errand(provider));
            let credential = credential.clone();
            told(provider, async move {
                match credential {
                    CloudCredential::ServiceAccount(account) => {
                        google::mint_account(account, errand).await
                    }
                    CloudCredential::Adc(adc) => google::mint_default(adc, host, errand).await,
                    CloudCredential::Aws(_) => Err(MintError::Unusable("it holds no token")),
                }
            })
        };
        kept.get(&self.0.tasks, mint).await
    }

    fn errand(&self, provider: &Provider) -> Errand {
        Errand {
            client: self.0.client.clone(),
            extra_ca: provider.extra_ca.clone(),
        }
    }

    fn kept(&self, provider: &Provider, credential: &CloudCredential) -> Kept {
        let source = Source {
            credential: credential.clone(),
            extra_ca: provider.extra_ca.clone(),
        };
        let mut kept = self.0.kept.lock();
        if kept.len() >= MAX_KEPT && !kept.contains_key(&source) {
            // Every one can be minted again.
            kept.clear();
        }
        let entry = kept.entry(source).or_insert_with(|| match credential {
            CloudCredential::Aws(_) => Kept::Keys(Arc::new(Renewed::new())),
            CloudCredential::ServiceAccount(_) | CloudCredential::Adc(_) => {
                Kept::Token(Arc::new(Renewed::new()))
            }
        });
        entry.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("kept", &self.0.kept.lock().len())
            .finish_non_exhaustive()
    }
}

/// A minting that logs its failure: one ahead of the end fails no request, and must be seen nevertheless.
fn told<T>(
    provider: &Provider,
    minted: impl Future<Output = Result<T, MintError>> + Send + 'static,
) -> impl Future<Output = Result<T, MintError>> + Send + 'static {
    let id = Arc::clone(&provider.id);
    async move {
        let result = minted.await;
        if let Err(error) = &result {
            tracing::warn!(provider = %id, error = %error.in_full(), "the provider's credential could not be renewed");
        }
        result
    }
}

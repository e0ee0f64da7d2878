//! Connections to providers.
//!
//! Owns: [`Client`]: pooled HTTP/1.1 and HTTP/2 over TLS, plain TCP, an outbound proxy, or the tailnet. In: a request and
//! the provider it is for. Out: its response, or a [`SendError`] that says how far it got.
//! Must not know: callers, records. A provider marked `tailnet` is dialled through the node and never through the host's
//! network; a request is sent again only when not one byte of it had been sent.

mod blame;
mod body;
mod connect;
mod http1;
mod names;
mod pool;
#[cfg(test)]
mod tests;

pub use blame::{Stage, TlsFault};
pub use body::{Pieces, Upload, UploadError};
pub use connect::{Dial, DialFuture};
pub use http1::AnswerBody;

use crate::config::Provider;
use connect::Connector;
use http::{Request, Response};
use names::Names;
use parking_lot::Mutex;
use pool::Pool;
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

/// How providers are reached.
#[derive(Clone)]
pub struct Options {
    /// Dials through the node; none without a tailnet.
    pub dial: Option<Dial>,
    /// Whether names may resolve to the host's loopback or link-local addresses.
    pub allow_local: bool,
    /// To connect.
    pub connect_timeout: Duration,
}

/// The network that a connection is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// The host's, through an outbound proxy where the environment names one.
    Host,
    /// The tailnet's, through the node.
    Tailnet,
    /// The host's own link and itself, never through a proxy: metadata servers, and nothing that a provider is.
    OwnLink,
}

/// One kind of connection: pools are kept by it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    network: Network,
    extra_ca: Option<Arc<[u8]>>,
}

/// Pooled connections to all providers.
#[derive(Clone)]
pub struct Client {
    options: Options,
    names: Names,
    pools: Arc<Mutex<HashMap<Kind, Arc<Pool>>>>,
}

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection, and how far it got: name, TCP or tailnet, TLS.
    #[error("no connection: {0}")]
    Connect(String, Stage),
    /// The connection broke before the response head.
    #[error("the connection broke before the response: {0}")]
    Broken(String),
    /// The provider's certificates could not be set up.
    #[error("certificates: {0}")]
    Certificates(String),
}

impl Client {
    /// A client without connections.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            names: Names::of_host(),
            pools: Arc::default(),
        }
    }

    /// Sends a request and waits for the response head.
    ///
    /// Dropping the future, or the response's body, ends the request upstream at once.
    pub async fn send(
        &self,
        provider: &Provider,
        request: Request<Pieces>,
    ) -> Result<Response<AnswerBody>, SendError> {
        let network = if provider.tailnet {
            Network::Tailnet
        } else {
            Network::Host
        };
        self.send_over(network, provider.extra_ca.as_ref(), request)
            .await
    }

    /// The same for an errand of the gateway's own, such as the fetching of a credential.
    pub async fn send_over(
        &self,
        network: Network,
        extra_ca: Option<&Arc<[u8]>>,
        request: Request<Pieces>,
    ) -> Result<Response<AnswerBody>, SendError> {
        let pool = self.pool(Kind {
            network,
            extra_ca: extra_ca.cloned(),
        })?;
        pool.request(request).await.map_err(|error| {
            let text = causes(&error);
            match error {
                pool::Error::Connect(cause) => SendError::Connect(text, blame::stage(&*cause)),
                pool::Error::NoHost | pool::Error::Broken(_) => SendError::Broken(text),
            }
        })
    }

    fn pool(&self, kind: Kind) -> Result<Arc<Pool>, SendError> {
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(&kind) {
            return Ok(Arc::clone(pool));
        }
        let tls = connect::tls(kind.extra_ca.as_deref()).map_err(SendError::Certificates)?;
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Connector::new(kind.network, &self.options, &self.names));
        let pool = Pool::new(connector);
        pools.insert(kind, Arc::clone(&pool));
        Ok(pool)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("pools", &self.pools.lock().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("tailnet", &self.dial.is_some())
            .field("allow_local", &self.allow_local)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

/// An error with its causes, innermost last.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

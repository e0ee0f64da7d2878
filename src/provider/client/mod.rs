//! Connections to providers.
//!
//! Owns: [`Client`]: pooled HTTP/1.1 and HTTP/2 over TLS, plain TCP, an outbound proxy, or the tailnet. In: a request and
//! the provider it is for. Out: its response, or a [`SendError`] that says how far it got.
//! Must not know: callers, records. A provider marked `tailnet` is dialled through the node and never through the host's
//! network; a request is sent again only when not one byte of it had been sent (hyper-util's rule for pooled connections).

mod blame;
mod body;
mod connect;
mod names;

pub use blame::{Stage, TlsFault};
pub use body::{Pieces, Upload, UploadError};
pub use connect::{Dial, DialFuture};

use crate::config::Provider;
use connect::Connector;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use names::Names;
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

type Pool = legacy::Client<HttpsConnector<Connector>, Pieces>;

/// Bytes of an answer that are read at once at most, and of its head.
const READ_AT_ONCE: usize = 128 << 10;

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
    pools: Arc<Mutex<HashMap<Kind, Pool>>>,
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
    ) -> Result<Response<Incoming>, SendError> {
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
    ) -> Result<Response<Incoming>, SendError> {
        let pool = self.pool(Kind {
            network,
            extra_ca: extra_ca.cloned(),
        })?;
        pool.request(request).await.map_err(|error| {
            let text = causes(&error);
            if error.is_connect() {
                SendError::Connect(text, blame::stage(&error))
            } else {
                SendError::Broken(text)
            }
        })
    }

    fn pool(&self, kind: Kind) -> Result<Pool, SendError> {
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(&kind) {
            return Ok(pool.clone());
        }
        let tls = connect::tls(kind.extra_ca.as_deref()).map_err(SendError::Certificates)?;
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Connector::new(kind.network, &self.options, &self.names));
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            // What is read at once, and with that how long one large answer keeps a thread; also the room for a head.
            .http1_max_buf_size(READ_AT_ONCE)
            // Large windows: a provider's answer must not wait for window updates.
            .http2_initial_stream_window_size(1 << 20)
            .http2_initial_connection_window_size(4 << 20)
            .http2_keep_alive_interval(Some(Duration::from_secs(30)))
            // No more header lines than hyper's own 100: for each it would allocate room in every response.
            .build(connector);
        pools.insert(kind, pool.clone());
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

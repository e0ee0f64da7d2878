//! The provider as a whole: listeners, connections, and the in-process API.
//!
//! Comes in: [`Options`]. Goes out: a running [`Provider`] on loopback addresses,
//! with rules to set and a log to read. Dropping it ends everything it started.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::cloud::Key;
use crate::connection::{Connection, Open};
use crate::entry::Entry;
use crate::gate::Gate;
use crate::log::{Log, LogOptions};
use crate::reply::{Replies, Setup};
use crate::rules::Matcher;
use crate::script::Script;
use crate::service::{self, State};
use crate::socket::Socket;
use crate::tls::{self, Tls};

/// Streams that one h2 connection may have open; tests of idle streams need many.
const STREAM_LIMIT: u32 = 10_000;

/// Request headers that one h2 stream may carry; agents send long ones.
const HEADER_LIMIT: u32 = 1 << 20;

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen without encryption.
    pub listen: Option<SocketAddr>,
    /// Where to listen with TLS, and with which certificate.
    pub tls: Option<(SocketAddr, Tls)>,
    /// The models that the lists name.
    pub models: Vec<String>,
    /// The key that requests must bring, if one is demanded.
    pub key: Option<String>,
    /// The public key by which assertions for Google are checked, as PEM text.
    pub google_key: Option<String>,
    /// How much is logged, and where.
    pub log: LogOptions,
}

impl Default for Options {
    fn default() -> Self {
        let models = ["claude-opus-5-5", "claude-haiku-4-5", "gpt-5", "gpt-5-mini"];
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            tls: None,
            models: models.map(str::to_owned).into(),
            key: None,
            google_key: None,
            log: LogOptions::default(),
        }
    }
}

impl Options {
    /// With TLS on a port of its own beside the plain one.
    #[must_use]
    pub fn with_tls(self) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            tls: Some((any_port, Tls::SelfSigned { names: Vec::new() })),
            ..self
        }
    }
}

/// A running provider.
#[derive(Debug)]
pub struct Provider {
    state: Arc<State>,
    plain: Option<SocketAddr>,
    encrypted: Option<(SocketAddr, String)>,
    tasks: JoinSet<()>,
}

impl Provider {
    /// Starts listening; refuses addresses that are not loopback.
    pub async fn start(options: Options) -> io::Result<Self> {
        let google_key = options.google_key.as_deref().map(Key::from_pem);
        let google_key = google_key
            .transpose()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let state = Arc::new(State {
            replies: Replies::new(Setup {
                models: options.models,
                key: options.key,
                google_key,
            }),
            log: Arc::new(Log::open(options.log)?),
            connections: Arc::default(),
        });
        let mut tasks = JoinSet::new();
        let mut plain = None;
        if let Some(address) = options.listen {
            let listener = bind(address).await?;
            plain = Some(listener.local_addr()?);
            tasks.spawn(accept(listener, None, Arc::clone(&state)));
        }
        let mut encrypted = None;
        if let Some((address, tls)) = options.tls {
            let (acceptor, trusted) = tls::acceptor(&tls)?;
            let listener = bind(address).await?;
            encrypted = Some((listener.local_addr()?, trusted));
            tasks.spawn(accept(listener, Some(acceptor), Arc::clone(&state)));
        }
        Ok(Self {
            state,
            plain,
            encrypted,
            tasks,
        })
    }

    /// The plain address.
    pub fn addr(&self) -> SocketAddr {
        self.plain.expect("started with a plain address")
    }

    /// The base URL of the plain address.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The address that speaks TLS, if there is one.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.encrypted.as_ref().map(|(address, _)| *address)
    }

    /// The certificate that clients of the TLS address must trust, as PEM text.
    pub fn ca_pem(&self) -> Option<&str> {
        self.encrypted.as_ref().map(|(_, trusted)| trusted.as_str())
    }

    /// Answers all matching requests by the script; answers the rule's id.
    pub fn script(&self, matcher: Matcher, script: Script) -> u64 {
        self.state.replies.rules.add(matcher, script, None)
    }

    /// Answers the next matching requests by the script, that many of them.
    pub fn script_times(&self, times: u64, matcher: Matcher, script: Script) -> u64 {
        self.state.replies.rules.add(matcher, script, Some(times))
    }

    /// Takes a rule back.
    pub fn unscript(&self, rule: u64) {
        self.state.replies.rules.remove(rule);
    }

    /// The gate of that name, as scripts in JSON refer to it.
    pub fn gate(&self, name: &str) -> Option<Gate> {
        self.state.replies.gate(name)
    }

    /// All requests in the log, oldest first.
    pub fn log(&self) -> Vec<Entry> {
        self.state.log.entries()
    }

    /// Waits until that many requests have come in all. Cancel safe.
    pub async fn await_requests(&self, count: u64) {
        self.state
            .log
            .until(|counts| counts.received >= count)
            .await;
    }

    /// Waits until that many requests have ended in all, one way or other. Cancel safe.
    pub async fn await_ended(&self, count: u64) {
        self.state.log.until(|counts| counts.ended >= count).await;
    }

    /// Waits until that many answers in all have stopped where their script says, after their head. Cancel safe.
    pub async fn await_stalled(&self, count: u64) {
        self.state.log.until(|counts| counts.stalled >= count).await;
    }

    /// The connections that are open.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.state.connections.list()
    }

    /// How many connections there ever were.
    pub fn accepted(&self) -> u64 {
        self.state.connections.accepted()
    }

    /// Forgets all rules and log entries; the numbers of requests go on.
    pub fn reset(&self) {
        self.state.replies.clear();
        self.state.log.clear();
    }

    /// Ends all connections and listeners, and waits for that; the log stays readable.
    pub async fn shutdown(&mut self) {
        self.state.log.close();
        self.tasks.shutdown().await;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.state.log.close();
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let message = format!("{address} is not a loopback address");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    TcpListener::bind(address).await
}

/// Accepts for ever; the connections end with this task.
async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Each chunk must leave at once; a socket that can't promise it is closed already.
                    if stream.set_nodelay(true).is_ok() {
                        let stream = Arc::new(stream);
                        // Numbered here, so that the numbers follow the order of arrival.
                        let open = state.connections.open(&stream, peer, tls.is_some());
                        connections.spawn(connection(stream, open, tls.clone(), Arc::clone(&state)));
                    }
                }
                // Out of descriptors or the like: leave room for others to close theirs.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn connection(
    stream: Arc<TcpStream>,
    open: Open,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
) {
    let socket = Socket(stream);
    match tls {
        None => serve(socket, &open.connection, &state).await,
        Some(tls) => {
            // A failed handshake is the client's to report.
            if let Ok(stream) = tls.accept(socket).await {
                serve(stream, &open.connection, &state).await;
            }
        }
    }
}

async fn serve<S>(stream: S, connection: &Arc<Connection>, state: &Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(|request| service::serve(Arc::clone(state), Arc::clone(connection), request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .max_concurrent_streams(STREAM_LIMIT)
        .max_header_list_size(HEADER_LIMIT);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        // The connection comes first: before a cut it writes what it was handed.
        biased;
        // How it ended is in the log, exchange by exchange.
        _ = &mut serving => {}
        () = connection.broken() => {}
    }
}

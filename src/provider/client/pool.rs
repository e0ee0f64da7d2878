//! Connections that are kept.
//!
//! Owns: [`Pool`]: the connections of one kind, by scheme and authority; whoever has something to send takes one or makes
//! one. In: a request. Out: its response, and a body that gives the connection back at its end.
//! Must not know: providers. A request is sent again only when not one byte of it had been sent, on a connection that had
//! served before.

use super::{
    body::Pieces,
    connect::{Connector, Stream},
    http1::{self, AnswerBody, Held},
};
use http::{
    HeaderValue, Request, Response, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::client::conn;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::Connection as _,
    rt::{TokioExecutor, TokioTimer},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;
use tower_service::Service as _;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);

/// How often those are looked for that have ended meanwhile.
pub(super) const SWEEP: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read at once at most, and of its head.
const READ_AT_ONCE: usize = 128 << 10;

pub(super) type Transport = MaybeHttpsStream<Stream>;

/// Who is at the other end: scheme and authority.
pub(super) type Place = (Scheme, Authority);

/// Connections of one kind.
pub(super) struct Pool {
    connector: HttpsConnector<Connector>,
    http1: conn::http1::Builder,
    http2: conn::http2::Builder<TokioExecutor>,
    places: Mutex<HashMap<Place, Kept>>,
}

/// What is kept for one place.
#[derive(Default)]
struct Kept {
    /// HTTP/1, the newest last, and since when nobody uses it.
    idle: Vec<(Instant, http1::Connection)>,
    /// HTTP/2, which all share, and when it was used last.
    shared: Option<(Instant, conn::http2::SendRequest<Pieces>)>,
}

/// A connection that was taken or made.
enum Taken {
    Own(http1::Connection),
    Shared(conn::http2::SendRequest<Pieces>),
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The address names nobody.
    #[error("the address has no host")]
    NoHost,
    /// There is no connection.
    #[error("{0}")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It broke.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl Pool {
    /// No connections yet. Within the runtime that will drive them.
    pub(super) fn new(connector: HttpsConnector<Connector>) -> Arc<Self> {
        let mut http1 = conn::http1::Builder::new();
        // What is read at once, and with that how long one large answer keeps a thread; also the room for a head.
        // No more header lines than hyper's own 100: for each it would allocate room in every response.
        http1.max_buf_size(READ_AT_ONCE);
        let mut http2 = conn::http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            // Large windows: a provider's answer must not wait for window updates.
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .keep_alive_interval(Some(Duration::from_secs(30)));
        let pool = Arc::new(Self {
            connector,
            http1,
            http2,
            places: Mutex::default(),
        });
        beside(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// Sends a request and waits for the response head.
    pub(super) async fn request(
        self: &Arc<Self>,
        mut request: Request<Pieces>,
    ) -> Result<Response<AnswerBody>, Error> {
        let uri = request.uri().clone();
        let place = place(&uri).ok_or(Error::NoHost)?;
        loop {
            let (taken, used_before) = match self.take(&place) {
                Some(taken) => (taken, true),
                None => (self.connect(&place).await?, false),
            };
            let sent = match taken {
                Taken::Own(connection) => {
                    in_origin_form(&mut request, &place.1);
                    let held = Held::new(connection, Arc::clone(self), place.clone());
                    held.send(request).await
                }
                Taken::Shared(mut sender) => {
                    let sent = sender.try_send_request(request).await;
                    sent.map(|response| response.map(AnswerBody::shared))
                }
            };
            let mut error = match sent {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match error.take_message() {
                Some(unsent) if used_before => request = unsent,
                _ => return Err(error.into_error().into()),
            }
            *request.uri_mut() = uri.clone();
        }
    }

    /// A connection that is kept and, as far as anybody knows, alive.
    fn take(&self, place: &Place) -> Option<Taken> {
        let mut places = self.places.lock();
        let kept = places.get_mut(place)?;
        if let Some((used, sender)) = &mut kept.shared {
            if !sender.is_closed() && used.elapsed() < IDLE {
                *used = Instant::now();
                return Some(Taken::Shared(sender.clone()));
            }
            kept.shared = None;
        }
        let (since, connection) = kept.idle.pop()?;
        if since.elapsed() < IDLE {
            return Some(Taken::Own(connection));
        }
        // All others are older.
        kept.idle.clear();
        None
    }

    /// Keeps a connection that has served.
    pub(super) fn keep(&self, place: Place, connection: http1::Connection) {
        let mut places = self.places.lock();
        let idle = &mut places.entry(place).or_default().idle;
        idle.push((Instant::now(), connection));
    }

    /// A new connection. The others' first one is used when it turns out that all can share it.
    async fn connect(&self, place: &Place) -> Result<Taken, Error> {
        let mut connector = self.connector.clone();
        let stream = connector.call(as_uri(place));
        let stream = stream.await.map_err(Error::Connect)?;
        if !stream.connected().is_negotiated_h2() {
            let (sender, connection) = self.http1.handshake(stream).await?;
            return Ok(Taken::Own(http1::Connection::new(sender, connection)));
        }
        let (mut sender, connection) = self.http2.handshake(stream).await?;
        beside(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a provider ended");
            }
        });
        sender.ready().await?;
        let mut places = self.places.lock();
        let shared = &mut places.entry(place.clone()).or_default().shared;
        match shared {
            Some((_, first)) if !first.is_closed() => sender = first.clone(),
            _ => *shared = Some((Instant::now(), sender.clone())),
        }
        Ok(Taken::Shared(sender))
    }

    /// Lets go of what has ended, or was not used for long.
    fn sweep(&self) {
        self.places.lock().retain(|_, kept| {
            kept.idle
                .retain_mut(|(since, connection)| since.elapsed() < IDLE && connection.is_alive());
            let used = kept.shared.take();
            kept.shared =
                used.filter(|(used, sender)| used.elapsed() < IDLE && !sender.is_closed());
            !kept.idle.is_empty() || kept.shared.is_some()
        });
    }
}

/// Runs beside everything else.
#[expect(
    clippy::disallowed_methods,
    reason = "a stop waits for requests; connections end with the process"
)]
pub(super) fn beside(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Looks after a pool for as long as there is one.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep();
    }
}

fn place(uri: &Uri) -> Option<Place> {
    Some((uri.scheme()?.clone(), uri.authority()?.clone()))
}

fn as_uri(place: &Place) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(place.0.clone());
    parts.authority = Some(place.1.clone());
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_default()
}

/// HTTP/1 names the other end in a header line, and the request by its path alone.
fn in_origin_form(request: &mut Request<Pieces>, authority: &Authority) {
    if !request.headers().contains_key(header::HOST) {
        let uri = request.uri();
        let usual = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = match uri.port_u16() {
            Some(port) if port != usual => authority.as_str().rsplit('@').next(),
            _ => uri.host(),
        };
        if let Some(Ok(host)) = host.map(HeaderValue::from_str) {
            request.headers_mut().insert(header::HOST, host);
        }
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
}

//! Connections, and which part of the gateway answers a request.
//!
//! Owns: the accept loop, the limits and deadlines of connections, the rules for Host and Origin, and the split between
//! models, pages and metrics. In: accepted streams with the peer's address. Out: responses.
//! Must not know: how identity is found, what a model request does, what pages show.

mod discovery;
mod events;
mod guard;
mod mistakes;
mod opening;
mod reach;
mod scrape;
mod tls;

pub use guard::Names;
pub use mistakes::{Kind, Mistake, Mistakes};
pub use reach::{Place, every_route};
pub use scrape::Scrape;
pub use tls::{BadCertificate, Tls, TlsState, Validity};

use crate::{
    api::{self, Api},
    config::{Config, Live},
    dashboard::{self, Dashboard},
    endpoint::{self, Dialect, Route},
    identity::{
        Caller, NodeId, Unidentified, WhoIs,
        connections::{ConnectionGuard, Connections},
        resolve::Resolver,
    },
    metrics::Metrics,
    policy,
    proxy::{Proxy, body::Body, error::Failure, refuse},
    record::RequestId,
    shutdown::Tasks,
    tailnet::{Accept, Accepted, Origin},
};
use bytes::Bytes;
use discovery::Ask;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Characters of a path that logs and answers repeat.
const PATH_TOLD: usize = 200;

/// Header lines that hyper takes without being told, on the stack.
const HYPER_HEAD_COUNT: usize = 100;

/// Everything that a request can reach.
pub struct Server<W: WhoIs> {
    /// The configuration in force.
    pub live: Live,
    /// Who has an address.
    pub resolver: Arc<Resolver<W>>,
    /// Open connections by peer.
    pub connections: Connections,
    /// Requests to models.
    pub proxy: Arc<Proxy>,
    /// Pages.
    pub dashboard: Arc<Dashboard>,
    /// What scripts ask and change.
    pub api: Arc<Api>,
    /// Counters.
    pub metrics: Metrics,
    /// The gateway's own names and addresses.
    pub names: Names,
    /// The certificate of the HTTPS port; none = there is no such port.
    pub tls: Option<Tls>,
    /// Clients that spoke another protocol than their port.
    pub mistakes: Mistakes,
    /// Running tasks.
    pub tasks: Tasks,
    /// The node's own series, for the metrics page.
    pub node_metrics: NodeMetrics,
}

/// Asks the node for its own series; empty without a node.
pub type NodeMetrics =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

/// docs/endpoints.md.
pub fn render_endpoints_markdown() -> String {
    discovery::render_markdown()
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Models and pages.
    Gateway,
    /// The same, over TLS.
    Secure,
    /// `/metrics` alone.
    Metrics,
}

/// What happens to a connection from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// The drain begins: finish the request, then close.
    Drain,
    /// The first request's head should have come by now.
    HeadLate,
    /// The peer is no longer who it was.
    Reassigned,
    /// The drain's deadline has passed.
    End,
}

/// The beginning of a header line, for people.
fn shown(headers: &http::HeaderMap, name: &header::HeaderName) -> String {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    text.unwrap_or_default().chars().take(PATH_TOLD).collect()
}

impl<W: WhoIs> std::fmt::Debug for Server<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl<W: WhoIs> Server<W> {
    /// Accepts until the drain begins; each connection is a task of its own. An error means that the listener is gone.
    pub async fn serve<A: Accept>(self: Arc<Self>, port: Port, mut listener: A) -> io::Result<()> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.tasks.draining.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted?,
            };
            let server = Arc::clone(&self);
            self.tasks
                .spawn(async move { server.connection(port, accepted).await });
        }
    }

    /// Serves one connection to its end.
    async fn connection(self: Arc<Self>, port: Port, accepted: Accepted) {
        let Accepted { io, peer, node } = accepted;
        let config = self.live.current();
        // Who made it: an address that passes to another node later ends this connection, and one that was nobody's then
        // is never served on it.
        let accepted_as = match node {
            Origin::Node(node) => Ok(NodeId::from(node)),
            Origin::Nobody => Err(Unidentified::UnknownPeer),
            Origin::Unknown => {
                let caller = self.resolver.recheck(peer.ip()).await;
                caller.map(|caller| caller.node.clone())
            }
        };
        let guard = match self.connections.register(peer, accepted_as.clone().ok()) {
            Ok(guard) => guard,
            Err(too_many) => {
                self.metrics.connection_refused("too_many");
                tracing::warn!(%too_many, "connection refused");
                return;
            }
        };
        let _open = self.metrics.connection_opened();

        let mut signals = self.signals(&guard, config.gateway.timeouts.header_read);
        let opened = tokio::select! {
            biased;
            opened = self.open(port, io, opening::Peer { address: peer, accepted_as: &accepted_as }) => opened,
            Some(signal) = signals.next() => {
                tracing::debug!(?signal, "connection closed before its first request");
                return;
            }
        };
        let Some(io) = opened else { return };
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (server, asked) = (Arc::clone(&self), Arc::clone(&asked));
            service_fn(move |request| {
                let first = !asked.swap(true, Ordering::Relaxed);
                let (server, accepted_as) = (Arc::clone(&server), accepted_as.clone());
                async move {
                    Ok::<_, Infallible>(
                        server.answer(port, peer, accepted_as, first, request).await,
                    )
                }
            })
        };
        let builder = builder(&config);
        let connection = builder.serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        loop {
            let signal = tokio::select! {
                biased;
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                Some(signal) = signals.next() => signal,
            };
            match signal {
                Signal::Drain => connection.as_mut().graceful_shutdown(),
                Signal::HeadLate if asked.load(Ordering::Relaxed) => {}
                Signal::HeadLate => {
                    tracing::debug!("connection closed: no request head in time");
                    return;
                }
                Signal::Reassigned => {
                    tracing::info!("connection closed: its peer is no longer who it was");
                    return;
                }
                Signal::End => return,
            }
        }
    }

    /// What may happen to a connection from outside, each once.
    ///
    /// The connection wakes several times for each request. Here a wait is looked at only when it has been woken itself:
    /// looking at a token takes a lock that all connections share.
    fn signals<'a>(
        &'a self,
        guard: &'a ConnectionGuard,
        header_read: Duration,
    ) -> FuturesUnordered<Pin<Box<dyn Future<Output = Signal> + Send + 'a>>> {
        let signals = FuturesUnordered::<Pin<Box<dyn Future<Output = Signal> + Send>>>::new();
        let Tasks {
            draining, ended, ..
        } = &self.tasks;
        signals.push(Box::pin(draining.cancelled().map(|()| Signal::Drain)));
        signals.push(Box::pin(ended.cancelled().map(|()| Signal::End)));
        signals.push(Box::pin(guard.cancelled().map(|()| Signal::Reassigned)));
        let late = tokio::time::sleep(header_read);
        signals.push(Box::pin(late.map(|()| Signal::HeadLate)));
        signals
    }

    /// Answers one request.
    async fn answer(
        &self,
        port: Port,
        peer: SocketAddr,
        accepted_as: Result<NodeId, Unidentified>,
        first: bool,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let (method, path) = (request.method(), request.uri().path());
        let route = endpoint::route(method, path, hints(&request));
        let ask = Ask::of(route, method, path);
        // The dialect in whose words refusals are; none for pages.
        let dialect = match route {
            Route::Model(endpoint)
            | Route::Stored(endpoint)
            | Route::WrongMethod(endpoint)
            | Route::WebSocket(endpoint) => Some(endpoint.dialect()),
            Route::NotOffered(dialect) => Some(dialect),
            Route::Models | Route::Other => {
                ask.and_then(|ask| ask.dialect(path, request.headers()))
            }
        };
        // Programs come under names of their own and from listed origins; pages only under ours.
        // On the metrics port nothing of these is served.
        let for_programs =
            port != Port::Metrics && (dialect.is_some() || (ask.is_some() && path != "/"));
        // Identity first, for every request: keep-alive connections outlive grants, tags and users.
        let identified = match &accepted_as {
            Ok(node) => self.resolver.resolve(peer.ip(), Some(node)).await,
            Err(why) => Err(why.clone()),
        };
        let caller = match identified {
            Ok(caller) => caller,
            Err(why) => return self.unidentified(why, dialect),
        };
        let config = self.live.current();
        let origin = guard::judge(
            &request,
            &self.names,
            &config.gateway.cors_origins,
            for_programs,
        );
        let origin = match origin {
            Ok(origin) => origin,
            Err(refusal) => {
                let failure = Failure::ForeignOrigin;
                self.metrics.refused(failure.facts().reason);
                let (kind, name) = match refusal {
                    guard::Refusal::Origin => (Kind::ForeignOrigin, header::ORIGIN),
                    guard::Refusal::Host => (Kind::ForeignHost, header::HOST),
                };
                self.mistakes
                    .note(kind, Some(&caller), shown(request.headers(), &name));
                tracing::warn!(login = %caller.login, %refusal, "request refused");
                return refuse(&failure, dialect, RequestId::new());
            }
        };
        // Once for each connection: looking at the list takes a lock.
        if first && dialect.is_some() && guard::brings_key(request.headers(), &config) {
            self.mistakes
                .note(Kind::OwnKey, Some(&caller), String::new());
        }
        let limit = config.gateway.limits.head_bytes;
        if head_size(&request) > limit {
            let failure = Failure::HeadTooLarge(limit);
            self.metrics.refused(failure.facts().reason);
            tracing::info!(login = %caller.login, limit, "request refused: its head is too large");
            return refuse(&failure, dialect, RequestId::new());
        }
        if port == Port::Secure {
            request.extensions_mut().insert(dashboard::OverTls);
        }
        match port {
            Port::Metrics => self.metrics_page(&config, &caller, &request).await,
            Port::Gateway | Port::Secure => {
                let mut response = match (route, &origin) {
                    (_, Some(origin)) if request.method() == Method::OPTIONS => {
                        guard::preflight(origin)
                    }
                    (
                        Route::Model(_)
                        | Route::Stored(_)
                        | Route::WrongMethod(_)
                        | Route::WebSocket(_),
                        _,
                    ) => self.proxy.handle(caller, route, request).await,
                    (Route::NotOffered(dialect), _) => {
                        self.not_offered(&config, &caller, dialect, told(&request))
                    }
                    (Route::Models | Route::Other, _) => {
                        let (method, path) = (request.method().clone(), told(&request));
                        let response = match ask {
                            Some(ask) => self.tell(&config, &caller, ask, request).await,
                            None => self.page(&config, &caller, request).await,
                        };
                        let status = response.status().as_u16();
                        tracing::debug!(login = %caller.login, %method, path, status, "answered beside the models");
                        response
                    }
                };
                if let Some(origin) = origin {
                    guard::allow(response.headers_mut(), &origin);
                }
                response
            }
        }
    }

    /// Nobody: refused, counted, and logged with the reason.
    fn unidentified(&self, why: Unidentified, dialect: Option<Dialect>) -> Response<Body> {
        let failure = Failure::Unidentified(why);
        let facts = failure.facts();
        self.metrics.refused(facts.reason);
        tracing::warn!(
            reason = facts.reason,
            detail = failure.detail().unwrap_or(""),
            "request refused: {}",
            match &failure {
                Failure::Unidentified(why) => why.to_string(),
                other => other.facts().message,
            }
        );
        let mut response = refuse(&failure, dialect, RequestId::new());
        // The next connection is asked about anew.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// A route of a provider's API that is known and not offered: said in its own words, to those who have a role.
    fn not_offered(
        &self,
        config: &Config,
        caller: &Arc<Caller>,
        dialect: Dialect,
        path: String,
    ) -> Response<Body> {
        let failure = match policy::role(config, caller) {
            Some(_) => Failure::NotOffered(path),
            None => Failure::Denied(policy::Denied::NoRole),
        };
        let facts = failure.facts();
        self.metrics.refused(facts.reason);
        tracing::info!(login = %caller.login, "request refused: {}", facts.message);
        refuse(&failure, Some(dialect), RequestId::new())
    }

    /// What is neither a model nor asked before one: pages, the API, and paths that do not exist.
    async fn page(
        &self,
        config: &Arc<Config>,
        caller: &Arc<Caller>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let Some((role, _)) = policy::role(config, caller) else {
            self.metrics.refused("no_role");
            tracing::info!(login = %caller.login, "page refused: no role granted");
            let (parts, _body) = request.into_parts();
            let of_pages = !api::owns(parts.uri.path());
            let page = of_pages.then(|| dashboard::stranger(caller, &parts));
            if let Some(answer) = page.flatten() {
                return answer.map(whole);
            }
            return refuse(
                &Failure::Denied(policy::Denied::NoRole),
                None,
                RequestId::new(),
            );
        };
        if api::owns(request.uri().path()) {
            let answer = api::handle(&self.api, caller, role, config, request).await;
            return answer.map(whole);
        }
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let ours = path == "/ui" || path.starts_with("/ui/") || path == "/favicon.ico";
        if ours {
            let answer = dashboard::handle(&self.dashboard, caller, role, &parts, body).await;
            let followed = self.dashboard.follow(&parts);
            let Some(followed) = followed.filter(|_| answer.status() == StatusCode::OK) else {
                return answer.map(whole);
            };
            let page = events::Page {
                dashboard: Arc::clone(&self.dashboard),
                live: self.live.clone(),
                tasks: self.tasks.clone(),
                caller: Arc::clone(caller),
                parts,
                followed,
            };
            return answer.map(|first| Body::Events(page.events(first)));
        }
        let failure = Failure::NoEndpoint(path.chars().take(PATH_TOLD).collect());
        self.metrics.refused(failure.facts().reason);
        refuse(&failure, None, RequestId::new())
    }

    /// What a program asks before it asks a model.
    async fn tell(
        &self,
        config: &Config,
        caller: &Arc<Caller>,
        ask: Ask,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let told = discovery::answer(config, caller, ask, &parts);
        if let Some(probe) = ask.probe() {
            self.metrics.probed(probe);
            if told.is_ok() {
                discovery::discard(body).await;
            }
        }
        told.unwrap_or_else(|failure| {
            self.metrics.refused(failure.facts().reason);
            let dialect = ask.dialect(parts.uri.path(), &parts.headers);
            refuse(&failure, dialect, RequestId::new())
        })
    }

    /// The metrics port.
    async fn metrics_page(
        &self,
        config: &Config,
        caller: &Arc<Caller>,
        request: &Request<Incoming>,
    ) -> Response<Body> {
        if !policy::may_read_metrics(config, caller) {
            self.metrics.refused("no_metrics_grant");
            tracing::info!(login = %caller.login, "metrics refused: neither admin nor read_metrics");
            let mut response = empty(StatusCode::FORBIDDEN);
            *response.body_mut() = whole(Bytes::from_static(
                b"{\"error\":\"access denied: reading metrics needs the admin role or a read_metrics grant\"}",
            ));
            return response;
        }
        if request.method() != Method::GET || request.uri().path() != "/metrics" {
            return refuse(&Failure::NoEndpoint("/".into()), None, RequestId::new());
        }
        let node = (self.node_metrics)().await;
        let text = self.metrics.render(node.as_deref());
        scrape::exposition(text).map(whole)
    }
}

/// The connection settings of a configuration.
fn builder(config: &Config) -> auto::Builder<TokioExecutor> {
    let (limits, timeouts) = (&config.gateway.limits, &config.gateway.timeouts);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper's deadline also runs while a kept connection is idle, so it is the idle one; the first head has its own.
        .header_read_timeout(timeouts.idle)
        .max_buf_size(limits.head_bytes.max(8192))
        .auto_date_header(false)
        // A client that closes has left: its request upstream must end at once.
        .half_close(false);
    // Told any number, even its own, hyper fills its tables of lines by that number.
    if limits.head_count != HYPER_HEAD_COUNT {
        builder.http1().max_headers(limits.head_count);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(1000)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(Some(Duration::from_mins(1)))
        .auto_date_header(false);
    builder
}

/// Bytes of a request's head, as HTTP/1.1 writes it (hyper's own limit is only on what it buffers).
fn head_size<B>(request: &Request<B>) -> usize {
    let line = request.method().as_str().len() + request.uri().path().len();
    let query = request.uri().query().map_or(0, str::len);
    let fields: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    line + query + fields
}

/// What the head says about its route.
fn hints(request: &Request<Incoming>) -> endpoint::Hints {
    let head = request.headers();
    let upgrade = head.get(header::UPGRADE);
    endpoint::Hints {
        upgrade: upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")),
        anthropic: head.contains_key("anthropic-version") || head.contains_key("anthropic-beta"),
    }
}

/// The path as logs and answers repeat it: cut, and without the query, which may hold a key.
fn told(request: &Request<Incoming>) -> String {
    request.uri().path().chars().take(PATH_TOLD).collect()
}

fn whole(bytes: Bytes) -> Body {
    Body::Whole(Full::new(bytes))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

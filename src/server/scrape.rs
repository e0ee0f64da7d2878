//! Metrics on the host's own network: the one exception to "no listening socket on the host", for scraping in a cluster.
//!
//! Owns: a plain TCP listener that answers `GET /metrics` and nothing else, with its own limits and deadlines. In: scrapes
//! of whoever can connect: nobody is identified here, so nothing that names a user is shown. Out: the text exposition.
//! Must not know: callers, grants, models, pages.

use super::NodeMetrics;
use crate::{metrics::Metrics, shutdown::Tasks};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Connections at once; a cluster has a few Prometheus servers.
const CONNECTIONS: usize = 32;

/// How long a connection may wait for its next request: longer than usual scrape intervals.
const IDLE: Duration = Duration::from_mins(3);

/// How long to rest when no connection can be accepted (no descriptors left).
const REST: Duration = Duration::from_millis(200);

/// What the listener serves.
#[derive(Clone)]
pub struct Scrape {
    /// The figures.
    pub metrics: Metrics,
    /// The node's own series.
    pub node_metrics: NodeMetrics,
    /// Running tasks: they end when the gateway has ended, so that a drain can be watched.
    pub tasks: Tasks,
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Scrape {
    /// Answers scrapes until the gateway has ended.
    pub async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = self.tasks.ended.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => self.tasks.spawn(self.clone().connection(stream, place)),
                    Err(_) => self.metrics.connection_refused("too_many_scrapes"),
                },
                Err(error) => {
                    tracing::warn!(%error, "accepting a scrape");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Serves one connection to its end.
    async fn connection(self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        let ended = self.tasks.ended.clone();
        let service = service_fn(move |request| {
            let this = self.clone();
            async move { Ok::<_, Infallible>(this.answer(&request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            result = connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "scrape connection ended");
                }
            }
            () = ended.cancelled() => {}
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET || request.uri().path() != "/metrics" {
            let mut response = Response::new(Full::from("only GET /metrics is here\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        let node = (self.node_metrics)().await;
        let text = self.metrics.render_for_anyone(node.as_deref());
        exposition(text).map(Full::from)
    }
}

/// A response in Prometheus's text format.
pub(super) fn exposition(text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

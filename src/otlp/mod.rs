//! Spans for an OpenTelemetry collector: one of each request that has ended.
//!
//! Owns: [`Exporter`], which takes records where they are finished, and [`Worker`], which sends what they say. `span` says it
//! in the words of OpenTelemetry's conventions for generative AI, `wire` writes it as the protocol's messages, `context`
//! reads who else traces a request. In: finished records, and their bodies where the settings ask for content. Out: posts to
//! the collector of the configuration in force. Bookkeeping fails open: nothing here waits, and what can't be sent is counted.
//! Must not know: how bodies are read (the caller brings that), the store, pages.

mod context;
mod export;
mod span;
#[cfg(test)]
mod tests;
mod wire;

pub use context::Parent;
pub use export::{Reader, Said, Worker};

use crate::{
    config::Live,
    metrics::{Metrics, SpanEnd},
    provider::client::Client,
    record::{Capture, Record},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Spans that wait.
const QUEUE: usize = 2_048;
/// Bytes of bodies that wait with them. A span that comes when they are full goes without its content.
const BODIES: usize = 32 << 20;

/// Takes finished records. A clone is the same one.
#[derive(Clone)]
pub struct Exporter(Arc<Shared>);

/// What exporter and worker share.
struct Shared {
    live: Live,
    metrics: Metrics,
    queue: mpsc::Sender<Item>,
    /// Bytes of bodies in the queue.
    bodies: AtomicUsize,
    /// The queue has been full since the worker last got through.
    full: AtomicBool,
    /// The gateway ends: send what is there.
    closing: CancellationToken,
    /// The worker has ended.
    closed: CancellationToken,
}

/// One span that waits.
struct Item {
    span: wire::Span,
    /// The bodies to read content from, and their bytes.
    bodies: Option<(Box<Capture>, usize)>,
    /// Why the model stopped, which content is to say again.
    stop_reason: Option<String>,
}

impl Exporter {
    /// An exporter, and its worker that is still to be run; `name` is the gateway's own, and `read` finds content in bodies.
    pub fn new(
        live: Live,
        metrics: Metrics,
        client: Client,
        name: impl Fn() -> String + Send + Sync + 'static,
        read: Reader,
    ) -> (Self, Worker) {
        let (queue, items) = mpsc::channel(QUEUE);
        let exporter = Self(Arc::new(Shared {
            live,
            metrics,
            queue,
            bodies: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
        }));
        let worker = Worker::new(exporter.clone(), items, client, Box::new(name), read);
        (exporter, worker)
    }

    /// Queues the span of a record that has ended, when the configuration says so. Never waits.
    pub fn offer(&self, record: &Record, capture: Option<&Capture>, parent: Option<&Parent>) {
        let config = self.0.live.current();
        let Some(otlp) = &config.gateway.otlp else {
            return;
        };
        if !context::is_sampled(record.id, parent, otlp.sample_ppm) {
            return;
        }
        let provider = record.provider.as_deref();
        let provider = provider.and_then(|id| config.providers.get(id));
        let mut span = span::of(record, provider.map(|it| &**it), parent, otlp.users);
        let capture = capture.filter(|_| otlp.content);
        let bodies = capture.map(|capture| (Box::new(capture.clone()), bytes_of(capture)));
        let bodies = bodies.filter(|(_, bytes)| {
            let fits = self.0.bodies.load(Relaxed).saturating_add(*bytes) <= BODIES;
            if !fits {
                span::mark_content_dropped(&mut span);
            }
            fits
        });
        let Ok(place) = self.0.queue.try_reserve() else {
            self.0.metrics.spans(SpanEnd::Dropped, 1);
            if !self.0.full.swap(true, Relaxed) {
                tracing::warn!(
                    "otlp: the collector does not keep up, spans are dropped until it does"
                );
            }
            return;
        };
        if let Some((_, bytes)) = &bodies {
            self.0.bodies.fetch_add(*bytes, Relaxed);
        }
        place.send(Item {
            span,
            bodies,
            stop_reason: record.stop_reason.clone(),
        });
    }

    /// Sends what is queued and ends the worker, at most within `deadline`; whether it got that far.
    pub async fn close(&self, deadline: Duration) -> bool {
        self.0.closing.cancel();
        let closed = tokio::time::timeout(deadline, self.0.closed.cancelled()).await;
        if closed.is_err() {
            tracing::warn!("otlp: the collector did not take the last spans in time");
        }
        closed.is_ok()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// Bytes that a capture keeps in memory, about.
fn bytes_of(capture: &Capture) -> usize {
    let bodies = [&capture.request, &capture.response];
    let chunks = bodies.iter().flat_map(|body| &body.chunks);
    chunks.map(bytes::Bytes::len).sum()
}

//! The task that sends spans.
//!
//! Owns: batches, what is tried again and how often, and the words in the log. In: spans from the queue. Out: posts, and a
//! count of what became of every span. The rules are those of OTLP over HTTP: 429, 502, 503 and 504 and broken connections
//! are tried again, everything else is not. Must not know: requests, records.

use super::{
    Exporter, Item, span,
    wire::{
        ExportRequest, ExportResponse, KeyValue, PartialSuccess, Resource, ResourceSpans, Scope,
        ScopeSpans, Span,
    },
};
use crate::{
    config::Otlp,
    metrics::SpanEnd,
    provider::client::{Client, Network, Pieces},
    record::{Capture, Timestamp},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use prost::Message as _;
use std::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Spans of one post.
const MOST: usize = 512;
/// Bytes of one post: collectors take 20 MiB at least.
const BYTES: usize = 4 << 20;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_secs(1);
/// How long one post may take.
const POST: Duration = Duration::from_secs(10);
/// How often a batch is posted before it is given up.
const ATTEMPTS: u32 = 5;
/// The wait after the first failure; it doubles.
const WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a collector may ask for.
const LONGEST: Duration = Duration::from_mins(1);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// Characters of a collector's message that are logged.
const MESSAGE: usize = 200;

/// The content of one request and its answer, as JSON texts in the conventions' form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The system prompt.
    pub system: Option<String>,
    /// What is new in the request.
    pub input: Option<String>,
    /// The answer.
    pub output: Option<String>,
    /// Messages of the request that came before what is new.
    pub earlier: usize,
}

/// Finds content in bodies; the second is why the model stopped.
pub type Reader = fn(&Capture, Option<&str>) -> Said;

/// Sends spans until the gateway ends.
pub struct Worker {
    exporter: Exporter,
    items: mpsc::Receiver<Item>,
    client: Client,
    name: Box<dyn Fn() -> String + Send + Sync>,
    read: Reader,
    /// The last batch did not get through.
    failing: bool,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// What became of one post.
#[derive(Debug)]
enum Verdict {
    Taken(PartialSuccess),
    /// Another try would end the same.
    Refused(String),
    /// It may go better later; the collector may say when.
    Later(String, Option<Duration>),
}

impl Worker {
    pub(super) fn new(
        exporter: Exporter,
        items: mpsc::Receiver<Item>,
        client: Client,
        name: Box<dyn Fn() -> String + Send + Sync>,
        read: Reader,
    ) -> Self {
        Self {
            exporter,
            items,
            client,
            name,
            read,
            failing: false,
        }
    }

    /// What waits, for tests.
    #[cfg(test)]
    pub(super) fn into_queued(mut self) -> Vec<Item> {
        std::iter::from_fn(|| self.items.try_recv().ok()).collect()
    }

    /// Runs until the exporter is closed.
    pub async fn run(mut self) {
        loop {
            let batch = self.batch().await;
            if batch.is_empty() {
                break;
            }
            self.deliver(batch).await;
        }
        self.exporter.0.closed.cancel();
    }

    /// The next spans; none when the gateway ends and nothing is left.
    async fn batch(&mut self) -> Vec<Span> {
        let closing = self.exporter.0.closing.clone();
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut until: Option<Instant> = None;
        while batch.len() < MOST && bytes < BYTES {
            let item = tokio::select! {
                biased;
                item = self.items.recv() => item,
                () = closing.cancelled() => self.items.try_recv().ok(),
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => None,
            };
            let Some(item) = item else { break };
            until.get_or_insert_with(|| Instant::now() + LINGER);
            let span = self.complete(item);
            bytes += span.encoded_len();
            batch.push(span);
        }
        batch
    }

    /// Adds the content of a span that is to have it.
    fn complete(&self, item: Item) -> Span {
        let mut span = item.span;
        if let Some((capture, bytes)) = item.bodies {
            self.exporter.0.bodies.fetch_sub(bytes, Relaxed);
            span::add_content(
                &mut span,
                (self.read)(&capture, item.stop_reason.as_deref()),
            );
        }
        span
    }

    /// Posts a batch until it is taken, refused, or was tried often enough.
    async fn deliver(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = self.encode(batch);
        let mut wait = WAIT;
        for attempt in 1..=ATTEMPTS {
            // As the configuration is now: what was queued does not outlive the wish to export it.
            let config = self.exporter.0.live.current();
            let Some(otlp) = &config.gateway.otlp else {
                self.ended(SpanEnd::Dropped, count);
                return;
            };
            let closing = self.exporter.0.closing.is_cancelled();
            let posted = timeout(POST, post(&self.client, otlp, body.clone())).await;
            let verdict = posted
                .unwrap_or_else(|_| Verdict::Later("it did not answer in time".to_owned(), None));
            let (reason, after) = match verdict {
                Verdict::Taken(partial) => return self.taken(count, &partial),
                Verdict::Refused(reason) => return self.lost(count, &reason),
                Verdict::Later(reason, after) => (reason, after),
            };
            if attempt == ATTEMPTS || closing {
                return self.lost(count, &reason);
            }
            self.trouble(&reason);
            tokio::select! {
                () = sleep(after.unwrap_or(wait).min(LONGEST)) => {}
                () = self.exporter.0.closing.cancelled() => {}
            }
            wait *= 2;
        }
    }

    fn encode(&self, spans: Vec<Span>) -> Bytes {
        let attributes = vec![
            KeyValue::new("service.name", "aperture"),
            KeyValue::new("service.version", crate::VERSION),
            KeyValue::new("service.instance.id", (self.name)()),
        ];
        let scope = Scope {
            name: "aperture".to_owned(),
            version: crate::VERSION.to_owned(),
        };
        let request = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans,
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        };
        let mut body = BytesMut::with_capacity(request.encoded_len());
        request
            .encode(&mut body)
            .expect("invariant: the buffer grows");
        body.freeze()
    }

    fn taken(&mut self, count: u64, partial: &PartialSuccess) {
        let rejected = u64::try_from(partial.rejected_spans)
            .unwrap_or(0)
            .min(count);
        self.ended(SpanEnd::Rejected, rejected);
        self.ended(SpanEnd::Exported, count - rejected);
        self.exporter.0.metrics.spans_exported_at(Timestamp::now());
        self.exporter.0.full.store(false, Relaxed);
        if !partial.error_message.is_empty() {
            let message: String = partial.error_message.chars().take(MESSAGE).collect();
            tracing::warn!(
                rejected,
                message,
                "otlp: the collector has something to say"
            );
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("otlp: the collector takes spans again");
        }
    }

    fn lost(&mut self, count: u64, reason: &str) {
        self.ended(SpanEnd::Failed, count);
        self.trouble(reason);
    }

    /// Says once that something is wrong, until it is not.
    fn trouble(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(reason, "otlp: the collector takes no spans");
        }
    }

    fn ended(&self, end: SpanEnd, count: u64) {
        self.exporter.0.metrics.spans(end, count);
    }
}

/// Posts once.
async fn post(client: &Client, otlp: &Otlp, body: Bytes) -> Verdict {
    let network = if otlp.tailnet {
        Network::Tailnet
    } else {
        Network::Host
    };
    let mut request = Request::new(Pieces::new([body]));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = otlp.endpoint.clone();
    let head = request.headers_mut();
    head.extend(otlp.headers.iter().cloned());
    let own = [
        (header::CONTENT_TYPE, "application/x-protobuf"),
        (
            header::USER_AGENT,
            concat!("aperture/", env!("CARGO_PKG_VERSION")),
        ),
    ];
    for (name, value) in own {
        head.insert(name, http::HeaderValue::from_static(value));
    }
    let response = match client.send_over(network, None, request).await {
        Ok(response) => response,
        Err(error) => return Verdict::Later(error.to_string(), None),
    };
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER).collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    judge(head.status, &head.headers, &body)
}

/// What an answer means.
fn judge(status: StatusCode, head: &HeaderMap, body: &[u8]) -> Verdict {
    if status.is_success() {
        // An answer that can't be read is still a success.
        let answer = ExportResponse::decode(body).unwrap_or_default();
        return Verdict::Taken(answer.partial_success.unwrap_or_default());
    }
    let reason = format!("it answers {status}");
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let after = head.get(header::RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Verdict::Later(reason, after.map(Duration::from_secs))
        }
        _ => Verdict::Refused(reason),
    }
}

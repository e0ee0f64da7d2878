//! What is kept while a request runs, and the one place where its record is finished.
//!
//! Owns: [`Exchange`] (fills the record stage by stage; finishing or dropping it writes the record, counts it and tells
//! the session index) and [`InFlight`] (all running exchanges, for checkpoints and live counts). In: what each stage
//! learnt. Out: start, checkpoint and finish events.
//! Must not know: tables, HTTP bodies. Nothing here blocks: dropping may happen on any thread.

use super::{Proxy, error::Failure};
use crate::{
    config::Config,
    endpoint::Endpoint,
    identity::Caller,
    otlp::Parent,
    policy::Permit,
    price,
    provider::{client::Upload, headers},
    record::{
        Capture, CaptureMode, CapturedBody, Client, Cost, End, Estimate, Record, RequestId,
        Timestamp, ToolCall, UsageState, Who,
    },
    session::{Answered, Assigned, client_of, tool_server},
    tap::{RequestFacts, ResponseFacts, ResponseTap, StoredIds, Unstated, about_tokens, clip},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, request::Parts, response};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc};
use tokio::time::Instant;

/// Chunks smaller than this are copied together, so that a capture does not pin read buffers.
const COPY_BELOW: usize = 8 << 10;

/// Bytes of the model's name that are kept: whatever a client sends there.
const MODEL: usize = 1 << 10;

/// Requests under way.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Mutex<HashMap<RequestId, Arc<Mutex<Slot>>>>>);

/// A record that is being filled.
#[derive(Debug)]
struct Slot {
    record: Record,
    /// It has news since it was last written.
    dirty: bool,
    /// Its start has been written.
    started: bool,
}

impl InFlight {
    /// The running requests as they stand, oldest first.
    pub fn records(&self) -> Vec<Record> {
        let slots: Vec<_> = self.0.lock().values().cloned().collect();
        let mut records: Vec<_> = slots
            .iter()
            .map(|slot| slot.lock().record.clone())
            .collect();
        records.sort_by_key(|record| record.id);
        records
    }

    /// How many are running.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether nothing is running.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the counts of every request that has news; called every second, so that a crash loses at most that.
    pub fn checkpoint(&self, writer: &crate::store::Writer) {
        let slots: Vec<_> = self.0.lock().values().cloned().collect();
        for slot in slots {
            let mut slot = slot.lock();
            if slot.started && std::mem::take(&mut slot.dirty) {
                writer.checkpoint(&slot.record);
            }
        }
    }
}

/// One request under way.
pub struct Exchange {
    id: RequestId,
    begun: Instant,
    config: Arc<Config>,
    proxy: Arc<Proxy>,
    slot: Arc<Mutex<Slot>>,
    permit: Option<Permit>,
    facts: Option<Arc<RequestFacts>>,
    capture: Option<Capture>,
    small: BytesMut,
    /// What the client still sends, when its body was too large to be held.
    upload: Option<Upload>,
    /// Reads what the provider says that it has stored.
    stored: Option<StoredIds>,
    /// The client's own span.
    parent: Option<Parent>,
    finished: bool,
}

impl Exchange {
    /// Begins a record from the request's head.
    pub(super) fn begin(
        proxy: &Arc<Proxy>,
        caller: &Caller,
        endpoint: Endpoint,
        parts: &Parts,
    ) -> Self {
        let id = RequestId::new();
        let record = Record {
            id,
            started: Timestamp::now(),
            who: Who {
                user: caller.user.to_string(),
                login: caller.login.to_string(),
                node: caller.node.to_string(),
                node_name: caller.node_name.to_string(),
                tags: caller.tags.clone(),
            },
            client: client_of(&parts.headers),
            path: shown_path(parts),
            ..Record::new(id, endpoint)
        };
        let slot = Arc::new(Mutex::new(Slot {
            record,
            dirty: false,
            started: false,
        }));
        proxy.in_flight.0.lock().insert(id, Arc::clone(&slot));
        proxy.metrics.observe_start(&slot.lock().record);
        Self {
            id,
            begun: Instant::now(),
            config: proxy.live.current(),
            proxy: Arc::clone(proxy),
            slot,
            permit: None,
            facts: None,
            capture: None,
            small: BytesMut::new(),
            upload: None,
            stored: None,
            parent: Parent::of(&parts.headers),
            finished: false,
        }
    }

    /// Its id.
    pub(super) const fn id(&self) -> RequestId {
        self.id
    }

    /// The configuration that was in force when it began; it stays in force for it.
    pub(super) const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The program that sent it.
    pub(super) fn client(&self) -> Client {
        self.slot.lock().record.client.clone()
    }

    /// Writes the start, once.
    pub(super) fn start(&self) {
        let mut slot = self.slot.lock();
        if slot.started {
            slot.dirty = true;
        } else {
            slot.started = true;
            self.proxy.writer.start(&slot.record);
        }
    }

    /// The body has been read.
    pub(super) fn asked(&self, facts: &RequestFacts, body: &Bytes) {
        let record = &mut self.slot.lock().record;
        record.model_asked = Some(clip(&facts.model, MODEL).to_owned());
        record.streamed = facts.stream;
        record.bytes.request = body.len() as u64;
        // Now it is known whether this is a stream.
        self.proxy.metrics.observe_start(record);
    }

    /// The request may be sent: the record gets its model, provider and session, and is written.
    pub(super) fn permitted(
        &mut self,
        permit: &Permit,
        assigned: Assigned,
        facts: Arc<RequestFacts>,
        head: &HeaderMap,
        body: &Bytes,
    ) {
        let mode = permit.capture();
        {
            let record = &mut self.slot.lock().record;
            record.grant = Some(permit.grant().to_owned());
            record.provider = Some(permit.provider().id.to_string());
            record.model = Some(permit.model().to_string());
            record.capture = mode;
            record.session = assigned.session;
            record.parent_session = assigned.parent;
            if mode == CaptureMode::None {
                record.path.clear();
            } else {
                record.agent = assigned.agent;
                record.tools.clone_from(&facts.tool_results);
                for (tool, duration) in record.tools.iter_mut().zip(assigned.durations) {
                    tool.duration_ms = duration;
                }
                name_servers(&mut record.tools, &record.client.name);
            }
            if mode == CaptureMode::Full {
                record.title = assigned.title;
                record.workspace = assigned.workspace;
            }
        }
        if mode == CaptureMode::Full {
            let cap = self.cap();
            let kept = body.len().min(cap);
            self.capture = Some(Capture {
                request_head: headers::redacted(head),
                request: CapturedBody {
                    chunks: vec![body.slice(..kept)],
                    borders: facts
                        .message_borders
                        .iter()
                        .copied()
                        .filter(|at| *at < kept)
                        .collect(),
                    truncated: kept < body.len(),
                    size: body.len() as u64,
                },
                ..Capture::default()
            });
        }
        self.facts = Some(facts);
        self.permit = Some(permit.clone());
        self.start();
    }

    /// The request may be sent; it is about something that the provider stores. Bodies are not kept: they are files.
    pub(super) fn permitted_store(&mut self, permit: &Permit) {
        {
            let record = &mut self.slot.lock().record;
            record.grant = Some(permit.grant().to_owned());
            record.provider = Some(permit.provider().id.to_string());
            record.capture = permit.capture().max(CaptureMode::Metadata);
            if record.capture == CaptureMode::None {
                record.path.clear();
            }
        }
        self.permit = Some(permit.clone());
        self.start();
    }

    /// The client goes on sending its body.
    pub(super) fn uploads(&mut self, upload: Upload) {
        self.upload = Some(upload);
    }

    /// The answer may say what is stored now.
    pub(super) fn stores(&mut self, stored: Option<StoredIds>) {
        self.stored = stored;
    }

    /// What the answer says to be stored is the caller's, before the caller sees it; `last` says that no more will come.
    fn own(&mut self, data: &[u8], last: bool) {
        let (Some(stored), Some(permit)) = (&mut self.stored, &self.permit) else {
            return;
        };
        for id in stored.feed(data, last) {
            let (provider, user) = (&permit.provider().id, &permit.caller().user);
            self.proxy.owned.own(provider, &id, user);
        }
    }

    /// The request leaves for the provider.
    pub(super) fn sent(&self) {
        self.slot.lock().record.timings.sent_us = self.elapsed();
    }

    /// The provider's head is there.
    pub(super) fn answered(&mut self, head: &response::Parts) {
        {
            let mut slot = self.slot.lock();
            let record = &mut slot.record;
            record.timings.head_us = self.elapsed();
            record.status = Some(head.status.as_u16());
            slot.dirty = true;
        }
        if let Some(capture) = &mut self.capture {
            capture.response_head = headers::redacted(&head.headers);
        }
    }

    /// Adds the gateway's own lines to the client's response head.
    pub(super) fn stamp(&self, head: &mut HeaderMap) {
        let timings = self.slot.lock().record.timings;
        // Milliseconds, cut to hundredths.
        let ms = |us: u64| (us / 1000, us % 1000 / 10);
        let (own, own_part) = ms(timings.sent_us);
        let (provider, provider_part) = ms(timings.head_us.saturating_sub(timings.sent_us));
        let text =
            format!("aperture;dur={own}.{own_part:02}, provider;dur={provider}.{provider_part:02}");
        if let Ok(value) = HeaderValue::try_from(text) {
            head.append("server-timing", value);
        }
        stamp_id(head, self.id);
    }

    /// A chunk came from the provider; `last` says that no more will come.
    pub(super) fn progress(&mut self, tap: &ResponseTap, data: &Bytes, last: bool) {
        self.own(data, last);
        let (usage, state) = tap.snapshot();
        {
            let mut slot = self.slot.lock();
            if slot.record.timings.first_byte_us == 0 {
                slot.record.timings.first_byte_us = self.elapsed();
            }
            slot.record.usage = usage;
            slot.record.usage_state = state;
            slot.record.estimate = tap.unstated().and_then(|left| estimate(&slot.record, left));
            slot.dirty = true;
        }
        self.keep(data);
    }

    /// A chunk went to the client.
    pub(super) fn delivered(&self, bytes: usize) {
        self.slot.lock().record.bytes.response += bytes as u64;
    }

    /// The body is over.
    pub(super) fn finish(&mut self, tap: ResponseTap, end: End) {
        self.own(&[], true);
        let reply = tap.finish(end == End::Complete);
        let end = match end {
            End::ClientGone if self.proxy.tasks.ended.is_cancelled() => End::Interrupted,
            End::Complete if reply.error_in_stream => End::UpstreamError,
            other => other,
        };
        let mut record = self.slot.lock().record.clone();
        record.end = end;
        record.usage = reply.usage;
        record.usage_state = reply.usage_state;
        record.estimate = reply.unstated.and_then(|left| estimate(&record, left));
        record.model_served.clone_from(&reply.model_served);
        if record.provider_request_id.is_none() {
            record
                .provider_request_id
                .clone_from(&reply.provider_request_id);
        }
        self.proxy.metrics.tap_failures(reply.failures);
        if record.capture != CaptureMode::None {
            record.stop_reason.clone_from(&reply.stop_reason);
            let before = record.tools.len();
            record.tools.extend(reply.tools.iter().cloned());
            name_servers(&mut record.tools[before..], &record.client.name);
        }
        self.learn(&mut record, &reply);
        record.service_tier.clone_from(&reply.service_tier);
        self.price(&mut record);
        self.write(record);
    }

    /// The gateway answers by itself.
    pub(super) fn refuse(mut self, failure: &Failure) {
        let facts = failure.facts();
        let mut record = self.slot.lock().record.clone();
        let gone = matches!(failure, Failure::BodyBroken);
        // Nobody is there to see the answer of a client that has left.
        record.status = (!gone).then(|| facts.status.as_u16());
        record.failure = Some(facts.reason.to_owned());
        record.end = match failure {
            Failure::BodyBroken => End::ClientGone,
            Failure::Unreachable { .. } | Failure::Broken { .. } => End::UpstreamError,
            Failure::Timeout { .. } => End::Timeout,
            _ => End::Refused,
        };
        super::error::log(failure, &record);
        self.learn(&mut record, &ResponseFacts::default());
        self.write(record);
    }

    /// Tells the session what became of its request.
    fn learn(&self, record: &mut Record, reply: &ResponseFacts) {
        let (Some(session), Some(facts)) = (record.session, &self.facts) else {
            return;
        };
        if !record.endpoint.generates() {
            return;
        }
        let success = record
            .status
            .is_some_and(|status| (200..300).contains(&status));
        let learnt = self.proxy.sessions.learn(&Answered {
            user: &record.who.user,
            client: &record.client.name,
            session,
            model: [&record.provider, &record.model]
                .map(|name| name.as_deref().unwrap_or_default()),
            request: facts,
            response: reply,
            whole: record.end == End::Complete && success,
            started: record.started,
            now: Timestamp::now(),
        });
        record.anchors = learnt.anchors;
        record.cache_miss = learnt.cache_miss;
    }

    /// What the usage is worth.
    fn price(&self, record: &mut Record) {
        let Some(permit) = &self.permit else { return };
        price::settle(&self.config, permit.provider(), permit.model(), record);
    }

    /// Copies a chunk for the capture, within its cap.
    fn keep(&mut self, data: &Bytes) {
        let cap = self.cap();
        let Some(capture) = &mut self.capture else {
            return;
        };
        let body = &mut capture.response;
        let have = body.size.min(cap as u64);
        body.size += data.len() as u64;
        let room = cap - usize::try_from(have).unwrap_or(cap);
        if data.len() > room {
            body.truncated = true;
        }
        let part = data.slice(..data.len().min(room));
        if part.len() < COPY_BELOW {
            self.small.extend_from_slice(&part);
        } else {
            if !self.small.is_empty() {
                body.chunks.push(self.small.split().freeze());
            }
            body.chunks.push(part);
        }
    }

    fn cap(&self) -> usize {
        usize::try_from(self.config.gateway.capture.body_bytes).unwrap_or(usize::MAX)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// Writes the finished record, once.
    fn write(&mut self, mut record: Record) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        record.timings.total_us = self.elapsed();
        if let Some(upload) = &self.upload {
            record.bytes.request += upload.bytes();
            if let Some(capture) = &mut self.capture {
                capture.request.size += upload.bytes();
                capture.request.truncated |= upload.bytes() > 0;
            }
        }
        if !self.small.is_empty()
            && let Some(capture) = &mut self.capture
        {
            capture.response.chunks.push(self.small.split().freeze());
        }
        self.proxy.in_flight.0.lock().remove(&self.id);
        self.proxy.metrics.observe_finish(&record);
        let capture = self.capture.take();
        let parent = self.parent.as_ref();
        self.proxy.otlp.offer(&record, capture.as_ref(), parent);
        self.proxy.writer.finish(record, capture);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // Dropped before a response head: the client left, or the gateway is ending.
        let mut record = self.slot.lock().record.clone();
        record.end = if self.proxy.tasks.ended.is_cancelled() {
            End::Interrupted
        } else {
            End::ClientGone
        };
        if record.usage.total() > 0 && record.usage_state == UsageState::None {
            record.usage_state = UsageState::Partial;
        }
        self.learn(&mut record, &ResponseFacts::default());
        self.write(record);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What is believed to be missing from the figures of a stream that goes no further.
fn estimate(record: &Record, unstated: Unstated) -> Option<Estimate> {
    let estimate = Estimate {
        input: if unstated.input {
            about_tokens(record.bytes.request)
        } else {
            0
        },
        output: unstated.output,
        cost: Cost::default(),
    };
    (estimate.input > 0 || estimate.output > 0).then_some(estimate)
}

/// Fills in the servers that the names of tools tell, where the format did not state them.
fn name_servers(tools: &mut [ToolCall], client: &str) {
    for tool in tools.iter_mut().filter(|tool| tool.server.is_empty()) {
        if let Some(server) = tool_server(client, &tool.name) {
            server.clone_into(&mut tool.server);
        }
    }
}

/// Names the request, so that people can find it.
pub(super) fn stamp_id(head: &mut HeaderMap, id: RequestId) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        head.insert("aperture-request-id", value);
    }
}

/// Method, path and query without credentials.
fn shown_path(parts: &Parts) -> String {
    let path = parts.uri.path();
    let query = parts
        .uri
        .query()
        .map(crate::provider::target::public_query)
        .unwrap_or_default();
    let mut text = format!("{} {path}", parts.method);
    if !query.is_empty() {
        text.push('?');
        text.push_str(&query);
    }
    text.chars().take(512).collect()
}

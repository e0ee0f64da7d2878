//! The gateway's figures for Prometheus.
//!
//! Owns: [`Metrics`] and the one table of families ([`families`]): a field is a metric, its doc comment the help text,
//! its brackets the labels. In: finished [`Record`]s (the counters of use derive from nothing else, so they equal the
//! sum of the records) and a few facts about the process. Out: the text exposition, and `docs/metrics.md`.
//! Every label is bounded: words of this program, or providers and models as configured; users only when asked for.
//! Each [`Metrics`] has its own recorder, so that tests can have many. Must not know: HTTP, the store, the node.

mod docs;
mod families;
mod process;
mod render;
#[cfg(test)]
mod tests;

pub use docs::render_metrics_md;

use crate::record::{CostState, End, Record, RequestId, Timestamp, UsageState};
use families::Families;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Observations after which the exporter folds its samples into buckets, so that they never pile up unscraped.
const FOLD_EVERY: u64 = 1_024;

/// The figures of one gateway. A clone is the same figures.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    families: Families,
    exporter: PrometheusHandle,
    per_user: AtomicBool,
    finished: AtomicU64,
    in_flight: Mutex<InFlight>,
    /// The state last reported by the node: its series is the one that says 1.
    node_state: Mutex<&'static str>,
    key_expiry_known: AtomicBool,
    /// When the configuration was last tried: another time is another reload.
    config_tried: Mutex<Option<SystemTime>>,
    started: Timestamp,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// How the store is doing, as it says itself; the counts are totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Bytes that wait to be written.
    pub queue_bytes: u64,
    /// Bodies dropped so far.
    pub lost_bodies: u64,
    /// Records dropped so far.
    pub lost_records: u64,
    /// The last successful commit.
    pub last_commit: Option<Timestamp>,
    /// Whether writing fails at the moment.
    pub degraded: bool,
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanEnd {
    /// The collector has it.
    Exported,
    /// The collector did not want this one.
    Rejected,
    /// The collector took no batch, or was not there.
    Failed,
    /// Too many waited, or the export was switched off while it did.
    Dropped,
}

/// Who reads the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Somebody whom the grants let read metrics.
    Granted,
    /// Whoever can connect: families with a `user` are left out, whatever the configuration says.
    Anyone,
}

/// An open connection, as the gauge counts it.
#[derive(Debug)]
pub struct OpenConnection(Metrics);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.families.open_connections.change([], -1.0);
    }
}

/// Requests under way, and whether they are streams: counted by id, so that the gauges can't drift.
#[derive(Debug, Default)]
struct InFlight {
    requests: HashMap<RequestId, bool>,
    /// How many of them are streams.
    streams: usize,
}

impl InFlight {
    fn insert(&mut self, id: RequestId, streamed: bool) {
        self.remove(id);
        self.requests.insert(id, streamed);
        self.streams += usize::from(streamed);
    }

    fn remove(&mut self, id: RequestId) {
        let streamed = self.requests.remove(&id).unwrap_or(false);
        self.streams -= usize::from(streamed);
    }
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// New figures, all zero, on a recorder of their own.
    pub fn new() -> Self {
        let (families, exporter) = families::build();
        Self(Arc::new(Inner {
            families,
            exporter,
            per_user: AtomicBool::new(false),
            finished: AtomicU64::new(0),
            in_flight: Mutex::default(),
            node_state: Mutex::new(""),
            key_expiry_known: AtomicBool::new(false),
            config_tried: Mutex::default(),
            started: Timestamp::now(),
        }))
    }

    /// Whether the `aperture_user_…` families are counted (`gateway.metrics.per_user`).
    pub fn set_per_user(&self, on: bool) {
        self.0.per_user.store(on, Ordering::Relaxed);
    }

    /// A request is under way. Again with the same id: what is known of it has changed.
    pub fn observe_start(&self, record: &Record) {
        let mut in_flight = self.0.in_flight.lock();
        in_flight.insert(record.id, record.streamed);
        self.show(&in_flight);
    }

    /// A request has ended: counts its record. To be called once for each finished record.
    ///
    /// A record that is still in flight changes nothing.
    pub fn observe_finish(&self, record: &Record) {
        if record.end == End::InFlight {
            return;
        }
        {
            let mut in_flight = self.0.in_flight.lock();
            in_flight.remove(record.id);
            self.show(&in_flight);
        }
        self.count(record);
        if self.0.per_user.load(Ordering::Relaxed) {
            self.count_user(record);
        }
        let finished = self.0.finished.fetch_add(1, Ordering::Relaxed);
        if finished % FOLD_EVERY == FOLD_EVERY - 1 {
            self.0.exporter.run_upkeep();
        }
    }

    fn show(&self, in_flight: &InFlight) {
        let families = &self.0.families;
        families.in_flight.set([], float(in_flight.requests.len()));
        families.open_streams.set([], float(in_flight.streams));
    }

    fn count(&self, record: &Record) {
        let families = &self.0.families;
        let provider = record.provider.as_deref().unwrap_or_default();
        let model = record.model.as_deref().unwrap_or_default();
        let endpoint = record.endpoint.as_str();
        families.requests_total.add(
            [
                provider,
                model,
                endpoint,
                status_class(record.status),
                record.end.as_str(),
            ],
            1,
        );
        for (kind, tokens) in token_types(record) {
            families.tokens_total.add([provider, model, kind], tokens);
        }
        let labels = [provider, model];
        families
            .reasoning_tokens_total
            .add(labels, record.usage.reasoning);
        families
            .web_searches_total
            .add(labels, record.usage.web_searches);
        count_apart(families, labels, record);
        if let Some(miss) = &record.cache_miss {
            families
                .cache_misses_total
                .add([provider, model, miss.cause.as_str()], 1);
        }
        match record.cost.state {
            CostState::Priced => families.cost_dollars_total.add(labels, record.cost.pico),
            CostState::Unpriced => families.unpriced_requests_total.add(labels, 1),
            CostState::None => {}
        }
        let incomplete = match record.usage_state {
            UsageState::Partial => "partial",
            UsageState::Unknown => "unknown",
            UsageState::Estimated => "estimated",
            UsageState::None | UsageState::Reported => "",
        };
        if !incomplete.is_empty() {
            families
                .incomplete_usage_total
                .add([provider, model, incomplete], 1);
        }
        if let Some(reason) = &record.failure {
            families.refused_total.add([reason], 1);
        }
        if record.capture_lost.is_some() {
            families.lost_captures_total.add([], 1);
        }
        let timings = record.timings;
        for (family, micros) in [
            (&families.request_duration_seconds, timings.total_us),
            (&families.first_byte_seconds, timings.first_byte_us),
            (&families.gateway_overhead_seconds, timings.sent_us),
        ] {
            // Zero = that point was never reached.
            if !provider.is_empty() && micros > 0 {
                let seconds = Duration::from_micros(micros).as_secs_f64();
                family.record([provider, endpoint], seconds);
            }
        }
    }

    fn count_user(&self, record: &Record) {
        let families = &self.0.families;
        let user = record.who.login.as_str();
        let provider = record.provider.as_deref().unwrap_or_default();
        let model = record.model.as_deref().unwrap_or_default();
        let labels = [user, provider, model];
        families.user_requests_total.add(labels, 1);
        for (kind, tokens) in token_types(record) {
            families
                .user_tokens_total
                .add([user, provider, model, kind], tokens);
        }
        if record.cost.state == CostState::Priced {
            families
                .user_cost_dollars_total
                .add(labels, record.cost.pico);
        }
    }

    /// A client's connection was accepted; it counts as open until the guard goes.
    pub fn connection_opened(&self) -> OpenConnection {
        self.0.families.connections_total.add([], 1);
        self.0.families.open_connections.change([], 1.0);
        OpenConnection(self.clone())
    }

    /// A connection was closed before its first request; `reason` is a word of the program.
    pub fn connection_refused(&self, reason: &'static str) {
        self.0.families.connections_refused_total.add([reason], 1);
    }

    /// A TLS handshake ended so; `result` is a word of the program.
    pub fn handshake(&self, result: &'static str) {
        self.0.families.tls_handshakes_total.add([result], 1);
    }

    /// A connection spoke another protocol than its port; `kind` is a word of the program.
    pub fn wrong_protocol(&self, kind: &'static str) {
        self.0.families.wrong_protocol_total.add([kind], 1);
    }

    /// The HTTPS certificate was read or fetched, and is good until then.
    pub fn certificate_taken(&self, until: Timestamp) {
        let families = &self.0.families;
        families.tls_certificate_attempts_total.add(["ok"], 1);
        families.tls_certificate_last_attempt_ok.set([], 1.0);
        families
            .tls_certificate_expiry_timestamp_seconds
            .set([], seconds(until));
    }

    /// The HTTPS certificate could not be had.
    pub fn certificate_failed(&self) {
        let families = &self.0.families;
        families.tls_certificate_attempts_total.add(["failed"], 1);
        families.tls_certificate_last_attempt_ok.set([], 0.0);
    }

    /// Totals of the identity cache: answered from it, asked, and asked without an answer.
    pub fn set_identity(&self, lookups: u64, cached: u64, failed: u64) {
        let family = &self.0.families.identity_lookups_total;
        family.advance_to(["cached"], cached);
        family.advance_to(["asked"], lookups.saturating_sub(cached));
        family.advance_to(["failed"], failed);
    }

    /// A request was refused before it had a record; `reason` is a word of the failure table.
    pub fn refused(&self, reason: &'static str) {
        self.0.families.refused_total.add([reason], 1);
    }

    /// A client felt around; `probe` is a path of the table of probes.
    pub fn probed(&self, probe: &'static str) {
        self.0.families.probes_total.add([probe], 1);
    }

    /// Pieces of a response that the tap could not read.
    pub fn tap_failures(&self, pieces: u32) {
        self.0
            .families
            .tap_failures_total
            .add([], u64::from(pieces));
    }

    /// The configuration, as its keeper says: when it was taken, when a change was last tried, and whether that was taken.
    ///
    /// To be called often: a reload is seen by its time.
    pub fn set_config(&self, taken: SystemTime, tried: SystemTime, ok: bool) {
        let families = &self.0.families;
        families.config_last_reload_ok.set([], flag(ok));
        let since = taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        families
            .config_last_success_timestamp_seconds
            .set([], since.as_secs_f64());
        // The first one is the start, and no reload.
        let before = self.0.config_tried.lock().replace(tried);
        if before.is_some_and(|before| before != tried) {
            families
                .config_reloads_total
                .add([if ok { "ok" } else { "failed" }], 1);
        }
    }

    /// Total of the saves that the configuration's history could not take in time.
    pub fn set_unrecorded_configs(&self, saves: u64) {
        let family = &self.0.families.config_unrecorded_saves_total;
        family.advance_to([], saves);
    }

    /// Takes over what the store says of itself.
    pub fn set_store(&self, health: StoreHealth) {
        let families = &self.0.families;
        families
            .store_queue_bytes
            .set([], bytes(health.queue_bytes));
        families
            .store_lost_bodies_total
            .advance_to([], health.lost_bodies);
        families
            .store_lost_records_total
            .advance_to([], health.lost_records);
        families.store_degraded.set([], flag(health.degraded));
        if let Some(at) = health.last_commit {
            families
                .store_last_commit_timestamp_seconds
                .set([], seconds(at));
        }
    }

    /// Total of the log lines that found no room.
    pub fn set_lost_log_lines(&self, lines: u64) {
        let family = &self.0.families.log_lost_lines_total;
        family.advance_to([], lines);
    }

    /// Spans ended so.
    pub fn spans(&self, end: SpanEnd, count: u64) {
        let result = match end {
            SpanEnd::Exported => "exported",
            SpanEnd::Rejected => "rejected",
            SpanEnd::Failed => "failed",
            SpanEnd::Dropped => "dropped",
        };
        self.0.families.otlp_spans_total.add([result], count);
    }

    /// The collector took spans.
    pub fn spans_exported_at(&self, at: Timestamp) {
        self.0
            .families
            .otlp_last_export_timestamp_seconds
            .set([], seconds(at));
    }

    /// The drain has begun (or, in tests, ended).
    pub fn set_draining(&self, draining: bool) {
        self.0.families.draining.set([], flag(draining));
    }

    /// Where the node stands, in a word.
    pub fn set_node_state(&self, state: &'static str) {
        let mut last = self.0.node_state.lock();
        if !last.is_empty() {
            self.0.families.node_state.set([*last], 0.0);
        }
        self.0.families.node_state.set([state], 1.0);
        *last = state;
    }

    /// Whether something about the running node needs attention.
    pub fn set_node_concern(&self, concern: &'static str, present: bool) {
        self.0.families.node_concern.set([concern], flag(present));
    }

    /// When the node's key expires; nothing when it never does.
    pub fn set_node_key_expiry(&self, at: Option<Timestamp>) {
        let known = &self.0.key_expiry_known;
        let value = match at {
            Some(at) => seconds(at),
            // A gauge can't go away, and the last value would raise the alarm for ever.
            None if known.load(Ordering::Relaxed) => f64::INFINITY,
            None => return,
        };
        known.store(true, Ordering::Relaxed);
        self.0
            .families
            .node_key_expiry_timestamp_seconds
            .set([], value);
    }

    /// The file system that holds the state: its size, and what may still be written.
    pub fn set_disk(&self, size: u64, free: u64) {
        self.0.families.disk_size_bytes.set([], bytes(size));
        self.0.families.disk_free_bytes.set([], bytes(free));
    }

    /// Which build this is: this program's version, and the tailnet library's (empty when not linked).
    pub fn set_build(&self, version: &str, tailscale: &str) {
        self.0.families.build_info.set([version, tailscale], 1.0);
    }

    /// The text exposition, with the node's own `tailscaled_…` series behind ours.
    pub fn render(&self, node_text: Option<&str>) -> String {
        self.text(node_text, Audience::Granted)
    }

    /// The same without what names a user, for readers whom nobody has identified.
    pub fn render_for_anyone(&self, node_text: Option<&str>) -> String {
        self.text(node_text, Audience::Anyone)
    }

    fn text(&self, node_text: Option<&str>, audience: Audience) -> String {
        let mut out = render::arrange(&self.0.exporter.render(), audience);
        process::append(&mut out, self.0.started);
        if let Some(text) = node_text {
            render::append_node(&mut out, text);
        }
        out
    }
}

/// The disjoint kinds of token; they add up to all tokens of the record.
fn token_types(record: &Record) -> [(&'static str, u64); 5] {
    let usage = &record.usage;
    [
        ("input", usage.input),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("cache_write_1h", usage.cache_write_1h),
        ("output", usage.output),
    ]
}

/// The kinds of usage that few requests have.
fn count_apart(families: &Families, [provider, model]: [&str; 2], record: &Record) {
    let usage = &record.usage;
    for (kind, tokens) in [
        ("audio_input", usage.audio_input),
        ("image_input", usage.image_input),
        ("audio_output", usage.audio_output),
        ("image_output", usage.image_output),
    ] {
        if tokens > 0 {
            families
                .media_tokens_total
                .add([provider, model, kind], tokens);
        }
    }
    for (tool, calls) in [
        ("web_fetch", usage.web_fetches),
        ("file_search", usage.file_searches),
        ("other", usage.server_tools),
    ] {
        if calls > 0 {
            families
                .server_tool_calls_total
                .add([provider, model, tool], calls);
        }
    }
    let Some(estimate) = &record.estimate else {
        return;
    };
    for (kind, tokens) in [("input", estimate.input), ("output", estimate.output)] {
        families
            .estimated_tokens_total
            .add([provider, model, kind], tokens);
    }
    if estimate.cost.state == CostState::Priced {
        families
            .estimated_cost_dollars_total
            .add([provider, model], estimate.cost.pico);
    }
}

/// `2xx` and so on; `none` when the client saw no status.
const fn status_class(status: Option<u16>) -> &'static str {
    match status {
        Some(100..=199) => "1xx",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(500..=599) => "5xx",
        Some(_) => "other",
        None => "none",
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn seconds(at: Timestamp) -> f64 {
    Duration::from_millis(at.0).as_secs_f64()
}

fn float(count: usize) -> f64 {
    bytes(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge of bytes or requests is exact up to 2^53"
)]
const fn bytes(count: u64) -> f64 {
    count as f64
}

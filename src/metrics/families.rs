//! The table of metric families: field = metric, doc comment = help, brackets = labels.
//!
//! Owns: [`Families`], [`TABLE`] and the typed handles, whose arity the compiler checks.
//! Must not know: records, or what the figures mean.

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parking_lot::RwLock;
use std::sync::Arc;

/// What the generated reference says of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described {
    /// Full name.
    pub(super) name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub(super) kind: &'static str,
    /// Label names.
    pub(super) labels: &'static [&'static str],
    /// Help text; begins with a space, as doc comments do.
    pub(super) help: &'static str,
}

/// Counters held in pico-dollars and shown in dollars: integers add up exactly.
pub(super) const IN_PICO: [&str; 3] = [
    "aperture_cost_dollars_total",
    "aperture_estimated_cost_dollars_total",
    "aperture_user_cost_dollars_total",
];

const BUCKETS: [(&str, &[f64]); 3] = [
    (
        "aperture_request_duration_seconds",
        &[
            0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0,
        ],
    ),
    (
        "aperture_first_byte_seconds",
        &[
            0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0,
        ],
    ),
    (
        "aperture_gateway_overhead_seconds",
        &[
            0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0,
        ],
    ),
];

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// A monotone count with `N` labels.
pub(super) struct Counter<const N: usize>(Series<N, metrics::Counter>);
/// A value that goes up and down, with `N` labels.
pub(super) struct Gauge<const N: usize>(Series<N, metrics::Gauge>);
/// A distribution with `N` labels.
pub(super) struct Histogram<const N: usize>(Series<N, metrics::Histogram>);

struct Series<const N: usize, H> {
    name: &'static str,
    labels: [&'static str; N],
    recorder: Arc<PrometheusRecorder>,
    /// Those that were asked for, in the order of their label values: as many as there are series, which are bounded.
    handles: RwLock<Vec<Known<N, H>>>,
}

/// Label values, and the series that has them.
type Known<const N: usize, H> = ([Box<str>; N], H);

macro_rules! count {
    () => { 0 };
    ($head:tt $($tail:tt)*) => { 1 + count!($($tail)*) };
}

macro_rules! families {
    ($( $(#[doc = $help:literal])+ $kind:ident $field:ident [$($label:ident),*], )*) => {
        /// Every family of the gateway's own.
        pub(super) struct Families {
            $( $(#[doc = $help])+ pub(super) $field: $kind<{ count!($($label)*) }>, )*
        }

        /// The same, as data, in the order of the reference.
        pub(super) const TABLE: &[Described] = &[
            $( Described {
                name: concat!("aperture_", stringify!($field)),
                kind: $kind::<0>::WORD,
                labels: &[$(stringify!($label)),*],
                help: concat!($($help),+),
            }, )*
        ];

        impl Families {
            fn new(recorder: &Arc<PrometheusRecorder>) -> Self {
                Self {
                    $( $field: $kind::new(Series {
                        name: concat!("aperture_", stringify!($field)),
                        labels: [$(stringify!($label)),*],
                        recorder: Arc::clone(recorder),
                        handles: RwLock::default(),
                    }, concat!($($help),+)), )*
                }
            }
        }
    };
}

families! {
    /// Requests that ended, refused ones included. `status_class` is what the client saw (`none`: it left before the
    /// response head), `end` how it ended.
    Counter requests_total[provider, model, endpoint, status_class, end],
    /// Tokens as the provider counted them; the types don't overlap and add up to all tokens. `input` was neither
    /// read from nor written to a prompt cache; `output` includes reasoning.
    Counter tokens_total[provider, model, type],
    /// The part of the output tokens that was spent on reasoning.
    Counter reasoning_tokens_total[provider, model],
    /// Searches that the provider's own tool made.
    Counter web_searches_total[provider, model],
    /// Tokens of audio and images, by `type`: `audio_input`, `image_input`, `audio_output`, `image_output`. Part of the
    /// tokens in `tokens_total`.
    Counter media_tokens_total[provider, model, type],
    /// Calls of the provider's own tools beside web searches, by `tool`: `web_fetch`, `file_search`, `other`.
    Counter server_tool_calls_total[provider, model, tool],
    /// Tokens that the provider's figures leave out of streams that were cut or cancelled, by the bytes that passed:
    /// `input` (cached or not) and `output`. In no other counter.
    Counter estimated_tokens_total[provider, model, type],
    /// What those would cost, in US dollars. In no other counter.
    Counter estimated_cost_dollars_total[provider, model],
    /// Requests that should have read a prompt cache and did not, by the first thing in the prompt that was not as it was:
    /// `model`, `tools`, `system`, `message`; `expired` when it was too late, `unknown` when the prompt was the same.
    Counter cache_misses_total[provider, model, cause],
    /// What priced requests cost, in US dollars, by the built-in price table.
    Counter cost_dollars_total[provider, model],
    /// Requests with tokens but without a known price: their cost is missing from `cost_dollars_total`.
    Counter unpriced_requests_total[provider, model],
    /// Requests whose tokens are not the provider's final figures: `partial` when the stream was cut, `estimated`
    /// when it was cut before the provider stated any, `unknown` when the response could not be read.
    Counter incomplete_usage_total[provider, model, state],
    /// Requests that the gateway refused or failed itself, by the reason on their record.
    Counter refused_total[reason],
    /// Requests of clients that feel around beside the models, by the path as `docs/endpoints.md` lists it: telemetry that is
    /// dropped (`/v1/metrics` and its like) is counted here and nowhere else.
    Counter probes_total[probe],
    /// Requests by user, only with `gateway.metrics.per_user`.
    Counter user_requests_total[user, provider, model],
    /// Tokens by user, only with `gateway.metrics.per_user`.
    Counter user_tokens_total[user, provider, model, type],
    /// Cost by user in US dollars, only with `gateway.metrics.per_user`.
    Counter user_cost_dollars_total[user, provider, model],
    /// From the request's head to the end of the response.
    Histogram request_duration_seconds[provider, endpoint],
    /// From the request's head to the first byte of the response body.
    Histogram first_byte_seconds[provider, endpoint],
    /// From the request's head until the request left for the provider: the gateway's own part.
    Histogram gateway_overhead_seconds[provider, endpoint],
    /// Requests under way.
    Gauge in_flight[],
    /// Requests under way whose client asked for a stream.
    Gauge open_streams[],
    /// Client connections accepted.
    Counter connections_total[],
    /// Client connections that are open.
    Gauge open_connections[],
    /// Connections closed before their first request.
    Counter connections_refused_total[reason],
    /// TLS handshakes on the HTTPS port, by `result`: `ok`, `failed`, `no_certificate` (there is none yet).
    Counter tls_handshakes_total[result],
    /// Connections that spoke another protocol than their port: `tls_on_http`, `http_on_tls`, or `handshake_refused` (by the
    /// client: it does not trust the certificate, or calls by a name that is not in it). `aperture doctor` says whose.
    Counter wrong_protocol_total[kind],
    /// Attempts to get the HTTPS certificate or to read it again.
    Counter tls_certificate_attempts_total[result],
    /// 1 when the last attempt was taken, 0 when the last good certificate (if any) stays in force.
    Gauge tls_certificate_last_attempt_ok[],
    /// When the HTTPS certificate in force expires, in seconds since 1970; absent while there is none.
    Gauge tls_certificate_expiry_timestamp_seconds[],
    /// Questions to the tailnet who has an address, answers from the cache included.
    Counter identity_lookups_total[result],
    /// Pieces of responses that the tap could not read; the client got them all the same.
    Counter tap_failures_total[],
    /// Requests whose bodies should have been captured and were not.
    Counter lost_captures_total[],
    /// Bytes that wait to be written to the store.
    Gauge store_queue_bytes[],
    /// Bodies that were dropped because the store's queue was full.
    Counter store_lost_bodies_total[],
    /// Records that were lost because the store could not write for too long.
    Counter store_lost_records_total[],
    /// Log lines that found no room, because nobody read the log in time.
    Counter log_lost_lines_total[],
    /// When the store last committed, in seconds since 1970.
    Gauge store_last_commit_timestamp_seconds[],
    /// 1 while the store can't write (disk full, input/output error).
    Gauge store_degraded[],
    /// Spans for the collector of `gateway.otlp`, by what became of them: `exported`, `rejected` (by the collector, one by one),
    /// `failed` (it took no batch, or was not there), `dropped` (too many waited).
    Counter otlp_spans_total[result],
    /// When the collector last took spans, in seconds since 1970.
    Gauge otlp_last_export_timestamp_seconds[],
    /// Bytes that the gateway may still write to the file system of its state directory.
    Gauge disk_free_bytes[],
    /// Size of that file system.
    Gauge disk_size_bytes[],
    /// Attempts to take over a changed configuration.
    Counter config_reloads_total[result],
    /// 1 when the last attempt was taken, 0 when the last good configuration stays in force.
    Gauge config_last_reload_ok[],
    /// When a configuration was last taken, in seconds since 1970.
    Gauge config_last_success_timestamp_seconds[],
    /// Saved configurations that the history and the audit trail could not take in time: the save stands, the log has it.
    Counter config_unrecorded_saves_total[],
    /// 1 while the gateway stops: new requests are refused, streams finish.
    Gauge draining[],
    /// Always 1: which build this is.
    Gauge build_info[version, tailscale],
    /// 1 for where the tailnet node stands: `running`, or why it does not (docs/operations/joining.md).
    Gauge node_state[state],
    /// 1 while something about the running node needs attention: `name_taken`, `key_expires`, `login_pending`, `control_lost`.
    Gauge node_concern[concern],
    /// When the tailnet node's key expires, in seconds since 1970; absent when it never does,
    /// infinite once expiry was turned off.
    Gauge node_key_expiry_timestamp_seconds[],
}

/// The families on a recorder of their own, and the exporter that renders it.
pub(super) fn build() -> (Families, PrometheusHandle) {
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in BUCKETS {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(name.into()), buckets)
            .expect("invariant: bucket lists are not empty");
    }
    let recorder = Arc::new(builder.build_recorder());
    let exporter = recorder.handle();
    (Families::new(&recorder), exporter)
}

// === impl Series ===

impl<const N: usize, H: Clone> Series<N, H> {
    /// The series with these values; it is made when it is first asked for.
    ///
    /// Values are few and recur, so the search costs less than one label that the recorder would have to copy and hash.
    fn with(&self, values: [&str; N], make: impl FnOnce(&PrometheusRecorder, &Key) -> H) -> H {
        let known = |known: &[Known<N, H>]| {
            known.binary_search_by(|(label, _)| label.iter().map(|text| &**text).cmp(values))
        };
        {
            let handles = self.handles.read();
            if let Ok(at) = known(&handles) {
                return handles[at].1.clone();
            }
        }
        let mut handles = self.handles.write();
        match known(&handles) {
            Ok(at) => handles[at].1.clone(),
            Err(at) => {
                let handle = make(&self.recorder, &self.key(values));
                handles.insert(at, (values.map(Box::from), handle.clone()));
                handle
            }
        }
    }

    /// An empty label is the same as none in Prometheus, so it is left out.
    fn key(&self, values: [&str; N]) -> Key {
        let labels = self.labels.iter().zip(values);
        let labels: Vec<Label> = labels
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| Label::new(*name, printable(value)))
            .collect();
        Key::from_parts(self.name, labels)
    }
}

/// The exporter writes one and two backslashes alike, which could give two series one name: labels carry none.
fn printable(value: &str) -> String {
    value.replace(|c: char| c == '\\' || c.is_control(), "_")
}

// === impl Counter ===

impl<const N: usize> Counter<N> {
    const WORD: &str = "counter";

    fn new(series: Series<N, metrics::Counter>, help: &'static str) -> Self {
        let name = series.name.into();
        series
            .recorder
            .describe_counter(name, None, help.trim().into());
        let counter = Self(series);
        if N == 0 {
            counter.add([""; N], 0);
        }
        counter
    }

    /// Counts `by` more.
    pub(super) fn add(&self, values: [&str; N], by: u64) {
        // A labelled series begins with its first event.
        if by > 0 || N == 0 {
            self.handle(values).increment(by);
        }
    }

    /// Takes over a total that is counted elsewhere; it never goes back.
    pub(super) fn advance_to(&self, values: [&str; N], total: u64) {
        self.handle(values).absolute(total);
    }

    fn handle(&self, values: [&str; N]) -> metrics::Counter {
        self.0
            .with(values, |to, key| to.register_counter(key, &METADATA))
    }
}

// === impl Gauge ===

impl<const N: usize> Gauge<N> {
    const WORD: &str = "gauge";

    fn new(series: Series<N, metrics::Gauge>, help: &'static str) -> Self {
        let name = series.name.into();
        series
            .recorder
            .describe_gauge(name, None, help.trim().into());
        Self(series)
    }

    /// Shows that value.
    pub(super) fn set(&self, values: [&str; N], value: f64) {
        self.handle(values).set(value);
    }

    /// Adds to the value.
    pub(super) fn change(&self, values: [&str; N], by: f64) {
        self.handle(values).increment(by);
    }

    fn handle(&self, values: [&str; N]) -> metrics::Gauge {
        self.0
            .with(values, |to, key| to.register_gauge(key, &METADATA))
    }
}

// === impl Histogram ===

impl<const N: usize> Histogram<N> {
    const WORD: &str = "histogram";

    fn new(series: Series<N, metrics::Histogram>, help: &'static str) -> Self {
        let name = series.name.into();
        series
            .recorder
            .describe_histogram(name, None, help.trim().into());
        Self(series)
    }

    /// Adds a sample.
    pub(super) fn record(&self, values: [&str; N], value: f64) {
        self.0
            .with(values, |to, key| to.register_histogram(key, &METADATA))
            .record(value);
    }
}

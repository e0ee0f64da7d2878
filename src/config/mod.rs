//! The configuration document, checked.
//!
//! Owns: the types that the rest of the program reads ([`Config`] and its parts). `raw` reads the text, `check` turns it
//! into these types with every mistake at once, `live` holds the current one and reloads it, `docs` renders the
//! reference. In: `HuJSON` text. Out: `Arc<Config>` or findings with line, column, key path and hint.
//! Must not know: callers, HTTP, the store.

pub mod address;
mod capability;
mod check;
pub mod cloud;
mod docs;
mod finding;
pub mod grant;
mod known;
mod live;
mod raw;
mod redact;
mod report;
mod schema;
mod secrets;
pub mod splice;
mod syntax;
mod units;

pub use check::{CheckOptions, Checked, check};
pub use docs::{default_document, json_schema, render_configuration_md, render_example};
pub use finding::{Class, Finding, Severity, Strictness, refused};
pub use live::{Live, LoadError, ReloadOutcome, Status, write_default};
pub use redact::{PLACEHOLDER, Restored, redact, restore};
pub use report::{log_findings, render_findings};
pub use secrets::{Environment, SecretError};
pub use syntax::{MAX_DOCUMENT_BYTES, outline, place_of};
pub(crate) use units::duration;

use crate::{endpoint::Dialect, record::CaptureMode, secret::Secret};
use cloud::CloudCredential;
use grant::{Grant, Role, Src};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The capability name of grants, unless `gateway.capability` names another.
pub const DEFAULT_CAPABILITY: &str = "tailscale.com/cap/aperture";

/// One checked document.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Providers by id.
    pub providers: BTreeMap<Arc<str>, Arc<Provider>>,
    /// `grants` and `temp_grants`, in the order of the document, in one form.
    pub grants: Vec<Grant>,
    /// Our own settings.
    pub gateway: Gateway,
    /// `auto_cost_basis`: infer the price catalogue from the compatibility flags.
    pub auto_cost_basis: bool,
    /// Hex hash of the text: the version that APIs compare.
    pub hash: String,
}

/// One upstream.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its key in the document.
    pub id: Arc<str>,
    /// Display name; the id when none is set.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Scheme and authority, with the path prefix that precedes every request path (no trailing slash).
    pub base: http::Uri,
    /// How the key is sent, and the key.
    pub credential: Option<Credential>,
    /// What requests are signed with, or tokens minted from, in place of a key.
    pub cloud: Option<CloudCredential>,
    /// Why a configured credential is not there, in a plain sentence; requests that need it fail with it.
    pub missing_secret: Option<String>,
    /// What happens to the client's own credential.
    pub auth_mode: AuthMode,
    /// Exact model names.
    pub models: Vec<Arc<str>>,
    /// Dialects that it speaks.
    pub dialects: Vec<Dialect>,
    /// Reached through the node only, never the host's network.
    pub tailnet: bool,
    /// Higher wins when several providers serve a model; ties go by id.
    pub preference: i64,
    /// Left out of routing and lists.
    pub disabled: bool,
    /// Added to every request.
    pub add_headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// The price catalogue to use; none = inferred, when `auto_cost_basis` is on.
    pub cost_basis: Option<String>,
    /// Rules that price a model as another, first match wins.
    pub model_cost_map: Vec<CostRule>,
    /// What may be kept of its bodies.
    pub capture: CaptureMode,
    /// Extra certificate authorities (PEM) for this provider.
    pub extra_ca: Option<Arc<[u8]>>,
    /// What paths on Vertex AI are completed with.
    pub vertex: Vertex,
}

impl Provider {
    /// A provider at that address of which nothing else is said.
    pub fn new(id: &str, base: http::Uri) -> Self {
        Self {
            id: id.into(),
            name: id.to_owned(),
            description: String::new(),
            base,
            credential: None,
            cloud: None,
            missing_secret: None,
            auth_mode: AuthMode::Override,
            models: Vec::new(),
            dialects: Vec::new(),
            tailnet: false,
            preference: 0,
            disabled: false,
            add_headers: Vec::new(),
            cost_basis: None,
            model_cost_map: Vec::new(),
            capture: CaptureMode::Full,
            extra_ca: None,
            vertex: Vertex::default(),
        }
    }
}

/// Project and region on Vertex AI, as clients may leave them to the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vertex {
    /// From the document, else from the key file; none when neither names one.
    pub project: Option<Arc<str>>,
    /// From the document, else from the host's name, else `global`.
    pub region: Arc<str>,
    /// Paths without project and region get both.
    pub short_paths: bool,
}

/// A key and the way it is sent.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Which header carries it.
    pub scheme: AuthScheme,
    /// The key.
    pub secret: Secret,
}

/// The header that carries the provider's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY`
    XApiKey,
    /// `x-goog-api-key: KEY`
    XGoogApiKey,
    /// `authorization: Splunk KEY`
    Hec,
    /// `cf-aig-authorization: Bearer KEY`
    CfAig,
}

/// What happens to the client's own credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// Dropped; the provider's key is sent.
    #[default]
    Override,
    /// Sent on; the provider's key only when the client has none.
    Passthrough,
    /// Dropped, and nothing is sent.
    None,
}

/// Prices a model as another.
#[derive(Clone, Debug, PartialEq)]
pub struct CostRule {
    /// Glob on the model name; `*` does not cross `/`.
    pub matches: String,
    /// The catalogue model to price it as; none = itself.
    pub as_model: Option<String>,
    /// Multiplier in millionths (1,000,000 = unchanged).
    pub adjustment_ppm: u64,
}

impl CostRule {
    /// The multiplier that changes nothing.
    pub const UNCHANGED: u64 = 1_000_000;
}

/// The `gateway` key: what is ours and reloadable.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
    /// Origins whose pages may call model endpoints.
    pub cors_origins: Vec<String>,
    /// Whether metrics carry the user as a label.
    pub metrics_per_user: bool,
    /// Whether `/api/providers` answers admins only.
    pub providers_for_admins_only: bool,
    /// Bodies.
    pub capture: Capture,
    /// Request headers that carry a session id, tried before the known ones.
    pub session_headers: Vec<http::HeaderName>,
    /// Ask chat streams for usage when the client did not.
    pub inject_include_usage: bool,
    /// Name of the app capability read from tailnet grants.
    pub capability: String,
    /// How long records are kept; none = for ever.
    pub retention: Retention,
    /// The collector that gets a span of each request; none = nothing is exported.
    pub otlp: Option<Otlp>,
}

/// An OpenTelemetry collector, and what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Where spans are posted.
    pub endpoint: http::Uri,
    /// Reached through the node only, never the host's network.
    pub tailnet: bool,
    /// Header lines for the collector; their values are marked as sensitive.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Whether spans hold what was asked and answered.
    pub content: bool,
    /// Whether spans name the user.
    pub users: bool,
    /// The share of requests that is exported, in millionths.
    pub sample_ppm: u32,
}

impl Otlp {
    /// A share that leaves nothing out.
    pub const ALL: u32 = 1_000_000;
}

/// Sizes and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body that is searched for its model.
    pub request_body_bytes: u64,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Header lines of a request head.
    pub head_count: usize,
    /// Connections of one peer address.
    pub connections_per_peer: usize,
    /// Connections in all.
    pub connections: usize,
}

/// Times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a client to send a request head.
    pub header_read: Duration,
    /// For a client to send its whole body.
    pub body_idle: Duration,
    /// For an idle keep-alive connection.
    pub idle: Duration,
    /// To connect to a provider.
    pub connect: Duration,
    /// For a provider's response head.
    pub first_byte: Duration,
    /// Between two chunks of a provider's response.
    pub chunk_idle: Duration,
}

/// What is kept of bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The mode where neither provider nor grant says otherwise.
    pub mode: CaptureMode,
    /// Bytes kept of one body.
    pub body_bytes: u64,
    /// Bytes kept of all bodies together; the oldest go first.
    pub total_bytes: u64,
    /// Age at which bodies go; none = only by size.
    pub age: Option<Duration>,
}

/// How long things are kept; none = for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records of requests and sessions.
    pub records: Option<Duration>,
    /// Hourly counters.
    pub counters: Option<Duration>,
    /// The audit trail.
    pub audit: Option<Duration>,
}

impl Config {
    /// Whether a grant of the document makes everyone an admin: every page says so while it does.
    pub fn everyone_is_admin(&self) -> bool {
        self.grants.iter().any(|grant| {
            let gives_admin = |capability: &grant::Capability| capability.role == Some(Role::Admin);
            grant.src.contains(&Src::Everyone) && grant.capabilities.iter().any(gives_admin)
        })
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            limits: Limits {
                request_body_bytes: 64 << 20,
                head_bytes: 64 << 10,
                head_count: 100,
                connections_per_peer: 4_096,
                connections: 20_000,
            },
            timeouts: Timeouts {
                header_read: Duration::from_secs(30),
                body_idle: Duration::from_mins(1),
                idle: Duration::from_mins(5),
                connect: Duration::from_secs(10),
                first_byte: Duration::from_mins(10),
                chunk_idle: Duration::from_mins(10),
            },
            cors_origins: Vec::new(),
            metrics_per_user: false,
            providers_for_admins_only: false,
            capture: Capture {
                mode: CaptureMode::Full,
                body_bytes: 16 << 20,
                total_bytes: 10 << 30,
                age: None,
            },
            session_headers: Vec::new(),
            inject_include_usage: true,
            capability: DEFAULT_CAPABILITY.into(),
            retention: Retention::default(),
            otlp: None,
        }
    }
}

#[cfg(test)]
mod tests;

//! The document as written: one documented field per key, nothing interpreted.
//!
//! Owns: the serde structs whose doc comments are the reference manual (`docs`) and whose schema finds unknown keys and
//! wrong types (`schema`). In: a JSON value that fits the schema. Out: these structs, for `check`.
//! No type here has `Debug`: some fields are secrets. Must not know: meaning, defaults, positions.

mod forms;

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The whole document.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Document {
    /// The upstreams that serve models, by id. The id is what grants and `provider/model` names refer to.
    pub(crate) providers: BTreeMap<String, Provider>,
    /// Who may do what. Nothing is allowed unless a grant allows it; grants add up and none takes away.
    pub(crate) grants: Vec<Grant>,
    /// Who may do what, in the older form. Read together with `grants`.
    pub(crate) temp_grants: Vec<TempGrant>,
    /// Infer each provider's price catalogue from its compatibility flags. Off = only an explicit `cost_basis` prices requests.
    pub(crate) auto_cost_basis: Option<bool>,
    /// Settings of the gateway itself. All of them can change while it runs.
    pub(crate) gateway: Gateway,
}

/// One upstream.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Provider {
    /// Where it is: scheme, host, and the path that precedes `/v1`. Required; without it the provider is left out.
    pub(crate) baseurl: Option<String>,
    /// Exact model names that it serves. They may contain `/`, `:`, `@` and `.`; they are sent as they are.
    pub(crate) models: Vec<String>,
    /// How the key is sent: `bearer`, `x-api-key`, `x-goog-api-key`, `hec` or `cf-aig-authorization`. As an object it also holds the key, or names a cloud's credential.
    pub(crate) authorization: Option<Authorization>,
    /// The key: the text itself, `env:NAME` or `file:NAME` (see [secrets](#secrets)). `keyfile::` and a Google key file in base64 mints access tokens, whatever `authorization` says.
    pub(crate) apikey: Option<String>,
    /// Reach it through the tailnet only, never over the host's network. By default true for tailnet addresses and `*.ts.net` names.
    pub(crate) tailnet: Option<bool>,
    /// Formats that it speaks. Without this, `openai_chat`.
    pub(crate) compatibility: Compatibility,
    /// Name on pages. By default the id.
    pub(crate) name: Option<String>,
    /// Free text on pages.
    pub(crate) description: Option<String>,
    /// Which provider serves a model that several have: the highest wins, then the first id in alphabetical order.
    pub(crate) preference: Option<i64>,
    /// Leave it out of routing and lists.
    pub(crate) disabled: Option<bool>,
    /// Header lines, `"Name: value"`, added to every request. Their values are treated as secrets.
    pub(crate) add_headers: Vec<String>,
    /// The price catalogue, such as `anthropic`, `openai`, `bedrock` or `openrouter`. Overrides what `auto_cost_basis` infers.
    pub(crate) cost_basis: Option<String>,
    /// Rules that price a model as another, or at a discount; the first match wins.
    pub(crate) model_cost_map: Vec<CostRule>,
    /// What happens to the client's own credential: `override` drops it and sends the key, `passthrough` sends it on, `none` sends neither.
    pub(crate) auth_mode: Option<String>,
    /// What may be kept of its requests: `full`, `metadata` or `none`. The strictest of gateway, provider and grants counts.
    pub(crate) capture: Option<String>,
    /// Certificate authority (PEM) that this provider's TLS is checked against, besides the system's: the text, or `file:NAME`.
    pub(crate) extra_ca: Option<String>,
}

/// How a provider is paid: a type's name, or an object that also holds what the type needs.
#[derive(Default)]
pub(crate) struct Authorization(pub(crate) AuthorizationObject);

/// The object form of `authorization`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AuthorizationObject {
    /// How the key is sent: `bearer`, `x-api-key`, `x-goog-api-key`, `hec` or `cf-aig-authorization`, in any case. Or how the gateway signs or mints: `aws-sigv4`, `google-adc` or `google-service-account` (see [cloud credentials](#cloud-credentials)).
    #[serde(rename = "type")]
    pub(crate) scheme: Option<String>,
    /// The key: the text itself, `env:NAME` or `file:NAME`. `apikey` wins when both are there.
    pub(crate) value: Option<String>,
    /// `aws-sigv4`: the region that requests are signed for. Google types: the region that takes the place of `_aperture_auto_vertex_region_` in paths. By default the one in the host's name; for Google, else `global`.
    pub(crate) region: Option<String>,
    /// `aws-sigv4`: a profile of the AWS files on the gateway's host (`AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`, else `~/.aws/`). Instead of keys here.
    pub(crate) profile: Option<String>,
    /// `aws-sigv4`: the access key's id; the text itself, `env:NAME` or `file:NAME`.
    pub(crate) access_key_id: Option<String>,
    /// `aws-sigv4`: the access key; the text itself, `env:NAME` or `file:NAME`.
    pub(crate) secret_access_key: Option<String>,
    /// `aws-sigv4`: the token that belongs to temporary keys; the text itself, `env:NAME` or `file:NAME`.
    pub(crate) session_token: Option<String>,
    /// `aws-sigv4`: a role to assume with the keys. Its temporary keys are renewed ahead of their end.
    pub(crate) role_arn: Option<String>,
    /// `aws-sigv4`: the security token service, by default the region's own. `google-adc`: the metadata server, by default what the host has.
    pub(crate) endpoint: Option<String>,
    /// `google-service-account`: the key file, as `file:NAME`, `env:NAME`, its JSON as a text, or that in base64.
    pub(crate) keyfile: Option<String>,
    /// Google types: the project that takes the place of `_aperture_auto_vertex_project_id_` in paths. By default the key file's.
    pub(crate) project: Option<String>,
}

/// Formats that a provider speaks.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Compatibility {
    /// `/v1/chat/completions`. True when nothing else is set.
    pub(crate) openai_chat: Option<bool>,
    /// `/v1/responses`.
    pub(crate) openai_responses: Option<bool>,
    /// `/v1/messages`.
    pub(crate) anthropic_messages: Option<bool>,
    /// `/v1beta/models/MODEL:generateContent`, Gemini's own API, with its streams, counts and embeddings.
    pub(crate) gemini_generate_content: Option<bool>,
    /// `/v1/projects/…/publishers/google/models/MODEL:generateContent`: Gemini on Vertex AI.
    pub(crate) google_generate_content: Option<bool>,
    /// `/v1/projects/…/publishers/anthropic/models/MODEL:rawPredict`: Claude on Vertex AI.
    pub(crate) google_raw_predict: Option<bool>,
    /// `/bedrock/model/MODEL/invoke` and its stream.
    pub(crate) bedrock_model_invoke: Option<bool>,
    /// `/bedrock/model/MODEL/converse` and its stream.
    pub(crate) bedrock_converse: Option<bool>,
    /// Gemini CLI's short paths (`/v1beta1/publishers/google/models/…`) get the provider's project and region.
    pub(crate) experimental_gemini_cli_vertex_compat: Option<bool>,
    /// Short for `gemini_generate_content`.
    pub(crate) gemini: Option<bool>,
    /// Short for `bedrock_model_invoke` and `bedrock_converse`.
    pub(crate) bedrock: Option<bool>,
    /// Short for `google_generate_content` and `google_raw_predict`.
    pub(crate) vertex: Option<bool>,
}

/// Prices a model as another.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct CostRule {
    /// Glob on the model name; `*` does not cross `/`.
    #[serde(rename = "match")]
    pub(crate) matches: Option<String>,
    /// The catalogue's model to price it as. By default itself.
    #[serde(rename = "as")]
    pub(crate) as_model: Option<String>,
    /// Factor on the price, `0.9` for ten per cent off. By default `1.0`.
    pub(crate) adjustment: Option<f64>,
}

/// One rule: whom it names and what it gives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Grant {
    /// Whom it names: `*` (everyone), a login name, `tag:x` (a node with exactly this tag; several by commas), `group:x` (a visible group), `(loopback)`.
    pub(crate) src: Option<Vec<String>>,
    /// What it gives: capability objects by capability name. Only the gateway's own name (`gateway.capability`) is read.
    pub(crate) app: App,
}

/// Capability objects by capability name.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct App(pub(crate) BTreeMap<String, Vec<serde_json::Value>>);

/// One capability object, in the document or in the tailnet policy.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Capability {
    /// `user` (own data) or `admin` (everyone's data and the settings). The highest counts; without any role, requests are refused.
    pub(crate) role: Option<String>,
    /// Models that it opens: a glob on `provider/model`, or a list of them. `*` stays within one part between slashes, `**` spans any number. It also limits the object's `add_headers` and `capture`.
    pub(crate) models: Option<Globs>,
    /// Header lines, `"Name: value"`, added to requests in its scope. Their values are treated as secrets.
    pub(crate) add_headers: Vec<String>,
    /// What may be kept of requests in its scope: `full`, `metadata` or `none`. The strictest counts.
    pub(crate) capture: Option<String>,
    /// Permits reading the metrics.
    pub(crate) read_metrics: Option<bool>,
    /// Permits reading prices over the API.
    pub(crate) read_pricing: Option<bool>,
}

/// One glob or a list of them.
#[derive(Default)]
pub(crate) struct Globs(pub(crate) Vec<String>);

/// One rule in the older form.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct TempGrant {
    /// Whom it names, as in `grants`.
    pub(crate) src: Option<Vec<String>>,
    /// What it gives.
    pub(crate) grants: Vec<TempItem>,
}

/// One thing that a rule in the older form gives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct TempItem {
    /// `user` or `admin`, as in `grants`.
    pub(crate) role: Option<String>,
    /// Models that it opens.
    pub(crate) providers: Option<Vec<ModelRef>>,
}

/// Models of a provider.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ModelRef {
    /// A provider's id, or `*` for all.
    pub(crate) provider: Option<String>,
    /// An exact model name, or `*` for all.
    pub(crate) model: Option<String>,
}

/// Settings of the gateway itself.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Gateway {
    /// Sizes and counts.
    pub(crate) limits: Limits,
    /// Times.
    pub(crate) timeouts: Timeouts,
    /// Web pages that may call the models.
    pub(crate) cors: Cors,
    /// The metrics port.
    pub(crate) metrics: Metrics,
    /// Lists that clients ask for before they ask a model.
    pub(crate) discovery: Discovery,
    /// What is kept of requests and responses.
    pub(crate) capture: Capture,
    /// Request headers that carry a session id, tried in this order before the known ones.
    pub(crate) session_headers: Option<Vec<String>>,
    /// Ask for token usage on chat streams whose client did not. The extra chunk is taken out again.
    pub(crate) inject_include_usage: Option<bool>,
    /// Name of the app capability in grants. Headscale refuses names under `tailscale.com/`, so choose another there.
    pub(crate) capability: Option<String>,
    /// How long records are kept.
    pub(crate) retention: Retention,
    /// Traces for an OpenTelemetry collector.
    pub(crate) otlp: Otlp,
}

/// Sizes and counts.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Limits {
    /// Bytes of a request body. Larger requests get 413.
    pub(crate) request_body_bytes: Option<ByteSize>,
    /// Bytes of a request's head. Larger heads get 431.
    pub(crate) head_bytes: Option<ByteSize>,
    /// Header lines of a request. Above 100, room for them is allocated for every request.
    pub(crate) head_count: Option<u64>,
    /// Open connections of one peer address. Raise it for a node that many clients share.
    pub(crate) connections_per_peer: Option<u64>,
    /// Open connections in all. Fewer are accepted where the limit on open files does not suffice: each takes three.
    pub(crate) connections: Option<u64>,
}

/// Times.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Timeouts {
    /// For a client to send a request's head.
    pub(crate) header_read: Option<Span>,
    /// Between two pieces of a client's request body.
    pub(crate) body_idle: Option<Span>,
    /// For a connection without a request.
    pub(crate) idle: Option<Span>,
    /// To connect to a provider.
    pub(crate) connect: Option<Span>,
    /// For a provider to begin its response. Reasoning models can think for minutes.
    pub(crate) first_byte: Option<Span>,
    /// Between two pieces of a provider's response.
    pub(crate) chunk_idle: Option<Span>,
}

/// Web pages that may call the models.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Cors {
    /// Origins, such as `https://chat.example.com`. Every other page is refused, because a page acts as the person who opens it.
    pub(crate) origins: Option<Vec<String>>,
}

/// Lists that clients ask for before they ask a model.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Discovery {
    /// Answer `GET /api/providers` to admins only, as late versions of the original do. Launchers that read it (`aperture-cli` up to 0.0.8, pi) then work for admins alone; `GET /v1/models` stays open to everybody with a role.
    pub(crate) providers_for_admins_only: Option<bool>,
}

/// The metrics port.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Metrics {
    /// Put the user's name on the metrics. One time series per user and model: for small tailnets.
    pub(crate) per_user: Option<bool>,
}

/// What is kept of requests and responses.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Capture {
    /// `full` (bodies and heads, secrets removed), `metadata` (numbers and names, no texts) or `none` (numbers alone).
    pub(crate) mode: Option<String>,
    /// Bytes kept of one body. The rest is cut and marked.
    pub(crate) body_bytes: Option<ByteSize>,
    /// Bytes kept of all bodies together. The oldest go first.
    pub(crate) total_bytes: Option<ByteSize>,
    /// Age at which bodies go. By default only `total_bytes` limits them.
    pub(crate) age: Option<Span>,
}

/// How long records are kept; a missing value means for ever.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Retention {
    /// Records of requests and sessions.
    pub(crate) records: Option<Span>,
    /// Hourly counters, which the charts and totals are made of.
    pub(crate) counters: Option<Span>,
    /// The audit trail.
    pub(crate) audit: Option<Span>,
}

/// Traces for an OpenTelemetry collector: one span a request (see [what a span holds](design/opentelemetry.md)).
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Otlp {
    /// Where the collector takes OTLP over HTTP; `/v1/traces` is added when it is not there. Without it nothing is exported.
    #[schemars(extend("examples" = ["http://collector.example.ts.net:4318"]))]
    pub(crate) endpoint: Option<String>,
    /// Header lines for the collector, by name. Each value is the text itself, `env:NAME` or `file:NAME`, and is treated as a secret.
    pub(crate) headers: BTreeMap<String, String>,
    /// Reach it through the tailnet only, never over the host's network. By default true for tailnet addresses and `*.ts.net` names.
    #[schemars(extend("examples" = [true]))]
    pub(crate) tailnet: Option<bool>,
    /// Export what was asked and answered, too, as far as it may be kept: requests whose capture mode is not `full` never are.
    pub(crate) content: Option<bool>,
    /// Name the user on each span (`enduser.id`).
    pub(crate) users: Option<bool>,
    /// The share of requests that is exported, from 0 to 1. A request that brings a `traceparent` goes by that one's sampled flag.
    pub(crate) sample: Option<f64>,
}

/// A duration's text, such as `"30s"`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Span(pub(crate) String);

/// A number of bytes, or a text such as `"64MiB"`.
pub(crate) enum ByteSize {
    /// Bytes.
    Number(u64),
    /// With a unit.
    Text(String),
}

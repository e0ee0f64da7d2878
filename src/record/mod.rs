//! What is kept of one request: the one record type, and the words it is made of.
//!
//! Owns: [`Record`] and its parts; times, ids and figures have files of their own. Out: everything that the store
//! keeps, the pages show, `export` prints and the counters add up. Serialised by name (messagepack in the store, JSON
//! in `export`), with defaults, so that fields can be added without a migration.
//! Must not know: HTTP, redb, pages.

mod head;
mod id;
mod time;
mod usage;

pub use head::HeadLines;
pub use id::{BadId, RequestId, SessionId};
pub use time::Timestamp;
pub use usage::{Cost, CostState, Estimate, Usage, UsageState};

use crate::endpoint::Endpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that is kept of one request, from its start to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Its id.
    pub id: RequestId,
    /// When its head was read.
    pub started: Timestamp,
    /// Who sent it.
    pub who: Who,
    /// The grant that allowed it, as `where it stands: what it says`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The program that sent it.
    #[serde(default)]
    pub client: Client,
    /// The route.
    pub endpoint: Endpoint,
    /// Method and path as asked for, credentials in the query removed.
    #[serde(default)]
    pub path: String,
    /// The provider's id in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The provider's own id of this request (`request-id`, `x-request-id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_request_id: Option<String>,
    /// The model that the client named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_asked: Option<String>,
    /// The model that the configuration routes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model that the provider says it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_served: Option<String>,
    /// Whether the client asked for a stream.
    #[serde(default)]
    pub streamed: bool,
    /// The status that the client saw; none before the response head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The service tier that the provider says it used; prices depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// How it ended.
    pub end: End,
    /// Why the gateway refused or failed it: a word of `proxy::error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How long things took.
    #[serde(default)]
    pub timings: Timings,
    /// Body sizes in bytes as they passed.
    #[serde(default)]
    pub bytes: Bytes,
    /// What the provider counted.
    #[serde(default)]
    pub usage: Usage,
    /// What that usage is worth.
    #[serde(default)]
    pub usage_state: UsageState,
    /// What it cost.
    #[serde(default)]
    pub cost: Cost,
    /// What the figures leave out, of a stream that was cut or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// The conversation it belongs to; none for requests that never got that far and for token counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The session that this one belongs to (sub-agents: on every request) or was forked from (on its first request).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session: Option<SessionId>,
    /// The sub-agent whose session this is, as the client names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The session's title when this request is the first of it: its first user text, cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Tools that the model called, and results that the request carried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolCall>,
    /// The working directory, or the repository, that the client states; see `tap::workspace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// A prompt cache that should have been read and was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_miss: Option<CacheMiss>,
    /// Why the model stopped, in the provider's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// What may be kept of the bodies.
    #[serde(default)]
    pub capture: CaptureMode,
    /// Whether bodies were dropped although the mode would have kept them, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_lost: Option<String>,
    /// Hashes by which later requests find this session; see `session`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<u64>,
}

impl Record {
    /// A record of a request that has just begun and of which nothing is known.
    pub fn new(id: RequestId, endpoint: Endpoint) -> Self {
        Self {
            id,
            started: id.time(),
            who: Who::default(),
            grant: None,
            client: Client::default(),
            endpoint,
            path: String::new(),
            provider: None,
            provider_request_id: None,
            model_asked: None,
            model: None,
            model_served: None,
            streamed: false,
            status: None,
            service_tier: None,
            end: End::InFlight,
            failure: None,
            timings: Timings::default(),
            bytes: Bytes::default(),
            usage: Usage::default(),
            usage_state: UsageState::None,
            cost: Cost::default(),
            estimate: None,
            session: None,
            parent_session: None,
            agent: None,
            title: None,
            tools: Vec::new(),
            workspace: None,
            cache_miss: None,
            stop_reason: None,
            capture: CaptureMode::Full,
            capture_lost: None,
            anchors: Vec::new(),
        }
    }
}

/// The caller, at the time of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Who {
    /// The stable key that owns the data: `user:<id>`, or `tags:<tags>`.
    pub user: String,
    /// The login name then, or the synthetic name of a tagged node.
    pub login: String,
    /// The node's stable id.
    #[serde(default)]
    pub node: String,
    /// The node's name.
    #[serde(default)]
    pub node_name: String,
    /// The node's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// The program that made the request, as its headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// A known short name (`claude-code`, `codex`), else the product of `user-agent`, else `unknown`.
    #[serde(default)]
    pub name: String,
    /// Its version, where stated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// How a request ended.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It is under way.
    #[default]
    InFlight,
    /// The whole response was delivered.
    Complete,
    /// The gateway answered it without a provider (refused, not found, failed).
    Refused,
    /// The provider failed before or in the middle of its response.
    UpstreamError,
    /// The client left before the end.
    ClientGone,
    /// A time-out of the gateway ended it.
    Timeout,
    /// The gateway stopped or died while it ran.
    Interrupted,
}

impl End {
    /// Every end, for tables and tests.
    pub const ALL: [Self; 7] = [
        Self::InFlight,
        Self::Complete,
        Self::Refused,
        Self::UpstreamError,
        Self::ClientGone,
        Self::Timeout,
        Self::Interrupted,
    ];

    /// The name in records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::UpstreamError => "upstream_error",
            Self::ClientGone => "client_gone",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Microseconds since the request's head was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Until the request left for the provider: the gateway's own part.
    #[serde(default)]
    pub sent_us: u64,
    /// Until the provider's response head.
    #[serde(default)]
    pub head_us: u64,
    /// Until the first byte of the response body.
    #[serde(default)]
    pub first_byte_us: u64,
    /// Until the end.
    #[serde(default)]
    pub total_us: u64,
}

/// Body sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bytes {
    /// Of the request body.
    #[serde(default)]
    pub request: u64,
    /// Of the response body, as delivered.
    #[serde(default)]
    pub response: u64,
}

/// One tool call that the model made, or one result that the request carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// The tool's name, as the client gave it to the model.
    pub name: String,
    /// The MCP server (or namespace) that the tool is from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// The dialect's call id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// Bytes of its arguments.
    #[serde(default)]
    pub argument_bytes: u64,
    /// `Some` on a result: whether it reported an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_error: Option<bool>,
    /// Bytes of the result's text, on a result.
    #[serde(default)]
    pub result_bytes: u64,
    /// On a result: milliseconds from the end of the reply that made the call to the request that brought the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The provider ran it by itself; no result comes from the client.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hosted: bool,
}

/// A prompt cache that should have been read and was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CacheMiss {
    /// Tokens of the prefix that the provider had in its cache after the request before.
    #[serde(default)]
    pub expected_tokens: u64,
    /// Tokens that were read from the cache all the same.
    #[serde(default)]
    pub read_tokens: u64,
    /// Why.
    #[serde(default)]
    pub cause: MissCause,
    /// The first message of the prefix that is not as it was, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u32>,
    /// Milliseconds since the cache was last used.
    #[serde(default)]
    pub idle_ms: u64,
}

/// Why a prompt cache was missed: the first thing that is not as it was.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MissCause {
    /// Nothing that can be seen from here: the provider's doing.
    #[default]
    Unknown,
    /// Another model, or another provider.
    Model,
    /// The tools.
    Tools,
    /// The system prompt.
    System,
    /// A message of the history.
    Message,
    /// The cache's time was over.
    Expired,
}

impl MissCause {
    /// Every cause, for tables and tests.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Model,
        Self::Tools,
        Self::System,
        Self::Message,
        Self::Expired,
    ];

    /// The name in records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Model => "model",
            Self::Tools => "tools",
            Self::System => "system",
            Self::Message => "message",
            Self::Expired => "expired",
        }
    }
}

/// What is kept of the bodies. The strictest of provider and grants wins.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMode {
    /// Bodies and heads, secrets redacted.
    #[default]
    Full,
    /// The record alone, without texts.
    Metadata,
    /// The record alone, without texts, title, path or tools.
    None,
}

/// The bodies and heads of one request, as the store gets them; secrets are already redacted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// The request's head lines, in order.
    pub request_head: HeadLines,
    /// The response's head lines.
    pub response_head: HeadLines,
    /// The request body.
    pub request: CapturedBody,
    /// The response body.
    pub response: CapturedBody,
}

/// One captured body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedBody {
    /// Its bytes as they passed (still encoded when `content-encoding` was set).
    pub chunks: Vec<bytes::Bytes>,
    /// Byte offsets at which the body may be split so that equal messages share storage; ascending, may be empty.
    pub borders: Vec<usize>,
    /// Whether it was cut at the byte cap.
    pub truncated: bool,
    /// Its size as it passed.
    pub size: u64,
}

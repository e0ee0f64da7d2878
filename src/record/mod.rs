//! What is kept of one request: the one record type, and the words it is made of.
//!
//! Owns: [`Record`] and its parts. Out: everything that the store keeps, the pages show, `export` prints and the
//! counters add up. Serialised by name (messagepack in the store, JSON in `export`), with defaults, so that fields can
//! be added without a migration.
//! Must not know: HTTP, redb, pages.

use crate::endpoint::Endpoint;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Milliseconds since 1970, UTC.
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
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The wall clock's time.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Hours since 1970: the key of the rollups.
    pub const fn hour(self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "hours fit 32 bits for 490,000 years"
        )]
        let hour = (self.0 / 3_600_000) as u32;
        hour
    }

    /// Reads an RFC 3339 time or date in UTC (`2026-01-31`, `2026-01-31T08:00:00Z`, with or without fractions).
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
        let number = |text: &str| {
            (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<i64>().ok())?
        };
        let mut date = date.splitn(3, '-');
        let (year, month, day) = (
            number(date.next()?)?,
            number(date.next()?)?,
            number(date.next()?)?,
        );
        let mut time = time.strip_suffix('Z')?.splitn(3, ':');
        let (hour, minute) = (number(time.next()?)?, number(time.next()?)?);
        let (second, fraction) = time.next().map(|s| s.split_once('.').unwrap_or((s, "0")))?;
        let second = number(second)?;
        let millis = number(fraction.get(..3).unwrap_or(fraction))?
            * [100, 10, 1][fraction.len().min(3) - 1];
        let valid = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        // Days since 1970 in the proleptic Gregorian calendar, years beginning in March.
        let (years, months) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let leaps = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
        let days = 365 * years + leaps + (153 * months + 2) / 5 + (day - 1) - 719_468;
        let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
        // Times before 1970 (the control plane's "never" is the year 1) become 0.
        valid.then(|| Self(u64::try_from(seconds * 1000 + millis).unwrap_or(0)))
    }
}

/// RFC 3339 in UTC, to the millisecond.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, clock) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let hex = text.strip_prefix($prefix).ok_or(BadId)?;
                if hex.len() != 32 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(BadId);
                }
                u128::from_str_radix(hex, 16).map(Self).map_err(|_| BadId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "[0-9a-f]{32}$"),
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// An id that is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this gateway")]
pub struct BadId;

id128!(
    /// A request: time-ordered (UUID version 7), so that keys sort by start.
    RequestId,
    "req_"
);
id128!(
    /// A session: derived from the client's own id where it sends one.
    SessionId,
    "ses_"
);

impl RequestId {
    /// A new id that sorts after all earlier ones of this process.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().as_u128())
    }

    /// The smallest id of that millisecond: for range queries by time.
    pub const fn at(time: Timestamp) -> Self {
        Self((time.0 as u128) << 80)
    }

    /// When the request began, by its id.
    pub const fn time(self) -> Timestamp {
        let ms = (self.0 >> 80) as u64;
        Timestamp(ms)
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

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

/// Tokens, and what the provider's own tools did, as the provider counted them.
///
/// Four parts of input are disjoint: uncached, read from a cache, and written to one for either time. Output is one number.
/// The other token counts say what is *inside* those: reasoning, audio and images in output; audio and images in all
/// input, and what of them was read from a cache. Calls of the provider's tools are disjoint by tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Input that was neither read from nor written to a cache.
    pub input: u64,
    /// Input read from a prompt cache.
    pub cache_read: u64,
    /// Input written to a prompt cache for minutes (5, 30), or for an unstated time.
    pub cache_write: u64,
    /// Input written to a prompt cache for an hour or more (1 h, 12 h).
    pub cache_write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// Output spent on reasoning.
    pub reasoning: u64,
    /// Searches of the web that the provider's own tool made.
    pub web_searches: u64,
    /// Input that is audio, cached or not.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_input: u64,
    /// Input that is images, cached or not.
    #[serde(skip_serializing_if = "is_zero")]
    pub image_input: u64,
    /// Audio input read from a cache: in `cache_read` and in `audio_input`.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_audio: u64,
    /// Image input read from a cache: in `cache_read` and in `image_input`.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_image: u64,
    /// Output that is audio.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_output: u64,
    /// Output that is images.
    #[serde(skip_serializing_if = "is_zero")]
    pub image_output: u64,
    /// Pages that the provider's own tool fetched.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_fetches: u64,
    /// Searches of stored files that the provider's own tool made.
    #[serde(skip_serializing_if = "is_zero")]
    pub file_searches: u64,
    /// Calls of the provider's other tools: code, images, MCP servers.
    #[serde(skip_serializing_if = "is_zero")]
    pub server_tools: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// All input tokens.
    pub const fn input_all(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
            .saturating_add(self.cache_write_1h)
    }

    /// How many figures there are.
    pub const KINDS: usize = 16;

    /// Every figure, for sums.
    pub fn kinds(mut self) -> [u64; Self::KINDS] {
        self.kinds_mut().map(|kind| *kind)
    }

    /// The same, to be changed. The order is that of rows on disk: new figures come last.
    pub const fn kinds_mut(&mut self) -> [&mut u64; Self::KINDS] {
        let Self {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            reasoning,
            web_searches,
            audio_input,
            image_input,
            cached_audio,
            cached_image,
            audio_output,
            image_output,
            web_fetches,
            file_searches,
            server_tools,
        } = self;
        [
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            reasoning,
            web_searches,
            audio_input,
            image_input,
            cached_audio,
            cached_image,
            audio_output,
            image_output,
            web_fetches,
            file_searches,
            server_tools,
        ]
    }

    /// All tokens.
    pub const fn total(&self) -> u64 {
        self.input_all().saturating_add(self.output)
    }
}

/// What the provider's figures leave out of a stream that was cut or cancelled, by the bytes that passed.
///
/// Never part of [`Usage`], nor of any sum of it; `usage` and this together are what the request is believed to have used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Estimate {
    /// Input, cached or not.
    pub input: u64,
    /// Output, reasoning included as far as it was shown.
    pub output: u64,
    /// What these would cost at the uncached rates.
    pub cost: Cost,
}

/// How far the usage can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageState {
    /// The provider reported none, or the dialect has none.
    #[default]
    None,
    /// The provider's final figures.
    Reported,
    /// The stream ended early: figures up to there.
    Partial,
    /// The stream ended early and the provider had sent no figures: there are none but [`Record::estimate`].
    Estimated,
    /// The response could not be parsed (too large, unknown encoding), or states what can't be.
    Unknown,
}

impl UsageState {
    /// The name in records, pages and exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reported => "reported",
            Self::Partial => "partial",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
        }
    }
}

/// What a request cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Pico-dollars (10⁻¹² USD). Zero unless `state` is `priced`.
    #[serde(default)]
    pub pico: u64,
    /// Whether a price was known.
    #[serde(default)]
    pub state: CostState,
    /// The price entry used, as `basis/model`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub basis: String,
    /// The version of the price table.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prices: String,
}

/// Whether a price was known.
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
pub enum CostState {
    /// Nothing to price: no tokens were counted.
    #[default]
    None,
    /// Priced by the table.
    Priced,
    /// Tokens without a known price: never counted as zero dollars.
    Unpriced,
}

impl CostState {
    /// Every state, for tables and tests.
    pub const ALL: [Self; 3] = [Self::None, Self::Priced, Self::Unpriced];

    /// The name in records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Priced => "priced",
            Self::Unpriced => "unpriced",
        }
    }
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
    /// Request head lines, `name: value`, in order.
    pub request_head: Vec<(String, String)>,
    /// Response head lines.
    pub response_head: Vec<(String, String)>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2026-11-23", 1_795_392_000_000),
            ("2026-11-23T08:09:10.5Z", 1_795_421_350_500),
            ("2026-11-23T08:09:10.123456789Z", 1_795_421_350_123),
            ("0001-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ms)), "{text}");
        }
        for bad in [
            "",
            "2026",
            "2026-13-01",
            "2026-01-00",
            "yesterday",
            "2026-01-01T00:00:00",
            "2026-01-01T25:00:00Z",
            "--",
            "2026-01-01T00:00:00.Z",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
        assert_eq!(
            Timestamp(1_795_421_350_123).to_string(),
            "2026-11-23T08:09:10.123Z"
        );
        for day in 0..60_000_u64 {
            let time = Timestamp(day * 86_400_000 + 12_345);
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
    }

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let (one, two) = (RequestId::new(), RequestId::new());
        assert!(one < two);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert!(RequestId::at(one.time()) <= one);
        for bad in [
            "",
            "req_",
            "req_zz",
            "ses_00000000000000000000000000000001",
            "req_+0000000000000000000000000000001",
        ] {
            assert_eq!(bad.parse::<RequestId>(), Err(BadId), "{bad}");
        }
    }
}

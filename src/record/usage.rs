//! What a request used and cost, in numbers.
//!
//! Owns: [`Usage`], [`Estimate`] and [`Cost`], and how far each can be trusted. Out: figures that add up.
//! Must not know: dialects, price tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The stream ended early and the provider had sent no figures: there are none but those of an [`Estimate`].
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

//! The wire formats and the routes that the gateway knows.
//!
//! Owns: the closed sets [`Dialect`] and [`Endpoint`] and the table that turns a method and a path into an endpoint.
//! In: method and raw path. Out: an endpoint.
//! Must not know: providers, callers, bodies. A new dialect breaks every `match` until it is handled.

use serde::{Deserialize, Serialize};

/// The shape of requests, streams, usage and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Anthropic messages.
    AnthropicMessages,
    /// `OpenAI` chat completions.
    OpenaiChat,
    /// `OpenAI` responses.
    OpenaiResponses,
}

impl Dialect {
    /// The name in config (compatibility flag), records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic_messages",
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
        }
    }
}

/// One route to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/messages`
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`: costs nothing and starts no session.
    AnthropicCountTokens,
    /// `POST /v1/chat/completions`
    OpenaiChat,
    /// `POST /v1/responses`
    OpenaiResponses,
}

impl Endpoint {
    /// Every endpoint, for tables and tests.
    pub const ALL: [Self; 4] = [
        Self::AnthropicMessages,
        Self::AnthropicCountTokens,
        Self::OpenaiChat,
        Self::OpenaiResponses,
    ];

    /// The dialect that this route speaks.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::AnthropicMessages | Self::AnthropicCountTokens => Dialect::AnthropicMessages,
            Self::OpenaiChat => Dialect::OpenaiChat,
            Self::OpenaiResponses => Dialect::OpenaiResponses,
        }
    }

    /// The name in records, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic_messages",
            Self::AnthropicCountTokens => "anthropic_count_tokens",
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
        }
    }

    /// The canonical path, as clients see it advertised.
    pub const fn path(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "/v1/messages",
            Self::AnthropicCountTokens => "/v1/messages/count_tokens",
            Self::OpenaiChat => "/v1/chat/completions",
            Self::OpenaiResponses => "/v1/responses",
        }
    }

    /// Whether the request generates tokens (a token count does not).
    pub const fn generates(self) -> bool {
        !matches!(self, Self::AnthropicCountTokens)
    }
}

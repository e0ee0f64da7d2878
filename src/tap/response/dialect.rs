//! Which parser reads which dialect.
//!
//! Owns: the tables from a [`Dialect`] to the functions that know its words: one piece of a text stream, one frame of a binary
//! one, a whole body, a usage object. A new dialect breaks each of them until it is handled.

use crate::{
    endpoint::Dialect,
    tap::{
        anthropic, bedrock, chat, converse, gemini,
        json::Raw,
        reply::{Counts, Reply},
        responses,
    },
};

/// Reads the data of one event, or one element of an array; whether it could be read.
pub(super) fn event(dialect: Dialect, reply: &mut Reply, data: &str) -> bool {
    match dialect {
        Dialect::AnthropicMessages | Dialect::GoogleRawPredict => {
            anthropic::event(reply, data).is_ok()
        }
        Dialect::OpenaiChat => chat::event(reply, data).is_ok(),
        Dialect::OpenaiResponses => responses::event(reply, data).is_ok(),
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => {
            gemini::event(reply, data).is_ok()
        }
        // Their streams are binary.
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse => false,
    }
}

/// Reads one frame: its type and its payload; whether it could be read.
pub(super) fn frame(dialect: Dialect, reply: &mut Reply, kind: &str, payload: &str) -> bool {
    match dialect {
        Dialect::BedrockModelInvoke => bedrock::chunk(reply, payload).is_ok(),
        Dialect::BedrockConverse => converse::event(reply, kind, payload).is_ok(),
        Dialect::AnthropicMessages
        | Dialect::OpenaiChat
        | Dialect::OpenaiResponses
        | Dialect::GeminiGenerateContent
        | Dialect::GoogleGenerateContent
        | Dialect::GoogleRawPredict => false,
    }
}

/// Reads a whole body.
pub(super) fn whole(dialect: Dialect, reply: &mut Reply, raw: Raw<'_>) {
    match dialect {
        Dialect::AnthropicMessages | Dialect::GoogleRawPredict => anthropic::message(reply, raw),
        Dialect::OpenaiChat => chat::completion(reply, raw),
        Dialect::OpenaiResponses => responses::response(reply, raw, true),
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => {
            gemini::response(reply, raw);
        }
        Dialect::BedrockModelInvoke => bedrock::response(reply, raw),
        Dialect::BedrockConverse => converse::response(reply, raw),
    }
}

/// The key of a usage object, quotes included.
pub(super) const fn usage_key(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => "\"usageMetadata\"",
        Dialect::AnthropicMessages
        | Dialect::OpenaiChat
        | Dialect::OpenaiResponses
        | Dialect::GoogleRawPredict
        | Dialect::BedrockModelInvoke
        | Dialect::BedrockConverse => "\"usage\"",
    }
}

/// Reads a usage object.
pub(super) fn usage(dialect: Dialect, reply: &mut Reply, raw: Raw<'_>) {
    match dialect {
        Dialect::AnthropicMessages | Dialect::GoogleRawPredict => anthropic::usage(reply, raw),
        Dialect::OpenaiChat => chat::usage(reply, raw),
        Dialect::OpenaiResponses => responses::usage(reply, raw),
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => {
            gemini::usage(reply, raw);
        }
        Dialect::BedrockModelInvoke => bedrock::usage(reply, raw),
        Dialect::BedrockConverse => converse::usage(reply, raw),
    }
}

/// The counts that a head states.
pub(super) fn head(dialect: Dialect, headers: &http::HeaderMap) -> Counts {
    match dialect {
        Dialect::BedrockModelInvoke => bedrock::counts(headers),
        _ => Counts::default(),
    }
}

/// Takes the counts of the head for those that the body does not state.
pub(super) fn fill(dialect: Dialect, reply: &mut Reply, counted: &Counts) {
    if dialect == Dialect::BedrockModelInvoke {
        bedrock::fill(reply, counted);
    }
}

//! Bedrock invoke: `model/{id}/invoke` and its stream, in the maker's wording.
//!
//! Claude's bodies are Anthropic messages, Nova's nearly Converse. A frame of a
//! stream carries one event of the maker's as base64; the last one adds figures
//! that are the same for all makers. A whole reply has them in its headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Dialect, Route, anthropic, bedrock, bedrock_converse};
use crate::answer::Answer;
use crate::conversation::{Conversation, Head, Wording};
use crate::json::{Json, Object, object};
use crate::tokens::Usage;

pub(super) static DIALECT: Dialect = Dialect {
    name: "bedrock_model_invoke",
    route: |target| bedrock::route(target, "invoke", "invoke-with-response-stream", None),
    head,
    conversation,
    whole,
    stream,
    stream_type: bedrock::STREAM_TYPE,
    side: |_, _, answer| object! {"inputTokens": answer.usage.prompt()},
    failure: bedrock::failure,
    stream_failure: bedrock::stream_failure,
    request_id: bedrock::REQUEST_ID,
    headers: &[("x-amzn-bedrock-content-type", "application/json")],
    usage_headers,
    failure_headers: bedrock::failure_headers,
};

// === requests ===

#[derive(Deserialize)]
struct HeadFields {
    anthropic_version: Option<IgnoredAny>,
    #[serde(rename = "inferenceConfig")]
    inference_config: Option<IgnoredAny>,
    #[serde(rename = "schemaVersion")]
    schema_version: Option<IgnoredAny>,
}

/// The wording shows in the body alone: an ARN of a profile names no maker.
fn wording(body: &[u8]) -> Result<Wording, serde_json::Error> {
    let fields: HeadFields = serde_json::from_slice(body)?;
    let is_nova = fields.inference_config.is_some() || fields.schema_version.is_some();
    Ok(if is_nova && fields.anthropic_version.is_none() {
        Wording::Nova
    } else {
        Wording::Claude
    })
}

fn head(route: &Route, body: &[u8]) -> Result<Head, serde_json::Error> {
    let wording = wording(body)?;
    let head = match wording {
        Wording::Claude => anthropic::head(route, body)?,
        Wording::Nova => bedrock_converse::head(route, body)?,
    };
    // Only the path decides whether it is a stream.
    let stream = route.framing.is_some();
    Ok(Head {
        stream,
        wording,
        ..head
    })
}

fn conversation(body: &[u8]) -> Result<Conversation, serde_json::Error> {
    match wording(body)? {
        Wording::Claude => anthropic::conversation(body),
        Wording::Nova => bedrock_converse::conversation(body),
    }
}

// === replies ===

fn nova_usage(usage: &Usage) -> Json {
    object! {
        "inputTokens": usage.input, "outputTokens": usage.output,
        "totalTokens": usage.prompt() + usage.output,
        "cacheReadInputTokenCount": usage.cache_read,
        "cacheWriteInputTokenCount": usage.cache_write + usage.cache_write_long,
    }
}

fn whole(head: &Head, answer: &Answer) -> Json {
    match head.wording {
        Wording::Claude => anthropic::whole(answer),
        Wording::Nova => bedrock_converse::whole(answer, &nova_usage(&answer.usage)),
    }
}

fn usage_headers(usage: &Usage) -> Vec<(&'static str, u64)> {
    vec![
        (
            "x-amzn-bedrock-invocation-latency",
            bedrock_converse::LATENCY,
        ),
        ("x-amzn-bedrock-input-token-count", usage.input),
        ("x-amzn-bedrock-output-token-count", usage.output),
        (
            "x-amzn-bedrock-cache-read-input-token-count",
            usage.cache_read,
        ),
        (
            "x-amzn-bedrock-cache-write-input-token-count",
            usage.cache_write + usage.cache_write_long,
        ),
    ]
}

fn metrics(usage: &Usage) -> Json {
    object! {
        "inputTokenCount": usage.input, "outputTokenCount": usage.output,
        "invocationLatency": bedrock_converse::LATENCY, "firstByteLatency": 1_u64,
        "cacheReadInputTokenCount": usage.cache_read,
        "cacheWriteInputTokenCount": usage.cache_write + usage.cache_write_long,
    }
}

fn stream(head: &Head, answer: &Answer) -> Vec<Bytes> {
    let mut events: Vec<Object> = match head.wording {
        Wording::Claude => anthropic::events(answer)
            .into_iter()
            .map(|(_, fields)| fields)
            .collect(),
        Wording::Nova => nova_events(answer),
    };
    if let Some(last) = events.pop() {
        events.push(last.field("amazon-bedrock-invocationMetrics", &metrics(&answer.usage)));
    }
    events
        .into_iter()
        .enumerate()
        .map(|(place, fields)| {
            let bytes = STANDARD.encode(fields.finish().as_str());
            let payload = object! {"bytes": bytes, "p": bedrock::padding(place)};
            bedrock::event("chunk", &payload)
        })
        .collect()
}

/// Nova wraps each event in its name.
fn nova_events(answer: &Answer) -> Vec<Object> {
    let figures = Object::new()
        .field("usage", &nova_usage(&answer.usage))
        .field("metrics", &object! {})
        .field("trace", &object! {});
    bedrock_converse::events(answer)
        .into_iter()
        .chain([("metadata", figures)])
        .map(|(name, fields)| Object::new().field(name, &fields.finish()))
        .collect()
}

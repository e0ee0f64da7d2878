//! Bedrock's `InvokeModel`: bodies that are the model family's own.
//!
//! In: a response body, or the model's events inside the frames of a stream; and Bedrock's own counts, in head lines and in
//! the last event. Out: turns and counts. The shape tells the family: Claude speaks as everywhere, Nova as Converse does,
//! several as chat; the others have a few words of their own. What the model counts itself goes before what Bedrock counts.

use super::{
    anthropic, chat, converse,
    json::{self, Raw},
    reply::{Counts, Reply, short},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;

/// Bedrock's counts in a head.
pub(super) fn counts(headers: &HeaderMap) -> Counts {
    let count = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
    Counts {
        input: count("x-amzn-bedrock-input-token-count"),
        output: count("x-amzn-bedrock-output-token-count"),
        cache_read: count("x-amzn-bedrock-cache-read-input-token-count"),
        cache_write: count("x-amzn-bedrock-cache-write-input-token-count"),
        ..Counts::default()
    }
}

/// Takes Bedrock's counts for those that the model does not state.
pub(super) fn fill(reply: &mut Reply, counts: &Counts) {
    let own = &mut reply.counts;
    if !own.states_input() && counts.input.is_some() {
        own.input = counts.input;
        own.cache_read = counts.cache_read.or(own.cache_read);
        own.cache_write = counts.cache_write.or(own.cache_write);
    }
    if !own.states_output() {
        own.output = counts.output;
    }
}

/// Reads the payload of a `chunk`: the model's event, in base64.
pub(super) fn chunk(reply: &mut Reply, payload: &str) -> Result<(), Unreadable> {
    let mut bytes = None;
    json::object(payload, |key, value| {
        if key == "bytes" {
            bytes = json::string(value);
        }
    })?;
    let bytes = STANDARD.decode(bytes.ok_or(Unreadable)?.as_bytes())?;
    event(reply, std::str::from_utf8(&bytes)?)?;
    Ok(())
}

/// A chunk that can't be read.
#[derive(Debug)]
pub(super) struct Unreadable;

impl<E: std::error::Error> From<E> for Unreadable {
    fn from(_: E) -> Self {
        Self
    }
}

/// Reads one event of a model.
fn event(reply: &mut Reply, data: &str) -> Result<(), serde_json::Error> {
    let mut shape = Shape::Own;
    let mut metrics = None;
    // Claude's are by far the most: they are read in the same walk.
    let mut claude = anthropic::Event::default();
    json::object(data, |key, value| {
        claude.take(key, value);
        match key {
            "type" if shape == Shape::Own => shape = Shape::Claude,
            "choices" => shape = Shape::Chat,
            "amazon-bedrock-invocationMetrics" => metrics = Some(value),
            "messageStart" | "contentBlockStart" | "contentBlockDelta" | "contentBlockStop"
            | "messageStop" | "metadata" => {
                shape = Shape::Nova;
                converse::part(reply, key, value);
            }
            _ => {}
        }
    })?;
    match shape {
        Shape::Claude => claude.read(reply),
        Shape::Chat => chat::event(reply, data)?,
        Shape::Nova => {}
        Shape::Own => own(reply, json::parse(data)?, true),
    }
    if let Some(metrics) = metrics {
        fill(reply, &invocation(metrics));
        // It stands in the last event, whatever the family.
        reply.finished |= !reply.error;
    }
    Ok(())
}

/// Whose words a body speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Claude,
    Nova,
    Chat,
    /// Llama, Mistral, Titan, Cohere.
    Own,
}

/// Reads a whole response.
pub(super) fn response(reply: &mut Reply, raw: Raw<'_>) {
    let mut shape = Shape::Own;
    json::members(raw, |key, value| match key {
        "type" if json::string(value).as_deref() == Some("message") => shape = Shape::Claude,
        "choices" => shape = Shape::Chat,
        "output" if json::is_object(value) => shape = Shape::Nova,
        _ => {}
    });
    match shape {
        Shape::Claude => anthropic::message(reply, raw),
        Shape::Nova => converse::response(reply, raw),
        Shape::Chat => chat::completion(reply, raw),
        Shape::Own => own(reply, raw, true),
    }
}

/// Reads the last `usage` of a body whose beginning is gone.
pub(super) fn usage(reply: &mut Reply, raw: Raw<'_>) {
    anthropic::usage(reply, raw);
    converse::usage(reply, raw);
    chat::usage(reply, raw);
}

/// Reads a body, or an event, of a family with words of its own, and one level (`top`) of answers inside it. Counts of a
/// stream are totals so far.
fn own(reply: &mut Reply, raw: Raw<'_>, top: bool) {
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        // Llama, Titan, Cohere.
        "generation" | "outputText" | "text" => {
            if let Some(text) = json::string(value) {
                reply.say(&text);
            }
        }
        "prompt_token_count" | "inputTextTokenCount" => last(&mut reply.counts.input, value),
        "generation_token_count" | "totalOutputTextTokenCount" | "tokenCount" => {
            last(&mut reply.counts.output, value);
        }
        "stop_reason" | "completionReason" | "finish_reason" => {
            if let Some(reason) = json::string(value).and_then(|reason| short(&reason)) {
                reply.stop_reason = Some(reason);
            }
        }
        // Mistral, Titan, Cohere: the answers, of which the first counts.
        "outputs" | "results" | "generations" if top => {
            let mut first = true;
            json::elements(value, |answer| {
                if std::mem::take(&mut first) {
                    own(reply, answer, false);
                }
            });
        }
        "usage" => usage(reply, value),
        _ => {}
    });
    reply.started = true;
}

/// Reads `amazon-bedrock-invocationMetrics`.
fn invocation(raw: Raw<'_>) -> Counts {
    let mut counts = Counts::default();
    json::members(raw, |key, value| match key {
        "inputTokenCount" => counts.input = json::count(value),
        "outputTokenCount" => counts.output = json::count(value),
        "cacheReadInputTokenCount" => counts.cache_read = json::count(value),
        "cacheWriteInputTokenCount" => counts.cache_write = json::count(value),
        _ => {}
    });
    counts
}

//! Bedrock Converse: `model/{id}/converse`, its stream, and the token counter.
//!
//! One wording for the models of all makers. A stream tells its figures in a
//! frame of their own after the message has stopped. Nova's own wording of
//! `invoke` is nearly the same, so it is made here too.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Dialect, Route, anthropic, bedrock};
use crate::answer::{Answer, pieces};
use crate::conversation::{Conversation, Head, Offered, ToolKind, items, texts};
use crate::json::{Json, Object, object};
use crate::script::Stop;
use crate::tokens::Usage;

/// What a reply says that it took, in milliseconds.
pub(super) const LATENCY: u64 = 5;

pub(super) static DIALECT: Dialect = Dialect {
    name: "bedrock_converse",
    route: |target| bedrock::route(target, "converse", "converse-stream", Some("count-tokens")),
    head,
    conversation,
    whole: |_, answer| whole(answer, &usage(&answer.usage)),
    stream,
    stream_type: bedrock::STREAM_TYPE,
    side: |_, _, answer| object! {"inputTokens": answer.usage.prompt()},
    failure: bedrock::failure,
    stream_failure: bedrock::stream_failure,
    request_id: bedrock::REQUEST_ID,
    headers: &[],
    usage_headers: super::no_usage_headers,
    failure_headers: bedrock::failure_headers,
};

// === requests ===

#[derive(Deserialize)]
struct HeadFields {
    #[serde(rename = "inferenceConfig")]
    limits: Option<Limits>,
}

#[derive(Deserialize)]
struct Limits {
    #[serde(rename = "maxTokens", alias = "max_new_tokens")]
    max_tokens: Option<u64>,
}

pub(super) fn head(route: &Route, body: &[u8]) -> Result<Head, serde_json::Error> {
    let fields: HeadFields = serde_json::from_slice(body)?;
    Ok(Head {
        max_tokens: fields.limits.and_then(|limits| limits.max_tokens),
        ..route.head()
    })
}

pub(super) fn conversation(body: &[u8]) -> Result<Conversation, serde_json::Error> {
    let request: Value = serde_json::from_slice(body)?;
    let mut conversation = Conversation {
        tools: items(&request["toolConfig"]["tools"])
            .filter_map(|tool| offered(&tool["toolSpec"]))
            .collect(),
        caching: anthropic::caching(&request),
        ..Conversation::default()
    };
    conversation.system_said(&request["system"]);
    for message in items(&request["messages"]) {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("user") => {
                for result in items(content).map(|block| &block["toolResult"]) {
                    if result.is_object() {
                        conversation.tool_said(&tool_text(&result["content"]));
                    }
                }
                texts(content).for_each(|text| conversation.user_said(text));
            }
            Some("assistant") => conversation.model_said(),
            _ => conversation.system_said(content),
        }
    }
    Ok(conversation)
}

/// A tool's result as blocks of text: values of JSON are written out.
fn tool_text(content: &Value) -> Value {
    let text = |block: &Value| match &block["json"] {
        Value::Null => block.clone(),
        value => serde_json::json!({"text": value.to_string()}),
    };
    items(content).map(text).collect()
}

fn offered(tool: &Value) -> Option<Offered> {
    Some(Offered {
        name: tool["name"].as_str()?.to_owned(),
        kind: ToolKind::Function,
        namespace: None,
        schema: tool["inputSchema"]["json"].clone(),
    })
}

// === replies ===

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::Tool => "tool_use",
        Stop::Refusal => "content_filtered",
    }
}

fn usage(usage: &Usage) -> Json {
    let written = usage.cache_write + usage.cache_write_long;
    let lifetimes: Vec<Json> = [("5m", usage.cache_write), ("1h", usage.cache_write_long)]
        .into_iter()
        .filter(|(_, tokens)| *tokens > 0)
        .map(|(lifetime, tokens)| object! {"ttl": lifetime, "inputTokens": tokens})
        .collect();
    Object::new()
        .field("inputTokens", &usage.input)
        .field("outputTokens", &usage.output)
        .field("totalTokens", &(usage.prompt() + usage.output))
        .field("cacheReadInputTokens", &usage.cache_read)
        .field("cacheWriteInputTokens", &written)
        .field_if("cacheDetails", (written > 0).then_some(&lifetimes))
        .finish()
}

fn tool_use(answer: &Answer, place: usize) -> Object {
    Object::new()
        .field(
            "toolUseId",
            &format!("tooluse_scripted_{}_{place}", answer.id),
        )
        .field("name", &answer.calls[place].name)
}

fn signature(answer: &Answer) -> String {
    format!("c2NyaXB0ZWQ{}", answer.id)
}

/// The whole reply with those figures.
pub(super) fn whole(answer: &Answer, usage: &Json) -> Json {
    let thinking = answer.thinking.iter().map(|thinking| {
        let text = object! {"text": thinking, "signature": signature(answer)};
        object! {"reasoningContent": object! {"reasoningText": text}}
    });
    let text = answer.text.iter().map(|text| object! {"text": text});
    let calls = answer.calls.iter().enumerate().map(|(place, call)| {
        let fields = tool_use(answer, place).field("input", &call.input_json());
        object! {"toolUse": fields.finish()}
    });
    let content: Vec<Json> = thinking.chain(text).chain(calls).collect();
    object! {
        "output": object! {"message": object! {"role": "assistant", "content": content}},
        "stopReason": stop_reason(answer.stop), "usage": usage,
        "metrics": object! {"latencyMs": LATENCY},
    }
}

fn stream(_: &Head, answer: &Answer) -> Vec<Bytes> {
    let figures = Object::new()
        .field("usage", &usage(&answer.usage))
        .field("metrics", &object! {"latencyMs": LATENCY});
    events(answer)
        .into_iter()
        .chain([("metadata", figures)])
        .enumerate()
        .map(|(place, (name, fields))| {
            let payload = fields.field("p", bedrock::padding(place)).finish();
            bedrock::event(name, &payload)
        })
        .collect()
}

/// The events of a message by name, still open for another field; without the figures.
pub(super) fn events(answer: &Answer) -> Vec<(&'static str, Object)> {
    let mut events = Events(Vec::new(), 0);
    let start = Object::new().field("role", "assistant");
    events.0.push(("messageStart", start));
    if let Some(thinking) = &answer.thinking {
        let said = pieces(thinking, answer.chunks)
            .into_iter()
            .map(|piece| object! {"reasoningContent": object! {"text": piece}});
        let signed = object! {"reasoningContent": object! {"signature": signature(answer)}};
        events.block(None, said.chain([signed]));
    }
    if let Some(text) = &answer.text {
        let said = pieces(text, answer.chunks).into_iter();
        events.block(None, said.map(|piece| object! {"text": piece}));
    }
    for (place, call) in answer.calls.iter().enumerate() {
        let start = object! {"toolUse": tool_use(answer, place).finish()};
        let input = call.input_json();
        let said = pieces(input.as_str(), answer.chunks.or(Some(2)))
            .into_iter()
            .map(|piece| object! {"toolUse": object! {"input": piece}});
        events.block(Some(&start), said);
    }
    let stop = Object::new().field("stopReason", stop_reason(answer.stop));
    events.0.push(("messageStop", stop));
    events.0
}

/// The events so far, and the index of the next content block.
struct Events(Vec<(&'static str, Object)>, usize);

impl Events {
    /// Only a tool call's block says that it starts.
    fn block(&mut self, start: Option<&Json>, deltas: impl Iterator<Item = Json>) {
        let index = self.1;
        self.1 += 1;
        let at = || Object::new().field("contentBlockIndex", &index);
        if let Some(start) = start {
            self.0
                .push(("contentBlockStart", at().field("start", start)));
        }
        for delta in deltas {
            self.0
                .push(("contentBlockDelta", at().field("delta", &delta)));
        }
        self.0.push(("contentBlockStop", at()));
    }
}

//! Anthropic messages: `/v1/messages` and its token counter.
//!
//! A stream names every event, because clients ignore data without a name, and
//! reports usage twice: the prompt's side at the start, all of it, cumulated,
//! at the end.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

use super::{Dialect, Failure, Operation, Route, event};
use crate::answer::{Answer, pieces};
use crate::conversation::{Conversation, Head, Offered, ToolKind, items, texts};
use crate::json::{Json, Object, object};
use crate::script::Stop;
use crate::tokens::{Caching, Usage};

pub(super) static DIALECT: Dialect = Dialect {
    name: "anthropic_messages",
    route: |target| {
        Route::by_ending(
            target.path,
            &[
                ("/messages", Operation::Generate),
                ("/messages/count_tokens", Operation::Count),
            ],
        )
    },
    head,
    conversation,
    whole: |_, answer| whole(answer),
    stream,
    stream_type: STREAM_TYPE,
    side: |_, _, answer| count(answer),
    failure,
    stream_failure,
    request_id: Some("request-id"),
    headers: &[
        ("anthropic-organization-id", "org-scripted"),
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2026-11-23T03:00:00Z"),
    ],
    usage_headers: super::no_usage_headers,
    failure_headers: super::no_failure_headers,
};

pub(super) const STREAM_TYPE: &str = "text/event-stream; charset=utf-8";

// === requests ===

#[derive(Deserialize)]
struct HeadFields<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: bool,
    max_tokens: Option<u64>,
}

/// The head; a model in the path is worth more than one in the body.
pub(super) fn head(route: &Route, body: &[u8]) -> Result<Head, serde_json::Error> {
    let fields: HeadFields<'_> = serde_json::from_slice(body)?;
    let model = route.model.clone().or(fields.model.map(Cow::into_owned));
    Ok(Head {
        model: model.ok_or_else(|| serde_json::Error::missing_field("model"))?,
        stream: fields.stream || route.framing.is_some(),
        max_tokens: fields.max_tokens,
        ..route.head()
    })
}

pub(super) fn conversation(body: &[u8]) -> Result<Conversation, serde_json::Error> {
    let request: Value = serde_json::from_slice(body)?;
    let mut conversation = Conversation {
        tools: items(&request["tools"]).filter_map(offered).collect(),
        schema: request.pointer("/output_config/format/schema").cloned(),
        caching: caching(&request),
        ..Conversation::default()
    };
    conversation.system_said(&request["system"]);
    for message in items(&request["messages"]) {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("user") => {
                for result in items(content).filter(|block| block["type"] == "tool_result") {
                    conversation.tool_said(&result["content"]);
                }
                texts(content).for_each(|text| conversation.user_said(text));
            }
            Some("assistant") => conversation.model_said(),
            _ => conversation.system_said(content),
        }
    }
    Ok(conversation)
}

fn offered(tool: &Value) -> Option<Offered> {
    Some(Offered {
        name: tool["name"].as_str()?.to_owned(),
        kind: ToolKind::Function,
        namespace: None,
        schema: tool["input_schema"].clone(),
    })
}

/// The marks of all lifetimes in a request: `cache_control`, or the `cachePoint` of Converse.
pub(super) fn caching(request: &Value) -> Caching {
    let (mut short, mut long) = (false, false);
    let mut todo = vec![request];
    while let Some(value) = todo.pop() {
        match value {
            Value::Array(values) => todo.extend(values),
            Value::Object(fields) => {
                let mark = fields
                    .get("cache_control")
                    .filter(|mark| mark["type"] == "ephemeral")
                    .or(fields.get("cachePoint"));
                if let Some(mark) = mark {
                    long |= mark["ttl"] == "1h";
                    short |= mark["ttl"] != "1h";
                }
                todo.extend(fields.values());
            }
            _ => {}
        }
    }
    if short || long {
        Caching::Marked { short, long }
    } else {
        Caching::Off
    }
}

// === replies ===

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::Tool => "tool_use",
        Stop::Refusal => "refusal",
    }
}

fn tool_id(answer: &Answer, position: usize) -> String {
    format!("toolu_scripted_{}_{position}", answer.id)
}

fn signature(answer: &Answer) -> String {
    format!("c2NyaXB0ZWQ{}", answer.id)
}

/// The figures of a usage; the final report of a stream leaves the lifetimes out.
fn usage(usage: &Usage, output: u64, is_final: bool) -> Json {
    let lifetimes = (!is_final).then(|| {
        object! {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_long,
        }
    });
    let thinking =
        (usage.reasoning > 0).then(|| object! {"thinking_tokens": usage.reasoning.min(output)});
    let searches = (usage.web_searches > 0).then(|| {
        object! {"web_search_requests": usage.web_searches, "web_fetch_requests": 0_u64}
    });
    Object::new()
        .field("input_tokens", &usage.input)
        .field(
            "cache_creation_input_tokens",
            &(usage.cache_write + usage.cache_write_long),
        )
        .field("cache_read_input_tokens", &usage.cache_read)
        .field_if("cache_creation", lifetimes.as_ref())
        .field("output_tokens", &output)
        .field_if("output_tokens_details", thinking.as_ref())
        .field_if("server_tool_use", searches.as_ref())
        .field_if("service_tier", (!is_final).then_some("standard"))
        .finish()
}

fn message(answer: &Answer, content: &[Json], stop: Option<Stop>, usage: &Json) -> Json {
    object! {
        "id": format!("msg_scripted_{}", answer.id), "type": "message", "role": "assistant",
        "model": answer.model, "content": content, "stop_reason": stop.map(stop_reason),
        "stop_sequence": (), "usage": usage,
    }
}

pub(super) fn count(answer: &Answer) -> Json {
    object! {"input_tokens": answer.usage.prompt()}
}

pub(super) fn whole(answer: &Answer) -> Json {
    let thinking = answer.thinking.iter().map(|thinking| {
        object! {"type": "thinking", "thinking": thinking, "signature": signature(answer)}
    });
    let text = answer
        .text
        .iter()
        .map(|text| object! {"type": "text", "text": text});
    let calls = answer.calls.iter().enumerate().map(|(position, call)| {
        object! {
            "type": "tool_use", "id": tool_id(answer, position), "name": call.name,
            "input": call.input_json(),
        }
    });
    let content: Vec<Json> = thinking.chain(text).chain(calls).collect();
    let counted = usage(&answer.usage, answer.usage.output, false);
    message(answer, &content, Some(answer.stop), &counted)
}

pub(super) fn stream(_: &Head, answer: &Answer) -> Vec<Bytes> {
    let events = events(answer).into_iter();
    events
        .map(|(name, fields)| event(name, &fields.finish()))
        .collect()
}

/// The events of a stream by name, still open for another field.
pub(super) fn events(answer: &Answer) -> Vec<(&'static str, Object)> {
    let started = message(answer, &[], None, &usage(&answer.usage, 1, false));
    let mut events = Events(Vec::new(), 0);
    events.push("message_start", |fields| fields.field("message", &started));
    events.push("ping", |fields| fields);
    if let Some(thinking) = &answer.thinking {
        let start = object! {"type": "thinking", "thinking": "", "signature": ""};
        let said = pieces(thinking, answer.chunks)
            .into_iter()
            .map(|piece| object! {"type": "thinking_delta", "thinking": piece});
        let signed = object! {"type": "signature_delta", "signature": signature(answer)};
        events.block(&start, said.chain([signed]));
    }
    if let Some(text) = &answer.text {
        let start = object! {"type": "text", "text": ""};
        let said = pieces(text, answer.chunks)
            .into_iter()
            .map(|piece| object! {"type": "text_delta", "text": piece});
        events.block(&start, said);
    }
    for (position, call) in answer.calls.iter().enumerate() {
        let start = object! {
            "type": "tool_use", "id": tool_id(answer, position), "name": call.name,
            "input": object! {},
        };
        let said = pieces(&call.input, answer.chunks.or(Some(2)))
            .into_iter()
            .map(|piece| object! {"type": "input_json_delta", "partial_json": piece});
        events.block(&start, said);
    }
    let end = object! {"stop_reason": stop_reason(answer.stop), "stop_sequence": ()};
    let counted = usage(&answer.usage, answer.usage.output, true);
    events.push("message_delta", |fields| {
        fields.field("delta", &end).field("usage", &counted)
    });
    events.push("message_stop", |fields| fields);
    events.0
}

/// The events so far, and the index of the next content block.
struct Events(Vec<(&'static str, Object)>, usize);

impl Events {
    fn push(&mut self, name: &'static str, fields: impl FnOnce(Object) -> Object) {
        let opening = Object::new().field("type", name);
        self.0.push((name, fields(opening)));
    }

    fn block(&mut self, start: &Json, deltas: impl Iterator<Item = Json>) {
        let index = self.1;
        self.1 += 1;
        self.push("content_block_start", |fields| {
            fields.field("index", &index).field("content_block", start)
        });
        for delta in deltas {
            self.push("content_block_delta", |fields| {
                fields.field("index", &index).field("delta", &delta)
            });
        }
        self.push("content_block_stop", |fields| fields.field("index", &index));
    }
}

pub(super) fn stream_failure(error: &Failure<'_>, _: usize) -> Bytes {
    event("error", &failure(error))
}

pub(super) fn failure(failure: &Failure<'_>) -> Json {
    let kind = failure.kind.unwrap_or(match failure.status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    });
    object! {
        "type": "error", "error": object! {"type": kind, "message": failure.message},
        "request_id": failure.request_id,
    }
}

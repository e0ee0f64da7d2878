//! `OpenAI` chat completions: `/v1/chat/completions`.
//!
//! A stream has no event names and ends in `[DONE]`. It reports usage only to
//! clients that asked by `stream_options.include_usage`: then every chunk says
//! `"usage":null` and one more chunk, without choices, carries the figures.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Dialect, Operation, data, openai};
use crate::answer::{Answer, pieces};
use crate::conversation::{Call, Conversation, Head, ToolKind, items, texts};
use crate::json::{Json, Object, object};
use crate::script::Stop;
use crate::tokens::{Caching, Usage};

pub(super) static DIALECT: Dialect = Dialect {
    name: "openai_chat",
    operation: |path| {
        path.ends_with("/chat/completions")
            .then_some(Operation::Generate)
    },
    head,
    conversation,
    whole,
    stream,
    stream_type: "text/event-stream; charset=utf-8",
    count: |tokens| object! {"input_tokens": tokens},
    failure: openai::failure,
    stream_failure: |failure, _| data(openai::failure(failure).as_str()),
    request_id: openai::REQUEST_ID,
    headers: openai::HEADERS,
};

// === requests ===

#[derive(Deserialize)]
struct HeadFields<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

fn head(body: &[u8]) -> Result<Head, serde_json::Error> {
    let fields: HeadFields<'_> = serde_json::from_slice(body)?;
    Ok(Head {
        model: fields.model.into_owned(),
        stream: fields.stream == Some(true),
        include_usage: fields
            .stream_options
            .is_some_and(|some| some.include_usage == Some(true)),
        max_tokens: fields.max_completion_tokens.or(fields.max_tokens),
    })
}

fn conversation(body: &[u8]) -> Result<Conversation, serde_json::Error> {
    let request: Value = serde_json::from_slice(body)?;
    let mut conversation = Conversation {
        schema: request
            .pointer("/response_format/json_schema/schema")
            .cloned(),
        caching: Caching::Automatic,
        ..Conversation::default()
    };
    for tool in items(&request["tools"]) {
        openai::offered(tool, None, &mut conversation.tools);
    }
    for message in items(&request["messages"]) {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("user") => texts(content).for_each(|text| conversation.user_said(text)),
            Some("assistant") => conversation.model_said(),
            Some("tool" | "function") => conversation.tool_said(content),
            _ => conversation.system_said(content),
        }
    }
    Ok(conversation)
}

// === replies ===

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "stop",
        Stop::Length => "length",
        Stop::Tool => "tool_calls",
        Stop::Refusal => "content_filter",
    }
}

fn usage(usage: &Usage) -> Json {
    let prompt = openai::prompt_details(usage)
        .field("audio_tokens", &0_u64)
        .finish();
    let completion = object! {
        "reasoning_tokens": usage.reasoning, "audio_tokens": 0_u64,
        "accepted_prediction_tokens": 0_u64, "rejected_prediction_tokens": 0_u64,
    };
    object! {
        "prompt_tokens": usage.prompt(), "completion_tokens": usage.output,
        "total_tokens": usage.prompt() + usage.output, "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
}

/// The fields that every reply and every chunk begins with.
fn opening(answer: &Answer, object: &str) -> Object {
    Object::new()
        .field("id", &format!("chatcmpl-scripted-{}", answer.id))
        .field("created", &openai::CREATED)
        .field("model", &answer.model)
        .field("system_fingerprint", "fp_scripted")
        .field("service_tier", "default")
        .field("object", object)
}

/// A call's fields by kind, with that much of its input.
fn call_fields(call: &Call, input: &str) -> (&'static str, Json) {
    match call.kind {
        ToolKind::Custom => ("custom", object! {"name": call.name, "input": input}),
        ToolKind::Function | ToolKind::LocalShell => {
            ("function", object! {"name": call.name, "arguments": input})
        }
    }
}

fn call_id(answer: &Answer, position: usize) -> String {
    format!("call_scripted_{}_{position}", answer.id)
}

fn whole(answer: &Answer) -> Json {
    let calls: Vec<Json> = answer
        .calls
        .iter()
        .enumerate()
        .map(|(position, call)| {
            let (kind, fields) = call_fields(call, &call.input);
            Object::new()
                .field("id", &call_id(answer, position))
                .field("type", kind)
                .field(kind, &fields)
                .finish()
        })
        .collect();
    let message = Object::new()
        .field("role", "assistant")
        .field("content", &answer.text)
        .field("refusal", &())
        .field("annotations", &Vec::<Json>::new())
        .field_if("tool_calls", (!calls.is_empty()).then_some(&calls))
        .finish();
    let choice = object! {
        "index": 0_u64, "message": message, "logprobs": (),
        "finish_reason": finish_reason(answer.stop),
    };
    opening(answer, "chat.completion")
        .field("choices", &[choice])
        .field("usage", &usage(&answer.usage))
        .finish()
}

fn stream(head: &Head, answer: &Answer) -> Vec<Bytes> {
    let chunk = |choices: &[Json], figures: Option<Json>| {
        let opening = opening(answer, "chat.completion.chunk").field("choices", choices);
        let chunk = if head.include_usage {
            opening.field("usage", &figures)
        } else {
            opening
        };
        data(chunk.finish().as_str())
    };
    let delta = |delta: Json, finish: Option<&str>| {
        let choice =
            object! {"index": 0_u64, "delta": delta, "logprobs": (), "finish_reason": finish};
        chunk(&[choice], None)
    };
    let content = answer.text.as_ref().map(|_| "");
    let mut events = vec![delta(
        object! {"role": "assistant", "content": content, "refusal": ()},
        None,
    )];
    for piece in answer
        .text
        .iter()
        .flat_map(|text| pieces(text, answer.chunks))
    {
        events.push(delta(object! {"content": piece}, None));
    }
    for (position, call) in answer.calls.iter().enumerate() {
        let (kind, fields) = call_fields(call, "");
        let start = Object::new()
            .field("index", &position)
            .field("id", &call_id(answer, position))
            .field("type", kind)
            .field(kind, &fields)
            .finish();
        events.push(delta(object! {"tool_calls": [start]}, None));
        let input = if kind == "custom" {
            "input"
        } else {
            "arguments"
        };
        for piece in pieces(&call.input, answer.chunks.or(Some(2))) {
            let fields = Object::new().field(input, piece).finish();
            let more = Object::new()
                .field("index", &position)
                .field(kind, &fields)
                .finish();
            events.push(delta(object! {"tool_calls": [more]}, None));
        }
    }
    events.push(delta(object! {}, Some(finish_reason(answer.stop))));
    if head.include_usage {
        events.push(chunk(&[], Some(usage(&answer.usage))));
    }
    events.push(data("[DONE]"));
    events
}

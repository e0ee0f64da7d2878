//! `OpenAI` chat completions: `/v1/chat/completions`.
//!
//! A stream has no event names and ends in `[DONE]`. It reports usage only to
//! clients that asked by `stream_options.include_usage`: then every chunk says
//! `"usage":null` and one more chunk, without choices, carries the figures.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::openai_flavour as flavour;
use super::{Dialect, Operation, Route, data, openai};
use crate::answer::{Answer, pieces};
use crate::conversation::{Call, Conversation, Head, ToolKind, items, texts};
use crate::json::{Json, Object, object};
use crate::script::{Flavour, Stop};
use crate::tokens::Caching;

pub(super) static DIALECT: Dialect = Dialect {
    name: "openai_chat",
    route: |target| {
        let endings = [("/chat/completions", Operation::Generate)];
        Route::by_ending(target.path, &endings)
    },
    head,
    conversation,
    whole: |_, answer| whole(answer),
    stream,
    stream_type: "text/event-stream; charset=utf-8",
    side: |_, _, answer| object! {"input_tokens": answer.usage.prompt()},
    failure: openai::failure,
    stream_failure: |failure, _| data(openai::failure(failure).as_str()),
    request_id: openai::REQUEST_ID,
    headers: openai::HEADERS,
    usage_headers: super::no_usage_headers,
    failure_headers: super::no_failure_headers,
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
    continuous_usage_stats: Option<bool>,
}

fn head(_: &Route, body: &[u8]) -> Result<Head, serde_json::Error> {
    let fields: HeadFields<'_> = serde_json::from_slice(body)?;
    let options = fields.stream_options.as_ref();
    Ok(Head {
        model: fields.model.into_owned(),
        stream: fields.stream == Some(true),
        include_usage: options.is_some_and(|some| some.include_usage == Some(true)),
        running_usage: options.is_some_and(|some| some.continuous_usage_stats == Some(true)),
        max_tokens: fields.max_completion_tokens.or(fields.max_tokens),
        ..Head::default()
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

pub(super) fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "stop",
        Stop::Length => "length",
        Stop::Tool => "tool_calls",
        Stop::Refusal => "content_filter",
    }
}

/// The figures of the whole answer.
pub(super) fn usage(answer: &Answer) -> Json {
    let usage = &answer.usage;
    let opening = Object::new()
        .field("prompt_tokens", &usage.prompt())
        .field("completion_tokens", &usage.output)
        .field("total_tokens", &(usage.prompt() + usage.output));
    if answer.flavour == Some(Flavour::Ollama) {
        return opening.finish();
    }
    let image = |tokens: u64| (tokens > 0).then_some(tokens);
    let prompt = openai::prompt_details(usage)
        .field("audio_tokens", &usage.input_audio)
        .field_if("image_tokens", image(usage.input_image).as_ref())
        .finish();
    let completion = Object::new()
        .field("reasoning_tokens", &usage.reasoning)
        .field("audio_tokens", &usage.output_audio)
        .field_if("image_tokens", image(usage.output_image).as_ref())
        .field("accepted_prediction_tokens", &0_u64)
        .field("rejected_prediction_tokens", &0_u64)
        .finish();
    opening
        .field("prompt_tokens_details", &prompt)
        .field("completion_tokens_details", &completion)
        .field_if("cost", flavour::cost(answer).as_ref())
        .finish()
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
        .field_if("provider", flavour::maker(answer))
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
        .field("usage", &usage(answer))
        .field_if("timings", flavour::timings(answer).as_ref())
        .finish()
}

fn stream(head: &Head, answer: &Answer) -> Vec<Bytes> {
    let deltas = deltas(answer);
    let mut events = Vec::with_capacity(deltas.len() + 3);
    if answer.flavour == Some(Flavour::Openrouter) {
        events.push(flavour::comment());
    }
    let last = deltas.len() - 1;
    for (place, (delta, said)) in deltas.into_iter().enumerate() {
        let finish = (place == last).then(|| finish_reason(answer.stop));
        let choice =
            object! {"index": 0_u64, "delta": delta, "logprobs": (), "finish_reason": finish};
        let chunk = opening(answer, "chat.completion.chunk").field("choices", &[choice]);
        let figures = flavour::figures_beside(head, answer, said, finish.is_some());
        let chunk = match figures {
            Some(figures) => chunk.field("usage", &figures),
            None if head.include_usage && answer.flavour.is_none() => chunk.field("usage", &()),
            None => chunk,
        };
        let timings = finish.and_then(|_| flavour::timings(answer));
        let chunk = chunk.field_if("timings", timings.as_ref());
        events.push(data(chunk.finish().as_str()));
    }
    if let Some(choices) = flavour::last_choices(head, answer) {
        let chunk = opening(answer, "chat.completion.chunk")
            .field("choices", &choices)
            .field("usage", &usage(answer));
        events.push(data(chunk.finish().as_str()));
    }
    events.push(data("[DONE]"));
    events
}

/// What each chunk adds, and the bytes of the reply that were said with it; the last adds nothing.
fn deltas(answer: &Answer) -> Vec<(Json, usize)> {
    let content = answer.text.as_ref().map(|_| "");
    let opening = object! {"role": "assistant", "content": content, "refusal": ()};
    let mut said = answer.thinking.as_ref().map_or(0, String::len);
    let mut deltas = vec![(opening, said)];
    for piece in answer
        .text
        .iter()
        .flat_map(|text| pieces(text, answer.chunks))
    {
        said += piece.len();
        deltas.push((object! {"content": piece}, said));
    }
    for (position, call) in answer.calls.iter().enumerate() {
        let (kind, fields) = call_fields(call, "");
        let start = Object::new()
            .field("index", &position)
            .field("id", &call_id(answer, position))
            .field("type", kind)
            .field(kind, &fields)
            .finish();
        deltas.push((object! {"tool_calls": [start]}, said));
        let input = if kind == "custom" {
            "input"
        } else {
            "arguments"
        };
        for piece in pieces(&call.input, answer.chunks.or(Some(2))) {
            said += piece.len();
            let fields = Object::new().field(input, piece).finish();
            let more = Object::new()
                .field("index", &position)
                .field(kind, &fields)
                .finish();
            deltas.push((object! {"tool_calls": [more]}, said));
        }
    }
    deltas.push((object! {}, said));
    deltas
}

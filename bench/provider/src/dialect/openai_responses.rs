//! `OpenAI` responses: `/v1/responses`, the only format that Codex speaks.
//!
//! A stream names every event after its type and numbers them; each item of the
//! output is added, filled and done, and the last event carries the whole
//! response with its usage. There is no `[DONE]`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::openai_items::{State, fill, parts};
use super::{Dialect, Failure, Operation, Route, event, openai};
use crate::answer::Answer;
use crate::conversation::{Conversation, Head, items, texts};
use crate::json::{Json, Object, object};
use crate::script::Stop;
use crate::tokens::{Caching, Usage};

pub(super) static DIALECT: Dialect = Dialect {
    name: "openai_responses",
    route: |target| {
        Route::by_ending(
            target.path,
            &[
                ("/responses", Operation::Generate),
                ("/responses/input_tokens", Operation::Count),
                ("/responses/compact", Operation::Compact),
            ],
        )
    },
    head,
    conversation,
    whole: |head, answer| response(head, answer, State::Ended),
    stream,
    stream_type: "text/event-stream; charset=utf-8",
    side,
    failure: openai::failure,
    stream_failure,
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
    max_output_tokens: Option<u64>,
    store: Option<bool>,
    #[serde(borrow)]
    previous_response_id: Option<Cow<'a, str>>,
    conversation: Option<Named>,
}

/// A conversation is named by its id, or by an object that has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Id(String),
    Object { id: String },
}

fn head(_: &Route, body: &[u8]) -> Result<Head, serde_json::Error> {
    let fields: HeadFields<'_> = serde_json::from_slice(body)?;
    Ok(Head {
        model: fields.model.into_owned(),
        stream: fields.stream == Some(true),
        include_usage: true,
        max_tokens: fields.max_output_tokens,
        is_stored: fields.store != Some(false),
        conversation: fields.conversation.map(|named| match named {
            Named::Id(id) | Named::Object { id } => id,
        }),
        previous: fields.previous_response_id.map(Cow::into_owned),
        ..Head::default()
    })
}

fn conversation(body: &[u8]) -> Result<Conversation, serde_json::Error> {
    let request: Value = serde_json::from_slice(body)?;
    let mut conversation = Conversation {
        schema: request.pointer("/text/format/schema").cloned(),
        caching: Caching::Automatic,
        ..Conversation::default()
    };
    conversation.system_said(&request["instructions"]);
    for tool in items(&request["tools"]) {
        openai::offered(tool, None, &mut conversation.tools);
    }
    if let Some(prompt) = request["input"].as_str() {
        conversation.user_said(prompt);
    }
    for item in items(&request["input"]) {
        let role = item["role"].as_str();
        match item["type"].as_str() {
            Some("additional_tools") => {
                for tool in items(&item["tools"]) {
                    openai::offered(tool, None, &mut conversation.tools);
                }
            }
            Some(kind) if kind.ends_with("_call_output") => {
                conversation.tool_said(&item["output"]);
            }
            Some(kind) if kind.ends_with("_call") => conversation.model_said(),
            _ if role == Some("user") => {
                texts(&item["content"]).for_each(|text| conversation.user_said(text));
            }
            _ if role == Some("assistant") => conversation.model_said(),
            _ if openai::is_system(role) => conversation.system_said(&item["content"]),
            _ => {}
        }
    }
    Ok(conversation)
}

// === replies ===

fn usage(usage: &Usage) -> Json {
    object! {
        "input_tokens": usage.prompt(),
        "input_tokens_details": openai::prompt_details(usage).finish(),
        "output_tokens": usage.output,
        "output_tokens_details": object! {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt() + usage.output,
    }
}

/// The status of a response that ended so, and why it is incomplete if it is.
fn ended(stop: Stop) -> (&'static str, Option<&'static str>) {
    match stop {
        Stop::End | Stop::Tool => ("completed", None),
        Stop::Length => ("incomplete", Some("max_output_tokens")),
        Stop::Refusal => ("incomplete", Some("content_filter")),
    }
}

fn side(operation: Operation, _: &Head, answer: &Answer) -> Json {
    if operation == Operation::Compact {
        let item = object! {
            "type": "compaction", "id": format!("cmp_scripted_{}", answer.id),
            "encrypted_content": "c2NyaXB0ZWQ=",
        };
        return object! {
            "id": id(answer.id), "object": "response.compaction",
            "created_at": openai::CREATED, "output": [item], "usage": usage(&answer.usage),
        };
    }
    object! {"object": "response.input_tokens", "input_tokens": answer.usage.prompt()}
}

fn response(head: &Head, answer: &Answer, state: State) -> Json {
    let (status, reason) = match state {
        State::Begun => ("in_progress", None),
        State::Ended => ended(answer.stop),
    };
    let output: Vec<Json> = match state {
        State::Begun => Vec::new(),
        State::Ended => parts(answer)
            .iter()
            .map(|item| item.json(answer, State::Ended))
            .collect(),
    };
    let conversation = head.conversation.as_ref().map(|id| object! {"id": id});
    let figures = (state == State::Ended).then(|| usage(&answer.usage));
    envelope(answer.id, &answer.model)
        .field("status", status)
        .field("background", &false)
        .field("error", &())
        .field(
            "incomplete_details",
            &reason.map(|reason| object! {"reason": reason}),
        )
        .field("instructions", &())
        .field("max_output_tokens", &())
        .field("output", &output)
        .field("parallel_tool_calls", &true)
        .field("previous_response_id", &head.previous)
        .field_if("conversation", conversation.as_ref())
        .field("prompt_cache_key", &())
        .field("reasoning", &object! {"effort": (), "summary": ()})
        .field("store", &head.is_stored)
        .field("temperature", &Json::raw("1.0"))
        .field("text", &object! {"format": object! {"type": "text"}})
        .field("tool_choice", "auto")
        .field("tools", &Vec::<Json>::new())
        .field("top_p", &Json::raw("1.0"))
        .field("truncation", "disabled")
        .field("usage", &figures)
        .field("user", &())
        .field("metadata", &object! {})
        .finish()
}

/// The id of the response to the request of that number.
pub(crate) fn id(seq: u64) -> String {
    format!("resp_scripted_{seq}")
}

fn envelope(id: u64, model: &str) -> Object {
    Object::new()
        .field("id", &self::id(id))
        .field("object", "response")
        .field("created_at", &openai::CREATED)
        .field("model", model)
}

fn stream(head: &Head, answer: &Answer) -> Vec<Bytes> {
    let mut events = Events(Vec::new());
    let begun = response(head, answer, State::Begun);
    events.push("response.created", |fields| {
        fields.field("response", &begun)
    });
    events.push("response.in_progress", |fields| {
        fields.field("response", &begun)
    });
    for (index, part) in parts(answer).iter().enumerate() {
        let added = part.json(answer, State::Begun);
        events.push("response.output_item.added", |fields| {
            fields.field("output_index", &index).field("item", &added)
        });
        fill(&mut events, answer, index, part);
        let done = part.json(answer, State::Ended);
        events.push("response.output_item.done", |fields| {
            fields.field("output_index", &index).field("item", &done)
        });
    }
    let whole = response(head, answer, State::Ended);
    let (status, _) = ended(answer.stop);
    events.push(&format!("response.{status}"), |fields| {
        fields.field("response", &whole)
    });
    events.0
}

/// The events so far; their number is the next sequence number.
pub(super) struct Events(Vec<Bytes>);

impl Events {
    pub(super) fn push(&mut self, name: &str, fields: impl FnOnce(Object) -> Object) {
        let opening = Object::new()
            .field("type", name)
            .field("sequence_number", &self.0.len());
        self.0.push(event(name, &fields(opening).finish()));
    }
}

fn stream_failure(failure: &Failure<'_>, after: usize) -> Bytes {
    let code = failure.code.or(failure.kind).unwrap_or("server_error");
    let error = object! {"code": code, "message": failure.message};
    let response = Object::new()
        .field("id", &format!("resp_{}", failure.request_id))
        .field("object", "response")
        .field("created_at", &openai::CREATED)
        .field("status", "failed")
        .field("error", &error)
        .field("usage", &())
        .finish();
    let data = object! {
        "type": "response.failed", "sequence_number": after, "response": response,
    };
    event("response.failed", &data)
}

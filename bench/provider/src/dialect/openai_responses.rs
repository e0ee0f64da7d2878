//! `OpenAI` responses: `/v1/responses`, the only format that Codex speaks.
//!
//! A stream names every event after its type and numbers them; each item of the
//! output is added, filled and done, and the last event carries the whole
//! response with its usage. There is no `[DONE]`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Dialect, Failure, Operation, Route, event, openai};
use crate::answer::{Answer, pieces};
use crate::conversation::{Call, Conversation, Head, ToolKind, items, texts};
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

/// How far a response has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    Ended,
}

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

/// One item of the output.
enum Part<'a> {
    Reasoning(&'a str),
    Search(u64),
    Message(&'a str),
    Call(usize, &'a Call),
}

fn parts(answer: &Answer) -> Vec<Part<'_>> {
    let thinking = answer.thinking.iter().map(|text| Part::Reasoning(text));
    let text = answer.text.iter().map(|text| Part::Message(text));
    let calls = answer
        .calls
        .iter()
        .enumerate()
        .map(|(place, call)| Part::Call(place, call));
    let searches = (1..=answer.usage.web_searches).map(Part::Search);
    thinking.chain(searches).chain(text).chain(calls).collect()
}

fn output_text(text: &str) -> Json {
    let none: Vec<Json> = Vec::new();
    object! {"type": "output_text", "text": text, "annotations": none, "logprobs": none}
}

impl Part<'_> {
    fn id(&self, answer: &Answer) -> String {
        match self {
            Self::Reasoning(_) => format!("rs_scripted_{}", answer.id),
            Self::Search(number) => format!("ws_scripted_{}_{number}", answer.id),
            Self::Message(_) => format!("msg_scripted_{}", answer.id),
            Self::Call(place, call) => {
                let prefix = match call.kind {
                    ToolKind::Function => "fc",
                    ToolKind::Custom => "ctc",
                    ToolKind::LocalShell => "lsh",
                };
                format!("{prefix}_scripted_{}_{place}", answer.id)
            }
        }
    }

    /// The item, empty when it is added and full when it is done.
    fn json(&self, answer: &Answer, state: State) -> Json {
        let is_done = state == State::Ended;
        let status = if is_done { "completed" } else { "in_progress" };
        let opening = Object::new();
        match self {
            Self::Reasoning(text) => {
                let summary = is_done.then(|| object! {"type": "summary_text", "text": text});
                opening
                    .field("type", "reasoning")
                    .field("id", &self.id(answer))
                    .field("summary", &Vec::from_iter(summary))
                    .field("encrypted_content", &is_done.then_some("c2NyaXB0ZWQ="))
                    .finish()
            }
            Self::Search(number) => {
                let query = format!("scripted search {number}");
                opening
                    .field("type", "web_search_call")
                    .field("id", &self.id(answer))
                    .field("status", status)
                    .field("action", &object! {"type": "search", "query": query})
                    .finish()
            }
            Self::Message(text) => {
                let content = is_done.then(|| output_text(text));
                opening
                    .field("type", "message")
                    .field("id", &self.id(answer))
                    .field("role", "assistant")
                    .field("status", status)
                    .field("content", &Vec::from_iter(content))
                    .finish()
            }
            Self::Call(place, call) => {
                let input = if is_done { call.input.as_str() } else { "" };
                let kind = match call.kind {
                    ToolKind::Function => "function_call",
                    ToolKind::Custom => "custom_tool_call",
                    ToolKind::LocalShell => "local_shell_call",
                };
                let opening = opening
                    .field("type", kind)
                    .field("id", &self.id(answer))
                    .field("call_id", &format!("call_scripted_{}_{place}", answer.id))
                    .field("status", status);
                let named = |opening: Object| {
                    opening
                        .field("name", &call.name)
                        .field_if("namespace", call.namespace.as_ref())
                };
                match call.kind {
                    ToolKind::Function => named(opening).field("arguments", input).finish(),
                    ToolKind::Custom => named(opening).field("input", input).finish(),
                    ToolKind::LocalShell => {
                        let command = ["bash", "-lc", call.input.as_str()];
                        let action = object! {
                            "type": "exec", "command": command, "env": object! {},
                        };
                        opening.field("action", &action).finish()
                    }
                }
            }
        }
    }
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

/// The events between an item's beginning and its end.
fn fill(events: &mut Events, answer: &Answer, index: usize, part: &Part<'_>) {
    let id = part.id(answer);
    let none: Vec<Json> = Vec::new();
    let item = |fields: Object| fields.field("item_id", &id).field("output_index", &index);
    match part {
        Part::Reasoning(text) => {
            let at = |fields| item(fields).field("summary_index", &0_u64);
            let full = object! {"type": "summary_text", "text": text};
            let empty = object! {"type": "summary_text", "text": ""};
            events.push("response.reasoning_summary_part.added", |f| {
                at(f).field("part", &empty)
            });
            for piece in pieces(text, answer.chunks) {
                events.push("response.reasoning_summary_text.delta", |f| {
                    at(f).field("delta", piece)
                });
            }
            events.push("response.reasoning_summary_text.done", |f| {
                at(f).field("text", text)
            });
            events.push("response.reasoning_summary_part.done", |f| {
                at(f).field("part", &full)
            });
        }
        Part::Search(_) => {
            for state in ["in_progress", "searching", "completed"] {
                events.push(&format!("response.web_search_call.{state}"), item);
            }
        }
        Part::Message(text) => {
            let at = |fields| item(fields).field("content_index", &0_u64);
            let (empty, full) = (output_text(""), output_text(text));
            events.push("response.content_part.added", |f| {
                at(f).field("part", &empty)
            });
            for piece in pieces(text, answer.chunks) {
                events.push("response.output_text.delta", |f| {
                    at(f).field("delta", piece).field("logprobs", &none)
                });
            }
            events.push("response.output_text.done", |f| {
                at(f).field("text", text).field("logprobs", &none)
            });
            events.push("response.content_part.done", |f| at(f).field("part", &full));
        }
        Part::Call(_, call) => {
            let (name, field) = match call.kind {
                ToolKind::Function => ("function_call_arguments", "arguments"),
                ToolKind::Custom => ("custom_tool_call_input", "input"),
                // Its command stands in the item from the beginning.
                ToolKind::LocalShell => return,
            };
            for piece in pieces(&call.input, answer.chunks.or(Some(2))) {
                events.push(&format!("response.{name}.delta"), |f| {
                    item(f).field("delta", piece)
                });
            }
            events.push(&format!("response.{name}.done"), |f| {
                item(f).field(field, &call.input)
            });
        }
    }
}

/// The events so far; their number is the next sequence number.
struct Events(Vec<Bytes>);

impl Events {
    fn push(&mut self, name: &str, fields: impl FnOnce(Object) -> Object) {
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

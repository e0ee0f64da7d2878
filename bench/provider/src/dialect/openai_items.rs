//! The items of a response's output: thoughts, searches, messages, calls.
//!
//! Comes in: an answer. Goes out: its items, empty when they are added and full
//! when they are done, and the events between.

use super::openai_responses::Events;
use crate::answer::{Answer, pieces};
use crate::conversation::{Call, ToolKind};
use crate::json::{Json, Object, object};

/// How far a response has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Begun,
    Ended,
}

/// One item of the output.
pub(super) enum Part<'a> {
    Reasoning(&'a str),
    Search(u64),
    Message(&'a str),
    Call(usize, &'a Call),
}

/// The items of an answer, in their order.
pub(super) fn parts(answer: &Answer) -> Vec<Part<'_>> {
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
    pub(super) fn json(&self, answer: &Answer, state: State) -> Json {
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

/// The events between an item's beginning and its end.
pub(super) fn fill(events: &mut Events, answer: &Answer, index: usize, part: &Part<'_>) {
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

//! The answer of a provider, whole or as a stream of events, as the parts of one message.
//!
//! In: a response body. Out: its parts; what came before a stream broke off counts. Must not know: records, requests.

use super::parts::{Budget, Part, call, content, some_text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Reads a body; none when it is no answer of a model.
pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Option<Vec<Part>> {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        if let Value::Array(events) = &value {
            return streamed(events.iter().cloned(), budget);
        }
        return whole(&value, budget);
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    streamed(
        data.filter_map(|data| serde_json::from_str(data.trim()).ok()),
        budget,
    )
}

/// A response in one piece.
fn whole(value: &Value, budget: &mut Budget) -> Option<Vec<Part>> {
    if let Some(error) = error(value, budget) {
        return Some(vec![error]);
    }
    if let Some(message) = value.pointer("/choices/0/message") {
        return Some(chat_message(message, budget));
    }
    let places = [
        "/candidates/0/content/parts",
        "/output/message/content",
        // Bedrock's other families: Llama, Titan, Mistral, Cohere.
        "/generation",
        "/results/0/outputText",
        "/outputs/0/text",
        "/generations/0/text",
    ];
    let found = places.iter().find_map(|place| value.pointer(place));
    let found = found
        .or_else(|| value.get("content"))
        .or_else(|| value.get("output"));
    Some(content(found?, budget))
}

fn error(value: &Value, budget: &mut Budget) -> Option<Part> {
    let error = value.get("error").filter(|error| !error.is_null())?;
    let text = match error {
        Value::String(text) => text.clone(),
        error => match error.get("message").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => error.to_string(),
        },
    };
    Some(Part::Error(budget.text(&text)))
}

fn chat_message(message: &Value, budget: &mut Budget) -> Vec<Part> {
    let text = |name| {
        message
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mut parts = Vec::new();
    for name in ["reasoning_content", "reasoning"] {
        parts.extend(some_text(text(name), budget).map(Part::Thinking));
    }
    for name in ["content", "refusal"] {
        parts.extend(content(message.get(name).unwrap_or(&Value::Null), budget));
    }
    let calls = message.get("tool_calls").and_then(Value::as_array);
    parts.extend(calls.into_iter().flatten().map(|it| call(it, budget)));
    parts
}

/// What a stream has said so far, block by block.
#[derive(Default)]
struct Streamed {
    /// Blocks in the order of their numbers, as a whole response would have them.
    blocks: BTreeMap<u64, Map<String, Value>>,
    /// The message of a chat stream.
    chat: Map<String, Value>,
    chat_calls: BTreeMap<u64, Map<String, Value>>,
    /// Items that a stream of responses has finished, and the text of one that it has not; also all that the events of a family
    /// say that knows nothing but text.
    items: Vec<Value>,
    open_text: String,
    /// Parts of a stream of candidates.
    candidates: Vec<Value>,
    error: Option<Value>,
    known: bool,
}

/// Reads events; none when they are no answer of a model.
pub(super) fn streamed(
    events: impl Iterator<Item = Value>,
    budget: &mut Budget,
) -> Option<Vec<Part>> {
    let mut state = Streamed::default();
    for event in events {
        state.event(&event);
    }
    state.known.then(|| state.parts(budget))
}

/// Adds a fragment to a text member.
fn append(to: &mut Map<String, Value>, name: &str, more: &str) {
    match to.get_mut(name) {
        Some(Value::String(text)) => text.push_str(more),
        _ => {
            to.insert(name.to_owned(), Value::String(more.to_owned()));
        }
    }
}

impl Streamed {
    fn event(&mut self, event: &Value) {
        if event.get("error").is_some_and(|error| !error.is_null()) {
            self.error = Some(event.clone());
            self.known = true;
        }
        if let Some(delta) = event.pointer("/choices/0/delta") {
            self.known = true;
            self.chat_delta(delta);
        }
        if let Some(Value::Array(parts)) = event.pointer("/candidates/0/content/parts") {
            self.known = true;
            for part in parts {
                self.candidate(part);
            }
        }
        for place in ["/generation", "/outputText", "/outputs/0/text"] {
            if let Some(more) = event.pointer(place).and_then(Value::as_str) {
                self.known = true;
                self.open_text.push_str(more);
            }
        }
        self.converse(event);
        let index = event.get("index").and_then(Value::as_u64);
        let index = index.unwrap_or_default();
        let kind = event.get("type").and_then(Value::as_str);
        match kind.unwrap_or_default() {
            "message_start" | "response.created" | "response.in_progress" => self.known = true,
            "content_block_start" => {
                if let Some(Value::Object(block)) = event.get("content_block") {
                    let mut block = block.clone();
                    // Filled by the fragments that follow.
                    block.remove("input");
                    self.blocks.insert(index, block);
                }
            }
            "content_block_delta" => {
                let block = self.blocks.entry(index).or_default();
                for (from, to) in [
                    ("text", "text"),
                    ("thinking", "thinking"),
                    ("partial_json", "input"),
                ] {
                    let more = event.pointer(&format!("/delta/{from}"));
                    if let Some(more) = more.and_then(Value::as_str) {
                        append(block, to, more);
                    }
                }
            }
            "response.output_text.delta" => {
                let more = event.get("delta").and_then(Value::as_str);
                self.open_text.push_str(more.unwrap_or_default());
            }
            "response.output_item.done" => {
                self.open_text.clear();
                self.items.extend(event.get("item").cloned());
            }
            _ => {}
        }
    }

    /// Converse names an event by its one member; its blocks become those of messages.
    fn converse(&mut self, event: &Value) {
        self.known |= event.get("messageStart").is_some();
        let inner = |name| event.get(name);
        let Some(inner) = inner("contentBlockStart").or_else(|| inner("contentBlockDelta")) else {
            return;
        };
        self.known = true;
        let index = inner.get("contentBlockIndex").and_then(Value::as_u64);
        let block = self.blocks.entry(index.unwrap_or_default()).or_default();
        for (place, kind, member) in [
            ("/start/toolUse/toolUseId", "tool_use", "id"),
            ("/start/toolUse/name", "tool_use", "name"),
            ("/delta/toolUse/input", "tool_use", "input"),
            ("/delta/text", "text", "text"),
            ("/delta/reasoningContent/text", "thinking", "thinking"),
        ] {
            if let Some(more) = inner.pointer(place).and_then(Value::as_str) {
                block.entry("type").or_insert_with(|| kind.into());
                append(block, member, more);
            }
        }
        if inner
            .pointer("/delta/reasoningContent/redactedContent")
            .is_some()
        {
            block.insert("type".into(), "redacted_thinking".into());
        }
    }

    fn chat_delta(&mut self, delta: &Value) {
        for name in ["content", "reasoning_content", "reasoning", "refusal"] {
            if let Some(more) = delta.get(name).and_then(Value::as_str) {
                append(&mut self.chat, name, more);
            }
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        for fragment in calls.into_iter().flatten() {
            let index = fragment.get("index").and_then(Value::as_u64);
            let call = self
                .chat_calls
                .entry(index.unwrap_or_default())
                .or_default();
            if let Some(id) = fragment.get("id").and_then(Value::as_str) {
                call.insert("id".into(), id.into());
            }
            for name in ["name", "arguments"] {
                let more = fragment.pointer(&format!("/function/{name}"));
                if let Some(more) = more.and_then(Value::as_str) {
                    append(call, name, more);
                }
            }
        }
    }

    /// Candidates stream whole parts; texts of one kind that follow each other are one text.
    fn candidate(&mut self, part: &Value) {
        let thought = |value: &Value| value.get("thought") == Some(&Value::Bool(true));
        if let (Some(Value::Object(last)), Some(more)) = (
            self.candidates.last_mut(),
            part.get("text").and_then(Value::as_str),
        ) && last.contains_key("text")
            && (last.get("thought") == Some(&Value::Bool(true))) == thought(part)
        {
            append(last, "text", more);
        } else {
            self.candidates.push(part.clone());
        }
    }

    fn parts(self, budget: &mut Budget) -> Vec<Part> {
        let mut message = self.chat;
        if !self.chat_calls.is_empty() {
            let calls = self.chat_calls.into_values().map(Value::Object);
            message.insert("tool_calls".into(), calls.collect());
        }
        let mut parts = chat_message(&Value::Object(message), budget);
        let blocks: Vec<Value> = self.blocks.into_values().map(Value::Object).collect();
        parts.extend(content(&Value::Array(blocks), budget));
        parts.extend(content(&Value::Array(self.items), budget));
        parts.extend(content(&json!(self.open_text), budget));
        parts.extend(content(&Value::Array(self.candidates), budget));
        parts.extend(self.error.and_then(|event| error(&event, budget)));
        parts
    }
}

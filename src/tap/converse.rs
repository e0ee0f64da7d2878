//! Bedrock's Converse: the history in a request, the reply in one piece and as a stream.
//!
//! In: the raw `messages`, a response body, the events of a stream (type and payload). Out: turns and counts.
//! A block is an object whose one member says its kind; what else stands in it (padding, a type of tool) is passed over.
//! Amazon's own models use the same words when they are invoked without Converse (`bedrock`).

use super::{
    conversation::Conversation,
    json::{self, Raw},
    reply::{Reply, short},
    request::Borders,
    turn::Role,
};
use std::borrow::Cow;

/// Reads `messages`.
pub(super) fn history<'a>(
    messages: Raw<'a>,
    conversation: &mut Conversation<'a>,
    borders: &mut Borders<'_>,
) {
    json::elements(messages, |message| {
        borders.message(message);
        let (mut role, mut content) = (Role::User, None);
        let mut spoken = true;
        json::members(message, |key, value| match key {
            "role" => match json::string(value).as_deref() {
                Some("assistant") => role = Role::Assistant,
                Some("system") => spoken = false,
                _ => {}
            },
            "content" => content = Some(value),
            _ => {}
        });
        if let Some(content) = content.filter(|_| spoken) {
            json::elements(content, |block| match Block::read(block) {
                Block::Text(text) => conversation.text(role, &text),
                Block::Call(call) => {
                    let arguments = call.input.map_or("{}", Raw::get);
                    conversation.call(call.id, call.name, arguments);
                }
                Block::Result(raw) => result(raw, conversation),
                Block::Other(kind) => conversation.other(role, kind),
                Block::Unspoken => {}
            });
            conversation.end_message();
        }
    });
}

/// A content block.
enum Block<'a> {
    Text(Cow<'a, str>),
    Call(Call<'a>),
    Result(Raw<'a>),
    /// Something that is not text, by its kind.
    Other(&'static str),
    /// Thinking, marks.
    Unspoken,
}

impl<'a> Block<'a> {
    fn read(raw: Raw<'a>) -> Self {
        let mut block = Self::Unspoken;
        json::members(raw, |key, value| {
            let text = || json::string(value).unwrap_or_default();
            block = match key {
                "text" => Self::Text(text()),
                "toolUse" => Self::Call(Call::read(value)),
                "toolResult" => Self::Result(value),
                "guardContent" => Self::Text(guarded(value)),
                "citationsContent" => Self::Text(cited(value)),
                "image" => Self::Other("image"),
                "document" => Self::Other("document"),
                "video" => Self::Other("video"),
                "audio" => Self::Other("audio"),
                "searchResult" => Self::Other("search_result"),
                _ => return,
            };
        });
        block
    }
}

/// The text that a guardrail is to look at.
fn guarded(raw: Raw<'_>) -> Cow<'_, str> {
    let text = json::get(raw, "text").and_then(|text| json::get(text, "text"));
    text.and_then(json::string).unwrap_or_default()
}

/// The text that has citations.
fn cited(raw: Raw<'_>) -> Cow<'_, str> {
    json::get(raw, "content").map_or(Cow::Borrowed(""), |content| {
        super::conversation::texts(content)
    })
}

fn result(raw: Raw<'_>, conversation: &mut Conversation<'_>) {
    let (mut id, mut failed) = (Cow::Borrowed(""), false);
    let mut text = String::new();
    json::members(raw, |key, value| match key {
        "toolUseId" => id = json::string(value).unwrap_or_default(),
        "status" => failed = json::string(value).as_deref() == Some("error"),
        "content" => json::elements(value, |part| {
            json::members(part, |key, value| match key {
                "text" => text.push_str(&json::string(value).unwrap_or_default()),
                "json" => text.push_str(value.get()),
                _ => {}
            });
        }),
        _ => {}
    });
    conversation.result(&id, failed, &text);
}

/// A tool call.
#[derive(Default)]
struct Call<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    input: Option<Raw<'a>>,
    /// The provider runs it by itself.
    hosted: bool,
}

impl<'a> Call<'a> {
    fn read(raw: Raw<'a>) -> Self {
        let mut call = Self::default();
        let text = |value| json::string(value).unwrap_or_default();
        json::members(raw, |key, value| match key {
            "toolUseId" => call.id = text(value),
            "name" => call.name = text(value),
            "input" => call.input = Some(value),
            "type" => call.hosted = text(value) == "server_tool_use",
            _ => {}
        });
        call
    }

    /// Notes of the call that was just begun where it runs.
    fn place(&self, reply: &mut Reply) {
        if self.hosted {
            if let Some(call) = reply.last_call() {
                call.hosted = true;
            }
            let tools = &mut reply.counts.server_tools;
            *tools = Some(tools.unwrap_or(0) + 1);
        }
    }
}

/// Reads a whole response.
pub(super) fn response(reply: &mut Reply, raw: Raw<'_>) {
    json::members(raw, |key, value| match key {
        "output" => {
            let content = json::get(value, "message").and_then(|it| json::get(it, "content"));
            if let Some(content) = content {
                json::elements(content, |block| said(reply, block));
            }
        }
        other => ending(reply, other, value),
    });
    reply.started = true;
}

fn said(reply: &mut Reply, block: Raw<'_>) {
    match Block::read(block) {
        Block::Text(text) => reply.text(&text),
        Block::Call(call) => {
            reply.call(&call.id, &call.name, call.input.map_or("", Raw::get));
            call.place(reply);
        }
        Block::Other(kind) => reply.turn.other(kind),
        Block::Result(_) | Block::Unspoken => {}
    }
}

/// Reads what is said about a reply beside its words.
fn ending(reply: &mut Reply, key: &str, value: Raw<'_>) {
    match key {
        "stopReason" => {
            if let Some(reason) = json::string(value).and_then(|reason| short(&reason)) {
                reply.stop_reason = Some(reason);
            }
        }
        "usage" => usage(reply, value),
        "serviceTier" => {
            let tier = json::get(value, "type").and_then(json::string);
            reply.service_tier = tier.and_then(|tier| short(&tier));
        }
        "trace" => {
            // A router says which model it chose.
            let router = json::get(value, "promptRouter");
            let model = router.and_then(|router| json::get(router, "invokedModelId"));
            let model = model.and_then(json::string).and_then(|it| short(&it));
            reply.model = model.or(reply.model.take());
        }
        _ => {}
    }
}

/// Reads one event of a stream: its type and its payload.
pub(super) fn event(reply: &mut Reply, kind: &str, payload: &str) -> Result<(), serde_json::Error> {
    let raw = json::parse(payload)?;
    part(reply, kind, raw);
    Ok(())
}

/// Reads one part of a stream.
pub(super) fn part(reply: &mut Reply, kind: &str, raw: Raw<'_>) {
    reply.started = true;
    let (mut index, mut start, mut delta) = (0, None, None);
    json::members(raw, |key, value| match key {
        "contentBlockIndex" => index = json::count(value).unwrap_or(0),
        "start" => start = Some(value),
        "delta" => delta = Some(value),
        other => ending(reply, other, value),
    });
    match kind {
        "contentBlockStart" => {
            if let Some(call) = start.and_then(|start| json::get(start, "toolUse")) {
                let call = Call::read(call);
                reply.begin_call(index, &call.id, &call.name);
                call.place(reply);
            }
        }
        "contentBlockDelta" => {
            if let Some(delta) = delta {
                json::members(delta, |key, value| fragment(reply, index, key, value));
            }
        }
        "contentBlockStop" => reply.turn.end_text(),
        "metadata" => reply.finished |= reply.stop_reason.is_some() && reply.counts.any(),
        _ => {}
    }
}

fn fragment(reply: &mut Reply, index: u64, key: &str, value: Raw<'_>) {
    let text = |value| json::string(value).unwrap_or_default();
    match key {
        "text" => reply.say(&text(value)),
        "toolUse" => {
            if let Some(input) = json::get(value, "input") {
                reply.arguments(index, &text(input));
            }
        }
        "reasoningContent" => {
            if let Some(thinking) = json::get(value, "text") {
                reply.show(&text(thinking));
            }
        }
        _ => {}
    }
}

/// Reads a `usage` object.
pub(super) fn usage(reply: &mut Reply, raw: Raw<'_>) {
    let counts = &mut reply.counts;
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "inputTokens" => last(&mut counts.input, value),
        "outputTokens" => last(&mut counts.output, value),
        "cacheReadInputTokens" | "cacheReadInputTokenCount" => last(&mut counts.cache_read, value),
        "cacheWriteInputTokens" | "cacheWriteInputTokenCount" => {
            last(&mut counts.cache_write, value);
        }
        "cacheDetails" => {
            let (mut short, mut long) = (0_u64, 0_u64);
            json::elements(value, |detail| {
                let tokens = json::get(detail, "inputTokens").and_then(json::count);
                let ttl = json::get(detail, "ttl").and_then(json::string);
                let sum = match ttl.as_deref() {
                    Some(ttl) if ttl.ends_with('h') => &mut long,
                    _ => &mut short,
                };
                *sum = sum.saturating_add(tokens.unwrap_or(0));
            });
            (counts.cache_write_short, counts.cache_write_1h) = (Some(short), Some(long));
        }
        _ => {}
    });
}

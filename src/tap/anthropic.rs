//! Anthropic messages: the history in a request, the reply in one piece and as a stream.
//!
//! In: the raw `messages`, a response body, the events of a stream. Out: turns and counts.
//! `message_delta.usage` is cumulative and may repeat the input side: the last value that is not null counts.

use super::{
    clip,
    conversation::{Conversation, NAME, texts},
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
                Some("system" | "developer") => spoken = false,
                _ => {}
            },
            "content" => content = Some(value),
            _ => {}
        });
        let Some(content) = content.filter(|_| spoken) else {
            return;
        };
        if let Some(text) = json::string(content) {
            conversation.text(role, &text);
        }
        json::elements(content, |block| Block::read(block).turn(role, conversation));
        conversation.end_message();
    });
}

/// The fields of a content block that matter, whatever its type.
#[derive(Default)]
struct Block<'a> {
    kind: Cow<'a, str>,
    text: Option<Raw<'a>>,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    input: Option<Raw<'a>>,
    tool_use_id: Cow<'a, str>,
    content: Option<Raw<'a>>,
    is_error: bool,
    server: Cow<'a, str>,
}

impl<'a> Block<'a> {
    fn read(raw: Raw<'a>) -> Self {
        let mut block = Self::default();
        let text = |value| json::string(value).unwrap_or_default();
        json::members(raw, |key, value| match key {
            "type" => block.kind = text(value),
            "text" => block.text = Some(value),
            "id" => block.id = text(value),
            "name" => block.name = text(value),
            "input" => block.input = Some(value),
            "tool_use_id" => block.tool_use_id = text(value),
            "content" => block.content = Some(value),
            "server_name" => block.server = text(value),
            "is_error" => block.is_error = json::is_true(value),
            _ => {}
        });
        block
    }

    fn is_call(&self) -> bool {
        self.kind == "tool_use" || self.kind == "server_tool_use" || self.kind == "mcp_tool_use"
    }

    /// Counts a call of a tool of the provider that the usage object has no number for.
    fn count(&self, reply: &mut Reply) {
        let own = self.kind == "mcp_tool_use"
            || (self.kind == "server_tool_use"
                && self.name != "web_search"
                && self.name != "web_fetch");
        if own {
            let calls = &mut reply.counts.server_tools;
            *calls = Some(calls.unwrap_or(0) + 1);
        }
    }

    /// Notes of the call that was just begun where it runs.
    fn place(&self, reply: &mut Reply) {
        if let Some(call) = reply.last_call() {
            call.hosted = self.kind != "tool_use";
            clip(&self.server, NAME).clone_into(&mut call.server);
        }
    }

    /// Reads the result of a tool that the provider ran by itself; errors are objects of their own kind.
    fn hosted_result(&self, reply: &mut Reply) {
        let Some(content) = self.content.filter(|_| self.kind.ends_with("_tool_result")) else {
            return;
        };
        let kind = json::get(content, "type").and_then(json::string);
        let failed = self.is_error || kind.is_some_and(|kind| kind.ends_with("_error"));
        reply.hosted_result(&self.tool_use_id, failed, content.get().len());
    }

    fn turn(self, role: Role, conversation: &mut Conversation<'a>) {
        if self.is_call() {
            let arguments = self.input.map_or("{}", Raw::get);
            conversation.call(self.id, self.name, arguments);
        } else if self.kind == "tool_result" {
            let text = self.content.map(texts).unwrap_or_default();
            conversation.result(&self.tool_use_id, self.is_error, &text);
        } else if let Some(text) = self.text.and_then(json::string) {
            conversation.text(role, &text);
        } else if self.kind == "image" || self.kind == "document" {
            conversation.other(role, &self.kind);
        }
    }
}

/// Reads a whole `message` object.
pub(super) fn message(reply: &mut Reply, raw: Raw<'_>) {
    json::members(raw, |key, value| match key {
        "id" => reply.id = json::string(value).and_then(|id| short(&id)),
        "model" => reply.model = json::string(value).and_then(|model| short(&model)),
        "stop_reason" => stop_reason(reply, value),
        "usage" => usage(reply, value),
        "content" => json::elements(value, |block| {
            let block = Block::read(block);
            block.count(reply);
            if block.is_call() {
                let arguments = block.input.map_or("", Raw::get);
                reply.call(&block.id, &block.name, arguments);
                block.place(reply);
            } else if block.kind == "text"
                && let Some(text) = block.text.and_then(json::string)
            {
                reply.text(&text);
            } else {
                block.hosted_result(reply);
            }
        }),
        "error" if json::is_object(value) => reply.error = true,
        _ => {}
    });
    reply.started = true;
}

/// Reads one event of a stream.
pub(super) fn event(reply: &mut Reply, data: &str) -> Result<(), serde_json::Error> {
    let mut event = Event::default();
    json::object(data, |key, value| event.take(key, value))?;
    event.read(reply);
    Ok(())
}

/// The members of an event that say something, for those who walk through it themselves.
#[derive(Default)]
pub(super) struct Event<'a> {
    kind: Cow<'a, str>,
    index: u64,
    message: Option<Raw<'a>>,
    block: Option<Raw<'a>>,
    delta: Option<Raw<'a>>,
    counts: Option<Raw<'a>>,
}

impl<'a> Event<'a> {
    /// Takes a member.
    pub(super) fn take(&mut self, key: &str, value: Raw<'a>) {
        match key {
            "type" => self.kind = json::string(value).unwrap_or_default(),
            "index" => self.index = json::count(value).unwrap_or(0),
            "message" => self.message = Some(value),
            "content_block" => self.block = Some(value),
            "delta" => self.delta = Some(value),
            "usage" => self.counts = Some(value),
            _ => {}
        }
    }

    /// Puts what they say into the reply.
    pub(super) fn read(&self, reply: &mut Reply) {
        let index = self.index;
        match (&*self.kind, self.message, self.block, self.delta) {
            ("message_start", Some(start), ..) => message(reply, start),
            ("content_block_start", _, Some(block), _) => {
                let block = Block::read(block);
                block.count(reply);
                if block.is_call() {
                    reply.begin_call(index, &block.id, &block.name);
                    block.place(reply);
                    // A server tool may state its input at once instead of in fragments.
                    if let Some(input) = block.input.filter(|input| input.get().len() > 2) {
                        reply.arguments(index, input.get());
                    }
                } else if let Some(text) = block.text.and_then(json::string) {
                    reply.say(&text);
                } else {
                    block.hosted_result(reply);
                }
            }
            ("content_block_delta", _, _, Some(delta)) => {
                json::members(delta, |key, value| match key {
                    "text" => {
                        if let Some(text) = json::string(value) {
                            reply.say(&text);
                        }
                    }
                    "thinking" => {
                        if let Some(thinking) = json::string(value) {
                            reply.show(&thinking);
                        }
                    }
                    "partial_json" => {
                        if let Some(fragment) = json::string(value) {
                            reply.arguments(index, &fragment);
                        }
                    }
                    _ => {}
                });
            }
            ("content_block_stop", ..) => reply.turn.end_text(),
            ("message_delta", _, _, delta) => {
                if let Some(reason) = delta.and_then(|delta| json::get(delta, "stop_reason")) {
                    stop_reason(reply, reason);
                }
                if let Some(counts) = self.counts {
                    usage(reply, counts);
                    reply.finished |= reply.stop_reason.is_some();
                }
            }
            ("message_stop", ..) => reply.finished = true,
            ("error", ..) => reply.error = true,
            _ => {}
        }
    }
}

fn stop_reason(reply: &mut Reply, raw: Raw<'_>) {
    if let Some(reason) = json::string(raw).and_then(|reason| short(&reason)) {
        reply.stop_reason = Some(reason);
    }
}

/// Reads a `usage` object.
pub(super) fn usage(reply: &mut Reply, raw: Raw<'_>) {
    let counts = &mut reply.counts;
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "input_tokens" => last(&mut counts.input, value),
        "output_tokens" => last(&mut counts.output, value),
        "cache_read_input_tokens" => last(&mut counts.cache_read, value),
        "cache_creation_input_tokens" => last(&mut counts.cache_write, value),
        "cache_creation" => json::members(value, |key, value| match key {
            "ephemeral_5m_input_tokens" => last(&mut counts.cache_write_short, value),
            "ephemeral_1h_input_tokens" => last(&mut counts.cache_write_1h, value),
            _ => {}
        }),
        "output_tokens_details" => {
            if let Some(thinking) = json::get(value, "thinking_tokens") {
                last(&mut counts.reasoning, thinking);
            }
        }
        "server_tool_use" => json::members(value, |key, value| match key {
            "web_search_requests" => last(&mut counts.web_searches, value),
            "web_fetch_requests" => last(&mut counts.web_fetches, value),
            _ => {}
        }),
        "service_tier" => reply.service_tier = json::string(value).and_then(|tier| short(&tier)),
        _ => {}
    });
}

//! `OpenAI` responses: the items of a request, the reply in one piece and as a stream.
//!
//! In: the raw `input`, a response object, the events of a stream. Out: turns and counts.
//! An item whose type ends with `_call` is a tool call, with `_call_output` its result; they meet on `call_id`. Of a
//! stream only the finished items and the final event count.

use super::{
    chat::{input_details, output_details},
    clip,
    conversation::{Conversation, NAME, texts},
    json::{self, Raw},
    reply::{Reply, short},
    request::Borders,
    turn::Role,
};
use std::borrow::Cow;

/// Reads `input`: a text, or items.
pub(super) fn history<'a>(
    input: Raw<'a>,
    conversation: &mut Conversation<'a>,
    borders: &mut Borders<'_>,
) {
    if let Some(text) = json::string(input) {
        conversation.text(Role::User, &text);
    }
    json::elements(input, |raw| {
        borders.message(raw);
        let item = Item::read(raw);
        if item.is_call() {
            let arguments = item.arguments();
            conversation.call(item.call, item.name, &arguments);
        } else if item.kind.ends_with("_call_output") {
            let text = item.output.map(texts).unwrap_or_default();
            let failed = item.failed() || exit_code(&text).is_some_and(|code| code != 0);
            conversation.result(&item.call, failed, &text);
        } else if let Some(content) = item.content {
            let role = match &*item.role {
                "system" | "developer" => return,
                "assistant" => Role::Assistant,
                _ => Role::User,
            };
            if item.kind == "message" || item.kind.is_empty() {
                conversation.parts(role, content);
            }
        }
        conversation.end_message();
    });
}

/// Tools that the provider runs by itself.
const HOSTED: [&str; 6] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
    "tool_search_call",
];

/// The exit code in an output of Codex's that is a JSON object with one.
fn exit_code(output: &str) -> Option<i64> {
    if !output.starts_with("{\"") {
        return None;
    }
    let mut code = None;
    json::object(output, |key, value| {
        if key == "metadata" {
            code = json::get(value, "exit_code").and_then(|code| code.get().parse().ok());
        }
    })
    .ok()?;
    code
}

/// The fields of an item that matter, whatever its type.
#[derive(Default)]
struct Item<'a> {
    kind: Cow<'a, str>,
    role: Cow<'a, str>,
    status: Cow<'a, str>,
    call: Cow<'a, str>,
    name: Cow<'a, str>,
    content: Option<Raw<'a>>,
    output: Option<Raw<'a>>,
    arguments: Option<Raw<'a>>,
    server: Cow<'a, str>,
    error: Option<Raw<'a>>,
}

impl<'a> Item<'a> {
    fn read(raw: Raw<'a>) -> Self {
        let mut item = Self::default();
        let mut id = Cow::Borrowed("");
        let text = |value| json::string(value).unwrap_or_default();
        json::members(raw, |key, value| match key {
            "type" => item.kind = text(value),
            "role" => item.role = text(value),
            "status" => item.status = text(value),
            "id" => id = text(value),
            "call_id" => item.call = text(value),
            "name" => item.name = text(value),
            "server_label" | "namespace" => item.server = text(value),
            "error" if !json::is_null(value) => item.error = Some(value),
            "content" => item.content = Some(value),
            "output" => item.output = Some(value),
            "arguments" | "input" | "action" => item.arguments = Some(value),
            _ => {}
        });
        if item.is_call() {
            // The provider's own tools have no name but their type, and are known by the item's id.
            if item.name.is_empty() {
                let name = item.kind.strip_suffix("_call").unwrap_or(&item.kind);
                item.name = Cow::Owned(name.to_owned());
            }
            if item.call.is_empty() {
                item.call = id;
            }
        }
        item
    }

    fn failed(&self) -> bool {
        self.status == "failed" || self.status == "incomplete"
    }

    fn is_call(&self) -> bool {
        self.kind.ends_with("_call")
    }

    fn arguments(&self) -> Cow<'a, str> {
        match self.arguments {
            Some(raw) => json::string(raw).unwrap_or(Cow::Borrowed(raw.get())),
            None => Cow::Borrowed(""),
        }
    }

    /// Counts a call of the provider's own tools: the usage object does not.
    fn count(&self, reply: &mut Reply) {
        let counts = &mut reply.counts;
        let calls = match &*self.kind {
            "web_search_call" => {
                let action = self.arguments.and_then(|action| json::get(action, "type"));
                match action.and_then(json::string).as_deref() {
                    Some("open_page" | "find_in_page") => &mut counts.web_fetches,
                    _ => &mut counts.web_searches,
                }
            }
            "file_search_call" => &mut counts.file_searches,
            "code_interpreter_call" | "image_generation_call" | "mcp_call" => {
                &mut counts.server_tools
            }
            _ => return,
        };
        *calls = Some(calls.unwrap_or(0) + 1);
    }

    /// As a part of a reply.
    fn reply(self, reply: &mut Reply) {
        if self.is_call() {
            self.count(reply);
            let arguments = self.arguments();
            reply.call(&self.call, &self.name, &arguments);
            let hosted = HOSTED.contains(&&*self.kind);
            if let Some(call) = reply.last_call() {
                call.hosted = hosted;
                clip(&self.server, NAME).clone_into(&mut call.server);
            }
            // The provider's own tools carry their result.
            if hosted && (self.output.is_some() || self.error.is_some() || self.failed()) {
                let failed = self.error.is_some() || self.failed();
                let bytes = self.output.map_or(0, |output| texts(output).len());
                reply.hosted_result(&self.call, failed, bytes);
            }
            reply.stop_reason = Some("tool_use".to_owned());
        } else if self.kind == "message"
            && let Some(content) = self.content
        {
            reply.stop_reason = None;
            json::elements(content, |part| {
                if let Some(text) = json::get(part, "text").and_then(json::string) {
                    reply.text(&text);
                }
            });
        }
    }
}

/// Reads a whole response object; `items` says whether its output has not been read yet.
pub(super) fn response(reply: &mut Reply, raw: Raw<'_>, items: bool) {
    let mut status = Cow::Borrowed("");
    let mut reason = None;
    json::members(raw, |key, value| {
        let text = || json::string(value).and_then(|text| short(&text));
        match key {
            "id" => reply.id = text().or(reply.id.take()),
            "model" => reply.model = text().or(reply.model.take()),
            "service_tier" => reply.service_tier = text().or(reply.service_tier.take()),
            "status" => status = json::string(value).unwrap_or_default(),
            "incomplete_details" => {
                reason = json::get(value, "reason").and_then(json::string);
            }
            "usage" => usage(reply, value),
            "error" => reply.error |= json::is_object(value),
            "output" if items => {
                json::elements(value, |item| Item::read(item).reply(reply));
            }
            _ => {}
        }
    });
    reply.started = true;
    match &*status {
        "completed" => {
            reply
                .stop_reason
                .get_or_insert_with(|| "completed".to_owned());
        }
        "incomplete" => reply.stop_reason = short(&reason.unwrap_or(status)),
        "failed" => {
            reply.error = true;
            reply.stop_reason = short(&status);
        }
        "cancelled" => reply.stop_reason = short(&status),
        _ => {}
    }
}

/// Reads one event of a stream.
pub(super) fn event(reply: &mut Reply, data: &str) -> Result<(), serde_json::Error> {
    let mut kind = Cow::Borrowed("");
    let (mut item, mut whole, mut delta) = (None, None, None);
    json::object(data, |key, value| match key {
        "type" => kind = json::string(value).unwrap_or_default(),
        "item" => item = Some(value),
        "response" => whole = Some(value),
        "delta" => delta = Some(value),
        _ => {}
    })?;
    reply.started = true;
    match &*kind {
        "response.output_item.done" => {
            if let Some(item) = item {
                // What its deltas showed counts once; a server may send the item alone.
                let by_deltas = std::mem::replace(&mut reply.shown, reply.shown_in_items);
                Item::read(item).reply(reply);
                reply.shown_in_items = reply.shown;
                reply.shown = reply.shown.max(by_deltas);
            }
        }
        other if other.rsplit('.').next() == Some("delta") && !other.contains("audio") => {
            if let Some(text) = delta.and_then(json::string) {
                reply.show(&text);
            }
        }
        "response.created" | "response.in_progress" | "response.queued" => {
            if let Some(whole) = whole {
                response(reply, whole, false);
            }
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            if let Some(whole) = whole {
                let unread = reply.is_empty();
                response(reply, whole, unread);
            }
            reply.error |= kind == "response.failed";
            reply.finished = true;
        }
        "error" => reply.error = true,
        _ => {}
    }
    Ok(())
}

/// Reads a `usage` object.
pub(super) fn usage(reply: &mut Reply, raw: Raw<'_>) {
    let counts = &mut reply.counts;
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "input_tokens" => last(&mut counts.input_all, value),
        "output_tokens" => last(&mut counts.output, value),
        "input_tokens_details" => input_details(counts, value),
        "output_tokens_details" => output_details(counts, value),
        _ => {}
    });
}

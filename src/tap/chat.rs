//! `OpenAI` chat completions: the history in a request, the reply in one piece and as a stream.
//!
//! In: the raw `messages`, a response body, the chunks of a stream. Out: turns and counts.
//! Usage stands in one last chunk without choices, or (other servers) in the last choice or in every chunk: the last one
//! counts. Compatible servers vary in everything else, so nothing here is demanded.

use super::{
    conversation::{Conversation, texts},
    json::{self, Raw},
    reply::{Reply, short},
    request::Borders,
    turn::Role,
};
use std::borrow::Cow;

/// What ends a stream, in place of JSON.
const DONE: &str = "[DONE]";

/// Reads `messages`.
pub(super) fn history<'a>(
    messages: Raw<'a>,
    conversation: &mut Conversation<'a>,
    borders: &mut Borders<'_>,
) {
    json::elements(messages, |message| {
        borders.message(message);
        let mut role = Cow::Borrowed("user");
        let mut id = Cow::Borrowed("");
        let (mut content, mut calls, mut legacy_call) = (None, None, None);
        json::members(message, |key, value| match key {
            "role" => role = json::string(value).unwrap_or_default(),
            "tool_call_id" => id = json::string(value).unwrap_or_default(),
            "content" => content = Some(value),
            "tool_calls" => calls = Some(value),
            "function_call" => legacy_call = Some(value),
            _ => {}
        });
        match &*role {
            "system" | "developer" => {}
            "tool" | "function" => {
                let text = content.map(texts).unwrap_or_default();
                conversation.result(&id, false, &text);
            }
            "assistant" => {
                if let Some(content) = content {
                    conversation.parts(Role::Assistant, content);
                }
                if let Some(calls) = calls {
                    json::elements(calls, |call| {
                        let call = Call::read(call);
                        conversation.call(call.id, call.name, &call.arguments);
                    });
                }
                if let Some(call) = legacy_call.filter(|call| json::is_object(*call)) {
                    let call = Call::function(call);
                    conversation.call(call.id, call.name, &call.arguments);
                }
            }
            _ => {
                if let Some(content) = content {
                    conversation.parts(Role::User, content);
                }
            }
        }
        conversation.end_message();
    });
}

/// Reads the `prompt` of the old completions: a text, or several.
pub(super) fn prompt(raw: Raw<'_>, conversation: &mut Conversation<'_>) {
    if let Some(text) = json::string(raw) {
        conversation.text(Role::User, &text);
    }
    json::elements(raw, |one| {
        if let Some(text) = json::string(one) {
            conversation.text(Role::User, &text);
        }
    });
}

/// A tool call, or a fragment of one.
#[derive(Default)]
struct Call<'a> {
    index: Option<u64>,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

impl<'a> Call<'a> {
    fn read(raw: Raw<'a>) -> Self {
        let mut call = Self::default();
        json::members(raw, |key, value| match key {
            "index" => call.index = json::count(value),
            "id" => call.id = json::string(value).unwrap_or_default(),
            "function" | "custom" => {
                let Self {
                    name, arguments, ..
                } = Self::function(value);
                (call.name, call.arguments) = (name, arguments);
            }
            _ => {}
        });
        call
    }

    fn function(raw: Raw<'a>) -> Self {
        let mut call = Self::default();
        json::members(raw, |key, value| match key {
            "name" => call.name = json::string(value).unwrap_or_default(),
            // Text by the format; some servers send the object itself.
            "arguments" | "input" if !json::is_null(value) => {
                call.arguments = json::string(value).unwrap_or(Cow::Borrowed(value.get()));
            }
            _ => {}
        });
        call
    }
}

/// Reads a whole reply.
pub(super) fn completion(reply: &mut Reply, raw: Raw<'_>) {
    let (mut usage, mut timings) = (false, None);
    json::members(raw, |key, value| {
        usage |= key == "usage" && json::is_object(value);
        match key {
            "timings" => timings = Some(value),
            _ => head(reply, key, value),
        }
    });
    if let Some(timings) = timings.filter(|_| !usage) {
        timed(reply, timings);
    }
    if let Some(choices) = json::get(raw, "choices") {
        json::elements(choices, |choice| self::choice(reply, choice, "message"));
    }
    reply.started = true;
}

/// Reads the data of one event of a stream.
pub(super) fn event(reply: &mut Reply, data: &str) -> Result<(), serde_json::Error> {
    if data.trim() == DONE {
        // Some servers end a stream properly after an error that cut it.
        reply.finished |= !reply.error;
        return Ok(());
    }
    let (mut choices, mut usage, mut timings) = (None, false, None);
    json::object(data, |key, value| match key {
        "choices" => choices = Some(value),
        "timings" => timings = Some(value),
        other => {
            usage |= other == "usage" && json::is_object(value);
            head(reply, other, value);
        }
    })?;
    if let Some(timings) = timings.filter(|_| !usage) {
        timed(reply, timings);
    }
    if let Some(choices) = choices {
        reply.started = true;
        reply.finished |= usage && is_empty_list(choices);
        json::elements(choices, |choice| self::choice(reply, choice, "delta"));
    }
    Ok(())
}

/// Whether the data of an event is what `include_usage` adds: usage, and no choices.
pub(super) fn is_usage_only(data: &str) -> bool {
    let (mut empty, mut usage) = (false, false);
    let read = json::object(data, |key, value| match key {
        "choices" => empty = is_empty_list(value),
        "usage" => usage = json::is_object(value),
        _ => {}
    });
    read.is_ok() && empty && usage
}

fn is_empty_list(raw: Raw<'_>) -> bool {
    let inner = raw.get().strip_prefix('[');
    inner.is_some_and(|inner| inner.trim_start().starts_with(']'))
}

fn head(reply: &mut Reply, key: &str, value: Raw<'_>) {
    let text = || json::string(value).and_then(|text| short(&text));
    match key {
        "id" => reply.id = text().or(reply.id.take()),
        "model" => reply.model = text().or(reply.model.take()),
        "service_tier" => reply.service_tier = text().or(reply.service_tier.take()),
        "usage" => usage(reply, value),
        "error" => reply.error |= json::is_object(value),
        _ => {}
    }
}

/// Reads a choice; what it says stands under `place`.
fn choice(reply: &mut Reply, raw: Raw<'_>, place: &str) {
    let (mut index, mut said) = (0, None);
    let (mut finish, mut stop) = (None, None);
    json::members(raw, |key, value| match key {
        "index" => index = json::count(value).unwrap_or(0),
        "finish_reason" => finish = json::string(value).and_then(|reason| short(&reason)),
        // Models on Bedrock call it so; others say there which text they stopped at.
        "stop_reason" => stop = json::string(value).and_then(|reason| short(&reason)),
        "usage" => usage(reply, value),
        // The old completions.
        "text" => {
            if let Some(text) = json::string(value) {
                if index == 0 {
                    reply.say(&text);
                } else {
                    reply.show(&text);
                }
            }
        }
        other if other == place => said = Some(value),
        _ => {}
    });
    reply.stop_reason = finish.or(stop).or(reply.stop_reason.take());
    let Some(said) = said else { return };
    json::members(said, |key, value| match key {
        // The history that comes back holds one choice: the first is the best guess.
        "content" if index == 0 => {
            if let Some(text) = json::string(value) {
                reply.say(&text);
            }
        }
        // Of other choices, and what servers call their thinking and refusals.
        "content" | "reasoning" | "reasoning_content" | "refusal" => {
            if let Some(text) = json::string(value) {
                reply.show(&text);
            }
        }
        "tool_calls" => {
            let mut position = 0;
            json::elements(value, |call| {
                let call = Call::read(call);
                // Fragments name their call by index, calls of a whole reply by their position.
                let slot = index << 32 | call.index.unwrap_or(position);
                position += 1;
                if !call.name.is_empty() && (!call.id.is_empty() || !reply.has_call(slot)) {
                    reply.begin_call(slot, &call.id, &call.name);
                }
                reply.arguments(slot, &call.arguments);
            });
        }
        "function_call" if json::is_object(value) => {
            let call = Call::function(value);
            let slot = index << 32 | u64::from(u32::MAX);
            if !call.name.is_empty() {
                reply.begin_call(slot, "", &call.name);
            }
            reply.arguments(slot, &call.arguments);
        }
        _ => {}
    });
}

/// Reads a `usage` object.
pub(super) fn usage(reply: &mut Reply, raw: Raw<'_>) {
    let counts = &mut reply.counts;
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "prompt_tokens" => last(&mut counts.input_all, value),
        "completion_tokens" => last(&mut counts.output, value),
        "prompt_tokens_details" => input_details(counts, value),
        "completion_tokens_details" => output_details(counts, value),
        _ => {}
    });
}

/// Reads the `timings` of llama.cpp, which are there when no usage was asked for.
fn timed(reply: &mut Reply, raw: Raw<'_>) {
    let counts = &mut reply.counts;
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "prompt_n" => last(&mut counts.input, value),
        "cache_n" => last(&mut counts.cache_read, value),
        "predicted_n" => last(&mut counts.output, value),
        _ => {}
    });
}

/// Reads what the input consists of, as chat and responses state it.
pub(super) fn input_details(counts: &mut super::reply::Counts, raw: Raw<'_>) {
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "cached_tokens" => last(&mut counts.cache_read, value),
        "cache_write_tokens" => last(&mut counts.cache_write, value),
        "cache_write_tokens_details" => {
            if let Some(long) = json::get(value, "ttl_12h_tokens") {
                last(&mut counts.cache_write_1h, long);
            }
        }
        "audio_tokens" => last(&mut counts.audio_input, value),
        "image_tokens" => last(&mut counts.image_input, value),
        "cached_tokens_details" => json::members(value, |key, value| match key {
            "audio_tokens" => last(&mut counts.cached_audio, value),
            "image_tokens" => last(&mut counts.cached_image, value),
            _ => {}
        }),
        _ => {}
    });
}

/// Reads what the output consists of, as chat and responses state it.
pub(super) fn output_details(counts: &mut super::reply::Counts, raw: Raw<'_>) {
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "reasoning_tokens" => last(&mut counts.reasoning, value),
        "audio_tokens" => last(&mut counts.audio_output, value),
        "image_tokens" => last(&mut counts.image_output, value),
        _ => {}
    });
}

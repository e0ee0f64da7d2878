//! Gemini, by its own API and on Vertex AI: the history in a request, the reply in one piece and as a stream.
//!
//! In: the raw `contents`, a response, the elements of a stream, which are responses too. Out: turns and counts.
//! The bodies are protobuf in JSON: names come in camel and in snake case, and one value may stand for a list of one.
//! Usage may stand in every element: the last value of each count wins. Thoughts are no part of the turn, because clients
//! drop them. Servers and clients escape texts in different ways, so arguments are compared without escapes.

use super::{
    conversation::Conversation,
    json::{self, Raw},
    partial::PartialArguments,
    reply::{Counts, Reply, short},
    request::Borders,
    turn::Role,
};
use std::borrow::Cow;

/// Reads `contents`.
pub(super) fn history<'a>(
    contents: Raw<'a>,
    conversation: &mut Conversation<'a>,
    borders: &mut Borders<'_>,
) {
    let mut history = History {
        conversation,
        said: String::new(),
        calls: Vec::new(),
    };
    json::one_or_many(contents, |content| {
        borders.message(content);
        let (mut role, mut parts) = (Role::User, None);
        let mut spoken = true;
        json::members(content, |key, value| match key {
            "role" => match json::string(value).as_deref() {
                Some("model") => role = Role::Assistant,
                Some("system") => spoken = false,
                _ => {}
            },
            "parts" => parts = Some(value),
            _ => {}
        });
        if let Some(parts) = parts.filter(|_| spoken) {
            json::one_or_many(parts, |part| history.part(role, Part::read(part)));
            if role == Role::User {
                history.conversation.end_message();
            }
        }
    });
    history.flush();
}

/// Collects the history.
struct History<'c, 'a> {
    conversation: &'c mut Conversation<'a>,
    /// The model's text under way: some clients repeat it in the pieces in which it was streamed.
    said: String,
    /// Calls without a result yet: id and name.
    calls: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> History<'_, 'a> {
    fn part(&mut self, role: Role, part: Part<'a>) {
        if part.thought {
            return;
        }
        if role == Role::Assistant
            && let Some(text) = &part.text
        {
            self.said.push_str(text);
            return;
        }
        self.flush();
        if let Some(call) = part.call {
            let call = Call::read(call);
            let arguments = call.arguments.map_or(Cow::Borrowed(""), json::plain);
            self.calls.push((call.id.clone(), call.name.clone()));
            self.conversation.call(call.id, call.name, &arguments);
        } else if let Some(response) = part.response {
            self.result(response);
        } else if let Some(text) = part.text {
            self.conversation.text(role, &text);
        } else if let Some(kind) = part.other {
            self.conversation.other(role, kind);
        }
    }

    /// A result names its call by id, or by the tool's name, or (some clients put a number of their own there) by neither:
    /// then results stand in the order of the calls.
    fn result(&mut self, raw: Raw<'a>) {
        let (mut id, mut name) = (Cow::Borrowed(""), Cow::Borrowed(""));
        let mut response = None;
        json::members(raw, |key, value| match key {
            "id" => id = json::string(value).unwrap_or_default(),
            "name" => name = json::string(value).unwrap_or_default(),
            "response" => response = Some(value),
            _ => {}
        });
        let calls = &self.calls;
        let found = calls
            .iter()
            .position(|(call, _)| !id.is_empty() && *call == id)
            .or_else(|| calls.iter().position(|(_, called)| *called == name))
            .or_else(|| (id.is_empty() && !calls.is_empty()).then_some(0));
        if let Some(found) = found {
            name = self.calls.remove(found).1;
        }
        let failed = response
            .and_then(|response| json::get(response, "error"))
            .is_some_and(|error| !json::is_null(error));
        let text = response.map_or(Cow::Borrowed(""), json::plain);
        self.conversation.named_result(&id, &name, failed, &text);
    }

    fn flush(&mut self) {
        let said = std::mem::take(&mut self.said);
        self.conversation.text(Role::Assistant, &said);
    }
}

/// The fields of a part that matter.
#[derive(Default)]
struct Part<'a> {
    text: Option<Cow<'a, str>>,
    thought: bool,
    call: Option<Raw<'a>>,
    response: Option<Raw<'a>>,
    /// What it is, when it is neither.
    other: Option<&'static str>,
}

impl<'a> Part<'a> {
    fn read(raw: Raw<'a>) -> Self {
        let mut part = Self::default();
        json::members(raw, |key, value| match key {
            "text" => part.text = json::string(value),
            "thought" => part.thought = json::is_true(value),
            "functionCall" | "function_call" => part.call = Some(value),
            "functionResponse" | "function_response" => part.response = Some(value),
            "inlineData" | "inline_data" => part.other = Some("inline_data"),
            "fileData" | "file_data" => part.other = Some("file_data"),
            "executableCode" | "executable_code" => part.other = Some("executable_code"),
            "codeExecutionResult" | "code_execution_result" => part.other = Some("code_result"),
            "toolCall" | "tool_call" => part.other = Some("tool_call"),
            "toolResponse" | "tool_response" => part.other = Some("tool_response"),
            _ => {}
        });
        part
    }
}

/// A tool call, or a fragment of one.
#[derive(Default)]
struct Call<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    arguments: Option<Raw<'a>>,
    partial: Option<Raw<'a>>,
    continues: bool,
}

impl<'a> Call<'a> {
    fn read(raw: Raw<'a>) -> Self {
        let mut call = Self::default();
        json::members(raw, |key, value| match key {
            "id" => call.id = json::string(value).unwrap_or_default(),
            "name" => call.name = json::string(value).unwrap_or_default(),
            "args" => call.arguments = Some(value),
            "partialArgs" | "partial_args" => call.partial = Some(value),
            "willContinue" | "will_continue" => call.continues = json::is_true(value),
            _ => {}
        });
        call
    }

    fn reply(&self, reply: &mut Reply) {
        let fragment = self.partial.is_some() || self.continues || self.name.is_empty();
        if !fragment {
            let arguments = self.arguments.map_or(Cow::Borrowed(""), json::plain);
            reply.call(&self.id, &self.name, &arguments);
            return;
        }
        if !self.name.is_empty() {
            end_partial(reply);
            reply.begin_call(PARTIAL, &self.id, &self.name);
            reply.partial = Some(Box::default());
        }
        if let (Some(open), Some(list)) = (&mut reply.partial, self.partial) {
            json::one_or_many(list, |value| add(open, value));
        }
        if !self.continues {
            end_partial(reply);
        }
    }
}

/// How the one call whose arguments come in fragments is named.
const PARTIAL: u64 = 0;

/// The call whose arguments came in fragments has them all.
fn end_partial(reply: &mut Reply) {
    if let Some(open) = reply.partial.take() {
        reply.arguments(PARTIAL, &open.finish());
    }
}

/// Adds one of `partialArgs`.
fn add(open: &mut PartialArguments, raw: Raw<'_>) {
    let mut path = Cow::Borrowed("");
    let (mut text, mut plain) = (None, None);
    json::members(raw, |key, value| match key {
        "jsonPath" | "json_path" => path = json::string(value).unwrap_or_default(),
        "stringValue" | "string_value" => text = json::string(value),
        "numberValue" | "number_value" | "boolValue" | "bool_value" => plain = Some(value.get()),
        "nullValue" | "null_value" => plain = Some("null"),
        _ => {}
    });
    match (text, plain) {
        (Some(text), _) => open.text(&path, &text),
        (None, Some(plain)) => open.plain(&path, plain),
        (None, None) => {}
    }
}

/// Reads the data of one element of a stream.
pub(super) fn event(reply: &mut Reply, data: &str) -> Result<(), serde_json::Error> {
    let raw = json::parse(data)?;
    response(reply, raw);
    reply.finished |= reply.stop_reason.is_some() && reply.counts.states_output();
    Ok(())
}

/// Reads a response, which may be a part of one.
pub(super) fn response(reply: &mut Reply, raw: Raw<'_>) {
    json::members(raw, |key, value| {
        let text = || json::string(value).and_then(|text| short(&text));
        match key {
            "candidates" => json::one_or_many(value, |raw| candidate(reply, raw)),
            "promptFeedback" | "prompt_feedback" => {
                json::members(value, |key, value| {
                    if matches!(key, "blockReason" | "block_reason") {
                        stop_reason(reply, value);
                    }
                });
            }
            "usageMetadata" | "usage_metadata" => usage(reply, value),
            "modelVersion" | "model_version" => reply.model = text().or(reply.model.take()),
            "responseId" | "response_id" => reply.id = text().or(reply.id.take()),
            "error" => reply.error |= json::is_object(value),
            _ => {}
        }
    });
    reply.started = true;
}

fn candidate(reply: &mut Reply, raw: Raw<'_>) {
    let (mut index, mut parts) = (0, None);
    json::members(raw, |key, value| match key {
        "index" => index = json::count(value).unwrap_or(0),
        "content" => parts = json::get(value, "parts"),
        "finishReason" | "finish_reason" => stop_reason(reply, value),
        "groundingMetadata" | "grounding_metadata" => searches(reply, value),
        _ => {}
    });
    if let Some(parts) = parts {
        json::one_or_many(parts, |part| said(reply, index, &Part::read(part)));
    }
}

/// Reads a part of what a candidate says. The history that comes back holds one: the first is the best guess.
fn said(reply: &mut Reply, index: u64, part: &Part<'_>) {
    match (&part.text, part.call) {
        (Some(text), _) if part.thought || index > 0 => reply.show(text),
        (Some(text), _) => reply.say(text),
        (None, Some(call)) if !part.thought => {
            reply.turn.end_text();
            Call::read(call).reply(reply);
        }
        (None, _) => {
            if let Some(kind) = part.other.filter(|_| index == 0 && !part.thought) {
                reply.turn.end_text();
                reply.turn.other(kind);
                if matches!(kind, "executable_code" | "tool_call") {
                    let tools = &mut reply.counts.server_tools;
                    *tools = Some(tools.unwrap_or(0) + 1);
                }
            }
        }
    }
}

fn stop_reason(reply: &mut Reply, raw: Raw<'_>) {
    if let Some(reason) = json::string(raw).and_then(|reason| short(&reason)) {
        reply.stop_reason = Some(reason);
    }
}

/// Counts the searches that the answer is grounded in; the list is whole wherever it stands.
fn searches(reply: &mut Reply, raw: Raw<'_>) {
    json::members(raw, |key, value| {
        if matches!(key, "webSearchQueries" | "web_search_queries") {
            let mut queries = 0;
            json::elements(value, |_| queries += 1);
            if queries > 0 {
                reply.counts.web_searches = Some(queries);
            }
        }
    });
}

/// Reads a `usageMetadata` object.
pub(super) fn usage(reply: &mut Reply, raw: Raw<'_>) {
    let counts = &mut reply.counts;
    let last = |known: &mut Option<u64>, value| *known = json::count(value).or(*known);
    json::members(raw, |key, value| match key {
        "promptTokenCount" | "prompt_token_count" => last(&mut counts.input_all, value),
        "cachedContentTokenCount" | "cached_content_token_count" => {
            last(&mut counts.cache_read, value);
        }
        "candidatesTokenCount" | "candidates_token_count" | "responseTokenCount" => {
            last(&mut counts.output_shown, value);
        }
        "thoughtsTokenCount" | "thoughts_token_count" => last(&mut counts.reasoning, value),
        "toolUsePromptTokenCount" | "tool_use_prompt_token_count" => {
            last(&mut counts.tool_input, value);
        }
        "promptTokensDetails" | "prompt_tokens_details" | "promptTokenDetails" => {
            modalities(value, &mut counts.audio_input, &mut counts.image_input);
        }
        "cacheTokensDetails" | "cache_tokens_details" => {
            modalities(value, &mut counts.cached_audio, &mut counts.cached_image);
        }
        "candidatesTokensDetails" | "candidates_tokens_details" | "responseTokensDetails" => {
            modalities(value, &mut counts.audio_output, &mut counts.image_output);
        }
        "trafficType" | "traffic_type" => reply.service_tier = tier(value),
        "serviceTier" | "service_tier" => {
            reply.service_tier = json::string(value).and_then(|tier| short(&tier));
        }
        _ => {}
    });
    settle(counts);
}

/// Zero is not written: thoughts without an answer are all of the output.
fn settle(counts: &mut Counts) {
    if counts.reasoning.is_some() {
        counts.output_shown.get_or_insert(0);
    }
}

/// Adds up what one list states by modality; pages of documents are images.
fn modalities(raw: Raw<'_>, audio: &mut Option<u64>, image: &mut Option<u64>) {
    let (mut heard, mut seen) = (None, None);
    json::one_or_many(raw, |one| {
        let (mut modality, mut tokens) = (Cow::Borrowed(""), 0);
        json::members(one, |key, value| match key {
            "modality" => modality = json::string(value).unwrap_or_default(),
            "tokenCount" | "token_count" => tokens = json::count(value).unwrap_or(0),
            _ => {}
        });
        let sum = match &*modality {
            "AUDIO" => &mut heard,
            "IMAGE" | "DOCUMENT" => &mut seen,
            _ => return,
        };
        *sum = Some(sum.unwrap_or(0_u64).saturating_add(tokens));
    });
    *audio = heard.or(*audio);
    *image = seen.or(*image);
}

/// The tier, in the words of the other dialects.
fn tier(raw: Raw<'_>) -> Option<String> {
    let traffic = json::string(raw)?;
    let tier = traffic.strip_prefix("ON_DEMAND_").unwrap_or(&traffic);
    short(&tier.to_ascii_lowercase())
}

//! Reads what the gateway must know of a request body.
//!
//! Owns: [`read_request`] and its [`RequestFacts`]. In: the endpoint, the request head, the body in one piece. Out: facts,
//! with the places of the few texts that may be edited (`provider::edit`); the body itself is never changed or copied.
//! Lenient on purpose: clients change daily, so unknown fields, roles and shapes are passed over. Only two things fail: a
//! body that is not one JSON object, and a model that can't be known for certain. What is routed by must be what the
//! provider reads, so a second `model`, also in another case (some providers ignore case), is refused.
//! Must not know: which models exist.

use super::{
    anthropic, chat,
    conversation::{Conversation, SessionHints},
    converse,
    decode::{Coding, Decoder},
    gemini,
    json::{self, Raw},
    prefix::Prefix,
    references::{self, Places},
    responses, workspace,
};
use crate::{
    endpoint::{Dialect, Endpoint, Work},
    record::ToolCall,
};
use http::HeaderMap;
use std::{borrow::Cow, ops::Range};

/// Decoded size above which an encoded body is refused.
const DECODED: u64 = 64 << 20;
/// Places at which a stored body may be split.
const BORDERS: usize = 20_000;
/// Messages in which a client may state its working directory, the first ones.
const PLACES: usize = 4;
/// Further models that a body may name.
const OTHER_MODELS: usize = 32;

/// Why a body can't be routed.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// It is no JSON object.
    #[error("the body is not a JSON object: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is no text.
    #[error("the body is not UTF-8 text")]
    NotText,
    /// It has no `model`.
    #[error("the body names no model: \"model\" is missing")]
    NoModel,
    /// Its `model` is not a string, or an empty one; or so is one of its `models`, or they are too many.
    #[error("\"model\" is not the name of a model")]
    BadModel,
    /// It has several.
    #[error("\"model\" stands in the body more than once")]
    TwoModels,
    /// Its `content-encoding` is unknown.
    #[error("the content-encoding of the body is not one of gzip, deflate, br, zstd")]
    UnknownEncoding,
    /// It could not be decoded.
    #[error("the body does not match its content-encoding")]
    Undecodable,
    /// It is too large when decoded.
    #[error("the decoded body is larger than {} bytes", DECODED)]
    TooLarge,
}

/// What the gateway must know of a request body.
#[derive(Clone, Debug, Default)]
pub struct RequestFacts {
    /// The model, as the client names it.
    pub model: String,
    /// Where `model`'s value stands in the body, quotes included; none in an encoded body.
    pub model_span: Option<Range<usize>>,
    /// Further models that the provider may choose by itself (`models`, as `OpenRouter` reads it): each needs a permit too.
    pub other_models: Vec<String>,
    /// Whether the client asks for a stream.
    pub stream: bool,
    /// Whether a chat stream will report its usage.
    pub include_usage: IncludeUsage,
    /// Byte offsets at which the stored body may be split, ascending: the ends of its messages.
    pub message_borders: Vec<usize>,
    /// What the user asked for, cut, on one line: the first text of the newest turn that has one of theirs.
    pub title: Option<String>,
    /// How to find the session.
    pub session: SessionHints,
    /// Tool results since the last reply.
    pub tool_results: Vec<ToolCall>,
    /// The service tier asked for.
    pub service_tier: Option<String>,
    /// Stored objects that it builds on: each must be the caller's own.
    pub references: Vec<String>,
    /// Whether the provider may store something with the answer: it itself, or a container that it ran code in.
    pub stores: bool,
    /// The prompt's parts, as a prompt cache compares them.
    pub prefix: Prefix,
    /// The working directory that the client states.
    pub workspace: Option<String>,
}

/// Whether a chat stream will report its usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IncludeUsage {
    /// Nothing to ask for: not a chat stream, or a body that can't be edited.
    #[default]
    NotApplicable,
    /// The client asked.
    Asked,
    /// The client did not; this edit would.
    Missing(Splice),
}

/// One edit of a body: these bytes are replaced by that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// What is replaced; empty for an insertion.
    pub at: Range<usize>,
    /// The new text.
    pub text: &'static str,
}

/// Reads a body whose model stands in the path.
///
/// Nothing of the body is needed to route it, so a body that can't be read passes, and only its session and title are not
/// known.
pub fn read_request_to(
    model: &str,
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> RequestFacts {
    let read = Coding::of(headers)
        .ok_or(BadRequest::UnknownEncoding)
        .and_then(|coding| read(endpoint, coding, body, Some(model)));
    read.unwrap_or_else(|_| RequestFacts::of_path(model, endpoint))
}

impl RequestFacts {
    /// What is known without the body.
    pub fn of_path(model: &str, endpoint: Endpoint) -> Self {
        Self {
            model: model.to_owned(),
            stream: endpoint.streams().unwrap_or(false),
            ..Self::default()
        }
    }
}

/// Reads a body that names its model.
pub fn read_request(
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<RequestFacts, BadRequest> {
    let coding = Coding::of(headers).ok_or(BadRequest::UnknownEncoding)?;
    read(endpoint, coding, body, None)
}

fn read(
    endpoint: Endpoint,
    coding: Coding,
    body: &[u8],
    path_model: Option<&str>,
) -> Result<RequestFacts, BadRequest> {
    let decoded = match coding {
        Coding::Identity => Cow::Borrowed(body),
        _ => Cow::Owned(decode(coding, body)?),
    };
    let text = std::str::from_utf8(&decoded).map_err(|_| BadRequest::NotText)?;
    let top = Top::read(text)?;
    let model = match path_model {
        Some(model) => Cow::Borrowed(model),
        None => top.model()?,
    };

    let mut conversation = Conversation::default();
    let mut borders = Borders::new(text);
    // What is judged (embedded, moderated) is no conversation.
    if endpoint.work() != Work::Judge {
        top.history(endpoint, &mut conversation, &mut borders);
    }
    let (mut session, title, tool_results) = conversation.finish();
    top.hints(endpoint, &mut session);
    for (set, raw) in [
        (Prefix::set_tools as fn(&mut Prefix, Raw<'_>), top.tools()),
        (Prefix::set_system, top.system),
    ] {
        if let Some(raw) = raw {
            set(&mut borders.prefix, raw);
        }
    }
    let workspace = top
        .system
        .and_then(|system| workspace::find(system.get()))
        .or(borders.workspace);

    let plain = coding == Coding::Identity;
    let chat = endpoint == Endpoint::OpenaiChat;
    Ok(RequestFacts {
        model_span: top
            .model
            .filter(|_| plain && path_model.is_none())
            .map(|raw| json::span(text, raw)),
        include_usage: if plain && chat && top.stream == Some(true) {
            top.include_usage(text)
        } else {
            IncludeUsage::NotApplicable
        },
        message_borders: if plain { borders.offsets } else { Vec::new() },
        prefix: borders.prefix,
        workspace,
        model: model.into_owned(),
        other_models: match path_model {
            Some(_) => Vec::new(),
            None => top.other_models()?,
        },
        stream: endpoint.streams().or(top.stream).unwrap_or(false),
        title,
        session,
        tool_results,
        service_tier: top.service_tier(),
        references: references::find(endpoint.dialect(), text, &top.places()),
        stores: match endpoint.dialect() {
            Dialect::OpenaiResponses => top.store.is_none_or(|store| store.get() != "false"),
            Dialect::AnthropicMessages => top.may_run_code(),
            _ => false,
        },
    })
}

fn decode(coding: Coding, body: &[u8]) -> Result<Vec<u8>, BadRequest> {
    let mut decoder =
        Decoder::new(coding, Vec::new(), DECODED).map_err(|_| BadRequest::Undecodable)?;
    decoder.feed(body).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => BadRequest::TooLarge,
        _ => BadRequest::Undecodable,
    })?;
    Ok(decoder.sink_mut().map(std::mem::take).unwrap_or_default())
}

/// What is noted of every message, whatever its dialect: where it ends (a stored body may be split there), its hash for
/// the prompt's prefix, and the working directory that one of the first states.
pub(super) struct Borders<'a> {
    text: &'a str,
    offsets: Vec<usize>,
    prefix: Prefix,
    workspace: Option<String>,
    messages: usize,
}

impl<'a> Borders<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            offsets: Vec::new(),
            prefix: Prefix::default(),
            workspace: None,
            messages: 0,
        }
    }

    /// A message: it ends a segment, and the first one also begins one.
    pub(super) fn message(&mut self, raw: Raw<'_>) {
        let span = json::span(self.text, raw);
        if self.offsets.is_empty() {
            self.offsets.push(span.start);
        }
        if self.offsets.len() < BORDERS {
            self.offsets.push(span.end);
        }
        self.prefix.message(raw);
        if self.workspace.is_none() && self.messages < PLACES {
            self.workspace = workspace::find(raw.get());
        }
        self.messages += 1;
    }
}

/// The members of the body that matter.
#[derive(Default)]
struct Top<'a> {
    model: Option<Raw<'a>>,
    model_count: usize,
    stream: Option<bool>,
    streams: usize,
    stream_options: Option<Raw<'a>>,
    stream_options_count: usize,
    messages: Option<Raw<'a>>,
    input: Option<Raw<'a>>,
    /// Gemini's messages.
    contents: Option<Raw<'a>>,
    /// What the old completions go on from.
    prompt: Option<Raw<'a>>,
    tools: Option<Raw<'a>>,
    system: Option<Raw<'a>>,
    /// Where Converse has its tools.
    tool_config: Option<Raw<'a>>,
    models: Vec<Raw<'a>>,
    metadata: Option<Raw<'a>>,
    client_metadata: Option<Raw<'a>>,
    conversation: Option<Raw<'a>>,
    prompt_cache_key: Option<Raw<'a>>,
    previous_response: Option<Raw<'a>>,
    service_tier: Option<Raw<'a>>,
    /// It has `anthropic_version`.
    anthropic: bool,
    /// It has what Amazon's own models have.
    amazon: bool,
    cached_content: Option<Raw<'a>>,
    container: Option<Raw<'a>>,
    store: Option<Raw<'a>>,
}

impl<'a> Top<'a> {
    fn read(text: &'a str) -> Result<Self, BadRequest> {
        let mut top = Self::default();
        let mut models = 0;
        json::object(text, |key, value| match key {
            "model" => {
                top.model = Some(value);
                models += 1;
            }
            "stream" => {
                top.stream = Some(json::is_true(value));
                top.streams += 1;
            }
            "stream_options" => {
                top.stream_options = Some(value);
                top.stream_options_count += 1;
            }
            "messages" => top.messages = Some(value),
            "input" => top.input = Some(value),
            "contents" => top.contents = Some(value),
            "prompt" => top.prompt = Some(value),
            "tools" => top.tools = Some(value),
            "system" | "instructions" | "systemInstruction" | "system_instruction" => {
                top.system = Some(value);
            }
            "metadata" | "requestMetadata" => top.metadata = Some(value),
            "toolConfig" => top.tool_config = Some(value),
            "anthropic_version" => top.anthropic = true,
            "schemaVersion" | "inferenceConfig" => top.amazon = true,
            "client_metadata" => top.client_metadata = Some(value),
            "conversation" => top.conversation = Some(value),
            "prompt_cache_key" => top.prompt_cache_key = Some(value),
            "previous_response_id" => top.previous_response = Some(value),
            "service_tier" | "serviceTier" => top.service_tier = Some(value),
            "cachedContent" | "cached_content" => top.cached_content = Some(value),
            "container" => top.container = Some(value),
            "store" => top.store = Some(value),
            other if other.eq_ignore_ascii_case("model") => models += 1,
            other if other.eq_ignore_ascii_case("models") => top.models.push(value),
            _ => {}
        })
        .map_err(BadRequest::NotJson)?;
        top.model_count = models;
        Ok(top)
    }

    /// The model, if there is no doubt about it.
    fn model(&self) -> Result<Cow<'a, str>, BadRequest> {
        if self.model_count > 1 {
            return Err(BadRequest::TwoModels);
        }
        json::string(self.model.ok_or(BadRequest::NoModel)?)
            .filter(|model| !model.is_empty())
            .ok_or(BadRequest::BadModel)
    }

    /// Whether a container may be made, or goes on.
    fn may_run_code(&self) -> bool {
        self.container
            .is_some_and(|container| !json::is_null(container))
            || self.tools.is_some_and(|tools| {
                memchr::memmem::find(tools.get().as_bytes(), b"code_execution").is_some()
            })
    }

    /// Where ids of stored objects may stand.
    fn places(&self) -> Places<'a> {
        Places {
            messages: self.messages,
            input: self.input,
            contents: self.contents,
            previous_response: self.previous_response,
            conversation: self.conversation,
            cached_content: self.cached_content,
            container: self.container,
        }
    }

    /// Reads the history, wherever the dialect has it.
    fn history(
        &self,
        endpoint: Endpoint,
        conversation: &mut Conversation<'a>,
        borders: &mut Borders<'_>,
    ) {
        match (endpoint.dialect(), self.messages, self.input) {
            (Dialect::AnthropicMessages | Dialect::GoogleRawPredict, Some(messages), _) => {
                anthropic::history(messages, conversation, borders);
            }
            (Dialect::BedrockConverse, Some(messages), _) => {
                converse::history(messages, conversation, borders);
            }
            // Claude must state its version; Amazon's own models speak as Converse does; most others as chat.
            (Dialect::BedrockModelInvoke, Some(messages), _) => {
                if self.anthropic {
                    anthropic::history(messages, conversation, borders);
                } else if self.amazon {
                    converse::history(messages, conversation, borders);
                } else {
                    chat::history(messages, conversation, borders);
                }
            }
            // Some clients send a responses body to the chat endpoint and the other way round: the shape decides.
            (Dialect::OpenaiChat, Some(messages), _)
            | (Dialect::OpenaiResponses, Some(messages), None) => {
                chat::history(messages, conversation, borders);
            }
            (Dialect::OpenaiChat | Dialect::OpenaiResponses, _, Some(input)) => {
                responses::history(input, conversation, borders);
            }
            (Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent, ..) => {
                if let Some(contents) = self.contents {
                    gemini::history(contents, conversation, borders);
                }
            }
            (Dialect::OpenaiChat | Dialect::BedrockModelInvoke, None, None) => {
                if let Some(prompt) = self.prompt {
                    chat::prompt(prompt, conversation);
                }
            }
            (_, None, _) => {}
        }
    }

    fn tools(&self) -> Option<Raw<'a>> {
        let converse = || json::get(self.tool_config?, "tools");
        self.tools.or_else(converse)
    }

    fn service_tier(&self) -> Option<String> {
        let tier = self.service_tier?;
        owned(tier).or_else(|| json::get(tier, "type").and_then(owned))
    }

    /// What the members say of the session.
    fn hints(&self, endpoint: Endpoint, hints: &mut SessionHints) {
        let client = |name| {
            let value = json::get(self.client_metadata?, name);
            value.and_then(owned)
        };
        let user_id = self
            .metadata
            .and_then(|metadata| json::get(metadata, "user_id"))
            .and_then(json::string)
            .and_then(|user| session_of_user_id(&user));
        let conversation = self.conversation.and_then(|conversation| {
            owned(conversation).or_else(|| json::get(conversation, "id").and_then(owned))
        });
        let metadata = self.metadata.and_then(session_of_metadata);
        hints.explicit = [user_id, client("session_id"), conversation, metadata]
            .into_iter()
            .flatten()
            .collect();
        hints.cache_key = self.prompt_cache_key.and_then(owned);
        hints.thread = client("thread_id");
        hints.subagent = client("x-openai-subagent");
        hints.parent_thread =
            client("x-codex-parent-thread-id").or_else(|| client("parent_thread_id"));
        hints.previous_response = self.previous_response.and_then(owned);
        hints.has_tools = self.tools().is_some_and(|tools| tools.get().len() > 2);
        hints.client_calls = matches!(
            endpoint.dialect(),
            Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent
        );
    }

    fn other_models(&self) -> Result<Vec<String>, BadRequest> {
        let mut models = Vec::new();
        let mut unreadable = false;
        for list in &self.models {
            json::elements(*list, |model| match owned(model) {
                Some(model) if models.len() < OTHER_MODELS => models.push(model),
                _ => unreadable = true,
            });
        }
        if unreadable {
            return Err(BadRequest::BadModel);
        }
        Ok(models)
    }

    fn include_usage(&self, text: &str) -> IncludeUsage {
        if self.streams > 1 || self.stream_options_count > 1 {
            return IncludeUsage::NotApplicable;
        }
        let missing = |at, text| IncludeUsage::Missing(Splice { at, text });
        let Some(options) = self.stream_options else {
            let at = text.find('{').map_or(0, |brace| brace + 1);
            return missing(at..at, r#""stream_options":{"include_usage":true},"#);
        };
        let span = json::span(text, options);
        if json::is_null(options) {
            return missing(span, r#"{"include_usage":true}"#);
        }
        if !json::is_object(options) {
            return IncludeUsage::NotApplicable;
        }
        let (mut members, mut asked) = (0, Vec::new());
        json::members(options, |key, value| {
            members += 1;
            if key == "include_usage" {
                asked.push(value);
            }
        });
        let inside = span.start + 1;
        match asked[..] {
            [] if members == 0 => missing(inside..inside, r#""include_usage":true"#),
            [] => missing(inside..inside, r#""include_usage":true,"#),
            [value] if json::is_true(value) => IncludeUsage::Asked,
            [value] => missing(json::span(text, value), "true"),
            _ => IncludeUsage::NotApplicable,
        }
    }
}

/// The session in Claude Code's `metadata.user_id`: a JSON text with `session_id`, or what follows `_session_`.
fn session_of_user_id(user_id: &str) -> Option<String> {
    let mut session = None;
    let _ = json::object(user_id, |key, value| {
        if key == "session_id" {
            session = owned(value);
        }
    });
    session.or_else(|| {
        let (_, session) = user_id.rsplit_once("_session_")?;
        (!session.is_empty()).then(|| session.to_owned())
    })
}

/// The session in free metadata: the first member whose name begins with `session`.
fn session_of_metadata(metadata: Raw<'_>) -> Option<String> {
    let mut session = None;
    json::members(metadata, |key, value| {
        if session.is_none()
            && key
                .get(..7)
                .is_some_and(|name| name.eq_ignore_ascii_case("session"))
        {
            session = owned(value);
        }
    });
    session
}

fn owned(raw: Raw<'_>) -> Option<String> {
    json::string(raw)
        .filter(|text| !text.is_empty())
        .map(Cow::into_owned)
}

#[cfg(test)]
mod formats;
#[cfg(test)]
mod tests;

//! Gemini: `models/{model}:generateContent` and its siblings, here and on Vertex.
//!
//! The path names the model and whether the reply is streamed. A stream is
//! server-sent events with `alt=sse`, else one JSON array that arrives in
//! pieces. Every chunk reports usage, but only the last one that of the reply.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::route::decoded;
use super::{Dialect, Failure, Framing, Operation, Route, Target};
use crate::answer::{Answer, pieces};
use crate::conversation::{Conversation, Head, Offered, ToolKind, Wanted, items, texts};
use crate::improvise;
use crate::json::{Json, Object, object};
use crate::script::Stop;
use crate::tokens::{Caching, Usage};

/// generativelanguage.googleapis.com
pub(super) static DIALECT: Dialect = Dialect {
    name: "gemini_generate_content",
    route: |target| route(target).filter(|_| !is_vertex(target)),
    whole: |_, answer| whole(answer, None),
    stream: |head, answer| stream(head, answer, None),
    ..SHARED
};

/// aiplatform.googleapis.com, with and without a project.
pub(super) static VERTEX: Dialect = Dialect {
    name: "google_generate_content",
    route: |target| route(target).filter(|_| is_vertex(target)),
    whole: |_, answer| whole(answer, TRAFFIC),
    stream: |head, answer| stream(head, answer, TRAFFIC),
    ..SHARED
};

/// The kind of traffic that Vertex charges for.
const TRAFFIC: Option<&str> = Some("ON_DEMAND");

const SHARED: Dialect = Dialect {
    name: "",
    route,
    head,
    conversation,
    whole: |_, answer| whole(answer, None),
    stream: |head, answer| stream(head, answer, None),
    stream_type: "text/event-stream",
    side,
    failure,
    stream_failure,
    request_id: None,
    headers: &[
        ("vary", "Origin, X-Origin, Referer"),
        ("server", "scripted"),
        ("server-timing", "gfet4t7; dur=5"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
    ],
    usage_headers: super::no_usage_headers,
    failure_headers: super::no_failure_headers,
};

fn is_vertex(target: &Target<'_>) -> bool {
    target.path.contains("/publishers/google/")
}

fn route(target: &Target<'_>) -> Option<Route> {
    let (before, last) = target.path.rsplit_once('/')?;
    if !before.ends_with("/models") && !before.ends_with("/tunedModels") {
        return None;
    }
    let last = decoded(last);
    let (model, verb) = last.rsplit_once(':')?;
    let operation = match verb {
        "generateContent" | "streamGenerateContent" => Operation::Generate,
        "countTokens" => Operation::Count,
        "embedContent" => Operation::Embed,
        "batchEmbedContents" => Operation::EmbedBatch,
        _ => return None,
    };
    let framing = if target.query.split('&').any(|pair| pair == "alt=sse") {
        Framing::Events
    } else {
        Framing::Array
    };
    Some(Route {
        operation,
        model: Some(model.to_owned()),
        framing: (verb == "streamGenerateContent").then_some(framing),
    })
}

// === requests ===

/// Requests are JSON by the rules of protocol buffers: fields go by two names.
#[derive(Deserialize)]
struct HeadFields {
    #[serde(alias = "generation_config")]
    generation_config: Option<Limits>,
    requests: Option<Vec<IgnoredAny>>,
    #[serde(alias = "output_dimensionality", rename = "outputDimensionality")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Limits {
    #[serde(alias = "max_output_tokens", rename = "maxOutputTokens")]
    max_output_tokens: Option<u64>,
}

fn head(route: &Route, body: &[u8]) -> Result<Head, serde_json::Error> {
    let fields: HeadFields = serde_json::from_slice(body)?;
    Ok(Head {
        max_tokens: fields
            .generation_config
            .and_then(|limits| limits.max_output_tokens),
        wanted: Wanted {
            count: fields.requests.map_or(1, |requests| requests.len()),
            dimensions: fields.dimensions,
            is_packed: false,
        },
        ..route.head()
    })
}

/// A field by either of its names.
fn either<'a>(value: &'a Value, camel: &str, snake: &str) -> &'a Value {
    match &value[camel] {
        Value::Null => &value[snake],
        found => found,
    }
}

/// A list, or the one thing that stands where a list may.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    items(value).chain(value.is_object().then_some(value))
}

fn conversation(body: &[u8]) -> Result<Conversation, serde_json::Error> {
    let request: Value = serde_json::from_slice(body)?;
    let config = either(&request, "generationConfig", "generation_config");
    let schema = ["responseJsonSchema", "responseSchema", "response_schema"]
        .into_iter()
        .find_map(|name| config.get(name));
    let cached = either(&request, "cachedContent", "cached_content");
    let mut conversation = Conversation {
        schema: schema.cloned(),
        caching: if cached.is_string() {
            Caching::Named
        } else {
            Caching::Automatic
        },
        ..Conversation::default()
    };
    for tool in list(&request["tools"]) {
        let declared = either(tool, "functionDeclarations", "function_declarations");
        conversation
            .tools
            .extend(list(declared).filter_map(offered));
    }
    let system = either(&request, "systemInstruction", "system_instruction");
    conversation.system_said(if system.is_object() {
        &system["parts"]
    } else {
        system
    });
    for content in list(&request["contents"]) {
        take_in(&mut conversation, content);
    }
    Ok(conversation)
}

fn take_in(conversation: &mut Conversation, content: &Value) {
    if content["role"] == "model" {
        conversation.model_said();
        return;
    }
    for part in list(&content["parts"]) {
        let answered = either(part, "functionResponse", "function_response");
        if answered.is_object() {
            conversation.tool_said(&tool_text(&answered["response"]));
        }
    }
    texts(&content["parts"]).for_each(|text| conversation.user_said(text));
}

/// What a function answered: clients put the text where they like.
fn tool_text(response: &Value) -> Value {
    let known = ["output", "result", "content", "error"];
    let text = known.into_iter().find_map(|name| {
        let value = &response[name];
        value.as_str().or_else(|| value["text"].as_str())
    });
    Value::String(text.map_or_else(|| response.to_string(), str::to_owned))
}

fn offered(tool: &Value) -> Option<Offered> {
    let schema = [
        "parametersJsonSchema",
        "parameters_json_schema",
        "parameters",
    ]
    .into_iter()
    .find_map(|name| tool.get(name));
    Some(Offered {
        name: tool["name"].as_str()?.to_owned(),
        kind: ToolKind::Function,
        namespace: None,
        schema: schema.cloned().unwrap_or_default(),
    })
}

// === replies ===

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        // A turn that ends in a call says the same.
        Stop::End | Stop::Tool => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
    }
}

fn modality(name: &str, tokens: u64) -> Json {
    object! {"modality": name, "tokenCount": tokens}
}

/// The tokens of a side by what they stand for; text is what is left.
fn modalities(total: u64, audio: u64, image: u64) -> Vec<Json> {
    let text = modality("TEXT", total.saturating_sub(audio + image));
    let others = [("AUDIO", audio), ("IMAGE", image)];
    let others = others.into_iter().filter(|(_, tokens)| *tokens > 0);
    [text]
        .into_iter()
        .chain(others.map(|(name, tokens)| modality(name, tokens)))
        .collect()
}

/// The figures: the prompt's alone while the reply is under way, all at its end.
fn usage(usage: &Usage, traffic: Option<&str>, is_final: bool) -> Json {
    let prompt = usage.prompt().saturating_sub(usage.input_tool);
    let opening = Object::new().field("promptTokenCount", &prompt);
    if !is_final {
        return opening.field("totalTokenCount", &prompt).finish();
    }
    let said = usage.output.saturating_sub(usage.reasoning);
    let prompt_details = modalities(prompt, usage.input_audio, usage.input_image);
    let opening = opening
        .field_if(
            "cachedContentTokenCount",
            (usage.cache_read > 0).then_some(&usage.cache_read),
        )
        .field("candidatesTokenCount", &said)
        .field("thoughtsTokenCount", &usage.reasoning)
        .field("toolUsePromptTokenCount", &usage.input_tool)
        .field(
            "totalTokenCount",
            &(usage.prompt() + said + usage.reasoning),
        )
        .field("promptTokensDetails", &prompt_details);
    let said_otherwise = usage.output_audio + usage.output_image > 0;
    let said_details =
        said_otherwise.then(|| modalities(said, usage.output_audio, usage.output_image));
    opening
        .field_if("candidatesTokensDetails", said_details.as_ref())
        .field_if("trafficType", traffic)
        .finish()
}

fn parts(answer: &Answer, pieces: fn(&str, Option<usize>) -> Vec<&str>) -> Vec<Json> {
    let thought = |text: &str| object! {"text": text, "thought": true};
    let text = |text: &str| object! {"text": text};
    let cut = |whole: &String, part: &dyn Fn(&str) -> Json| -> Vec<Json> {
        pieces(whole, answer.chunks).into_iter().map(part).collect()
    };
    let mut parts = Vec::new();
    parts.extend(
        answer
            .thinking
            .iter()
            .flat_map(|whole| cut(whole, &thought)),
    );
    parts.extend(answer.text.iter().flat_map(|whole| cut(whole, &text)));
    for call in &answer.calls {
        let named = object! {"name": call.name, "args": call.input_json()};
        parts.push(object! {"functionCall": named, "thoughtSignature": "c2NyaXB0ZWQ="});
    }
    parts
}

fn searches(count: u64) -> Json {
    let queries: Vec<String> = (1..=count)
        .map(|n| format!("scripted search {n}"))
        .collect();
    object! {"webSearchQueries": queries}
}

/// A whole reply, or one chunk of a stream; the last one says how it ended.
fn reply(answer: &Answer, parts: &[Json], is_last: bool, traffic: Option<&str>) -> Json {
    let stop = is_last.then(|| finish_reason(answer.stop));
    let grounding =
        (is_last && answer.usage.web_searches > 0).then(|| searches(answer.usage.web_searches));
    let candidate = Object::new()
        .field("content", &object! {"role": "model", "parts": parts})
        .field_if("finishReason", stop)
        .field("index", &0_u64)
        .field_if("groundingMetadata", grounding.as_ref())
        .finish();
    object! {
        "candidates": [candidate],
        "usageMetadata": usage(&answer.usage, traffic, is_last),
        "modelVersion": answer.model, "responseId": format!("scripted-{}", answer.id),
    }
}

fn whole(answer: &Answer, traffic: Option<&str>) -> Json {
    let parts = parts(answer, |text, _| vec![text]);
    reply(answer, &parts, true, traffic)
}

fn stream(head: &Head, answer: &Answer, traffic: Option<&str>) -> Vec<Bytes> {
    let mut parts = parts(answer, pieces);
    if parts.is_empty() {
        parts.push(object! {"text": ""});
    }
    let last = parts.len() - 1;
    let chunks = parts.chunks(1).enumerate();
    chunks
        .map(|(place, part)| {
            let is_last = place == last;
            let chunk = reply(answer, part, is_last, traffic);
            framed(head.framing, chunk.as_str(), place, is_last)
        })
        .collect()
}

/// A chunk as it goes on the wire.
fn framed(framing: Framing, chunk: &str, place: usize, is_last: bool) -> Bytes {
    if framing == Framing::Events {
        return Bytes::from(format!("data: {chunk}\r\n\r\n"));
    }
    let before = if place == 0 { "[" } else { "\n,\r\n" };
    let after = if is_last { "\n]\n" } else { "" };
    Bytes::from(format!("{before}{chunk}{after}"))
}

fn side(operation: Operation, head: &Head, answer: &Answer) -> Json {
    let total = answer.usage.prompt();
    let vector = |place: usize| {
        let values = improvise::vector(place, head.wanted.dimensions);
        object! {"values": values}
    };
    match operation {
        Operation::Embed => object! {"embedding": vector(0)},
        Operation::EmbedBatch => {
            let all: Vec<Json> = (0..head.wanted.count).map(vector).collect();
            object! {"embeddings": all}
        }
        _ => object! {
            "totalTokens": total, "promptTokensDetails": modalities(total, 0, 0),
        },
    }
}

fn failure(failure: &Failure<'_>) -> Json {
    let error = envelope(failure);
    if failure.framing == Framing::Array {
        return Json::raw(format!("[{}\n]\n", error.as_str()));
    }
    error
}

fn envelope(failure: &Failure<'_>) -> Json {
    let status = failure.kind.unwrap_or(match failure.status {
        400 | 422 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    });
    // Google knows no status beyond HTTP's own.
    let code = if failure.status == 529 {
        503
    } else {
        u64::from(failure.status)
    };
    let error = object! {
        "code": code, "message": failure.message, "status": status,
        "details": Vec::<Json>::new(),
    };
    object! {"error": error}
}

fn stream_failure(failure: &Failure<'_>, after: usize) -> Bytes {
    framed(failure.framing, envelope(failure).as_str(), after, true)
}

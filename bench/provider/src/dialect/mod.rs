//! The wire formats, one file each, behind one table.
//!
//! A dialect is a value: functions that read its requests and word its replies.
//! Adding one is a file and a line in [`DIALECTS`]. Comes in: a target, request
//! bytes and an answer. Goes out: reply bytes, one piece per event of a stream.

mod anthropic;
mod bedrock;
mod bedrock_converse;
mod bedrock_invoke;
mod gemini;
mod openai;
mod openai_chat;
mod openai_completions;
mod openai_flavour;
mod openai_items;
mod openai_responses;
mod raw_predict;
mod route;

pub(crate) use openai_responses::id as response_id;
pub(crate) use route::{Framing, Operation, Route, Target, decoded};

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use crate::answer::Answer;
use crate::conversation::{Conversation, Head};
use crate::json::Json;
use crate::tokens::Usage;

/// Every dialect that is spoken here; where two know a path, the first one has it.
static DIALECTS: [&Dialect; 9] = [
    &raw_predict::DIALECT,
    &gemini::VERTEX,
    &gemini::DIALECT,
    &bedrock_invoke::DIALECT,
    &bedrock_converse::DIALECT,
    &anthropic::DIALECT,
    &openai_chat::DIALECT,
    &openai_responses::DIALECT,
    &openai_completions::DIALECT,
];

/// One wire format.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// The name in the log, which is the gateway's name for it.
    pub(crate) name: &'static str,
    /// What is asked for at that target, if its path is this dialect's.
    pub(crate) route: fn(&Target<'_>) -> Option<Route>,
    pub(crate) head: fn(&Route, &[u8]) -> Result<Head, serde_json::Error>,
    pub(crate) conversation: fn(&[u8]) -> Result<Conversation, serde_json::Error>,
    /// The whole reply.
    pub(crate) whole: fn(&Head, &Answer) -> Json,
    /// The events of a streamed reply, each as it goes on the wire.
    pub(crate) stream: fn(&Head, &Answer) -> Vec<Bytes>,
    pub(crate) stream_type: &'static str,
    /// The reply to a request that is not for words: a count, vectors and the like.
    pub(crate) side: fn(Operation, &Head, &Answer) -> Json,
    pub(crate) failure: fn(&Failure<'_>) -> Json,
    /// The event by which a stream fails, after that many events.
    pub(crate) stream_failure: fn(&Failure<'_>, usize) -> Bytes,
    /// The header that names the request, if there is one.
    pub(crate) request_id: Option<&'static str>,
    /// Headers that the real provider sends with every reply.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// Headers by which a whole reply tells its figures.
    pub(crate) usage_headers: fn(&Usage) -> Vec<(&'static str, u64)>,
    /// Headers by which an error tells its type.
    pub(crate) failure_headers: fn(&Failure<'_>) -> Vec<(&'static str, String)>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) status: u16,
    pub(crate) kind: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) code: Option<&'a str>,
    pub(crate) request_id: &'a str,
    /// How the reply would have been framed, had it come.
    pub(crate) framing: Framing,
}

/// The dialect of a request, and what it asks for.
pub(crate) fn of(method: &Method, target: &Target<'_>) -> Option<(&'static Dialect, Route)> {
    if *method != Method::POST {
        return None;
    }
    of_path(target)
}

fn of_path(target: &Target<'_>) -> Option<(&'static Dialect, Route)> {
    DIALECTS
        .iter()
        .find_map(|dialect| (dialect.route)(target).map(|route| (*dialect, route)))
}

/// Whose lists, stored objects and errors a request means, where paths don't say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Anthropic,
    Google,
    Vertex,
    Bedrock,
}

impl Family {
    /// The family of a request that names no operation of a model.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        let names = |part: &str| path.contains(part);
        let brings = |name: &str| headers.contains_key(name);
        if names("/publishers/") || names("/projects/") {
            Self::Vertex
        } else if brings("x-goog-api-key")
            || brings("x-goog-api-client")
            || ["/v1beta/", "/v1alpha/", "/cachedContents", "/upload/"]
                .into_iter()
                .any(names)
        {
            Self::Google
        } else if brings("anthropic-version") {
            Self::Anthropic
        } else if brings("x-amz-date")
            || ["/model/", "/inference-profiles", "/foundation-models"]
                .into_iter()
                .any(names)
        {
            Self::Bedrock
        } else {
            Self::OpenAi
        }
    }
}

/// The dialect in which an error is worded, and how its reply would have been framed.
pub(crate) fn for_errors(target: &Target<'_>, headers: &HeaderMap) -> (&'static Dialect, Framing) {
    if let Some((dialect, route)) = of_path(target) {
        return (dialect, route.framing.unwrap_or_default());
    }
    let dialect = match Family::of(target.path, headers) {
        Family::OpenAi => &openai_chat::DIALECT,
        Family::Anthropic => &anthropic::DIALECT,
        Family::Google => &gemini::DIALECT,
        Family::Vertex => &gemini::VERTEX,
        Family::Bedrock => &bedrock_converse::DIALECT,
    };
    (dialect, Framing::default())
}

/// For dialects that tell their figures in the body alone.
fn no_usage_headers(_: &Usage) -> Vec<(&'static str, u64)> {
    Vec::new()
}

/// For dialects whose errors are told in the body alone.
fn no_failure_headers(_: &Failure<'_>) -> Vec<(&'static str, String)> {
    Vec::new()
}

/// A server-sent event with a name.
fn event(name: &str, data: &Json) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {}\n\n", data.as_str()))
}

/// A server-sent event without a name.
fn data(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

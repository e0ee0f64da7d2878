//! The wire formats, one file each, behind one table.
//!
//! A dialect is a value: functions that read its requests and word its replies.
//! Adding one is a file and a line in [`DIALECTS`]. Comes in: request bytes and
//! an answer. Goes out: reply bytes, one piece per event of a stream.

mod anthropic;
mod openai;
mod openai_chat;
mod openai_responses;

use bytes::Bytes;
use hyper::Method;

use crate::answer::Answer;
use crate::conversation::{Conversation, Head};
use crate::json::Json;

/// Every dialect that is spoken here.
static DIALECTS: [&Dialect; 3] = [
    &anthropic::DIALECT,
    &openai_chat::DIALECT,
    &openai_responses::DIALECT,
];

/// One wire format.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(crate) name: &'static str,
    /// What is asked for at that path, if the path is this dialect's.
    pub(crate) operation: fn(&str) -> Option<Operation>,
    pub(crate) head: fn(&[u8]) -> Result<Head, serde_json::Error>,
    pub(crate) conversation: fn(&[u8]) -> Result<Conversation, serde_json::Error>,
    /// The whole reply.
    pub(crate) whole: fn(&Answer) -> Json,
    /// The events of a streamed reply, each as it goes on the wire.
    pub(crate) stream: fn(&Head, &Answer) -> Vec<Bytes>,
    pub(crate) stream_type: &'static str,
    /// The reply to a request that only counts its prompt.
    pub(crate) count: fn(u64) -> Json,
    pub(crate) failure: fn(&Failure<'_>) -> Json,
    /// The event by which a stream fails, after that many events.
    pub(crate) stream_failure: fn(&Failure<'_>, usize) -> Bytes,
    /// The header that names the request.
    pub(crate) request_id: &'static str,
    /// Headers that the real provider sends with every reply.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A reply of the model.
    Generate,
    /// The length of the prompt.
    Count,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) status: u16,
    pub(crate) kind: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) code: Option<&'a str>,
    pub(crate) request_id: &'a str,
}

/// The dialect of a request, and what it asks for.
pub(crate) fn of(method: &Method, path: &str) -> Option<(&'static Dialect, Operation)> {
    if *method != Method::POST {
        return None;
    }
    DIALECTS
        .iter()
        .find_map(|dialect| (dialect.operation)(path).map(|operation| (*dialect, operation)))
}

/// The dialect in which an error at that path is worded.
pub(crate) fn for_errors(path: &str, speaks_anthropic: bool) -> &'static Dialect {
    let of_path = DIALECTS
        .iter()
        .copied()
        .find(|dialect| (dialect.operation)(path).is_some());
    let fallback = if speaks_anthropic {
        &anthropic::DIALECT
    } else {
        &openai_chat::DIALECT
    };
    of_path.unwrap_or(fallback)
}

/// A server-sent event with a name.
fn event(name: &str, data: &Json) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {}\n\n", data.as_str()))
}

/// A server-sent event without a name.
fn data(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

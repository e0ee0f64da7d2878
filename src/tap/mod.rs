//! The parser that reads a copy of the bytes that pass.
//!
//! Owns: what is read out of a request ([`read_request`]) and out of a response ([`ResponseTap`]): model, usage, tools,
//! the marks by which `session` recognises a conversation, and the hashes by which it watches prompt caches. In: bytes, in
//! any split. Out: facts.
//! `json`, `decode` and `turn` are the tools; `sse`, `array` and `frames` the three forms of a stream; `anthropic`, `chat`,
//! `responses`, `gemini`, `converse` and `bedrock` know one dialect each: a new dialect is one more file and one more arm
//! where they are chosen.
//! Must not know: callers, providers, the store. Nothing here can fail a request, except that a body without a readable
//! model cannot be routed; everything is bounded, and what is not understood is counted, not guessed.

mod anthropic;
mod array;
mod bedrock;
mod chat;
mod conversation;
mod converse;
mod decode;
mod frames;
mod gemini;
mod json;
mod partial;
mod prefix;
mod references;
mod reply;
mod request;
mod response;
mod responses;
mod sse;
mod stored;
mod turn;
mod usage_chunk;
mod workspace;

pub use array::{ArrayItem, ArraySplitter};
pub use conversation::SessionHints;
pub use frames::{FrameDecoder, FrameItem};
pub use prefix::Prefix;
pub use references::REFERENCES;
pub use reply::Unstated;
pub(crate) use reply::about_tokens;
pub use request::{BadRequest, IncludeUsage, RequestFacts, Splice, read_request, read_request_to};
pub use response::{ResponseFacts, ResponseTap};
pub use sse::{SseDecoder, SseItem};
pub use stored::StoredIds;
pub use turn::chain;
pub(crate) use turn::first64;
pub use usage_chunk::UsageChunkFilter;

/// `text` cut to at most `limit` bytes, at a character.
pub(crate) fn clip(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

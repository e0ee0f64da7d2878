//! The closed list of edits to bodies, and the splicing that makes them.
//!
//! Owns: [`EDITS`], the one table of what may differ between the body that a client sends and the one that a provider gets
//! (and back), and the functions that do it. In: the original body and the facts that were read of it. Out: the same bytes
//! in pieces, with the replaced ones between them; nothing is parsed again, re-serialised or copied.
//! Must not know: why an edit is wanted.

use crate::tap::{RequestFacts, Splice};
use bytes::Bytes;

/// One kind of edit to a body.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// Its name in documents and tests.
    pub name: &'static str,
    /// When it is made.
    pub when: &'static str,
    /// What it changes.
    pub what: &'static str,
}

/// `provider/model` is sent on as `model`.
pub const STRIP_MODEL_PREFIX: Edit = Edit {
    name: "strip_model_prefix",
    when: "the client asks for `provider/model` and that is not itself a model's name",
    what: "request: the value of `model` becomes the bare name",
};

/// A chat stream is asked to report its usage.
pub const ADD_INCLUDE_USAGE: Edit = Edit {
    name: "add_include_usage",
    when: "a chat completion is streamed without `stream_options.include_usage`, and `inject_include_usage` is on",
    what: "request: `stream_options.include_usage` is set to true",
};

/// The chunk that this brings is not the client's.
pub const DROP_USAGE_CHUNK: Edit = Edit {
    name: "drop_usage_chunk",
    when: "`add_include_usage` was made and the response is not encoded",
    what: "response: the event with usage and without choices is left out",
};

/// Every edit to a body that this program makes. A body that meets none of the conditions passes byte for byte.
pub const EDITS: [Edit; 3] = [STRIP_MODEL_PREFIX, ADD_INCLUDE_USAGE, DROP_USAGE_CHUNK];

/// The request edits wanted for one body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The bare model name to send in place of the one that was asked for.
    pub bare_model: Option<&'a str>,
    /// The edit by which a chat stream will report its usage.
    pub include_usage: Option<&'a Splice>,
}

/// The body with the edits made; none when the model must be changed in a body that can't be edited (an encoded one).
pub fn edit_request(body: &Bytes, facts: &RequestFacts, wanted: Wanted<'_>) -> Option<Vec<Bytes>> {
    let mut splices = Vec::new();
    if let Some(bare) = wanted.bare_model {
        let quoted = serde_json::Value::from(bare).to_string();
        splices.push((facts.model_span.clone()?, Bytes::from(quoted)));
    }
    if let Some(splice) = wanted.include_usage {
        splices.push((
            splice.at.clone(),
            Bytes::from_static(splice.text.as_bytes()),
        ));
    }
    splices.sort_by_key(|(at, _)| at.start);
    let mut pieces = Vec::with_capacity(2 * splices.len() + 1);
    let mut from = 0;
    for (at, text) in splices {
        pieces.push(body.slice(from..at.start));
        pieces.push(text);
        from = at.end;
    }
    pieces.push(body.slice(from..));
    pieces.retain(|piece| !piece.is_empty());
    Some(pieces)
}

#[cfg(test)]
mod tests;

//! A script says how one request is answered; every part of it is optional.
//!
//! Comes in: JSON from a header, a prompt or the control endpoint, or a value
//! built by a test. Goes out: [`Script`], read by `answer`, which fills what it
//! leaves open from the request, and by `delivery`, which shapes the bytes. Knows
//! no dialect and no HTTP. The README documents every key.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::gate::Gate;

/// What a directive in a prompt begins with.
const MARKER: &str = "SCRIPT:";

/// How one request is answered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The text of the reply.
    pub text: Option<String>,
    /// Instead of a text: one of exactly this many tokens.
    pub tokens: Option<usize>,
    /// Thinking that comes before the text.
    pub thinking: Option<String>,
    /// A tool to call, unless the request brings a tool's result.
    pub tool: Option<Tool>,
    /// More tools to call after it.
    pub tools: Vec<Tool>,
    /// Why the reply ends, if not for the obvious reason.
    pub stop: Option<Stop>,
    /// The model that says it served the request, if not the one asked for.
    pub model: Option<String>,
    /// Token counts to report; what is left out follows the counting rule.
    pub usage: UsageScript,
    /// Whose deviations from the chat dialect the reply has.
    pub flavour: Option<Flavour>,
    /// Seconds for which a token of a cloud is good.
    pub expires_in: Option<u64>,
    /// The status; from 400 on the reply is an error of the dialect.
    pub status: Option<u16>,
    /// What an error says, in the reply or in the stream.
    pub error: ErrorScript,
    /// The `retry-after` header.
    pub retry_after: Option<String>,
    /// Headers to add or replace.
    pub headers: BTreeMap<String, String>,
    /// In how many pieces the text is streamed, or a plain body is written.
    pub chunks: Option<usize>,
    /// Cut the wire bytes into writes of this many bytes, whatever the events.
    pub split: Option<usize>,
    /// Milliseconds before the response head.
    pub delay_ms: u64,
    /// Milliseconds between writes.
    pub chunk_delay_ms: u64,
    /// Where to fall silent.
    pub stall: Option<Point>,
    /// For how long; for ever if left out.
    pub stall_ms: Option<u64>,
    /// Where to break the connection.
    pub cut: Option<Point>,
    /// How to break it.
    pub cut_how: CutHow,
    /// Where a stream reports an error and ends.
    pub error_at: Option<Point>,
    /// Bytes that are not what they should be.
    pub garbage: Option<Garbage>,
    /// Declare a content length that the body does not reach.
    pub wrong_length: bool,
    /// Send a plain body without a content length.
    pub chunked: bool,
    /// Bytes of filler headers to add.
    pub huge_headers: usize,
    /// Compress the body, flushed at every write.
    pub encoding: Option<Encoding>,
    /// The writes of the body, word for word, instead of a dialect's reply.
    #[serde(deserialize_with = "texts")]
    pub raw: Option<Vec<Bytes>>,
    /// The content type of a raw body.
    pub content_type: Option<String>,
    /// The name of the gate that holds the writes back.
    pub gate: Option<String>,
    /// The gate itself, when the test runs in this process.
    #[serde(skip)]
    pub gated: Option<Gate>,
}

/// A tool call to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The tool's name, as the request offers it.
    pub name: String,
    /// Its input: an object, or a text for a tool that takes free text.
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
}

/// Token counts that replace computed ones.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageScript {
    /// See [`crate::Usage::input`].
    pub input: Option<u64>,
    /// See [`crate::Usage::cache_read`].
    pub cache_read: Option<u64>,
    /// See [`crate::Usage::cache_write`].
    pub cache_write: Option<u64>,
    /// See [`crate::Usage::cache_write_long`].
    pub cache_write_long: Option<u64>,
    /// See [`crate::Usage::output`].
    pub output: Option<u64>,
    /// See [`crate::Usage::reasoning`].
    pub reasoning: Option<u64>,
    /// See [`crate::Usage::input_audio`].
    pub input_audio: Option<u64>,
    /// See [`crate::Usage::input_image`].
    pub input_image: Option<u64>,
    /// See [`crate::Usage::input_tool`].
    pub input_tool: Option<u64>,
    /// See [`crate::Usage::output_audio`].
    pub output_audio: Option<u64>,
    /// See [`crate::Usage::output_image`].
    pub output_image: Option<u64>,
    /// See [`crate::Usage::web_searches`].
    pub web_searches: Option<u64>,
}

/// A server that speaks the chat dialect in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// Comments in streams; figures always, with their cost.
    Openrouter,
    /// Figures and timings in the last chunk that has a choice.
    LlamaCpp,
    /// Figures in every chunk for who asks by `continuous_usage_stats`.
    Vllm,
    /// Figures without details, and only for who asks.
    Ollama,
}

/// The words of an error; the status decides what is left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorScript {
    /// The error's type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The sentence for people.
    pub message: Option<String>,
    /// The error's code, where the dialect has one.
    pub code: Option<String>,
}

/// Why a reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// Everything was said.
    End,
    /// The limit of output tokens was reached.
    Length,
    /// The model waits for a tool's result.
    Tool,
    /// The provider's filter ended it.
    Refusal,
}

/// A place in the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PointForm")]
pub enum Point {
    /// Before the response head.
    BeforeHead,
    /// After the head, before the first write.
    AfterHead,
    /// After half of the writes.
    MidStream,
    /// After that many writes.
    Chunk(usize),
}

/// How a connection is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CutHow {
    /// The socket is closed.
    #[default]
    Fin,
    /// The socket is reset.
    Rst,
    /// Only the h2 stream is reset; on HTTP/1.1 the socket is closed.
    Stream,
}

/// What is garbled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "GarbageForm")]
pub enum Garbage {
    /// The response head: bytes that are not HTTP.
    Head,
    /// The body: bytes that are neither JSON nor events.
    Body,
}

/// A content encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// gzip
    Gzip,
    /// zlib, as HTTP means it
    Deflate,
    /// brotli
    Br,
    /// zstd
    Zstd,
}

/// A directive that is not a script.
#[derive(Debug, thiserror::Error)]
#[error("bad script: {0}")]
pub struct BadScript(#[from] serde_json::Error);

// === impl Script ===

impl Script {
    /// Answers with that text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// Answers with that status and the dialect's error for it.
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// Writes exactly these bytes, one write each.
    pub fn raw(content_type: &str, writes: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            raw: Some(writes.into_iter().collect()),
            content_type: Some(content_type.to_owned()),
            ..Self::default()
        }
    }

    /// Holds the writes back until the gate lets them pass.
    #[must_use]
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.gated = Some(gate.clone());
        self
    }

    /// A script from its JSON form.
    pub fn from_json(json: &str) -> Result<Self, BadScript> {
        Ok(serde_json::from_str(json)?)
    }

    /// The script that a prompt carries after `SCRIPT:`, if it does.
    pub(crate) fn in_prompt(prompt: &str) -> Option<Result<Self, BadScript>> {
        let (_, rest) = prompt.split_once(MARKER)?;
        // What follows the object belongs to the prompt.
        let mut found = serde_json::Deserializer::from_str(rest).into_iter::<Self>();
        found.next().map(|script| script.map_err(BadScript))
    }

    /// Whether the reply can be made without reading the conversation.
    pub(crate) fn is_complete(&self) -> bool {
        let says_all = self.text.is_some() || self.tokens.is_some();
        let counts_all = self.usage.input.is_some() && self.usage.output.is_some();
        self.is_verbatim()
            || (says_all && counts_all && self.tool.is_none() && self.tools.is_empty())
    }

    /// Whether the reply doesn't depend on the request at all.
    pub(crate) fn is_verbatim(&self) -> bool {
        self.raw.is_some() || self.is_error()
    }

    /// Whether the reply is an error by its status.
    pub(crate) fn is_error(&self) -> bool {
        self.status.is_some_and(|status| status >= 400)
    }
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Bytes>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(Some(texts.into_iter().map(Bytes::from).collect()))
}

// === impl Point, impl Garbage ===

#[derive(Deserialize)]
#[serde(untagged)]
enum PointForm {
    Chunk(usize),
    Name(String),
}

impl TryFrom<PointForm> for Point {
    type Error = String;

    fn try_from(form: PointForm) -> Result<Self, String> {
        match form {
            PointForm::Chunk(count) => Ok(Self::Chunk(count)),
            PointForm::Name(name) => match name.as_str() {
                "before_head" => Ok(Self::BeforeHead),
                "after_head" => Ok(Self::AfterHead),
                "mid_stream" => Ok(Self::MidStream),
                _ => Err(format!(
                    "`{name}` is no place; use before_head, after_head, mid_stream or a number of writes"
                )),
            },
        }
    }
}

impl Point {
    /// How many of the writes come before it; none for a point before the head.
    pub(crate) fn after(self, writes: usize) -> Option<usize> {
        match self {
            Self::BeforeHead => None,
            Self::AfterHead => Some(0),
            Self::MidStream => Some(writes / 2),
            Self::Chunk(count) => Some(count.min(writes)),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GarbageForm {
    Body(bool),
    Name(String),
}

impl TryFrom<GarbageForm> for Garbage {
    type Error = String;

    fn try_from(form: GarbageForm) -> Result<Self, String> {
        match form {
            GarbageForm::Body(true) => Ok(Self::Body),
            GarbageForm::Body(false) => {
                Err("leave garbage out instead of setting it to false".into())
            }
            GarbageForm::Name(name) => match name.as_str() {
                "head" => Ok(Self::Head),
                "body" => Ok(Self::Body),
                _ => Err(format!("`{name}` can't be garbled; use head or body")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Garbage, Point, Script};

    #[test]
    fn a_prompt_may_say_more_after_its_script() {
        let prompt = r#"hello SCRIPT: {"text":"a } b","stall":"mid_stream","cut":3} and more"#;
        let script = Script::in_prompt(prompt).unwrap().unwrap();
        assert_eq!(script.text.as_deref(), Some("a } b"));
        assert_eq!(script.stall, Some(Point::MidStream));
        assert_eq!(script.cut, Some(Point::Chunk(3)));
        assert!(Script::in_prompt("no directive here").is_none());
    }

    #[test]
    fn a_misspelt_key_or_place_is_told() {
        let message = |json| Script::from_json(json).unwrap_err().to_string();
        assert!(message(r#"{"txet":"x"}"#).contains("unknown field `txet`"));
        assert!(message(r#"{"stall":"later"}"#).contains("`later` is no place"));
        assert!(message(r#"{"garbage":"tail"}"#).contains("`tail` can't be garbled"));
        assert!(Script::in_prompt("SCRIPT: {nonsense").unwrap().is_err());
    }

    #[test]
    fn garbage_may_be_a_flag() {
        let garbage = |json| Script::from_json(json).unwrap().garbage;
        assert_eq!(garbage(r#"{"garbage":true}"#), Some(Garbage::Body));
        assert_eq!(garbage(r#"{"garbage":"head"}"#), Some(Garbage::Head));
    }
}

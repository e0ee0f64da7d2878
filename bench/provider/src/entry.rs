//! Entries of the log: what was received, what was answered, how it ended.
//!
//! Comes in: values from `log`. Goes out: the same, for tests in this process,
//! and their JSON form for others. The README describes the fields.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode, Version};
use tokio::time::Instant;

use crate::json::{Json, Object, object};
use crate::tokens::Usage;

/// One request and its answer, as far as it has come.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What came.
    pub request: Arc<Received>,
    /// What went.
    pub answer: Answered,
}

/// A request as it was received.
#[derive(Debug)]
pub struct Received {
    /// The number of the request; the first is 1.
    pub seq: u64,
    /// The number of its connection.
    pub connection: u64,
    /// When its body was complete.
    pub at: SystemTime,
    /// The protocol it came by.
    pub protocol: Version,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// Its headers, in their order.
    pub headers: HeaderMap,
    /// The length of its body.
    pub body_len: u64,
    /// The body's blake3 hash in hex, unless hashing is off.
    pub body_blake3: Option<String>,
    /// The body, unless it was larger than what is kept.
    pub body: Option<Bytes>,
    /// The dialect of its path.
    pub dialect: Option<&'static str>,
    /// The model it names.
    pub model: Option<String>,
    pub(crate) started: Instant,
}

/// An answer as far as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// The status, once decided.
    pub status: Option<StatusCode>,
    /// The response headers, once decided.
    pub headers: HeaderMap,
    /// The token counts of the whole answer, whether or not it came to report them.
    pub usage: Option<Usage>,
    /// All chunks of the answer, each one write; empty if too large to keep.
    pub chunks: Arc<[Bytes]>,
    /// How many chunks the answer has.
    pub chunks_planned: usize,
    /// How many of them were handed to the connection.
    pub chunks_sent: usize,
    /// How many bytes that was.
    pub bytes_sent: u64,
    /// The hash of those bytes, once ended, unless hashing is off.
    pub sent_blake3: Option<String>,
    /// From the complete request to the first chunk.
    pub first_chunk_after: Option<Duration>,
    /// From the complete request to the end.
    pub ended_after: Option<Duration>,
    /// How it ended, once it did.
    pub end: Option<End>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it was handed to the connection.
    Complete,
    /// The client closed the connection or cancelled the stream before that.
    ClientGone,
    /// The script broke the connection.
    Cut,
    /// The request's body never became complete.
    UploadBroken,
    /// The provider was shut down.
    Shutdown,
}

// === impl Entry ===

impl Entry {
    /// The first value of a request header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name)?.to_str().ok()
    }

    /// Whether the answer came to its end.
    pub fn is_complete(&self) -> bool {
        self.answer.end == Some(End::Complete)
    }

    /// The JSON form that the control endpoint shows.
    pub(crate) fn to_json(&self) -> Json {
        self.request
            .fields(Object::new())
            .field("answer", &self.answer.to_json())
            .finish()
    }
}

fn pairs(headers: &HeaderMap) -> Vec<[String; 2]> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers
        .iter()
        .map(|(name, value)| [name.to_string(), text(value.as_bytes())])
        .collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Received {
    pub(crate) fn fields(&self, object: Object) -> Object {
        let at = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        // A body that is no text is told by its hash.
        let body = self
            .body
            .as_ref()
            .and_then(|body| std::str::from_utf8(body).ok());
        object
            .field("seq", &self.seq)
            .field("connection", &self.connection)
            .field("at_us", &micros(at))
            .field("protocol", &format!("{:?}", self.protocol))
            .field("method", self.method.as_str())
            .field("target", &self.target)
            .field("headers", &pairs(&self.headers))
            .field("body_len", &self.body_len)
            .field("body_blake3", &self.body_blake3)
            .field("body", &body)
            .field("dialect", &self.dialect)
            .field("model", &self.model)
    }
}

// === impl Answered ===

impl Answered {
    /// The bytes that were sent, unless the answer was too large to keep.
    pub fn body(&self) -> Option<Vec<u8>> {
        (self.chunks.len() == self.chunks_planned).then(|| self.chunks[..self.chunks_sent].concat())
    }

    pub(crate) fn to_json(&self) -> Json {
        let usage = self.usage.map(|usage| {
            object! {
                "input": usage.input, "cache_read": usage.cache_read,
                "cache_write": usage.cache_write, "cache_write_long": usage.cache_write_long,
                "output": usage.output, "reasoning": usage.reasoning,
                "input_audio": usage.input_audio, "input_image": usage.input_image,
                "input_tool": usage.input_tool, "output_audio": usage.output_audio,
                "output_image": usage.output_image, "web_searches": usage.web_searches,
            }
        });
        object! {
            "status": self.status.map(|status| u64::from(status.as_u16())),
            "headers": pairs(&self.headers),
            "usage": usage,
            "chunks_planned": self.chunks_planned,
            "chunks_sent": self.chunks_sent,
            "bytes_sent": self.bytes_sent,
            "sent_blake3": self.sent_blake3,
            "first_chunk_after_us": self.first_chunk_after.map(micros),
            "ended_after_us": self.ended_after.map(micros),
            "end": self.end.map(End::name),
        }
    }
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::Cut => "cut",
            Self::UploadBroken => "upload_broken",
            Self::Shutdown => "shutdown",
        }
    }
}

//! Reads a response on the side, as its bytes pass.
//!
//! Owns: [`ResponseTap`]. In: status, head, and the body's bytes in any split. Out: usage at any moment, and the facts at
//! the end. Every form is read (`reader`): streams of events, arrays, binary frames, one JSON object, whatever the client
//! asked for; `dialect` says whose words are spoken.
//! A body that can't be read never disturbs anybody: it costs a failure in [`ResponseFacts::failures`] and shows in
//! the usage's state. Buffers are bounded: one event, one JSON body; of a larger body the end is searched for its usage.
//! Must not know: who reads the original.

mod body;
mod dialect;
mod reader;

use super::{
    decode::{Coding, Decoder},
    reply::{Unstated, short},
};
use crate::{
    endpoint::Endpoint,
    record::{ToolCall, Usage, UsageState},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use reader::Reader;

/// Decoded bytes that are read of one response.
const DECODED: u64 = 256 << 20;
/// Head lines in which providers state their id of a request.
const REQUEST_IDS: [&str; 4] = [
    "request-id",
    "x-request-id",
    "x-amzn-requestid",
    "apim-request-id",
];

/// What was read of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFacts {
    /// The tokens.
    pub usage: Usage,
    /// What they are worth.
    pub usage_state: UsageState,
    /// What they leave out of a stream that was cut.
    pub unstated: Option<Unstated>,
    /// The model that the provider says it used.
    pub model_served: Option<String>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// The service tier that was used.
    pub service_tier: Option<String>,
    /// Tools that the model called; their ids name the session later.
    pub tools: Vec<ToolCall>,
    /// Whether the provider reported an error inside the response.
    pub error_in_stream: bool,
    /// The reply as a turn of the conversation; none when there was nothing of one.
    pub reply_turn: Option<u64>,
    /// Whether that turn is long enough to be told from every other.
    pub reply_long: bool,
    /// The provider's id of the request.
    pub provider_request_id: Option<String>,
    /// Pieces that could not be read.
    pub failures: u32,
}

/// Reads one response.
#[derive(Debug)]
pub struct ResponseTap {
    body: Body,
    provider_request_id: Option<String>,
}

#[derive(Debug)]
enum Body {
    /// Nothing to learn: an error, or an endpoint that generates nothing.
    Ignored,
    /// In a coding that is not known.
    Unreadable,
    Read {
        decoder: Box<Decoder<Reader>>,
        /// Bytes came in.
        fed: bool,
        /// Decoding failed: the rest is lost.
        broken: bool,
    },
}

impl ResponseTap {
    /// A tap for a response with that head.
    pub fn new(endpoint: Endpoint, status: u16, headers: &HeaderMap) -> Self {
        let provider_request_id = REQUEST_IDS
            .iter()
            .find_map(|name| headers.get(*name)?.to_str().ok())
            .and_then(short);
        Self {
            body: Body::new(endpoint, status, headers),
            provider_request_id,
        }
    }

    /// The next bytes of the body, as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Body::Read {
            decoder,
            fed,
            broken,
        } = &mut self.body
            && !*broken
        {
            *fed |= !bytes.is_empty();
            *broken = decoder.feed(bytes).is_err();
        }
    }

    /// The usage so far.
    pub fn snapshot(&self) -> (Usage, UsageState) {
        match &self.body {
            Body::Ignored => (Usage::default(), UsageState::None),
            Body::Unreadable => (Usage::default(), UsageState::Unknown),
            Body::Read { decoder, .. } => {
                let Some(reply) = decoder.sink().map(|reader| &reader.reply) else {
                    return (Usage::default(), UsageState::Unknown);
                };
                let state = if !reply.counts.any() {
                    UsageState::None
                } else if reply.counts.absurd() {
                    UsageState::Unknown
                } else if reply.finished {
                    UsageState::Reported
                } else {
                    UsageState::Partial
                };
                (reply.counts.usage(), state)
            }
        }
    }

    /// Whether the model has said that it ends, and the final figures came.
    pub fn concluded(&self) -> bool {
        self.snapshot().1 == UsageState::Reported
    }

    /// What the usage so far leaves out, of a stream that goes on.
    pub fn unstated(&self) -> Option<Unstated> {
        match &self.body {
            Body::Ignored | Body::Unreadable => None,
            Body::Read { decoder, .. } => decoder.sink().and_then(Reader::unstated),
        }
    }

    /// The facts; `complete` says whether the body was delivered to its end.
    pub fn finish(mut self, complete: bool) -> ResponseFacts {
        let mut facts = ResponseFacts {
            provider_request_id: self.provider_request_id,
            ..ResponseFacts::default()
        };
        match &mut self.body {
            Body::Ignored => {}
            Body::Unreadable => {
                facts.usage_state = UsageState::Unknown;
                facts.failures = 1;
            }
            Body::Read {
                decoder,
                fed,
                broken,
            } => {
                if let Some(reader) = decoder.sink_mut() {
                    // A body that decodes to nothing ended before its coding did.
                    let nothing = complete && *fed && !reader.received;
                    reader.finish(complete, *broken || nothing, &mut facts);
                } else {
                    facts.usage_state = UsageState::Unknown;
                    facts.failures = 1;
                }
            }
        }
        facts
    }
}

impl Body {
    fn new(endpoint: Endpoint, status: u16, headers: &HeaderMap) -> Self {
        if !endpoint.is_metered() || !(200..300).contains(&status) {
            return Self::Ignored;
        }
        let Some(coding) = Coding::of(headers) else {
            return Self::Unreadable;
        };
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        let dialect = endpoint.dialect();
        let reader = Reader::new(dialect, &kind, &dialect::head(dialect, headers));
        match Decoder::new(coding, reader, DECODED) {
            Ok(decoder) => Self::Read {
                decoder: Box::new(decoder),
                fed: false,
                broken: false,
            },
            Err(_) => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod cross_check;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

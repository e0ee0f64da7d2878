//! Reads a response on the side, as its bytes pass.
//!
//! Owns: [`ResponseTap`]. In: status, head, and the body's bytes in any split. Out: usage at any moment, and the facts at
//! the end. Both forms are read, a stream of events and one JSON object, whatever the client asked for.
//! A body that can't be read never disturbs anybody: it costs a failure in [`ResponseFacts::failures`] and shows in
//! the usage's state. Buffers are bounded: one event, one JSON body; of a larger body the end is searched for its usage.
//! Must not know: who reads the original.

use super::{
    anthropic, chat,
    decode::{Coding, Decoder},
    json,
    reply::{Reply, Unstated, short},
    responses,
    sse::{SseDecoder, SseItem},
    turn::Role,
};
use crate::{
    endpoint::{Dialect, Endpoint},
    record::{ToolCall, Usage, UsageState},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::value::RawValue;
use std::io::{self, Write};

/// Bytes of a JSON body that are kept.
const BODY: usize = 8 << 20;
/// Bytes of a larger body's end that are kept.
const TAIL: usize = 64 << 10;
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

#[derive(Debug)]
struct Reader {
    dialect: Dialect,
    form: Form,
    reply: Reply,
    /// Decoded bytes came in.
    received: bool,
}

#[derive(Debug)]
enum Form {
    /// The head did not say: the first byte will.
    Undecided,
    Events(SseDecoder),
    Json(JsonBody),
}

impl Form {
    const fn is_stream(&self) -> bool {
        match self {
            Self::Events(_) => true,
            Self::Undecided | Self::Json(_) => false,
        }
    }
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
        let form = if kind.starts_with("text/event-stream") {
            Form::Events(SseDecoder::default())
        } else if kind.contains("json") {
            Form::Json(JsonBody::default())
        } else {
            Form::Undecided
        };
        let reader = Reader {
            dialect: endpoint.dialect(),
            form,
            reply: Reply::default(),
            received: false,
        };
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

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.received |= !bytes.is_empty();
        if matches!(self.form, Form::Undecided)
            && let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace())
        {
            self.form = if matches!(first, b'{' | b'[') {
                Form::Json(JsonBody::default())
            } else {
                Form::Events(SseDecoder::default())
            };
        }
        let (dialect, reply) = (self.dialect, &mut self.reply);
        match &mut self.form {
            Form::Undecided => {}
            Form::Events(events) => events.feed(bytes, |item| event(dialect, reply, item)),
            Form::Json(body) => body.keep(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    fn unstated(&self) -> Option<Unstated> {
        let open = self.reply.started && !self.reply.finished && !self.reply.counts.absurd();
        (open && self.form.is_stream()).then(|| self.reply.unstated())
    }

    fn finish(&mut self, complete: bool, broken: bool, facts: &mut ResponseFacts) {
        let (dialect, reply) = (self.dialect, &mut self.reply);
        let mut unread = broken;
        match &mut self.form {
            Form::Undecided => {}
            Form::Events(events) => {
                events.finish(|item| event(dialect, reply, item));
                // A stream without its closing event has ended well if nothing of the reply is missing.
                reply.finished |= complete && reply.stop_reason.is_some() && reply.counts.any();
            }
            Form::Json(body) => {
                reply.started |= !body.is_empty();
                let read = body.read(dialect, reply);
                reply.finished |= read;
                unread |= !read && complete && !body.is_empty();
            }
        }
        // A stream without a word on its end was cut, however cleanly.
        let cut = reply.started
            && !reply.finished
            && (!complete || reply.error || (self.form.is_stream() && reply.stop_reason.is_none()));
        let absurd = reply.counts.absurd();
        facts.failures = reply.failures + u32::from(unread) + u32::from(absurd);
        facts.usage = reply.counts.usage();
        facts.usage_state = if absurd {
            UsageState::Unknown
        } else if reply.counts.any() {
            if reply.finished {
                UsageState::Reported
            } else {
                UsageState::Partial
            }
        } else if facts.failures > 0 {
            UsageState::Unknown
        } else if cut && self.form.is_stream() {
            UsageState::Estimated
        } else if cut {
            UsageState::Partial
        } else {
            UsageState::None
        };
        let guess = cut && facts.usage_state != UsageState::Unknown && self.form.is_stream();
        facts.unstated = guess.then(|| reply.unstated());
        facts.tools = reply.close();
        facts.reply_long = reply.turn.is_long();
        facts.reply_turn = (!reply.turn.is_empty()).then(|| reply.turn.finish(Role::Assistant));
        facts.model_served = reply.model.take();
        facts.response_id = reply.id.take();
        facts.stop_reason = reply.stop_reason.take();
        facts.service_tier = reply.service_tier.take();
        facts.error_in_stream = reply.error;
    }
}

fn event(dialect: Dialect, reply: &mut Reply, item: SseItem<'_>) {
    let SseItem::Event { data, .. } = item else {
        reply.failures += 1;
        return;
    };
    let read = std::str::from_utf8(data).is_ok_and(|data| {
        let read = reply.piece(|reply| match dialect {
            Dialect::AnthropicMessages | Dialect::GoogleRawPredict => anthropic::event(reply, data),
            Dialect::OpenaiChat => chat::event(reply, data),
            Dialect::OpenaiResponses => responses::event(reply, data),
            Dialect::GeminiGenerateContent
            | Dialect::GoogleGenerateContent
            | Dialect::BedrockModelInvoke
            | Dialect::BedrockConverse => Ok(()),
        });
        read.is_ok()
    });
    reply.failures += u32::from(!read);
}

/// A JSON body: all of it, or the end of a large one.
#[derive(Debug, Default)]
struct JsonBody {
    bytes: Vec<u8>,
    /// The beginning is gone.
    cut: bool,
}

impl JsonBody {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.cut && self.bytes.len() + bytes.len() <= BODY {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        self.cut = true;
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        if self.bytes.len() + bytes.len() > 2 * TAIL {
            let gone = self.bytes.len().saturating_sub(TAIL);
            self.bytes.drain(..gone);
            self.bytes.shrink_to(3 * TAIL);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads what there is; whether it was all that matters.
    fn read(&self, dialect: Dialect, reply: &mut Reply) -> bool {
        if self.cut {
            return self.usage_at_end(dialect, reply);
        }
        let Ok(text) = std::str::from_utf8(&self.bytes) else {
            return false;
        };
        let Ok(raw) = json::parse(text) else {
            return false;
        };
        if !json::is_object(raw) {
            return false;
        }
        match dialect {
            Dialect::AnthropicMessages
            | Dialect::GoogleRawPredict
            | Dialect::BedrockModelInvoke => anthropic::message(reply, raw),
            Dialect::OpenaiChat => chat::completion(reply, raw),
            Dialect::OpenaiResponses => responses::response(reply, raw, true),
            Dialect::GeminiGenerateContent
            | Dialect::GoogleGenerateContent
            | Dialect::BedrockConverse => {}
        }
        true
    }

    /// Looks for the last `"usage": {…}` that is no part of a text (there its quotes would be escaped).
    fn usage_at_end(&self, dialect: Dialect, reply: &mut Reply) -> bool {
        let tail = String::from_utf8_lossy(&self.bytes);
        for (at, key) in tail.rmatch_indices("\"usage\"") {
            let after = tail[at + key.len()..].trim_start();
            let Some(object) = after.strip_prefix(':') else {
                continue;
            };
            let mut values = serde_json::Deserializer::from_str(object).into_iter();
            let Some(Ok(Some(raw))) = values.next().map(|value: Result<&RawValue, _>| {
                value.map(|value| json::parse(value.get()).ok())
            }) else {
                continue;
            };
            match dialect {
                Dialect::AnthropicMessages
                | Dialect::GoogleRawPredict
                | Dialect::BedrockModelInvoke => anthropic::usage(reply, raw),
                Dialect::OpenaiChat => chat::usage(reply, raw),
                Dialect::OpenaiResponses => responses::usage(reply, raw),
                Dialect::GeminiGenerateContent
                | Dialect::GoogleGenerateContent
                | Dialect::BedrockConverse => {}
            }
            if reply.counts.any() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod cross_check;
#[cfg(test)]
mod tests;

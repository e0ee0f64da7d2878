//! The decoded bytes of a response on their way into a reply.
//!
//! Owns: [`Reader`], and the forms that a body can have: server-sent events, a JSON array that arrives piece by piece, binary
//! frames, one JSON body. In: decoded bytes in any split. Out: a [`Reply`], and at the end the facts.
//! The head says which form it is; where it does not, or says only JSON, the first byte does.

use super::{ResponseFacts, body::JsonBody, dialect};
use crate::{
    endpoint::Dialect,
    record::UsageState,
    tap::{
        array::{ArrayItem, ArraySplitter},
        frames::{FrameDecoder, FrameItem},
        reply::{Counts, Reply, Unstated},
        sse::{SseDecoder, SseItem},
        turn::Role,
    },
};
use std::io::{self, Write};

/// Reads one body.
#[derive(Debug)]
pub(super) struct Reader {
    dialect: Dialect,
    form: Form,
    pub(super) reply: Reply,
    /// What the head states, where the body states nothing.
    counted: Counts,
    /// Decoded bytes came in.
    pub(super) received: bool,
}

/// The form of a body.
#[derive(Debug)]
enum Form {
    /// The head did not say: the first byte will.
    Undecided,
    Events(SseDecoder),
    Array(ArraySplitter),
    Frames(FrameDecoder),
    Json(JsonBody),
}

impl Form {
    /// The form that a `content-type` names.
    fn of_kind(kind: &str, dialect: Dialect) -> Self {
        if kind.starts_with("text/event-stream") {
            Self::Events(SseDecoder::default())
        } else if kind.starts_with("application/vnd.amazon.eventstream") {
            Self::Frames(FrameDecoder::default())
        } else if kind.contains("json") && !is_gemini(dialect) {
            Self::Json(JsonBody::default())
        } else {
            Self::Undecided
        }
    }

    /// The form of a body that begins with that byte.
    fn of_first_byte(first: u8, dialect: Dialect) -> Self {
        match first {
            b'[' if is_gemini(dialect) => Self::Array(ArraySplitter::default()),
            b'{' | b'[' => Self::Json(JsonBody::default()),
            // The length of a frame, which is below 16 MB.
            0 if is_bedrock(dialect) => Self::Frames(FrameDecoder::default()),
            _ => Self::Events(SseDecoder::default()),
        }
    }

    const fn is_stream(&self) -> bool {
        match self {
            Self::Events(_) | Self::Array(_) | Self::Frames(_) => true,
            Self::Undecided | Self::Json(_) => false,
        }
    }
}

/// Gemini streams JSON too.
const fn is_gemini(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent
    )
}

const fn is_bedrock(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse
    )
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.received |= !bytes.is_empty();
        let length = bytes.len();
        let mut bytes = bytes;
        if matches!(self.form, Form::Undecided) {
            // White space in front is no part of any form, in whatever chunk it comes.
            let begin = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
            bytes = &bytes[begin.unwrap_or(length)..];
            if let Some(first) = bytes.first() {
                self.form = Form::of_first_byte(*first, self.dialect);
            }
        }
        let (dialect, reply) = (self.dialect, &mut self.reply);
        match &mut self.form {
            Form::Undecided => {}
            Form::Events(events) => events.feed(bytes, |item| event(dialect, reply, item)),
            Form::Array(elements) => elements.feed(bytes, |item| element(dialect, reply, item)),
            Form::Frames(frames) => frames.feed(bytes, |item| frame(dialect, reply, item)),
            Form::Json(body) => body.keep(bytes),
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    /// A reader for a body of that `content-type`, whose head states those counts.
    pub(super) fn new(dialect: Dialect, kind: &str, counted: &Counts) -> Self {
        Self {
            dialect,
            form: Form::of_kind(kind, dialect),
            reply: Reply::default(),
            counted: *counted,
            received: false,
        }
    }

    /// What the usage so far leaves out, of a stream that goes on.
    pub(super) fn unstated(&self) -> Option<Unstated> {
        let open = self.reply.started && !self.reply.finished && !self.reply.counts.absurd();
        (open && self.form.is_stream()).then(|| self.reply.unstated())
    }

    /// The facts; `broken` says that bytes were lost on the way here.
    pub(super) fn finish(&mut self, complete: bool, broken: bool, facts: &mut ResponseFacts) {
        let (dialect, reply) = (self.dialect, &mut self.reply);
        let mut unread = broken;
        match &mut self.form {
            Form::Undecided | Form::Array(_) | Form::Frames(_) => {}
            Form::Events(events) => {
                events.finish(|item| event(dialect, reply, item));
            }
            Form::Json(body) => {
                reply.started |= !body.is_empty();
                let read = body.read(dialect, reply);
                reply.finished |= read;
                unread |= !read && complete && !body.is_empty();
            }
        }
        dialect::fill(dialect, reply, &self.counted);
        // A stream without its closing event has ended well if nothing of the reply is missing.
        reply.finished |=
            complete && self.form.is_stream() && reply.stop_reason.is_some() && reply.counts.any();
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
    let read = match item {
        SseItem::Event { data, .. } => text(reply, data, |reply, data| {
            dialect::event(dialect, reply, data)
        }),
        SseItem::TooLarge => false,
    };
    reply.failures = reply.failures.saturating_add(u32::from(!read));
}

fn element(dialect: Dialect, reply: &mut Reply, item: ArrayItem<'_>) {
    let read = match item {
        ArrayItem::Element(data) => text(reply, data, |reply, data| {
            dialect::event(dialect, reply, data)
        }),
        ArrayItem::TooLarge => false,
    };
    reply.failures = reply.failures.saturating_add(u32::from(!read));
}

fn frame(dialect: Dialect, reply: &mut Reply, item: FrameItem<'_>) {
    let read = match item {
        FrameItem::Event { kind, payload } => text(reply, payload, |reply, data| {
            dialect::frame(dialect, reply, kind, data)
        }),
        FrameItem::Exception { .. } => {
            reply.started = true;
            reply.error = true;
            true
        }
        FrameItem::Unreadable => false,
    };
    reply.failures = reply.failures.saturating_add(u32::from(!read));
}

/// Reads one piece of a stream, if it is text.
fn text(reply: &mut Reply, data: &[u8], read: impl FnOnce(&mut Reply, &str) -> bool) -> bool {
    std::str::from_utf8(data).is_ok_and(|data| reply.piece(|reply| read(reply, data)))
}

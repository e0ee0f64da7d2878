//! Binary event streams, as the events that they carry.
//!
//! In: the decoded bytes of a captured body. Out: events as JSON values for a conversation, or as lines of text for a page.
//! A model's own events stand in base64 inside `chunk` events; they come out as the model said them. What can't be read is
//! counted. Must not know: HTML, what events mean.

use super::body::header;
use crate::{
    record::HeadLines,
    tap::{FrameDecoder, FrameItem},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The content type of such a stream.
const KIND: &str = "application/vnd.amazon.eventstream";

/// The events of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frames {
    /// Kind and text of each, in order.
    events: Vec<(String, String)>,
    /// Frames that are damaged or no text.
    pub(super) unreadable: usize,
}

/// Whether a body is such a stream, by its head.
pub(super) fn are_in(head: &HeadLines) -> bool {
    header(head, "content-type").is_some_and(|kind| kind.trim().starts_with(KIND))
}

/// Reads the frames that are whole.
pub(super) fn read(bytes: &[u8]) -> Frames {
    let mut frames = Frames::default();
    FrameDecoder::default().feed(bytes, |item| frames.add(item));
    frames
}

// === impl Frames ===

impl Frames {
    fn add(&mut self, item: FrameItem<'_>) {
        let event = match item {
            FrameItem::Event {
                kind: "chunk",
                payload,
            } => unwrapped(payload).map(|text| ("chunk".to_owned(), text)),
            FrameItem::Event { kind, payload } => {
                let text = std::str::from_utf8(payload).ok();
                text.map(|text| (kind.to_owned(), text.to_owned()))
            }
            FrameItem::Exception { kind, payload } => {
                let text = String::from_utf8_lossy(payload);
                let stated = serde_json::from_str::<Value>(&text).ok();
                let stated = stated.as_ref().and_then(|value| {
                    let message = value.get("message").or_else(|| value.get("Message"));
                    message.and_then(Value::as_str)
                });
                let message = match stated.unwrap_or(&text) {
                    "" => kind,
                    message => message,
                };
                let event =
                    json!({ "type": "error", "error": { "type": kind, "message": message } });
                Some(("exception".to_owned(), event.to_string()))
            }
            FrameItem::Unreadable => None,
        };
        match event {
            Some(event) => self.events.push(event),
            None => self.unreadable += 1,
        }
    }

    /// The events as values: what a `chunk` or an exception holds, and of all others an object whose one member is the event.
    pub(super) fn values(self) -> impl Iterator<Item = Value> {
        self.events.into_iter().filter_map(|(kind, text)| {
            let value: Value = serde_json::from_str(&text).ok()?;
            Some(match kind.as_str() {
                "chunk" | "exception" => value,
                _ => json!({ kind: value }),
            })
        })
    }

    /// The events as server-sent events would be written.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (kind, text) in &self.events {
            let _ = write!(out, "event: {kind}\ndata: {text}\n\n");
        }
        out
    }
}

/// What a `chunk` wraps.
fn unwrapped(payload: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let bytes = STANDARD.decode(value.get("bytes")?.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};

    /// A frame of that type, as Bedrock makes it.
    pub(in crate::dashboard) fn frame(message: &str, kind: &str, payload: &str) -> Vec<u8> {
        let kind_of = if message == "event" {
            ":event-type"
        } else {
            ":exception-type"
        };
        let text = |text: &str| HeaderValue::String(text.to_owned().into());
        let message = Message::new(payload.as_bytes().to_vec())
            .add_header(Header::new(":message-type", text(message)))
            .add_header(Header::new(kind_of, text(kind)));
        let mut out = Vec::new();
        write_message_to(&message, &mut out).expect("a frame of two headers");
        out
    }

    /// A model's event in a `chunk`.
    pub(in crate::dashboard) fn chunk(event: &Value) -> Vec<u8> {
        let bytes = STANDARD.encode(event.to_string());
        frame(
            "event",
            "chunk",
            &json!({ "bytes": bytes, "p": "abc" }).to_string(),
        )
    }

    #[test]
    fn events_come_out_of_their_frames() {
        let mut bytes = chunk(&json!({ "type": "message_start" }));
        bytes.extend(frame(
            "event",
            "messageStop",
            "{\"stopReason\":\"end_turn\"}",
        ));
        bytes.extend(frame(
            "exception",
            "throttlingException",
            "{\"message\":\"slow down\"}",
        ));
        bytes.extend(frame("event", "chunk", "{\"bytes\":\"!\"}"));
        let mut broken = frame("event", "messageStop", "{}");
        *broken.last_mut().expect("a byte") ^= 1;
        bytes.extend(broken);
        // The beginning of one more, which the connection cut off.
        bytes.extend(&frame("event", "messageStop", "{}")[..20]);
        let frames = read(&bytes);
        assert_eq!(frames.unreadable, 2);
        assert_eq!(
            frames.text(),
            "event: chunk\ndata: {\"type\":\"message_start\"}\n\n\
             event: messageStop\ndata: {\"stopReason\":\"end_turn\"}\n\n\
             event: exception\ndata: {\"error\":{\"message\":\"slow down\",\"type\":\"throttlingException\"},\"type\":\"error\"}\n\n"
        );
        let values: Vec<Value> = frames.values().collect();
        assert_eq!(
            values[1],
            json!({ "messageStop": { "stopReason": "end_turn" } })
        );
        assert_eq!(values[2]["error"]["message"], "slow down");
    }

    #[test]
    fn the_head_tells_them() {
        let head = |kind: &str| HeadLines::from_iter([("Content-Type", kind)]);
        assert!(are_in(&head("application/vnd.amazon.eventstream")));
        assert!(!are_in(&head("text/event-stream")) && !are_in(&HeadLines::default()));
    }
}

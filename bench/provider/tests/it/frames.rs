//! Reads the frames of an AWS event stream, and trusts no length or checksum.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A frame: what its headers say, and its payload.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload: Value,
}

impl Frame {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The event or exception as an object with its name for a key.
    pub(crate) fn named(&self) -> Value {
        let names = [":event-type", ":exception-type"].map(|name| self.header(name));
        json!({names.concat(): self.payload})
    }

    /// The event of a model's maker in a chunk; an exception as it is named.
    pub(crate) fn inner(&self) -> Value {
        if self.header(":event-type") != "chunk" {
            return self.named();
        }
        let bytes = STANDARD.decode(self.payload["bytes"].as_str().unwrap());
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// All frames of a body, which must end with the last one.
pub(crate) fn frames(mut body: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let (frame, rest) = body.split_at(number(&body[..4]));
        body = rest;
        let (before, checksum) = frame.split_at(frame.len() - 4);
        assert_eq!(number(&frame[8..12]), crc32fast::hash(&frame[..8]) as usize);
        assert_eq!(number(checksum), crc32fast::hash(before) as usize);
        let (mut head, payload) = before[12..].split_at(number(&frame[4..8]));
        let mut headers = Vec::new();
        while !head.is_empty() {
            let (name, rest) = head[1..].split_at(usize::from(head[0]));
            assert_eq!(rest[0], 7, "a header that is no text");
            let (value, rest) = rest[3..].split_at(number(&rest[1..3]));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            headers.push((text(name), text(value)));
            head = rest;
        }
        let payload = serde_json::from_slice(payload).unwrap();
        frames.push(Frame { headers, payload });
    }
    frames
}

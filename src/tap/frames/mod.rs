//! Amazon's binary event stream, sans I/O: bytes in, frames out.
//!
//! Owns: [`FrameDecoder`]. In: bytes in any split. Out: the type and the payload of each frame, the same ones however the
//! bytes are split. A frame that is too large, or whose checksum is wrong, is passed over and said to be; when the length
//! itself can't be believed, nothing that follows can be found, and the rest is passed over.
//! Must not know: what the payloads mean.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::{HeaderValue, Message};

/// Bytes of one frame that are kept.
const FRAME: usize = 8 << 20;
/// Capacity that the buffer keeps between frames.
const IDLE: usize = 16 << 10;
/// Length, length of the headers, checksum of both.
const PRELUDE: usize = 12;
/// The checksum of all.
const CHECKSUM: usize = 4;

/// What comes out of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameItem<'a> {
    /// An event.
    Event {
        /// Its `:event-type`.
        kind: &'a str,
        /// Its payload.
        payload: &'a [u8],
    },
    /// An exception or an error: the stream ends with it.
    Exception {
        /// Its `:exception-type`, or its `:error-code`.
        kind: &'a str,
        /// Its payload; an error's `:error-message` where it has none.
        payload: &'a [u8],
    },
    /// A frame that was too large or damaged.
    Unreadable,
}

/// Finds frames in a stream of bytes.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: usize,
    state: State,
    /// The beginning of the frame under way.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The lengths are not known yet.
    Prelude,
    /// So many bytes belong to the frame.
    Frame(usize),
    /// So many bytes are passed over.
    Skip(usize),
    /// Nothing more can be found.
    Lost,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::with_limit(FRAME)
    }
}

impl FrameDecoder {
    /// A decoder that passes over frames larger than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            state: State::Prelude,
            held: Vec::new(),
        }
    }

    /// The next bytes; calls `each` with every frame that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameItem<'_>)) {
        while !bytes.is_empty() {
            match self.state {
                State::Lost => return,
                State::Skip(left) => {
                    let gone = left.min(bytes.len());
                    bytes = &bytes[gone..];
                    self.state = match left - gone {
                        0 => State::Prelude,
                        left => State::Skip(left),
                    };
                }
                State::Prelude => {
                    if self.keep(&mut bytes, PRELUDE) {
                        self.state = self.measure();
                        if !matches!(self.state, State::Frame(_)) {
                            self.held.clear();
                            each(FrameItem::Unreadable);
                        }
                    }
                }
                State::Frame(total) => {
                    if self.keep(&mut bytes, total) {
                        match read_message_from(&self.held[..]) {
                            Ok(message) => emit(&message, &mut each),
                            Err(_) => each(FrameItem::Unreadable),
                        }
                        self.held.clear();
                        self.held.shrink_to(IDLE);
                        self.state = State::Prelude;
                    }
                }
            }
        }
    }

    /// Takes bytes until `total` are held; whether they are.
    fn keep(&mut self, bytes: &mut &[u8], total: usize) -> bool {
        let (taken, rest) = bytes.split_at((total - self.held.len()).min(bytes.len()));
        self.held.extend_from_slice(taken);
        *bytes = rest;
        self.held.len() == total
    }

    /// What the prelude says about the frame.
    fn measure(&self) -> State {
        let word = |at: usize| {
            let bytes = self.held[at..at + 4].try_into();
            u32::from_be_bytes(bytes.expect("four bytes"))
        };
        let total = word(0) as usize;
        if crc32fast::hash(&self.held[..8]) != word(8) || total < PRELUDE + CHECKSUM {
            State::Lost
        } else if total > self.limit {
            State::Skip(total - PRELUDE)
        } else {
            State::Frame(total)
        }
    }
}

fn emit(message: &Message, each: &mut impl FnMut(FrameItem<'_>)) {
    let header = |name: &str| {
        let mut headers = message.headers().iter();
        let found = headers.find(|header| header.name().as_str() == name)?;
        match found.value() {
            HeaderValue::String(text) => Some(text.as_str()),
            _ => None,
        }
    };
    match header(":message-type") {
        Some("exception" | "error") => {
            let kind = header(":exception-type").or_else(|| header(":error-code"));
            let stated: &[u8] = message.payload();
            let payload = match header(":error-message") {
                Some(text) if stated.is_empty() => text.as_bytes(),
                _ => stated,
            };
            each(FrameItem::Exception {
                kind: kind.unwrap_or_default(),
                payload,
            });
        }
        _ => each(FrameItem::Event {
            kind: header(":event-type").unwrap_or_default(),
            payload: message.payload(),
        }),
    }
}

#[cfg(test)]
pub(in crate::tap) mod tests;

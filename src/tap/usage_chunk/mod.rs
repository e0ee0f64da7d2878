//! Takes the usage chunk out of a chat stream whose client did not ask for it.
//!
//! Owns: [`UsageChunkFilter`]. In: the bytes of a plain (not encoded) event stream, in any split. Out: the same bytes
//! without the event that `include_usage` adds: `choices` empty and `usage` an object. Nothing else is changed, and nothing
//! else waits: a byte is held only while it belongs to an event that may still turn out to be that one.
//! Must not know: what the other events mean.

use super::chat;
use bytes::Bytes;
use memchr::memmem;

/// Bytes of one event that are held; a larger one is none of ours.
const HELD: usize = 16 << 10;

/// Removes the extra chunk from a stream.
#[derive(Debug, Default)]
pub struct UsageChunkFilter {
    /// The event under way, while it is undecided.
    held: Vec<u8>,
    /// The event under way is not ours: its bytes pass.
    passing: bool,
    line: Line,
    /// The last chunk ended with the CR that ended an event, which was removed or not: an LF that follows belongs to it.
    after_cr: Option<bool>,
}

/// Where the scan stands between line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// Nothing of the line yet.
    #[default]
    Start,
    /// Nothing yet, and the line before ended with CR.
    StartAfterCr,
    /// Something.
    Inside,
}

impl UsageChunkFilter {
    /// The next bytes; gives back what may go on, in order.
    pub fn push(&mut self, chunk: &Bytes) -> Vec<Bytes> {
        let mut out = Vec::new();
        // What of the chunk passes but was not given out yet begins at `passed`, the event under way at `from`.
        let (mut passed, mut from) = (0, 0);
        if let Some(first) = chunk.first()
            && let Some(removed) = self.after_cr.take()
            && *first == b'\n'
        {
            from = 1;
            passed = usize::from(removed);
        }
        while let Some(end) = self.event_end(chunk, from) {
            let own = &chunk[from..end];
            let ours = !self.passing
                && if self.held.is_empty() {
                    is_ours(own)
                } else {
                    self.held.extend_from_slice(own);
                    is_ours(&self.held)
                };
            if ours {
                give(&mut out, chunk.slice(passed..from));
                self.held.clear();
                passed = end;
            } else if !self.held.is_empty() {
                give(&mut out, std::mem::take(&mut self.held).into());
                passed = end;
            }
            self.passing = false;
            self.after_cr = (end == chunk.len() && chunk[end - 1] == b'\r').then_some(ours);
            from = end;
        }
        self.rest(chunk, from, passed, &mut out);
        out
    }

    /// The stream has ended: what was held.
    pub fn finish(&mut self) -> Option<Bytes> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty() && !is_ours(&held)).then(|| held.into())
    }

    /// The end of the chunk, where an event has begun and not ended.
    fn rest(&mut self, chunk: &Bytes, from: usize, passed: usize, out: &mut Vec<Bytes>) {
        let own = &chunk[from..];
        if self.passing {
            give(out, chunk.slice(passed..));
            return;
        }
        give(out, chunk.slice(passed..from));
        self.held.extend_from_slice(own);
        if self.held.len() > HELD || !may_be_ours(&self.held) {
            self.passing = !self.held.is_empty();
            give(out, std::mem::take(&mut self.held).into());
        }
    }

    /// Where the event ends that `from` belongs to: behind its empty line.
    fn event_end(&mut self, chunk: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(byte) = chunk.get(at) {
            at += 1;
            match (self.line, byte) {
                (Line::Start, b'\n') => {
                    self.line = Line::Start;
                    return Some(at);
                }
                (Line::Start | Line::StartAfterCr, b'\r') => {
                    self.line = Line::Start;
                    return Some(at + usize::from(chunk.get(at) == Some(&b'\n')));
                }
                // The end of a line, or the second half of its CRLF.
                (_, b'\n') => self.line = Line::Start,
                (_, b'\r') => self.line = Line::StartAfterCr,
                (_, _) => {
                    self.line = Line::Inside;
                    match super::sse::line_end(&chunk[at..]) {
                        Some(end) => at += end,
                        None => return None,
                    }
                }
            }
        }
        None
    }
}

fn give(out: &mut Vec<Bytes>, bytes: Bytes) {
    if !bytes.is_empty() {
        out.push(bytes);
    }
}

/// The member by which events are told apart.
const KEY: &[u8] = b"\"choices\"";

/// Whether a whole event is the one to remove.
fn is_ours(event: &[u8]) -> bool {
    // The same as is asked of its beginning, so that it does not matter how the bytes came. Nearly every event has a choice, and
    // reading it again would cost as much as the rest of its way.
    if event.len() > HELD || !may_be_ours(event) {
        return false;
    }
    let mut ours = false;
    let mut decoder = super::SseDecoder::with_limit(HELD);
    let mut each = |item: super::SseItem<'_>| {
        if let super::SseItem::Event { data, .. } = item {
            ours = std::str::from_utf8(data).is_ok_and(chat::is_usage_only);
        }
    };
    decoder.feed(event, &mut each);
    decoder.finish(each);
    ours
}

/// Whether the beginning of an event may still become the one to remove: no choice was seen in it.
fn may_be_ours(event: &[u8]) -> bool {
    let Some(at) = memmem::find(event, KEY) else {
        return true;
    };
    let after = event[at + KEY.len()..].iter();
    let mut after = after.filter(|byte| !byte.is_ascii_whitespace());
    match (after.next(), after.next(), after.next()) {
        (Some(b':'), Some(b'['), Some(first)) => *first == b']',
        (Some(b':'), Some(b'[') | None, None) | (None, ..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;

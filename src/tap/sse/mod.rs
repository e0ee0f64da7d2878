//! Server-sent events, sans I/O: bytes in, events out.
//!
//! Owns: [`SseDecoder`]. In: bytes in any split. Out: borrowed events, the same ones however the bytes are split: with
//! LF, CRLF and CR lines, comments, several `data` lines, a byte order mark. An event larger than the limit is passed
//! over and said to be, because a line without end is an attack.
//! Must not know: what the data means; it need not even be text.

/// Bytes of one event that are kept.
const EVENT: usize = 8 << 20;
/// Capacity that a buffer keeps between events.
const IDLE: usize = 16 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What comes out of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseItem<'a> {
    /// One event.
    Event {
        /// Its `event` line; empty when it has none.
        name: &'a [u8],
        /// Its `data` lines, joined by LF.
        data: &'a [u8],
    },
    /// An event that was larger than the limit.
    TooLarge,
}

/// Finds events in a stream of bytes.
#[derive(Debug)]
pub struct SseDecoder {
    limit: usize,
    /// Bytes of a byte order mark seen at the very start.
    mark: usize,
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// Bytes of all lines of this event.
    size: usize,
}

impl Default for SseDecoder {
    fn default() -> Self {
        Self::with_limit(EVENT)
    }
}

impl SseDecoder {
    /// A decoder that passes over events larger than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            mark: 0,
            line: Vec::new(),
            after_cr: false,
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            size: 0,
        }
    }

    /// The next bytes; calls `each` with every event that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(SseItem<'_>)) {
        while self.mark < BOM.len() {
            let Some((first, rest)) = bytes.split_first() else {
                return;
            };
            if *first == BOM[self.mark] {
                self.mark += 1;
                bytes = rest;
            } else {
                let begun = self.mark;
                self.mark = BOM.len();
                self.keep(&BOM[..begun]);
            }
        }
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = line_end(bytes) else {
                self.keep(bytes);
                return;
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.size = self.size.saturating_add(end);
                self.end_line(&bytes[..end], &mut each);
            } else {
                self.keep(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, &mut each);
                self.line = line;
                self.line.clear();
                self.line.shrink_to(IDLE);
            }
            bytes = &bytes[end + 1..];
        }
    }

    /// The stream has ended: an event that lacks only its empty line is one nevertheless.
    pub fn finish(&mut self, mut each: impl FnMut(SseItem<'_>)) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.end_line(&line, &mut each);
        }
        self.dispatch(&mut each);
    }

    /// Keeps the beginning of a line, while the event is within the limit.
    fn keep(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(bytes.len());
        // One byte is kept in any case: it tells a long line from an empty one.
        let room = if self.size > self.limit {
            usize::from(self.line.is_empty())
        } else {
            bytes.len()
        };
        self.line.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn end_line(&mut self, line: &[u8], each: &mut impl FnMut(SseItem<'_>)) {
        if line.is_empty() {
            self.dispatch(each);
            return;
        }
        if self.size > self.limit {
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, each: &mut impl FnMut(SseItem<'_>)) {
        if self.size > self.limit {
            each(SseItem::TooLarge);
        } else if self.has_data {
            each(SseItem::Event {
                name: &self.name,
                data: &self.data,
            });
        }
        self.size = 0;
        self.has_data = false;
        for buffer in [&mut self.name, &mut self.data] {
            buffer.clear();
            buffer.shrink_to(IDLE);
        }
    }
}

/// Where the first line ends.
pub(super) fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\n', b'\r', bytes)
}

#[cfg(test)]
mod tests;

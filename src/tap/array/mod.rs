//! A JSON array that arrives piece by piece, sans I/O: bytes in, elements out.
//!
//! Owns: [`ArraySplitter`]. In: the bytes of `[{…},\n{…}]` in any split, as Gemini streams when it is not asked for events.
//! Out: each element as it stands, as soon as it is complete, the same ones however the bytes are split. An element larger
//! than the limit is passed over and said to be. What stands outside of the array, or between its elements, is ignored.
//! Must not know: what the elements mean; an element that is not JSON is for its reader to find.

/// Bytes of one element that are kept.
const ELEMENT: usize = 8 << 20;
/// Capacity that the buffer keeps between elements.
const IDLE: usize = 16 << 10;

/// What comes out of the splitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayItem<'a> {
    /// One element.
    Element(&'a [u8]),
    /// An element that was larger than the limit.
    TooLarge,
}

/// Finds the elements in a stream of bytes.
#[derive(Debug)]
pub struct ArraySplitter {
    limit: usize,
    place: Place,
    /// The beginning of the element under way.
    held: Vec<u8>,
    /// Bytes of the element under way.
    size: usize,
}

/// Where the scan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the array.
    Before,
    /// Between elements.
    Between,
    /// In an element, that many containers deep.
    Inside(usize),
    /// In a string of one.
    Text(usize),
    /// Behind a backslash in a string of one.
    Escape(usize),
    /// Behind the array.
    Behind,
}

impl Default for ArraySplitter {
    fn default() -> Self {
        Self::with_limit(ELEMENT)
    }
}

impl ArraySplitter {
    /// A splitter that passes over elements larger than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            place: Place::Before,
            held: Vec::new(),
            size: 0,
        }
    }

    /// The next bytes; calls `each` with every element that they complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(ArrayItem<'_>)) {
        let (mut at, mut begin) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            match self.place {
                Place::Behind => return,
                Place::Before => {
                    if *byte == b'[' {
                        self.place = Place::Between;
                    }
                }
                Place::Between => match byte {
                    b']' => self.place = Place::Behind,
                    b',' | b' ' | b'\t' | b'\r' | b'\n' => {}
                    _ => {
                        // The same byte again, as the first of an element.
                        self.place = Place::Inside(0);
                        begin = at;
                        continue;
                    }
                },
                Place::Inside(depth) => match byte {
                    b'"' => self.place = Place::Text(depth),
                    b'{' | b'[' => self.place = Place::Inside(depth + 1),
                    b',' if depth == 0 => {
                        self.end(&bytes[begin..at], &mut each);
                        self.place = Place::Between;
                    }
                    b']' if depth == 0 => {
                        self.end(&bytes[begin..at], &mut each);
                        self.place = Place::Behind;
                    }
                    b'}' | b']' if depth <= 1 => {
                        self.end(&bytes[begin..=at], &mut each);
                        self.place = Place::Between;
                    }
                    b'}' | b']' => self.place = Place::Inside(depth - 1),
                    _ => {}
                },
                Place::Text(depth) => match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                    Some(found) => {
                        at += found;
                        self.place = match bytes[at] {
                            b'"' => Place::Inside(depth),
                            _ => Place::Escape(depth),
                        };
                    }
                    None => at = bytes.len() - 1,
                },
                Place::Escape(depth) => self.place = Place::Text(depth),
            }
            at += 1;
        }
        if matches!(
            self.place,
            Place::Inside(_) | Place::Text(_) | Place::Escape(_)
        ) {
            self.keep(&bytes[begin..]);
        }
    }

    /// Keeps a piece of an element, while it is within the limit.
    fn keep(&mut self, piece: &[u8]) {
        self.size = self.size.saturating_add(piece.len());
        if self.size <= self.limit {
            self.held.extend_from_slice(piece);
        } else {
            self.held = Vec::new();
        }
    }

    /// The element ends with that piece.
    fn end(&mut self, piece: &[u8], each: &mut impl FnMut(ArrayItem<'_>)) {
        if self.size.saturating_add(piece.len()) > self.limit {
            each(ArrayItem::TooLarge);
        } else if self.held.is_empty() {
            each(ArrayItem::Element(piece.trim_ascii_end()));
        } else {
            self.held.extend_from_slice(piece);
            each(ArrayItem::Element(self.held.trim_ascii_end()));
        }
        self.size = 0;
        self.held.clear();
        self.held.shrink_to(IDLE);
    }
}

#[cfg(test)]
mod tests;

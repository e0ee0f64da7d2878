//! HTTP/1.1 as far as a load generator needs it, sans I/O.
//!
//! Owns: [`request`], the bytes of a request, and [`Reader`], which finds a response's end. In: bytes in any split.
//! Out: the status, and the body's bytes as they come. A response without length and without chunks is refused: its
//! connection could not be kept.

/// Bytes of one line of a head that are kept.
const LINE: usize = 64 << 10;

/// The bytes of a request.
pub fn request(
    authority: &str,
    path: &str,
    headers: &[impl AsRef<str>],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n");
    for line in headers {
        text.push_str(line.as_ref());
        text.push_str("\r\n");
    }
    if let Some(body) = body {
        text.push_str("content-length: ");
        text.push_str(&body.len().to_string());
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// It does not begin as HTTP/1.1.
    #[error("no status line")]
    Status,
    /// A line of the head without end.
    #[error("a line is too long")]
    Line,
    /// Its end could only be seen by the connection's.
    #[error("neither a length nor chunks")]
    Endless,
    /// A length or a chunk size that is none.
    #[error("a length that is no number")]
    Length,
    /// The framing of chunks is broken.
    #[error("a chunk does not end where its size says")]
    Chunk,
    /// More came than belongs to it.
    #[error("bytes after the response")]
    Surplus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Status,
    Head,
    Length(u64),
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Done,
}

/// Reads one response after the other.
#[derive(Debug)]
pub struct Reader {
    state: State,
    line: Vec<u8>,
    status: u16,
    length: Option<u64>,
    chunked: bool,
    close: bool,
}

// === impl Reader ===

impl Default for Reader {
    fn default() -> Self {
        Self {
            state: State::Status,
            line: Vec::new(),
            status: 0,
            length: None,
            chunked: false,
            close: false,
        }
    }
}

impl Reader {
    /// The status, once it was read.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the server closes the connection after this response.
    pub const fn closes(&self) -> bool {
        self.close
    }

    /// Makes it ready for the next response.
    pub fn reset(&mut self) {
        self.line.clear();
        *self = Self {
            line: std::mem::take(&mut self.line),
            ..Self::default()
        };
    }

    /// The next bytes; hands on those of the body. Returns whether the response is complete.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> Result<bool, BadResponse> {
        while !bytes.is_empty() {
            match self.state {
                State::Done => return Err(BadResponse::Surplus),
                State::Length(left) => {
                    let (part, rest) = split(bytes, left);
                    body(part);
                    bytes = rest;
                    self.state = after(left - part.len() as u64, State::Length, State::Done);
                }
                State::Chunk(left) => {
                    let (part, rest) = split(bytes, left);
                    body(part);
                    bytes = rest;
                    self.state = after(left - part.len() as u64, State::Chunk, State::ChunkEnd);
                }
                State::Status | State::Head | State::Size | State::ChunkEnd | State::Trailer => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    bytes = rest;
                    if self.line.len() + part.len() > LINE {
                        return Err(BadResponse::Line);
                    }
                    self.line.extend_from_slice(part);
                    if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        self.state = self.take(line.trim_ascii_end())?;
                        self.line = line;
                        self.line.clear();
                    }
                }
            }
        }
        Ok(self.state == State::Done)
    }

    /// One line that is not of the body.
    fn take(&mut self, line: &[u8]) -> Result<State, BadResponse> {
        match self.state {
            State::Status => {
                let text = std::str::from_utf8(line).map_err(|_| BadResponse::Status)?;
                self.status = text
                    .strip_prefix("HTTP/1.1 ")
                    .and_then(|rest| rest.get(..3)?.parse().ok())
                    .ok_or(BadResponse::Status)?;
                Ok(State::Head)
            }
            State::Head if line.is_empty() => self.body(),
            State::Head => {
                self.header(line)?;
                Ok(State::Head)
            }
            State::Size => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let size = std::str::from_utf8(digits.trim_ascii())
                    .ok()
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .ok_or(BadResponse::Length)?;
                Ok(after(size, State::Chunk, State::Trailer))
            }
            State::ChunkEnd if line.is_empty() => Ok(State::Size),
            State::Trailer if line.is_empty() => Ok(State::Done),
            State::Trailer => Ok(State::Trailer),
            State::ChunkEnd | State::Length(_) | State::Chunk(_) | State::Done => {
                Err(BadResponse::Chunk)
            }
        }
    }

    /// What follows the head.
    fn body(&mut self) -> Result<State, BadResponse> {
        match (self.status, self.chunked, self.length) {
            (100..=199, ..) => {
                self.reset();
                Ok(State::Status)
            }
            (204 | 304, ..) => Ok(State::Done),
            (_, true, _) => Ok(State::Size),
            (_, false, Some(length)) => Ok(after(length, State::Length, State::Done)),
            (_, false, None) => Err(BadResponse::Endless),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), BadResponse> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Ok(());
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).map_err(|_| BadResponse::Length)?;
            self.length = Some(digits.parse().map_err(|_| BadResponse::Length)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked |= value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.close |= value.eq_ignore_ascii_case(b"close");
        }
        Ok(())
    }
}

fn after(left: u64, more: impl FnOnce(u64) -> State, done: State) -> State {
    if left > 0 { more(left) } else { done }
}

fn split(bytes: &[u8], left: u64) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a response in pieces of `size` bytes: its status and body, or what is wrong.
    fn read(text: &str, size: usize) -> Result<(u16, String, bool), BadResponse> {
        let (mut reader, mut body, mut done) = (Reader::default(), Vec::new(), false);
        for piece in text.as_bytes().chunks(size) {
            done = reader.feed(piece, |part| body.extend_from_slice(part))?;
        }
        Ok((reader.status(), String::from_utf8(body).unwrap(), done))
    }

    #[test]
    fn a_response_is_the_same_however_its_bytes_are_split() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        let chunks = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many\r\ntransfer-encoding: chunked\r\n\r\n\
                      3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\ntrailer: 1\r\n\r\n";
        let empty = "HTTP/1.1 204 No Content\r\n\r\n";
        for size in 1..=chunks.len() {
            assert_eq!(read(plain, size), Ok((200, "hello".into(), true)), "{size}");
            assert_eq!(
                read(chunks, size),
                Ok((429, "hello".into(), true)),
                "{size}"
            );
            assert_eq!(read(empty, size), Ok((204, String::new(), true)), "{size}");
            let cut = &chunks[..chunks.len() - 2];
            assert_eq!(read(cut, size).map(|it| it.2), Ok(false), "{size}");
        }
    }

    #[test]
    fn what_can_not_be_measured_is_refused() {
        for (text, why) in [
            ("SSH-2.0\r\n", BadResponse::Status),
            ("HTTP/1.1 200 OK\r\n\r\nhello", BadResponse::Endless),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
                BadResponse::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
                BadResponse::Chunk,
            ),
            ("HTTP/1.1 204 OK\r\n\r\nx", BadResponse::Surplus),
        ] {
            assert_eq!(read(text, text.len()), Err(why), "{text}");
        }
    }
}

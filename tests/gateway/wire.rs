//! HTTP/1.1 by hand: a client that writes in any pieces, and a provider that answers with any bytes.

use crate::support::process::PATIENCE;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};

/// Header lines as they stood on the wire: names in lower case, values as bytes.
pub type Lines = Vec<(String, Vec<u8>)>;

/// One side of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request line or a status line, and the lines below it.
#[derive(Clone, Debug)]
pub struct Head {
    pub first: String,
    pub lines: Lines,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As its framing says.
    Whole,
    /// Earlier: nobody can take it for whole.
    Broken,
}

/// A body that was read to its end.
#[derive(Clone, Debug)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub trailers: Lines,
    pub ended: Ended,
}

impl Head {
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.lines
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value.as_slice())
            .collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name)
            .first()
            .map(|value| std::str::from_utf8(value).unwrap())
    }

    fn is_chunked(&self) -> bool {
        self.get("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn length(&self) -> Option<usize> {
        self.get("content-length")
            .map(|value| value.parse().unwrap())
    }
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn connect(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    /// Writes; false when the other side is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Writes a whole request.
    pub async fn post(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert!(self.write(request.as_bytes()).await);
    }

    /// Writes in pieces, each a write of its own.
    pub async fn write_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> bool {
        for piece in pieces {
            if !self.write(piece).await {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    }

    /// The next head; none when the connection ends instead.
    pub async fn try_head(&mut self) -> Option<Head> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return Some(parse_head(&head[..at]));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next head that is not an interim one.
    pub async fn head(&mut self) -> Head {
        loop {
            let head = self.try_head().await.expect("a response head");
            if head.status() >= 200 {
                return head;
            }
        }
    }

    /// The next bytes of a chunked body, as one chunk; none at its end, with trailers left in the buffer.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Ended> {
        let line = self.line().await.ok_or(Ended::Broken)?;
        let size = line.split(|byte| *byte == b';').next().unwrap();
        let size = std::str::from_utf8(size)
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
            .ok_or(Ended::Broken)?;
        if size == 0 {
            return Ok(None);
        }
        while self.buffer.len() < size + 2 {
            if !self.fill().await {
                let rest = std::mem::take(&mut self.buffer);
                self.buffer = rest[..rest.len().min(size)].to_vec();
                return Err(Ended::Broken);
            }
        }
        let chunk = self.buffer.drain(..size).collect();
        assert_eq!(self.buffer.drain(..2).as_slice(), b"\r\n");
        Ok(Some(chunk))
    }

    /// The body behind a head.
    pub async fn body(&mut self, head: &Head) -> Received {
        let mut received = Received {
            bytes: Vec::new(),
            trailers: Vec::new(),
            ended: Ended::Whole,
        };
        if head.is_chunked() {
            loop {
                match self.chunk().await {
                    Ok(Some(chunk)) => received.bytes.extend(chunk),
                    Ok(None) => break,
                    Err(ended) => {
                        received.bytes.append(&mut self.buffer);
                        received.ended = ended;
                        return received;
                    }
                }
            }
            loop {
                match self.line().await {
                    None => {
                        received.ended = Ended::Broken;
                        return received;
                    }
                    Some(line) if line.is_empty() => return received,
                    Some(line) => received.trailers.push(parse_line(&line)),
                }
            }
        }
        let length = head.length();
        while length.is_none_or(|length| self.buffer.len() < length) {
            match self.read().await {
                Ok(0) if length.is_none() => break,
                Ok(0) | Err(_) => {
                    received.ended = Ended::Broken;
                    break;
                }
                Ok(_) => {}
            }
        }
        let take = length.unwrap_or(usize::MAX).min(self.buffer.len());
        received.bytes = self.buffer.drain(..take).collect();
        received
    }

    /// A whole response.
    pub async fn response(&mut self) -> (Head, Received) {
        let head = self.head().await;
        let body = self.body(&head).await;
        (head, body)
    }

    /// Waits until the other side closes; what it sent before.
    pub async fn closed(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Ends the write side only.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Closes with a reset instead of an end.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(line[..at].to_vec());
            }
            if !self.fill().await {
                // A line that never ended is not part of any body.
                self.buffer.clear();
                return None;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        self.read().await.is_ok_and(|count| count > 0)
    }

    async fn read(&mut self) -> std::io::Result<usize> {
        tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer))
            .await
            .expect("bytes, or an end")
    }
}

/// What the hand-made provider does with one request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its writes.
    pub pieces: Vec<Vec<u8>>,
    /// What follows them.
    pub then: Then,
}

/// What follows a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next request on the same connection.
    Stay,
    /// The connection ends.
    Close,
    /// The connection is reset.
    Reset,
}

/// A provider made by hand: it answers each request with the next reply.
#[derive(Debug)]
pub struct Upstream {
    pub url: String,
    replies: mpsc::UnboundedSender<Reply>,
    requests: mpsc::UnboundedReceiver<(Head, Vec<u8>)>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (replies, next) = mpsc::unbounded_channel::<Reply>();
        let (seen, requests) = mpsc::unbounded_channel();
        let next = Arc::new(Mutex::new(next));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (next, seen) = (Arc::clone(&next), seen.clone());
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    while let Some(head) = wire.try_head().await {
                        let body = wire.body(&head).await;
                        let _ = seen.send((head, body.bytes));
                        let Some(reply) = next.lock().await.recv().await else {
                            return;
                        };
                        wire.write_pieces(reply.pieces.iter().map(Vec::as_slice))
                            .await;
                        match reply.then {
                            Then::Stay => {}
                            Then::Close => return,
                            Then::Reset => return wire.reset(),
                        }
                    }
                });
            }
        });
        Self {
            url,
            replies,
            requests,
        }
    }

    pub fn reply(&self, pieces: Vec<Vec<u8>>, then: Then) {
        self.replies.send(Reply { pieces, then }).unwrap();
    }

    /// The next request that came.
    pub async fn request(&mut self) -> (Head, Vec<u8>) {
        tokio::time::timeout(PATIENCE, self.requests.recv())
            .await
            .expect("a request")
            .unwrap()
    }
}

fn parse_head(bytes: &[u8]) -> Head {
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8_lossy(lines.next().unwrap()).into_owned();
    Head {
        first,
        lines: lines.map(parse_line).collect(),
    }
}

fn parse_line(line: &[u8]) -> (String, Vec<u8>) {
    let at = line
        .iter()
        .position(|byte| *byte == b':')
        .unwrap_or_else(|| panic!("no header line: {line:?}"));
    (
        String::from_utf8_lossy(&line[..at]).to_ascii_lowercase(),
        line[at + 1..].trim_ascii().to_vec(),
    )
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

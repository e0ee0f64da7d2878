//! Accepted connections, wherever they come from.
//!
//! Owns: [`Accept`], the seam between the server and its listeners, and [`Io`], the streams they give. Here is also
//! the in-memory listener that tests use. Must not know: what is spoken on a connection.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::mpsc,
};

/// A connection and the peer who made it.
#[derive(Debug)]
pub struct Accepted {
    /// The stream.
    pub io: Io,
    /// The peer's address: the only thing that may say who is calling.
    pub peer: SocketAddr,
    /// Whom the address belonged to when the connection was made.
    pub node: Origin,
}

/// The node that a connection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This one, by its stable id: found before the handshake was answered, so that no other node can have made it.
    Node(String),
    /// No node of the tailnet had the address.
    Nobody,
    /// The listener can't tell: whoever has the address.
    Unknown,
}

/// A source of connections.
pub trait Accept: Send {
    /// Waits for the next connection. Cancel safe: a connection is returned or still to come.
    ///
    /// An error is final: the listener is closed. What concerns one connection only is handled inside.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted>> + Send;
}

/// The stream of an accepted connection.
#[derive(Debug)]
pub enum Io {
    /// From the tailnet, through the node.
    Tailnet(UnixStream),
    /// From the development listener.
    Tcp(TcpStream),
    /// From within the process.
    Memory(DuplexStream),
}

// === impl Io ===

/// Calls one method on whichever stream it is.
macro_rules! each {
    ($io:expr, $stream:ident => $call:expr) => {
        match $io.get_mut() {
            Io::Tailnet($stream) => $call,
            Io::Tcp($stream) => $call,
            Io::Memory($stream) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tailnet(stream) => stream.is_write_vectored(),
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Memory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A listener within the process.
#[derive(Debug)]
pub struct Memory(mpsc::Receiver<Accepted>);

/// Connects to a [`Memory`] listener.
#[derive(Clone, Debug)]
pub struct Connector(mpsc::Sender<Accepted>);

/// What a stream in memory holds before its writer waits.
const MEMORY_BUFFER: usize = 64 << 10;

// === impl Memory ===

impl Memory {
    /// A listener and its connector; at most `backlog` connections wait to be accepted.
    pub fn new(backlog: usize) -> (Self, Connector) {
        let (sender, receiver) = mpsc::channel(backlog.max(1));
        (Self(receiver), Connector(sender))
    }
}

impl Connector {
    /// Connects as `peer`, waiting while the backlog is full.
    pub async fn connect(&self, peer: SocketAddr) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(MEMORY_BUFFER);
        let accepted = Accepted {
            io: Io::Memory(near),
            peer,
            node: Origin::Unknown,
        };
        match self.0.send(accepted).await {
            Ok(()) => Ok(far),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Accept for Memory {
    async fn accept(&mut self) -> io::Result<Accepted> {
        self.0
            .recv()
            .await
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn memory_keeps_peer_and_half_close() {
        let (mut listener, connector) = Memory::new(1);
        let peer: SocketAddr = "100.64.0.7:4711".parse().unwrap();
        let mut client = connector.connect(peer).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();

        let mut accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.peer, peer);
        let mut question = String::new();
        accepted.io.read_to_string(&mut question).await.unwrap();
        accepted.io.write_all(b"answer").await.unwrap();
        drop(accepted);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
    }

    #[tokio::test]
    async fn memory_ends_with_either_side() {
        let peer: SocketAddr = "100.64.0.7:4711".parse().unwrap();
        let (mut listener, connector) = Memory::new(1);
        drop(connector);
        assert!(listener.accept().await.is_err());
        let (listener, connector) = Memory::new(1);
        drop(listener);
        assert!(connector.connect(peer).await.is_err());
    }
}

//! The first bytes of a connection: whether the client speaks what its port speaks, and TLS where that is so.
//!
//! Owns: [`Transport`], the stream that hyper gets, and the answers to those who speak something else. In: a registered
//! connection. Out: a stream of HTTP, or nothing. The first bytes are read once and handed on, so that looking at them costs no
//! call of the system. Must not know: requests, where certificates come from.

use super::{Port, Server, mistakes::Kind};
use crate::{
    identity::{NodeId, Unidentified, WhoIs},
    tailnet::Io,
};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Room for a usual request's head, or a client's greeting.
const FIRST_READ: usize = 4096;

/// The type of a TLS record that begins a handshake: no request of HTTP begins so.
const HANDSHAKE: u8 = 0x16;

/// A fatal alert, `protocol_version`: no version of TLS is spoken here.
const NO_TLS_HERE: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 70];

/// A fatal alert, `internal_error`: there is no certificate yet.
const NO_CERTIFICATE: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 80];

/// What a client may still send after a refusal, and for how long: a connection that is closed with bytes unread is reset,
/// and the client would not see the answer.
const REST: u64 = 1 << 20;
const REST_TIME: Duration = Duration::from_secs(2);

/// A stream whose first bytes were read already.
#[derive(Debug)]
pub(super) struct Begun {
    first: Vec<u8>,
    at: usize,
    io: Io,
}

/// What HTTP is spoken on.
#[derive(Debug)]
pub(super) enum Transport {
    /// The connection itself.
    Plain(Begun),
    /// TLS on it.
    Tls(Box<TlsStream<Begun>>),
}

/// Who is on the other end.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    /// Its address.
    pub(super) address: SocketAddr,
    /// The node that the connection was accepted from.
    pub(super) accepted_as: &'a Result<NodeId, Unidentified>,
}

impl<W: WhoIs> Server<W> {
    /// Waits for the first bytes, and for the handshake where there is one. Nothing = the connection is over.
    ///
    /// The caller sets the deadline. Cancel safe in so far as the connection ends with it.
    pub(super) async fn open(&self, port: Port, io: Io, peer: Peer<'_>) -> Option<Transport> {
        let begun = Begun::read(io).await?;
        let greets = begun.first[0] == HANDSHAKE;
        match (port, greets) {
            (Port::Gateway | Port::Metrics, false) => Some(Transport::Plain(begun)),
            // Rare, or large: in boxes, so that the task of a plain connection stays small.
            (Port::Gateway | Port::Metrics, true) => {
                Box::pin(self.refuse_tls(begun, peer)).await;
                None
            }
            (Port::Secure, true) => Box::pin(self.handshake(begun, peer)).await,
            (Port::Secure, false) => {
                Box::pin(self.refuse_http(begun, peer)).await;
                None
            }
        }
    }

    async fn handshake(&self, mut begun: Begun, peer: Peer<'_>) -> Option<Transport> {
        let Some(settings) = self.tls.as_ref().and_then(super::Tls::settings) else {
            self.metrics.handshake("no_certificate");
            tracing::warn!("connection refused: there is no certificate yet");
            begun.answer(&NO_CERTIFICATE).await;
            return None;
        };
        match TlsAcceptor::from(settings).accept(begun).await {
            Ok(stream) => {
                self.metrics.handshake("ok");
                Some(Transport::Tls(Box::new(stream)))
            }
            Err(error) => {
                self.metrics.handshake("failed");
                // A client that went away has said nothing.
                if error.kind() == io::ErrorKind::InvalidData {
                    let words = error.to_string();
                    self.mistaken(Kind::Untrusted, &peer, words).await;
                }
                None
            }
        }
    }

    async fn refuse_tls(&self, mut begun: Begun, peer: Peer<'_>) {
        self.mistaken(Kind::TlsOnHttp, &peer, String::new()).await;
        begun.answer(&NO_TLS_HERE).await;
    }

    async fn refuse_http(&self, mut begun: Begun, peer: Peer<'_>) {
        let http = begun.first[0].is_ascii_uppercase();
        let known = self.mistaken(Kind::HttpOnTls, &peer, String::new()).await;
        if !http || !known {
            return;
        }
        let name = self.names.first().unwrap_or_else(|| "NAME".to_owned());
        // In the words of both dialects: whatever client it is shows the message.
        let body = serde_json::json!({"type": "error", "error": {
            "type": "invalid_request_error",
            "message": format!("this port speaks HTTPS: write https:// for it, or use the port for http, http://{name}"),
        }})
        .to_string();
        let head = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        begun.answer(format!("{head}{body}").as_bytes()).await;
    }

    /// Counts, remembers and logs a mistake; returns whether the tailnet knows who made it.
    async fn mistaken(&self, kind: Kind, peer: &Peer<'_>, words: String) -> bool {
        let identified = match peer.accepted_as {
            Ok(node) => self.resolver.resolve(peer.address.ip(), Some(node)).await,
            Err(why) => Err(why.clone()),
        };
        self.metrics.wrong_protocol(kind.as_str());
        let caller = identified.as_ref().ok().map(AsRef::as_ref);
        if self.mistakes.note(kind, caller, words.clone()) {
            let (login, node) = match &identified {
                Ok(caller) => (&*caller.login, &*caller.node_name),
                Err(_) => ("", ""),
            };
            match kind {
                Kind::TlsOnHttp => tracing::warn!(
                    login,
                    node,
                    "a client asks for https on the port for http: it has to use http://, or start the gateway with --tls"
                ),
                Kind::HttpOnTls => tracing::warn!(
                    login,
                    node,
                    "a client speaks http on the port for https: it has to use https://, or the port for http"
                ),
                Kind::Untrusted => tracing::warn!(
                    login,
                    node,
                    words,
                    "a client ended the handshake: does it trust the certificate, and call by a name that is in it?"
                ),
                // Not seen at the first bytes.
                Kind::ForeignOrigin | Kind::ForeignHost | Kind::OwnKey => {}
            }
        }
        identified.is_ok()
    }
}

// === impl Begun ===

impl Begun {
    /// Reads what comes first; nothing when the client leaves before.
    async fn read(mut io: Io) -> Option<Self> {
        let mut first = Vec::with_capacity(FIRST_READ);
        match io.read_buf(&mut first).await {
            Ok(1..) => Some(Self { first, at: 0, io }),
            Ok(0) => None,
            Err(error) => {
                tracing::debug!(%error, "connection ended");
                None
            }
        }
    }

    /// Says a last word, and lets the client finish its own.
    async fn answer(&mut self, word: &[u8]) {
        let rest = async {
            self.io.write_all(word).await?;
            self.io.shutdown().await?;
            let mut rest = (&mut self.io).take(REST);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(REST_TIME, rest).await {
            tracing::debug!(%error, "connection ended");
        }
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let left = &self.first[self.at..];
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        self.at += count;
        if self.at == self.first.len() {
            self.first = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// === impl Transport ===

/// Calls one method on whichever stream it is.
macro_rules! each {
    ($transport:expr, $stream:ident => $call:expr) => {
        match $transport.get_mut() {
            Transport::Plain($stream) => $call,
            Transport::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
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
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

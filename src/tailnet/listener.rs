//! Connections from the tailnet.
//!
//! Owns: [`Listener`]. In: messages from the Go library (`message`). Out: [`Accepted`]. A message that is not a connection
//! is dropped with what came in it, and never served. Must not know: what is spoken on a connection.

use super::{
    Accept, Accepted, Io,
    message::{Message, receive},
};
use std::{io, os::fd::OwnedFd};
use tokio::{io::Interest, net::UnixDatagram};

/// Accepts connections from the tailnet. Dropping it ends the tailnet listener.
#[derive(Debug)]
pub struct Listener {
    /// A `SOCK_SEQPACKET` socket. tokio has no type for that; all that is used of this one is that it waits until
    /// the descriptor can be read, and closes it.
    messages: UnixDatagram,
    /// The library closes what it gave out when its node goes.
    _node: super::Node,
}

// === impl Listener ===

impl Listener {
    pub(super) fn new(descriptor: OwnedFd, node: super::Node) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::from(descriptor);
        Ok(Self {
            messages: UnixDatagram::from_std(socket)?,
            _node: node,
        })
    }
}

impl Accept for Listener {
    async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            let message = self
                .messages
                .async_io(Interest::READABLE, || receive(&self.messages))
                .await?;
            match message {
                Message::Connection(stream, peer, node) => {
                    return Ok(Accepted {
                        io: Io::Tailnet(tokio::net::UnixStream::from_std(stream)?),
                        peer,
                        node,
                    });
                }
                Message::Unusable(why) => {
                    tracing::warn!(why, "a connection from the tailnet was dropped");
                }
                Message::End => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }
}

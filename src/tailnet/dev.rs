//! The development listener: plain TCP on loopback.
//!
//! Owns: [`DevListener`], which refuses every address that another machine could reach, because nothing says who
//! calls over plain TCP. Must not know: who the development user is.

use super::{Accept, Accepted, Io, Origin};
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum NotLoopback {
    /// Another machine could reach this address.
    #[error("{0} is not a loopback address, and everybody who can reach this listener is let in")]
    Refused(SocketAddr),
    /// The address can't be listened on.
    #[error("can't listen on {0}")]
    Bind(SocketAddr, #[source] io::Error),
}

/// Accepts plain TCP connections on loopback.
#[derive(Debug)]
pub struct DevListener(TcpListener);

/// How long accepting rests when the process is out of descriptors or memory.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

// === impl DevListener ===

impl DevListener {
    /// Listens on a loopback address; port 0 takes any.
    pub async fn bind(address: SocketAddr) -> Result<Self, NotLoopback> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(NotLoopback::Refused(address));
        }
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self(listener)),
            Err(error) => Err(NotLoopback::Bind(address, error)),
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Accept for DevListener {
    async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => {
                    // An event of a stream should leave when it is written.
                    stream.set_nodelay(true).ok();
                    return Ok(Accepted {
                        io: Io::Tcp(stream),
                        peer,
                        node: Origin::Unknown,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting on the development listener");
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncReadExt, net::TcpStream};

    #[tokio::test]
    async fn accepts_on_loopback_only() {
        for refused in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let error = DevListener::bind(refused.parse().unwrap())
                .await
                .unwrap_err();
            assert!(matches!(error, NotLoopback::Refused(_)), "{refused}");
        }
        let mut listener = DevListener::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.peer, client.local_addr().unwrap());
        drop(client);
        assert_eq!(accepted.io.read(&mut [0]).await.unwrap(), 0);
    }
}

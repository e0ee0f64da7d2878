//! The open connections: who they are, and how a script breaks one.
//!
//! Comes in: accepted sockets. Goes out: [`Connection`] handles for the service
//! and a listing for tests. A cut is carried out by the task that serves the
//! connection, after it has written what was handed to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::json::{Json, object};
use crate::script::CutHow;

/// One accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number; the first is 1.
    pub id: u64,
    /// The other end.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub is_tls: bool,
    requests: AtomicU64,
    socket: Weak<TcpStream>,
    broken: Notify,
}

impl Connection {
    /// How many requests came on it so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the connection closed, or reset.
    pub(crate) fn cut(&self, how: CutHow) {
        if let (CutHow::Rst, Some(socket)) = (how, self.socket.upgrade()) {
            // A socket that is gone already needs no reset.
            let _ = socket.set_zero_linger();
        }
        self.broken.notify_one();
    }

    /// Puts bytes on the wire beside HTTP and TLS.
    pub(crate) fn write_raw(&self, bytes: &[u8]) {
        if let Some(socket) = self.socket.upgrade() {
            // Nobody is owed these bytes: on a full or closed socket they are lost.
            let _ = socket.try_write(bytes);
        }
    }

    /// Waits for a cut. One waiter: the task that serves the connection.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }

    pub(crate) fn to_json(&self) -> Json {
        object! {
            "connection": self.id, "peer": self.peer.to_string(), "tls": self.is_tls,
            "requests": self.requests(),
        }
    }
}

/// All connections that are open, and how many there ever were.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
}

impl Connections {
    pub(crate) fn open(
        self: &Arc<Self>,
        socket: &Arc<TcpStream>,
        peer: SocketAddr,
        is_tls: bool,
    ) -> Open {
        let id = self.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        let connection = Arc::new(Connection {
            id,
            peer,
            is_tls,
            requests: AtomicU64::new(0),
            socket: Arc::downgrade(socket),
            broken: Notify::new(),
        });
        self.open.lock().insert(id, Arc::clone(&connection));
        Open {
            connection,
            registry: Arc::clone(self),
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn list(&self) -> Vec<Arc<Connection>> {
        self.open.lock().values().cloned().collect()
    }
}

/// Keeps a connection in the listing while it is served.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) connection: Arc<Connection>,
    registry: Arc<Connections>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.registry.open.lock().remove(&self.connection.id);
    }
}

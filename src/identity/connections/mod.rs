//! The open connections, each bound to the node that it was accepted from.
//!
//! Owns: [`Connections`], their limits, and the patrol that expels those whose node is gone.
//! In: peer and node of each accepted connection; what the bus touched. Out: a guard, whose cancellation means *close
//! this connection and cancel what runs on it*. Bounds: a removed, expired or re-assigned node's connections are told
//! within [`PATROL_INTERVAL`] while at most [`PATROL_QUESTIONS`] peers are connected, and at once when the bus says so.
//! A change of grants alone expels nobody: running streams finish, the next request is judged anew.
//! Must not know: HTTP, streams, policy.

use super::{NodeId, Unidentified, WhoIs, resolve::Resolver, watch::Touched};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Between two rounds of the patrol.
pub const PATROL_INTERVAL: Duration = Duration::from_secs(1);

/// Peers that one round asks about without being told to; those not asked about for longest come first.
pub const PATROL_QUESTIONS: usize = 128;

/// Questions of the patrol under way at a time.
const QUESTIONS_AT_ONCE: usize = 8;

/// Every open connection.
#[derive(Clone, Debug)]
pub struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open: Mutex<Open>,
    suspects: Mutex<Touched>,
    suspected: Notify,
}

#[derive(Debug)]
struct Open {
    limits: ConnectionLimits,
    count: usize,
    next: u64,
    peers: HashMap<IpAddr, Peer>,
}

/// How many connections may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of one peer address.
    pub per_peer: usize,
    /// In all.
    pub all: usize,
}

#[derive(Debug)]
struct Peer {
    /// When the patrol last asked who has this address.
    checked: Instant,
    connections: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    node: Option<NodeId>,
    cancelled: CancellationToken,
}

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// Its peer has too many.
    #[error("the peer has {limit} connections open already")]
    OfPeer {
        /// The limit.
        limit: usize,
    },
    /// There are too many.
    #[error("{limit} connections are open already")]
    InAll {
        /// The limit.
        limit: usize,
    },
}

/// Keeps a connection registered; dropping it ends the registration.
#[derive(Debug)]
pub struct ConnectionGuard {
    shared: Arc<Shared>,
    peer: IpAddr,
    number: u64,
    node: Option<NodeId>,
    cancelled: CancellationToken,
}

// === impl Connections ===

impl Connections {
    /// Nothing is open yet.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                open: Mutex::new(Open {
                    limits,
                    count: 0,
                    next: 0,
                    peers: HashMap::new(),
                }),
                suspects: Mutex::default(),
                suspected: Notify::new(),
            }),
        }
    }

    /// Takes other limits, after a reload. What is open stays open.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.shared.open.lock().limits = limits;
    }

    /// Registers an accepted connection.
    ///
    /// `node` is who had the address when it was accepted; a connection without one may serve refusals only, and is
    /// expelled as soon as its address is somebody's.
    pub fn register(
        &self,
        peer: SocketAddr,
        node: Option<NodeId>,
    ) -> Result<ConnectionGuard, TooMany> {
        let peer = peer.ip().to_canonical();
        let cancelled = CancellationToken::new();
        let mut open = self.shared.open.lock();
        let ConnectionLimits { per_peer, all } = open.limits;
        if open.count >= all {
            return Err(TooMany::InAll { limit: all });
        }
        let of_peer = open
            .peers
            .get(&peer)
            .map_or(0, |peer| peer.connections.len());
        if of_peer >= per_peer {
            return Err(TooMany::OfPeer { limit: per_peer });
        }
        let number = open.next;
        open.next += 1;
        open.count += 1;
        let connection = Connection {
            node: node.clone(),
            cancelled: cancelled.clone(),
        };
        open.peers
            .entry(peer)
            .or_insert_with(|| Peer {
                checked: Instant::now(),
                connections: HashMap::new(),
            })
            .connections
            .insert(number, connection);
        Ok(ConnectionGuard {
            shared: self.shared.clone(),
            peer,
            number,
            node,
            cancelled,
        })
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.shared.open.lock().count
    }

    /// The addresses of connected peers.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.shared.open.lock().peers.keys().copied().collect()
    }

    /// Tells the connections that the predicate picks to end; returns how many.
    pub fn expel(&self, gone: impl Fn(IpAddr, Option<&NodeId>) -> bool) -> usize {
        let open = self.shared.open.lock();
        let mut expelled = 0;
        for (ip, peer) in &open.peers {
            expelled += peer.expel(|_, node| gone(*ip, node));
        }
        expelled
    }

    /// Has the patrol look at once at what the bus touched.
    pub fn suspect(&self, touched: Touched) {
        self.shared.suspects.lock().add(touched);
        self.shared.suspected.notify_one();
    }

    /// Asks about connected peers for ever: each second about some, at once about the suspected.
    pub async fn patrol<W: WhoIs>(&self, resolver: &Resolver<W>) {
        let mut rounds = interval(PATROL_INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => self.sweep(resolver).await,
                () = self.shared.suspected.notified() => {
                    let touched = std::mem::take(&mut *self.shared.suspects.lock());
                    self.check(resolver, self.touched_peers(&touched)).await;
                }
            }
        }
    }

    /// One round: asks who has the addresses that were not asked about for longest, and expels those who lost theirs.
    ///
    /// A question that fails expels nobody: each new request is refused by its own question.
    pub async fn sweep<W: WhoIs>(&self, resolver: &Resolver<W>) {
        self.check(resolver, self.longest_unchecked()).await;
    }

    async fn check<W: WhoIs>(&self, resolver: &Resolver<W>, peers: Vec<IpAddr>) {
        stream::iter(peers)
            .for_each_concurrent(QUESTIONS_AT_ONCE, |ip| self.check_peer(resolver, ip))
            .await;
    }

    async fn check_peer<W: WhoIs>(&self, resolver: &Resolver<W>, ip: IpAddr) {
        // A connection that is accepted after the question may belong to the next owner: the answer isn't about it.
        let before = self.shared.open.lock().next;
        let node = match resolver.recheck(ip).await {
            Ok(caller) => Some(caller.node.clone()),
            Err(Unidentified::Failed(_)) => return,
            Err(_) => None,
        };
        let open = self.shared.open.lock();
        let Some(peer) = open.peers.get(&ip) else {
            return;
        };
        let expelled = peer.expel(|number, accepted_as| {
            number < before && (node.is_none() || accepted_as != node.as_ref())
        });
        if expelled > 0 {
            tracing::info!(
                expelled,
                node = node.as_ref().map(NodeId::as_str),
                "closed connections whose node is gone or lost its address"
            );
        }
    }

    fn longest_unchecked(&self) -> Vec<IpAddr> {
        let now = Instant::now();
        let mut open = self.shared.open.lock();
        let mut due: Vec<_> = open
            .peers
            .iter()
            .map(|(ip, peer)| (peer.checked, *ip))
            .collect();
        if due.len() > PATROL_QUESTIONS {
            due.select_nth_unstable(PATROL_QUESTIONS);
            due.truncate(PATROL_QUESTIONS);
        }
        let due: Vec<_> = due.into_iter().map(|(_, ip)| ip).collect();
        for ip in &due {
            if let Some(peer) = open.peers.get_mut(ip) {
                peer.checked = now;
            }
        }
        due
    }

    fn touched_peers(&self, touched: &Touched) -> Vec<IpAddr> {
        let open = self.shared.open.lock();
        let is_touched = |(ip, peer): &(&IpAddr, &Peer)| {
            touched.covers(**ip, None)
                || peer
                    .connections
                    .values()
                    .any(|connection| touched.covers(**ip, connection.node.as_ref()))
        };
        open.peers
            .iter()
            .filter(is_touched)
            .map(|(ip, _)| *ip)
            .collect()
    }
}

impl Peer {
    fn expel(&self, gone: impl Fn(u64, Option<&NodeId>) -> bool) -> usize {
        let told = self.connections.iter().filter(|(number, connection)| {
            !connection.cancelled.is_cancelled() && gone(**number, connection.node.as_ref())
        });
        told.map(|(_, connection)| connection.cancelled.cancel())
            .count()
    }
}

// === impl ConnectionGuard ===

impl ConnectionGuard {
    /// The node that the connection was accepted from: what each of its requests is resolved against.
    pub const fn node(&self) -> Option<&NodeId> {
        self.node.as_ref()
    }

    /// Completes when the connection must end. Cancel safe.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.cancelled.cancelled()
    }

    /// The same as a token, for what runs on the connection.
    pub const fn token(&self) -> &CancellationToken {
        &self.cancelled
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut open = self.shared.open.lock();
        open.count -= 1;
        if let Some(peer) = open.peers.get_mut(&self.peer) {
            peer.connections.remove(&self.number);
            if peer.connections.is_empty() {
                open.peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests;

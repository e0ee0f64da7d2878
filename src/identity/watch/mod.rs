//! What the node's bus says about identity: which answers became wrong, which connections need another look.
//!
//! Owns: [`Touched`], read from one notification by a pure function, and [`follow`], which acts on a stream of them.
//! In: the bus's JSON lines. Out: forgotten answers, suspected connections. The bus is not documented as stable, so a
//! message that is not understood touches everything. Removed peers come as numbers that no answer carries: so a
//! removal touches everything too. A change of capabilities alone sends nothing; [`super::resolve::MAX_AGE`] covers it.
//! Must not know: who reads the same bus for the node's state and its login.

use super::{NodeId, WhoIs, connections::Connections, resolve::Resolver};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};
use tokio::sync::mpsc;

/// Nodes named one by one; a notification with more of them touches everything.
const MAX_NAMED: usize = 256;

/// Whose identity may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Touched {
    /// Nobody's.
    #[default]
    Nothing,
    /// Of these nodes, and of whoever had these addresses before.
    Some {
        /// The nodes.
        nodes: HashSet<NodeId>,
        /// The addresses that they have now.
        addresses: HashSet<IpAddr>,
    },
    /// Anybody's.
    Everything,
}

/// The parts of a notification that matter here. Anything else is ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Notice {
    state: Option<IgnoredAny>,
    net_map: Option<IgnoredAny>,
    initial_status: Option<IgnoredAny>,
    self_change: Option<IgnoredAny>,
    user_profiles: Option<IgnoredAny>,
    peers_removed: Option<Vec<IgnoredAny>>,
    peers_changed: Option<Vec<Peer>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Peer {
    #[serde(rename = "StableID")]
    stable_id: String,
    /// `100.64.0.1/32`
    addresses: Option<Vec<String>>,
}

// === impl Touched ===

impl Touched {
    /// Reads one notification.
    pub fn read(line: &str) -> Self {
        let (Ok(notice), Ok(fields)) = (
            serde_json::from_str::<Notice>(line),
            serde_json::from_str::<HashMap<String, Option<IgnoredAny>>>(line),
        ) else {
            return Self::Everything;
        };
        // Messages with every field empty follow changes that the bus has no field for.
        let is_empty = fields
            .iter()
            .all(|(name, value)| value.is_none() || name == "Version" || name == "SessionID");
        if is_empty
            || notice.state.is_some()
            || notice.net_map.is_some()
            || notice.initial_status.is_some()
            || notice.self_change.is_some()
            || notice.user_profiles.is_some()
            || notice.peers_removed.is_some_and(|peers| !peers.is_empty())
        {
            return Self::Everything;
        }
        match notice.peers_changed {
            Some(peers) if !peers.is_empty() => Self::peers(peers),
            _ => Self::Nothing,
        }
    }

    fn peers(peers: Vec<Peer>) -> Self {
        if peers.len() > MAX_NAMED {
            return Self::Everything;
        }
        let mut nodes = HashSet::new();
        let mut addresses = HashSet::new();
        for peer in peers {
            for address in peer.addresses.into_iter().flatten() {
                let ip = address.split('/').next().unwrap_or_default();
                match ip.parse::<IpAddr>() {
                    Ok(ip) => addresses.insert(ip.to_canonical()),
                    Err(_) => return Self::Everything,
                };
            }
            if peer.stable_id.is_empty() || addresses.len() > 4 * MAX_NAMED {
                return Self::Everything;
            }
            nodes.insert(NodeId::from(peer.stable_id));
        }
        Self::Some { nodes, addresses }
    }

    /// Whether nobody is touched.
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Whether this address, or the node that had it, is touched.
    pub fn covers(&self, ip: IpAddr, node: Option<&NodeId>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some { nodes, addresses } => {
                addresses.contains(&ip) || node.is_some_and(|node| nodes.contains(node))
            }
            Self::Everything => true,
        }
    }

    /// Adds what another notification touches.
    pub fn add(&mut self, other: Self) {
        *self = match (std::mem::take(self), other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Nothing, touched) | (touched, Self::Nothing) => touched,
            (
                Self::Some {
                    mut nodes,
                    mut addresses,
                },
                Self::Some {
                    nodes: more_nodes,
                    addresses: more_addresses,
                },
            ) => {
                nodes.extend(more_nodes);
                addresses.extend(more_addresses);
                if nodes.len() > 16 * MAX_NAMED {
                    Self::Everything
                } else {
                    Self::Some { nodes, addresses }
                }
            }
        };
    }
}

/// Acts on the notifications until their source closes; the caller opens a new watch and calls again.
///
/// What happened between two watches is unknown, so beginning and end each touch everything. Cancel safe.
pub async fn follow<W: WhoIs>(
    mut lines: mpsc::Receiver<String>,
    resolver: &Resolver<W>,
    connections: &Connections,
) {
    let act = |touched: Touched| {
        if !touched.is_nothing() {
            resolver.forget(&touched);
            connections.suspect(touched);
        }
    };
    act(Touched::Everything);
    while let Some(line) = lines.recv().await {
        act(Touched::read(&line));
    }
    act(Touched::Everything);
}

#[cfg(test)]
mod tests;

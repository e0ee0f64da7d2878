//! Who is calling: from a peer's address to a [`Caller`].
//!
//! Owns: [`Caller`], the [`WhoIs`] seam, the cache that is never more than a second stale (`resolve`), what an answer
//! means (`grants`), the open connections (`connections`) and the bus that says what changed (`watch`).
//! In: a peer address from the listener, nothing else. Out: a caller, or a refusal (fail closed).
//! Must not know: headers, models, providers.

pub mod connections;
pub mod dev;
mod grants;
pub mod resolve;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

use crate::config::grant::Capability;
use std::{fmt, net::IpAddr, sync::Arc};

/// The stable id of a node: never given to another node, as an address is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for NodeId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A resolved caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// The stable key that owns this caller's data: `user:<id>` or `tags:<tags>`.
    pub user: Arc<str>,
    /// The login name, or a tagged node's tags, sorted and joined by commas.
    pub login: Arc<str>,
    /// Name for people; the login when there is none.
    pub display: Arc<str>,
    /// The node's stable id.
    pub node: NodeId,
    /// The node's name, without the tailnet's suffix.
    pub node_name: Arc<str>,
    /// Sorted tags; non-empty = not a person.
    pub tags: Vec<String>,
    /// Visible groups.
    pub groups: Vec<String>,
    /// Capabilities from the tailnet policy.
    pub capabilities: Vec<Capability>,
    /// Whether the request came over the development listener.
    pub dev: bool,
}

impl Caller {
    /// Somebody known by name alone (a login, or tags joined by commas): for questions about access, never for requests.
    pub fn named(login: &str) -> Self {
        let tags: Vec<String> = if login.starts_with("tag:") {
            login.split(',').map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        Self {
            user: login.into(),
            login: login.into(),
            display: login.into(),
            node: NodeId::from(""),
            node_name: "".into(),
            tags,
            groups: Vec::new(),
            capabilities: Vec::new(),
            dev: false,
        }
    }

    /// Whether this is a person (not a tagged node).
    pub fn is_person(&self) -> bool {
        self.tags.is_empty()
    }
}

/// Why a peer could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// The control plane knows no such node.
    #[error("no node of the tailnet has this address")]
    UnknownPeer,
    /// The node has neither an owner nor tags.
    #[error("the node has neither a user nor tags")]
    Nobody,
    /// The node's key has expired.
    #[error("the node's key has expired")]
    Expired,
    /// The address now belongs to another node than when the connection was accepted.
    #[error("the address has passed to another node")]
    Reassigned,
    /// The question could not be answered.
    #[error("the tailnet did not answer: {0}")]
    Failed(String),
}

/// Asks the control plane's view who has an address.
///
/// Implemented by the node, by the development listener, and by tests.
pub trait WhoIs: Send + Sync + 'static {
    /// Asks. `Ok(None)` when no node has the address.
    fn whois(
        &self,
        ip: IpAddr,
    ) -> impl Future<Output = Result<Option<crate::tailnet::localapi::WhoIs>, String>> + Send;

    /// Whether the answers are made up for the development listener.
    fn is_dev(&self) -> bool {
        false
    }
}

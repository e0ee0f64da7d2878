//! News from the node's notification bus.
//!
//! Owns: the one watch on the bus, [`NodeState`], and the generation that counts changes of identities. In: JSON
//! lines. Out: two `watch` channels. A message that can't be read, a watch that ends, and a gap between two watches
//! all count as a change: whoever caches identities must ask again. Must not know: what is cached.

use super::localapi::Notify;
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::watch,
};

/// Initial state (2), and changes of peers instead of whole network maps (4096).
pub(super) const MASK: u64 = 2 | 4096;

/// Where the node stands with its tailnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// A person has to log the node in, at this address once there is one.
    NeedsLogin(Option<String>),
    /// An admin of the tailnet has to approve the node.
    NeedsApproval,
    /// Switched off by its settings.
    Stopped,
    /// Logged in, not yet connected.
    Starting,
    /// Connected: peers can reach the node.
    Running,
    /// Closed by us; final.
    Closed,
}

/// The senders of what the bus tells.
#[derive(Debug)]
pub(super) struct Bus {
    pub(super) state: watch::Sender<NodeState>,
    pub(super) generation: watch::Sender<u64>,
}

// === impl Bus ===

impl Bus {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::new(NodeState::default()),
            generation: watch::Sender::new(0),
        }
    }

    /// Reads one watch to its end.
    pub(super) async fn read(&self, descriptor: OwnedFd) -> io::Result<()> {
        let stream = tokio::net::UnixStream::from_std(UnixStream::from(descriptor))?;
        // Nothing that happens from here on is missed; what happened before may have been.
        self.changed();
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let Ok(notify) = serde_json::from_slice::<Notify>(&line) else {
                tracing::warn!("a notification of the node can't be read");
                self.changed();
                continue;
            };
            if notify.changes_identities() {
                self.changed();
            }
            let before = self.state.borrow().clone();
            let after = next(&before, &notify);
            if after != before {
                self.state.send_replace(after);
            }
        }
        self.changed();
        Ok(())
    }

    /// Counts a change of identities.
    pub(super) fn changed(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

/// The state after a notification; numbers as `ipn.State` counts them.
fn next(before: &NodeState, notify: &Notify) -> NodeState {
    let address = notify.browse_to_url.clone().filter(|url| !url.is_empty());
    if *before == NodeState::Closed {
        return NodeState::Closed;
    }
    match (notify.state, before) {
        (Some(2), NodeState::NeedsLogin(known)) => NodeState::NeedsLogin(address.or(known.clone())),
        (Some(2), _) => NodeState::NeedsLogin(address),
        (Some(3), _) => NodeState::NeedsApproval,
        (Some(4), _) => NodeState::Stopped,
        (Some(5), _) => NodeState::Starting,
        (Some(6), _) => NodeState::Running,
        (Some(_), _) => NodeState::Unknown,
        // An address may come before or without the state that it belongs to.
        (None, NodeState::Unknown | NodeState::NeedsLogin(_)) if address.is_some() => {
            NodeState::NeedsLogin(address)
        }
        (None, before) => before.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn notify(json: &str) -> Notify {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn states_follow_the_bus() {
        let steps = [
            (r#"{"Version":"x"}"#, NodeState::Unknown),
            (r#"{"State":0}"#, NodeState::Unknown),
            (r#"{"State":2}"#, NodeState::NeedsLogin(None)),
            (
                r#"{"BrowseToURL":"https://login.example/a"}"#,
                NodeState::NeedsLogin(Some("https://login.example/a".to_owned())),
            ),
            (
                r#"{"State":2}"#,
                NodeState::NeedsLogin(Some("https://login.example/a".to_owned())),
            ),
            (r#"{"State":3}"#, NodeState::NeedsApproval),
            (r#"{"State":5}"#, NodeState::Starting),
            (r#"{"State":6}"#, NodeState::Running),
            (
                r#"{"BrowseToURL":"https://other.example/"}"#,
                NodeState::Running,
            ),
            (
                r#"{"State":2,"BrowseToURL":""}"#,
                NodeState::NeedsLogin(None),
            ),
            (r#"{"State":4}"#, NodeState::Stopped),
            (r#"{"State":99}"#, NodeState::Unknown),
        ];
        let mut state = NodeState::default();
        for (json, want) in steps {
            state = next(&state, &notify(json));
            assert_eq!(state, want, "after {json}");
        }
        assert_eq!(
            next(&NodeState::Closed, &notify(r#"{"State":6}"#)),
            NodeState::Closed
        );
    }

    /// Lines split anywhere, nonsense and the end of a watch: each that may hide a change counts as one.
    #[tokio::test]
    async fn changes_are_counted() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.write_all(
            b"{\"State\":6}\n{\"PeersChanged\":[{\"ID\":1}]}\n{}\nnonsense\n{\"State\":2}\n{\"UserProf",
        )
        .unwrap();
        far.write_all(b"iles\":{\"1\":{}}}\n{\"half").unwrap();
        drop(far);
        let bus = Bus::new();
        bus.read(near.into()).await.unwrap();
        assert_eq!(*bus.state.borrow(), NodeState::NeedsLogin(None));
        // The begin, peers, nonsense, profiles, the half line, the end.
        assert_eq!(*bus.generation.borrow(), 6);
    }
}

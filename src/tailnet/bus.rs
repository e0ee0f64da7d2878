//! News from the node's notification bus.
//!
//! Owns: the one watch on the bus, [`NodeState`], the address of a pending login, what stands in the way, and the
//! generation that counts changes of identities. In: JSON lines. Out: `watch` channels. A message that can't be read, a watch that ends, and a gap between two watches
//! all count as a change: whoever caches identities must ask again. Must not know: what is cached.

use super::{localapi::Notify, standing::Trouble};
use parking_lot::Mutex;
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::watch,
    time::Instant,
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
    /// Where a person can log the node in: also a running one, which was asked to log in again.
    pub(super) login: watch::Sender<Option<String>>,
    /// What was in the way last; none once the control server has spoken since.
    pub(super) trouble: watch::Sender<Option<Trouble>>,
    /// When it was last said, in whatever words.
    pub(super) said: Mutex<Option<Instant>>,
    /// Counts the logins that have come to their end.
    pub(super) logins: watch::Sender<u64>,
    /// It has been connected since the start.
    pub(super) ran: AtomicBool,
}

// === impl Bus ===

impl Bus {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::new(NodeState::default()),
            generation: watch::Sender::new(0),
            login: watch::Sender::new(None),
            trouble: watch::Sender::new(None),
            said: Mutex::new(None),
            logins: watch::Sender::new(0),
            ran: AtomicBool::new(false),
        }
    }

    /// Takes news from the node's own log.
    pub(super) fn logged(&self, line: &str) {
        if let Some(trouble) = Trouble::of_log(line) {
            *self.said.lock() = Some(Instant::now());
            self.trouble.send_if_modified(|last| {
                let new = last.as_ref() != Some(&trouble);
                *last = Some(trouble);
                new
            });
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
            self.take(&notify);
        }
        self.changed();
        Ok(())
    }

    fn take(&self, notify: &Notify) {
        let before = self.state.borrow().clone();
        let after = next(&before, notify);
        if after == NodeState::Running {
            self.ran.store(true, Ordering::Release);
        }
        let address = notify.browse_to_url.clone().filter(|url| !url.is_empty());
        if address.is_some() || notify.login_is_finished() {
            set(&self.login, address);
        }
        if notify.login_is_finished() {
            self.logins.send_modify(|logins| *logins += 1);
        }
        // Whatever of this it was, the control server has answered.
        let moved = after != before
            && matches!(
                after,
                NodeState::NeedsLogin(Some(_))
                    | NodeState::NeedsApproval
                    | NodeState::Starting
                    | NodeState::Running
            );
        if moved || notify.is_about_itself() || notify.login_is_finished() {
            set(&self.trouble, None);
        }
        if after != before {
            self.state.send_replace(after);
        }
    }

    /// Counts a change of identities.
    pub(super) fn changed(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

/// Sets a value; those who watch it hear of changes only.
fn set<T: PartialEq>(channel: &watch::Sender<T>, value: T) {
    channel.send_if_modified(|last| {
        let new = *last != value;
        *last = value;
        new
    });
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

    /// A running node that was asked to log in again has an address, and keeps running; news clear what was in the way.
    #[test]
    fn a_login_of_a_running_node_and_what_was_in_the_way() {
        let bus = Bus::new();
        bus.logged("Received error: invalid key: used");
        assert_eq!(
            *bus.trouble.borrow(),
            Some(Trouble::Refused("invalid key: used".to_owned()))
        );
        bus.take(&notify(r#"{"State":2}"#));
        assert!(
            bus.trouble.borrow().is_some(),
            "nothing was heard of control"
        );
        bus.take(&notify(r#"{"State":5}"#));
        assert!(bus.trouble.borrow().is_none());
        assert!(!bus.ran.load(Ordering::Acquire));
        bus.take(&notify(r#"{"State":6}"#));
        assert!(bus.ran.load(Ordering::Acquire));
        bus.take(&notify(r#"{"BrowseToURL":"https://login.example/a"}"#));
        assert_eq!(
            bus.login.borrow().as_deref(),
            Some("https://login.example/a")
        );
        assert_eq!(*bus.state.borrow(), NodeState::Running);
        bus.logged("Received error: PollNetMap: unexpected EOF");
        bus.take(&notify(r#"{"SelfChange":{}}"#));
        assert!(bus.trouble.borrow().is_none());
        bus.take(&notify(r#"{"LoginFinished":{}}"#));
        assert!(bus.login.borrow().is_none());
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

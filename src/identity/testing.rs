//! Callers and a tailnet for tests.

use super::{Caller, NodeId, WhoIs};
use crate::tailnet::localapi;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Semaphore;

/// A person with no groups and no capabilities.
pub(crate) fn person(login: &str) -> Caller {
    Caller {
        user: format!("user:{login}").into(),
        login: login.into(),
        display: login.into(),
        node: NodeId::from(format!("node-{login}")),
        node_name: "laptop".into(),
        tags: Vec::new(),
        groups: Vec::new(),
        capabilities: Vec::new(),
        dev: false,
    }
}

/// A node with these (sorted) tags.
pub(crate) fn tagged(tags: &[&str]) -> Caller {
    let login: Arc<str> = tags.join(",").into();
    Caller {
        user: format!("tags:{login}").into(),
        display: login.clone(),
        node: NodeId::from(format!("node-{login}")),
        node_name: "runner".into(),
        tags: tags.iter().map(ToString::to_string).collect(),
        ..person(&login)
    }
}

/// The answer for a person's node.
pub(crate) fn answer(node: &str, user: i64, login: &str) -> localapi::WhoIs {
    localapi::WhoIs {
        node: localapi::Node {
            stable_id: node.into(),
            name: format!("{node}.example.ts.net."),
            user,
            ..Default::default()
        },
        user_profile: localapi::UserProfile {
            id: user,
            login_name: login.into(),
            ..Default::default()
        },
        cap_map: None,
    }
}

/// A tailnet whose nodes can be changed, slowed down and broken.
#[derive(Clone, Debug)]
pub(crate) struct FakeTailnet {
    nodes: Arc<Mutex<HashMap<IpAddr, localapi::WhoIs>>>,
    broken: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    /// Each question takes one permit before it is *answered*; the answer is what was true when it was asked.
    gate: Arc<Semaphore>,
}

impl FakeTailnet {
    /// A tailnet that answers at once.
    pub(crate) fn new() -> Self {
        Self {
            nodes: Arc::default(),
            broken: Arc::default(),
            asked: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    /// A tailnet that answers as often as [`Self::let_answer`] says.
    pub(crate) fn held_back() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(0)),
            ..Self::new()
        }
    }

    pub(crate) fn set(&self, ip: &str, answer: localapi::WhoIs) {
        self.nodes.lock().insert(ip.parse().unwrap(), answer);
    }

    pub(crate) fn remove(&self, ip: &str) {
        self.nodes.lock().remove(&ip.parse::<IpAddr>().unwrap());
    }

    pub(crate) fn break_with(&self, text: Option<&str>) {
        *self.broken.lock() = text.map(Into::into);
    }

    pub(crate) fn let_answer(&self, questions: usize) {
        self.gate.add_permits(questions);
    }

    /// How many questions were asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl WhoIs for FakeTailnet {
    async fn whois(&self, ip: IpAddr) -> Result<Option<localapi::WhoIs>, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let broken = self.broken.lock().clone();
        let answer = self.nodes.lock().get(&ip).cloned();
        self.gate.acquire().await.expect("never closed").forget();
        broken.map_or(Ok(answer), Err)
    }
}

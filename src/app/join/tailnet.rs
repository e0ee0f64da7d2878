//! The node of a running gateway: joining it, and telling people where it stands.

use super::{
    super::{App, StateDir, notify},
    NodeFacts, Path,
};
use crate::{
    cli::RunArgs,
    identity::watch::Touched,
    provider::client::Dial,
    record::Timestamp,
    secret::Secret,
    server::{Names, NodeMetrics},
    shutdown::Tasks,
    tailnet::{Io, Node, NodeConfig, NodeState, localapi::Status},
};
use anyhow::Context as _;
use parking_lot::RwLock;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// How often a login that nobody has made is asked for again in the log, and the node's own facts are read again.
const REMIND: Duration = Duration::from_secs(30);

/// The gateway's own node.
#[derive(Clone, Debug)]
pub struct Own {
    node: Node,
    state: watch::Receiver<NodeState>,
    facts: Arc<RwLock<Facts>>,
    names: Names,
    wanted: String,
    control_url: String,
    port: u16,
}

/// The control server when no other is named.
const CONTROL_URL: &str = "https://controlplane.tailscale.com";

/// What the node says of itself.
#[derive(Clone, Debug, Default)]
struct Facts {
    name: String,
    key_expiry: Option<Timestamp>,
    /// Since when the control server has not been heard.
    unheard: Option<Timestamp>,
    /// People were told that it serves, and nothing else since.
    told: bool,
}

impl Own {
    pub(super) async fn join(
        args: &RunArgs,
        state_dir: &StateDir,
        names: &Names,
        background: &Tasks,
    ) -> anyhow::Result<Self> {
        let key = auth_key(args)?;
        let is_client_secret = key
            .as_ref()
            .is_some_and(|key| key.expose().starts_with("tskey-client-"));
        let (auth_key, client_secret) = if is_client_secret {
            (None, key)
        } else {
            (key, None)
        };
        if client_secret.is_some() && args.advertise_tags.is_empty() {
            anyhow::bail!(
                "an OAuth client secret makes keys for tagged nodes only: give --advertise-tags"
            );
        }
        let config = NodeConfig {
            hostname: args.hostname.clone(),
            state_dir: state_dir.path().to_owned(),
            state_store: args.node_state.clone(),
            control_url: args.control_url.clone(),
            auth_key,
            client_secret,
            tags: args.advertise_tags.clone(),
            ephemeral: args.ephemeral,
            udp_port: args.udp_port,
        };
        let node = Node::start(config, background)
            .await
            .context("joining the tailnet")?;
        Ok(Self {
            state: node.state(),
            node,
            facts: Arc::default(),
            names: names.clone(),
            wanted: args.hostname.clone(),
            control_url: args
                .control_url
                .clone()
                .unwrap_or_else(|| CONTROL_URL.to_owned()),
            port: args.port,
        })
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn dial(&self) -> Dial {
        let node = self.node.clone();
        Arc::new(move |host, port, limit| {
            let node = node.clone();
            Box::pin(async move {
                let address = if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                };
                node.dial(&address, limit)
                    .await
                    .map(Io::Tailnet)
                    .map_err(io::Error::other)
            })
        })
    }

    pub(super) fn state_word(&self) -> &'static str {
        match &*self.state.borrow() {
            NodeState::Unknown => "unknown",
            NodeState::NeedsLogin(_) => "needs_login",
            NodeState::NeedsApproval => "needs_approval",
            NodeState::Stopped => "stopped",
            NodeState::Starting => "starting",
            NodeState::Running => "running",
            NodeState::Closed => "closed",
        }
    }

    pub(super) fn is_running(&self) -> bool {
        *self.state.borrow() == NodeState::Running
    }

    pub(super) fn name(&self) -> String {
        let name = self.facts.read().name.clone();
        if name.is_empty() {
            self.wanted.clone()
        } else {
            name
        }
    }

    pub(super) fn key_expiry(&self) -> Option<Timestamp> {
        self.facts.read().key_expiry
    }

    /// What the node says of itself.
    pub(super) async fn facts(&self) -> NodeFacts {
        let status = self.node.status().await.ok();
        let login_url = match &*self.state.borrow() {
            NodeState::NeedsLogin(Some(url)) => url.clone(),
            _ => String::new(),
        };
        NodeFacts {
            wanted: self.wanted.clone(),
            control_url: self.control_url.clone(),
            login_url,
            status,
            unheard: self.facts.read().unheard,
        }
    }

    /// The address of a peer, by its short or full name.
    pub(super) async fn peer(&self, name: &str) -> Result<Option<std::net::IpAddr>, String> {
        let peers = self.node.peers().await.map_err(|error| error.to_string())?;
        let wanted = name.trim_end_matches('.').to_lowercase();
        let is_it = |full: &str| {
            let full = full.trim_end_matches('.').to_lowercase();
            full == wanted || full.split('.').next() == Some(&*wanted)
        };
        let found = peers.into_iter().find(|peer| is_it(&peer.dns_name));
        Ok(found.and_then(|peer| peer.addresses?.first().copied()))
    }

    /// Looks for the path to a peer.
    pub(super) async fn ping(&self, ip: std::net::IpAddr, limit: Duration) -> Result<Path, String> {
        let answer = self.node.ping(ip, limit).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.err.is_empty() {
            return Err(answer.err);
        }
        Ok(Path {
            endpoint: answer.endpoint,
            relay: answer.relay,
            seconds: answer.latency_seconds,
        })
    }

    pub(super) fn metrics_source(&self) -> NodeMetrics {
        let node = self.node.clone();
        Arc::new(move || {
            let node = node.clone();
            Box::pin(async move { node.user_metrics().await.ok() })
        })
    }

    pub(super) async fn close(&self) {
        if let Err(error) = self.node.close().await {
            tracing::warn!(%error, "the node did not close in order");
        }
    }

    /// Keeps names, caches and people up to date.
    pub(super) async fn follow(&self, app: &Arc<App>) {
        let mut state = self.state.clone();
        let mut generation = self.node.generation();
        let mut remind = interval(REMIND);
        remind.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = state.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    remind.reset_immediately();
                }
                changed = generation.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    app.resolver.flush();
                    app.connections.suspect(Touched::Everything);
                }
                _ = remind.tick() => {
                    let now = state.borrow_and_update().clone();
                    if now == NodeState::Closed {
                        return;
                    }
                    self.tell(&now).await;
                    app.measure();
                }
            }
        }
    }

    /// Tells people where the node stands and what to do about it.
    async fn tell(&self, state: &NodeState) {
        if *state != NodeState::Running {
            self.facts.write().told = false;
        }
        match state {
            NodeState::NeedsLogin(Some(url)) => {
                notify(&[sd_notify::NotifyState::Status(&format!(
                    "waiting for a login at {url}"
                ))]);
                tracing::warn!(%url, "this node has to be logged in: open the address");
            }
            NodeState::NeedsLogin(None) => {
                // On every first start for a moment, before the key is used or an address arrives.
                notify(&[sd_notify::NotifyState::Status("logging in")]);
                tracing::info!(
                    "logging in to the tailnet: the control server has not answered yet"
                );
            }
            NodeState::NeedsApproval => {
                notify(&[sd_notify::NotifyState::Status(
                    "waiting for an admin's approval",
                )]);
                tracing::warn!(
                    "an admin of the tailnet has to approve this node (admin console, Machines)"
                );
            }
            NodeState::Stopped => tracing::warn!("the node is switched off in its settings"),
            NodeState::Running => match self.node.status().await {
                Ok(status) => self.learn(&status),
                Err(error) => tracing::warn!(%error, "the node does not say who it is"),
            },
            NodeState::Unknown | NodeState::Starting => {
                notify(&[sd_notify::NotifyState::Status(
                    "waiting for the control server",
                )]);
                tracing::info!("joining the tailnet: waiting for its control server");
            }
            NodeState::Closed => {}
        }
    }

    /// Takes names and key expiry from the node's status; says so when they are new.
    fn learn(&self, status: &Status) {
        let Some(own) = &status.own else { return };
        let full = own.dns_name.trim_end_matches('.').to_owned();
        let short = full.split('.').next().unwrap_or("").to_owned();
        let addresses = status.addresses.clone().unwrap_or_default();
        self.names.set(
            [full.clone(), short.clone()]
                .into_iter()
                .chain(addresses.iter().map(ToString::to_string)),
        );
        let unheard =
            (!own.online).then(|| self.facts.read().unheard.unwrap_or_else(Timestamp::now));
        let facts = Facts {
            name: short.clone(),
            unheard,
            key_expiry: own.key_expiry.as_deref().and_then(expiry),
            told: true,
        };
        let before = std::mem::replace(&mut *self.facts.write(), facts.clone());
        warn_of_expiry(facts.key_expiry);
        if before.told && before.name == short {
            return;
        }
        let port = if self.port == 80 {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        notify(&[sd_notify::NotifyState::Status(&format!(
            "serving as http://{full}{port}/"
        ))]);
        tracing::info!(
            name = %full,
            pages = %format!("http://{short}{port}/ui/"),
            "serving: clients use http://{short}{port}"
        );
        if short != self.wanted {
            tracing::warn!(
                wanted = %self.wanted,
                name = %short,
                "the name was taken, so the tailnet gave another: remove the old machine in the admin console and restart, \
                 or tell clients the new name"
            );
        }
    }
}

/// Says ahead that the node's key will expire: nobody could reach the gateway then.
fn warn_of_expiry(expiry: Option<Timestamp>) {
    const WEEK_MS: u64 = 7 * 24 * 3_600_000;
    let Some(expiry) = expiry else { return };
    let left = expiry.0.saturating_sub(Timestamp::now().0);
    if left < WEEK_MS {
        tracing::warn!(
            hours = left / 3_600_000,
            "the node's key expires soon: turn off key expiry for this machine in the admin console, or log in again"
        );
    }
}

/// The key to join with: a file, or the environment's text or file.
fn auth_key(args: &RunArgs) -> anyhow::Result<Option<Secret>> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path)
            .map(|text| Secret::new(text.trim()))
            .with_context(|| format!("reading the auth key from {}", path.display()))
    };
    if let Some(path) = &args.auth_key_file {
        return read(path).map(Some);
    }
    match args
        .auth_key
        .as_deref()
        .map(str::trim)
        .filter(|key| !key.is_empty())
    {
        None => Ok(None),
        Some(key) => match key.strip_prefix("file:") {
            Some(path) => read(path.as_ref()).map(Some),
            None => Ok(Some(Secret::new(key))),
        },
    }
}

/// RFC 3339 as the control plane writes it (UTC); the zero time is never.
fn expiry(text: &str) -> Option<Timestamp> {
    let time = Timestamp::parse(text)?;
    (time.0 > 0).then_some(time)
}

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
    tailnet::{
        Concern, Details, EXPIRY_DAYS, Gravity, Io, Login, Node, NodeConfig, NodeState, Notice,
        Standing, Trouble, localapi::Status,
    },
};
use anyhow::Context as _;
use parking_lot::RwLock;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

/// How often the node's own facts are read at least.
const READ: Duration = Duration::from_secs(30);

/// How soon they are read again after something has changed.
const SOON: Duration = Duration::from_millis(250);

/// How long the control server may be silent before anybody is told, while the node runs.
const LOST: Duration = Duration::from_secs(5);

/// Tailscale's own control server, which is used when none is named.
const DEFAULT_CONTROL: &str = "https://controlplane.tailscale.com";

const DAY_MS: u64 = 24 * 3_600_000;

/// The gateway's own node.
#[derive(Clone, Debug)]
pub struct Own {
    node: Node,
    state: watch::Receiver<NodeState>,
    facts: Arc<RwLock<Facts>>,
    names: Names,
    wanted: String,
    control: String,
    with_key: bool,
    port: u16,
}

/// What the node says of itself.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// Short name, and the whole one.
    name: String,
    full: String,
    key_expiry: Option<Timestamp>,
    /// The control server is connected.
    online: bool,
    /// Since when it is not, although the node runs.
    lost: Option<Instant>,
    /// The same, for people.
    unheard: Option<Timestamp>,
    /// Nobody has signed its key.
    locked: bool,
    /// What people were told last.
    told: Vec<Notice>,
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
        let with_key = key.is_some();
        let (auth_key, client_secret) = if is_client_secret {
            let key = key.map(|key| oauth_secret(&key, args.ephemeral));
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
            .context(if is_client_secret {
                "joining the tailnet (an OAuth client needs the scope auth_keys and must own the tags of --advertise-tags)"
            } else {
                "joining the tailnet"
            })?;
        Ok(Self {
            state: node.state(),
            node,
            facts: Arc::default(),
            names: names.clone(),
            wanted: args.hostname.clone(),
            control: args
                .control_url
                .clone()
                .unwrap_or_else(|| DEFAULT_CONTROL.to_owned()),
            with_key,
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

    /// Where the node stands.
    pub(super) fn standing(&self) -> Standing {
        let trouble = self.node.trouble();
        let (trouble, facts) = (trouble.borrow(), self.facts.read());
        // A node whose control server is connected has no trouble with it, whatever was said before; but a connection may
        // outlive the node's place in the tailnet.
        let trouble = trouble
            .as_ref()
            .filter(|trouble| !facts.online || matches!(trouble, Trouble::Unknown(_)));
        let otherwise =
            |fallback| trouble.map_or(fallback, |trouble| trouble.standing(self.with_key));
        match &*self.state.borrow() {
            NodeState::Closed => Standing::Closed,
            NodeState::Stopped => Standing::Stopped,
            NodeState::NeedsApproval => Standing::NeedsApproval,
            NodeState::Running if matches!(trouble, Some(Trouble::Unknown(_))) => Standing::Removed,
            NodeState::Running if facts.locked => Standing::LockedOut,
            NodeState::Running => Standing::Running,
            NodeState::NeedsLogin(_) if self.node.ran() => Standing::Expired,
            NodeState::NeedsLogin(Some(_)) => otherwise(Standing::NeedsLogin),
            // Before the key was used, or an address has come.
            NodeState::Unknown | NodeState::Starting | NodeState::NeedsLogin(None) => {
                otherwise(Standing::Starting)
            }
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.standing().is_serving()
    }

    /// What is wrong, or will be, while it runs.
    pub(super) fn concerns(&self) -> Vec<Concern> {
        let serves = self.standing().is_serving();
        let facts = self.facts.read();
        let left = facts
            .key_expiry
            .map(|at| at.0.saturating_sub(Timestamp::now().0));
        let expires = left.is_some_and(|left| left < EXPIRY_DAYS * DAY_MS);
        Concern::ALL
            .into_iter()
            .filter(|concern| {
                serves
                    && match concern {
                        Concern::NameTaken => !facts.name.is_empty() && facts.name != self.wanted,
                        Concern::KeyExpires => expires,
                        Concern::LoginPending => self.node.login().borrow().is_some(),
                        Concern::ControlLost => {
                            facts.lost.is_some_and(|since| since.elapsed() >= LOST)
                        }
                    }
            })
            .collect()
    }

    /// All that people should know: where it stands first.
    pub(super) fn notices(&self) -> Vec<Notice> {
        let details = self.details();
        let concerns = self.concerns().into_iter();
        std::iter::once(self.standing().notice(&details))
            .chain(concerns.map(|concern| concern.notice(&details)))
            .collect()
    }

    fn details(&self) -> Details {
        let facts = self.facts.read();
        let left = facts
            .key_expiry
            .map_or(0, |at| at.0.saturating_sub(Timestamp::now().0));
        // The state's own address first: the other is gone a moment before the state has moved on.
        let login = match &*self.state.borrow() {
            NodeState::NeedsLogin(Some(address)) => Some(address.clone()),
            _ => self.node.login().borrow().clone(),
        };
        Details {
            login,
            said: self
                .node
                .trouble()
                .borrow()
                .as_ref()
                .map_or_else(|| "no answer".to_owned(), |now| now.said().to_owned()),
            control: self.control.clone(),
            wanted: self.wanted.clone(),
            name: facts.name.clone(),
            left: Details::left_of(left),
        }
    }

    /// Logs the node in again; the address where a person has to, or none when its key was enough.
    pub(super) async fn log_in(&self) -> Result<Option<String>, String> {
        match self.node.log_in().await {
            Ok(Login::At(address)) => Ok(Some(address)),
            Ok(Login::Done) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
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
        NodeFacts {
            control_url: self.control.clone(),
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
        let (mut login, mut trouble) = (self.node.login(), self.node.trouble());
        let mut read = interval(READ);
        read.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now() + READ;
        loop {
            tokio::select! {
                changed = state.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    read.reset_immediately();
                }
                _ = login.changed() => read.reset_immediately(),
                _ = trouble.changed() => read.reset_immediately(),
                changed = generation.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    app.resolver.flush();
                    app.connections.suspect(Touched::Everything);
                    // Its own name or key may have changed, too. Soon, not at once: news come in showers.
                    if due > Instant::now() + SOON {
                        read.reset_after(SOON);
                        due = Instant::now() + SOON;
                    }
                }
                _ = read.tick() => {
                    due = Instant::now() + READ;
                    let now = state.borrow_and_update().clone();
                    if now == NodeState::Closed {
                        return;
                    }
                    self.look(&now).await;
                    let lost = self.facts.read().lost;
                    if lost.is_some_and(|since| since.elapsed() < LOST) {
                        read.reset_after(LOST);
                        due = Instant::now() + LOST;
                    }
                    // Figures first: whoever reads the line finds them.
                    app.measure();
                    self.tell();
                }
            }
        }
    }

    /// Reads what the node says of itself.
    async fn look(&self, state: &NodeState) {
        let status = match self.node.status().await {
            Ok(status) => status,
            Err(error) => {
                tracing::debug!(%error, "the node does not say who it is");
                return;
            }
        };
        let online = status.own.as_ref().is_some_and(|own| own.online);
        let lasts = match &*self.node.trouble().borrow() {
            Some(Trouble::Unknown(_)) => self.node.has_trouble_lately(),
            Some(_) => false,
            None => true,
        };
        if online && !lasts {
            self.node.clear_trouble();
        }
        {
            let mut facts = self.facts.write();
            facts.online = online;
            facts.lost = match facts.lost {
                _ if online || *state != NodeState::Running => None,
                None => Some(Instant::now()),
                since => since,
            };
            facts.unheard = facts
                .lost
                .map(|_| facts.unheard.unwrap_or_else(Timestamp::now));
            let health = status.health.as_deref().unwrap_or_default();
            facts.locked = health
                .iter()
                .any(|line| line.contains("node is locked out"));
        }
        if *state == NodeState::Running {
            self.learn(&status);
        }
    }

    /// Takes names and key expiry from the node's status.
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
        let mut facts = self.facts.write();
        facts.name = short;
        facts.full = full;
        facts.key_expiry = own.key_expiry.as_deref().and_then(expiry);
    }

    /// Tells people what is new, once: where the node stands, and what to do about it.
    fn tell(&self) {
        let notices = self.notices();
        if notices[0].word == Standing::Running.word() && self.facts.read().full.is_empty() {
            // It runs, and has not said as whom.
            return;
        }
        let (before, full, short) = {
            let mut facts = self.facts.write();
            let before = std::mem::replace(&mut facts.told, notices.clone());
            (before, facts.full.clone(), facts.name.clone())
        };
        for notice in notices
            .iter()
            .filter(|notice| !before.iter().any(|told| notice.repeats(told)))
        {
            let (word, url) = (notice.word, notice.login.as_deref());
            let (what, remedy) = (&notice.what, &notice.remedy);
            match notice.gravity {
                _ if word == Standing::Running.word() => {
                    let port = match self.port {
                        80 => String::new(),
                        port => format!(":{port}"),
                    };
                    notify(&[sd_notify::NotifyState::Status(&format!(
                        "serving as http://{full}{port}/"
                    ))]);
                    tracing::info!(
                        name = %full,
                        pages = %format!("http://{short}{port}/ui/"),
                        "serving: clients use http://{short}{port}"
                    );
                    continue;
                }
                Gravity::Good => tracing::info!(node = word, "{what}"),
                Gravity::Failure if word == Standing::Starting.word() => {
                    tracing::info!(node = word, "{what}");
                }
                Gravity::Warning | Gravity::Failure => {
                    tracing::warn!(node = word, url, name = %short, wanted = %self.wanted, remedy, "{what}");
                }
            }
            if notice == &notices[0] {
                notify(&[sd_notify::NotifyState::Status(what)]);
            }
        }
        for notice in before.iter().skip(1) {
            if notices.iter().all(|now| now.word != notice.word) {
                tracing::info!(node = notice.word, "no longer so: {}", notice.what);
            }
        }
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

/// An OAuth client secret, told whether its node is ephemeral: unasked, the library would make it so, and a gateway that
/// was off for some minutes would lose its name and its address.
fn oauth_secret(secret: &Secret, ephemeral: bool) -> Secret {
    let text = secret.expose();
    let mark = match text.split_once('?') {
        Some((_, attributes))
            if attributes
                .split('&')
                .any(|part| part.starts_with("ephemeral=")) =>
        {
            return secret.clone();
        }
        Some(_) => '&',
        None => '?',
    };
    Secret::new(format!("{text}{mark}ephemeral={ephemeral}"))
}

/// RFC 3339 as the control plane writes it (UTC); the zero time is never.
fn expiry(text: &str) -> Option<Timestamp> {
    let time = Timestamp::parse(text)?;
    (time.0 > 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oauth_secret_says_whether_its_node_is_ephemeral() {
        for (text, ephemeral, want) in [
            ("tskey-client-a", false, "tskey-client-a?ephemeral=false"),
            ("tskey-client-a", true, "tskey-client-a?ephemeral=true"),
            (
                "tskey-client-a?preauthorized=true",
                false,
                "tskey-client-a?preauthorized=true&ephemeral=false",
            ),
            (
                "tskey-client-a?ephemeral=true",
                false,
                "tskey-client-a?ephemeral=true",
            ),
        ] {
            let made = oauth_secret(&Secret::new(text), ephemeral);
            assert_eq!(made.expose(), want);
        }
    }
}

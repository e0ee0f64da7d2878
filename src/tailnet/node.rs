//! The gateway's node in the tailnet.
//!
//! Owns: [`Node`], its start, its one watch on the bus, and its end. In: [`NodeConfig`]. Out: listeners, outgoing
//! streams, answers of the `LocalAPI`, [`NodeState`] and a generation that changes when identities may have. Calls of
//! the Go library block, so they run on blocking threads, each kind on a bounded number of them.
//! Must not know: HTTP, what an identity is used for.

use super::{
    bus::{Bus, MASK, NodeState},
    ffi::{Handle, Refusal},
    listener::Listener,
    localapi::{self, Certificate, LocalApiError, Ping, Status, WhoIs},
    logs,
    settings::NodeConfig,
    standing::Trouble,
};
use crate::shutdown::Tasks;
use std::{
    ffi::CStr,
    io,
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UnixStream,
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

/// Why the node can't do something.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The library refused a step.
    #[error("{step}: {reason}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// The library's words.
        reason: String,
    },
    /// A step took too long.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// The node is closed.
    #[error("the node is closed")]
    Closed,
    /// The operating system refused.
    #[error("a descriptor of the node can't be used")]
    Io(#[from] io::Error),
}

/// What came of asking for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A person has to log the node in there.
    At(String),
    /// It is logged in: by its auth key.
    Done,
}

/// A running node. Clones are the same node; the last one to go closes it.
#[derive(Clone, Debug)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Arc<Handle>,
    closed: AtomicBool,
    bus: Arc<Bus>,
    /// Blocking threads for questions that every request asks, for rare and slow commands, and for dialling.
    questions: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    dials: Arc<Semaphore>,
}

const QUESTION_THREADS: usize = 4;
const COMMAND_THREADS: usize = 4;
const DIAL_THREADS: usize = 24;

/// A question that is not answered by then has failed, and the caller is refused.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);
/// Starting waits for the network only to exchange an OAuth secret.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the control server may take to name an address for a login.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);
/// A certificate may first have to be issued.
const CERTIFICATE_LIMIT: Duration = Duration::from_mins(2);
/// How long to rest before the bus is watched again.
const WATCH_PAUSE: Duration = Duration::from_millis(100);

// === impl Node ===

impl Node {
    /// Starts a node. It may still need a login: see [`Node::state`].
    pub async fn start(config: NodeConfig, tasks: &Tasks) -> Result<Self, NodeError> {
        let bus = Arc::new(Bus::new());
        let heard = bus.clone();
        let (log, read_log) = logs::pipe(move |line| heard.logged(line))?;
        tasks.spawn(read_log);
        let node = Self(Arc::new(Inner {
            handle: Arc::new(Handle::new()),
            closed: AtomicBool::new(false),
            bus,
            questions: Arc::new(Semaphore::new(QUESTION_THREADS)),
            commands: Arc::new(Semaphore::new(COMMAND_THREADS)),
            dials: Arc::new(Semaphore::new(DIAL_THREADS)),
        }));
        let started = node.command("starting the node", START_LIMIT, move |handle| {
            handle.set_log(log)?;
            config.apply(handle)?;
            handle.start()
        });
        started.await?;
        tasks.spawn(follow_bus(
            Arc::downgrade(&node.0),
            node.0.bus.clone(),
            tasks.clone(),
        ));
        tasks.spawn(log_in_again(Arc::downgrade(&node.0), node.state()));
        Ok(node)
    }

    /// Listens on a TCP port of the node's own addresses; may precede login.
    pub async fn listen(&self, port: u16) -> Result<Listener, NodeError> {
        let descriptor = self
            .command("listening", QUESTION_LIMIT, move |handle| {
                handle.listen(&format!(":{port}"))
            })
            .await?;
        Ok(Listener::new(descriptor, self.clone())?)
    }

    /// Connects to `host:port` in the tailnet, by name or address; anything else is refused.
    ///
    /// When the future is dropped, a connection that comes late is closed.
    pub async fn dial(&self, address: &str, limit: Duration) -> Result<UnixStream, NodeError> {
        const STEP: &str = "connecting in the tailnet";
        let begun = Instant::now();
        let permit = timeout(limit, self.0.dials.clone().acquire_owned())
            .await
            .map_err(|_| NodeError::Timeout(STEP))?;
        let left = limit.saturating_sub(begun.elapsed());
        let (handle, address) = (self.0.handle.clone(), address.to_owned());
        let dialled = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            handle.dial(&address, left)
        });
        match dialled.await {
            Ok(Ok(descriptor)) => {
                let stream = std::os::unix::net::UnixStream::from(descriptor);
                Ok(UnixStream::from_std(stream)?)
            }
            Ok(Err(_)) if begun.elapsed() >= limit => Err(NodeError::Timeout(STEP)),
            Ok(Err(Refusal(reason))) => Err(NodeError::Refused { step: STEP, reason }),
            Err(_) => Err(NodeError::Closed),
        }
    }

    /// Where the node stands with its tailnet.
    pub fn state(&self) -> watch::Receiver<NodeState> {
        self.0.bus.state.subscribe()
    }

    /// Whether it has been connected since the start.
    pub fn ran(&self) -> bool {
        self.0.bus.ran.load(Ordering::Acquire)
    }

    /// Where a person can log the node in: also a running one that was asked to log in again.
    pub fn login(&self) -> watch::Receiver<Option<String>> {
        self.0.bus.login.subscribe()
    }

    /// What stands in the way, as the control server or the network said it last.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.0.bus.trouble.subscribe()
    }

    /// Forgets what stood in the way: the control server is seen to answer.
    pub fn clear_trouble(&self) {
        self.0.bus.trouble.send_replace(None);
    }

    /// Whether what stands in the way was said again lately: while it lasts it is, every half minute at least.
    pub fn has_trouble_lately(&self) -> bool {
        const LATELY: Duration = Duration::from_mins(1);
        let said = *self.0.bus.said.lock();
        said.is_some_and(|at| at.elapsed() < LATELY)
    }

    /// Changes whenever a peer may now be somebody else, or may be gone.
    ///
    /// A change of capabilities alone is not announced by the tailnet, so nothing may be kept for long on the
    /// strength of this.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.0.bus.generation.subscribe()
    }

    /// Waits until peers can reach the node, or it is closed.
    pub async fn running(&self) -> Result<(), NodeError> {
        let mut state = self.state();
        let reached = state
            .wait_for(|state| matches!(state, NodeState::Running | NodeState::Closed))
            .await;
        match reached.as_deref() {
            Ok(NodeState::Running) => Ok(()),
            _ => Err(NodeError::Closed),
        }
    }

    /// Asks who has an address; `None` is nobody, and different from not knowing.
    pub async fn whois(&self, ip: IpAddr) -> Result<Option<WhoIs>, LocalApiError> {
        let (status, body) = self.question(c"GET", format!("whois?addr={ip}")).await?;
        localapi::whois(status, &body)
    }

    /// The node's own state, names and addresses.
    pub async fn status(&self) -> Result<Status, LocalApiError> {
        let (status, body) = self
            .question(c"GET", "status?peers=false".to_owned())
            .await?;
        localapi::answer(status, &body)
    }

    /// The other nodes that it knows.
    pub async fn peers(&self) -> Result<Vec<localapi::PeerNode>, LocalApiError> {
        let (status, body) = self.question(c"GET", "status".to_owned()).await?;
        let answer: Status = localapi::answer(status, &body)?;
        Ok(answer.peer.unwrap_or_default().into_values().collect())
    }

    /// The node's metrics, in Prometheus' text format.
    pub async fn user_metrics(&self) -> Result<String, LocalApiError> {
        let (status, body) = self.question(c"GET", "usermetrics".to_owned()).await?;
        localapi::successful(status, &body)?;
        Ok(body)
    }

    /// Logs the node in, or in again: by the auth key while that is good, else a person has to.
    ///
    /// The library keeps its auth key and would offer it for ever; so a key that is refused is forgotten, and then it asks
    /// for an address. A node that runs goes on with its old key until somebody has logged it in.
    pub async fn log_in(&self) -> Result<Login, LocalApiError> {
        let refusal = || self.trouble().borrow().clone().filter(Trouble::is_refusal);
        // What was refused once, key or address, will be refused again.
        let mut forgotten = refusal();
        loop {
            if refusal().is_some() {
                self.clear_trouble();
            }
            if forgotten.is_some()
                && let Some(address) = self.forget_key().await?
            {
                return Ok(Login::At(address));
            }
            let (mut login, mut trouble) = (self.login(), self.trouble());
            let before = self.public_key().await;
            self.order("login-interactive", "").await?;
            let said = tokio::select! {
                address = login.wait_for(Option::is_some) => {
                    let address = address.ok().and_then(|address| address.clone());
                    return Ok(Login::At(address.unwrap_or_default()));
                }
                () = self.has_other_key(before) => {
                    self.clear_trouble();
                    return Ok(Login::Done);
                }
                now = trouble.wait_for(|now| Trouble::is_new_refusal(now.as_ref(), forgotten.as_ref())) => {
                    now.ok().and_then(|now| now.clone())
                }
                () = tokio::time::sleep(LOGIN_LIMIT) => self.trouble().borrow().clone(),
            };
            let key_is_spent = said.as_ref().is_some_and(Trouble::is_refusal);
            if forgotten.is_some() || !key_is_spent {
                let said = said.map(|trouble| trouble.said().to_owned());
                return Err(LocalApiError::NoAnswer(said.unwrap_or_else(|| {
                    "the control server has not answered".to_owned()
                })));
            }
            forgotten = said;
        }
    }

    /// The key that the node has now; empty when it does not say.
    async fn public_key(&self) -> String {
        let status = self.status().await.ok();
        let own = status.and_then(|status| status.own);
        own.map(|own| own.public_key).unwrap_or_default()
    }

    /// Waits until a login has given the node another key, and it runs with it: the library announces that for some logins
    /// only.
    async fn has_other_key(&self, before: String) {
        const LOOK: Duration = Duration::from_millis(200);
        let state = self.state();
        loop {
            tokio::time::sleep(LOOK).await;
            if *state.borrow() == NodeState::Running && self.public_key().await != before {
                return;
            }
        }
    }

    /// Makes the library forget its auth key, and an address that was refused. It begins anew for that: a node that ran
    /// runs again at once, with its old key; for one that can't, there may be an address already.
    async fn forget_key(&self) -> Result<Option<String>, LocalApiError> {
        /// A node that has keys asks by itself.
        const BY_ITSELF: Duration = Duration::from_secs(1);
        let (mut login, mut state) = (self.login(), self.state());
        let mut logins = self.0.bus.logins.subscribe();
        let ran = *state.borrow() == NodeState::Running;
        self.0.bus.login.send_replace(None);
        self.order("start", "{}").await?;
        if ran {
            let again = async {
                let _ = logins.changed().await;
                let _ = state.wait_for(|now| *now == NodeState::Running).await;
            };
            let _ = timeout(LOGIN_LIMIT, again).await;
            return Ok(None);
        }
        match timeout(BY_ITSELF, login.wait_for(Option::is_some)).await {
            Ok(Ok(address)) => Ok(address.clone()),
            _ => Ok(None),
        }
    }

    /// A command without an answer that matters.
    async fn order(&self, path: &'static str, body: &'static str) -> Result<(), LocalApiError> {
        let (threads, path) = (&self.0.commands, path.to_owned());
        let (status, body) = self
            .local_api_with(threads, c"POST", path, body, QUESTION_LIMIT)
            .await?;
        localapi::successful(status, &body).map(drop)
    }

    /// Looks for the path to a peer.
    pub async fn ping(&self, ip: IpAddr, limit: Duration) -> Result<Ping, LocalApiError> {
        let path = format!("ping?ip={ip}&type=disco");
        let (status, body) = self
            .local_api(&self.0.commands, c"POST", path, limit)
            .await?;
        localapi::answer(status, &body)
    }

    /// A certificate for one of the node's names, issued if need be: also when the one that the node has ends sooner than that.
    pub async fn certificate(
        &self,
        domain: &str,
        min_validity: Option<Duration>,
    ) -> Result<Certificate, LocalApiError> {
        if !domain
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        {
            return Err(LocalApiError::NoAnswer(format!("{domain:?} is no domain")));
        }
        let mut path = format!("cert/{domain}?type=pair");
        if let Some(least) = min_validity {
            path = format!("{path}&min_validity={}s", least.as_secs());
        }
        let (status, body) = self
            .local_api(&self.0.commands, c"GET", path, CERTIFICATE_LIMIT)
            .await?;
        let pem = localapi::successful(status, &body)?;
        localapi::certificate(pem).ok_or_else(|| {
            LocalApiError::NoAnswer("the certificate is not a key and a chain".to_owned())
        })
    }

    /// Closes the node: listeners, connections, then the node itself, which takes 10 s at most.
    ///
    /// After an error the process should end without waiting for it.
    pub async fn close(&self) -> Result<(), NodeError> {
        /// A little more than the library allows itself.
        const LIMIT: Duration = Duration::from_secs(10);
        const STEP: &str = "closing the node";
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return Err(NodeError::Closed);
        }
        self.0.bus.state.send_replace(NodeState::Closed);
        let handle = self.0.handle.clone();
        match timeout(LIMIT, tokio::task::spawn_blocking(move || handle.close())).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(Refusal(reason)))) => Err(NodeError::Refused { step: STEP, reason }),
            Ok(Err(_)) | Err(_) => Err(NodeError::Timeout(STEP)),
        }
    }

    /// A rare step, on its own thread. When it takes too long, it goes on without us.
    async fn command<T: Send + 'static>(
        &self,
        step: &'static str,
        limit: Duration,
        call: impl FnOnce(&Handle) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, NodeError> {
        // The handle, not the node: a step that hangs is ended by the node's last owner letting it go.
        let handle = self.0.handle.clone();
        let threads = self.0.commands.clone();
        let call = async {
            let permit = threads.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                call(&handle)
            })
            .await
        };
        match timeout(limit, call).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(Refusal(reason)))) => Err(NodeError::Refused { step, reason }),
            Ok(Err(_)) => Err(NodeError::Closed),
            Err(_) => Err(NodeError::Timeout(step)),
        }
    }

    async fn question(
        &self,
        method: &'static CStr,
        path: String,
    ) -> Result<(u16, String), LocalApiError> {
        self.local_api(&self.0.questions, method, path, QUESTION_LIMIT)
            .await
    }

    async fn local_api(
        &self,
        threads: &Arc<Semaphore>,
        method: &'static CStr,
        path: String,
        limit: Duration,
    ) -> Result<(u16, String), LocalApiError> {
        self.local_api_with(threads, method, path, "", limit).await
    }

    async fn local_api_with(
        &self,
        threads: &Arc<Semaphore>,
        method: &'static CStr,
        path: String,
        body: &'static str,
        limit: Duration,
    ) -> Result<(u16, String), LocalApiError> {
        let permit = timeout(limit, threads.clone().acquire_owned())
            .await
            .map_err(|_| LocalApiError::NoAnswer("too many questions at once".to_owned()))?;
        let handle = self.0.handle.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            handle.local_api(method, &path, body, limit)
        });
        match timeout(limit, asked).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(Refusal(reason)))) => Err(LocalApiError::NoAnswer(reason)),
            Ok(Err(_)) => Err(LocalApiError::NoAnswer("the process is ending".to_owned())),
            Err(_) => Err(LocalApiError::NoAnswer("it takes too long".to_owned())),
        }
    }
}

// === impl Inner ===

impl Drop for Inner {
    /// Closing blocks, so it happens on a thread of its own.
    fn drop(&mut self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.bus.state.send_replace(NodeState::Closed);
        let handle = self.handle.clone();
        let close = move || {
            if let Err(error) = handle.close() {
                tracing::warn!(%error, "closing the node");
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("node-close".to_owned())
            .spawn(close)
        {
            tracing::warn!(%error, "the node stays open: there is no thread to close it");
        }
    }
}

/// Watches the bus for as long as the node lives.
async fn follow_bus(node: Weak<Inner>, bus: Arc<Bus>, tasks: Tasks) {
    let follow = async {
        // Between two watches the node must not be held: its last owner may be about to let it go.
        while let Some(node) = node.upgrade().map(Node) {
            if *bus.state.borrow() == NodeState::Closed {
                return;
            }
            let subscribed = node
                .command("watching the node", QUESTION_LIMIT, |handle| {
                    handle.watch(MASK)
                })
                .await;
            drop(node);
            match subscribed {
                Ok(descriptor) => {
                    if let Err(error) = bus.read(descriptor).await {
                        tracing::warn!(%error, "reading news of the node");
                    }
                }
                Err(error) => tracing::warn!(%error, "watching the node"),
            }
            tokio::time::sleep(WATCH_PAUSE).await;
        }
    };
    tokio::select! {
        () = follow => {}
        () = tasks.ended.cancelled() => {}
    }
}

/// Asks for a new login when the node's key has expired: the library does so at its first start only.
async fn log_in_again(node: Weak<Inner>, mut state: watch::Receiver<NodeState>) {
    let mut ran = false;
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            NodeState::Running => ran = true,
            NodeState::NeedsLogin(None) if ran => {
                ran = false;
                let Some(node) = node.upgrade().map(Node) else {
                    return;
                };
                match node.log_in().await {
                    // It may be over before anybody was told that it began.
                    Ok(Login::Done) => tracing::info!(
                        "the node's key had expired or was revoked: it has logged in again with its auth key"
                    ),
                    // The address is told with where the node stands.
                    Ok(Login::At(_)) => {}
                    Err(error) => tracing::warn!(%error, "asking for a login"),
                }
            }
            NodeState::Closed => return,
            _ => {}
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

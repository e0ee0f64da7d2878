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
/// A certificate may first have to be issued.
const CERTIFICATE_LIMIT: Duration = Duration::from_mins(2);
/// How long to rest before the bus is watched again.
const WATCH_PAUSE: Duration = Duration::from_millis(100);

// === impl Node ===

impl Node {
    /// Starts a node. It may still need a login: see [`Node::state`].
    pub async fn start(config: NodeConfig, tasks: &Tasks) -> Result<Self, NodeError> {
        let (log, read_log) = logs::pipe()?;
        tasks.spawn(read_log);
        let node = Self(Arc::new(Inner {
            handle: Arc::new(Handle::new()),
            closed: AtomicBool::new(false),
            bus: Arc::new(Bus::new()),
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

    /// Asks for a login: with a key that is still known, or for an address, which arrives as [`NodeState`].
    pub async fn login_interactive(&self) -> Result<(), LocalApiError> {
        let path = "login-interactive".to_owned();
        let (status, body) = self
            .local_api(&self.0.commands, c"POST", path, QUESTION_LIMIT)
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
        let permit = timeout(limit, threads.clone().acquire_owned())
            .await
            .map_err(|_| LocalApiError::NoAnswer("too many questions at once".to_owned()))?;
        let handle = self.0.handle.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            handle.local_api(method, &path, limit)
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
                tracing::warn!("the node's key has expired or was revoked: it has to log in again");
                if let Err(error) = node.login_interactive().await {
                    tracing::warn!(%error, "asking for a login");
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

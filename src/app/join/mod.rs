//! The node, or what stands in for it on the development listener.
//!
//! Owns: [`NodeView`]: joining, who is asked for identities, the dialler, the gateway's own names, and what people are
//! told while the node joins. In: arguments. Out: one type for both ways of running.
//! Must not know: requests.

use super::{App, StateDir};
use crate::{
    cli::RunArgs,
    identity::{WhoIs, dev::DevWhoIs},
    provider::client::Dial,
    record::Timestamp,
    server::{Names, NodeMetrics, Tls},
    shutdown::Tasks,
    tailnet::{Concern, Details, Notice, Standing, localapi},
};
use anyhow::Context as _;
use std::{net::IpAddr, sync::Arc, time::Duration};

#[cfg(feature = "tailnet")]
mod tailnet;

#[cfg(feature = "tailnet")]
pub(super) use tailnet::Own;

/// Where the gateway stands.
#[derive(Clone, Debug)]
pub enum NodeView {
    /// On a loopback address, for development.
    Dev {
        /// Whom it takes everybody for.
        whois: DevWhoIs,
    },
    /// A node of a tailnet.
    #[cfg(feature = "tailnet")]
    Tailnet(Own),
}

/// What the node says of itself, and what it was started with: for `doctor`.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// The control server.
    pub control_url: String,
    /// Its own answer; none when it gives none.
    pub status: Option<localapi::Status>,
    /// Since when the control server has not been heard, to half a minute.
    pub unheard: Option<Timestamp>,
}

impl NodeFacts {
    /// When the node's key expires, as it says now; the control plane's zero time is never.
    pub fn key_expiry(&self) -> Option<Timestamp> {
        let own = self.status.as_ref()?.own.as_ref()?;
        let time = Timestamp::parse(own.key_expiry.as_deref()?)?;
        (time.0 > 0).then_some(time)
    }
}

/// How a peer is reached.
#[derive(Clone, Debug)]
pub struct Path {
    /// The peer's address on the direct path; empty = through a relay.
    pub endpoint: String,
    /// The relay.
    pub relay: String,
    /// The round trip.
    pub seconds: f64,
}

impl Path {
    /// Whether the path goes through a relay.
    pub fn is_relayed(&self) -> bool {
        self.endpoint.is_empty()
    }

    /// The round trip in milliseconds, as people write it.
    pub fn milliseconds(&self) -> String {
        format!("{:.0}", self.seconds * 1000.0)
    }
}

/// Who is asked for identities.
#[derive(Clone, Debug)]
pub enum AnyWhoIs {
    /// The development listener's fixed user.
    Dev(Box<DevWhoIs>),
    /// The node.
    #[cfg(feature = "tailnet")]
    Node(crate::tailnet::Node),
}

impl WhoIs for AnyWhoIs {
    async fn whois(&self, ip: IpAddr) -> Result<Option<localapi::WhoIs>, String> {
        match self {
            Self::Dev(dev) => dev.whois(ip).await,
            #[cfg(feature = "tailnet")]
            Self::Node(node) => node.whois(ip).await.map_err(|error| error.to_string()),
        }
    }
}

/// Joins the tailnet, or prepares the development listener.
#[cfg_attr(
    not(feature = "tailnet"),
    expect(
        clippy::unused_async,
        reason = "without a node there is nothing to wait for"
    )
)]
pub(super) async fn start(
    args: &RunArgs,
    state: &StateDir,
    names: &Names,
    background: &Tasks,
) -> anyhow::Result<NodeView> {
    if args.dev_listen.is_some() {
        let whois = DevWhoIs::new(&args.dev_user).context("--dev-user")?;
        return Ok(NodeView::Dev { whois });
    }
    #[cfg(feature = "tailnet")]
    {
        Ok(NodeView::Tailnet(
            Own::join(args, state, names, background).await?,
        ))
    }
    #[cfg(not(feature = "tailnet"))]
    {
        let _ = (state, names, background);
        anyhow::bail!(
            "this build has no tailnet: give --dev-listen, or build with the feature `tailnet`"
        )
    }
}

impl NodeView {
    /// Who is asked for identities.
    pub fn whois(&self) -> AnyWhoIs {
        match self {
            Self::Dev { whois } => AnyWhoIs::Dev(Box::new(whois.clone())),
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => AnyWhoIs::Node(own.node().clone()),
        }
    }

    /// Dials through the node.
    pub(super) fn dial(&self) -> Option<Dial> {
        match self {
            Self::Dev { .. } => None,
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => Some(own.dial()),
        }
    }

    /// Where the node stands.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Dev { .. } => Standing::Dev,
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.standing(),
        }
    }

    /// Where the node stands, in a word.
    pub fn state_word(&self) -> &'static str {
        self.standing().word()
    }

    /// What is wrong, or will be, while it runs.
    pub fn concerns(&self) -> Vec<Concern> {
        match self {
            Self::Dev { .. } => Vec::new(),
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.concerns(),
        }
    }

    /// All that people should know of it: where it stands first.
    pub fn notices(&self) -> Vec<Notice> {
        match self {
            Self::Dev { .. } => vec![Standing::Dev.notice(&Details::default())],
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.notices(),
        }
    }

    /// Logs the node in again; the address where a person has to, or none when its key was enough.
    #[cfg_attr(
        not(feature = "tailnet"),
        expect(
            clippy::unused_async,
            reason = "without a node there is nothing to wait for"
        )
    )]
    pub async fn log_in(&self) -> Result<Option<String>, String> {
        match self {
            Self::Dev { .. } => {
                Err("there is no node: this is the development listener".to_owned())
            }
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.log_in().await,
        }
    }

    /// Whether peers can reach the gateway.
    pub fn is_serving(&self) -> bool {
        match self {
            Self::Dev { .. } => true,
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.is_running(),
        }
    }

    /// The gateway's own name, as clients write it.
    pub fn name(&self) -> String {
        match self {
            Self::Dev { .. } => "localhost".to_owned(),
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.name(),
        }
    }

    /// What the node says of itself; none without a node.
    #[cfg_attr(
        not(feature = "tailnet"),
        expect(
            clippy::unused_async,
            reason = "without a node there is nothing to wait for"
        )
    )]
    pub async fn facts(&self) -> Option<NodeFacts> {
        match self {
            Self::Dev { .. } => None,
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => Some(own.facts().await),
        }
    }

    /// The address of a peer, by its short or full name, or by the address itself.
    #[cfg_attr(
        not(feature = "tailnet"),
        expect(
            clippy::unused_async,
            reason = "without a node there is nothing to wait for"
        )
    )]
    pub async fn peer(&self, name: &str) -> Result<Option<IpAddr>, String> {
        if let Ok(ip) = name.parse() {
            return Ok(Some(ip));
        }
        match self {
            Self::Dev { .. } => Ok(None),
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.peer(name).await,
        }
    }

    /// Looks for the path to a peer.
    #[cfg_attr(
        not(feature = "tailnet"),
        expect(
            clippy::unused_async,
            reason = "without a node there is nothing to wait for"
        )
    )]
    pub async fn ping(&self, ip: IpAddr, limit: Duration) -> Result<Path, String> {
        match self {
            Self::Dev { .. } => Err(format!(
                "there is no tailnet to reach {ip} in within {limit:?}"
            )),
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.ping(ip, limit).await,
        }
    }

    /// When the node's key expires.
    pub fn key_expiry(&self) -> Option<Timestamp> {
        match self {
            Self::Dev { .. } => None,
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.key_expiry(),
        }
    }

    /// Where the node's own series come from.
    pub(super) fn metrics_source(&self) -> NodeMetrics {
        match self {
            Self::Dev { .. } => Arc::new(|| Box::pin(std::future::ready(None))),
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.metrics_source(),
        }
    }

    /// Leaves the tailnet's network (not the tailnet).
    #[cfg_attr(
        not(feature = "tailnet"),
        expect(
            clippy::unused_async,
            reason = "without a node there is nothing to wait for"
        )
    )]
    pub(super) async fn close(&self) {
        match self {
            Self::Dev { .. } => {}
            #[cfg(feature = "tailnet")]
            Self::Tailnet(own) => own.close().await,
        }
    }
}

/// Gets certificates from the node, where there is one, until it is closed.
#[cfg_attr(
    not(feature = "tailnet"),
    expect(
        clippy::unused_async,
        reason = "without a node there is nothing to wait for"
    )
)]
pub(super) async fn follow_certificate(node: &NodeView, tls: Tls) {
    match node {
        // The arguments rule this out.
        NodeView::Dev { .. } => drop(tls),
        #[cfg(feature = "tailnet")]
        NodeView::Tailnet(own) => super::certificate::follow_node(tls, own.node().clone()).await,
    }
}

/// Follows the node's state until it is closed: names, log lines, and changes of who is who.
#[cfg_attr(
    not(feature = "tailnet"),
    expect(
        clippy::unused_async,
        reason = "without a node there is nothing to wait for"
    )
)]
pub(super) async fn follow(app: &Arc<App>) {
    match &app.node {
        NodeView::Dev { .. } => {
            tracing::info!("serving on the development listener");
        }
        #[cfg(feature = "tailnet")]
        NodeView::Tailnet(own) => own.follow(app).await,
    }
}

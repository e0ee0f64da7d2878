//! The gateway, put together.
//!
//! Owns: start and stop, and [`App`], which other parts of the process (control socket, doctor, pages) look into. In: the
//! arguments of `run`. Out: a running gateway, until a signal ends it. The one module that names every concrete type.
//! Must not know: what a request is.

mod certificate;
mod gauges;
mod join;
mod paths;
pub mod restored;
pub(crate) mod room;
mod signals;

pub use join::{AnyWhoIs, NodeFacts, NodeView, Path};
pub use paths::{StateDir, StateError, state_dir};

use crate::{
    api::Api,
    cli::RunArgs,
    config::{
        CheckOptions, Config, Environment, Live, LoadError, Provider, log_findings,
        render_findings, write_default,
    },
    control,
    dashboard::{self, Dashboard},
    editor::Editor,
    harden,
    identity::{
        connections::{ConnectionLimits, Connections},
        resolve::Resolver,
    },
    log::Log,
    metrics::Metrics,
    otlp::{Exporter, Said},
    price,
    provider::{
        client::{self, Client},
        credential::{Credentials, Host},
        probe,
    },
    proxy::{Owned, Proxy, Reading, exchange::InFlight},
    record::Timestamp,
    server::{Mistakes, Names, Port, Scrape, Server, Tls},
    session::{Restored, Sessions},
    shutdown::Tasks,
    store::{OpenOptions, Recovered, Retention, Store, Writer},
    tailnet::{Accept, Concern, DevListener, LIBRARY_VERSION},
};
use anyhow::Context as _;
use serde::Serialize;
use signals::Signals;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Notify, time::MissedTickBehavior};

/// How often the counts of running requests are written.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// How long the store may take to write what it has when the gateway ends.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a collector may take for the last spans when the gateway ends.
const SPANS_DEADLINE: Duration = Duration::from_secs(5);

/// Conversations that are remembered for grouping.
const SESSIONS: usize = 100_000;

/// How far back conversations are remembered over a restart.
const SESSION_WINDOW_MS: u64 = 24 * 3_600_000;

/// The parts of a running gateway.
pub struct App {
    /// The configuration in force.
    pub live: Live,
    /// What was recorded.
    pub store: Store,
    /// Where records go.
    pub writer: Writer,
    /// Counters.
    pub metrics: Metrics,
    /// What it says meanwhile.
    pub log: Log,
    /// Where spans go.
    pub otlp: Exporter,
    /// Requests under way.
    pub in_flight: InFlight,
    /// Connections to providers.
    pub client: Client,
    /// What providers are paid with.
    pub credentials: Credentials,
    /// Who has an address.
    pub resolver: Arc<Resolver<AnyWhoIs>>,
    /// Open connections by peer.
    pub connections: Connections,
    /// The node, as far as there is one.
    pub node: NodeView,
    /// Requests and their connections: the drain waits for these.
    pub tasks: Tasks,
    /// The state directory.
    pub state: StateDir,
    /// When it started.
    pub started: Timestamp,
    /// The same by the clock that nobody sets.
    pub started_boot: Duration,
    /// What opening the store found.
    pub recovered: Recovered,
    /// The HTTPS certificate; none = HTTPS is off.
    pub tls: Option<Tls>,
    /// Clients that spoke another protocol than their port.
    pub mistakes: Mistakes,
    /// Changes the configuration.
    pub editor: Editor,
    /// Asks for the certificate's files to be read again.
    reread: Arc<Notify>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

/// Whether the gateway serves: the answer of `aperture health`.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub struct Health {
    /// Requests are answered.
    pub serving: bool,
    /// Where the node stands, in a word.
    pub node: String,
    /// The gateway's own name on the tailnet.
    pub name: String,
    /// It is stopping.
    pub draining: bool,
    /// Requests under way.
    pub in_flight: usize,
    /// The store has fallen behind or can't write.
    pub store_degraded: bool,
    /// How https stands: `off`, `ok`, `pending`, `failing` (the last certificate is still good), `failed`, `expired`.
    #[serde(default)]
    pub https: String,
    /// Version of the program.
    pub version: String,
}

impl App {
    /// Whether the gateway serves.
    pub fn health(&self) -> Health {
        let draining = self.tasks.draining.is_cancelled();
        Health {
            serving: self.node.is_serving() && !draining,
            node: self.node.state_word().to_owned(),
            name: self.node.name(),
            draining,
            in_flight: self.in_flight.len(),
            store_degraded: self.writer.stats().degraded.is_some(),
            https: self.tls.as_ref().map_or_else(
                || "off".to_owned(),
                |tls| tls.state().word(Timestamp::now()).to_owned(),
            ),
            version: crate::VERSION.to_owned(),
        }
    }
}

/// Time since the host started, sleep included, by the clock that nobody sets.
pub fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}

/// Runs the gateway until a signal ends it.
pub async fn run(args: RunArgs, log: Log) -> anyhow::Result<()> {
    harden::process();
    // Before anything is said: whoever reads a line may send a signal.
    let mut signals = Signals::new()?;
    let state = StateDir::open(args.state.state_dir.as_deref())?;
    let certificates = certificate::Source::of(&args)?;
    let live = load_config(&args, &state)?;
    let config = live.current();

    let (store, writer, recovered) = open_store(&state, &config)?;
    let sessions = restored(&store)?;
    let metrics = Metrics::new();
    metrics.set_build(crate::VERSION, LIBRARY_VERSION);
    let open = |source: &certificate::Source| source.open(metrics.clone());
    let tls = certificates.as_ref().map(open).transpose()?;
    let mistakes = Mistakes::default();
    let requests = Tasks::default();
    // Outlives the requests: the node, the store's helpers, the control socket.
    let background = Tasks::default();
    let names = Names::default();
    let node = join::start(&args, &state, &names, &background).await?;

    let client = Client::new(client::Options {
        dial: node.dial(),
        allow_local: args.allow_local_upstreams,
        connect_timeout: config.gateway.timeouts.connect,
    });
    let otlp = exporter(&live, &metrics, &client, &node, &background);
    let credentials = Credentials::new(client.clone(), Host::from_process(), background.clone());
    let resolver = Arc::new(Resolver::new(node.whois(), capabilities(&config)));
    let connections = Connections::new(limits(&config));
    room::tell(config.gateway.limits.connections, limits(&config));
    let in_flight = InFlight::default();
    let app = Arc::new(App {
        live: live.clone(),
        store: store.clone(),
        writer: writer.clone(),
        metrics: metrics.clone(),
        log,
        otlp: otlp.clone(),
        in_flight: in_flight.clone(),
        client: client.clone(),
        credentials: credentials.clone(),
        resolver: Arc::clone(&resolver),
        connections: connections.clone(),
        node: node.clone(),
        tasks: requests.clone(),
        state,
        started: Timestamp::now(),
        started_boot: boot_time(),
        recovered,
        tls: tls.clone(),
        mistakes: mistakes.clone(),
        editor: Editor::new(live.clone(), store.clone(), writer.clone()),
        reread: Arc::default(),
    });
    let proxy = Proxy {
        live: live.clone(),
        client,
        credentials,
        sessions,
        writer: writer.clone(),
        metrics: metrics.clone(),
        otlp,
        owned: Owned::new(store.apart(), writer.clone()),
        reading: Reading::default(),
        in_flight: in_flight.clone(),
        tasks: requests.clone(),
    };
    let server = Arc::new(Server {
        live: live.clone(),
        resolver: Arc::clone(&resolver),
        connections: connections.clone(),
        proxy: Arc::new(proxy),
        dashboard: Arc::new(dashboard(&app)),
        api: Arc::new(Api {
            store: store.clone(),
            writer: writer.clone(),
            editor: app.editor.clone(),
        }),
        metrics,
        names,
        tls,
        mistakes,
        tasks: requests.clone(),
        node_metrics: node.metrics_source(),
    });

    let control = control::bind(app.state.path()).context("binding control.sock")?;
    background.spawn(control::serve(
        Arc::clone(&app),
        control,
        background.clone(),
    ));
    background_work(&app, certificates, &background);
    let failed = listen(&args, &node, &server).await?;
    listen_for_scrapes(&args, &app, &background).await?;

    say_serving();
    let outcome = tokio::select! {
        () = signals.until_stop(&app) => Ok(()),
        error = failed => Err(error),
    };
    stop(&app, &args, &background, &writer, &node, &mut signals).await;
    outcome
}

/// What sends spans, at work until the background ends.
fn exporter(
    live: &Live,
    metrics: &Metrics,
    client: &Client,
    node: &NodeView,
    background: &Tasks,
) -> Exporter {
    let node = node.clone();
    let (exporter, worker) = Exporter::new(
        live.clone(),
        metrics.clone(),
        client.clone(),
        move || node.name(),
        |capture, stop_reason| {
            let messages = dashboard::messages(capture, stop_reason);
            Said {
                system: messages.system,
                input: messages.input,
                output: messages.output,
                earlier: messages.earlier,
            }
        },
    );
    let ended = background.ended.clone();
    background.spawn(async move {
        tokio::select! {
            () = ended.cancelled() => {}
            () = worker.run() => {}
        }
    });
    exporter
}

/// Tells systemd that it serves.
fn say_serving() {
    notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status("serving"),
    ]);
}

/// The store; says so when the last run did not end in order.
fn open_store(state: &StateDir, config: &Config) -> anyhow::Result<(Store, Writer, Recovered)> {
    let options = OpenOptions {
        retention: retention(config),
        prices: price::VERSION.to_owned(),
        ..OpenOptions::default()
    };
    let (store, writer, recovered) =
        Store::open(state.path(), options).context("opening the store")?;
    if let Some((since, until)) = recovered.window {
        tracing::warn!(
            interrupted = recovered.interrupted,
            %since,
            %until,
            "the gateway did not stop in order: requests under way are marked as interrupted, and those of the last \
             moments may be missing"
        );
    }
    Ok((store, writer, recovered))
}

/// Opens the listeners. The future ends when one of them breaks.
async fn listen(
    args: &RunArgs,
    node: &NodeView,
    server: &Arc<Server<AnyWhoIs>>,
) -> anyhow::Result<impl Future<Output = anyhow::Error> + use<>> {
    let (broken, mut breaks) = tokio::sync::mpsc::channel(2);
    match node {
        NodeView::Dev { .. } => {
            let address = args.dev_listen.context("no address to listen on")?;
            let listener = DevListener::bind(address).await.context("listening")?;
            tracing::info!(address = %listener.local_addr()?, user = %args.dev_user, "development listener: everybody is this user");
            spawn_serve(server, Port::Gateway, listener, broken.clone());
            if let Some(address) = args.dev_tls_listen {
                let listener = DevListener::bind(address)
                    .await
                    .context("listening for https")?;
                tracing::info!(address = %listener.local_addr()?, "https");
                spawn_serve(server, Port::Secure, listener, broken.clone());
            }
            if let Some(address) = args.dev_metrics_listen {
                let listener = DevListener::bind(address)
                    .await
                    .context("listening for metrics")?;
                tracing::info!(address = %listener.local_addr()?, "metrics");
                spawn_serve(server, Port::Metrics, listener, broken.clone());
            }
        }
        #[cfg(feature = "tailnet")]
        NodeView::Tailnet(own) => {
            let listener = own
                .node()
                .listen(args.port)
                .await
                .context("listening on the tailnet")?;
            spawn_serve(server, Port::Gateway, listener, broken.clone());
            if server.tls.is_some() {
                let listener = own
                    .node()
                    .listen(args.tls_port)
                    .await
                    .context("listening for https")?;
                spawn_serve(server, Port::Secure, listener, broken.clone());
            }
            if args.metrics_port != 0 {
                let listener = own
                    .node()
                    .listen(args.metrics_port)
                    .await
                    .context("listening for metrics")?;
                spawn_serve(server, Port::Metrics, listener, broken.clone());
            }
        }
    }
    Ok(async move {
        // The sender inside this future keeps the channel open when a listener ends in order.
        let _open = broken;
        match breaks.recv().await {
            Some(error) => anyhow::Error::from(error).context("a listener broke"),
            None => std::future::pending().await,
        }
    })
}

/// The one listener on the host's network, when it was asked for.
async fn listen_for_scrapes(args: &RunArgs, app: &App, background: &Tasks) -> anyhow::Result<()> {
    let Some(address) = args.metrics_listen else {
        return Ok(());
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--metrics-listen {address}"))?;
    tracing::info!(address = %listener.local_addr()?, "metrics for whoever can connect");
    let scrape = Scrape {
        metrics: app.metrics.clone(),
        node_metrics: app.node.metrics_source(),
        tasks: background.clone(),
    };
    background.spawn(scrape.serve(listener));
    Ok(())
}

fn spawn_serve<A: Accept + 'static>(
    server: &Arc<Server<AnyWhoIs>>,
    port: Port,
    listener: A,
    broken: tokio::sync::mpsc::Sender<std::io::Error>,
) {
    let server = Arc::clone(server);
    let tasks = server.tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = server.serve(port, listener).await {
            let _ = broken.send(error).await;
        }
    });
}

/// The configuration, written first when there is none.
fn load_config(args: &RunArgs, state: &StateDir) -> anyhow::Result<Live> {
    let path = args.config.clone().unwrap_or_else(|| state.config());
    if args.config.is_none()
        && write_default(&path).with_context(|| format!("writing {}", path.display()))?
    {
        tracing::info!(path = %path.display(), "wrote a first configuration: everybody is admin until you change it");
    }
    let options = CheckOptions {
        allow_local_upstreams: args.allow_local_upstreams,
        secrets_dir: args.secrets_dir.clone(),
        environment: Environment::from_process(),
    };
    match Live::load(&path, options) {
        Ok(live) => {
            log_findings(&path, &live.status().findings);
            Ok(live)
        }
        Err(LoadError::Refused { path, findings }) => {
            anyhow::bail!(
                "the configuration can't be used\n{}",
                render_findings(&path, &findings)
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// What runs beside the requests.
fn background_work(app: &Arc<App>, certificates: Option<certificate::Source>, background: &Tasks) {
    let until_ended = |work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let ended = background.ended.clone();
        background.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = work => {}
            }
        });
    };
    let this = Arc::clone(app);
    until_ended(Box::pin(async move {
        let mut ticks = tokio::time::interval(CHECKPOINT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            this.in_flight.checkpoint(&this.writer);
            this.measure();
        }
    }));
    let this = Arc::clone(app);
    until_ended(Box::pin(async move { this.watch_disk().await }));
    let this = Arc::clone(app);
    until_ended(Box::pin(async move {
        this.connections.patrol(&this.resolver).await;
    }));
    app.live.watch(background);
    until_ended(Box::pin(app.editor.clone().follow()));
    let this = Arc::clone(app);
    until_ended(Box::pin(async move {
        let mut versions = this.live.subscribe();
        loop {
            {
                let config = this.live.current();
                this.resolver.set_capabilities(capabilities(&config));
                this.connections.set_limits(limits(&config));
                this.writer.set_retention(retention(&config));
                this.metrics.set_per_user(config.gateway.metrics_per_user);
            }
            // At the start, and when it has become shorter: the store itself only looks from time to time.
            if let Err(error) = this.writer.prune_now().await {
                tracing::debug!(%error, "nothing was removed yet");
            }
            if versions.changed().await.is_err() {
                return;
            }
        }
    }));
    if let (Some(source), Some(tls)) = (certificates, app.tls.clone()) {
        let this = Arc::clone(app);
        until_ended(Box::pin(async move {
            match source {
                certificate::Source::Files { certificate, key } => {
                    certificate::follow_files(tls, certificate, key, Arc::clone(&this.reread))
                        .await;
                }
                certificate::Source::Node => join::follow_certificate(&this.node, tls).await,
            }
        }));
    }
    let this = Arc::clone(app);
    until_ended(Box::pin(async move { join::follow(&this).await }));
}

/// Pages show prices as price lists do: for a million tokens.
const PER_MILLION: u64 = 1_000_000;

/// The pages, with what they look into.
fn dashboard(app: &Arc<App>) -> Dashboard {
    let node = app.node.clone();
    let resolver = Arc::clone(&app.resolver);
    let (client, credentials) = (app.client.clone(), app.credentials.clone());
    let rates = |config: &Config, provider: &Provider, model: &str| {
        let basis = price::resolve_basis(config, provider, model)?;
        let rates = price::rates(basis.catalogue, basis.model, None, 0, Timestamp::now())?;
        Some(dashboard::Rates {
            input: Some(rates.input * PER_MILLION),
            cache_read: Some(rates.cache_read * PER_MILLION),
            cache_write: Some(rates.cache_write * PER_MILLION),
            output: Some(rates.output * PER_MILLION),
        })
    };
    let asks = dashboard::Asks {
        node: own_node(node),
        rates: Box::new(rates),
        known: Box::new(move |login| resolver.last_known(login)),
        probe: Box::new(move |provider| {
            let (client, credentials) = (client.clone(), credentials.clone());
            Box::pin(async move { probe::probe(&client, &credentials, &provider).await })
        }),
    };
    Dashboard::new(
        app.store.clone(),
        app.writer.clone(),
        app.live.clone(),
        app.editor.clone(),
        asks,
    )
}

/// What the pages say of the node, and may ask of it.
fn own_node(node: NodeView) -> dashboard::OwnNode {
    let (noticed, asked) = (node.clone(), node.clone());
    dashboard::OwnNode {
        key_expiry: Box::new(move || node.key_expiry()),
        concerns: Box::new(move || {
            let words = noticed.concerns().into_iter().map(Concern::word);
            let words: Vec<_> = words.collect();
            let mut notices = noticed.notices();
            notices.retain(|notice| words.contains(&notice.word));
            // The key's end has a banner of its own.
            notices.retain(|notice| notice.word != Concern::KeyExpires.word());
            notices
                .into_iter()
                .map(|notice| (notice.what, notice.remedy))
                .collect()
        }),
        log_in: Box::new(move || {
            let node = asked.clone();
            Box::pin(async move { node.log_in().await })
        }),
    }
}

/// Stops in order; a second signal skips the waiting.
async fn stop(
    app: &Arc<App>,
    args: &RunArgs,
    background: &Tasks,
    writer: &Writer,
    node: &NodeView,
    signals: &mut Signals,
) {
    notify(&[
        sd_notify::NotifyState::Stopping,
        sd_notify::NotifyState::Status("draining"),
    ]);
    tracing::info!(
        in_flight = app.in_flight.len(),
        timeout_s = args.drain_timeout.as_secs(),
        "stopping: running requests may finish"
    );
    app.tasks.draining.cancel();
    let clean = tokio::select! {
        clean = app.tasks.drain(args.drain_timeout) => clean,
        () = signals.until_stop(app) => {
            app.tasks.ended.cancel();
            false
        }
    };
    if !clean {
        tracing::warn!(
            in_flight = app.in_flight.len(),
            "ending what still runs: recorded as interrupted"
        );
    }
    app.tasks.settle(Duration::from_secs(2)).await;
    let (stats, _) = tokio::join!(writer.close(STORE_DEADLINE), app.otlp.close(SPANS_DEADLINE));
    if stats.lost_records > 0 {
        tracing::error!(records = stats.lost_records, "records were lost");
    }
    background.draining.cancel();
    background.ended.cancel();
    node.close().await;
    background.drain(Duration::from_secs(2)).await;
    tracing::info!("stopped");
}

/// The app capabilities that are read from the tailnet policy.
fn capabilities(config: &Config) -> Vec<String> {
    vec![config.gateway.capability.clone()]
}

fn limits(config: &Config) -> ConnectionLimits {
    room::within(ConnectionLimits {
        per_peer: config.gateway.limits.connections_per_peer,
        all: config.gateway.limits.connections,
    })
}

fn retention(config: &Config) -> Retention {
    let (capture, keep) = (&config.gateway.capture, &config.gateway.retention);
    Retention {
        capture_bytes: capture.total_bytes,
        captures: capture.age,
        records: keep.records,
        record_bytes: None,
        counters: keep.counters,
        audit: keep.audit,
    }
}

/// Tells systemd, when it asked.
pub(crate) fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// The sessions that the latest records name.
fn restored(store: &Store) -> anyhow::Result<Sessions> {
    let sessions = Sessions::new(SESSIONS);
    let since = Timestamp(Timestamp::now().0.saturating_sub(SESSION_WINDOW_MS));
    let anchors = store
        .anchors(since)
        .context("reading the latest sessions")?;
    sessions.restore(anchors.into_iter().map(|known| Restored {
        session: known.session,
        anchors: known.anchors,
        calls: known.calls,
        started: known.started,
        ended: known.ended,
    }));
    Ok(sessions)
}

//! The pages below `/ui/`: what was used, by whom, for how much, and how the gateway is doing.
//!
//! Owns: [`Dashboard`] and [`handle`]. In: a caller that the tailnet has identified, its role, and a request head. Out:
//! a whole response: HTML made on the server, under a policy that runs the one script of ours and none in a page, and
//! the events of pages that are open ([`Dashboard::follow`]). Pages only read, but for the settings' forms (`receive`). A user reaches
//! their own data only (anything else does not exist), an admin everyone's; who opens another person's captures is
//! written to the audit trail first. The server has checked `Host` and `Origin` before.
//! Must not know: the proxy, the tailnet. Everything that a page shows of foreign text goes through `format`.

mod assets;
mod body;
mod chart;
mod files;
mod form;
mod format;
mod frames;
mod layout;
mod live;
mod order;
mod pages;
mod receive;
mod response;
mod route;
mod settings;
mod source;
mod sums;
mod talk;
#[cfg(test)]
mod tests;
mod view;

use crate::{
    config::{Config, Live, Provider, grant::Role},
    editor::Editor,
    identity::Caller,
    policy,
    provider::probe,
    record::{RequestId, SessionId, Timestamp},
    store::{ReadError, Store, Writer},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_LENGTH, HOST, LOCATION},
    request,
};
use http_body::Body;
use layout::Frame;
use maud::{Markup, html};
use response::{asset, document, plain, secure, set};
use route::{Query, Route};
use source::{Scope, Source};
use std::{collections::BTreeSet, fmt, pin::Pin, sync::Arc};
use tokio::sync::Semaphore;
use view::{Choices, RequestPage, Selection, Whose};

pub use live::Followed;
pub use talk::{Messages, messages};
pub use view::Rates;

/// What the pages say of the gateway itself, at the moment of a request.
#[derive(Clone, Debug)]
struct State {
    /// The configuration in force.
    config: Arc<Config>,
    /// Why the last reload was not taken; none when it was.
    reload_failure: Option<String>,
    /// Whether the store can't write at the moment.
    store_degraded: bool,
    /// When the node's key expires; none = never, or no node.
    key_expiry: Option<Timestamp>,
    /// What else about the node needs attention: what, and what to do.
    node_concerns: Vec<(String, String)>,
}

/// Providers that are tried at once, on their way into the document.
const TRIALS: usize = 4;

/// What the pages ask of other parts while they are made. Nothing of it may block.
pub struct Asks {
    /// The gateway's own node.
    pub node: OwnNode,
    /// What the price table says of a model of a provider.
    pub rates: Box<RatesOf>,
    /// Who was last seen under a login.
    pub known: Box<KnownAs>,
    /// Asks a provider one cheap question.
    pub probe: Box<Probe>,
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks").finish_non_exhaustive()
    }
}

/// Asks a provider one cheap question.
pub type Probe =
    dyn Fn(Arc<Provider>) -> Pin<Box<dyn Future<Output = probe::Answer> + Send>> + Send + Sync;

/// Says of a request that it came over TLS, as an extension of its head.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// Whether a login was asked for: the address where a person has to go (none = not needed), or why it failed.
pub type LoginAnswer = Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>>;

/// The gateway's own node, as far as the pages show it and may ask something of it. None of this blocks.
pub struct OwnNode {
    /// When its key expires; none = never, or no node.
    pub key_expiry: Box<dyn Fn() -> Option<Timestamp> + Send + Sync>,
    /// What else needs attention: what, and what to do.
    pub concerns: Box<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// Asks for a new login.
    pub log_in: Box<dyn Fn() -> LoginAnswer + Send + Sync>,
}

impl fmt::Debug for OwnNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnNode").finish_non_exhaustive()
    }
}

/// Looks up what a model of a provider costs.
pub type RatesOf = dyn Fn(&Config, &Provider, &str) -> Option<Rates> + Send + Sync;

/// Finds a caller by login, as last seen.
pub type KnownAs = dyn Fn(&str) -> Option<Arc<Caller>> + Send + Sync;

/// The pages and what they read from.
pub struct Dashboard {
    source: Source,
    state: Box<dyn Fn() -> State + Send + Sync>,
    rates: Box<RatesOf>,
    known: Box<KnownAs>,
    node: Arc<OwnNode>,
    open: live::Open,
    editor: Editor,
    tokens: form::Tokens,
    probe: Box<Probe>,
    trials: Semaphore,
    allow_local: bool,
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").finish_non_exhaustive()
    }
}

/// Why there is no page.
enum Missing {
    /// There is none, or it belongs to another person: the same answer on purpose.
    NotFound,
    /// Only admins may.
    AdminsOnly,
    /// The store did not answer.
    Store(ReadError),
}

impl From<ReadError> for Missing {
    fn from(error: ReadError) -> Self {
        Self::Store(error)
    }
}

// === impl Dashboard ===

impl Dashboard {
    /// Pages that read from `store`, note in the audit trail of `writer` who looked at whose texts, and change the document
    /// through `editor`.
    pub fn new(store: Store, writer: Writer, live: Live, editor: Editor, asks: Asks) -> Self {
        let health = writer.clone();
        let node = Arc::new(asks.node);
        let shown = Arc::clone(&node);
        let allow_local = live.allow_local_upstreams();
        let state = move || State {
            config: live.current(),
            reload_failure: live.status().error,
            store_degraded: health.stats().degraded.is_some(),
            key_expiry: (shown.key_expiry)(),
            node_concerns: (shown.concerns)(),
        };
        Self {
            source: Source::new(store, writer),
            state: Box::new(state),
            rates: asks.rates,
            known: asks.known,
            node,
            open: live::Open::default(),
            editor,
            tokens: form::Tokens::new(),
            probe: asks.probe,
            trials: Semaphore::new(TRIALS),
            allow_local,
        }
    }
}

/// The address of every kind of page, those with an id or a login of these: for tables and tests.
pub fn addresses(session: SessionId, request: RequestId, login: &str) -> Vec<String> {
    let routes = Route::every(session, request, login).into_iter();
    let address = |route: Route| match route {
        Route::Slash(path) => path.trim_end_matches('/').to_owned(),
        route => route.path(),
    };
    routes.map(address).collect()
}

/// Answers any request below `/ui`, and for `/favicon.ico`.
pub async fn handle<B>(
    dashboard: &Dashboard,
    caller: &Arc<Caller>,
    role: Role,
    req: &request::Parts,
    body: B,
) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    handle_at(dashboard, caller, role, req, body, Timestamp::now()).await
}

/// As [`handle`], at a given time.
async fn handle_at<B>(
    dashboard: &Dashboard,
    caller: &Arc<Caller>,
    role: Role,
    req: &request::Parts,
    body: B,
    now: Timestamp,
) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let state = (dashboard.state)();
    let host = req.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = req
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or(host);
    let over_tls = came_over_tls(req);
    let scheme = if over_tls { "https" } else { "http" };
    let host = host.unwrap_or("ai");
    let base = format!("{scheme}://{host}");
    let frame = Frame {
        caller,
        role,
        state: &state,
        now,
        host,
        base: &base,
    };
    let route = Route::parse(req.uri.path());
    let methods = route.as_ref().map_or("GET, HEAD", Route::methods);
    let answered = methods.split(", ").any(|method| method == req.method);
    let mut rsp = match route {
        _ if !answered => {
            let mut rsp = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "not a method of this page\n",
            );
            set(&mut rsp, ALLOW, methods);
            rsp
        }
        None => refusal(&frame, &Missing::NotFound),
        Some(route) if req.method == Method::POST => {
            receive::receive(dashboard, &frame, &route, req, body).await
        }
        Some(route) => answer(dashboard, &frame, &route, req.uri.query()).await,
    };
    secure(&mut rsp, over_tls);
    if req.method == Method::HEAD {
        let length = HeaderValue::from(rsp.body().len());
        rsp.headers_mut().insert(CONTENT_LENGTH, length);
        *rsp.body_mut() = Bytes::new();
    }
    rsp
}

fn came_over_tls(req: &request::Parts) -> bool {
    req.extensions.get::<OverTls>().is_some()
}

/// Answers a browser whose caller has no role; none for programs, which get an error to read.
pub fn stranger(caller: &Caller, req: &request::Parts) -> Option<Response<Bytes>> {
    if req.method != Method::GET && req.method != Method::HEAD {
        return None;
    }
    let accepts = req.headers.get_all(ACCEPT).iter();
    let mut accepts = accepts.filter_map(|accept| accept.to_str().ok());
    let mut rsp = match Route::parse(req.uri.path()) {
        Some(Route::Style) => asset("text/css; charset=utf-8", assets::STYLE),
        Some(Route::Script) => asset("text/javascript; charset=utf-8", assets::SCRIPT),
        Some(Route::Icon) => asset("image/svg+xml", assets::ICON),
        _ if accepts.any(|accept| accept.contains("text/html")) => {
            let text = layout::bare("No access", &pages::stranger::render(caller)).into_string();
            response::html(StatusCode::FORBIDDEN, text)
        }
        _ => return None,
    };
    secure(&mut rsp, came_over_tls(req));
    Some(rsp)
}

async fn answer(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    route: &Route,
    query: Option<&str>,
) -> Response<Bytes> {
    let asked = Query::parse(query);
    let file = match route {
        Route::Style => return asset("text/css; charset=utf-8", assets::STYLE),
        Route::Script => return asset("text/javascript; charset=utf-8", assets::SCRIPT),
        Route::Icon => return asset("image/svg+xml", assets::ICON),
        Route::Slash(path) => {
            let mut rsp = plain(StatusCode::PERMANENT_REDIRECT, "");
            set(&mut rsp, LOCATION, path);
            return rsp;
        }
        Route::Body(id, side) => files::body(dashboard, frame, *id, *side).await,
        Route::Json(id) => files::json(dashboard, frame, *id).await,
        Route::People => files::people(dashboard, frame, &asked).await,
        Route::Live => live::event(dashboard, frame, &asked).await,
        _ => {
            return match page(dashboard, frame, route, &asked).await {
                Ok((title, body)) => document(StatusCode::OK, frame, &title, route, &body),
                Err(missing) => refusal(frame, &missing),
            };
        }
    };
    match file {
        Ok(rsp) => rsp,
        Err(missing) => refusal(frame, &missing),
    }
}

/// Title and body of a page.
#[expect(clippy::too_many_lines, reason = "one arm for each page")]
async fn page(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    route: &Route,
    query: &Query,
) -> Result<(String, Markup), Missing> {
    if route.admins_only() && frame.role < Role::Admin {
        return Err(Missing::AdminsOnly);
    }
    let source = &dashboard.source;
    let now = frame.now;
    let selection = Selection::parse(|name| query.get(name));
    let scope = scope(dashboard, frame, &selection).await?;
    Ok(match route {
        Route::Overview => {
            let view = source.overview(&scope, selection, choices(frame), now);
            let page = pages::overview::render(frame, &view.await?);
            ("Overview".into(), page)
        }
        Route::Person(login) => {
            let scope = source.person(login).await?.ok_or(Missing::NotFound)?;
            let selection = Selection {
                user: String::new(),
                ..selection
            };
            let view = source.overview(&scope, selection, choices(frame), now);
            let page = pages::overview::render(frame, &view.await?);
            (format::clip(login, 60), page)
        }
        Route::Logs => {
            let view = source.sessions(&scope, selection, choices(frame), now);
            ("Logs".into(), pages::logs::render(frame, &view.await?))
        }
        Route::Session(id) => {
            let as_table = query.get("view") == Some("requests");
            let after = query.get("after").unwrap_or_default();
            let view = source.session(&scope, frame.caller, *id, after, as_table, now);
            let mut view = view.await?.ok_or(Missing::NotFound)?;
            view.sort = selection.sort;
            let title = view.session.title.as_deref().unwrap_or("Session");
            (
                format::clip(title, 60),
                pages::session::render(frame, &view),
            )
        }
        Route::Request(id) => {
            let record = source.record(&scope, *id).await?;
            let record = record.ok_or(Missing::NotFound)?;
            let capture = source.capture(frame.caller, &record, now).await?;
            let view = RequestPage { record, capture };
            ("Request".into(), pages::request::render(frame, &view))
        }
        Route::Tools => {
            let view = source.tools(&scope, selection, choices(frame), now);
            (
                "Tool use".into(),
                pages::tool_use::render(frame, &view.await?),
            )
        }
        Route::Adoption => {
            let view = source.adoption(&scope, selection, choices(frame), now);
            (
                "Adoption".into(),
                pages::adoption::render(frame, &view.await?),
            )
        }
        Route::Models => {
            let (admin, rows) = (frame.role == Role::Admin, models(dashboard, frame));
            let view = source.models(&scope, selection, choices(frame), admin, rows, now);
            ("Models".into(), pages::models::render(frame, &view.await?))
        }
        Route::Connect => {
            let models = models(dashboard, frame);
            ("Connect".into(), pages::connect::render(frame, &models))
        }
        Route::Access => {
            let view = access(dashboard, frame, query).await?;
            ("Access".into(), pages::access::render(&view))
        }
        Route::Audit => {
            let view = source.trail(selection, choices(frame), now);
            ("Audit".into(), pages::audit::render(frame, &view.await?))
        }
        Route::Settings
        | Route::AddProvider
        | Route::AddGrant
        | Route::MakeAdmin
        | Route::History
        | Route::Version(_) => {
            let (title, page) = settings::open(dashboard, frame, route, query).await?;
            (title.into(), page)
        }
        Route::NodeLogin => {
            let token = dashboard.tokens.of(frame.caller);
            ("Log in again".into(), pages::login::form(&token))
        }
        Route::Body(..)
        | Route::Json(_)
        | Route::People
        | Route::Live
        | Route::Check
        | Route::Style
        | Route::Script
        | Route::Icon
        | Route::Slash(_) => return Err(Missing::NotFound),
    })
}

/// What the access page was asked, answered.
async fn access(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    query: &Query,
) -> Result<view::Access, Missing> {
    let get = |name| query.get(name).unwrap_or_default();
    let who = get("who");
    let known = if *who == *frame.caller.login {
        Some(Arc::clone(frame.caller))
    } else {
        (dashboard.known)(who)
    };
    let config = &frame.state.config;
    let mut view = source::access(config, who, known, get("model"), get("endpoint"));
    view.users = dashboard.source.logins().await?;
    view.all_models = choices(frame).models;
    Ok(view)
}

/// Whose data an address may show: the role's, narrowed to the user that it names. A user may name themself only.
async fn scope(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    selection: &Selection,
) -> Result<Scope, Missing> {
    let scope = Scope::of(frame);
    let named = &selection.user;
    if scope.whose != Whose::Everyone && !named.is_empty() && **named != *frame.caller.login {
        return Err(Missing::NotFound);
    }
    Ok(dashboard.source.narrowed(scope, selection).await?)
}

/// The models page's rows, as far as the configuration makes them.
fn models(dashboard: &Dashboard, frame: &Frame<'_>) -> Vec<view::Model> {
    let config = &frame.state.config;
    let rates = |provider: &Provider, model: &str| (dashboard.rates)(config, provider, model);
    source::models(config, frame.caller, frame.role, rates)
}

/// What pages can be narrowed to: for an admin all that is configured, for a user what they may use.
fn choices(frame: &Frame<'_>) -> Choices {
    let config = &frame.state.config;
    let mut models = BTreeSet::new();
    let mut providers = BTreeSet::new();
    let admin = frame.role == Role::Admin;
    if admin {
        for provider in config.providers.values() {
            providers.insert(provider.id.to_string());
            models.extend(provider.models.iter().map(ToString::to_string));
        }
    } else {
        for visible in policy::visible_models(config, frame.caller) {
            providers.insert(visible.provider.id.to_string());
            models.insert(visible.model.to_string());
        }
    }
    let own = frame.caller.login.to_string();
    Choices {
        users: admin.then_some(own).into_iter().collect(),
        models: models.into_iter().collect(),
        providers: providers.into_iter().collect(),
        ..Choices::default()
    }
}

fn refusal(frame: &Frame<'_>, missing: &Missing) -> Response<Bytes> {
    let (status, title, text) = match missing {
        Missing::NotFound => (
            StatusCode::NOT_FOUND,
            "Not found",
            "There is nothing here, or nothing that is yours.",
        ),
        Missing::AdminsOnly => (
            StatusCode::FORBIDDEN,
            "Admins only",
            "This page is for admins of this gateway. Your role is user.",
        ),
        Missing::Store(error) => {
            tracing::warn!(%error, "a page could not be read from the store");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "No answer from the store",
                "The records can't be read at the moment. Requests to models are not affected.",
            )
        }
    };
    let body = html! {
        h1 { (title) }
        p.prose { (text) }
        p.prose { a href=(Route::Overview.path()) { "To the overview" } }
    };
    document(status, frame, title, &Route::Icon, &body)
}

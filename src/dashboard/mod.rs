//! The pages below `/ui/`: what was used, by whom, for how much, and how the gateway is doing.
//!
//! Owns: [`Dashboard`] and [`handle`]. In: a caller that the tailnet has identified, its role, and a request head. Out:
//! a whole response: HTML made on the server, without scripts, under a policy that would not run any. A user reaches
//! their own data only (anything else does not exist), an admin everyone's; who opens another person's captures is
//! written to the audit trail first. The server has checked `Host` and `Origin` before.
//! Must not know: the proxy, the tailnet. Everything that a page shows of foreign text goes through `format`.

mod assets;
mod body;
mod chart;
mod format;
mod layout;
mod pages;
mod response;
mod route;
mod source;
mod sums;
#[cfg(test)]
mod tests;
mod view;

use crate::{
    config::{Config, Finding, Live, MAX_DOCUMENT_BYTES, Provider, grant::Role, redact},
    identity::Caller,
    policy,
    record::Timestamp,
    store::{Store, Writer},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
    request,
};
use layout::Frame;
use maud::{Markup, html};
use response::{asset, document, plain, secure, set};
use route::{Query, Route, Side};
use source::{Scope, Source};
use std::{collections::BTreeSet, fmt, fs::File, io::Read as _, sync::Arc};
use view::{Filter, Period, RequestPage, Whose};

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
}

/// The configuration's file as admins may see it.
#[derive(Clone, Debug)]
struct Document {
    /// Where it is.
    file: String,
    /// Its text, secrets taken out.
    text: String,
    /// What was found in it when it was last read.
    findings: Arc<[Finding]>,
}

/// Looks up what a model of a provider costs.
type RatesOf = dyn Fn(&Config, &Provider, &str) -> Option<Rates> + Send + Sync;

/// The pages and what they read from.
pub struct Dashboard {
    source: Source,
    state: Box<dyn Fn() -> State + Send + Sync>,
    document: Arc<dyn Fn() -> Document + Send + Sync>,
    rates: Box<RatesOf>,
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
    Store(source::Error),
}

impl From<source::Error> for Missing {
    fn from(error: source::Error) -> Self {
        Self::Store(error)
    }
}

// === impl Dashboard ===

impl Dashboard {
    /// Pages that read from `store`, and note in the audit trail of `writer` who looked at whose texts.
    ///
    /// `key_expiry` tells when the node's key expires (none = never, or no node), `rates` what the price table says of
    /// a model of a provider. Both are asked while a page is made, and must not block.
    pub fn new(
        store: Store,
        writer: Writer,
        live: Live,
        key_expiry: impl Fn() -> Option<Timestamp> + Send + Sync + 'static,
        rates: impl Fn(&Config, &Provider, &str) -> Option<Rates> + Send + Sync + 'static,
    ) -> Self {
        let on_disk = live.clone();
        let health = writer.clone();
        Self {
            source: Source::new(store, writer),
            state: Box::new(move || State {
                config: live.current(),
                reload_failure: live.status().error,
                store_degraded: health.stats().degraded.is_some(),
                key_expiry: key_expiry(),
            }),
            document: Arc::new(move || read_document(&on_disk)),
            rates: Box::new(rates),
        }
    }
}

/// The file as it is now, bounded, secrets taken out. Blocks on the file.
fn read_document(live: &Live) -> Document {
    let mut bytes = Vec::new();
    let bound = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let read = File::open(live.path()).and_then(|file| file.take(bound).read_to_end(&mut bytes));
    Document {
        file: live.path().display().to_string(),
        text: match read {
            Ok(_) => redact(&String::from_utf8_lossy(&bytes)),
            Err(error) => format!("// the file can't be read: {error}"),
        },
        findings: live.status().findings,
    }
}

/// Answers any request below `/ui`, and for `/favicon.ico`.
pub async fn handle(
    dashboard: &Dashboard,
    caller: &Arc<Caller>,
    role: Role,
    req: &request::Parts,
) -> Response<Bytes> {
    handle_at(dashboard, caller, role, req, Timestamp::now()).await
}

/// As [`handle`], at a given time.
async fn handle_at(
    dashboard: &Dashboard,
    caller: &Arc<Caller>,
    role: Role,
    req: &request::Parts,
    now: Timestamp,
) -> Response<Bytes> {
    let mut rsp = if req.method == Method::GET || req.method == Method::HEAD {
        let state = (dashboard.state)();
        let frame = Frame {
            caller,
            role,
            state: &state,
            now,
        };
        match Route::parse(req.uri.path()) {
            Some(route) => answer(dashboard, &frame, &route, req.uri.query()).await,
            None => refusal(&frame, &Missing::NotFound),
        }
    } else {
        let mut rsp = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        set(&mut rsp, ALLOW, "GET, HEAD");
        rsp
    };
    secure(&mut rsp);
    if req.method == Method::HEAD {
        let length = HeaderValue::from(rsp.body().len());
        rsp.headers_mut().insert(CONTENT_LENGTH, length);
        *rsp.body_mut() = Bytes::new();
    }
    rsp
}

async fn answer(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    route: &Route,
    query: Option<&str>,
) -> Response<Bytes> {
    match route {
        Route::Style => return asset("text/css; charset=utf-8", assets::STYLE),
        Route::Icon => return asset("image/svg+xml", assets::ICON),
        Route::Slash(path) => {
            let mut rsp = plain(StatusCode::PERMANENT_REDIRECT, "");
            set(&mut rsp, LOCATION, path);
            return rsp;
        }
        Route::Body(id, side) => {
            return match download(dashboard, frame, *id, *side).await {
                Ok(rsp) => rsp,
                Err(missing) => refusal(frame, &missing),
            };
        }
        _ => {}
    }
    match page(dashboard, frame, route, &Query::parse(query)).await {
        Ok((title, body)) => document(StatusCode::OK, frame, &title, route, &body),
        Err(missing) => refusal(frame, &missing),
    }
}

/// Title and body of a page.
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
    let scope = Scope::of(frame);
    let period = Period::parse(query.get("period"));
    let now = frame.now;
    Ok(match route {
        Route::Overview => {
            let view = source.overview(&scope, period, now).await?;
            ("Overview".into(), pages::overview::render(frame, &view))
        }
        Route::Person(login) => {
            let scope = source.person(login).await?.ok_or(Missing::NotFound)?;
            let view = source.overview(&scope, period, now).await?;
            (
                format::clip(login, 60),
                pages::overview::render(frame, &view),
            )
        }
        Route::Logs => {
            let field = |name| query.get(name).unwrap_or_default().to_owned();
            let filter = Filter {
                text: field("q"),
                user: field("user"),
                model: field("model"),
                after: field("after"),
            };
            let foreign = scope.whose != Whose::Everyone
                && !filter.user.is_empty()
                && filter.user != *frame.caller.login;
            if foreign {
                return Err(Missing::NotFound);
            }
            let view = source.sessions(&scope, filter, choices(frame)).await?;
            ("Logs".into(), pages::logs::render(frame, &view))
        }
        Route::Session(id) => {
            let after = query.get("after").unwrap_or_default();
            let view = source.session(&scope, *id, after).await?;
            let view = view.ok_or(Missing::NotFound)?;
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
            let view = source.tools(&scope, period, now).await?;
            ("Tool use".into(), pages::tool_use::render(frame, &view))
        }
        Route::Adoption => {
            let view = source.adoption(&scope, period, now).await?;
            ("Adoption".into(), pages::adoption::render(frame, &view))
        }
        Route::Models => {
            let config = &frame.state.config;
            let rates =
                |provider: &Provider, model: &str| (dashboard.rates)(config, provider, model);
            let models = source::models(config, frame.caller, rates);
            ("Models".into(), pages::models::render(frame, &models))
        }
        Route::Settings => {
            let read = Arc::clone(&dashboard.document);
            let document = tokio::task::spawn_blocking(move || read()).await;
            let document = document.map_err(|_| source::Error::Stopped)?;
            ("Settings".into(), pages::settings::render(frame, &document))
        }
        Route::Body(..) | Route::Style | Route::Icon | Route::Slash(_) => {
            return Err(Missing::NotFound);
        }
    })
}

/// The models that the logs can be narrowed to: an admin's, all that are configured; a user's, those they may use.
fn choices(frame: &Frame<'_>) -> Vec<String> {
    let config = &frame.state.config;
    let names: BTreeSet<String> = match frame.role {
        Role::Admin => {
            let all = config
                .providers
                .values()
                .flat_map(|provider| &provider.models);
            all.map(ToString::to_string).collect()
        }
        Role::User => {
            let visible = policy::visible_models(config, frame.caller).into_iter();
            visible.map(|visible| visible.model.to_string()).collect()
        }
    };
    names.into_iter().collect()
}

/// A captured body as it passed, never as something that a browser would show or run.
async fn download(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    id: crate::record::RequestId,
    side: Side,
) -> Result<Response<Bytes>, Missing> {
    let source = &dashboard.source;
    let record = source.record(&Scope::of(frame), id).await?;
    let record = record.ok_or(Missing::NotFound)?;
    let capture = source.capture(frame.caller, &record, frame.now).await?;
    let capture = capture.ok_or(Missing::NotFound)?;
    let (word, head, captured) = match side {
        Side::Request => ("request", capture.request_head, capture.request),
        Side::Response => ("response", capture.response_head, capture.response),
    };
    let bytes = captured.chunks.concat();
    if bytes.is_empty() {
        return Err(Missing::NotFound);
    }
    let mut rsp = Response::new(Bytes::from(bytes));
    set(&mut rsp, CONTENT_TYPE, "application/octet-stream");
    let name = format!(
        "attachment; filename=\"{id}-{word}{}\"",
        body::suffix(&head)
    );
    set(&mut rsp, CONTENT_DISPOSITION, &name);
    Ok(rsp)
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

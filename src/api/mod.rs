//! The API for scripts: the configuration, and what was used, below `/aperture/` and `/api/config`.
//!
//! Owns: [`Api`] and [`handle`]. In: a caller that the tailnet has identified, its role, the configuration in force, and a
//! request. Out: a whole response. `table` has one row for each operation; routing, checks, the `OpenAPI` document and the
//! reference are made from it. The same rules as for the pages hold: a user reaches their own data only (anything else does
//! not exist), an admin everyone's; who opens another person's texts is written to the audit trail first. The server has
//! checked `Host` and `Origin` before: only our own names, so that no page of another site reaches this.
//! Must not know: the proxy, the tailnet, HTML.
//!
//! To add operations: a file with a `pub(super) static OPERATIONS: &[Operation]` and the functions that answer them, `async fn
//! f(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem>`, one line for its rows in `table`, and whatever they need (an editor of
//! the configuration, prices) as a field of [`Api`].

mod answer;
mod audit;
mod config;
mod docs;
mod history;
mod list;
mod openapi;
mod pricing;
mod problem;
mod providers;
mod query;
mod requests;
mod route;
mod scope;
mod sessions;
mod table;
#[cfg(test)]
mod tests;
mod usage;

pub use docs::render_markdown;
pub use route::owns;

use crate::{
    config::{Config, grant::Role},
    editor::Editor,
    identity::Caller,
    record::Timestamp,
    store::{Store, Writer},
    whole_body::{self, Unread},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE},
    request,
};
use http_body::Body;
use problem::Problem;
use query::Values;
use route::Route;
use serde::de::DeserializeOwned;
use std::{fmt, sync::Arc, time::Duration};
use table::{Operation, Takes};

/// How long a client may take to send a body: scripts send it at once.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// What the operations read from and write to.
pub struct Api {
    /// What was recorded.
    pub store: Store,
    /// Where audit entries go.
    pub writer: Writer,
    /// Changes the configuration.
    pub editor: Editor,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// One request, as an operation sees it.
struct Asked<'a> {
    api: &'a Api,
    caller: &'a Arc<Caller>,
    role: Role,
    /// The configuration in force when the request came.
    config: &'a Arc<Config>,
    now: Timestamp,
    /// Method, path, header lines.
    head: &'a request::Parts,
    /// The values of path and query, checked.
    values: Values,
    /// The body, for operations that take one.
    body: Bytes,
}

impl Asked<'_> {
    /// The body as a value of its schema.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (status, detail) = match error.classify() {
                serde_json::error::Category::Data => (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "the body does not fit its schema",
                ),
                _ => (StatusCode::BAD_REQUEST, "the body is not JSON"),
            };
            // What stands there may be a secret: the parser's words, and never the value.
            Problem::new(status, detail).with("body", error.to_string(), serde_json::Value::Null)
        })
    }

    /// A header line's text.
    fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.head
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    }
}

/// Method and path of every operation: for tables and tests.
pub fn operations() -> impl Iterator<Item = (&'static Method, &'static str)> {
    table::operations().map(|operation| (&operation.method, operation.path))
}

/// Answers any request for a path that the API [`owns`].
pub async fn handle<B>(
    api: &Api,
    caller: &Arc<Caller>,
    role: Role,
    config: &Arc<Config>,
    req: Request<B>,
) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    handle_at(api, caller, role, config, req, Timestamp::now()).await
}

/// As [`handle`], at a given time.
async fn handle_at<B>(
    api: &Api,
    caller: &Arc<Caller>,
    role: Role,
    config: &Arc<Config>,
    req: Request<B>,
    now: Timestamp,
) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = req.into_parts();
    let path = head.uri.path();
    let answered = match Route::find(&head.method, path) {
        Route::Operation(operation, vars) => {
            let checked = check(operation, vars, caller, role, &head, body).await;
            match checked {
                Ok((values, body)) => {
                    let asked = Asked {
                        api,
                        caller,
                        role,
                        config,
                        now,
                        head: &head,
                        values,
                        body,
                    };
                    (operation.handle)(&asked).await
                }
                Err(problem) => Err(problem),
            }
        }
        Route::WrongMethod(methods) => {
            let methods = methods.join(", ");
            let detail = format!("this path takes {methods}");
            Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).line(ALLOW, methods))
        }
        Route::Unknown => {
            let detail = "no operation has this path; /aperture/openapi.json lists them";
            Err(Problem::new(StatusCode::NOT_FOUND, detail))
        }
    };
    let mut rsp = answered.unwrap_or_else(|problem| problem.response(path));
    answer::secure(&mut rsp);
    if head.method == Method::HEAD {
        let length = HeaderValue::from(rsp.body().len());
        rsp.headers_mut().insert(CONTENT_LENGTH, length);
        *rsp.body_mut() = Bytes::new();
    }
    rsp
}

/// What holds for every operation: whom it answers, what its parameters may be, what body it takes.
async fn check<B>(
    operation: &'static Operation,
    vars: Vec<(&'static str, String)>,
    caller: &Caller,
    role: Role,
    head: &request::Parts,
    body: B,
) -> Result<(Values, Bytes), Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    operation.access.judge(caller, role).map_err(|refusal| {
        tracing::info!(login = %caller.login, operation = operation.id, "refused: {refusal}");
        // Below /api the words are those that clients of old look for.
        let old = operation.path.starts_with("/api/");
        let detail = if old {
            "access denied: no role granted"
        } else {
            refusal
        };
        Problem::new(StatusCode::FORBIDDEN, detail)
    })?;
    let values = Values::read(operation, vars, head.uri.query())?;
    let body = match &operation.takes {
        Some(takes) => read(takes, head, body).await?,
        None => Bytes::new(),
    };
    Ok((values, body))
}

/// The body, when it is JSON and within its bounds.
async fn read<B>(takes: &Takes, head: &request::Parts, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A form of a page can send anything but this without asking first.
    let kind = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(answer::JSON) {
        let detail = "this takes application/json only";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        return Err(problem.with("header.content-type", "must be application/json", kind));
    }
    whole_body::read(body, takes.limit, BODY_DEADLINE)
        .await
        .map_err(|why| {
            let (status, detail) = match why {
                Unread::TooLarge => (
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is larger than {} bytes", takes.limit),
                ),
                Unread::BrokeOff => (StatusCode::BAD_REQUEST, "the body broke off".to_owned()),
                Unread::Late => (
                    StatusCode::REQUEST_TIMEOUT,
                    "the body did not come in time".to_owned(),
                ),
            };
            Problem::new(status, detail)
        })
}

//! Pages that move by themselves: their parts as server-sent events.
//!
//! Owns: what an event says, and the bound on pages that are open at a time. In: who looks, and at what. Out: one event,
//! whole; the server asks for the next one every two seconds. Each event is made under the role and scope of that moment.
//! Must not know: sockets, timers.

use super::{
    Dashboard, Missing, handle, layout,
    layout::Frame,
    pages,
    response::plain,
    route::{Query, Route},
    source::Scope,
    view::Selection,
};
use crate::{config::grant::Role, identity::Caller};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE, request};
use http_body_util::Empty;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Pages that may be followed at a time; others are told to come back.
const OPEN_AT_MOST: usize = 256;

/// How many pages are followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Open(Arc<AtomicUsize>);

/// One page that is followed; counts until it is dropped.
#[derive(Debug)]
pub struct Followed(Arc<AtomicUsize>);

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dashboard {
    /// Whether a request asks for events, and one more page may be followed. Without it, one event is the whole answer.
    pub fn follow(&self, req: &request::Parts) -> Option<Followed> {
        let asks = req.method == http::Method::GET && req.uri.path() == Route::Live.path();
        let count = &self.open.0;
        if !asks {
            return None;
        }
        // Counted first, so that two at once can't both be the last.
        let followed = Followed(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < OPEN_AT_MOST).then_some(followed)
    }

    /// The next event of a page that is followed; none when the caller may no longer have it.
    pub async fn next_event(
        &self,
        caller: &Arc<Caller>,
        role: Role,
        req: &request::Parts,
    ) -> Option<Bytes> {
        let rsp = handle(self, caller, role, req, Empty::new()).await;
        (rsp.status() == StatusCode::OK).then(|| rsp.into_body())
    }
}

/// One event: the part of the page that the query names.
pub(super) async fn event(
    dashboard: &Dashboard,
    frame: &Frame<'_>,
    query: &Query,
) -> Result<Response<Bytes>, Missing> {
    let source = &dashboard.source;
    let scope = Scope::of(frame);
    let part = match query.get("session") {
        None => {
            let scope = match query.get("user") {
                Some(login) if frame.role == Role::Admin => source.person(login).await?,
                Some(login) if *login != *frame.caller.login => None,
                Some(_) | None => Some(scope),
            };
            let scope = scope.ok_or(Missing::NotFound)?;
            let selection = Selection::parse(|name| query.get(name));
            let active = source.active(&scope, selection, frame.now).await?;
            pages::overview::active(frame, &active, &scope.whose)
        }
        Some(id) => {
            let id = id.parse().map_err(|_| Missing::NotFound)?;
            let session = source.summary(&scope, id).await?;
            let session = session.ok_or(Missing::NotFound)?;
            pages::session::facts(frame, &session)
        }
    };
    let text = layout::one_line(&part.into_string());
    let mut rsp = plain(StatusCode::OK, "");
    let kind = HeaderValue::from_static("text/event-stream");
    rsp.headers_mut().insert(CONTENT_TYPE, kind);
    *rsp.body_mut() = Bytes::from(format!("retry: 2000\nevent: part\ndata: {text}\n\n"));
    Ok(rsp)
}

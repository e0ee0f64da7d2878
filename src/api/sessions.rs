//! `/aperture/sessions`: conversations.
//!
//! In: filters, or an id. Out: summaries and records in the form of `aperture export`, of the caller's scope only.
//! Must not know: texts; those are in the captures of `requests`.

use super::{
    Asked, answer,
    list::{self, FORMAT, LINKED, NARROWING, PAGE, PERIOD, TEXT, join, or_csv},
    problem::Problem,
    scope::{Scope, read},
    table::{Access, Answer, Form, Kind, Operation, Parameter, Place, schema},
};
use crate::{
    record::{Record, SessionId},
    store::{Session, sessions_csv},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// Sub-agents and forks that one session lists.
const CHILDREN: usize = 50;

const SESSION: Parameter = Parameter {
    name: "session",
    place: Place::Path,
    kind: Kind::SessionId,
    description: "The session's id.",
};

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        id: "sessions",
        method: Method::GET,
        path: "/aperture/sessions",
        tag: "Sessions",
        access: Access::Everybody,
        summary: "Conversations",
        description: "Those with a request that matches, by their newest such request, the newest first.",
        parameters: &join::<12>(&[&PERIOD, &NARROWING, &TEXT, &PAGE, &FORMAT]),
        takes: None,
        answers: &[Answer {
            status: 200,
            description: "A page of them.",
            forms: &const { or_csv(schema::<Sessions>()) },
            head: LINKED,
        }],
        handle: |asked| sessions(asked).boxed(),
    },
    Operation {
        id: "session",
        method: Method::GET,
        path: "/aperture/sessions/{session}",
        tag: "Sessions",
        access: Access::Everybody,
        summary: "One conversation, with its requests",
        description: "Requests in the order in which they began, a page at a time.",
        parameters: &join::<3>(&[&[SESSION], &PAGE]),
        takes: None,
        answers: &[Answer {
            status: 200,
            description: "The session.",
            forms: &[Form {
                media: answer::JSON,
                schema: schema::<OneSession>(),
            }],
            head: LINKED,
        }],
        handle: |asked| session(asked).boxed(),
    },
];

/// A page of sessions.
#[derive(Debug, Serialize, JsonSchema)]
struct Sessions {
    /// The newest first.
    sessions: Vec<Session>,
    /// Where the next page begins; null on the last one.
    next: Option<String>,
}

/// One session.
#[derive(Debug, Serialize, JsonSchema)]
struct OneSession {
    /// Its summary.
    session: Session,
    /// Its requests, the oldest first.
    requests: Vec<Record>,
    /// Sessions that it started, or that were forked from it: the first 50.
    children: Vec<Session>,
    /// Where the next page of requests begins; null on the last one.
    next: Option<String>,
}

async fn sessions(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let scope = Scope::narrowed(asked).await?;
    let filter = list::filter(asked, &scope)?;
    let (cursor, limit) = (list::cursor(asked), list::limit(asked));
    let mut page = read(asked, move |store| store.sessions(&filter, cursor, limit)).await?;
    page.items.retain(|session| scope.holds(&session.user));
    let mut rsp = if list::wants_csv(asked) {
        scope.exported(asked, "sessions");
        list::csv("sessions", sessions_csv(&page.items))
    } else {
        let told = Sessions {
            sessions: page.items,
            next: page.next.map(|next| next.to_string()),
        };
        answer::json(StatusCode::OK, &told)
    };
    list::link(asked, &mut rsp, page.next);
    Ok(rsp)
}

async fn session(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let scope = Scope::of(asked);
    let id: SessionId = asked
        .values
        .text("session")
        .and_then(|id| id.parse().ok())
        .ok_or_else(Problem::not_found)?;
    let (cursor, limit) = (list::cursor(asked), list::limit(asked));
    let found = read(asked, move |store| {
        let Some(session) = store.session(id)?.filter(|found| scope.holds(&found.user)) else {
            return Ok(None);
        };
        let mut page = store.session_requests(id, cursor, limit)?;
        page.items.retain(|record| scope.holds(&record.who.user));
        let mut children = store.session_children(id, CHILDREN)?;
        children.retain(|child| scope.holds(&child.user));
        Ok(Some((session, page, children)))
    });
    let (session, page, children) = found.await?.ok_or_else(Problem::not_found)?;
    let told = OneSession {
        session,
        requests: page.items,
        children,
        next: page.next.map(|next| next.to_string()),
    };
    let mut rsp = answer::json(StatusCode::OK, &told);
    list::link(asked, &mut rsp, page.next);
    Ok(rsp)
}

//! `/aperture/audit`: who did what that others must be able to see.
//!
//! In: who, what and when, and where to go on. Out: entries, the newest first. Admins only. Must not know: who writes them.

use super::{
    Asked, answer,
    list::{self, LINKED, PAGE, PERIOD, join},
    problem::Problem,
    scope::read,
    table::{Access, Answer, Form, Kind, Operation, Parameter, Place, schema},
};
use crate::store::{AuditAction, AuditEntry};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// By whom, and what.
const WHICH: [Parameter; 2] = [
    Parameter {
        name: "user",
        place: Place::Query,
        kind: Kind::Text,
        description: "The login of who did it, or `host` for the command line.",
    },
    Parameter {
        name: "action",
        place: Place::Query,
        kind: Kind::OneOf(&[
            "viewed_capture",
            "exported",
            "erased",
            "config_changed",
            "repriced",
        ]),
        description: "What was done.",
    },
];

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[Operation {
    id: "audit",
    method: Method::GET,
    path: "/aperture/audit",
    tag: "Usage",
    access: Access::Admins,
    summary: "The audit trail",
    description: "Who read whose texts, took data along, erased, or changed the configuration; the newest first.",
    parameters: &join::<6>(&[&PERIOD, &WHICH, &PAGE]),
    takes: None,
    answers: &[Answer {
        status: 200,
        description: "A page of it.",
        forms: &[Form {
            media: answer::JSON,
            schema: schema::<Trail>(),
        }],
        head: LINKED,
    }],
    handle: |asked| trail(asked).boxed(),
}];

/// A page of the audit trail.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Audit")]
struct Trail {
    /// The newest first.
    entries: Vec<AuditEntry>,
    /// Where the next page begins; null on the last one.
    next: Option<String>,
}

async fn trail(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let (cursor, limit) = (list::cursor(asked), list::limit(asked));
    let (from, to) = (asked.values.time("from"), asked.values.time("to"));
    if let (Some(from), Some(to)) = (from, to) {
        list::ordered(asked, from, to)?;
    }
    let who = asked.values.text("user").map(str::to_owned);
    let word = asked.values.text("action");
    let mut all = AuditAction::ALL.into_iter();
    let action = word.and_then(|word| all.find(|action| action.as_str() == word));
    let matches = move |entry: &AuditEntry| {
        let by = |who: &str| who == entry.login || (entry.login.is_empty() && who == entry.who);
        who.as_deref().is_none_or(by)
            && action.is_none_or(|action| action == entry.action)
            && to.is_none_or(|to| entry.at < to)
    };
    let page = read(asked, move |store| {
        store.audit_of(cursor, from, limit, matches)
    });
    let page = page.await?;
    let told = Trail {
        entries: page.items,
        next: page.next.map(|next| next.to_string()),
    };
    let mut rsp = answer::json(StatusCode::OK, &told);
    list::link(asked, &mut rsp, page.next);
    Ok(rsp)
}

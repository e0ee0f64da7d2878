//! `/aperture/audit`: who did what that others must be able to see.
//!
//! In: where to go on. Out: entries, the newest first. Admins only. Must not know: who writes them.

use super::{
    Asked, answer,
    list::{self, LINKED, PAGE},
    problem::Problem,
    scope::read,
    table::{Access, Answer, Form, Operation, schema},
};
use crate::store::AuditEntry;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[Operation {
    id: "audit",
    method: Method::GET,
    path: "/aperture/audit",
    tag: "Usage",
    access: Access::Admins,
    summary: "The audit trail",
    description: "Who read whose texts, took data along, erased, or changed the configuration; the newest first.",
    parameters: &PAGE,
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
    let page = read(asked, move |store| store.audit(cursor, limit)).await?;
    let told = Trail {
        entries: page.items,
        next: page.next.map(|next| next.to_string()),
    };
    let mut rsp = answer::json(StatusCode::OK, &told);
    list::link(asked, &mut rsp, page.next);
    Ok(rsp)
}

//! `/aperture/requests`: what is kept of each request, and its texts.
//!
//! In: filters, or an id. Out: records in the form of `aperture export`, of the caller's scope only. Who reads another
//! person's texts is written to the audit trail. Must not know: what bodies mean.

use super::{
    Asked, answer,
    list::{self, FORMAT, LINKED, NARROWING, PAGE, PERIOD, TEXT, join, or_csv},
    problem::Problem,
    scope::{Scope, read, viewed},
    table::{Access, Answer, Form, Kind, Operation, Parameter, Place, schema},
};
use crate::{
    record::{Record, RequestId},
    store::{capture_json, records_csv},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

const REQUEST: [Parameter; 1] = [Parameter {
    name: "request",
    place: Place::Path,
    kind: Kind::RequestId,
    description: "The request's id.",
}];

const SESSION: [Parameter; 1] = [Parameter {
    name: "session",
    place: Place::Query,
    kind: Kind::SessionId,
    description: "The session that they belong to.",
}];

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        id: "requests",
        method: Method::GET,
        path: "/aperture/requests",
        tag: "Sessions",
        access: Access::Everybody,
        summary: "Requests",
        description: "What is kept of each, without its texts, the newest first.",
        parameters: &join::<13>(&[&PERIOD, &NARROWING, &SESSION, &TEXT, &PAGE, &FORMAT]),
        takes: None,
        answers: &[Answer {
            status: 200,
            description: "A page of them.",
            forms: &const { or_csv(schema::<Requests>()) },
            head: LINKED,
        }],
        handle: |asked| requests(asked).boxed(),
    },
    Operation {
        id: "request",
        method: Method::GET,
        path: "/aperture/requests/{request}",
        tag: "Sessions",
        access: Access::Everybody,
        summary: "One request",
        description: "What is kept of it, without its texts.",
        parameters: &REQUEST,
        takes: None,
        answers: &[Answer::json(
            200,
            "The record.",
            &[Form {
                media: answer::JSON,
                schema: schema::<Record>(),
            }],
        )],
        handle: |asked| request(asked).boxed(),
    },
    Operation {
        id: "capture",
        method: Method::GET,
        path: "/aperture/requests/{request}/capture",
        tag: "Sessions",
        access: Access::Everybody,
        summary: "The texts of one request",
        description: "Heads and bodies as far as they were kept, secrets taken out. 404 when none were kept. An admin who reads another \
                      person's is named in the audit trail.",
        parameters: &REQUEST,
        takes: None,
        answers: &[Answer::json(
            200,
            "The capture.",
            &[Form {
                media: answer::JSON,
                schema: schema::<CaptureText>(),
            }],
        )],
        handle: |asked| capture(asked).boxed(),
    },
];

/// A page of requests.
#[derive(Debug, Serialize, JsonSchema)]
struct Requests {
    /// The newest first.
    requests: Vec<Record>,
    /// Where the next page begins; null on the last one.
    next: Option<String>,
}

/// The texts of one request: what the store's `capture_json` makes, for its schema.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Capture")]
struct CaptureText {
    /// The request's id.
    id: RequestId,
    /// Head lines of the request: names and values.
    request_head: Vec<(String, String)>,
    /// The request's body.
    request: BodyText,
    /// Head lines of the response: names and values.
    response_head: Vec<(String, String)>,
    /// The response's body.
    response: BodyText,
}

/// One body.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CapturedBody")]
struct BodyText {
    /// Its size in bytes as it passed.
    size: u64,
    /// Whether only its beginning was kept.
    truncated: bool,
    /// `utf8`, or `hex` when it is no text.
    encoding: String,
    /// The body, still encoded where its head says `content-encoding`.
    data: String,
}

async fn requests(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let scope = Scope::narrowed(asked).await?;
    let mut filter = list::filter(asked, &scope)?;
    filter.session = asked.values.text("session").and_then(|id| id.parse().ok());
    let (cursor, limit) = (list::cursor(asked), list::limit(asked));
    let mut page = read(asked, move |store| store.requests(&filter, cursor, limit)).await?;
    page.items.retain(|record| scope.holds(&record.who.user));
    let mut rsp = if list::wants_csv(asked) {
        scope.exported(asked, "requests");
        list::csv("requests", records_csv(&page.items))
    } else {
        let told = Requests {
            requests: page.items,
            next: page.next.map(|next| next.to_string()),
        };
        answer::json(StatusCode::OK, &told)
    };
    list::link(asked, &mut rsp, page.next);
    Ok(rsp)
}

async fn request(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let record = record(asked).await?;
    Ok(answer::json(StatusCode::OK, &record))
}

async fn capture(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let record = record(asked).await?;
    let id = record.id;
    let capture = read(asked, move |store| store.capture(id)).await?;
    let capture = capture
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no texts of this request were kept"))?;
    viewed(asked, id.to_string(), &record.who.user, &record.who.login);
    Ok(answer::json(StatusCode::OK, &capture_json(id, &capture)))
}

/// The record that the path names, when it is in the caller's scope.
async fn record(asked: &Asked<'_>) -> Result<Record, Problem> {
    let scope = Scope::of(asked);
    let id: RequestId = asked
        .values
        .text("request")
        .and_then(|id| id.parse().ok())
        .ok_or_else(Problem::not_found)?;
    let record = read(asked, move |store| store.request(id)).await?;
    record
        .filter(|record| scope.holds(&record.who.user))
        .ok_or_else(Problem::not_found)
}

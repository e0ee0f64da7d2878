//! The configuration's history for scripts: its versions with their authors, one version's text, and the way back to it.
//!
//! Owns: what a version is on the wire. In: a number. Out: texts without secrets. Putting a version back is a save, and
//! [`crate::editor`] judges it as the settings page's button is judged. Must not know: how the history is kept.

use super::{
    Asked, answer,
    config::{
        CONFIG, MATCH, PROBLEM, REFUSED, STALE, TAGGED, UNWRITABLE, author, matched, refusal,
        tagged,
    },
    list::{self, LINKED},
    problem::Problem,
    table::{Access, Answer, Form, Kind, Operation, Parameter, Place, Takes, schema},
};
use crate::{
    editor::{EditError, Etag, Origin, Version},
    record::Timestamp,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tag of all rows.
const TAG: &str = "Configuration";

/// Bytes of a body: a number in a few words.
const BODY: usize = 4 << 10;

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        id: "configHistory",
        method: Method::GET,
        path: "/aperture/config/history",
        tag: TAG,
        access: Access::Admins,
        summary: "The versions of the document",
        description: "Every version that came into force, by a save or by an edit of the file, the newest first. 500 are kept, of \
            16 MiB at most.",
        parameters: &[
            Parameter {
                name: "limit",
                place: Place::Query,
                kind: Kind::Number {
                    least: 1,
                    most: 500,
                    default: 50,
                },
                description: "How many at most.",
            },
            Parameter {
                name: "before",
                place: Place::Query,
                kind: Kind::Version,
                description: "Those before this version: `next` of the page before. Without it, from the newest.",
            },
        ],
        takes: None,
        answers: &[Answer {
            status: 200,
            description: "A page of them.",
            forms: &[Form {
                media: answer::JSON,
                schema: schema::<History>(),
            }],
            head: LINKED,
        }],
        handle: |asked| history(asked).boxed(),
    },
    Operation {
        id: "configVersion",
        method: Method::GET,
        path: "/aperture/config/history/{version}",
        tag: TAG,
        access: Access::Admins,
        summary: "One version of the document",
        description: "With its text. Secrets are not in the history: in the place of each stands `(secret, not shown)`.",
        parameters: &[Parameter {
            name: "version",
            place: Place::Path,
            kind: Kind::Version,
            description: "The version's number.",
        }],
        takes: None,
        answers: &[Answer::json(
            200,
            "The version.",
            &[Form {
                media: answer::JSON,
                schema: schema::<OneVersion>(),
            }],
        )],
        handle: |asked| one(asked).boxed(),
    },
    Operation {
        id: "revertConfig",
        method: Method::POST,
        path: "/aperture/config:revert",
        tag: TAG,
        access: Access::Admins,
        summary: "Put an earlier version of the document back",
        description: "As a save of its text by `PUT /aperture/config`, and judged as one: it keeps the secrets of the document as it \
            is now, so a version that would send one of them elsewhere is refused, and so is one that would take the caller's own \
            admin role. Such a text can be edited and then saved. In force when this answers, and a new version itself.",
        parameters: &[MATCH],
        takes: Some(Takes {
            schema: schema::<Revert>(),
            limit: BODY,
        }),
        answers: &[
            Answer {
                status: 200,
                description: "The document that is in force now.",
                forms: CONFIG,
                head: TAGGED,
            },
            Answer::json(404, "There is no such version (any more).", PROBLEM),
            STALE,
            REFUSED,
            UNWRITABLE,
        ],
        handle: |asked| revert(asked).boxed(),
    },
];

/// A page of versions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigHistory")]
struct History {
    /// The newest first.
    versions: Vec<Entry>,
    /// `before` of the next page; null on the last one.
    next: Option<u64>,
}

/// One version, without its text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigHistoryEntry")]
struct Entry {
    /// Its number, from 1.
    version: u64,
    /// When it was saved, or found in the file.
    at: Timestamp,
    /// The login of who saved it; null when it came by the file.
    author: Option<String>,
    /// By what it came.
    origin: Origin,
    /// What changed, in a line.
    summary: String,
    /// The `ETag` that the document had, without its quotes; empty when an older gateway noted none.
    etag: String,
    /// Bytes of its text.
    bytes: usize,
    /// Whether this is the document as it is now.
    current: bool,
}

/// One version, with its text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigVersion")]
struct OneVersion {
    #[serde(flatten)]
    entry: Entry,
    /// The whole text: JSON with comments and trailing commas.
    config: String,
}

/// What to put back.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigRevert")]
#[serde(deny_unknown_fields)]
struct Revert {
    /// The number of the version.
    version: u64,
}

impl Entry {
    fn of(version: Version, current: &Etag) -> Self {
        Self {
            version: version.number,
            at: version.at,
            author: Some(version.author).filter(|login| !login.is_empty()),
            origin: version.origin,
            summary: version.summary,
            current: version.etag == current.as_str(),
            etag: version.etag,
            bytes: version.bytes,
        }
    }
}

async fn history(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let editor = &asked.api.editor;
    let limit = list::limit(asked);
    let before = number(asked, "before");
    // One more tells whether there are more.
    let found = editor.history(before, limit + 1).await;
    let mut found = found.map_err(|error| refusal(&EditError::History(error)))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.number);
    let current = editor.document().await.etag;
    let versions = found.into_iter();
    let told = History {
        versions: versions
            .map(|version| Entry::of(version, &current))
            .collect(),
        next,
    };
    let mut rsp = answer::json(StatusCode::OK, &told);
    let next = next.map(|next| next.to_string());
    list::link_by(asked, &mut rsp, "before", next.as_deref());
    Ok(rsp)
}

async fn one(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let editor = &asked.api.editor;
    let wanted = number(asked, "version").ok_or_else(Problem::not_found)?;
    let found = editor.version(wanted).await;
    let found = found.map_err(|error| refusal(&EditError::History(error)))?;
    let (version, config) = found.ok_or_else(|| refusal(&EditError::NoVersion(wanted)))?;
    let current = editor.document().await.etag;
    let entry = Entry::of(version, &current);
    let told = OneVersion { entry, config };
    Ok(answer::json(StatusCode::OK, &told))
}

async fn revert(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let expected = matched(asked).await?;
    let Revert { version } = asked.json()?;
    let editor = &asked.api.editor;
    let saving = editor.revert(version, expected, author(asked), asked.now);
    let saved = saving.await.map_err(|error| refusal(&error))?;
    Ok(tagged(saved.document))
}

/// A parameter that is a number; the table has checked it.
fn number(asked: &Asked<'_>, name: &str) -> Option<u64> {
    asked.values.text(name)?.parse().ok()
}

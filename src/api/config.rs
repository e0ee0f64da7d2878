//! The configuration, read and written by scripts: `/aperture/config` and the older `/api/config`.
//!
//! Owns: what a document, a version and a refusal are on the wire. Both shapes are of one document: the hash of the older one is
//! the `ETag` of the newer one without its quotes. In: texts. Out: texts without secrets. Saving is [`crate::editor`]'s.
//! Must not know: files, what stands in a document.

use super::{
    Asked, answer,
    answer::set,
    problem::Problem,
    table::{Access, Answer, Form, Kind, Operation, Parameter, Place, Takes, schema},
};
use crate::{
    config::MAX_DOCUMENT_BYTES,
    editor::{self, Author, Document, EditError, Etag, Review, Saved, Through},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{
    Method, Response, StatusCode,
    header::{ETAG, IF_MATCH},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of a body: a document of the largest size, as far as JSON needs to escape it.
const BODY: usize = 2 * MAX_DOCUMENT_BYTES + (64 << 10);

/// The tag of all rows.
const TAG: &str = "Configuration";

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        id: "getConfig",
        method: Method::GET,
        path: "/aperture/config",
        tag: TAG,
        access: Access::Admins,
        summary: "The document",
        description: "As it is on disk, with its comments. In the place of each secret stands `(secret, not shown)`; references \
            (`env:NAME`, `file:NAME`) stand as they are.",
        parameters: &[],
        takes: None,
        answers: &[Answer {
            status: 200,
            description: "The document.",
            forms: CONFIG,
            head: TAGGED,
        }],
        handle: |asked| get(asked).boxed(),
    },
    Operation {
        id: "putConfig",
        method: Method::PUT,
        path: "/aperture/config",
        tag: TAG,
        access: Access::Admins,
        summary: "Replace the document",
        description: "In force when this answers. Placeholders keep the stored secrets; where the save changes what decides where a \
            secret is sent (address, authorization type, network), the secret itself must be in the text. Warnings count as \
            errors, and a text that would take the caller's own admin role is refused. On 412 read it again and make the \
            change anew.",
        parameters: &[MATCH],
        takes: Some(Takes {
            schema: schema::<Config>(),
            limit: BODY,
        }),
        answers: &[
            Answer {
                status: 200,
                description: "The document that is in force now.",
                forms: CONFIG,
                head: TAGGED,
            },
            STALE,
            REFUSED,
            UNWRITABLE,
        ],
        handle: |asked| put(asked).boxed(),
    },
    Operation {
        id: "validateConfig",
        method: Method::POST,
        path: "/aperture/config:validate",
        tag: TAG,
        access: Access::Admins,
        summary: "Judge a document without saving it",
        description: "By the same judgement as a save by the caller: mistakes, secrets that are needed anew, the caller's own \
            admin role.",
        parameters: &[],
        takes: Some(Takes {
            schema: schema::<Config>(),
            limit: BODY,
        }),
        answers: &[Answer::json(
            200,
            "Whether a save would be taken.",
            &[Form {
                media: answer::JSON,
                schema: schema::<Validity>(),
            }],
        )],
        handle: |asked| validate(asked).boxed(),
    },
    Operation {
        id: "getConfigOfOld",
        method: Method::GET,
        path: "/api/config",
        tag: TAG,
        access: Access::Admins,
        summary: "The document, in the older shape",
        description: "",
        parameters: &[],
        takes: None,
        answers: &[Answer::json(
            200,
            "The document and its hash.",
            &[Form {
                media: answer::JSON,
                schema: schema::<OldConfig>(),
            }],
        )],
        handle: |asked| get_old(asked).boxed(),
    },
    Operation {
        id: "putConfigOfOld",
        method: Method::PUT,
        path: "/api/config",
        tag: TAG,
        access: Access::Admins,
        summary: "Replace the document, in the older shape",
        description: "As `PUT /aperture/config`; `hash` is that of the document that the change was made from.",
        parameters: &[],
        takes: Some(Takes {
            schema: schema::<OldChange>(),
            limit: BODY,
        }),
        answers: &[
            Answer::json(
                200,
                "The new hash.",
                &[Form {
                    media: answer::JSON,
                    schema: schema::<OldSaved>(),
                }],
            ),
            Answer::json(412, "The document has changed since.", FLAT),
            Answer::json(500, "The file can't be written.", FLAT),
        ],
        handle: |asked| put_old(asked).boxed(),
    },
];

/// The version that a change was made from.
pub(super) const MATCH: Parameter = Parameter {
    name: "If-Match",
    place: Place::RequiredHeader,
    kind: Kind::Text,
    description: "The ETag of the document that the change was made from. `*` replaces whatever is there.",
};

/// Somebody else was faster.
pub(super) const STALE: Answer = Answer {
    status: 412,
    description: "If-Match is missing, or the document has changed since: ETag is what it is now.",
    forms: PROBLEM,
    head: TAGGED,
};
/// A judgement stands against it.
pub(super) const REFUSED: Answer = Answer::json(
    422,
    "The text can't be saved: `errors` has every reason, with line and column in `location` and the key path in `value`.",
    PROBLEM,
);
/// The disk stands against it.
pub(super) const UNWRITABLE: Answer = Answer::json(
    500,
    "The file can't be written; `detail` says why and what to do.",
    PROBLEM,
);

/// The form of a document.
pub(super) const CONFIG: &[Form] = &[Form {
    media: answer::JSON,
    schema: schema::<Config>(),
}];
/// The form of a refusal.
pub(super) const PROBLEM: &[Form] = &[Form {
    media: super::problem::PROBLEM_JSON,
    schema: schema::<super::problem::Document>(),
}];
const FLAT: &[Form] = &[Form {
    media: answer::JSON,
    schema: schema::<super::problem::Flat>(),
}];
/// Header lines of an answer about a document.
pub(super) const TAGGED: &[(&str, &str)] = &[("ETag", "The document's version.")];

/// A document.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The whole text: JSON with comments and trailing commas.
    config: String,
}

/// Whether a document could be saved.
#[derive(Debug, Serialize, JsonSchema)]
struct Validity {
    /// Whether a save would be taken.
    valid: bool,
    /// Why not, each with its line and column; null = valid.
    errors: Option<Vec<String>>,
    /// What is probably not wanted, but would be taken; null = nothing.
    warnings: Option<Vec<String>>,
}

/// A document and its hash.
#[derive(Debug, Serialize, JsonSchema)]
struct OldConfig {
    /// The whole text: JSON with comments and trailing commas.
    config: String,
    /// Whether there is a file.
    exists: bool,
    /// Its version, to be sent back with a change.
    hash: String,
}

/// A changed document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OldChange {
    /// The whole text.
    config: String,
    /// The hash of the document that the change was made from.
    hash: String,
}

/// What a save has done.
#[derive(Debug, Serialize, JsonSchema)]
struct OldSaved {
    /// Always true.
    success: bool,
    /// The new version.
    hash: String,
}

async fn get(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let document = readable(asked).await?;
    Ok(tagged(document))
}

async fn put(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let expected = matched(asked).await?;
    let Config { config } = asked.json()?;
    let saved = save(asked, config, expected).await?;
    Ok(tagged(saved.document))
}

async fn validate(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let Config { config } = asked.json()?;
    let review = asked.api.editor.validate(config, author(asked)).await;
    let lines = |blocks: bool| {
        let some = review
            .problems
            .iter()
            .filter(|problem| problem.blocks == blocks);
        let lines: Vec<String> = some.map(sentence).collect();
        (!lines.is_empty()).then_some(lines)
    };
    let validity = Validity {
        valid: !review.blocked(),
        errors: lines(true),
        warnings: lines(false),
    };
    Ok(answer::json(StatusCode::OK, &validity))
}

async fn get_old(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let document = asked.api.editor.document().await;
    let answer = OldConfig {
        config: document.text,
        exists: document.exists,
        hash: document.etag.to_string(),
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

async fn put_old(asked: &Asked<'_>) -> Result<Response<Bytes>, Problem> {
    let OldChange { config, hash } = asked.json()?;
    let Some(expected) = Etag::parse(&hash) else {
        let detail = "hash is not one that GET /api/config has given";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail));
    };
    let saved = save(asked, config, expected).await?;
    let answer = OldSaved {
        success: true,
        hash: saved.document.etag.to_string(),
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

/// The document, when its file can be read.
async fn readable(asked: &Asked<'_>) -> Result<Document, Problem> {
    let document = asked.api.editor.document().await;
    match &document.failure {
        Some(failure) if !document.exists => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            failure.clone(),
        )),
        _ => Ok(document),
    }
}

/// The version that a change was made from: `If-Match` must say it.
pub(super) async fn matched(asked: &Asked<'_>) -> Result<Etag, Problem> {
    if let Some(line) = asked.header(&IF_MATCH) {
        return expected(asked, line).await;
    }
    let detail = "If-Match is missing: send the ETag of the document that the change was made from";
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, detail);
    let current = asked.api.editor.document().await.etag;
    Err(problem
        .with("header.if-match", "is required", serde_json::Value::Null)
        .line(ETAG, quoted(&current)))
}

/// The same, of a line that is there.
async fn expected(asked: &Asked<'_>, line: &str) -> Result<Etag, Problem> {
    let current = async || asked.api.editor.document().await.etag;
    if line.trim() == "*" {
        return Ok(current().await);
    }
    let mut tags = line.split(',').filter_map(Etag::parse);
    let Some(first) = tags.next() else {
        let detail =
            "If-Match is not an ETag of this document: read it again, and make the change anew";
        let problem = Problem::new(StatusCode::PRECONDITION_FAILED, detail);
        return Err(problem
            .with("header.if-match", "is none of ours", line)
            .line(ETAG, quoted(&current().await)));
    };
    let rest: Vec<Etag> = tags.collect();
    if rest.is_empty() {
        return Ok(first);
    }
    let now = current().await;
    Ok(rest.into_iter().find(|tag| *tag == now).unwrap_or(first))
}

async fn save(asked: &Asked<'_>, text: String, expected: Etag) -> Result<Saved, Problem> {
    let saving = asked
        .api
        .editor
        .save(text, expected, author(asked), asked.now);
    saving.await.map_err(|error| refusal(&error))
}

/// Who changes the document.
pub(super) fn author(asked: &Asked<'_>) -> Author {
    Author {
        caller: asked.caller.clone(),
        through: Through::Api,
    }
}

/// A refusal as a problem.
pub(super) fn refusal(error: &EditError) -> Problem {
    let status = match error {
        EditError::NotAdmin => StatusCode::FORBIDDEN,
        EditError::Stale { .. } => StatusCode::PRECONDITION_FAILED,
        EditError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        EditError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        EditError::NoVersion(_) => StatusCode::NOT_FOUND,
        EditError::Unwritable { .. } | EditError::NotInForce { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        EditError::History(_) | EditError::Ended => StatusCode::SERVICE_UNAVAILABLE,
    };
    let problem = Problem::new(status, error.to_string());
    match error {
        EditError::Stale { current } => problem
            .with(
                "header.if-match",
                "is not the present version",
                serde_json::Value::Null,
            )
            .line(ETAG, quoted(&current.etag)),
        EditError::Refused(review) => faults(problem, review),
        _ => problem,
    }
}

/// Adds everything that refuses a text.
fn faults(problem: Problem, review: &Review) -> Problem {
    let blocking = review.problems.iter().filter(|problem| problem.blocks);
    blocking.fold(problem, |problem, fault| {
        let finding = &fault.finding;
        let location = format!("body.config:{}:{}", finding.line, finding.column);
        let message = match &finding.hint {
            Some(hint) => format!("{} ({hint})", finding.message),
            None => finding.message.clone(),
        };
        problem.with(location, message, finding.path.as_str())
    })
}

/// One problem as a line: the message first, as the product has it.
fn sentence(problem: &editor::Problem) -> String {
    let finding = &problem.finding;
    let place = format!("line {}, column {}", finding.line, finding.column);
    match &finding.hint {
        Some(hint) => format!("{} ({place}: {hint})", finding.message),
        None => format!("{} ({place})", finding.message),
    }
}

/// A document with its version.
pub(super) fn tagged(document: Document) -> Response<Bytes> {
    let tag = quoted(&document.etag);
    let config = document.text;
    let mut rsp = answer::json(StatusCode::OK, &Config { config });
    set(&mut rsp, ETAG, &tag);
    rsp
}

fn quoted(etag: &Etag) -> String {
    format!("\"{etag}\"")
}

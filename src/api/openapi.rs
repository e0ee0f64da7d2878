//! `/aperture/openapi.json`: the API, described by the table that it is made of.
//!
//! Owns: the layout of the document (`OpenAPI` 3.1). In: the table. Out: JSON, made once.
//! Must not know: callers.

use super::{
    answer,
    problem::{Document, Flat, PROBLEM_JSON},
    table::{self, Access, Answer, Form, Kind, Operation, Parameter, Place, schema},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Response, StatusCode};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::{future::ready, sync::LazyLock};

/// The rows of this file.
pub(super) static OPERATIONS: &[Operation] = &[Operation {
    id: "openapi",
    method: Method::GET,
    path: "/aperture/openapi.json",
    tag: "About",
    access: Access::Everybody,
    summary: "This document",
    description: "",
    parameters: &[],
    takes: None,
    answers: &[Answer::json(
        200,
        "The document.",
        &[Form {
            media: answer::JSON,
            schema: schema::<Map<String, Value>>(),
        }],
    )],
    handle: |_| ready(Ok(tell())).boxed(),
}];

/// What the API is, in front of its operations.
const ABOUT: &str = "The configuration of this gateway, and what was used over it. Who calls is known from the tailnet: there \
    are no keys, and a request from elsewhere gets no answer. A user sees their own data and nothing else; an admin sees \
    everyone's. Requests must use one of the gateway's own names as Host, and pages of other origins are refused.";

/// Heads of sections, in order.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("Usage", "What was used, as counters."),
    ("Sessions", "Conversations and the requests in them."),
    (
        "Configuration",
        "The document, as a whole, and its history.",
    ),
    ("Prices", "What models cost."),
    ("About", "The API itself."),
];

/// What the paths of the document are below.
const BASE: &str = "/aperture";

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

fn tell() -> Response<Bytes> {
    answer::json(StatusCode::OK, &*DOCUMENT)
}

/// The document.
pub(super) fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut asks = SchemaGenerator::new(settings().for_deserialize());
    let mut tells = SchemaGenerator::new(settings().for_serialize());
    let mut paths: Map<String, Value> = Map::new();
    for operation in table::operations() {
        let item = describe(operation, &mut asks, &mut tells);
        let (path, servers) = match operation.path.strip_prefix(BASE) {
            Some(path) => (path, None),
            None => (operation.path, Some(json!([{"url": "/"}]))),
        };
        let path = paths.entry(path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = item;
        if let Some(servers) = servers {
            path["servers"] = servers;
        }
    }
    let mut schemas = tells.take_definitions(true);
    schemas.extend(asks.take_definitions(true));
    schemas.values_mut().for_each(plain);
    // No name of a tag is there for nothing.
    let used = |tag: &str| table::operations().any(|operation| operation.tag == tag);
    let tags: Vec<Value> = TAGS
        .iter()
        .filter(|(name, _)| used(name))
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Aperture API", "version": "0", "description": ABOUT},
        "servers": [{"url": BASE}],
        "tags": tags,
        // No scheme: nothing in a request says who sends it.
        "security": [],
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// Descriptions are comments of the code: in them, what refers to other code is no link here.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == "description" => {
                        *text = text.replace("[`", "`").replace("`]", "`");
                    }
                    value => plain(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Whom an operation answers, as a sentence.
pub(super) const fn whom(access: Access) -> &'static str {
    match access {
        Access::Everybody => "Everybody with a role may ask.",
        Access::Admins => "Admins only.",
        Access::Stated => "",
    }
}

/// One operation.
fn describe(
    operation: &Operation,
    asks: &mut SchemaGenerator,
    tells: &mut SchemaGenerator,
) -> Value {
    let description = format!("{} {}", operation.description, whom(operation.access));
    let parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    let mut responses: Map<String, Value> = Map::new();
    for common in common(operation) {
        responses.insert(common.status.to_string(), response(common, tells));
    }
    for answer in operation.answers {
        responses.insert(answer.status.to_string(), response(answer, tells));
    }
    let mut item = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": description.trim(),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(takes) = &operation.takes {
        let schema = (takes.schema)(asks).to_value();
        item["requestBody"] = json!({
            "required": true,
            "content": {answer::JSON: {"schema": schema}},
        });
    }
    item
}

/// The problems that an operation can have whatever it does.
fn common(operation: &Operation) -> impl Iterator<Item = &'static Answer> {
    const PROBLEM: &[Form] = &[form::<Document>(PROBLEM_JSON)];
    const FLAT: &[Form] = &[form::<Flat>(answer::JSON)];
    const EITHER: &[Form] = &[form::<Document>(PROBLEM_JSON), form::<Flat>(answer::JSON)];
    const fn form<T: schemars::JsonSchema>(media: &'static str) -> Form {
        Form {
            media,
            schema: schema::<T>(),
        }
    }
    const fn rows(forms: &'static [Form], refused: &'static [Form]) -> [Answer; 8] {
        [
            Answer::json(400, "Parameters or the body are wrong.", forms),
            Answer::json(403, "No role, or not an admin.", refused),
            Answer::json(404, "There is none, or none that is the caller's.", forms),
            Answer::json(408, "The body did not come in time.", forms),
            Answer::json(413, "The body is too large.", forms),
            Answer::json(415, "The body is not application/json.", forms),
            Answer::json(422, "The body does not fit its schema.", forms),
            Answer::json(503, "The store does not answer.", forms),
        ]
    }
    static BELOW: [Answer; 8] = rows(PROBLEM, EITHER);
    static OLD: [Answer; 8] = rows(FLAT, FLAT);
    let rows = if operation.path.starts_with(BASE) {
        &BELOW
    } else {
        &OLD
    };
    let takes = operation.takes.is_some();
    let asked = |place| operation.parameters.iter().any(|p| p.place == place);
    let varies = asked(Place::Path);
    rows.iter().filter(move |answer| match answer.status {
        404 => varies,
        408 | 413 | 415 | 422 => takes,
        _ => true,
    })
}

fn response(answer: &Answer, tells: &mut SchemaGenerator) -> Value {
    let mut rsp = json!({"description": answer.description});
    if !answer.forms.is_empty() {
        let forms = answer.forms.iter().map(|form| {
            let schema = (form.schema)(tells).to_value();
            (form.media.to_owned(), json!({"schema": schema}))
        });
        rsp["content"] = Value::Object(forms.collect());
    }
    if !answer.head.is_empty() {
        let lines = answer.head.iter().map(|(name, description)| {
            let line = json!({"description": description, "schema": {"type": "string"}});
            ((*name).to_owned(), line)
        });
        rsp["headers"] = Value::Object(lines.collect());
    }
    rsp
}

fn parameter(parameter: &Parameter) -> Value {
    let (place, required) = match parameter.place {
        Place::Path | Place::Rest => ("path", true),
        Place::Query => ("query", false),
        Place::RequiredHeader => ("header", true),
        Place::Header => ("header", false),
    };
    let mut row = json!({
        "name": parameter.name,
        "in": place,
        "required": required,
        "description": parameter.description,
        "schema": parameter.kind.schema(),
    });
    if matches!(parameter.kind, Kind::SomeOf(_)) {
        row["explode"] = false.into();
    }
    row
}

impl Kind {
    /// Its schema.
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::OneOf(words) => json!({"type": "string", "enum": words}),
            Self::SomeOf(words) => {
                json!({"type": "array", "items": {"type": "string", "enum": words}})
            }
            Self::Time => {
                json!({"type": "string", "examples": ["2026-01-31", "2026-01-31T08:00:00Z"]})
            }
            Self::Number {
                least,
                most,
                default,
            } => {
                json!({"type": "integer", "minimum": least, "maximum": most, "default": default})
            }
            Self::Cursor => json!({"type": "string", "minLength": 1}),
            Self::RequestId => json!({"type": "string", "pattern": "^req_[0-9a-f]{32}$"}),
            Self::SessionId => json!({"type": "string", "pattern": "^ses_[0-9a-f]{32}$"}),
            Self::Version => json!({"type": "integer", "minimum": 1}),
        }
    }
}

//! What the API says when it does not do what was asked: a problem document (RFC 9457).
//!
//! Owns: [`Problem`] and its two forms on the wire. In: a status, a sentence, and what exactly is wrong. Out: a response:
//! `application/problem+json` below `/aperture`, the flat `{"error": …}` of old below `/api`.
//! Must not know: operations, the store.

use super::answer::{self, set};
use bytes::Bytes;
use http::{HeaderName, Response, StatusCode, header::CONTENT_TYPE};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Characters of what a caller sent that a problem repeats.
const TOLD: usize = 200;

/// The media type of problem documents.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why an operation was not done. Its sentence is for the caller: nothing secret goes into it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<Fault>,
    head: Vec<(HeaderName, String)>,
}

/// A problem document.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document {
    /// What kind of problem it is; `about:blank` = the status says it all.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened, and what to do about it.
    detail: String,
    /// The path that was asked.
    instance: String,
    /// Everything that is wrong with the request, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ProblemError")]
pub(super) struct Fault {
    /// Where: `query.from`, `path.session`, `body`, or a place in the document that was sent.
    location: String,
    /// What is wrong, and what is allowed.
    message: String,
    /// What was sent there, cut; null when that may not be repeated.
    value: Value,
}

/// What `/api` answers instead, and every path to those who have no role.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(super) struct Flat {
    /// What happened.
    error: String,
}

// === impl Problem ===

impl Problem {
    /// A problem of that status.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            head: Vec::new(),
        }
    }

    /// There is no such thing, or none that is the caller's: the same words on purpose.
    pub(super) fn not_found() -> Self {
        let detail = "there is nothing here, or nothing that is yours";
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Adds one thing that is wrong, where it stands, and what stood there.
    pub(super) fn with(
        mut self,
        location: impl Into<String>,
        message: impl Into<String>,
        value: impl Into<Value>,
    ) -> Self {
        self.errors.push(Fault {
            location: location.into(),
            message: message.into(),
            value: cut(value.into()),
        });
        self
    }

    /// Adds a header line to the answer.
    pub(super) fn line(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.head.push((name, value.into()));
        self
    }

    /// The answer to a request for `path`.
    pub(super) fn response(self, path: &str) -> Response<Bytes> {
        let mut rsp = if path.starts_with("/api/") {
            answer::json(self.status, &Flat { error: self.detail })
        } else {
            let document = Document {
                r#type: "about:blank",
                title: self.status.canonical_reason().unwrap_or("Problem"),
                status: self.status.as_u16(),
                detail: self.detail,
                instance: path.chars().take(TOLD).collect(),
                errors: self.errors,
            };
            let mut rsp = answer::json(self.status, &document);
            set(&mut rsp, CONTENT_TYPE, PROBLEM_JSON);
            rsp
        };
        for (name, value) in self.head {
            set(&mut rsp, name, &value);
        }
        rsp
    }
}

/// What was sent, without its length.
fn cut(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().nth(TOLD).is_some() => {
            let head: String = text.chars().take(TOLD).collect();
            format!("{head}…").into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(rsp: &Response<Bytes>) -> Value {
        serde_json::from_slice(rsp.body()).unwrap()
    }

    #[test]
    fn a_problem_says_what_where_and_what_was_sent() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "one parameter is wrong").with(
            "query.from",
            "must be a time",
            "x".repeat(1000),
        );
        let rsp = problem.response("/aperture/usage");
        assert_eq!(rsp.status(), StatusCode::BAD_REQUEST);
        assert_eq!(rsp.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(
            body(&rsp),
            json!({
                "type": "about:blank", "title": "Bad Request", "status": 400, "detail": "one parameter is wrong",
                "instance": "/aperture/usage",
                "errors": [{
                    "location": "query.from", "message": "must be a time", "value": format!("{}…", "x".repeat(TOLD)),
                }],
            })
        );
    }

    #[test]
    fn paths_of_old_get_the_flat_form() {
        let rsp = Problem::new(StatusCode::FORBIDDEN, "access denied").response("/api/config");
        assert_eq!(rsp.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body(&rsp), json!({"error": "access denied"}));
    }
}

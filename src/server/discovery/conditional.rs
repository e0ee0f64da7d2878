//! Answers that clients may keep and ask about again.
//!
//! Owns: the entity tag of a JSON body, and `304 Not Modified`. In: a request's head, a body. Out: a response. Nothing may be
//! kept for others or used without asking: grants change. Must not know: what the body says.

use crate::proxy::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde_json::Value;

/// Bytes of a body's hash that make its tag.
const TAG: usize = 16;

/// The body, or word that the client has it; `vary` are the head lines that choose among several bodies of the path.
pub(super) fn json(parts: &Parts, value: &Value, vary: Option<&'static str>) -> Response<Body> {
    let body = value.to_string();
    let hash = blake3::hash(body.as_bytes()).to_hex();
    let tag = format!("\"{}\"", &hash[..TAG * 2]);
    let known = has(&parts.headers, &tag);
    let body = if known { Bytes::new() } else { body.into() };
    let mut response = Response::new(Body::Whole(Full::new(body)));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let head = response.headers_mut();
    if !known {
        let kind = HeaderValue::from_static("application/json");
        head.insert(header::CONTENT_TYPE, kind);
    }
    let tag = HeaderValue::try_from(tag).expect("hex in quotes");
    head.insert(header::ETAG, tag);
    let keep = HeaderValue::from_static("private, no-cache");
    head.insert(header::CACHE_CONTROL, keep);
    if let Some(vary) = vary {
        head.insert(header::VARY, HeaderValue::from_static(vary));
    }
    response
}

/// Whether the client says that it has the body with that tag.
fn has(head: &HeaderMap, tag: &str) -> bool {
    head.get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

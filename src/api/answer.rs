//! Answers of the API, and the header lines that all of them carry.
//!
//! In: a status and what to say. Out: a response that no cache keeps and no page of another origin can read.
//! Must not know: what is said.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

/// The media type of everything that is not a table or a problem.
pub(super) const JSON: &str = "application/json";

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    let text = serde_json::to_vec(value).expect("invariant: our own values have text keys only");
    let mut rsp = Response::new(Bytes::from(text));
    *rsp.status_mut() = status;
    set(&mut rsp, CONTENT_TYPE, JSON);
    rsp
}

/// The lines that every answer carries: it is private, and nothing that a browser would run.
pub(super) fn secure(rsp: &mut Response<Bytes>) {
    set(rsp, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(rsp, REFERRER_POLICY, "no-referrer");
    let resources = HeaderName::from_static("cross-origin-resource-policy");
    set(rsp, resources, "same-origin");
    if !rsp.headers().contains_key(CACHE_CONTROL) {
        set(rsp, CACHE_CONTROL, "no-store");
    }
}

/// Sets a header line; what can't stand in one is left out.
pub(super) fn set(rsp: &mut Response<Bytes>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        rsp.headers_mut().insert(name, value);
    }
}

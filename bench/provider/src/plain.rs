//! A reply in one piece, of services that are no models: stored things, clouds.
//!
//! Comes in: a status and a body. Goes out: the same with its headers, for a
//! plan. Knows no scripts.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use crate::json::Json;

/// A reply in one piece.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Plain {
    /// A body of that type.
    pub(crate) fn new(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind);
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// Success, in JSON.
    pub(crate) fn json(body: Json) -> Self {
        Self::with_status(StatusCode::OK, body)
    }

    /// That status, in JSON.
    pub(crate) fn with_status(status: StatusCode, body: Json) -> Self {
        let kind = HeaderValue::from_static("application/json");
        Self::new(status, kind, body.into_string())
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        let value = HeaderValue::from_static(value);
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }
}

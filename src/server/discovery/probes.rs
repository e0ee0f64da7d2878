//! Paths that clients feel around on, and what they are told.
//!
//! Owns: the one table of them, which docs/endpoints.md repeats. In: a method and a path. Out: an answer that lets the client go
//! on. None of these makes a record, starts a session or reaches a provider. Must not know: callers, models.

use crate::{
    endpoint::Dialect,
    proxy::{body::Body, error::Failure},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use std::time::Duration;

/// Bytes of a dropped body that are read, and how long: a client that is cut off while it sends may call that a failure.
const DISCARDED: usize = 4 << 20;
const DISCARDING: Duration = Duration::from_secs(5);

/// One path.
#[derive(Debug)]
pub(in crate::server) struct Probe {
    pub(super) methods: &'static [Method],
    pub(super) path: &'static str,
    pub(super) answer: Answer,
    /// Who asks, and why that answer is enough.
    pub(super) note: &'static str,
}

/// What is answered to those who have a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200 with nothing.
    Here,
    /// To the pages.
    Pages,
    /// 200 for telemetry, which is dropped.
    Dropped,
    /// 404 in the words of the dialect, or in the gateway's own.
    NotFound(Option<Dialect>),
}

const fn probe(
    methods: &'static [Method],
    path: &'static str,
    answer: Answer,
    note: &'static str,
) -> Probe {
    Probe {
        methods,
        path,
        answer,
        note,
    }
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const BEDROCK: Answer = Answer::NotFound(Some(Dialect::BedrockConverse));
const NONE: Answer = Answer::NotFound(None);

/// The table.
pub(super) const PROBES: &[Probe] = &[
    probe(
        &[Method::HEAD],
        "/",
        Answer::Here,
        "agents ask whether there is somebody",
    ),
    probe(&[Method::GET], "/", Answer::Pages, "people type the name"),
    probe(
        READ,
        "/api/hello",
        Answer::Here,
        "Claude Code, before its first request",
    ),
    probe(
        POST,
        "/v1/metrics",
        Answer::Dropped,
        "telemetry (OTLP) of agents whose exporter is pointed here; counted, then dropped",
    ),
    probe(POST, "/v1/logs", Answer::Dropped, "the same"),
    probe(POST, "/v1/traces", Answer::Dropped, "the same"),
    probe(
        POST,
        "/api/event_logging/batch",
        Answer::Dropped,
        "Claude Code's own telemetry; counted, then dropped",
    ),
    probe(
        READ,
        "/bedrock/inference-profiles",
        BEDROCK,
        "Claude Code on Bedrock; without profiles it goes by its model's name",
    ),
    probe(
        READ,
        "/bedrock/foundation-models",
        BEDROCK,
        "boto3's `bedrock` client: the control plane is not offered",
    ),
    probe(
        READ,
        "/inference-profiles",
        BEDROCK,
        "the same, for a base URL without `/bedrock`",
    ),
    probe(READ, "/foundation-models", BEDROCK, "the same"),
    probe(
        READ,
        "/.well-known/oauth-authorization-server",
        NONE,
        "logins of gateways: here the tailnet says who calls",
    ),
    probe(
        READ,
        "/managed/settings",
        NONE,
        "Claude Code, for settings that an organisation prescribes: there are none",
    ),
    probe(
        READ,
        "/protocol",
        NONE,
        "the contract of Anthropic's own gateway",
    ),
];

/// The row of a method and a path.
pub(super) fn find(method: &Method, path: &str) -> Option<&'static Probe> {
    PROBES
        .iter()
        .find(|probe| probe.path == path && probe.methods.contains(method))
}

impl Probe {
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self.answer {
            Answer::NotFound(dialect) => dialect,
            Answer::Here | Answer::Pages | Answer::Dropped => None,
        }
    }

    /// The answer to somebody who has a role.
    pub(super) fn answer(&self, parts: &Parts) -> Result<Response<Body>, Failure> {
        let mut response = Response::new(Body::Whole(Full::new(Bytes::new())));
        match self.answer {
            Answer::Here => {}
            Answer::Pages => {
                *response.status_mut() = StatusCode::FOUND;
                let pages = HeaderValue::from_static("/ui/");
                response.headers_mut().insert(header::LOCATION, pages);
            }
            Answer::Dropped => {
                // Nothing is a whole answer in protobuf; in JSON it is an empty object.
                let protobuf = HeaderValue::from_static("application/x-protobuf");
                let asked = parts.headers.get(header::CONTENT_TYPE);
                let kind = if asked == Some(&protobuf) {
                    protobuf
                } else {
                    *response.body_mut() = Body::Whole(Full::new(Bytes::from_static(b"{}")));
                    HeaderValue::from_static("application/json")
                };
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            Answer::NotFound(_) => return Err(Failure::NoEndpoint(self.path.to_owned())),
        }
        Ok(response)
    }
}

/// Reads a body that nobody wants, within limits.
pub(in crate::server) async fn discard(mut body: Incoming) {
    let read = async {
        let mut left = DISCARDED;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(size) else {
                return;
            };
            left = rest;
        }
    };
    // What does not come in time is not waited for: the connection ends with the answer.
    let _ = tokio::time::timeout(DISCARDING, read).await;
}

//! Every way in which a request can fail in the gateway, and what the client gets for it.
//!
//! Owns: [`Failure`] and the one exhaustive table from it to status, words, retry hints, log level and metric. In: a
//! failure of any stage. Out: a response in the dialect of the caller.
//! Must not know: how the failure came about. A provider's own error responses never come here: they pass unchanged.
#![deny(clippy::wildcard_enum_match_arm)]

mod envelope;

use crate::{
    endpoint::Dialect,
    identity::Unidentified,
    policy::Denied,
    record::{Record, RequestId},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tracing::Level;

/// Why the gateway did not deliver a provider's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer is nobody that the tailnet knows.
    Unidentified(Unidentified),
    /// The caller may not do this.
    Denied(Denied),
    /// A page of another site made the request.
    ForeignOrigin,
    /// The path is no endpoint of this gateway.
    NoEndpoint(String),
    /// The route is known and not offered.
    NotOffered(String),
    /// An object that the request names is not the caller's own.
    NotYours(String),
    /// The endpoint has another method.
    WrongMethod,
    /// A WebSocket upgrade: not offered, clients fall back to HTTP at once.
    WebSocket,
    /// The body is not what the endpoint takes.
    BadRequest(String),
    /// The body is larger than the limit, in bytes.
    BodyTooLarge(u64),
    /// The client stopped sending its body.
    BodyStalled,
    /// The client left before its body was whole.
    BodyBroken,
    /// The head is larger than the limit, in bytes.
    HeadTooLarge(usize),
    /// The provider's credential is not there (`env:` or `file:` without a value).
    NoCredential {
        /// The provider's id.
        provider: String,
        /// What is missing.
        missing: String,
    },
    /// The provider's credential can't be minted, or the request not be signed with it.
    NotPaid {
        /// The provider's id.
        provider: String,
        /// Why, in words that are fit for clients.
        cause: String,
        /// The same in full, for the log and administrators.
        detail: String,
        /// Whether it may work in a moment.
        passing: bool,
    },
    /// No connection to the provider.
    Unreachable {
        /// The provider's id.
        provider: String,
        /// What happened, for the log and administrators.
        detail: String,
    },
    /// The provider broke off before its response head.
    Broken {
        /// The provider's id.
        provider: String,
        /// What happened, for the log and administrators.
        detail: String,
    },
    /// The provider sent no response head in time.
    Timeout {
        /// The provider's id.
        provider: String,
        /// Seconds waited.
        seconds: u64,
    },
    /// The gateway is stopping.
    Draining,
    /// A mistake of ours.
    Internal(&'static str),
}

/// What a failure looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// HTTP status.
    pub status: StatusCode,
    /// The word in records, metrics and logs.
    pub reason: &'static str,
    /// Error type of the Anthropic dialect.
    pub anthropic: &'static str,
    /// Error code of the `OpenAI` dialects.
    pub openai: &'static str,
    /// The sentence for the client.
    pub message: String,
    /// Whether sending the same request again may help.
    pub retry: bool,
    /// Where it is logged.
    pub level: Level,
}

impl Failure {
    /// The table.
    #[expect(
        clippy::too_many_lines,
        reason = "one row for each failure: the table is the point"
    )]
    pub fn facts(&self) -> Facts {
        let row = |status, reason, anthropic, openai, message: String, retry, level| Facts {
            status,
            reason,
            anthropic,
            openai,
            message,
            retry,
            level,
        };
        match self {
            Self::Unidentified(why) => row(
                StatusCode::FORBIDDEN,
                "unidentified",
                "permission_error",
                "access_denied",
                match why {
                    Unidentified::UnknownPeer | Unidentified::Nobody | Unidentified::Reassigned => {
                        "access denied: this device is not a known user or tag of the tailnet".to_owned()
                    }
                    Unidentified::Expired => {
                        "access denied: this device's key has expired; log in to the tailnet again".to_owned()
                    }
                    Unidentified::Failed(_) => {
                        "access denied: the tailnet could not say who you are; try again".to_owned()
                    }
                },
                matches!(why, Unidentified::Failed(_)),
                Level::WARN,
            ),
            Self::Denied(why) => {
                let message = match why {
                    Denied::NoRole | Denied::AdminsOnly => why.to_string(),
                    Denied::NoModel { nearest, .. } if nearest.is_empty() => why.to_string(),
                    Denied::NoModel { nearest, .. } => format!("{why}; you may use {}", nearest.join(", ")),
                    Denied::WrongEndpoint { instead, .. } => format!("{why}; use {}", instead.join(" or ")),
                };
                match why {
                    Denied::NoRole => row(
                        StatusCode::FORBIDDEN,
                        "no_role",
                        "permission_error",
                        "access_denied",
                        message,
                        false,
                        Level::INFO,
                    ),
                    Denied::AdminsOnly => row(
                        StatusCode::FORBIDDEN,
                        "admins_only",
                        "permission_error",
                        "access_denied",
                        message,
                        false,
                        Level::INFO,
                    ),
                    Denied::NoModel { .. } => row(
                        StatusCode::NOT_FOUND,
                        "no_model",
                        "not_found_error",
                        "model_not_found",
                        message,
                        false,
                        Level::INFO,
                    ),
                    Denied::WrongEndpoint { .. } => row(
                        StatusCode::NOT_FOUND,
                        "wrong_endpoint",
                        "not_found_error",
                        "model_not_found",
                        message,
                        false,
                        Level::INFO,
                    ),
                }
            }
            Self::ForeignOrigin => row(
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "permission_error",
                "access_denied",
                "access denied: web pages of other sites may not call this gateway (gateway.cors.origins lists exceptions)".into(),
                false,
                Level::WARN,
            ),
            Self::NoEndpoint(path) => row(
                StatusCode::NOT_FOUND,
                "no_endpoint",
                "not_found_error",
                "unknown_url",
                format!("{path} is not an endpoint of this gateway"),
                false,
                Level::DEBUG,
            ),
            Self::NotOffered(path) => row(
                StatusCode::NOT_FOUND,
                "not_offered",
                "not_found_error",
                "unknown_url",
                format!("{path} is not offered by this gateway"),
                false,
                Level::INFO,
            ),
            Self::NotYours(id) => row(
                StatusCode::NOT_FOUND,
                "not_yours",
                "not_found_error",
                "not_found",
                format!("{id} not found"),
                false,
                Level::INFO,
            ),
            Self::WrongMethod => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong_method",
                "invalid_request_error",
                "method_not_allowed",
                "this endpoint takes POST".into(),
                false,
                Level::DEBUG,
            ),
            Self::WebSocket => row(
                StatusCode::UPGRADE_REQUIRED,
                "websocket",
                "invalid_request_error",
                "websocket_not_supported",
                "this gateway does not speak WebSocket: send the request as HTTP POST".into(),
                false,
                Level::DEBUG,
            ),
            Self::BadRequest(what) => row(
                StatusCode::BAD_REQUEST,
                "bad_request",
                "invalid_request_error",
                "invalid_request",
                what.clone(),
                false,
                Level::INFO,
            ),
            Self::BodyTooLarge(limit) => row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "request_too_large",
                "request_too_large",
                format!("the request body is larger than {limit} bytes (gateway.limits.request_body_bytes)"),
                false,
                Level::INFO,
            ),
            Self::BodyStalled => row(
                StatusCode::REQUEST_TIMEOUT,
                "body_stalled",
                "timeout_error",
                "request_timeout",
                "the request body did not arrive in time".into(),
                true,
                Level::INFO,
            ),
            Self::BodyBroken => row(
                StatusCode::BAD_REQUEST,
                "body_broken",
                "invalid_request_error",
                "invalid_request",
                "the request body broke off".into(),
                true,
                Level::DEBUG,
            ),
            Self::HeadTooLarge(limit) => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "invalid_request_error",
                "head_too_large",
                format!("the request's head is larger than {limit} bytes (gateway.limits.head_bytes)"),
                false,
                Level::INFO,
            ),
            Self::NoCredential { provider, .. } => row(
                StatusCode::BAD_GATEWAY,
                "no_credential",
                "api_error",
                "provider_not_configured",
                format!("provider {provider} has no usable credential: ask the administrator of this gateway"),
                false,
                Level::ERROR,
            ),
            Self::NotPaid {
                provider,
                cause,
                passing,
                ..
            } => row(
                StatusCode::BAD_GATEWAY,
                "not_paid",
                "api_error",
                "provider_credential_failed",
                format!("the credential for provider {provider} can't be had: {cause}"),
                *passing,
                Level::WARN,
            ),
            Self::Unreachable { provider, .. } => row(
                StatusCode::BAD_GATEWAY,
                "unreachable",
                "api_error",
                "provider_unreachable",
                format!("provider {provider} could not be reached"),
                true,
                Level::WARN,
            ),
            Self::Broken { provider, .. } => row(
                StatusCode::BAD_GATEWAY,
                "broken",
                "api_error",
                "provider_broke_off",
                format!("provider {provider} closed the connection without a response"),
                true,
                Level::WARN,
            ),
            Self::Timeout { provider, seconds } => row(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "timeout_error",
                "provider_timeout",
                format!("provider {provider} sent no response within {seconds} s"),
                true,
                Level::WARN,
            ),
            Self::Draining => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "draining",
                "api_error",
                "restarting",
                "aperture is restarting, retry this request".into(),
                true,
                Level::DEBUG,
            ),
            Self::Internal(what) => row(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "api_error",
                "internal_error",
                format!("the gateway made a mistake ({what}); its log has more"),
                true,
                Level::ERROR,
            ),
        }
    }

    /// One of each, with invented particulars: for documents and tests.
    pub fn examples() -> Vec<Self> {
        let provider = || "acme".to_owned();
        let detail = || "tcp: refused by 10.1.2.3".to_owned();
        let model = || "gpt-9".to_owned();
        vec![
            Self::Unidentified(Unidentified::UnknownPeer),
            Self::Unidentified(Unidentified::Nobody),
            Self::Unidentified(Unidentified::Expired),
            Self::Unidentified(Unidentified::Reassigned),
            Self::Unidentified(Unidentified::Failed(detail())),
            Self::Denied(Denied::NoRole),
            Self::Denied(Denied::AdminsOnly),
            Self::Denied(Denied::NoModel {
                model: model(),
                nearest: Vec::new(),
            }),
            Self::Denied(Denied::NoModel {
                model: model(),
                nearest: vec!["gpt-5".into(), "gpt-4o".into()],
            }),
            Self::Denied(Denied::WrongEndpoint {
                model: "gpt-5".into(),
                endpoint: "anthropic_messages",
                instead: vec!["/v1/responses"],
            }),
            Self::ForeignOrigin,
            Self::NoEndpoint("/v1/other".into()),
            Self::NotOffered("/v1/images/generations".into()),
            Self::NotYours("resp_68a1".into()),
            Self::WrongMethod,
            Self::WebSocket,
            Self::BadRequest("the body is not a JSON object".into()),
            Self::BodyTooLarge(1024),
            Self::BodyStalled,
            Self::BodyBroken,
            Self::HeadTooLarge(1024),
            Self::NoCredential {
                provider: provider(),
                missing: "environment variable ACME_API_KEY".into(),
            },
            Self::NotPaid {
                provider: provider(),
                cause: "its token endpoint refused with 400 (invalid_grant)".into(),
                detail: detail(),
                passing: false,
            },
            Self::NotPaid {
                provider: provider(),
                cause: "its token endpoint gave no answer within 10 s".into(),
                detail: detail(),
                passing: true,
            },
            Self::Unreachable {
                provider: provider(),
                detail: detail(),
            },
            Self::Broken {
                provider: provider(),
                detail: detail(),
            },
            Self::Timeout {
                provider: provider(),
                seconds: 30,
            },
            Self::Draining,
            Self::Internal("an example"),
        ]
    }

    /// What administrators need to know beyond the public sentence.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Unreachable { detail, .. }
            | Self::Broken { detail, .. }
            | Self::NotPaid { detail, .. }
            | Self::Unidentified(Unidentified::Failed(detail)) => Some(detail),
            Self::NoCredential { missing, .. } => Some(missing),
            Self::Unidentified(
                Unidentified::UnknownPeer
                | Unidentified::Nobody
                | Unidentified::Expired
                | Unidentified::Reassigned,
            )
            | Self::Denied(_)
            | Self::ForeignOrigin
            | Self::NoEndpoint(_)
            | Self::NotOffered(_)
            | Self::NotYours(_)
            | Self::WrongMethod
            | Self::WebSocket
            | Self::BadRequest(_)
            | Self::BodyTooLarge(_)
            | Self::BodyStalled
            | Self::BodyBroken
            | Self::HeadTooLarge(_)
            | Self::Timeout { .. }
            | Self::Draining
            | Self::Internal(_) => None,
        }
    }

    /// The response, in the words of a dialect; without one, the flat body of the gateway's own paths.
    pub fn response(&self, dialect: Option<Dialect>, id: RequestId) -> Response<Bytes> {
        let facts = self.facts();
        let body = envelope::body(&facts, dialect, id);
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = facts.status;
        let head = response.headers_mut();
        head.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if matches!(
            dialect,
            Some(Dialect::BedrockModelInvoke | Dialect::BedrockConverse)
        ) {
            head.insert(
                envelope::AWS_ERROR_TYPE,
                HeaderValue::from_static(envelope::aws_error_type(facts.status)),
            );
        }
        if !facts.retry {
            head.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        match self {
            Self::Draining => {
                head.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                head.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::WrongMethod => {
                head.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            Self::BodyTooLarge(_)
            | Self::BodyStalled
            | Self::BodyBroken
            | Self::HeadTooLarge(_) => {
                // The rest of the body is still on its way: the connection can't carry another request.
                head.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Unidentified(_)
            | Self::Denied(_)
            | Self::ForeignOrigin
            | Self::NoEndpoint(_)
            | Self::NotOffered(_)
            | Self::NotYours(_)
            | Self::WebSocket
            | Self::BadRequest(_)
            | Self::NoCredential { .. }
            | Self::NotPaid { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::Internal(_) => {}
        }
        response
    }
}

/// docs/errors.md.
pub fn render_markdown() -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# Answers of the gateway itself\n\nGenerated from the code (`aperture docs --write`). A provider's own errors are \
         not here: they pass unchanged, status, head and body. Bodies have the shape of the endpoint's dialect:\n\n\
         | dialect | body |\n| --- | --- |\n\
         | Anthropic messages, also on Vertex AI | `{\"type\":\"error\",\"error\":{\"type\",\"message\"},\"request_id\"}` |\n\
         | OpenAI chat, responses | `{\"error\":{\"message\",\"type\",\"param\",\"code\"}}` |\n\
         | Gemini, also on Vertex AI | `{\"error\":{\"code\",\"message\",\"status\"}}` |\n\
         | Bedrock | `{\"message\"}`, and the name in the head line `x-amzn-errortype` |\n\
         | pages and APIs | `{\"error\":\"message\"}` |\n\n\
         Failures that another try can't mend carry `x-should-retry: false`.\n\n\
         | reason | status | Anthropic type | OpenAI code | Google status | Bedrock exception | words | try again |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for failure in Failure::examples() {
        let facts = failure.facts();
        let _ = writeln!(
            text,
            "| `{}` | {} | `{}` | `{}` | `{}` | `{}` | {} | {} |",
            facts.reason,
            facts.status.as_u16(),
            facts.anthropic,
            facts.openai,
            envelope::google_status(facts.status),
            envelope::aws_error_type(facts.status),
            facts.message,
            if facts.retry { "yes" } else { "no" },
        );
    }
    text
}

/// Logs a failure, once, where it is answered: no bodies, no keys, no addresses.
pub(super) fn log(failure: &Failure, record: &Record) {
    let facts = failure.facts();
    let (request, login) = (record.id, &record.who.login);
    let (reason, message) = (facts.reason, &facts.message);
    let model = record.model_asked.as_deref().unwrap_or("");
    let detail = failure.detail().unwrap_or("");
    match facts.level {
        Level::ERROR => {
            tracing::error!(%request, login, model, reason, detail, "request failed: {message}");
        }
        Level::WARN => {
            tracing::warn!(%request, login, model, reason, detail, "request failed: {message}");
        }
        Level::INFO => tracing::info!(%request, login, model, reason, "request refused: {message}"),
        _ => tracing::debug!(%request, login, reason, "request refused: {message}"),
    }
}

#[cfg(test)]
mod tests;

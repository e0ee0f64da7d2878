//! The body of a failure in the words of each dialect.
//!
//! Owns: [`body`] and the tables from a status to the names that Google's and Amazon's clients expect beside it. In: what a
//! failure looks like from outside. Out: the JSON text, and for Bedrock the name that stands in a head line.
//! Must not know: how a failure came about.

use super::Facts;
use crate::{endpoint::Dialect, record::RequestId};
use http::StatusCode;

/// The head line in which Bedrock's clients look for the kind of an error.
pub(super) const AWS_ERROR_TYPE: &str = "x-amzn-errortype";

/// The body, in the words of a dialect; without one, the flat body of the gateway's own paths.
pub(super) fn body(facts: &Facts, dialect: Option<Dialect>, id: RequestId) -> String {
    let message = serde_json::Value::from(facts.message.as_str());
    match dialect {
        // Claude on Vertex AI: its clients are Anthropic's.
        Some(Dialect::AnthropicMessages | Dialect::GoogleRawPredict) => format!(
            r#"{{"type":"error","error":{{"type":"{}","message":{message}}},"request_id":"{id}"}}"#,
            facts.anthropic,
        ),
        Some(Dialect::OpenaiChat | Dialect::OpenaiResponses) => format!(
            r#"{{"error":{{"message":{message},"type":"{}","param":null,"code":"{}"}}}}"#,
            openai_type(facts.status),
            facts.openai,
        ),
        Some(Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent) => format!(
            r#"{{"error":{{"code":{},"message":{message},"status":"{}"}}}}"#,
            facts.status.as_u16(),
            google_status(facts.status),
        ),
        Some(Dialect::BedrockModelInvoke | Dialect::BedrockConverse) => {
            format!(r#"{{"message":{message}}}"#)
        }
        None => format!(r#"{{"error":{message}}}"#),
    }
}

/// The `type` that `OpenAI` clients expect beside a status.
fn openai_type(status: StatusCode) -> &'static str {
    if status.is_server_error() {
        "server_error"
    } else {
        "invalid_request_error"
    }
}

/// The `status` that Google's clients expect beside an HTTP status.
pub(super) fn google_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::UPGRADE_REQUIRED => "UNIMPLEMENTED",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
        StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        status if status.is_server_error() => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

/// The exception that Amazon's clients expect beside a status.
pub(super) fn aws_error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "AccessDeniedException",
        StatusCode::NOT_FOUND => "ResourceNotFoundException",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "ModelTimeoutException",
        StatusCode::TOO_MANY_REQUESTS => "ThrottlingException",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableException",
        status if status.is_server_error() => "InternalServerException",
        _ => "ValidationException",
    }
}

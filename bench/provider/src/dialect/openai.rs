//! What both `OpenAI` dialects share: envelopes of errors, figures, tools.

use serde_json::Value;

use super::Failure;
use crate::conversation::{Offered, ToolKind};
use crate::json::{Json, Object, object};
use crate::tokens::Usage;

/// When every reply was created: replies are the same bytes on every run.
pub(super) use crate::models::CREATED;

pub(super) const REQUEST_ID: Option<&str> = Some("x-request-id");

pub(super) const HEADERS: &[(&str, &str)] = &[
    ("openai-processing-ms", "5"),
    ("openai-version", "2020-10-01"),
    ("openai-organization", "org-scripted"),
    ("x-ratelimit-limit-requests", "500"),
    ("x-ratelimit-remaining-requests", "499"),
    ("x-ratelimit-reset-requests", "120ms"),
    ("x-ratelimit-limit-tokens", "30000"),
    ("x-ratelimit-remaining-tokens", "29999"),
    ("x-ratelimit-reset-tokens", "2ms"),
];

pub(super) fn failure(failure: &Failure<'_>) -> Json {
    let kind = failure.kind.unwrap_or(match failure.status {
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    });
    let code = failure.code.or(match failure.status {
        401 => Some("invalid_api_key"),
        404 => Some("model_not_found"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    });
    let param = code
        .filter(|code| *code == "previous_response_not_found")
        .map(|_| "previous_response_id");
    let error = object! {"message": failure.message, "type": kind, "param": param, "code": code};
    object! {"error": error}
}

/// Prompt figures beside the total; writes only when there are any.
pub(super) fn prompt_details(usage: &Usage) -> Object {
    let written = usage.cache_write + usage.cache_write_long;
    let lifetimes = (written > 0).then(|| {
        object! {
            "ttl_30m_tokens": usage.cache_write, "ttl_12h_tokens": usage.cache_write_long,
        }
    });
    Object::new()
        .field("cached_tokens", &usage.cache_read)
        .field_if("cache_write_tokens", (written > 0).then_some(&written))
        .field_if("cache_write_tokens_details", lifetimes.as_ref())
}

/// The tools that one entry of a request's tool list offers.
pub(super) fn offered(tool: &Value, namespace: Option<&str>, found: &mut Vec<Offered>) {
    // Chat wraps a function's facts in a field of the tool's own kind.
    let facts = match tool["type"].as_str() {
        Some("function") if tool["function"].is_object() => &tool["function"],
        Some("custom") if tool["custom"].is_object() => &tool["custom"],
        _ => tool,
    };
    let kind = match tool["type"].as_str() {
        Some("namespace") => {
            for nested in crate::conversation::items(&tool["tools"]) {
                offered(nested, tool["name"].as_str(), found);
            }
            return;
        }
        Some("custom") => ToolKind::Custom,
        Some("local_shell") => ToolKind::LocalShell,
        _ => ToolKind::Function,
    };
    let name = facts["name"].as_str().or(match kind {
        ToolKind::LocalShell => Some("local_shell"),
        ToolKind::Function | ToolKind::Custom => None,
    });
    found.extend(name.map(|name| Offered {
        name: name.to_owned(),
        kind,
        namespace: namespace.map(str::to_owned),
        schema: facts["parameters"].clone(),
    }));
}

/// Whether the prompt ends in a role that gives orders rather than asks.
pub(super) fn is_system(role: Option<&str>) -> bool {
    matches!(role, Some("system" | "developer"))
}

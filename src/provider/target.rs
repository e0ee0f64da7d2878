//! The upstream URL of a request.
//!
//! Owns: how a provider's base and the client's path are joined. The version segment appears once, whichever side wrote
//! it: the doubled `/v1/v1` is the most common set-up mistake of such gateways. Beyond that, and beyond what Vertex AI leaves to
//! the gateway (placeholders of project and region, Gemini CLI's short paths), a path is sent as it was written.

use crate::{
    config::Provider,
    endpoint::{Dialect, split_version, unversioned},
};
use http::{
    Uri,
    uri::{InvalidUri, InvalidUriParts, PathAndQuery},
};
use std::borrow::Cow;

/// Stands in a path for the project of the provider's credential.
pub const PROJECT_PLACEHOLDER: &str = "_aperture_auto_vertex_project_id_";
/// Stands in a path for the region of the provider's host.
pub const REGION_PLACEHOLDER: &str = "_aperture_auto_vertex_region_";

/// Why there is no upstream URL.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The path leaves the project to a provider that has none.
    #[error(
        "the path leaves the project to the gateway, and provider {0} has none: name the project in the path"
    )]
    NoProject(String),
    /// The parts make no URL.
    #[error("the path and query can't be sent on")]
    Parts(#[from] InvalidUriParts),
    /// The path is none.
    #[error("the path and query can't be sent on")]
    Path(#[from] InvalidUri),
}

/// Joins a provider's base with the path and query that the client sent.
///
/// Credentials in the query (`key=`) are dropped; everything else stays as it was written.
pub fn upstream_uri(
    provider: &Provider,
    dialect: Dialect,
    client: &Uri,
) -> Result<Uri, TargetError> {
    let mut prefix = provider.base.path().trim_end_matches('/');
    let (version, rest) = match dialect {
        Dialect::AnthropicMessages => {
            let bare = unversioned(client.path());
            let without = bare.strip_prefix("/anthropic").map_or(bare, unversioned);
            ("/v1", Cow::Borrowed(without))
        }
        Dialect::OpenaiChat => ("/v1", Cow::Borrowed(unversioned(client.path()))),
        Dialect::OpenaiResponses => match unversioned(client.path()).strip_prefix("/codex/") {
            // The backend of a subscription has no version, and its base may end with the segment that the client repeats.
            Some(rest) if prefix.ends_with("/codex") => ("", Cow::Owned(format!("/{rest}"))),
            Some(rest) => ("", Cow::Owned(format!("/codex/{rest}"))),
            None => ("/v1", Cow::Borrowed(unversioned(client.path()))),
        },
        // What is uploaded goes to a path of its own, in front of the version.
        Dialect::GeminiGenerateContent if client.path().starts_with("/upload/") => {
            if ends_in_version(prefix) {
                prefix = &prefix[..prefix.rfind('/').unwrap_or(0)];
            }
            ("", Cow::Borrowed(client.path()))
        }
        Dialect::GeminiGenerateContent => {
            let (version, rest) = split_version(client.path());
            (or(version, "/v1beta"), Cow::Borrowed(rest))
        }
        Dialect::GoogleGenerateContent | Dialect::GoogleRawPredict => {
            let (version, rest) = split_version(client.path());
            (or(version, "/v1"), completed(provider, rest)?)
        }
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse => {
            let path = client.path();
            let rest = path.strip_prefix("/bedrock").unwrap_or(path);
            ("", Cow::Borrowed(rest))
        }
    };
    let mut path = String::with_capacity(prefix.len() + rest.len() + 16);
    path.push_str(prefix);
    if !ends_in_version(prefix) {
        path.push_str(version);
    }
    path.push_str(&rest);
    if let Some(query) = client.query().map(public_query).filter(|q| !q.is_empty()) {
        path.push('?');
        path.push_str(&query);
    }
    let mut parts = provider.base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path)?);
    Ok(Uri::from_parts(parts)?)
}

fn or<'a>(version: &'a str, default: &'a str) -> &'a str {
    if version.is_empty() { default } else { version }
}

/// A path on Vertex AI with what it leaves to the gateway.
fn completed<'a>(provider: &Provider, rest: &'a str) -> Result<Cow<'a, str>, TargetError> {
    let vertex = &provider.vertex;
    let short = vertex.short_paths && rest.starts_with("/publishers/");
    if !short && !rest.contains(PROJECT_PLACEHOLDER) && !rest.contains(REGION_PLACEHOLDER) {
        return Ok(Cow::Borrowed(rest));
    }
    let project = vertex.project.as_deref();
    let needs_project = short || rest.contains(PROJECT_PLACEHOLDER);
    if needs_project && project.is_none() {
        return Err(TargetError::NoProject(provider.id.to_string()));
    }
    let project = project.unwrap_or_default();
    if short {
        let region = &vertex.region;
        return Ok(format!("/projects/{project}/locations/{region}{rest}").into());
    }
    Ok(rest
        .replace(PROJECT_PLACEHOLDER, project)
        .replace(REGION_PLACEHOLDER, &vertex.region)
        .into())
}

/// A query without the parameters that carry credentials.
pub fn public_query(query: &str) -> String {
    query
        .split('&')
        .filter(|pair| {
            !matches!(
                pair.split('=').next(),
                Some("key" | "access_token" | "api_key")
            )
        })
        .collect::<Vec<_>>()
        .join("&")
}

/// Whether the last segment is a version, as in `/api/paas/v4` or `/v1beta`.
fn ends_in_version(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .and_then(|last| last.strip_prefix('v'))
        .is_some_and(|rest| {
            let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            digits.len() < rest.len() && matches!(digits, "" | "beta" | "alpha" | "beta1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Vertex;

    fn provider(base: &str) -> Provider {
        Provider {
            vertex: Vertex {
                project: Some("acme".into()),
                region: "us-east5".into(),
                short_paths: true,
            },
            ..Provider::new("p", base.parse().unwrap())
        }
    }

    fn join(base: &str, client: &str) -> String {
        let client: Uri = client.parse().unwrap();
        let dialect = crate::endpoint::locate(client.path()).map_or(
            Dialect::GeminiGenerateContent,
            crate::endpoint::Endpoint::dialect,
        );
        upstream_uri(&provider(base), dialect, &client)
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_version_appears_once() {
        for (base, client, upstream) in [
            (
                "https://api.anthropic.com",
                "/v1/messages",
                "https://api.anthropic.com/v1/messages",
            ),
            (
                "https://api.anthropic.com/",
                "/messages",
                "https://api.anthropic.com/v1/messages",
            ),
            (
                "https://api.openai.com/v1",
                "/v1/responses",
                "https://api.openai.com/v1/responses",
            ),
            (
                "https://api.openai.com/v1/",
                "/v1/v1/responses",
                "https://api.openai.com/v1/responses",
            ),
            (
                "https://openrouter.ai/api/",
                "/v1/chat/completions",
                "https://openrouter.ai/api/v1/chat/completions",
            ),
            (
                "https://api.z.ai/api/coding/paas/v4",
                "/chat/completions",
                "https://api.z.ai/api/coding/paas/v4/chat/completions",
            ),
            (
                "http://100.64.0.1:8080",
                "/v1/chat/completions",
                "http://100.64.0.1:8080/v1/chat/completions",
            ),
            (
                "https://api.deepseek.com/anthropic",
                "/v1/messages",
                "https://api.deepseek.com/anthropic/v1/messages",
            ),
            (
                "https://acme.services.ai.azure.com/anthropic",
                "/anthropic/v1/messages",
                "https://acme.services.ai.azure.com/anthropic/v1/messages",
            ),
            (
                "https://chatgpt.com/backend-api/codex",
                "/codex/responses",
                "https://chatgpt.com/backend-api/codex/responses",
            ),
            (
                "https://generativelanguage.googleapis.com",
                "/v1beta/models/m:generateContent",
                "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
            ),
            (
                "https://generativelanguage.googleapis.com",
                "/models/m:generateContent",
                "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
            ),
            (
                "https://generativelanguage.googleapis.com/v1beta",
                "/v1/models/m:generateContent",
                "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
            ),
            (
                "https://generativelanguage.googleapis.com/v1beta",
                "/upload/v1beta/files",
                "https://generativelanguage.googleapis.com/upload/v1beta/files",
            ),
            (
                "https://generativelanguage.googleapis.com",
                "/upload/v1beta/files",
                "https://generativelanguage.googleapis.com/upload/v1beta/files",
            ),
            (
                "https://generativelanguage.googleapis.com",
                "/v1beta/cachedContents/c",
                "https://generativelanguage.googleapis.com/v1beta/cachedContents/c",
            ),
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com",
                "/bedrock/model/us.m-v1%3A0/converse",
                "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.m-v1%3A0/converse",
            ),
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com/",
                "/model/us.m-v1:0/invoke",
                "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.m-v1:0/invoke",
            ),
        ] {
            assert_eq!(join(base, client), upstream);
        }
    }

    #[test]
    fn what_vertex_paths_leave_open_is_filled_in() {
        let host = "https://us-east5-aiplatform.googleapis.com";
        for (client, upstream) in [
            (
                "/v1/projects/_aperture_auto_vertex_project_id_/locations/_aperture_auto_vertex_region_/publishers/google/models/m:generateContent",
                "/v1/projects/acme/locations/us-east5/publishers/google/models/m:generateContent",
            ),
            (
                "/projects/own/locations/global/publishers/anthropic/models/m:rawPredict",
                "/v1/projects/own/locations/global/publishers/anthropic/models/m:rawPredict",
            ),
            (
                "/v1beta1/publishers/google/models/m:streamGenerateContent?alt=sse",
                "/v1beta1/projects/acme/locations/us-east5/publishers/google/models/m:streamGenerateContent?alt=sse",
            ),
        ] {
            assert_eq!(join(host, client), format!("{host}{upstream}"));
        }
        let without = Provider::new("p", host.parse().unwrap());
        let uri: Uri = format!("/v1/projects/{PROJECT_PLACEHOLDER}/locations/x/publishers/google/models/m:generateContent")
            .parse()
            .unwrap();
        let refused = upstream_uri(&without, Dialect::GoogleGenerateContent, &uri);
        assert!(matches!(refused, Err(TargetError::NoProject(_))));
        let express = "/v1beta1/publishers/google/models/m:generateContent"
            .parse()
            .unwrap();
        let passed = upstream_uri(&without, Dialect::GoogleGenerateContent, &express).unwrap();
        assert_eq!(
            passed.path(),
            "/v1beta1/publishers/google/models/m:generateContent"
        );
    }

    #[test]
    fn the_query_stays_but_for_credentials() {
        assert_eq!(
            join("https://a", "/v1/messages?beta=true"),
            "https://a/v1/messages?beta=true"
        );
        assert_eq!(
            join("https://a", "/v1/messages?key=s3cret&alt=sse"),
            "https://a/v1/messages?alt=sse"
        );
        assert_eq!(
            join("https://a", "/v1/messages?key=s3cret"),
            "https://a/v1/messages"
        );
        assert_eq!(
            join("https://a", "/v1/messages?a=%2F&b=+"),
            "https://a/v1/messages?a=%2F&b=+"
        );
    }
}

//! The upstream URL of a request.
//!
//! Owns: how a provider's base and the client's path are joined. The version segment appears once, whichever side wrote
//! it: the doubled `/v1/v1` is the most common set-up mistake of such gateways.

use crate::endpoint::unversioned;
use http::Uri;
use http::uri::{InvalidUriParts, PathAndQuery};

/// Joins a provider's base with the path and query that the client sent.
///
/// Credentials in the query (`key=`) are dropped; everything else stays as it was written.
pub fn upstream_uri(base: &Uri, client: &Uri) -> Result<Uri, InvalidUriParts> {
    let prefix = base.path().trim_end_matches('/');
    let bare = unversioned(client.path());
    let mut path = String::with_capacity(prefix.len() + client.path().len() + 16);
    path.push_str(prefix);
    if !ends_in_version(prefix) {
        path.push_str("/v1");
    }
    path.push_str(bare);
    if let Some(query) = client.query().map(public_query).filter(|q| !q.is_empty()) {
        path.push('?');
        path.push_str(&query);
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    Uri::from_parts(parts)
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

/// Whether the last segment is `v` and digits, as in `/api/paas/v4`.
fn ends_in_version(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .and_then(|last| last.strip_prefix('v'))
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(base: &str, client: &str) -> String {
        upstream_uri(&base.parse().unwrap(), &client.parse().unwrap())
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
        ] {
            assert_eq!(join(base, client), upstream);
        }
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

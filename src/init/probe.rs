//! One cheap question to a provider: does the key work, and which models are there?

use crate::{
    config::Provider,
    endpoint::Dialect,
    provider::{
        client::{Client, Options, Pieces},
        credential::{Credentials, Host},
        headers, target,
    },
    shutdown::Tasks,
};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use std::time::Duration;

/// How long a provider may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest list of models.
const LIST_BYTES: usize = 8 << 20;

/// What a provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The key works; these are its models, as far as it lists them.
    Works(Vec<String>),
    /// It refuses the key.
    Refused(String),
    /// It can't be asked from here, or its answer says nothing.
    Unknown(String),
}

/// Asks, over this host's network. What is on the tailnet only the gateway's own node can reach.
pub(super) async fn probe(provider: &Provider, allow_local: bool) -> Found {
    if provider.tailnet {
        return Found::Unknown(
            "it is reached through the gateway's own node, once that runs".to_owned(),
        );
    }
    let Some(&dialect) = provider.dialects.first() else {
        return Found::Unknown("it has no format".to_owned());
    };
    let client = Client::new(Options {
        dial: None,
        allow_local,
        connect_timeout: LIMIT,
    });
    let credentials = Credentials::new(client.clone(), Host::from_process(), Tasks::default());
    let mut found = Found::Unknown("it was not asked".to_owned());
    for path in paths(provider, dialect) {
        let question = ask(&client, &credentials, provider, dialect, path);
        found = tokio::time::timeout(LIMIT, question)
            .await
            .unwrap_or_else(|_| Found::Unknown(format!("no answer within {} s", LIMIT.as_secs())));
        if !matches!(found, Found::Works(_)) {
            break;
        }
    }
    found
}

/// What is asked; the last gives the list.
fn paths(provider: &Provider, dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::AnthropicMessages => &["/v1/models?limit=1000"],
        // Its list is public, so a key has to be asked about by itself.
        Dialect::OpenaiChat if provider.base.host() == Some("openrouter.ai") => {
            &["/v1/key", "/v1/models"]
        }
        Dialect::OpenaiChat | Dialect::OpenaiResponses => &["/v1/models"],
        Dialect::GeminiGenerateContent => &["/v1beta/models?pageSize=1000"],
        Dialect::GoogleGenerateContent | Dialect::GoogleRawPredict => {
            &["/v1beta1/publishers/google/models"]
        }
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse => &["/foundation-models"],
    }
}

async fn ask(
    client: &Client,
    credentials: &Credentials,
    provider: &Provider,
    dialect: Dialect,
    path: &'static str,
) -> Found {
    let Ok(uri) = target::upstream_uri(provider, dialect, &Uri::from_static(path)) else {
        return Found::Unknown("its address can't be called".to_owned());
    };
    let nobody = HeaderMap::new();
    let mut request = Request::new(Pieces::default());
    *request.uri_mut() = uri;
    *request.headers_mut() = headers::to_provider(&nobody, dialect, provider, &[]);
    if let Err(error) = credentials.add(provider, &nobody, &mut request).await {
        return Found::Refused(format!("its credential can't be had: {}", error.in_full()));
    }
    let response = match client.send(provider, request).await {
        Ok(response) => response,
        Err(error) => return Found::Unknown(error.to_string()),
    };
    let status = response.status();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Found::Refused(format!("the key is refused ({})", status.as_u16()));
        }
        // Gemini says so of a bad key.
        StatusCode::BAD_REQUEST if dialect == Dialect::GeminiGenerateContent => {
            return Found::Refused(format!("the key is refused ({})", status.as_u16()));
        }
        status if !status.is_success() => {
            return Found::Unknown(format!("it answers {}", status.as_u16()));
        }
        _ => {}
    }
    match Limited::new(response.into_body(), LIST_BYTES)
        .collect()
        .await
    {
        Ok(body) => Found::Works(models(&body.to_bytes())),
        Err(_) => Found::Works(Vec::new()),
    }
}

/// The names in a list of models, in any of the forms.
fn models(body: &[u8]) -> Vec<String> {
    let list: Value = serde_json::from_slice(body).unwrap_or_default();
    let names = ["data", "models"]
        .into_iter()
        .filter_map(|key| list[key].as_array());
    names
        .flatten()
        .filter_map(|model| model["id"].as_str().or_else(|| model["name"].as_str()))
        .map(|name| name.trim_start_matches("models/").to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_models_are_read_in_every_form() {
        assert_eq!(
            models(br#"{"data": [{"id": "a"}, {"id": "b"}]}"#),
            ["a", "b"]
        );
        assert_eq!(models(br#"{"models": [{"name": "models/g"}]}"#), ["g"]);
        assert!(models(b"<html>").is_empty());
    }
}

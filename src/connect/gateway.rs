//! What a gateway says that its caller may use.
//!
//! Owns: the two questions, `GET /v1/models` and `GET /api/providers`, and the reading of the answers. In: a URL. Out: models,
//! or why there are none. It is a plain HTTP client: the gateway sees who calls, as with any other.
//! Must not know: what is done with it.

use super::fill::Offered;
use crate::endpoint::Dialect;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer.
const LARGEST: usize = 8 << 20;

/// Asks.
pub(super) async fn models(host: &str) -> Result<Vec<Offered>, String> {
    let models = get(&format!("{host}/v1/models")).await?;
    let rows = models["data"].as_array().ok_or("it lists no models")?;
    // Some gateways name the formats there, and some only here.
    let providers = if rows.iter().all(|row| row["supported_endpoints"].is_array()) {
        Value::Null
    } else {
        let listed = get(&format!("{host}/api/providers")).await;
        listed.unwrap_or_default()
    };
    Ok(rows
        .iter()
        .filter_map(|row| offered(row, &providers))
        .collect())
}

fn offered(row: &Value, providers: &Value) -> Option<Offered> {
    let model = row["id"].as_str()?.to_owned();
    let speaks = |dialect: &Dialect| match row["supported_endpoints"].as_array() {
        Some(paths) => paths
            .iter()
            .any(|path| path == dialect.main_endpoint().path()),
        None => providers.as_array().into_iter().flatten().any(|provider| {
            provider["id"] == row["metadata"]["provider"]["id"]
                && provider["compatibility"][dialect.as_str()] == true
        }),
    };
    let dialects = Dialect::ALL.into_iter().filter(speaks).collect();
    Some(Offered { model, dialects })
}

async fn get(url: &str) -> Result<Value, String> {
    match tokio::time::timeout(PATIENCE, fetch(url)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn fetch(url: &str) -> Result<Value, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots((*provider).clone())
        .map_err(|error| error.to_string())?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
    let response = client.get(uri).await.map_err(|error| told(&error))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if head.status.is_success() {
        return Ok(value);
    }
    let said = ["/error", "/error/message", "/message"]
        .iter()
        .find_map(|at| value.pointer(at)?.as_str());
    Err(format!("{} {}", head.status.as_u16(), said.unwrap_or("")))
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn formats_are_read_from_the_model_or_from_its_provider() {
        let row = json!({"id": "m", "supported_endpoints": ["/v1/messages", "/unheard-of"]});
        let read = offered(&row, &Value::Null).unwrap();
        assert_eq!(read.dialects, [Dialect::AnthropicMessages]);
        let row = json!({"id": "m", "metadata": {"provider": {"id": "p"}}});
        let providers = json!([
            {"id": "q", "compatibility": {"openai_chat": true}},
            {"id": "p", "compatibility": {"openai_chat": false, "bedrock_converse": true}},
        ]);
        let read = offered(&row, &providers).unwrap();
        assert_eq!(read.dialects, [Dialect::BedrockConverse]);
        assert_eq!(offered(&json!({"id": null}), &providers), None);
    }
}

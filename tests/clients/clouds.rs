//! A configuration with a provider of every format.

use crate::support::repository;
use serde_json::{Value, json};

/// Gemini's key.
pub(super) const GEMINI_KEY: &str = "goog-upstream-key";
/// The id of Bedrock's key; the gateway signs with it.
pub(super) const AWS_KEY_ID: &str = "AKIDGATEWAY";

/// The usual configuration, and Gemini, Vertex AI and Bedrock beside it. Alice may use everything.
pub(super) fn config(provider: &str) -> String {
    let file = repository("tests/fixtures/credentials/account.json");
    let mut account: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    account["token_uri"] = json!(format!("{provider}/token"));
    json!({
        "providers": {
            "anthropic": {
                "baseurl": provider,
                "authorization": {"type": "x-api-key", "value": super::ANTHROPIC_KEY},
                "models": ["claude-opus-5-5", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-haiku-4-5-20251001"],
                "compatibility": {"anthropic_messages": true},
            },
            "openai": {
                "baseurl": provider,
                "authorization": {"type": "Bearer", "value": super::OPENAI_KEY},
                "models": ["gpt-5", "gpt-4o", "gpt-5.4-nano"],
                "compatibility": {"openai_chat": true, "openai_responses": true},
            },
            "gemini": {
                "baseurl": provider,
                "authorization": {"type": "x-goog-api-key", "value": GEMINI_KEY},
                "models": ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-3.8-flash"],
                "compatibility": {"gemini": true},
            },
            "vertex": {
                "baseurl": provider,
                "authorization": {"type": "google-service-account", "keyfile": account.to_string()},
                "models": ["claude-opus-5-5", "claude-haiku-4-5@20251001", "gemini-2.5-pro", "gemini-2.5-flash"],
                "compatibility": {"vertex": true, "experimental_gemini_cli_vertex_compat": true},
                "preference": -1,
            },
            "bedrock": {
                "baseurl": provider,
                "authorization": {
                    "type": "aws-sigv4", "region": "us-east-1",
                    "access_key_id": AWS_KEY_ID, "secret_access_key": "aws-upstream-secret",
                },
                "models": [
                    "us.anthropic.claude-opus-5-5",
                    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                    "global.anthropic.claude-haiku-4-5-20251001-v1:0",
                ],
                "compatibility": {"bedrock": true},
            },
        },
        "grants": [{
            "src": ["alice@example.com"],
            "app": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"models": "**"}]},
        }],
    })
    .to_string()
}

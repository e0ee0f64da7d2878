//! What tests share: processes that announce themselves, an HTTP client, configurations.

pub mod cloud;
pub mod collector;
pub mod gateway;
pub mod http;
pub mod lab;
pub mod marked;
pub mod process;
pub mod prometheus;
pub mod wire;
pub mod world;

pub use gateway::Gateway;
pub use lab::Lab;
pub use prometheus::Prometheus;

use std::path::PathBuf;

/// Whether the long versions of tests run.
pub fn soak() -> bool {
    std::env::var_os("APERTURE_SOAK").is_some()
}

/// Shows a figure, with `--nocapture`.
#[expect(clippy::print_stderr, reason = "figures are for people")]
pub fn measured(text: &str) {
    eprintln!("{text}");
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A configuration with one scripted provider under several names, and the given grants.
pub fn config(provider: &str, grants: &str) -> String {
    format!(
        r#"{{
  "providers": {{
    "anthropic": {{
      "baseurl": "{provider}",
      "authorization": {{"type": "x-api-key", "value": "sk-ant-upstream-key"}},
      "models": ["claude-haiku-4-5-20251001", "claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"],
      "compatibility": {{"anthropic_messages": true}},
    }},
    "openai": {{
      "baseurl": "{provider}",
      "authorization": {{"type": "Bearer", "value": "sk-openai-upstream-key"}},
      "models": ["gpt-4o", "gpt-4o-mini", "gpt-5"],
      "compatibility": {{"openai_chat": true, "openai_responses": true}},
    }},
  }},
  "temp_grants": [{grants}],
}}"#
    )
}

/// Everybody may do everything.
pub const EVERYBODY: &str = r#"{"src": ["*"], "grants": [{"role": "admin"}, {"providers": [{"provider": "*", "model": "*"}]}]}"#;

/// A request for a message.
pub fn message(model: &str, text: &str, stream: bool) -> String {
    serde_json::json!({
        "model": model,
        "max_tokens": 4096,
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
    })
    .to_string()
}

/// A request for a chat completion.
pub fn chat(model: &str, text: &str, stream: bool) -> String {
    serde_json::json!({
        "model": model,
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
    })
    .to_string()
}

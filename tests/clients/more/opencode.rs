//! `OpenCode` in five formats.

use super::{STALL, one_session, one_tool, streamed};
use crate::clients::{Home, World, clients, documented};
use aperture::{
    endpoint::Endpoint,
    record::{End, Record},
};
use provider::{Matcher, Script};
use serde_json::{Value, json};
use std::path::PathBuf;

const BEDROCK: &str = "amazon-bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0";

fn program() -> PathBuf {
    clients().join("more/node_modules/opencode-linux-x64/bin/opencode")
}

/// Nothing is asked of the internet; for Bedrock it wants some key.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
    ("AWS_BEARER_TOKEN_BEDROCK", "-"),
    ("AWS_REGION", "us-east-1"),
];

/// A home with a provider of every format.
fn home(url: &str) -> Home {
    let block: Value = serde_json::from_str(&documented("json", r#"{"provider""#, url)).unwrap();
    let options = &block["provider"]["openai"]["options"];
    let config = json!({
        "provider": {
            "gateway": {
                "npm": "@ai-sdk/openai-compatible",
                "options": options,
                "models": {"gpt-5": {}},
            },
            "openai": {"options": options},
            "anthropic": {"options": options},
            "google": {"options": {"baseURL": format!("{url}/v1beta"), "apiKey": "-"}},
            "amazon-bedrock": {"options": {"endpoint": format!("{url}/bedrock"), "region": "us-east-1"}},
        },
        "permission": {"bash": "allow"},
    });
    let home = Home::new();
    home.write("project/opencode.json", &config.to_string());
    home
}

/// The records of all that the provider was asked.
async fn finished(world: &World) -> Vec<Record> {
    let asked = world.asked().await.len();
    world.gateway.finished(asked).await
}

/// A tool turn, a cancelled stream, and the provider's refusal.
async fn works(model: &str, endpoint: Endpoint) {
    let world = World::everywhere().await;
    let url = world.url("alice").await;
    // It puts the prompt into quotes: the last one becomes a comment.
    let tool = ["run", "-m", model, "RUN: echo from-the-tool #"];
    let run = home(&url).run(&program(), &tool, &ENVIRONMENT).await;
    assert!(
        run.said().contains("The tool said: from-the-tool"),
        "{run:?}"
    );
    // A title, a call, and the answer to its result.
    let records = world.records(3).await;
    one_session(&records, "opencode");
    one_tool(&records, "bash");
    streamed(&records);
    for record in &records {
        assert_eq!(record.endpoint, endpoint);
        assert!(record.workspace.is_some() || record.tools.is_empty());
    }

    let stall = Script::from_json(STALL.trim_start_matches("SCRIPT: ")).unwrap();
    world.provider.script(Matcher::body("fall silent"), stall);
    let silent = ["run", "-m", model, "fall silent"];
    home(&url)
        .cancelled(&world.provider, &program(), &silent, &ENVIRONMENT)
        .await;
    // Its title may have been on its way too.
    let records = finished(&world).await;
    let gone = records
        .iter()
        .filter(|record| record.end == End::ClientGone);
    assert!(gone.count() > 0, "{records:?}");

    let error = r#"{"status":403,"error":{"message":"says the provider"}}"#;
    let refuse = Script::from_json(error).unwrap();
    world.provider.script(Matcher::body("refuse me"), refuse);
    let refused = ["run", "-m", model, "refuse me"];
    let run = home(&url).run(&program(), &refused, &ENVIRONMENT).await;
    assert!(run.stderr.contains("says the provider"), "{run:?}");
    // The prompt and the title, once each.
    let records = finished(&world).await;
    let refused = records.iter().filter(|record| record.status == Some(403));
    assert_eq!(refused.count(), 2, "{records:?}");
    world.stop().await;
}

#[tokio::test]
#[cfg(target_arch = "x86_64")]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn opencode_works_with_chat() {
    works("gateway/gpt-5", Endpoint::OpenaiChat).await;
}

#[tokio::test]
#[cfg(target_arch = "x86_64")]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn opencode_works_with_responses() {
    works("openai/gpt-5", Endpoint::OpenaiResponses).await;
}

#[tokio::test]
#[cfg(target_arch = "x86_64")]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn opencode_works_with_anthropic() {
    works("anthropic/claude-sonnet-4-5", Endpoint::AnthropicMessages).await;
}

#[tokio::test]
#[cfg(target_arch = "x86_64")]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn opencode_works_with_gemini() {
    let endpoint = Endpoint::GeminiStreamGenerateContent;
    works("google/gemini-2.5-flash", endpoint).await;
}

#[tokio::test]
#[cfg(target_arch = "x86_64")]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn opencode_works_with_bedrock() {
    works(BEDROCK, Endpoint::BedrockConverseStream).await;
}

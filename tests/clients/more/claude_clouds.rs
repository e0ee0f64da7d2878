//! Claude Code in its Bedrock and Vertex AI modes.

use super::{STALL, one_session, one_tool, streamed};
use crate::clients::{Home, World, claude_code::program};
use aperture::{endpoint::Endpoint, record::End};
use provider::{Matcher, Script};

const BEDROCK: &str = "us.anthropic.claude-opus-5-5";
const VERTEX: &str = "claude-opus-5-5";

/// The variables of a mode.
fn variables(mode: Endpoint, url: &str) -> Vec<(&'static str, String)> {
    let set = |name, value: &str| (name, value.to_owned());
    match mode {
        Endpoint::BedrockInvokeStream => vec![
            set("CLAUDE_CODE_USE_BEDROCK", "1"),
            set("CLAUDE_CODE_SKIP_BEDROCK_AUTH", "1"),
            set("ANTHROPIC_BEDROCK_BASE_URL", &format!("{url}/bedrock")),
            set("ANTHROPIC_MODEL", BEDROCK),
        ],
        _ => vec![
            set("CLAUDE_CODE_USE_VERTEX", "1"),
            set("CLAUDE_CODE_SKIP_VERTEX_AUTH", "1"),
            set("ANTHROPIC_VERTEX_BASE_URL", &format!("{url}/v1")),
            set(
                "ANTHROPIC_VERTEX_PROJECT_ID",
                "_aperture_auto_vertex_project_id_",
            ),
            set("CLOUD_ML_REGION", "global"),
        ],
    }
}

/// A tool turn and a resumed one, a cancelled stream, and the provider's refusal.
async fn works(mode: Endpoint, model: &str, sent_to: &str) {
    let world = World::everywhere().await;
    let url = world.url("alice").await;
    let owned = variables(mode, &url);
    let set: Vec<_> = owned
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let home = Home::new();
    let tool = ["-p", "RUN: echo from-the-tool", "--allowedTools", "Bash"];
    let run = home.run(&program(), &tool, &set).await;
    assert_eq!(run.said(), "The tool said: from-the-tool");
    let run = home.run(&program(), &["-c", "-p", "and again"], &set).await;
    assert_eq!(run.said(), "You said: and again");
    let records = world.records(3).await;
    one_session(&records, "claude-code");
    one_tool(&records, "Bash");
    streamed(&records);
    for (record, entry) in records.iter().zip(world.asked().await) {
        assert_eq!(
            (record.endpoint, record.model.as_deref()),
            (mode, Some(model))
        );
        assert_eq!(entry.request.target, sent_to);
    }
    assert_eq!(records[0].title.as_deref(), Some("RUN: echo from-the-tool"));

    let provider = &world.provider;
    let stall = ["-p", STALL];
    let other = Home::new();
    other.cancelled(provider, &program(), &stall, &set).await;
    let records = world.records(4).await;
    assert_eq!(records[3].end, End::ClientGone);
    assert_ne!(records[3].session, records[0].session);

    // It shows the provider's words; Bedrock's refusals it takes for passing ones, and tries more often.
    let error = r#"{"status":403,"error":{"message":"says the provider"}}"#;
    provider.script(
        Matcher::body("refuse me"),
        Script::from_json(error).unwrap(),
    );
    let run = Home::new()
        .run(
            &program(),
            &["-p", "refuse me"],
            &[&*set, &[("CLAUDE_CODE_MAX_RETRIES", "1")]].concat(),
        )
        .await;
    assert!(!run.status.success());
    assert!(
        run.stdout.contains("403") && run.stdout.contains("says the provider"),
        "{run:?}"
    );
    let asked = world.asked().await.len();
    let records = world.gateway.finished(asked).await;
    let tries = records.len() - 4;
    let most = if mode == Endpoint::BedrockInvokeStream {
        4
    } else {
        2
    };
    assert!((1..=most).contains(&tries), "{tries}");
    world.stop().await;
}

#[tokio::test]
#[ignore = "`make clients` runs it"]
async fn claude_code_works_in_its_bedrock_mode() {
    let path = format!("/model/{BEDROCK}/invoke-with-response-stream");
    works(Endpoint::BedrockInvokeStream, BEDROCK, &path).await;
}

#[tokio::test]
#[ignore = "`make clients` runs it"]
async fn claude_code_works_in_its_vertex_mode() {
    let path = format!(
        "/v1/projects/acme-models/locations/global/publishers/anthropic/models/{VERTEX}:streamRawPredict"
    );
    works(Endpoint::GoogleStreamRawPredict, VERTEX, &path).await;
}

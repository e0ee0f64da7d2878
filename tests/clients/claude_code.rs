//! Claude Code.

use super::{Home, Run, World, documented};
use aperture::record::{End, Record};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Its program.
pub(super) fn program() -> PathBuf {
    super::program(&[
        ("x86_64", "@anthropic-ai/claude-code-linux-x64/claude"),
        ("aarch64", "@anthropic-ai/claude-code-linux-arm64/claude"),
    ])
}

/// Runs it with one prompt.
async fn claude(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    home.run(&program(), arguments, environment).await
}

/// The two variables of docs/clients.md.
fn variables(url: &str) -> [(&str, &str); 2] {
    [("ANTHROPIC_BASE_URL", url), ("ANTHROPIC_AUTH_TOKEN", "-")]
}

/// What all its requests have in common.
fn is_claude_code(record: &Record, login: &str) {
    assert_eq!(record.who.login, login);
    assert_eq!(
        [&*record.client.name, &*record.client.version],
        ["claude-code", version().as_str()]
    );
    assert_eq!(record.path, "POST /v1/messages?beta=true");
}

fn version() -> String {
    let pinned: Value = serde_json::from_str(include_str!("package.json")).unwrap();
    let version = &pinned["dependencies"]["@anthropic-ai/claude-code"];
    version.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn claude_code_uses_a_tool_and_resumes_in_one_session() {
    let world = World::start().await;
    let url = world.url("alice").await;
    let home = Home::new();
    let run = claude(
        &home,
        &["-p", "RUN: echo from-the-tool", "--allowedTools", "Bash"],
        &variables(&url),
    )
    .await;
    assert_eq!(run.said(), "The tool said: from-the-tool");
    let run = claude(&home, &["-c", "-p", "and again"], &variables(&url)).await;
    assert_eq!(run.said(), "You said: and again");

    let records = world.records(3).await;
    let session = records[0].session;
    assert!(session.is_some());
    for record in &records {
        is_claude_code(record, "alice@example.com");
        assert_eq!(
            (record.end, record.streamed, record.session, &record.agent),
            (End::Complete, true, session, &None)
        );
    }
    let calls = |record: &Record| {
        let named = record.tools.iter();
        named
            .map(|tool| (tool.name.clone(), tool.result_error))
            .collect::<Vec<_>>()
    };
    assert_eq!(calls(&records[0]), [("Bash".to_owned(), None)]);
    assert_eq!(calls(&records[1]), [("Bash".to_owned(), Some(false))]);
    assert_eq!(records[0].tools[0].call, records[1].tools[0].call);
    assert_eq!(calls(&records[2]), []);
    let told = |record: &Record| {
        (
            record.stop_reason.clone().unwrap(),
            record.title.clone().unwrap_or_default(),
        )
    };
    assert_eq!(
        told(&records[0]),
        ("tool_use".into(), "RUN: echo from-the-tool".into())
    );
    assert_eq!(told(&records[1]), ("end_turn".into(), String::new()));
    assert_eq!(told(&records[2]), ("end_turn".into(), String::new()));
    world.stop().await;
}

#[tokio::test]
async fn claude_code_runs_by_the_documented_settings_and_its_probes_are_harmless() {
    let world = World::start().await;
    let url = world.url("alice").await;
    let home = Home::new();
    home.write(
        ".claude/settings.json",
        &documented("json", r#"{"apiKeyHelper""#, &url),
    );
    let run = claude(
        &home,
        &["-p", "say hi"],
        &[("CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY", "1")],
    )
    .await;
    assert_eq!(run.said(), "You said: say hi");
    is_claude_code(&world.records(1).await[0], "alice@example.com");
    // It asked each of these once, and none of them delayed it: there were no others.
    let mut beside = world.beside();
    beside.sort();
    assert_eq!(beside, ["GET /v1/models 200", "HEAD /api/hello 200"]);
    world.stop().await;
}

#[tokio::test]
async fn a_sub_agent_of_claude_code_appears_inside_its_session() {
    let world = World::start().await;
    let url = world.url("alice").await;
    let call = json!({"tool": {"name": "Agent", "input": {
        "description": "a part of the work", "prompt": "do your part", "subagent_type": "general-purpose",
    }}});
    let run = claude(
        &Home::new(),
        &["-p", &format!("SCRIPT: {call}")],
        &variables(&url),
    )
    .await;
    assert!(
        run.said()
            .starts_with("The tool said: Async agent launched")
    );
    let records = world.records(4).await;
    let (agents, own): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.agent.is_some());
    assert_eq!((agents.len(), own.len()), (1, 3));
    for record in &records {
        is_claude_code(record, "alice@example.com");
    }
    // A session of its own, which names the one that it is part of.
    assert!(own.iter().all(|record| record.session == own[0].session));
    assert_ne!(agents[0].session, own[0].session);
    assert_eq!(agents[0].parent_session, own[0].session);
    assert_eq!(own[0].tools[0].name, "Agent");
    world.stop().await;
}

#[tokio::test]
async fn claude_code_says_clearly_and_soon_what_it_may_not_do() {
    let world = World::start().await;
    let bob = world.url("bob").await;
    let run = claude(&Home::new(), &["-p", "say hi"], &variables(&bob)).await;
    assert!(!run.status.success());
    assert_eq!(
        run.stdout.trim(),
        "There's an issue with the selected model (claude-opus-5-5). It may not exist or you may not have access to it. \
         Run --model to pick a different model."
    );
    let records = world.records(2).await;
    for record in &records {
        is_claude_code(record, "bob@example.com");
        assert_eq!(record.failure.as_deref(), Some("no_model"));
    }

    let ci = world.url("ci").await;
    let run = claude(&Home::new(), &["-p", "say hi"], &variables(&ci)).await;
    assert!(!run.status.success());
    assert_eq!(
        run.stdout.trim(),
        "Failed to authenticate. API Error: 403 access denied: no role granted"
    );
    let records = world.records(3).await;
    assert_eq!(records[2].failure.as_deref(), Some("no_role"));
    is_claude_code(&records[2], "tag:ci");
    assert!(world.provider.log().is_empty());
    world.stop().await;
}

#[tokio::test]
#[ignore = "`make clients` runs it"]
async fn claude_code_that_is_interrupted_ends_its_request_at_the_provider() {
    let world = World::start().await;
    let url = world.url("alice").await;
    let stall = r#"SCRIPT: {"text":"one two three four","stall":"mid_stream"}"#;
    Home::new()
        .cancelled(
            &world.provider,
            &program(),
            &["-p", stall],
            &variables(&url),
        )
        .await;
    let records = world.records(1).await;
    is_claude_code(&records[0], "alice@example.com");
    assert_eq!(records[0].end, End::ClientGone);
    world.stop().await;
}

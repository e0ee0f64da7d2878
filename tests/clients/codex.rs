//! Codex.

use super::{Home, Run, World, documented, program};
use aperture::record::{End, Record};
use serde_json::Value;
use std::path::PathBuf;

/// Its program.
fn binary() -> PathBuf {
    program(&[
        (
            "x86_64",
            "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
        ),
        (
            "aarch64",
            "@openai/codex-linux-arm64/vendor/aarch64-unknown-linux-musl/bin/codex",
        ),
    ])
}

/// Runs `codex exec`.
async fn codex(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    // Its sandbox is not what is tried: beside a bubblewrap of the system it looks for a helper that a temporary home has not.
    let mut all = vec!["exec", "-c", "sandbox_mode=\"danger-full-access\""];
    all.extend(arguments);
    home.run(&binary(), &all, environment).await
}

/// A home with the configuration of docs/clients.md.
fn home(url: &str) -> Home {
    let home = Home::new();
    home.write(
        ".codex/config.toml",
        &documented("toml", "model = \"gpt-5\"", url),
    );
    home
}

/// What all its requests have in common.
fn is_codex(record: &Record, login: &str) {
    assert_eq!(record.who.login, login);
    assert_eq!(
        [&*record.client.name, &*record.client.version],
        ["codex", version().as_str()]
    );
}

fn version() -> String {
    let pinned: Value = serde_json::from_str(include_str!("package.json")).unwrap();
    pinned["dependencies"]["@openai/codex"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn calls(record: &Record) -> Vec<(&str, Option<bool>)> {
    let tools = record.tools.iter();
    tools
        .map(|tool| (tool.name.as_str(), tool.result_error))
        .collect()
}

#[tokio::test]
async fn codex_uses_a_tool_and_resumes_in_one_session() {
    let world = World::start().await;
    let home = home(&world.url("alice").await);
    let run = codex(
        &home,
        &["--skip-git-repo-check", "RUN: echo from-the-tool"],
        &[],
    )
    .await;
    assert!(run.said().starts_with("The tool said: "), "{run:?}");
    assert!(run.said().ends_with("\nfrom-the-tool"), "{run:?}");
    let resume = ["resume", "--skip-git-repo-check", "--last", "and again"];
    let run = codex(&home, &resume, &[]).await;
    assert_eq!(run.said(), "You said: and again");

    let records = world.records(3).await;
    let session = records[0].session;
    assert!(session.is_some());
    for record in &records {
        is_codex(record, "alice@example.com");
        assert_eq!(
            (record.end, record.streamed, record.session, &*record.path),
            (End::Complete, true, session, "POST /v1/responses")
        );
    }
    assert_eq!(calls(&records[0]), [("exec_command", None)]);
    assert_eq!(calls(&records[1]), [("exec_command", Some(false))]);
    assert_eq!(records[0].tools[0].call, records[1].tools[0].call);
    assert_eq!(calls(&records[2]), []);
    assert_eq!(records[0].title.as_deref(), Some("RUN: echo from-the-tool"));
    assert_eq!(records[2].title, None);
    assert!(world.beside().is_empty(), "{:?}", world.beside());
    world.stop().await;
}

#[tokio::test]
async fn codex_with_its_own_provider_leaves_the_websocket_at_once() {
    let world = World::start().await;
    let url = world.url("alice").await;
    let base = format!("openai_base_url=\"{url}/v1\"");
    let run = codex(
        &Home::new(),
        &[
            "--skip-git-repo-check",
            "-c",
            &base,
            "RUN: echo from-the-tool",
        ],
        &[("CODEX_API_KEY", "sk-of-the-client")],
    )
    .await;
    assert!(run.said().ends_with("from-the-tool"), "{run:?}");

    // One attempt, answered 426, and the request follows over HTTP without a pause.
    let records = world.records(3).await;
    for record in &records {
        is_codex(record, "alice@example.com");
    }
    assert_eq!(
        (records[0].status, records[0].failure.as_deref()),
        (Some(426), Some("websocket"))
    );
    assert_eq!(records[1].session, records[2].session);
    assert_eq!(calls(&records[1]), [("exec", None)]);
    assert_eq!(calls(&records[2]), [("exec", Some(false))]);
    let pause = records[1].started.0 - records[0].started.0;
    assert!(pause < 1000, "{pause} ms; a 404 costs it 6 s");
    for entry in world.provider.log() {
        let text = format!("{:?}", entry.request.headers);
        assert!(!text.contains("sk-of-the-client"), "{text}");
    }
    world.stop().await;
}

#[tokio::test]
async fn codex_says_clearly_and_soon_what_it_may_not_do() {
    let world = World::start().await;
    let bob = home(&world.url("bob").await);
    let run = codex(&bob, &["--skip-git-repo-check", "say hi"], &[]).await;
    assert!(!run.status.success());
    assert!(
        run.stderr.contains("ERROR: model not found: gpt-5"),
        "{run:?}"
    );
    let records = world.records(1).await;
    assert_eq!(records[0].failure.as_deref(), Some("no_model"));
    is_codex(&records[0], "bob@example.com");

    // It tries a 403 five more times before it shows it: about six seconds.
    let ci = home(&world.url("ci").await);
    let run = codex(&ci, &["--skip-git-repo-check", "say hi"], &[]).await;
    assert!(!run.status.success());
    assert!(
        run.stderr
            .contains("ERROR: unexpected status 403 Forbidden: access denied: no role granted"),
        "{run:?}"
    );
    let records = world.records(7).await;
    for record in &records[1..] {
        is_codex(record, "tag:ci");
        assert_eq!(record.failure.as_deref(), Some("no_role"));
    }
    assert!(run.took.as_secs() < 20, "{:?}", run.took);
    assert!(world.provider.log().is_empty());
    world.stop().await;
}

#[tokio::test]
#[ignore = "`make clients` runs it"]
async fn codex_that_is_interrupted_ends_its_request_at_the_provider() {
    let world = World::start().await;
    let home = home(&world.url("alice").await);
    let stall = r#"SCRIPT: {"text":"one two three four","stall":"mid_stream"}"#;
    let arguments = ["exec", "--skip-git-repo-check", stall];
    home.cancelled(&world.provider, &binary(), &arguments, &[])
        .await;
    let records = world.records(1).await;
    is_codex(&records[0], "alice@example.com");
    assert_eq!(records[0].end, End::ClientGone);
    world.stop().await;
}

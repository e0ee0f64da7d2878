//! The clients of `make clients`: SDKs and agents whose packages `make test` does not fetch.

use super::{Home, World, clients, documented};
use aperture::{
    endpoint::Endpoint,
    record::{End, Record},
};
use provider::Entry;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// One line of the SDK scripts.
#[derive(Debug, Deserialize)]
struct Told {
    case: String,
    text: String,
    usage: Option<Counts>,
}

/// Tokens as the SDK returned them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Counts {
    input: u64,
    output: u64,
}

/// Runs a script of this folder as alice, and compares what the SDKs returned with records and provider.
async fn sdk(program: PathBuf, script: &str, language: &str) {
    let world = World::start().await;
    let url = world.url("alice").await;
    let home = Home::new();
    home.write(
        &format!("project/{script}"),
        &std::fs::read_to_string(crate::support::repository("tests/clients/more").join(script))
            .unwrap(),
    );
    std::os::unix::fs::symlink(
        clients().join("more/node_modules"),
        home.0.path().join("project/node_modules"),
    )
    .unwrap();
    let run = home.run(&program, &[script, &url], &[]).await;
    let told: Vec<Told> = run
        .said()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 16, "{told:?}");

    let records = world.records(told.len()).await;
    for (told, record) in told.iter().zip(&records) {
        assert_eq!(record.who.login, "alice@example.com");
        let vendor = told.case.split(' ').next().unwrap();
        let (endpoint, client) = match vendor {
            "messages" if told.case == "messages count" => {
                (Endpoint::AnthropicCountTokens, "anthropic")
            }
            "messages" => (Endpoint::AnthropicMessages, "anthropic"),
            "chat" => (Endpoint::OpenaiChat, "openai"),
            _ => (Endpoint::OpenaiResponses, "openai"),
        };
        assert_eq!(record.endpoint, endpoint, "{}", told.case);
        assert_eq!(record.client.name, format!("{client}-{language}"));
        assert!(!record.client.version.is_empty());
        let entry = sent(&world, record);
        if told.case.ends_with("refused") {
            assert_eq!(told.text, "model not found: no-such-model");
            assert_eq!((record.end, record.status), (End::Refused, Some(404)));
            assert!(entry.is_none());
            continue;
        }
        assert_eq!((record.end, record.status), (End::Complete, Some(200)));
        assert_eq!(
            record.streamed,
            told.case.contains("streamed"),
            "{}",
            told.case
        );
        let entry = entry.unwrap();
        if let Some(counts) = &told.usage {
            let usage = entry.answer.usage.unwrap();
            let input = match endpoint {
                Endpoint::AnthropicMessages | Endpoint::AnthropicCountTokens => usage.input,
                _ => usage.prompt(),
            };
            let output = usage.output;
            assert_eq!(*counts, Counts { input, output }, "{}", told.case);
        }
        match told.case.rsplit(' ').next().unwrap() {
            "count" => assert_eq!(told.text, entry.request.body_len.div_ceil(4).to_string()),
            "tool" => assert_eq!(record.tools.len(), 1),
            "result" => {
                assert_eq!(told.text, format!("The tool said: echo by-{language}"));
                assert_eq!(record.tools[0].result_error, Some(false));
            }
            _ => assert!(told.text.starts_with("You said: hello, "), "{told:?}"),
        }
    }
    // No SDK states a session: the two requests of a tool turn are one, all others stand alone.
    let session = |case: &str| {
        let at = told.iter().position(|told| told.case == case).unwrap();
        records[at].session
    };
    let mut seen = Vec::new();
    for told in told.iter().filter(|told| session(&told.case).is_some()) {
        match told.case.strip_suffix(" result") {
            Some(turn) => assert_eq!(session(&told.case), session(&format!("{turn} tool"))),
            None => seen.push(session(&told.case)),
        }
    }
    assert_eq!(seen.len(), 10, "{told:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 10);
    world.stop().await;
}

/// What the provider saw of a request.
fn sent(world: &World, record: &Record) -> Option<Entry> {
    let id = record.provider_request_id.as_deref()?;
    let log = world.provider.log();
    log.into_iter()
        .find(|entry| super::provider_id(entry) == Some(id))
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn the_python_sdks_work() {
    sdk(
        clients().join("more/python/bin/python3"),
        "sdk.py",
        "python",
    )
    .await;
}

#[tokio::test]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn the_javascript_sdks_work() {
    let path = std::env::var_os("PATH").unwrap();
    let node = std::env::split_paths(&path)
        .map(|folder| folder.join("node"))
        .find(|node| node.exists())
        .expect("Node.js is installed");
    sdk(node, "sdk.mjs", "js").await;
}

#[tokio::test]
#[cfg(target_arch = "x86_64")]
#[ignore = "more packages: `make clients` fetches them and runs it"]
async fn opencode_uses_a_tool_in_each_dialect_in_one_session() {
    let world = World::start().await;
    let url = world.url("alice").await;
    let program = clients().join("more/node_modules/opencode-linux-x64/bin/opencode");
    let block: Value = serde_json::from_str(&documented("json", r#"{"provider""#, &url)).unwrap();
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
        },
        "permission": {"bash": "allow"},
    });
    let mut before = 0;
    for (model, endpoint) in [
        ("gateway/gpt-5", Endpoint::OpenaiChat),
        ("openai/gpt-5", Endpoint::OpenaiResponses),
        ("anthropic/claude-sonnet-4-5", Endpoint::AnthropicMessages),
    ] {
        let home = Home::new();
        home.write("project/opencode.json", &config.to_string());
        let run = home
            .run(
                &program,
                // It puts the prompt into quotes: the last one becomes a comment.
                &["run", "-m", model, "RUN: echo from-the-tool #"],
                &[
                    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
                    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
                    ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
                ],
            )
            .await;
        assert!(
            run.said().contains("The tool said: from-the-tool"),
            "{run:?}"
        );
        // A title, a call, and the answer to its result.
        let records = world.records(before + 3).await.split_off(before);
        before += 3;
        for record in &records {
            assert_eq!(record.who.login, "alice@example.com");
            assert_eq!(record.client.name, "opencode");
            assert_eq!((record.endpoint, record.streamed), (endpoint, true));
            assert_eq!(record.session, records[0].session);
        }
        assert!(records[0].session.is_some());
        let calls: Vec<_> = records.iter().flat_map(|record| &record.tools).collect();
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert_eq!(
            (&*calls[0].name, calls[1].result_error),
            ("bash", Some(false))
        );
    }
    world.stop().await;
}

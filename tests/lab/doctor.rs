//! What `doctor` says: all is well when all is well, and of everybody what the proxy does.

use super::{World, doctor_says};
use crate::support::{http, message};

const GRANTS: &str = r#"
    {"src": ["alice@example.com"], "grants": [{"role": "admin"}, {"providers": [{"provider": "*", "model": "*"}]}]},
    {"src": ["bob@example.com"], "grants": [{"role": "user"}, {"providers": [{"provider": "anthropic", "model": "claude-haiku-4-5"}]}]},
    {"src": ["tag:ci"], "grants": [{"role": "user"}, {"providers": [{"provider": "openai", "model": "*"}]}]}"#;

#[tokio::test]
async fn a_healthy_gateway_is_called_healthy() {
    let world = World::start(GRANTS, &[]).await;
    let (well, text) = doctor_says(&world.gateway, &[]).await;
    assert!(well, "{text}");
    for line in [
        "ok    node.state: running as ai",
        "ok    provider.http anthropic: answers (200)",
        "ok    provider.http openai: answers (200)",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn doctor_names_the_grant_that_decides_and_agrees_with_the_proxy_for_all_pairs() {
    let world = World::start(GRANTS, &[]).await;
    let models = [
        "claude-haiku-4-5",
        "claude-opus-4-5",
        "gpt-5",
        "no-such-model",
    ];
    let nodes = [
        ("alice", "alice@example.com"),
        ("bob", "bob@example.com"),
        ("ci", "tag:ci"),
    ];
    for (node, login) in nodes {
        let door = world.door(node).await;
        for model in models {
            let (_, text) = doctor_says(&world.gateway, &["--as", login, "--model", model]).await;
            for path in ["/v1/messages", "/v1/responses", "/v1/chat/completions"] {
                let answer = http::post(&format!("{door}{path}"), body(path, model)).await;
                let line = text
                    .lines()
                    .find(|line| line.contains(&format!("{path}: ")))
                    .unwrap_or_else(|| panic!("nothing about {path} in:\n{text}"));
                let says = line.starts_with("ok") && line.contains("goes to");
                assert_eq!(
                    says,
                    answer.status == 200,
                    "{login} {model} {path}: {} but\n{text}",
                    answer.status
                );
            }
        }
    }
    // The grant by which the proxy let it pass is the one that doctor names.
    let (_, text) = doctor_says(
        &world.gateway,
        &["--as", "bob@example.com", "--model", "claude-haiku-4-5"],
    )
    .await;
    let records = world.gateway.finished(nodes.len() * models.len() * 3).await;
    let record = records
        .iter()
        .find(|record| record.who.login == "bob@example.com" && record.status == Some(200))
        .unwrap();
    let grant = record.grant.as_deref().unwrap();
    assert!(text.contains(grant), "{grant} is not in:\n{text}");
    world.gateway.stop().await;
}

fn body(path: &str, model: &str) -> String {
    if path == "/v1/responses" {
        serde_json::json!({"model": model, "input": "hello"}).to_string()
    } else {
        message(model, "hello", false)
    }
}

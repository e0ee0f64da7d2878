//! Prompt caches that were missed, sub-agents and tools: from the wire to the record, the metrics, the page and the export.

use super::scrape;
use crate::support::{EVERYBODY, Gateway, config, gateway, gateway::Options, http};
use aperture::record::{MissCause, Record};
use hyper::Method;
use provider::{Matcher, Provider, Script};
use serde_json::{Value, json};

/// What the provider reads from its cache and writes to it: all of the prompt that stood there before, and the rest.
struct Cache {
    prefix: Vec<String>,
}

impl Cache {
    /// Tokens of each part.
    const PART: usize = 2000;

    fn usage(&mut self, body: &Value) -> Value {
        let mut parts = vec![body["tools"].to_string(), body["system"].to_string()];
        parts.extend(
            body["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(Value::to_string),
        );
        let same = self.prefix.iter().zip(&parts);
        let read = same.take_while(|(old, new)| old == new).count();
        // There is one mark, at the end of the prompt: the cache holds all of the old one, or nothing of use.
        let read = if read == self.prefix.len() { read } else { 0 };
        let written = parts.len() - read;
        self.prefix = parts;
        json!({"input_tokens": 3, "cache_read_input_tokens": read * Self::PART,
            "cache_creation_input_tokens": written * Self::PART, "output_tokens": 9})
    }
}

async fn send(
    gateway: &Gateway,
    provider: &Provider,
    lines: &[(&str, &str)],
    body: &Value,
    reply: &Value,
) {
    let script = Script::raw("application/json", [reply.to_string().into()]);
    provider.script_times(1, Matcher::any(), script);
    let url = format!("{}/v1/messages", gateway.url);
    let answer = http::send(Method::POST, &url, lines, body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

const SESSION: (&str, &str) = ("x-claude-code-session-id", "one");
const PROGRAM: (&str, &str) = ("user-agent", "claude-cli/2.1.330 (external, cli)");

/// A conversation of four requests, and one of a sub-agent.
async fn talk(gateway: &Gateway, provider: &Provider) {
    let user = |text: &str| json!({"role": "user", "content": text});
    let call = json!({"role": "assistant", "content": [
        {"type": "tool_use", "id": "toolu_1", "name": "mcp__github__list_issues", "input": {"state": "open"}}]});
    let result = json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": "no such repository"}]});
    let mut body = json!({"model": "claude-haiku-4-5", "max_tokens": 9, "tools": [{"name": "mcp__github__list_issues"}],
        "system": "You are an agent.\nWorking directory: /home/alice/project\n", "messages": [user("fix it")]});
    let mut cache = Cache { prefix: Vec::new() };
    let mut said = vec![call["content"].clone()];
    said.extend((0..3).map(|_| json!([{"type": "text", "text": "done"}])));
    for (turn, said) in said.iter().enumerate() {
        match turn {
            1 => {
                let messages = body["messages"].as_array_mut().unwrap();
                messages.extend([call.clone(), result.clone()]);
            }
            // Somebody rewrites the call.
            2 => body["messages"][1]["content"][0]["input"] = json!({"state": "all"}),
            3 => {
                body["system"] =
                    json!("You are another agent.\nWorking directory: /home/alice/project\n");
            }
            _ => {}
        }
        let reply = json!({"type": "message", "role": "assistant", "content": said, "stop_reason": "end_turn",
            "usage": cache.usage(&body)});
        send(gateway, provider, &[PROGRAM, SESSION], &body, &reply).await;
    }
    let agent = [PROGRAM, SESSION, ("x-claude-code-agent-id", "a1")];
    let task =
        json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [user("look around")]});
    let reply = json!({"type": "message", "content": [{"type": "text", "text": "seen"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 1}});
    send(gateway, provider, &agent, &task, &reply).await;
}

/// Cause, message, and tokens that should have been and were read.
fn miss(record: &Record) -> Option<(MissCause, Option<u32>, u64, u64)> {
    let miss = record.cache_miss.as_ref()?;
    Some((
        miss.cause,
        miss.message,
        miss.expected_tokens,
        miss.read_tokens,
    ))
}

#[tokio::test]
async fn a_missed_cache_is_explained_and_sub_agents_and_tools_are_told_apart() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url(), EVERYBODY), Options::default()).await;
    talk(&gateway, &provider).await;
    let records = gateway.finished(5).await;
    let misses: Vec<_> = records.iter().map(miss).collect();
    assert_eq!(
        misses,
        [
            None,
            None,
            Some((MissCause::Message, Some(2), 10_000, 0)),
            Some((MissCause::System, None, 10_000, 0)),
            None
        ]
    );
    let main = records[0].session.unwrap();
    assert_eq!(records[0].workspace.as_deref(), Some("/home/alice/project"));
    assert_ne!(records[4].session, Some(main));
    assert_eq!(
        (records[4].parent_session, records[4].agent.as_deref()),
        (Some(main), Some("a1"))
    );

    let called = &records[0].tools[0];
    assert_eq!(
        (called.server.as_str(), called.result_error),
        ("github", None)
    );
    let brought = &records[1].tools[0];
    assert_eq!(
        (
            brought.name.as_str(),
            brought.server.as_str(),
            brought.result_error,
            brought.result_bytes
        ),
        ("mcp__github__list_issues", "github", Some(true), 18)
    );
    let took = brought.duration_ms.expect("the gateway saw the call");
    let between = records[1].started.0 - records[0].started.0;
    assert!(took <= between, "{took} of {between}");
    assert_eq!(records[2].tools[0].duration_ms, None, "told once");

    let samples = scrape(&gateway).await;
    for (cause, count) in [("message", "1"), ("system", "1")] {
        let sample = samples.iter().find(|sample| {
            sample.name == "aperture_cache_misses_total" && sample.labels["cause"] == cause
        });
        assert_eq!(
            sample.map(|sample| sample.value.as_str()),
            Some(count),
            "{cause}"
        );
    }
    let page = http::get(&format!("{}/ui/sessions/{main}", gateway.url))
        .await
        .text();
    for part in [
        "the history changed at message 2",
        "the system prompt changed",
        "look around",
        "/home/alice/project",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let state = gateway.state_dir();
    let dir = gateway.stop().await;
    let output = gateway::run(&state, &["export", "sessions"]).await;
    let lines = String::from_utf8(output.stdout).unwrap();
    let sessions: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found = |id: String| {
        sessions
            .iter()
            .find(|session| session["id"] == json!(id))
            .unwrap()
    };
    let summary = found(main.to_string());
    assert_eq!(
        (&summary["cache_misses"], &summary["cache_missed_tokens"]),
        (&json!(2), &json!(20_000))
    );
    assert_eq!(
        found(records[4].session.unwrap().to_string())["parent"],
        json!(main.to_string())
    );
    drop(dir);
}

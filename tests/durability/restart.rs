//! Restarts: conversations go on in their sessions, and what is too old goes.

use crate::support::{EVERYBODY, Gateway, config, gateway::Options, http};
use aperture::record::Record;
use provider::{Matcher, Provider, Script};
use serde_json::{Value, json};

/// One more turn of a conversation; the answer joins it.
async fn turn(gateway: &Gateway, path: &str, model: &str, turns: &mut Vec<Value>, text: &str) {
    turns.push(json!({"role": "user", "content": text}));
    let key = if path == "/v1/responses" {
        "input"
    } else {
        "messages"
    };
    let body = json!({"model": model, "max_tokens": 99, key: turns});
    let answer = http::post(&format!("{}{path}", gateway.url), body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    match path {
        "/v1/messages" => turns.push(json!({"role": "assistant", "content": answer["content"]})),
        "/v1/responses" => turns.extend(answer["output"].as_array().unwrap().iter().cloned()),
        _ => turns.push(answer["choices"][0]["message"].clone()),
    }
}

const TALKS: [(&str, &str); 3] = [
    ("/v1/messages", "claude-haiku-4-5"),
    ("/v1/chat/completions", "gpt-4o"),
    ("/v1/responses", "gpt-5"),
];

#[tokio::test]
async fn conversations_without_ids_go_on_in_their_sessions_after_a_stop_and_after_a_kill() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let config = config(&provider.url(), EVERYBODY);
    let mut talks: Vec<Vec<Value>> = vec![Vec::new(); 2 * TALKS.len()];
    let mut options = Options::default();
    let mut records: Vec<Record> = Vec::new();
    for round in 0..3 {
        let mut gateway = Gateway::dev(&config, options.clone()).await;
        options.dir = Some(gateway.dir.clone());
        for (n, turns) in talks.iter_mut().enumerate() {
            let (path, model) = TALKS[n % TALKS.len()];
            let text = format!("round {round} of talk {n}");
            turn(&gateway, path, model, turns, &text).await;
        }
        records = gateway.finished((round + 1) * talks.len()).await;
        if round == 1 {
            gateway.process.signal("KILL").await;
            gateway.process.wait().await;
        } else {
            gateway.stop().await;
        }
    }
    let sessions: Vec<_> = records
        .iter()
        .map(|record| record.session.unwrap())
        .collect();
    let (first, later) = sessions.split_at(talks.len());
    assert_eq!(&later[..talks.len()], first, "after a stop");
    assert_eq!(&later[talks.len()..], first, "after a kill");
    let mut apart = first.to_vec();
    apart.sort_unstable();
    apart.dedup();
    assert_eq!(apart.len(), talks.len(), "each talk has its own");
    let titled = records.iter().filter(|record| record.title.is_some());
    assert_eq!(titled.count(), talks.len(), "a title comes once");
}

#[tokio::test]
async fn a_tool_call_made_before_a_restart_leads_its_result_to_the_session() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    provider.script_times(
        1,
        Matcher::any(),
        Script::from_json(r#"{"tool": {"name": "shell", "input": {"command": "ls"}}}"#).unwrap(),
    );
    let config = config(&provider.url(), EVERYBODY);
    let gateway = Gateway::dev(&config, Options::default()).await;
    let mut turns = Vec::new();
    turn(
        &gateway,
        "/v1/messages",
        "claude-haiku-4-5",
        &mut turns,
        "look around",
    )
    .await;
    let call = turns[1]["content"].as_array().unwrap().last().unwrap()["id"].clone();
    assert!(call.is_string(), "{turns:?}");
    gateway.finished(1).await;
    let dir = gateway.stop().await;

    let options = Options {
        dir: Some(dir),
        ..Options::default()
    };
    let gateway = Gateway::dev(&config, options).await;
    // The client has shortened its history: only the call's id is left of it.
    let turns = json!([
        {"role": "user", "content": "a summary of what was said"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "shell", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "a file"}]},
    ]);
    let body = json!({"model": "claude-haiku-4-5", "max_tokens": 99, "messages": turns});
    let answer = http::post(&format!("{}/v1/messages", gateway.url), body.to_string()).await;
    assert_eq!(answer.status, 200);
    let records = gateway.finished(2).await;
    assert_eq!(records[0].session, records[1].session);
    assert_eq!(records[1].tools[0].name, "shell");
    gateway.stop().await;
}

#[tokio::test]
async fn a_start_removes_what_is_older_than_retention_allows_and_keeps_the_counters() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let forever = config(&provider.url(), EVERYBODY);
    let gateway = Gateway::dev(&forever, Options::default()).await;
    for (path, model) in TALKS {
        turn(&gateway, path, model, &mut Vec::new(), "soon forgotten").await;
    }
    let records = gateway.finished(TALKS.len()).await;
    let counters = super::of_counters(&gateway.state_dir()).await;
    let page = |gateway: &Gateway| format!("{}/ui/requests/{}", gateway.url, records[0].id);
    assert_eq!(http::get(&page(&gateway)).await.status, 200);
    let dir = gateway.stop().await;

    let short = forever.replacen('{', r#"{"gateway": {"retention": {"records": "1ms"}},"#, 1);
    let options = Options {
        dir: Some(dir),
        ..Options::default()
    };
    let gateway = Gateway::dev(&short, options).await;
    let deadline = tokio::time::Instant::now() + crate::support::process::PATIENCE;
    while !gateway.records().await.is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "nothing was removed"
        );
    }
    assert_eq!(http::get(&page(&gateway)).await.status, 404);
    assert_eq!(super::of_counters(&gateway.state_dir()).await, counters);
    gateway.stop().await;
}

//! Real clients' requests, replayed: which session each of them gets.

use super::*;
use crate::tap::{ResponseTap, read_request};
use serde_json::{Value, json};
use std::{collections::HashMap, fmt::Write as _, fs, path::PathBuf};

const FILES: [&str; 15] = [
    "claude-code",
    "claude-code-auth-and-discovery",
    "claude-code-subagent-fork",
    "claude-code-tui",
    "codex-http",
    "opencode",
    "copilot-cli",
    "cline-cli",
    "goose-kilo",
    "pi-qwen-continue",
    "aider-llm",
    "vibe-llm",
    "sdk-python",
    "sdk-js",
    "langchain-litellm",
];

/// One request of a capture that belongs to an endpoint.
struct Request {
    /// The base URL's prefix that tells the runs of a file apart.
    run: String,
    endpoint: Endpoint,
    headers: HeaderMap,
    body: Value,
}

impl Request {
    fn turns(&self) -> &[Value] {
        let turns = self.body.get("messages").or(self.body.get("input"));
        turns.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

fn requests(file: &str) -> Vec<Request> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captures");
    let text = fs::read_to_string(folder.join(file).with_extension("json")).unwrap();
    let capture: Value = serde_json::from_str(&text).unwrap();
    let mut requests = Vec::new();
    for request in capture["requests"].as_array().unwrap() {
        let path = request["path"].as_str().unwrap_or_default();
        let found = Endpoint::ALL
            .into_iter()
            .find(|endpoint| path.ends_with(endpoint.path()));
        let (Some(endpoint), Some("POST"), Some(_)) = (
            found,
            request["method"].as_str(),
            request["body"].as_object(),
        ) else {
            continue;
        };
        let run = path.strip_suffix(endpoint.path()).unwrap().to_owned();
        // The mock upstream gave the same ids to everybody; providers don't.
        let own = format!("mock01-{file}{}", run.replace('/', "-"));
        let body = request["body"].to_string().replace("mock01", &own);
        let headers = request["headers"].as_object().unwrap().iter();
        requests.push(Request {
            run,
            endpoint,
            headers: headers
                .map(|(name, value)| {
                    (
                        name.to_lowercase().parse::<HeaderName>().unwrap(),
                        value.as_str().unwrap().parse().unwrap(),
                    )
                })
                .collect(),
            body: serde_json::from_str(&body).unwrap(),
        });
    }
    requests
}

/// The reply that the client must have got, from the history of its next request of the same run.
fn reply(requests: &[Request], at: usize) -> Value {
    let asked = requests[at].turns();
    let is_reply = |turn: &&Value| {
        turn["role"] == "assistant"
            || turn["type"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("_call"))
    };
    let next = requests[at + 1..]
        .iter()
        .find(|next| next.run == requests[at].run && next.turns().len() > asked.len());
    let said: Vec<&Value> = next.map_or(Vec::new(), |next| {
        next.turns()[asked.len()..]
            .iter()
            .take_while(is_reply)
            .collect()
    });
    // What the mock upstream said where nobody repeats it.
    let text = "Hello from the mock upstream.";
    let default = json!({"role": "assistant", "content": [{"type": "text", "text": text}]});
    let said = if said.is_empty() {
        vec![&default]
    } else {
        said
    };
    match requests[at].endpoint {
        Endpoint::AnthropicMessages | Endpoint::AnthropicCountTokens => said
            .first()
            .map_or(json!({}), |said| json!({"content": said["content"]})),
        Endpoint::OpenaiChat => {
            json!({"choices": [{"message": if said[0] == &default { json!({"content": text}) } else { said[0].clone() }}]})
        }
        _ => {
            json!({"output": said.iter().map(|said| { let mut said = (*said).clone(); said.as_object_mut().unwrap().entry("type").or_insert(json!("message")); said }).collect::<Vec<_>>()})
        }
    }
}

/// Everything of one file comes from one person at once: the hardest case.
fn replay(file: &str, sessions: &Sessions) -> String {
    let requests = requests(file);
    let mut names: HashMap<SessionId, String> = HashMap::new();
    let mut out = String::new();
    for (at, request) in requests.iter().enumerate() {
        let text = request.body.to_string();
        let facts = read_request(request.endpoint, &HeaderMap::new(), text.as_bytes()).unwrap();
        let client = client_of(&request.headers);
        let now = Timestamp(1_000_000 + at as u64 * 1000);
        let assigned = sessions.assign(&Asking {
            user: "user:alice",
            node: "n1",
            client: &client,
            endpoint: request.endpoint,
            headers: &request.headers,
            facts: &facts,
            configured: &[],
            now,
        });
        let number = names.len() + 1;
        let name = assigned.session.map_or("none".to_owned(), |session| {
            names.entry(session).or_insert(format!("S{number}")).clone()
        });
        let parent = assigned.parent.map_or(String::new(), |parent| {
            format!(" parent {}", names.get(&parent).map_or("?", String::as_str))
        });
        let agent = assigned
            .agent
            .map_or(String::new(), |agent| format!(" agent {agent}"));
        let fresh = if assigned.fresh { " fresh" } else { "" };
        let results: Vec<_> = facts
            .tool_results
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        writeln!(
            out,
            "{at:2} {}{} {} {}: {name}{fresh}{parent}{agent} | {}{}{}",
            request.run,
            request.endpoint.path(),
            client.name,
            client.version,
            assigned.title.as_deref().unwrap_or("-"),
            assigned
                .workspace
                .map_or(String::new(), |path| format!(" | in {path}")),
            if results.is_empty() {
                String::new()
            } else {
                format!(" | results {results:?}")
            },
        )
        .unwrap();
        if let Some(session) = assigned.session
            && request.endpoint.generates()
        {
            let mut tap = ResponseTap::new(request.endpoint, 200, &HeaderMap::new());
            tap.feed(reply(&requests, at).to_string().as_bytes());
            sessions.learn(&Answered {
                user: "user:alice",
                client: &client.name,
                session,
                model: ["mock", &facts.model],
                request: &facts,
                response: &tap.finish(true),
                whole: true,
                started: now,
                now,
            });
        }
    }
    out
}

#[test]
fn real_clients_get_the_sessions_that_their_users_had() {
    let sessions = Sessions::new(1000);
    let mut all = String::new();
    for file in FILES {
        writeln!(all, "== {file}\n{}", replay(file, &sessions)).unwrap();
    }
    insta::assert_snapshot!(all);
}

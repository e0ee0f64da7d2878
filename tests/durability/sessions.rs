//! Real clients' requests, replayed over HTTP with their own heads, paths and ids: what is recorded of each of them.
//!
//! The table was reviewed request by request; a change in it is a change of what people see. Everything comes from one
//! person, the hardest case for grouping.

use crate::support::{EVERYBODY, Gateway, gateway::Options, http, repository};
use aperture::{endpoint::Endpoint, record::Record};
use hyper::Method;
use provider::{Matcher, Provider, Script};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

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

/// What a connection says of itself, and what belongs to the body as it was before its texts were cut.
const OWN: [&str; 7] = [
    "host",
    "connection",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "expect",
    "upgrade",
];

/// One request of a capture that belongs to an endpoint.
struct Request {
    /// The base URL's prefix that tells the runs of a file apart.
    run: String,
    endpoint: Endpoint,
    query: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Request {
    fn turns(&self) -> &[Value] {
        let turns = self.body.get("messages").or(self.body.get("input"));
        turns.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn model(&self) -> String {
        self.body["model"].as_str().unwrap_or_default().to_owned()
    }
}

fn requests(file: &str) -> Vec<Request> {
    let path = repository("tests/fixtures/captures").join(format!("{file}.json"));
    let capture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let read = |request: &Value| {
        let path = request["path"].as_str()?;
        let endpoint = Endpoint::ALL
            .into_iter()
            .find(|endpoint| path.ends_with(endpoint.path()))?;
        if request["method"] != "POST" || !request["body"].is_object() {
            return None;
        }
        let run = path.strip_suffix(endpoint.path())?.to_owned();
        // The mock upstream gave the same ids to everybody; providers don't.
        let own = format!("mock01-{file}{}", run.replace('/', "-"));
        let body = request["body"].to_string().replace("mock01", &own);
        let headers = request["headers"].as_object()?.iter();
        Some(Request {
            run,
            endpoint,
            query: request["query"].as_str().unwrap_or_default().to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
                .filter(|(name, _)| !OWN.contains(&name.as_str()))
                .collect(),
            body: known_only(serde_json::from_str(&body).unwrap()),
        })
    };
    let all = capture["requests"].as_array().unwrap();
    all.iter().filter_map(read).collect()
}

/// The body without the stored response that it builds on: that one is not in the captures, so nobody owns it here.
fn known_only(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.remove("previous_response_id");
    }
    body
}

/// Whether a request goes on from another: it repeats all texts of it.
fn goes_on(next: &Request, from: &Request) -> bool {
    fn texts(turn: &Value, out: &mut String) {
        match turn {
            Value::Array(parts) => parts.iter().for_each(|part| texts(part, out)),
            Value::Object(part) => {
                ["content", "text"]
                    .iter()
                    .filter_map(|name| part.get(*name))
                    .for_each(|value| texts(value, out));
            }
            Value::String(text) => out.push_str(text),
            _ => {}
        }
    }
    let said = |turn: &Value| {
        let mut text = String::new();
        texts(turn, &mut text);
        text
    };
    let (new, old) = (next.turns(), from.turns());
    next.run == from.run
        && new.len() > old.len()
        && new.iter().zip(old).all(|(new, old)| said(new) == said(old))
}

/// The reply that the client must have got, from the history of the request that goes on from it.
fn reply(requests: &[Request], at: usize) -> Value {
    let asked = &requests[at];
    let is_reply = |turn: &&Value| {
        let kind = turn["type"].as_str();
        turn["role"] == "assistant" || kind.is_some_and(|kind| kind.ends_with("_call"))
    };
    let next = requests[at + 1..].iter().find(|next| goes_on(next, asked));
    let said: Vec<Value> = next.map_or(Vec::new(), |next| {
        let new = next.turns()[asked.turns().len()..].iter();
        new.take_while(is_reply).cloned().collect()
    });
    // What the mock upstream said where nobody repeats it.
    let text = "Hello from the mock upstream.";
    match asked.endpoint {
        Endpoint::AnthropicCountTokens => json!({"input_tokens": 7}),
        Endpoint::AnthropicMessages => {
            let content = said.first().map_or_else(
                || json!([{"type": "text", "text": text}]),
                |said| said["content"].clone(),
            );
            json!({"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn",
                "usage": {"input_tokens": 11, "output_tokens": 3}})
        }
        Endpoint::OpenaiChat => {
            let message = said
                .first()
                .cloned()
                .unwrap_or_else(|| json!({"content": text}));
            json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 3}})
        }
        _ => {
            let mut output = said;
            if output.is_empty() {
                output.push(json!({"role": "assistant", "content": [{"type": "output_text", "text": text}]}));
            }
            for item in &mut output {
                item.as_object_mut()
                    .unwrap()
                    .entry("type")
                    .or_insert(json!("message"));
            }
            json!({"object": "response", "status": "completed", "output": output,
                "usage": {"input_tokens": 11, "output_tokens": 3}})
        }
    }
}

/// Every model of the captures, at two providers by dialect.
fn config(provider: &str, all: &[(&str, Vec<Request>)]) -> String {
    let models = |anthropic: bool| -> BTreeSet<String> {
        let requests = all.iter().flat_map(|(_, requests)| requests);
        let own = requests
            .filter(|request| request.endpoint.path().starts_with("/v1/messages") == anthropic);
        own.map(Request::model).collect()
    };
    let grant: Value = serde_json::from_str(EVERYBODY).unwrap();
    let key = json!({"type": "Bearer", "value": "sk-upstream-key"});
    json!({
        "providers": {
            "anthropic": {"baseurl": provider, "authorization": key, "models": models(true),
                "compatibility": {"anthropic_messages": true}},
            "openai": {"baseurl": provider, "authorization": key, "models": models(false),
                "compatibility": {"openai_chat": true, "openai_responses": true}},
        },
        "temp_grants": [grant],
    })
    .to_string()
}

/// One line of the table.
fn line(request: &Request, record: &Record, names: &mut HashMap<String, String>) -> String {
    let number = names.len() + 1;
    let session = record.session.map_or("none".to_owned(), |session| {
        let name = names.entry(session.to_string());
        name.or_insert(format!("S{number}")).clone()
    });
    let mut line = format!(
        "{}{} {} {}: {session}",
        request.run,
        request.endpoint.path(),
        record.client.name,
        record.client.version
    );
    if let Some(parent) = record.parent_session {
        let name = names.get(&parent.to_string());
        write!(line, " parent {}", name.map_or("?", String::as_str)).unwrap();
    }
    if let Some(agent) = &record.agent {
        write!(line, " agent {agent}").unwrap();
    }
    let model = record.model.as_deref().unwrap_or("-");
    let streamed = if record.streamed { "stream" } else { "whole" };
    write!(line, " | {model} {streamed} {:?}", record.end).unwrap();
    for tool in &record.tools {
        let what = match tool.result_error {
            None => "calls",
            Some(false) => "result of",
            Some(true) => "failed",
        };
        write!(line, " | {what} {}", tool.name).unwrap();
    }
    if let Some(title) = &record.title {
        let title: String = title.chars().take(60).collect();
        write!(line, " | {title:?}").unwrap();
    }
    line
}

#[tokio::test]
async fn real_clients_requests_are_recorded_as_their_users_would_expect() {
    let all: Vec<_> = FILES.map(|file| (file, requests(file))).into();
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url(), &all), Options::default()).await;
    let mut sent = 0;
    for (file, requests) in &all {
        for (at, request) in requests.iter().enumerate() {
            let script = Script::raw("application/json", [reply(requests, at).to_string().into()]);
            provider.script_times(1, Matcher::any(), script);
            let url = match request.query.as_str() {
                "" => format!("{}{}", gateway.url, request.endpoint.path()),
                query => format!("{}{}?{query}", gateway.url, request.endpoint.path()),
            };
            let headers: Vec<_> = request
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let body = request.body.to_string();
            let answer = http::send(Method::POST, &url, &headers, body.clone()).await;
            assert_eq!(answer.status, 200, "{file} {at}: {}", answer.text());
            sent += 1;
            let entry = provider.log().pop().unwrap();
            // The one edit: usage is asked for where the client did not.
            let passed = String::from_utf8(entry.request.body.clone().unwrap().into()).unwrap();
            let asked_for = r#""stream_options":{"include_usage":true},"#;
            let added = !body.contains("include_usage") && passed.contains(asked_for);
            let passed = if added {
                passed.replacen(asked_for, "", 1)
            } else {
                passed
            };
            assert_eq!(passed, body, "{file} {at}");
        }
    }
    let records = gateway.finished(sent).await;
    assert_eq!(records.len(), sent);
    let mut records = records.iter();
    let (mut names, mut table) = (HashMap::new(), String::new());
    for (file, requests) in &all {
        writeln!(table, "== {file}").unwrap();
        for request in requests {
            let record = records.next().unwrap();
            assert_eq!(record.endpoint, request.endpoint);
            assert_eq!(
                record.model_asked.as_deref(),
                Some(request.model().as_str())
            );
            assert_eq!(record.streamed, request.body["stream"] == true);
            writeln!(table, "{}", line(request, record, &mut names)).unwrap();
        }
        writeln!(table).unwrap();
    }
    insta::assert_snapshot!(table);
    gateway.stop().await;
}

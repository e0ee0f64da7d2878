//! Real clients' requests, replayed over the tailnet with their own heads, paths and ids: what reaches the provider, what
//! comes back, and what is recorded of each.
//!
//! The table was reviewed request by request; a change in it is a change of what people see. Everything comes from one
//! person, the hardest case for grouping.

use super::with;
use crate::support::{EVERYBODY, Gateway, Lab, gateway::Options, http, repository};
use ::http::{HeaderMap, Method};
use aperture::{
    endpoint::{Dialect, Endpoint, locate, model_in_path},
    provider::headers::{Edit, HEAD_EDITS, Side},
    record::Record,
};
use percent_encoding::percent_decode_str;
use provider::{Entry, Matcher, Provider, Script};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
};

const FILES: [&str; 20] = [
    "claude-code",
    "claude-code-auth-and-discovery",
    "claude-code-subagent-fork",
    "claude-code-tui",
    "claude-code-bedrock-vertex-mantle-foundry",
    "codex-http",
    "codex-websocket",
    "gemini-cli",
    "opencode",
    "copilot-cli",
    "cline-cli",
    "goose-kilo",
    "goose-google-bedrock",
    "pi-qwen-continue",
    "aider-llm",
    "vibe-llm",
    "sdk-python",
    "sdk-boto3",
    "sdk-js",
    "langchain-litellm",
];

/// What a connection says of itself, and what belongs to the body as it was before its texts were cut.
const OWN: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "expect",
    "upgrade",
    "trailer",
];

/// One request of a capture.
struct Request {
    /// The base URL's prefix that tells the runs of a file apart.
    run: String,
    /// Its path without that.
    path: String,
    query: String,
    method: Method,
    /// Its endpoint; none for the others.
    endpoint: Option<Endpoint>,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Request {
    fn turns(&self) -> &[Value] {
        let turns = ["messages", "input", "contents"]
            .iter()
            .find_map(|name| self.body.get(name));
        turns.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn model(&self) -> Option<String> {
        match model_in_path(self.endpoint?, &self.path) {
            Some(model) => Some(
                percent_decode_str(model)
                    .decode_utf8()
                    .unwrap()
                    .into_owned(),
            ),
            None => Some(self.body["model"].as_str()?.to_owned()),
        }
    }
}

/// The path behind the run's prefix.
fn split(path: &str) -> (&str, &str) {
    let at = path.match_indices('/').map(|(at, _)| at);
    let found = at
        .map(|at| path.split_at(at))
        .find(|(_, rest)| locate(rest).is_some());
    found.unwrap_or_else(|| match path[1..].find('/') {
        // Something else: the first segment is the run's, where there is another.
        Some(slash) if !path.starts_with("/v1") => path.split_at(slash + 1),
        _ => ("", path),
    })
}

fn requests(file: &str) -> Vec<Request> {
    let path = repository("tests/fixtures/captures").join(format!("{file}.json"));
    let capture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let read = |request: &Value| {
        let (run, path) = split(request["path"].as_str()?);
        let method: Method = request["method"].as_str()?.parse().unwrap();
        let endpoint =
            locate(path).filter(|_| method == Method::POST && request["body"].is_object());
        // The mock upstream gave the same ids to everybody; providers don't.
        let own = format!("mock01-{file}{}", run.replace('/', "-"));
        let body = request["body"].to_string().replace("mock01", &own);
        let upgrade = request["websocket"] == true;
        let keep = |name: &str| !OWN.contains(&name) || (upgrade && name == "upgrade");
        let headers = request["headers"].as_object()?.iter();
        Some(Request {
            run: run.to_owned(),
            path: path.to_owned(),
            query: request["query"].as_str().unwrap_or_default().to_owned(),
            method,
            endpoint,
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
                .filter(|(name, _)| keep(name))
                .collect(),
            body: serde_json::from_str(&body).unwrap(),
        })
    };
    let all = capture["requests"].as_array().unwrap();
    all.iter().filter_map(read).collect()
}

/// Whether a request goes on from another: it repeats all texts of it.
fn goes_on(next: &Request, from: &Request) -> bool {
    fn texts(turn: &Value, out: &mut String) {
        match turn {
            Value::Array(parts) => parts.iter().for_each(|part| texts(part, out)),
            Value::Object(part) => {
                ["content", "text", "parts"]
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
        turn["role"] == "assistant"
            || turn["role"] == "model"
            || kind.is_some_and(|kind| kind.ends_with("_call"))
    };
    let next = requests[at + 1..].iter().find(|next| goes_on(next, asked));
    let said: Vec<Value> = next.map_or(Vec::new(), |next| {
        let new = next.turns()[asked.turns().len()..].iter();
        new.take_while(is_reply).cloned().collect()
    });
    // What the mock upstream said where nobody repeats it.
    let text = "Hello from the mock upstream.";
    let endpoint = asked.endpoint.unwrap();
    if !endpoint.generates() {
        return json!({"input_tokens": 7, "data": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}});
    }
    match endpoint.dialect() {
        Dialect::AnthropicMessages | Dialect::GoogleRawPredict | Dialect::BedrockModelInvoke => {
            let content = said.first().map_or_else(
                || json!([{"type": "text", "text": text}]),
                |said| said["content"].clone(),
            );
            json!({"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn",
                "usage": {"input_tokens": 11, "output_tokens": 3}})
        }
        Dialect::OpenaiChat => {
            let message = said
                .first()
                .cloned()
                .unwrap_or_else(|| json!({"content": text}));
            let choice = match endpoint {
                Endpoint::OpenaiCompletions => json!({"text": text, "finish_reason": "stop"}),
                _ => json!({"index": 0, "message": message, "finish_reason": "stop"}),
            };
            json!({"choices": [choice],
                "usage": {"prompt_tokens": 11, "completion_tokens": 3}})
        }
        Dialect::OpenaiResponses => {
            let mut output = said;
            if output.is_empty() {
                output.push(json!({"role": "assistant", "content": [{"type": "output_text", "text": text}]}));
            }
            for item in &mut output {
                let item = item.as_object_mut().unwrap();
                item.entry("type").or_insert(json!("message"));
            }
            // Who builds on an answer names its id.
            let named = requests[at + 1..]
                .iter()
                .filter(|next| next.run == asked.run)
                .find_map(|next| next.body["previous_response_id"].as_str());
            json!({"object": "response", "id": named, "status": "completed", "output": output,
                "usage": {"input_tokens": 11, "output_tokens": 3}})
        }
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => {
            let content = said
                .first()
                .cloned()
                .unwrap_or_else(|| json!({"role": "model", "parts": [{"text": text}]}));
            json!({"candidates": [{"content": content, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14}})
        }
        Dialect::BedrockConverse => {
            let message = said
                .first()
                .cloned()
                .unwrap_or_else(|| json!({"role": "assistant", "content": [{"text": text}]}));
            json!({"output": {"message": message}, "stopReason": "end_turn",
                "usage": {"inputTokens": 11, "outputTokens": 3, "totalTokens": 14}})
        }
    }
}

/// Every model of the captures, at a provider for each family of dialects.
fn config(provider: &str, all: &[(&str, Vec<Request>)]) -> String {
    let mut models: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for request in all.iter().flat_map(|(_, requests)| requests) {
        if let (Some(endpoint), Some(model)) = (request.endpoint, request.model()) {
            let family = match endpoint.dialect() {
                Dialect::AnthropicMessages => "anthropic",
                Dialect::OpenaiChat | Dialect::OpenaiResponses => "openai",
                Dialect::GeminiGenerateContent => "gemini",
                Dialect::GoogleGenerateContent | Dialect::GoogleRawPredict => "vertex",
                Dialect::BedrockModelInvoke | Dialect::BedrockConverse => "bedrock",
            };
            models.entry(family).or_default().insert(model);
        }
    }
    let grant: Value = serde_json::from_str(EVERYBODY).unwrap();
    let key = json!({"type": "Bearer", "value": "sk-upstream-key"});
    let flags = |family| match family {
        "anthropic" => json!({"anthropic_messages": true}),
        "openai" => json!({"openai_chat": true, "openai_responses": true}),
        "gemini" => json!({"gemini": true}),
        "vertex" => json!({"vertex": true}),
        _ => json!({"bedrock": true}),
    };
    let providers: serde_json::Map<String, Value> = models
        .iter()
        .map(|(family, models)| {
            let provider = json!({"baseurl": provider, "authorization": key, "models": models,
                "compatibility": flags(family)});
            ((*family).to_owned(), provider)
        })
        .collect();
    json!({"providers": providers, "temp_grants": [grant]}).to_string()
}

/// What reached the provider is what the client sent, but for the closed list of edits.
fn passed(request: &Request, body: &str, entry: &Entry, what: &str) {
    let got = String::from_utf8(entry.request.body.clone().unwrap().into()).unwrap();
    // The one edit to these bodies: usage is asked for where the client did not.
    let asked_for = r#""stream_options":{"include_usage":true},"#;
    let added = !body.contains("include_usage") && got.contains(asked_for);
    let got = if added {
        got.replacen(asked_for, "", 1)
    } else {
        got
    };
    assert_eq!(got, body, "{what}");

    let edited = |name: &str| {
        let rows = HEAD_EDITS.iter().filter(|row| row.side == Side::Request);
        rows.filter(|row| match row.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => row.name == name,
        })
        .find_map(|row| (row.edit != Edit::Default).then_some(row.edit))
    };
    let head: &HeaderMap = &entry.request.headers;
    for (name, value) in &request.headers {
        let arrived: Vec<_> = head
            .get_all(name)
            .iter()
            .map(::http::HeaderValue::as_bytes)
            .collect();
        match edited(name) {
            Some(Edit::Drop) => {
                assert!(
                    !arrived.contains(&value.as_bytes()),
                    "{what}: {name} arrived"
                );
            }
            Some(_) if added => {}
            None | Some(_) if name == "keep-alive" || name == "te" => {}
            None | Some(_) => assert_eq!(arrived, [value.as_bytes()], "{what}: {name}"),
        }
    }
    assert_eq!(head["authorization"], "Bearer sk-upstream-key", "{what}");
}

/// One line of the table.
fn line(
    request: &Request,
    record: &Record,
    target: &str,
    names: &mut HashMap<String, String>,
) -> String {
    let number = names.len() + 1;
    let session = record.session.map_or("none".to_owned(), |session| {
        let name = names.entry(session.to_string());
        name.or_insert(format!("S{number}")).clone()
    });
    let mut line = format!(
        "{}{} {} {}: {session}",
        request.run, request.path, record.client.name, record.client.version
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
    write!(
        line,
        " | {} {model} {streamed} {:?}",
        record.endpoint.as_str(),
        record.end
    )
    .unwrap();
    let usage = &record.usage;
    write!(line, " {}+{}", usage.input, usage.output).unwrap();
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
    let path = target.split('?').next().unwrap();
    if path != request.path {
        write!(line, " | sent to {path}").unwrap();
    }
    line
}

#[tokio::test]
async fn real_clients_requests_pass_unchanged_and_are_recorded_as_their_users_would_expect() {
    let all: Vec<_> = FILES.map(|file| (file, requests(file))).into();
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = Lab::start(&with(&[])).await;
    let gateway = Gateway::on(&lab, &config(&provider.url(), &all), Options::default()).await;
    let door = lab.forward("alice", "ai:80").await;
    let mut told = Vec::new();
    for (file, requests) in &all {
        for (at, request) in requests.iter().enumerate() {
            let what = format!("{file} {at} {}{}", request.run, request.path);
            let url = match request.query.as_str() {
                "" => format!("{door}{}", request.path),
                query => format!("{door}{}?{query}", request.path),
            };
            let headers: Vec<_> = request
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let before = provider.log().len();
            if request.endpoint.is_none() {
                let head = http::open(request.method.clone(), &url, &headers, "").await;
                assert_eq!(
                    provider.log().len(),
                    before,
                    "{what}: answered by the gateway itself"
                );
                told.push(Err(head.status().as_u16()));
                continue;
            }
            let said = reply(requests, at).to_string();
            let script = Script::raw("application/json", [said.clone().into()]);
            provider.script_times(1, Matcher::any(), script);
            let body = request.body.to_string();
            let answer = http::send(request.method.clone(), &url, &headers, body.clone()).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            assert_eq!(answer.text(), said, "{what}");
            let entry = provider.log().pop().unwrap();
            passed(request, &body, &entry, &what);
            told.push(Ok(entry.request.target.clone()));
        }
    }
    // A WebSocket that is refused is recorded too.
    let recorded = |told: &&Result<String, u16>| !matches!(told, Err(status) if *status != 426);
    let count = told.iter().filter(recorded).count();
    let records = gateway.finished(count).await;
    let mut records = records
        .iter()
        .filter(|record| record.failure.as_deref() != Some("websocket"));
    let (mut names, mut table) = (HashMap::new(), String::new());
    let mut told = told.into_iter();
    for (file, requests) in &all {
        writeln!(table, "== {file}").unwrap();
        for request in requests {
            match told.next().unwrap() {
                Err(status) => {
                    let Request {
                        run, path, method, ..
                    } = request;
                    writeln!(table, "{run}{path}: {method} is answered {status}").unwrap();
                }
                Ok(target) => {
                    let record = records.next().unwrap();
                    assert_eq!(Some(record.endpoint), request.endpoint);
                    assert_eq!(record.model_asked, request.model());
                    writeln!(table, "{}", line(request, record, &target, &mut names)).unwrap();
                }
            }
        }
        writeln!(table).unwrap();
    }
    assert!(records.next().is_none());
    insta::assert_snapshot!(table);
    gateway.stop().await;
}

//! The API over the wire: its document by an independent validator, its answers by its document, its figures by the pages.

use super::{document, start};
use crate::support::{
    config,
    gateway::Gateway,
    http::{Answer, get, send},
    message, repository,
};
use http::Method;
use provider::Provider;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{io::AsyncWriteExt as _, process::Command};

/// One operation of the document.
pub(super) struct Operation {
    id: String,
    pub(super) method: Method,
    /// Its path, `{name}` included.
    pub(super) path: String,
    row: Value,
}

/// All operations, as the document has them.
pub(super) fn operations(document: &Value) -> Vec<Operation> {
    let base = document["servers"][0]["url"].as_str().unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let server = item["servers"][0]["url"].as_str().unwrap_or(base);
        for (method, row) in item.as_object().unwrap() {
            if method == "servers" {
                continue;
            }
            all.push(Operation {
                id: row["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: format!("{}{path}", server.trim_end_matches('/')),
                row: row.clone(),
            });
        }
    }
    all
}

/// An exchange as the validator reads it.
fn exchange(operation: &str, answer: &Answer) -> Value {
    let media = answer.headers.get("content-type");
    let media = media.map(|media| media.to_str().unwrap());
    let is_json = media.is_some_and(|media| media.contains("json"));
    let body = if is_json {
        answer.json()
    } else {
        answer.text().into()
    };
    json!({"operation": operation, "status": answer.status.as_u16(), "media": media, "body": body})
}

/// Everything that the validators find.
async fn judged(document: &Value, exchanges: &[Value]) -> String {
    let python = repository(".cache/python/bin/python");
    assert!(
        python.exists(),
        "validators are missing: run scripts/setup test"
    );
    let mut process = Command::new(python)
        .arg(repository("tests/support/verify_openapi.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let case = json!({"document": document, "exchanges": exchanges}).to_string();
    let mut stdin = process.stdin.take().unwrap();
    let write = async move { stdin.write_all(case.as_bytes()).await.unwrap() };
    let (output, ()) = tokio::join!(process.wait_with_output(), write);
    let output = output.unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// A gateway with two recorded requests of one session, and the document of its API.
async fn used(settings: &str) -> (Provider, Gateway, Value) {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), settings)).await;
    for text in ["a first question", "a second question"] {
        let url = format!("{}/v1/messages", gateway.url);
        let head = [
            ("content-type", "application/json"),
            ("x-session-id", "one"),
        ];
        let answer = send(
            Method::POST,
            &url,
            &head,
            message("claude-haiku-4-5", text, false),
        )
        .await;
        assert_eq!(answer.status, 200);
    }
    gateway.finished(2).await;
    let answer = get(&format!("{}/aperture/openapi.json", gateway.url)).await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    (provider, gateway, document)
}

/// What goes into the places of a path, so that there is something.
pub(super) fn filled(path: &str, gateway: &[aperture::record::Record]) -> String {
    let first = &gateway[0];
    path.replace("{session}", &first.session.unwrap().to_string())
        .replace("{request}", &first.id.to_string())
        .replace("{model}", "claude-haiku-4-5")
        .replace("{version}", "1")
}

/// A body that works, of an operation that takes one.
async fn working(gateway: &Gateway, operation: &str) -> Value {
    let mut current = get(&format!("{}/api/config", gateway.url)).await.json();
    current.as_object_mut().unwrap().remove("exists");
    match operation {
        "putConfigOfOld" => current,
        "putConfig" | "validateConfig" => json!({"config": current["config"]}),
        "revertConfig" => json!({"version": 1}),
        other => panic!("{other} takes a body: say here which one works"),
    }
}

/// One operation that is asked, and what it answered.
struct Trial<'a> {
    operation: &'a Operation,
    gateway: &'a Gateway,
    url: String,
    exchanges: Vec<Value>,
}

/// The head of a write that is taken.
const WRITES: [(&str, &str); 2] = [("content-type", "application/json"), ("if-match", "*")];

impl Trial<'_> {
    /// Asks, and expects that status and the lines that all answers have.
    async fn ask(&mut self, wanted: u16, url: &str, head: &[(&str, &str)], body: &str) -> Answer {
        let Operation { id, method, .. } = self.operation;
        let answer = send(method.clone(), url, head, body.to_owned()).await;
        assert_eq!(answer.status, wanted, "{id}: {}", answer.text());
        let cache = answer.headers["cache-control"].to_str().unwrap();
        let private = cache.contains("no-store") || cache.contains("private");
        assert!(private, "{id}: {cache}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        self.exchanges.push(exchange(id, &answer));
        answer
    }

    /// The same with these after the address.
    async fn query(&mut self, wanted: u16, query: &str) -> Answer {
        let url = format!("{}?{query}", self.url);
        self.ask(wanted, &url, &[], "").await
    }

    async fn reads(&mut self) {
        let url = self.url.clone();
        self.ask(200, &url, &[], "").await;
        self.query(400, "nonsense=1").await;
        let head = send(Method::HEAD, &url, &[], "").await;
        let (status, length) = (head.status.as_u16(), head.body.len());
        assert_eq!((status, length), (200, 0), "{}", self.operation.id);
    }

    async fn writes(&mut self) {
        let url = self.url.clone();
        let body = working(self.gateway, &self.operation.id).await;
        self.ask(200, &url, &WRITES, &body.to_string()).await;
        self.ask(415, &url, &[("content-type", "text/plain")], "{}")
            .await;
        self.ask(400, &url, &WRITES, "{").await;
        let nonsense = r#"{"config": "", "nonsense": 1}"#;
        self.ask(422, &url, &WRITES, nonsense).await;
        self.ask(422, &url, &WRITES, "[]").await;
        let large = "x".repeat(10 << 20);
        self.ask(413, &url, &WRITES, &large).await;
    }

    /// What varies: forms, wrong values, ids of nothing.
    async fn parameters(&mut self) {
        let parameters = self.operation.row["parameters"].as_array().unwrap();
        for parameter in parameters {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            if parameter["in"] == "query" {
                let words = schema["enum"].as_array();
                if words.is_some_and(|words| words.contains(&"csv".into())) {
                    self.query(200, "format=csv").await;
                    let url = self.url.clone();
                    self.ask(200, &url, &[("accept", "text/csv")], "").await;
                }
                if *schema != json!({"type": "string"}) {
                    let wrong = self.query(400, &format!("{name}=wrong")).await.json();
                    assert_eq!(wrong["errors"][0]["location"], format!("query.{name}"));
                    assert_eq!(wrong["errors"][0]["value"], "wrong");
                }
            } else if schema.get("pattern").is_some() || name == "version" {
                for id in [
                    "req_00000000000000000000000000000001",
                    "ses_00000000000000000000000000000001",
                    "999",
                    "x",
                ] {
                    let path = self.operation.path.replace(&format!("{{{name}}}"), id);
                    let url = format!("{}{path}", self.gateway.url);
                    self.ask(404, &url, &[], "").await;
                }
            }
        }
    }

    async fn other_methods(&self) {
        let Operation { id, method, .. } = self.operation;
        let elsewhere = send(Method::PATCH, &self.url, &[], "").await;
        assert_eq!(elsewhere.status, 405, "{id}");
        let allowed = elsewhere.headers["allow"].to_str().unwrap();
        assert!(allowed.contains(method.as_str()), "{id}: {allowed}");
    }
}

/// Every operation answers as the document says: when all is well, and when each thing is wrong that can be.
#[tokio::test]
async fn the_document_is_valid_and_every_operation_answers_as_it_says() {
    let (_provider, gateway, document) = used("").await;
    let records = gateway.records().await;
    let mut exchanges = Vec::new();
    let everything = operations(&document);
    assert!(everything.len() > 10);
    for operation in &everything {
        let mut trial = Trial {
            operation,
            gateway: &gateway,
            url: format!("{}{}", gateway.url, filled(&operation.path, &records)),
            exchanges: Vec::new(),
        };
        if operation.row.get("requestBody").is_some() {
            trial.writes().await;
        } else {
            trial.reads().await;
        }
        trial.parameters().await;
        trial.other_methods().await;
        exchanges.extend(trial.exchanges);
    }
    gateway.stop().await;
    // Those who are no admin, and those who are nobody.
    let user = r#"{"src": ["*"], "grants": [{"role": "user"}]}"#;
    for grants in [user, ""] {
        let gateway = start(&config("http://127.0.0.1:9", grants)).await;
        for operation in &everything {
            let about = operation.row["description"].as_str().unwrap();
            if about.contains("Admins only.") || grants.is_empty() {
                let url = format!("{}{}", gateway.url, filled(&operation.path, &records));
                let answer = send(operation.method.clone(), &url, &WRITES, "{}").await;
                assert_eq!(answer.status, 403, "{}", operation.id);
                let flat = grants.is_empty() || operation.path.starts_with("/api/");
                let exact = answer.text() == r#"{"error":"access denied: no role granted"}"#;
                assert_eq!(exact, flat, "{}", operation.id);
                exchanges.push(exchange(&operation.id, &answer));
            }
        }
        gateway.stop().await;
    }
    let wrong = judged(&document, &exchanges).await;
    assert!(wrong.is_empty(), "{wrong}");
}

/// The validators find what is wrong: they are not there for show.
#[tokio::test]
async fn the_validators_notice_a_wrong_document_and_a_wrong_answer() {
    let (_provider, gateway, mut document) = used("").await;
    let answer = get(&format!("{}/aperture/usage", gateway.url)).await;
    let mut right = exchange("usage", &answer);
    assert_eq!(judged(&document, std::slice::from_ref(&right)).await, "");
    right["body"]["total"]["requests"] = "two".into();
    let wrong = judged(&document, &[right]).await;
    assert!(wrong.contains("usage 200: total/requests"), "{wrong}");
    document["info"].as_object_mut().unwrap().remove("title");
    let wrong = judged(&document, &[]).await;
    assert!(wrong.contains("title"), "{wrong}");
    gateway.stop().await;
}

/// Lines of a table by the names of its columns.
fn table(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let names: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|line| names.iter().cloned().zip(line).collect())
        .collect()
}

/// The API, the pages and the export add up the same counters.
#[tokio::test]
async fn figures_are_those_of_the_pages_and_of_the_export() {
    let (_provider, gateway, _) = used("").await;
    let page = get(&format!("{}/ui/adoption/people.csv", gateway.url))
        .await
        .text();
    let api = get(&format!(
        "{}/aperture/usage?group_by=user&format=csv",
        gateway.url
    ))
    .await
    .text();
    let (page, api) = (table(&page), table(&api));
    assert_eq!((page.len(), api.len()), (1, 1));
    assert_eq!(page[0]["requests"], "2");
    for (of_page, of_api) in [
        ("login", "login"),
        ("requests", "requests"),
        ("failed", "errors"),
        ("input", "input"),
        ("cache_read", "cache_read"),
        ("output", "output"),
        ("unpriced_requests", "unpriced"),
    ] {
        assert_eq!(page[0][of_page], api[0][of_api], "{of_page}");
    }
    assert!(api[0]["cost_usd"].starts_with(&page[0]["cost_usd"]));
    let export = gateway.command(&["export", "usage"]).await;
    let lines = String::from_utf8(export.stdout).unwrap();
    let sum = |name: &str| -> u64 {
        let rows = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row[name].as_u64().unwrap()).sum()
    };
    let told = get(&format!("{}/aperture/usage", gateway.url)).await.json();
    for name in ["requests", "cost_pico", "request_bytes", "response_bytes"] {
        assert_eq!(told["total"][name], sum(name), "{name}");
    }
    assert!(sum("cost_pico") > 0);
    gateway.stop().await;
}

/// The examples of docs/api.md are commands that work.
#[tokio::test]
async fn the_examples_of_the_reference_work() {
    let (_provider, gateway, _) = used("").await;
    let reference = std::fs::read_to_string(repository("docs/api.md")).unwrap();
    let examples: Vec<&str> = reference
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() > 3);
    for example in examples {
        let command = example.replace("http://ai", &gateway.url);
        let mut shell = Command::new("sh");
        shell.args(["-euc", &command]);
        let output = shell.output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "{example}: {errors}"
        );
        assert!(!output.stdout.is_empty(), "{example}");
    }
    gateway.stop().await;
}

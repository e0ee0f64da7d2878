//! A stand-in for an OpenTelemetry collector, and the reading of what it got by the protocol's own messages.

use super::{
    cloud::{Asked, Said, StandIn, said},
    process::PATIENCE,
    repository,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::process::Stdio;
use tokio::{io::AsyncWriteExt as _, process::Command, time::Instant};

/// A collector on loopback.
#[derive(Clone, Debug)]
pub struct Collector {
    pub stand_in: StandIn,
}

/// One span, as the protocol's own messages read it.
#[derive(Clone, Debug)]
pub struct Span(pub Value);

impl Span {
    /// An attribute; null when it is not there.
    pub fn get(&self, name: &str) -> &Value {
        let typed = &self.0["attributes"][name];
        let value = typed.as_object().and_then(|typed| typed.values().next());
        value.unwrap_or(&Value::Null)
    }

    /// The type of an attribute: `string`, `int`, `double`, `bool`, `list`.
    pub fn type_of(&self, name: &str) -> &str {
        let typed = self.0["attributes"][name].as_object();
        typed
            .and_then(|typed| typed.keys().next())
            .map_or("", |kind| kind.as_str())
    }

    pub fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_default()
    }

    pub fn count(&self, name: &str) -> u64 {
        self.get(name).as_u64().unwrap_or_default()
    }
}

impl Collector {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| taken()).await
    }

    /// One that answers so; the second is how many posts came before.
    pub async fn answering(answer: impl Fn(&Asked, usize) -> Said + Send + Sync + 'static) -> Self {
        Self {
            stand_in: StandIn::start(answer).await,
        }
    }

    /// Its settings, with more of them: `"content": true`.
    pub fn settings(&self, more: &str) -> String {
        format!(r#""otlp": {{"endpoint": "{}", {more}}}"#, self.stand_in.url)
    }

    /// Everything that was posted, read.
    pub async fn spans(&self) -> Vec<Span> {
        read(&self.stand_in.asked()).await
    }

    /// The posts, once there are that many.
    pub async fn posts(&self, count: usize) -> Vec<Asked> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = self.stand_in.asked();
            if asked.len() >= count {
                return asked;
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} posts came",
                asked.len()
            );
            tokio::task::yield_now().await;
        }
    }
}

/// What a collector answers that took everything.
pub fn taken() -> Said {
    Said {
        headers: vec![("content-type", "application/x-protobuf")],
        ..said(200, "")
    }
}

/// Reads posts; fails when one is not exactly what the protocol and its conventions say.
pub async fn read(posts: &[Asked]) -> Vec<Span> {
    for post in posts {
        assert_eq!(post.method, http::Method::POST);
        assert!(post.target.ends_with("/v1/traces"), "{}", post.target);
        assert_eq!(post.header("content-type"), "application/x-protobuf");
    }
    let bodies: Vec<&[u8]> = posts.iter().map(|post| &*post.body).collect();
    decode(&bodies).await
}

/// Reads bodies of posts.
pub async fn decode(bodies: &[&[u8]]) -> Vec<Span> {
    let python = repository(".cache/python/bin/python");
    assert!(
        python.exists(),
        "the protocol's messages are missing: run scripts/setup test"
    );
    let mut process = Command::new(python)
        .arg(repository("tests/support/read_otlp.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let lines: Vec<String> = bodies.iter().map(|body| STANDARD.encode(body)).collect();
    let lines = lines.join("\n");
    // Read while it is written: neither side may wait for the other.
    let writing = tokio::spawn(async move { stdin.write_all(lines.as_bytes()).await });
    let output = process.wait_with_output().await.unwrap();
    writing.await.unwrap().unwrap();
    assert!(output.status.success(), "a post is not as it has to be");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| Span(serde_json::from_str(line).unwrap()))
        .collect()
}

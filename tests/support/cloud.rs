//! Stand-ins for a cloud: servers that note what they are asked, and the verification of what they got.

use super::repository;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{convert::Infallible, process::Stdio, sync::Arc, time::SystemTime};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, process::Command, sync::Semaphore};

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: SystemTime,
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field of a posted form.
    pub fn field(&self, name: &str) -> String {
        let text = self.text();
        let value = text
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        percent_encoding::percent_decode_str(value)
            .decode_utf8()
            .unwrap()
            .into_owned()
    }
}

/// What a stand-in says.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: String,
    /// Said only with one of its permits; without any, never.
    pub gate: Option<Arc<Semaphore>>,
}

pub fn said(status: u16, body: impl Into<String>) -> Said {
    Said {
        status,
        headers: vec![("content-type", "application/json")],
        body: body.into(),
        gate: None,
    }
}

/// A server on loopback.
#[derive(Clone, Debug)]
pub struct StandIn {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    /// Starts one; `answer` also gets how many requests came before.
    pub async fn start(answer: impl Fn(&Asked, usize) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                    async move {
                        let (head, body) = request.into_parts();
                        let asked = Asked {
                            at: SystemTime::now(),
                            method: head.method,
                            target: head.uri.to_string(),
                            headers: head.headers,
                            body: body.collect().await.unwrap().to_bytes(),
                        };
                        let before = {
                            let mut log = log.lock();
                            log.push(asked.clone());
                            log.len() - 1
                        };
                        let said = answer(&asked, before);
                        if let Some(gate) = said.gate {
                            gate.acquire().await.unwrap().forget();
                        }
                        let mut response = Response::builder().status(said.status);
                        for (name, value) in said.headers {
                            response = response.header(name, value);
                        }
                        let body = Full::new(Bytes::from(said.body));
                        Ok::<_, Infallible>(response.body(body).unwrap())
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, asked }
    }

    /// Always says the same.
    pub async fn saying(status: u16, body: &'static str) -> Self {
        Self::start(move |_, _| said(status, body)).await
    }

    /// Everything so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

/// Keys that a request should be signed with.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    pub access_key: &'a str,
    pub secret_key: &'a str,
    pub token: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// Fails unless botocore would have signed each request so.
pub async fn verify(stand_in: &StandIn, asked: &[Asked], signer: Signer<'_>) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let python = repository(".cache/python/bin/python");
    assert!(
        python.exists(),
        "botocore is missing: run scripts/setup test"
    );
    let mut process = Command::new(python)
        .arg(repository("tests/support/verify_sigv4.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut cases = String::new();
    for asked in asked {
        let headers: Vec<Value> = asked
            .headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()]))
            .collect();
        let case = json!({
            "method": asked.method.as_str(),
            "url": format!("{}{}", stand_in.url, asked.target),
            "headers": headers,
            "body": STANDARD.encode(&asked.body),
            "access_key": signer.access_key,
            "secret_key": signer.secret_key,
            "token": signer.token,
            "region": signer.region,
            "service": signer.service,
        });
        cases.push_str(&case.to_string());
        cases.push('\n');
    }
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(cases.as_bytes()).await.unwrap();
    drop(stdin);
    let output = process.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<&str> = text.lines().collect();
    assert_eq!(verdicts.len(), asked.len(), "{text}");
    for (asked, verdict) in asked.iter().zip(verdicts) {
        assert_eq!(verdict, "ok", "{} {}", asked.method, asked.target);
    }
}

/// The service account of the tests, with another token endpoint.
pub fn keyfile(token_uri: &str) -> String {
    let text =
        std::fs::read_to_string(repository("tests/fixtures/credentials/account.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["token_uri"] = token_uri.into();
    file.to_string()
}

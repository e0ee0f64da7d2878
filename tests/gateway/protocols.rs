//! What clients and providers may speak: HTTP/1.1 in all its forms, HTTP/2, TLS.

use super::{
    document, start,
    wire::{Ended, Wire},
};
use crate::support::{EVERYBODY, Gateway, chat, config, gateway, http as client, message};
use ::bytes::Bytes;
use aperture::record::End;
use futures_util::future::join_all;
use http::{Method, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use provider::{Matcher, Options, Provider, Script};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};
use tokio::net::TcpStream;

const MODEL: &str = "claude-haiku-4-5";

async fn h2(gateway: &Gateway) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn clients_may_speak_http2_without_tls_and_many_requests_share_a_connection() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let sender = h2(&gateway).await;
    let mut answers = Vec::new();
    for number in 0..20 {
        let mut sender = sender.clone();
        let body = message(
            "claude-haiku-4-5",
            &format!("say {number} please"),
            number % 2 == 0,
        );
        let request = Request::post("http://ai/v1/messages")
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();
        answers.push(tokio::spawn(async move {
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(
                (answer.version(), answer.status().as_u16()),
                (Version::HTTP_2, 200)
            );
            assert!(answer.headers().contains_key("aperture-request-id"));
            (body, answer.into_body().collect().await.unwrap().to_bytes())
        }));
    }
    for answer in answers {
        let (body, received) = answer.await.unwrap();
        let entry = provider
            .log()
            .into_iter()
            .find(|entry| entry.request.body.as_deref() == Some(body.as_bytes()))
            .expect("the body as it was sent");
        assert_eq!(received, entry.answer.body().unwrap());
    }
    assert_eq!(gateway.finished(20).await.len(), 20);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_unless_it_is_refused() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let body = message("claude-haiku-4-5", "hello", false);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: ai\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut wire = Wire::connect(&gateway.url).await;
    assert!(wire.write(head.as_bytes()).await);
    assert_eq!(wire.try_head().await.unwrap().status(), 100);
    assert!(wire.write(body.as_bytes()).await);
    assert_eq!(wire.head().await.status(), 200);
    assert!(provider.log()[0].header("expect").is_none());

    let gateway = start(&config(&provider.url(), "")).await;
    let mut wire = Wire::connect(&gateway.url).await;
    assert!(wire.write(head.as_bytes()).await);
    assert_eq!(wire.try_head().await.unwrap().status(), 403);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let mut wire = Wire::connect(&gateway.url).await;
    let mut requests = Vec::new();
    for number in 0..5 {
        let body = message(
            "claude-haiku-4-5",
            &format!("number {number}"),
            number % 2 == 1,
        );
        let length = body.len();
        write!(
            requests,
            "POST /v1/messages HTTP/1.1\r\nhost: ai\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    }
    assert!(wire.write(&requests).await);
    for number in 0..5 {
        let (head, body) = wire.response().await;
        assert_eq!((head.status(), body.ended), (200, Ended::Whole));
        assert_eq!(body.bytes, provider.log()[number].answer.body().unwrap());
    }
    for record in gateway.finished(5).await {
        assert_eq!(record.end, End::Complete);
    }
}

#[tokio::test]
async fn an_http_1_0_client_is_served_and_its_connection_ends_with_the_body() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let mut wire = Wire::connect(&gateway.url).await;
    let body = message("claude-haiku-4-5", "hello", true);
    let request = format!(
        "POST /v1/messages HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(wire.write(request.as_bytes()).await);
    let (head, received) = wire.response().await;
    assert_eq!(head.status(), 200);
    assert_eq!(received.bytes, provider.log()[0].answer.body().unwrap());
}

#[tokio::test]
async fn sequential_requests_reuse_their_connection_to_the_provider() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    for number in 0..20 {
        let text = if number % 2 == 0 {
            message("claude-haiku-4-5", "x", number % 4 == 0)
        } else {
            chat("gpt-4o", "x", number % 3 == 0)
        };
        let path = if number % 2 == 0 {
            "messages"
        } else {
            "chat/completions"
        };
        let answer = client::post(&format!("{}/v1/{path}", gateway.url), text).await;
        assert_eq!(answer.status, 200);
    }
    // It is kept before the client has the last byte of the answer.
    assert_eq!(provider.accepted(), 1);
}

fn with_authority(document: &str, pem: &str) -> String {
    let trusted = serde_json::to_string(pem).unwrap();
    document.replace(
        "\"authorization\"",
        &format!("\"extra_ca\": {trusted}, \"authorization\""),
    )
}

/// A provider that speaks TLS under an authority of its own, and a gateway that trusts that.
async fn over_tls() -> (Provider, Gateway) {
    let provider = Provider::start(Options::default().with_tls())
        .await
        .unwrap();
    let url = format!("https://localhost:{}", provider.tls_addr().unwrap().port());
    let gateway = start(&with_authority(
        &config(&url, EVERYBODY),
        provider.ca_pem().unwrap(),
    ))
    .await;
    (provider, gateway)
}

#[tokio::test]
async fn providers_are_reached_over_tls_by_http2_with_an_authority_of_their_own() {
    let (provider, gateway) = over_tls().await;
    for stream in [false, true] {
        let body = message("claude-haiku-4-5", "hello", stream);
        let answer = client::post(&format!("{}/v1/messages", gateway.url), body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let entry = provider.log().pop().unwrap();
        assert_eq!(entry.request.protocol, Version::HTTP_2);
        assert_eq!(entry.request.body.as_deref(), Some(body.as_bytes()));
        assert_eq!(answer.body, entry.answer.body().unwrap());
    }
    assert_eq!(provider.accepted(), 1);
}

#[tokio::test]
async fn of_the_connections_that_begin_together_one_is_kept_for_all_over_http2() {
    let (provider, gateway) = over_tls().await;
    let url = format!("{}/v1/messages", gateway.url);
    let ask = |n: usize| {
        client::post(
            &url,
            message(MODEL, &format!("number {n}"), n.is_multiple_of(2)),
        )
    };
    for answer in join_all((0..20).map(ask)).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let made = provider.accepted();
    assert!((1..=20).contains(&made), "{made}");
    for answer in join_all((20..60).map(ask)).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(provider.accepted(), made);
    let of_http2 = |entry: &provider::Entry| entry.request.protocol == Version::HTTP_2;
    assert!(provider.log().iter().all(of_http2));
    assert_eq!(gateway.finished(60).await.len(), 60);
}

#[tokio::test]
async fn the_authorities_of_ssl_cert_file_are_trusted() {
    let provider = Provider::start(Options::default().with_tls())
        .await
        .unwrap();
    let url = format!("https://127.0.0.1:{}", provider.tls_addr().unwrap().port());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), provider.ca_pem().unwrap()).unwrap();
    let options = gateway::Options {
        environment: vec![("SSL_CERT_FILE".into(), file.path().to_str().unwrap().into())],
        ..gateway::Options::default()
    };
    let gateway = Gateway::dev(&config(&url, EVERYBODY), options).await;
    let answer = client::post(
        &format!("{}/v1/messages", gateway.url),
        message("claude-haiku-4-5", "x", false),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_wrong_certificate_is_a_502_that_says_so_in_the_log() {
    let provider = Provider::start(Options::default().with_tls())
        .await
        .unwrap();
    let url = format!("https://127.0.0.1:{}", provider.tls_addr().unwrap().port());
    let gateway = start(&config(&url, EVERYBODY)).await;
    let answer = client::post(
        &format!("{}/v1/messages", gateway.url),
        message("claude-haiku-4-5", "x", false),
    )
    .await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.json()["error"]["message"],
        "provider anthropic could not be reached"
    );
    let detail = gateway
        .event("request failed", |fields| {
            fields["detail"].as_str().map(str::to_owned)
        })
        .await;
    assert!(detail.contains("certificate"), "{detail}");
    assert!(
        provider.log().is_empty(),
        "no key and no prompt went to a stranger"
    );
    assert_eq!(
        gateway.finished(1).await[0].failure.as_deref(),
        Some("unreachable")
    );
}

#[tokio::test]
async fn providers_that_speak_http1_over_tls_are_reached_too() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let settings = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![made.cert.der().clone()], key)
    .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let serving = tokio::task::spawn_blocking(move || {
        let (stream, _) = listener.accept().unwrap();
        let session = rustls::ServerConnection::new(Arc::new(settings)).unwrap();
        let mut tls = rustls::StreamOwned::new(session, stream);
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        while !seen.ends_with(b"}") {
            let count = tls.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..count]);
        }
        tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            .unwrap();
        tls.flush().unwrap();
        String::from_utf8(seen).unwrap()
    });
    let gateway = start(&with_authority(&config(&url, EVERYBODY), &made.cert.pem())).await;
    let body = message("claude-haiku-4-5", "hello", false);
    let answer = client::post(&format!("{}/v1/messages", gateway.url), body.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, "{}".to_owned())
    );
    let seen = serving.await.unwrap();
    assert!(seen.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with(&body));
}

#[tokio::test]
async fn pages_of_other_origins_and_rebound_names_are_refused() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(
        &provider.url(),
        "\"cors\": {\"origins\": [\"https://chat.example\"]}",
    ))
    .await;
    let models = format!("{}/v1/messages", gateway.url);
    let pages = format!("{}/ui/", gateway.url);
    let body = message("claude-haiku-4-5", "x", false);
    let own = gateway.url.clone();

    for origin in [
        "https://evil.example",
        "null",
        "http://localhost:1",
        "https://chat.example.evil",
    ] {
        let answer = client::send(Method::POST, &models, &[("origin", origin)], body.clone()).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.json()["error"]["type"], "permission_error");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        let answer = client::send(Method::GET, &pages, &[("origin", origin)], "").await;
        assert_eq!(answer.status, 403, "{origin}");
    }
    // An origin for the models is none for the pages.
    let listed = [("origin", "https://chat.example")];
    assert_eq!(
        client::send(Method::GET, &pages, &listed, "").await.status,
        403
    );
    let rebound = [("host", "evil.example")];
    assert_eq!(
        client::send(Method::GET, &pages, &rebound, "").await.status,
        403
    );
    let both = [("host", "evil.example"), ("origin", "http://evil.example")];
    assert_eq!(
        client::send(Method::POST, &models, &both, body.clone())
            .await
            .status,
        403
    );
    assert!(provider.log().is_empty(), "no provider heard of them");

    // Clients come under names of their own.
    let answer = client::send(Method::POST, &models, &rebound, body.clone()).await;
    assert_eq!(answer.status, 200);
    for origin in [("origin", own.as_str())] {
        assert_eq!(
            client::send(Method::GET, &pages, &[origin], "")
                .await
                .status,
            200
        );
        assert_eq!(
            client::send(Method::POST, &models, &[origin], body.clone())
                .await
                .status,
            200
        );
    }
    let answer = client::send(Method::POST, &models, &listed, body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://chat.example"
    );
    assert!(
        provider
            .log()
            .iter()
            .all(|entry| entry.header("origin").is_none())
    );

    let preflight = [
        ("origin", "https://chat.example"),
        ("access-control-request-method", "POST"),
    ];
    let answer = client::send(Method::OPTIONS, &models, &preflight, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://chat.example"
    );
    assert_eq!(answer.headers["access-control-allow-methods"], "POST");
    let foreign = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
    ];
    assert_eq!(
        client::send(Method::OPTIONS, &models, &foreign, "")
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn responses_without_a_body_are_complete() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    for status in [200, 204] {
        let script = Script {
            status: Some(status),
            ..Script::raw("application/json", [])
        };
        provider.script_times(1, Matcher::any(), script);
        let answer = client::post(
            &format!("{}/v1/messages", gateway.url),
            message("claude-haiku-4-5", "x", false),
        )
        .await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
    }
    for record in gateway.finished(2).await {
        assert_eq!(record.end, End::Complete, "{record:?}");
        assert_eq!(record.bytes.response, 0);
    }
}

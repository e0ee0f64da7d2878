//! Peers and providers who write what the protocol does not permit: framing that can be read in two ways, heads that would
//! speak for others, answers that nobody asked for, redirects, and floods of HTTP/2 frames.

use super::{
    document, start,
    wire::{Head, Then, Upstream, Wire},
};
use crate::support::{Gateway, cloud::StandIn, http as client, message, process::PATIENCE};
use provider::Provider;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const MODEL: &str = "claude-haiku-4-5";

/// A request with these framing lines and this body, and another one behind it that must not be taken for one.
fn framed(lines: &str, body: &str) -> String {
    let hidden = message(MODEL, "smuggled", false);
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: ai\r\n{lines}\r\n\r\n{body}POST /v1/messages HTTP/1.1\r\nhost: ai\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    )
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Framing on which servers disagree: whoever takes it for one thing lets a second request through that another one does not see.
#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let mut upstream = Upstream::start().await;
    let gateway = start(&document(&upstream.url, "")).await;
    let body = message(MODEL, "hello", false);
    let length = body.len();
    let chunks = chunked(&body);
    let cases = [
        (
            format!("content-length: {length}\r\ncontent-length: {}", length + 1),
            &body,
        ),
        (format!("content-length: {length}, {length}"), &body),
        (format!("content-length: +{length}"), &body),
        (format!("content-length: -{length}"), &body),
        (format!("content-length: 0x{length:x}"), &body),
        (format!("content-length: {length} {length}"), &body),
        ("content-length: 99999999999999999999".to_owned(), &body),
        (format!("content-length : {length}"), &body),
        (format!("x-a: b\r\n content-length: {length}"), &body),
        (format!("x-a: b\rcontent-length: {length}"), &body),
        (format!("x-a: b\0\r\ncontent-length: {length}"), &body),
        ("transfer-encoding: chunked, identity".to_owned(), &chunks),
        ("transfer-encoding: identity".to_owned(), &chunks),
        ("transfer-encoding: xchunked".to_owned(), &chunks),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: gzip".to_owned(),
            &chunks,
        ),
        ("transfer-encoding : chunked".to_owned(), &chunks),
        ("transfer-encoding\u{b}: chunked".to_owned(), &chunks),
    ];
    for (lines, body) in cases {
        refused(&gateway, &framed(&lines, body)).await;
    }
    let old = format!("POST /v1/messages HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    refused(&gateway, &old).await;
    // Chunks that are none.
    for chunks in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "-1\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}x\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
    ] {
        refused(&gateway, &framed("transfer-encoding: chunked", chunks)).await;
    }

    // The first request that arrives is this one, so none of those above did.
    for (lines, sent) in [
        ("transfer-encoding: chunked".to_owned(), &chunks),
        (
            "content-length: 5\r\ntransfer-encoding: chunked".to_owned(),
            &chunks,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 5".to_owned(),
            &chunks,
        ),
        (
            format!("content-length: {length}\r\ncontent-length: {length}"),
            &body,
        ),
    ] {
        upstream.reply(vec![answer("{}")], Then::Stay);
        let mut wire = Wire::connect(&gateway.url).await;
        let request = format!("POST /v1/messages HTTP/1.1\r\nhost: ai\r\n{lines}\r\n\r\n{sent}");
        assert!(wire.write(request.as_bytes()).await);
        assert_eq!(wire.head().await.status(), 200, "{lines}");
        let (head, got) = upstream.request().await;
        assert_eq!(got, body.as_bytes(), "{lines}");
        // Framed anew, in one way only.
        assert_eq!(head.all("content-length"), [length.to_string().as_bytes()]);
        assert!(head.all("transfer-encoding").is_empty(), "{head:?}");
    }
    gateway.stop().await;
}

/// Sends what must be answered by a refusal and the end of the connection.
async fn refused(gateway: &Gateway, request: &str) {
    let mut wire = Wire::connect(&gateway.url).await;
    wire.write(request.as_bytes()).await;
    let said = wire.closed().await;
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 4"),
        "{request:?}: {said}"
    );
    assert!(
        said.matches("HTTP/1.1 ").count() <= 1,
        "{request:?}: {said}"
    );
}

/// A whole response.
fn answer(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// The head of what a client gets when the provider writes these lines.
async fn told(gateway: &Gateway, upstream: &Upstream, lines: &str) -> Head {
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{lines}\r\n\r\n{{}}");
    upstream.reply(vec![reply.into_bytes()], Then::Close);
    let mut wire = Wire::connect(&gateway.url).await;
    let body = message(MODEL, "hello", false);
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: ai\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(wire.write(request.as_bytes()).await);
    let (head, _) = wire.response().await;
    head
}

#[tokio::test]
async fn a_provider_can_not_speak_for_the_gateway_or_for_another_site() {
    let upstream = Upstream::start().await;
    let gateway = start(&document(&upstream.url, "")).await;
    let forged = "set-cookie: session=stolen\r\naccess-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\nstrict-transport-security: max-age=9\r\nalt-svc: h2=\":1\"\r\naperture-request-id: req_forged\r\nconnection: x-own, close\r\nx-own: 1\r\nx-kept: 1";
    let head = told(&gateway, &upstream, forged).await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.get("x-kept"), Some("1"));
    for name in [
        "set-cookie",
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "strict-transport-security",
        "alt-svc",
        "x-own",
    ] {
        assert!(head.all(name).is_empty(), "{name}: {head:?}");
    }
    let ids = head.all("aperture-request-id");
    assert_eq!(ids.len(), 1);
    assert_ne!(ids[0], b"req_forged");
    // What would become a line of its own, to whoever reads it otherwise.
    for lines in [
        "x-a: b\rset-cookie: session=stolen",
        "x-a: b\nset-cookie: session=stolen",
        "x-a: b\r\n set-cookie: session=stolen",
        "x-a: b\0set-cookie: session=stolen",
        "transfer-encoding: chunked\r\nx-a: b",
        "content-length: 3\r\nx-a: b",
    ] {
        let head = told(&gateway, &upstream, lines).await;
        let lengths = head.all("content-length").len() + head.all("transfer-encoding").len();
        assert_eq!(lengths, 1, "{lines:?}: {head:?}");
        let bare = |value: &[u8]| value.iter().any(|byte| b"\r\n\0".contains(byte));
        for (name, value) in &head.lines {
            assert!(name != "set-cookie" && !bare(value), "{lines:?}: {head:?}");
        }
    }
    gateway.stop().await;
}

/// A server that answers twice: the second answer would be taken for that of the next request on its connection.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    let mut upstream = Upstream::start().await;
    let gateway = start(&document(&upstream.url, "")).await;
    let url = format!("{}/v1/messages", gateway.url);
    for round in 0..20 {
        let (own, stray) = (format!("{{\"own\":{round}}}"), "{\"stray\":true}");
        upstream.reply(vec![[answer(&own), answer(stray)].concat()], Then::Stay);
        let got = client::post(&url, message(MODEL, &format!("round {round}"), false)).await;
        assert_eq!(got.text(), own);
        let (_, body) = upstream.request().await;
        assert!(
            String::from_utf8(body)
                .unwrap()
                .contains(&format!("round {round}\""))
        );
    }
    gateway.stop().await;
}

/// A redirect that were followed would carry key and prompt to wherever the provider says, past the rule for local addresses.
#[tokio::test]
async fn a_redirect_of_a_provider_is_passed_on_and_never_followed() {
    let mut upstream = Upstream::start().await;
    let gateway = start(&document(&upstream.url, "")).await;
    let elsewhere = StandIn::saying(200, "{}").await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/taken", elsewhere.url);
        let reply =
            format!("HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        upstream.reply(vec![reply.into_bytes()], Then::Stay);
        let url = format!("{}/v1/messages", gateway.url);
        let answer = client::post(&url, message(MODEL, "hello", false)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["location"], target);
        upstream.request().await;
    }
    assert!(elsewhere.asked().is_empty());
    gateway.stop().await;
}

/// A path that a provider would resolve to somebody else's object never gets there.
#[tokio::test]
async fn a_path_that_leads_elsewhere_reaches_no_provider() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    for path in [
        "/v1/conversations/conv_1/items/..%2F..%2Fconv_2",
        "/v1/responses/..%2fresponses%2fresp_2",
        "/v1/projects/p/locations/../publishers/google/models/gpt-4o:generateContent",
    ] {
        let mut wire = Wire::connect(&gateway.url).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert!(wire.write(request.as_bytes()).await);
        assert_eq!(wire.head().await.status(), 404, "{path}");
    }
    assert!(provider.log().is_empty());
    gateway.stop().await;
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

/// The head of a request for a message, without its body.
fn head() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (index, text) in [(4, "/v1/messages"), (1, "ai")] {
        block.extend([index, u8::try_from(text.len()).unwrap()]);
        block.extend(text.as_bytes());
    }
    block
}

/// What opens a connection.
fn opening() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// Sends a flood and reads; whether the other side ends the connection.
async fn flood(gateway: &Gateway, bytes: Vec<u8>) -> bool {
    let address = gateway.url.strip_prefix("http://").unwrap();
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let writing = tokio::spawn(async move {
        let sent = write.write_all(&bytes).await;
        (sent, write)
    });
    let mut seen = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, read.read_to_end(&mut seen)).await;
    writing.abort();
    ended.is_ok()
}

/// Resets that cost the sender nothing (CVE-2023-44487) and heads without an end (CVE-2024-27316).
#[tokio::test]
async fn floods_of_http2_frames_end_their_connection_and_nobody_elses() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let url = format!("{}/v1/messages", gateway.url);
    assert_eq!(
        client::post(&url, message(MODEL, "before", false))
            .await
            .status,
        200
    );
    let before = gateway.process.status("VmRSS");

    let mut resets = opening();
    for stream in (1..40_000).step_by(2) {
        resets.extend(frame(HEADERS, END_HEADERS, stream, &head()));
        resets.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let line = [&[0, 3][..], b"x-y", &[100], &[b'z'; 100]].concat();
    let mut endless = [opening(), frame(HEADERS, END_STREAM, 1, &head())].concat();
    for _ in 0..4096 {
        endless.extend(frame(CONTINUATION, 0, 1, &line.repeat(10)));
    }
    let mut empty = [opening(), frame(HEADERS, END_STREAM, 1, &head())].concat();
    for _ in 0..100_000 {
        empty.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    for (name, bytes) in [("resets", resets), ("endless", endless), ("empty", empty)] {
        let flooding = flood(&gateway, bytes);
        let bystander = async {
            for _ in 0..5 {
                let asked = client::post(&url, message(MODEL, "beside", false));
                let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
                assert_eq!(answer.expect("an answer in time").status, 200, "{name}");
            }
        };
        let (ended, ()) = tokio::join!(flooding, bystander);
        assert!(ended, "{name}: the connection was left open");
    }
    // Answers that nobody reads hold the sender up, not the gateway.
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut deaf = TcpStream::connect(address).await.unwrap();
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(4096);
    deaf.write_all(&opening()).await.unwrap();
    for _ in 0..200 {
        let sent = tokio::time::timeout(Duration::from_millis(50), deaf.write_all(&pings)).await;
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    assert_eq!(
        client::post(&url, message(MODEL, "after", false))
            .await
            .status,
        200
    );
    let grown = gateway.process.status("VmRSS").saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    drop(deaf);
    gateway.stop().await;
}

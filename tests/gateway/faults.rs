//! Faults around one request that others must not notice: slow readers, stops of the process, connections that close as they are
//! used again, silence that is none. docs/reliability.md has the whole list.

use super::{
    document, start,
    wire::{Ended, Then, Upstream, Wire},
};
use crate::support::{http, message};
use aperture::record::End;
use bytes::Bytes;
use provider::{Gate, Matcher, Options, Provider, Script};

const MODEL: &str = "claude-haiku-4-5";

async fn stream(url: &str) -> Wire {
    let body = message(MODEL, "go on", true);
    let mut wire = Wire::connect(url).await;
    wire.post("/v1/messages", &body).await;
    wire
}

/// A model that thinks for long, and a provider that sends comments meanwhile.
#[tokio::test]
async fn a_stream_lives_as_long_as_it_is_not_silent() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let settings = "\"timeouts\": {\"chunk_idle\": \"1s\", \"first_byte\": \"1s\"}";
    let gateway = start(&document(&provider.url(), settings)).await;
    // Two seconds and a half in all; no pause of more than a quarter of one.
    let pieces = [": still thinking\n\n"; 10].map(Bytes::from);
    let script = Script {
        chunk_delay_ms: 250,
        ..Script::raw("text/event-stream", pieces)
    };
    provider.script(Matcher::any(), script);
    let mut wire = stream(&gateway.url).await;
    let (head, body) = wire.response().await;
    assert_eq!(head.status(), 200);
    assert_eq!(body.ended, Ended::Whole);
    assert_eq!(body.bytes, ": still thinking\n\n".repeat(10).as_bytes());
    assert_eq!(gateway.finished(1).await[0].end, End::Complete);
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_up_nobody_else() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    // More than sockets on both sides take.
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let large = Script::raw("application/octet-stream", vec![piece; 24]);
    let rule = provider.script(Matcher::any(), large);
    let mut slow = stream(&gateway.url).await;
    let head = slow.head().await;
    assert_eq!(head.status(), 200);
    provider.unscript(rule);
    for _ in 0..20 {
        let url = format!("{}/v1/messages", gateway.url);
        let answer = http::post(&url, message(MODEL, "hello", false)).await;
        assert_eq!(answer.status, 200);
    }
    let body = slow.body(&head).await;
    assert_eq!(body.ended, Ended::Whole);
    assert!(body.bytes == vec![b'x'; 24 << 20]);
    let records = gateway.finished(21).await;
    assert!(records.iter().all(|record| record.end == End::Complete));
}

#[tokio::test]
async fn a_process_that_was_stopped_goes_on_where_it_was() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let gate = Gate::new();
    let events = ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"];
    let script = Script::raw("text/event-stream", events.map(Bytes::from)).gated(&gate);
    provider.script_times(1, Matcher::any(), script);
    let mut wire = stream(&gateway.url).await;
    wire.head().await;
    gate.release(1);
    assert_eq!(wire.chunk().await.unwrap().unwrap(), events[0].as_bytes());
    gateway.process.signal("STOP").await;
    // What comes meanwhile waits in the sockets: the rest of the stream, and another client.
    gate.open();
    let mut other = stream(&gateway.url).await;
    gateway.process.signal("CONT").await;
    let mut rest = Vec::new();
    while let Some(chunk) = wire.chunk().await.unwrap() {
        rest.extend(chunk);
    }
    assert_eq!(rest, events[1..].concat().as_bytes());
    let (head, body) = other.response().await;
    assert_eq!((head.status(), body.ended), (200, Ended::Whole));
    let records = gateway.finished(2).await;
    assert!(records.iter().all(|record| record.end == End::Complete));
}

/// A provider that closes each connection after its answer, without a word, as idle time-outs do at the worst moment.
#[tokio::test]
async fn a_kept_connection_that_closes_is_replaced_or_answered_for() {
    const REQUESTS: usize = 60;
    let mut upstream = Upstream::start().await;
    let gateway = start(&document(&upstream.url, "")).await;
    let url = format!("{}/v1/messages", gateway.url);
    let mut answered = 0;
    for n in 0..REQUESTS {
        let body = r#"{"id":"msg_1","type":"message"}"#;
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        upstream.reply(vec![reply.into_bytes()], Then::Close);
        let answer = http::post(&url, message(MODEL, &format!("number {n}"), false)).await;
        match answer.status.as_u16() {
            200 => {
                assert_eq!(answer.text(), body);
                // It reached the provider, and reached it once.
                let (_, sent) = upstream.request().await;
                assert!(String::from_utf8_lossy(&sent).contains(&format!("number {n}")));
                answered += 1;
            }
            502 => assert!(
                answer.text().contains("provider anthropic"),
                "{}",
                answer.text()
            ),
            status => panic!("{status}: {}", answer.text()),
        }
    }
    let records = gateway.finished(REQUESTS).await;
    let complete = records.iter().filter(|record| record.end == End::Complete);
    assert_eq!(complete.count(), answered);
}

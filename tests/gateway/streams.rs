//! Streams arrive as they come, and end when either side leaves.

use super::{
    document, start,
    wire::{Ended, Head, Then, Upstream, Wire},
};
use crate::support::{EVERYBODY, Gateway, config, gateway, http as http_client, message, soak};
use ::bytes::Bytes;
use aperture::record::{End, UsageState};
use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use provider::{CutHow, Gate, Matcher, Options, Point, Provider, Script};
use std::time::Duration;
use tokio::net::TcpStream;

/// How soon a provider must learn that nobody listens any more.
const AT_ONCE: Duration = Duration::from_secs(1);

const STREAMS: [(&str, &str); 3] = [
    (
        "/v1/messages",
        r#"{"model":"claude-haiku-4-5","stream":true,"messages":[]}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"model":"gpt-4o","stream":true,"messages":[]}"#,
    ),
    (
        "/v1/responses",
        r#"{"model":"gpt-5","stream":true,"input":"x"}"#,
    ),
];

async fn ask(gateway: &Gateway, path: &str, body: &str) -> Wire {
    let mut wire = Wire::connect(&gateway.url).await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: ai\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(wire.write(request.as_bytes()).await);
    wire
}

/// The next bytes of a body, as many as that.
async fn next(wire: &mut Wire, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        bytes.extend(wire.chunk().await.unwrap().expect("more chunks"));
    }
    bytes
}

#[tokio::test]
async fn every_event_arrives_before_the_next_one_is_sent() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let events = [
        ": a comment\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n",
        "data: {\"choices\":[]}\r\n\r\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":3}}\n\n",
        ":\n\n",
        "data: [DONE]\n\n",
    ];
    for (path, body) in STREAMS {
        let gate = Gate::new();
        let script = Script::raw("text/event-stream", events.map(Bytes::from)).gated(&gate);
        provider.script_times(1, Matcher::any(), script);
        let mut wire = ask(&gateway, path, body).await;
        let head = wire.head().await;
        assert_eq!(head.get("content-type"), Some("text/event-stream"));
        for event in events {
            gate.release(1);
            assert_eq!(
                next(&mut wire, event.len()).await,
                event.as_bytes(),
                "{path}"
            );
        }
        assert_eq!(wire.chunk().await, Ok(None));
    }
}

/// With Nagle's algorithm each small event waits until the one before was acknowledged, which a client that sends nothing itself
/// does after 40 ms: that, and not the provider's pace, was then the pace of streams.
#[tokio::test]
async fn small_events_do_not_wait_for_acknowledgements() {
    const EVENTS: usize = 120;
    /// Half of what an acknowledgement is delayed by, which is the least on Linux.
    const DELAYED: Duration = Duration::from_millis(20);
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let script = Script {
        chunk_delay_ms: 2,
        ..Script::raw(
            "text/event-stream",
            vec![Bytes::from("data: 1\n\n"); EVENTS],
        )
    };
    provider.script(Matcher::any(), script);
    let (path, body) = STREAMS[0];
    let mut wire = ask(&gateway, path, body).await;
    wire.head().await;
    let mut gaps = Vec::new();
    let mut last = tokio::time::Instant::now();
    while wire.chunk().await.unwrap().is_some() {
        gaps.push(last.elapsed());
        last = tokio::time::Instant::now();
    }
    // The first dozen is acknowledged at once: Linux does so while a connection is young.
    let later = &mut gaps[20..];
    later.sort();
    assert!(
        later.len() > EVENTS / 2,
        "events came in lumps: {}",
        later.len()
    );
    assert!(later[later.len() / 2] < DELAYED, "{later:?}");
}

#[tokio::test]
async fn the_head_arrives_before_the_first_event() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let gate = Gate::new();
    provider.script(Matcher::any(), Script::text("one two").gated(&gate));
    for (path, body) in STREAMS {
        let mut wire = ask(&gateway, path, body).await;
        assert_eq!(wire.head().await.status(), 200);
    }
    gate.open();
}

/// Codex leaves when it has read the last event, often before the body ends: its turns were recorded as left by the client.
#[tokio::test]
async fn a_client_that_leaves_after_the_last_event_has_all_of_it() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let json = [("content-type", "application/json")];
    for (path, body) in STREAMS {
        let url = format!("{}{path}", gateway.url);
        http_client::post(&url, body).await;
        let planned = provider.log().pop().unwrap().answer.chunks_planned;
        let script = Script {
            stall: Some(Point::Chunk(planned)),
            ..Script::default()
        };
        provider.script_times(1, Matcher::any(), script);
        let answer = http_client::open(Method::POST, &url, &json, body).await;
        let mut stream = answer.into_body();
        let mut text = String::new();
        while !["message_stop", "[DONE]", "response.completed"]
            .iter()
            .any(|last| text.contains(last))
        {
            let frame = stream.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
    let records = gateway.finished(2 * STREAMS.len()).await;
    for record in &records {
        assert_eq!(
            (record.end, record.usage_state),
            (End::Complete, UsageState::Reported),
            "{record:?}"
        );
    }
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
    HalfClose,
    ResetStream,
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_upstream_at_once() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let gate = Gate::new();
    let mut count = 0;
    for before_head in [true, false] {
        for leave in [
            Leave::Close,
            Leave::Reset,
            Leave::HalfClose,
            Leave::ResetStream,
        ] {
            for (path, body) in STREAMS {
                count += 1;
                let mut script = Script::text("one two three four five six");
                if before_head {
                    script.stall = Some(Point::BeforeHead);
                } else {
                    script = script.gated(&gate);
                    gate.release(2);
                }
                provider.script_times(1, Matcher::any(), script);
                let left = leaving(
                    &gateway,
                    &provider,
                    (path, body),
                    leave,
                    (before_head, count),
                );
                let kept = left.await;
                tokio::time::timeout(AT_ONCE, provider.await_ended(count))
                    .await
                    .unwrap_or_else(|_| panic!("{leave:?}, before head: {before_head}, {path}"));
                let entry = provider.log().pop().unwrap();
                assert_eq!(
                    entry.answer.end,
                    Some(provider::End::ClientGone),
                    "{leave:?} {path}"
                );
                drop(kept);
            }
        }
    }
    let records = gateway.finished(usize::try_from(count).unwrap()).await;
    for record in &records {
        assert_eq!(record.end, End::ClientGone, "{record:?}");
        assert_eq!(record.status.is_none(), record.timings.head_us == 0);
    }
    // The messages dialect tells its input tokens first, the others tell nothing before the end.
    let of = |state| {
        let own = records
            .iter()
            .filter(move |record| record.usage_state == state);
        own.count()
    };
    assert!(of(UsageState::Partial) >= 1 && of(UsageState::Estimated) >= 2);
    for record in &records {
        match record.usage_state {
            UsageState::Partial => assert!(record.usage.input > 0, "{record:?}"),
            UsageState::Estimated => assert!(record.estimate.is_some(), "{record:?}"),
            _ => assert_eq!(record.estimate, None, "{record:?}"),
        }
    }
}

/// Something to keep until the provider has noticed.
type Kept = Box<dyn std::any::Any>;

async fn leaving(
    gateway: &Gateway,
    provider: &Provider,
    (path, body): (&'static str, &'static str),
    leave: Leave,
    (before_head, count): (bool, u64),
) -> Kept {
    if matches!(leave, Leave::ResetStream) {
        let stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap())
            .await
            .unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("http://ai{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap();
        let answer = sender.send_request(request);
        if before_head {
            let answer = tokio::spawn(answer);
            provider.await_requests(count).await;
            answer.abort();
        } else {
            let mut answer = answer.await.unwrap();
            answer.body_mut().frame().await.unwrap().unwrap();
            drop(answer);
        }
        // The connection stays: only the stream was reset.
        return Box::new(sender);
    }
    let mut wire = ask(gateway, path, body).await;
    provider.await_requests(count).await;
    if !before_head {
        wire.head().await;
        wire.chunk().await.unwrap().unwrap();
    }
    match leave {
        Leave::Close => Box::new(()),
        Leave::Reset => {
            wire.reset();
            Box::new(())
        }
        Leave::HalfClose | Leave::ResetStream => {
            wire.half_close().await;
            Box::new(wire)
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_never_looks_whole_and_its_usage_is_partial() {
    let provider = Provider::start(Options::default().with_tls())
        .await
        .unwrap();
    let encrypted = format!("https://127.0.0.1:{}", provider.tls_addr().unwrap().port());
    let trusted = serde_json::to_string(provider.ca_pem().unwrap()).unwrap();
    let two = config(&encrypted, EVERYBODY).replace(
        "\"authorization\"",
        &format!("\"extra_ca\": {trusted}, \"authorization\""),
    );
    let mut count = 0;
    // Over TLS the provider is spoken to by HTTP/2, where a stream can be reset by itself.
    for document in [document(&provider.url(), ""), two] {
        let gateway = start(&document).await;
        let mut expected = 0;
        for how in [CutHow::Fin, CutHow::Rst, CutHow::Stream] {
            for (path, body) in STREAMS {
                let script = Script {
                    cut: Some(Point::MidStream),
                    cut_how: how,
                    ..Script::text("one two three four")
                };
                provider.script_times(1, Matcher::any(), script);
                let mut wire = ask(&gateway, path, body).await;
                let (head, received) = wire.response().await;
                assert_eq!(head.status(), 200);
                assert_eq!(received.ended, Ended::Broken, "{how:?} {path}");
                count += 1;
                expected += 1;
                provider.await_ended(count).await;
                let sent = provider.log().pop().unwrap().answer.body().unwrap();
                assert!(sent.starts_with(&received.bytes), "{how:?} {path}");
                if how == CutHow::Fin {
                    assert_eq!(sent.len(), received.bytes.len(), "{how:?} {path}");
                }
            }
        }
        for record in gateway.finished(expected).await {
            assert_eq!(record.end, End::UpstreamError, "{record:?}");
            assert_eq!(record.status, Some(200));
            assert_ne!(record.usage_state, UsageState::Reported);
        }
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_passes_and_is_recorded_as_the_providers() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    for (path, body) in STREAMS {
        let script = Script {
            error_at: Some(Point::MidStream),
            ..Script::text("one two three four")
        };
        provider.script_times(1, Matcher::any(), script);
        let mut wire = ask(&gateway, path, body).await;
        let (_, received) = wire.response().await;
        assert_eq!(received.ended, Ended::Whole, "{path}");
        assert_eq!(
            received.bytes,
            provider.log().pop().unwrap().answer.body().unwrap(),
            "{path}"
        );
    }
    for record in gateway.finished(3).await {
        assert_eq!(record.end, End::UpstreamError, "{record:?}");
    }
}

#[tokio::test]
async fn many_streams_run_beside_each_other_and_none_gets_anothers_bytes() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = Gateway::dev(
        &config(&provider.url(), EVERYBODY),
        gateway::Options::default(),
    )
    .await;
    let streams = if soak() { 2_000 } else { 64 };
    let gate = Gate::new();
    let mut wires = Vec::new();
    for number in 0..streams {
        let event = format!("data: {{\"stream\":{number}}}\n\n");
        let writes = (0..4).map(|_| Bytes::from(event.clone()));
        let marker = format!("number {number} ");
        provider.script_times(
            1,
            Matcher::body(marker.clone()),
            Script::raw("text/event-stream", writes).gated(&gate),
        );
        let body = format!(
            r#"{{"model":"claude-haiku-4-5","stream":true,"messages":[{{"role":"user","content":"{marker}"}}]}}"#
        );
        wires.push((ask(&gateway, "/v1/messages", &body).await, event));
    }
    provider.await_requests(streams).await;
    gate.open();
    for (wire, event) in &mut wires {
        let head: Head = wire.head().await;
        assert_eq!(head.status(), 200);
        assert_eq!(wire.body(&head).await.bytes, event.repeat(4).as_bytes());
    }
    assert_eq!(gateway.finished(wires.len()).await.len(), wires.len());
}

#[tokio::test]
async fn events_that_came_together_keep_their_own_chunks() {
    let upstream = Upstream::start().await;
    let gateway = start(&document(&upstream.url, "")).await;
    let events: Vec<_> = (0..100)
        .map(|n| format!("event: ping\ndata: {{\"type\":\"ping\",\"n\":{n}}}\n\n"))
        .collect();
    let chunk = |event: &String| format!("{:x}\r\n{event}\r\n", event.len());
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let all: String = events.iter().map(chunk).collect();
    upstream.reply(
        vec![format!("{head}{all}0\r\n\r\n").into_bytes()],
        Then::Stay,
    );
    let mut wire = Wire::connect(&gateway.url).await;
    let body = message("claude-haiku-4-5", "go on", true);
    wire.post("/v1/messages", &body).await;
    assert_eq!(wire.head().await.status(), 200);
    for event in &events {
        assert_eq!(wire.chunk().await.unwrap().unwrap(), event.as_bytes());
    }
    assert_eq!(wire.chunk().await.unwrap(), None);
    assert_eq!(gateway.finished(1).await[0].end, End::Complete);
}

//! Every way to fail does what the script says, and the log agrees.

use provider::{CutHow, End, Gate, Matcher, Options, Point, Provider, Script};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{self, Client, anthropic, chat, post, provider_with, responses};

/// A text of four words: four deltas, ten writes with what surrounds them.
const FOUR_WORDS: &str = "one two three four";
const WRITES: usize = 10;

#[tokio::test]
async fn a_cut_stream_delivers_exactly_the_writes_before_the_cut() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let whole = Script::text(FOUR_WORDS);
    let cuts = [
        (Point::AfterHead, 0),
        (Point::MidStream, 5),
        (Point::Chunk(3), 3),
        (Point::Chunk(99), WRITES),
    ];
    for how in [CutHow::Fin, CutHow::Rst, CutHow::Stream] {
        for (point, writes) in cuts {
            let script = Script {
                cut: Some(point),
                cut_how: how,
                ..whole.clone()
            };
            let rule = provider.script(Matcher::any(), script);
            let mut client = Client::h1(provider.addr()).await;
            let reply = client
                .post("/v1/messages", &[], anthropic("x", true))
                .await
                .unwrap();
            assert!(reply.is_broken, "{how:?} {point:?}");
            let entry = provider.log().pop().unwrap();
            assert_eq!(entry.answer.end, Some(End::Cut));
            assert_eq!(
                (entry.answer.chunks_sent, entry.answer.chunks_planned),
                (writes, WRITES)
            );
            assert_eq!(
                entry.answer.body().unwrap(),
                reply.body,
                "{how:?} {point:?}"
            );
            assert_eq!(entry.answer.bytes_sent, reply.body.len() as u64);
            provider.unscript(rule);
        }
    }
}

#[tokio::test]
async fn a_cut_is_a_reset_or_an_end_as_the_script_says() {
    for (how, is_reset) in [("fin", false), ("rst", true)] {
        let script = format!(r#"{{"text":"x","cut":"after_head","cut_how":"{how}"}}"#);
        let (provider, _client) = provider_with(&script).await;
        let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
        stream
            .write_all(&raw_request(&anthropic("x", true)))
            .await
            .unwrap();
        let mut read = Vec::new();
        let result = stream.read_to_end(&mut read).await;
        assert_eq!(result.is_err(), is_reset, "{how}: {result:?}");
        assert!(read.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_cut_before_the_head_leaves_no_reply() {
    for how in ["fin", "rst", "stream"] {
        let script = format!(r#"{{"cut":"before_head","cut_how":"{how}"}}"#);
        let (provider, mut client) = provider_with(&script).await;
        assert!(
            client
                .post("/v1/messages", &[], anthropic("x", true))
                .await
                .is_err()
        );
        let entry = provider.log().pop().unwrap();
        assert_eq!(
            (entry.answer.end, entry.answer.chunks_sent),
            (Some(End::Cut), 0)
        );
    }
}

#[tokio::test]
async fn a_plain_reply_is_cut_in_its_middle() {
    let (provider, mut client) = provider_with(r#"{"text":"x","cut":"mid_stream"}"#).await;
    let reply = client
        .post("/v1/messages", &[], anthropic("x", false))
        .await
        .unwrap();
    assert!(reply.is_broken);
    let declared: usize = reply.header("content-length").parse().unwrap();
    assert_eq!(reply.body.len(), declared.div_ceil(2));
    assert_eq!(provider.log()[0].answer.body().unwrap(), reply.body);
}

#[tokio::test]
async fn a_stall_is_noticed_as_the_client_leaving_if_it_leaves() {
    for point in ["before_head", "after_head", "mid_stream"] {
        let script = format!(r#"{{"text":"x","stall":"{point}"}}"#);
        let (provider, mut client) = provider_with(&script).await;
        let sent = client.send(post("/v1/messages", &[], anthropic("x", true)));
        let mut sent = Box::pin(sent);
        tokio::select! {
            biased;
            response = &mut sent => {
                assert_ne!(point, "before_head");
                // Held until the stall is reached: the body is not read.
                let _open = response.unwrap();
                assert_eq!(provider.log()[0].answer.end, None);
            }
            () = provider.await_requests(1) => {
                assert_eq!(provider.log()[0].answer.end, None);
            }
        }
        drop(sent);
        drop(client);
        provider.await_ended(1).await;
        assert_eq!(
            provider.log()[0].answer.end,
            Some(End::ClientGone),
            "{point}"
        );
    }
}

#[tokio::test]
async fn a_stall_with_a_time_goes_on_after_it() {
    let (provider, mut client) =
        provider_with(r#"{"text":"x","stall":"mid_stream","stall_ms":30}"#).await;
    let reply = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap();
    assert!(!reply.is_broken);
    let entry = provider.log().pop().unwrap();
    assert!(entry.is_complete());
    assert!(entry.answer.ended_after.unwrap().as_millis() >= 30);
}

/// Each chunk is on the wire before the next one is made; nothing is held back.
#[tokio::test]
async fn a_gate_lets_chunks_through_one_by_one() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gate = Gate::new();
    provider.script(Matcher::any(), Script::text(FOUR_WORDS).gated(&gate));
    let mut client = Client::h1(provider.addr()).await;
    let response = client
        .send(post("/v1/messages", &[], anthropic("x", true)))
        .await
        .unwrap();
    let mut body = response.into_body();
    for sent in 1..=WRITES {
        gate.release(1);
        let frame = http_body_util::BodyExt::frame(&mut body)
            .await
            .unwrap()
            .unwrap();
        let entry = provider.log().pop().unwrap();
        assert_eq!(entry.answer.chunks_sent, sent);
        assert_eq!(frame.into_data().unwrap(), entry.answer.chunks[sent - 1]);
    }
    assert!(http_body_util::BodyExt::frame(&mut body).await.is_none());
    assert!(provider.log()[0].is_complete());
}

#[tokio::test]
async fn an_error_in_a_stream_is_worded_by_its_dialect() {
    let script =
        r#"{"text":"a b c d","error_at":3,"error":{"type":"overloaded_error","message":"no"}}"#;
    let (provider, mut client) = provider_with(script).await;
    let last = async |client: &mut Client, path: &str, body: Vec<u8>| {
        let events = client.post(path, &[], body).await.unwrap().events();
        assert_eq!(events.len(), 4);
        events.last().unwrap().clone()
    };
    let event = last(&mut client, "/v1/messages", anthropic("x", true)).await;
    assert_eq!(event.name.as_deref(), Some("error"));
    assert_eq!(
        event.data["error"],
        json!({"type": "overloaded_error", "message": "no"})
    );
    let body = chat("x", true).to_string().into_bytes();
    let event = last(&mut client, "/v1/chat/completions", body).await;
    assert_eq!(event.data["error"]["message"], "no");
    let body = responses("x", true).to_string().into_bytes();
    let event = last(&mut client, "/v1/responses", body).await;
    assert_eq!(event.name.as_deref(), Some("response.failed"));
    assert_eq!(event.data["sequence_number"], 3);
    assert!(provider.log().iter().all(provider::Entry::is_complete));
}

#[tokio::test]
async fn a_status_comes_with_its_error_and_headers() {
    let script = r#"{"status":429,"retry_after":"7","headers":{"x-should-retry":"false"},"error":{"message":"slow"}}"#;
    let (provider, mut client) = provider_with(script).await;
    let reply = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap();
    assert_eq!(reply.status, 429);
    assert_eq!(
        (reply.header("retry-after"), reply.header("x-should-retry")),
        ("7", "false")
    );
    let error = json!({"type": "rate_limit_error", "message": "slow"});
    assert_eq!(reply.json()["error"], error);
    assert_eq!(reply.json()["request_id"], reply.header("request-id"));
    assert_eq!(provider.log()[0].answer.usage, None);
}

#[tokio::test]
async fn garbage_is_what_it_says() {
    let (_provider, mut client) = provider_with(r#"{"garbage":true}"#).await;
    let reply = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    assert!(std::str::from_utf8(&reply.body).is_err());
    let (provider, mut client) = provider_with(r#"{"garbage":"head"}"#).await;
    let error = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap_err();
    assert!(error.is_parse(), "{error:?}");
    assert_eq!(provider.log()[0].answer.end, Some(End::Cut));
}

#[tokio::test]
async fn a_wrong_length_breaks_the_reply() {
    let (_provider, mut client) = provider_with(r#"{"text":"x","wrong_length":true}"#).await;
    let reply = client
        .post("/v1/messages", &[], anthropic("x", false))
        .await
        .unwrap();
    assert!(reply.is_broken);
    let declared: usize = reply.header("content-length").parse().unwrap();
    assert_eq!(declared, reply.body.len() + 10);
}

#[tokio::test]
async fn huge_headers_are_as_huge_as_asked_for() {
    let (_provider, mut client) = provider_with(r#"{"text":"x","huge_headers":20000}"#).await;
    let reply = client
        .post("/v1/messages", &[], anthropic("x", false))
        .await
        .unwrap();
    let size = reply
        .headers
        .get_all("x-filler")
        .iter()
        .map(hyper::header::HeaderValue::len);
    assert_eq!(size.sum::<usize>(), 20_000);
}

#[tokio::test]
async fn an_encoded_stream_decodes_to_the_plain_one() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let plain = Script::from_json(r#"{"text":"a b c","usage":{"input":1,"output":2}}"#).unwrap();
    provider.script_times(1, Matcher::any(), plain.clone());
    let mut client = Client::h1(provider.addr()).await;
    let expected = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap();
    let script = Script {
        encoding: Some(provider::Encoding::Gzip),
        ..plain
    };
    provider.script(Matcher::any(), script);
    let reply = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap();
    assert_eq!(reply.header("content-encoding"), "gzip");
    let mut decoded = String::new();
    let mut decoder = flate2::read::GzDecoder::new(reply.body.as_slice());
    std::io::Read::read_to_string(&mut decoder, &mut decoded).unwrap();
    let without_ids = |text: &str| {
        text.replace("msg_scripted_1", "")
            .replace("msg_scripted_2", "")
    };
    assert_eq!(without_ids(&decoded), without_ids(expected.text()));
    // Every event was flushed, so every one can be decoded as it arrives.
    assert!(provider.log()[1].answer.chunks_planned >= client::events(&decoded).len());
}

#[tokio::test]
async fn raw_writes_arrive_as_they_are() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let writes = [&b"\x00\xff"[..], b"data: half", b" an event\n\n"].map(bytes::Bytes::from_static);
    provider.script(
        Matcher::any(),
        Script::raw("text/event-stream", writes.clone()),
    );
    let mut client = Client::h1(provider.addr()).await;
    let reply = client
        .post("/v1/messages", &[], "not even JSON")
        .await
        .unwrap();
    assert_eq!(reply.body, writes.concat());
    assert_eq!(reply.header("content-type"), "text/event-stream");
}

/// A request as bytes, for tests that look at the socket itself.
fn raw_request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

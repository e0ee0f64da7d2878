//! Stopping in order, and configurations that change while requests run.

use super::{
    document, start,
    wire::{Ended, Wire},
};
use crate::support::{
    EVERYBODY, Gateway, config,
    gateway::{Options as Start, records},
    http as client, message,
};
use aperture::record::{End, UsageState};
use http_body_util::BodyExt as _;
use provider::{Gate, Matcher, Options, Provider, Script};
use std::time::Duration;
use tokio::time::Instant;

async fn drained(timeout: &str, provider: &Provider) -> Gateway {
    let options = Start {
        arguments: vec!["--drain-timeout".into(), timeout.into()],
        ..Start::default()
    };
    Gateway::dev(&config(&provider.url(), EVERYBODY), options).await
}

/// A stream under way: its first event has arrived.
async fn stream(gateway: &Gateway) -> Wire {
    let body = message("claude-haiku-4-5", "hello", true);
    let mut wire = Wire::connect(&gateway.url).await;
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: ai\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(wire.write(request.as_bytes()).await);
    assert_eq!(wire.head().await.status(), 200);
    wire.chunk().await.unwrap().unwrap();
    wire
}

/// The rest of a chunked body.
async fn rest(wire: &mut Wire) -> Ended {
    loop {
        match wire.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ended::Whole,
            Err(ended) => return ended,
        }
    }
}

#[tokio::test]
async fn sigterm_lets_running_streams_finish_and_takes_no_new_requests() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut gateway = drained("30s", &provider).await;
    let gate = Gate::new();
    provider.script(Matcher::any(), Script::text("one two three").gated(&gate));
    gate.release(1);
    let mut running = stream(&gateway).await;
    let mut idle = Wire::connect(&gateway.url).await;
    assert!(
        idle.write(b"GET /ui/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
    );
    assert_eq!(idle.response().await.0.status(), 200);

    gateway.process.signal("TERM").await;
    gateway.event("stopping", |_| Some(())).await;
    // A connection without a request ends, and there are no new ones.
    assert!(idle.closed().await.is_empty());
    let address = gateway.url.strip_prefix("http://").unwrap();
    if let Ok(stream) = tokio::net::TcpStream::connect(address).await {
        let mut wire = Wire::new(stream);
        wire.write(b"GET /ui/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        assert!(
            wire.closed().await.is_empty(),
            "nothing is answered any more"
        );
    }
    gate.open();
    assert_eq!(rest(&mut running).await, Ended::Whole);
    assert_eq!(gateway.process.wait().await.code(), Some(0));
    let records = records(&gateway.state_dir()).await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].end, records[0].usage_state),
        (End::Complete, UsageState::Reported)
    );
}

#[tokio::test]
async fn it_serves_and_stops_in_order_when_nobody_reads_its_log() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut gateway = drained("30s", &provider).await;
    gateway.process.stdout.close().await;
    gateway.process.stderr.close().await;
    let ask = async |model: &str| {
        let url = format!("{}/v1/messages", gateway.url);
        client::post(&url, message(model, "hi", false)).await.status
    };
    assert_eq!(ask("claude-haiku-4-5").await, 200);
    assert_eq!(ask("no-such-model").await, 404);
    gateway.process.signal("HUP").await;
    assert_eq!(ask("claude-haiku-4-5").await, 200);
    gateway.process.signal("TERM").await;
    let status = gateway.process.wait().await;
    assert!(status.success(), "{status}");
    let ended = records(&gateway.state_dir()).await;
    assert_eq!(ended.len(), 3);
    assert!(ended.iter().all(|record| record.end != End::Interrupted));
}

#[tokio::test]
async fn it_serves_and_stops_in_order_when_the_reader_of_its_log_hangs() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let options = Start {
        environment: vec![("APERTURE_LOG".into(), "trace".into())],
        ..Start::default()
    };
    let mut gateway = Gateway::dev(&config(&provider.url(), EVERYBODY), options).await;
    gateway.process.stderr.pause();
    let url = format!("{}/v1/messages", gateway.url);
    let lost = async || {
        let scraped = client::get(&format!("{}/metrics", gateway.metrics_url)).await;
        let lost = scraped.text().lines().find_map(|line| {
            let lost = line.strip_prefix("aperture_log_lost_lines_total ")?;
            lost.parse::<f64>().ok()
        });
        lost.unwrap()
    };
    // A model that nobody has is logged with its name.
    let model = format!("no-such-model-{}", "x".repeat(1000));
    let mut asked = 0;
    while lost().await == 0.0 {
        assert!(asked < 5000, "there is always room");
        for _ in 0..100 {
            let answer = client::post(&url, message(&model, "hi", false)).await;
            assert_eq!(answer.status, 404);
            asked += 1;
        }
    }
    let answer = client::post(&url, message("claude-haiku-4-5", "hi", false)).await;
    assert_eq!(answer.status, 200);
    gateway.process.signal("TERM").await;
    let status = gateway.process.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_request_on_an_open_http2_connection_is_told_to_try_again_during_the_drain() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut gateway = drained("30s", &provider).await;
    let gate = Gate::new();
    provider.script(Matcher::any(), Script::text("one two three").gated(&gate));
    gate.release(1);
    let socket = tokio::net::TcpStream::connect(gateway.url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(socket),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let request = || {
        let body = http_body_util::Full::new(bytes::Bytes::from(message(
            "claude-haiku-4-5",
            "hello",
            true,
        )));
        http::Request::post("http://ai/v1/messages")
            .body(body)
            .unwrap()
    };
    let mut running = sender.send_request(request()).await.unwrap();
    running.body_mut().frame().await.unwrap().unwrap();
    gateway.process.signal("TERM").await;
    gateway.event("stopping", |_| Some(())).await;
    // Either the connection says that it takes no more, or the request is answered with the words to try again.
    if let Ok(answer) = sender.send_request(request()).await {
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
    }
    gate.open();
    running.into_body().collect().await.unwrap();
    assert!(gateway.process.wait().await.success());
    let records = records(&gateway.state_dir()).await;
    assert_eq!(
        records
            .iter()
            .filter(|record| record.end == End::Complete)
            .count(),
        1
    );
    assert_eq!(provider.log().len(), 1);
}

#[tokio::test]
async fn what_still_runs_after_the_drain_time_is_cut_and_recorded_as_interrupted() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gate = Gate::new();
    provider.script(Matcher::any(), Script::text("one two three").gated(&gate));
    // By itself after the time, or at once by a second signal.
    for (timeout, signals) in [("300ms", 1), ("10m", 2)] {
        let mut gateway = drained(timeout, &provider).await;
        gate.release(1);
        let mut running = stream(&gateway).await;
        let begun = Instant::now();
        gateway.process.signal("TERM").await;
        gateway.event("stopping", |_| Some(())).await;
        if signals == 2 {
            gateway.process.signal("TERM").await;
        }
        assert_eq!(rest(&mut running).await, Ended::Broken);
        assert_eq!(gateway.process.wait().await.code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(10));
        let records = records(&gateway.state_dir()).await;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].end, End::Interrupted, "{:?}", records[0]);
        assert_eq!(records[0].usage_state, UsageState::Partial);
        assert!(records[0].usage.input > 0);
    }
    provider.await_ended(2).await;
}

#[tokio::test]
async fn a_new_configuration_is_in_force_for_the_next_request_and_not_for_running_ones() {
    let old = Provider::start(Options::default()).await.unwrap();
    let new = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&config(&old.url(), EVERYBODY)).await;
    let file = gateway.config_file();
    let gate = Gate::new();
    old.script(Matcher::any(), Script::text("one two three").gated(&gate));
    gate.release(1);
    let mut running = stream(&gateway).await;
    let ask = async || {
        let url = format!("{}/v1/messages", gateway.url);
        client::post(&url, message("claude-haiku-4-5", "x", false)).await
    };
    let swapped = |count: usize| {
        let mut seen = 0;
        gateway.event("config: a new version is in force", move |_| {
            seen += 1;
            (seen == count).then_some(())
        })
    };

    // By signal.
    std::fs::write(&file, config(&new.url(), EVERYBODY)).unwrap();
    gateway.process.signal("HUP").await;
    swapped(1).await;
    assert_eq!(ask().await.status, 200);
    assert_eq!((old.log().len(), new.log().len()), (1, 1));

    // By a changed file alone: everybody loses the role.
    std::fs::write(&file, config(&new.url(), "")).unwrap();
    swapped(2).await;
    assert_eq!(ask().await.status, 403);

    // A document that can't be used changes nothing, and is complained of.
    std::fs::write(&file, "{ \"providers\": [ ").unwrap();
    gateway.process.signal("HUP").await;
    gateway
        .event("config: the last good version stays in force", |_| Some(()))
        .await;
    assert_eq!(ask().await.status, 403);
    std::fs::write(&file, config(&new.url(), EVERYBODY)).unwrap();
    gateway.process.signal("HUP").await;
    swapped(3).await;
    assert_eq!(ask().await.status, 200);

    // What began before all that ends where it began.
    gate.open();
    assert_eq!(rest(&mut running).await, Ended::Whole);
    assert_eq!((old.log().len(), new.log().len()), (1, 2));
    gateway.stop().await;
}

#[tokio::test]
async fn limits_of_a_new_configuration_hold_for_the_next_request() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&config(&provider.url(), EVERYBODY)).await;
    let url = format!("{}/v1/messages", gateway.url);
    let body = message("claude-haiku-4-5", &"x".repeat(2048), false);
    assert_eq!(client::post(&url, body.clone()).await.status, 200);
    let settings = "\"limits\": {\"request_body_bytes\": \"1KiB\"}";
    std::fs::write(gateway.config_file(), document(&provider.url(), settings)).unwrap();
    gateway.process.signal("HUP").await;
    gateway
        .event("config: a new version is in force", |_| Some(()))
        .await;
    assert_eq!(client::post(&url, body).await.status, 413);
}

//! The way between a peer and the gateway: a peer that is cut off and returns, and a relay that goes away.

use super::{MODEL, USERS, World, change, health, hold_streams, with};
use crate::support::{Gateway, Lab, config, gateway::Options, http, message, process::PATIENCE};
use ::http::Method;
use aperture::record::End;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use provider::Provider;
use serde_json::json;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Opens a stream that waits after its head.
async fn open_stream(door: &str) -> Incoming {
    let url = format!("{door}/v1/messages");
    let answer = http::open(Method::POST, &url, &JSON, message(MODEL, "hello", true)).await;
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

async fn next(body: &mut Incoming) -> Bytes {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
    let frame = frame.expect("the next event").unwrap().unwrap();
    frame.into_data().unwrap()
}

/// The rest of a stream, which is whole.
async fn rest(body: Incoming) {
    let rest = tokio::time::timeout(PATIENCE, body.collect()).await;
    let rest = rest.expect("the rest of the stream").unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("message_stop"));
}

async fn ask(door: &str) {
    let url = format!("{door}/v1/messages");
    let answer = tokio::time::timeout(PATIENCE, http::post(&url, message(MODEL, "hello", false)));
    assert_eq!(answer.await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_peer_that_is_cut_off_goes_on_when_it_returns_and_nobody_else_notices() {
    let world = World::start(USERS, &[]).await;
    let gate = hold_streams(&world.provider);
    let (alice, bob) = (world.door("alice").await, world.door("bob").await);
    let mut stream = open_stream(&alice).await;
    gate.release(1);
    next(&mut stream).await;
    change(&world.lab, "/nodes/alice/faults", json!({"cut": true})).await;
    // The provider goes on to speak, and what it says waits for alice.
    gate.open();
    world.provider.await_ended(1).await;
    for _ in 0..10 {
        ask(&bob).await;
    }
    change(&world.lab, "/nodes/alice/faults", json!({"cut": false})).await;
    rest(stream).await;
    ask(&alice).await;
    let records = world.gateway.finished(12).await;
    assert!(records.iter().all(|record| record.end == End::Complete));
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_relay_that_goes_away_is_missed_by_nobody_with_a_direct_path() {
    let world = World::start(USERS, &[]).await;
    let doors = [world.door("alice").await, world.door("bob").await];
    for door in &doors {
        ask(door).await;
    }
    let gate = hold_streams(&world.provider);
    let mut stream = open_stream(&doors[0]).await;
    let down = json!({"down": true, "refuse": true});
    world.lab.post("/faults/relay", down).await;
    gate.release(1);
    next(&mut stream).await;
    for door in &doors {
        ask(door).await;
    }
    assert!(health(&world.gateway).await.0);
    gate.open();
    rest(stream).await;
    world
        .lab
        .post("/faults/relay", json!({"down": false}))
        .await;
    let records = world.gateway.finished(5).await;
    assert!(records.iter().all(|record| record.end == End::Complete));
    world.gateway.stop().await;
}

#[tokio::test]
async fn what_goes_over_a_relay_pauses_without_it_and_goes_on_with_it() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = Lab::start(&with(&[])).await;
    let options = Options {
        environment: vec![("TS_DEBUG_ALWAYS_USE_DERP".into(), "1".into())],
        ..Options::default()
    };
    let gateway = Gateway::on(&lab, &config(&provider.url(), USERS), options).await;
    let door = lab.forward("alice", "ai:80").await;
    ask(&door).await;
    let ping = json!({"target": "ai", "type": "disco", "timeout_ms": 10_000});
    let path = lab.post("/nodes/alice/ping", ping).await;
    assert_eq!(path["endpoint"], "", "not over the relay: {path}");

    let gate = hold_streams(&provider);
    let mut stream = open_stream(&door).await;
    gate.release(1);
    next(&mut stream).await;
    let down = json!({"down": true, "refuse": true});
    lab.post("/faults/relay", down).await;
    gate.open();
    provider.await_ended(2).await;
    assert!(health(&gateway).await.0, "the node is in, only far away");
    lab.post("/faults/relay", json!({"down": false})).await;
    rest(stream).await;
    ask(&door).await;
    let records = gateway.finished(3).await;
    assert!(records.iter().all(|record| record.end == End::Complete));
    gateway.stop().await;
}

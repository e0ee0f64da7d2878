//! Many short connections, many idle streams.

use super::{MODEL, USERS, World, measured, number, with};
use crate::support::{Gateway, Lab, config, gateway::Options, http, message, soak, wire::Kept};
use ::http::Method;
use provider::{Matcher, Point, Provider, Script};
use serde_json::{Value, json};
use tokio::process::Command;

#[tokio::test]
async fn many_short_connections_from_one_node_all_work_and_none_is_slow() {
    let world = World::start(USERS, &[]).await;
    let count = if soak() { 3000 } else { 600 };
    let burst = json!({
        "target": "ai:80", "method": "HEAD", "path": "/", "count": count, "parallel": 40,
    });
    let report = world.lab.post("/nodes/alice/burst", burst).await;
    measured(&format!("load: {count} short connections: {report}"));
    assert_eq!(number(&report, "ok"), count, "{report}");
    assert_eq!(number(&report, "failed"), 0, "{report}");
    assert_eq!(number(&report, "slow_over_500ms"), 0, "{report}");
    world.gateway.stop().await;
}

#[tokio::test]
async fn idle_streams_cost_no_threads_and_leave_no_descriptors() {
    let (nodes, each) = if soak() { (4, 500) } else { (2, 100) };
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let script = Script {
        stall: Some(Point::MidStream),
        ..Script::text("one two three four")
    };
    provider.script(Matcher::any(), script);
    let lab = Lab::start(&with(&[
        json!({"name": "many", "user": "many@example.com", "count": nodes}),
    ]))
    .await;
    let gateway = Gateway::on(&lab, &config(&provider.url(), USERS), Options::default()).await;
    let process = &gateway.process;
    let order = |count: u64| {
        json!({
            "target": "ai:80", "path": "/v1/messages", "method": "POST", "count": count,
            "headers": {"content-type": "application/json"}, "body": message(MODEL, "hello", true),
            "timeout_ms": 60_000,
        })
    };
    // Whatever is opened once for all (threads, files, pools) is there after a first stream.
    hold(&lab, "many1", &order(1)).await;
    end(&lab, "many1").await;
    provider.await_ended(1).await;
    gateway.finished(1).await;
    let (descriptors, memory) = (idle_descriptors(&gateway).await, process.status("VmRSS"));

    for node in 1..=nodes {
        hold(&lab, &format!("many{node}"), &order(each)).await;
    }
    let streams = nodes * each;
    let (threads, full) = (process.status("Threads"), process.status("VmRSS"));
    measured(&format!(
        "load: {streams} idle streams: {threads} threads, {} KiB a stream ({memory} → {full} KiB), {} descriptors",
        full.saturating_sub(memory) / streams,
        process.descriptors(),
    ));
    assert!(threads < 64, "{threads} threads");
    assert!(process.descriptors() as u64 >= 2 * streams);

    for node in 1..=nodes {
        end(&lab, &format!("many{node}")).await;
    }
    provider.await_ended(streams + 1).await;
    gateway
        .finished(usize::try_from(streams).unwrap() + 1)
        .await;
    let left = idle_descriptors(&gateway).await;
    measured(&format!(
        "load: descriptors before {descriptors}, after {left}"
    ));
    assert!(left <= descriptors, "{descriptors} → {left} descriptors");
    gateway.stop().await;
}

/// The node and the gateway share the process's descriptors: without any, a connection is closed at once, what is open goes on, and
/// with them again all is as before.
#[tokio::test]
async fn without_descriptors_connections_are_closed_and_with_them_served_again() {
    let world = World::start(USERS, &[]).await;
    let url = world.door("alice").await;
    let mut quiet = Kept::open(&world.door("bob").await).await;
    let mut ask = async || {
        let answer = quiet
            .post("/v1/messages", message(MODEL, "hello", false))
            .await;
        assert_eq!(answer.unwrap().status, 200);
    };
    ask().await;
    let pid = world.gateway.process.pid().to_string();
    let permit = async |count: u64| {
        let soft = format!("--nofile={count}:");
        let arguments = ["--pid", &pid, &soft];
        let status = Command::new("prlimit").args(arguments).status().await;
        assert!(status.unwrap().success());
    };
    permit(3).await;
    for _ in 0..3 {
        let refused = http::try_open(Method::HEAD, &url, &[], "").await;
        assert!(refused.is_err(), "{refused:?}");
        ask().await;
    }
    permit(10_000).await;
    assert_eq!(http::send(Method::HEAD, &url, &[], "").await.status, 200);
    ask().await;
    world.gateway.stop().await;
}

async fn hold(lab: &Lab, node: &str, order: &Value) {
    let opened = lab
        .post(&format!("/nodes/{node}/streams"), order.clone())
        .await;
    assert_eq!(opened["opened"], order["count"], "{opened}");
}

async fn end(lab: &Lab, node: &str) {
    let path = format!("/nodes/{node}/streams");
    lab.call(Method::DELETE, &path, &Value::Null).await;
}

/// The descriptors once no client is connected: connections close a moment after their requests.
async fn idle_descriptors(gateway: &Gateway) -> usize {
    let deadline = tokio::time::Instant::now() + crate::support::process::PATIENCE;
    let mut fewest = usize::MAX;
    let mut unchanged = 0;
    // Each health check is a round trip through the process; twenty without a lower count, and it is at rest.
    while unchanged < 20 {
        assert!(tokio::time::Instant::now() < deadline, "never at rest");
        super::health(gateway).await;
        let now = gateway.process.descriptors();
        unchanged = if now < fewest { 0 } else { unchanged + 1 };
        fewest = fewest.min(now);
    }
    fewest
}

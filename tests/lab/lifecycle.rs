//! The node's life: login, approval, names, key expiry, restarts, outages and the end, in every state.

use super::{
    MODEL, USERS, World, await_node, change, doctor_says, health, hold_streams, measured, with,
};
use crate::support::{Gateway, Lab, config, gateway::Options, http, message};
use aperture::record::Timestamp;
use provider::Provider;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// By when a restarted gateway answers, once it says that it serves.
const RESTARTED: Duration = Duration::from_millis(500);

/// By when the process has ended, whatever goes on.
const CLOSED: Duration = Duration::from_secs(10);

const LOGIN: &str = "this node has to be logged in: open";

const EXPIRED: &str = "the node's key has expired or was revoked";

#[tokio::test]
async fn a_login_address_is_shown_until_somebody_logs_in_and_again_when_the_key_expires() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = Lab::start(&with(&[])).await;
    let options = Options {
        without_key: true,
        ..Options::default()
    };
    let gateway = Gateway::joining(&lab, &config(&provider.url(), USERS), &options);
    let first = login_address(&gateway, LOGIN).await;
    let (serves, told) = health(&gateway).await;
    assert!(!serves);
    assert_eq!(told["node"], "needs_login");
    lab.post("/auth/complete", json!({"url": first})).await;
    gateway.serving().await;
    assert_eq!(health(&gateway).await.1["node"], "running");
    ask(&lab).await;

    // Its own key expires: it says so, asks for a login, and serves again after it.
    assert_eq!(count(&gateway, LOGIN), 1, "said once");
    change(&lab, "/nodes/ai/expire", Value::Null).await;
    let again = login_address(&gateway, EXPIRED).await;
    assert_ne!(again, first);
    let (serves, told) = health(&gateway).await;
    assert!(!serves);
    assert_eq!(told["node"], "expired");
    let (well, text) = doctor_says(&gateway, &[]).await;
    assert!(!well);
    assert!(
        text.contains(&format!("FAIL  node.state: {EXPIRED}")),
        "{text}"
    );
    assert!(text.contains(&again), "{text}");
    lab.post("/auth/complete", json!({"url": again})).await;
    serving_times(&gateway, 2).await;
    await_node(&lab, "ai", "ready").await;
    assert!(health(&gateway).await.0);
    ask(&lab).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_expired_key_is_renewed_with_the_auth_key_and_the_metrics_say_when_it_ends() {
    let world = World::start(super::metrics::READERS, &[]).await;
    metrics_say_it_runs(&world).await;
    change(&world.lab, "/nodes/ai/expire", Value::Null).await;
    let said = "the node's key had expired or was revoked: it has logged in again";
    world.gateway.event(said, |_| Some(())).await;
    await_node(&world.lab, "ai", "ready").await;
    ask(&world.lab).await;
    metrics_say_it_runs(&world).await;
    world.gateway.stop().await;
}

/// The metrics say that the node runs, and until when its key is good.
async fn metrics_say_it_runs(world: &World) {
    let url = world.lab.forward("alice", "ai:9090").await;
    let text = http::get(&format!("{url}/metrics")).await.text();
    let node = world.lab.node("ai").await;
    let end = Timestamp::parse(node["keyExpiry"].as_str().unwrap()).unwrap();
    for line in [
        "aperture_node_state{state=\"running\"} 1".to_owned(),
        format!(
            "aperture_node_key_expiry_timestamp_seconds {}",
            end.0 / 1000
        ),
    ] {
        let found = text.lines().any(|other| other == line);
        assert!(found, "no {line:?} in:\n{text}");
    }
}

#[tokio::test]
async fn a_machine_that_needs_approval_says_so_and_serves_once_approved() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let mut topology = with(&[]);
    topology["approval"] = json!(true);
    let lab = Lab::start(&topology).await;
    let config = config(&provider.url(), USERS);
    let gateway = Gateway::joining(&lab, &config, &Options::default());
    gateway
        .event("an admin of the tailnet has to approve", |_| Some(()))
        .await;
    let (serves, told) = health(&gateway).await;
    assert!(!serves);
    assert_eq!(told["node"], "needs_approval");
    change(&lab, "/nodes/ai/approve", Value::Null).await;
    gateway.serving().await;
    ask(&lab).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_node_whose_name_was_taken_tells_its_real_name() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let mut topology = with(&[json!({"name": "ai", "user": "old@example.com"})]);
    // The name belongs to a machine that is there already.
    topology["nodes"].as_array_mut().unwrap().remove(0);
    let lab = Lab::start(&topology).await;
    let config = config(&provider.url(), USERS);
    let gateway = Gateway::joining(&lab, &config, &Options::default());
    let full = gateway.serving().await;
    assert!(full.starts_with("ai-1."), "{full}");
    let name = gateway
        .event("the name ai was taken", |fields| {
            Some(fields["name"].clone())
        })
        .await;
    assert_eq!(name, "ai-1");
    assert_eq!(health(&gateway).await.1["name"], "ai-1");
    gateway.stop().await;
}

#[tokio::test]
async fn a_restart_with_kept_state_answers_at_once_from_the_same_port() {
    let world = World::start(USERS, &[]).await;
    let lab = &world.lab;
    // As the real control server: peers keep trusting the path that they know.
    change(lab, "/faults/map", json!({"keep_paths": true})).await;
    ask(lab).await;
    let ports = udp_ports(&world.gateway);
    let config = std::fs::read_to_string(world.gateway.config_file()).unwrap();
    let dir = world.gateway.stop().await;

    let url = format!("{}/v1/messages", lab.forward("alice", "ai:80").await);
    let options = Options {
        dir: Some(dir),
        without_key: true,
        ..Options::default()
    };
    let begun = Instant::now();
    let gateway = Gateway::on(lab, &config, options).await;
    let serving = Instant::now();
    let answer = http::post(&url, message(MODEL, "hello", false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let first = serving.elapsed();
    measured(&format!(
        "lifecycle: restart: serving after {:?}, first answer {first:?} later",
        serving - begun
    ));
    assert!(first < RESTARTED, "{first:?}");
    assert!(!ports.is_empty());
    assert!(ports.is_subset(&udp_ports(&gateway)), "another port");
    gateway.stop().await;
}

#[tokio::test]
async fn a_control_server_that_goes_down_takes_nothing_with_it() {
    let world = World::start(USERS, &[]).await;
    let lab = &world.lab;
    ask(lab).await;
    lab.post("/faults/control", json!({"down": true})).await;
    for _ in 0..3 {
        ask(lab).await;
    }
    assert!(health(&world.gateway).await.0);
    let config = std::fs::read_to_string(world.gateway.config_file()).unwrap();
    let begun = Instant::now();
    let dir = world.gateway.stop().await;
    assert_closed("while control was down", begun);

    // It starts without a control server, waits for it, and is no zombie meanwhile.
    let options = Options {
        dir: Some(dir),
        ..Options::default()
    };
    let gateway = Gateway::joining(lab, &config, &options);
    waits_for_control(&gateway).await;
    let (serves, _) = health(&gateway).await;
    assert!(!serves);
    lab.post("/faults/control", json!({"down": false})).await;
    gateway.serving().await;
    await_node(lab, "ai", "ready").await;
    ask(lab).await;
    gateway.stop().await;
}

#[tokio::test]
async fn it_ends_in_time_in_every_state() {
    // With a login pending.
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = Lab::start(&with(&[])).await;
    let config = config(&provider.url(), USERS);
    let options = Options {
        without_key: true,
        ..Options::default()
    };
    let gateway = Gateway::joining(&lab, &config, &options);
    login_address(&gateway, LOGIN).await;
    stops_in_time(gateway, "with a login pending").await;

    // Before it ever reached a control server.
    lab.post("/faults/control", json!({"down": true})).await;
    let gateway = Gateway::joining(&lab, &config, &Options::default());
    waits_for_control(&gateway).await;
    stops_in_time(gateway, "before control answered").await;
    lab.post("/faults/control", json!({"down": false})).await;

    // With streams open: those who ask for no patience get none.
    let options = Options {
        arguments: vec!["--drain-timeout".into(), "1s".into()],
        ..Options::default()
    };
    let gateway = Gateway::on(&lab, &config, options).await;
    let _gate = hold_streams(&provider);
    let order = json!({
        "target": "ai:80", "path": "/v1/messages", "method": "POST", "count": 20, "head_only": true,
        "headers": {"content-type": "application/json"}, "body": message(MODEL, "hello", true),
    });
    let opened = lab.post("/nodes/alice/streams", order).await;
    assert_eq!(opened["opened"], 20, "{opened}");
    stops_in_time(gateway, "with streams open").await;
}

/// It has started, and says for whom it waits.
async fn waits_for_control(gateway: &Gateway) {
    let said =
        |line: &str| (line.contains("tailnet:") && line.contains("control server")).then_some(());
    gateway.process.stderr.find("that it waits", said).await;
}

async fn stops_in_time(gateway: Gateway, what: &str) {
    let begun = Instant::now();
    gateway.stop().await;
    assert_closed(what, begun);
}

fn assert_closed(what: &str, begun: Instant) {
    measured(&format!(
        "lifecycle: ended {what} after {:?}",
        begun.elapsed()
    ));
    assert!(begun.elapsed() < CLOSED, "{what}: {:?}", begun.elapsed());
}

/// A request of alice's, answered.
async fn ask(lab: &Lab) {
    let url = format!("{}/v1/messages", lab.forward("alice", "ai:80").await);
    let answer = http::post(&url, message(MODEL, "hello", false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The address that such a line tells.
async fn login_address(gateway: &Gateway, message: &str) -> String {
    gateway
        .event(message, |fields| fields["url"].as_str().map(str::to_owned))
        .await
}

/// Waits until it has said that often that it serves.
async fn serving_times(gateway: &Gateway, n: usize) {
    let mut seen = 0;
    gateway
        .event("serving: clients use", |_| {
            seen += 1;
            (seen == n).then_some(())
        })
        .await;
}

/// How often it has said so.
fn count(gateway: &Gateway, message: &str) -> usize {
    let lines = gateway.process.stderr.all();
    lines.iter().filter(|line| line.contains(message)).count()
}

/// The UDP ports that the process has bound.
fn udp_ports(gateway: &Gateway) -> BTreeSet<u16> {
    super::process::sockets(gateway.process.pid(), &["udp", "udp6"])
        .into_iter()
        .map(|socket| socket.port)
        .collect()
}

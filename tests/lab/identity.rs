//! Who a request is counted for: the node that sent it, whatever it claims and whoever had its address before.

use super::{MODEL, USERS, World, change, measured, number, of_node, person};
use crate::support::{http, message, soak};
use ::http::Method;
use provider::{Matcher, Script, UsageScript};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The nodes that pass their addresses round.
const MOVERS: [&str; 4] = ["mover1", "mover2", "mover3", "mover4"];

/// Requirements 1 and 2 of the library, and the gateway's first tenet.
///
/// Each request says in its path which node sent it, so a record whose node is another one is a misattribution. While the
/// bursts run, addresses pass from node to node.
#[tokio::test]
async fn no_connection_is_counted_for_another_node_under_bursts_resets_and_reused_addresses() {
    let (peers, each, of_movers) = if soak() { (100, 230, 10) } else { (20, 90, 10) };
    let nodes = [
        json!({"name": "peer", "user": "peer@example.com", "count": peers}),
        json!({"name": "mover", "user": "mover@example.com", "count": MOVERS.len()}),
    ];
    let world = World::start(USERS, &nodes).await;
    world.provider.script(
        Matcher::any(),
        Script {
            usage: UsageScript {
                input: Some(1),
                output: Some(1),
                ..UsageScript::default()
            },
            ..Script::text("yes")
        },
    );

    let burst = |nodes: &str, count: u64, parallel: u64, timeout_ms: u64| {
        world.lab.post(
            "/burst",
            json!({
                "nodes": [nodes], "target": "ai:80", "method": "POST", "path": "/v1/messages?from={id}",
                "headers": {"content-type": "application/json"}, "body": message(MODEL, "hello", false),
                "count": count, "parallel": parallel, "reset": 0.1, "timeout_ms": timeout_ms,
            }),
        )
    };
    let steady = burst("peer*", each, 1, 30_000);
    // The movers pass their addresses round, each time with connections under way, for as long as the others go on.
    let mut moves = 0;
    let moved = async {
        loop {
            burst("mover*", of_movers, 4, 2000).await;
            tokio::join!(
                burst("mover*", of_movers, 4, 1000),
                pass_addresses_round(&world, &MOVERS)
            );
            moves += 1;
        }
    };
    let steady = tokio::select! {
        report = steady => report,
        () = moved => unreachable!("it goes on"),
    };
    assert!(moves > 0, "no address changed hands");
    // Who stays where they are is not disturbed by those who move.
    assert_eq!(number(&steady, "failed"), 0, "{steady}");
    let answered = number(&steady, "ok");
    let records = world
        .gateway
        .finished(usize::try_from(answered).unwrap())
        .await;
    let names: HashMap<_, _> = world.lab.state().await["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (text(&node["stableID"]), text(&node["name"])))
        .collect();
    let moved = records
        .iter()
        .filter(|record| record.who.login == "mover@example.com")
        .count();
    assert!(moved >= 20, "only {moved} connections of nodes that moved");
    let wrong: Vec<_> = records
        .iter()
        .filter_map(|record| {
            let sender = record.path.split_once("from=")?.1;
            (sender != record.who.node || names[sender] != record.who.node_name)
                .then(|| format!("{sender} was taken for {:?}", record.who))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} misattributed: {wrong:#?}",
        wrong.len(),
        records.len()
    );
    assert!(
        records.iter().all(|record| record.path.contains("from=n")),
        "a record does not say who sent it"
    );
    measured(&format!(
        "identity: 0 of {} connections misattributed ({moved} of nodes that moved), {moves} rounds of addresses",
        records.len(),
    ));
    world.gateway.stop().await;
}

/// Every node of the ring takes the address of the next one.
async fn pass_addresses_round(world: &World, ring: &[&str]) {
    let mut addresses = Vec::new();
    for name in ring {
        addresses.push(text(&world.lab.node(name).await["ips"][0]));
    }
    let spare = json!("100.64.9.9");
    change(&world.lab, &format!("/nodes/{}/ip", ring[0]), spare).await;
    for (at, name) in ring.iter().enumerate().skip(1) {
        let path = format!("/nodes/{name}/ip");
        change(&world.lab, &path, json!(addresses[at - 1])).await;
    }
    let last = json!(addresses[ring.len() - 1]);
    change(&world.lab, &format!("/nodes/{}/ip", ring[0]), last).await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn forged_identity_headers_do_nothing_and_go_no_further() {
    let world = World::start(USERS, &[]).await;
    let forged = [
        ("content-type", "application/json"),
        ("tailscale-user-login", "alice@example.com"),
        ("tailscale-user-name", "Alice"),
        ("tailscale-app-capabilities", r#"{"x":[{"role":"admin"}]}"#),
        ("x-forwarded-for", "100.64.0.2"),
        ("x-real-ip", "100.64.0.2"),
        ("forwarded", "for=100.64.0.2"),
        ("authorization", "Bearer alice@example.com"),
    ];
    let url = format!("{}/v1/messages", world.door("bob").await);
    let body = message(MODEL, "hello", false);
    let answer = http::send(Method::POST, &url, &forged, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let records = world.gateway.finished(1).await;
    assert_eq!(of_node(&records, "bob").who.login, "bob@example.com");
    let log = world.provider.log();
    for (name, value) in &forged[1..] {
        assert_ne!(log[0].header(name), Some(*value), "{name}");
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn tagged_shared_and_nameless_nodes_are_what_they_are() {
    let nodes = [
        json!({"name": "builder", "user": "alice@example.com", "tags": ["tag:ci", "tag:build"], "forward": ["ai:80"]}),
        json!({"name": "guest", "user": "carol@other.example", "shared": true, "forward": ["ai:80"]}),
        person("nobody", "tagged-devices"),
    ];
    let world = World::start(USERS, &nodes).await;
    for (count, (node, login)) in [
        ("builder", Some("tag:build,tag:ci")),
        ("guest", Some("carol@other.example")),
        ("nobody", None),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("{}/v1/messages", world.door(node).await);
        let answer = http::post(&url, message(MODEL, "hello", false)).await;
        if let Some(login) = login {
            assert_eq!(answer.status, 200, "{node}: {}", answer.text());
            let records = world.gateway.finished(count + 1).await;
            let who = &of_node(&records, node).who;
            assert_eq!(who.login, login);
            assert_eq!(who.user.starts_with("user:"), who.tags.is_empty());
            continue;
        }
        // Neither a user nor tags: a plain sentence for the client, the reason in the log, nothing for the provider.
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert_eq!(answer.json()["type"], "error");
        let sentence = answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(sentence.contains("tailnet"), "{sentence}");
        let reason = world
            .gateway
            .event("request refused", |fields| Some(fields["reason"].clone()))
            .await;
        assert!(!reason.as_str().unwrap().is_empty());
    }
    assert_eq!(world.provider.log().len(), 2);
    world.gateway.stop().await;
}

#[tokio::test]
async fn the_node_answers_a_ping() {
    let world = World::start(USERS, &[]).await;
    let ping = json!({"target": "ai", "type": "icmp"});
    let answer = world.lab.post("/nodes/alice/ping", ping).await;
    assert_eq!(answer["ok"], true, "{answer}");
    world.gateway.stop().await;
}

//! A change of the tailnet while connections are open: the next request is judged by it, and who is gone is cut off.

use super::{MODEL, World, change, delete, hold_streams, measured, of_node, person};
use crate::support::{http, message, wire::Kept};
use ::http::{Method, StatusCode};
use aperture::record::End;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// By when a change must be in force.
const SOON: Duration = Duration::from_secs(2);

const GRANTS: &str = r#"
    {"src": ["alice@example.com"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "*"}]}]},
    {"src": ["tag:ci"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "*"}]}]},
    {"src": ["group:eng"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "*"}]}]}"#;

/// Capabilities, tailnet grants, tags, user and groups, given and taken.
#[tokio::test]
async fn a_change_is_in_force_for_the_next_request_on_an_open_connection() {
    let world = World::start(GRANTS, &[person("dana", "dana@example.com")]).await;
    let mut kept = Kept::open(&world.door("dana").await).await;
    let allowed = json!({"role": "user", "models": ["**"]});
    let capability = json!({"tailscale.com/cap/aperture": [allowed]});
    let grant = json!([{"src": ["dana@example.com"], "dst": ["tag:ai"], "app": capability}]);
    let steps = [
        ("/nodes/dana/caps", capability, json!({})),
        ("/grants", grant, json!([])),
        ("/nodes/dana/tags", json!(["tag:ci"]), json!([])),
        (
            "/nodes/dana/user",
            json!({"login": "alice@example.com"}),
            json!({"login": "dana@example.com"}),
        ),
        (
            "/groups",
            json!({"group:eng": ["dana@example.com"]}),
            json!({"group:eng": null}),
        ),
    ];
    assert_eq!(ask(&mut kept).await, StatusCode::FORBIDDEN);
    for (path, give, take) in steps {
        for (body, wanted) in [(give, StatusCode::OK), (take, StatusCode::FORBIDDEN)] {
            change(&world.lab, path, body).await;
            let told = Instant::now();
            while ask(&mut kept).await != wanted {
                assert!(told.elapsed() < SOON, "{path}: not yet {wanted}");
            }
            measured(&format!(
                "changes: {path} → {wanted} after {:?}",
                told.elapsed()
            ));
        }
    }
    world.gateway.stop().await;
}

/// One request on the connection; an error is a closed connection, which a mere change must not cause.
async fn ask(kept: &mut Kept) -> StatusCode {
    let answer = kept.post("/v1/messages", message(MODEL, "hello", false));
    answer.await.expect("the connection stays open").status
}

#[tokio::test]
async fn who_is_removed_expired_or_readdressed_is_cut_off_and_nobody_else() {
    let nodes = [
        person("removed", "a@example.com"),
        person("expired", "b@example.com"),
        person("moved", "c@example.com"),
        person("heir", "d@example.com"),
        person("stays", "alice@example.com"),
        person("loses", "e@example.com"),
    ];
    let allowed = json!({"tailscale.com/cap/aperture": [{"role": "user", "models": ["**"]}]});
    let world = World::start(GRANTS, &nodes).await;
    let lab = &world.lab;
    for name in ["removed", "expired", "moved", "heir", "loses"] {
        change(lab, &format!("/nodes/{name}/caps"), allowed.clone()).await;
    }
    let gate = hold_streams(&world.provider);
    let mut streams = Vec::new();
    for (count, name) in ["removed", "expired", "moved", "stays", "loses"]
        .into_iter()
        .enumerate()
    {
        let url = format!("{}/v1/messages", world.door(name).await);
        let json = [("content-type", "application/json")];
        let body = message(MODEL, name, true);
        let response = http::open(Method::POST, &url, &json, body).await;
        assert_eq!(response.status(), 200);
        streams.push((name, response.into_body()));
        world.provider.await_requests(count as u64 + 1).await;
    }

    // Each upstream request ends within the limit after the tailnet was told, and ends because its client is gone.
    delete(lab, "/nodes/removed?keep=1").await;
    ended_soon(&world, 1, "removed").await;
    change(lab, "/nodes/expired/expire", Value::Null).await;
    ended_soon(&world, 2, "expired").await;
    let address = lab.node("moved").await["ips"][0].clone();
    change(lab, "/nodes/moved/ip", json!("100.64.7.7")).await;
    change(lab, "/nodes/heir/ip", address).await;
    ended_soon(&world, 3, "moved").await;

    // A change of grants alone ends nothing that runs; the next request is judged by it.
    change(lab, "/nodes/loses/caps", json!({})).await;
    let url = world.door("loses").await;
    let mut kept = Kept::open(&url).await;
    let told = Instant::now();
    let mut asked = 1;
    while ask(&mut kept).await != StatusCode::FORBIDDEN {
        assert!(told.elapsed() < SOON, "the revoked grant is still in force");
        asked += 1;
    }
    gate.open();
    for (name, body) in streams {
        if name == "stays" || name == "loses" {
            let text = body.collect().await.expect("undisturbed").to_bytes();
            let text = String::from_utf8_lossy(&text);
            assert!(text.contains("message_stop"), "{name}: {text}");
        }
    }
    let records: Vec<_> = world
        .gateway
        .finished(5 + asked)
        .await
        .into_iter()
        .filter(|record| record.streamed)
        .collect();
    for (name, end) in [
        ("removed", End::ClientGone),
        ("expired", End::ClientGone),
        ("moved", End::ClientGone),
        ("stays", End::Complete),
    ] {
        assert_eq!(of_node(&records, name).end, end, "{name}");
    }
    world.gateway.stop().await;
}

async fn ended_soon(world: &World, count: u64, name: &str) {
    let told = Instant::now();
    tokio::time::timeout(SOON, world.provider.await_ended(count))
        .await
        .unwrap_or_else(|_| panic!("the upstream request of {name} goes on"));
    let gone: Vec<_> = world
        .provider
        .log()
        .iter()
        .filter(|entry| entry.answer.end == Some(provider::End::ClientGone))
        .filter_map(|entry| entry.request.body.clone())
        .collect();
    assert_eq!(gone.len() as u64, count);
    assert!(
        gone.iter()
            .any(|body| String::from_utf8_lossy(body).contains(&format!("\"{name}\""))),
        "another one's request ended than that of {name}"
    );
    measured(&format!(
        "changes: {name} cut off after {:?}",
        told.elapsed()
    ));
}

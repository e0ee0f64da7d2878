//! The metrics port: who may read it, and a real Prometheus that does.

use super::{MODEL, World};
use crate::support::{Prometheus, http, message, prometheus::scrape};
use serde_json::{Value, json};

/// Alice is admin, bob is a user.
pub(super) const READERS: &str = r#"
    {"src": ["alice@example.com"], "grants": [{"role": "admin"}, {"providers": [{"provider": "*", "model": "*"}]}]},
    {"src": ["bob@example.com"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "*"}]}]}"#;

/// The node that Prometheus scrapes through: the tailnet's policy lets it read metrics, and nothing else.
pub(crate) fn scraper() -> Value {
    json!({
        "name": "prom", "user": "alice@example.com", "tags": ["tag:prometheus"], "forward": ["ai:80", "ai:9090"],
        "caps": {"tailscale.com/cap/aperture": [{"read_metrics": true}]},
    })
}

#[tokio::test]
async fn admins_and_metrics_readers_may_scrape_and_nobody_else() {
    let nodes = [
        scraper(),
        json!({"name": "bobs", "user": "bob@example.com", "forward": ["ai:9090"]}),
        json!({"name": "noone", "user": "eve@example.com", "forward": ["ai:9090"]}),
    ];
    let world = World::start(READERS, &nodes).await;
    for (node, status) in [("alice", 200), ("prom", 200), ("bobs", 403), ("noone", 403)] {
        let url = world.lab.forward(node, "ai:9090").await;
        let answer = http::get(&format!("{url}/metrics")).await;
        assert_eq!(answer.status, status, "{node}: {}", answer.text());
        let shown = answer.text().contains("aperture_build_info");
        assert_eq!(shown, status == 200, "{node}");
    }
    // The node's own series are there, and reading metrics opens nothing else.
    let url = world.lab.forward("prom", "ai:9090").await;
    let text = http::get(&format!("{url}/metrics")).await.text();
    assert!(text.contains("\ntailscaled_"), "{text}");
    let url = world.lab.forward("prom", "ai:80").await;
    let answer = http::post(&format!("{url}/v1/messages"), message(MODEL, "x", false)).await;
    assert_eq!(answer.status, 403);
    assert_eq!(http::get(&format!("{url}/ui/")).await.status, 403);
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_real_prometheus_sees_what_was_recorded() {
    let world = World::start(READERS, &[scraper()]).await;
    let url = format!("{}/v1/messages", world.door("alice").await);
    for turn in 0..5 {
        let body = message(MODEL, &format!("turn {turn}"), turn % 2 == 0);
        assert_eq!(http::post(&url, body).await.status, 200);
    }
    let records = world.gateway.finished(5).await;
    let entries = world.provider.log();
    let output: u64 = entries.iter().map(|e| e.answer.usage.unwrap().output).sum();
    assert_eq!(output, records.iter().map(|r| r.usage.output).sum::<u64>());

    let proxy = world.lab.node("prom").await["proxy"].clone();
    let prometheus = Prometheus::start(&scrape(proxy.as_str().unwrap())).await;
    let seen = prometheus.query("sum(aperture_requests_total)").await;
    assert_eq!(seen, "5");
    let tokens = prometheus
        .query("sum(aperture_tokens_total{type=\"output\"})")
        .await;
    assert_eq!(tokens, output.to_string());
    let cost: u64 = records.iter().map(|record| record.cost.pico).sum();
    let dollars = prometheus
        .query("round(sum(aperture_cost_dollars_total) * 1e12)")
        .await;
    assert_eq!(dollars, cost.to_string());
    world.gateway.stop().await;
}

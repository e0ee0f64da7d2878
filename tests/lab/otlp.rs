//! A collector that is a node of the tailnet gets spans through the gateway's own node, and only so.

use super::with;
use crate::support::{Gateway, Lab, collector::Collector, config, gateway::Options, http, message};
use provider::Provider;
use serde_json::json;

#[tokio::test]
async fn a_collector_on_the_tailnet_gets_spans_that_name_who_asked() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let collector = Collector::start().await;
    let target = collector.stand_in.url.trim_start_matches("http://");
    let lab = Lab::start(&with(&[
        json!({"name": "otel", "user": "ops@example.com", "serve": {"4318": target}}),
    ]))
    .await;
    let document = config(&provider.url(), super::USERS);
    let open = document.strip_suffix('}').unwrap();
    let document = format!(
        r#"{open}  "gateway": {{"otlp": {{"endpoint": "http://otel:4318", "tailnet": true, "users": true}}}},
}}"#
    );
    let gateway = Gateway::on(&lab, &document, Options::default()).await;
    for node in ["alice", "ci"] {
        let url = format!("{}/v1/messages", lab.forward(node, "ai:80").await);
        let answer = http::post(&url, message("claude-haiku-4-5", "hello", true)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    gateway.stop().await;
    let spans = collector.spans().await;
    let users: Vec<&str> = spans.iter().map(|span| span.text("enduser.id")).collect();
    assert_eq!(users, ["alice@example.com", "tag:ci"]);
    for post in collector.stand_in.asked() {
        assert_eq!(post.header("host"), "otel:4318");
    }
    let name = &spans[0].0["resource"]["service.instance.id"]["string"];
    assert!(name.as_str().unwrap().starts_with("ai"), "{name}");
}

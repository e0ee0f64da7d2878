//! Providers with `tailnet: true` are reached through the node, and only so.

use super::with;
use crate::support::{Gateway, Lab, gateway::Options, http, message};
use provider::Provider;
use serde_json::json;

#[tokio::test]
async fn a_tailnet_provider_is_reached_by_name_and_by_address_and_never_over_the_host() {
    let inside = Provider::start(provider::Options::default()).await.unwrap();
    let outside = Provider::start(provider::Options::default()).await.unwrap();
    let target = inside.addr().to_string();
    let lab = Lab::start(&with(&[
        json!({"name": "gpu", "user": "ml@example.com", "serve": {"8000": target}}),
    ]))
    .await;
    let address = lab.node("gpu").await["ips"][0].clone();
    let address = address.as_str().unwrap();
    let fqdn = lab.node("gpu").await["fqdn"].clone();
    let fqdn = fqdn.as_str().unwrap().trim_end_matches('.');
    let port = outside.addr().port();
    let bases = [
        ("short", "gpu:8000".to_owned(), true),
        ("full", format!("{fqdn}:8000"), true),
        ("address", format!("{address}:8000"), true),
        ("loopback", format!("127.0.0.1:{port}"), false),
        ("host", format!("localhost:{port}"), false),
        ("unknown", format!("nowhere.example:{port}"), false),
    ];
    let providers: Vec<_> = bases
        .iter()
        .map(|(name, base, _)| {
            format!(
                r#""{name}": {{"baseurl": "http://{base}", "tailnet": true, "models": ["m-{name}"], "compatibility": {{"anthropic_messages": true}}}}"#
            )
        })
        .collect();
    let config = format!(
        r#"{{"providers": {{{}}}, "temp_grants": [{}]}}"#,
        providers.join(", "),
        super::USERS
    );
    let gateway = Gateway::on(&lab, &config, Options::default()).await;
    let url = format!("{}/v1/messages", lab.forward("alice", "ai:80").await);
    let mut reached = 0;
    for (name, base, works) in &bases {
        let answer = http::post(&url, message(&format!("m-{name}"), "hello", false)).await;
        let wanted = if *works { 200 } else { 502 };
        assert_eq!(answer.status, wanted, "{base}: {}", answer.text());
        reached += usize::from(*works);
        assert_eq!(inside.log().len(), reached, "{base}");
    }
    assert_eq!(outside.accepted(), 0, "the host's network was used");
    // All three names are the same node's.
    for entry in inside.log() {
        let host = entry.header("host").unwrap();
        assert!(host.ends_with(":8000"), "{host}");
    }
    gateway.stop().await;
}

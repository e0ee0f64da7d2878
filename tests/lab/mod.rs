//! The real binary on the private tailnet.

use crate::support::{
    EVERYBODY, Gateway, Lab, config, gateway::Options, http, lab::topology, message,
};
use provider::Provider;

#[tokio::test]
async fn a_request_over_the_tailnet_is_its_callers() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = Lab::start(&topology()).await;
    let gateway = Gateway::on(
        &lab,
        &config(&provider.url(), EVERYBODY),
        Options::default(),
    )
    .await;
    let mut expected = Vec::new();
    for (node, login) in [
        ("alice", "alice@example.com"),
        ("bob", "bob@example.com"),
        ("ci", "tag:ci"),
    ] {
        let url = lab.forward(node, "ai:80").await;
        let answer = http::post(
            &format!("{url}/v1/messages"),
            message("claude-haiku-4-5", "hello", true),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        expected.push(login);
        let logins: Vec<_> = gateway
            .finished(expected.len())
            .await
            .into_iter()
            .map(|record| record.who.login)
            .collect();
        assert_eq!(logins, expected);
    }
    gateway.stop().await;
}

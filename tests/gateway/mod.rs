//! The real binary on its development listener.

mod accounts;
mod api;
mod bytes;
mod commands;
mod configuration;
mod connect;
mod credentials;
mod crowd;
mod discovery;
mod failures;
mod faults;
mod formats;
mod hardening;
mod hostile;
mod init;
mod lifecycle;
mod names;
mod otlp;
mod protocols;
mod random;
mod reprice;
mod secrets;
mod settings;
mod streams;
mod tls;
mod upkeep;
mod usage;
mod wire;

use crate::support::{EVERYBODY, Gateway, chat, config, gateway::Options, http, message};
use aperture::record::{CostState, End, UsageState};
use provider::Provider;

/// A configuration for everybody, with settings of the gateway: `"timeouts": {…}, "limits": {…}`.
fn document(provider: &str, settings: &str) -> String {
    let config = config(provider, EVERYBODY);
    let open = config.strip_suffix('}').unwrap();
    format!("{open}  \"gateway\": {{{settings}}},\n}}")
}

/// A gateway with that configuration.
async fn start(document: &str) -> Gateway {
    Gateway::dev(document, Options::default()).await
}

#[tokio::test]
async fn both_founding_requests_are_answered_and_recorded() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url(), EVERYBODY), Options::default()).await;

    let answer = http::post(
        &format!("{}/v1/messages", gateway.url),
        message("claude-haiku-4-5-20251001", "respond with: hello", false),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = http::post(
        &format!("{}/v1/chat/completions", gateway.url),
        chat("gpt-4o", "respond with: hello", true),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let records = gateway.finished(2).await;
    for (record, entry) in records.iter().zip(provider.log()) {
        let usage = entry.answer.usage.unwrap();
        assert_eq!(record.end, End::Complete);
        assert_eq!(record.usage_state, UsageState::Reported);
        assert_eq!(record.usage.output, usage.output);
        assert_eq!(record.usage.input_all(), usage.prompt());
        assert_eq!(record.cost.state, CostState::Priced);
        assert_eq!(record.who.login, "dev@example.com");
        assert!(record.session.is_some());
    }
    gateway.stop().await;
}

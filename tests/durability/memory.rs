//! Memory and descriptors over many requests: flat, and given back.

use super::{scrape, total};
use crate::support::{Gateway, gateway::Options, http, process::PATIENCE, soak};
use load::{
    format,
    run::{self, Limit, Plan},
};
use provider::{LogOptions, Provider};
use std::time::Duration;
use tokio::time::Instant;

/// The measurement is cut into so many parts; memory is read after each of them.
const PARTS: u64 = 30;
const CONNECTIONS: u16 = 32;

/// A provider that knows the answers to the prepared requests.
async fn provider(pieces: usize) -> Provider {
    let options = provider::Options {
        log: LogOptions {
            entries: 1_000,
            body_bytes: 0,
            hashes: false,
            ..LogOptions::default()
        },
        ..provider::Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    for script in format::scripts(pieces) {
        let answer = http::post(&format!("{}/_script", provider.url()), script.to_string()).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    provider
}

/// All formats in turn, whole and as streams, refused and failing requests, clients that leave at once and in mid-stream:
/// after a third of them for warming up, memory must not grow any more, and in the end no descriptor may be left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_flat_over_mixed_requests_and_descriptors_return() {
    // The short run ends while the store's page cache still fills: it may grow by what that holds for so many requests.
    let (requests, pieces, filling) = if soak() {
        (200_000, format::PIECES, 0)
    } else {
        (1_500, 8, 8 << 10)
    };
    let mut provider = provider(pieces).await;
    let config = format::config(&provider.url(), "full").to_string();
    let gateway = Gateway::dev(&config, Options::default()).await;
    let process = &gateway.process;
    let idle = (process.status("VmRSS"), process.descriptors());

    let authority = gateway.url.strip_prefix("http://").unwrap();
    let mixed = format::mixed(authority, provider.addr()).await.unwrap();
    let (mut memory, mut answered, mut left, mut sent) = (Vec::new(), 0, 0, 0);
    for _ in 0..PARTS {
        let plan = Plan {
            target: authority.parse().unwrap(),
            requests: mixed.clone(),
            connections: CONNECTIONS,
            warm_up: 0,
            limit: Limit {
                requests: requests / PARTS,
                time: Duration::from_hours(1),
            },
            timeout: PATIENCE,
            first: sent,
        };
        let outcome = run::run(plan, &[]).await.unwrap();
        assert_eq!(outcome.failed(), 0, "{:?}", outcome.measured.failures);
        sent += requests / PARTS;
        answered += outcome.answered();
        left += outcome.measured.left;
        memory.push(process.status("VmRSS"));
    }
    assert_eq!(answered + left, sent);
    assert!(left > sent / 20, "{left} clients left: the mix is another");

    eprintln!(
        "{sent} requests, {left} left by their clients: {} KiB resident at first, then {memory:?}",
        idle.0
    );
    let third = memory.len() / 3;
    let mean = |part: &[u64]| part.iter().sum::<u64>() / part.len() as u64;
    let (middle, last) = (mean(&memory[third..2 * third]), mean(&memory[2 * third..]));
    assert!(
        last <= middle + middle / 10 + filling,
        "{middle} KiB in the middle third, {last} in the last: {memory:?}"
    );

    // The connections to the provider are kept for later; without it they go as well.
    provider.shutdown().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Also one round trip, so that this is no busy loop.
        let running = total(&scrape(&gateway).await, "aperture_in_flight");
        let descriptors = process.descriptors();
        // The scrape itself has one.
        if running == 0 && descriptors <= idle.1 + 1 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{running} requests run, {descriptors} descriptors are open, {} were at first",
            idle.1
        );
    }
    gateway.stop().await;
}

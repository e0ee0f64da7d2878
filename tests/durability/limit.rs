//! A process that may not have the memory it needs. What requests hold is bounded (docs/performance.md), so this takes a limit far
//! below what operators are told to give; what it shows is the end and the next start.

use super::{of_counters, of_records};
use crate::support::{EVERYBODY, Gateway, config, gateway::Options, http, measured, message};
use aperture::record::End;
use provider::{Matcher, Point, Provider, Script};
use tokio::{process::Command, task::JoinSet};

const MODEL: &str = "claude-haiku-4-5";

/// Where memory ends, the process ends: at once and as a whole, as by a kill. The next start has everything.
#[tokio::test]
async fn without_memory_it_ends_at_once_and_the_next_start_has_everything() {
    const DONE: usize = 10;
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let stalled = Script {
        stall: Some(Point::BeforeHead),
        ..Script::default()
    };
    provider.script(Matcher::body("hold this"), stalled);
    let document = config(&provider.url(), EVERYBODY);
    // Else the allocator takes a gibibyte of addresses at its start, and what it lacks later is never the system's to refuse.
    let options = Options {
        environment: vec![("MIMALLOC_ARENA_EAGER_COMMIT".into(), "0".into())],
        ..Options::default()
    };
    let mut gateway = Gateway::dev(&document, options).await;
    let url = format!("{}/v1/messages", gateway.url);
    for n in 0..DONE {
        let answer = http::post(&url, message(MODEL, &format!("number {n}"), false)).await;
        assert_eq!(answer.status, 200);
    }
    gateway.finished(DONE).await;

    // Eight more mebibytes, and clients that would have it hold a hundred.
    let limit = (gateway.process.status("VmData") + (8 << 10)) << 10;
    let pid = gateway.process.pid().to_string();
    let data = format!("--data={limit}:{limit}");
    let limited = Command::new("prlimit")
        .args(["--pid", &pid, &data])
        .status()
        .await;
    assert!(limited.unwrap().success());
    let mut clients = JoinSet::new();
    for n in 0..100 {
        let (url, text) = (
            url.clone(),
            format!("hold this {n} {}", "x".repeat(1 << 20)),
        );
        clients.spawn(async move {
            let body = message(MODEL, &text, false);
            http::try_open(::http::Method::POST, &url, &[], body)
                .await
                .is_err()
        });
    }
    let status = gateway.process.wait().await;
    measured(&format!("limit: {status}"));
    assert!(!status.success());
    // Nobody takes the end for an answer.
    while let Some(broken) = clients.join_next().await {
        assert!(broken.unwrap());
    }

    let options = Options {
        dir: Some(gateway.dir.clone()),
        ..Options::default()
    };
    let gateway = Gateway::dev(&document, options).await;
    gateway
        .event("the gateway did not stop in order", |_| Some(()))
        .await;
    let records = gateway.finished(DONE).await;
    let of = |end| {
        records
            .iter()
            .filter(move |record| record.end == end)
            .count()
    };
    assert_eq!(of(End::Complete), DONE);
    assert_eq!(of(End::Complete) + of(End::Interrupted), records.len());
    assert_eq!(
        of_records(&records),
        of_counters(&gateway.state_dir()).await
    );
    let url = format!("{}/v1/messages", gateway.url);
    assert_eq!(
        http::post(&url, message(MODEL, "again", false))
            .await
            .status,
        200
    );
    gateway.stop().await;
}

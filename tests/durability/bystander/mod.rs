//! A bystander: a quiet client asks at a fixed rate while others have trouble, one kind after the other.
//!
//! Here, that each of its requests is answered while the trouble goes on: nothing waits for a trouble's end. How long its requests
//! take then, beside calm in the same run, is a measurement: `make bench-faults` prints that table (docs/reliability.md).

mod quiet;
mod troubles;

use super::of_records;
use crate::support::{EVERYBODY, Gateway, measured, soak, world::Believed};
use aperture::record::End;
use provider::{LogOptions, Provider};
use quiet::{QUIET_MODEL, Quiet};
use std::time::Duration;
use troubles::{Around, TROUBLED_MODEL, Trouble};

/// Requests of the quiet client in each part, and the time from one to the next.
fn rate() -> (usize, Duration) {
    if soak() {
        (600, Duration::from_millis(5))
    } else {
        (20, Duration::from_millis(20))
    }
}

/// Two providers: the quiet client's, and the one that everybody else has trouble with.
fn document(quiet: &str, troubled: &str) -> String {
    let provider = |url: &str, model: &str| {
        format!(
            r#"{{"baseurl": "{url}", "models": ["{model}"], "compatibility": {{"anthropic_messages": true}}}}"#
        )
    };
    format!(
        r#"{{"providers": {{"quiet": {}, "troubled": {}}}, "temp_grants": [{EVERYBODY}]}}"#,
        provider(quiet, QUIET_MODEL),
        provider(troubled, TROUBLED_MODEL),
    )
}

/// A rank of sorted values, in milliseconds.
fn rank(sorted: &[Duration], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len() - 1);
    sorted[at].as_secs_f64() * 1000.0
}

/// Median and 99th percentile of each round; the medians of them.
fn figures(rounds: &[Vec<Duration>]) -> (f64, f64) {
    let of = |part: f64| {
        let mut each: Vec<f64> = rounds.iter().map(|round| rank(round, part)).collect();
        each.sort_by(f64::total_cmp);
        each[each.len() / 2]
    };
    (of(0.5), of(0.99))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_client_is_answered_whatever_happens_to_others() {
    let rounds = if soak() { 5 } else { 1 };
    let (count, period) = rate();
    let quiet = Quiet::start();
    let log = LogOptions {
        entries: 100,
        body_bytes: 0,
        hashes: false,
        ..LogOptions::default()
    };
    let options = provider::Options {
        log,
        ..provider::Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let believed = Believed::new();
    let document = document(&quiet.provider, &provider.url());
    let gateway = Gateway::dev(&document, believed.options()).await;
    let around = Around { provider, believed };
    let calm = async || {
        let mut took = quiet.ask(&gateway.url, count, period).await;
        took.sort();
        took
    };
    // Everything that is started once for all is there.
    calm().await;
    let direct = around.provider.url();
    measured(
        "| trouble of others | calm: p50 ms | p99 ms | meanwhile: p50 ms | p99 ms | p99, times | trouble past the gateway: p50 ms | p99 ms | p99, times |",
    );
    measured("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut parts = 1;
    for trouble in Trouble::ALL {
        let (mut before, mut meanwhile, mut past) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            if soak() {
                before.push(calm().await);
                // What the trouble takes of the processors and of this process, whoever has it.
                let going = trouble.begin(&around, &direct).await;
                past.push(calm().await);
                going.end(&around).await;
                parts += 2;
            }
            let going = trouble.begin(&around, &gateway.url).await;
            meanwhile.push(calm().await);
            parts += 1;
            going.end(&around).await;
        }
        let words = trouble.words();
        let (p50, p99) = figures(&meanwhile);
        if before.is_empty() {
            measured(&format!("| {words} | | | {p50:.2} | {p99:.2} | | | | |"));
        } else {
            let (calm50, calm99) = figures(&before);
            let (past50, past99) = figures(&past);
            measured(&format!(
                "| {words} | {calm50:.2} | {calm99:.2} | {p50:.2} | {p99:.2} | {:.1} | {past50:.2} | {past99:.2} | {:.1} |",
                p99 / calm99,
                past99 / calm99
            ));
        }
    }
    // What it asked is all there, and as it was.
    let asked = (parts * count) as u64;
    let complete = |records: &[aperture::record::Record]| {
        let sums = of_records(records);
        let own = sums.iter().filter(|(key, _)| key[0] == "quiet");
        let requests = |(key, sums): (&[String; 5], &super::Sums)| {
            assert_eq!(key[4], End::Complete.as_str(), "{key:?}");
            sums.requests
        };
        own.map(requests).sum::<u64>()
    };
    let deadline = tokio::time::Instant::now() + crate::support::process::PATIENCE;
    while complete(&gateway.records().await) != asked {
        assert!(
            tokio::time::Instant::now() < deadline,
            "records are missing"
        );
    }
    gateway.stop().await;
}

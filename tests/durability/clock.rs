//! A wall clock that jumps by hours while the gateway runs: nobody's request notices, nothing is removed, and nothing counts twice.

use super::{of_counters, of_records, scrape, total};
use crate::support::{EVERYBODY, Gateway, config, http, wire::Kept, world::Believed};
use ::http::Method;
use aperture::record::{End, Record};
use http_body_util::BodyExt as _;
use provider::{Gate, Matcher, Provider, Script};
use serde_json::{Value, json};

const MODEL: &str = "claude-haiku-4-5";
const HOUR: i64 = 3_600;

/// One more turn of the conversation; the answer joins it.
async fn turn(kept: &mut Kept, turns: &mut Vec<Value>, text: &str) {
    turns.push(json!({"role": "user", "content": text}));
    let body = json!({"model": MODEL, "max_tokens": 99, "messages": turns});
    let answer = kept.post("/v1/messages", body.to_string()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    turns.push(json!({"role": "assistant", "content": answer.json()["content"]}));
}

fn hours_between(earlier: &Record, later: &Record) -> f64 {
    let milliseconds = |record: &Record| f64::from(u32::try_from(record.started.0 / 1000).unwrap());
    (milliseconds(later) - milliseconds(earlier)) / 3_600.0
}

#[tokio::test]
async fn a_wall_clock_that_jumps_disturbs_no_request_and_removes_nothing() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gate = Gate::new();
    let held = Script::text("one two three").gated(&gate);
    provider.script(Matcher::body("\"stream\":true"), held);
    let believed = Believed::new();
    // What is older than two hours goes: a clock that is ahead by three would have everything go.
    let keep = r#"{"gateway": {"retention": {"records": "2h"}},"#;
    let document = config(&provider.url(), EVERYBODY).replacen('{', keep, 1);
    let mut gateway = Gateway::dev(&document, believed.options()).await;
    let mut kept = Kept::open(&gateway.url).await;
    let mut turns = Vec::new();
    turn(&mut kept, &mut turns, "at the right time").await;
    let url = format!("{}/v1/messages", gateway.url);
    let body = crate::support::message(MODEL, "over all jumps", true);
    let stream = http::open(Method::POST, &url, &[], body).await;

    believed.wall_clock(3 * HOUR);
    turn(&mut kept, &mut turns, "three hours ahead").await;
    believed.wall_clock(-3 * HOUR);
    turn(&mut kept, &mut turns, "three hours behind").await;
    believed.wall_clock(3 * HOUR);
    turn(&mut kept, &mut turns, "ahead again").await;
    // Each commit looks at the clock, and whether something is too old: this one, too.
    gateway.finished(4).await;
    turn(&mut kept, &mut turns, "and once more").await;
    believed.wall_clock(0);
    gate.open();
    let text = stream.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("message_stop"));

    let records = gateway.finished(6).await;
    assert!(records.iter().all(|record| record.end == End::Complete));
    // A duration is no difference of two such times.
    let longest = records.iter().map(|record| record.timings.total_us).max();
    assert!(longest.unwrap() < 60_000_000, "{longest:?} µs");
    let talk: Vec<_> = records.iter().filter(|record| !record.streamed).collect();
    for (at, hours) in [(1, 3.0), (2, -3.0), (3, 3.0), (4, 3.0)] {
        let between = hours_between(talk[0], talk[at]);
        assert!(
            (between - hours).abs() < 0.1,
            "{between} hours, not {hours}"
        );
        assert_eq!(talk[at].session, talk[0].session, "one conversation");
    }
    let sums = of_records(&records);
    assert_eq!(sums, of_counters(&gateway.state_dir()).await);
    let samples = scrape(&gateway).await;
    assert_eq!(total(&samples, "aperture_requests_total"), 6);
    assert_eq!(total(&samples, "aperture_in_flight"), 0);

    // It is killed, and starts while the clock is behind: the last commit is in its future.
    gateway.process.signal("KILL").await;
    gateway.process.wait().await;
    believed.wall_clock(-3 * HOUR);
    let mut options = believed.options();
    options.dir = Some(gateway.dir.clone());
    let gateway = Gateway::dev(&document, options).await;
    let window = |fields: &Value| {
        let time = |name: &str| fields[name].as_str().map(str::to_owned);
        time("since").zip(time("until"))
    };
    let (since, until) = gateway
        .event("the gateway did not stop in order", window)
        .await;
    assert!(since < until, "{since} to {until}");
    let mut kept = Kept::open(&gateway.url).await;
    turn(&mut kept, &mut turns, "behind from the start").await;
    let records = gateway.finished(7).await;
    let same = records
        .iter()
        .filter(|record| record.session == records[0].session);
    assert_eq!(same.count(), 6, "still one conversation");
    assert_eq!(
        of_records(&records),
        of_counters(&gateway.state_dir()).await
    );
    gateway.stop().await;
}

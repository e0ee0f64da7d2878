//! Kill -9 in the middle of fifty streams, again and again on the same state directory.
//!
//! A request is safe once the batch that its start is in has been synced, so the state is kept in memory here: another
//! job on the machine's disk must not decide how long a sync takes. What holds on every disk is asserted as well: nothing
//! is missing but what began in the window that the next start reports.

use super::{of_counters, of_records};
use crate::support::{
    EVERYBODY, Gateway, config, gateway::Options, http, message, process::PATIENCE, soak,
};
use aperture::record::{End, Record, Timestamp, UsageState};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use provider::{Entry, Matcher, Provider, Script};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::Instant};

const STREAMS: usize = 50;
/// Events of the streams that are asked for in turn; ten of them a second.
const LENGTHS: [usize; 5] = [3, 9, 18, 35, 70];
const MODEL: &str = "claude-haiku-4-5";

/// How old a figure may be that a crash leaves.
const LAG: Duration = Duration::from_secs(2);
/// How long a request must have run to be sure to be there. An unoptimised build that shares its cores with other tests
/// gets more time; the requirement itself is for the full size, which runs alone.
fn sure() -> Duration {
    Duration::from_millis(if soak() { 100 } else { 600 })
}

/// The output tokens that a stream has stated after that many writes.
const fn stated(writes: usize) -> u64 {
    if writes == 0 {
        0
    } else {
        7 * writes as u64 - 6
    }
}

/// A stream whose cumulative count grows with every write.
fn growing(length: usize) -> Script {
    let event = |kind: &str, mut data: serde_json::Value| {
        data["type"] = kind.into();
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let usage = |writes| json!({"output_tokens": stated(writes)});
    let mut writes = vec![
        event(
            "message_start",
            json!({"message": {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [],
                "stop_reason": null, "usage": {"input_tokens": 100 + length, "output_tokens": stated(1)}}}),
        ) + &event(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
    ];
    for at in 2..length {
        writes.push(
            event(
                "content_block_delta",
                json!({"index": 0, "delta": {"type": "text_delta", "text": "word "}}),
            ) + &event(
                "message_delta",
                json!({"delta": {"stop_reason": null}, "usage": usage(at)}),
            ),
        );
    }
    writes.push(
        event("content_block_stop", json!({"index": 0}))
            + &event(
                "message_delta",
                json!({"delta": {"stop_reason": "end_turn"}, "usage": usage(length)}),
            )
            + &event("message_stop", json!({})),
    );
    Script {
        chunk_delay_ms: 100,
        ..Script::raw("text/event-stream", writes.into_iter().map(Bytes::from))
    }
}

/// The number that a path carries.
fn number(path: &str) -> Option<u64> {
    path.rsplit_once("n=")?.1.parse().ok()
}

/// Asks for one stream after another until the gateway is gone.
async fn client(url: String, numbers: Arc<AtomicU64>) {
    loop {
        let n = numbers.fetch_add(1, Ordering::Relaxed);
        let length = LENGTHS[usize::try_from(n).unwrap() % LENGTHS.len()];
        let url = format!("{url}/v1/messages?length={length}&n={n}");
        let body = message(MODEL, &format!("stream {n}"), true);
        let Ok(answer) = http::try_open(Method::POST, &url, &[], body).await else {
            return;
        };
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return;
            }
        }
    }
}

/// What the provider had sent at some time, by number: writes of what runs, all of what has ended.
struct Snapshot {
    at: Instant,
    writes: HashMap<u64, usize>,
    ended: Vec<u64>,
}

fn by_number(log: Vec<Entry>) -> HashMap<u64, Entry> {
    let numbered = |entry: Entry| Some((number(&entry.request.target)?, entry));
    log.into_iter().filter_map(numbered).collect()
}

fn snapshot(provider: &Provider) -> Snapshot {
    let at = Instant::now();
    let log = by_number(provider.log());
    let ended = log.iter().filter(|(_, entry)| entry.answer.end.is_some());
    Snapshot {
        at,
        ended: ended.map(|(n, _)| *n).collect(),
        writes: log
            .iter()
            .map(|(n, entry)| (*n, entry.answer.chunks_sent))
            .collect(),
    }
}

/// The last snapshot before that time.
fn as_of(history: &[Snapshot], at: Instant) -> &Snapshot {
    let found = history.iter().rev().find(|snapshot| snapshot.at <= at);
    found.expect("the run is longer than what a crash may cost")
}

/// A directory on a disk of memory, where there is one.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|error| {
        eprintln!("note: no memory disk ({error}), so times depend on the disk's");
        tempfile::tempdir().unwrap()
    })
}

/// Sends a head and half a body, and leaves the rest out.
async fn half_upload(url: &str, n: u64) -> TcpStream {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/messages?n={n} HTTP/1.1\r\nhost: ai\r\ncontent-length: 1000\r\n\r\n{{\"model\":"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_fifty_streams_loses_no_request_and_at_most_two_seconds_of_counts() {
    let rounds = if soak() { 20 } else { 3 };
    let provider = Arc::new(Provider::start(provider::Options::default()).await.unwrap());
    for length in LENGTHS {
        let matcher = Matcher::path(format!("length={length}&"));
        provider.script(matcher, growing(length));
    }
    let config = config(&provider.url(), EVERYBODY);
    let numbers = Arc::new(AtomicU64::new(0));
    let options = Options {
        dir: Some(Arc::new(in_memory())),
        ..Options::default()
    };
    let mut checked = 0;
    let mut earlier: Vec<Record> = Vec::new();
    for round in 0..rounds {
        let first = numbers.load(Ordering::Relaxed);
        let mut gateway = Gateway::dev(&config, options.clone()).await;
        let mut clients = JoinSet::new();
        for _ in 0..STREAMS {
            clients.spawn(client(gateway.url.clone(), Arc::clone(&numbers)));
        }
        let upload = numbers.fetch_add(1, Ordering::Relaxed);
        let _upload = half_upload(&gateway.url, upload).await;

        // Watches the provider until the seeded number of further streams has ended: about three seconds.
        let (start, goal) = (snapshot(&provider).ended.len(), 90 + round * 13 % 40);
        let mut history = vec![];
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let begun = Instant::now();
        while history
            .last()
            .is_none_or(|last: &Snapshot| last.ended.len() < start + goal)
            || begun.elapsed() < LAG + sure()
        {
            assert!(begun.elapsed() < PATIENCE, "the streams do not end");
            ticks.tick().await;
            history.push(snapshot(&provider));
        }
        let (killed, killed_at) = (Instant::now(), SystemTime::now());
        gateway.process.signal("KILL").await;
        gateway.process.wait().await;
        provider.await_ended(provider.log().len() as u64).await;
        let mut log = by_number(provider.log());
        log.retain(|n, _| *n >= first);

        let gateway = Gateway::dev(&config, options.clone()).await;
        let (interrupted, since) = gateway
            .event("the gateway did not stop in order", |fields| {
                let since = Timestamp::parse(fields["since"].as_str()?)?;
                Some((fields["interrupted"].as_u64()?, since))
            })
            .await;
        assert!(interrupted >= 1);
        // Both clocks are cut to milliseconds.
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(since.0 - 5);
        assert!(since < killed_at + sure());
        let records = gateway.records().await;
        let found: HashMap<u64, &Record> = records
            .iter()
            .filter_map(|record| Some((number(&record.path)?, record)))
            .collect();
        assert_eq!(found.len(), records.len(), "each request has one record");
        assert!(
            records.starts_with(&earlier),
            "what an earlier start found does not change"
        );

        // Everything that began in time is there, and nothing is under way any more.
        let early = as_of(&history, killed - LAG);
        for (n, entry) in &log {
            let age = killed_at
                .duration_since(entry.request.at)
                .unwrap_or_default();
            let Some(record) = found.get(n) else {
                assert!(
                    age < sure() && entry.request.at >= since,
                    "request {n} began {age:?} before the kill and has no record"
                );
                continue;
            };
            check(record, entry, early, *n);
            checked += 1;
        }
        let upload = found[&upload];
        assert_eq!((upload.end, upload.status), (End::Interrupted, None));

        assert_eq!(
            of_records(&records),
            of_counters(&gateway.state_dir()).await,
            "the counters are the sum of the records"
        );
        gateway.stop().await;
        earlier = records;
    }
    assert!(
        checked > rounds * STREAMS,
        "{checked} records were compared"
    );
}

fn check(record: &Record, entry: &Entry, early: &Snapshot, n: u64) {
    let planned = entry.answer.chunks_planned;
    let had = early.writes.get(&n).copied().unwrap_or(0);
    match record.end {
        End::Complete => {
            assert_eq!(record.usage.output, stated(planned), "request {n}");
            assert_eq!(record.usage.input, 100 + planned as u64, "request {n}");
            assert_eq!(record.usage_state, UsageState::Reported);
            assert_eq!(
                record.status,
                entry.answer.status.map(|status| status.as_u16())
            );
            assert_eq!(record.model_served.as_deref(), Some(MODEL));
            assert_eq!(
                record.bytes.response, entry.answer.bytes_sent,
                "request {n}"
            );
        }
        End::Interrupted => {
            assert!(
                !early.ended.contains(&n),
                "request {n} had ended two seconds before and is interrupted"
            );
            let output = record.usage.output;
            assert!(
                output >= stated(had) && output <= stated(entry.answer.chunks_sent),
                "request {n} has {output} tokens, of {had} to {} writes",
                entry.answer.chunks_sent
            );
            let state = if output > 0 {
                UsageState::Partial
            } else {
                UsageState::None
            };
            assert_eq!(record.usage_state, state, "request {n}");
        }
        other => panic!("request {n} ended as {other:?}"),
    }
}

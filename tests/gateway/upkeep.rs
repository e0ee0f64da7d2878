//! `aperture backup`, `restore` and `erase`, beside a running gateway and without one.

use crate::support::{
    EVERYBODY, Gateway, config,
    gateway::{self, Options, run},
    http, message,
};
use aperture::{
    record::{Capture, CaptureMode, CapturedBody, Record, RequestId, Timestamp},
    store::{OpenOptions, Store},
};
use provider::Provider;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Output,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const MODEL: &str = "claude-haiku-4-5";

fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The bodies of these requests, without a gateway.
async fn captures(state: &Path, records: &[Record]) -> BTreeMap<RequestId, Capture> {
    let (store, writer, _) = Store::open(state, OpenOptions::default()).unwrap();
    let captured = records.iter().filter_map(|record| {
        let capture = store.capture(record.id).unwrap()?;
        Some((record.id, capture))
    });
    let all = captured.collect();
    writer.close(Duration::from_secs(10)).await;
    all
}

#[tokio::test]
async fn a_backup_under_load_has_everything_that_was_acknowledged_before() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let running = Gateway::dev(&config(&provider.url(), EVERYBODY), Options::default()).await;
    let url = format!("{}/v1/messages", running.url);
    for turn in 0..20 {
        let body = message(MODEL, &format!("turn {turn}"), turn % 2 == 0);
        assert_eq!(http::post(&url, body).await.status, 200);
    }
    let before = running.finished(20).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (url, stop) = (url.clone(), Arc::clone(&stop));
        async move {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let body = message(MODEL, &format!("meanwhile {sent}"), true);
                assert_eq!(http::post(&url, body).await.status, 200);
                sent += 1;
            }
            sent
        }
    });
    let backups = tempfile::tempdir().unwrap();
    let made = text(
        &running
            .command(&["backup", backups.path().to_str().unwrap(), "--with-config"])
            .await,
    );
    // A second one has the requests of the time between.
    let second = backups.path().join("second.tar.zst");
    let second = second.to_str().unwrap();
    text(&running.command(&["backup", second, "--no-captures"]).await);
    stop.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap() > 0, "nothing was written meanwhile");

    let archive = made.lines().next().unwrap();
    assert!(made.contains("keep it as you keep keys"), "{made}");
    let mode = std::fs::metadata(archive).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let left = std::fs::read_dir(backups.path()).unwrap().count();
    assert_eq!(left, 2, "working files are left");
    let again = running.command(&["backup", second]).await;
    assert!(refusal(&again).contains("never overwrites"));
    let busy = running.command(&["restore", archive, "--force"]).await;
    assert!(refusal(&busy).contains("stop the gateway first"));

    let old = running.state_dir();
    let dir = running.stop().await;
    let new = dir.path().join("new");
    let checked = text(&run(&new, &["restore", archive, "--check"]).await);
    assert!(
        checked.contains("as it was when the backup was made"),
        "{checked}"
    );
    text(&run(&new, &["restore", archive]).await);
    let restored = gateway::records(&new).await;
    let by_id: BTreeMap<_, _> = restored.iter().map(|record| (record.id, record)).collect();
    for record in &before {
        assert_eq!(by_id.get(&record.id), Some(&record));
    }
    let (ours, theirs) = (captures(&old, &before).await, captures(&new, &before).await);
    assert_eq!(ours.len(), 20);
    assert_eq!(ours, theirs);
    let document = std::fs::read_to_string(new.join("aperture.hujson")).unwrap();
    assert_eq!(document, config(&provider.url(), EVERYBODY));

    // Without bodies; and over what is there, which is kept.
    let occupied = run(&new, &["restore", second]).await;
    assert!(refusal(&occupied).contains("--force"));
    text(&run(&new, &["restore", second, "--force"]).await);
    assert!(gateway::records(&new).await.len() >= restored.len());
    assert_eq!(captures(&new, &before).await.len(), 0);
    assert!(new.join("before-restore/captures.redb").exists());

    // Cut off and changed archives are refused, and nothing is touched.
    let good = std::fs::read(archive).unwrap();
    let bad = backups.path().join("bad.tar.zst");
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    let untouched = gateway::records(&new).await;
    std::fs::remove_dir_all(new.join("before-restore")).unwrap();
    for bytes in [&good[..good.len() / 2], &changed] {
        std::fs::write(&bad, bytes).unwrap();
        let refused = run(&new, &["restore", bad.to_str().unwrap(), "--force"]).await;
        assert!(refusal(&refused).contains("no good backup"));
        assert_eq!(gateway::records(&new).await, untouched);
    }
    // Nobody's gateway runs: the files are read here.
    let alone = backups.path().join("alone.tar.zst");
    text(&run(&old, &["backup", alone.to_str().unwrap()]).await);
    let none = run(
        &old,
        &[
            "backup",
            backups.path().join("n").to_str().unwrap(),
            "--with-node-state",
        ],
    )
    .await;
    assert!(refusal(&none).contains("tailscaled.state"));
}

/// Words that only the erased person used.
const MARKS: [&str; 2] = ["zirkonmarker", "quokkamarker"];

/// How often a word is in the files, in any case.
fn occurrences(state: &Path, word: &str) -> usize {
    let mut count = 0;
    for name in ["aperture.redb", "captures.redb"] {
        let bytes = std::fs::read(state.join(name))
            .unwrap()
            .to_ascii_lowercase();
        count += bytes
            .windows(word.len())
            .filter(|window| *window == word.as_bytes())
            .count();
    }
    count
}

/// Two records of somebody else, with bodies, made like one that is there.
async fn seed(state: &Path, like: &Record) {
    let (_store, writer, _) = Store::open(state, OpenOptions::default()).unwrap();
    for number in 0..2 {
        let mut record = like.clone();
        record.who.user = "user:carol".into();
        record.who.login = "carol@example.com".into();
        record.session = None;
        record.id = RequestId::new();
        record.started = Timestamp::now();
        record.title = Some(format!("a plan of carol's, number {number}"));
        record.capture = CaptureMode::Full;
        let body = CapturedBody {
            chunks: vec![bytes::Bytes::from_static(b"carol's words")],
            size: 13,
            ..CapturedBody::default()
        };
        let capture = Capture {
            request: body.clone(),
            response: body,
            ..Capture::default()
        };
        writer.finish(record, Some(capture));
    }
    writer.close(Duration::from_secs(10)).await;
}

async fn others(running: &Gateway) -> (Vec<Record>, Vec<Value>) {
    let mut records = running.records().await;
    records.retain(|record| record.who.login == "carol@example.com");
    let usage = text(
        &running
            .command(&["export", "usage", "--user", "user:carol"])
            .await,
    );
    let usage = usage
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (records, usage.collect())
}

#[tokio::test]
async fn an_erased_person_is_in_no_byte_of_the_files_and_nobody_else_is_touched() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let document = config(&provider.url(), EVERYBODY);
    let first = Gateway::dev(&document, Options::default()).await;
    let state = first.state_dir();
    let marked = |turn: u8| {
        // Noise, which does not get smaller, stands beside the words.
        let noise = blake3::hash(&[turn]).to_hex();
        message(
            MODEL,
            &format!("{} {} {turn} {noise}", MARKS[0], MARKS[1]),
            turn.is_multiple_of(2),
        )
    };
    let answer = http::post(&format!("{}/v1/messages", first.url), marked(0)).await;
    assert_eq!(answer.status, 200);
    let like = first.finished(1).await.remove(0);
    let dir = first.stop().await;
    seed(&state, &like).await;
    let options = Options {
        dir: Some(dir),
        ..Options::default()
    };
    let running = Gateway::dev(&document, options).await;
    let url = format!("{}/v1/messages", running.url);
    for turn in 1..6 {
        assert_eq!(http::post(&url, marked(turn)).await.status, 200);
    }
    running.finished(8).await;
    let before = others(&running).await;
    assert_eq!((before.0.len(), before.1.len()), (2, 1));
    for mark in MARKS {
        assert!(occurrences(&state, mark) > 0, "{mark} was never there");
    }
    let total = |records: &[Record]| -> (usize, u64) {
        (
            records.len(),
            records.iter().map(|record| record.cost.pico).sum(),
        )
    };
    let sums = total(&running.records().await);

    let unknown = running
        .command(&["erase", "--user", "dave@example.com"])
        .await;
    assert_eq!(unknown.status.code(), Some(1));
    let shown = text(
        &running
            .command(&["erase", "--user", "dev@example.com"])
            .await,
    );
    assert!(
        shown.contains("6  requests") && shown.contains("add --yes"),
        "{shown}"
    );
    let done = text(
        &running
            .command(&["erase", "--user", "dev@example.com", "--yes"])
            .await,
    );
    assert!(
        done.contains("Erased: 6 requests, 6 of them with bodies"),
        "{done}"
    );
    for mark in MARKS.into_iter().chain(["dev@example.com"]) {
        assert_eq!(occurrences(&state, mark), 0, "{mark} is still in the files");
    }
    assert_eq!(others(&running).await, before);
    assert_eq!(total(&running.records().await), sums, "figures stay");

    // The gateway goes on, also for the person who was erased.
    let body = message(MODEL, MARKS[0], false);
    assert_eq!(http::post(&url, body).await.status, 200);
    running.finished(9).await;
    let dir = running.stop().await;
    let done = text(
        &run(
            &state,
            &["erase", "--user", "dev@example.com", "--yes", "--json"],
        )
        .await,
    );
    let report: Value = serde_json::from_str(&done).unwrap();
    assert_eq!(report["erased"]["records"], 1, "{report:#}");
    for mark in MARKS {
        assert_eq!(occurrences(&state, mark), 0, "{mark} is still in the files");
    }
    assert_eq!(gateway::records(&state).await.len(), 9);
    drop(dir);
}

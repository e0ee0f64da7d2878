//! A disk that is full or read-only under the real binary: requests go on, and nothing is lost when there is room again.
//!
//! The state directory is a small disk of memory in a mount namespace of the gateway's own, seen through `/proc`. Where
//! mounting is forbidden a note says so; the store's own tests break disks without it.

use super::{gauge, of_counters, of_records, scrape, total};
use crate::support::{
    EVERYBODY, Gateway, config,
    gateway::{self, Options},
    http, message,
    process::PATIENCE,
};
use aperture::record::End;
use provider::Provider;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::{process::Command, time::Instant};

/// Options for a gateway whose state is on a disk of its own; none where mounting is forbidden.
async fn own_disk(then: &str) -> Option<Options> {
    let dir = Arc::new(TempDir::new().unwrap());
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let mount = "mount -t tmpfs -o size=6m,mode=700 tmpfs \"$0\"";
    let works = Command::new("unshare")
        .args(["-m", "sh", "-c", mount])
        .arg(&state)
        .output()
        .await;
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("note: mounting is forbidden here, so the disk stays as it is");
        return None;
    }
    let script = format!("{mount} && {then} exec \"$@\"");
    let wrapper = [
        "unshare",
        "-m",
        "sh",
        "-c",
        &script,
        state.to_str().unwrap(),
    ];
    Some(Options {
        wrapper: wrapper.map(str::to_owned).to_vec(),
        dir: Some(dir),
        ..Options::default()
    })
}

/// The state directory as the gateway sees it.
fn inside(gateway: &Gateway) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", gateway.process.pid()));
    root.join(gateway.state_dir().strip_prefix("/").unwrap())
}

async fn ask(gateway: &Gateway, n: usize) {
    let text = format!(
        "request {n}: {}",
        blake3::hash(&n.to_le_bytes()).to_hex().repeat(300)
    );
    let body = message("claude-haiku-4-5", &text, n.is_multiple_of(2));
    let answer = http::post(&format!("{}/v1/messages", gateway.url), body).await;
    assert_eq!(answer.status, 200, "requests go on whatever the disk does");
}

async fn is_degraded(gateway: &Gateway) -> bool {
    gauge(&scrape(gateway).await, "aperture_store_degraded") == "1"
}

async fn until(what: &str, gateway: &Gateway, degraded: bool) {
    let deadline = Instant::now() + PATIENCE;
    while is_degraded(gateway).await != degraded {
        assert!(Instant::now() < deadline, "{what}");
    }
}

#[tokio::test]
async fn a_full_disk_stops_no_request_is_said_everywhere_and_loses_nothing() {
    let Some(options) = own_disk("").await else {
        return;
    };
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let config = config(&provider.url(), EVERYBODY);
    let gateway = Gateway::dev(&config, options).await;
    let state = inside(&gateway);
    for n in 0..3 {
        ask(&gateway, n).await;
    }
    let filler = state.join("filler");
    let full = std::fs::write(&filler, vec![7; 16 << 20]);
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);

    // The files have room of their own at first.
    let mut asked = 3;
    while !is_degraded(&gateway).await {
        ask(&gateway, asked).await;
        asked += 1;
        assert!(asked < 1000, "the disk is full and nobody says so");
    }
    for n in asked..asked + 20 {
        ask(&gateway, n).await;
    }
    asked += 20;
    let health = gateway::run(&state, &["health"]).await;
    let health_text = String::from_utf8(health.stdout).unwrap();
    assert!(health.status.success(), "it serves: {health_text}");
    assert!(
        health_text.contains(r#""serving":true"#)
            && health_text.contains(r#""store_degraded":true"#)
    );
    let doctor = gateway::run(&state, &["doctor"]).await;
    let doctor_text = String::from_utf8(doctor.stdout).unwrap();
    assert!(!doctor.status.success());
    assert!(
        doctor_text.contains("FAIL  store.writing:") && doctor_text.contains("free space"),
        "{doctor_text}"
    );
    let samples = scrape(&gateway).await;
    assert_eq!(total(&samples, "aperture_requests_total"), asked as u64);
    assert!(
        gauge(&samples, "aperture_store_queue_bytes")
            .parse::<u64>()
            .unwrap()
            > 0
    );

    std::fs::remove_file(&filler).unwrap();
    until("there is room again", &gateway, false).await;
    let deadline = Instant::now() + PATIENCE;
    let records = loop {
        let records = gateway::records(&state).await;
        let ended = records.iter().filter(|record| record.end == End::Complete);
        if ended.count() == asked {
            break records;
        }
        assert!(Instant::now() < deadline, "{} of {asked}", records.len());
    };
    assert_eq!(of_records(&records), of_counters(&state).await);
    for record in &records {
        assert_eq!(record.capture_lost, None);
        let url = format!("{}/ui/requests/{}/request-body", gateway.url, record.id);
        let deadline = Instant::now() + PATIENCE;
        while http::get(&url).await.status != 200 {
            assert!(Instant::now() < deadline, "{} has no body", record.id);
        }
    }
    let samples = scrape(&gateway).await;
    assert_eq!(gauge(&samples, "aperture_store_lost_records_total"), "0");
    assert_eq!(gauge(&samples, "aperture_store_lost_bodies_total"), "0");
    gateway.stop().await;
}

#[tokio::test]
async fn a_read_only_state_directory_is_named_at_the_start() {
    let Some(options) = own_disk("mount -o remount,ro \"$0\" &&").await else {
        return;
    };
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let path = options.dir.as_ref().unwrap().path().join("state");
    let config = config(&provider.url(), EVERYBODY);
    let (mut process, _dir) = Gateway::starting(&config, options);
    assert!(!process.wait().await.success());
    let said = process
        .stderr
        .find("why", |line| {
            line.contains("aperture:").then(|| line.to_owned())
        })
        .await;
    assert!(
        said.contains(path.to_str().unwrap()) && said.contains("Read-only"),
        "{said}"
    );
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_named_as_such() {
    let Some(options) = own_disk("head -c 16m /dev/zero > \"$0/filler\" 2>/dev/null;").await else {
        return;
    };
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let path: &Path = &options.dir.as_ref().unwrap().path().join("state");
    let config = config(&provider.url(), EVERYBODY);
    let path = path.to_owned();
    let (mut process, _dir) = Gateway::starting(&config, options);
    assert!(!process.wait().await.success());
    let said = process
        .stderr
        .find("why", |line| {
            line.contains("aperture:").then(|| line.to_owned())
        })
        .await;
    assert!(
        said.contains(path.to_str().unwrap()) && said.contains("No space left"),
        "{said}"
    );
}

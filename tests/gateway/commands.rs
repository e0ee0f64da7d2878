//! The other commands, the files of the state directory, and where secrets must not be.

use super::start;
use crate::support::{
    EVERYBODY, Gateway, config, gateway::run, http as client, message, process::Process,
    repository, world::Believed,
};
use provider::{Options, Provider};
use std::{
    collections::BTreeSet, os::unix::fs::PermissionsExt as _, path::Path, process::Output,
    time::Duration,
};
use tokio::process::Command;

async fn aperture(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aperture"))
        .args(arguments)
        .current_dir(repository("."))
        .env_remove("TS_AUTHKEY")
        .output()
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn check_tells_every_mistake_with_its_place_and_fails() {
    let output = aperture(&["check", "tests/fixtures/config/mistakes.hujson"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    for (place, words) in [
        (":4:", "basurl"),
        (":5:", "OPENAI_KEY"),
        (":6:", "models"),
        (":10:", "authorization"),
        (":11:", "models"),
        (":12:", "add_headers"),
        (":14:", "models"),
        (":15:", "baseurl"),
        (":15:", "auth_mode"),
        (":18:", "src"),
        (":18:", "unknown role"),
        (":19:", "capture"),
        (":22:", "quotas"),
        (":24:", "idle"),
        (":25:", "head_bytes"),
        (":26:", "origins"),
    ] {
        // A finding is a line with its place, its key below it, and a hint.
        let found = said
            .split("tests/fixtures/config/mistakes.hujson")
            .any(|finding| finding.starts_with(place) && finding.contains(words));
        assert!(found, "nothing at {place} says {words}:\n{said}");
    }
    assert!(!said.contains("sk-ant-api03-1234567890"), "{said}");

    let output = aperture(&["check", "deploy/aperture.example.hujson"]).await;
    assert_ne!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let output = aperture(&["check", "/does/not/exist"]).await;
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn generated_documents_are_what_the_code_says() {
    let output = aperture(&["docs"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test]
async fn man_page_completions_schema_and_help_are_printed() {
    for (arguments, contains) in [
        (&["man"][..], ".TH aperture"),
        (&["completions", "bash"], "_aperture()"),
        (&["completions", "zsh"], "#compdef aperture"),
        (&["schema"], "\"providers\""),
        (&["--help"], "AI gateway"),
        (
            &["--version"],
            concat!("aperture ", env!("CARGO_PKG_VERSION"), " ("),
        ),
        (&["version"], "price table"),
        (&["version", "--json"], "\"commit\""),
    ] {
        let output = aperture(arguments).await;
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(text(&output.stdout).contains(contains), "{arguments:?}");
    }
    assert_eq!(aperture(&["--no-such-flag"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn health_doctor_and_export_work_while_it_runs_and_afterwards() {
    let provider = Provider::start(Options::default()).await.unwrap();
    // An admin by name: `doctor` warns of a document that makes everybody one.
    let grant = EVERYBODY.replace("\"*\"]", "\"dev@example.com\"]");
    let gateway = start(&config(&provider.url(), &grant)).await;
    let answer = client::post(
        &format!("{}/v1/messages", gateway.url),
        message("claude-haiku-4-5", "x", false),
    )
    .await;
    assert_eq!(answer.status, 200);
    gateway.finished(1).await;

    let health = gateway.command(&["health"]).await;
    assert!(health.status.success());
    let health: serde_json::Value = serde_json::from_slice(&health.stdout).unwrap();
    assert_eq!(
        (&health["serving"], &health["draining"]),
        (&true.into(), &false.into())
    );

    let doctor = gateway
        .command(&[
            "doctor",
            "--json",
            "--as",
            "dev@example.com",
            "--model",
            "gpt-4o",
        ])
        .await;
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert!(!checks.is_empty());
    assert!(
        checks.iter().all(|check| check["outcome"] != "failure"),
        "{report:#}"
    );
    assert!(doctor.status.success(), "{report:#}");
    assert!(text(&doctor.stdout).contains("gpt-4o"));

    // A second gateway may not touch the same files.
    let mut second = Command::new(env!("CARGO_BIN_EXE_aperture"));
    second
        .args(["--dev-listen", "127.0.0.1:0", "--config"])
        .arg(gateway.config_file())
        .arg("--state-dir")
        .arg(gateway.state_dir());
    let second = second.output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second.stderr).contains("another gateway runs on"),
        "{}",
        text(&second.stderr)
    );

    let mut exports = Vec::new();
    for what in ["records", "sessions", "usage"] {
        for format in ["jsonl", "csv"] {
            exports.push(gateway.command(&["export", what, "--format", format]).await);
        }
    }
    let state = gateway.state_dir();
    let dir = gateway.stop().await;
    for (index, running) in exports.iter().enumerate() {
        let what = ["records", "sessions", "usage"][index / 2];
        let stopped = run(
            &state,
            &["export", what, "--format", ["jsonl", "csv"][index % 2]],
        )
        .await;
        assert!(running.status.success() && stopped.status.success());
        assert!(!running.stdout.is_empty(), "{what}");
        assert_eq!(text(&running.stdout), text(&stopped.stdout), "{what}");
    }
    let health = run(&state, &["health"]).await;
    assert_eq!(health.status.code(), Some(1));
    assert!(text(&health.stderr).contains("no gateway is running"));
    let doctor = run(&state, &["doctor", "--json"]).await;
    assert_eq!(doctor.status.code(), Some(1));
    assert!(serde_json::from_slice::<serde_json::Value>(&doctor.stdout).is_ok());
    drop(dir);
}

#[tokio::test]
async fn an_export_has_what_was_answered_before_it() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let believed = Believed::new();
    let gateway = Gateway::dev(&config(&provider.url(), EVERYBODY), believed.options()).await;
    believed.slow_disk(Duration::from_millis(500));
    let url = format!("{}/v1/messages", gateway.url);
    let answer = client::post(&url, message("claude-haiku-4-5", "hi", false)).await;
    assert_eq!(answer.status, 200);
    let output = gateway.command(&["export", "records"]).await;
    believed.slow_disk(Duration::ZERO);
    assert!(output.status.success(), "{output:?}");
    let lines = text(&output.stdout);
    let record = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let ends: Vec<_> = lines
        .lines()
        .map(|line| record(line)["end"].clone())
        .collect();
    assert_eq!(ends, ["complete"]);
    gateway.stop().await;
}

#[tokio::test]
async fn the_first_start_writes_a_configuration_that_only_its_owner_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("deep/state");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aperture"));
    command
        .args([
            "--dev-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--state-dir",
        ])
        .arg(&state)
        .env("HOME", dir.path());
    let mut process = Process::start(command);
    process
        .stderr
        .find("that it serves", |line| {
            line.contains("serving on the development listener")
                .then_some(())
        })
        .await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    for name in [
        "aperture.hujson",
        "aperture.redb",
        "captures.redb",
        "control.sock",
        "lock",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    let checked = run(&state, &["check"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stdout));
    process.signal("INT").await;
    assert_eq!(process.wait().await.code(), Some(0));
}

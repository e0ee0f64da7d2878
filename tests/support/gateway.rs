//! The gateway as a process.

use super::{Lab, lab::KEY, process::Process};
use aperture::record::Record;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};
use tempfile::TempDir;
use tokio::process::Command;

/// A running gateway, and its state directory.
#[derive(Debug)]
pub struct Gateway {
    pub process: Process,
    /// Its address on the development listener; empty on the tailnet.
    pub url: String,
    /// The same for metrics.
    pub metrics_url: String,
    pub dir: Arc<TempDir>,
}

/// How to start it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Additional arguments.
    pub arguments: Vec<String>,
    /// Additional environment.
    pub environment: Vec<(String, String)>,
    /// An existing state directory.
    pub dir: Option<Arc<TempDir>>,
    /// Join without an auth key.
    pub without_key: bool,
    /// A program and its arguments that the gateway is started by.
    pub wrapper: Vec<String>,
}

impl Gateway {
    /// On its development listener, without waiting.
    pub fn starting(config: &str, mut options: Options) -> (Process, Arc<TempDir>) {
        let dir = options
            .dir
            .take()
            .unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let mut command = command(&dir, config, &options);
        command.args([
            "--dev-listen",
            "127.0.0.1:0",
            "--dev-metrics-listen",
            "127.0.0.1:0",
        ]);
        if !options.arguments.iter().any(|given| given == "--dev-user") {
            command.args(["--dev-user", "dev@example.com"]);
        }
        (Process::start(command), dir)
    }

    /// On its development listener, once it serves.
    pub async fn dev(config: &str, options: Options) -> Self {
        let (process, dir) = Self::starting(config, options);
        let address = |message: &'static str| {
            move |line: &str| {
                let event: Value = serde_json::from_str(line).ok()?;
                let fields = &event["fields"];
                (fields["message"] == message)
                    .then(|| format!("http://{}", fields["address"].as_str().unwrap()))
            }
        };
        let url = process
            .stderr
            .find(
                "where it listens",
                address("development listener: everybody is this user"),
            )
            .await;
        let metrics_url = process
            .stderr
            .find("where its metrics are", address("metrics"))
            .await;
        Self {
            process,
            url,
            metrics_url,
            dir,
        }
    }

    /// On the tailnet, once it serves there.
    pub async fn on(lab: &Lab, config: &str, options: Options) -> Self {
        let gateway = Self::joining(lab, config, &options);
        gateway.serving().await;
        gateway
    }

    /// On the tailnet, without waiting.
    pub fn joining(lab: &Lab, config: &str, options: &Options) -> Self {
        Self::joining_at(&lab.control_url, config, options)
    }

    /// On the tailnet of that control server, without waiting. Arguments that are given win.
    pub fn joining_at(control_url: &str, config: &str, options: &Options) -> Self {
        let dir = options
            .dir
            .clone()
            .unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let mut command = command(&dir, config, options);
        for [name, value] in [["--hostname", "ai"], ["--control-url", control_url]] {
            if !options.arguments.iter().any(|given| given == name) {
                command.args([name, value]);
            }
        }
        if !options.without_key {
            command.env("TS_AUTHKEY", KEY);
        }
        let process = Process::start(command);
        Self {
            process,
            url: String::new(),
            metrics_url: String::new(),
            dir,
        }
    }

    /// Waits until it serves on the tailnet; returns its full name.
    pub async fn serving(&self) -> String {
        self.event("serving: clients use", |fields| {
            fields["name"].as_str().map(str::to_owned)
        })
        .await
    }

    /// Waits for a log event whose message begins so.
    pub async fn event<T>(&self, message: &str, mut take: impl FnMut(&Value) -> Option<T>) -> T {
        self.process
            .stderr
            .find(message, |line| {
                let event: Value = serde_json::from_str(line).ok()?;
                event["fields"]["message"]
                    .as_str()?
                    .starts_with(message)
                    .then(|| take(&event["fields"]))?
            })
            .await
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("aperture.hujson")
    }

    /// Runs another command of the binary on this state directory.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        run(&self.state_dir(), arguments).await
    }

    /// Everything that was recorded, oldest first.
    pub async fn records(&self) -> Vec<Record> {
        records(&self.state_dir()).await
    }

    /// The records of all requests that have ended, once there are that many.
    pub async fn finished(&self, count: usize) -> Vec<Record> {
        let deadline = tokio::time::Instant::now() + super::process::PATIENCE;
        loop {
            let mut records = self.records().await;
            records.retain(|record| record.end != aperture::record::End::InFlight);
            if records.len() >= count {
                return records;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} of {count} requests were recorded",
                records.len()
            );
        }
    }

    /// Ends it by SIGTERM and waits for it.
    pub async fn stop(mut self) -> Arc<TempDir> {
        self.process.signal("TERM").await;
        let status = self.process.wait().await;
        assert!(
            status.success(),
            "{status}: {}",
            self.process.stderr.all().join("\n")
        );
        self.dir
    }
}

/// Runs a command of the binary on a state directory.
pub async fn run(state: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aperture"))
        .args(arguments)
        .arg("--state-dir")
        .arg(state)
        .output()
        .await
        .unwrap()
}

/// All records of a state directory, by `aperture export`.
pub async fn records(state: &Path) -> Vec<Record> {
    let output = run(state, &["export", "records"]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn command(dir: &TempDir, config: &str, options: &Options) -> Command {
    let file = dir.path().join("aperture.hujson");
    std::fs::write(&file, config).unwrap();
    let binary = env!("CARGO_BIN_EXE_aperture");
    let mut command = match options.wrapper.split_first() {
        None => Command::new(binary),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    command
        .args([
            "run",
            "--log-format",
            "json",
            "--allow-local-upstreams",
            "-v",
        ])
        .arg("--config")
        .arg(file)
        .arg("--state-dir")
        .arg(dir.path().join("state"))
        .args(&options.arguments)
        // What a process needs that joins a tailnet where there is no other network.
        .env("TS_ASSUME_NETWORK_UP_FOR_TEST", "1")
        .env("TS_NO_LOGS_NO_SUPPORT", "true")
        .env("TS_DISABLE_PORTMAPPER", "1")
        .env("TS_DISABLE_UPNP", "1")
        .env("TS_PANIC_IF_HIT_MAIN_CONTROL", "1")
        .env("HOME", dir.path())
        .env_remove("TS_AUTHKEY")
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY")
        .envs(options.environment.iter().cloned());
    command
}

//! Real clients on the private tailnet: their packages are pinned in this folder, `scripts/fetch-clients` gets them.
//!
//! Claude Code and Codex run in `make test`; the others need more packages and run in `make clients`. Each runs with an
//! empty environment and a home of its own, through a loopback port that is the gateway as one person, and its
//! settings come from docs/clients.md, word for word. What it did is read from the records and the provider's log.

mod claude_code;
mod codex;
mod models;
mod more;

use crate::support::{
    Gateway, Lab, gateway::Options, lab::topology, process::PATIENCE, repository,
};
use aperture::record::{Record, UsageState};
use provider::{Entry, Provider};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{process::Command, time::Instant};

/// Keys that the providers are to get, and nothing else.
const ANTHROPIC_KEY: &str = "sk-ant-upstream-key";
const OPENAI_KEY: &str = "sk-openai-upstream-key";

/// Alice may use everything, bob the small models, the CI node nothing.
fn config(provider: &str) -> String {
    format!(
        r#"{{
  "providers": {{
    "anthropic": {{
      "baseurl": "{provider}",
      "name": "Anthropic",
      "authorization": {{"type": "x-api-key", "value": "{ANTHROPIC_KEY}"}},
      "models": ["claude-opus-5-5", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-haiku-4-5-20251001"],
      "compatibility": {{"anthropic_messages": true}},
    }},
    "openai": {{
      "baseurl": "{provider}",
      "name": "OpenAI",
      "authorization": {{"type": "Bearer", "value": "{OPENAI_KEY}"}},
      "models": ["gpt-5", "gpt-6.1-sol", "gpt-4o", "gpt-5.4-nano"],
      "compatibility": {{"openai_chat": true, "openai_responses": true}},
    }},
  }},
  "grants": [
    {{"src": ["alice@example.com"], "app": {{"tailscale.com/cap/aperture": [{{"role": "admin"}}, {{"models": "**"}}]}}}},
    {{"src": ["bob@example.com"], "app": {{"tailscale.com/cap/aperture": [
      {{"role": "user"}}, {{"models": "anthropic/claude-haiku-*"}}, {{"models": "openai/gpt-4o"}},
    ]}}}},
  ],
}}"#
    )
}

/// A private tailnet with a gateway and a provider.
struct World {
    provider: Provider,
    lab: Lab,
    gateway: Gateway,
}

impl World {
    async fn start() -> Self {
        let provider = Provider::start(provider::Options::default()).await.unwrap();
        let lab = Lab::start(&topology()).await;
        let gateway = Gateway::on(&lab, &config(&provider.url()), Options::default()).await;
        Self {
            provider,
            lab,
            gateway,
        }
    }

    /// The gateway as that node.
    async fn url(&self, node: &str) -> String {
        self.lab.forward(node, "ai:80").await
    }

    /// The finished records, each compared with what the provider saw and counted; those without a provider are only
    /// returned.
    async fn records(&self, count: usize) -> Vec<Record> {
        let records = self.gateway.finished(count).await;
        let login = |record: &Record| (record.who.login.clone(), record.failure.clone());
        assert_eq!(
            records.len(),
            count,
            "{:?}",
            records.iter().map(login).collect::<Vec<_>>()
        );
        let log = self.provider.log();
        let sent = records.iter().filter(|record| record.provider.is_some());
        assert_eq!(sent.clone().count(), log.len());
        for record in sent {
            let id = record.provider_request_id.as_deref();
            let entry = log
                .iter()
                .find(|entry| provider_id(entry) == id)
                .unwrap_or_else(|| panic!("the provider knows no {id:?}"));
            agree(record, entry);
        }
        records
    }

    /// What was asked beside the models so far: method, path, status.
    fn beside(&self) -> Vec<String> {
        let lines = self.gateway.process.stderr.all();
        let events = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        events
            .map(|event| event["fields"].clone())
            .filter(|fields| fields["message"] == "answered beside the models")
            .map(|fields| {
                format!(
                    "{} {} {}",
                    fields["method"].as_str().unwrap(),
                    fields["path"].as_str().unwrap(),
                    fields["status"]
                )
            })
            .collect()
    }

    async fn stop(self) {
        self.gateway.stop().await;
    }
}

fn provider_id(entry: &Entry) -> Option<&str> {
    let headers = &entry.answer.headers;
    let id = headers.get("request-id").or(headers.get("x-request-id"))?;
    id.to_str().ok()
}

/// One request as the gateway recorded it and as the provider saw it.
fn agree(record: &Record, entry: &Entry) {
    // A token count answers with a number, and is no usage.
    let counts = record.endpoint.generates();
    let counted = entry.answer.usage.unwrap_or_default();
    assert_eq!(entry.answer.usage.is_some(), counts);
    let usage = record.usage;
    assert_eq!(
        [
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.cache_write_1h,
            usage.output,
            usage.reasoning
        ],
        [
            counted.input,
            counted.cache_read,
            counted.cache_write,
            counted.cache_write_long,
            counted.output,
            counted.reasoning
        ],
        "{record:?}"
    );
    let state = if counts {
        UsageState::Reported
    } else {
        UsageState::None
    };
    assert_eq!(record.usage_state, state);
    assert_eq!(record.model.as_deref(), entry.request.model.as_deref());
    assert_eq!(record.status, Some(200));
    let key = match record.provider.as_deref() {
        Some("anthropic") => (None, Some(ANTHROPIC_KEY.to_owned())),
        _ => (Some(format!("Bearer {OPENAI_KEY}")), None),
    };
    let line = |name| entry.header(name).map(str::to_owned);
    assert_eq!((line("authorization"), line("x-api-key")), key);
}

/// A home directory, and the runs of a client in it.
struct Home(TempDir);

/// One run of a client.
#[derive(Debug)]
struct Run {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    took: Duration,
}

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(home.0.path().join("project")).unwrap();
        home
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.0.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// Runs a program to its end, with nothing in its environment but a home, a path and what is given.
    async fn run(&self, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.0.path().join("project"))
            .env_clear()
            .env("HOME", self.0.path())
            .env("TMPDIR", self.0.path())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(environment.iter().copied());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let started = Instant::now();
        // Also waits for whatever it leaves behind with its output open.
        let output = tokio::time::timeout(2 * PATIENCE, command.output())
            .await
            .unwrap_or_else(|_| panic!("{} does not end", program.display()))
            .unwrap();
        Run {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: started.elapsed(),
        }
    }
}

impl Run {
    /// What it printed; it must have succeeded.
    fn said(&self) -> &str {
        assert!(self.status.success(), "{self:?}");
        self.stdout.trim()
    }
}

/// Where the packages are.
fn clients() -> PathBuf {
    std::env::var_os("APERTURE_CLIENTS").map_or_else(|| repository(".cache/clients"), PathBuf::from)
}

/// A program of the packages.
fn program(of: &[(&str, &str)]) -> PathBuf {
    let (_, path) = of
        .iter()
        .find(|(architecture, _)| *architecture == std::env::consts::ARCH)
        .expect("a package for this machine");
    let path = clients().join("node_modules").join(path);
    assert!(
        path.exists(),
        "{} is missing: `scripts/fetch-clients` gets it",
        path.display()
    );
    path
}

/// The block of docs/clients.md in that language that begins so, with the gateway's address in place of `http://ai`.
fn documented(language: &str, beginning: &str, url: &str) -> String {
    let text = std::fs::read_to_string(repository("docs/clients.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block.to_owned())
        .find(|block| block.starts_with(beginning))
        .unwrap_or_else(|| panic!("no {language} that begins with {beginning}"))
        .replace("http://ai", url)
}

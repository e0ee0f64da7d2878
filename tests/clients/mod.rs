//! Real clients on the private tailnet: their packages are pinned in this folder, `scripts/fetch-clients` gets them.
//!
//! Claude Code and Codex run in `make test`; the others need more packages and run in `make clients`. Each runs with an
//! empty environment and a home of its own, through a loopback port that is the gateway as one person, and its
//! settings come from docs/clients.md, word for word. What it did is read from the records and the provider's log.

mod agree;
mod claude_code;
mod clouds;
mod codex;
mod models;
mod more;

use crate::support::{
    Gateway, Lab, gateway::Options, lab::topology, process::PATIENCE, repository,
};
use agree::{agree, provider_id};
use aperture::record::Record;
use provider::{Entry, Provider};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
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
    /// With Anthropic and `OpenAI`.
    async fn start() -> Self {
        Self::with(config).await
    }

    /// With a provider of every format.
    async fn everywhere() -> Self {
        Self::with(clouds::config).await
    }

    async fn with(config: fn(&str) -> String) -> Self {
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
        let log = self.asked().await;
        let sent = records.iter().filter(|record| record.provider.is_some());
        assert_eq!(sent.clone().count(), log.len());
        // Google's answers have no id: those came in their order.
        let mut nameless = log.iter().filter(|entry| provider_id(entry).is_none());
        for record in sent {
            let id = record.provider_request_id.as_deref();
            let entry = match id {
                Some(_) => log.iter().find(|entry| provider_id(entry) == id),
                None => nameless.next(),
            };
            agree(
                record,
                entry.unwrap_or_else(|| panic!("the provider knows no {id:?}")),
            );
        }
        records
    }

    /// What the models were asked, once all of it has ended.
    async fn asked(&self) -> Vec<Entry> {
        let all = u64::try_from(self.provider.log().len()).unwrap();
        tokio::time::timeout(PATIENCE, self.provider.await_ended(all))
            .await
            .expect("what is cancelled ends at the provider too");
        let mut log = self.provider.log();
        // Tokens of the gateway's own.
        log.retain(|entry| entry.request.dialect != Some("google_token"));
        log
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
        let started = Instant::now();
        let mut command = self.command(program, arguments, environment);
        // Also waits for whatever it leaves behind with its output open.
        let output = tokio::time::timeout(2 * PATIENCE, command.output())
            .await
            .unwrap_or_else(|_| panic!("{} does not end", program.display()))
            .unwrap();
        Run::new(&output, started)
    }

    fn command(&self, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.0.path().join("project"))
            .env_clear()
            .env("HOME", self.0.path())
            .env("TMPDIR", self.0.path())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a program until the provider stops in the middle of an answer, and then interrupts it and its children,
    /// as a terminal does. It must end.
    async fn cancelled(
        &self,
        provider: &Provider,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) {
        let mut child = self
            .command(program, arguments, environment)
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let group = format!("-{}", child.id().unwrap());
        tokio::time::timeout(2 * PATIENCE, provider.await_stalled(1))
            .await
            .expect("it asks for something");
        let kill = ["-s", "INT", "--", &group];
        let status = Command::new("kill").args(kill).status().await.unwrap();
        assert!(status.success());
        tokio::time::timeout(2 * PATIENCE, child.wait())
            .await
            .expect("it ends")
            .unwrap();
    }
}

impl Run {
    fn new(output: &Output, started: Instant) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: started.elapsed(),
        }
    }

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

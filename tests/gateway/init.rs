//! `aperture init`: from nothing to a gateway that answers; and docs/agent-skill.md, whose every command is run here.

use crate::support::{process::Process, repository};
use provider::{Options, Provider};
use std::{
    path::{Path, PathBuf},
    process::Output,
};
use tempfile::TempDir;
use tokio::process::Command;

const KEY: &str = "sk-ant-api03-0123456789abcdef";

fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A provider that demands a key and lists two models.
async fn provider() -> Provider {
    let options = Options {
        key: Some(KEY.to_owned()),
        models: vec!["claude-haiku-4-5".into(), "claude-opus-4-5".into()],
        ..Options::default()
    };
    Provider::start(options).await.unwrap()
}

/// A home of its own for one person and one gateway.
struct Home {
    dir: TempDir,
    key: String,
}

impl Home {
    fn new(key: &str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            key: key.to_owned(),
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn clothe<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("HOME", self.dir.path())
            .env("STATE_DIRECTORY", self.state())
            .env("ANTHROPIC_API_KEY", &self.key)
            .env_remove("TS_AUTHKEY")
            .env_remove("APERTURE_CONFIG")
            .current_dir(self.dir.path())
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aperture"));
        self.clothe(command.args(arguments)).output().await.unwrap()
    }

    /// A gateway on what is in this home; its address.
    async fn serve(&self) -> (Process, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aperture"));
        command.args([
            "run",
            "--dev-listen",
            "127.0.0.1:0",
            "--dev-user",
            "you@example.com",
        ]);
        command.args(["--log-format", "json", "--allow-local-upstreams"]);
        self.clothe(&mut command);
        let process = Process::start(command);
        let address = process
            .stderr
            .find("where it listens", |line| {
                let event: serde_json::Value = serde_json::from_str(line).ok()?;
                let fields = &event["fields"];
                fields["message"]
                    .as_str()?
                    .starts_with("development listener")
                    .then(|| fields["address"].as_str().unwrap().to_owned())
            })
            .await;
        (process, format!("http://{address}"))
    }
}

/// Runs a shell command with the binary first on the path.
async fn shell(home: &Home, line: &str) -> Output {
    let bin = Path::new(env!("CARGO_BIN_EXE_aperture")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", line])
        .env("PATH", path);
    command
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("http_proxy");
    home.clothe(&mut command).output().await.unwrap()
}

#[tokio::test]
async fn the_answers_of_a_few_questions_make_a_gateway_that_answers() {
    let provider = provider().await;
    let local = format!("--base-url=anthropic={}", provider.url());
    let home = Home::new(KEY);
    let ask = |extra: &[&'static str]| {
        let mut arguments = vec![
            "init",
            "--unattended",
            "--allow-local-upstreams",
            "--provider",
            "anthropic",
        ];
        arguments.extend([
            "--key",
            "anthropic=env:ANTHROPIC_API_KEY",
            "--admin",
            "you@example.com",
        ]);
        arguments.extend(extra);
        arguments
    };
    let run = async |extra: &[&'static str]| {
        let mut arguments = ask(extra);
        arguments.push(&local);
        home.run(&arguments).await
    };
    // A model that the provider does not have is named, with those that look like it.
    let wrong = run(&["--models", "anthropic=claude-haiku-4-6"]).await;
    assert_eq!(wrong.status.code(), Some(1));
    let why = said(&wrong);
    assert!(
        why.contains("does not list claude-haiku-4-6, but claude-haiku-4-5"),
        "{why}"
    );
    assert!(!home.state().exists(), "something was written");
    let refused = Home::new("sk-ant-api03-fedcba9876543210");
    let mut arguments = ask(&[]);
    arguments.push(&local);
    let refused = said(&refused.run(&arguments).await);
    assert!(refused.contains("the key is refused (401)"), "{refused}");
    assert!(!refused.contains("fedcba"), "{refused}");

    let made = run(&[]).await;
    assert!(made.status.success(), "{}", said(&made));
    let text = said(&made);
    for words in [
        "the key works (2 models)",
        "tagOwners",
        "aperture run --hostname ai",
        "tcp:9090",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let checked = home.run(&["check", "--allow-local-upstreams"]).await;
    assert!(said(&checked).contains("no mistakes"), "{}", said(&checked));
    let twice = run(&[]).await;
    assert!(
        said(&twice).contains("is there already"),
        "{}",
        said(&twice)
    );

    // What is printed as a first call is one.
    let (mut process, url) = home.serve().await;
    let (_, call) = text.split_once("curl ").unwrap();
    let call: String = call.lines().take(2).collect::<Vec<_>>().join("\n");
    let call = format!(
        "curl -w '%{{http_code}}' {}",
        call.replace("http://ai", &url)
    );
    let answer = shell(&home, &call).await;
    assert!(said(&answer).contains("200\n"), "{call}: {}", said(&answer));
    process.signal("TERM").await;
    assert!(process.wait().await.success());
}

#[tokio::test]
async fn answers_come_through_a_pipe_and_an_interrupt_leaves_nothing() {
    let provider = provider().await;
    let home = Home::new("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aperture"));
    command.args([
        "init",
        "--hostname=ai",
        "--allow-local-upstreams",
        "--base-url",
        &format!("anthropic={}", provider.url()),
    ]);
    home.clothe(&mut command);
    let mut process = Process::start(command);
    process
        .stderr
        .find("a list of providers", |line| {
            line.contains("self-hosted").then_some(())
        })
        .await;
    process.signal("INT").await;
    assert_eq!(process.wait().await.code(), Some(1));
    assert!(!home.state().exists());

    let answers = format!(
        "\\nanthropic\\n\\nsk-ant-api03-0000000000000000\\n{KEY}\\n\\nyou@example.com\\n\\n\\n"
    );
    let line = format!(
        "printf '{answers}' | aperture init --allow-local-upstreams --base-url anthropic={}",
        provider.url()
    );
    let made = shell(&home, &line).await;
    assert!(made.status.success(), "{}", said(&made));
    assert!(
        said(&made).contains("the key is refused (401)"),
        "{}",
        said(&made)
    );
    assert!(!said(&made).contains(KEY), "{}", said(&made));
    assert!(home.state().join("aperture.hujson").exists());
}

/// The commands of a page: the lines of its `sh` blocks, those that go on in the next line joined.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(page))
        .unwrap()
        .replace("\\\n", " ");
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() && !command.starts_with('#') => {
                found.push(command.to_owned());
            }
            _ => {}
        }
    }
    found
}

#[tokio::test]
async fn every_command_of_the_page_for_agents_works() {
    let provider = provider().await;
    let home = Home::new(KEY);
    let mut serving = None;
    let mut url = String::new();
    let commands = commands("docs/agent-skill.md");
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        if command.starts_with("aperture run ") {
            let (process, address) = home.serve().await;
            url = address;
            serving = Some(process);
            continue;
        }
        // What stands for the tailnet and the provider here.
        let line = command
            .replace("http://ai", &url)
            .replace(
                "aperture init",
                &format!(
                    "aperture init --allow-local-upstreams --base-url anthropic={}",
                    provider.url()
                ),
            )
            .replace("aperture check", "aperture check --allow-local-upstreams");
        let output = shell(&home, &line).await;
        assert!(output.status.success(), "{command}\n{}", said(&output));
    }
    let mut process = serving.expect("a gateway is started");
    process.signal("TERM").await;
    assert!(process.wait().await.success());
    let records = crate::support::gateway::records(&home.state()).await;
    assert!(!records.is_empty(), "no call was recorded");
}

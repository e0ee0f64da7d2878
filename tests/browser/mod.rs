//! The pages in a real Chromium, on the private tailnet, as the people who look at them.

/// A page of somebody else tries to act as the person who looks at it.
mod attack;
/// The browser.
mod chromium;
/// The protocol that it is driven by.
mod driver;
/// What hostile prompts, answers, tools and names do to the pages that show them: nothing.
mod hostile;
/// Pages that move by themselves, and what they let do.
mod live;
/// Every page for everybody: looks, filters, sorting, paging, keys, accessibility.
mod pages;
/// The samples of `hostile`.
mod samples;
/// The configuration, edited.
mod settings;

use crate::support::{
    Gateway, Lab,
    cloud::{Asked, StandIn},
    gateway::Options,
    lab::topology,
    repository,
};
use chromium::{Chromium, Tab};
use provider::Provider;
use serde_json::json;
use std::{os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tokio::process::Command;

/// Alice is admin, bob and the CI node are users, and nobody has no role.
const GRANTS: &str = r#"
    {"src": ["alice@example.com"], "grants": [{"role": "admin"}, {"providers": [{"provider": "*", "model": "*"}]}]},
    {"src": ["bob@example.com", "=1+1@example.com"], "grants": [{"role": "user"}, {"providers": [{"provider": "anthropic", "model": "*"}]}]},
    {"src": ["tag:ci"], "grants": [{"role": "user"}, {"providers": [{"provider": "openai", "model": "gpt-4o*"}]}]},
"#;

/// A tailnet with the gateway on it, a browser, and a server that sees whatever the browser asks of anybody else.
struct World {
    provider: Provider,
    lab: Lab,
    gateway: Gateway,
    chromium: Chromium,
    elsewhere: StandIn,
}

impl World {
    /// With a made-up history, so that every page has something to show, or without.
    async fn start(history: bool) -> Self {
        let provider = Provider::start(provider::Options::default()).await.unwrap();
        let mut topology = topology();
        // The numbers of users are their places: the history's people are these.
        let users = json!([{"login": "alice@example.com", "display": "Alice"}, {"login": "bob@example.com", "display": "Bob"}]);
        topology["users"] = users;
        let nodes = topology["nodes"].as_array_mut().unwrap();
        for (name, user) in [
            ("nobody", "nobody@example.com"),
            ("formula", "=1+1@example.com"),
        ] {
            nodes.push(json!({"name": name, "user": user, "forward": ["ai:80"]}));
        }
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let (lab, ()) = tokio::join!(Lab::start(&topology), fill(&dir, history));
        let options = Options {
            dir: Some(dir),
            ..Options::default()
        };
        let config = config(&provider.url());
        let (gateway, chromium) =
            tokio::join!(Gateway::on(&lab, &config, options), Chromium::start());
        Self {
            provider,
            lab,
            gateway,
            chromium,
            elsewhere: StandIn::saying(404, "nothing").await,
        }
    }

    /// The gateway as that node.
    async fn door(&self, node: &str) -> String {
        self.lab.forward(node, "ai:80").await
    }

    /// A browser on that node, for which the gateway is `http://ai`.
    async fn browser(&self, node: &'static str) -> Tab {
        let door = self.door(node).await;
        let door = door.trim_start_matches("http://");
        let elsewhere = self.elsewhere.url.trim_start_matches("http://");
        self.chromium.open(node, &[("ai", door)], elsewhere).await
    }

    /// Whatever pages asked of anybody but the gateway. The browser itself asks its maker for news, whatever it is told.
    fn strayed(&self) -> Vec<String> {
        let asked = self.elsewhere.asked();
        let line = |asked: &Asked| {
            format!(
                "{} {} at {}",
                asked.method,
                asked.target,
                asked.header("host")
            )
        };
        let of_a_page = |asked: &&Asked| !asked.header("host").ends_with(".googleapis.com");
        asked.iter().filter(of_a_page).map(line).collect()
    }
}

/// All formats, from one provider.
fn config(provider: &str) -> String {
    let first = crate::support::config(provider, GRANTS);
    let more = format!(
        r#"
    "clouds": {{
      "name": "Clouds",
      "description": "Bedrock, Vertex and Gemini",
      "baseurl": "{provider}",
      "authorization": {{"type": "Bearer", "value": "sk-upstream-key"}},
      "models": ["gemini-2.5-flash", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"],
      "compatibility": {{"gemini": true, "vertex": true, "bedrock": true}},
    }},
  }},
  "temp_grants""#
    );
    first.replacen("  },\n  \"temp_grants\"", &more, 1)
}

/// Fills a state directory with months that never were.
async fn fill(dir: &TempDir, history: bool) {
    if !history {
        return;
    }
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_aperture"));
    let program = binary.with_file_name("examples").join("history");
    assert!(
        program.exists(),
        "{} is missing: `cargo build --example history` makes it, as `make test` does",
        program.display()
    );
    let state = dir.path().join("state");
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&state)
        .unwrap();
    let owners = [
        "user:1=alice@example.com",
        "user:2=bob@example.com",
        "tags:tag:ci=tag:ci",
    ];
    let output = Command::new(program)
        .arg("--state-dir")
        .arg(&state)
        .args([
            "--requests",
            "2500",
            "--sessions",
            "130",
            "--people",
            "12",
            "--captured",
            "30",
        ])
        .args(owners.iter().flat_map(|owner| ["--person", owner]))
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The script that judges accessibility.
fn axe() -> String {
    let file = repository(".cache/browser/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run scripts/setup test", file.display()))
}

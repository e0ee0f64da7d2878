//! Headscale as the control plane: join, identify, authorize by the document and by headscale's own policy, expire, remove.
//! docs/operations/headscale.md says what works; this is where it was tried.

use super::joining::{logs_in, stands};
use crate::support::{Gateway, gateway::Options, http, lab, message, process::Process};
use provider::Provider;
use serde_json::{Value, json};
use std::{fs, net, path::PathBuf, process::Output};
use tempfile::TempDir;
use tokio::process::Command;

/// Headscale refuses app capabilities below `tailscale.com/` that it does not know.
const CAPABILITY: &str = "example.com/cap/aperture";

/// The embedded relay speaks http here, so every node has to.
const RELAY: (&str, &str) = ("TS_DEBUG_USE_DERP_HTTP", "1");

/// A running headscale.
struct Headscale {
    url: String,
    process: Process,
    dir: TempDir,
}

impl Headscale {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = free(net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr());
        let stun = free(net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr());
        let url = format!("http://{address}");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = json!({
            "server_url": url, "listen_addr": address, "metrics_listen_addr": "", "grpc_listen_addr": "127.0.0.1:0",
            "noise": {"private_key_path": at("noise.key")},
            "prefixes": {"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48"},
            "derp": {
                "server": {
                    "enabled": true, "region_id": 999, "region_code": "here", "region_name": "here", "verify_clients": false,
                    "stun_listen_addr": stun, "private_key_path": at("derp.key"), "ipv4": "127.0.0.1",
                    "automatically_add_embedded_derp_region": true,
                },
                "urls": [], "paths": [], "auto_update_enabled": false,
            },
            "disable_check_updates": true,
            "database": {"type": "sqlite", "sqlite": {"path": at("db.sqlite")}},
            "policy": {"mode": "database"},
            "dns": {
                "magic_dns": true, "base_domain": "people.example", "override_local_dns": false,
                "nameservers": {"global": []},
            },
            "unix_socket": at("headscale.sock"), "unix_socket_permission": "0700",
            "logtail": {"enabled": false},
        });
        // JSON is YAML.
        fs::write(dir.path().join("config.yaml"), config.to_string()).unwrap();
        let process = Self::serve(&dir).await;
        Self { url, process, dir }
    }

    async fn serve(dir: &TempDir) -> Process {
        let mut command = Self::command(dir);
        command.arg("serve");
        let process = Process::start(command);
        let up = |line: &str| line.contains("listening and serving HTTP").then_some(());
        process.stderr.find("that headscale serves", up).await;
        process
    }

    /// Stops it and starts it again, so that every node connects anew.
    async fn restart(&mut self) {
        self.process.signal("KILL").await;
        self.process.wait().await;
        self.process = Self::serve(&self.dir).await;
    }

    fn command(dir: &TempDir) -> Command {
        let program = std::env::var_os("APERTURE_HEADSCALE").map(PathBuf::from);
        let program =
            program.expect("`scripts/headscale` builds it, APERTURE_HEADSCALE says where it is");
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(dir.path().join("config.yaml"))
            .env("HOME", dir.path());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        Self::command(&self.dir)
            .args(arguments)
            .output()
            .await
            .unwrap()
    }

    /// What a command answers.
    async fn tell(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat()).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn user(&self, name: &str) -> String {
        let email = format!("{name}@example.com");
        id(&self
            .tell(&["users", "create", name, "--email", &email])
            .await)
    }

    async fn key(&self, arguments: &[&str]) -> String {
        let key = self
            .tell(&[&["preauthkeys", "create"], arguments].concat())
            .await;
        key["key"]
            .as_str()
            .unwrap_or_else(|| panic!("no key in {key}"))
            .to_owned()
    }

    /// Sets the policy, or says why it is refused.
    async fn policy(&self, policy: &Value) -> Result<(), String> {
        let file = self.dir.path().join("policy.json");
        fs::write(&file, policy.to_string()).unwrap();
        let output = self
            .run(&["policy", "set", "-f", file.to_str().unwrap()])
            .await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    }

    /// The id of the gateway's node.
    async fn gateway(&self) -> String {
        let nodes = self.tell(&["nodes", "list"]).await;
        let nodes = nodes.as_array().unwrap();
        let node = nodes.iter().find(|node| node["given_name"] == "ai");
        id(node.unwrap_or_else(|| panic!("no node ai in {nodes:?}")))
    }

    /// A node of that name, and the address on loopback that leads to the gateway.
    async fn node(&self, name: &str, key: &str) -> (Process, String) {
        let mut command = Command::new(lab::binary());
        command
            .args(["-join", &self.url, "-authkey", key, "-hostname", name])
            .args(["-forward", "ai:80", "-exit-with-stdin"])
            .env(RELAY.0, RELAY.1)
            .env("HOME", self.dir.path());
        let process = Process::start(command);
        let ready = |line: &str| serde_json::from_str::<Value>(line).ok();
        let ready = process.stdout.find("that the node is ready", ready).await;
        let address = ready["forwards"]["ai:80"].as_str().unwrap();
        (process, format!("http://{address}"))
    }
}

fn free(address: std::io::Result<net::SocketAddr>) -> String {
    address.unwrap().to_string()
}

/// Ids are numbers or texts, by the command.
fn id(of: &Value) -> String {
    match &of["id"] {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    }
}

fn document(provider: &str) -> String {
    let grants = r#"
        {"src": ["alice@example.com"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "claude-haiku-4-5"}]}]},
        {"src": ["tag:ci"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "gpt-5"}]}]}"#;
    let config = crate::support::config(provider, grants);
    let own = format!("{{\"gateway\": {{\"capability\": \"{CAPABILITY}\"}},");
    config.replacen('{', &own, 1)
}

/// The status of a request for that model.
async fn asks(door: &str, model: &str) -> u16 {
    let (path, body) = if model.starts_with("gpt") {
        (
            "/v1/chat/completions",
            crate::support::chat(model, "hello", false),
        )
    } else {
        ("/v1/messages", message(model, "hello", false))
    };
    http::post(&format!("{door}{path}"), body)
        .await
        .status
        .as_u16()
}

#[tokio::test]
#[ignore = "`make headscale` builds headscale and runs it"]
async fn headscale_joins_identifies_and_authorizes() {
    let mut headscale = Headscale::start().await;
    let (alice, bob, carol) = (
        headscale.user("alice").await,
        headscale.user("bob").await,
        headscale.user("carol").await,
    );
    let policy = |capability: &str, models: &str| {
        json!({
            "tagOwners": {"tag:ai": ["alice@example.com"], "tag:ci": ["alice@example.com"]},
            "grants": [
                {"src": ["*"], "dst": ["*"], "ip": ["*"]},
                {
                    "src": ["bob@example.com"], "dst": ["tag:ai"],
                    "app": {capability: [{"role": "user"}, {"models": models}]},
                },
            ],
        })
    };
    let refused = headscale
        .policy(&policy("tailscale.com/cap/aperture", "anthropic/*"))
        .await;
    let said = refused.expect_err("this name is refused");
    assert!(
        said.contains("must not be in the tailscale.com domain"),
        "{said}"
    );
    headscale
        .policy(&policy(CAPABILITY, "anthropic/claude-opus*"))
        .await
        .unwrap();

    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let key = headscale.key(&["--tags", "tag:ai"]).await;
    let options = Options {
        without_key: true,
        environment: vec![("TS_AUTHKEY".into(), key), (RELAY.0.into(), RELAY.1.into())],
        arguments: vec!["--metrics-listen".into(), "127.0.0.1:0".into()],
        ..Options::default()
    };
    let gateway = Gateway::joining_at(&headscale.url, &document(&provider.url()), &options);
    assert_eq!(gateway.serving().await, "ai.people.example");

    let (_alice, at_alice) = headscale
        .node("alice-laptop", &headscale.key(&["-u", &alice]).await)
        .await;
    let (_bob, at_bob) = headscale
        .node("bob-laptop", &headscale.key(&["-u", &bob]).await)
        .await;
    let (_carol, at_carol) = headscale
        .node("carol-laptop", &headscale.key(&["-u", &carol]).await)
        .await;
    let (_ci, at_ci) = headscale
        .node("runner", &headscale.key(&["--tags", "tag:ci"]).await)
        .await;

    // By the document: alice's login and the tag. By headscale's policy: bob. By nothing: carol.
    for (door, model, want) in [
        (&at_alice, "claude-haiku-4-5", 200),
        (&at_alice, "claude-opus-4-5", 404),
        (&at_bob, "claude-opus-4-5", 200),
        (&at_bob, "claude-haiku-4-5", 404),
        (&at_ci, "gpt-5", 200),
        (&at_ci, "claude-haiku-4-5", 404),
        (&at_carol, "claude-haiku-4-5", 403),
    ] {
        assert_eq!(asks(door, model).await, want, "{door} {model}");
    }
    let records = gateway.finished(6).await;
    let who = |name: &str| {
        let mut all = records
            .iter()
            .map(|record| &record.who)
            .filter(|who| who.node_name == name);
        let first = all
            .next()
            .unwrap_or_else(|| panic!("no record of {name}: {records:#?}"));
        (first.login.clone(), first.tags.clone())
    };
    assert_eq!(
        who("alice-laptop"),
        ("alice@example.com".to_owned(), Vec::new())
    );
    assert_eq!(
        who("bob-laptop"),
        ("bob@example.com".to_owned(), Vec::new())
    );
    assert_eq!(
        who("runner"),
        ("tag:ci".to_owned(), vec!["tag:ci".to_owned()])
    );

    // A policy that changes is in force for the next requests, within seconds.
    headscale
        .policy(&policy(CAPABILITY, "anthropic/claude-haiku*"))
        .await
        .unwrap();
    let deadline = tokio::time::Instant::now() + crate::support::process::PATIENCE;
    while asks(&at_bob, "claude-haiku-4-5").await != 200 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the policy does not arrive"
        );
    }
    assert_eq!(asks(&at_bob, "claude-opus-4-5").await, 404);

    // Removed by an admin, which headscale does not tell the node: it finds out when it asks for something next, at the latest
    // when it connects anew. And in again by hand: the key was for one node, so there is an address.
    headscale
        .tell(&[
            "nodes",
            "delete",
            "-i",
            &headscale.gateway().await,
            "--force",
        ])
        .await;
    headscale.restart().await;
    stands(&gateway, "removed").await;
    let said = logs_in(&gateway).await;
    let address = said
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let (_, login) = address.rsplit_once('/').unwrap();
    headscale
        .tell(&["auth", "register", "--auth-id", login, "--user", "alice"])
        .await;
    let mut served = 0;
    gateway
        .event("serving: clients use", |_| {
            served += 1;
            (served == 2).then_some(())
        })
        .await;
    // It is alice's machine now, so its key can expire.
    headscale
        .tell(&["nodes", "expire", "-i", &headscale.gateway().await])
        .await;
    stands(&gateway, "expired").await;
    gateway.stop().await;
}

//! The real binary on the private tailnet. Small in `make test`, at full size with `APERTURE_SOAK=1`.

/// Every route, as everybody.
mod access;
/// Real clients' requests, replayed.
mod captures;
/// What a change of the tailnet does to open connections and running streams.
mod changes;
/// What `doctor` says, and that it agrees with what the proxy does.
mod doctor;
/// Headscale as another control plane.
mod headscale;
/// Who a request is counted for.
mod identity;
/// Every way to join, and every reason not to be in: what the log, doctor, metrics and pages say of it.
mod joining;
/// Login, approval, names, key expiry, restarts, outages and the end.
mod lifecycle;
/// Many short connections, many idle streams.
mod load;
/// Who may scrape, and that a real Prometheus sees the same figures.
mod metrics;
/// A collector that is a node of the tailnet.
mod otlp;
/// Whose the objects are that providers store.
mod owned;
/// Ways that end and come back: a peer that is cut off, a relay that is down.
mod partition;
/// What the process holds on its host: sockets, descriptors, signals.
mod process;
/// Https with the certificate that the node gets.
mod tls;
/// Providers that are reached through the node.
mod upstream;

pub(crate) use metrics::scraper;
pub(crate) use process::sockets;

use crate::support::{Gateway, Lab, gateway::Options, lab::topology, measured};
use ::http::Method;
use aperture::record::Record;
use provider::{Gate, Matcher, Provider, Script};
use serde_json::{Value, json};

/// The model that tests ask for.
const MODEL: &str = "claude-haiku-4-5";

/// Everybody is a user of everything; nobody is admin.
const USERS: &str = r#"{"src": ["*"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "*"}]}]}"#;

/// A provider, a tailnet, and the gateway between them.
struct World {
    provider: Provider,
    lab: Lab,
    gateway: Gateway,
}

impl World {
    /// Alice, bob and ci, and these nodes; the grants are the document's.
    async fn start(grants: &str, nodes: &[Value]) -> Self {
        let provider = Provider::start(provider::Options::default()).await.unwrap();
        let lab = Lab::start(&with(nodes)).await;
        let config = crate::support::config(&provider.url(), grants);
        let gateway = Gateway::on(&lab, &config, Options::default()).await;
        Self {
            provider,
            lab,
            gateway,
        }
    }

    /// The gateway as that node.
    async fn door(&self, node: &str) -> String {
        self.lab.forward(node, "ai:80").await
    }
}

/// The usual tailnet and these nodes.
fn with(nodes: &[Value]) -> Value {
    let mut topology = topology();
    let all = topology["nodes"].as_array_mut().unwrap();
    all.extend_from_slice(nodes);
    topology
}

/// A node of that user with a port that leads to the gateway.
fn person(name: &str, user: &str) -> Value {
    json!({"name": name, "user": user, "forward": ["ai:80"]})
}

/// Streams wait after their head until the gate lets writes pass.
fn hold_streams(provider: &Provider) -> Gate {
    let gate = Gate::new();
    let script = Script::text("one two three").gated(&gate);
    provider.script(Matcher::body("\"stream\":true"), script);
    gate
}

/// Changes the tailnet; answered when every node was told.
async fn change(lab: &Lab, path: &str, body: Value) {
    let answer = lab.post(path, body).await;
    assert_eq!(answer["behind"], Value::Null, "{path}");
}

async fn delete(lab: &Lab, path: &str) {
    lab.call(Method::DELETE, path, &Value::Null).await;
}

/// Waits for a condition of the lab.
async fn await_node(lab: &Lab, node: &str, is: &str) {
    let path = format!("/await?node={node}&is={is}&timeout_ms=30000");
    lab.call(Method::GET, &path, &Value::Null).await;
}

/// The answer of `aperture health`, and whether it says that the gateway serves.
async fn health(gateway: &Gateway) -> (bool, Value) {
    let output = gateway.command(&["health"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let health = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.success(), health)
}

/// The text of `aperture doctor`, and whether all is well.
async fn doctor_says(gateway: &Gateway, arguments: &[&str]) -> (bool, String) {
    let output = gateway.command(&[&["doctor"], arguments].concat()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

/// The record of the only request of that node.
fn of_node<'a>(records: &'a [Record], name: &str) -> &'a Record {
    let mut found = records.iter().filter(|record| record.who.node_name == name);
    let record = found
        .next()
        .unwrap_or_else(|| panic!("no record of {name}"));
    assert!(found.next().is_none(), "more than one record of {name}");
    record
}

/// A number of a report of the lab.
fn number(report: &Value, key: &str) -> u64 {
    report[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {report}"))
}

#[tokio::test]
async fn a_request_over_the_tailnet_is_its_callers() {
    let world = World::start(USERS, &[]).await;
    let mut expected = Vec::new();
    for (node, login) in [
        ("alice", "alice@example.com"),
        ("bob", "bob@example.com"),
        ("ci", "tag:ci"),
    ] {
        let url = format!("{}/v1/messages", world.door(node).await);
        let body = crate::support::message(MODEL, "hello", true);
        let answer = crate::support::http::post(&url, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        expected.push(login);
        let logins: Vec<_> = world
            .gateway
            .finished(expected.len())
            .await
            .into_iter()
            .map(|record| record.who.login)
            .collect();
        assert_eq!(logins, expected);
    }
    world.gateway.stop().await;
}

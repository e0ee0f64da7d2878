//! Faults of the tailnet, in the private one.

use super::{
    Fault, Seed, fails, warns,
    world::{Found, World, private, report},
};
use crate::support::{Gateway, Lab, gateway::Options, http, lab::topology, message};
use ::http::Method;
use serde_json::{Value, json};

/// What must be said, without a way to make it: these tests make it themselves.
const fn named(outcome: &'static str, id: &'static str, words: &'static [&'static str]) -> Fault {
    let nothing = Seed::Stopped(|_| {});
    match outcome.as_bytes()[0] {
        b'f' => fails(id, words, nothing),
        _ => warns(id, words, nothing),
    }
}

fn is(found: &Found, fault: &Fault) {
    assert_eq!(found.differs_from(fault), None);
}

#[tokio::test]
async fn faults_of_a_running_node_are_found_and_gone_when_they_are() {
    let world = World::new().await;
    let mut topology = topology();
    let nodes = topology["nodes"].as_array_mut().unwrap();
    nodes.push(json!({"name": "ci2", "user": "alice@example.com", "tags": ["tag:ci"], "forward": ["ai:80"]}));
    let lab = Lab::start(&topology).await;
    let gateway = Gateway::on(
        &lab,
        &world.document().to_string(),
        private(Options::default()),
    )
    .await;
    let dir = gateway.dir.path();

    let healthy = report(dir, &["--peer", "alice"]).await;
    assert_eq!(healthy.faults(), Vec::<Value>::new(), "{:#}", healthy.json);
    for id in [
        "node.state",
        "node.name",
        "node.addresses",
        "node.key",
        "node.control",
        "node.path",
        "clock",
    ] {
        assert!(healthy.has(id, "good"), "{id} in {:#}", healthy.json);
    }
    is(
        &report(dir, &["--peer", "nobody"]).await,
        &named(
            "failure",
            "node.path",
            &["knows no such peer", "its name in the tailnet"],
        ),
    );

    // Devices with tags look like one user, until a person calls.
    let mut count = 0;
    for (node, faults) in [("ci", 0), ("ci2", 1), ("alice", 0)] {
        let url = format!("{}/v1/messages", lab.forward(node, "ai:80").await);
        let answer = http::post(&url, message("claude-haiku-4-5", "x", false)).await;
        assert_eq!(answer.status, 200);
        count += 1;
        gateway.finished(count).await;
        let found = report(dir, &[]).await;
        if faults == 1 {
            is(
                &found,
                &named(
                    "warning",
                    "identity.tags",
                    &["2 devices call", "all look like one user", "without tags"],
                ),
            );
        } else {
            assert_eq!(found.faults(), Vec::<Value>::new());
        }
    }

    lab.post("/nodes/ai/expire", json!({"seconds": 86_400 * 2 - 60}))
        .await;
    let expires = named(
        "warning",
        "node.key",
        &["expires in 1 day", "turn off key expiry"],
    );
    let found = until(dir, "node.key", "warning").await;
    is(&found, &expires);
    lab.post("/nodes/ai/expire", json!({"seconds": 86_400 * 90}))
        .await;
    until(dir, "node.key", "good").await;

    lab.post("/faults/control", json!({"down": true, "refuse": true}))
        .await;
    is(
        &until(dir, "node.control", "failure").await,
        &named(
            "failure",
            "node.control",
            &["can't be reached", "Connections go on meanwhile"],
        ),
    );
}

/// Asks until the check is so: the node learns what the tailnet tells it in a moment.
async fn until(dir: &std::path::Path, id: &str, outcome: &str) -> Found {
    let deadline = tokio::time::Instant::now() + crate::support::process::PATIENCE;
    loop {
        let found = report(dir, &[]).await;
        if found.has(id, outcome) {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{id} is not {outcome}: {:#}",
            found.json
        );
    }
}

#[tokio::test]
async fn a_node_that_can_t_join_yet_says_what_to_do() {
    let world = World::new().await;
    let document = world.document().to_string();
    let mut topology = topology();
    // The name belongs to a machine that is there already.
    topology["nodes"][0] = json!({"name": "ai", "user": "old@example.com"});
    let lab = Lab::start(&topology).await;
    let renamed = Gateway::on(&lab, &document, private(Options::default())).await;
    is(
        &report(renamed.dir.path(), &[]).await,
        &named(
            "warning",
            "node.name",
            &["calls this node ai-1", "rename the other machine"],
        ),
    );
    renamed.stop().await;

    let without_key = Options {
        without_key: true,
        ..Options::default()
    };
    let words = &["has to be logged in", "open http"];
    waits(
        &lab,
        &document,
        without_key,
        "this node has to be logged in",
        words,
    )
    .await;

    lab.call(Method::POST, "/approve/require", &json!(true))
        .await;
    let words = &["has to approve", "admin console"];
    let logged = "an admin of the tailnet has to approve";
    waits(&lab, &document, Options::default(), logged, words).await;
}

/// A gateway that logs that it waits to be let in; its doctor says so in these words.
async fn waits(
    lab: &Lab,
    document: &str,
    options: Options,
    logged: &str,
    words: &'static [&'static str],
) {
    let waiting = Gateway::joining(lab, document, &private(options));
    waiting.event(logged, |_| Some(())).await;
    is(
        &report(waiting.dir.path(), &[]).await,
        &named("failure", "node.state", words),
    );
    waiting.stop().await;
}

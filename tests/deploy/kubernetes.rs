//! The node's key in a Secret: a pod that has lost its disk is the same node, and the role is no wider than it must be.

use super::cluster::{Cluster, SECRET};
use crate::support::{
    EVERYBODY, Gateway, Lab, config, gateway::Options, http, lab, message, repository,
};
use aperture::cli::Cli;
use clap::Parser as _;
use provider::Provider;
use std::path::Path;

/// What a pod has: the files of its service account, and the API server's address. The files appear in a mount
/// namespace of their own, since the library looks for them at a fixed place.
fn pod(cluster: &Cluster, account: &Path, secret: &str) -> Options {
    let mount = format!(
        "mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && cp -r '{}' /run/secrets/kubernetes.io/serviceaccount \
         && exec \"$@\"",
        account.display()
    );
    let environment = [
        (
            "TS_KUBERNETES_READ_API_SERVER_ADDRESS_FROM_ENV",
            "true".to_owned(),
        ),
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
        ("KUBERNETES_SERVICE_PORT_HTTPS", cluster.port.to_string()),
    ];
    Options {
        arguments: vec!["--node-state".into(), format!("kube:{secret}")],
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        wrapper: ["unshare", "-m", "sh", "-c", &mount, "pod"]
            .map(str::to_owned)
            .into(),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_pod_without_its_disk_is_the_same_node_as_before() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = Lab::start(&lab::topology()).await;
    let config = config(&provider.url(), EVERYBODY);
    let cluster = Cluster::start();
    let account = tempfile::tempdir().unwrap();
    cluster.service_account(account.path());

    let first = Gateway::on(&lab, &config, pod(&cluster, account.path(), SECRET)).await;
    let url = format!("{}/v1/messages", lab.forward("alice", "ai:80").await);
    let body = message("claude-haiku-4-5", "hello", false);
    assert_eq!(http::post(&url, body.clone()).await.status, 200);
    let before = lab.node("ai").await;
    assert!(
        cluster.keys().iter().any(|key| key == "_machinekey"),
        "{:?}",
        cluster.keys()
    );
    assert!(!first.state_dir().join("tailscaled.state").exists());
    first.stop().await;

    // An empty directory and no key to join with: only the Secret says who it is.
    let again = Options {
        without_key: true,
        ..pod(&cluster, account.path(), SECRET)
    };
    let second = Gateway::on(&lab, &config, again).await;
    assert_eq!(http::post(&url, body).await.status, 200);
    let after = lab.node("ai").await;
    for same in ["stableID", "ips", "fqdn"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    second.stop().await;

    // It asked for its own Secret and nothing else.
    let own = format!("/secrets/{SECRET}");
    let requests = cluster.requests();
    assert!(requests.iter().any(|request| request.starts_with("PATCH ")));
    assert!(
        requests.iter().all(|request| request.ends_with(&own)),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_role_for_another_secret_is_said_at_the_start() {
    let lab = Lab::start(&lab::topology()).await;
    let cluster = Cluster::start();
    let account = tempfile::tempdir().unwrap();
    cluster.service_account(account.path());
    let config = config("http://127.0.0.1:9", EVERYBODY);
    let mut gateway = Gateway::joining(&lab, &config, &pod(&cluster, account.path(), "other"));
    assert!(!gateway.process.wait().await.success());
    let said = gateway.process.stderr.all().join("\n");
    assert!(
        said.contains("missing get permission on secret \"other\""),
        "{said}"
    );
}

#[tokio::test]
async fn outside_a_cluster_it_says_so() {
    let lab = Lab::start(&lab::topology()).await;
    let options = Options {
        arguments: vec!["--node-state".into(), "kube:x".into()],
        ..Options::default()
    };
    let config = config("http://127.0.0.1:9", EVERYBODY);
    let mut gateway = Gateway::joining(&lab, &config, &options);
    assert!(!gateway.process.wait().await.success());
    let said = gateway.process.stderr.all().join("\n");
    assert!(
        said.contains("Secret \\\"x\\\"") || said.contains("Secret \"x\""),
        "{said}"
    );
    assert!(said.contains("serviceaccount"), "{said}");
}

/// What the chart's probes ask: a node that waits for its login is not ready, and must not be killed.
#[tokio::test]
async fn a_node_that_waits_for_its_login_is_alive_and_not_ready() {
    let lab = Lab::start(&lab::topology()).await;
    let options = Options {
        without_key: true,
        ..Options::default()
    };
    let gateway = Gateway::joining(&lab, &config("http://127.0.0.1:9", EVERYBODY), &options);
    let url = |fields: &serde_json::Value| Some(fields["url"].as_str()?.to_owned());
    gateway.event("", url).await;
    assert!(!gateway.command(&["health"]).await.status.success());
    assert!(
        gateway
            .command(&["health", "--alive"])
            .await
            .status
            .success()
    );
    let dir = gateway.stop().await;
    let state = dir.path().join("state");
    let gone = crate::support::gateway::run(&state, &["health", "--alive"]).await;
    assert!(!gone.status.success());
}

/// What deploy/kubernetes holds: name and text of each rendering.
fn renderings() -> Vec<(String, String)> {
    let all: Vec<_> = std::fs::read_dir(repository("deploy/kubernetes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    assert_eq!(all.len(), 4);
    all
}

/// The gateway's arguments in a rendering.
fn arguments(text: &str) -> Vec<&str> {
    let (_, rest) = text.split_once("          args:\n").unwrap();
    rest.lines()
        .take_while(|line| line.starts_with("            "))
        .filter_map(|line| line.trim().strip_prefix("- "))
        .collect()
}

#[test]
fn the_manifests_say_what_the_gateway_understands() {
    let mut places = Vec::new();
    for (name, text) in renderings() {
        let arguments = arguments(&text);
        assert!(arguments.len() > 5, "{name}: {arguments:?}");
        let parsed = Cli::try_parse_from(["aperture"].into_iter().chain(arguments))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let sidecar = name.ends_with("sidecar.yaml");
        assert_eq!(parsed.run.allow_local_upstreams, sidecar, "{name}");
        assert_eq!(
            parsed.run.config.is_none(),
            name.ends_with("settings-page.yaml"),
            "{name}"
        );
        places.extend(parsed.run.node_state);
        // The role is the one that the stand-in enforces.
        assert_eq!(
            text.contains("verbs: [get, update, patch]\n"),
            text.contains("kind: Role\n"),
            "{name}"
        );
        assert!(
            !text.contains("verbs: [get, update, patch]")
                || text.contains("resourceNames: [ai-node]\n")
        );
    }
    assert_eq!(places, [format!("kube:{SECRET}")]);
}

#[tokio::test]
async fn the_documents_in_the_manifests_are_sound() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("anthropic"), "sk-ant-upstream-key").unwrap();
    let mut checked = 0;
    for (name, text) in renderings() {
        let Some((_, rest)) = text.split_once("  aperture.hujson: |\n") else {
            continue;
        };
        let document: Vec<_> = rest
            .lines()
            .map_while(|line| line.strip_prefix("    "))
            .collect();
        let file = dir.path().join("aperture.hujson");
        std::fs::write(&file, document.join("\n")).unwrap();
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_aperture"))
            .arg("check")
            .arg(&file)
            .arg("--secrets-dir")
            .arg(dir.path())
            .args(
                name.ends_with("sidecar.yaml")
                    .then_some("--allow-local-upstreams"),
            )
            .output()
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        checked += 1;
    }
    assert_eq!(checked, 3);
}

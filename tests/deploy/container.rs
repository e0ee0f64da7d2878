//! The container's file system, assembled by the script that the Dockerfile uses, and run as a container runtime would:
//! as an ordinary user, without capabilities, on a root that can't be written to. The Dockerfile's own lines say how.

use crate::support::{EVERYBODY, Lab, config, http, lab, message, process::Process, repository};
use provider::Provider;
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;
use tokio::process::Command;

/// The last stage of the Dockerfile.
#[derive(Debug)]
struct Image {
    user: String,
    environment: Vec<(String, String)>,
    entrypoint: Vec<String>,
    health: Vec<String>,
    volume: String,
}

fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

impl Image {
    fn read() -> Self {
        let text = fs::read_to_string(repository("deploy/Dockerfile")).unwrap();
        let text = text.replace("\\\n", " ");
        let (_, stage) = text.rsplit_once("\nFROM ").unwrap();
        assert!(
            stage.starts_with("gcr.io/distroless/cc-debian12:nonroot"),
            "{stage}"
        );
        let line = |word: &str| {
            let rest = stage.lines().find_map(|line| line.strip_prefix(word));
            rest.unwrap_or_else(|| panic!("no {word}")).trim()
        };
        Self {
            user: line("USER ").to_owned(),
            environment: line("ENV ")
                .split_whitespace()
                .map(|pair| pair.split_once('=').unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            entrypoint: words(line("ENTRYPOINT ")),
            health: words(line("HEALTHCHECK ").rsplit_once("CMD ").unwrap().1),
            volume: words(line("VOLUME ")).pop().unwrap(),
        }
    }

    /// A command in the container; the host's network namespace is the tailnet's.
    fn command(&self, root: &Path, state: &Path, arguments: &[String]) -> Command {
        let (user, group) = self.user.split_once(':').unwrap();
        let mut command = Command::new("bwrap");
        command
            .args(["--unshare-user", "--uid", user, "--gid", group])
            .args([
                "--unshare-pid",
                "--as-pid-1",
                "--unshare-ipc",
                "--cap-drop",
                "ALL",
            ])
            .arg("--ro-bind")
            .arg(root)
            .arg("/")
            .args(["--proc", "/proc", "--dev", "/dev"])
            .arg("--bind")
            .arg(state)
            .arg(&self.volume)
            .args(["--remount-ro", "/", "--clearenv", "--die-with-parent"]);
        for (name, value) in &self.environment {
            command.args(["--setenv", name, value]);
        }
        for name in [
            "TS_ASSUME_NETWORK_UP_FOR_TEST",
            "TS_DISABLE_PORTMAPPER",
            "TS_DISABLE_UPNP",
            "TS_PANIC_IF_HIT_MAIN_CONTROL",
        ] {
            command.args(["--setenv", name, "1"]);
        }
        command.args([
            "--setenv",
            "TS_NO_LOGS_NO_SUPPORT",
            "true",
            "--setenv",
            "TS_AUTHKEY",
            lab::KEY,
        ]);
        command.arg("--").args(arguments);
        command
    }
}

/// The root file system with this build's binary, and what the base image has of a system.
async fn assemble() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(repository("scripts/assemble-rootfs"))
        .args(["--with-base", env!("CARGO_BIN_EXE_aperture")])
        .arg(dir.path().join("root"))
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    dir
}

#[tokio::test]
async fn it_serves_without_rights_on_a_root_that_cannot_be_written_to() {
    let image = Image::read();
    let dir = assemble().await;
    let (root, state) = (dir.path().join("root"), dir.path().join("state"));
    fs::create_dir(&state).unwrap();
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = Lab::start(&lab::topology()).await;
    fs::write(
        state.join("aperture.hujson"),
        config(&provider.url(), EVERYBODY),
    )
    .unwrap();

    let flags = [
        "--hostname",
        "ai",
        "--control-url",
        &lab.control_url,
        "--allow-local-upstreams",
    ];
    let run = [image.entrypoint.clone(), flags.map(str::to_owned).into()].concat();
    let mut container = Process::start(image.command(&root, &state, &run));
    container
        .stderr
        .find("that it serves", |line| {
            line.contains("serving: clients use").then_some(())
        })
        .await;

    let url = format!("{}/v1/messages", lab.forward("alice", "ai:80").await);
    let answer = http::post(&url, message("claude-haiku-4-5", "hello", true)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let health = image
        .command(&root, &state, &image.health)
        .output()
        .await
        .unwrap();
    assert!(health.status.success(), "{health:?}");

    // What it runs as. The only child of bwrap is the gateway, as process 1.
    let outer = container.pid();
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
    let inner: u32 = children.trim().parse().unwrap();
    let status = fs::read_to_string(format!("/proc/{inner}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}"))
            .trim()
            .to_owned()
    };
    assert_eq!(field("Name:"), "aperture");
    assert_eq!(field("NoNewPrivs:"), "1");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NSpid:").split_whitespace().last(), Some("1"));
    let mounts = fs::read_to_string(format!("/proc/{inner}/mountinfo")).unwrap();
    let options = |point: &str| {
        let line = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let fields = line.into_iter().find(|fields| fields[4] == point);
        fields.unwrap_or_else(|| panic!("{point} is not mounted:\n{mounts}"))[5].to_owned()
    };
    assert!(options("/").starts_with("ro,"));
    assert!(options(&image.volume).starts_with("rw,"));

    // As process 1 it has no default for signals: it stops because it handles this one.
    let killed = Command::new("kill")
        .arg(inner.to_string())
        .status()
        .await
        .unwrap();
    assert!(killed.success() && container.wait().await.success());
    let records = crate::support::gateway::records(&state).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].who.login, "alice@example.com");
}

#[tokio::test]
async fn it_lists_its_parts_and_has_their_licences() {
    let dir = assemble().await;
    let docs = dir.path().join("root/usr/share/doc/aperture");
    let text = fs::read_to_string(docs.join("sbom.cdx.json")).unwrap();
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let parts = bill["components"].as_array().unwrap();
    let has = |start: &str| {
        parts
            .iter()
            .any(|part| part["purl"].as_str().unwrap().starts_with(start))
    };
    for linked in [
        "pkg:cargo/hyper@",
        "pkg:cargo/redb@",
        "pkg:golang/tailscale.com@v1.102.3",
        "pkg:golang/gvisor.dev/gvisor@",
        "pkg:golang/std@",
    ] {
        assert!(has(linked), "{linked} is missing");
    }
    // Only what is in the binary: neither tests nor build tools, nor modules of platforms that this is not.
    for not_linked in [
        "pkg:cargo/insta@",
        "pkg:cargo/bindgen@",
        "pkg:cargo/windows-sys@",
        "pkg:golang/github.com/aws/",
    ] {
        assert!(!has(not_linked), "{not_linked} is listed");
    }
    let notices = fs::read_to_string(docs.join("NOTICES")).unwrap();
    for part in parts {
        let name = part["name"].as_str().unwrap();
        let version = part["version"].as_str().unwrap();
        assert!(
            notices.contains(&format!("\n== {name} {version}")),
            "no notice of {name}"
        );
        assert!(!part["licenses"][0].is_null(), "no licence of {name}");
    }
    assert!(docs.join("LICENSE").exists());
}

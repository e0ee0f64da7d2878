//! Files that can't be used: the start says which, why, and what to do.

use crate::support::{EVERYBODY, Gateway, config, gateway::Options, http, message};
use provider::Provider;
use redb::{ReadableDatabase as _, TableDefinition};
use std::path::Path;
use tokio::process::Command;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// What happens to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

/// A state directory with a few requests in it.
async fn used() -> (Provider, std::sync::Arc<tempfile::TempDir>) {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url(), EVERYBODY), Options::default()).await;
    for n in 0..20 {
        let url = format!("{}/v1/messages", gateway.url);
        let body = message("claude-haiku-4-5", &format!("hello {n}"), false);
        assert_eq!(http::post(&url, body).await.status, 200);
    }
    gateway.finished(20).await;
    (provider, gateway.stop().await)
}

/// Starts the gateway, which must refuse; returns what it says.
async fn refusal(dir: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_aperture"))
        .args([
            "run",
            "--dev-listen",
            "127.0.0.1:0",
            "--allow-local-upstreams",
        ])
        .arg("--config")
        .arg(dir.join("aperture.hujson"))
        .arg("--state-dir")
        .arg(dir.join("state"))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(crate::support::process::PATIENCE, output);
    let output = output.await.expect("it ends by itself").unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do_and_left_as_it_is() {
    let (_provider, dir) = used().await;
    let damages: [(&str, Damage); 4] = [
        ("no database", |bytes| {
            *bytes = b"not a database at all".to_vec();
        }),
        ("a head of zeros", |bytes| bytes[..4096].fill(0)),
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("pages of noise", |bytes| bytes[4096..].fill(0xa5)),
    ];
    for file in ["aperture.redb", "captures.redb"] {
        let path = dir.path().join("state").join(file);
        let good = std::fs::read(&path).unwrap();
        for (what, damage) in damages {
            let mut bytes = good.clone();
            damage(&mut bytes);
            std::fs::write(&path, &bytes).unwrap();
            let said = refusal(dir.path()).await;
            assert!(
                said.contains(path.to_str().unwrap()),
                "{file}, {what}: {said}"
            );
            assert!(
                said.contains("backup") && said.contains("move it away"),
                "{file}, {what}: {said}"
            );
        }
        std::fs::write(&path, &good).unwrap();
    }
    // Moved away, the gateway starts afresh; moved back, everything is there.
    let state = dir.path().join("state");
    assert_eq!(crate::support::gateway::records(&state).await.len(), 20);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone_and_said_to_be_one() {
    let (_provider, dir) = used().await;
    let path = dir.path().join("state/aperture.redb");
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(META)
        .unwrap()
        .insert("schema", "99")
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let said = refusal(dir.path()).await;
    assert!(
        said.contains("aperture.redb") && said.contains("schema version 99"),
        "{said}"
    );
    assert!(said.contains("run the newer version"), "{said}");
    let database = redb::Database::open(&path).unwrap();
    let read = database.begin_read().unwrap();
    let meta = read.open_table(META).unwrap();
    assert_eq!(meta.get("schema").unwrap().unwrap().value(), "99");
}

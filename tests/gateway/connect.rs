//! `aperture connect`: what it prints for a gateway, and what it writes.

use super::start;
use crate::support::{Gateway, config};
use provider::{Options, Provider};
use std::{fs, path::Path, process::Output};
use tempfile::TempDir;
use tokio::process::Command;

/// One model is granted, of one format.
const ONE: &str = r#"{"src": ["*"], "grants": [{"role": "user"}, {"providers": [{"provider": "anthropic", "model": "claude-haiku-4-5"}]}]}"#;

async fn connect(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aperture"))
        .arg("connect")
        .args(arguments)
        .env("HOME", home)
        .env_remove("APERTURE_GATEWAY")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap()
}

async fn said(home: &Path, arguments: &[&str]) -> String {
    let output = connect(home, arguments).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

async fn complaint(home: &Path, arguments: &[&str]) -> String {
    let output = connect(home, arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn world() -> (Provider, Gateway, TempDir) {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&config(&provider.url(), ONE)).await;
    (provider, gateway, tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn it_offers_what_the_gateway_says_that_the_caller_may_use() {
    let (_provider, gateway, home) = world().await;
    let (home, url) = (home.path(), gateway.url.as_str());
    let list = said(home, &["--gateway", url]).await;
    let line = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(!line("claude-code").contains("no model"), "{list}");
    assert!(line("codex").contains("(no model for it)"), "{list}");

    let curl = said(home, &["curl", "--gateway", url]).await;
    assert!(
        curl.contains(&format!("curl -s {url}/v1/messages")),
        "{curl}"
    );
    assert!(curl.contains("\"model\":\"claude-haiku-4-5\""), "{curl}");
    assert!(
        curl.contains("you may use no model that is served as openai_chat"),
        "{curl}"
    );

    let json = said(home, &["pi", "--gateway", url, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["answered"], true);
    let setups = json["clients"][0]["setups"].as_array().unwrap();
    let offered: Vec<_> = setups.iter().filter(|it| it["offered"] == true).collect();
    assert_eq!((offered.len(), &offered[0]["id"]), (1, &"anthropic".into()));
    assert!(gateway.records().await.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_gateway_it_shows_the_general_form_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    // The discard port: nobody is there.
    let gateway = ["--gateway", "http://127.0.0.1:9"];
    let text = said(home.path(), &[&["codex"][..], &gateway].concat()).await;
    assert!(text.contains("can't say what you may use"), "{text}");
    assert!(text.contains("model = \"gpt-5\""), "{text}");
    for (arguments, words) in [
        (&["no-such-client"][..], "no client is called"),
        (&["codex", "--setup", "other"], "it has config"),
        (&["curl", "--apply", "--yes"], "not by a file"),
        (&["codex", "--apply"], "--yes"),
    ] {
        let complaint = complaint(home.path(), &[arguments, &gateway].concat()).await;
        assert!(complaint.contains(words), "{complaint}");
    }
    let bad = complaint(home.path(), &["--gateway", "http://ai/v1"]).await;
    assert!(bad.contains("no URL of a gateway"), "{bad}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn it_merges_into_the_clients_own_file_once_and_keeps_the_rest() {
    let (_provider, gateway, home) = world().await;
    let (home, url) = (home.path(), gateway.url.as_str());
    let file = home.join(".claude/settings.json");
    let before = "// mine\n{\n  \"theme\": \"dark\", // as I like it\n  \"env\": {\"ANTHROPIC_API_KEY\": \"sk-mine\"}\n}\n";
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, before).unwrap();
    let apply = ["claude-code", "--gateway", url, "--apply", "--yes"];
    let text = said(home, &apply).await;
    let line = format!("ANTHROPIC_BASE_URL\": \"{url}\"");
    let added = text
        .lines()
        .find(|it| it.starts_with('+') && it.contains(&line));
    assert!(added.is_some(), "{text}");
    let after = fs::read_to_string(&file).unwrap();
    for part in [
        "// mine",
        "// as I like it",
        "\"sk-mine\"",
        "echo '-'",
        &line,
    ] {
        assert!(after.contains(part), "{part}: {after}");
    }
    let backup = home.join(".claude/settings.json.aperture-backup");
    assert_eq!(fs::read_to_string(&backup).unwrap(), before);

    let again = said(home, &apply).await;
    assert!(again.contains("says all of it already"), "{again}");
    assert_eq!(fs::read_to_string(&file).unwrap(), after);

    // TOML: keys of the top go before the tables that are there.
    let file = home.join(".codex/config.toml");
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, "# mine\n[tools]\nweb = true\n").unwrap();
    let apply = ["codex", "--gateway", url, "--apply", "--yes"];
    let text = said(home, &apply).await;
    assert!(text.contains("You may use no model"), "{text}");
    let after: toml_edit::DocumentMut = fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(after["model_provider"].as_str(), Some("aperture"));
    assert_eq!(after["tools"]["web"].as_bool(), Some(true));
    assert!(said(home, &apply).await.contains("says all of it already"));

    // A link out of the home directory is not followed.
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), home.join(".pi")).unwrap();
    let complaint = complaint(home, &["pi", "--gateway", url, "--apply", "--yes"]).await;
    assert!(
        complaint.contains("leads out of the home directory"),
        "{complaint}"
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    gateway.stop().await;
}

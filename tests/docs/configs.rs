//! Every configuration on a page is loaded by the real checker and has no finding.
//!
//! The word behind the language says what a block is: `config` a whole document; `providers`, `grants`, `temp_grants` and
//! `gateway` what goes into that part of one; `policy` a tailnet policy, whose capabilities are checked as the gateway reads
//! them. `json` alone is something else, and only has to be JSON. A comment line `WHO: MODEL yes, MODEL no` is a promise, and is put to the function that decides requests.

use super::{Block, pages};
use crate::support::repository;
use aperture::{
    config::{CheckOptions, Config, check, render_findings},
    endpoint::Dialect,
    identity::Caller,
    policy,
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// Pages whose blocks are not configurations of the gateway, and what tries them.
const OTHERS: [(&str, &str); 1] = [(
    "docs/clients.md",
    "settings of clients, from src/connect/table.rs: its tests parse them, and tests/clients runs the clients",
)];

/// Providers that grants on the pages may name.
const PROVIDERS: &str = r#"
    "anthropic": {"baseurl": "https://api.anthropic.com", "authorization": "x-api-key", "apikey": "env:ANTHROPIC_API_KEY",
      "models": ["claude-opus-4-5", "claude-haiku-4-5"], "compatibility": {"anthropic_messages": true}},
    "openai": {"baseurl": "https://api.openai.com", "apikey": "env:OPENAI_API_KEY", "models": ["gpt-5", "gpt-5-mini"]},
    "gpu": {"baseurl": "http://gpu.example.ts.net:8000", "tailnet": true, "models": ["qwen3-coder-30b"]},
"#;

const ADMIN: &str = r#"
    {"src": ["admin@example.com"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"models": "**"}]}},
"#;

/// The document that a block belongs into.
fn document(block: &Block) -> String {
    let text = &block.text;
    match block.info.get(1).map(String::as_str) {
        Some("config") => text.clone(),
        Some("providers") => format!("{{\"providers\": {{{text}}}, \"grants\": [{ADMIN}]}}"),
        Some("grants") => {
            format!("{{\"providers\": {{{PROVIDERS}}}, \"grants\": [{ADMIN} {text}]}}")
        }
        Some("temp_grants") => {
            format!(
                "{{\"providers\": {{{PROVIDERS}}}, \"temp_grants\": [{text}], \"grants\": [{ADMIN}]}}"
            )
        }
        Some("gateway") => format!(
            "{{\"providers\": {{{PROVIDERS}}}, \"grants\": [{ADMIN}], \"gateway\": {{{text}}}}}"
        ),
        Some("policy") => policy(block),
        other => panic!(
            "{}: say what this is: config, providers, grants, temp_grants, gateway or policy, not {other:?}",
            block.at
        ),
    }
}

/// The grants of a tailnet policy as grants of a document. There they need a destination, which these can't have.
fn policy(block: &Block) -> String {
    let mut policy: Value =
        serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.at));
    let grants = policy["grants"].as_array_mut().expect("grants");
    let mut capabilities = Vec::new();
    for grant in grants {
        for key in ["src", "dst"] {
            assert!(grant[key].is_array(), "{}: a grant needs {key}", block.at);
        }
        if let Some(app) = grant.get("app") {
            capabilities.push(serde_json::json!({"src": ["*"], "app": app}).to_string());
        }
    }
    let grants = capabilities.join(", ");
    format!("{{\"providers\": {{{PROVIDERS}}}, \"grants\": [{ADMIN} {grants}]}}")
}

/// The names behind `env:` or `file:` in a text.
fn references(text: &str, kind: &str) -> BTreeSet<String> {
    let of = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
    let start = format!("\"{kind}:");
    text.split(&start).skip(1).map(of).collect()
}

/// Options in which every secret that a text refers to is there.
fn surroundings(text: &str, secrets: &Path) -> CheckOptions {
    for name in references(text, "file") {
        let from = repository("tests/fixtures/credentials/account.json");
        if Path::new(&name).extension().is_some_and(|it| it == "json") {
            std::fs::copy(from, secrets.join(name)).unwrap();
        } else {
            std::fs::write(secrets.join(name), "a-secret-from-a-file").unwrap();
        }
    }
    CheckOptions {
        secrets_dir: Some(secrets.to_owned()),
        environment: references(text, "env")
            .into_iter()
            .map(|name| (name, "a-secret-of-the-environment".to_owned()))
            .collect(),
        ..CheckOptions::default()
    }
}

/// What a block promises: who, which model, whether they may use it.
fn promises(text: &str) -> Vec<(String, String, bool)> {
    let mut promises = Vec::new();
    for line in text.lines() {
        let Some((who, models)) = line.strip_prefix("// ").and_then(|it| it.split_once(": "))
        else {
            continue;
        };
        for model in models.split(", ") {
            match model.rsplit_once(' ') {
                Some((model, "yes")) => promises.push((who.to_owned(), model.to_owned(), true)),
                Some((model, "no")) => promises.push((who.to_owned(), model.to_owned(), false)),
                _ => {}
            }
        }
    }
    promises
}

/// Whether somebody may use a model in any format.
fn may_use(config: &Config, who: &str, model: &str) -> bool {
    let mut caller = Caller::named(who);
    if who.starts_with("group:") {
        caller.groups = vec![who.to_owned()];
    }
    let caller = Arc::new(caller);
    let mut formats = Dialect::ALL.into_iter();
    formats.any(|it| policy::decide(config, &caller, model, it.main_endpoint()).is_ok())
}

#[test]
fn every_configuration_on_a_page_loads_without_a_finding() {
    let mut tried = 0;
    let mut kept = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        if OTHERS.iter().any(|(path, _)| *path == page.path) {
            continue;
        }
        for block in page.blocks() {
            if !["json", "jsonc", "hujson"].contains(&block.language()) {
                continue;
            }
            if block.info == ["json"] {
                // Something else in JSON.
                serde_json::from_str::<Value>(&block.text)
                    .unwrap_or_else(|error| panic!("{}: {error}", block.at));
                continue;
            }
            let text = document(&block);
            let secrets = tempfile::tempdir().unwrap();
            let checked = check(&text, &surroundings(&text, secrets.path()));
            if checked.config.is_none() || !checked.findings.is_empty() {
                let found = render_findings(Path::new(&block.at), &checked.findings);
                wrong.push(format!("{found}\n{text}"));
            }
            for (who, model, promised) in promises(&block.text) {
                let config = checked.config.as_ref().expect("a configuration");
                if may_use(config, &who, &model) != promised {
                    wrong.push(format!("{}: {who} {model} is not {promised}", block.at));
                }
                kept += 1;
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(tried >= 25, "only {tried} blocks were found");
    assert!(kept >= 15, "only {kept} promises were found");
}

#[test]
fn a_wrong_configuration_would_be_found() {
    let block = |text: &str, kind: &str| Block {
        at: "here:1".to_owned(),
        info: vec!["jsonc".to_owned(), kind.to_owned()],
        text: text.to_owned(),
    };
    for (text, kind) in [
        (
            r#""a": {"baseurl": "https://a.example.com", "modles": ["m"]}"#,
            "providers",
        ),
        (
            r#"{"src": ["*"], "app": {"tailscale.com/cap/aperture": [{"models": "nobody/**"}]}}"#,
            "grants",
        ),
        (r#""otlp": {"endpoint": "collector"}"#, "gateway"),
        (
            r#"{"grants": [{"src": ["*"], "dst": ["*"], "app": {"tailscale.com/cap/aperture": [{"rolle": "user"}]}}]}"#,
            "policy",
        ),
    ] {
        let checked = check(&document(&block(text, kind)), &CheckOptions::default());
        let about = checked
            .findings
            .iter()
            .filter(|it| !it.message.contains("APIKEY"));
        assert!(about.count() > 0, "{kind}: {text}");
    }
}

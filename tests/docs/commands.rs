//! Every command on a page is run, or stands on the list of those that can't be, with the reason.

use super::{Block, Page, pages};
use crate::support::{Gateway, config, gateway::Options};
use provider::Provider;
use std::{collections::BTreeSet, path::Path, process::Stdio};
use tokio::process::Command;

/// Pages whose commands are tried elsewhere.
const PAGES: [(&str, &str); 5] = [
    (
        "docs/clients.md",
        "from src/connect/table.rs: tests/gateway/connect.rs and tests/clients run what it says",
    ),
    (
        "docs/agent-skill.md",
        "tests/gateway/init.rs runs every one of them, in their order",
    ),
    (
        "docs/operations/backup.md",
        "tests/gateway/upkeep.rs: they need an archive, and somebody to erase",
    ),
    (
        "docs/operations/install.md",
        "tests/packaging/walk runs every one of them, as they stand",
    ),
    ("docs/api.md", "tests/gateway/api.rs runs all of it"),
];

/// How commands begin that can't run here, and why, or what runs them.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "make ",
        "builds or tests everything: CI runs the same targets",
    ),
    ("export ", "for the command below it"),
    (
        "sudo",
        "changes the host: tests/packaging/run does it in a chroot",
    ),
    ("echo TS_AUTHKEY=", "writes as root: tests/packaging/run"),
    ("echo -n sk-ant-", "writes as root: tests/packaging/run"),
    ("journalctl ", "there is no systemd in the test"),
    (
        "tar -xzf aperture.tar.gz",
        "tests/packaging/run unpacks the tarball",
    ),
    (
        "docker ",
        "needs a container engine: tests/deploy/container.rs runs the image's files",
    ),
    (
        "helm ",
        "needs a cluster: scripts/check-kubernetes renders the chart",
    ),
    (
        "kubectl ",
        "needs a cluster: scripts/check-kubernetes checks the manifests",
    ),
    ("cd deploy/prometheus", "make check runs these three"),
    ("promtool ", "make check runs it"),
    (
        "headscale ",
        "another program's: tests/lab/headscale.rs (`make headscale`) gives these commands",
    ),
    (
        "TS_AUTHKEY=hskey-",
        "joins a tailnet: tests/lab/headscale.rs starts it so",
    ),
    (
        "target/release/aperture --hostname ai",
        "joins a tailnet: tests/lab starts it with these arguments",
    ),
    (
        "ANTHROPIC_BASE_URL=http://ai ANTHROPIC_AUTH_TOKEN=- claude",
        "tests/clients/claude_code.rs runs it",
    ),
    (
        "curl -sS -D head",
        "the admin API answers to the gateway's own names only, and this one is not called ai: tests/gateway/configuration.rs runs the like",
    ),
    (
        "python3 -c",
        "reads and writes what the curl before it gave",
    ),
    ("curl -sS -X ", "as the curl that reads"),
    ("curl -sS http://ai/aperture/", "as the curl that reads"),
    (
        "aperture connect claude-code --apply",
        "asks a person: tests/gateway/connect.rs answers",
    ),
];

/// The commands of a block, one a line, comments left out.
fn commands(block: &Block) -> Vec<String> {
    let joined = block.text.replace("\\\n", " ");
    let lines = joined.lines().map(|line| {
        let command = line.split("  #").next().unwrap_or_default();
        command.split(" # ").next().unwrap_or_default().trim()
    });
    let commands = lines.filter(|it| !it.is_empty() && !it.starts_with('#'));
    commands.map(str::to_owned).collect()
}

/// The row of a command that can't run here.
fn elsewhere(command: &str) -> Option<&'static str> {
    let row = ELSEWHERE
        .iter()
        .find(|(start, _)| command.starts_with(start));
    row.map(|(start, _)| *start)
}

/// What of a block runs here: all of it as it stands, else its commands one by one but for those of the list.
fn scripts(block: &Block, used: &mut BTreeSet<&'static str>) -> Vec<String> {
    let commands = commands(block);
    let rows: Vec<_> = commands.iter().map(|it| elsewhere(it)).collect();
    used.extend(rows.iter().flatten());
    if rows.iter().all(Option::is_none) {
        return vec![block.text.clone()];
    }
    let here = commands.into_iter().zip(rows);
    here.filter_map(|(command, row)| row.is_none().then_some(command))
        .collect()
}

/// What of a page runs here, and where it stands.
fn here(page: &Page, used: &mut BTreeSet<&'static str>) -> Vec<(String, String)> {
    let mut here = Vec::new();
    for block in page.blocks() {
        if block.language() == "sh" {
            let scripts = scripts(&block, used);
            here.extend(scripts.into_iter().map(|it| (block.at.clone(), it)));
        }
    }
    here
}

/// One admin, and everybody may use everything: `doctor` has nothing to say against it.
const GRANTS: &str = r#"
    {"src": ["dev@example.com"], "grants": [{"role": "admin"}]},
    {"src": ["*"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "*"}]}]}"#;

/// A home in which `aperture` is the binary, `~/.aperture` the running gateway's state with the document of the quick start,
/// and `http://ai` leads to the gateway.
fn home(gateway: &Gateway) -> std::path::PathBuf {
    let home = gateway.dir.path();
    let link = |from: &Path, to: &str| {
        let to = home.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(from, to).unwrap();
    };
    link(Path::new(env!("CARGO_BIN_EXE_aperture")), "bin/aperture");
    link(&gateway.state_dir(), ".aperture");
    let pages = pages();
    let start = pages.iter().find(|page| page.path == "docs/quick-start.md");
    let blocks = start.expect("the quick start").blocks();
    let document = blocks
        .iter()
        .find(|block| block.info.get(1).is_some_and(|it| it == "config"));
    let document = &document.expect("a document").text;
    std::fs::write(gateway.state_dir().join("aperture.hujson"), document).unwrap();
    let port = gateway.url.rsplit(':').next().unwrap();
    let curl = format!("connect-to = \"ai:80:127.0.0.1:{port}\"\nfail-with-body\n");
    std::fs::write(home.join(".curlrc"), curl).unwrap();
    home.to_owned()
}

#[tokio::test]
async fn every_command_on_a_page_runs_or_stands_on_the_list() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url(), GRANTS), Options::default()).await;
    let home = home(&gateway);
    let path = format!(
        "{}:{}",
        home.join("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for page in pages() {
        if PAGES.iter().any(|(path, _)| *path == page.path) {
            continue;
        }
        for (at, command) in here(&page, &mut used) {
            ran += 1;
            let run = Command::new("bash")
                .args(["-euo", "pipefail", "-c", &command])
                .current_dir(&home)
                .env_clear()
                .env("HOME", &home)
                .env("PATH", &path)
                .env("STATE_DIRECTORY", gateway.state_dir())
                .env("ANTHROPIC_API_KEY", "a-key")
                .stdin(Stdio::null())
                .output();
            let output = tokio::time::timeout(crate::support::process::PATIENCE, run);
            let output = output.await.expect("a command ends").unwrap();
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                wrong.push(format!("{at}: {command}\n{}: {said}", output.status));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "what can't run here goes into ELSEWHERE, with the reason\n\n{}",
        wrong.join("\n\n")
    );
    assert!(ran >= 6, "only {ran} blocks and commands ran");
    let idle = ELSEWHERE.iter().filter(|(start, _)| !used.contains(start));
    let idle: Vec<_> = idle.collect();
    assert!(idle.is_empty(), "no page has these any more: {idle:?}");
    gateway.stop().await;
}

//! What the process holds on its host: no listening socket, no descriptor that a child would inherit; and its signals.

use super::{MODEL, USERS, World, hold_streams};
use crate::support::{
    http,
    lab::KEY,
    marked::{files, found},
    message,
};
use ::http::Method;
use aperture::record::End;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
use std::{collections::HashSet, fs};

/// A socket of a process, as the kernel's tables show it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) port: u16,
    pub(crate) listening: bool,
}

/// In the flags of a descriptor.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// The sockets of these tables (`tcp`, `udp6`, …) that the process has open.
pub(crate) fn sockets(pid: u32, tables: &[&str]) -> Vec<Socket> {
    let own: HashSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let text = link.to_string_lossy().into_owned();
            Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for table in tables {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (_, port) = fields[1].rsplit_once(':').unwrap();
            if own.contains(fields[9]) {
                found.push(Socket {
                    port: u16::from_str_radix(port, 16).unwrap(),
                    listening: fields[3] == "0A",
                });
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_listens_on_the_host_and_no_child_would_inherit_a_descriptor() {
    let world = World::start(USERS, &[]).await;
    let gate = hold_streams(&world.provider);
    let url = format!("{}/v1/messages", world.door("alice").await);
    let json = [("content-type", "application/json")];
    let body = message(MODEL, "hello", true);
    let stream = http::open(Method::POST, &url, &json, body).await;
    let pid = world.gateway.process.pid();

    let tcp = sockets(pid, &["tcp", "tcp6"]);
    // It has connections (to control, relay and provider), so the tables were read; none of them listens.
    assert!(!tcp.is_empty());
    assert!(tcp.iter().all(|socket| !socket.listening), "{tcp:?}");

    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let number = entry.unwrap().file_name().into_string().unwrap();
        let (Ok(link), Ok(info)) = (
            fs::read_link(format!("/proc/{pid}/fd/{number}")),
            fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")),
        ) else {
            continue; // closed meanwhile
        };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        // What this very process was started with, its children have too.
        let inherited =
            fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|own| own == link);
        assert!(
            inherited || number.parse::<u32>().unwrap() <= 2 || flags & CLOSE_ON_EXEC != 0,
            "a child would inherit {number}: {}",
            link.display()
        );
    }
    gate.open();
    stream.into_body().collect().await.unwrap();
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_broken_pipe_kills_nothing_and_a_stop_lets_streams_finish() {
    let mut world = World::start(USERS, &[]).await;
    let gate = hold_streams(&world.provider);
    let url = format!("{}/v1/messages", world.door("alice").await);
    let json = [("content-type", "application/json")];
    let body = message(MODEL, "hello", true);
    let stream = http::open(Method::POST, &url, &json, body).await;
    let process = &mut world.gateway.process;
    process.signal("PIPE").await;
    process.signal("URG").await;
    process.signal("TERM").await;
    world
        .gateway
        .event("stopping: running requests may finish", |_| Some(()))
        .await;
    gate.open();
    let text = stream.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("message_stop"));
    assert!(world.gateway.process.wait().await.success());
    let records = world.gateway.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].end, End::Complete);
}

/// The private keys in a node's state file.
fn private_keys(state: &str) -> Vec<String> {
    let state: serde_json::Value = serde_json::from_str(state).unwrap();
    let values = state.as_object().unwrap().values();
    let texts = values.filter_map(|value| STANDARD.decode(value.as_str()?).ok());
    let mut keys = Vec::new();
    for text in texts {
        let text = String::from_utf8_lossy(&text).into_owned();
        let hex = |rest: &str| rest.chars().take_while(char::is_ascii_hexdigit).collect();
        keys.extend(text.split("privkey:").skip(1).map(hex));
    }
    keys
}

/// The auth key is in the environment alone, the node's own keys are in its state file alone.
#[tokio::test]
async fn the_keys_of_the_node_are_nowhere_but_in_its_state() {
    let world = World::start(USERS, &[]).await;
    let url = format!("{}/v1/messages", world.door("alice").await);
    http::post(&url, message(MODEL, "hello", false)).await;
    world.gateway.finished(1).await;
    let state = world.gateway.state_dir();
    let text = fs::read_to_string(state.join("tailscaled.state")).unwrap();
    let keys = private_keys(&text);
    assert!(keys.len() >= 2 && keys.iter().all(|key| key.len() == 64));
    let mut marks: Vec<&str> = keys.iter().map(String::as_str).collect();
    marks.push(KEY);

    let mut places = Vec::new();
    let backup = state.join("../backup.tar.zst");
    let backup = backup.to_str().unwrap();
    for arguments in [
        &["doctor", "--json"][..],
        &["health"],
        &["export", "records"],
        &["backup", backup, "--with-config"],
    ] {
        let output = world.gateway.command(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        places.push((arguments.join(" "), [output.stdout, output.stderr].concat()));
    }
    let page = http::get(&format!("{}/ui/", world.door("alice").await)).await;
    places.push(("the first page".to_owned(), page.body.to_vec()));
    let lines = world.gateway.process.stderr.clone();
    let dir = world.gateway.stop().await;
    places.push(("the log".to_owned(), lines.all().join("\n").into_bytes()));
    for (name, bytes) in files(dir.path()) {
        if !name.ends_with("tailscaled.state") {
            places.push((name, bytes));
        }
    }
    assert!(
        places
            .iter()
            .any(|(name, _)| name.ends_with("backup.tar.zst"))
    );
    for (name, bytes) in places {
        let found = found(&marks, &bytes);
        assert!(found.is_empty(), "{found:?} in {name}");
    }
}

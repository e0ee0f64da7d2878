//! What the process holds on its host: no listening socket, no descriptor that a child would inherit; and its signals.

use super::{MODEL, USERS, World, hold_streams};
use crate::support::{http, message};
use ::http::Method;
use aperture::record::End;
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

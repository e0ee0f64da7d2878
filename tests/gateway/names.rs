//! A name server that never answers: who asks for its names is told in time, and nobody else waits.
//!
//! The gateway sees a `resolv.conf` of its own in a mount namespace. Where that is forbidden a note says so; the resolver's own
//! tests (src/provider/client/names.rs) hang without it.
#![expect(clippy::print_stderr, reason = "a note for whoever runs the tests")]

use crate::support::{EVERYBODY, Gateway, gateway::Options, http, message};
use aperture::record::End;
use futures_util::future::join_all;
use provider::Provider;
use tokio::{net::UdpSocket, process::Command};

/// Two providers: one whose name is never found, one whose name is in the host's own list.
fn document(provider: &Provider, connect: &str) -> String {
    let port = provider.addr().port();
    format!(
        r#"{{
  "providers": {{
    "lost": {{
      "baseurl": "http://models.example.net:{port}",
      "models": ["claude-opus-4-5"],
      "compatibility": {{"anthropic_messages": true}},
    }},
    "near": {{
      "baseurl": "http://localhost:{port}",
      "models": ["claude-haiku-4-5"],
      "compatibility": {{"anthropic_messages": true}},
    }},
  }},
  "temp_grants": [{EVERYBODY}],
  "gateway": {{"timeouts": {{"connect": "{connect}"}}}},
}}"#
    )
}

/// A name server that takes every question and answers none, and a gateway's options for it; none where it can't be had.
async fn silent_server() -> Option<(UdpSocket, Options)> {
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let conf = dir.path().join("resolv.conf");
    std::fs::write(
        &conf,
        "nameserver 127.0.0.1\noptions timeout:30 attempts:3\n",
    )
    .unwrap();
    let mount = format!("mount --bind {} /etc/resolv.conf", conf.display());
    let tried = Command::new("unshare")
        .args(["-m", "sh", "-c", &mount])
        .output()
        .await;
    if !tried.is_ok_and(|output| output.status.success()) {
        eprintln!("note: mounting is forbidden here, so names are looked up as always");
        return None;
    }
    let server = match UdpSocket::bind("127.0.0.1:53").await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("note: no name server on port 53 here ({error})");
            return None;
        }
    };
    let script = format!("{mount} && exec \"$@\"");
    let wrapper = ["unshare", "-m", "sh", "-c", &script, "sh"];
    let options = Options {
        wrapper: wrapper.map(str::to_owned).to_vec(),
        dir: Some(dir),
        ..Options::default()
    };
    Some((server, options))
}

#[tokio::test]
async fn a_name_server_that_hangs_is_said_in_time_and_holds_up_nobody_else() {
    const WAITING: usize = 200;
    let Some((server, options)) = silent_server().await else {
        return;
    };
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&document(&provider, "4s"), options).await;
    let url = format!("{}/v1/messages", gateway.url);
    let ask = |model: &'static str| {
        let url = url.clone();
        async move { http::post(&url, message(model, "hello", false)).await }
    };
    // Everything that is started once for all is there after one.
    assert_eq!(ask("claude-haiku-4-5").await.status, 200);
    let threads = gateway.process.status("Threads");

    let lost = tokio::spawn(join_all((0..WAITING).map(|_| ask("claude-opus-4-5"))));
    // The question has been asked, so they all wait for its answer.
    server.recv(&mut [0; 512]).await.unwrap();
    for _ in 0..20 {
        assert_eq!(ask("claude-haiku-4-5").await.status, 200);
    }
    let held = gateway.process.status("Threads").saturating_sub(threads);
    assert!(held < 10, "{held} threads wait for one name");
    for answer in lost.await.unwrap() {
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.text().contains("provider lost could not be reached"));
    }
    let records = gateway.finished(WAITING + 21).await;
    let failed = records
        .iter()
        .filter(|record| record.failure.as_deref() == Some("unreachable"));
    assert!(
        failed
            .clone()
            .all(|record| record.end == End::UpstreamError)
    );
    assert_eq!(failed.count(), WAITING);
    gateway
        .process
        .stderr
        .find("why", |line| {
            line.contains("the name server did not answer within 3.6s")
                .then_some(())
        })
        .await;
    let metrics = http::get(&format!("{}/metrics", gateway.metrics_url)).await;
    let counted = format!("aperture_refused_total{{reason=\"unreachable\"}} {WAITING}");
    assert!(metrics.text().contains(&counted), "{}", metrics.text());
    // Lookups that still hang don't hold up the end.
    gateway.stop().await;
}

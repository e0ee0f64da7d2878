//! `--metrics-listen`: the same figures for a cluster's Prometheus, without users and without anything else.

use crate::{
    lab::sockets,
    support::{EVERYBODY, Gateway, Lab, config, gateway::Options, http, lab, message},
};
use ::http::Method;
use provider::{Gate, Matcher, Provider, Script};

fn listening() -> Options {
    Options {
        arguments: vec!["--metrics-listen".into(), "127.0.0.1:0".into()],
        ..Options::default()
    }
}

async fn address(gateway: &Gateway) -> String {
    let address = |fields: &serde_json::Value| Some(fields["address"].as_str()?.to_owned());
    let address = gateway
        .event("metrics for whoever can connect", address)
        .await;
    format!("http://{address}")
}

#[tokio::test]
async fn it_shows_the_figures_without_users_and_nothing_else() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let document = config(&provider.url(), EVERYBODY);
    let document = document.replacen('{', r#"{"gateway": {"metrics": {"per_user": true}},"#, 1);
    let mut gateway = Gateway::dev(&document, listening()).await;
    let open = address(&gateway).await;
    let url = format!("{}/v1/messages", gateway.url);
    let answer = http::post(&url, message("claude-haiku-4-5", "hello", false)).await;
    assert_eq!(answer.status, 200);
    gateway.finished(1).await;

    // Who was identified, and may read metrics, sees users.
    let granted = http::get(&format!("{}/metrics", gateway.metrics_url))
        .await
        .text();
    assert!(
        granted.contains("aperture_user_requests_total{user=\"dev@example.com\""),
        "{granted}"
    );
    let answer = http::get(&format!("{open}/metrics")).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text();
    assert!(
        !text.contains("dev@example.com") && !text.contains("user="),
        "{text}"
    );
    assert!(
        text.contains("\naperture_requests_total{provider=\"anthropic\""),
        "{text}"
    );
    let free = text
        .lines()
        .find_map(|line| line.strip_prefix("aperture_disk_free_bytes "));
    assert!(free.unwrap().parse::<f64>().unwrap() > 0.0);

    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/ui/"),
        (Method::GET, "/v1/models"),
        (Method::POST, "/v1/messages"),
        (Method::POST, "/metrics"),
    ] {
        let answer = http::send(method.clone(), &format!("{open}{path}"), &[], String::new()).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }

    // A drain can be watched from here to its end.
    let gate = Gate::new();
    provider.script(Matcher::any(), Script::text("one two").gated(&gate));
    let json = [("content-type", "application/json")];
    let running = http::open(
        Method::POST,
        &url,
        &json,
        message("claude-haiku-4-5", "x", true),
    )
    .await;
    gateway.process.signal("TERM").await;
    gateway.event("stopping", |_| Some(())).await;
    loop {
        let text = http::get(&format!("{open}/metrics")).await.text();
        if text.contains("\naperture_draining 1\n") {
            break;
        }
    }
    gate.open();
    drop(running);
    assert!(gateway.process.wait().await.success());
}

#[tokio::test]
async fn idle_connections_are_bounded_and_an_address_in_use_ends_the_start() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let document = config(&provider.url(), EVERYBODY);
    let gateway = Gateway::dev(&document, listening()).await;
    let open = address(&gateway).await;
    let host = open.trim_start_matches("http://");
    // More than it keeps: the last ones are closed without an answer, at once.
    let mut kept = Vec::new();
    for _ in 0..40 {
        kept.push(tokio::net::TcpStream::connect(host).await.unwrap());
    }
    let mut byte = [0];
    let last = kept.last().unwrap();
    last.readable().await.unwrap();
    assert!(matches!(last.try_read(&mut byte), Ok(0) | Err(_)));
    drop(kept);
    let told = http::get(&format!("{}/metrics", gateway.metrics_url))
        .await
        .text();
    assert!(
        told.contains("aperture_connections_refused_total{reason=\"too_many_scrapes\"} 8"),
        "{told}"
    );

    let taken = Options {
        arguments: vec!["--metrics-listen".into(), host.to_owned()],
        ..Options::default()
    };
    let (mut second, _dir) = Gateway::starting(&document, taken);
    assert!(!second.wait().await.success());
    let said = second.stderr.all().join("\n");
    assert!(said.contains(&format!("--metrics-listen {host}")), "{said}");
    gateway.stop().await;
}

#[tokio::test]
async fn on_the_tailnet_it_is_the_only_socket_that_listens() {
    let lab = Lab::start(&lab::topology()).await;
    let gateway = Gateway::on(&lab, &config("http://127.0.0.1:9", EVERYBODY), listening()).await;
    let open = address(&gateway).await;
    let text = http::get(&format!("{open}/metrics")).await.text();
    assert!(
        text.contains("\naperture_node_state{state=\"running\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("\ntailscaled_"), "{text}");
    let listening: Vec<_> = sockets(gateway.process.pid(), &["tcp", "tcp6"])
        .into_iter()
        .filter(|socket| socket.listening)
        .collect();
    assert_eq!(listening.len(), 1, "{listening:?}");
    assert!(open.ends_with(&format!(":{}", listening[0].port)));
    gateway.stop().await;
}

//! A run that uses every kind of secret, each with a mark, and a search for the marks wherever anything can be seen or is kept.

use super::{api, document};
use crate::support::{
    Gateway,
    cloud::{StandIn, keyfile, said},
    collector::Collector,
    gateway::{Options as Start, run},
    http as client,
    marked::{files, found},
    message,
};
use aperture::record::Record;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use provider::{Options, Provider};
use std::{collections::BTreeSet, path::Path, process::Output};
use tokio::net::UnixStream;

/// Secrets of the document: its file has them, and nothing else.
const OF_THE_DOCUMENT: [&str; 9] = [
    "sk-ant-upstream-key",
    "sk-openai-upstream-key",
    "marker-of-an-added-header",
    "marker-of-a-grants-header",
    "marker-access-key-id",
    "marker-secret-access-key",
    "marker-session-token",
    "marker-of-the-collector",
    // A line of the private key of tests/fixtures/credentials.
    "QoHyrrEdBsDLLXnAq",
];
/// Secrets that stand elsewhere on the host, or are had from others.
const OF_THE_HOST: [&str; 3] = [
    "marker-of-the-environment",
    "marker-of-a-secret-file",
    "marker-minted-token",
];
/// Secrets of documents that came later, and of those that were refused.
const OF_LATER_DOCUMENTS: [&str; 2] = ["marker-of-a-later-document", "marker-in-the-wrong-place-0"];
/// What clients send.
const OF_CLIENTS: [&str; 10] = [
    "marker-bearer-of-the-client",
    "marker-key-of-the-client",
    "marker-google-key-of-the-client",
    "marker-azure-key-of-the-client",
    "marker-proxy-of-the-client",
    "marker-gateway-of-the-client",
    "marker-cookie-of-the-client",
    "marker-token-of-the-client",
    "marker-socket-of-the-client",
    "marker-in-the-query",
];
/// What a client sends in a line of its own: that is passed on like any other, and kept nowhere.
const OF_A_TEAM: &str = "marker-in-a-line-of-its-own";
/// No secret: a word of a prompt, which must be found where prompts are kept, or the search would not see anything there.
const PLANTED: &str = "marker-planted-in-a-prompt";

fn secrets() -> Vec<&'static str> {
    let all = [
        &OF_THE_DOCUMENT[..],
        &OF_THE_HOST,
        &OF_LATER_DOCUMENTS,
        &OF_CLIENTS,
    ];
    [&all.concat()[..], &[OF_A_TEAM]].concat()
}

/// No secret is in there; whether the planted word is.
fn assert_none(place: &str, bytes: &[u8]) -> bool {
    let mut marks = secrets();
    marks.push(PLANTED);
    let mut found = found(&marks, bytes);
    let planted = found.iter().position(|mark| *mark == PLANTED);
    if let Some(at) = planted {
        found.remove(at);
    }
    assert!(found.is_empty(), "{found:?} in {place}");
    planted.is_some()
}

fn assert_output(place: &str, output: &Output) -> bool {
    assert_none(place, &output.stderr);
    assert_none(place, &output.stdout)
}

/// Everybody's grant, with a header line of its own.
const GRANT: &str = r#""grants": [{"src": ["*"], "app": {"tailscale.com/cap/aperture": [{"models": "**", "add_headers": ["X-Team: marker-of-a-grants-header"]}]}}],"#;

/// The document that uses all of them.
fn marked(provider: &Provider, cloud: &StandIn, collector: &Collector, tokens: &StandIn) -> String {
    let settings = collector.settings(
        r#""headers": {"authorization": "Bearer marker-of-the-collector"}, "content": true, "users": true"#,
    );
    let file = serde_json::to_string(&keyfile(&tokens.url)).unwrap();
    let cloud = &cloud.url;
    let more = format!(
        r#""environment": {{"baseurl": "http://127.0.0.1:1", "apikey": "env:APERTURE_SECRET_TEST", "models": ["m"]}},
    "file": {{"baseurl": "{cloud}", "apikey": "file:team/key", "models": ["f"]}},
    "aws": {{"baseurl": "{cloud}", "authorization": {{"type": "aws-sigv4", "region": "us-east-1", "access_key_id": "marker-access-key-id",
      "secret_access_key": "marker-secret-access-key", "session_token": "marker-session-token"}}, "models": ["anthropic.claude-v1:0"], "compatibility": {{"bedrock": true}}}},
    "google": {{"baseurl": "{cloud}", "authorization": {{"type": "google-service-account", "keyfile": {file}}}, "models": ["gemini-2.5-flash"], "compatibility": {{"vertex": true}}}},
    "openai": {{"#
    );
    document(&provider.url(), &settings)
        .replacen(
            "\"baseurl\"",
            "\"add_headers\": [\"X-Extra: marker-of-an-added-header\"], \"baseurl\"",
            1,
        )
        .replacen("\"openai\": {", &more, 1)
        .replacen(
            "\"temp_grants\"",
            &format!("// Not sk-openai-upstream-key any more.\n  {GRANT}\n  \"temp_grants\""),
            1,
        )
}

/// Requests of every kind, by a client that brings every credential.
async fn used(gateway: &Gateway) {
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer marker-bearer-of-the-client"),
        ("x-api-key", "marker-key-of-the-client"),
        ("x-goog-api-key", "marker-google-key-of-the-client"),
        ("api-key", "marker-azure-key-of-the-client"),
        ("proxy-authorization", "Basic marker-proxy-of-the-client"),
        (
            "cf-aig-authorization",
            "Bearer marker-gateway-of-the-client",
        ),
        ("cookie", "session=marker-cookie-of-the-client"),
        ("x-amz-security-token", "marker-token-of-the-client"),
        ("x-team-secret", OF_A_TEAM),
        (
            "sec-websocket-protocol",
            "realtime, openai-insecure-api-key.marker-socket-of-the-client",
        ),
    ];
    let query = "beta=true&key=marker-in-the-query&api_key=marker-in-the-query&access_token=marker-in-the-query";
    let vertex = "/v1/projects/_aperture_auto_vertex_project_id_/locations/_aperture_auto_vertex_region_/publishers/google/models/gemini-2.5-flash:generateContent";
    for (path, model) in [
        ("/v1/messages", "claude-haiku-4-5"),
        ("/v1/chat/completions", "gpt-4o"),
        ("/v1/responses", "gpt-5"),
        ("/v1/chat/completions", "m"),
        ("/v1/chat/completions", "f"),
        ("/bedrock/model/anthropic.claude-v1:0/invoke", "x"),
        (vertex, "x"),
        ("/v1/messages", "none"),
        ("/v1/realtime", "gpt-4o"),
        ("/v1/files", "x"),
        ("/nowhere", "x"),
    ] {
        for stream in [false, true] {
            let url = format!("{}{path}?{query}", gateway.url);
            let body = message(model, PLANTED, stream);
            let answer = client::send(Method::POST, &url, &headers, body).await;
            assert_none(path, &answer.body);
            assert_none(path, format!("{:?}", answer.headers).as_bytes());
        }
    }
    let socket = [
        &headers[1..],
        &[("connection", "upgrade"), ("upgrade", "websocket")],
    ]
    .concat();
    let url = format!("{}/v1/responses?{query}", gateway.url);
    let answer = client::send(Method::GET, &url, &socket, "").await;
    assert_eq!(answer.status, 426);
    assert_none("426", &answer.body);
}

/// A save that is refused, one that is taken, and a judgement.
async fn saved(gateway: &Gateway, text: &str) {
    let write = [("content-type", "application/json"), ("if-match", "*")];
    let url = format!("{}/aperture/config", gateway.url);
    let wrong = text
        .replacen("\"x-api-key\"", "\"marker-in-the-wrong-place-0\"", 1)
        .replacen("\"Bearer\"", "\"Bearer marker-in-the-wrong-place-0\"", 1)
        .replacen("\"X-Extra: ", "\"marker-in-the-wrong-place-0", 1);
    let later = text.replacen("sk-ant-upstream-key", "marker-of-a-later-document", 1);
    for (method, at, text, status) in [
        (Method::PUT, url.clone(), &wrong, 422),
        (Method::POST, format!("{url}:validate"), &wrong, 200),
        (Method::PUT, url.clone(), &later, 200),
    ] {
        let body = serde_json::json!({"config": text}).to_string();
        let answer = client::send(method, &at, &write, body).await;
        let said = answer.text();
        assert_none(&at, &answer.body);
        assert_eq!(answer.status, status, "{said}");
    }
}

/// Every page that can be reached from the first one; whether the planted word is on one.
async fn pages(gateway: &Gateway) -> bool {
    let (mut seen, mut planted) = (BTreeSet::new(), false);
    let mut next = vec![
        "/ui/settings/history/".to_owned(),
        "/ui/settings/".to_owned(),
        "/ui/".to_owned(),
    ];
    while let Some(path) = next.pop() {
        if seen.len() >= 250 || !seen.insert(path.clone()) {
            continue;
        }
        let page = client::get(&format!("{}{path}", gateway.url)).await;
        planted |= assert_none(&path, &page.body);
        assert_none(&path, format!("{:?}", page.headers).as_bytes());
        next.extend(page.text().split("href=\"").skip(1).filter_map(|rest| {
            let link = rest.split('"').next()?.replace("&amp;", "&");
            link.starts_with("/ui/").then_some(link)
        }));
    }
    let has = |part: &str| seen.iter().any(|path| path.starts_with(part));
    assert!(has("/ui/requests/") && has("/ui/settings/"), "{seen:?}");
    planted
}

/// Every answer of the API that changes nothing; whether the planted word is in one.
async fn answers(gateway: &Gateway, records: &[Record]) -> bool {
    let document = client::get(&format!("{}/aperture/openapi.json", gateway.url))
        .await
        .json();
    let mut planted = false;
    for record in records {
        let one = std::slice::from_ref(record);
        if record.session.is_none() {
            continue;
        }
        for operation in api::operations(&document) {
            if operation.method == Method::GET {
                let path = api::filled(&operation.path, one);
                let answer = client::get(&format!("{}{path}", gateway.url)).await;
                planted |= assert_none(&path, &answer.body);
            }
        }
    }
    for path in ["/v1/models", "/api/providers", "/api/connectors"] {
        let answer = client::get(&format!("{}{path}", gateway.url)).await;
        assert_none(path, &answer.body);
    }
    planted
}

/// What the control socket says; whether the planted word is in what a backup is made of.
async fn control(socket: &Path) -> bool {
    let mut planted = false;
    for (method, path) in [
        (Method::GET, "/health"),
        (Method::GET, "/doctor?as=dev%40example.com&model=gpt-4o"),
        (Method::POST, "/login"),
        (Method::GET, "/export?options=nonsense"),
        (Method::POST, "/erase?options=nonsense"),
        (Method::POST, "/reprice?options=nonsense"),
        (Method::GET, "/nowhere?key=marker-in-the-query"),
        (Method::GET, "/backup"),
    ] {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "control")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!body.is_empty(), "{path}");
        planted = assert_none(path, &body);
    }
    planted
}

/// Backups hold bodies and, only where it is asked for, the document with its secrets.
async fn backups(state: &Path, config: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let to = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let config = config.to_str().unwrap();
    for (name, more) in [
        ("plain", &[][..]),
        ("small", &["--no-captures"]),
        ("config", &["--with-config", "--config", config]),
    ] {
        let file = to(name);
        let arguments = [&["backup", &file], more].concat();
        let made = run(state, &arguments).await;
        assert!(made.status.success(), "{made:?}");
        assert_output("what backup says", &made);
        assert_output(
            "what is said of a backup",
            &run(state, &["restore", &file, "--check"]).await,
        );
        let plain = zstd::decode_all(std::fs::File::open(&file).unwrap()).unwrap();
        let mut planted = false;
        let mut names = Vec::new();
        for entry in tar::Archive::new(&*plain).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            let name = entry.path().unwrap().display().to_string();
            if name == "aperture.hujson" {
                // It was asked for; the search sees it.
                assert!(found(&OF_LATER_DOCUMENTS, &bytes).len() == 1);
            } else {
                planted |= assert_none(&format!("{name} of the backup {file}"), &bytes);
            }
            names.push(name);
        }
        // Sessions are called by their first text, so it is also where no bodies are.
        assert!(planted, "the search does not see what is in {file}");
        let has = names.iter().any(|name| name == "aperture.hujson");
        assert_eq!(has, name == "config", "{names:?}");
    }
}

/// Or there would be nothing to find; and each where it belongs.
async fn each_was_used(provider: &Provider, cloud: &StandIn, collector: &Collector) {
    let sent = format!("{:?}", provider.log());
    let clouds = format!("{:?}", cloud.asked());
    for mark in [
        "sk-ant-upstream-key",
        "sk-openai-upstream-key",
        "marker-of-an-added-header",
        "marker-of-a-grants-header",
    ] {
        assert!(sent.contains(mark), "{mark}");
    }
    for mark in [
        "marker-access-key-id",
        "marker-session-token",
        "marker-minted-token",
        "marker-of-a-secret-file",
    ] {
        assert!(clouds.contains(mark), "{mark}");
    }
    assert!(found(&OF_CLIENTS, sent.as_bytes()).is_empty(), "{sent}");
    assert!(found(&OF_CLIENTS, clouds.as_bytes()).is_empty(), "{clouds}");
    let posts = collector.posts(1).await;
    assert_eq!(
        posts[0].header("authorization"),
        "Bearer marker-of-the-collector"
    );
    for post in &posts {
        assert_none("a span", &post.body);
    }
}

#[tokio::test]
async fn secrets_are_in_no_log_page_export_backup_or_database() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let cloud = StandIn::saying(200, "{\"ok\":true}").await;
    let minted =
        "{\"access_token\":\"marker-minted-token\",\"expires_in\":3600,\"token_type\":\"Bearer\"}";
    let tokens = StandIn::start(move |_, _| said(200, minted)).await;
    let collector = Collector::start().await;
    let text = marked(&provider, &cloud, &collector, &tokens);
    let secrets_dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(secrets_dir.path().join("team")).unwrap();
    std::fs::write(
        secrets_dir.path().join("team/key"),
        "marker-of-a-secret-file\n",
    )
    .unwrap();
    let options = Start {
        arguments: vec![
            // Everything, of libraries too.
            "-vv".into(),
            "--secrets-dir".into(),
            secrets_dir.path().to_str().unwrap().into(),
        ],
        environment: vec![(
            "APERTURE_SECRET_TEST".into(),
            "marker-of-the-environment".into(),
        )],
        ..Start::default()
    };
    let gateway = Gateway::dev(&text, options).await;
    used(&gateway).await;
    let records = gateway.finished(16).await;

    each_was_used(&provider, &cloud, &collector).await;
    saved(&gateway, &text).await;
    assert!(
        pages(&gateway).await,
        "the search does not see what is on pages"
    );
    assert!(answers(&gateway, &records).await, "nor what the API says");
    let metrics = client::get(&format!("{}/metrics", gateway.metrics_url)).await;
    assert_none("the metrics", &metrics.body);
    let (state, config) = (gateway.state_dir(), gateway.config_file());
    assert!(
        control(&state.join("control.sock")).await,
        "nor compressed rows"
    );
    backups(&state, &config).await;
    for what in ["records", "sessions", "usage"] {
        for format in ["jsonl", "csv"] {
            let output = gateway.command(&["export", what, "--format", format]).await;
            assert!(output.status.success());
            assert_output(what, &output);
        }
    }
    let ask = ["doctor", "--as", "dev@example.com", "--model", "gpt-4o"];
    assert_output("doctor", &gateway.command(&ask).await);
    assert_output("doctor", &gateway.command(&["doctor", "--json"]).await);
    let check = run(&state, &["check", config.to_str().unwrap()]).await;
    assert_output("check", &check);

    let (lines, said) = (
        gateway.process.stderr.clone(),
        gateway.process.stdout.clone(),
    );
    let dir = gateway.stop().await;
    assert_none("the log", lines.all().join("\n").as_bytes());
    assert_none("what it prints", said.all().join("\n").as_bytes());
    // What a command finds that opens the files itself.
    backups(&state, &config).await;
    let mut planted = false;
    for (name, bytes) in files(dir.path()) {
        if Path::new(&name) == config {
            let kept = found(&OF_THE_DOCUMENT, &bytes);
            assert_eq!(
                kept.len(),
                OF_THE_DOCUMENT.len() - 1,
                "all but the one that was replaced"
            );
        } else {
            planted |= assert_none(&name, &bytes);
        }
    }
    assert!(
        planted,
        "the search does not see what is compressed in a database"
    );
}

//! The log says what happened, no more and no less.

use provider::{End, LogOptions, Matcher, Options, Provider, Script};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Client, anthropic, post};

#[tokio::test]
async fn an_entry_holds_the_request_as_it_came_and_the_reply_as_it_went() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let body = anthropic("hello", true);
    let headers = [("x-b", "2"), ("x-a", "1"), ("x-b", "3")];
    let reply = client
        .post("/v1/messages?beta=true", &headers, body.clone())
        .await
        .unwrap();
    let entry = provider.log().pop().unwrap();
    assert_eq!(entry.request.target, "/v1/messages?beta=true");
    assert_eq!(entry.request.body.as_deref(), Some(body.as_slice()));
    assert_eq!(
        entry.request.body_blake3.as_deref(),
        Some(hash(&body).as_str())
    );
    assert_eq!(entry.header("x-a"), Some("1"));
    let values: Vec<_> = entry.request.headers.get_all("x-b").iter().collect();
    assert_eq!(values, ["2", "3"]);
    assert_eq!(
        (entry.request.dialect, entry.request.model.as_deref()),
        (Some("anthropic_messages"), Some("m"))
    );
    assert!(entry.is_complete());
    assert_eq!(entry.answer.body().unwrap(), reply.body);
    assert_eq!(
        entry.answer.sent_blake3.as_deref(),
        Some(hash(&reply.body).as_str())
    );
    assert_eq!(entry.answer.chunks_sent, reply.events().len());
    for (name, value) in &entry.answer.headers {
        assert_eq!(reply.headers.get(name), Some(value));
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_written_down_with_what_came() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    stream
        .write_all(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
        .await
        .unwrap();
    drop(stream);
    provider.await_ended(1).await;
    let entry = provider.log().pop().unwrap();
    assert_eq!(entry.answer.end, Some(End::UploadBroken));
    assert_eq!(entry.request.body.as_deref(), Some(&b"half"[..]));
}

#[tokio::test]
async fn what_is_under_way_at_shutdown_says_so() {
    let mut provider = Provider::start(Options::default()).await.unwrap();
    provider.script(
        Matcher::any(),
        Script::from_json(r#"{"stall":"after_head"}"#).unwrap(),
    );
    let mut client = Client::h1(provider.addr()).await;
    let open = client
        .send(post("/v1/messages", &[], anthropic("x", true)))
        .await
        .unwrap();
    provider.shutdown().await;
    assert_eq!(provider.log()[0].answer.end, Some(End::Shutdown));
    drop(open);
}

async fn logging(log: LogOptions) -> (Provider, Client) {
    let options = Options {
        log,
        ..Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let client = Client::h1(provider.addr()).await;
    (provider, client)
}

#[tokio::test]
async fn the_bounds_hold_and_the_oldest_go_first() {
    let log = LogOptions {
        entries: 3,
        body_bytes: 10,
        ..LogOptions::default()
    };
    let (provider, mut client) = logging(log).await;
    for _ in 0..5 {
        client
            .post("/v1/messages", &[], anthropic("x", false))
            .await
            .unwrap();
    }
    let entries = provider.log();
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.request.seq).collect();
    assert_eq!(numbers, [3, 4, 5]);
    let entry = &entries[0];
    assert_eq!(
        (entry.request.body.as_ref(), entry.answer.body()),
        (None, None)
    );
    assert_eq!(entry.request.body_len, anthropic("x", false).len() as u64);
    assert_eq!(
        entry.request.body_blake3.as_deref(),
        Some(hash(&anthropic("x", false)).as_str())
    );

    let log = LogOptions {
        bytes: 10_000,
        ..LogOptions::default()
    };
    let (provider, mut client) = logging(log).await;
    for _ in 0..20 {
        client
            .post("/v1/messages", &[], anthropic("x", false))
            .await
            .unwrap();
    }
    assert!((1..=4).contains(&provider.log().len()));
}

#[tokio::test]
async fn the_file_has_a_line_for_the_start_and_one_for_the_end() {
    let path = std::env::temp_dir().join(format!("provider-log-{}.jsonl", std::process::id()));
    let log = LogOptions {
        file: Some(path.clone()),
        ..LogOptions::default()
    };
    let (provider, mut client) = logging(log).await;
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    provider.script_times(
        1,
        Matcher::any(),
        Script::from_json(r#"{"stall":"after_head"}"#).unwrap(),
    );
    let open = client
        .send(post("/v1/messages", &[], anthropic("x", true)))
        .await
        .unwrap();
    assert_eq!(lines().len(), 1);
    assert_eq!(
        (&lines()[0]["event"], &lines()[0]["model"]),
        (&"start".into(), &"m".into())
    );
    drop((open, client));
    provider.await_ended(1).await;
    let end = &lines()[1];
    assert_eq!((&end["event"], &end["seq"]), (&"end".into(), &1.into()));
    assert_eq!(end["answer"]["end"], "client_gone");
    assert_eq!(end["answer"]["bytes_sent"], 0);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn connections_and_their_requests_are_counted() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut first = Client::h1(provider.addr()).await;
    let mut second = Client::h1(provider.addr()).await;
    for client in [&mut first, &mut second] {
        client
            .post("/v1/messages", &[], anthropic("x", false))
            .await
            .unwrap();
    }
    first
        .post("/v1/messages", &[], anthropic("x", false))
        .await
        .unwrap();
    let requests: Vec<u64> = provider
        .connections()
        .iter()
        .map(|one| one.requests())
        .collect();
    assert_eq!((provider.accepted(), requests), (2, vec![2, 1]));
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_string()
}

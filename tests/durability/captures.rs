//! What is kept of bodies: as much as provider and grants allow, byte for byte, and never a secret.

use crate::support::{Gateway, gateway::Options, http, process::PATIENCE};
use aperture::{
    record::{CaptureMode, Record},
    store::{OpenOptions, Store},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use provider::{Encoding, Matcher, Provider, Script};
use serde_json::{Value, json};
use std::{io::Write as _, path::Path, time::Duration};
use tokio::time::Instant;

/// Everything secret that passes; none of it may be kept.
const SECRETS: [&str; 6] = [
    "client-key-3f9a",
    "client-bearer-77c1",
    "client-cookie-b20e",
    "query-key-91d4",
    "upstream-key-5e6f",
    "provider-cookie-c8a3",
];

const BODY_BYTES: usize = 40_000;

fn config(provider: &str) -> String {
    let one = |name: &str, capture: &str| {
        json!({
            "baseurl": provider,
            "authorization": {"type": "Bearer", "value": SECRETS[4]},
            "models": [format!("{name}-model")],
            "compatibility": {"anthropic_messages": true, "openai_chat": true, "openai_responses": true},
            "capture": capture,
        })
    };
    let grant = json!({"src": ["*"], "app": {"tailscale.com/cap/aperture": [
        {"role": "admin", "models": "**"},
        {"models": "limited/**", "capture": "metadata"},
        {"models": "barred/**", "capture": "none"},
    ]}});
    json!({
        "providers": {
            "full": one("full", "full"),
            "metadata": one("metadata", "metadata"),
            "none": one("none", "none"),
            "limited": one("limited", "full"),
            "barred": one("barred", "full"),
        },
        "grants": [grant],
        "gateway": {"capture": {"body_bytes": BODY_BYTES}},
    })
    .to_string()
}

fn body(model: &str, text: &str) -> String {
    // Spaces, order and escapes as no serialiser would write them.
    format!(
        r#"{{ "messages":[ {{"content":{} ,"role":"user"}} ],  "max_tokens" : 4096,"model":"{model}-model" }}"#,
        json!(text)
    )
}

const HEADERS: [(&str, &str); 5] = [
    ("content-type", "application/json"),
    ("x-api-key", SECRETS[0]),
    ("authorization", "Bearer client-bearer-77c1"),
    ("cookie", "session=client-cookie-b20e"),
    ("x-harmless", "kept as it is"),
];

async fn ask(gateway: &Gateway, path: &str, body: impl Into<Bytes>) -> http::Answer {
    let url = format!("{}{path}", gateway.url);
    http::send(Method::POST, &url, &HEADERS, body).await
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// The store of a gateway that has ended.
async fn with_store(state: &Path, look: impl FnOnce(&Store, u64)) {
    let (store, writer, _) = Store::open(state, OpenOptions::default()).unwrap();
    look(&store, writer.stats().capture_live_bytes);
    writer.close(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn what_is_kept_follows_provider_and_grant_and_holds_no_secret() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let cookie = format!("token={}", SECRETS[5]);
    let mut script = Script::text("an answer worth keeping");
    script.headers.insert("set-cookie".into(), cookie);
    provider.script(Matcher::any(), script);
    let gateway = Gateway::dev(&config(&provider.url()), Options::default()).await;
    let modes = [
        ("full", CaptureMode::Full),
        ("metadata", CaptureMode::Metadata),
        ("none", CaptureMode::None),
        ("limited", CaptureMode::Metadata),
        ("barred", CaptureMode::None),
    ];
    for (name, _) in modes {
        let text = format!("the private words of {name}");
        let answer = ask(
            &gateway,
            "/v1/messages?key=query-key-91d4&beta=true",
            body(name, &text),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let records = gateway.finished(modes.len()).await;
    for ((name, mode), record) in modes.into_iter().zip(&records) {
        assert_eq!(record.capture, mode, "{name}");
        assert_eq!(record.title.is_some(), mode == CaptureMode::Full, "{name}");
        assert_eq!(record.path.is_empty(), mode == CaptureMode::None, "{name}");
        assert!(
            record.usage.output > 0 && record.session.is_some(),
            "{name}"
        );
        let page = format!("{}/ui/requests/{}", gateway.url, record.id);
        let private = format!("the private words of {name}");
        let deadline = Instant::now() + PATIENCE;
        // Bodies are written by a thread of their own, and may come after the record.
        let shown = loop {
            let shown = http::get(&page).await;
            assert_eq!(shown.status, 200);
            let words = shown.text().contains(&private);
            assert!(!words || mode == CaptureMode::Full, "{name}");
            if words || mode != CaptureMode::Full {
                break shown;
            }
            assert!(Instant::now() < deadline, "{name}");
        };
        assert_eq!(
            shown.text().contains("kept as it is"),
            mode == CaptureMode::Full,
            "{name}"
        );
        let kept = http::get(&format!("{page}/request-body")).await;
        if mode == CaptureMode::Full {
            assert_eq!(
                kept.text(),
                body(name, &format!("the private words of {name}"))
            );
        } else {
            assert_eq!(kept.status, 404, "{name}");
        }
        for secret in SECRETS {
            assert!(
                !shown.text().contains(secret),
                "{secret} on the page of {name}"
            );
        }
    }
    let log = gateway.process.stderr.all().join("\n");
    let state = gateway.state_dir();
    let _dir = gateway.stop().await;
    let main = std::fs::read(state.join("aperture.redb")).unwrap();
    let main = String::from_utf8_lossy(&main);
    with_store(&state, |store, _| {
        for ((name, mode), record) in modes.into_iter().zip(&records) {
            let capture = store.capture(record.id).unwrap();
            assert_eq!(capture.is_some(), mode == CaptureMode::Full, "{name}");
            let Some(capture) = capture else { continue };
            let all = format!("{capture:?}");
            assert!(all.contains("kept as it is") && all.contains("(redacted)"));
            for secret in SECRETS {
                assert!(!all.contains(secret), "{secret} in the capture of {name}");
            }
        }
    })
    .await;
    for secret in SECRETS {
        assert!(!main.contains(secret), "{secret} in the records");
        assert!(!log.contains(secret), "{secret} in the log");
    }
    for name in ["metadata", "none", "limited", "barred"] {
        assert!(!main.contains(&format!("private words of {name}")));
    }
}

#[tokio::test]
async fn bodies_are_kept_byte_for_byte_as_they_passed_also_encoded() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url()), Options::default()).await;
    let streamed = |text: &str| body("full", text).replacen('{', "{\"stream\":true,", 1);
    let cases: [(&str, Bytes, Script); 5] = [
        (
            "/v1/messages",
            body("full", "plain").into(),
            Script::text("plain"),
        ),
        (
            "/v1/messages",
            streamed("a stream").into(),
            Script::text("one two three"),
        ),
        (
            "/v1/messages",
            streamed("a packed stream").into(),
            Script {
                encoding: Some(Encoding::Gzip),
                ..Script::text("one two three")
            },
        ),
        (
            "/v1/chat/completions",
            body("full", "packed").into(),
            Script {
                encoding: Some(Encoding::Br),
                ..Script::text("one two three")
            },
        ),
        (
            "/v1/messages",
            gzip(&body("full", "sent packed")).into(),
            Script::text("plain"),
        ),
    ];
    let mut passed = Vec::new();
    for (n, (path, sent, script)) in cases.into_iter().enumerate() {
        provider.script_times(1, Matcher::any(), script);
        let mut headers = HEADERS.to_vec();
        if sent.starts_with(&[0x1f, 0x8b]) {
            headers.push(("content-encoding", "gzip"));
        }
        let url = format!("{}{path}?n={n}", gateway.url);
        let answer = http::send(Method::POST, &url, &headers, sent.clone()).await;
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
        passed.push((sent, answer.body));
    }
    let records = gateway.finished(passed.len()).await;
    for (record, (sent, received)) in records.iter().zip(&passed) {
        assert_eq!(record.bytes.request, sent.len() as u64);
        assert_eq!(record.bytes.response, received.len() as u64);
        for (side, expected) in [("request", sent), ("response", received)] {
            let url = format!("{}/ui/requests/{}/{side}-body", gateway.url, record.id);
            // Bodies are written beside their records, perhaps a little later.
            let kept = loop {
                let kept = http::get(&url).await;
                if kept.status == 200 {
                    break kept.body;
                }
            };
            assert_eq!(kept, *expected, "{side} of {}", record.path);
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_above_the_cap_is_cut_marked_and_passes_whole() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    provider.script(
        Matcher::any(),
        Script {
            tokens: Some(30_000),
            ..Script::default()
        },
    );
    let gateway = Gateway::dev(&config(&provider.url()), Options::default()).await;
    let sent = body("full", &"long ".repeat(20_000)).replace("4096", "50000");
    let answer = ask(&gateway, "/v1/messages", sent.clone()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 2 * BODY_BYTES, "{}", answer.body.len());
    let entry = provider.log().pop().unwrap();
    assert_eq!(entry.request.body_len, sent.len() as u64);
    let records = gateway.finished(1).await;
    let state = gateway.state_dir();
    let _dir = gateway.stop().await;
    with_store(&state, |store, _| {
        let capture = store.capture(records[0].id).unwrap().unwrap();
        for (kept, whole) in [
            (&capture.request, sent.as_bytes()),
            (&capture.response, &answer.body[..]),
        ] {
            assert!(kept.truncated);
            assert_eq!(kept.size, whole.len() as u64);
            assert_eq!(kept.chunks.concat(), whole[..BODY_BYTES]);
        }
    })
    .await;
}

/// Text that packs badly and is the same in every run.
fn words(seed: u64) -> String {
    let hash = |at: u64| blake3::hash(&(seed * 1000 + at).to_le_bytes()).to_hex();
    (0..24).map(|at| hash(at).to_string()).collect()
}

#[tokio::test]
async fn a_conversation_of_a_hundred_turns_grows_its_captures_linearly() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    provider.script(Matcher::any(), Script::text("go on"));
    let config = config(&provider.url()).replace(&BODY_BYTES.to_string(), "1000000");
    let mut options = Options::default();
    let mut turns: Vec<Value> = Vec::new();
    let mut sizes = [0; 2];
    let mut sent = 0;
    for (half, size) in sizes.iter_mut().enumerate() {
        let gateway = Gateway::dev(&config, options.clone()).await;
        options.dir = Some(gateway.dir.clone());
        for turn in 0..50 {
            turns.push(json!({"role": "user", "content": words(half as u64 * 50 + turn)}));
            let body =
                json!({"model": "full-model", "max_tokens": 99, "messages": turns}).to_string();
            sent += body.len() as u64;
            assert_eq!(ask(&gateway, "/v1/messages", body).await.status, 200);
            turns.push(json!({"role": "assistant", "content": "go on"}));
        }
        let records = gateway.finished((half + 1) * 50).await;
        let session = |record: &Record| record.session;
        assert!(
            records
                .iter()
                .all(|record| session(record) == session(&records[0])),
            "one conversation, also over the restart"
        );
        let state = gateway.state_dir();
        gateway.stop().await;
        with_store(&state, |store, live| {
            *size = live;
            let last = store.capture(records.last().unwrap().id).unwrap().unwrap();
            let whole = json!({"model": "full-model", "max_tokens": 99, "messages": turns[..turns.len() - 1]});
            assert_eq!(last.request.chunks.concat(), whole.to_string().as_bytes());
        })
        .await;
    }
    eprintln!("captures of 50 and 100 turns: {sizes:?} bytes, of {sent} that passed");
    assert!(sizes[1] < sent / 10, "{sizes:?} of {sent}");
    assert!(sizes[1] < sizes[0] * 5 / 2, "{sizes:?}: more than linear");
}

#[tokio::test]
async fn a_stream_that_the_client_leaves_keeps_what_passed_until_then() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gate = provider::Gate::new();
    provider.script(
        Matcher::any(),
        Script::text("one two three four").gated(&gate),
    );
    let gateway = Gateway::dev(&config(&provider.url()), Options::default()).await;
    let body = body("full", "leave early").replacen('{', "{\"stream\":true,", 1);
    let url = format!("{}/v1/messages", gateway.url);
    let answer = http::open(Method::POST, &url, &HEADERS, body).await;
    gate.release(2);
    let mut answer = answer.into_body();
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    drop(answer);
    provider.await_ended(1).await;
    let records = gateway.finished(1).await;
    let state = gateway.state_dir();
    let _dir = gateway.stop().await;
    with_store(&state, |store, _| {
        let kept = store.capture(records[0].id).unwrap().unwrap().response;
        assert!(kept.chunks.concat().starts_with(&first) && !kept.truncated);
    })
    .await;
}

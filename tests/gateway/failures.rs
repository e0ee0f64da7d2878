//! Failures: a provider's own pass unchanged, the gateway's own come in the words of the caller's dialect.

use super::{
    document, start,
    wire::{Ended, Head, Received, Wire},
};
use crate::support::{Gateway, config, gateway, http as client};
use ::http::Method;
use aperture::record::{CostState, End, Record, UsageState};
use futures_util::future::join_all;
use provider::{CutHow, Encoding, Garbage, Matcher, Options, Point, Provider, Script};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const ENDPOINTS: [(&str, &str); 4] = [
    ("/v1/messages", "claude-haiku-4-5"),
    ("/v1/messages/count_tokens", "claude-haiku-4-5"),
    ("/v1/chat/completions", "gpt-4o"),
    ("/v1/responses", "gpt-5"),
];

fn body_for(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"max_tokens":9,"messages":[],"input":"x"}}"#)
}

async fn ask(gateway: &Gateway, path: &str, body: &str) -> (Head, Received) {
    let mut wire = Wire::connect(&gateway.url).await;
    wire.post(path, body).await;
    wire.response().await
}

/// What a failure must look like: status, Anthropic type, `OpenAI` code.
type Words = (u16, &'static str, &'static str);

/// Checks an answer of the gateway itself; gives back its sentence and its request id.
fn own_words(path: &str, head: &Head, body: &[u8], words: Words) -> (String, String) {
    let (status, anthropic, openai) = words;
    let text = String::from_utf8_lossy(body);
    assert_eq!(head.status(), status, "{path}: {text}");
    assert_eq!(head.get("content-type"), Some("application/json"));
    let id = head.get("aperture-request-id").expect("an id").to_owned();
    let value: Value = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{path}: {text}"));
    if path.contains("messages") {
        assert_eq!(value["type"], "error", "{path}");
        assert_eq!(value["error"]["type"], anthropic, "{path}");
        assert_eq!(value["request_id"], id, "{path}");
    } else {
        assert_eq!(value["error"]["code"], openai, "{path}");
        assert_eq!(value["error"]["param"], Value::Null, "{path}");
        let kind = if status >= 500 {
            "server_error"
        } else {
            "invalid_request_error"
        };
        assert_eq!(value["error"]["type"], kind, "{path}");
    }
    let retry = matches!(status, 408 | 502 | 503 | 504);
    assert_eq!(
        head.get("x-should-retry"),
        (!retry).then_some("false"),
        "{path}"
    );
    (value["error"]["message"].as_str().unwrap().to_owned(), id)
}

/// Every record is one of those that clients were told the id of, and says the same.
fn assert_recorded(records: &[Record], answered: &[(String, u16)]) {
    assert_eq!(records.len(), answered.len());
    for (id, status) in answered {
        let record = records
            .iter()
            .find(|record| record.id.to_string() == *id)
            .unwrap_or_else(|| panic!("{id} was not recorded"));
        assert_eq!(record.status, Some(*status), "{record:?}");
        assert_eq!(record.usage.total(), 0);
        assert_eq!(record.cost.state, CostState::None);
    }
}

/// The metrics have that many failures with that reason.
async fn assert_counted(gateway: &Gateway, reason: &str, count: usize) {
    let text = client::get(&format!("{}/metrics", gateway.metrics_url))
        .await
        .text();
    let counted = format!("aperture_refused_total{{reason=\"{reason}\"}} {count}\n");
    assert!(text.contains(&counted), "no {counted} in {text}");
}

#[tokio::test]
async fn error_answers_of_providers_pass_unchanged_and_cost_nothing() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let mut count = 0;
    for status in [400, 401, 404, 413, 429, 500, 502, 503, 529] {
        for (path, model) in ENDPOINTS {
            let script = Script {
                retry_after: Some("17".into()),
                headers: [
                    ("x-should-retry", "true"),
                    ("anthropic-ratelimit-requests-remaining", "0"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
                encoding: (status == 500).then_some(Encoding::Gzip),
                ..Script::status(status)
            };
            provider.script_times(1, Matcher::any(), script);
            let (head, body) = ask(&gateway, path, &body_for(model, status % 2 == 0)).await;
            assert_eq!(head.status(), status);
            assert_eq!(head.get("retry-after"), Some("17"));
            assert_eq!(head.get("x-should-retry"), Some("true"));
            assert_eq!(
                head.get("anthropic-ratelimit-requests-remaining"),
                Some("0")
            );
            let entry = provider.log().pop().unwrap();
            assert_eq!(body.bytes, entry.answer.body().unwrap(), "{path} {status}");
            count += 1;
        }
    }
    // An error may carry figures: they are not usage.
    let lie = r#"{"error":{"type":"x"},"usage":{"input_tokens":5,"output_tokens":7,"prompt_tokens":5,"completion_tokens":7}}"#;
    for (path, model) in ENDPOINTS {
        let script = Script {
            status: Some(500),
            ..Script::raw("application/json", [lie.into()])
        };
        provider.script_times(1, Matcher::any(), script);
        let (head, body) = ask(&gateway, path, &body_for(model, false)).await;
        assert_eq!(
            (head.status(), body.bytes.as_slice()),
            (500, lie.as_bytes())
        );
        count += 1;
    }
    for record in gateway.finished(count).await {
        assert!(record.status.unwrap() >= 400);
        assert_eq!(record.end, End::Complete);
        assert_eq!(record.failure, None);
        assert_eq!(
            (record.usage.total(), record.usage_state),
            (0, UsageState::None),
            "{record:?}"
        );
        assert_eq!(record.cost.state, CostState::None);
    }
}

#[tokio::test]
async fn a_provider_without_a_response_head_is_answered_for_in_the_callers_dialect() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let patient = start(&document(&provider.url(), "")).await;
    let hasty = "\"timeouts\": {\"first_byte\": \"300ms\"}";
    let hasty = start(&document(&provider.url(), hasty)).await;
    let point = Some(Point::BeforeHead);
    let broken: Words = (502, "api_error", "provider_broke_off");
    let cases = [
        (
            Script {
                cut: point,
                ..Script::default()
            },
            broken,
            "broken",
        ),
        (
            Script {
                cut: point,
                cut_how: CutHow::Rst,
                ..Script::default()
            },
            broken,
            "broken",
        ),
        (
            Script {
                garbage: Some(Garbage::Head),
                ..Script::default()
            },
            broken,
            "broken",
        ),
        (
            Script {
                huge_headers: 2 << 20,
                ..Script::text("x")
            },
            broken,
            "broken",
        ),
        (
            Script {
                stall: point,
                ..Script::default()
            },
            (504, "timeout_error", "provider_timeout"),
            "timeout",
        ),
    ];
    let mut answered = Vec::new();
    for (script, words, reason) in &cases {
        let gateway = if *reason == "timeout" {
            &hasty
        } else {
            &patient
        };
        for (path, model) in ENDPOINTS {
            provider.script_times(1, Matcher::any(), script.clone());
            let (head, body) = ask(gateway, path, &body_for(model, true)).await;
            let (message, id) = own_words(path, &head, &body.bytes, *words);
            assert!(
                message.contains("provider anthropic") || message.contains("provider openai"),
                "{message}"
            );
            assert!(
                !message.contains("127.0.0.1"),
                "addresses are not the client's business: {message}"
            );
            answered.push((id, words.0));
        }
    }
    let mut records = patient.finished(16).await;
    records.extend(hasty.finished(4).await);
    assert_counted(&patient, "broken", 16).await;
    assert_counted(&hasty, "timeout", 4).await;
    assert_recorded(&records, &answered);
    for (index, record) in records.iter().enumerate() {
        let (_, _, reason) = &cases[index / ENDPOINTS.len()];
        assert_eq!(record.failure.as_deref(), Some(*reason));
        let end = if *reason == "timeout" {
            End::Timeout
        } else {
            End::UpstreamError
        };
        assert_eq!(record.end, end);
    }
}

#[tokio::test]
async fn a_provider_that_can_not_be_reached_is_said_so() {
    // A port that was free a moment ago, and nobody listens on.
    let url = {
        let mut provider = Provider::start(Options::default()).await.unwrap();
        let url = provider.url();
        provider.shutdown().await;
        url
    };
    for url in [&url, "http://no-such-name.invalid:80"] {
        let gateway = start(&document(url, "")).await;
        let mut answered = Vec::new();
        for (path, model) in ENDPOINTS {
            let (head, body) = ask(&gateway, path, &body_for(model, false)).await;
            let (_, id) = own_words(
                path,
                &head,
                &body.bytes,
                (502, "api_error", "provider_unreachable"),
            );
            answered.push((id, 502));
        }
        let records = gateway.finished(4).await;
        assert_recorded(&records, &answered);
        assert_counted(&gateway, "unreachable", 4).await;
        let all = |record: &Record| record.end == End::UpstreamError;
        assert!(records.iter().all(all));
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_in_its_response_is_cut_off_after_the_idle_time() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(
        &provider.url(),
        "\"timeouts\": {\"chunk_idle\": \"1s\"}",
    ))
    .await;
    let script = Script {
        stall: Some(Point::MidStream),
        ..Script::text("one two three four")
    };
    provider.script(Matcher::any(), script);
    let asked = ENDPOINTS.map(|(path, model)| {
        let (gateway, streamed) = (&gateway, !path.ends_with("count_tokens"));
        async move { (path, ask(gateway, path, &body_for(model, streamed)).await) }
    });
    for (path, (head, body)) in join_all(asked).await {
        assert_eq!(head.status(), 200);
        assert_eq!(body.ended, Ended::Broken, "{path}");
        assert!(!body.bytes.is_empty(), "{path}");
    }
    // And the provider is told.
    provider.await_ended(4).await;
    assert!(
        provider
            .log()
            .iter()
            .all(|entry| entry.answer.end == Some(provider::End::ClientGone))
    );
    for record in gateway.finished(4).await {
        assert_eq!(record.end, End::Timeout, "{record:?}");
        assert_eq!(record.status, Some(200));
    }
}

#[tokio::test]
async fn a_body_shorter_than_it_says_is_a_broken_one() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(
        &provider.url(),
        "\"timeouts\": {\"chunk_idle\": \"300ms\"}",
    ))
    .await;
    provider.script(
        Matcher::any(),
        Script {
            wrong_length: true,
            ..Script::text("x")
        },
    );
    for (path, model) in ENDPOINTS {
        let (head, body) = ask(&gateway, path, &body_for(model, false)).await;
        assert_eq!(head.status(), 200);
        assert_eq!(body.ended, Ended::Broken, "{path}");
    }
    for record in gateway.finished(4).await {
        assert_ne!(record.end, End::Complete, "{record:?}");
    }
}

#[tokio::test]
async fn bodies_that_nobody_can_read_pass_and_are_marked() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    provider.script(
        Matcher::any(),
        Script {
            garbage: Some(Garbage::Body),
            ..Script::default()
        },
    );
    for (path, model) in ENDPOINTS {
        let (head, body) = ask(&gateway, path, &body_for(model, true)).await;
        assert_eq!(head.status(), 200);
        assert_eq!(
            body.bytes,
            provider.log().pop().unwrap().answer.body().unwrap(),
            "{path}"
        );
    }
    for record in gateway.finished(4).await {
        assert_eq!(record.end, End::Complete);
        assert_eq!(record.usage.total(), 0);
        let count = record.endpoint.as_str() == "anthropic_count_tokens";
        assert_eq!(
            record.usage_state,
            if count {
                UsageState::None
            } else {
                UsageState::Unknown
            }
        );
    }
}

#[tokio::test]
async fn mistakes_of_clients_are_answered_in_their_dialect_and_recorded() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let bad: Words = (400, "invalid_request_error", "invalid_request");
    let missing: Words = (404, "not_found_error", "model_not_found");
    let mut answered = Vec::new();
    for (path, model) in ENDPOINTS {
        let typo = format!("{model}x");
        let other = if path.contains("messages") {
            "gpt-5"
        } else {
            "claude-opus-4-5"
        };
        for (body, words, says) in [
            ("{\"model\": ".to_owned(), bad, "not a JSON object"),
            ("[]".to_owned(), bad, "not a JSON object"),
            (String::new(), bad, "not a JSON object"),
            ("\u{feff}{}".to_owned(), bad, "not a JSON object"),
            ("{\"messages\":[]}".to_owned(), bad, "names no model"),
            ("{\"model\":7}".to_owned(), bad, "not the name of a model"),
            (
                format!("{{\"model\":\"{model}\",\"model\":\"{model}\"}}"),
                bad,
                "more than once",
            ),
            (
                format!("{{\"model\":\"{model}\",\"\\u006dodel\":\"x\"}}"),
                bad,
                "more than once",
            ),
            (body_for(&typo, false), missing, model),
            (
                body_for("nothing-like-it", false),
                missing,
                "nothing-like-it",
            ),
            (body_for(other, false), missing, "/v1/"),
        ] {
            let (head, answer) = ask(&gateway, path, &body).await;
            let (message, id) = own_words(path, &head, &answer.bytes, words);
            assert!(message.contains(says), "{path} {body}: {message}");
            answered.push((id, words.0));
        }
    }
    assert!(provider.log().is_empty(), "no provider heard of them");
    let records = gateway.finished(answered.len()).await;
    assert_recorded(&records, &answered);
    assert!(
        records
            .iter()
            .all(|record| record.end == End::Refused && record.failure.is_some())
    );
}

#[tokio::test]
async fn wrong_methods_upgrades_and_unknown_paths_are_told() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let mut answered = Vec::new();
    for (path, _) in ENDPOINTS {
        for (request, words) in [
            (
                format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
                (405, "invalid_request_error", "method_not_allowed"),
            ),
            (
                format!(
                    "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                ),
                (426, "invalid_request_error", "websocket_not_supported"),
            ),
        ] {
            let mut wire = Wire::connect(&gateway.url).await;
            assert!(wire.write(request.as_bytes()).await);
            let (head, body) = wire.response().await;
            let (_, id) = own_words(path, &head, &body.bytes, words);
            if words.0 == 405 {
                assert_eq!(head.get("allow"), Some("POST"));
            }
            answered.push((id, words.0));
        }
    }
    for (path, words) in [
        // Known, and not offered: in the words of its API.
        ("/v1/images/generations", "/error/message"),
        ("/v1/", "/error"),
        ("/nothing", "/error"),
        ("/V1/messages", "/error"),
    ] {
        let (head, body) = ask(&gateway, path, "{}").await;
        assert_eq!(head.status(), 404, "{path}");
        let value: Value = serde_json::from_slice(&body.bytes).unwrap();
        let said = value.pointer(words).and_then(Value::as_str);
        assert!(said.unwrap().contains(path), "{value}");
        assert!(head.get("aperture-request-id").is_some());
    }
    let records = gateway.finished(answered.len()).await;
    assert_recorded(&records, &answered);
}

#[tokio::test]
async fn callers_without_a_role_are_refused_before_their_body_is_read() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&config(&provider.url(), "")).await;
    let mut answered = Vec::new();
    for (path, _) in ENDPOINTS {
        let mut wire = Wire::connect(&gateway.url).await;
        // Only the head: the answer must not wait for more.
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n");
        assert!(wire.write(request.as_bytes()).await);
        let (head, body) = wire.response().await;
        let (_, id) = own_words(
            path,
            &head,
            &body.bytes,
            (403, "permission_error", "access_denied"),
        );
        answered.push((id, 403));
    }
    for path in ["/", "/ui/", "/nothing"] {
        let answer = client::get(&format!("{}{path}", gateway.url)).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.json()["error"].is_string(), "{path}");
    }
    assert_recorded(&gateway.finished(4).await, &answered);
}

#[tokio::test]
async fn bodies_beyond_the_limit_get_413_declared_or_not() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(
        &provider.url(),
        "\"limits\": {\"request_body_bytes\": \"64KiB\"}",
    ))
    .await;
    let words: Words = (413, "request_too_large", "request_too_large");
    let mut answered = Vec::new();
    for (path, model) in ENDPOINTS {
        // Declared: the head alone is enough.
        let mut wire = Wire::connect(&gateway.url).await;
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 65537\r\n\r\n");
        assert!(wire.write(request.as_bytes()).await);
        let (head, body) = wire.response().await;
        let (message, id) = own_words(path, &head, &body.bytes, words);
        assert!(
            message.contains("gateway.limits.request_body_bytes"),
            "{message}"
        );
        answered.push((id, 413));

        // Clients that write everything before they read must see the answer too.
        let body = format!(r#"{{"model":"{model}","x":"{}"}}"#, "y".repeat(4 << 20));
        for chunked in [false, true] {
            let mut wire = Wire::connect(&gateway.url).await;
            let request = if chunked {
                format!(
                    "POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                )
            } else {
                format!(
                    "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
            };
            wire.write(request.as_bytes()).await;
            let (head, body) = wire.response().await;
            let (_, id) = own_words(path, &head, &body.bytes, words);
            answered.push((id, 413));
        }

        // The largest that may pass does.
        let start = format!(r#"{{"model":"{model}","x":""#);
        let exact = format!("{start}{}\"}}", "y".repeat(65536 - start.len() - 2));
        let (head, _) = ask(&gateway, path, &exact).await;
        assert_eq!((exact.len(), head.status()), (65536, 200));
        assert_eq!(provider.log().pop().unwrap().request.body_len, 65536);
    }
    let mut records = gateway.finished(16).await;
    records.retain(|record| record.status == Some(413));
    assert_recorded(&records, &answered);
}

#[tokio::test]
async fn clients_that_stop_in_their_head_or_body_are_not_waited_for() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let settings = "\"timeouts\": {\"body_idle\": \"300ms\", \"header_read\": \"1s\"}";
    let gateway = start(&document(&provider.url(), settings)).await;
    let begun = Instant::now();
    let mut answered = Vec::new();
    for (path, _) in ENDPOINTS {
        let mut wire = Wire::connect(&gateway.url).await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{{\"model\":"
        );
        assert!(wire.write(request.as_bytes()).await);
        let (head, body) = wire.response().await;
        let (_, id) = own_words(
            path,
            &head,
            &body.bytes,
            (408, "timeout_error", "request_timeout"),
        );
        assert_eq!(head.get("connection"), Some("close"));
        answered.push((id, 408));
    }
    // No head in time, or none at all: the connection ends without an answer.
    let parts = [
        "",
        "POST /v1/messages HTTP/1.1\r\nhost:",
        "PRI * HTTP/2.0\r\n",
    ];
    let waiting = async |part: &str| {
        let mut wire = Wire::connect(&gateway.url).await;
        assert!(wire.write(part.as_bytes()).await);
        wire.closed().await;
    };
    join_all(parts.map(waiting)).await;
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_recorded(&gateway.finished(4).await, &answered);
    assert_counted(&gateway, "body_stalled", 4).await;
}

#[tokio::test]
async fn heads_beyond_the_limits_get_431() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let settings = "\"limits\": {\"head_bytes\": \"16KiB\", \"head_count\": 40}";
    let gateway = start(&document(&provider.url(), settings)).await;
    for lines in [
        "x-many: 1\r\n".repeat(60),
        format!("x-large: {}\r\n", "y".repeat(16 << 10)),
        format!("x-large: {}\r\n", "y".repeat(200 << 10)),
    ] {
        let mut wire = Wire::connect(&gateway.url).await;
        let request = format!("POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n");
        wire.write(request.as_bytes()).await;
        let head = wire.head().await;
        assert_eq!(head.status(), 431, "{} bytes: {head:?}", lines.len());
        wire.closed().await;
    }
    // As much as the limit says passes.
    let mut wire = Wire::connect(&gateway.url).await;
    let large = "y".repeat(16_000);
    let body = body_for("gpt-4o", false);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-large: {large}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(wire.write(request.as_bytes()).await);
    assert_eq!(wire.head().await.status(), 200);
    assert_eq!(
        provider.log().pop().unwrap().header("x-large"),
        Some(large.as_str())
    );
    provider.reset();
    assert!(provider.log().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_is_recorded_as_gone() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    for (path, _) in ENDPOINTS {
        let mut wire = Wire::connect(&gateway.url).await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{{\"model\":"
        );
        assert!(wire.write(request.as_bytes()).await);
        drop(wire);
    }
    for record in gateway.finished(4).await {
        assert_eq!(record.end, End::ClientGone, "{record:?}");
    }
    assert!(provider.log().is_empty());
}

#[tokio::test]
async fn a_provider_whose_key_is_missing_is_answered_for() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let document = document(&provider.url(), "")
        .replace("sk-ant-upstream-key", "env:APERTURE_SECRET_THAT_IS_NOT_SET");
    let gateway = Gateway::dev(&document, gateway::Options::default()).await;
    let answer = client::send(
        Method::POST,
        &format!("{}/v1/messages", gateway.url),
        &[("x-api-key", "the-clients-own")],
        body_for("claude-haiku-4-5", false),
    )
    .await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"]["type"], "api_error");
    assert!(
        !answer.text().contains("APERTURE_SECRET"),
        "{}",
        answer.text()
    );
    assert!(provider.log().is_empty());
    assert_eq!(
        gateway.finished(1).await[0].failure.as_deref(),
        Some("no_credential")
    );
}

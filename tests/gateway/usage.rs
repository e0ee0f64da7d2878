//! The edits of bodies: usage asked for on the client's behalf, and the provider's name taken from the model.

use super::{
    document, start,
    wire::{Ended, Head, Received, Wire},
};
use crate::support::Gateway;
use aperture::{
    provider::edit::{ADD_INCLUDE_USAGE, DROP_USAGE_CHUNK, EDITS, STRIP_MODEL_PREFIX},
    record::{End, UsageState},
};
use provider::{Encoding, Entry, Matcher, Options, Provider, Script};

async fn post(gateway: &Gateway, path: &str, body: &str) -> (Head, Received) {
    let mut wire = Wire::connect(&gateway.url).await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: ai\r\naccept-encoding: gzip, br\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(wire.write(request.as_bytes()).await);
    wire.response().await
}

fn last(provider: &Provider) -> Entry {
    provider.log().pop().unwrap()
}

/// Whether a write of the provider is the chunk that `include_usage` brings.
fn is_usage_chunk(write: &[u8]) -> bool {
    let text = std::str::from_utf8(write).unwrap();
    text.strip_prefix("data: ")
        .and_then(|data| serde_json::from_str::<serde_json::Value>(data.trim()).ok())
        .is_some_and(|chunk| {
            chunk["usage"].is_object() && chunk["choices"].as_array().is_some_and(Vec::is_empty)
        })
}

const CHAT: &str = "/v1/chat/completions";

#[test]
fn the_list_of_body_edits_is_closed() {
    let names: Vec<_> = EDITS.iter().map(|edit| edit.name).collect();
    assert_eq!(
        names,
        [
            STRIP_MODEL_PREFIX.name,
            ADD_INCLUDE_USAGE.name,
            DROP_USAGE_CHUNK.name
        ]
    );
}

#[tokio::test]
async fn chat_streams_report_usage_to_the_gateway_alone_and_nothing_else_changes() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let messages = r#""messages": [ {"role":"user","content":"one \u0074wo {three}"} ]"#;
    // What stands there before, and what of it may go.
    for (stands, goes) in [
        ("", ""),
        (r#" "stream_options" :null,"#, "null"),
        (r#""stream_options":{ },"#, ""),
        (r#""stream_options":{"include_usage" : false },"#, "fals"),
        (r#""stream_options":{"include_obfuscation":true},"#, ""),
    ] {
        let body = format!("{{ {stands}\"stream\": true , \"model\":\"gpt-4o\",\n{messages} }}\n");
        let (head, received) = post(&gateway, CHAT, &body).await;
        assert_eq!(head.status(), 200);
        assert_eq!(received.ended, Ended::Whole);

        let entry = last(&provider);
        let sent = entry.request.body.clone().unwrap();
        let (gone, added) = difference(body.as_bytes(), &sent);
        assert_eq!(gone, goes, "{body}");
        assert!(added.contains("tru"), "{body}: {added}");
        let seen: serde_json::Value = serde_json::from_slice(&sent).unwrap();
        let mut wanted: serde_json::Value = serde_json::from_str(&body).unwrap();
        if !wanted["stream_options"].is_object() {
            wanted["stream_options"] = serde_json::json!({});
        }
        wanted["stream_options"]["include_usage"] = true.into();
        assert_eq!(seen, wanted);
        assert_eq!(entry.header("accept-encoding"), Some("identity"));

        let chunks = &entry.answer.chunks;
        let kept: Vec<u8> = chunks
            .iter()
            .filter(|chunk| !is_usage_chunk(chunk))
            .flat_map(|chunk| chunk.to_vec())
            .collect();
        assert_eq!(
            chunks.iter().filter(|chunk| is_usage_chunk(chunk)).count(),
            1
        );
        assert_eq!(
            String::from_utf8_lossy(&received.bytes),
            String::from_utf8_lossy(&kept)
        );
    }
    for (record, entry) in gateway.finished(5).await.iter().zip(provider.log()) {
        assert_eq!(record.end, End::Complete);
        assert_eq!(record.usage_state, UsageState::Reported);
        assert_eq!(record.usage.output, entry.answer.usage.unwrap().output);
    }
}

#[tokio::test]
async fn clients_that_ask_for_usage_get_the_chunk_and_their_bytes_pass() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    let body =
        r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let (_, received) = post(&gateway, CHAT, body).await;
    let entry = last(&provider);
    assert_eq!(entry.request.body.as_deref(), Some(body.as_bytes()));
    assert_eq!(entry.header("accept-encoding"), Some("gzip, br"));
    assert!(
        entry
            .answer
            .chunks
            .iter()
            .any(|chunk| is_usage_chunk(chunk))
    );
    assert_eq!(received.bytes, entry.answer.body().unwrap());
}

#[tokio::test]
async fn asking_for_usage_can_be_switched_off() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(
        &provider.url(),
        "\"inject_include_usage\": false",
    ))
    .await;
    let body = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
    let (_, received) = post(&gateway, CHAT, body).await;
    let entry = last(&provider);
    assert_eq!(entry.request.body.as_deref(), Some(body.as_bytes()));
    assert_eq!(entry.header("accept-encoding"), Some("gzip, br"));
    assert_eq!(received.bytes, entry.answer.body().unwrap());
    let records = gateway.finished(1).await;
    assert_eq!(records[0].usage_state, UsageState::None);
}

#[tokio::test]
async fn a_reply_that_comes_encoded_although_identity_was_asked_is_left_alone() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    for encoding in [
        Encoding::Gzip,
        Encoding::Br,
        Encoding::Zstd,
        Encoding::Deflate,
    ] {
        provider.script_times(
            1,
            Matcher::any(),
            Script {
                encoding: Some(encoding),
                ..Script::text("one two three")
            },
        );
        let body = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
        let (head, received) = post(&gateway, CHAT, body).await;
        assert!(head.get("content-encoding").is_some());
        assert_eq!(received.bytes, last(&provider).answer.body().unwrap());
    }
    // The tap decoded them on the side.
    for (record, entry) in gateway.finished(4).await.iter().zip(provider.log()) {
        assert_eq!(record.usage_state, UsageState::Reported);
        assert_eq!(record.usage.output, entry.answer.usage.unwrap().output);
    }
}

#[tokio::test]
async fn the_provider_prefix_is_taken_from_the_model_and_nothing_else_is_touched() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url(), "")).await;
    for (path, model, bare) in [
        (
            "/v1/messages",
            r#""anthropic/claude-haiku-4-5""#,
            r#""claude-haiku-4-5""#,
        ),
        (
            "/v1/messages/count_tokens",
            r#""anthropic\/claude-haiku-4-5""#,
            r#""claude-haiku-4-5""#,
        ),
        ("/v1/responses", r#""\u006fpenai/gpt-5""#, r#""gpt-5""#),
        (CHAT, r#""openai/gpt-4o""#, r#""gpt-4o""#),
    ] {
        let around = |model: &str| {
            format!(
                "\t{{\"n\":1.50, \"metadata\":{{\"model\":\"openai/x\"}}, \"model\" :\r\n {model} ,\"messages\":[ ],\"input\":\"\\u00e9\"}} "
            )
        };
        let (head, _) = post(&gateway, path, &around(model)).await;
        assert_eq!(head.status(), 200);
        let seen = last(&provider).request.body.clone().unwrap();
        assert_eq!(std::str::from_utf8(&seen).unwrap(), around(bare));
    }
    for record in gateway.finished(4).await {
        assert!(!record.model.unwrap().contains('/'));
        assert!(record.model_asked.unwrap().contains('/'));
    }
}

/// What of `before` is missing in `after`, and what is new there, in one place.
fn difference(before: &[u8], after: &[u8]) -> (String, String) {
    let start = before
        .iter()
        .zip(after)
        .take_while(|(one, two)| one == two)
        .count();
    let most = before.len().min(after.len()) - start;
    let end = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take(most)
        .take_while(|(one, two)| one == two)
        .count();
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[start..bytes.len() - end]).into_owned();
    (text(before), text(after))
}

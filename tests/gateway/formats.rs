//! One request of every format and form: what is recorded is what the provider says it sent, whole, streamed and encoded.

use super::start;
use crate::support::{EVERYBODY, http};
use aperture::record::{End, UsageState};
use http_body_util::BodyExt as _;
use hyper::Method;
use provider::{Encoding, Matcher, Options, Provider, Script, Tool};
use serde_json::{Value, json};

const VERTEX: &str = "/v1/projects/p/locations/us-east5/publishers";

/// Path, body, and whether a tool is called.
fn rows() -> Vec<(String, Value, bool)> {
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": "hello there"}]}],
        "tools": [{"functionDeclarations": [{"name": "ls"}]}]});
    let claude = json!({"anthropic_version": "x", "max_tokens": 99, "messages": [{"role": "user", "content": "hello there"}],
        "tools": [{"name": "ls", "input_schema": {}}]});
    let streamed = {
        let mut body = claude.clone();
        body["stream"] = true.into();
        body
    };
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "hello there"}]}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "ls", "inputSchema": {"json": {}}}}]}});
    let nova = json!({"schemaVersion": "messages-v1", "messages": converse["messages"].clone(),
        "toolConfig": converse["toolConfig"].clone()});
    let (gemini, anthropic) = ("models/gemini-2.5-flash", "models/claude-sonnet-4-5");
    let bedrock = "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
    let amazon = "/model/amazon.nova-pro-v1:0";
    let mut rows = Vec::new();
    for verb in [
        "generateContent",
        "streamGenerateContent?alt=sse",
        "streamGenerateContent",
    ] {
        rows.push((format!("/v1beta/{gemini}:{verb}"), contents.clone(), true));
        let google = format!("{VERTEX}/google/{gemini}:{verb}");
        rows.push((google, contents.clone(), true));
    }
    let raw = format!("{VERTEX}/anthropic/{anthropic}");
    rows.push((format!("{raw}:rawPredict"), claude.clone(), true));
    rows.push((format!("{raw}:streamRawPredict"), streamed, true));
    for stream in ["", "-with-response-stream"] {
        rows.push((format!("{bedrock}/invoke{stream}"), claude.clone(), true));
        rows.push((format!("{amazon}/invoke{stream}"), nova.clone(), true));
    }
    for stream in ["", "-stream"] {
        let path = format!("{bedrock}/converse{stream}");
        rows.push((path, converse.clone(), true));
    }
    let prompt = json!({"model": "gpt-4o", "prompt": "hello there"});
    rows.push(("/v1/completions".to_owned(), prompt, false));
    let input = json!({"model": "gpt-4o", "input": "hello there"});
    rows.push(("/v1/embeddings".to_owned(), input, false));
    rows
}

fn document(url: &str) -> String {
    format!(
        r#"{{
  "providers": {{
    "all": {{
      "baseurl": "{url}",
      "authorization": {{"type": "Bearer", "value": "sk-upstream-key"}},
      "models": ["gemini-2.5-flash", "claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0", "gpt-4o"],
      "compatibility": {{"gemini": true, "vertex": true, "bedrock": true, "openai_chat": true}},
    }},
  }},
  "temp_grants": [{EVERYBODY}],
}}"#
    )
}

#[tokio::test]
async fn every_format_is_recorded_as_the_provider_sent_it() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&document(&provider.url())).await;
    let mut seen = 0;
    for (path, body, calls) in rows() {
        for encoding in [None, Some(Encoding::Gzip)] {
            let tool = Tool {
                name: "ls".to_owned(),
                input: Some(serde_json::value::to_raw_value(&json!({"path": "a b"})).unwrap()),
            };
            let script = Script {
                tokens: Some(20),
                tool: calls.then_some(tool),
                encoding,
                ..Script::default()
            };
            provider.script_times(1, Matcher::any(), script);
            let url = format!("{}{path}", gateway.url);
            let answer = http::open(Method::POST, &url, &[], body.to_string()).await;
            let status = answer.status();
            let whole = answer.into_body().collect().await.unwrap().to_bytes();
            let row = format!("{path} {encoding:?}: {}", String::from_utf8_lossy(&whole));
            assert_eq!(status, 200, "{row}");
            seen += 1;
            provider.await_ended(seen).await;
            let record = gateway.finished(usize::try_from(seen).unwrap()).await;
            let record = record.last().unwrap();
            let sent = provider.log().pop().unwrap().answer.usage.unwrap();
            let own = [
                record.usage.input,
                record.usage.cache_read,
                record.usage.cache_write,
                record.usage.output,
                record.usage.reasoning,
            ];
            let theirs = [
                sent.input,
                sent.cache_read,
                sent.cache_write,
                sent.output,
                sent.reasoning,
            ];
            assert_eq!(own, theirs, "{row}");
            assert_eq!(record.usage_state, UsageState::Reported, "{row}");
            assert_eq!(record.end, End::Complete, "{row}");
            let tools: Vec<_> = record.tools.iter().map(|tool| &*tool.name).collect();
            assert_eq!(tools, if calls { &["ls"][..] } else { &[] }, "{row}");
            assert_eq!(
                record.session.is_some(),
                calls || path.ends_with("/completions"),
                "{row}"
            );
        }
    }
    gateway.stop().await;
}

//! Bedrock, against frames and replies that every SDK accepted.

use provider::{Options, Provider, tokens};
use serde_json::{Value, json};

use crate::client::{Client, provider_with};
use crate::dialects::{accepted, assert_covers, script, shape};
use crate::formats::{claude, converse, nova};
use crate::frames::{Frame, frames};

const INVOKE: &str = "/model/m/invoke-with-response-stream";

fn names(frames: &[Frame]) -> Vec<&str> {
    frames
        .iter()
        .map(|frame| frame.header(":event-type"))
        .collect()
}

#[tokio::test]
async fn converse_replies_are_those_that_clients_accepted() {
    let (_provider, mut client) = provider_with(&script(true, true)).await;
    let reply = client
        .post("/model/x/converse", &[], converse().to_string())
        .await;
    let whole = reply.unwrap().json();
    let theirs: Value = serde_json::from_str(&accepted("bedrock converse json")).unwrap();
    assert_covers(&whole, &theirs, "");
    for (name, figure) in theirs["usage"].as_object().unwrap() {
        assert_eq!(whole["usage"][name], *figure, "{name}");
    }
    assert_eq!(whole["stopReason"], theirs["stopReason"]);

    let path = "/model/x/converse-stream";
    let reply = client
        .post(path, &[], converse().to_string())
        .await
        .unwrap();
    assert_eq!(
        reply.header("content-type"),
        "application/vnd.amazon.eventstream"
    );
    assert_eq!(reply.header("x-amzn-requestid"), "req_scripted_2");
    let frames = frames(&reply.body);
    assert_eq!(
        names(&frames),
        [
            &["messageStart"][..],
            &["contentBlockDelta"; 5],
            &[
                "contentBlockStop",
                "contentBlockStart",
                "contentBlockDelta",
                "contentBlockDelta"
            ],
            &["contentBlockStop", "messageStop", "metadata"],
        ]
        .concat()
    );
    for theirs in shape("bedrock converse stream")["frames"]
        .as_array()
        .unwrap()
    {
        let payload: Value = serde_json::from_str(theirs["payload"].as_str().unwrap()).unwrap();
        let headers = theirs["headers_raw"].as_str().unwrap();
        let ours = frames
            .iter()
            .find(|frame| headers.contains(frame.header(":event-type")));
        assert_covers(&ours.unwrap().payload, &payload, headers);
    }
    let start = frames
        .iter()
        .find(|frame| frame.payload["start"].is_object());
    assert_eq!(
        start.unwrap().payload["start"]["toolUse"]["name"],
        "get_weather"
    );
}

#[tokio::test]
async fn invoke_streams_are_those_that_clients_accepted() {
    let (_provider, mut client) = provider_with(&script(true, false)).await;
    let reply = client
        .post(INVOKE, &[], claude().to_string())
        .await
        .unwrap();
    assert_eq!(
        reply.header("x-amzn-bedrock-content-type"),
        "application/json"
    );
    let frames = frames(&reply.body);
    assert!(names(&frames).into_iter().all(|name| name == "chunk"));
    assert!(
        frames
            .iter()
            .all(|frame| !frame.payload["p"].as_str().unwrap().is_empty())
    );
    let theirs = shape("bedrock invoke stream");
    let hex = theirs["body_hex_first_frame"].as_str().unwrap();
    let first: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let first = &crate::frames::frames(&first)[0];
    assert_eq!(frames[0].headers, first.headers);
    assert_covers(&frames[0].inner(), &first.inner(), "");
    let last = frames.last().unwrap().inner();
    assert_eq!(last["type"], "message_stop");
    let metrics = &last["amazon-bedrock-invocationMetrics"];
    assert_eq!(
        (&metrics["inputTokenCount"], &metrics["outputTokenCount"]),
        (&json!(100), &json!(12))
    );
    assert_eq!(metrics["cacheReadInputTokenCount"], 30);
    assert_eq!(metrics["cacheWriteInputTokenCount"], 20);
}

#[tokio::test]
async fn whole_invocations_tell_their_figures_in_headers() {
    let (_provider, mut client) = provider_with(&script(true, false)).await;
    for body in [claude(), nova()] {
        let reply = client
            .post("/model/m/invoke", &[], body.to_string())
            .await
            .unwrap();
        for (name, figure) in [
            ("input", "100"),
            ("output", "12"),
            ("cache-read-input", "30"),
            ("cache-write-input", "20"),
        ] {
            assert_eq!(
                reply.header(&format!("x-amzn-bedrock-{name}-token-count")),
                figure
            );
        }
        let whole = reply.json();
        let is_nova = body == nova();
        assert_eq!(whole["output"].is_object(), is_nova);
        assert_eq!(whole["usage"]["inputTokens"].is_u64(), is_nova);
    }
}

#[tokio::test]
async fn a_stream_of_nova_wraps_its_events_and_ends_with_figures() {
    let (_provider, mut client) = provider_with(&script(true, false)).await;
    let reply = client.post(INVOKE, &[], nova().to_string()).await.unwrap();
    let events: Vec<Value> = frames(&reply.body).iter().map(Frame::inner).collect();
    assert_eq!(events[0], json!({"messageStart": {"role": "assistant"}}));
    let last = events.last().unwrap();
    assert_eq!(last["metadata"]["usage"]["inputTokens"], 100);
    assert_eq!(
        last["amazon-bedrock-invocationMetrics"]["outputTokenCount"],
        12
    );
}

#[tokio::test]
async fn exceptions_are_frames_with_the_type_that_the_script_names() {
    let script = r#"{"text":"a b","error_at":2,"error":{"type":"throttlingException"}}"#;
    let (_provider, mut client) = provider_with(script).await;
    for (path, body) in [(INVOKE, claude()), ("/model/m/converse-stream", converse())] {
        let reply = client.post(path, &[], body.to_string()).await.unwrap();
        let frames = frames(&reply.body);
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[2].header(":message-type"), "exception");
        assert_eq!(frames[2].header(":exception-type"), "throttlingException");
        assert!(frames[2].payload["message"].is_string());
    }
}

/// Ids and ARNs, raw and encoded, are one model; the log has it decoded.
#[tokio::test]
async fn models_are_decoded_once() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc";
    for (segment, model) in [
        ("us.claude-v1:0", "us.claude-v1:0"),
        ("us.claude-v1%3A0", "us.claude-v1:0"),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fabc",
            arn,
        ),
        (
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fabc",
            arn,
        ),
        (arn, arn),
    ] {
        let path = format!("/bedrock/model/{segment}/converse");
        client
            .post(&path, &[], converse().to_string())
            .await
            .unwrap();
        let entry = provider.log().pop().unwrap();
        assert_eq!(entry.request.model.as_deref(), Some(model));
    }
}

#[tokio::test]
async fn marks_tools_and_counts_of_converse_are_understood() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let tool = json!({"toolSpec": {"name": "bash", "inputSchema": {"json": {
        "properties": {"command": {"type": "string"}},
    }}}});
    let ask = json!({"role": "user", "content": [{"text": "RUN: echo hi"}, {"cachePoint": {"type": "default"}}]});
    let mut body = json!({"messages": [ask], "toolConfig": {"tools": [tool]}});
    let path = "/model/m/converse";
    let whole = client
        .post(path, &[], body.to_string())
        .await
        .unwrap()
        .json();
    let call = &whole["output"]["message"]["content"][0]["toolUse"];
    assert_eq!(call["input"], json!({"command": "echo hi"}));
    let total = tokens(body.to_string().len());
    assert_eq!(whole["usage"]["cacheWriteInputTokens"], total / 2);
    assert_eq!(
        whole["usage"]["cacheDetails"],
        json!([{"ttl": "5m", "inputTokens": total / 2}])
    );
    let result = json!({"toolUseId": call["toolUseId"], "content": [{"json": {"out": "hi"}}]});
    body["messages"] = json!([
        ask, {"role": "assistant", "content": [{"toolUse": call}]},
        {"role": "user", "content": [{"toolResult": result}]},
    ]);
    let whole = client
        .post(path, &[], body.to_string())
        .await
        .unwrap()
        .json();
    let text = &whole["output"]["message"]["content"][0]["text"];
    assert_eq!(*text, r#"The tool said: {"out":"hi"}"#);
    let wrapped = json!({"input": {"converse": body}}).to_string();
    let count = client
        .post("/model/m/count-tokens", &[], wrapped.clone())
        .await
        .unwrap();
    assert_eq!(count.json(), json!({"inputTokens": tokens(wrapped.len())}));
}

#[tokio::test]
async fn what_is_not_served_is_not_found_in_bedrocks_words() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let path = "/bedrock/inference-profiles?type=SYSTEM_DEFINED";
    let reply = client.get(path, &[]).await;
    assert_eq!(reply.status, 404);
    assert!(
        reply
            .header("x-amzn-errortype")
            .starts_with("ResourceNotFoundException:")
    );
    assert!(reply.json()["message"].is_string());
}

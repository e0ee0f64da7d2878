//! Every reply has the shape of one that all clients of its dialect accepted.

use provider::{Options, Provider, tokens};
use serde_json::{Value, json};

use crate::client::{self, Client, Event, anthropic, chat, provider_with, responses};

const TEXT: &str = "Hello from the mock upstream.";

/// The figures of the accepted replies.
const FIGURES: &str =
    r#""usage":{"input":100,"cache_read":30,"cache_write":20,"output":12,"reasoning":4}"#;

/// A reply that clients accepted.
pub(crate) fn shape(name: &str) -> Value {
    let file: Value =
        serde_json::from_str(include_str!("../data/accepted-responses.json")).unwrap();
    file["shapes"][name]["response"].clone()
}

/// The body of a reply that clients accepted.
pub(crate) fn accepted(name: &str) -> String {
    shape(name)["body"].as_str().unwrap().to_owned()
}

/// A script with the text, the weather tool, or both, and the accepted figures.
pub(crate) fn script(text: bool, tool: bool) -> String {
    let text = if text {
        format!(r#""text":"{TEXT}","#)
    } else {
        String::new()
    };
    let call = r#""tool":{"name":"get_weather","input":{"city": "Paris"}},"#;
    format!("{{{text}{}{FIGURES}}}", if tool { call } else { "" })
}

/// Fails unless `ours` has everything that `theirs` has, with the same types.
pub(crate) fn assert_covers(ours: &Value, theirs: &Value, at: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in theirs {
                let at = format!("{at}.{key}");
                assert_covers(
                    ours.get(key).unwrap_or_else(|| panic!("{at} is missing")),
                    value,
                    &at,
                );
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{at}");
            ours.iter()
                .zip(theirs)
                .for_each(|(ours, theirs)| assert_covers(ours, theirs, at));
        }
        _ => {
            let kind = |value: &Value| std::mem::discriminant(value);
            assert_eq!(kind(ours), kind(theirs), "{at}: {ours} instead of {theirs}");
        }
    }
}

pub(crate) fn assert_same_stream(ours: &[Event], theirs: &[Event]) {
    let names = |events: &[Event]| {
        events
            .iter()
            .map(|event| (event.name.clone(), event.data["type"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(ours), names(theirs));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_covers(&ours.data, &theirs.data, &format!("{:?}", theirs.name));
    }
}

#[tokio::test]
async fn anthropic_replies_are_those_that_clients_accepted() {
    let (_provider, mut client) = provider_with(&script(true, true)).await;
    let whole = client
        .post("/v1/messages", &[], anthropic("x", false))
        .await
        .unwrap()
        .json();
    let theirs: Value = serde_json::from_str(&accepted("anthropic_messages json")).unwrap();
    assert_covers(&whole, &theirs, "");
    for key in [
        "cache_creation",
        "input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
    ] {
        assert_eq!(whole["usage"][key], theirs["usage"][key], "{key}");
    }
    assert_eq!(
        whole["usage"]["output_tokens_details"],
        json!({"thinking_tokens": 4})
    );

    let reply = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap();
    assert_eq!(
        reply.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    let (ours, theirs) = (
        reply.events(),
        client::events(&accepted("anthropic_messages sse")),
    );
    assert_same_stream(&ours, &theirs);
    let start = &ours[0].data["message"]["usage"];
    assert_eq!(
        (&start["output_tokens"], &start["input_tokens"]),
        (&json!(1), &json!(100))
    );
    let input: String = ours
        .iter()
        .filter_map(|event| event.data["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(input, r#"{"city": "Paris"}"#);
}

#[tokio::test]
async fn anthropic_thinking_comes_first_and_is_signed() {
    let (_provider, mut client) = provider_with(r#"{"text":"so","thinking":"hm hm"}"#).await;
    let whole = client
        .post("/v1/messages", &[], anthropic("x", false))
        .await
        .unwrap()
        .json();
    assert_eq!(whole["content"][0]["thinking"], "hm hm");
    assert_eq!(whole["content"][1]["text"], "so");
    let reply = client
        .post("/v1/messages", &[], anthropic("x", true))
        .await
        .unwrap();
    let deltas: Vec<Value> = reply
        .events()
        .iter()
        .filter(|event| event.name.as_deref() == Some("content_block_delta"))
        .map(|event| json!([event.data["index"], event.data["delta"]["type"]]))
        .collect();
    let think = json!([0, "thinking_delta"]);
    assert_eq!(
        deltas,
        [
            think.clone(),
            think,
            json!([0, "signature_delta"]),
            json!([1, "text_delta"])
        ]
    );
}

#[tokio::test]
async fn chat_replies_are_those_that_clients_accepted() {
    let (_provider, mut client) = provider_with(&script(false, true)).await;
    let mut body = chat("x", false);
    let whole = client
        .post("/v1/chat/completions", &[], body.to_string())
        .await
        .unwrap()
        .json();
    let theirs: Value = serde_json::from_str(&accepted("openai_chat json")).unwrap();
    assert_covers(&whole, &theirs, "");
    for key in [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "completion_tokens_details",
    ] {
        assert_eq!(whole["usage"][key], theirs["usage"][key], "{key}");
    }
    assert_eq!(whole["usage"]["prompt_tokens_details"]["cached_tokens"], 30);
    assert_eq!(
        whole["usage"]["prompt_tokens_details"]["cache_write_tokens"],
        20
    );

    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let reply = client
        .post("/v1/chat/completions", &[], body.to_string())
        .await
        .unwrap();
    assert_same_stream(
        &reply.events(),
        &client::events(&accepted("openai_chat sse")),
    );
}

/// Usage in a stream is there only for who asks, and then exactly once, without choices.
#[tokio::test]
async fn chat_streams_report_usage_only_when_asked() {
    let (_provider, mut client) = provider_with(&script(true, false)).await;
    for (options, is_asked) in [
        (json!({"include_usage": true}), true),
        (json!({"include_usage": false}), false),
        (json!({}), false),
        (Value::Null, false),
    ] {
        let mut body = chat("x", true);
        body["stream_options"] = options;
        let reply = client
            .post("/v1/chat/completions", &[], body.to_string())
            .await
            .unwrap();
        let mut events = reply.events();
        assert_eq!(events.pop().unwrap().data, "[DONE]");
        if is_asked {
            let last = events.pop().unwrap().data;
            assert_eq!(last["choices"], json!([]));
            assert_eq!(last["usage"]["total_tokens"], 162);
        }
        let text: String = events
            .iter()
            .filter_map(|event| event.data["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, TEXT);
        for event in &events {
            assert_eq!(event.name, None);
            let usage = event.data.as_object().unwrap().get("usage");
            assert_eq!(usage, is_asked.then_some(&Value::Null));
        }
    }
}

#[tokio::test]
async fn responses_replies_are_those_that_clients_accepted() {
    let (_provider, mut client) = provider_with(&script(false, true)).await;
    let body = responses("x", false).to_string();
    let whole = client
        .post("/v1/responses", &[], body)
        .await
        .unwrap()
        .json();
    let theirs: Value = serde_json::from_str(&accepted("openai_responses json")).unwrap();
    assert_covers(&whole, &theirs, "");
    assert_eq!(
        whole["output"][0]["arguments"],
        theirs["output"][0]["arguments"]
    );
    for key in [
        "input_tokens",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    ] {
        assert_eq!(whole["usage"][key], theirs["usage"][key], "{key}");
    }

    let (_provider, mut client) = provider_with(&script(true, false)).await;
    let body = responses("x", true).to_string();
    let reply = client.post("/v1/responses", &[], body).await.unwrap();
    let ours = reply.events();
    // The recorded stream is cut inside its last event: compare that one by the whole reply.
    let cut = accepted("openai_responses sse");
    let (theirs, _) = cut.split_once("event: response.completed").unwrap();
    let (last, before) = ours.split_last().unwrap();
    assert_same_stream(before, &client::events(theirs));
    assert_eq!(last.name.as_deref(), Some("response.completed"));
    assert_eq!(last.data["response"]["usage"]["total_tokens"], 162);
    assert_eq!(
        last.data["response"]["output"][0]["content"][0]["text"],
        TEXT
    );
    for (number, event) in ours.iter().enumerate() {
        assert_eq!(event.data["sequence_number"], number);
        assert_eq!(event.name.as_deref(), event.data["type"].as_str());
    }
}

#[tokio::test]
async fn an_incomplete_response_ends_in_its_own_event() {
    let (_provider, mut client) = provider_with(r#"{"text":"so far","stop":"length"}"#).await;
    let body = responses("x", true).to_string();
    let events = client
        .post("/v1/responses", &[], body)
        .await
        .unwrap()
        .events();
    let last = events.last().unwrap();
    assert_eq!(last.name.as_deref(), Some("response.incomplete"));
    assert_eq!(
        last.data["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
}

/// The counting rule of the README, seen from outside.
#[tokio::test]
async fn tokens_follow_the_documented_rule() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let body = anthropic("hello", false);
    let whole = client
        .post("/v1/messages", &[], body.clone())
        .await
        .unwrap()
        .json();
    let text = "You said: hello";
    assert_eq!(whole["content"][0]["text"], text);
    assert_eq!(whole["usage"]["input_tokens"], tokens(body.len()));
    assert_eq!(whole["usage"]["output_tokens"], tokens(text.len()));
    let count = client
        .post("/v1/messages/count_tokens", &[], body.clone())
        .await
        .unwrap();
    assert_eq!(count.json(), json!({"input_tokens": tokens(body.len())}));

    let marked = json!({
        "model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ],
    });
    let body = marked.to_string();
    let total = tokens(body.len());
    let usage = &client.post("/v1/messages", &[], body).await.unwrap().json()["usage"];
    assert_eq!(usage["cache_read_input_tokens"], total / 2);
    assert_eq!(
        usage["cache_creation"]["ephemeral_1h_input_tokens"],
        total / 4
    );
    assert_eq!(usage["cache_creation"]["ephemeral_5m_input_tokens"], 0);
    assert_eq!(usage["input_tokens"], total - total / 2 - total / 4);

    let logged = provider.log().last().unwrap().answer.usage.unwrap();
    assert_eq!(
        (logged.prompt(), logged.cache_write_long),
        (total, total / 4)
    );
}

#[tokio::test]
async fn lists_of_models_take_the_form_that_the_header_names() {
    let options = Options {
        models: vec!["a".into(), "b".into()],
        ..Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let list = client.get("/v1/models", &[]).await.json();
    assert_eq!(
        (&list["object"], &list["data"][1]["id"]),
        (&json!("list"), &json!("b"))
    );
    assert_eq!(list.get("models"), None);
    let list = client
        .get("/v1/models?client_version=0.169.0", &[])
        .await
        .json();
    assert_eq!(list["models"], json!([]));
    let version = [("anthropic-version", "2023-06-01")];
    let list = client.get("/v1/models?limit=1000", &version).await.json();
    assert_eq!(
        (&list["first_id"], &list["data"][0]["type"]),
        (&json!("a"), &json!("model"))
    );
    assert_eq!(
        client.get("/v1/models/b", &[]).await.json()["owned_by"],
        "scripted"
    );
    assert_eq!(client.get("/v1/models/c", &[]).await.status, 404);
}

#[tokio::test]
async fn errors_are_worded_by_the_dialect_of_the_path() {
    let options = Options {
        key: Some("good".into()),
        ..Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let bad = client
        .post("/v1/messages", &[("x-api-key", "bad")], "{}")
        .await
        .unwrap();
    assert_eq!(bad.status, 401);
    assert_eq!(bad.json()["error"]["type"], "authentication_error");
    let key = [("authorization", "Bearer good")];
    let unreadable = client
        .post("/v1/responses", &key, "{nonsense")
        .await
        .unwrap();
    assert_eq!(unreadable.status, 400);
    assert_eq!(unreadable.json()["error"]["type"], "invalid_request_error");
    let misspelt = [("x-api-key", "good"), ("x-script", r#"{"txet":"a"}"#)];
    let told = client
        .post("/v1/messages", &misspelt, anthropic("x", false))
        .await
        .unwrap();
    assert_eq!(told.status, 422);
    assert!(told.text().contains("unknown field `txet`"));
    let upgrade = [key[0], ("connection", "upgrade"), ("upgrade", "websocket")];
    assert_eq!(client.get("/v1/responses", &upgrade).await.status, 426);
}

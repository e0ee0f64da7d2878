//! `OpenAI`'s other endpoints, and servers that speak chat in their own way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provider::{Options, Provider, tokens};
use serde_json::{Value, json};

use crate::client::{Client, Event, anthropic, chat, provider_with, responses};

async fn start() -> (Provider, Client) {
    let provider = Provider::start(Options::default()).await.unwrap();
    let client = Client::h1(provider.addr()).await;
    (provider, client)
}

async fn ask(client: &mut Client, path: &str, body: &Value) -> Value {
    client
        .post(path, &[], body.to_string())
        .await
        .unwrap()
        .json()
}

#[tokio::test]
async fn old_completions_are_whole_and_streamed() {
    let (provider, mut client) = start().await;
    let mut body = json!({"model": "m", "prompt": "hello there"});
    let whole = ask(&mut client, "/v1/completions", &body).await;
    assert_eq!(whole["object"], "text_completion");
    assert_eq!(whole["choices"][0]["text"], "You said: hello there");
    assert_eq!(
        whole["usage"]["prompt_tokens"],
        tokens(body.to_string().len())
    );
    body["stream"] = json!(true);
    for is_asked in [true, false] {
        body["stream_options"] = json!({"include_usage": is_asked});
        let reply = client
            .post("/v1/completions", &[], body.to_string())
            .await
            .unwrap();
        let mut events = reply.events();
        assert_eq!(events.pop().unwrap().data, "[DONE]");
        if is_asked {
            let last = events.pop().unwrap().data;
            assert_eq!(last["choices"], json!([]));
            let usage = provider.log().pop().unwrap().answer.usage.unwrap();
            assert_eq!(last["usage"]["completion_tokens"], usage.output);
        }
        let texts = events
            .iter()
            .map(|event| event.data["choices"][0]["text"].as_str().unwrap());
        assert_eq!(texts.collect::<String>(), "You said: hello there");
        assert_eq!(
            events.last().unwrap().data["choices"][0]["finish_reason"],
            "stop"
        );
        let usage = events[0].data.as_object().unwrap().get("usage");
        assert_eq!(usage, is_asked.then_some(&Value::Null));
    }
    assert_eq!(provider.log()[0].request.dialect, Some("openai_chat"));
}

#[tokio::test]
async fn vectors_are_listed_or_packed_and_texts_are_judged() {
    let (provider, mut client) = start().await;
    let mut body = json!({"model": "e", "input": ["a", "b"], "dimensions": 2});
    let list = ask(&mut client, "/v1/embeddings", &body).await;
    assert_eq!(
        list["data"][1],
        json!({"object": "embedding", "index": 1, "embedding": [0.0625, 0.125]})
    );
    let prompt = tokens(body.to_string().len());
    assert_eq!(
        list["usage"],
        json!({"prompt_tokens": prompt, "total_tokens": prompt})
    );
    let usage = provider.log()[0].answer.usage.unwrap();
    assert_eq!((usage.input, usage.output), (prompt, 0));
    body["encoding_format"] = json!("base64");
    body["input"] = json!([1, 2, 3]);
    let packed = ask(&mut client, "/v1/embeddings", &body).await;
    assert_eq!(packed["data"].as_array().unwrap().len(), 1);
    let bytes = STANDARD
        .decode(packed["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        bytes,
        [0.0_f32.to_le_bytes(), 0.0625_f32.to_le_bytes()].concat()
    );

    let judged = ask(
        &mut client,
        "/v1/moderations",
        &json!({"input": ["a", "b"]}),
    )
    .await;
    assert_eq!(judged["results"].as_array().unwrap().len(), 2);
    assert_eq!(judged["results"][0]["flagged"], false);
    assert_eq!(provider.log().pop().unwrap().answer.usage, None);
}

#[tokio::test]
async fn a_conversation_is_counted_and_compacted() {
    let (provider, mut client) = start().await;
    let body = responses("hello", false);
    let count = ask(&mut client, "/v1/responses/input_tokens", &body).await;
    let prompt = tokens(body.to_string().len());
    assert_eq!(
        count,
        json!({"object": "response.input_tokens", "input_tokens": prompt})
    );
    let compacted = ask(&mut client, "/v1/responses/compact", &body).await;
    assert_eq!(compacted["object"], "response.compaction");
    assert_eq!(compacted["output"][0]["type"], "compaction");
    let usage = provider.log().pop().unwrap().answer.usage.unwrap();
    assert_eq!(compacted["usage"]["output_tokens"], usage.output);
}

/// The stream of a flavour; comments apart, each event is JSON.
async fn flavoured(flavour: &str, options: Value) -> (String, Vec<Event>) {
    let script =
        json!({"text": "one two", "flavour": flavour, "usage": {"input": 100, "output": 2}});
    let (_provider, mut client) = provider_with(&script.to_string()).await;
    let mut body = chat("x", true);
    body["stream_options"] = options;
    let reply = client
        .post("/v1/chat/completions", &[], body.to_string())
        .await
        .unwrap();
    let text = reply.text().to_owned();
    let events = crate::client::events(&text.replace(": OPENROUTER PROCESSING\n\n", ""));
    (text, events)
}

fn figures(events: &[Event]) -> Vec<Value> {
    events
        .iter()
        .map(|event| event.data["usage"]["total_tokens"].clone())
        .collect()
}

#[tokio::test]
async fn openrouter_comments_and_always_tells_figures_and_cost() {
    let (text, events) = flavoured("openrouter", Value::Null).await;
    assert!(text.starts_with(": OPENROUTER PROCESSING\n\n"));
    let last = &events[events.len() - 2].data;
    assert_eq!(last["usage"]["total_tokens"], 102);
    assert_eq!(last["usage"]["cost"], 0.000_102);
    assert_eq!(last["choices"][0]["delta"]["content"], "");
    assert_eq!(last["provider"], "Scripted");
    let (_provider, mut client) = provider_with(r#"{"text":"x","flavour":"openrouter"}"#).await;
    let whole = ask(&mut client, "/api/v1/chat/completions", &chat("x", false)).await;
    assert!(whole["usage"]["cost"].is_f64());
}

#[tokio::test]
async fn llama_cpp_tells_figures_and_timings_with_its_last_choice() {
    for options in [Value::Null, json!({"include_usage": true})] {
        let (_, events) = flavoured("llama_cpp", options).await;
        let null = Value::Null;
        assert_eq!(
            figures(&events)[..4],
            [null.clone(), null.clone(), null, json!(102)]
        );
        assert_eq!(events.len(), 5);
        let last = &events[3].data;
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert_eq!(
            (
                &last["timings"]["prompt_n"],
                &last["timings"]["predicted_n"]
            ),
            (&json!(100), &json!(2))
        );
    }
}

#[tokio::test]
async fn vllm_counts_along_for_who_asks_for_it() {
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let (_, events) = flavoured("vllm", options).await;
    let counts = [100, 101, 102, 102, 102].map(|count| json!(count));
    assert_eq!(figures(&events)[..5], counts);
    assert_eq!(events[4].data["choices"], json!([]));
    let (_, events) = flavoured("vllm", json!({"include_usage": true})).await;
    assert_eq!(figures(&events)[3..5], [Value::Null, json!(102)]);
}

#[tokio::test]
async fn ollama_tells_figures_without_details_for_who_asks() {
    let (text, _) = flavoured("ollama", Value::Null).await;
    assert!(!text.contains("usage"));
    let (text, events) = flavoured("ollama", json!({"include_usage": true})).await;
    assert!(!text.contains("_details"));
    assert_eq!(figures(&events)[4], 102);
}

#[tokio::test]
async fn other_kinds_of_tokens_and_searches_stand_where_a_format_has_them() {
    let script = json!({"text": "x", "usage": {
        "input_audio": 10, "input_image": 20, "output_audio": 7, "web_searches": 2,
    }});
    let (_provider, mut client) = provider_with(&script.to_string()).await;
    let usage = ask(&mut client, "/v1/chat/completions", &chat("x", false)).await["usage"].take();
    assert_eq!(usage["prompt_tokens_details"]["audio_tokens"], 10);
    assert_eq!(usage["prompt_tokens_details"]["image_tokens"], 20);
    assert_eq!(usage["completion_tokens_details"]["audio_tokens"], 7);
    let body = serde_json::from_slice(&anthropic("x", false)).unwrap();
    let whole = ask(&mut client, "/v1/messages", &body).await;
    assert_eq!(whole["usage"]["server_tool_use"]["web_search_requests"], 2);
    let reply = client
        .post("/v1/responses", &[], responses("x", true).to_string())
        .await
        .unwrap();
    let events = reply.events();
    let done = events.iter().filter(|event| {
        event.name.as_deref() == Some("response.output_item.done")
            && event.data["item"]["type"] == "web_search_call"
    });
    assert_eq!(done.count(), 2);
}

//! Gemini, here and on Vertex, against replies that every client accepted.

use provider::{Options, Provider, tokens};
use serde_json::{Value, json};

use crate::client::{self, Client, anthropic, provider_with};
use crate::dialects::{accepted, assert_covers, assert_same_stream, script};
use crate::formats::gemini;

fn body() -> String {
    gemini().to_string()
}

#[tokio::test]
async fn gemini_replies_are_those_that_clients_accepted() {
    let (_provider, mut client) = provider_with(&script(false, true)).await;
    let path = "/v1beta/models/g:generateContent";
    let whole = client.post(path, &[], body()).await.unwrap().json();
    let theirs: Value = serde_json::from_str(&accepted("gemini json")).unwrap();
    assert_covers(&whole, &theirs, "");
    assert_eq!(whole["usageMetadata"], theirs["usageMetadata"]);
    assert_eq!(whole["modelVersion"], "g");

    let (_provider, mut client) = provider_with(&script(true, false)).await;
    let path = "/v1beta/models/g:streamGenerateContent?alt=sse";
    let reply = client.post(path, &[], body()).await.unwrap();
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let [ours, theirs] = [reply.text(), &accepted("gemini sse")].map(|text| {
        assert!(text.ends_with("}\r\n\r\n"));
        client::events(&text.replace("\r\n\r\n", "\n\n"))
    });
    assert_same_stream(&ours, &theirs);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.data["usageMetadata"], theirs.data["usageMetadata"]);
    }

    let path = "/v1beta/models/g:streamGenerateContent";
    let reply = client.post(path, &[], body()).await.unwrap();
    assert_eq!(
        reply.header("content-type"),
        "application/json; charset=UTF-8"
    );
    let theirs = accepted("gemini json-array stream");
    assert_covers(&reply.json(), &serde_json::from_str(&theirs).unwrap(), "");
    // What stands between the elements is the same, byte for byte.
    for text in [reply.text(), &theirs] {
        assert!(text.starts_with("[{") && text.ends_with("}\n]\n"));
        assert_eq!(text.matches("}\n,\r\n{").count(), 4);
    }
}

#[tokio::test]
async fn thoughts_come_first_and_are_no_candidates() {
    let (provider, mut client) = provider_with(r#"{"text":"so","thinking":"hm hm hm"}"#).await;
    let path = "/v1/models/g:generateContent";
    let whole = client.post(path, &[], body()).await.unwrap().json();
    let parts = &whole["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0], json!({"text": "hm hm hm", "thought": true}));
    assert_eq!(parts[1], json!({"text": "so"}));
    let usage = &whole["usageMetadata"];
    assert_eq!(usage["thoughtsTokenCount"], 2);
    assert_eq!(usage["candidatesTokenCount"], 1);
    assert_eq!(provider.log()[0].answer.usage.unwrap().output, 3);
}

#[tokio::test]
async fn other_kinds_of_tokens_stand_where_the_format_has_them() {
    let script = json!({"text": "x", "usage": {
        "input": 100, "output": 50, "input_audio": 10, "input_image": 20, "input_tool": 5,
        "output_audio": 7, "web_searches": 2,
    }});
    let (_provider, mut client) = provider_with(&script.to_string()).await;
    let path = "/v1beta1/publishers/google/models/g:generateContent";
    let whole = client.post(path, &[], body()).await.unwrap().json();
    let modality = |name: &str, count: u64| json!({"modality": name, "tokenCount": count});
    let usage = &whole["usageMetadata"];
    assert_eq!(
        usage["promptTokensDetails"],
        json!([
            modality("TEXT", 65),
            modality("AUDIO", 10),
            modality("IMAGE", 20)
        ])
    );
    assert_eq!(
        usage["candidatesTokensDetails"],
        json!([modality("TEXT", 43), modality("AUDIO", 7)])
    );
    // The total counts each token once: prompt, tools, candidates, thoughts.
    let part = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(
        (part("promptTokenCount"), part("toolUsePromptTokenCount")),
        (95, 5)
    );
    assert_eq!(part("totalTokenCount"), 150);
    assert_eq!(usage["trafficType"], "ON_DEMAND");
    let grounding = &whole["candidates"][0]["groundingMetadata"];
    assert_eq!(grounding["webSearchQueries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn counts_and_vectors_are_sides_of_the_same_model() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let path = "/v1/models/g:countTokens";
    let count = client.post(path, &[], body()).await.unwrap().json();
    assert_eq!(count["totalTokens"], tokens(body().len()));
    assert_eq!(provider.log()[0].answer.usage, None);

    let one = json!({"content": {"parts": [{"text": "hi"}]}, "outputDimensionality": 3});
    let path = "/v1beta/models/e:embedContent";
    let vector = client
        .post(path, &[], one.to_string())
        .await
        .unwrap()
        .json();
    assert_eq!(vector["embedding"]["values"], json!([0.0, 0.0625, 0.125]));
    let both = json!({"requests": [one, one]}).to_string();
    let path = "/v1beta/models/e:batchEmbedContents";
    let vectors = client.post(path, &[], both.clone()).await.unwrap().json();
    assert_eq!(vectors["embeddings"].as_array().unwrap().len(), 2);
    let usage = provider.log().last().unwrap().answer.usage.unwrap();
    assert_eq!((usage.input, usage.output), (tokens(both.len()), 0));

    let claude = json!({"messages": [], "model": "claude@1", "anthropic_version": "v"});
    let path = "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict";
    let count = client
        .post(path, &[], claude.to_string())
        .await
        .unwrap()
        .json();
    assert_eq!(count["input_tokens"], tokens(claude.to_string().len()));
    let entry = provider.log().pop().unwrap();
    assert_eq!(entry.request.model.as_deref(), Some("claude@1"));
}

#[tokio::test]
async fn errors_have_the_envelope_of_the_publisher_and_of_the_stream() {
    let (_provider, mut client) = provider_with(r#"{"status":403}"#).await;
    let path = "/v1beta/models/g:streamGenerateContent";
    let refused = client.post(path, &[], body()).await.unwrap().json();
    assert_eq!(refused[0]["error"]["status"], "PERMISSION_DENIED");
    let path = "/v1beta/models/g:streamGenerateContent?alt=sse";
    let refused = client.post(path, &[], body()).await.unwrap().json();
    assert_eq!(refused["error"]["code"], 403);
    let path = "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict";
    let refused = client
        .post(path, &[], anthropic("x", false))
        .await
        .unwrap()
        .json();
    assert_eq!(refused["error"]["type"], "permission_error");
    let path = "/v1beta/models/g:unheardOf";
    let unknown = client.post(path, &[], body()).await.unwrap().json();
    assert_eq!(unknown["error"]["status"], "NOT_FOUND");
}

/// Requests of real clients: fields by two names, lists that are objects, tags before the prompt.
#[tokio::test]
async fn requests_are_read_leniently() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let path = "/v1beta/models/g:generateContent";
    let schema = json!({"type": "OBJECT", "properties": {"command": {"type": "STRING"}}, "required": ["command"]});
    let declared = json!([{"name": "run_shell_command", "parameters": schema}]);
    let prompt = json!({"role": "user", "parts": [{"text": "<session_context>\nx"}, {"text": "RUN: echo hi"}]});
    for tools in [
        json!({"functionDeclarations": declared}),
        json!([{"function_declarations": declared}]),
    ] {
        let body = json!({"contents": [prompt], "tools": tools, "system_instruction": {"parts": {"text": "s"}}});
        let whole = client
            .post(path, &[], body.to_string())
            .await
            .unwrap()
            .json();
        let call = &whole["candidates"][0]["content"]["parts"][0]["functionCall"];
        assert_eq!(
            *call,
            json!({"name": "run_shell_command", "args": {"command": "echo hi"}})
        );
        assert_eq!(whole["candidates"][0]["finishReason"], "STOP");
    }
    let body = json!({"contents": [
        prompt, {"role": "model", "parts": [{"functionCall": {"name": "run_shell_command", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "x", "response": {"output": "hi"}}}]},
    ], "tools": {"functionDeclarations": declared}});
    let whole = client
        .post(path, &[], body.to_string())
        .await
        .unwrap()
        .json();
    let text = &whole["candidates"][0]["content"]["parts"][0]["text"];
    assert_eq!(*text, "The tool said: hi");
    let wanted = json!({"contents": [prompt], "generationConfig": {"responseSchema": {
        "type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}, "required": ["n"],
    }}});
    let whole = client
        .post(path, &[], wanted.to_string())
        .await
        .unwrap()
        .json();
    let text = &whole["candidates"][0]["content"]["parts"][0]["text"];
    assert_eq!(*text, r#"{"n":1}"#);
}

#[tokio::test]
async fn cached_content_is_read_by_half_and_lists_are_googles() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let mut body = gemini();
    body["cachedContent"] = json!("cachedContents/1");
    let path = "/v1beta/models/g:generateContent";
    let whole = client
        .post(path, &[], body.to_string())
        .await
        .unwrap()
        .json();
    let total = tokens(body.to_string().len());
    assert_eq!(whole["usageMetadata"]["cachedContentTokenCount"], total / 2);
    assert_eq!(whole["usageMetadata"]["promptTokenCount"], total);

    let key = [("x-goog-api-key", "k")];
    let list = client.get("/v1/models", &key).await.json();
    assert_eq!(list["models"][0]["name"], "models/claude-opus-5-5");
    let one = client.get("/v1beta/models/gpt-5", &[]).await.json();
    assert_eq!(one["name"], "models/gpt-5");
    let list = client
        .get("/v1beta1/publishers/google/models", &[])
        .await
        .json();
    assert!(list["publisherModels"].is_array());
}

#[tokio::test]
async fn a_key_may_come_in_googles_header() {
    let options = Options {
        key: Some("good".into()),
        ..Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let mut client = Client::h1(provider.addr()).await;
    let path = "/v1beta/models/g:generateContent";
    for (key, status) in [("good", 200), ("bad", 401)] {
        let reply = client.post(path, &[("x-goog-api-key", key)], body()).await;
        assert_eq!(reply.unwrap().status, status);
    }
}

//! Stored things are found by their id until they are deleted, and by no other id.

use hyper::Method;
use provider::{Matcher, Options, Provider, Script};
use serde_json::{Value, json};

use crate::client::{Client, responses};

const ANTHROPIC: (&str, &str) = ("anthropic-version", "2023-06-01");
const GOOGLE: (&str, &str) = ("x-goog-api-key", "k");

async fn start() -> (Provider, Client) {
    let provider = Provider::start(Options::default()).await.unwrap();
    let client = Client::h1(provider.addr()).await;
    (provider, client)
}

async fn create(client: &mut Client, path: &str, body: Value) -> Value {
    let reply = client.post(path, &[], body.to_string()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn form(name: &str) -> ([(&'static str, &'static str); 1], String) {
    let head = "Content-Disposition: form-data; name=";
    let body = format!(
        "--b\r\n{head}\"purpose\"\r\n\r\nbatch\r\n--b\r\n{head}\"file\"; filename=\"{name}\"\r\n\
         Content-Type: text/plain\r\n\r\nthe bytes\r\n--b--\r\n"
    );
    ([("content-type", "multipart/form-data; boundary=b")], body)
}

#[tokio::test]
async fn a_response_is_found_cancelled_and_deleted() {
    let (provider, mut client) = start().await;
    for stream in [false, true] {
        let body = responses("hello", stream).to_string();
        let reply = client.post("/v1/responses", &[], body).await.unwrap();
        let created = if stream {
            reply.events().pop().unwrap().data["response"].clone()
        } else {
            reply.json()
        };
        let id = created["id"].as_str().unwrap();
        let path = format!("/v1/responses/{id}");
        assert_eq!(client.get(&path, &[]).await.json(), created);
        let items = client.get(&format!("{path}/input_items"), &[]).await.json();
        assert_eq!(items["data"][0]["content"][0]["text"], "hello");
        assert_eq!(items["first_id"], items["data"][0]["id"]);

        let mut next = responses("more", false);
        next["previous_response_id"] = json!(id);
        let next = create(&mut client, "/v1/responses", next).await;
        assert_eq!(next["previous_response_id"], id);

        let cancelled = create(&mut client, &format!("{path}/cancel"), json!({})).await;
        assert_eq!(
            (&cancelled["id"], &cancelled["status"]),
            (&json!(id), &json!("cancelled"))
        );
        let deleted = client.ask(Method::DELETE, &path, &[]).await.json();
        assert_eq!(
            deleted,
            json!({"id": id, "object": "response", "deleted": true})
        );
        let gone = client.get(&path, &[]).await;
        assert_eq!(
            (gone.status.as_u16(), &gone.json()["error"]["type"]),
            (404, &json!("invalid_request_error"))
        );
    }
    let entry = provider.log().pop().unwrap();
    assert_eq!(entry.request.dialect, Some("openai_responses"));
}

#[tokio::test]
async fn what_is_not_stored_is_not_gone_on_from() {
    let (_provider, mut client) = start().await;
    let mut body = responses("x", false);
    body["store"] = json!(false);
    let unstored = create(&mut client, "/v1/responses", body.clone()).await;
    for id in [unstored["id"].as_str().unwrap(), "resp_unheard_of"] {
        assert_eq!(
            client.get(&format!("/v1/responses/{id}"), &[]).await.status,
            404
        );
        body["previous_response_id"] = json!(id);
        let refused = client
            .post("/v1/responses", &[], body.to_string())
            .await
            .unwrap();
        assert_eq!(refused.status, 400);
        let error = &refused.json()["error"];
        assert_eq!(error["code"], "previous_response_not_found");
        assert_eq!(error["param"], "previous_response_id");
    }
    let mut body = responses("x", false);
    body["conversation"] = json!({"id": "conv_unheard_of"});
    let refused = client
        .post("/v1/responses", &[], body.to_string())
        .await
        .unwrap();
    assert_eq!(refused.status, 404);
}

#[tokio::test]
async fn a_conversation_grows_by_items_and_by_responses() {
    let (_provider, mut client) = start().await;
    let item = json!({"type": "message", "role": "user", "content": "one"});
    let body = json!({"metadata": {"topic": "t"}, "items": [item]});
    let created = create(&mut client, "/v1/conversations", body).await;
    let path = format!("/v1/conversations/{}", created["id"].as_str().unwrap());
    assert_eq!(created["metadata"], json!({"topic": "t"}));
    let body = json!({"items": [item]});
    let added = create(&mut client, &format!("{path}/items"), body).await;
    let of_item = format!("{path}/items/{}", added["data"][0]["id"].as_str().unwrap());
    assert_eq!(client.get(&of_item, &[]).await.json()["content"], "one");
    let mut body = responses("two", false);
    body["conversation"] = created["id"].clone();
    let response = create(&mut client, "/v1/responses", body).await;
    assert_eq!(response["conversation"]["id"], created["id"]);
    let items = client.get(&format!("{path}/items"), &[]).await.json();
    assert_eq!(items["data"].as_array().unwrap().len(), 4);
    assert_eq!(client.ask(Method::DELETE, &of_item, &[]).await.status, 200);
    assert_eq!(client.get(&of_item, &[]).await.status, 404);
    let changed = create(&mut client, &path, json!({"metadata": {"a": "b"}})).await;
    assert_eq!(client.get(&path, &[]).await.json(), changed);
    assert_eq!(
        client.ask(Method::DELETE, &path, &[]).await.json()["deleted"],
        true
    );
    assert_eq!(client.get(&path, &[]).await.status, 404);
}

#[tokio::test]
async fn files_belong_to_the_api_that_the_headers_name() {
    let (_provider, mut client) = start().await;
    let (kind, body) = form("a.txt");
    let openai = client
        .post("/v1/files", &kind, body.clone())
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&openai["object"], &openai["purpose"]),
        (&json!("file"), &json!("batch"))
    );
    assert_eq!(
        (&openai["bytes"], &openai["filename"]),
        (&json!(9), &json!("a.txt"))
    );
    let anthropic = client
        .post("/v1/files", &[kind[0], ANTHROPIC], body)
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&anthropic["type"], &anthropic["size_bytes"]),
        (&json!("file"), &json!(9))
    );
    assert_eq!(anthropic["mime_type"], "text/plain");
    let apis = [
        (openai, vec![], json!(true)),
        (anthropic, vec![ANTHROPIC], Value::Null),
    ];
    for (file, headers, deleted) in apis {
        let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
        assert_eq!(client.get(&path, &headers).await.json(), file);
        let content = client.get(&format!("{path}/content"), &headers).await;
        assert_eq!(
            (content.text(), content.header("content-type")),
            ("the bytes", "text/plain")
        );
        let list = client.get("/v1/files", &headers).await.json();
        assert_eq!(list["data"], json!([file]));
        let gone = client.ask(Method::DELETE, &path, &headers).await.json();
        assert_eq!(gone.get("deleted").unwrap_or(&Value::Null), &deleted);
        assert_eq!(client.get(&path, &headers).await.status, 404);
    }
    let bad = client.post("/v1/files", &[], "no form").await.unwrap();
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn googles_files_come_in_one_piece_or_announced() {
    let (provider, mut client) = start().await;
    let path = "/upload/v1beta/files";
    let start = [
        GOOGLE,
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
    ];
    let announced = client.post(path, &start, r#"{"file":{}}"#).await.unwrap();
    let url = announced.header("x-goog-upload-url");
    let (_, path) = url.split_once("localhost").unwrap();
    let finish = [
        GOOGLE,
        ("x-goog-upload-command", "upload, finalize"),
        ("content-type", "text/plain"),
    ];
    let sent = client.post(path, &finish, "the bytes").await.unwrap();
    assert_eq!(sent.header("x-goog-upload-status"), "final");
    let file = sent.json()["file"].clone();
    assert_eq!(
        (&file["sizeBytes"], &file["state"]),
        (&json!("9"), &json!("ACTIVE"))
    );
    let path = format!("/v1beta/{}", file["name"].as_str().unwrap());
    assert_eq!(client.get(&path, &[GOOGLE]).await.json(), file);
    assert_eq!(
        client.get("/v1beta/files", &[GOOGLE]).await.json()["files"],
        json!([file])
    );
    assert_eq!(
        client.ask(Method::DELETE, &path, &[GOOGLE]).await.json(),
        json!({})
    );
    let gone = client.get(&path, &[GOOGLE]).await;
    assert_eq!(
        (gone.status.as_u16(), &gone.json()["error"]["status"]),
        (404, &json!("NOT_FOUND"))
    );
    let entry = provider.log().pop().unwrap();
    assert_eq!(entry.request.dialect, Some("gemini_generate_content"));
}

#[tokio::test]
async fn cached_contents_are_named_by_their_owner() {
    let (_provider, mut client) = start().await;
    for (base, owner) in [
        ("/v1beta", ""),
        ("/v1beta1/projects/p/locations/l", "projects/p/locations/l/"),
    ] {
        let body = json!({"model": "models/g", "contents": [], "ttl": "60s"});
        let created = create(&mut client, &format!("{base}/cachedContents"), body).await;
        let name = created["name"].as_str().unwrap();
        assert!(name.starts_with(&format!("{owner}cachedContents/scripted-")));
        let path = format!("{base}/{}", name.strip_prefix(owner).unwrap());
        assert_eq!(client.get(&path, &[]).await.json(), created);
        let list = client
            .get(&format!("{base}/cachedContents"), &[])
            .await
            .json();
        assert_eq!(list["cachedContents"], json!([created]));
        assert_eq!(client.ask(Method::DELETE, &path, &[]).await.status, 200);
        assert_eq!(client.get(&path, &[]).await.status, 404);
    }
}

#[tokio::test]
async fn scripts_that_name_the_path_are_for_stored_things_too() {
    let (provider, mut client) = start().await;
    let script = r#"{"status":429,"retry_after":"7"}"#;
    provider.script_times(
        1,
        Matcher::path("/files"),
        Script::from_json(script).unwrap(),
    );
    let refused = client.get("/v1/files", &[]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (429, "7")
    );
    assert_eq!(client.get("/v1/files", &[]).await.status, 200);
    let raw = [(
        "x-script",
        r#"{"raw":["a","b"],"content_type":"text/plain"}"#,
    )];
    assert_eq!(client.get("/v1/files", &raw).await.text(), "ab");
    let bad = [("x-script", r#"{"rwa":1}"#)];
    assert_eq!(client.get("/v1/files", &bad).await.status, 422);
}

//! The list of models, as programs read it before they ask for one.

use super::World;
use crate::support::http::{Answer, send};
use http::Method;
use serde_json::{Value, json};

async fn get(url: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(Method::GET, &format!("{url}{path}"), headers, "").await
}

const ANTHROPIC: [(&str, &str); 1] = [("anthropic-version", "2023-06-01")];

fn ids(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    let rows = list["data"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn everybody_lists_the_models_that_they_may_use() {
    let world = World::start().await;
    let alice = world.url("alice").await;
    let list = get(&alice, "/v1/models", &[]).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.json()["object"], "list");
    assert_eq!(list.json()["models"], Value::Null);
    assert_eq!(ids(&list).len(), 8);
    for row in list.json()["data"].as_array().unwrap() {
        let provider = &row["metadata"]["provider"];
        for text in [&row["id"], &provider["id"], &provider["upstream"]] {
            assert!(!text.as_str().unwrap().is_empty(), "{row}");
        }
        assert!(provider["name"].is_string() && provider["description"].is_string());
        assert_eq!(provider["requires_client_auth"], false);
        assert_eq!(row["owned_by"], provider["id"]);
    }
    let paths = |id: &str| {
        let list = list.json();
        let rows = list["data"].as_array().unwrap();
        let row = rows.iter().find(|row| row["id"] == id);
        row.unwrap()["supported_endpoints"].clone()
    };
    assert_eq!(paths("claude-opus-5-5"), json!(["/v1/messages"]));
    assert_eq!(
        paths("gpt-5"),
        json!(["/v1/chat/completions", "/v1/responses"])
    );
    let codex = get(&alice, "/v1/models?client_version=0.169.0", &[]).await;
    assert_eq!(codex.json()["models"], json!([]));

    // One that speaks Anthropic's dialect gets the models that it can speak to.
    let list = get(&alice, "/v1/models?limit=1000", &ANTHROPIC).await;
    assert_eq!(
        ids(&list),
        [
            "claude-opus-5-5",
            "claude-sonnet-4-5",
            "claude-haiku-4-5",
            "claude-haiku-4-5-20251001"
        ]
    );
    assert_eq!(list.json()["has_more"], false);
    assert_eq!(list.json()["data"][0]["type"], "model");
    let one = get(&alice, "/v1/models/claude-haiku-4-5", &ANTHROPIC).await;
    assert_eq!(one.json()["id"], "claude-haiku-4-5");

    let bob = world.url("bob").await;
    assert_eq!(
        ids(&get(&bob, "/models", &[]).await),
        ["claude-haiku-4-5", "claude-haiku-4-5-20251001", "gpt-4o"]
    );
    let one = get(&bob, "/v1/models/openai%2Fgpt-4o", &[]).await;
    assert_eq!(one.json()["id"], "gpt-4o");
    for hidden in ["gpt-5", "no-such-model"] {
        let answer = get(&bob, &format!("/v1/models/{hidden}"), &[]).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["error"]["code"], "model_not_found");
        assert_eq!(
            answer.json()["error"]["message"],
            format!("model not found: {hidden}")
        );
    }

    // Agents ask whether there is somebody.
    let answer = send(Method::HEAD, &format!("{bob}/"), &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));

    let ci = world.url("ci").await;
    let answer = get(&ci, "/v1/models", &ANTHROPIC).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["error"]["type"], "permission_error");
    assert!(world.provider.log().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_web_page_of_another_site_lists_no_models() {
    let world = World::start().await;
    let alice = world.url("alice").await;
    let foreign = [("origin", "http://evil.example")];
    let answer = get(&alice, "/v1/models", &foreign).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    // A program under a name of its own may: that is no browser's business.
    let answer = get(&alice, "/v1/models", &[("host", "my-name-for-it")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    world.stop().await;
}

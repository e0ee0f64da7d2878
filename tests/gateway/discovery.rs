//! What programs ask before they ask a model, over the wire.

use super::start;
use crate::support::{
    EVERYBODY, config,
    http::{Answer, send},
};
use http::Method;
use provider::{Options, Provider};
use serde_json::json;

async fn ask(method: Method, url: &str, head: &[(&str, &str)]) -> Answer {
    send(method, url, head, "").await
}

#[tokio::test]
async fn lists_are_answered_to_get_and_head_and_told_unchanged() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&config(&provider.url(), EVERYBODY)).await;
    for path in [
        "/v1/models",
        "/api/providers",
        "/api/connectors",
        "/v1beta/models",
    ] {
        let url = format!("{}{path}", gateway.url);
        let whole = ask(Method::GET, &url, &[]).await;
        assert_eq!(whole.status, 200, "{path}");
        assert_eq!(whole.headers["content-type"], "application/json");
        let head = ask(Method::HEAD, &url, &[]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
        assert_eq!(head.headers["etag"], whole.headers["etag"]);
        let tag = whole.headers["etag"].to_str().unwrap();
        for method in [Method::GET, Method::HEAD] {
            let again = ask(method, &url, &[("if-none-match", tag)]).await;
            assert_eq!(
                (again.status.as_u16(), again.body.len()),
                (304, 0),
                "{path}"
            );
        }
    }
    let providers = ask(Method::GET, &format!("{}/api/providers", gateway.url), &[]).await;
    let providers = providers.json();
    assert_eq!(providers.as_array().unwrap().len(), 2);
    assert_eq!(
        providers[1]["models"],
        json!(["gpt-4o", "gpt-4o-mini", "gpt-5"])
    );
    assert_eq!(providers[1]["compatibility"]["openai_responses"], true);
    // An unknown model, in each API's words.
    for (path, head, place, word) in [
        ("/v1/models/none", &[][..], "/error/code", "model_not_found"),
        (
            "/v1/models/none",
            &[("anthropic-version", "2023-06-01")],
            "/error/type",
            "not_found_error",
        ),
        ("/v1beta/models/none", &[], "/error/status", "NOT_FOUND"),
    ] {
        let answer = ask(Method::GET, &format!("{}{path}", gateway.url), head).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json().pointer(place).unwrap(), word, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn probes_are_answered_counted_and_leave_no_record() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&config(&provider.url(), EVERYBODY)).await;
    for (method, path, status) in [
        (Method::HEAD, "/", 200),
        (Method::GET, "/", 302),
        (Method::HEAD, "/api/hello", 200),
        (Method::GET, "/api/hello", 200),
        (Method::POST, "/v1/metrics", 200),
        (Method::POST, "/v1/logs", 200),
        (Method::POST, "/v1/traces", 200),
        (Method::POST, "/api/event_logging/batch", 200),
        (
            Method::GET,
            "/bedrock/inference-profiles?type=SYSTEM_DEFINED",
            404,
        ),
        (Method::GET, "/foundation-models", 404),
        (Method::GET, "/.well-known/oauth-authorization-server", 404),
        (Method::GET, "/managed/settings", 404),
        (Method::GET, "/protocol", 404),
    ] {
        let url = format!("{}{path}", gateway.url);
        let body = if method == Method::POST {
            "x".repeat(1 << 20)
        } else {
            String::new()
        };
        let json = [("content-type", "application/json")];
        let answer = send(method.clone(), &url, &json, body).await;
        assert_eq!(answer.status, status, "{method} {path}");
        match (status, path) {
            (200, _) if method == Method::POST => assert_eq!(answer.text(), "{}", "{path}"),
            (404, "/bedrock/inference-profiles?type=SYSTEM_DEFINED" | "/foundation-models") => {
                assert_eq!(
                    answer.headers["x-amzn-errortype"],
                    "ResourceNotFoundException"
                );
                assert!(answer.json()["message"].is_string());
            }
            (404, _) => assert!(answer.json()["error"].is_string(), "{path}"),
            _ => {}
        }
    }
    let protobuf = [("content-type", "application/x-protobuf")];
    let url = format!("{}/v1/metrics", gateway.url);
    let answer = send(Method::POST, &url, &protobuf, "\u{1}").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(answer.headers["content-type"], "application/x-protobuf");

    let metrics = ask(
        Method::GET,
        &format!("{}/metrics", gateway.metrics_url),
        &[],
    )
    .await;
    let counted = "aperture_probes_total{probe=\"/v1/metrics\"} 2";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    assert!(gateway.records().await.is_empty());
    assert!(provider.log().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_role_nothing_is_told() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = start(&config(&provider.url(), "")).await;
    for (method, path) in [
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1beta/models"),
        (Method::GET, "/api/providers"),
        (Method::GET, "/api/connectors"),
        (Method::HEAD, "/"),
        (Method::GET, "/api/hello"),
        (Method::POST, "/v1/metrics"),
        (Method::GET, "/protocol"),
    ] {
        let answer = ask(method, &format!("{}{path}", gateway.url), &[]).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(!answer.text().contains("gpt"), "{path}");
    }
    gateway.stop().await;
}

use super::*;
use std::fmt::Write as _;

#[test]
fn the_table_of_failures() {
    let mut table = String::new();
    for failure in Failure::examples() {
        let facts = failure.facts();
        let _ = writeln!(
            table,
            "{} {} {} {} retry={} {}",
            facts.status.as_u16(),
            facts.reason,
            facts.anthropic,
            facts.openai,
            facts.retry,
            facts.message
        );
    }
    insta::assert_snapshot!(table);
}

#[test]
fn bodies_are_in_the_callers_dialect_and_tell_no_details() {
    let id = RequestId(7);
    for failure in Failure::examples() {
        let facts = failure.facts();
        for dialect in [None].into_iter().chain(Dialect::ALL.map(Some)) {
            let response = failure.response(dialect, id);
            assert_eq!(response.status(), facts.status);
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(
                response.headers().contains_key("x-should-retry"),
                !facts.retry
            );
            let text = String::from_utf8(response.body().to_vec()).unwrap();
            assert!(
                !text.contains("10.1.2.3") && !text.contains("ACME_API_KEY"),
                "{text}"
            );
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            match dialect {
                None => assert_eq!(json["error"], facts.message.as_str()),
                Some(Dialect::AnthropicMessages | Dialect::GoogleRawPredict) => {
                    assert_eq!(json["type"], "error");
                    assert_eq!(json["error"]["type"], facts.anthropic);
                    assert_eq!(json["error"]["message"], facts.message.as_str());
                }
                Some(Dialect::OpenaiChat | Dialect::OpenaiResponses) => {
                    assert_eq!(json["error"]["code"], facts.openai);
                    assert_eq!(json["error"]["message"], facts.message.as_str());
                }
                Some(Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent) => {
                    assert_eq!(json["error"]["code"], facts.status.as_u16());
                    assert!(json["error"]["status"].is_string());
                    assert_eq!(json["error"]["message"], facts.message.as_str());
                }
                Some(Dialect::BedrockModelInvoke | Dialect::BedrockConverse) => {
                    let kind = response.headers()["x-amzn-errortype"].to_str().unwrap();
                    assert!(kind.ends_with("Exception"), "{kind}");
                    assert_eq!(json["message"], facts.message.as_str());
                }
            }
        }
    }
}

#[test]
fn no_role_has_the_documented_words() {
    let response = Failure::Denied(Denied::NoRole).response(None, RequestId(1));
    assert_eq!(response.status(), 403);
    assert_eq!(
        response.body().as_ref(),
        br#"{"error":"access denied: no role granted"}"#
    );
}

#[test]
fn a_restart_tells_clients_to_try_again() {
    let response = Failure::Draining.response(Some(Dialect::OpenaiChat), RequestId(1));
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(
        String::from_utf8_lossy(response.body())
            .contains("aperture is restarting, retry this request")
    );
}

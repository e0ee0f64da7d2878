use super::*;
use crate::record::ToolCall;
use proptest::prelude::*;

fn read(endpoint: Endpoint, body: &str) -> RequestFacts {
    read_request(endpoint, &HeaderMap::new(), body.as_bytes()).unwrap()
}

fn refuse(body: &[u8]) -> BadRequest {
    read_request(Endpoint::AnthropicMessages, &HeaderMap::new(), body).unwrap_err()
}

#[test]
fn only_what_cannot_be_routed_is_refused() {
    assert!(matches!(refuse(b""), BadRequest::NotJson(_)));
    assert!(matches!(refuse(b"[1]"), BadRequest::NotJson(_)));
    assert!(matches!(refuse(br#"{"model":"a""#), BadRequest::NotJson(_)));
    assert!(matches!(
        refuse(br#"{"model":"a"} {"model":"b"}"#),
        BadRequest::NotJson(_)
    ));
    assert!(matches!(
        refuse(br#"{"model":"a",}"#),
        BadRequest::NotJson(_)
    ));
    assert!(matches!(
        refuse(b"{\"model\":\"\xff\"}"),
        BadRequest::NotText
    ));
    assert!(matches!(
        refuse(br#"{"x":{"model":"a"}}"#),
        BadRequest::NoModel
    ));
    assert!(matches!(refuse(br#"{"Model":"a"}"#), BadRequest::NoModel));
    for bad in [
        r#"{"model":1}"#,
        r#"{"model":""}"#,
        r#"{"model":null}"#,
        r#"{"model":"\ud800"}"#,
    ] {
        assert!(
            matches!(refuse(bad.as_bytes()), BadRequest::BadModel),
            "{bad}"
        );
    }
}

/// The model that is routed by must be the one that the provider reads, whichever of two it takes.
#[test]
fn a_second_model_is_refused() {
    for body in [
        r#"{"model":"a","model":"a"}"#,
        r#"{"model":"a","x":1,"model":"b"}"#,
        r#"{"model":"a","mod\u0065l":"b"}"#,
        r#"{"model":"a","Model":"b"}"#,
        r#"{"MODEL":"a","model":"b"}"#,
    ] {
        assert!(
            matches!(refuse(body.as_bytes()), BadRequest::TwoModels),
            "{body}"
        );
    }
    let nested = read(
        Endpoint::OpenaiChat,
        r#"{"model":"a","tools":[{"model":"b"}]}"#,
    );
    assert_eq!(
        (nested.model.as_str(), nested.model_span),
        ("a", Some(9..12))
    );
}

#[test]
fn models_that_the_provider_may_choose_are_named() {
    let facts = read(
        Endpoint::OpenaiChat,
        r#"{"model":"a","models":["b","c"],"Models":["d"]}"#,
    );
    assert_eq!(facts.other_models, ["b", "c", "d"]);
    assert!(
        read(Endpoint::OpenaiChat, r#"{"model":"a","models":"x"}"#)
            .other_models
            .is_empty()
    );
    assert!(matches!(
        refuse(br#"{"model":"a","models":["b",{}]}"#),
        BadRequest::BadModel
    ));
    let many = format!(
        r#"{{"model":"a","models":[{}"b"]}}"#,
        r#""b","#.repeat(OTHER_MODELS)
    );
    assert!(matches!(refuse(many.as_bytes()), BadRequest::BadModel));
}

#[test]
fn any_other_shape_is_passed_over() {
    for endpoint in Endpoint::ALL {
        for rest in [
            r#""messages":null"#,
            r#""messages":{"a":1}"#,
            r#""messages":[1,null,"x",[],{"role":5,"content":{"a":1}},{"role":"alien","content":[7,{"type":9}]}]"#,
            r#""input":[{"type":"future_item"},{"type":"x_call"},{"type":"y_call_output","output":[1]}]"#,
            r#""stream":"yes","metadata":[],"client_metadata":3,"conversation":{},"prompt_cache_key":{}"#,
            r#""messages":[{"role":"user","content":"\ud800"}]"#,
            r#""tools":{},"stream_options":7"#,
        ] {
            let facts = read(endpoint, &format!(r#"{{"model":"m",{rest}}}"#));
            assert_eq!(facts.model, "m");
            assert!(facts.session.explicit.is_empty());
        }
    }
    // Deeper than any recursive parser would go.
    let deep = format!(
        r#"{{"x":{}{},"model":"m"}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(read(Endpoint::OpenaiChat, &deep).model, "m");
}

#[test]
fn encoded_bodies_are_read_on_the_side() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":true}"#;
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", "zstd".parse().unwrap());
    let encoded = zstd::encode_all(&body[..], 3).unwrap();
    let facts = read_request(Endpoint::OpenaiChat, &headers, &encoded).unwrap();
    assert_eq!(
        (facts.model.as_str(), facts.title.as_deref()),
        ("m", Some("hello"))
    );
    assert_eq!(
        (facts.model_span, facts.include_usage),
        (None, IncludeUsage::NotApplicable)
    );
    assert!(facts.message_borders.is_empty());

    let read = |encoded: &[u8], coding: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", coding.parse().unwrap());
        read_request(Endpoint::OpenaiChat, &headers, encoded)
    };
    assert!(read(body, "identity").is_ok());
    assert!(matches!(read(body, "zstd"), Err(BadRequest::Undecodable)));
    assert!(matches!(
        read(body, "snappy"),
        Err(BadRequest::UnknownEncoding)
    ));
    assert!(matches!(
        read(body, "gzip, zstd"),
        Err(BadRequest::UnknownEncoding)
    ));
    let bomb =
        zstd::encode_all(std::io::Read::take(std::io::repeat(b' '), DECODED + 1), 1).unwrap();
    assert!(matches!(read(&bomb, "zstd"), Err(BadRequest::TooLarge)));
}

#[test]
fn borders_are_the_ends_of_messages() {
    let (first, second) = (
        r#"{"role":"user","content":"a"}"#,
        r#"{"role":"assistant","content":"b"}"#,
    );
    let one = format!(r#"{{"model":"m","messages":[{first}],"max_tokens":1}}"#);
    let two = format!(r#"{{"model":"m","messages":[{first}, {second}],"max_tokens":1}}"#);
    let split = |body: &str| -> Vec<String> {
        let borders = read(Endpoint::AnthropicMessages, body).message_borders;
        let ends = borders.iter().copied().chain([body.len()]);
        let mut from = 0;
        ends.map(|end| body[std::mem::replace(&mut from, end)..end].to_owned())
            .collect()
    };
    let head = r#"{"model":"m","messages":["#;
    assert_eq!(split(&one), [head, first, r#"],"max_tokens":1}"#]);
    assert_eq!(
        split(&two),
        [head, first, &format!(", {second}"), r#"],"max_tokens":1}"#]
    );
}

#[test]
fn the_title_is_what_the_user_asked_for() {
    let cases = [
        (
            r#"[{"role":"system","content":"s"},{"role":"user","content":"  Fix\n the   bug  "}]"#,
            Some("Fix the bug"),
        ),
        (
            r#"[{"role":"user","content":[{"type":"text","text":"<system-reminder>\nx</system-reminder>"},{"type":"text","text":"hi"}]}]"#,
            Some("hi"),
        ),
        (
            r#"[{"role":"user","content":"<environment_context><cwd>/</cwd></environment_context>"},{"role":"user","content":"go"}]"#,
            Some("go"),
        ),
        (
            r#"[{"role":"user","content":"a <info-msg>b</info-msg> c"}]"#,
            Some("a c"),
        ),
        (
            r#"[{"role":"user","content":"x <b>y</b> <system-reminder never closed"}]"#,
            Some("x <b>y</b>"),
        ),
        (
            r#"[{"role":"user","content":"<current_datetime>now</current_datetime>\n\nUSE"}]"#,
            Some("USE"),
        ),
        (
            r#"[{"role":"user","content":"Generate a title for this conversation:\n"},{"role":"user","content":"real"}]"#,
            Some("real"),
        ),
        (
            r#"[{"role":"user","content":"<system-reminders> is my text"}]"#,
            Some("<system-reminders> is my text"),
        ),
        (
            r#"[{"role":"user","content":"I share no files."},{"role":"assistant","content":"Ok."},{"role":"user","content":"do it"},{"role":"system","content":"rules"}]"#,
            Some("do it"),
        ),
        (
            r#"[{"role":"user","content":"do it"},{"role":"assistant","content":"Ok."},{"role":"tool","content":"r"}]"#,
            Some("do it"),
        ),
        (r#"[{"role":"user","content":[{"type":"image"}]}]"#, None),
    ];
    for (messages, title) in cases {
        let facts = read(
            Endpoint::OpenaiChat,
            &format!(r#"{{"model":"m","messages":{messages}}}"#),
        );
        assert_eq!(facts.title.as_deref(), title, "{messages}");
    }
    let long = "é".repeat(500);
    let facts = read(
        Endpoint::OpenaiResponses,
        &format!(r#"{{"model":"m","input":"{long}"}}"#),
    );
    assert_eq!(facts.title.unwrap().chars().count(), 120);
}

#[test]
fn ids_in_the_body_in_their_order() {
    let facts = read(
        Endpoint::OpenaiResponses,
        r#"{"model":"m","prompt_cache_key":"p","conversation":{"id":"c"},"client_metadata":{"session_id":"s"},"previous_response_id":"r",
            "metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"u\"}"},"service_tier":"flex","input":"x"}"#,
    );
    assert_eq!(facts.session.explicit, ["u", "s", "c"]);
    assert_eq!(facts.session.cache_key.as_deref(), Some("p"));
    assert_eq!(facts.session.previous_response.as_deref(), Some("r"));
    assert_eq!(facts.service_tier.as_deref(), Some("flex"));
    let old = read(
        Endpoint::AnthropicMessages,
        r#"{"model":"m","metadata":{"user_id":"user_ab_account__session_1-2"}}"#,
    );
    assert_eq!(old.session.explicit, ["1-2"]);
    let plain = read(
        Endpoint::AnthropicMessages,
        r#"{"model":"m","metadata":{"user_id":"someone"}}"#,
    );
    assert!(plain.session.explicit.is_empty(), "a person is no session");
}

#[test]
fn only_results_since_the_last_reply_are_new() {
    let facts = read(
        Endpoint::OpenaiChat,
        r#"{"model":"m","tools":[{}],"messages":[{"role":"user","content":"q"},
            {"role":"assistant","tool_calls":[{"id":"1","function":{"name":"old","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"},
            {"role":"assistant","tool_calls":[{"id":"2","function":{"name":"new","arguments":"{}"}},{"id":"3","function":{"name":"other","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"3","content":[{"type":"text","text":"r"}]},{"role":"tool","tool_call_id":"2","content":"r"}]}"#,
    );
    let result = |name: &str, call: &str| ToolCall {
        name: name.into(),
        call: call.into(),
        argument_bytes: 0,
        result_error: Some(false),
        result_bytes: 1,
        ..ToolCall::default()
    };
    assert_eq!(
        facts.tool_results,
        [result("other", "3"), result("new", "2")]
    );
    assert_eq!(facts.session.calls, ["3", "2", "1"]);
    assert_eq!(facts.session.replies.len(), 2);
    assert!(facts.session.has_tools);
    assert_eq!(facts.session.first_prompt, None);
}

/// The ways in which real clients rewrite their own history, one by one (wire-formats 0.13).
#[test]
fn renderings_of_the_same_history_hash_alike() {
    let hash = |endpoint, messages: &str| {
        let key = if messages.starts_with('"') || messages.contains(r#""type":"message""#) {
            "input"
        } else {
            "messages"
        };
        read(endpoint, &format!(r#"{{"model":"m","{key}":{messages}}}"#))
            .session
            .history
    };
    let plain = r#"[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]"#;
    let expected = hash(Endpoint::AnthropicMessages, plain);
    for same in [
        r#"[{"role":"user","content":[{"type":"text","text":"q","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":[{"type":"text","text":"a\n"}]}]"#,
        r#"[{"role":"user","content":[{"type":"text","text":"<system-reminder>new</system-reminder>"},{"type":"text","text":"q"}]},{"role":"system","content":"x","output_config":{}},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"a"}]}]"#,
    ] {
        assert_eq!(hash(Endpoint::AnthropicMessages, same), expected, "{same}");
    }
    assert_eq!(
        hash(Endpoint::OpenaiChat, plain),
        expected,
        "dialects share the form"
    );
    let items = r#"[{"type":"message","id":"x","role":"user","content":[{"type":"input_text","text":"q"}]},{"type":"reasoning","summary":[]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]}]}]"#;
    assert_eq!(hash(Endpoint::OpenaiResponses, items), expected);
    assert_eq!(
        hash(Endpoint::OpenaiChat, items),
        expected,
        "the shape decides, not the path"
    );
    for other in [
        r#"[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]"#,
        r#"[{"role":"user","content":"qa"}]"#,
        r#"[{"role":"assistant","content":"q"},{"role":"user","content":"a"}]"#,
        r#"[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"a","input":{}}]}]"#,
    ] {
        assert_ne!(
            hash(Endpoint::AnthropicMessages, other),
            expected,
            "{other}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for endpoint in Endpoint::ALL {
            let _ = read_request(endpoint, &HeaderMap::new(), &bytes);
        }
    }

    #[test]
    fn no_damage_makes_it_panic(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..10)) {
        let mut body = br#"{"model":"m","stream":true,"stream_options":{"x":1},"messages":[{"role":"user","content":[{"type":"text","text":"<info-msg>a</info-msg>"}]},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"n","input":{"a":[1]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"}]}]}"#.to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for endpoint in Endpoint::ALL {
            if let Ok(facts) = read_request(endpoint, &HeaderMap::new(), &body) {
                let span = facts.model_span.unwrap();
                prop_assert_eq!(serde_json::from_slice::<String>(&body[span]).unwrap(), facts.model);
                prop_assert!(facts.message_borders.is_sorted());
            }
        }
    }
}

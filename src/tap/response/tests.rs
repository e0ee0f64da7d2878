use super::{body::BODY, *};
use proptest::prelude::*;
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write},
    path::PathBuf,
};

const DIALECTS: [(&str, Endpoint); 8] = [
    ("anthropic_messages", Endpoint::AnthropicMessages),
    ("openai_chat", Endpoint::OpenaiChat),
    ("openai_responses", Endpoint::OpenaiResponses),
    (
        "gemini_generate_content",
        Endpoint::GeminiStreamGenerateContent,
    ),
    (
        "google_generate_content",
        Endpoint::GoogleStreamGenerateContent,
    ),
    ("google_raw_predict", Endpoint::GoogleStreamRawPredict),
    ("bedrock_model_invoke", Endpoint::BedrockInvokeStream),
    ("bedrock_converse", Endpoint::BedrockConverseStream),
];

pub(super) fn fixtures(dialect: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/wire")
        .join(dialect);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

pub(super) fn head(name: &str) -> HeaderMap {
    let kind = match name.rsplit('.').next() {
        Some("json" | "array") => "application/json",
        Some("frames") => "application/vnd.amazon.eventstream",
        _ => "text/event-stream; charset=utf-8",
    };
    HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())])
}

pub(super) fn read<'a>(
    endpoint: Endpoint,
    head: &HeaderMap,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    complete: bool,
) -> ResponseFacts {
    let mut tap = ResponseTap::new(endpoint, 200, head);
    for chunk in chunks {
        tap.feed(chunk);
    }
    tap.finish(complete)
}

/// What is read of a fixture: cut ones end as a cut does, the others to the end.
pub(super) fn facts_of(endpoint: Endpoint, name: &str, body: &[u8]) -> ResponseFacts {
    read(
        endpoint,
        &head(name),
        [body],
        !name.starts_with("truncated"),
    )
}

fn line(facts: &ResponseFacts) -> String {
    let mut line = format!(
        "{:?}  in {} + read {} + write {}/{}  out {} of which reasoning {}  searches {}\n",
        facts.usage_state,
        facts.usage.input,
        facts.usage.cache_read,
        facts.usage.cache_write,
        facts.usage.cache_write_1h,
        facts.usage.output,
        facts.usage.reasoning,
        facts.usage.web_searches,
    );
    let kinds = [
        ("audio in", facts.usage.audio_input),
        ("images in", facts.usage.image_input),
        ("cached audio", facts.usage.cached_audio),
        ("cached images", facts.usage.cached_image),
        ("audio out", facts.usage.audio_output),
        ("images out", facts.usage.image_output),
        ("fetches", facts.usage.web_fetches),
        ("file searches", facts.usage.file_searches),
        ("other tools", facts.usage.server_tools),
    ];
    for (name, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
        writeln!(line, "  {name} {count}").unwrap();
    }
    if let Some(unstated) = facts.unstated {
        let input = if unstated.input { "input and " } else { "" };
        writeln!(line, "  unstated: {input}about {} out", unstated.output).unwrap();
    }
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    writeln!(
        line,
        "  model {}  id {}  stop {}  tier {}{}{}{}",
        or(&facts.model_served),
        or(&facts.response_id),
        or(&facts.stop_reason),
        or(&facts.service_tier),
        if facts.error_in_stream { "  ERROR" } else { "" },
        if facts.reply_turn.is_some() {
            "  turn"
        } else {
            ""
        },
        if facts.failures > 0 {
            format!("  {} FAILURES", facts.failures)
        } else {
            String::new()
        },
    )
    .unwrap();
    for tool in &facts.tools {
        writeln!(
            line,
            "  {} {} {} ({} bytes)",
            match tool.result_error {
                None => "tool",
                Some(false) => "result of",
                Some(true) => "error of",
            },
            tool.name,
            tool.call,
            tool.argument_bytes + tool.result_bytes
        )
        .unwrap();
    }
    line
}

#[test]
fn golden() {
    let mut all = String::new();
    for (dialect, endpoint) in DIALECTS {
        for (name, body) in fixtures(dialect) {
            let facts = facts_of(endpoint, &name, &body);
            writeln!(all, "{dialect}/{name}: {}", line(&facts)).unwrap();
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_same_facts_in_any_split_and_any_coding() {
    for (dialect, endpoint) in DIALECTS {
        for (name, body) in fixtures(dialect) {
            let plain = read(endpoint, &head(&name), [&body[..]], true);
            for size in [1, 7, 100] {
                assert_eq!(
                    read(endpoint, &head(&name), body.chunks(size), true),
                    plain,
                    "{name} by {size}"
                );
            }
            let codings: [(&str, Vec<u8>); 5] = [
                (
                    "gzip",
                    write_all(
                        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()),
                        &body,
                        |e| e.finish().unwrap(),
                    ),
                ),
                (
                    "deflate",
                    write_all(
                        flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast()),
                        &body,
                        |e| e.finish().unwrap(),
                    ),
                ),
                (
                    "deflate",
                    write_all(
                        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast()),
                        &body,
                        |e| e.finish().unwrap(),
                    ),
                ),
                ("zstd", zstd::encode_all(&body[..], 1).unwrap()),
                ("br", {
                    let mut out = Vec::new();
                    brotli::CompressorWriter::new(&mut out, 4096, 4, 20)
                        .write_all(&body)
                        .unwrap();
                    out
                }),
            ];
            for (coding, encoded) in codings {
                let mut head = head(&name);
                head.insert("content-encoding", coding.parse().unwrap());
                assert_eq!(
                    read(endpoint, &head, encoded.chunks(50), true),
                    plain,
                    "{name} as {coding}"
                );
            }
            let mut bare = read(endpoint, &HeaderMap::new(), body.chunks(9), true);
            bare.provider_request_id = plain.provider_request_id.clone();
            assert_eq!(bare, plain, "{name} without a content-type");
        }
    }
}

fn write_all<E: Write>(mut encoder: E, body: &[u8], finish: impl FnOnce(E) -> Vec<u8>) -> Vec<u8> {
    encoder.write_all(body).unwrap();
    finish(encoder)
}

/// A reply hashes alike when it is streamed and when it comes back in the history.
#[test]
fn a_reply_is_the_turn_that_comes_back() {
    use crate::tap::{chain, read_request};
    let cases = [
        (
            Endpoint::AnthropicMessages,
            "anthropic_messages/cache-thinking-tools.sse",
            r#"{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"text","text":"Grüße, I look.","cache_control":{"type":"ephemeral"}},{"type":"tool_use","id":"toolu_01","name":"Bash","input":{"command":"ls"}},{"type":"tool_use","id":"toolu_02","name":"Read","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_01","content":"ok","is_error":true}]}]}"#,
        ),
        (
            Endpoint::OpenaiChat,
            "openai_chat/parallel-tools.sse",
            r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","content":"","tool_calls":[{"id":"call_a","type":"function","function":{"name":"read","arguments":"{\"path\": \"a b\"}"}},{"id":"call_b","type":"function","function":{"name":"grep","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_b","content":"r"}]}"#,
        ),
        (
            Endpoint::OpenaiResponses,
            "openai_responses/custom-tool-and-namespace.sse",
            r#"{"model":"m","input":[{"role":"developer","content":"s"},{"role":"user","content":[{"type":"input_text","text":"q"}]},{"type":"reasoning","id":"rs"},{"type":"custom_tool_call","call_id":"call_x","name":"exec","input":"await run('ls')"},{"type":"function_call","call_id":"call_y","name":"lookup","arguments":"{\"q\":1}"},{"type":"function_call_output","call_id":"call_y","output":"r"}]}"#,
        ),
    ];
    for (endpoint, file, body) in cases {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/wire")
            .join(file);
        let reply = read(endpoint, &head(file), [&fs::read(path).unwrap()[..]], true);
        let first = read_request(
            endpoint,
            &HeaderMap::new(),
            br#"{"model":"m","messages":[{"role":"user","content":" q "}]}"#,
        );
        let history = chain(first.unwrap().session.history, reply.reply_turn.unwrap());
        let facts = read_request(endpoint, &HeaderMap::new(), body.as_bytes()).unwrap();
        assert_eq!(facts.session.replies, [history], "{file}");
        let result = &facts.tool_results[0];
        assert!(
            reply
                .tools
                .iter()
                .any(|tool| tool.call == result.call && tool.name == result.name)
        );
        assert_eq!(
            result.result_error,
            Some(endpoint == Endpoint::AnthropicMessages)
        );
    }
}

#[test]
fn the_snapshot_follows_the_stream() {
    let mut tap = ResponseTap::new(Endpoint::AnthropicMessages, 200, &head("sse"));
    assert_eq!(tap.snapshot(), (Usage::default(), UsageState::None));
    let path = "tests/fixtures/wire/anthropic_messages/cache-thinking-tools.sse";
    let body = fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    tap.feed(&body[..700]);
    let (usage, state) = tap.snapshot();
    assert_eq!(
        (usage.input, usage.cache_read, usage.output, state),
        (3, 20_000, 1, UsageState::Partial)
    );
    tap.feed(&body[700..]);
    let (usage, state) = tap.snapshot();
    assert_eq!(
        (usage.output, usage.cache_write_1h, state),
        (211, 1000, UsageState::Reported)
    );
}

#[test]
fn errors_and_counts_are_not_read() {
    let body = br#"{"id":"x","usage":{"input_tokens":5,"output_tokens":5}}"#;
    for (endpoint, status) in [
        (Endpoint::AnthropicMessages, 429),
        (Endpoint::AnthropicCountTokens, 200),
    ] {
        let mut head = head("json");
        head.insert("request-id", "req_1".parse().unwrap());
        let mut tap = ResponseTap::new(endpoint, status, &head);
        tap.feed(body);
        let facts = tap.finish(true);
        assert_eq!(
            facts,
            ResponseFacts {
                provider_request_id: Some("req_1".into()),
                ..ResponseFacts::default()
            }
        );
    }
}

#[test]
fn what_cannot_be_read_is_unknown_and_counted() {
    let mut strange = head("json");
    strange.insert("content-encoding", "snappy".parse().unwrap());
    let mut lying = head("json");
    lying.insert("content-encoding", "gzip".parse().unwrap());
    let cases: [(&HeaderMap, &[u8]); 4] = [
        (&strange, b"{}"),
        (&lying, b"{\"id\":1}"),
        (&head("json"), b"<html>"),
        (&head("sse"), b"data: {broken\n\n"),
    ];
    for (head, body) in cases {
        let facts = read(Endpoint::OpenaiChat, head, [body], true);
        assert_eq!(
            (facts.usage_state, facts.failures),
            (UsageState::Unknown, 1),
            "{body:?}"
        );
    }
    let empty = read(Endpoint::OpenaiChat, &head("json"), [], true);
    assert_eq!((empty.usage_state, empty.failures), (UsageState::None, 0));
}

#[test]
fn the_usage_of_a_large_body_is_found_at_its_end() {
    let text = "\\\"usage\\\": {\\\"prompt_tokens\\\": 9} ".repeat(300_000);
    let body = format!(
        r#"{{"id":"x","choices":[{{"message":{{"content":"{text}"}}}}],"usage":{{"prompt_tokens":11,"completion_tokens":22}},"tail":"{}"}}"#,
        "y".repeat(1000)
    );
    assert!(body.len() > BODY);
    for size in [1000, 1 << 20, body.len()] {
        let mut tap = ResponseTap::new(Endpoint::OpenaiChat, 200, &head("json"));
        for chunk in body.as_bytes().chunks(size) {
            tap.feed(chunk);
        }
        let facts = tap.finish(true);
        assert_eq!(
            (facts.usage.input, facts.usage.output, facts.usage_state),
            (11, 22, UsageState::Reported)
        );
    }
    let cut = read(
        Endpoint::OpenaiChat,
        &head("json"),
        body.as_bytes()[..9 << 20].chunks(5000),
        false,
    );
    assert_eq!(cut.usage_state, UsageState::Partial);
}

#[test]
fn an_event_that_is_too_large_is_a_failure_and_the_next_one_counts() {
    let huge = format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(9 << 20));
    let end = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    let facts = read(
        Endpoint::OpenaiChat,
        &head("sse"),
        [huge.as_bytes(), end.as_bytes()],
        true,
    );
    assert_eq!(
        (facts.failures, facts.usage.output, facts.usage_state),
        (1, 2, UsageState::Reported)
    );
    let facts = read(Endpoint::OpenaiChat, &head("sse"), [huge.as_bytes()], true);
    assert_eq!(
        (facts.failures, facts.usage_state),
        (1, UsageState::Unknown)
    );
}

/// A body that unpacks to far more than it is ends at the cap, in little memory.
#[test]
fn a_small_body_cannot_unpack_into_all_of_memory() {
    let zeros = zstd::encode_all(io::repeat(b' ').take(300 << 20), 1).unwrap();
    let mut head = head("json");
    head.insert("content-encoding", "zstd".parse().unwrap());
    let facts = read(Endpoint::OpenaiChat, &head, [&zeros[..]], true);
    assert_eq!(
        (facts.usage_state, facts.failures),
        (UsageState::Unknown, 1)
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        dialect in 0..DIALECTS.len(),
        form in 0..4_usize,
        coding in prop::option::of(prop_oneof![Just("gzip"), Just("deflate"), Just("br"), Just("zstd")]),
        size in 1..50_usize,
        complete in any::<bool>(),
    ) {
        let mut head = match form { 0 => head("json"), 1 => head("sse"), _ => HeaderMap::new() };
        if let Some(coding) = coding {
            head.insert("content-encoding", coding.parse().unwrap());
        }
        let mut tap = ResponseTap::new(DIALECTS[dialect].1, 200, &head);
        for chunk in bytes.chunks(size) {
            tap.feed(chunk);
            tap.snapshot();
        }
        tap.finish(complete);
    }

    #[test]
    fn no_damage_to_a_real_response_makes_it_panic(
        dialect in 0..DIALECTS.len(),
        file in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let (name, endpoint) = DIALECTS[dialect];
        let mut files = fixtures(name);
        let (name, mut body) = files.swap_remove(file.index(files.len()));
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(cut.index(body.len() + 1));
        read(endpoint, &head(&name), body.chunks(33), false);
    }
}

#[test]
fn figures_that_no_reply_can_have_are_cut_and_said_to_be_unknown() {
    const MOST: u64 = 1 << 30;
    let bodies = [
        (
            Endpoint::AnthropicMessages,
            r#"{"usage":{"input_tokens":18446744073709551615,"output_tokens":5,"cache_read_input_tokens":18446744073709551615}}"#,
        ),
        (
            Endpoint::OpenaiChat,
            r#"{"choices":[],"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":5}}"#,
        ),
        (
            Endpoint::OpenaiResponses,
            r#"{"output":[],"usage":{"input_tokens":18446744073709551615,"output_tokens":5}}"#,
        ),
    ];
    for (endpoint, body) in bodies {
        let facts = read(endpoint, &head("json"), [body.as_bytes()], true);
        assert_eq!(facts.usage_state, UsageState::Unknown, "{body}");
        assert_eq!((facts.usage.input, facts.usage.output), (MOST, 5), "{body}");
        assert!(facts.usage.cache_read <= MOST, "{body}");
        assert_eq!(facts.failures, 1, "{body}");
    }
    let body = r#"{"usage":{"input_tokens":1073741824,"output_tokens":5}}"#;
    let facts = read(
        Endpoint::AnthropicMessages,
        &head("json"),
        [body.as_bytes()],
        true,
    );
    assert_eq!(facts.usage_state, UsageState::Reported);
}

/// What a stream left unstated, when it is cut.
fn unstated(endpoint: Endpoint, body: &str) -> (UsageState, Option<(bool, u64)>) {
    let facts = read(endpoint, &head("sse"), [body.as_bytes()], false);
    let left = facts.unstated.map(|left| (left.input, left.output));
    (facts.usage_state, left)
}

#[test]
fn what_was_stated_is_not_estimated_again() {
    let text = "x".repeat(400);
    let said = format!(r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    let counted =
        r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":70}}"#.to_owned();
    let of = |events: &[&String]| {
        let body: Vec<String> = events.iter().map(|event| format!("{event}\n\n")).collect();
        unstated(Endpoint::OpenaiChat, &body.concat())
    };
    assert_eq!(of(&[&said]), (UsageState::Estimated, Some((true, 100))));
    // A running count stands for what was shown before it, however many tokens that was.
    let running = counted.replace(r#""choices":[]"#, r#""choices":[{"index":0,"delta":{}}]"#);
    assert_eq!(
        of(&[&said, &running]),
        (UsageState::Partial, Some((false, 0)))
    );
    assert_eq!(
        of(&[&said, &running, &said]),
        (UsageState::Partial, Some((false, 100)))
    );
    // The final count is no estimate, and nothing is missing.
    assert_eq!(of(&[&said, &counted]), (UsageState::Reported, None));
    // The whole of a stream that was never counted is not missing: the provider does not count.
    let done = format!("{said}\n\ndata: [DONE]\n\n");
    let facts = read(Endpoint::OpenaiChat, &head("sse"), [done.as_bytes()], true);
    assert_eq!(
        (facts.usage_state, facts.unstated),
        (UsageState::None, None)
    );
}

#[test]
fn arguments_and_thinking_are_output_that_was_shown() {
    let event = |kind: &str, rest: &str| format!("data: {{\"type\":\"{kind}\",{rest}}}\n\n");
    let forty = "y".repeat(40);
    let anthropic = event(
        "message_start",
        r#""message":{"usage":{"input_tokens":7,"output_tokens":1}}"#,
    ) + &event(
        "content_block_delta",
        &format!(r#""index":0,"delta":{{"type":"thinking_delta","thinking":"{forty}"}}"#),
    ) + &event(
        "content_block_start",
        r#""index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}"#,
    ) + &event(
        "content_block_delta",
        &format!(r#""index":1,"delta":{{"type":"input_json_delta","partial_json":"{forty}"}}"#),
    );
    assert_eq!(
        unstated(Endpoint::AnthropicMessages, &anthropic),
        (UsageState::Partial, Some((false, 19)))
    );
    let delta = |kind: &str| event(kind, &format!(r#""delta":"{forty}""#));
    let responses = event("response.created", r#""response":{"id":"r"}"#)
        + &delta("response.reasoning_summary_text.delta")
        + &delta("response.function_call_arguments.delta")
        + &event(
            "response.output_item.done",
            &format!(
                r#""item":{{"type":"function_call","call_id":"c","name":"n","arguments":"{forty}"}}"#
            ),
        )
        + &delta("response.audio.delta");
    assert_eq!(
        unstated(Endpoint::OpenaiResponses, &responses),
        (UsageState::Estimated, Some((true, 20)))
    );
}

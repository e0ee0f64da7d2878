//! Responses that are made to hurt: they take bounded time and memory, and what can't be read is counted.

use super::{tests::*, *};
use crate::tap::frames::tests as frames;
use std::time::Duration;

const GEMINI: Endpoint = Endpoint::GeminiStreamGenerateContent;
const INVOKE: Endpoint = Endpoint::BedrockInvokeStream;
const CONVERSE: Endpoint = Endpoint::BedrockConverseStream;

/// Feeds `times` the same bytes between a beginning and an end; says what came out, and fails when it takes too long.
fn many(
    endpoint: Endpoint,
    name: &str,
    begin: &[u8],
    again: &[u8],
    times: usize,
    end: &[u8],
) -> ResponseFacts {
    let began = tokio::time::Instant::now();
    let mut tap = ResponseTap::new(endpoint, 200, &head(name));
    tap.feed(begin);
    for _ in 0..times {
        tap.feed(again);
    }
    tap.feed(end);
    let facts = tap.finish(true);
    assert!(began.elapsed() < Duration::from_mins(1), "{name}");
    facts
}

/// 100 MB without an end, or a few where every byte is looked at: one failure at most, and nothing is known.
#[test]
fn a_line_without_end_is_given_up() {
    let megabyte = vec![b'x'; 1 << 20];
    for (endpoint, name, begin, times) in [
        (Endpoint::OpenaiChat, "sse", &b"data: \""[..], 100),
        (GEMINI, "array", b"[{\"a\":\"", 100),
        (GEMINI, "array", b"[", 20),
        (GEMINI, "json", b"{\"a\":\"", 100),
        (CONVERSE, "frames", b"", 100),
        (INVOKE, "frames", b"\0\x7f\xff\xff\0\0\0\0", 100),
    ] {
        let facts = many(endpoint, name, begin, &megabyte, times, b"");
        assert!(facts.failures <= 1, "{name}");
        assert_eq!(facts.usage, Usage::default(), "{name}");
    }
}

#[test]
fn a_million_tiny_pieces_are_read_in_time() {
    let tiny = frames::frame(&[], b"");
    let empty = frames::event("contentBlockDelta", b"{}");
    let usage = br#"{"usage":{"inputTokens":5,"outputTokens":6}}"#;
    let end = [
        &frames::event("messageStop", br#"{"stopReason":"end_turn"}"#)[..],
        &frames::event("metadata", usage)[..],
    ]
    .concat();
    let facts = many(CONVERSE, "frames", b"", &empty, 200_000, &end);
    assert_eq!((facts.usage.output, facts.failures), (6, 0));
    let facts = many(CONVERSE, "frames", b"", &tiny, 1_000_000, &end);
    assert_eq!((facts.usage.output, facts.failures), (6, 1_000_000));

    let end = br#"{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":6}}"#;
    let facts = many(GEMINI, "array", b"[", b"{},", 1_000_000, end);
    assert_eq!((facts.usage.output, facts.failures), (6, 0));
    let end = [b"data: ", &end[..], b"\r\n\r\n"].concat();
    let facts = many(GEMINI, "sse", b"", b"data: {}\r\n\r\n", 1_000_000, &end);
    assert_eq!((facts.usage.output, facts.failures), (6, 0));
}

/// Depth costs no stack.
#[test]
fn json_bombs_do_not_go_off() {
    let open = [
        r#"{"candidates":["#,
        r#"{"results":["#,
        r#"{"output":"#,
        r#"{"a":"#,
        "[",
    ];
    for open in open {
        let bomb = open.repeat(20_000);
        for endpoint in [GEMINI, INVOKE, CONVERSE, Endpoint::OpenaiChat] {
            for name in ["json", "array", "sse"] {
                many(endpoint, name, b"data: ", bomb.as_bytes(), 1, b"\n\n");
                many(endpoint, name, b"", bomb.as_bytes(), 1, b"");
            }
            let close: String = open
                .chars()
                .rev()
                .filter_map(|c| match c {
                    '{' => Some('}'),
                    '[' => Some(']'),
                    _ => None,
                })
                .collect();
            let whole = format!("{bomb}1{}", close.repeat(20_000));
            many(endpoint, "json", b"", whole.as_bytes(), 1, b"");
            let framed = frames::event("metadata", whole.as_bytes());
            many(endpoint, "frames", b"", &framed, 1, b"");
        }
    }
}

#[test]
fn what_is_no_text_or_no_base64_is_a_failure_and_the_next_piece_counts() {
    let good = br#"{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":6}}"#;
    let facts = many(GEMINI, "array", b"[{\"a\":\"\xff\"},", b"{\"a\"},", 1, good);
    assert_eq!((facts.usage.output, facts.failures), (6, 2));

    let chunks: Vec<u8> = [
        &br#"{"bytes":"!!"}"#[..],
        br#"{"bytes":"/w=="}"#,
        br#"{"bytes":5}"#,
        br#"{"p":"abc"}"#,
        b"\xff",
        br#"{"bytes":"eyJnZW5lcmF0aW9uX3Rva2VuX2NvdW50Ijo3fQ=="}"#,
    ]
    .iter()
    .flat_map(|payload| frames::event("chunk", payload))
    .collect();
    let facts = many(INVOKE, "frames", b"", &chunks, 1, b"");
    assert_eq!((facts.usage.output, facts.failures), (7, 5));
}

/// Of a member that stands there twice, the last one counts, as providers' clients read it.
#[test]
fn duplicate_keys_are_read_as_the_last() {
    let body = br#"{"usageMetadata":{"promptTokenCount":5,"promptTokenCount":7,"candidatesTokenCount":1},"usageMetadata":{"candidatesTokenCount":6}}"#;
    let facts = many(GEMINI, "json", b"", body, 1, b"");
    assert_eq!((facts.usage.input, facts.usage.output), (7, 6));
    let body = br#"{"usage":{"inputTokens":5,"inputTokens":7},"usage":{"outputTokens":6}}"#;
    let facts = many(CONVERSE, "json", b"", body, 1, b"");
    assert_eq!((facts.usage.input, facts.usage.output), (7, 6));
}

/// White space before frames whose head names no form was a part of them when it came in the same chunk, and was not when it
/// came in one of its own.
#[test]
fn white_space_in_front_is_passed_over_in_any_split() {
    let bytes = b"\r\x0c\r\0\0\0\0u\r#\x92\r";
    let whole = read(INVOKE, &HeaderMap::new(), [&bytes[..]], true);
    assert_eq!(
        read(INVOKE, &HeaderMap::new(), bytes.chunks(1), true),
        whole
    );
}

/// What Bedrock counts stands in the head where the model counts nothing.
#[test]
fn the_head_counts_for_models_that_do_not() {
    let mut counted = head("json");
    for (name, count) in [
        ("x-amzn-bedrock-input-token-count", "11"),
        ("x-amzn-bedrock-output-token-count", "22"),
        ("x-amzn-bedrock-cache-read-input-token-count", "3"),
    ] {
        counted.insert(name, count.parse().unwrap());
    }
    for (body, expected, failures) in [
        (
            &br#"{"outputs":[{"text":"x","stop_reason":"stop"}]}"#[..],
            (11, 22, 3),
            0,
        ),
        (
            br#"{"generation":"x","prompt_token_count":1,"generation_token_count":2}"#,
            (1, 2, 0),
            0,
        ),
        (b"not JSON", (11, 22, 3), 1),
    ] {
        let facts = read(Endpoint::BedrockInvoke, &counted, [body], true);
        let usage = facts.usage;
        assert_eq!((usage.input, usage.output, usage.cache_read), expected);
        assert_eq!(facts.failures, failures);
    }
}

/// Counting costs nothing: what it answers is no usage.
#[test]
fn counts_of_every_format_are_not_read() {
    for endpoint in Endpoint::ALL {
        if endpoint.is_metered() {
            continue;
        }
        let body = br#"{"totalTokens":5,"inputTokens":5,"usage":{"input_tokens":5,"inputTokens":5},"usageMetadata":{"promptTokenCount":5}}"#;
        let facts = read(endpoint, &head("json"), [&body[..]], true);
        assert_eq!(facts, ResponseFacts::default(), "{endpoint:?}");
    }
}

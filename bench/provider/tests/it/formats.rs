//! One table of all formats: each is whole, streamed, a call, an error, broken, cut and encoded.

use std::io::Read as _;

use provider::{CutHow, End, Options, Provider};
use serde_json::{Value, json};

use crate::client::{Client, Reply, anthropic, chat, events, responses};
use crate::frames::{Frame, frames};

const TEXT: &str = "Hello from the mock upstream.";

/// A format: where to ask, how to read the reply, and where things stand in it.
struct Format {
    dialect: &'static str,
    whole_path: &'static str,
    stream_path: &'static str,
    body: fn(stream: bool) -> Value,
    chunks: fn(&Reply) -> Vec<Value>,
    text: &'static str,
    piece: &'static str,
    call: &'static str,
    call_piece: &'static str,
    error: &'static str,
    output: &'static str,
    streamed_output: &'static str,
}

const GEMINI: Format = Format {
    dialect: "gemini_generate_content",
    whole_path: "/v1beta/models/m:generateContent",
    stream_path: "/pre/v1beta/models/m:streamGenerateContent?alt=sse",
    body: |_| gemini(),
    chunks: |reply| sse(&reply.text().replace("\r\n\r\n", "\n\n")),
    text: "/candidates/0/content/parts/0/text",
    piece: "/candidates/0/content/parts/0/text",
    call: "/candidates/0/content/parts/0/functionCall/name",
    call_piece: "/candidates/0/content/parts/0/functionCall/args",
    error: "/error/message",
    output: "/usageMetadata/candidatesTokenCount",
    streamed_output: "/usageMetadata/candidatesTokenCount",
};

const ANTHROPIC: Format = Format {
    dialect: "anthropic_messages",
    whole_path: "/v1/messages?beta=true",
    stream_path: "/v1/messages",
    body: |stream| serde_json::from_slice(&anthropic("x", stream)).unwrap(),
    chunks: |reply| sse(reply.text()),
    text: "/content/0/text",
    piece: "/delta/text",
    call: "/content/0/name",
    call_piece: "/delta/partial_json",
    error: "/error/message",
    output: "/usage/output_tokens",
    streamed_output: "/usage/output_tokens",
};

const CONVERSE: Format = Format {
    dialect: "bedrock_converse",
    whole_path: "/bedrock/model/us.anthropic.claude-v1%3A0/converse",
    stream_path: "/model/us.anthropic.claude-v1:0/converse-stream",
    body: |_| converse(),
    chunks: |reply| frames(&reply.body).iter().map(Frame::named).collect(),
    text: "/output/message/content/0/text",
    piece: "/contentBlockDelta/delta/text",
    call: "/output/message/content/0/toolUse/name",
    call_piece: "/contentBlockDelta/delta/toolUse/input",
    error: "/message",
    output: "/usage/outputTokens",
    streamed_output: "/metadata/usage/outputTokens",
};

fn formats() -> Vec<Format> {
    vec![
        ANTHROPIC,
        Format {
            dialect: "openai_chat",
            whole_path: "/v1/chat/completions",
            stream_path: "/v1/chat/completions",
            body: |stream| {
                let mut body = chat("x", stream);
                body["stream_options"] = json!({"include_usage": true});
                body
            },
            chunks: |reply| sse(reply.text()),
            text: "/choices/0/message/content",
            piece: "/choices/0/delta/content",
            call: "/choices/0/message/tool_calls/0/function/name",
            call_piece: "/choices/0/delta/tool_calls/0/function/arguments",
            error: "/error/message",
            output: "/usage/completion_tokens",
            streamed_output: "/usage/completion_tokens",
        },
        Format {
            dialect: "openai_responses",
            whole_path: "/v1/responses",
            stream_path: "/v1/responses",
            body: |stream| responses("x", stream),
            chunks: |reply| sse(reply.text()),
            text: "/output/0/content/0/text",
            piece: "/delta",
            call: "/output/0/name",
            call_piece: "/delta",
            error: "/error/message",
            output: "/usage/output_tokens",
            streamed_output: "/response/usage/output_tokens",
        },
        GEMINI,
        Format {
            stream_path: "/v1/tunedModels/m:streamGenerateContent",
            chunks: |reply| serde_json::from_slice(&reply.body).unwrap(),
            ..GEMINI
        },
        Format {
            dialect: "google_generate_content",
            whole_path: "/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent",
            stream_path: "/v1beta1/publishers/google/models/m:streamGenerateContent?alt=sse",
            ..GEMINI
        },
        Format {
            dialect: "google_raw_predict",
            whole_path: "/v1/projects/p/locations/l/publishers/anthropic/models/c@1:rawPredict",
            stream_path: "/projects/p/locations/l/publishers/anthropic/models/c%401:streamRawPredict",
            body: |stream| {
                let mut body = claude();
                body["stream"] = json!(stream);
                body
            },
            ..ANTHROPIC
        },
        Format {
            dialect: "bedrock_model_invoke",
            whole_path: "/model/arn:aws:bedrock:us-east-1:1:profile%2Fabc/invoke",
            stream_path: "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprofile%2Fabc/invoke-with-response-stream",
            body: |_| claude(),
            chunks: |reply| frames(&reply.body).iter().map(Frame::inner).collect(),
            error: "/message",
            streamed_output: "/amazon-bedrock-invocationMetrics/outputTokenCount",
            ..ANTHROPIC
        },
        Format {
            dialect: "bedrock_model_invoke",
            whole_path: "/model/amazon.nova-pro-v1:0/invoke",
            stream_path: "/model/amazon.nova-pro-v1:0/invoke-with-response-stream",
            body: |_| nova(),
            chunks: |reply| frames(&reply.body).iter().map(Frame::inner).collect(),
            ..CONVERSE
        },
        CONVERSE,
    ]
}

pub(crate) fn gemini() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}]})
}

pub(crate) fn claude() -> Value {
    let messages = json!([{"role": "user", "content": "x"}]);
    json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": messages})
}

pub(crate) fn converse() -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": "x"}]}]})
}

pub(crate) fn nova() -> Value {
    let mut body = converse();
    body["schemaVersion"] = json!("messages-v1");
    body["inferenceConfig"] = json!({"maxTokens": 9});
    body
}

fn sse(text: &str) -> Vec<Value> {
    events(text).into_iter().map(|event| event.data).collect()
}

/// Everything that stands in that place of the chunks, joined.
fn joined(chunks: &[Value], place: &str) -> String {
    let found = chunks.iter().filter_map(|chunk| chunk.pointer(place));
    found
        .map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect()
}

/// The last value that stands in that place.
fn last<'a>(chunks: &'a [Value], place: &str) -> &'a Value {
    let found = chunks
        .iter()
        .rev()
        .find_map(|chunk| chunk.pointer(place).filter(|value| !value.is_null()));
    found.unwrap_or_else(|| panic!("no {place} in {chunks:?}"))
}

/// A provider of its own for each script, over either protocol.
async fn asked(script: &str, path: &str, body: &Value, is_h2: bool) -> (Provider, Reply) {
    let provider = Provider::start(Options::default()).await.unwrap();
    let mut client = if is_h2 {
        Client::h2(provider.addr()).await
    } else {
        Client::h1(provider.addr()).await
    };
    let headers = [("x-script", script)];
    let reply = client.post(path, &headers, body.to_string()).await.unwrap();
    (provider, reply)
}

#[tokio::test]
async fn every_format_is_whole_and_streamed_and_counts_what_it_says() {
    let script = json!({"text": TEXT}).to_string();
    for format in formats() {
        let body = (format.body)(false);
        let (provider, reply) = asked(&script, format.whole_path, &body, false).await;
        let whole = reply.json();
        assert_eq!(
            whole.pointer(format.text).unwrap(),
            TEXT,
            "{}",
            format.dialect
        );
        let entry = provider.log().pop().unwrap();
        assert_eq!(entry.request.dialect, Some(format.dialect));
        let usage = entry.answer.usage.unwrap();
        assert_eq!(
            whole.pointer(format.output).unwrap(),
            usage.output,
            "{}",
            format.dialect
        );
        assert_eq!(usage.prompt(), provider::tokens(body.to_string().len()));

        // Binary streams must work over h2 without asking first: an SDK speaks nothing else.
        for is_h2 in [false, true] {
            let (provider, reply) =
                asked(&script, format.stream_path, &(format.body)(true), is_h2).await;
            let chunks = (format.chunks)(&reply);
            assert_eq!(
                joined(&chunks, format.piece),
                TEXT,
                "{}",
                format.stream_path
            );
            let usage = provider.log()[0].answer.usage.unwrap();
            assert_eq!(*last(&chunks, format.streamed_output), usage.output);
            assert_eq!(provider.log()[0].request.dialect, Some(format.dialect));
        }
    }
}

#[tokio::test]
async fn every_format_calls_tools() {
    let call = json!({"tool": {"name": "get_weather", "input": {"city": "Paris"}}}).to_string();
    for format in formats() {
        let body = (format.body)(false);
        let (_provider, reply) = asked(&call, format.whole_path, &body, false).await;
        let name = reply.json().pointer(format.call).cloned();
        assert_eq!(name, Some(json!("get_weather")), "{}", format.dialect);
        let (_provider, reply) =
            asked(&call, format.stream_path, &(format.body)(true), false).await;
        let input = joined(&(format.chunks)(&reply), format.call_piece);
        assert_eq!(input, r#"{"city":"Paris"}"#, "{}", format.stream_path);
    }
}

#[tokio::test]
async fn every_format_words_its_errors() {
    let script = json!({"status": 429, "error": {"message": "slowly"}}).to_string();
    for format in formats() {
        let body = (format.body)(false);
        let (_provider, reply) = asked(&script, format.whole_path, &body, false).await;
        assert_eq!(reply.status, 429);
        let message = reply.json().pointer(format.error).cloned();
        assert_eq!(message, Some(json!("slowly")), "{}", format.dialect);
        let kind = reply.header("x-amzn-errortype");
        let is_bedrock = format.dialect.starts_with("bedrock");
        assert_eq!(kind.starts_with("ThrottlingException:"), is_bedrock);
    }
}

#[tokio::test]
async fn every_stream_can_fail_in_the_middle() {
    let script = json!({
        "text": TEXT, "error_at": "mid_stream", "error": {"message": "broken off"},
    });
    for format in formats() {
        let body = (format.body)(true);
        let (_provider, reply) = asked(&script.to_string(), format.stream_path, &body, false).await;
        assert_eq!(reply.status, 200);
        let chunks = (format.chunks)(&reply);
        let (error, before) = chunks.split_last().unwrap();
        assert!(error.to_string().contains("broken off"), "{error}");
        let said = joined(before, format.piece);
        assert!(TEXT.starts_with(&said) && said.len() < TEXT.len(), "{said}");
    }
}

#[tokio::test]
async fn every_stream_can_be_cut() {
    for how in [CutHow::Fin, CutHow::Stream] {
        let how = format!("{how:?}").to_lowercase();
        let script = json!({"text": TEXT, "cut": "mid_stream", "cut_how": how}).to_string();
        for format in formats() {
            let body = (format.body)(true);
            let (provider, reply) = asked(&script, format.stream_path, &body, true).await;
            assert!(reply.is_broken, "{}", format.stream_path);
            let entry = provider.log().pop().unwrap();
            assert_eq!(entry.answer.end, Some(End::Cut));
            assert_eq!(entry.answer.body().unwrap(), reply.body);
            assert!(entry.answer.chunks_sent < entry.answer.chunks_planned);
        }
    }
}

#[tokio::test]
async fn every_stream_can_come_encoded() {
    let plain = json!({"text": TEXT}).to_string();
    for format in formats() {
        let body = (format.body)(true);
        let (_provider, expected) = asked(&plain, format.stream_path, &body, false).await;
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let script = json!({"text": TEXT, "encoding": encoding}).to_string();
            let (_provider, reply) = asked(&script, format.stream_path, &body, false).await;
            assert_eq!(reply.header("content-encoding"), encoding);
            let coded = reply.body.as_slice();
            let mut decoded = Vec::new();
            match encoding {
                "gzip" => flate2::read::GzDecoder::new(coded).read_to_end(&mut decoded),
                "deflate" => flate2::read::ZlibDecoder::new(coded).read_to_end(&mut decoded),
                "br" => brotli::Decompressor::new(coded, 4096).read_to_end(&mut decoded),
                _ => zstd::Decoder::new(coded).unwrap().read_to_end(&mut decoded),
            }
            .unwrap();
            assert_eq!(decoded, expected.body, "{encoding} {}", format.stream_path);
        }
    }
}

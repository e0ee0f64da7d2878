//! The table: what is recorded is what the provider says it sent, for every format in every form.
//!
//! A format is one row of [`FORMATS`]. Figures that a provider stated are equal; where it stated none, the estimate is
//! within a tenth of what it sent, and stands apart.

use super::{document, start};
use crate::support::{Gateway, http};
use ::bytes::Bytes;
use aperture::record::{CostState, End, Estimate, Record, Usage, UsageState};
use http_body_util::BodyExt as _;
use hyper::Method;
use provider::{CutHow, Encoding, Entry, Gate, Matcher, Options, Point, Provider, Script};
use serde_json::{Value, json};

/// One format: where it is asked for, and how.
struct Format {
    name: &'static str,
    /// Paths of a plain request and of a stream.
    paths: [&'static str; 2],
    /// The body, for a stream or not.
    body: fn(stream: bool) -> Value,
    /// What a stream states before its end.
    early: Early,
    /// Whether thinking is stated.
    thinking: bool,
    /// Words of the reply in the writes that were sent.
    words: fn(&Entry) -> u64,
}

/// What a stream has stated when it is cut in its middle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Early {
    Nothing,
    /// The input by its parts, and a token of output.
    Input,
    /// The size of the prompt, not what of it was cached.
    Prompt,
}

const GEMINI: Format = Format {
    name: "gemini",
    paths: [
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
    ],
    body: contents,
    early: Early::Prompt,
    thinking: true,
    words: in_text,
};

const FORMATS: [Format; 9] = [
    Format {
        name: "anthropic_messages",
        paths: ["/v1/messages"; 2],
        body: messages,
        early: Early::Input,
        ..GEMINI
    },
    Format {
        name: "openai_chat",
        paths: ["/v1/chat/completions"; 2],
        body: chat,
        early: Early::Nothing,
        ..GEMINI
    },
    Format {
        name: "openai_responses",
        paths: ["/v1/responses"; 2],
        body: responses,
        early: Early::Nothing,
        ..GEMINI
    },
    GEMINI,
    Format {
        name: "gemini, as an array",
        paths: [
            "/v1beta/models/gemini-2.5-flash:generateContent",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        ],
        ..GEMINI
    },
    Format {
        name: "vertex gemini",
        paths: [
            "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:generateContent",
            "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ],
        ..GEMINI
    },
    Format {
        name: "vertex claude",
        paths: [
            "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
        ],
        body: predict,
        early: Early::Input,
        ..GEMINI
    },
    Format {
        name: "bedrock invoke",
        paths: [
            "/bedrock/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke",
            "/bedrock/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke-with-response-stream",
        ],
        body: invoke,
        early: Early::Input,
        words: in_frames,
        ..GEMINI
    },
    Format {
        name: "bedrock converse",
        paths: [
            "/bedrock/model/us.amazon.nova-pro-v1:0/converse",
            "/bedrock/model/us.amazon.nova-pro-v1:0/converse-stream",
        ],
        body: converse,
        early: Early::Nothing,
        thinking: false,
        ..GEMINI
    },
];

/// Providers that speak them.
fn providers(url: &str) -> String {
    let cloud = |id: &str, flag: &str, models: &str| {
        format!(
            r#""{id}": {{"baseurl": "{url}", "authorization": {{"type": "bearer", "value": "k"}}, "models": [{models}], "compatibility": {{"{flag}": true}}}},"#
        )
    };
    let clouds = [
        cloud("gemini", "gemini", r#""gemini-2.5-flash""#),
        cloud(
            "vertex",
            "vertex",
            r#""gemini-2.5-pro", "claude-sonnet-4-5@20250929""#,
        ),
        cloud(
            "bedrock",
            "bedrock",
            r#""us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.amazon.nova-pro-v1:0""#,
        ),
    ];
    document(url, "").replacen(
        "\"providers\": {",
        &format!("\"providers\": {{{}", clouds.concat()),
        1,
    )
}

/// A prompt that providers which cache by themselves find long enough.
fn prompt() -> String {
    "explain the build ".repeat(400)
}

fn messages(stream: bool) -> Value {
    let marked = |ttl: &str| json!({"type": "ephemeral", "ttl": ttl});
    json!({"model": "claude-haiku-4-5", "max_tokens": 9999, "stream": stream, "messages": [
        {"role": "user", "content": [{"type": "text", "text": prompt(), "cache_control": marked("1h")}]},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": [{"type": "text", "text": "more", "cache_control": marked("5m")}]},
    ]})
}

fn chat(stream: bool) -> Value {
    json!({"model": "gpt-4o", "stream": stream, "messages": [
        {"role": "user", "content": prompt()},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "more"},
    ]})
}

fn responses(stream: bool) -> Value {
    json!({"model": "gpt-5", "stream": stream, "input": [
        {"role": "user", "content": [{"type": "input_text", "text": prompt()}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "more"}]},
    ]})
}

fn contents(_: bool) -> Value {
    let said = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    json!({"contents": [said("user", &prompt()), said("model", "done"), said("user", "more")]})
}

fn predict(stream: bool) -> Value {
    let mut body = messages(stream);
    body.as_object_mut().unwrap().remove("model");
    body["anthropic_version"] = "vertex-2023-10-16".into();
    body
}

fn invoke(_: bool) -> Value {
    let mut body = predict(false);
    body.as_object_mut().unwrap().remove("stream");
    body["anthropic_version"] = "bedrock-2023-05-31".into();
    body
}

fn converse(_: bool) -> Value {
    let said = |role: &str, text: &str| json!({"role": role, "content": [{"text": text}, {"cachePoint": {"type": "default"}}]});
    json!({"messages": [said("user", &prompt()), said("assistant", "done"), said("user", "more")]})
}

const CODINGS: [Option<Encoding>; 5] = [
    None,
    Some(Encoding::Gzip),
    Some(Encoding::Br),
    Some(Encoding::Zstd),
    Some(Encoding::Deflate),
];

/// Tokens of the reply; each is a write of its own in a stream.
const TOKENS: usize = 120;
/// Writes after which a stream is cut or left.
const PART: usize = 80;

struct Table {
    provider: Provider,
    gateway: Gateway,
    seen: usize,
}

impl Table {
    async fn start() -> Self {
        let provider = Provider::start(Options::default()).await.unwrap();
        let gateway = start(&providers(&provider.url())).await;
        Self {
            provider,
            gateway,
            seen: 0,
        }
    }

    fn url(&self, format: &Format, stream: bool) -> String {
        format!("{}{}", self.gateway.url, format.paths[usize::from(stream)])
    }

    /// Asks once, reads what comes, and returns both sides' accounts of it.
    async fn ask(&mut self, format: &Format, stream: bool, script: Script) -> (Record, Entry) {
        self.provider.script_times(1, Matcher::any(), script);
        let body = (format.body)(stream).to_string();
        let url = self.url(format, stream);
        let answer = http::open(Method::POST, &url, &[], body).await;
        let mut body = answer.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        self.accounts().await
    }

    /// Asks for a stream and reads its first writes; then leaves, or sees it cut after one write more.
    ///
    /// A reset throws away what is under way, so it must not come before what was sent has arrived.
    async fn part(&mut self, format: &Format, script: Script) -> (Record, Entry) {
        let (gate, cut) = (Gate::new(), script.cut.is_some());
        gate.release(PART - 1);
        self.provider
            .script_times(1, Matcher::any(), script.gated(&gate));
        let body = (format.body)(true).to_string();
        let answer = http::open(Method::POST, &self.url(format, true), &[], body).await;
        let mut body = answer.into_body();
        let sent = loop {
            let entry = self.provider.log().pop().unwrap();
            if entry.answer.chunks_sent == PART - 1 {
                break entry.answer.bytes_sent;
            }
            tokio::task::yield_now().await;
        };
        let mut received = 0;
        while received < sent {
            let data: Bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
            received += data.len() as u64;
        }
        if cut {
            gate.open();
            while let Some(Ok(_)) = body.frame().await {}
        }
        drop(body);
        self.accounts().await
    }

    async fn accounts(&mut self) -> (Record, Entry) {
        self.seen += 1;
        self.provider.await_ended(self.seen as u64).await;
        let record = self.gateway.finished(self.seen).await.pop().unwrap();
        (record, self.provider.log().pop().unwrap())
    }
}

/// What the provider says it sent, in our words.
fn stated(format: &Format, entry: &Entry) -> Usage {
    let usage = entry.answer.usage.unwrap();
    Usage {
        input: usage.input,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
        cache_write_1h: usage.cache_write_long,
        output: usage.output,
        reasoning: if format.thinking { usage.reasoning } else { 0 },
        ..Usage::default()
    }
}

/// Words in writes that are not encoded.
fn in_text(entry: &Entry) -> u64 {
    let writes = entry.answer.chunks[..entry.answer.chunks_sent].concat();
    String::from_utf8_lossy(&writes).matches("tok ").count() as u64
}

/// Words in frames, one each, after the frames that begin the message and its text.
fn in_frames(entry: &Entry) -> u64 {
    entry.answer.chunks_sent as u64 - 2
}

fn near(estimated: u64, counted: u64) -> bool {
    10 * estimated.abs_diff(counted) <= counted
}

#[tokio::test]
async fn whole_replies_and_streams_are_recorded_to_the_token_in_every_coding() {
    let mut table = Table::start().await;
    for format in &FORMATS {
        for (stream, encoding) in [false, true]
            .into_iter()
            .flat_map(|stream| CODINGS.map(|coding| (stream, coding)))
        {
            let script = Script {
                tokens: Some(TOKENS),
                thinking: Some("considering it all".to_owned()),
                encoding,
                ..Script::default()
            };
            let (record, entry) = table.ask(format, stream, script).await;
            let row = format!("{} stream={stream} {encoding:?}", format.name);
            assert_eq!(record.usage, stated(format, &entry), "{row}");
            assert!(record.usage.cache_read > 0, "{row}");
            assert_eq!(record.usage_state, UsageState::Reported, "{row}");
            assert_eq!(record.estimate, None, "{row}");
            assert_eq!(record.end, End::Complete, "{row}");
            assert_eq!(record.cost.state, CostState::Priced, "{row}");
        }
    }
}

/// What a stream that ended in its middle leaves: figures where they were stated, an estimate of the rest.
fn check_part(row: &str, format: &Format, record: &Record, counted: &Usage, output: u64) {
    let Some(estimate) = &record.estimate else {
        panic!("{row}: no estimate in {record:?}");
    };
    let believed = record.usage.output + estimate.output;
    assert!(near(believed, output), "{row}: {believed} of {output} out");
    match format.early {
        Early::Nothing => {
            assert_eq!(record.usage, Usage::default(), "{row}");
            assert_eq!(record.usage_state, UsageState::Estimated, "{row}");
            assert_eq!(record.cost.state, CostState::None, "{row}");
            let input = counted.input_all();
            assert!(
                near(estimate.input, input),
                "{row}: {estimate:?} of {input}"
            );
        }
        Early::Prompt => {
            assert_eq!(record.usage.input, counted.input_all(), "{row}");
            assert_eq!(record.usage_state, UsageState::Partial, "{row}");
            assert_eq!(estimate.input, 0, "{row}");
        }
        Early::Input => {
            let known = Usage {
                output: record.usage.output,
                reasoning: 0,
                ..*counted
            };
            assert_eq!(record.usage, known, "{row}");
            assert!(record.usage.output <= 1, "{row}");
            assert_eq!(record.usage_state, UsageState::Partial, "{row}");
            assert_eq!(record.cost.state, CostState::Priced, "{row}");
            assert_eq!(estimate.input, 0, "{row}");
        }
    }
    assert_eq!(estimate.cost.state, CostState::Priced, "{row}");
    assert!(estimate.cost.pico > 0, "{row}");
}

#[tokio::test]
async fn streams_that_are_cut_or_left_keep_what_was_stated_and_estimate_the_rest_apart() {
    let mut table = Table::start().await;
    for format in &FORMATS {
        for how in [Some(CutHow::Fin), Some(CutHow::Rst), None] {
            let mut output = 0;
            for encoding in CODINGS {
                let script = Script {
                    tokens: Some(TOKENS),
                    encoding,
                    cut: how.map(|_| Point::Chunk(PART)),
                    cut_how: how.unwrap_or_default(),
                    ..Script::default()
                };
                let row = format!("{} {how:?} {encoding:?}", format.name);
                let (record, entry) = table.part(format, script).await;
                if encoding.is_none() {
                    // The other codings carry the same writes.
                    output = (format.words)(&entry);
                    assert!(output > 60 && output < TOKENS as u64, "{row}: {output}");
                }
                let end = if how.is_some() {
                    End::UpstreamError
                } else {
                    End::ClientGone
                };
                assert_eq!(record.end, end, "{row}");
                check_part(&row, format, &record, &stated(format, &entry), output);
            }
        }
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_no_end() {
    let mut table = Table::start().await;
    for format in &FORMATS {
        let script = Script {
            tokens: Some(TOKENS),
            error_at: Some(Point::Chunk(PART)),
            ..Script::default()
        };
        let (record, entry) = table.ask(format, true, script).await;
        assert_eq!(record.end, End::UpstreamError, "{}", format.name);
        // A response object that says that it failed is the provider's last word, with its figures or without.
        if record.usage_state == UsageState::None {
            assert_eq!(format.name, "openai_responses");
            continue;
        }
        let output = (format.words)(&entry);
        check_part(
            format.name,
            format,
            &record,
            &stated(format, &entry),
            output,
        );
    }
}

/// Estimates are in no sum but their own.
#[tokio::test]
async fn estimates_stand_apart_on_metrics_and_in_exports() {
    let mut table = Table::start().await;
    let chat = &FORMATS[1];
    let script = Script {
        tokens: Some(TOKENS),
        cut: Some(Point::Chunk(PART)),
        ..Script::default()
    };
    let (record, _) = table.ask(chat, true, script).await;
    let estimate: Estimate = record.estimate.unwrap();
    let metrics = http::get(&format!("{}/metrics", table.gateway.metrics_url)).await;
    let metrics = metrics.text();
    let sample = |series: &str| {
        let line = metrics.lines().find(|line| line.starts_with(series));
        line.map(|line| line.rsplit_once(' ').unwrap().1.to_owned())
    };
    let estimated = r#"aperture_estimated_tokens_total{provider="openai",model="gpt-4o",type="#;
    for (kind, tokens) in [("input", estimate.input), ("output", estimate.output)] {
        let own = sample(&format!("{estimated}\"{kind}\"}}"));
        assert_eq!(own, Some(tokens.to_string()), "{metrics}");
    }
    for family in ["aperture_tokens_total", "aperture_cost_dollars_total"] {
        let value = sample(&format!("{family}{{provider=\"openai\"")).unwrap_or_default();
        assert!(value.is_empty() || value == "0", "{family} {value}");
    }
    let output = table.gateway.command(&["export", "usage"]).await;
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["cost_pico"], 0);
    assert_eq!(row["usage"]["input"], 0);
    assert_eq!(
        row["estimated"],
        json!({"requests": 1, "input": estimate.input, "output": estimate.output, "cost_pico": estimate.cost.pico})
    );
}

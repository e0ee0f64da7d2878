//! What the parts of the hot path cost, each by itself: time (`make bench-micro`) and instructions
//! (`scripts/instructions`, which runs `count` below under callgrind, where chance has no part).
//!
//! Owns: [`SCENARIOS`]. In: the golden files of the tests. Out: durations by divan, or nothing but the work itself.
//! Must not know: servers, sockets.

use aperture::{
    config::{CheckOptions, Config, check},
    endpoint::Endpoint,
    identity::Caller,
    policy,
    record::{
        Capture, CaptureMode, CapturedBody, Client, End, Record, RequestId, SessionId, Usage,
        UsageState, Who,
    },
    store::{OpenOptions, Store},
    tap::{ResponseTap, read_request},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use std::{fmt, hint::black_box, path::PathBuf, sync::Arc};

/// One part, with all that it needs made before it is measured.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    make: fn() -> Box<dyn FnMut()>,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "read_request_of_an_agent",
        make: || {
            let body = agent_request();
            let head = head("application/json");
            Box::new(move || {
                let read = read_request(Endpoint::AnthropicMessages, &head, black_box(&body));
                black_box(read.expect("the request is in order"));
            })
        },
    },
    Scenario {
        name: "tap_anthropic_stream",
        make: || {
            tap(
                Endpoint::AnthropicMessages,
                "anthropic_messages/cache-thinking-tools.sse",
            )
        },
    },
    Scenario {
        name: "tap_chat_stream",
        make: || tap(Endpoint::OpenaiChat, "openai_chat/parallel-tools.sse"),
    },
    Scenario {
        name: "tap_responses_stream",
        make: || {
            tap(
                Endpoint::OpenaiResponses,
                "openai_responses/reasoning-and-text.sse",
            )
        },
    },
    Scenario {
        name: "tap_gemini_array",
        make: || {
            tap(
                Endpoint::GeminiStreamGenerateContent,
                "gemini_generate_content/thinking-tools.array",
            )
        },
    },
    Scenario {
        name: "tap_bedrock_frames",
        make: || {
            tap(
                Endpoint::BedrockInvokeStream,
                "bedrock_model_invoke/claude-thinking-tools.frames",
            )
        },
    },
    Scenario {
        name: "decide_among_grants",
        make: || {
            let config = config();
            let caller = Arc::new(Caller::named("person-40@example.com"));
            Box::new(move || {
                let permit = policy::decide(
                    &config,
                    black_box(&caller),
                    "claude-opus-4-5",
                    Endpoint::AnthropicMessages,
                );
                black_box(permit.expect("the caller has a grant"));
            })
        },
    },
    Scenario {
        name: "store_64_requests",
        make: store,
    },
];

/// Requests that the store is given at once.
const BATCH: u64 = 64;

fn head(kind: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))])
}

/// A golden file of the tests.
fn fixture(path: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/wire");
    std::fs::read(root.join(path)).expect("the golden file is there")
}

/// A stream, in the pieces in which a network may deliver it.
fn tap(endpoint: Endpoint, path: &str) -> Box<dyn FnMut()> {
    let body = fixture(path);
    let head = head(match path.rsplit('.').next() {
        Some("sse") => "text/event-stream",
        Some("frames") => "application/vnd.amazon.eventstream",
        _ => "application/json",
    });
    Box::new(move || {
        let mut tap = ResponseTap::new(endpoint, 200, &head);
        for piece in black_box(&body).chunks(512) {
            tap.feed(piece);
        }
        black_box(tap.finish(true));
    })
}

/// What a coding agent sends in the middle of its work: a long system prompt, tools, forty turns.
fn agent_request() -> Vec<u8> {
    let tools: Vec<_> = (0..20)
        .map(|n| {
            serde_json::json!({"name": format!("Tool{n}"), "description": "What it does, at length. ".repeat(40),
                "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}})
        })
        .collect();
    let messages: Vec<_> = (0..40)
        .map(|n| match n % 3 {
            0 => serde_json::json!({"role": "user", "content": format!("Please look at part {n}. {}", "More words. ".repeat(30))}),
            1 => serde_json::json!({"role": "assistant", "content": [
                {"type": "text", "text": "I will read it."},
                {"type": "tool_use", "id": format!("toolu_{n}"), "name": "Tool1", "input": {"path": format!("src/{n}.rs")}}]}),
            _ => serde_json::json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": format!("toolu_{}", n - 1), "content": "fn main() {}\n".repeat(100)}]}),
        })
        .collect();
    serde_json::json!({"model": "claude-opus-4-5", "max_tokens": 8192, "stream": true,
        "system": [{"type": "text", "text": "You are careful. ".repeat(700)}], "tools": tools, "messages": messages})
    .to_string()
    .into_bytes()
}

/// A hundred people with a grant each, ten providers, thirty models.
fn config() -> Config {
    let providers: serde_json::Map<_, _> = (0..10)
        .map(|n| {
            let models: Vec<_> = (0..3).map(|model| format!("model-{n}-{model}")).collect();
            (format!("provider-{n}"), serde_json::json!({"baseurl": format!("https://{n}.example.com"), "models": models,
                "apikey": "key", "compatibility": {"openai_chat": true}}))
        })
        .chain([("anthropic".to_owned(), serde_json::json!({"baseurl": "https://anthropic.example.com", "models": ["claude-opus-4-5"],
            "apikey": "key", "compatibility": {"anthropic_messages": true}}))])
        .collect();
    let grants: Vec<_> = (0..100)
        .map(|n| {
            serde_json::json!({"src": [format!("person-{n}@example.com")],
                "app": {"tailscale.com/cap/aperture": [{"role": "user"}, {"models": "*/claude-*"}]}})
        })
        .collect();
    let text = serde_json::json!({"providers": providers, "grants": grants}).to_string();
    let checked = check(&text, &CheckOptions::default());
    checked
        .config
        .unwrap_or_else(|| panic!("{:?}", checked.findings))
}

/// A store on a disk that is given [`BATCH`] finished requests with their bodies, and has written them.
fn store() -> Box<dyn FnMut()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made");
    let directory = tempfile::tempdir().expect("there is a place for files");
    let (opened, writer, _) =
        Store::open(directory.path(), OpenOptions::default()).expect("a new store can be opened");
    let mut number = 0;
    Box::new(move || {
        for _ in 0..BATCH {
            number += 1;
            let (record, capture) = finished(number);
            writer.start(&record_under_way(&record));
            writer.finish(record, Some(capture));
        }
        let written = runtime.block_on(writer.flush());
        written.expect("the disk takes it");
        black_box((&opened, &directory));
    })
}

fn record_under_way(record: &Record) -> Record {
    Record {
        end: End::InFlight,
        ..record.clone()
    }
}

/// A short request of one of fifty people, two kilobytes in, one out.
fn finished(number: u64) -> (Record, Capture) {
    let mut record = Record::new(RequestId::new(), Endpoint::AnthropicMessages);
    let person = number % 50;
    record.who = Who {
        user: format!("user:{person}"),
        login: format!("person-{person}@example.com"),
        node: format!("n{person}"),
        node_name: "laptop".into(),
        tags: Vec::new(),
    };
    record.client = Client {
        name: "claude-code".into(),
        version: "2.1.0".into(),
    };
    record.provider = Some("anthropic".into());
    for model in [
        &mut record.model,
        &mut record.model_asked,
        &mut record.model_served,
    ] {
        *model = Some("claude-opus-4-5".into());
    }
    record.session = Some(SessionId(u128::from(number / 8) << 64));
    record.provider_request_id = Some(format!("req_{number}"));
    record.title = Some(format!("Explain what number {number} says"));
    record.capture = CaptureMode::Full;
    record.usage = Usage {
        input: 400,
        output: 200,
        ..Usage::default()
    };
    record.usage_state = UsageState::Reported;
    record.status = Some(200);
    record.end = End::Complete;
    let lines = |count: usize| {
        (0..count)
            .map(|n| (format!("x-header-{n}"), format!("value-{n}-{number}")))
            .collect()
    };
    let body = |words: usize| {
        let words: Vec<String> = (0..words)
            .map(|word| format!("word-{}", (number * 31 + word as u64 * 17) % 997))
            .collect();
        let text = words.join(" ");
        CapturedBody {
            size: text.len() as u64,
            chunks: vec![Bytes::from(text)],
            ..CapturedBody::default()
        }
    };
    let capture = Capture {
        request_head: lines(16),
        response_head: lines(8),
        request: body(220),
        response: body(110),
    };
    (record, capture)
}

/// One scenario, by the time it takes.
#[divan::bench(args = SCENARIOS)]
fn micro(bencher: divan::Bencher<'_, '_>, scenario: &Scenario) {
    bencher.bench_local((scenario.make)());
}

/// `count NAME TIMES` does the work and nothing else; anything else is for divan.
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, word, name, times] = arguments.as_slice() else {
        return divan::main();
    };
    if word != "count" {
        return divan::main();
    }
    let scenario = SCENARIOS
        .iter()
        .find(|scenario| scenario.name == name)
        .unwrap_or_else(|| panic!("there is no scenario {name}"));
    let mut work = (scenario.make)();
    for _ in 0..times.parse::<u64>().expect("TIMES is a number") {
        work();
    }
}

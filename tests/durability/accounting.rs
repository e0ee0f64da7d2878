//! Ordinary runs: what the provider sent, the records, the counters, the metrics and the pages say the same.

use super::{Key, Sums, of_counters, of_records, scrape, total};
use crate::support::{EVERYBODY, Gateway, gateway::Options, http};
use aperture::{
    record::{CostState, End, Record, ToolCall, UsageState},
    store::{OpenOptions, Store},
};
use http_body_util::BodyExt as _;
use hyper::Method;
use provider::{Entry, Gate, Matcher, Provider, Script};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;

/// Requests of the mix.
const REQUESTS: u64 = 336;
/// How many run at once.
const AT_ONCE: usize = 8;

/// Dollars for a million tokens as the providers publish them: input, cache read, cache write, for an hour, output.
const PRICES: [(&str, [f64; 5]); 4] = [
    ("claude-haiku-4-5", [1.0, 0.1, 1.25, 2.0, 5.0]),
    ("claude-opus-4-5", [5.0, 0.5, 6.25, 10.0, 25.0]),
    ("gpt-4o", [2.5, 1.25, 0.0, 0.0, 10.0]),
    ("gpt-5", [1.25, 0.125, 0.0, 0.0, 10.0]),
];

fn config(provider: &str) -> String {
    format!(
        r#"{{
  "providers": {{
    "anthropic": {{
      "baseurl": "{provider}",
      "authorization": {{"type": "x-api-key", "value": "sk-ant-upstream-key"}},
      "models": ["claude-haiku-4-5", "claude-opus-4-5", "claude-of-our-own"],
      "compatibility": {{"anthropic_messages": true}},
    }},
    "openai": {{
      "baseurl": "{provider}",
      "authorization": {{"type": "Bearer", "value": "sk-openai-upstream-key"}},
      "models": ["gpt-4o", "gpt-5", "gpt-of-our-own"],
      "compatibility": {{"openai_chat": true, "openai_responses": true}},
    }},
  }},
  "temp_grants": [{EVERYBODY}],
}}"#
    )
}

/// How a request of the mix goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To its end.
    Whole,
    /// The model calls tools.
    Calls,
    /// The request carries a result of a tool.
    Results,
    /// The provider answers with an error.
    Error(u16),
    /// The provider breaks off in the middle.
    Cut,
    /// The client leaves in the middle.
    Cancel,
    /// The gateway refuses it.
    Refused,
}

/// One request of the mix.
#[derive(Clone, Copy, Debug)]
struct Asked {
    n: u64,
    path: &'static str,
    model: &'static str,
    stream: bool,
    /// Anthropic: cache marks of both lifetimes.
    cached: bool,
    way: Way,
}

/// A number that looks random and is the same in every run.
const fn mixed(n: u64, of: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % of
}

fn mix() -> Vec<Asked> {
    let asked = |n| {
        let pick = |salt: u64, of: u64| usize::try_from(mixed(n * 16 + salt, of)).unwrap();
        let path = [
            "/v1/messages",
            "/v1/chat/completions",
            "/v1/responses",
            "/v1/messages/count_tokens",
        ][pick(0, 10) / 3];
        let models = if path.starts_with("/v1/messages") {
            ["claude-haiku-4-5", "claude-opus-4-5", "claude-of-our-own"]
        } else {
            ["gpt-4o", "gpt-5", "gpt-of-our-own"]
        };
        let counts = path.ends_with("count_tokens");
        let way = [
            Way::Whole,
            Way::Whole,
            Way::Calls,
            Way::Results,
            Way::Error([400, 429, 500, 529][pick(1, 4)]),
            Way::Cut,
            Way::Cancel,
            Way::Refused,
        ][pick(2, 8)];
        let way = match way {
            Way::Error(_) | Way::Refused | Way::Whole => way,
            _ if counts => Way::Whole,
            way => way,
        };
        let early = matches!(way, Way::Cut | Way::Cancel);
        Asked {
            n,
            path,
            model: models[pick(3, 3)],
            stream: !counts && (early || pick(4, 2) == 0),
            cached: pick(5, 2) == 0,
            way,
        }
    };
    (0..REQUESTS).map(asked).collect()
}

impl Asked {
    fn body(&self) -> String {
        let prompt = format!("prompt {} {}", self.n, "words ".repeat(20));
        let mut turns = vec![json!({"role": "user", "content": prompt})];
        let mut body = json!({"model": self.model, "stream": self.stream});
        let tool = json!({"command": "ls"});
        match self.path {
            "/v1/chat/completions" => {
                if self.way == Way::Results {
                    turns.push(json!({"role": "assistant", "content": null, "tool_calls": [{"id": format!("call_{}", self.n),
                        "type": "function", "function": {"name": "shell", "arguments": tool.to_string()}}]}));
                    turns.push(json!({"role": "tool", "tool_call_id": format!("call_{}", self.n), "content": "a file"}));
                }
                body["messages"] = turns.into();
                // Half of the clients ask for usage by themselves.
                if self.stream && self.cached {
                    body["stream_options"] = json!({"include_usage": true});
                }
                body["tools"] = json!([{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]);
            }
            "/v1/responses" => {
                if self.way == Way::Results {
                    turns.push(json!({"type": "function_call", "call_id": format!("call_{}", self.n), "name": "shell",
                        "arguments": tool.to_string()}));
                    turns.push(json!({"type": "function_call_output", "call_id": format!("call_{}", self.n), "output": "a file"}));
                }
                body["input"] = turns.into();
                body["tools"] = json!([{"type": "function", "name": "shell", "parameters": {"type": "object"}}]);
            }
            _ => {
                if self.way == Way::Results {
                    let id = format!("toolu_{}", self.n);
                    turns.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "shell", "input": tool}]}));
                    turns.push(json!({"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": id, "is_error": true, "content": "no such file"}]}));
                }
                body["messages"] = turns.into();
                body["max_tokens"] = 4096.into();
                body["tools"] = json!([{"name": "shell", "input_schema": {"type": "object"}}]);
                if self.cached {
                    body["system"] = json!([
                        {"type": "text", "text": "rules ".repeat(30), "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                        {"type": "text", "text": "more rules", "cache_control": {"type": "ephemeral"}}]);
                }
            }
        }
        if self.way == Way::Refused {
            body["model"] = "a-model-of-nobody".into();
        }
        body.to_string()
    }

    fn script(&self, gate: &Gate) -> Option<Script> {
        let script = |text: &str| Some(Script::from_json(text).unwrap());
        match self.way {
            Way::Whole | Way::Results | Way::Refused => script(
                r#"{"text": "It is done, and this is what came of it.", "thinking": "Let me think about it."}"#,
            ),
            Way::Calls => script(
                r#"{"text": "Looking.", "tools": [{"name": "shell", "input": {"command": "ls"}}, {"name": "shell", "input": {"command": "pwd"}}]}"#,
            ),
            Way::Error(status) => Some(Script::status(status)),
            Way::Cut => script(r#"{"tokens": 60, "chunks": 12, "cut": 6}"#),
            Way::Cancel => Some(
                Script::from_json(r#"{"tokens": 60, "chunks": 12}"#)
                    .unwrap()
                    .gated(gate),
            ),
        }
    }

    async fn ask(self, url: String, gate: Gate) {
        let url = format!("{url}{}?n={}", self.path, self.n);
        let headers = [
            ("content-type", "application/json"),
            ("user-agent", "mix/1.0"),
        ];
        let answer = http::open(Method::POST, &url, &headers, self.body()).await;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        match self.way {
            Way::Cancel => {
                gate.release(3);
                // One frame may hold all three events: after the first, the client goes.
                assert!(body.frame().await.unwrap().is_ok());
            }
            Way::Cut => assert!(
                body.collect().await.is_err(),
                "a cut answer never looks whole"
            ),
            way => {
                let expected = match way {
                    Way::Error(status) => status,
                    Way::Refused => 404,
                    _ => 200,
                };
                let body = body.collect().await.unwrap().to_bytes();
                assert_eq!(status, expected, "{self:?}: {body:?}");
            }
        }
    }
}

fn number(path: &str) -> u64 {
    path.rsplit_once("n=").unwrap().1.parse().unwrap()
}

/// What it must have cost, by the published prices.
fn price(record: &Record) -> Option<u64> {
    let model = record.model.as_deref()?;
    let (_, rates) = PRICES.iter().find(|(name, _)| *name == model)?;
    let usage = &record.usage;
    let counts = [
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.output,
    ];
    let pico = |(rate, count): (&f64, u64)| {
        // Pico-dollars for a token: a million times the dollars for a million.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and small"
        )]
        let rate = (rate * 1e6).round() as u64;
        rate * count
    };
    Some(rates.iter().zip(counts).map(pico).sum())
}

/// One record against what the provider logged of the same request.
fn check(asked: &Asked, record: &Record, entry: Option<&Entry>) {
    let Some(entry) = entry else {
        assert_eq!(
            asked.way,
            Way::Refused,
            "{asked:?} never reached the provider"
        );
        assert_eq!(record.end, End::Refused);
        assert_eq!(record.status, Some(404));
        assert_eq!(record.failure.as_deref(), Some("no_model"), "{asked:?}");
        assert_eq!(
            (record.usage.total(), record.cost.state),
            (0, CostState::None)
        );
        assert_eq!(record.model_asked.as_deref(), Some("a-model-of-nobody"));
        assert_eq!(record.model, None);
        return;
    };
    assert_eq!(record.model_asked.as_deref(), Some(asked.model));
    assert_eq!(record.model, record.model_asked);
    assert_eq!(record.streamed, asked.stream);
    assert_eq!(record.client.name, "mix");
    assert_eq!(
        record.status,
        entry.answer.status.map(|status| status.as_u16())
    );
    assert_eq!(record.bytes.request, asked.body().len() as u64);
    check_usage(asked, record, entry);
    check_cost(asked, record);
    let names = |results: bool| {
        let of = |tool: &&ToolCall| tool.result_error.is_some() == results;
        record
            .tools
            .iter()
            .filter(of)
            .map(|tool| tool.name.as_str())
            .collect::<Vec<_>>()
    };
    let calls: &[&str] = if asked.way == Way::Calls {
        &["shell", "shell"]
    } else {
        &[]
    };
    let results: &[&str] = if asked.way == Way::Results {
        &["shell"]
    } else {
        &[]
    };
    assert_eq!(
        (names(false).as_slice(), names(true).as_slice()),
        (calls, results),
        "{asked:?}"
    );
}

/// The tokens of a record, by the way of its request.
fn check_usage(asked: &Asked, record: &Record, entry: &Entry) {
    let counts = asked.path.ends_with("count_tokens");
    let usage = &record.usage;
    let sent = entry.answer.usage.unwrap_or_default();
    let parts = |usage: &aperture::record::Usage| {
        (
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.cache_write_1h,
        )
    };
    let input = (
        sent.input,
        sent.cache_read,
        sent.cache_write,
        sent.cache_write_long,
    );
    match asked.way {
        Way::Error(_) => {
            assert_eq!(record.end, End::Complete, "{asked:?}");
            assert_eq!((usage.total(), record.usage_state), (0, UsageState::None));
        }
        _ if counts => {
            assert_eq!(record.end, End::Complete);
            assert_eq!((usage.total(), record.session), (0, None));
        }
        Way::Cut | Way::Cancel => {
            let end = if asked.way == Way::Cut {
                End::UpstreamError
            } else {
                End::ClientGone
            };
            assert_eq!(record.end, end, "{asked:?}");
            // Anthropic states the input at the start, the others nothing before the end.
            if asked.path == "/v1/messages" {
                assert_eq!(record.usage_state, UsageState::Partial, "{asked:?}");
                assert_eq!(parts(usage), input, "{asked:?}");
                assert!(usage.output <= sent.output);
            } else {
                assert_eq!(record.usage_state, UsageState::Estimated, "{asked:?}");
                assert_eq!(usage.total(), 0, "{asked:?}");
                assert!(record.estimate.is_some(), "{asked:?}");
            }
        }
        _ => {
            assert_eq!(record.end, End::Complete, "{asked:?}");
            assert_eq!(record.usage_state, UsageState::Reported, "{asked:?}");
            assert_eq!(parts(usage), input, "{asked:?}");
            assert_eq!(usage.output, sent.output);
            // Anthropic does not count thinking apart.
            if asked.path != "/v1/messages" {
                assert_eq!(usage.reasoning, sent.reasoning);
            }
            assert_eq!(record.model_served.as_deref(), Some(asked.model));
        }
    }
}

/// Priced by the published prices, or flagged; never zero dollars for tokens.
fn check_cost(asked: &Asked, record: &Record) {
    let (usage, cost) = (&record.usage, &record.cost);
    if usage.total() == 0 {
        assert_eq!((cost.state, cost.pico), (CostState::None, 0), "{asked:?}");
    } else if let Some(pico) = price(record) {
        assert_eq!(
            (cost.state, cost.pico),
            (CostState::Priced, pico),
            "{asked:?} {usage:?}"
        );
    } else {
        assert_eq!(
            (cost.state, cost.pico),
            (CostState::Unpriced, 0),
            "{asked:?}"
        );
    }
}

/// Everything that `/metrics` splits by the same labels.
async fn check_metrics(gateway: &Gateway, sums: &BTreeMap<Key, Sums>, records: &[Record]) {
    let samples = scrape(gateway).await;
    let counted: BTreeMap<Key, u64> = samples
        .iter()
        .filter(|sample| sample.name == "aperture_requests_total")
        .map(|sample| {
            let key = ["provider", "model", "endpoint", "status_class", "end"];
            let key = key.map(|label| sample.labels.get(label).cloned().unwrap_or_default());
            (key, sample.value.parse().unwrap())
        })
        .collect();
    let requests = sums.iter().map(|(key, sums)| (key.clone(), sums.requests));
    assert_eq!(counted, requests.collect(), "aperture_requests_total");
    let mut all = Sums::default();
    for sums in sums.values() {
        all.add(sums);
    }
    let tokens = |kind: &str| -> u64 {
        samples
            .iter()
            .filter(|sample| {
                sample.name == "aperture_tokens_total" && sample.labels["type"] == kind
            })
            .map(|sample| sample.value.parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(
        [
            "input",
            "cache_read",
            "cache_write",
            "cache_write_1h",
            "output"
        ]
        .map(tokens),
        [
            all.usage.input,
            all.usage.cache_read,
            all.usage.cache_write,
            all.usage.cache_write_1h,
            all.usage.output
        ]
    );
    assert_eq!(
        total(&samples, "aperture_unpriced_requests_total"),
        all.unpriced
    );
    let dollars = samples
        .iter()
        .filter(|sample| sample.name == "aperture_cost_dollars_total");
    let pico = dollars.map(|sample| sample.value.replace('.', "").parse::<u64>().unwrap());
    assert_eq!(pico.sum::<u64>(), all.cost_pico);
    let partial = records.iter().filter(|record| {
        matches!(
            record.usage_state,
            UsageState::Partial | UsageState::Estimated
        )
    });
    assert_eq!(
        total(&samples, "aperture_incomplete_usage_total"),
        partial.count() as u64
    );
    assert_eq!(super::gauge(&samples, "aperture_in_flight"), "0");
    assert_eq!(super::gauge(&samples, "aperture_open_streams"), "0");
}

/// `1,234`
fn grouped(n: u64) -> String {
    let digits = n.to_string().into_bytes();
    let groups: Vec<&[u8]> = digits.rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b',')).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provider_records_counters_metrics_and_pages_agree_on_a_mix_of_everything() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url()), Options::default()).await;
    let mix = mix();
    let mut running = JoinSet::new();
    for asked in &mix {
        if running.len() >= AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
        let gate = Gate::new();
        if let Some(script) = asked.script(&gate) {
            provider.script(Matcher::body(format!("prompt {} ", asked.n)), script);
        }
        running.spawn(asked.ask(gateway.url.clone(), gate));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let records = gateway.finished(mix.len()).await;
    assert_eq!(records.len(), mix.len());
    let log: HashMap<u64, Entry> = provider
        .log()
        .into_iter()
        .map(|entry| (number(&entry.request.target), entry))
        .collect();
    for record in &records {
        let n = number(&record.path);
        check(&mix[usize::try_from(n).unwrap()], record, log.get(&n));
    }
    assert!(
        records.iter().any(|record| record.usage.cache_write_1h > 0)
            && records.iter().any(|record| record.usage.cache_write > 0)
            && records
                .iter()
                .any(|record| record.cost.state == CostState::Unpriced),
        "the mix has everything"
    );

    let sums = of_records(&records);
    assert_eq!(
        sums,
        of_counters(&gateway.state_dir()).await,
        "hourly counters"
    );
    check_metrics(&gateway, &sums, &records).await;
    let mut all = Sums::default();
    for sums in sums.values() {
        all.add(sums);
    }
    let page = http::get(&format!("{}/ui/", gateway.url)).await.text();
    for figure in [all.requests, all.usage.input_all(), all.usage.output] {
        assert!(
            page.contains(&grouped(figure)),
            "no {} in {page}",
            grouped(figure)
        );
    }

    let state = gateway.state_dir();
    let _dir = gateway.stop().await;
    let (store, writer, recovered) = Store::open(&state, OpenOptions::default()).unwrap();
    assert_eq!(
        (recovered.interrupted, recovered.window),
        (0, None),
        "it was closed in order"
    );
    let totals = store.totals().unwrap();
    assert_eq!(
        (
            totals.requests,
            totals.usage,
            totals.cost_pico,
            totals.unpriced
        ),
        (all.requests, all.usage, all.cost_pico, all.unpriced)
    );
    let hours = 0..=u32::MAX;
    let tools = store.tools(*hours.start(), *hours.end(), None).unwrap();
    let sum = |of: fn(&aperture::store::ToolCounters) -> u64| -> u64 {
        tools.iter().map(|(_, counters)| of(counters)).sum()
    };
    let calls = records.iter().flat_map(|record| &record.tools);
    let made = calls
        .clone()
        .filter(|tool| tool.result_error.is_none())
        .count();
    let failed = calls
        .clone()
        .filter(|tool| tool.result_error == Some(true))
        .count();
    assert!(tools.iter().all(|(key, _)| key.tool == "shell"));
    assert_eq!(
        (sum(|tool| tool.calls), sum(|tool| tool.errors)),
        (made as u64, failed as u64)
    );
    assert_eq!(
        sum(|tool| tool.argument_bytes),
        calls.map(|tool| tool.argument_bytes).sum::<u64>()
    );
    writer.close(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_provider_that_states_absurd_counts_does_not_stop_the_store() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url()), Options::default()).await;
    let most = u64::MAX;
    let absurd: Value = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [], "stop_reason": "end_turn",
        "usage": {"input_tokens": most, "output_tokens": most, "cache_read_input_tokens": most}});
    provider.script_times(
        3,
        Matcher::any(),
        Script::raw("application/json", [absurd.to_string().into()]),
    );
    let url = format!("{}/v1/messages", gateway.url);
    let body = r#"{"model":"claude-haiku-4-5","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
    for _ in 0..4 {
        assert_eq!(http::post(&url, body).await.status, 200);
    }
    let records = gateway.finished(4).await;
    for record in &records[..3] {
        assert_eq!(record.usage_state, UsageState::Unknown);
        assert_eq!(
            (record.cost.state, record.cost.pico),
            (CostState::Unpriced, 0)
        );
    }
    assert_eq!(records[3].usage_state, UsageState::Reported);
    assert_eq!(
        of_records(&records),
        of_counters(&gateway.state_dir()).await
    );
    let samples = scrape(&gateway).await;
    assert_eq!(super::gauge(&samples, "aperture_store_degraded"), "0");
    gateway.stop().await;
}

#[tokio::test]
async fn open_streams_are_counted_while_they_run() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url()), Options::default()).await;
    let gate = Gate::new();
    let script = Script::text("one two three").gated(&gate);
    provider.script(Matcher::any(), script);
    let url = Arc::new(format!("{}/v1/chat/completions", gateway.url));
    let ask = |stream: bool| {
        let body = json!({"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
        let url = Arc::clone(&url);
        tokio::spawn(async move { http::post(&url, body.to_string()).await })
    };
    let asked = [ask(true), ask(true), ask(false)];
    provider.await_requests(3).await;
    let samples = scrape(&gateway).await;
    assert_eq!(super::gauge(&samples, "aperture_in_flight"), "3");
    assert_eq!(super::gauge(&samples, "aperture_open_streams"), "2");
    gate.open();
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    gateway.finished(3).await;
    let samples = scrape(&gateway).await;
    assert_eq!(super::gauge(&samples, "aperture_open_streams"), "0");
    gateway.stop().await;
}

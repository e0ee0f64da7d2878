//! Spans for an OpenTelemetry collector: what they say, whom they go to, and that nothing ever waits for them.

use super::{document, start};
use crate::support::{
    EVERYBODY, Gateway, chat,
    cloud::{Said, said},
    collector::{Collector, Span, decode, taken},
    config,
    gateway::{Options as Start, records},
    http as client, message,
};
use aperture::record::{CostState, End, Record};
use http::Method;
use provider::{CutHow, Matcher, Options, Point, Provider, Script};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};

const MARK: &str = "marked-text-of-a-prompt";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A gateway with a scripted provider that exports to the collector.
async fn exporting(collector: &Collector, provider: &Provider, more: &str) -> Gateway {
    start(&document(&provider.url(), &collector.settings(more))).await
}

async fn ask(gateway: &Gateway, text: &str) {
    let url = format!("{}/v1/messages", gateway.url);
    let answer = client::post(&url, message("claude-haiku-4-5", text, true)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Spans so far, by what became of them.
async fn counted(gateway: &Gateway, result: &str) -> u64 {
    let text = client::get(&format!("{}/metrics", gateway.metrics_url))
        .await
        .text();
    let series = format!("aperture_otlp_spans_total{{result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Waits until that many spans ended so.
async fn until_counted(gateway: &Gateway, result: &str, count: u64) {
    let deadline = Instant::now() + crate::support::process::PATIENCE;
    while counted(gateway, result).await < count {
        assert!(Instant::now() < deadline, "{count} are never {result}");
    }
}

/// Lines of the log that are about the export.
fn said_in_log(gateway: &Gateway) -> Vec<String> {
    let lines = gateway.process.stderr.all();
    let about = lines.iter().filter(|line| line.contains("otlp:"));
    about.cloned().collect()
}

/// Requests of every kind, the same for the same seed.
async fn mix(gateway: &Gateway, provider: &Provider, count: usize) {
    let cut = |point| Script {
        cut: Some(point),
        cut_how: CutHow::Rst,
        ..Script::text("one two three four five six")
    };
    provider.script(Matcher::body("cut-it"), cut(Point::MidStream));
    provider.script(Matcher::body("break-it"), cut(Point::BeforeHead));
    provider.script(Matcher::body("too-many"), Script::status(429));
    provider.script(Matcher::body("fail-it"), Script::status(500));
    let mut random = super::random::Random::new(4711);
    for number in 0..count {
        let text = random.of(&[
            "hello", "hello", "cut-it", "break-it", "too-many", "fail-it",
        ]);
        let text = format!("{text} {number}");
        let stream = random.one_in(2);
        let (path, body) = match random.below(6) {
            0 | 1 => ("/v1/messages", message("claude-haiku-4-5", &text, stream)),
            2 | 3 => ("/v1/chat/completions", chat("gpt-4o", &text, stream)),
            4 => ("/v1/messages", message("claude-that-is-not", &text, stream)),
            _ => (
                "/v1/messages/count_tokens",
                message("claude-haiku-4-5", &text, false),
            ),
        };
        let url = format!("{}{path}", gateway.url);
        let headers = [
            ("content-type", "application/json"),
            ("user-agent", "mix/1.2"),
        ];
        if let Ok(response) = client::try_open(Method::POST, &url, &headers, body).await {
            let _ = http_body_util::BodyExt::collect(response.into_body()).await;
        }
    }
}

fn agrees(span: &Span, record: &Record) {
    let id = record.id.to_string();
    assert_eq!(
        span.0["trace"],
        id.trim_start_matches("req_"),
        "found by the request's id"
    );
    assert_eq!(span.0["parent"], "");
    assert_eq!(span.0["kind"], "SPAN_KIND_CLIENT");
    assert_eq!(
        span.0["nanoseconds"].as_u64().unwrap(),
        record.timings.total_us * 1_000
    );
    let optional = |name: &str, value: Option<&str>| {
        assert_eq!(span.get(name).as_str(), value, "{name} of {record:?}");
    };
    optional(
        "gen_ai.request.model",
        record.model.as_deref().or(record.model_asked.as_deref()),
    );
    optional("gen_ai.response.model", record.model_served.as_deref());
    optional("aperture.provider", record.provider.as_deref());
    let session = record.session.map(|id| id.to_string());
    optional("gen_ai.conversation.id", session.as_deref());
    optional("aperture.end", Some(record.end.as_str()));
    optional("aperture.endpoint", Some(record.endpoint.as_str()));
    optional("user_agent.name", Some("mix"));
    optional("user_agent.version", Some("1.2"));
    optional("enduser.id", None);
    assert_eq!(
        span.get("http.response.status_code").as_u64(),
        record.status.map(u64::from)
    );
    assert_eq!(
        span.count("gen_ai.usage.input_tokens"),
        record.usage.input_all()
    );
    assert_eq!(
        span.count("gen_ai.usage.output_tokens"),
        record.usage.output
    );
    let dollars = span.get("aperture.cost.usd").as_f64();
    assert_eq!(dollars.is_some(), record.cost.state == CostState::Priced);
    #[expect(clippy::cast_precision_loss, reason = "a test's dollars")]
    let expected = record.cost.pico as f64 / 1e12;
    assert!((dollars.unwrap_or(0.0) - expected).abs() < 1e-12);
    let reasons = span.get("gen_ai.response.finish_reasons");
    assert_eq!(
        reasons[0]["string"].as_str(),
        record.stop_reason.as_deref(),
        "{reasons}"
    );
    let failed = record.failure.is_some()
        || record.status.is_some_and(|status| status >= 400)
        || !matches!(record.end, End::Complete | End::ClientGone);
    assert_eq!(!span.get("error.type").is_null(), failed, "{record:?}");
    assert_eq!(span.0["status"], if failed { 2 } else { 0 });
    let first = record.timings.first_byte_us > 0;
    assert_eq!(
        span.0["events"].as_array().unwrap().len(),
        usize::from(first)
    );
}

#[tokio::test]
async fn every_record_is_one_span_that_says_the_same() {
    let collector = Collector::start().await;
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = exporting(&collector, &provider, "").await;
    mix(&gateway, &provider, 60).await;
    let state = gateway.state_dir();
    // What waits when the gateway ends is sent then.
    let dir = gateway.stop().await;
    let records = records(&state).await;
    assert_eq!(records.len(), 60);
    let ends: std::collections::HashSet<&str> =
        records.iter().map(|record| record.end.as_str()).collect();
    assert!(ends.len() >= 3, "the mix has too few ends: {ends:?}");

    let spans = collector.spans().await;
    let by_id: HashMap<&str, &Span> = spans
        .iter()
        .map(|span| (span.text("aperture.request.id"), span))
        .collect();
    assert_eq!(spans.len(), 60);
    for record in &records {
        agrees(by_id[record.id.to_string().as_str()], record);
    }
    for (name, kind) in [
        ("gen_ai.operation.name", "string"),
        ("gen_ai.provider.name", "string"),
        ("gen_ai.usage.input_tokens", "int"),
        ("gen_ai.response.finish_reasons", "list"),
        ("gen_ai.response.time_to_first_chunk", "double"),
        ("http.response.status_code", "int"),
        ("server.address", "string"),
        ("server.port", "int"),
        ("error.type", "string"),
        ("aperture.cost.usd", "double"),
    ] {
        let mut with = spans
            .iter()
            .filter(|span| !span.get(name).is_null())
            .peekable();
        assert!(with.peek().is_some(), "no span has {name}");
        assert!(with.all(|span| span.type_of(name) == kind), "{name}");
    }
    let resource = &spans[0].0["resource"];
    assert_eq!(resource["service.name"]["string"], "aperture");
    assert_eq!(resource["service.version"]["string"], aperture::VERSION);
    drop(dir);
}

#[tokio::test]
async fn the_clients_span_is_the_parent_and_its_header_passes_as_it_came() {
    let collector = Collector::start().await;
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = exporting(&collector, &provider, "").await;
    let url = format!("{}/v1/messages", gateway.url);
    let unsampled = PARENT.replace("-01", "-00");
    for parent in [PARENT, &unsampled, "00-not-one-01"] {
        let headers = [
            ("content-type", "application/json"),
            ("traceparent", parent),
            ("tracestate", "vendor=1"),
        ];
        let body = message("claude-haiku-4-5", "hello", false);
        let answer = client::send(Method::POST, &url, &headers, body).await;
        assert_eq!(answer.status, 200);
        let log = provider.log();
        let entry = log.last().unwrap();
        assert_eq!(entry.header("traceparent"), Some(parent));
        assert_eq!(entry.header("tracestate"), Some("vendor=1"));
    }
    gateway.stop().await;
    let spans = collector.spans().await;
    // Whose client does not export its own span is not exported either.
    assert_eq!(spans.len(), 2);
    let [below, alone] = &spans[..] else { panic!() };
    assert_eq!(below.0["trace"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(below.0["parent"], "b7ad6b7169203331");
    assert_eq!(below.0["state"], "vendor=1");
    assert_eq!(below.0["flags"], 0x301);
    assert_eq!(alone.0["parent"], "");
    assert_eq!(alone.0["flags"], 0x101);
}

/// Whether a text is in any post, however it is encoded there.
fn holds(collector: &Collector, text: &str) -> bool {
    let asked = collector.stand_in.asked();
    asked.iter().any(|post| {
        let mut windows = post.body.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn content_and_users_are_exported_only_when_asked_for_and_only_what_may_be_kept() {
    let provider = Provider::start(Options::default()).await.unwrap();
    provider.script(Matcher::any(), Script::text("a marked-answer"));

    let collector = Collector::start().await;
    let gateway = exporting(&collector, &provider, "").await;
    ask(&gateway, MARK).await;
    gateway.stop().await;
    assert_eq!(collector.spans().await.len(), 1);
    for text in [MARK, "marked-answer", "dev@example.com"] {
        assert!(!holds(&collector, text), "{text}");
    }

    let collector = Collector::start().await;
    let gateway = exporting(&collector, &provider, r#""content": true, "users": true"#).await;
    ask(&gateway, MARK).await;
    gateway.stop().await;
    let spans = collector.spans().await;
    assert_eq!(spans[0].text("enduser.id"), "dev@example.com");
    let input: serde_json::Value =
        serde_json::from_str(spans[0].text("gen_ai.input.messages")).unwrap();
    assert_eq!(input[0]["role"], "user");
    assert_eq!(input[0]["parts"][0]["type"], "text");
    assert_eq!(input[0]["parts"][0]["content"], MARK);
    let output: serde_json::Value =
        serde_json::from_str(spans[0].text("gen_ai.output.messages")).unwrap();
    assert_eq!(output[0]["role"], "assistant");
    assert_eq!(output[0]["parts"][0]["content"], "a marked-answer");
    assert_eq!(output[0]["finish_reason"], "end_turn");

    for mode in ["metadata", "none"] {
        let collector = Collector::start().await;
        let settings = collector.settings(r#""content": true"#);
        let settings = format!(r#"{settings}, "capture": {{"mode": "{mode}"}}"#);
        let gateway = start(&document(&provider.url(), &settings)).await;
        ask(&gateway, MARK).await;
        gateway.stop().await;
        assert_eq!(collector.spans().await.len(), 1);
        for text in [MARK, "marked-answer"] {
            assert!(!holds(&collector, text), "{text} with {mode}");
        }
    }
}

#[tokio::test]
async fn long_texts_are_cut() {
    let collector = Collector::start().await;
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = exporting(&collector, &provider, r#""content": true"#).await;
    for _ in 0..4 {
        ask(&gateway, &"long ".repeat(400_000)).await;
    }
    gateway.stop().await;
    for span in collector.spans().await {
        let input = span.text("gen_ai.input.messages");
        assert!(input.len() < 500 << 10, "{}", input.len());
        assert!(input.contains("left_out_bytes"));
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_delays_nobody_and_gets_the_spans_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let provider = Provider::start(Options::default()).await.unwrap();
    let settings = format!(r#""otlp": {{"endpoint": "http://{address}"}}"#);
    let gateway = start(&document(&provider.url(), &settings)).await;
    let begun = Instant::now();
    for _ in 0..20 {
        ask(&gateway, "hello").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    gateway
        .event("otlp: the collector takes no spans", |_| Some(()))
        .await;

    let listener = TcpListener::bind(address).await.unwrap();
    let posts = Arc::new(parking_lot::Mutex::new(0));
    let seen = Arc::clone(&posts);
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service =
                hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let seen = Arc::clone(&seen);
                    async move {
                        http_body_util::BodyExt::collect(request.into_body()).await?;
                        *seen.lock() += 1;
                        Ok::<_, hyper::Error>(http::Response::new(String::new()))
                    }
                });
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    until_counted(&gateway, "exported", 20).await;
    gateway
        .event("otlp: the collector takes spans again", |_| Some(()))
        .await;
    assert_eq!(counted(&gateway, "failed").await, 0);
    // One line when it began and one when it was over, however often it was tried.
    assert_eq!(
        said_in_log(&gateway).len(),
        2,
        "{:?}",
        said_in_log(&gateway)
    );
    gateway.stop().await;
    assert!(*posts.lock() >= 1);
    accepting.abort();
}

#[tokio::test]
async fn a_busy_collector_is_asked_again_and_one_that_refuses_is_not() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let busy = Collector::answering(|_, before| match before {
        0 => Said {
            headers: vec![("retry-after", "2")],
            ..said(429, "")
        },
        1 => said(503, ""),
        _ => taken(),
    })
    .await;
    let gateway = exporting(&busy, &provider, "").await;
    ask(&gateway, "hello").await;
    until_counted(&gateway, "exported", 1).await;
    let posts = busy.posts(3).await;
    assert_eq!(posts[0].body, posts[1].body, "the same batch");
    let waited = posts[1].at.duration_since(posts[0].at).unwrap();
    assert!(waited >= Duration::from_millis(1_900), "{waited:?}");
    gateway.stop().await;

    let refusing = Collector::answering(|_, _| said(400, "{}")).await;
    let gateway = exporting(&refusing, &provider, "").await;
    ask(&gateway, "hello").await;
    until_counted(&gateway, "failed", 1).await;
    assert_eq!(refusing.stand_in.asked().len(), 1);
    gateway.stop().await;

    // field 1: PartialSuccess { rejected_spans: 1, error_message: "no" }
    let choosy = Collector::answering(|_, _| Said {
        body: "\u{a}\u{6}\u{8}\u{1}\u{12}\u{2}no".to_owned(),
        ..taken()
    })
    .await;
    let gateway = exporting(&choosy, &provider, "").await;
    ask(&gateway, "hello").await;
    until_counted(&gateway, "rejected", 1).await;
    assert_eq!(counted(&gateway, "exported").await, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_neither_requests_nor_the_end() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let collector = Collector::answering(move |_, _| Said {
        gate: Some(Arc::clone(&held)),
        ..taken()
    })
    .await;
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = exporting(&collector, &provider, "").await;
    for _ in 0..5 {
        ask(&gateway, "hello").await;
    }
    collector.posts(1).await;
    assert_eq!(gateway.finished(5).await.len(), 5);
    let begun = Instant::now();
    gateway.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn the_export_is_switched_on_and_off_while_it_runs() {
    let collector = Collector::start().await;
    let provider = Provider::start(Options::default()).await.unwrap();
    let off = document(&provider.url(), "");
    let on = document(&provider.url(), &collector.settings(""));
    let gateway = start(&off).await;
    ask(&gateway, "hello").await;
    for (document, spans) in [(&on, 1), (&off, 1), (&on, 2)] {
        std::fs::write(gateway.config_file(), document).unwrap();
        let before = gateway.process.stderr.all().len();
        gateway.process.signal("HUP").await;
        let mut lines = 0;
        gateway
            .process
            .stderr
            .find("a reload", |line| {
                lines += 1;
                let swapped = line.contains("config: a new version is in force");
                (lines > before && swapped).then_some(())
            })
            .await;
        ask(&gateway, "hello").await;
        until_counted(&gateway, "exported", spans).await;
    }
    gateway.stop().await;
    assert_eq!(collector.spans().await.len(), 2);
}

#[tokio::test]
async fn a_share_of_requests_can_be_exported() {
    let provider = Provider::start(Options::default()).await.unwrap();
    for (share, range) in [("0.0", 0..=0), ("0.5", 5..=55)] {
        let collector = Collector::start().await;
        let more = format!(r#""sample": {share}"#);
        let gateway = exporting(&collector, &provider, &more).await;
        for _ in 0..60 {
            ask(&gateway, "hello").await;
        }
        gateway.stop().await;
        let spans = collector.spans().await.len();
        assert!(range.contains(&spans), "{spans} of 60 at {share}");
    }
}

#[tokio::test]
async fn header_lines_come_from_secrets_and_without_them_nothing_is_sent() {
    let collector = Collector::start().await;
    let provider = Provider::start(Options::default()).await.unwrap();
    let settings = collector.settings(r#""headers": {"authorization": "env:COLLECTOR_API_KEY"}"#);
    let document = document(&provider.url(), &settings);
    let options = Start {
        environment: vec![("COLLECTOR_API_KEY".into(), "Bearer marked-key".into())],
        ..Start::default()
    };
    let gateway = Gateway::dev(&document, options).await;
    ask(&gateway, "hello").await;
    let lines = gateway.process.stderr.clone();
    gateway.stop().await;
    let posts = collector.posts(1).await;
    assert_eq!(posts[0].header("authorization"), "Bearer marked-key");
    assert!(!lines.all().iter().any(|line| line.contains("marked-key")));

    let gateway = start(&document).await;
    ask(&gateway, "hello").await;
    gateway.event("config", |_| Some(())).await;
    gateway.stop().await;
    assert_eq!(collector.stand_in.asked().len(), 1);
}

#[tokio::test]
async fn a_collector_is_reached_over_tls() {
    let collector = Provider::start(Options::default().with_tls())
        .await
        .unwrap();
    let provider = Provider::start(Options::default()).await.unwrap();
    let port = collector.tls_addr().unwrap().port();
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&authority, collector.ca_pem().unwrap()).unwrap();
    let settings = format!(r#""otlp": {{"endpoint": "https://localhost:{port}/otel/"}}"#);
    let options = Start {
        environment: vec![(
            "SSL_CERT_FILE".into(),
            authority.path().to_str().unwrap().into(),
        )],
        ..Start::default()
    };
    let document = document(&provider.url(), &settings);
    let gateway = Gateway::dev(&document, options).await;
    ask(&gateway, "hello").await;
    gateway.stop().await;
    let log = collector.log();
    let posted = log.first().expect("a post");
    assert_eq!(posted.request.target, "/otel/v1/traces");
    let body = posted.request.body.as_deref().unwrap();
    assert_eq!(decode(&[body]).await.len(), 1);
}

#[tokio::test]
async fn without_a_collector_nothing_is_queued() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let gateway = Gateway::dev(&config(&provider.url(), EVERYBODY), Start::default()).await;
    ask(&gateway, "hello").await;
    gateway.finished(1).await;
    for result in ["exported", "rejected", "failed", "dropped"] {
        assert_eq!(counted(&gateway, result).await, 0);
    }
    gateway.stop().await;
}

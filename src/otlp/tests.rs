use super::{
    Exporter, Parent,
    context::{is_sampled, span_id},
    export::Said,
    span,
    wire::{KeyValue, Span, Value},
};
use crate::{
    config::{CheckOptions, Live, Otlp, Provider},
    endpoint::Endpoint,
    metrics::Metrics,
    provider::client::{Client, Options},
    record::{Capture, CapturedBody, End, Record, RequestId},
};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn head(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut head = HeaderMap::new();
    for (name, value) in lines {
        head.append(*name, HeaderValue::from_str(value).unwrap());
    }
    head
}

fn parent(line: &str) -> Option<Parent> {
    Parent::of(&head(&[("traceparent", line)]))
}

#[test]
fn a_traceparent_is_read_as_its_recommendation_says() {
    let found = parent(&format!("00-{TRACE}-b7ad6b7169203331-01")).unwrap();
    assert_eq!(found.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
    assert_eq!(found.span, 0xb7ad_6b71_6920_3331);
    assert!(found.sampled);
    // A later version may have more fields, and further flags.
    let later = parent(&format!("01-{TRACE}-b7ad6b7169203331-02-more")).unwrap();
    assert!(!later.sampled);
    for bad in [
        String::new(),
        "00".to_owned(),
        format!("00-{TRACE}-b7ad6b7169203331"),
        format!("00-{TRACE}-b7ad6b7169203331-01-more"),
        format!("ff-{TRACE}-b7ad6b7169203331-01"),
        format!("00-{TRACE}-b7ad6b716920333-01"),
        format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
        format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("00-{TRACE}-+7ad6b7169203331-01"),
    ] {
        assert_eq!(parent(&bad), None, "{bad}");
    }
    let line = format!("00-{TRACE}-b7ad6b7169203331-01");
    assert_eq!(
        Parent::of(&head(&[("traceparent", &line), ("traceparent", &line)])),
        None
    );
}

#[test]
fn tracestate_is_joined_and_bounded() {
    let line = format!("00-{TRACE}-b7ad6b7169203331-01");
    let lines = [
        ("traceparent", line.as_str()),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ];
    assert_eq!(Parent::of(&head(&lines)).unwrap().state, "a=1,b=2");
    let long = "x".repeat(513);
    let lines = [("traceparent", line.as_str()), ("tracestate", &long)];
    assert_eq!(Parent::of(&head(&lines)).unwrap().state, "");
}

#[test]
fn a_share_is_that_share_and_the_same_for_the_same_request() {
    for ppm in [0, 250_000, 500_000, Otlp::ALL] {
        let ids = (0..10_000).map(|_| RequestId::new());
        let taken = ids.filter(|id| is_sampled(*id, None, ppm)).count();
        let expected = usize::try_from(ppm / 100).unwrap();
        assert!(
            taken.abs_diff(expected) <= 300,
            "{taken} of 10,000 at {ppm}"
        );
    }
    let id = RequestId::new();
    assert_eq!(span_id(id), span_id(id));
    assert_eq!(is_sampled(id, None, 5), is_sampled(id, None, 5));
}

fn record(endpoint: Endpoint) -> Record {
    Record {
        end: End::Complete,
        provider: Some("mine".to_owned()),
        ..Record::new(RequestId::new(), endpoint)
    }
}

fn text<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|pair| pair.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

#[test]
fn operations_are_those_of_the_conventions_or_the_endpoints_own() {
    for endpoint in Endpoint::ALL {
        let span = span::of(&record(endpoint), None, None, false);
        let operation = text(&span, "gen_ai.operation.name").unwrap();
        let known = ["chat", "generate_content", "text_completion", "embeddings"];
        assert_eq!(
            known.contains(&operation),
            endpoint.is_metered() && endpoint != Endpoint::OpenaiModerations,
            "{operation} for {endpoint:?}"
        );
    }
}

#[test]
fn providers_have_the_names_of_the_conventions_where_there_are_any() {
    for (base, endpoint, name) in [
        (
            "https://api.anthropic.com",
            Endpoint::AnthropicMessages,
            "anthropic",
        ),
        (
            "https://api.openai.com",
            Endpoint::OpenaiResponses,
            "openai",
        ),
        (
            "https://team.openai.azure.com/openai",
            Endpoint::OpenaiChat,
            "azure.ai.openai",
        ),
        (
            "https://us-east1-aiplatform.googleapis.com",
            Endpoint::OpenaiChat,
            "gcp.vertex_ai",
        ),
        ("https://api.x.ai", Endpoint::OpenaiChat, "x_ai"),
        ("https://api.phoenix.ai", Endpoint::OpenaiChat, "mine"),
        (
            "http://llm.example.ts.net:8080",
            Endpoint::OpenaiChat,
            "mine",
        ),
        (
            "http://llm.example.ts.net:8080",
            Endpoint::BedrockConverse,
            "aws.bedrock",
        ),
    ] {
        let provider = Provider::new("mine", base.parse().unwrap());
        let span = span::of(&record(endpoint), Some(&provider), None, false);
        assert_eq!(text(&span, "gen_ai.provider.name"), Some(name), "{base}");
    }
    let refused = Record {
        provider: None,
        ..record(Endpoint::AnthropicMessages)
    };
    let span = span::of(&refused, None, None, false);
    assert_eq!(text(&span, "gen_ai.provider.name"), Some("anthropic"));
}

#[test]
fn texts_of_clients_and_providers_are_bounded() {
    let long = "é".repeat(1 << 20);
    let record = Record {
        model_asked: Some(long.clone()),
        model_served: Some(long.clone()),
        stop_reason: Some(long),
        ..record(Endpoint::OpenaiChat)
    };
    let span = span::of(&record, None, None, false);
    assert!(prost::Message::encoded_len(&span) < 8 << 10);
}

/// A configuration in force.
fn live(document: &str) -> (Live, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aperture.hujson");
    std::fs::write(&path, document).unwrap();
    (Live::load(path, CheckOptions::default()).unwrap(), dir)
}

const ON: &str =
    r#"{"gateway": {"otlp": {"endpoint": "http://collector.example.com", "content": true}}}"#;

fn exporter(document: &str) -> (Exporter, super::Worker, Metrics, tempfile::TempDir) {
    let (live, dir) = live(document);
    let metrics = Metrics::new();
    let client = Client::new(Options {
        dial: None,
        allow_local: false,
        connect_timeout: Duration::from_secs(1),
    });
    let (exporter, worker) = Exporter::new(
        live,
        metrics.clone(),
        client,
        || "ai".to_owned(),
        |_, _| Said::default(),
    );
    (exporter, worker, metrics, dir)
}

/// Spans that ended so.
fn counted(metrics: &Metrics, result: &str) -> u64 {
    let series = format!("aperture_otlp_spans_total{{result=\"{result}\"}} ");
    let text = metrics.render(None);
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn what_does_not_fit_into_the_queue_is_counted_and_never_waited_for() {
    let (exporter, _worker, metrics, _dir) = exporter(ON);
    for _ in 0..super::QUEUE + 5 {
        exporter.offer(&record(Endpoint::OpenaiChat), None, None);
    }
    assert_eq!(counted(&metrics, "dropped"), 5);
}

#[test]
fn bodies_that_do_not_fit_leave_their_spans_behind() {
    let (exporter, worker, metrics, _dir) = exporter(ON);
    let body = CapturedBody {
        chunks: vec![bytes::Bytes::from(vec![0; super::BODIES / 2])],
        ..CapturedBody::default()
    };
    let capture = Capture {
        request: body,
        ..Capture::default()
    };
    for _ in 0..3 {
        exporter.offer(&record(Endpoint::OpenaiChat), Some(&capture), None);
    }
    assert_eq!(counted(&metrics, "dropped"), 0);
    let queued = worker.into_queued();
    let marked = |span: &Span| {
        let mut keys = span
            .attributes
            .iter()
            .map(|pair: &KeyValue| pair.key.as_str());
        keys.any(|key| key == "aperture.content_dropped")
    };
    let kept: Vec<bool> = queued.iter().map(|item| item.bodies.is_some()).collect();
    assert_eq!(kept, [true, true, false]);
    let dropped: Vec<bool> = queued.iter().map(|item| marked(&item.span)).collect();
    assert_eq!(dropped, [false, false, true]);
}

#[tokio::test]
async fn an_export_that_is_off_takes_nothing_and_ends_at_once() {
    let (exporter, worker, metrics, _dir) = exporter("{}");
    exporter.offer(&record(Endpoint::OpenaiChat), None, None);
    let (closed, ()) = tokio::join!(exporter.close(Duration::from_secs(5)), worker.run());
    assert!(closed);
    assert_eq!(counted(&metrics, "dropped"), 0);
}

//! The counters equal the sum of the records, and the text is what Prometheus accepts.

use super::*;
use crate::{
    endpoint::Endpoint,
    record::{self, Cost, Estimate, Usage},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::UNIX_EPOCH,
};

type Labels = BTreeMap<String, String>;
type Series = BTreeMap<(String, Labels), String>;

/// Reads the text format strictly: any deviation panics.
fn parse(text: &str) -> Series {
    assert!(text.ends_with('\n'), "the last line must end");
    let mut series = Series::new();
    let mut families = BTreeSet::new();
    let mut current: Option<(String, String)> = None;
    let mut helped = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty(), "{line}");
            helped = Some(name.to_owned());
            current = None;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(helped.as_deref(), Some(name), "help comes before type");
            assert!(
                families.insert(name.to_owned()),
                "family {name} comes twice"
            );
            current = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (name, labels, value) = sample(line);
            let (family, kind) = current.as_ref().expect("a type before the first sample");
            if kind == "histogram" {
                let part = name.strip_prefix(family.as_str()).expect("its own family");
                assert!(["_bucket", "_sum", "_count"].contains(&part), "{line}");
                assert_eq!(part == "_bucket", labels.contains_key("le"), "{line}");
            } else {
                assert_eq!(&name, family, "a sample outside of its family");
            }
            let number: f64 = value.parse().expect("a number");
            assert!(number.is_finite(), "{line}");
            assert!(kind == "gauge" || number >= 0.0, "{line}");
            let twice = series.insert((name, labels), value);
            assert!(twice.is_none(), "series comes twice: {line}");
        }
    }
    series
}

fn sample(line: &str) -> (String, Labels, String) {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    assert!(
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
        "{line}"
    );
    assert!(
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'),
        "{line}"
    );
    let mut labels = Labels::new();
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            let (key, after) = inner.split_once("=\"").expect("a label");
            assert!(
                key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                "{line}"
            );
            let mut value = String::new();
            let mut chars = after.char_indices();
            let close = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("an escaped character").1 {
                        'n' => value.push('\n'),
                        c @ ('\\' | '"') => value.push(c),
                        c => panic!("\\{c} is no escape: {line}"),
                    },
                    (_, c) => value.push(c),
                }
            };
            assert!(!value.is_empty(), "an empty label is left out: {line}");
            assert!(
                labels.insert(key.into(), value).is_none(),
                "label twice: {line}"
            );
            let next = &after[close + 1..];
            if let Some(next) = next.strip_prefix(',') {
                inner = next;
            } else {
                rest = next.strip_prefix('}').expect("a closing brace");
                break;
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("one space before the value");
    assert!(!value.contains(' '), "no timestamp: {line}");
    (name.into(), labels, value.into())
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    let filled = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(k, v)| (k.into(), v.into())).collect()
}

/// The value as it stands in the text; `0` for a series that is not there.
fn value(series: &Series, name: &str, at: Labels) -> String {
    let found = series.get(&(name.to_owned(), at));
    found.cloned().unwrap_or_else(|| "0".into())
}

/// The sum over all series of that name.
fn sum(series: &Series, wanted: &str) -> u64 {
    let samples = series.iter().filter(|((name, _), _)| name == wanted);
    samples
        .map(|(_, value)| value.parse::<u64>().unwrap())
        .sum()
}

/// A routed request that is under way.
fn base() -> Record {
    serde_json::from_value(serde_json::json!({
        "id": RequestId::new(),
        "started": 1_800_000_000_000_u64,
        "who": { "user": "user:7", "login": "alice@example.com" },
        "endpoint": "anthropic_messages",
        "provider": "anthropic",
        "model": "claude-opus-4-7",
        "end": "in_flight",
    }))
    .expect("a record of its required fields")
}

/// Records that differ in everything that is counted.
fn records() -> Vec<Record> {
    let ends = &End::ALL[1..];
    (0..400u64)
        .map(|n| {
            let pick = |of: u64| usize::try_from(n.wrapping_mul(2_654_435_761) / 7 % of).unwrap();
            let routed = pick(9) != 0;
            let tokens = n % 5 != 0;
            Record {
                provider: routed.then(|| ["anthropic", "lab"][pick(2)].into()),
                model: routed.then(|| ["claude-opus-4-7", "gpt-5", "qwen/3"][pick(3)].into()),
                model_asked: Some(format!("asked-{n}")),
                endpoint: Endpoint::ALL[pick(4)],
                status: [Some(200), Some(404), Some(529), None][pick(4)],
                end: ends[pick(6)],
                failure: (!routed).then(|| ["no_model", "no_role"][pick(2)].into()),
                streamed: n % 2 == 0,
                usage: Usage {
                    input: if tokens { n } else { 0 },
                    cache_read: n * 3,
                    cache_write: n % 3,
                    cache_write_1h: n % 4,
                    output: n * 2,
                    reasoning: n,
                    web_searches: n % 2,
                    audio_input: n % 5,
                    image_input: n % 6,
                    audio_output: n % 7,
                    image_output: n % 8,
                    web_fetches: n % 9,
                    file_searches: n % 10,
                    server_tools: n % 11,
                    ..Usage::default()
                },
                usage_state: [UsageState::Reported, UsageState::Partial][pick(2)],
                estimate: (n % 3 == 0).then(|| Estimate {
                    input: n,
                    output: n * 5,
                    cost: Cost {
                        pico: 7 * n,
                        state: [CostState::Priced, CostState::Unpriced][pick(2)],
                        ..Cost::default()
                    },
                }),
                cost: Cost {
                    pico: 1_234_567_890_123 + n,
                    state: [CostState::Priced, CostState::Unpriced, CostState::None][pick(3)],
                    ..Cost::default()
                },
                timings: record::Timings {
                    sent_us: 300,
                    head_us: 0,
                    first_byte_us: 40_000,
                    total_us: 1_000_000 + n,
                },
                ..base()
            }
        })
        .collect()
}

/// What the counters must show, added up from the records by other means.
fn expected(records: &[Record]) -> BTreeMap<(&'static str, Labels), u128> {
    let mut expected: BTreeMap<(&'static str, Labels), u128> = BTreeMap::new();
    let mut add = |name, at, by: u64| {
        if by > 0 {
            *expected.entry((name, at)).or_default() += u128::from(by);
        }
    };
    for record in records {
        let provider = record.provider.as_deref().unwrap_or_default();
        let model = record.model.as_deref().unwrap_or_default();
        let class = record
            .status
            .map_or("none".into(), |s| format!("{}xx", s / 100));
        let routed = labels([("provider", provider), ("model", model)]);
        let mut all = routed.clone();
        all.extend(labels([
            ("endpoint", record.endpoint.as_str()),
            ("status_class", &class),
            ("end", record.end.as_str()),
        ]));
        add("aperture_requests_total", all, 1);
        for (kind, by) in [
            ("input", record.usage.input),
            ("cache_read", record.usage.cache_read),
            ("cache_write", record.usage.cache_write),
            ("cache_write_1h", record.usage.cache_write_1h),
            ("output", record.usage.output),
        ] {
            let mut at = routed.clone();
            at.extend(labels([("type", kind)]));
            add("aperture_tokens_total", at, by);
        }
        add(
            "aperture_reasoning_tokens_total",
            routed.clone(),
            record.usage.reasoning,
        );
        add(
            "aperture_web_searches_total",
            routed.clone(),
            record.usage.web_searches,
        );
        let media = [
            ("audio_input", record.usage.audio_input),
            ("image_input", record.usage.image_input),
            ("audio_output", record.usage.audio_output),
            ("image_output", record.usage.image_output),
        ];
        for (kind, by) in media.into_iter().filter(|(_, by)| *by > 0) {
            let mut at = routed.clone();
            at.extend(labels([("type", kind)]));
            add("aperture_media_tokens_total", at, by);
        }
        let tools = [
            ("web_fetch", record.usage.web_fetches),
            ("file_search", record.usage.file_searches),
            ("other", record.usage.server_tools),
        ];
        for (tool, by) in tools.into_iter().filter(|(_, by)| *by > 0) {
            let mut at = routed.clone();
            at.extend(labels([("tool", tool)]));
            add("aperture_server_tool_calls_total", at, by);
        }
        if let Some(estimate) = &record.estimate {
            for (kind, by) in [("input", estimate.input), ("output", estimate.output)] {
                let mut at = routed.clone();
                at.extend(labels([("type", kind)]));
                add("aperture_estimated_tokens_total", at, by);
            }
            if estimate.cost.state == CostState::Priced {
                let by = estimate.cost.pico;
                add("aperture_estimated_cost_dollars_total", routed.clone(), by);
            }
        }
        if record.cost.state == CostState::Priced {
            add(
                "aperture_cost_dollars_total",
                routed.clone(),
                record.cost.pico,
            );
        }
        if record.cost.state == CostState::Unpriced {
            add("aperture_unpriced_requests_total", routed.clone(), 1);
        }
        if record.usage_state == UsageState::Partial {
            let mut at = routed.clone();
            at.extend(labels([("state", "partial")]));
            add("aperture_incomplete_usage_total", at, 1);
        }
        if let Some(reason) = &record.failure {
            add("aperture_refused_total", labels([("reason", reason)]), 1);
        }
    }
    expected
}

#[test]
fn counters_equal_the_sum_of_the_records() {
    let metrics = Metrics::new();
    let records = records();
    for record in &records {
        let mut begun = record.clone();
        begun.end = End::InFlight;
        metrics.observe_start(&begun);
    }
    let open = parse(&metrics.render(None));
    assert_eq!(value(&open, "aperture_in_flight", labels([])), "400");
    assert_eq!(value(&open, "aperture_open_streams", labels([])), "200");
    assert!(
        open.keys()
            .all(|(name, _)| name != "aperture_requests_total")
    );
    for record in &records {
        metrics.observe_finish(record);
    }

    let expected = expected(&records);
    let series = parse(&metrics.render(None));
    for ((name, at), total) in &expected {
        let shown = &series[&((*name).to_owned(), at.clone())];
        let shown = if name.contains("dollars") {
            let (whole, part) = shown.split_once('.').expect("dollars and pico-dollars");
            assert_eq!(part.len(), 12);
            format!("{whole}{part}").parse::<u128>().unwrap()
        } else {
            shown.parse::<u128>().unwrap()
        };
        assert_eq!(shown, *total, "{name} {at:?}");
    }
    // And nothing else was counted under these names.
    let names: BTreeSet<&str> = expected.keys().map(|(name, _)| *name).collect();
    let counted = series
        .keys()
        .filter(|(name, _)| names.contains(name.as_str()));
    assert_eq!(counted.count(), expected.len());

    assert_eq!(value(&series, "aperture_in_flight", labels([])), "0");
    assert_eq!(value(&series, "aperture_open_streams", labels([])), "0");
    let samples = sum(&series, "aperture_request_duration_seconds_count");
    let routed = records.iter().filter(|r| r.provider.is_some()).count();
    assert_eq!(samples, u64::try_from(routed).unwrap());
}

#[test]
fn what_clients_send_is_never_a_label() {
    let metrics = Metrics::new();
    metrics.observe_finish(&Record {
        model: None,
        model_asked: Some("client-chosen".into()),
        model_served: Some("client-chosen".into()),
        client: record::Client {
            name: "client-chosen".into(),
            version: "client-chosen".into(),
        },
        path: "POST /client-chosen".into(),
        agent: Some("client-chosen".into()),
        title: Some("client-chosen".into()),
        tools: vec![record::ToolCall {
            name: "client-chosen".into(),
            ..Default::default()
        }],
        end: End::Refused,
        ..base()
    });
    assert!(!metrics.render(None).contains("client-chosen"));
}

#[test]
fn users_are_labels_only_when_asked_for() {
    let metrics = Metrics::new();
    let record = Record {
        end: End::Complete,
        ..base()
    };
    metrics.observe_finish(&record);
    assert!(!metrics.render(None).contains(&record.who.login));
    metrics.set_per_user(true);
    metrics.observe_finish(&record);
    let series = parse(&metrics.render(None));
    let at = labels([
        ("user", &record.who.login),
        ("provider", "anthropic"),
        ("model", "claude-opus-4-7"),
    ]);
    assert_eq!(value(&series, "aperture_user_requests_total", at), "1");
    // Whom nobody has identified sees the same figures, but no user.
    let anyone = metrics.render_for_anyone(None);
    assert!(!anyone.contains(&record.who.login) && !anyone.contains("aperture_user_"));
    let anyone = parse(&anyone);
    for family in ["aperture_requests_total", "aperture_tokens_total"] {
        assert_eq!(sum(&anyone, family), sum(&series, family), "{family}");
    }
    metrics.set_per_user(false);
    metrics.observe_finish(&record);
    let series = parse(&metrics.render(None));
    assert_eq!(sum(&series, "aperture_user_requests_total"), 1);
}

#[test]
fn gauges_follow_ids_and_cannot_drift() {
    let metrics = Metrics::new();
    let mut record = base();
    record.streamed = false;
    metrics.observe_start(&record);
    record.streamed = true;
    metrics.observe_start(&record);
    metrics.observe_finish(&record);
    let series = parse(&metrics.render(None));
    assert_eq!(
        value(&series, "aperture_in_flight", labels([])),
        "1",
        "still in flight"
    );
    assert_eq!(value(&series, "aperture_open_streams", labels([])), "1");
    record.end = End::ClientGone;
    metrics.observe_finish(&record);
    let never_begun = Record {
        id: RequestId::new(),
        end: End::Refused,
        ..base()
    };
    metrics.observe_finish(&never_begun);
    let series = parse(&metrics.render(None));
    assert_eq!(value(&series, "aperture_in_flight", labels([])), "0");
    assert_eq!(value(&series, "aperture_open_streams", labels([])), "0");
}

#[test]
fn hostile_names_stay_within_their_label() {
    let metrics = Metrics::new();
    for model in ["a\"} 7\n", "a\\", "a\\\\", "a\nb", "a\\n", "ü\u{202e}x"] {
        metrics.observe_finish(&Record {
            model: Some(model.into()),
            provider: Some("p\"\\".into()),
            end: End::Complete,
            ..base()
        });
    }
    let series = parse(&metrics.render(None));
    assert_eq!(sum(&series, "aperture_requests_total"), 6);
}

#[test]
fn the_gateways_own_state_is_shown() {
    let metrics = Metrics::new();
    metrics.set_build("0.1.0", "1.102.3");
    metrics.set_node_state("needs_login");
    metrics.set_node_state("running");
    metrics.set_node_concern("name_taken", true);
    metrics.set_node_concern("key_expires", false);
    metrics.set_node_key_expiry(None);
    metrics.set_node_key_expiry(Some(Timestamp(1_800_000_000_500)));
    metrics.set_draining(true);
    let _open = metrics.connection_opened();
    drop(metrics.connection_opened());
    metrics.connection_refused("unknown_peer");
    metrics.set_identity(3, 1, 0);
    metrics.tap_failures(2);
    let at = |second| UNIX_EPOCH + Duration::from_secs(second);
    // The start, and the same seen again; a reload that is taken, and one that is not.
    metrics.set_config(at(1), at(1), true);
    metrics.set_config(at(1), at(1), true);
    metrics.set_config(at(2), at(2), true);
    metrics.set_config(at(2), at(3), false);
    metrics.set_store(StoreHealth {
        queue_bytes: 4_096,
        lost_bodies: 3,
        lost_records: 0,
        last_commit: Some(Timestamp(1_700_000_000_000)),
        degraded: true,
    });
    let series = parse(&metrics.render(None));
    let get = |name: &str, at| value(&series, &format!("aperture_{name}"), at);
    let build = labels([("version", "0.1.0"), ("tailscale", "1.102.3")]);
    assert_eq!(get("build_info", build), "1");
    assert_eq!(get("node_state", labels([("state", "running")])), "1");
    assert!(series.contains_key(&(
        "aperture_node_state".into(),
        labels([("state", "needs_login")])
    )));
    assert_eq!(get("node_state", labels([("state", "needs_login")])), "0");
    let concern = |word| get("node_concern", labels([("concern", word)]));
    assert_eq!(
        (&*concern("name_taken"), &*concern("key_expires")),
        ("1", "0")
    );
    assert_eq!(
        get("node_key_expiry_timestamp_seconds", labels([])),
        "1800000000.5"
    );
    assert_eq!(get("draining", labels([])), "1");
    assert_eq!(get("connections_total", labels([])), "2");
    assert_eq!(get("open_connections", labels([])), "1");
    let refused = labels([("reason", "unknown_peer")]);
    assert_eq!(get("connections_refused_total", refused), "1");
    let cached = labels([("result", "cached")]);
    assert_eq!(get("identity_lookups_total", cached), "1");
    assert_eq!(get("tap_failures_total", labels([])), "2");
    let ok = labels([("result", "ok")]);
    assert_eq!(get("config_reloads_total", ok), "1");
    assert_eq!(get("config_last_reload_ok", labels([])), "0");
    assert_ne!(
        get("config_last_success_timestamp_seconds", labels([])),
        "0"
    );
    assert_eq!(get("store_queue_bytes", labels([])), "4096");
    assert_eq!(get("store_lost_bodies_total", labels([])), "3");
    assert_eq!(get("store_degraded", labels([])), "1");
    assert_eq!(
        get("store_last_commit_timestamp_seconds", labels([])),
        "1700000000"
    );
    for (name, ..) in process::TABLE {
        assert_ne!(value(&series, name, labels([])), "0", "{name}");
    }
}

#[test]
fn the_nodes_own_series_follow_and_nothing_else_of_its_text() {
    let metrics = Metrics::new();
    let node = "# HELP tailscaled_inbound_bytes_total Bytes received\n\
                # TYPE tailscaled_inbound_bytes_total counter\n\
                tailscaled_inbound_bytes_total{path=\"derp\"} 12\n\
                # HELP aperture_in_flight forged\n# TYPE aperture_in_flight gauge\naperture_in_flight 99\n\
                process_threads 1\n";
    let text = metrics.render(Some(node));
    let series = parse(&text);
    let derp = labels([("path", "derp")]);
    assert_eq!(value(&series, "tailscaled_inbound_bytes_total", derp), "12");
    assert!(!text.contains("forged") && !text.contains("aperture_in_flight 99"));
}

#[test]
fn equal_figures_give_equal_text_and_instances_are_apart() {
    let (one, two, three) = (Metrics::new(), Metrics::new(), Metrics::new());
    let records = records();
    for record in &records {
        one.observe_finish(record);
    }
    for record in records.iter().rev() {
        two.observe_finish(record);
    }
    let own = |metrics: &Metrics| {
        let text = metrics.render(None);
        let counters = text.lines().filter(|line| line.contains("_total{"));
        counters.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(own(&one), own(&two));
    assert!(own(&three).is_empty());
}

#[test]
fn the_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == render_metrics_md(),
        "docs/metrics.md is out of date: run `aperture docs --write`"
    );
}

#[test]
fn every_family_is_described_once() {
    let mut names = BTreeSet::new();
    for family in families::TABLE {
        assert!(names.insert(family.name), "{} comes twice", family.name);
        assert!(
            family.help.len() > 15 && family.help.ends_with('.'),
            "{}",
            family.name
        );
        assert_eq!(
            family.kind == "counter",
            family.name.ends_with("_total"),
            "{}",
            family.name
        );
        assert!(
            !family.help.contains('|'),
            "{} breaks the table",
            family.name
        );
    }
}

//! Every figure of use that a real Prometheus has scraped over the tailnet, against the sums over `aperture export`.

use crate::{
    lab::scraper,
    support::{
        EVERYBODY, Gateway, Lab, Prometheus, config, gateway::Options, http, lab::topology,
        message, process::PATIENCE, prometheus::scrape,
    },
};
use provider::{Matcher, Provider, Script};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// A series: its name and labels, `provider=anthropic,…`.
type Series = String;

/// Labels without an empty value, in the order of their names.
fn series(name: &str, labels: &[(&str, &str)]) -> Series {
    let mut labels: Vec<_> = labels
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    labels.sort();
    let labels: Vec<_> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    format!("{name} {}", labels.join(","))
}

/// What the families of use must be, by the lines of an export and nothing else of the program's.
fn expected(export: &str) -> BTreeMap<Series, u64> {
    let mut sums = BTreeMap::new();
    for line in export.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (provider, model) = (text(&record["provider"]), text(&record["model"]));
        let (user, endpoint, end) = (
            text(&record["who"]["login"]),
            text(&record["endpoint"]),
            text(&record["end"]),
        );
        let class = record["status"]
            .as_u64()
            .map_or("none".to_owned(), |status| format!("{}xx", status / 100));
        let base = [("provider", provider.as_str()), ("model", model.as_str())];
        let by_user = [base[0], base[1], ("user", user.as_str())];
        let mut add = |name: &str, labels: &[(&str, &str)], more: u64| {
            if more > 0 {
                *sums.entry(series(name, labels)).or_default() += more;
            }
        };
        let of = [
            base[0],
            base[1],
            ("endpoint", endpoint.as_str()),
            ("status_class", class.as_str()),
            ("end", end.as_str()),
        ];
        add("aperture_requests_total", &of, 1);
        add("aperture_user_requests_total", &by_user, 1);
        for kind in [
            "input",
            "cache_read",
            "cache_write",
            "cache_write_1h",
            "output",
        ] {
            let tokens = record["usage"][kind].as_u64().unwrap_or(0);
            let kind = ("type", kind);
            add("aperture_tokens_total", &[base[0], base[1], kind], tokens);
            add(
                "aperture_user_tokens_total",
                &[by_user[0], by_user[1], by_user[2], kind],
                tokens,
            );
        }
        add(
            "aperture_reasoning_tokens_total",
            &base,
            record["usage"]["reasoning"].as_u64().unwrap_or(0),
        );
        let pico = record["cost"]["pico"].as_u64().unwrap_or(0);
        match record["cost"]["state"].as_str() {
            Some("priced") => {
                add("aperture_cost_dollars_total", &base, pico);
                add("aperture_user_cost_dollars_total", &by_user, pico);
            }
            Some("unpriced") => add("aperture_unpriced_requests_total", &base, 1),
            _ => {}
        }
        add(
            "aperture_refused_total",
            &[("reason", &text(&record["failure"]))],
            u64::from(record["failure"].is_string()),
        );
    }
    sums
}

/// The same families as Prometheus has them; dollars in pico-dollars.
async fn scraped(prometheus: &Prometheus) -> BTreeMap<Series, u64> {
    let families = "{__name__=~\"aperture_(user_)?(requests|tokens|cost_dollars)_total|aperture_(reasoning_tokens|unpriced_requests|refused)_total\"}";
    let mut figures = BTreeMap::new();
    for one in prometheus.series(families).await.unwrap() {
        let labels = one["metric"].as_object().unwrap();
        let name = labels["__name__"].as_str().unwrap();
        let labels: Vec<_> = labels
            .iter()
            .filter(|(label, _)| !["__name__", "job", "instance"].contains(&label.as_str()))
            .map(|(label, value)| (label.as_str(), value.as_str().unwrap()))
            .collect();
        let value: f64 = one["value"][1].as_str().unwrap().parse().unwrap();
        let scale = if name.contains("dollars") { 1e12 } else { 1.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rounded counter"
        )]
        let figure = (value * scale).round() as u64;
        if figure > 0 {
            figures.insert(series(name, &labels), figure);
        }
    }
    figures
}

#[tokio::test]
async fn prometheus_has_the_figures_of_the_export_to_the_last_token() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    provider.script(Matcher::body("fail, please"), Script::status(500));
    let mut cached = Script::text("from the cache");
    cached.usage.cache_read = Some(1_234);
    provider.script(Matcher::body("cached"), cached);
    let mut topology = topology();
    topology["nodes"].as_array_mut().unwrap().push(scraper());
    let lab = Lab::start(&topology).await;
    let document = config(&provider.url(), EVERYBODY).replacen(
        '{',
        "{\"gateway\": {\"metrics\": {\"per_user\": true}},",
        1,
    );
    let document = document.replace("\"claude-sonnet-4-5\"", "\"claude-in-house\"");
    let gateway = Gateway::on(&lab, &document, Options::default()).await;
    let mut sent = 0;
    for node in ["alice", "bob", "ci"] {
        let url = format!("{}/v1/messages", lab.forward(node, "ai:80").await);
        for (number, (model, text)) in [
            ("claude-haiku-4-5", "hello"),
            ("claude-haiku-4-5", "cached"),
            ("claude-opus-4-5", "hello again"),
            ("claude-in-house", "hello"),
            ("claude-opus-4-5", "fail, please"),
            ("claude-of-nobody", "hello"),
        ]
        .into_iter()
        .enumerate()
        {
            for turn in 0..=number % 3 {
                http::post(
                    &url,
                    message(model, &format!("{text} {turn}"), turn % 2 == 0),
                )
                .await;
                sent += 1;
            }
        }
    }
    gateway.finished(sent).await;
    let export = gateway.command(&["export", "records"]).await;
    let expected = expected(std::str::from_utf8(&export.stdout).unwrap());
    let named = |start: &str| {
        expected
            .keys()
            .filter(|series| series.starts_with(start))
            .count()
    };
    assert!(
        named("aperture_user_tokens_total") > 10 && named("aperture_cost_dollars") > 1,
        "{expected:#?}"
    );
    assert!(named("aperture_unpriced_requests_total") > 0 && named("aperture_refused_total") > 0);

    let proxy = lab.node("prom").await["proxy"].clone();
    let prometheus = Prometheus::start(&scrape(proxy.as_str().unwrap())).await;
    let deadline = Instant::now() + PATIENCE;
    let mut figures = scraped(&prometheus).await;
    while figures.is_empty() {
        assert!(
            Instant::now() < deadline,
            "{}",
            prometheus.api("targets").await
        );
        figures = scraped(&prometheus).await;
    }
    // Nothing more has been asked since the export: the first scrape has it all.
    assert_eq!(figures, expected);
    gateway.stop().await;
}

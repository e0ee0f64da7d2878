//! Rules and dashboard against a real Prometheus that scrapes a gateway over the tailnet: every expression parses, and
//! gives series.

use crate::{
    lab::scraper,
    support::{
        EVERYBODY, Gateway, Lab, Prometheus, collector::Collector, gateway::Options, http,
        lab::topology, message, process::PATIENCE, prometheus::scrape, repository,
    },
};
use provider::{Matcher, Provider, Script};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// One provider, with a model whose price nobody knows, and a collector.
fn document(provider: &str, collector: &Collector) -> String {
    let collector = collector.settings("");
    format!(
        r#"{{
  "gateway": {{"metrics": {{"per_user": true}}, {collector}}},
  "providers": {{
    "anthropic": {{
      "baseurl": "{provider}",
      "authorization": {{"type": "x-api-key", "value": "sk-ant-upstream-key"}},
      "models": ["claude-haiku-4-5", "claude-in-house"],
      "compatibility": {{"anthropic_messages": true}},
    }},
  }},
  "temp_grants": [{EVERYBODY}],
}}"#
    )
}

/// The dashboard's expressions, by the title of their panel, with its variables filled in as Grafana does.
fn dashboard() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository("deploy/grafana/aperture.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let filled = |expression: &Value| {
        expression
            .as_str()
            .unwrap()
            .replace("$__rate_interval", "1m")
            .replace("$job", "aperture")
            .replace("$instance", ".*")
            .replace("$provider", ".*")
    };
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            all.push((
                panel["title"].as_str().unwrap().to_owned(),
                filled(&target["expr"]),
            ));
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    for variable in variables {
        // `label_values(SELECTOR, LABEL)` asks Prometheus for this.
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        if let Some((selector, label)) = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "))
        {
            let title = format!("variable {}", variable["name"]);
            all.push((
                title,
                format!("group by ({label}) ({})", filled(&json!(selector))),
            ));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        all.push((
            annotation["name"].as_str().unwrap().to_owned(),
            filled(&annotation["expr"]),
        ));
    }
    assert!(all.len() > 25);
    assert!(
        all.iter().all(|(_, expression)| !expression.contains('$')),
        "{all:?}"
    );
    all
}

/// The metrics that an expression names.
fn metrics(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| {
            ["aperture", "tailscaled_", "process_"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .filter(|word| *word != "aperture")
        .map(str::to_owned)
        .collect()
}

/// The alerts that are raised or wait, but for what the disk of the machine does.
async fn raised(prometheus: &Prometheus) -> BTreeSet<String> {
    prometheus.api("alerts").await["data"]["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
        .filter(|name| name != "ApertureDiskFilling")
        .collect()
}

#[tokio::test]
async fn every_rule_and_every_panel_gives_what_a_gateway_exports() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    provider.script(Matcher::body("fail, please"), Script::status(500));
    let mut cached = Script::text("hello back");
    cached.usage.cache_read = Some(1_000);
    provider.script(Matcher::body("hello"), cached);
    let mut topology = topology();
    topology["nodes"].as_array_mut().unwrap().push(scraper());
    let lab = Lab::start(&topology).await;
    let collector = Collector::start().await;
    let document = document(&provider.url(), &collector);
    let gateway = Gateway::on(&lab, &document, Options::default()).await;

    let rules = repository("deploy/prometheus");
    let proxy = lab.node("prom").await["proxy"].clone();
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: ['{}/*.rules.yml']\n{}",
        rules.display(),
        scrape(proxy.as_str().unwrap())
    );
    let prometheus = Prometheus::start(&config).await;
    let url = format!("{}/v1/messages", lab.forward("alice", "ai:80").await);
    let deadline = Instant::now() + PATIENCE;
    // Everything that can be counted happens until Prometheus has seen it twice, as rates need.
    let seen = "min(count_over_time(aperture_refused_total[1m])) >= 3";
    while prometheus.series(seen).await.unwrap().is_empty() {
        let targets = prometheus.api("targets").await;
        assert!(Instant::now() < deadline, "{targets}");
        call_every_model(&url).await;
    }

    let mut expressions = dashboard();
    expressions.extend(rules_in_force(&prometheus).await);
    every_expression_gives_series(&prometheus, &expressions).await;
    // Of the alerts exactly those are raised (or wait) that these requests deserve, as soon as the rules have seen them.
    let deserved = ["ApertureProviderFailing", "ApertureUnpricedModel"].map(str::to_owned);
    let deserved = BTreeSet::from(deserved);
    let mut raised = raised(&prometheus).await;
    while raised.is_subset(&deserved) && raised != deserved {
        assert!(Instant::now() < deadline, "only {raised:?}");
        raised = self::raised(&prometheus).await;
    }
    assert_eq!(raised, deserved);

    // What Prometheus has seen is what `export` gives.
    let records = gateway.records().await;
    let count = format!("sum(aperture_requests_total) == {}", records.len());
    let cost: u64 = records.iter().map(|record| record.cost.pico).sum();
    let cost = format!("round(sum(aperture_cost_dollars_total) * 1e12) == {cost}");
    for equality in [count, cost] {
        prometheus.query(&equality).await;
    }
    gateway.stop().await;
}

/// Answers and errors, with a price and without, of models that are there and of one that is not.
async fn call_every_model(url: &str) {
    for (model, text, status) in [
        ("claude-haiku-4-5", "hello", 200),
        ("claude-haiku-4-5", "fail, please", 500),
        ("claude-in-house", "hello", 200),
        ("claude-of-nobody", "hello", 404),
    ] {
        for stream in [false, true] {
            let answer = http::post(url, message(model, text, stream)).await;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    }
}

/// Names and expressions of all rules: all are loaded, and evaluated without an error.
async fn rules_in_force(prometheus: &Prometheus) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut recorded = 0;
    let rules = prometheus.api("rules").await;
    for group in rules["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
            recorded += usize::from(rule["type"] == "recording");
            let text = |key: &str| rule[key].as_str().unwrap().to_owned();
            all.push((text("name"), text("query")));
        }
    }
    assert_eq!((recorded, all.len()), (7, 22));
    all
}

/// A node of this tailnet has a key that never expires.
const ABSENT: &str = "aperture_node_key_expiry_timestamp_seconds";

async fn every_expression_gives_series(prometheus: &Prometheus, all: &[(String, String)]) {
    let mut named = BTreeSet::new();
    for (name, expression) in all {
        let series = prometheus
            .series(expression)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}\n{expression}"));
        let metrics = metrics(expression);
        // Alerts and the marks of restarts are quiet while all is well.
        let quiet = name.starts_with("Aperture") || name == "Restarts" || metrics.contains(ABSENT);
        assert!(
            quiet || !series.is_empty(),
            "{name} gives nothing: {expression}"
        );
        named.extend(metrics);
    }
    // One that is quiet must not be so because its metric has another name.
    assert!(named.remove(ABSENT));
    let reference = std::fs::read_to_string(repository("docs/metrics.md")).unwrap();
    assert!(reference.contains(&format!("`{ABSENT}`")));
    for metric in named {
        let count = format!("count({metric})");
        let known = prometheus.series(&count).await.unwrap();
        assert!(!known.is_empty(), "nobody exports {metric}");
    }
}

#[test]
fn the_page_on_prometheus_names_every_alert() {
    let rules = std::fs::read_to_string(repository("deploy/prometheus/alerts.rules.yml")).unwrap();
    let page = std::fs::read_to_string(repository("docs/operations/prometheus.md")).unwrap();
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 10);
    for alert in &alerts {
        assert!(
            page.contains(&format!("`{alert}`")),
            "{alert} is not explained"
        );
    }
    let tests = std::fs::read_to_string(repository("deploy/prometheus/alerts.test.yml")).unwrap();
    for alert in alerts {
        // Once where it must be quiet, once where it must be raised.
        assert!(
            tests.matches(&format!("alertname: {alert}")).count() >= 2,
            "{alert} is not tested both ways"
        );
    }
}

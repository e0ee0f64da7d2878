//! The real binary and its disk: what is recorded is exact and complete, and stays so over kills, faults and restarts.
//!
//! Everything here runs on the development listener; identity and load are the lab's.
#![expect(
    clippy::print_stderr,
    reason = "notes and measurements for whoever runs the tests"
)]

mod accounting;
mod bystander;
mod captures;
mod clock;
mod damage;
mod endurance;
mod faults;
mod kill;
mod limit;
mod memory;
mod prompts;
mod restart;

use crate::support::{Gateway, gateway, http};
use aperture::record::{CostState, End, Record, Usage};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// What counts of requests are split by everywhere: provider, model, endpoint, class of the status, end.
type Key = [String; 5];

/// Sums of finished requests, by whatever way they were got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    requests: u64,
    usage: Usage,
    cost_pico: u64,
    unpriced: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        for (sum, more) in self.usage.kinds_mut().into_iter().zip(other.usage.kinds()) {
            *sum += more;
        }
        self.cost_pico += other.cost_pico;
        self.unpriced += other.unpriced;
    }
}

/// The sums of finished records.
fn of_records(records: &[Record]) -> BTreeMap<Key, Sums> {
    let mut sums: BTreeMap<Key, Sums> = BTreeMap::new();
    for record in records.iter().filter(|record| record.end != End::InFlight) {
        let class = record
            .status
            .map_or("none".into(), |status| format!("{}xx", status / 100));
        let key = [
            record.provider.clone().unwrap_or_default(),
            record.model.clone().unwrap_or_default(),
            record.endpoint.as_str().into(),
            class,
            record.end.as_str().into(),
        ];
        sums.entry(key).or_default().add(&Sums {
            requests: 1,
            usage: record.usage,
            cost_pico: record.cost.pico,
            unpriced: u64::from(record.cost.state == CostState::Unpriced),
        });
    }
    sums
}

/// The same from the hourly counters, by `aperture export usage`.
async fn of_counters(state: &Path) -> BTreeMap<Key, Sums> {
    let output = gateway::run(state, &["export", "usage"]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut sums: BTreeMap<Key, Sums> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let number = |name: &str| row[name].as_u64().unwrap();
        let key = ["provider", "model", "endpoint", "status_class", "end"].map(text);
        sums.entry(key).or_default().add(&Sums {
            requests: number("requests"),
            usage: serde_json::from_value(row["usage"].clone()).unwrap(),
            cost_pico: number("cost_pico"),
            unpriced: if row["cost_state"] == "unpriced" {
                number("requests")
            } else {
                0
            },
        });
    }
    sums
}

/// One series of `/metrics`.
#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: String,
}

/// All series of a gateway.
async fn scrape(gateway: &Gateway) -> Vec<Sample> {
    let text = http::get(&format!("{}/metrics", gateway.metrics_url)).await;
    assert_eq!(text.status, 200);
    let text = text.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        // No label of these tests holds a quote or a comma.
        let labels = labels.trim_end_matches('}').split(',');
        Some(Sample {
            name: name.into(),
            labels: labels
                .filter_map(|label| {
                    let (key, value) = label.split_once('=')?;
                    Some((key.to_owned(), value.trim_matches('"').to_owned()))
                })
                .collect(),
            value: value.into(),
        })
    };
    lines.filter_map(sample).collect()
}

/// The sum over all series of that name.
fn total(samples: &[Sample], name: &str) -> u64 {
    let found = samples.iter().filter(|sample| sample.name == name);
    found
        .map(|sample| sample.value.parse::<u64>().unwrap())
        .sum()
}

/// The one series of that name.
fn gauge(samples: &[Sample], name: &str) -> String {
    let found = samples.iter().find(|sample| sample.name == name);
    found.unwrap_or_else(|| panic!("no {name}")).value.clone()
}

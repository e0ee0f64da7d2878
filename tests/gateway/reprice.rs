//! `aperture reprice`, beside a running gateway and without one.

use crate::support::{EVERYBODY, Gateway, config, gateway, gateway::Options, http, message};
use aperture::record::CostState;
use provider::{Options as Answers, Provider};
use serde_json::Value;
use std::{path::Path, process::Output};

const MODEL: &str = "claude-haiku-4-5";

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The sum of what records cost, and of what counters say.
async fn sums(state: &Path) -> (u64, u64) {
    let records = gateway::records(state).await;
    let counters = text(&gateway::run(state, &["export", "usage"]).await);
    let counted = counters.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["cost_pico"].as_u64().unwrap()
    });
    (
        records.iter().map(|record| record.cost.pico).sum(),
        counted.sum(),
    )
}

#[tokio::test]
async fn a_changed_rule_is_put_on_what_was_recorded() {
    let provider = Provider::start(Answers::default()).await.unwrap();
    let first = config(&provider.url(), EVERYBODY);
    // Nothing prices anything, then everything costs the double.
    let unpriced = first.replacen('{', "{\"auto_cost_basis\": false,", 1);
    let doubled = first.replace(
        r#""compatibility": {"anthropic_messages": true}"#,
        r#""model_cost_map": [{"match": "*", "adjustment": 2.0}], "compatibility": {"anthropic_messages": true}"#,
    );
    let running = Gateway::dev(&unpriced, Options::default()).await;
    for number in 0..3 {
        let body = message(MODEL, &format!("number {number}"), number == 1);
        let answer = http::post(&format!("{}/v1/messages", running.url), body).await;
        assert_eq!(answer.status, 200);
    }
    let records = running.finished(3).await;
    assert!(
        records
            .iter()
            .all(|record| record.cost.state == CostState::Unpriced)
    );
    // By the configuration in force there is no price; then, without a gateway, by the one that is given.
    let same = text(&running.command(&["reprice"]).await);
    assert!(same.contains("Nothing would change."), "{same}");
    let file = running.config_file();
    let dir = running.stop().await;
    let state = dir.path().join("state");
    std::fs::write(&file, &doubled).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let alone = ["reprice", "--config", &file];
    let shown = text(&gateway::run(&state, &alone).await);
    assert!(shown.contains("3 unpriced → priced"), "{shown}");
    assert!(shown.contains("Nothing was changed"), "{shown}");
    assert_eq!(sums(&state).await, (0, 0));
    let written = [&alone[..], &["--apply"]].concat();
    let done = text(&gateway::run(&state, &written).await);
    assert!(done.contains("Done: 3 requests changed"), "{done}");
    let (twice, counted) = sums(&state).await;
    assert!(twice > 0);
    assert_eq!(twice, counted);

    // Beside a running gateway, which holds the files, by the configuration in force there.
    let options = Options {
        dir: Some(dir),
        ..Options::default()
    };
    let running = Gateway::dev(&first, options).await;
    let elsewhere = text(
        &running
            .command(&["reprice", "--apply", "--provider", "openai"])
            .await,
    );
    assert!(
        elsewhere.contains("no finished requests there"),
        "{elsewhere}"
    );
    let json = text(&running.command(&["reprice", "--apply", "--json"]).await);
    let report: Value = serde_json::from_str(&json).unwrap();
    let line = &report["difference"]["lines"][0];
    assert_eq!(line["old_pico"], twice);
    assert_eq!(line["new_pico"], twice / 2);
    assert_eq!(sums(&state).await, (twice / 2, twice / 2));
    let refused = running.command(&["reprice", "--since", "yesterday"]).await;
    assert_eq!(refused.status.code(), Some(2));
    running.stop().await;
}

//! What is answered: sums, pages, forms, and refusals of what can't be.

use super::{
    super::*,
    house::{BOBS, House, NOW, bob, bobs_request, dora, id, json, record, text},
};
use crate::record::{CostState, Record, Usage};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn sums_are_those_of_the_records() {
    let house = House::filled().await;
    let unpriced = Record {
        model: Some("claude-opus-4-7".into()),
        cost: crate::record::Cost {
            state: CostState::Unpriced,
            ..crate::record::Cost::default()
        },
        usage: Usage {
            output: 7,
            ..Usage::default()
        },
        ..record(&bob(), id(24 * 60, 9), 0x99)
    };
    house.put(unpriced, None);
    house.flush().await;
    let told = house.told("/aperture/usage").await;
    assert_eq!(told["rows"].as_array().unwrap().len(), 1);
    let total = &told["total"];
    assert_eq!(told["rows"][0], *total);
    assert_eq!(
        (total["requests"].as_u64(), total["errors"].as_u64()),
        (Some(4), Some(1))
    );
    assert_eq!(total["unpriced"], 1);
    assert_eq!(total["usage"]["output"], 2 * 345 + 7);
    assert_eq!(total["cost_pico"], 24_690_000_000_u64);
    assert_eq!(total["cost_usd"], "0.024690000000");
    // Whole hours: from the one a week ago to the end of this one.
    assert_eq!(told["to_ms"], (NOW.0 / 3_600_000 + 1) * 3_600_000);
    assert_eq!(
        told["from_ms"],
        NOW.0 / 3_600_000 * 3_600_000 - 7 * 86_400_000
    );

    let told = house
        .told("/aperture/usage?group_by=day,user,model,end")
        .await;
    assert_eq!(told["group_by"], json!(["day", "user", "model", "end"]));
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let day = NOW.0 / 86_400_000 * 86_400_000;
    assert_eq!(rows[0]["day_ms"], day - 86_400_000);
    assert_eq!(
        (&rows[0]["user"], &rows[0]["login"]),
        (&json!("user:bob"), &json!("bob@example.com"))
    );
    assert_eq!(rows[0]["model"], "claude-opus-4-7");
    assert!(rows[0].get("provider").is_none());
    let requests: u64 = rows
        .iter()
        .map(|row| row["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(requests, 4);

    for (query, requests) in [
        ("model=claude-opus-4-7", 1),
        ("end=upstream_error", 1),
        ("status_class=2xx", 3),
        ("client=codex", 0),
        ("provider=anthropic&from=2026-11-23", 3),
        ("to=2026-11-23", 1),
        ("from=2026-11-23T15:00:00Z&to=2026-11-23T16:00:00Z", 2),
    ] {
        let told = house.told(&format!("/aperture/usage?{query}")).await;
        assert_eq!(told["total"]["requests"], requests, "{query}");
    }
}

#[tokio::test]
async fn tools_are_added_up() {
    let house = House::filled().await;
    let told = house.told("/aperture/tools?group_by=tool,user").await;
    let row = &told["rows"][0];
    assert_eq!(
        (&row["tool"], &row["login"]),
        (&json!("bobs-tool"), &json!("bob@example.com"))
    );
    assert_eq!(
        (&row["calls"], &row["argument_bytes"]),
        (&json!(1), &json!(64))
    );
    assert_eq!(told["total"]["calls"], 1);

    let told = house
        .told("/aperture/tools?group_by=provider,model,client,tool")
        .await;
    let row = &told["rows"][0];
    for (name, value) in [
        ("provider", "anthropic"),
        ("model", "claude-haiku-4-5"),
        ("client", "claude-code"),
        ("tool", "bobs-tool"),
    ] {
        assert_eq!(row[name], value);
        let told = house.told(&format!("/aperture/tools?{name}={value}")).await;
        assert_eq!(told["total"]["calls"], 1, "{name}");
        let told = house.told(&format!("/aperture/tools?{name}=other")).await;
        assert_eq!(told["total"]["calls"], 0, "{name}");
    }
}

#[tokio::test]
async fn tables_have_a_column_for_every_name() {
    let house = House::filled().await;
    for path in [
        "usage?group_by=day,hour,user,provider,model,client,endpoint,status_class,end,cost_state&",
        "usage?",
        "tools?group_by=day,hour,user,provider,model,client,tool&",
        "sessions?",
        "requests?",
    ] {
        let rsp = house
            .get(&dora(), Role::Admin, &format!("/aperture/{path}format=csv"))
            .await;
        assert_eq!(rsp.headers()["content-type"], "text/csv; charset=utf-8");
        let lines: Vec<Vec<&str>> = text(&rsp).lines().map(|l| l.split(',').collect()).collect();
        assert!(lines.len() > 1, "{path}");
        let names: BTreeSet<&str> = lines[0].iter().copied().collect();
        assert_eq!(
            names.len(),
            lines[0].len(),
            "{path}: a name stands there twice"
        );
        for line in &lines {
            assert_eq!(line.len(), lines[0].len(), "{path}: {line:?}");
        }
    }
    let rsp = house
        .get(
            &dora(),
            Role::Admin,
            "/aperture/usage?group_by=user&format=csv",
        )
        .await;
    let mut lines = text(&rsp).lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("user,login,requests,errors,unpriced,input,")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("user:bob,bob@example.com,2,1,0,120,")
    );
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended() {
    let house = House::filled().await;
    for n in 0..20 {
        let mut more = record(&bob(), id(100 + n, 7), 0x1000 + u128::from(n));
        more.title = Some("=cmd()".into());
        house.put(more, None);
    }
    house.flush().await;
    for (path, list, all) in [
        ("/aperture/requests?limit=3".to_owned(), "requests", 23),
        ("/aperture/sessions?limit=3".into(), "sessions", 22),
        ("/aperture/sessions?limit=3&q=cmd".into(), "sessions", 20),
        (
            "/aperture/requests?user=bob@example.com&limit=4".into(),
            "requests",
            22,
        ),
        (format!("/aperture/sessions/{BOBS}?limit=1"), "requests", 2),
    ] {
        let (mut seen, mut next) = (Vec::new(), Some(path.clone()));
        while let Some(path) = next {
            let rsp = house.get(&dora(), Role::Admin, &path).await;
            let told = json(&rsp);
            let items = told[list].as_array().unwrap();
            seen.extend(
                items
                    .iter()
                    .map(|item| item["id"].as_str().unwrap().to_owned()),
            );
            let link = rsp.headers().get("link").map(|link| link.to_str().unwrap());
            assert_eq!(link.is_some(), told["next"].is_string());
            next = link.map(|link| {
                let (target, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
                assert_eq!(rest, "; rel=\"next\"");
                assert!(target.contains(told["next"].as_str().unwrap()));
                target.to_owned()
            });
        }
        let once: BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), once.len()), (all, all), "{path}");
    }
    // Titles are strangers' texts: none is a formula.
    let rsp = house
        .get(&dora(), Role::Admin, "/aperture/sessions?format=csv&q=cmd")
        .await;
    assert!(text(&rsp).contains(",'=cmd(),"), "{}", text(&rsp));
}

#[tokio::test]
async fn records_and_sessions_have_the_names_of_the_export() {
    let house = House::filled().await;
    let told = house
        .told(&format!("/aperture/requests/{}", bobs_request()))
        .await;
    let record = house.api.store.request(bobs_request()).unwrap().unwrap();
    assert_eq!(told, serde_json::to_value(&record).unwrap());
    let told = house.told(&format!("/aperture/sessions/{BOBS}")).await;
    let session = house.api.store.session(BOBS).unwrap().unwrap();
    assert_eq!(told["session"], serde_json::to_value(&session).unwrap());
    assert_eq!(told["requests"][0]["id"], bobs_request().to_string());
    assert_eq!(told["requests"].as_array().unwrap().len(), 2);
    let told = house
        .told(&format!("/aperture/requests/{}/capture", bobs_request()))
        .await;
    assert_eq!(told["request"]["data"], "{\"text\":\"bobs-prompt\"}");
    assert_eq!(told["response"]["encoding"], "hex");
}

#[tokio::test]
async fn providers_say_how_they_do_to_those_who_may_use_them() {
    let house = House::filled().await;
    let told = house.told("/aperture/providers").await;
    assert!(!told.to_string().contains("never-shown-key"));
    assert!(!told.to_string().contains("provider.example"));
    let rows = told["providers"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0]["models"],
        json!(["claude-opus-4-7", "claude-haiku-4-5"])
    );
    let health = &rows[0]["health"];
    assert_eq!(
        (&health["requests"], &health["failed"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(health["first_byte_us"]["p50"], 1_000_000);
    assert_eq!(rows[1]["health"]["requests"], 0);
    assert_eq!(rows[1]["health"]["total_us"]["p95"], json!(null));
    let rsp = house.get(&bob(), Role::User, "/aperture/providers").await;
    let told = json(&rsp);
    let rows = told["providers"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["models"], json!(["claude-haiku-4-5"]));
    assert_eq!(rows[0]["health"]["requests"], 2);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_what_is_allowed() {
    let house = House::filled().await;
    for (path, status, location, words) in [
        (
            "usage?form=csv",
            400,
            "query.form",
            "allowed are from, to, group_by",
        ),
        ("usage?format=xml", 400, "query.format", "json, csv"),
        (
            "usage?group_by=day,month",
            400,
            "query.group_by",
            "day, hour, user",
        ),
        ("usage?from=yesterday", 400, "query.from", "2026-01-31"),
        (
            "usage?from=2026-02-01&to=2026-01-01",
            400,
            "query.from",
            "before `to`",
        ),
        (
            "usage?from=2025-01-01&to=2026-11-23",
            400,
            "query.from",
            "too long",
        ),
        (
            "providers?from=2027-01-01",
            400,
            "query.from",
            "before `to`",
        ),
        ("requests?limit=0", 400, "query.limit", "from 1 to 500"),
        ("requests?limit=501", 400, "query.limit", "from 1 to 500"),
        ("requests?cursor=1", 400, "query.cursor", "page before"),
        (
            "config/history?before=0",
            400,
            "query.before",
            "number of a version",
        ),
        ("requests?session=1", 400, "query.session", "ses_"),
        ("requests?model=a&model=b", 400, "query.model", "twice"),
        ("requests?q=%ff", 400, "query.q", "UTF-8"),
        ("openapi.json?x=1", 400, "query.x", "no parameters"),
    ] {
        let rsp = house
            .get(&dora(), Role::Admin, &format!("/aperture/{path}"))
            .await;
        assert_eq!(rsp.status(), status, "{path}: {}", text(&rsp));
        assert_eq!(rsp.headers()["content-type"], "application/problem+json");
        let told = json(&rsp);
        let error = &told["errors"][0];
        assert_eq!(error["location"], location, "{path}");
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{path}: {error}"
        );
    }
    let long = format!("/aperture/requests?q={}", "a".repeat(5_000));
    let rsp = house.get(&dora(), Role::Admin, &long).await;
    assert_eq!(rsp.status(), StatusCode::URI_TOO_LONG);
    // Forms send all their fields.
    let told = house.told("/aperture/usage?user=&model=&format=").await;
    assert_eq!(told["total"]["requests"], 3);
}

#[test]
fn the_document_has_every_operation_and_nothing_else() {
    let document = openapi::document();
    assert_eq!(document["info"]["title"], "Aperture API");
    assert_eq!(document["info"]["version"], "0");
    assert_eq!(document["servers"], json!([{"url": "/aperture"}]));
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let base = if item.get("servers").is_some() {
            ""
        } else {
            "/aperture"
        };
        for (method, operation) in item.as_object().unwrap() {
            if method != "servers" {
                assert!(!operation["summary"].as_str().unwrap().is_empty());
                described.insert(format!("{} {base}{path}", method.to_uppercase()));
            }
        }
    }
    let offered = operations().map(|(method, path)| format!("{method} {path}"));
    assert_eq!(described, offered.collect());
    // Bodies that are taken forbid what they do not name.
    for (_, schema) in document["paths"].as_object().unwrap() {
        let body = schema.pointer("/post/requestBody/content/application~1json/schema/$ref");
        let body =
            body.or(schema.pointer("/put/requestBody/content/application~1json/schema/$ref"));
        if let Some(name) = body {
            let pointer = name.as_str().unwrap().trim_start_matches('#');
            assert_eq!(
                document.pointer(pointer).unwrap()["additionalProperties"],
                false
            );
        }
    }
}

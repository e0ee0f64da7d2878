//! The configuration's history: listed, read, and put back as a save would be.

use super::{
    super::*,
    house::{DOCUMENT, House, NOW, bob, caller, dora, json, text},
};
use serde_json::{Value, json};

const HISTORY: &str = "/aperture/config/history";
const REVERT: &str = "/aperture/config:revert";

impl House {
    async fn etag(&self) -> String {
        let rsp = self.get(&dora(), Role::Admin, "/aperture/config").await;
        rsp.headers()["etag"].to_str().unwrap().to_owned()
    }

    /// Saves the document with some of its text replaced.
    async fn save(&self, who: &Arc<Caller>, from: &str, to: &str) {
        let (told, etag) = (self.told("/aperture/config").await, self.etag().await);
        let old = told["config"].as_str().unwrap();
        let new = old.replace(from, to);
        assert_ne!(old, new);
        let body = json!({"config": new});
        let rsp = self
            .send(who, Method::PUT, "/aperture/config", Some(&etag), &body)
            .await;
        assert_eq!(rsp.status(), StatusCode::OK, "{}", text(&rsp));
    }

    async fn revert(&self, who: &Arc<Caller>, version: u64) -> Response<Bytes> {
        let (etag, body) = (self.etag().await, json!({"version": version}));
        let rsp = self
            .send(who, Method::POST, REVERT, Some(&etag), &body)
            .await;
        assert!(!text(&rsp).contains("never-shown"), "{}", text(&rsp));
        rsp
    }

    fn on_disk(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }
}

fn numbers(told: &Value) -> Vec<u64> {
    let versions = told["versions"].as_array().unwrap().iter();
    versions.map(|it| it["version"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn versions_are_listed_read_and_put_back() {
    let house = House::filled().await;
    house
        .save(
            &dora(),
            "https://backup.example\"",
            "https://backup.example\", \"name\": \"B\"",
        )
        .await;
    house
        .save(
            &dora(),
            "\"claude-haiku-4-5\"",
            "\"claude-haiku-4-5\", \"claude-new\"",
        )
        .await;

    let told = house.told(HISTORY).await;
    assert_eq!(numbers(&told), [3, 2, 1]);
    let newest = &told["versions"][0];
    assert_eq!(newest["author"], "dora@example.com");
    assert_eq!(newest["origin"], "api");
    assert_eq!(newest["at"], NOW.0);
    assert_eq!(newest["current"], true);
    assert_eq!(newest["etag"], house.etag().await.trim_matches('"'));
    assert_eq!(
        newest["summary"],
        "providers.anthropic changed; 1 line added, 1 removed"
    );
    let oldest = &told["versions"][2];
    assert_eq!(
        (&oldest["author"], &oldest["origin"], &oldest["current"]),
        (&Value::Null, &json!("first"), &json!(false))
    );
    // A page at a time, by the link or by `next`.
    let rsp = house
        .get(&dora(), Role::Admin, &format!("{HISTORY}?limit=2"))
        .await;
    let link = rsp.headers()["link"].to_str().unwrap();
    assert_eq!(link, format!("<{HISTORY}?limit=2&before=2>; rel=\"next\""));
    let told = json(&rsp);
    assert_eq!((numbers(&told), &told["next"]), (vec![3, 2], &json!(2)));
    let told = house.told(&format!("{HISTORY}?limit=2&before=2")).await;
    assert_eq!((numbers(&told), &told["next"]), (vec![1], &Value::Null));

    // Its text as an admin may see it.
    let told = house.told(&format!("{HISTORY}/1")).await;
    let shown = DOCUMENT.replace("never-shown-key", "(secret, not shown)");
    assert_eq!(told["config"], shown);
    assert_eq!(told["bytes"], shown.len());
    for number in ["4", "0", "x", "18446744073709551616"] {
        let path = format!("{HISTORY}/{number}");
        let rsp = house.get(&dora(), Role::Admin, &path).await;
        assert_eq!(rsp.status(), StatusCode::NOT_FOUND, "{number}");
    }

    // Back to the first, with the secrets that are stored, as a version of its own and in the audit trail.
    let rsp = house.revert(&dora(), 1).await;
    assert_eq!(rsp.status(), StatusCode::OK, "{}", text(&rsp));
    assert_eq!(house.on_disk(), DOCUMENT);
    assert_eq!(json(&rsp)["config"], shown);
    assert_eq!(rsp.headers()["etag"], *house.etag().await);
    let told = house.told(HISTORY).await;
    assert_eq!(numbers(&told), [4, 3, 2, 1]);
    let summary = told["versions"][0]["summary"].as_str().unwrap();
    assert!(summary.starts_with("back to version 1: "), "{summary}");
    let trail = house.told("/aperture/audit?limit=1").await;
    let entry = &trail["entries"][0];
    assert_eq!(
        (&entry["action"], &entry["login"]),
        (&json!("config_changed"), &json!("dora@example.com"))
    );
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.starts_with("API: back to version 1: "), "{detail}");
}

#[tokio::test]
async fn a_version_that_may_not_be_saved_is_not_put_back() {
    let house = House::filled().await;
    let erin = caller("erin");
    // Erin is an admin since the second version, and another address has the key since the third.
    house
        .save(
            &dora(),
            "[\"dora@example.com\"]",
            "[\"dora@example.com\", \"erin@example.com\"]",
        )
        .await;
    house
        .save(
            &dora(),
            "https://backup.example\",\n      \"apikey\": \"(secret, not shown)\"",
            "https://moved.example\",\n      \"apikey\": \"never-shown-other\"",
        )
        .await;
    let before = house.on_disk();
    for (who, version, status, location, words) in [
        (&erin, 1, 422, "body.config:", "erin@example.com"),
        (&dora(), 2, 422, "body.config:", "secret"),
        (&dora(), 9, 404, "", ""),
    ] {
        let rsp = house.revert(who, version).await;
        assert_eq!(rsp.status(), status, "{version}: {}", text(&rsp));
        assert_eq!(rsp.headers()["content-type"], "application/problem+json");
        let told = json(&rsp);
        let errors = told["errors"].as_array().cloned().unwrap_or_default();
        let found = errors.iter().any(|error| {
            error["location"].as_str().unwrap().starts_with(location)
                && error["message"].as_str().unwrap().contains(words)
        });
        assert_eq!(found, status == 422, "{version}: {told}");
    }
    // Without the version that it was decided on, or with one that is gone.
    let (stale, body) = (format!("\"{}\"", "0".repeat(64)), json!({"version": 3}));
    for matched in [None, Some("nonsense"), Some(&*stale)] {
        let rsp = house
            .send(&dora(), Method::POST, REVERT, matched, &body)
            .await;
        assert_eq!(rsp.status(), StatusCode::PRECONDITION_FAILED, "{matched:?}");
        assert_eq!(rsp.headers()["etag"], *house.etag().await);
    }
    // The role is that of the document in force, whatever the caller was let in as.
    let rsp = house.revert(&bob(), 3).await;
    assert_eq!(rsp.status(), StatusCode::FORBIDDEN);
    assert_eq!(house.on_disk(), before);
    // What is there already is no change, and no version.
    let rsp = house.revert(&dora(), 3).await;
    assert_eq!(rsp.status(), StatusCode::OK, "{}", text(&rsp));
    assert_eq!(numbers(&house.told(HISTORY).await), [3, 2, 1]);
}
